//! The interfaces that are or were counted on.

use std::collections::HashSet;

use flowtally_common::{Count, Health};

use super::Ledger;
use crate::{
    flow::{
        attached::Attached,
        reconcile::reconcile,
        row::{Counting, InterfaceId},
        snapshot::{InterfaceView, Reconciliation},
    },
    model::protocol::Kind,
};

pub(super) struct LedgerInterface {
    pub(super) attached: Attached,
    /// Whether it is there now.
    pub(super) present: bool,
    pub(super) directions: [OneWay; 2],
    /// Where the last closed interval began, and where it ended.
    pub(super) before: Mark,
    pub(super) closed: Mark,
}

#[derive(Clone, Copy, Default)]
pub(super) struct OneWay {
    pub(super) rows: Count,
    pub(super) unparsed: Count,
    pub(super) health: Health,
    /// What a filter or a net boundary left out of the rows.
    pub(super) left_out: Count,
    /// What of it a filter left out.
    pub(super) filtered: Count,
    /// From earlier attachments, and up to the last reading.
    pub(super) kernel: Count,
    /// The counters at the last reading.
    pub(super) reading: Count,
}

/// All that had come to an interface at one moment: the difference of two is what came in between.
#[derive(Clone, Copy, Default)]
pub(super) struct Mark {
    pub(super) directions: [OneWay; 2],
    /// Of both directions, modulo 2^64.
    pub(super) repeated: Count,
}

impl Ledger {
    /// Takes up an interface, new or back again: a name that was there before goes on with its history.
    pub fn attach(&mut self, attached: Attached) {
        let id = match self.interfaces.iter().position(|interface| interface.attached.name == attached.name) {
            Some(known) => known,
            None => self.interfaces.len(),
        };
        let Ok(number) = u16::try_from(id) else { return };
        self.links_changed = true;
        self.by_index.insert(attached.index, InterfaceId(number));
        if id == self.interfaces.len() {
            self.interfaces.push(LedgerInterface::new(attached));
            self.rows.crossings.watches = self.terms.counting == Counting::Once && self.interfaces.len() > 1;
            self.total.open(None);
            self.interval.push(Default::default());
        } else {
            let interface = &mut self.interfaces[id];
            interface.attached = attached;
            interface.present = true;
        }
        let interface = &mut self.interfaces[id];
        for (way, reading) in interface.directions.iter_mut().zip(interface.attached.counters) {
            way.reading = reading;
        }
    }

    /// An interface has another name now.
    pub fn rename(&mut self, index: u32, name: &str) {
        if let Some(interface) =
            self.by_index.get(&index).and_then(|id| self.interfaces.get_mut(usize::from(id.0)))
        {
            name.clone_into(&mut interface.attached.name);
        }
    }

    /// An interface is gone. Its history stays, and what was counted before it went may still be recorded.
    pub fn detach(&mut self, index: u32) {
        if let Some(interface) =
            self.by_index.get(&index).and_then(|id| self.interfaces.get_mut(usize::from(id.0)))
        {
            interface.present = false;
            self.links_changed = true;
        }
    }

    /// Takes a reading of an interface's own counters, by [`Direction`](flowtally_common::Direction). A counter that went down was reset, and goes on
    /// from there.
    pub fn read_counters(&mut self, index: u32, counters: [Count; 2]) {
        let Some(id) = self.by_index.get(&index) else { return };
        let Some(interface) = self.interfaces.get_mut(usize::from(id.0)) else { return };
        for (way, reading) in interface.directions.iter_mut().zip(counters) {
            let since = |now: u64, then: u64| now.checked_sub(then).unwrap_or(now);
            way.kernel.add(Count {
                bytes: since(reading.bytes, way.reading.bytes),
                packets: since(reading.packets, way.reading.packets),
            });
            way.reading = reading;
        }
    }

    /// The loopback interfaces.
    #[must_use]
    pub fn loopbacks(&self) -> HashSet<InterfaceId> {
        self.by_index
            .values()
            .copied()
            .filter(|id| self.interfaces[usize::from(id.0)].attached.loopback)
            .collect()
    }
}

impl OneWay {
    pub(super) fn drop_row(&mut self, kind: Kind, count: Count) {
        self.rows.bytes -= count.bytes;
        self.rows.packets -= count.packets;
        if matches!(kind, Kind::Unparsed(_)) {
            self.unparsed.bytes -= count.bytes;
            self.unparsed.packets -= count.packets;
        }
        self.health.untracked.add(count);
    }
}

impl LedgerInterface {
    pub(super) fn new(attached: Attached) -> Self {
        Self {
            attached,
            present: true,
            directions: Default::default(),
            before: Mark::default(),
            closed: Mark::default(),
        }
    }

    /// On loopback the kernel counts as received what it has just counted as sent; one of the two is enough.
    pub(super) fn repeats(&self, way: &OneWay) -> bool {
        self.attached.loopback && way.rows.is_zero() && way.health == Health::default()
    }

    pub(super) fn view(&self, id: InterfaceId) -> InterfaceView {
        let Attached { name, index, loopback, hook, degraded, .. } = &self.attached;
        let [ingress, egress] = self.directions.map(|way| {
            let kernel = if self.repeats(&way) { Count::default() } else { way.kernel };
            let reconciled = reconcile(way.rows, way.unparsed, &way.health, kernel, *loopback);
            Reconciliation { filtered: way.filtered, ..reconciled }
        });
        InterfaceView {
            id,
            name: name.clone(),
            index: *index,
            hook: if self.present { hook.clone() } else { "none".to_owned() },
            degraded: degraded.clone(),
            ingress,
            egress,
        }
    }
}
