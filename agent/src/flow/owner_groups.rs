//! Books of the groupings by owner.
//!
//! Whose a row is may become known, or known better, long after the row was opened, and everything that it has come to moves
//! with it. So totals and windows of these groups are not kept: they are added up from the rows when somebody asks, and are
//! always their sum. What cannot be had from the rows is kept here, interval by interval: a group's peak, of the traffic that
//! was known to be the group's when the interval was closed; and what it got from rows that are gone.

use std::{sync::Arc, time::Duration};

use flowtally_common::Count;
use hashbrown::HashMap;

use super::{
    accounts::{SHORTEST_PEAK, rate},
    group::{OwnerKey, OwnerPart},
    row::Traffic,
    wire::{WireError, check, wire_struct},
};
use crate::model::owner::Attribution;

/// The groups of all groupings by owner.
pub(crate) struct OwnerGroups {
    groupings: Vec<OwnerGrouping>,
}

/// The groups of one of them.
struct OwnerGrouping {
    part: OwnerPart,
    groups: Vec<Group>,
    index: HashMap<OwnerKey, u32>,
    free: Vec<u32>,
    /// For each attribution, the number of its group.
    of: Vec<u32>,
}

struct Group {
    key: OwnerKey,
    /// How many attributions it is made of.
    attributions: u32,
    /// Bytes of the interval that is not closed yet.
    pending: [u64; 2],
    /// Sent, received, both in the same interval.
    peak: [u64; 3],
    /// What it got from rows that are gone.
    departed: [Count; 2],
}

impl OwnerGroups {
    pub(crate) fn new(parts: impl Iterator<Item = OwnerPart>) -> Self {
        let grouping = |part| OwnerGrouping {
            part,
            groups: Vec::new(),
            index: HashMap::new(),
            free: Vec::new(),
            of: Vec::new(),
        };
        Self { groupings: parts.map(grouping).collect() }
    }

    /// Whether there are no books to keep.
    pub(crate) const fn is_empty(&self) -> bool {
        self.groupings.is_empty()
    }

    /// An attribution is there, by this number.
    pub(crate) fn join(&mut self, attribution: u32, of: &Arc<Attribution>) {
        for grouping in &mut self.groupings {
            grouping.join(attribution as usize, of);
        }
    }

    /// An attribution is there no longer.
    pub(crate) fn leave(&mut self, attribution: u32) {
        for OwnerGrouping { groups, index, free, of, .. } in &mut self.groupings {
            let number = of[attribution as usize];
            let group = &mut groups[number as usize];
            group.attributions -= 1;
            if group.attributions == 0 {
                index.remove(&group.key);
                free.push(number);
            }
        }
    }

    /// What a row got in the interval that is being closed.
    pub(crate) fn add(&mut self, attribution: u32, [sent, received]: [Count; 2]) {
        for OwnerGrouping { groups, of, .. } in &mut self.groupings {
            let pending = &mut groups[of[attribution as usize] as usize].pending;
            pending[0] += sent.bytes;
            pending[1] += received.bytes;
        }
    }

    /// Everything has been added.
    pub(crate) fn close(&mut self, length: Duration) {
        let seconds = length.max(SHORTEST_PEAK).as_secs_f64();
        for group in self.groupings.iter_mut().flat_map(|grouping| &mut grouping.groups) {
            let [sent, received] = std::mem::take(&mut group.pending);
            for (peak, bytes) in group.peak.iter_mut().zip([sent, received, sent + received]) {
                *peak = (*peak).max(rate(bytes, seconds));
            }
        }
    }

    /// A row is gone.
    pub(crate) fn depart(&mut self, attribution: u32, traffic: &Traffic) {
        for OwnerGrouping { groups, of, .. } in &mut self.groupings {
            let departed = &mut groups[of[attribution as usize] as usize].departed;
            for (count, lane) in departed.iter_mut().zip([traffic.sent, traffic.received]) {
                count.add(Count { bytes: lane.bytes, packets: lane.packets });
            }
        }
    }

    /// Begins again with all totals and peaks.
    pub(crate) fn forget_totals(&mut self) {
        for group in self.groupings.iter_mut().flat_map(|grouping| &mut grouping.groups) {
            (group.peak, group.departed) = Default::default();
        }
    }

    /// The groups of a grouping: the rows, each with its attribution's number, added up.
    pub(crate) fn sums<'a>(
        &self,
        part: OwnerPart,
        rows: impl Iterator<Item = (u32, &'a Traffic)>,
    ) -> Vec<(OwnerKey, Traffic)> {
        let Some(grouping) = self.groupings.iter().find(|grouping| grouping.part == part) else {
            return Vec::new();
        };
        let mut sums: Vec<Option<Traffic>> = vec![None; grouping.groups.len()];
        for (attribution, traffic) in rows {
            let number = grouping.of[attribution as usize];
            sums[number as usize].get_or_insert_default().merge(traffic);
        }
        let groups = grouping.groups.iter().zip(sums);
        groups.filter_map(|(group, sum)| Some((group.key.clone(), group.complete(sum?)))).collect()
    }
}

impl OwnerGrouping {
    fn join(&mut self, attribution: usize, of: &Arc<Attribution>) {
        let key = OwnerKey::new(self.part, of);
        let Self { groups, index, free, of, .. } = self;
        let number = *index.entry(key).or_insert_with_key(|key| {
            let group = Group {
                key: key.clone(),
                attributions: 0,
                pending: [0; 2],
                peak: [0; 3],
                departed: [Count::default(); 2],
            };
            if let Some(number) = free.pop() {
                groups[number as usize] = group;
                number
            } else {
                groups.push(group);
                // There are no more groups than attributions, whose numbers are as short.
                u32::try_from(groups.len() - 1).unwrap_or(u32::MAX)
            }
        });
        groups[number as usize].attributions += 1;
        if of.len() <= attribution {
            of.resize(attribution + 1, 0);
        }
        of[attribution] = number;
    }
}

impl Group {
    /// What the rows of the group come to, with what only the group knows. It had no higher peak than the highest of its rows
    /// where that was not known to be its own at the time.
    fn complete(&self, mut sum: Traffic) -> Traffic {
        for (lane, departed) in [&mut sum.sent, &mut sum.received].into_iter().zip(self.departed) {
            lane.bytes += departed.bytes;
            lane.packets += departed.packets;
        }
        for (peak, own) in
            [&mut sum.sent.peak, &mut sum.received.peak, &mut sum.peak].into_iter().zip(self.peak)
        {
            *peak = (*peak).max(own);
        }
        sum
    }
}

impl OwnerGroups {
    /// Makes anew what did not travel, if what did can be gone on with for so many attributions.
    pub(crate) fn mend(&mut self, attributions: usize) -> Result<(), WireError> {
        for OwnerGrouping { groups, index, free, of, .. } in &mut self.groupings {
            let is_group = |number: &u32| (*number as usize) < groups.len();
            check(of.len() >= attributions && of.iter().chain(&*free).all(is_group), "groups by owner")?;
            let live = (0..).zip(&*groups).filter(|(_, group)| group.attributions > 0);
            *index = live.map(|(number, group)| (group.key.clone(), number)).collect();
        }
        Ok(())
    }
}

wire_struct!(OwnerGroups { groupings });
wire_struct!(OwnerGrouping { part, groups, free, of; index });
wire_struct!(Group { key, attributions, pending, peak, departed });
