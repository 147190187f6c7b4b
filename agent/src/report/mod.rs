//! One-shot output: who used the network, as text, JSON or CSV.
//!
//! `&Snapshot -> tables -> { text, json, csv } -> impl Write`. No clock, no files, no look-ups: whoever calls
//! brings the data, the names and the place to write to. The only errors are the writer's.

mod csv;
pub(crate) mod fields;
mod json;
pub(crate) mod rates;
mod request;
mod table;
#[cfg(test)]
mod tests;
pub(crate) mod text;

use std::{
    io::{self, BufWriter, Write},
    time::SystemTime,
};

pub(crate) use self::table::silent_interfaces;
pub use self::{
    request::{DEFAULT_TOP, ReportDirection, ReportFormat, ReportRequest, ReportSort, default_groupings},
    table::{OtherRows, ReportTable, Rest, TableKey, TableRow, tables},
};
use crate::{
    flow::{names::Names, snapshot::Snapshot},
    format::moment::rfc3339,
};

/// Columns of sentences where there is no terminal to ask.
const SENTENCES: usize = 100;

/// Formatted output is made of many small pieces; the system gets them in blocks of this many bytes.
const BLOCK: usize = 64 * 1024;

/// What a report says beside the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct ReportContext<'a> {
    /// When measuring started.
    pub started: SystemTime,
    /// Names of services, and of hosts if they were looked up.
    pub names: &'a Names,
    /// Whether to print names of hosts.
    pub resolve: bool,
    /// Columns of the terminal, for the text format; [`UNLIMITED`](crate::format::grid::UNLIMITED) where there is none.
    pub width: usize,
}

impl ReportContext<'_> {
    /// When measuring started, as RFC 3339 text in UTC to the second. A clock that is outside what such a text can
    /// say must not cost the report: it gets the nearest that can.
    fn started(&self) -> String {
        rfc3339(self.started)
    }
}

/// Writes the report that was asked for, and flushes.
///
/// # Errors
/// Those of `out`, with their [`io::ErrorKind`] kept: a broken pipe arrives as one.
pub fn write(
    out: impl Write,
    snapshot: &Snapshot,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BLOCK, out);
    match request.format {
        ReportFormat::Text => text::write(&mut out, snapshot, request, context)?,
        ReportFormat::Json => json::write(&mut out, snapshot, request, context)?,
        ReportFormat::Csv => csv::write(&mut out, snapshot, request, context)?,
    }
    out.flush()
}
