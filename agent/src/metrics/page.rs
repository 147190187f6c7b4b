//! What there is to tell at one moment.

use std::time::SystemTime;

use prometheus_client::metrics::histogram::Histogram;

use super::{
    series::{SeriesCounts, SeriesRest},
    settings::MetricsBy,
};
use crate::flow::interval::Difference;
use flowtally_common::Count;

/// All counters at one moment, and how the agent is doing.
#[derive(Clone, Debug)]
pub struct MetricsPage {
    pub(super) traffic: MetricsTraffic,
    pub(super) health: MetricsHealth,
}

impl MetricsPage {
    /// How many processes, remotes and so on have amounts of their own.
    #[must_use]
    pub fn named(&self) -> usize {
        self.traffic.kinds.iter().map(|kind| kind.series.len()).sum()
    }
}

/// All that was counted.
#[derive(Clone, Debug, Default)]
pub(super) struct MetricsTraffic {
    /// In the order of their names.
    pub(super) interfaces: Vec<PageInterface>,
    /// One for each kind.
    pub(super) kinds: Vec<PageKind>,
}

/// An interface.
#[derive(Clone, Debug, Default)]
pub(super) struct PageInterface {
    /// Its name, as a label has it.
    pub(super) name: String,
    pub(super) amounts: InterfaceAmounts,
    pub(super) is_attached: bool,
    pub(super) is_degraded: bool,
}

/// What an interface has come to.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct InterfaceAmounts {
    /// By direction.
    pub(super) counted: [Count; 2],
    pub(super) kernel: [Count; 2],
    pub(super) residue: [Difference; 2],
    pub(super) untracked: Count,
    pub(super) unparsed: Count,
    pub(super) left_out: Count,
    pub(super) repeated: Difference,
    /// Sent and received in rows that could be parsed.
    pub(super) rows: SeriesCounts,
}

/// The series of one kind.
#[derive(Clone, Debug)]
pub(super) struct PageKind {
    pub(super) by: MetricsBy,
    /// In the order of their interfaces and labels.
    pub(super) series: Vec<PageSeries>,
    /// By name of the interface.
    pub(super) rests: Vec<(String, SeriesRest)>,
}

/// A series that has a name.
#[derive(Clone, Debug)]
pub(super) struct PageSeries {
    /// The name of its interface.
    pub(super) interface: String,
    /// What else it is of.
    pub(super) labels: Vec<(&'static str, String)>,
    pub(super) counts: SeriesCounts,
}

/// How the agent is doing.
#[derive(Clone, Debug)]
pub struct MetricsHealth {
    /// flowtally's version.
    pub version: String,
    /// When it began to count.
    pub started: SystemTime,
    /// How long it took to close each interval of a second.
    pub ticks: Histogram,
    /// Intervals that came late.
    pub late_ticks: u64,
    /// The tables.
    pub tables: Vec<MetricsTable>,
    /// The log, where there is one.
    pub log: Option<MetricsLog>,
    /// By name of the feature, whether it is less than it could be.
    pub degraded: Vec<(&'static str, bool)>,
    /// Screens that look on.
    pub screens: u32,
    /// Memory of the process, in bytes.
    pub memory_bytes: u64,
    /// Processor time of the process since it began, in seconds.
    pub processor_seconds: f64,
}

/// A table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MetricsTable {
    /// Which.
    pub name: &'static str,
    /// How many entries it has: of the kernel's tables, in the last second.
    pub used: u64,
    /// How many fit.
    pub capacity: u64,
}

/// How the log is doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MetricsLog {
    /// Intervals that wait to be written.
    pub queue: u64,
    /// Intervals written.
    pub intervals: u64,
    /// Rows written.
    pub rows: u64,
    /// Bytes written, before compression.
    pub bytes: u64,
    /// How often an interval could not be written.
    pub failures: u64,
    /// Whether writing fails at the moment.
    pub is_failing: bool,
}

/// An empty histogram of the time that ticks take.
#[must_use]
pub fn tick_times() -> Histogram {
    Histogram::new([0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0])
}
