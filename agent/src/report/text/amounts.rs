//! The columns of numbers.

use std::fmt::Display;

use crate::{
    flow::{
        row::{Lane, Traffic},
        snapshot::Snapshot,
    },
    format::{
        grid::{Align, Column, Fit, Grid},
        numbers::{Number, Percentage, Rate, Size, Units, rate_unit},
    },
    report::{
        rates,
        request::{ReportDirection, ReportRequest, ReportSort},
    },
};

/// One column of numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AmountColumn {
    /// Part of all bytes.
    Share,
    /// Average rate of the whole measured time.
    Rate,
    /// Average rate of a window.
    Window(usize),
    /// Bytes sent.
    Sent,
    /// Bytes received.
    Received,
    /// Bytes of the directions the report is about.
    Bytes,
    /// Packets.
    Packets,
    /// Highest rate of a second.
    Peak,
}

/// The columns of numbers of a report.
#[derive(Debug)]
pub(super) struct AmountColumns<'a> {
    columns: Vec<AmountColumn>,
    snapshot: &'a Snapshot,
    request: &'a ReportRequest,
}

impl<'a> AmountColumns<'a> {
    /// Those of the rows of tables.
    pub(super) fn of_rows(snapshot: &'a Snapshot, request: &'a ReportRequest) -> Self {
        let mut columns = vec![AmountColumn::Share, AmountColumn::Rate];
        columns.extend(windows(snapshot, request.sort));
        columns.extend(match request.direction {
            ReportDirection::Both => {
                [Some(AmountColumn::Sent), Some(AmountColumn::Received)].into_iter().flatten()
            }
            ReportDirection::Sent => [Some(AmountColumn::Sent), None].into_iter().flatten(),
            ReportDirection::Received => [Some(AmountColumn::Received), None].into_iter().flatten(),
        });
        columns.extend([AmountColumn::Packets, AmountColumn::Peak]);
        Self { columns, snapshot, request }
    }

    /// Those of the grand total, where a line is a direction.
    pub(super) fn of_total(snapshot: &'a Snapshot, request: &'a ReportRequest) -> Self {
        let mut columns = vec![AmountColumn::Bytes, AmountColumn::Packets, AmountColumn::Rate];
        columns.extend(windows(snapshot, request.sort));
        columns.push(AmountColumn::Peak);
        Self { columns, snapshot, request }
    }

    /// Their titles.
    pub(super) fn columns(&self) -> impl Iterator<Item = Column> + '_ {
        self.columns.iter().map(|amount| Column {
            title: amount.title(self.request.units),
            align: Align::Right,
            fit: if amount.is_sorted_by(self.request.sort) { Fit::Always } else { amount.fit() },
        })
    }

    /// Adds a row's cells.
    pub(super) fn cells(&self, grid: &mut Grid, traffic: &Traffic, direction: ReportDirection) {
        let lane = rates::lane(traffic, direction);
        for amount in &self.columns {
            self.cell(grid, *amount, traffic, &lane);
        }
    }

    fn cell(&self, grid: &mut Grid, amount: AmountColumn, traffic: &Traffic, lane: &Lane) {
        let Self { snapshot, request, .. } = self;
        let rate = |bytes_per_second: f64| Rate(bytes_per_second, request.units);
        let cell: &dyn Display = match amount {
            AmountColumn::Share => {
                let whole = rates::lane(&snapshot.total, request.direction).bytes;
                &Percentage { part: lane.bytes, whole }
            }
            AmountColumn::Rate => &rate(rates::average(lane.bytes, snapshot.elapsed)),
            AmountColumn::Window(at) => {
                &rate(rates::per_second(lane.recent[at], snapshot.window_seconds[at]))
            }
            AmountColumn::Sent => &Size(traffic.sent.bytes),
            AmountColumn::Received => &Size(traffic.received.bytes),
            AmountColumn::Bytes => &Size(lane.bytes),
            AmountColumn::Packets => &Number(lane.packets),
            AmountColumn::Peak => &rate(lane.peak as f64),
        };
        grid.cell(cell);
    }
}

impl AmountColumn {
    const fn title(self, units: Units) -> &'static str {
        match self {
            Self::Share => "share",
            Self::Rate => rate_unit(units),
            Self::Window(0) => "2s",
            Self::Window(1) => "10s",
            Self::Window(_) => "40s",
            Self::Sent => "sent",
            Self::Received => "received",
            Self::Bytes => "bytes",
            Self::Packets => "packets",
            Self::Peak => "peak",
        }
    }

    const fn fit(self) -> Fit {
        match self {
            // The last of them goes first: the peak, packets, the windows from the longest on; then the share.
            Self::Window(_) | Self::Packets | Self::Peak => Fit::Spare,
            Self::Share => Fit::Late,
            Self::Rate | Self::Sent | Self::Received | Self::Bytes => Fit::Always,
        }
    }

    fn is_sorted_by(self, sort: ReportSort) -> bool {
        match self {
            Self::Window(at) => sort.window() == Some(at),
            Self::Packets => sort == ReportSort::Packets,
            Self::Peak => sort == ReportSort::Peak,
            _ => false,
        }
    }
}

/// The windows that say anything: one as long as the measurement repeats its rate. The one that is sorted by always
/// shows.
fn windows(snapshot: &Snapshot, sort: ReportSort) -> impl Iterator<Item = AmountColumn> {
    let elapsed = snapshot.elapsed.as_secs_f64();
    let shorter = snapshot.window_seconds.map(|seconds| seconds > 0.0 && seconds < elapsed);
    (0..shorter.len()).filter(move |at| shorter[*at] || sort.window() == Some(*at)).map(AmountColumn::Window)
}
