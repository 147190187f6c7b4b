//! Rows, and the groups they belong to.
//!
//! A million rows are far more than a cache holds, so what an interval brings is looked up in batches: the look-ups of a
//! batch do not depend on each other, and the processor waits for all of them at once. Groups get their share when the
//! interval is closed, row after row in the order of memory.

use std::{ops::Range, time::Duration};

use flowtally_common::Count;

use super::{
    accounts::Way,
    group::{GroupBy, GroupKey},
    row::{Part, RowKey, Traffic},
    services::Services,
    table::Table,
    window::Closed,
};

/// Amounts looked up together: enough to hide the waiting, few enough to stay in the innermost cache.
const BATCH: usize = 128;
/// A row whose grouping has no room for its group.
const NO_GROUP: u32 = u32::MAX;

/// Rows and groups; `S` says where an amount came from, for when it finds no room.
pub(crate) struct Rows<S> {
    table: Table<RowKey>,
    groups: Vec<(GroupBy, Table<GroupKey>)>,
    /// For each row, the numbers of its groups.
    row_groups: Vec<u32>,
    services: Services,
    waiting: Vec<Amount<S>>,
    numbers: Vec<Option<u32>>,
    /// The rows that were forgotten when the last interval was closed.
    departed: Vec<(RowKey, Traffic)>,
}

/// An amount on its way into a row.
pub(crate) struct Amount<S> {
    pub(crate) row: RowKey,
    pub(crate) way: Way,
    pub(crate) count: Count,
    /// Where it came from.
    pub(crate) source: S,
}

impl<S> Rows<S> {
    /// No rows, and never more than `limit`; nor groups of each of `groups`.
    pub(crate) fn new(limit: usize, groups: Vec<GroupBy>, services: Services) -> Self {
        Self {
            table: Table::new(limit),
            groups: groups.into_iter().map(|by| (by, Table::new(limit))).collect(),
            row_groups: Vec::new(),
            services,
            waiting: Vec::with_capacity(BATCH),
            numbers: Vec::with_capacity(BATCH),
            departed: Vec::new(),
        }
    }

    /// Adds to a row's open interval, now or together with what follows. What finds no room is `refused`.
    #[inline]
    pub(crate) fn add(&mut self, amount: Amount<S>, refused: impl FnMut(Amount<S>)) {
        self.waiting.push(amount);
        if self.waiting.len() == BATCH {
            self.flush(refused);
        }
    }

    fn flush(&mut self, mut refused: impl FnMut(Amount<S>)) {
        let Self { table, waiting, numbers, .. } = self;
        table.find_all(waiting.iter().map(|amount| &amount.row), numbers);
        let mut waiting = std::mem::take(waiting);
        for (place, amount) in waiting.drain(..).enumerate() {
            match self.numbers[place].or_else(|| self.open(&amount.row)) {
                Some(number) => self.table.add(number, amount.way, amount.count),
                None => refused(amount),
            }
        }
        self.waiting = waiting;
    }

    /// The number of a row that was not there before the batch, and its groups'.
    fn open(&mut self, row: &RowKey) -> Option<u32> {
        let (number, new) = self.table.number(row)?;
        if new {
            let first = number as usize * self.groups.len();
            self.row_groups.resize(self.row_groups.len().max(first + self.groups.len()), NO_GROUP);
            for (place, (by, table)) in self.groups.iter_mut().enumerate() {
                let group = by.key(row, &self.services).and_then(|key| table.number(&key));
                self.row_groups[first + place] = group.map_or(NO_GROUP, |(group, _)| group);
            }
        }
        Some(number)
    }

    /// Closes the interval. With `evict`, what has been idle for the longest window is forgotten.
    pub(crate) fn close(
        &mut self,
        length: Duration,
        closed: &Closed,
        evict: bool,
        refused: impl FnMut(Amount<S>),
    ) {
        self.flush(refused);
        let Self { table, groups, row_groups, departed, .. } = self;
        if !groups.is_empty() {
            for (number, pending) in table.pending() {
                let numbers = &row_groups[number as usize * groups.len()..];
                for (group, (_, table)) in numbers.iter().zip(&mut *groups) {
                    if *group != NO_GROUP {
                        table.add_both(*group, pending);
                    }
                }
            }
        }
        departed.clear();
        table.close(length, closed, evict, |row, traffic| departed.push((*row, *traffic)));
        for (_, table) in groups {
            table.close(length, closed, evict, |_, _| ());
        }
    }

    /// The rows that were forgotten when the last interval was closed.
    pub(crate) fn departed(&self) -> &[(RowKey, Traffic)] {
        &self.departed
    }

    /// Every row.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&RowKey, &Traffic)> {
        self.table.iter()
    }

    /// What some rows got together in closed intervals, with the intervals' sequence numbers.
    pub(crate) fn intervals(
        &self,
        intervals: Range<u64>,
        part: impl Fn(&RowKey, &Traffic) -> Option<Part>,
    ) -> impl Iterator<Item = (u64, [u64; 2])> {
        self.table.intervals(intervals, part)
    }

    /// Begins again with all totals and peaks; what is recent stays.
    pub(crate) fn forget_totals(&mut self) {
        self.table.forget_totals();
        for (_, table) in &mut self.groups {
            table.forget_totals();
        }
    }

    /// Every grouping, with its groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (GroupBy, &Table<GroupKey>)> {
        self.groups.iter().map(|(by, table)| (*by, table))
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}
