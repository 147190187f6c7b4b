//! What comes from a log: rows whose ends are placed and whose owners are known, and what is beside them.

use std::sync::Arc;

use flowtally_common::{Count, Direction};

use super::Ledger;
use crate::{
    flow::{
        accounts::Way,
        attached::Attached,
        logged::LoggedAmounts,
        row::{InterfaceId, RowKey},
    },
    model::owner::Attribution,
};

impl Ledger {
    /// The interface of a name, if there is or was one.
    #[must_use]
    pub fn interface_of(&self, name: &str) -> Option<InterfaceId> {
        let place = self.interfaces.iter().position(|interface| interface.attached.name == name)?;
        u16::try_from(place).ok().map(InterfaceId)
    }

    /// The capture filter that is in place, as it was written.
    #[must_use]
    pub fn filter_text(&self) -> Option<&str> {
        self.terms.filter.as_ref().map(crate::filter::Filter::text)
    }

    /// Whether an interface is counted on as this says.
    #[must_use]
    pub fn is_attached_as(&self, other: &Attached) -> bool {
        let Some(id) = self.by_index.get(&other.index) else { return false };
        let Attached { name, index, hook, degraded, .. } = &self.interfaces[usize::from(id.0)].attached;
        (name, index, hook, degraded) == (&other.name, &other.index, &other.hook, &other.degraded)
    }

    /// Adds what a log has of a row. A conversation has a row for each of its owners.
    pub(super) fn take_row(&mut self, row: &RowKey, owner: &Arc<Attribution>, counts: [Count; 2]) {
        let Some(interface) = self.interfaces.get_mut(usize::from(row.interface.0)) else { return };
        for (way, count) in [Way::Sent, Way::Received].into_iter().zip(counts) {
            self.interval[usize::from(row.interface.0)][way as usize].add(count);
        }
        if !self.rows.add_owned(row, owner, counts) {
            // There is no room for one more: it is in the totals alone.
            for (direction, count) in [Direction::Egress, Direction::Ingress].into_iter().zip(counts) {
                let way = &mut interface.directions[direction as usize];
                way.rows = less(way.rows, count);
                way.health.untracked.add(count);
            }
        }
    }

    /// Adds what a log has of an interface beside its rows: to the totals what is in no row.
    pub(super) fn take_logged(&mut self, index: u32, amounts: &LoggedAmounts) {
        let Some(&id) = self.by_index.get(&index) else { return };
        let LoggedAmounts { counted, untracked, unparsed, left_out, filtered, residue, rest } = amounts;
        let interface = &mut self.interfaces[usize::from(id.0)];
        for (place, way) in interface.directions.iter_mut().enumerate() {
            way.rows.add(less(counted[place], untracked[place]));
            way.unparsed.add(unparsed[place]);
            way.health.untracked.add(untracked[place]);
            way.filtered.add(filtered[place]);
            self.filtered_out.add(filtered[place]);
            // The log has the residue of both directions together.
            let residue = if place == 0 { *residue } else { [0; 2] };
            way.kernel.add(Count {
                bytes: counted[place].bytes.saturating_add_signed(residue[0]),
                packets: counted[place].packets.saturating_add_signed(residue[1]),
            });
        }
        interface.directions[0].left_out.add(*left_out);
        for (way, count) in [Way::Sent, Way::Received].into_iter().zip(rest) {
            self.add_total(id, way, *count);
        }
        if self.terms.filter.is_none() {
            for (direction, way) in [(Direction::Ingress, Way::Received), (Direction::Egress, Way::Sent)] {
                self.add_total(id, way, untracked[direction as usize]);
            }
        }
    }
}

/// `count` without `other`, which is a part of it.
const fn less(count: Count, other: Count) -> Count {
    Count {
        bytes: count.bytes.saturating_sub(other.bytes),
        packets: count.packets.saturating_sub(other.packets),
    }
}
