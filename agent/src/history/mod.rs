//! Pure: the log of the agent read back. What was asked ([`question`]), what a line says ([`line`](mod@line)), what lines add up to
//! ([`reading`], [`tally`]), and the answer as text, JSON and CSV ([`answer`]). No input or output, no clock: whoever opens the files
//! hands in lines, and `now` with them.
//!
//! Nothing is made up: an interval counts as a whole or not at all, one granularity of the log is never added to another one, and
//! what the log does not hold is said.

pub mod answer;
mod csv_line;
mod fold;
mod json_line;
mod key;
pub mod line;
mod machine;
pub mod moment;
pub mod place;
pub mod question;
pub mod reading;
pub mod replay;
pub mod tally;
#[cfg(test)]
mod tests;
mod text;
pub mod timeline;

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;
use jiff::tz::TimeZone;

use self::answer::LogAnswer;
use crate::report::{ReportContext, ReportRequest};

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HistoryFormat {
    /// For people
    #[default]
    Text,
    /// JSON, as docs/history.md has it
    Json,
    /// Comma-separated values with a header line (RFC 4180)
    Csv,
    /// A picture (with --timeline)
    Svg,
}

/// What comes first in a table of the log. It knows no averages of the last seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum HistorySort {
    /// Bytes
    #[default]
    Bytes,
    /// Packets
    Packets,
    /// Highest rate of one interval of the log
    Peak,
}

/// Formatted output is made of many small pieces; the system gets them in blocks of this many bytes.
const BLOCK: usize = 64 * 1024;

/// Writes the tables that were asked for, and flushes. Moments for people are those of the time zone.
///
/// # Errors
/// Those of `out`, with their kind kept.
pub fn write_tables(
    out: impl Write,
    format: HistoryFormat,
    answer: &LogAnswer,
    request: &ReportRequest,
    context: &ReportContext<'_>,
    zone: &TimeZone,
) -> io::Result<()> {
    let mut out = BufWriter::with_capacity(BLOCK, out);
    match format {
        HistoryFormat::Json => machine::write_json(&mut out, answer, request, context)?,
        HistoryFormat::Csv => machine::write_csv(&mut out, answer, request, context)?,
        HistoryFormat::Text | HistoryFormat::Svg => text::write(&mut out, answer, request, context, zone)?,
    }
    out.flush()
}
