//! Which attributions rows have: a row holds a number of four bytes, however many rows one process has.

use std::sync::Arc;

use hashbrown::HashMap;

use super::{
    group::GroupBy,
    owner_groups::OwnerGroups,
    wire::{WireError, check, wire_struct},
};
use crate::model::owner::{Attribution, Reason};

/// Most different attributions. A row whose attribution finds no room keeps the one that it has.
const MOST: usize = 1 << 18;

/// The number of the attribution of a row that nobody has looked up yet.
pub(crate) const NOT_LOOKED: u32 = 0;

/// Attributions by number, each for as long as a row has it; and the groups that they make.
pub(crate) struct Attributions {
    entries: Vec<AttributionEntry>,
    index: HashMap<Arc<Attribution>, u32>,
    free: Vec<u32>,
    pub(crate) groups: OwnerGroups,
}

struct AttributionEntry {
    attribution: Arc<Attribution>,
    rows: u32,
}

impl Attributions {
    /// No rows yet, and books of those of `groups` that are by owner.
    pub(crate) fn new(groups: &[GroupBy]) -> Self {
        let nobody = Arc::new(Attribution { owners: Vec::new(), reason: Reason::NotLooked });
        let mut groups = OwnerGroups::new(groups.iter().filter_map(|by| by.of_owner()));
        groups.join(NOT_LOOKED, &nobody);
        Self {
            entries: vec![AttributionEntry { attribution: Arc::clone(&nobody), rows: 0 }],
            index: HashMap::from_iter([(nobody, NOT_LOOKED)]),
            free: Vec::new(),
            groups,
        }
    }

    /// The attribution with this number.
    pub(crate) fn get(&self, number: u32) -> &Arc<Attribution> {
        &self.entries[number as usize].attribution
    }

    /// The number of an attribution that one more row has; `None` where there is no room.
    pub(crate) fn take(&mut self, attribution: &Arc<Attribution>) -> Option<u32> {
        let number = match self.index.get(attribution) {
            Some(number) => *number,
            None if self.index.len() >= MOST => return None,
            None => {
                let entry = AttributionEntry { attribution: Arc::clone(attribution), rows: 0 };
                let number = if let Some(number) = self.free.pop() {
                    self.entries[number as usize] = entry;
                    number
                } else {
                    let number = u32::try_from(self.entries.len()).ok()?;
                    self.entries.push(entry);
                    number
                };
                self.index.insert(Arc::clone(attribution), number);
                self.groups.join(number, attribution);
                number
            }
        };
        self.take_again(number);
        Some(number)
    }

    /// One more row has the attribution with this number.
    pub(crate) fn take_again(&mut self, number: u32) {
        self.entries[number as usize].rows += 1;
    }

    /// A row has this attribution no longer.
    pub(crate) fn release(&mut self, number: u32) {
        let entry = &mut self.entries[number as usize];
        entry.rows -= 1;
        if entry.rows == 0 && number != NOT_LOOKED {
            self.index.remove(&entry.attribution);
            self.groups.leave(number);
            self.free.push(number);
        }
    }

    /// Every attribution that a row has.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Arc<Attribution>> {
        self.entries.iter().filter(|entry| entry.rows > 0).map(|entry| &entry.attribution)
    }
}

impl Attributions {
    /// Makes anew what did not travel, if what did can be gone on with for rows with these numbers.
    pub(crate) fn mend(&mut self, numbers: &[u32]) -> Result<(), WireError> {
        let Self { entries, index, free, groups } = self;
        let is_entry = |number: &u32| (*number as usize) < entries.len();
        check(!entries.is_empty() && numbers.iter().chain(&*free).all(is_entry), "attributions")?;
        let live = (0..).zip(&*entries).filter(|(number, entry)| *number == NOT_LOOKED || entry.rows > 0);
        *index = live.map(|(number, entry)| (Arc::clone(&entry.attribution), number)).collect();
        groups.mend(entries.len())
    }
}

wire_struct!(AttributionEntry { attribution, rows });
wire_struct!(Attributions { entries, free, groups; index });
