//! Ticks become intervals of the log, one after the other.

use std::time::{Duration, SystemTime};

use super::{
    clock::{LogTick, is_over},
    fold::LogFold,
};
use crate::flow::{
    interval::{Difference, InterfaceInterval, RowInterval},
    ledger::IntervalView,
    snapshot::InterfaceView,
};

/// Adds ticks up, and hands over what is complete. What is not taken is gone on with: nothing is lost, and nobody waits.
#[derive(Debug)]
pub struct LogIntervals {
    /// How long an interval is.
    length: Duration,
    /// How long a tick should be.
    tick: Duration,
    max_flows: usize,
    open: Option<Box<LogFold>>,
    /// How many conversations the last interval had.
    expected: usize,
    last: Option<LogTick>,
    /// Residues at the end of the last tick, by [`InterfaceId`](crate::flow::row::InterfaceId).
    residues: Vec<Difference>,
}

/// What a tick brought.
pub(super) struct Brought<'a, I> {
    pub(super) degraded: &'a [String],
    pub(super) length: Duration,
    pub(super) is_late: bool,
    pub(super) interfaces: Vec<InterfaceInterval>,
    pub(super) rows: I,
}

impl LogIntervals {
    /// Intervals of this length, made of ticks of that one, each of at most so many conversations.
    #[must_use]
    pub const fn new(length: Duration, tick: Duration, max_flows: usize) -> Self {
        Self { length, tick, max_flows, open: None, expected: 0, last: None, residues: Vec::new() }
    }

    /// From the next interval on, another length and another number of conversations.
    pub const fn set(&mut self, length: Duration, max_flows: usize) {
        self.length = length;
        self.max_flows = max_flows;
    }

    /// Adds the tick that has just been closed; `degraded` says what is less than it could be, a sentence each. `send` gets each interval that is complete, and may give it back: it is then
    /// gone on with, and handed over again when the next one is complete.
    pub fn tick(
        &mut self,
        interval: &IntervalView<'_>,
        now: LogTick,
        degraded: &[String],
        mut send: impl FnMut(Box<LogFold>) -> Result<(), Box<LogFold>>,
    ) {
        if self.last.is_none() && interval.number() > 0 {
            // What was before is nobody's: only what comes is to be told.
            for InterfaceInterval { view, .. } in interval.interfaces() {
                *self.residue_slot(&view) = residue(&view);
            }
        }
        let brought = Brought {
            degraded,
            length: interval.length(),
            is_late: interval.is_late(),
            interfaces: interval.interfaces(),
            rows: interval.rows(),
        };
        self.add(brought, now, &mut send);
    }

    pub(super) fn add<'a>(
        &mut self,
        brought: Brought<'_, impl Iterator<Item = RowInterval<'a>>>,
        now: LogTick,
        send: &mut dyn FnMut(Box<LogFold>) -> Result<(), Box<LogFold>>,
    ) {
        let Brought { degraded, length, is_late, interfaces, rows } = brought;
        let leap = self.last.map(|last| now.leap(&last)).unwrap_or_default();
        if !leap.is_none() {
            // What came before the leap is an interval of its own, in the time that was then.
            self.close(send);
        }
        let start = match self.last.replace(now) {
            // They lie one behind the other, also where the clocks are slewed.
            Some(last) if leap.is_none() => last.wall,
            _ => now.wall.checked_sub(length).unwrap_or(SystemTime::UNIX_EPOCH),
        };
        let mut fold = match self.open.take() {
            Some(mut fold) => {
                if !leap.is_none() {
                    fold.leap(leap, start);
                }
                fold
            }
            None => Box::new(LogFold::new(start, leap, self.max_flows, self.expected)),
        };
        fold.begin_tick(length, now.wall, is_late);
        for interface in &interfaces {
            let now = residue(&interface.view);
            let before = std::mem::replace(self.residue_slot(&interface.view), now);
            let change = Difference {
                bytes: now.bytes.saturating_sub(before.bytes),
                packets: now.packets.saturating_sub(before.packets),
            };
            fold.add_interface(interface, change);
        }
        fold.add_rows(rows);
        fold.note_degraded(degraded);
        let start = fold.opened_at();
        self.open = Some(fold);
        if is_over(start, now.wall, self.length, self.tick) {
            self.close(send);
        }
    }

    /// Whether a tick that ends now ends an interval.
    #[must_use]
    pub fn ends_at(&self, now: SystemTime) -> bool {
        let before = || now.checked_sub(self.tick).unwrap_or(SystemTime::UNIX_EPOCH);
        let start = self.open.as_ref().map_or_else(before, |fold| fold.opened_at());
        is_over(start, now, self.length, self.tick)
    }

    fn close(&mut self, send: &mut dyn FnMut(Box<LogFold>) -> Result<(), Box<LogFold>>) {
        let Some(mut fold) = self.open.take() else { return };
        fold.close();
        self.expected = fold.flows();
        self.open = send(fold).err();
    }

    /// The interval that is not complete, if there is one: for the end.
    pub fn finish(&mut self) -> Option<Box<LogFold>> {
        let mut fold = self.open.take()?;
        fold.close();
        Some(fold)
    }

    fn residue_slot(&mut self, view: &InterfaceView) -> &mut Difference {
        let id = usize::from(view.id.0);
        if self.residues.len() <= id {
            self.residues.resize(id + 1, Difference::default());
        }
        &mut self.residues[id]
    }
}

/// Of both directions, since the start.
fn residue(view: &InterfaceView) -> Difference {
    let InterfaceView { ingress, egress, .. } = view;
    Difference {
        bytes: ingress.residue_bytes.saturating_add(egress.residue_bytes),
        packets: ingress.residue_packets.saturating_add(egress.residue_packets),
    }
}
