//! How the interfaces lie upon each other, and what follows for what is counted.

use std::time::Duration;

use flowtally_common::Count;

use super::{Ledger, account, refuse};
use crate::flow::{
    row::{Counting, Crossed, InterfaceId, RowKey},
    snapshot::Crossings,
    topology::{Link, Topology},
};

impl Ledger {
    /// Takes the links of the host, in place of those known so far.
    pub fn set_links(&mut self, links: Vec<Link>) {
        if self.links != links {
            // Until the open interval is over a link is also what it was in the interval's first part.
            if self.links_before.is_empty() {
                self.links_before = std::mem::take(&mut self.links);
            }
            self.links = links;
            self.links_changed = true;
        }
    }

    /// Closes the last interval: what is on its way between two interfaces is awaited no longer.
    pub fn close_last(&mut self, now: Duration) {
        self.close_interval(now, true);
    }

    /// Finds out what of the open interval repeats. The result is what is to be taken off its total.
    pub(super) fn settle(&mut self, last: bool) -> [Count; 2] {
        if self.links_changed {
            let links = merged(&self.links_before, &self.links);
            self.relate(&links, |_| true);
        }
        let Self { rows, interfaces, terms, .. } = self;
        rows.settle(&terms.orientation, last, |amount| refuse(interfaces, &amount));
        let repeated = rows.crossings.repeated_in_interval();
        if std::mem::take(&mut self.links_changed) {
            let is_as_before =
                self.links_before.is_empty() && self.interfaces.iter().all(|interface| interface.present);
            self.links_before.clear();
            // The open interval's rows have been settled; what is new in them is not lost.
            if !is_as_before {
                let links = std::mem::take(&mut self.links);
                self.relate(&links, |present| present);
                self.links = links;
                // If this was the last interval, what rows crossed is asked for all the same.
                let Self { rows, terms, .. } = self;
                rows.join(&terms.orientation);
            }
        }
        repeated
    }

    fn relate(&mut self, links: &[Link], counts: impl Fn(bool) -> bool) {
        let topology = match self.terms.counting {
            Counting::PerInterface => Topology::default(),
            Counting::Once => {
                let index = |interface: &super::LedgerInterface| {
                    counts(interface.present).then_some(interface.attached.index)
                };
                let measured: Vec<_> = self.interfaces.iter().map(index).collect();
                Topology::new(links, &measured)
            }
        };
        self.rows.set_topology(topology);
    }

    /// The other interfaces that a row's conversation crossed, where it is not counted.
    #[must_use]
    pub fn crossed_by(&self, row: &RowKey) -> Vec<Crossed> {
        self.rows.crossed_by(row, &self.terms.orientation)
    }

    /// The tunnels whose packets a row's conversation may carry.
    pub fn inside(&self, row: &RowKey) -> impl Iterator<Item = InterfaceId> {
        self.rows.crossings.inside(row).map(InterfaceId)
    }

    /// What crossed more interfaces than the one that it is counted on, but for what belongs to rows.
    pub(super) fn crossings(&self) -> Crossings {
        let crossings = &self.rows.crossings;
        let ids = || (0..).map(InterfaceId).zip(0..self.interfaces.len());
        let repeated = |place: usize| crossings.by_place().get(place).copied().unwrap_or_default();
        let by_interface = ids().filter_map(|(interface, place)| {
            let [sent, received] = repeated(place);
            let is_none = sent.is_zero() && received.is_zero();
            (!is_none).then_some(Crossed { interface, sent, received })
        });
        let tunnelled = ids().filter(|(_, place)| crossings.is_tunnel(*place)).filter_map(|(id, place)| {
            let all = self.total.get(account(id));
            let [sent, received] = repeated(place);
            let bytes = all.bytes().saturating_sub(sent.bytes.wrapping_add(received.bytes));
            let packets = all.packets().saturating_sub(sent.packets.wrapping_add(received.packets));
            (packets > 0).then_some((id, Count { bytes, packets }))
        });
        Crossings {
            by_interface: by_interface.collect(),
            by_row: hashbrown::HashMap::new(),
            one_sided: crossings.one_sided(),
            tunnelled: tunnelled.collect(),
        }
    }
}

/// Links as they were and as they are: what lay upon another before or does now.
fn merged(before: &[Link], now: &[Link]) -> Vec<Link> {
    let mut links = now.to_vec();
    for old in before {
        match links.iter_mut().find(|link| link.index == old.index) {
            Some(link) => {
                link.master = link.master.or(old.master);
                link.lower = link.lower.or(old.lower);
            }
            None => links.push(old.clone()),
        }
    }
    links
}
