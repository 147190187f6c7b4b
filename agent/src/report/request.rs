//! What a report is asked for.

use clap::ValueEnum;

use crate::{flow::group::GroupBy, format::numbers::Units};

/// Rows of a text table when nothing else is asked.
pub const DEFAULT_TOP: usize = 20;

/// The groupings of a report when none is asked.
#[must_use]
pub fn default_groupings() -> Vec<GroupBy> {
    vec![GroupBy::Remote, GroupBy::Port, GroupBy::Flow]
}

/// What to print, of what is in the snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportRequest {
    /// The tables. For each one except `flow`, the snapshot must hold the groups.
    pub by: Vec<GroupBy>,
    /// Rows of a table; `None` for [`DEFAULT_TOP`] in text, all in JSON and CSV.
    pub top: Option<usize>,
    /// Which rows come first.
    pub sort: ReportSort,
    /// Which way the traffic goes that counts for order and shares.
    pub direction: ReportDirection,
    /// The unit of rates in text. JSON and CSV have the unit in each field's name.
    pub units: Units,
    /// How to print it.
    pub format: ReportFormat,
}

impl Default for ReportRequest {
    fn default() -> Self {
        Self {
            by: default_groupings(),
            top: None,
            sort: ReportSort::default(),
            direction: ReportDirection::default(),
            units: Units::default(),
            format: ReportFormat::default(),
        }
    }
}

impl ReportRequest {
    /// Most rows in a table.
    #[must_use]
    pub fn limit(&self) -> usize {
        self.top.unwrap_or(match self.format {
            ReportFormat::Text => DEFAULT_TOP,
            ReportFormat::Json | ReportFormat::Csv => usize::MAX,
        })
    }

    /// The groupings without those that were asked before.
    pub(super) fn groupings(&self) -> impl Iterator<Item = GroupBy> + '_ {
        self.by.iter().enumerate().filter(|(at, by)| !self.by[..*at].contains(by)).map(|(_, by)| *by)
    }
}

/// What rows are sorted by, highest first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportSort {
    /// Bytes since the start
    #[default]
    Bytes,
    /// Packets since the start
    Packets,
    /// Average rate of the last 2 seconds
    #[value(name = "2s")]
    Last2,
    /// Average rate of the last 10 seconds
    #[value(name = "10s")]
    Last10,
    /// Average rate of the last 40 seconds
    #[value(name = "40s")]
    Last40,
    /// Highest rate of one second
    Peak,
}

impl ReportSort {
    /// Index of the averaging window, if it is one.
    pub(super) const fn window(self) -> Option<usize> {
        match self {
            Self::Last2 => Some(0),
            Self::Last10 => Some(1),
            Self::Last40 => Some(2),
            Self::Bytes | Self::Packets | Self::Peak => None,
        }
    }
}

/// Which way traffic goes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportDirection {
    /// Sent and received
    #[default]
    Both,
    /// From the local to the remote end only
    #[value(alias = "egress")]
    Sent,
    /// From the remote to the local end only
    #[value(alias = "ingress")]
    Received,
}

/// How a report is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// Tables for people
    #[default]
    Text,
    /// JSON, as docs/report.schema.json has it
    Json,
    /// Comma-separated values with a header line (RFC 4180)
    Csv,
}
