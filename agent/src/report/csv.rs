//! Rows as comma-separated values (RFC 4180), in the fields of the JSON report.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use csv::{ErrorKind, Writer};
use flowtally_common::Count;

use super::{
    ReportContext,
    fields::{AMOUNTS, IDENTITY, NAMES, OWNER, RowFields},
    request::ReportRequest,
    table::{ReportTable, TableKey, TableRow, silent_interfaces, table},
};
use crate::flow::{
    group::{GroupBy, GroupKey},
    row::Traffic,
    snapshot::{InterfaceView, Reconciliation, Snapshot},
};

/// What rows of interfaces have behind all other columns: every frame is in one of the parts. The names are the log's.
const INTERFACE: [&str; 20] = [
    "counted_bytes",
    "counted_packets",
    "ingress_bytes",
    "ingress_packets",
    "egress_bytes",
    "egress_packets",
    "kernel_bytes",
    "kernel_packets",
    "untracked_bytes",
    "untracked_packets",
    "unparsed_bytes",
    "unparsed_packets",
    "filtered_bytes",
    "filtered_packets",
    "filtered_ingress_bytes",
    "filtered_ingress_packets",
    "filtered_egress_bytes",
    "filtered_egress_packets",
    "residue_bytes",
    "residue_packets",
];

/// The values of [`INTERFACE`].
fn interface_cells([ingress, egress]: [&Reconciliation; 2]) -> [i128; 20] {
    let both = |of: fn(&Reconciliation) -> Count| {
        let mut sum = of(ingress);
        sum.add(of(egress));
        sum
    };
    let counts = [
        both(|side| side.counted),
        ingress.counted,
        egress.counted,
        both(|side| side.kernel),
        both(|side| side.untracked),
        both(|side| side.unparsed),
        both(|side| side.filtered),
        ingress.filtered,
        egress.filtered,
    ];
    let pairs = counts.map(|count| [count.bytes.into(), count.packets.into()]);
    let residue = [
        i128::from(ingress.residue_bytes) + i128::from(egress.residue_bytes),
        i128::from(ingress.residue_packets) + i128::from(egress.residue_packets),
    ];
    std::array::from_fn(|at| pairs.get(at / 2).unwrap_or(&residue)[at % 2])
}

/// Writes a header line, then every table's rows. Rows of flows alone are just that; with any other grouping, two
/// more columns in front say whose row it is. With rows of interfaces there is behind them what these counted.
pub(super) fn write(
    out: &mut impl Write,
    snapshot: &Snapshot,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let (silent, nothing) = (silent_interfaces(snapshot), Traffic::default());
    let fields = RowFields::new(snapshot, context);
    let mut groupings: Vec<_> = request.groupings().collect();
    if groupings.is_empty() {
        groupings.push(GroupBy::Flow);
    }
    let keyed = groupings != [GroupBy::Flow];
    let beside = if groupings.contains(&GroupBy::Interface) { INTERFACE.len() } else { 0 };
    let writer = Writer::from_writer(out);
    let mut lines = CsvLines { writer, fields, snapshot, keyed, beside, cell: String::new() };
    lines.header().map_err(into_io)?;
    for by in groupings {
        lines.table(&table(snapshot, request, by)).map_err(into_io)?;
        if by == GroupBy::Interface {
            let mut rows = silent.iter().map(|key| TableRow::silent(key, &nothing));
            rows.try_for_each(|row| lines.row(by, &row)).map_err(into_io)?;
        }
    }
    lines.writer.flush()
}

/// The lines of the file.
struct CsvLines<'a, W: Write> {
    writer: Writer<W>,
    fields: RowFields<'a>,
    snapshot: &'a Snapshot,
    /// Whether the columns `by` and `key` are there.
    keyed: bool,
    /// How many columns there are of [`INTERFACE`].
    beside: usize,
    /// Where a cell is made: one buffer for millions of them.
    cell: String,
}

impl<'a, W: Write> CsvLines<'a, W> {
    fn header(&mut self) -> csv::Result<()> {
        let keys = self.keyed.then_some(["by", "key"]);
        let names = self.fields.with_names().then_some(NAMES);
        let columns = keys.into_iter().flatten().chain(IDENTITY).chain(AMOUNTS);
        let beside = INTERFACE.into_iter().take(self.beside);
        self.writer.write_record(columns.chain(names.into_iter().flatten()).chain(OWNER).chain(beside))
    }

    fn table(&mut self, table: &ReportTable<'a>) -> csv::Result<()> {
        table.rows.iter().try_for_each(|row| self.row(table.by, row))
    }

    fn row(&mut self, by: GroupBy, row: &TableRow<'a>) -> csv::Result<()> {
        if self.keyed {
            self.cell(by)?;
            match row.key {
                TableKey::Flow(_) => self.cell("")?,
                TableKey::Group(key) => self.cell(self.fields.key(key))?,
            }
        }
        for (_, value) in self.fields.of(by, row) {
            self.cell(value)?;
        }
        let view = match row.key {
            TableKey::Group(GroupKey::Interface(id)) => {
                self.snapshot.interfaces.iter().find(|view| view.id == *id)
            }
            _ => None,
        };
        match view {
            Some(InterfaceView { ingress, egress, .. }) => {
                interface_cells([ingress, egress]).into_iter().try_for_each(|value| self.cell(value))?;
            }
            None => (0..self.beside).try_for_each(|_| self.cell(""))?,
        }
        self.writer.write_record(None::<&[u8]>)
    }

    fn cell(&mut self, value: impl std::fmt::Display) -> csv::Result<()> {
        self.cell.clear();
        // Writing to a String fails only if the value's Display does, and none here does.
        write!(self.cell, "{value}").map_err(io::Error::other)?;
        self.writer.write_field(&self.cell)
    }
}

/// The writer's own error, so that a broken pipe stays one.
fn into_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        ErrorKind::Io(error) => error,
        // Only a reader, or records of unequal length, give any other.
        kind => io::Error::other(format!("{kind:?}")),
    }
}
