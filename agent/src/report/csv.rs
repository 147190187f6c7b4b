//! Rows as comma-separated values (RFC 4180), in the fields of the JSON report.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use csv::{ErrorKind, Writer};

use super::{
    ReportContext,
    fields::{AMOUNTS, IDENTITY, NAMES, OWNER, RowFields},
    request::ReportRequest,
    table::{ReportTable, TableKey, TableRow, table},
};
use crate::flow::{group::GroupBy, snapshot::Snapshot};

/// Writes a header line, then every table's rows. Rows of flows alone are just that; with any other grouping, two
/// more columns in front say whose row it is.
pub(super) fn write(
    out: &mut impl Write,
    snapshot: &Snapshot,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let fields = RowFields::new(snapshot, context);
    let mut groupings: Vec<_> = request.groupings().collect();
    if groupings.is_empty() {
        groupings.push(GroupBy::Flow);
    }
    let keyed = groupings != [GroupBy::Flow];
    let mut lines = CsvLines { writer: Writer::from_writer(out), fields, keyed, cell: String::new() };
    lines.header().map_err(into_io)?;
    for by in groupings {
        lines.table(&table(snapshot, request, by)).map_err(into_io)?;
    }
    lines.writer.flush()
}

/// The lines of the file.
struct CsvLines<'a, W: Write> {
    writer: Writer<W>,
    fields: RowFields<'a>,
    /// Whether the columns `by` and `key` are there.
    keyed: bool,
    /// Where a cell is made: one buffer for millions of them.
    cell: String,
}

impl<W: Write> CsvLines<'_, W> {
    fn header(&mut self) -> csv::Result<()> {
        let keys = self.keyed.then_some(["by", "key"]);
        let names = self.fields.with_names().then_some(NAMES);
        let columns = keys.into_iter().flatten().chain(IDENTITY).chain(AMOUNTS);
        self.writer.write_record(columns.chain(names.into_iter().flatten()).chain(OWNER))
    }

    fn table(&mut self, table: &ReportTable<'_>) -> csv::Result<()> {
        table.rows.iter().try_for_each(|row| self.row(table.by, row))
    }

    fn row(&mut self, by: GroupBy, row: &TableRow<'_>) -> csv::Result<()> {
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
