//! The report that a person reads at once.

mod amounts;
pub(crate) mod labels;
pub(crate) mod notes;
mod tables;

use std::io::{self, Write};

use self::amounts::AmountColumns;
pub(crate) use self::tables::TablePrinter;
use super::{
    ReportContext, SENTENCES,
    request::{ReportDirection, ReportRequest},
    table::tables,
};
use crate::{
    flow::{
        row::Lane,
        snapshot::{InterfaceView, Snapshot},
    },
    format::{
        Guard, Safe,
        grid::{Align, Column, Fit, Grid, UNLIMITED},
    },
};

/// Most interfaces that the first lines name.
const NAMED: usize = 8;

/// Writes the header, the tables, the reconciliation, and what there is to say in words.
pub(super) fn write(
    out: &mut impl Write,
    snapshot: &Snapshot,
    request: &ReportRequest,
    context: &ReportContext<'_>,
) -> io::Result<()> {
    let out = &mut Guard::new(out);
    let width = context.width;
    let when = context.started();
    let seconds = snapshot.elapsed.as_secs_f64();
    let interfaces = name_interfaces(&snapshot.interfaces);
    paragraph(out, width, &format!("flowtally: {seconds:.1} s from {when} on {interfaces}"))?;
    writeln!(out)?;

    if is_idle(snapshot) {
        paragraph(out, width, &format!("Nothing was seen in {seconds:.1} s on {interfaces}."))?;
    } else {
        totals(snapshot, request).write(out, width)?;
        let printer = TablePrinter::new(snapshot, request, context);
        for table in tables(snapshot, request) {
            writeln!(out)?;
            printer.table(out, &table)?;
        }
    }
    writeln!(out)?;
    notes::crossings(out, snapshot, width)?;
    notes::reconciliation(out, snapshot, width)?;
    notes::losses(out, snapshot, width)
}

/// Whether there is nothing that a table could show, or that was kept out of them.
fn is_idle(snapshot: &Snapshot) -> bool {
    let silent = |lane: &Lane| lane.bytes == 0 && lane.packets == 0;
    let total = &snapshot.total;
    snapshot.rows.is_empty()
        && silent(&total.sent)
        && silent(&total.received)
        && snapshot.outside_boundary.is_zero()
        && snapshot.filtered_out.is_zero()
}

/// The grand total, a line for each direction.
pub(crate) fn totals(snapshot: &Snapshot, request: &ReportRequest) -> Grid {
    let amounts = AmountColumns::of_total(snapshot, request);
    let mut columns = vec![Column { title: "", align: Align::Left, fit: Fit::Always }];
    columns.extend(amounts.columns());
    let mut grid = Grid::new(columns);
    for (name, direction) in [
        ("sent", ReportDirection::Sent),
        ("received", ReportDirection::Received),
        ("total", ReportDirection::Both),
    ] {
        if request.direction == ReportDirection::Both || request.direction == direction {
            grid.cell(name);
            amounts.cells(&mut grid, &snapshot.total, direction);
        }
    }
    grid
}

/// `eth0 (tcx), wg0 (clsact)`
fn name_interfaces(interfaces: &[InterfaceView]) -> String {
    if interfaces.is_empty() {
        return "no interface".to_owned();
    }
    let name =
        |interface: &InterfaceView| format!("{} ({})", Safe::new(&interface.name), labels::hook(interface));
    let mut names: Vec<_> = interfaces.iter().take(NAMED).map(name).collect();
    if interfaces.len() > NAMED {
        names.push(format!("{} more", interfaces.len() - NAMED));
    }
    names.join(", ")
}

/// Prints a text in lines of at most `width` characters, or one word; all but the first indented.
pub(crate) fn paragraph(out: &mut impl Write, width: usize, text: &str) -> io::Result<()> {
    let width = if width == UNLIMITED { SENTENCES } else { width };
    let mut used = 0;
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if used == 0 {
            write!(out, "{word}")?;
            used = length;
        } else if used + 1 + length <= width {
            write!(out, " {word}")?;
            used += 1 + length;
        } else {
            write!(out, "\n  {word}")?;
            used = 2 + length;
        }
    }
    writeln!(out)
}
