//! What groups got from rows that are gone.
//!
//! The ledger forgets a row 40 seconds after its last packet, totals included. A group of rows goes on, and its total must
//! not become less because of that. So what departs is added up here, for every grouping at once: which one is looked at
//! next is not known.

use flowtally_common::Count;
use hashbrown::HashMap;

use super::list::{EntryKey, Grouping, Scope};
use crate::flow::{
    group::GroupBy,
    ledger::Ledger,
    row::{InterfaceId, RowView, Traffic},
};

/// Most groups of one grouping whose totals are kept; then those that have no rows any more are forgotten.
const MOST: usize = 65_536;

/// Sent and received.
type Totals = [Count; 2];

/// The groupings that groups are kept of, with their places in [`Grouping::ALL`].
fn groups() -> impl Iterator<Item = (usize, Grouping)> {
    Grouping::ALL.into_iter().enumerate().filter(|(_, grouping)| {
        // A row is a flow, and iftop's pairs forget as iftop does.
        *grouping != Grouping(GroupBy::Flow)
    })
}

/// The totals, in the order of [`Grouping::ALL`].
#[derive(Clone, Debug, Default)]
pub(super) struct Departed {
    groups: [HashMap<(EntryKey, InterfaceId), Totals>; Grouping::ALL.len()],
}

impl Departed {
    /// Takes up what was forgotten when the last interval was closed.
    pub(super) fn take(&mut self, ledger: &Ledger, scope: &Scope<'_>) {
        for (place, grouping) in groups() {
            let scope = Scope { grouping, ..*scope };
            let totals = &mut self.groups[place];
            for (row, traffic, owner) in ledger.departed() {
                for (key, part) in scope.shares(RowView { key: row, traffic, owner }) {
                    let Traffic { sent, received } = part.of_traffic(traffic);
                    let of_group = totals.entry((key, row.interface)).or_default();
                    for (total, lane) in of_group.iter_mut().zip([sent, received]) {
                        total.add(Count { bytes: lane.bytes, packets: lane.packets });
                    }
                }
            }
            if totals.len() > MOST {
                let mut alive = HashMap::new();
                for row in ledger.rows() {
                    for (key, _) in scope.shares(row) {
                        let key = (key, row.key.interface);
                        if let Some(total) = totals.get(&key) {
                            alive.insert(key, *total);
                        }
                    }
                }
                *totals = alive;
            }
        }
    }

    /// What the groups of a grouping got on some interfaces.
    pub(super) fn of(
        &self,
        grouping: Grouping,
        shown: impl Fn(InterfaceId) -> bool,
    ) -> impl Iterator<Item = (&EntryKey, BothWays)> {
        let place = Grouping::ALL.iter().position(|known| *known == grouping);
        let groups = place.map(|place| &self.groups[place]).into_iter().flatten();
        groups.filter(move |((_, interface), _)| shown(*interface)).map(|((key, _), totals)| (key, *totals))
    }

    /// Begins again.
    pub(super) fn forget(&mut self) {
        for groups in &mut self.groups {
            groups.clear();
        }
    }
}
