//! What is on the screen as a file: the whole list in its order, with the totals and how it came about.

use std::{
    io::{self, Write},
    path::Path,
    time::SystemTime,
};

use serde::Serialize;

use super::{list::ListEntry, residue::Residue, words::EntryWords};
use crate::{
    flow::snapshot::{InterfaceView, RecentPeak, Snapshot},
    format::{CsvCell, Name, json, moment::rfc3339},
    iftop::{
        options::{IftopOptions, PairOrder},
        pair::PairAmounts,
        view::ViewTotals,
    },
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.screen/1";

/// The form of the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ExportFormat {
    /// One document.
    Json,
    /// A header line and a line for each entry.
    Csv,
}

impl ExportFormat {
    /// The form that a file's name asks for by its suffix.
    #[must_use]
    pub fn of(name: &str) -> Option<Self> {
        let suffix = Path::new(name).extension()?.to_str()?;
        match suffix.to_ascii_lowercase().as_str() {
            "json" => Some(Self::Json),
            "csv" => Some(Self::Csv),
            _ => None,
        }
    }
}

/// What a file says beside the list.
pub(super) struct Heading<'a> {
    pub(super) written: SystemTime,
    pub(super) grouping: &'static str,
    pub(super) overview: &'a Snapshot,
    pub(super) totals: ViewTotals,
    pub(super) residue: &'a Residue,
    pub(super) words: EntryWords<'a>,
}

/// Writes the list.
///
/// # Errors
/// Those of `out`.
pub(super) fn write<'a>(
    mut out: impl Write,
    format: ExportFormat,
    heading: &Heading<'_>,
    entries: impl Iterator<Item = &'a ListEntry>,
) -> io::Result<()> {
    let rows = entries.map(|entry| ExportedRow::new(entry, heading));
    match format {
        ExportFormat::Json => {
            let rows: Vec<ExportedRow> = rows.collect();
            json::to_writer(&mut out, &ScreenDocument::new(heading, &rows))?;
            writeln!(out)?;
        }
        ExportFormat::Csv => {
            let mut writer = csv::Writer::from_writer(&mut out);
            writer.write_record(ExportedRow::FIELDS)?;
            for row in rows {
                writer.write_record(row.values())?;
            }
            writer.flush()?;
        }
    }
    out.flush()
}

/// The document.
#[derive(Serialize)]
struct ScreenDocument<'a> {
    schema: &'static str,
    written: String,
    seconds: f64,
    window_seconds: [f64; 3],
    group_by: &'static str,
    sort: &'static str,
    screen_filter: Option<&'a str>,
    net_filter: Option<&'a str>,
    paused: bool,
    frozen: bool,
    late_ticks: u64,
    interfaces: Vec<ExportedInterface<'a>>,
    total: ExportedTotal,
    rows: &'a [ExportedRow],
}

impl<'a> ScreenDocument<'a> {
    fn new(heading: &'a Heading<'_>, rows: &'a [ExportedRow]) -> Self {
        let Heading { written, grouping, overview, totals, residue, words } = heading;
        let options: &IftopOptions = words.options;
        Self {
            schema: SCHEMA,
            written: rfc3339(*written),
            seconds: overview.elapsed.as_secs_f64(),
            window_seconds: overview.window_seconds,
            group_by: grouping,
            sort: match options.sort {
                PairOrder::TwoSeconds => "2s",
                PairOrder::TenSeconds => "10s",
                PairOrder::FortySeconds => "40s",
                PairOrder::Source => "source",
                PairOrder::Destination => "destination",
            },
            screen_filter: options.screen_filter.as_deref(),
            net_filter: options.filter_code.as_deref(),
            paused: options.paused,
            frozen: options.frozen,
            late_ticks: overview.late_ticks,
            interfaces: overview
                .interfaces
                .iter()
                .map(|view| ExportedInterface::new(view, residue))
                .collect(),
            total: ExportedTotal::new(totals, overview),
            rows,
        }
    }
}

/// What the status says of an interface. Its own counters are not read every second: only what lasts is a residue.
#[derive(Serialize)]
struct ExportedInterface<'a> {
    name: &'a str,
    hook: &'a str,
    degraded: &'a [String],
    untracked_bytes: u64,
    untracked_packets: u64,
    unparsed_packets: u64,
    residue_bytes: i64,
}

impl<'a> ExportedInterface<'a> {
    fn new(view: &'a InterfaceView, residue: &Residue) -> Self {
        let InterfaceView { ingress, egress, .. } = view;
        Self {
            name: &view.name,
            hook: &view.hook,
            degraded: &view.degraded,
            untracked_bytes: ingress.untracked.bytes + egress.untracked.bytes,
            untracked_packets: ingress.untracked.packets + egress.untracked.packets,
            unparsed_packets: ingress.unparsed.packets + egress.unparsed.packets,
            residue_bytes: residue.of(view.id),
        }
    }
}

/// The three lines at the bottom.
#[derive(Serialize)]
struct ExportedTotal {
    sent_bytes: u64,
    received_bytes: u64,
    sent_bps_2s: f64,
    sent_bps_10s: f64,
    sent_bps_40s: f64,
    received_bps_2s: f64,
    received_bps_10s: f64,
    received_bps_40s: f64,
    peak_sent_bps: u64,
    peak_received_bps: u64,
    peak_total_bps: u64,
}

impl ExportedTotal {
    fn new(totals: &ViewTotals, overview: &Snapshot) -> Self {
        let RecentPeak { sent, received, total } = totals.peak;
        let [sent_bps_2s, sent_bps_10s, sent_bps_40s] = rates(totals.sent, overview);
        let [received_bps_2s, received_bps_10s, received_bps_40s] = rates(totals.received, overview);
        Self {
            sent_bytes: totals.sent.bytes,
            received_bytes: totals.received.bytes,
            sent_bps_2s,
            sent_bps_10s,
            sent_bps_40s,
            received_bps_2s,
            received_bps_10s,
            received_bps_40s,
            peak_sent_bps: sent.saturating_mul(8),
            peak_received_bps: received.saturating_mul(8),
            peak_total_bps: total.saturating_mul(8),
        }
    }
}

/// An entry of the list. Bytes are those of IP packets.
#[derive(Serialize)]
struct ExportedRow {
    #[serde(flatten)]
    source: json::NamedOrNull<Name>,
    #[serde(flatten)]
    destination: json::NamedOrNull<Name>,
    flows: u32,
    sent_bytes: u64,
    received_bytes: u64,
    sent_bps_2s: f64,
    sent_bps_10s: f64,
    sent_bps_40s: f64,
    received_bps_2s: f64,
    received_bps_10s: f64,
    received_bps_40s: f64,
    #[serde(flatten)]
    owner: json::NamedOrNull<Name>,
}

impl ExportedRow {
    /// In the order of [`ExportedRow::values`].
    const FIELDS: [&'static str; 12] = [
        "source",
        "destination",
        "flows",
        "sent_bytes",
        "received_bytes",
        "sent_bps_2s",
        "sent_bps_10s",
        "sent_bps_40s",
        "received_bps_2s",
        "received_bps_10s",
        "received_bps_40s",
        "owner",
    ];

    fn new(entry: &ListEntry, heading: &Heading<'_>) -> Self {
        let [source, destination] = heading.words.ends(entry).map(|label| Some(label.title()));
        let [sent_bps_2s, sent_bps_10s, sent_bps_40s] = rates(entry.sent, heading.overview);
        let [received_bps_2s, received_bps_10s, received_bps_40s] = rates(entry.received, heading.overview);
        Self {
            source: json::NamedOrNull("source", source),
            destination: json::NamedOrNull("destination", destination),
            flows: entry.flows,
            sent_bytes: entry.sent.bytes,
            received_bytes: entry.received.bytes,
            sent_bps_2s,
            sent_bps_10s,
            sent_bps_40s,
            received_bps_2s,
            received_bps_10s,
            received_bps_40s,
            owner: json::NamedOrNull("owner", EntryWords::owner(entry)),
        }
    }

    fn values(&self) -> [String; 12] {
        let cell = |name: &json::NamedOrNull<Name>| {
            name.1.as_ref().map_or_else(String::new, |name| CsvCell::new(name).to_string())
        };
        [
            cell(&self.source),
            cell(&self.destination),
            self.flows.to_string(),
            self.sent_bytes.to_string(),
            self.received_bytes.to_string(),
            self.sent_bps_2s.to_string(),
            self.sent_bps_10s.to_string(),
            self.sent_bps_40s.to_string(),
            self.received_bps_2s.to_string(),
            self.received_bps_10s.to_string(),
            self.received_bps_40s.to_string(),
            cell(&self.owner),
        ]
    }
}

/// Bits per second, rounded: nobody measures less.
fn rates(amounts: PairAmounts, overview: &Snapshot) -> [f64; 3] {
    std::array::from_fn(|window| super::frame::bits(amounts.recent, window, overview).round())
}
