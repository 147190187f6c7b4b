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
    row::{Counting, InterfaceId, Traffic},
};

/// Most groups of one grouping whose totals are kept; then those that have no rows any more are forgotten.
const MOST: usize = 65_536;

/// Sent and received.
type BothWays = [Count; 2];
/// The same by [`Counting`].
type Countings = [BothWays; 2];

/// The groupings that groups are kept of, with their places in [`Grouping::ALL`].
fn groups() -> impl Iterator<Item = (usize, Grouping)> {
    Grouping::ALL.into_iter().enumerate().filter(|(_, grouping)| {
        // A row is a flow, and iftop's pairs forget as iftop does.
        *grouping != Grouping(GroupBy::Flow)
    })
}

/// The totals, in the order of [`Grouping::ALL`].
#[derive(Clone, Debug, Default)]
pub(super) struct DepartedTotals {
    groups: [HashMap<(EntryKey, InterfaceId), Countings>; Grouping::ALL.len()],
}

impl DepartedTotals {
    /// Takes up what was forgotten when the last interval was closed. Where rows come to the `same` either way of counting, as in a log,
    /// it takes half as long.
    pub(super) fn take(&mut self, ledger: &Ledger, scope: &Scope<'_>, same: bool) {
        let countings: &[Counting] =
            if same { &[Counting::Once] } else { &[Counting::Once, Counting::PerInterface] };
        for (place, grouping) in groups() {
            let scope = Scope { grouping, ..*scope };
            let totals = &mut self.groups[place];
            for counting in countings.iter().copied() {
                for row in ledger.departed(counting) {
                    for (key, part) in scope.shares(row) {
                        let Traffic { sent, received, .. } = part.of_traffic(row.traffic);
                        let of_group = totals.entry((key, row.key.interface)).or_default();
                        for (total, lane) in of_group[counting as usize].iter_mut().zip([sent, received]) {
                            total.add(Count { bytes: lane.bytes, packets: lane.packets });
                        }
                        if same {
                            of_group[Counting::PerInterface as usize] = of_group[counting as usize];
                        }
                    }
                }
            }
            if totals.len() > MOST {
                let mut alive = HashMap::new();
                for row in ledger.rows(Counting::PerInterface) {
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
        counting: Counting,
        shown: impl Fn(InterfaceId) -> bool,
    ) -> impl Iterator<Item = (&EntryKey, BothWays)> {
        let place = Grouping::ALL.iter().position(|known| *known == grouping);
        let groups = place.map(|place| &self.groups[place]).into_iter().flatten();
        groups
            .filter(move |((_, interface), _)| shown(*interface))
            .map(move |((key, _), totals)| (key, totals[counting as usize]))
    }

    /// How much it is, in bytes, as far as that can be told.
    pub(super) fn size(&self) -> usize {
        let entries: usize = self.groups.iter().map(HashMap::capacity).sum();
        entries * size_of::<((EntryKey, InterfaceId), Countings)>()
    }

    /// Begins again.
    pub(super) fn forget(&mut self) {
        for groups in &mut self.groups {
            groups.clear();
        }
    }
}
