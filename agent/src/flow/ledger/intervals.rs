//! What the last closed interval brought.

use std::time::Duration;

use flowtally_common::Count;

use super::{
    LATE, Ledger,
    interfaces::{LedgerInterface, Mark, OneWay},
};
use crate::flow::{
    interval::{Difference, InterfaceInterval, RowInterval},
    row::{Counting, InterfaceId, RowView},
};

/// A closed interval. The ledger keeps it until the next one is closed, where [`Terms::intervals`](super::Terms::intervals)
/// asks for that.
#[derive(Clone, Copy)]
pub struct IntervalView<'a> {
    ledger: &'a Ledger,
}

impl<'a> IntervalView<'a> {
    /// Its sequence number: the first is 0.
    #[must_use]
    pub fn number(&self) -> u64 {
        self.ledger.closed().saturating_sub(1)
    }

    /// When it began, since the start.
    #[must_use]
    pub fn start(&self) -> Duration {
        self.end().saturating_sub(self.length())
    }

    /// When it ended, since the start.
    #[must_use]
    pub fn end(&self) -> Duration {
        self.ledger.timeline.end()
    }

    /// How long it was.
    #[must_use]
    pub fn length(&self) -> Duration {
        self.ledger.timeline.length(self.number()).unwrap_or_default()
    }

    /// Whether it took more than half as long again as it should.
    #[must_use]
    pub fn is_late(&self) -> bool {
        self.ledger.is_late(self.length())
    }

    /// Every row that it brought something, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = RowInterval<'a>> + use<'a> {
        self.ledger.rows.brought()
    }

    /// The rows that are forgotten from now on, with all that they had come to.
    pub fn ended(&self) -> impl Iterator<Item = RowView<'a>> + use<'a> {
        self.ledger.rows.departed(Counting::Once)
    }

    /// Every interface that is or was attached.
    #[must_use]
    pub fn interfaces(&self) -> Vec<InterfaceInterval> {
        let interfaces = &self.ledger.interfaces;
        (0..).map(InterfaceId).zip(interfaces).map(|(id, interface)| interface.interval(id)).collect()
    }
}

impl Ledger {
    pub(super) fn is_late(&self, length: Duration) -> bool {
        !self.terms.tick.is_zero() && length > self.terms.tick.mul_f64(LATE)
    }

    /// What the last closed interval brought; `None` before there is one, and where [`Terms::intervals`](super::Terms::intervals) does not ask for it.
    #[must_use]
    pub fn interval(&self) -> Option<IntervalView<'_>> {
        (self.terms.intervals && self.closed() > 0).then_some(IntervalView { ledger: self })
    }
}

impl LedgerInterface {
    /// The interval is closed. `repeated` is by way, modulo 2^64.
    pub(super) fn mark(&mut self, [sent, received]: [Count; 2]) {
        let repeated = Count {
            bytes: sent.bytes.wrapping_add(received.bytes),
            packets: sent.packets.wrapping_add(received.packets),
        };
        let now = Mark { directions: self.directions, repeated };
        self.before = std::mem::replace(&mut self.closed, now);
    }

    /// What the last closed interval brought.
    fn interval(&self, id: InterfaceId) -> InterfaceInterval {
        let Self { before, closed, .. } = self;
        let by_direction = |of: fn(&OneWay) -> Count| {
            let ways = closed.directions.iter().zip(&before.directions);
            let mut counts = ways.map(|(closed, before)| difference(of(closed), of(before)));
            [counts.next().unwrap_or_default(), counts.next().unwrap_or_default()]
        };
        let both = |of| {
            let [mut ingress, egress] = by_direction(of);
            ingress.add(egress);
            ingress
        };
        let mut kernel = by_direction(|way| way.kernel);
        for (kernel, way) in kernel.iter_mut().zip(&closed.directions) {
            if self.repeats(way) {
                *kernel = Count::default();
            }
        }
        InterfaceInterval {
            view: self.view(id),
            counted: by_direction(OneWay::counted),
            kernel,
            untracked: both(|way| way.health.untracked),
            repeated: Difference::from_wrapped(difference(closed.repeated, before.repeated)),
            left_out: both(|way| way.left_out),
            filtered: by_direction(|way| way.filtered),
        }
    }
}

impl OneWay {
    fn counted(&self) -> Count {
        let mut counted = self.rows;
        counted.add(self.health.untracked);
        counted.add(self.health.filtered);
        counted
    }
}

/// `count` less `other`, modulo 2^64.
const fn difference(count: Count, other: Count) -> Count {
    Count { bytes: count.bytes.wrapping_sub(other.bytes), packets: count.packets.wrapping_sub(other.packets) }
}
