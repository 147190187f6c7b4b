//! The answer for programs: the fields of the report's rows without the averages of the last seconds, which a log does not have.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

use csv::ErrorKind;
use flowtally_common::Count;
use jiff::Timestamp;
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq as _},
};

use super::{answer::LogAnswer, fold::Both, line::LoggedInterface};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        row::Traffic,
    },
    format::json as name,
    report::{
        OtherRows, ReportContext, ReportRequest, ReportTable, TableKey, TableRow,
        fields::{IDENTITY, NAMES, OWNER, RowFields, Value},
        rates, silent_interfaces,
    },
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.history/1";
/// What the row of what is in no row is called.
pub(super) const OTHER: &str = "other";

/// What is averaged over a time, with the amounts that it is averaged from.
pub(super) const AVERAGES: [&str; 6] =
    ["sent_bytes", "sent_packets", "received_bytes", "received_packets", "sent_bps", "received_bps"];
/// The highest rates of one interval of the log.
const PEAKS: [&str; 3] = ["peak_sent_bps", "peak_received_bps", "peak_bps"];

/// The values of [`AVERAGES`].
pub(super) fn averages([sent, received]: Both, seconds: f64) -> [u64; 6] {
    [
        sent.bytes,
        sent.packets,
        received.bytes,
        received.packets,
        rates::window_bps(sent.bytes, seconds),
        rates::window_bps(received.bytes, seconds),
    ]
}

/// What a row sent and received: the values of [`AVERAGES`] and [`PEAKS`].
fn amounts(traffic: &Traffic, seconds: f64) -> impl Iterator<Item = u64> {
    let Traffic { sent, received, peak } = traffic;
    let counts = [sent, received].map(|lane| Count { bytes: lane.bytes, packets: lane.packets });
    averages(counts, seconds).into_iter().chain([sent.peak, received.peak, *peak].map(rates::bps))
}

/// A moment as the log has it.
pub(super) fn rfc3339(moment: Timestamp) -> String {
    moment.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string()
}

/// Writes the document and a line feed.
pub(super) fn write_json(
    out: &mut impl Write,
    answer: &LogAnswer,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let fields = RowFields::new(&answer.snapshot, context);
    name::to_writer(&mut *out, &Document { answer, request, fields })?;
    writeln!(out)
}

struct Document<'a> {
    answer: &'a LogAnswer,
    request: &'a ReportRequest,
    fields: RowFields<'a>,
}

impl Serialize for Document<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { answer, request, fields } = self;
        let seconds = answer.snapshot.elapsed.as_secs_f64();
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        about(&mut map, answer)?;
        map.serialize_entry("total", &Amounts { traffic: &answer.snapshot.total, seconds })?;
        // Two prefixes of `subnet` are two groupings of one name, as in the report.
        let mut tables = answer.tables(request);
        while let Some(first) = tables.first().map(|table| table.by.to_string()) {
            let named: Vec<_> = tables.extract_if(.., |table| table.by.to_string() == first).collect();
            let called = if first == "flow" { "flows" } else { &first };
            map.serialize_entry(called, &RowRecords { fields, tables: &named, seconds })?;
        }
        map.end()
    }
}

/// What is said of the time and the files, in every document about a log.
pub(super) fn about<M: SerializeMap>(map: &mut M, answer: &LogAnswer) -> Result<(), M::Error> {
    #[derive(Serialize)]
    struct Gap<'a> {
        host: name::JsonName<'a>,
        from: String,
        to: String,
        missing_intervals: u64,
        reason: &'static str,
    }
    map.serialize_entry("from", &answer.period.from.map(rfc3339))?;
    map.serialize_entry("to", &answer.period.to.map(rfc3339))?;
    map.serialize_entry("start", &answer.covered.map(|(start, _)| rfc3339(start)))?;
    map.serialize_entry("end", &answer.covered.map(|(_, end)| rfc3339(end)))?;
    map.serialize_entry("seconds", &answer.snapshot.elapsed.as_secs_f64())?;
    map.serialize_entry("intervals", &answer.intervals)?;
    map.serialize_entry("files", &answer.files)?;
    map.serialize_entry("files_outside", &answer.files_outside)?;
    let hosts: Vec<_> = answer.hosts.iter().map(|host| name::JsonName(host.as_bytes())).collect();
    map.serialize_entry("hosts", &hosts)?;
    let gaps: Vec<_> = answer
        .gaps
        .iter()
        .map(|gap| Gap {
            host: name::JsonName(gap.host.as_bytes()),
            from: rfc3339(gap.from),
            to: rfc3339(gap.to),
            missing_intervals: gap.missing,
            reason: gap.reason.code(),
        })
        .collect();
    map.serialize_entry("gaps", &gaps)?;
    map.serialize_entry("notes", &answer.notes)?;
    let interfaces: Vec<_> =
        answer.interfaces.iter().map(|(name, logged)| InterfaceRecord::new(name, logged)).collect();
    map.serialize_entry("interfaces", &interfaces)
}

/// What an interface counted, under the names of the log.
#[derive(Serialize)]
struct InterfaceRecord<'a> {
    name: &'a str,
    index: u32,
    hook: &'a str,
    degraded: &'a [String],
    counted_bytes: u64,
    counted_packets: u64,
    ingress_bytes: u64,
    ingress_packets: u64,
    egress_bytes: u64,
    egress_packets: u64,
    kernel_bytes: u64,
    kernel_packets: u64,
    residue_bytes: i64,
    residue_packets: i64,
    untracked_bytes: u64,
    untracked_packets: u64,
    unparsed_bytes: u64,
    unparsed_packets: u64,
    repeated_bytes: i64,
    repeated_packets: i64,
    left_out_bytes: u64,
    left_out_packets: u64,
    filtered_bytes: u64,
    filtered_packets: u64,
    filtered_ingress_bytes: u64,
    filtered_ingress_packets: u64,
    filtered_egress_bytes: u64,
    filtered_egress_packets: u64,
}

impl<'a> InterfaceRecord<'a> {
    fn new(name: &'a str, logged: &'a LoggedInterface) -> Self {
        let [ingress, egress] = logged.filtered;
        Self {
            name,
            index: logged.index,
            hook: &logged.hook,
            degraded: &logged.degraded,
            counted_bytes: logged.counted.bytes,
            counted_packets: logged.counted.packets,
            ingress_bytes: logged.ingress.bytes,
            ingress_packets: logged.ingress.packets,
            egress_bytes: logged.egress.bytes,
            egress_packets: logged.egress.packets,
            kernel_bytes: logged.kernel.bytes,
            kernel_packets: logged.kernel.packets,
            residue_bytes: logged.residue[0],
            residue_packets: logged.residue[1],
            untracked_bytes: logged.untracked.bytes,
            untracked_packets: logged.untracked.packets,
            unparsed_bytes: logged.unparsed.bytes,
            unparsed_packets: logged.unparsed.packets,
            repeated_bytes: logged.repeated[0],
            repeated_packets: logged.repeated[1],
            left_out_bytes: logged.left_out.bytes,
            left_out_packets: logged.left_out.packets,
            filtered_bytes: ingress.bytes.saturating_add(egress.bytes),
            filtered_packets: ingress.packets.saturating_add(egress.packets),
            filtered_ingress_bytes: ingress.bytes,
            filtered_ingress_packets: ingress.packets,
            filtered_egress_bytes: egress.bytes,
            filtered_egress_packets: egress.packets,
        }
    }
}

/// What was sent and received.
struct Amounts<'a> {
    traffic: &'a Traffic,
    seconds: f64,
}

impl Amounts<'_> {
    fn entries<M: SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        let mut amounts = AVERAGES.into_iter().chain(PEAKS).zip(amounts(self.traffic, self.seconds));
        amounts.try_for_each(|(name, value)| map.serialize_entry(name, &value))
    }
}

impl Serialize for Amounts<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.entries(&mut map)?;
        map.end()
    }
}

struct RowRecords<'a> {
    fields: &'a RowFields<'a>,
    tables: &'a [ReportTable<'a>],
    seconds: f64,
}

impl Serialize for RowRecords<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { fields, seconds, .. } = *self;
        let mut rows = serializer.serialize_seq(None)?;
        for table in self.tables {
            for row in &table.rows {
                rows.serialize_element(&RowRecord { fields, by: table.by, row, seconds })?;
            }
            if let Some(other) = &table.other {
                rows.serialize_element(&Other { other, seconds })?;
            }
        }
        rows.end()
    }
}

struct RowRecord<'a> {
    fields: &'a RowFields<'a>,
    by: GroupBy,
    row: &'a TableRow<'a>,
    seconds: f64,
}

impl Serialize for RowRecord<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { fields, row, .. } = self;
        let mut map = serializer.serialize_map(None)?;
        if let TableKey::Group(key) = row.key {
            name::entry(&mut map, "key", fields.key(key).title().as_bytes())?;
            if let GroupKey::Port(_, port) = key {
                map.serialize_entry("port", port)?;
            }
        }
        let (identity, owner) = told(fields, self.by, row);
        identity.iter().try_for_each(|(name, value)| value.entry(&mut map, name))?;
        Amounts { traffic: row.traffic, seconds: self.seconds }.entries(&mut map)?;
        owner.iter().try_for_each(|(name, value)| value.entry(&mut map, name))?;
        map.end()
    }
}

type ToldFields<'a> = Vec<(&'static str, Value<'a>)>;

/// Who a row is; and what its ends are called, if that was asked for, and whose it is.
fn told<'a>(fields: &RowFields<'a>, by: GroupBy, row: &TableRow<'a>) -> (ToldFields<'a>, ToldFields<'a>) {
    fields
        .of(by, row)
        .filter(|(name, _)| IDENTITY.contains(name) || NAMES.contains(name) || OWNER.contains(name))
        .partition(|(name, _)| IDENTITY.contains(name))
}

struct Other<'a> {
    other: &'a OtherRows,
    seconds: f64,
}

impl Serialize for Other<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("key", OTHER)?;
        map.serialize_entry("other", &true)?;
        map.serialize_entry("count", &self.other.rows)?;
        Amounts { traffic: &self.other.traffic, seconds: self.seconds }.entries(&mut map)?;
        map.end()
    }
}

/// What rows of interfaces have behind all other columns of CSV, in the names of the log.
const INTERFACE: [&str; 24] = [
    "counted_bytes",
    "counted_packets",
    "ingress_bytes",
    "ingress_packets",
    "egress_bytes",
    "egress_packets",
    "kernel_bytes",
    "kernel_packets",
    "residue_bytes",
    "residue_packets",
    "untracked_bytes",
    "untracked_packets",
    "unparsed_bytes",
    "unparsed_packets",
    "repeated_bytes",
    "repeated_packets",
    "left_out_bytes",
    "left_out_packets",
    "filtered_bytes",
    "filtered_packets",
    "filtered_ingress_bytes",
    "filtered_ingress_packets",
    "filtered_egress_bytes",
    "filtered_egress_packets",
];

/// The values of [`INTERFACE`].
fn interface_cells(logged: &LoggedInterface) -> [i128; 24] {
    let LoggedInterface { counted, ingress, egress, kernel, untracked, unparsed, left_out, .. } = logged;
    let [filtered_ingress, filtered_egress] = &logged.filtered;
    let mut filtered = *filtered_ingress;
    filtered.add(*filtered_egress);
    let count = |count: &Count| [count.bytes.into(), count.packets.into()];
    let difference = |[bytes, packets]: [i64; 2]| [bytes.into(), packets.into()];
    let pairs: [[i128; 2]; 12] = [
        count(counted),
        count(ingress),
        count(egress),
        count(kernel),
        difference(logged.residue),
        count(untracked),
        count(unparsed),
        difference(logged.repeated),
        count(left_out),
        count(&filtered),
        count(filtered_ingress),
        count(filtered_egress),
    ];
    std::array::from_fn(|at| pairs[at / 2][at % 2])
}

/// Writes a header line, then every table's rows.
pub(super) fn write_csv(
    out: &mut impl Write,
    answer: &LogAnswer,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let nothing = Traffic::default();
    // With a choice of rows nobody knows what would have been theirs.
    let silent = if answer.is_everything { silent_interfaces(&answer.snapshot) } else { Vec::new() };
    let fields = RowFields::new(&answer.snapshot, context);
    let seconds = answer.snapshot.elapsed.as_secs_f64();
    let mut lines = Lines { writer: csv::Writer::from_writer(out), cell: String::new() };
    let about: Vec<&str> = NAMES.into_iter().filter(|_| fields.with_names()).chain(OWNER).collect();
    let tables = answer.tables(request);
    let beside = if tables.iter().any(|table| table.by == GroupBy::Interface) { INTERFACE.len() } else { 0 };
    let header =
        ["by", "key"].into_iter().chain(IDENTITY).chain(AVERAGES).chain(PEAKS).chain(about.iter().copied());
    lines.header(header.chain(INTERFACE.into_iter().take(beside))).map_err(into_io)?;
    for table in &tables {
        let silent = silent.iter().filter(|_| table.by == GroupBy::Interface);
        let silent = silent.map(|key| TableRow::silent(key, &nothing));
        for row in table.rows.iter().copied().chain(silent) {
            lines.cell(table.by).map_err(into_io)?;
            match row.key {
                TableKey::Flow(_) => lines.cell(""),
                TableKey::Group(key) => lines.cell(fields.key(key)),
            }
            .map_err(into_io)?;
            let (identity, owner) = told(&fields, table.by, &row);
            lines.values(identity.iter().map(|(_, value)| value)).map_err(into_io)?;
            lines.values(amounts(row.traffic, seconds)).map_err(into_io)?;
            lines.values(owner.iter().map(|(_, value)| value)).map_err(into_io)?;
            match answer.logged(row.key).filter(|_| table.by == GroupBy::Interface) {
                Some(logged) => lines.values(interface_cells(logged).into_iter()),
                None => lines.values(std::iter::repeat_n("", beside)),
            }
            .map_err(into_io)?;
            lines.end().map_err(into_io)?;
        }
        if let Some(other) = &table.other {
            lines.cell(table.by).map_err(into_io)?;
            lines.cell(OTHER).map_err(into_io)?;
            lines.values(IDENTITY.map(|_| "").iter()).map_err(into_io)?;
            lines.values(amounts(&other.traffic, seconds)).map_err(into_io)?;
            lines.values(about.iter().map(|_| "")).map_err(into_io)?;
            lines.values(std::iter::repeat_n("", beside)).map_err(into_io)?;
            lines.end().map_err(into_io)?;
        }
    }
    lines.writer.flush()
}

/// The lines of a file of CSV.
pub(super) struct Lines<W: Write> {
    pub(super) writer: csv::Writer<W>,
    /// Where a cell is made: one buffer for millions of them.
    pub(super) cell: String,
}

impl<W: Write> Lines<W> {
    pub(super) fn header<'n>(&mut self, names: impl Iterator<Item = &'n str>) -> csv::Result<()> {
        self.writer.write_record(names)
    }

    pub(super) fn cell(&mut self, value: impl Display) -> csv::Result<()> {
        self.cell.clear();
        // Writing to a String fails only if the value's Display does, and none here does.
        write!(self.cell, "{value}").map_err(io::Error::other)?;
        self.writer.write_field(&self.cell)
    }

    pub(super) fn values(&mut self, mut values: impl Iterator<Item = impl Display>) -> csv::Result<()> {
        values.try_for_each(|value| self.cell(value))
    }

    pub(super) fn end(&mut self) -> csv::Result<()> {
        self.writer.write_record(None::<&[u8]>)
    }
}

/// The writer's own error, so that a broken pipe stays one.
pub(super) fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        kind => io::Error::other(format!("{kind:?}")),
    }
}
