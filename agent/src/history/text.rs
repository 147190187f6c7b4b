//! The answer for people.

use std::io::{self, Write};

use flowtally_common::Count;
use jiff::tz::TimeZone;

use super::{
    answer::{LogAnswer, written},
    line::LoggedInterface,
};
use crate::{
    format::{
        Guard, Safe,
        numbers::{ExactNumber, Number, Size},
    },
    report::{
        ReportContext, ReportRequest,
        text::{
            TablePrinter,
            notes::{counters_cells, counters_grid},
            paragraph, totals,
        },
    },
};

/// Interfaces that the first line names.
const NAMED: usize = 8;

/// Writes the header, the tables, what interfaces counted, and what there is to say.
pub(super) fn write(
    out: &mut impl Write,
    answer: &LogAnswer,
    request: &ReportRequest,
    context: &ReportContext<'_>,
    zone: &TimeZone,
) -> io::Result<()> {
    let out = &mut Guard::new(out);
    header(out, answer, context.width, zone)?;
    if answer.intervals > 0 {
        writeln!(out)?;
        totals(&answer.snapshot, request).write(out, context.width)?;
        let printer = TablePrinter::new(&answer.snapshot, request, context);
        for table in answer.tables(request) {
            writeln!(out)?;
            printer.table(out, &table)?;
        }
        writeln!(out)?;
        interfaces(out, answer, context.width)?;
    }
    notes(out, answer, context.width)
}

/// The line above all.
pub(super) fn header(
    out: &mut impl Write,
    answer: &LogAnswer,
    width: usize,
    zone: &TimeZone,
) -> io::Result<()> {
    let Some((start, end)) = answer.covered else {
        return paragraph(out, width, "flowtally history: the log has nothing of this time");
    };
    let names: Vec<String> =
        answer.interfaces.iter().take(NAMED).map(|(name, _)| Safe::new(name).to_string()).collect();
    let more = answer.interfaces.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let hosts: Vec<String> = answer.hosts.iter().map(ToString::to_string).collect();
    let header = format!(
        "flowtally history: {} from {} to {}: {:.1} s in {} intervals on {}{more}",
        hosts.join(", "),
        written(start, zone),
        written(end, zone),
        answer.snapshot.elapsed.as_secs_f64(),
        answer.intervals,
        names.join(", "),
    );
    paragraph(out, width, &header)
}

/// What there is to say, a paragraph each.
pub(super) fn notes(out: &mut impl Write, answer: &LogAnswer, width: usize) -> io::Result<()> {
    if !answer.notes.is_empty() {
        writeln!(out)?;
    }
    answer.notes.iter().try_for_each(|note| paragraph(out, width, note))
}

/// What interfaces counted, and where it is.
fn interfaces(out: &mut impl Write, answer: &LogAnswer, width: usize) -> io::Result<()> {
    paragraph(out, width, "Counted by interface, beside the kernel's own counters")?;
    let mut grid = counters_grid(false);
    for (name, LoggedInterface { hook, counted, kernel, residue, .. }) in &answer.interfaces {
        grid.cell(Safe::new(name));
        grid.cell(Safe::new(hook));
        counters_cells(&mut grid, *counted, *kernel, *residue);
    }
    grid.write(out, width)?;
    for (name, logged) in &answer.interfaces {
        let LoggedInterface { untracked, unparsed, left_out, filtered, repeated, .. } = logged;
        let [mut filtered, egress] = *filtered;
        filtered.add(egress);
        // Of a log of an earlier version nobody knows which of the two it was.
        let beyond = Count {
            bytes: left_out.bytes.saturating_sub(filtered.bytes),
            packets: left_out.packets.saturating_sub(filtered.packets),
        };
        let mut parts = Vec::new();
        for (count, what) in [
            (*untracked, "untracked"),
            (*unparsed, "unparsed"),
            (filtered, "filtered"),
            (beyond, "left out by a filter or a net boundary"),
        ] {
            if !count.is_zero() {
                parts.push(format!("{} in {} packets {what}", Size(count.bytes), Number(count.packets)));
            }
        }
        if *repeated != [0; 2] {
            parts.push(format!(
                "{} B in {} packets counted on another interface",
                ExactNumber(repeated[0]),
                ExactNumber(repeated[1])
            ));
        }
        if !parts.is_empty() {
            paragraph(out, width, &format!("In no row of {}: {}.", Safe::new(name), parts.join(", ")))?;
        }
        for sentence in &logged.degraded {
            paragraph(out, width, &format!("Degraded on {}: {}", Safe::new(name), Safe::new(sentence)))?;
        }
    }
    Ok(())
}
