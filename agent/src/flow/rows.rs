//! Rows, and the groups they belong to.
//!
//! A million rows are far more than a cache holds, so what an interval brings is looked up in batches: the look-ups of a
//! batch do not depend on each other, and the processor waits for all of them at once. Groups get their share when the
//! interval is closed, row after row in the order of memory.

use std::{ops::Range, sync::Arc, time::Duration};

use flowtally_common::{Count, SocketHint};

use hashbrown::HashMap;

use super::{
    accounts::Way,
    crossings::CrossingAccounts,
    group::{GroupBy, GroupKey, OwnerKey},
    interval::RowInterval,
    orient::Orientation,
    ownership::Ownership,
    row::{Counting, Crossed, Lane, Part, RowKey, RowView, Traffic},
    services::Services,
    table::AccountTable,
    topology::Topology,
    window::{ClosedWindow, Timeline},
    wire::{WireError, WireForm, WireReader, check, wire_struct},
};
use crate::model::owner::{Attribution, Common};

/// Amounts looked up together: enough to hide the waiting, few enough to stay in the innermost cache.
const BATCH: usize = 128;
/// A row whose grouping has no room for its group.
const NO_GROUP: u32 = u32::MAX;

/// Rows and groups; `S` says where an amount came from, for when it finds no room.
pub(crate) struct Rows<S> {
    table: AccountTable<RowKey>,
    pub(crate) crossings: CrossingAccounts,
    /// Groupings by what is in the rows' keys.
    groups: Vec<(GroupBy, AccountTable<GroupKey>)>,
    /// All groupings, in the order in which they were asked for.
    groupings: Vec<GroupBy>,
    pub(crate) ownership: Ownership,
    /// For each row, the numbers of its groups.
    row_groups: Vec<u32>,
    /// For each of `groups`, how many rows each group has: it is kept as long as it has any, also when nothing of these counts on their
    /// interface.
    group_sizes: Vec<Vec<u32>>,
    services: Services,
    waiting: Vec<RowAmount<S>>,
    numbers: Vec<Option<u32>>,
    /// The rows that were forgotten when the last interval was closed.
    departed: Vec<DepartedRow>,
    /// What the last closed interval brought rows, and late rows: those that it brought nothing but what was put off before.
    brought: Vec<(u32, [Count; 2])>,
    brought_late: Vec<(RowKey, Arc<Attribution>, [Count; 2])>,
}

/// A row that was forgotten, with all that it had come to.
struct DepartedRow {
    key: RowKey,
    traffic: Traffic,
    /// What of it is counted there.
    once: Traffic,
    owner: Arc<Attribution>,
}

/// An amount on its way into a row.
pub(crate) struct RowAmount<S> {
    pub(crate) row: RowKey,
    pub(crate) way: Way,
    pub(crate) count: Count,
    /// Whether it came in.
    pub(crate) is_ingress: bool,
    /// The socket that it was seen with.
    pub(crate) socket: SocketHint,
    /// Where it came from.
    pub(crate) source: S,
}

impl<S> Rows<S> {
    /// No rows, and never more than `limit`; nor groups of each of `groups`.
    pub(crate) fn new(limit: usize, groups: Vec<GroupBy>, services: Services) -> Self {
        let by_key: Vec<_> = groups
            .iter()
            .filter(|by| by.of_owner().is_none())
            .map(|by| (*by, AccountTable::new(limit)))
            .collect();
        Self {
            table: AccountTable::new(limit),
            crossings: CrossingAccounts::default(),
            ownership: Ownership::new(&groups),
            groupings: groups,
            group_sizes: vec![Vec::new(); by_key.len()],
            groups: by_key,
            row_groups: Vec::new(),
            services,
            waiting: Vec::with_capacity(BATCH),
            numbers: Vec::with_capacity(BATCH),
            departed: Vec::new(),
            brought: Vec::new(),
            brought_late: Vec::new(),
        }
    }

    /// Adds to a row's open interval, now or together with what follows. What finds no room is `refused`.
    #[inline]
    pub(crate) fn add(&mut self, amount: RowAmount<S>, refused: impl FnMut(RowAmount<S>)) {
        self.waiting.push(amount);
        if self.waiting.len() == BATCH {
            self.flush(refused);
        }
    }

    /// Brings what waits into the rows.
    pub(crate) fn flush(&mut self, mut refused: impl FnMut(RowAmount<S>)) {
        if self.waiting.is_empty() {
            return;
        }
        let Self { table, waiting, numbers, .. } = self;
        table.find_all(waiting.iter().map(|amount| &amount.row), numbers);
        let mut waiting = std::mem::take(waiting);
        for (place, amount) in waiting.drain(..).enumerate() {
            match self.numbers[place].or_else(|| self.open(&amount.row)) {
                Some(number) => {
                    self.table.add(number, amount.way, amount.count);
                    if amount.is_ingress != (amount.way == Way::Received) && self.crossings.watches {
                        self.crossings.add_contrary(number, amount.way, amount.count);
                    }
                    if amount.socket.is_some() {
                        self.ownership.seen(number, amount.socket);
                    }
                }
                None => refused(amount),
            }
        }
        self.waiting = waiting;
    }

    /// The number of a row that was not there before the batch, and its groups'.
    fn open(&mut self, row: &RowKey) -> Option<u32> {
        let (number, new) = self.table.number(row)?;
        if new {
            self.ownership.open(number);
            self.crossings.open(number);
            let first = number as usize * self.groups.len();
            self.row_groups.resize(self.row_groups.len().max(first + self.groups.len()), NO_GROUP);
            for (place, (by, table)) in self.groups.iter_mut().enumerate() {
                let group = by.key(row, &self.services).and_then(|key| table.number(&key));
                self.row_groups[first + place] = group.map_or(NO_GROUP, |(group, _)| group);
            }
            self.join_groups(number);
        }
        Some(number)
    }

    /// A row has its groups.
    fn join_groups(&mut self, row: u32) {
        let groups = &self.row_groups[row as usize * self.groups.len()..];
        for (group, rows) in groups.iter().zip(&mut self.group_sizes) {
            if *group != NO_GROUP {
                rows.resize(rows.len().max(*group as usize + 1), 0);
                rows[*group as usize] += 1;
            }
        }
    }

    /// Finds out what of the open interval is the same frames on several interfaces; to be called before it is closed. In the
    /// `last` one nothing is left open.
    pub(crate) fn settle(
        &mut self,
        orientation: &Orientation,
        last: bool,
        refused: impl FnMut(RowAmount<S>),
    ) {
        self.flush(refused);
        self.crossings.settle(&self.table, orientation, last);
    }

    /// Closes the interval. With `evict`, what has been idle for the longest window is forgotten; with `keep`, what it brought is kept.
    pub(crate) fn close(&mut self, length: Duration, closed: &ClosedWindow, evict: bool, keep: bool) {
        if keep {
            self.keep();
        }
        let Self { table, crossings, groups, row_groups, group_sizes, departed, ownership, .. } = self;
        // Groups count once, but for those that are interfaces.
        let once = |(number, pending)| (number, pending, crossings.pending_once(number, pending));
        let late = || crossings.late().iter().map(|(number, once)| (*number, [Count::default(); 2], *once));
        if !ownership.attributions.groups.is_empty() {
            for (number, _, once) in table.pending().map(once).chain(late()) {
                let attribution = ownership.number(owning(ownership, crossings, number));
                ownership.attributions.groups.add(attribution, once);
            }
            ownership.attributions.groups.close(length);
        }
        if !groups.is_empty() {
            for (number, pending, once) in table.pending().map(once).chain(late()) {
                let numbers = &row_groups[number as usize * groups.len()..];
                for (group, (by, table)) in numbers.iter().zip(&mut *groups) {
                    if *group != NO_GROUP {
                        table.add_both(*group, if *by == GroupBy::Interface { pending } else { once });
                    }
                }
            }
        }
        ownership.close_interval();
        departed.clear();
        crossings.close(length, closed, table);
        table.close(
            length,
            closed,
            |_| evict,
            |number, key, traffic| {
                let numbers = &row_groups[number as usize * groups.len()..];
                for ((group, rows), (_, table)) in numbers.iter().zip(&mut *group_sizes).zip(&mut *groups) {
                    if *group != NO_GROUP {
                        rows[*group as usize] -= 1;
                        if rows[*group as usize] == 0 {
                            table.forget_idle(*group);
                        }
                    }
                }
                let once = crossings.depart(number, key, traffic);
                let owner = ownership.close(number, key, &once);
                departed.push(DepartedRow { key: *key, traffic: *traffic, once, owner });
            },
        );
        crossings.refresh(table);
        for ((_, table), rows) in groups.iter_mut().zip(&*group_sizes) {
            table.close(length, closed, |group| evict && rows[group as usize] == 0, |_, _, _| ());
        }
    }

    /// Keeps what the open interval has brought, as far as it counts there.
    fn keep(&mut self) {
        let Self { table, crossings, ownership, brought, brought_late, .. } = self;
        let once = |(number, pending)| (number, crossings.pending_once(number, pending));
        let has_any = |(_, counts): &(u32, [Count; 2])| counts.iter().any(|count| !count.is_zero());
        brought.clear();
        brought.extend(table.pending().map(once).filter(has_any));
        brought_late.clear();
        // These may be forgotten when the interval is closed.
        brought_late.extend(crossings.late().iter().map(|(number, counts)| {
            let owner = ownership.of(owning(ownership, crossings, *number));
            (*table.get(*number).0, Arc::clone(owner), *counts)
        }));
    }

    /// What the last closed interval brought, where it was kept.
    pub(crate) fn brought(&self) -> impl Iterator<Item = RowInterval<'_>> {
        let rows = self.brought.iter().map(|(number, counts)| {
            let RowView { key, owner, .. } = self.view(*number, Counting::Once);
            RowInterval { key, owner, counts: *counts }
        });
        let late =
            self.brought_late.iter().map(|(key, owner, counts)| RowInterval { key, owner, counts: *counts });
        rows.chain(late)
    }

    /// The rows that were forgotten when the last interval was closed.
    pub(crate) fn departed(&self, counting: Counting) -> impl Iterator<Item = RowView<'_>> {
        self.departed.iter().map(move |DepartedRow { key, traffic, once, owner }| {
            let traffic = if counting == Counting::Once { once } else { traffic };
            RowView { key, traffic, owner }
        })
    }

    /// The interfaces lie upon each other like this now.
    pub(crate) fn set_topology(&mut self, topology: Topology) {
        self.crossings.set_topology(topology, &self.table);
    }

    /// Brings the rows of each conversation together, for who wants to know what it crossed before the next interval is closed.
    pub(crate) fn join(&mut self, orientation: &Orientation) {
        self.crossings.join_fresh(&self.table, orientation);
    }

    /// The number of the row that a key is found by.
    pub(crate) fn number(&self, key: &RowKey) -> Option<u32> {
        self.table.find(key)
    }

    /// A row and what it has come to.
    pub(crate) fn get(&self, number: u32) -> (&RowKey, &Traffic) {
        self.table.get(number)
    }

    /// What the open interval has brought a row so far.
    pub(crate) fn pending_of(&self, number: u32) -> [Count; 2] {
        self.table.pending_of(number)
    }

    /// The rows whose owner is wanted, as [`Ownership::wanted`] says, and with `again` those that the open interval has brought
    /// something and that may have a better answer now.
    pub(crate) fn wanted(&mut self, most: usize, again: bool) -> Vec<u32> {
        let Self { table, ownership, .. } = self;
        if again {
            for (number, _) in table.pending() {
                if ownership.is_provisional(number) {
                    ownership.ask_again(number);
                }
            }
        }
        ownership.wanted(most, again)
    }

    /// The owners of all rows that are not idle are wanted again.
    pub(crate) fn ask_again(&mut self) {
        for number in self.table.numbers() {
            let Traffic { sent, received, .. } = self.table.get(number).1;
            if sent.recent[2] + received.recent[2] > 0 {
                self.ownership.ask_again(number);
            }
        }
    }

    /// A row is found to be somebody's. What it has come to is its former owner's where it had one and its socket is another
    /// one now: then the open interval alone goes to the new owner, in a row of its own. A conversation has one row for each
    /// owner: where a retired one is this owner's already, it goes on.
    pub(crate) fn attribute(&mut self, number: u32, attribution: &Arc<Attribution>) {
        let (key, traffic) = self.table.get(number);
        let (key, is_new) = (*key, traffic.packets() == 0);
        let former = if is_new { None } else { self.ownership.former(&key, attribution) };
        if is_new || former.is_none() && !self.ownership.changes_hands(number, attribution) {
            self.ownership.answer(number, attribution);
        } else if self.table.pending_of(number).iter().all(Count::is_zero) {
            self.ownership.postpone(number);
        } else if let Some(to) = former {
            self.table.lead_to(number, to);
            self.take_over(&key, number, to, attribution);
        } else if let Some(to) = self.succeed(number) {
            self.take_over(&key, number, to, attribution);
        } else {
            // There is no room for one more: it all stays with the former owner.
            let former = Arc::clone(self.ownership.of(number));
            self.ownership.answer(number, &former);
        }
    }

    /// Opens one more row of the same conversation.
    fn succeed(&mut self, number: u32) -> Option<u32> {
        let to = self.table.succeed(number)?;
        self.ownership.open(to);
        self.crossings.open(to);
        let (from, first, groups) = (number as usize, to as usize, self.groups.len());
        self.row_groups.resize(self.row_groups.len().max((first + 1) * groups), NO_GROUP);
        self.row_groups.copy_within(from * groups..(from + 1) * groups, first * groups);
        self.join_groups(to);
        Some(to)
    }

    /// Adds to the open interval of the row that an owner has of a conversation. The result is whether there was room.
    pub(crate) fn add_owned(&mut self, key: &RowKey, owner: &Arc<Attribution>, counts: [Count; 2]) -> bool {
        let is_owners = |ownership: &Ownership, number: u32| {
            let known = ownership.of(number);
            Arc::ptr_eq(known, owner) || known.is_same_owner(owner)
        };
        let number = match self.table.find(key) {
            None => self.open(key),
            Some(number) if is_owners(&self.ownership, number) => Some(number),
            Some(number) => self.ownership.former(key, owner).or_else(|| {
                let to = self.succeed(number)?;
                self.ownership.hand_over(key, number, to);
                Some(to)
            }),
        };
        let Some(number) = number else { return false };
        if !Arc::ptr_eq(self.ownership.of(number), owner) {
            // What is known of it may be more than before.
            self.ownership.answer(number, owner);
        }
        self.table.add_both(number, counts);
        true
    }

    fn take_over(&mut self, key: &RowKey, from: u32, to: u32, attribution: &Arc<Attribution>) {
        self.table.move_pending(from, to);
        self.crossings.move_pending(from, to);
        self.ownership.hand_over(key, from, to);
        self.ownership.answer(to, attribution);
    }

    /// Every row; where a frame counts once, without those that have nothing of their own.
    pub(crate) fn iter(&self, counting: Counting) -> impl Iterator<Item = RowView<'_>> {
        self.numbers(counting).map(move |number| self.view(number, counting))
    }

    fn numbers(&self, counting: Counting) -> impl Iterator<Item = u32> {
        self.table.numbers().filter(move |number| {
            let once = self.crossings.once(*number);
            counting == Counting::PerInterface
                || once.is_none_or(|Traffic { sent, received, .. }| {
                    let has_any = |lane: &Lane| lane.packets > 0 || lane.recent[2] > 0;
                    has_any(sent) || has_any(received)
                })
        })
    }

    fn view(&self, number: u32, counting: Counting) -> RowView<'_> {
        let (key, all) = self.table.get(number);
        let traffic = match counting {
            Counting::Once => self.crossings.once(number).unwrap_or(all),
            Counting::PerInterface => all,
        };
        let owning = match counting {
            Counting::Once => owning(&self.ownership, &self.crossings, number),
            Counting::PerInterface => number,
        };
        RowView { key, traffic, owner: self.ownership.of(owning) }
    }

    /// The number of the attribution of a row's conversation.
    fn attribution(&self, number: u32) -> u32 {
        self.ownership.number(owning(&self.ownership, &self.crossings, number))
    }

    /// The other interfaces that the conversations of rows crossed, for those that crossed any, in the order of
    /// [`iter`](Self::iter).
    pub(crate) fn crossed(&self, orientation: &Orientation) -> impl Iterator<Item = (usize, Vec<Crossed>)> {
        self.numbers(Counting::Once).enumerate().filter_map(|(place, number)| {
            let crossed = self.crossings.crossed(number, &self.table, orientation);
            (!crossed.is_empty()).then_some((place, crossed))
        })
    }

    /// The other interfaces that a row's conversation crossed.
    pub(crate) fn crossed_by(&self, key: &RowKey, orientation: &Orientation) -> Vec<Crossed> {
        let number = self.table.find(key);
        number.map_or_else(Vec::new, |number| self.crossings.crossed(number, &self.table, orientation))
    }

    /// What some rows got together in closed intervals, with the intervals' sequence numbers.
    pub(crate) fn intervals<'a>(
        &'a self,
        intervals: Range<u64>,
        counting: Counting,
        part: impl Fn(RowView<'_>) -> Option<Part> + 'a,
    ) -> impl Iterator<Item = (u64, [u64; 2])> + 'a {
        let part = move |number| part(self.view(number, counting));
        // What is counted elsewhere is taken off.
        let repeated = match counting {
            Counting::Once => self.crossings.parts(&part),
            Counting::PerInterface => Vec::new(),
        };
        self.table.intervals(intervals, part).map(move |(interval, [sent, received])| {
            let [sent_again, received_again] = self.crossings.repeated_of(interval, &repeated);
            (interval, [sent.wrapping_sub(sent_again), received.wrapping_sub(received_again)])
        })
    }

    /// Begins again with all totals and peaks; what is recent stays.
    pub(crate) fn forget_totals(&mut self) {
        self.table.forget_totals();
        self.crossings.forget_totals();
        for (_, table) in &mut self.groups {
            table.forget_totals();
        }
        self.ownership.attributions.groups.forget_totals();
    }

    /// Every grouping, with its groups.
    pub(crate) fn groups(&self) -> impl Iterator<Item = (GroupBy, Vec<(GroupKey, Traffic)>)> {
        self.groupings.iter().map(|by| {
            let groups = if let Some(part) = by.of_owner() {
                let rows = self.table.numbers();
                let rows =
                    rows.map(|number| (self.attribution(number), self.view(number, Counting::Once).traffic));
                let sums = self.ownership.attributions.groups.sums(part, rows);
                sums.into_iter().map(|(key, traffic)| (GroupKey::Owner(key), traffic)).collect()
            } else {
                let table = self.groups.iter().find(|(known, _)| known == by).map(|(_, table)| table);
                let groups = table.into_iter().flat_map(AccountTable::iter);
                groups.map(|(key, traffic)| (key.clone(), *traffic)).collect()
            };
            (*by, groups)
        })
    }

    /// What the owners of each group by owner have in common.
    pub(crate) fn in_common(&self) -> HashMap<OwnerKey, Common> {
        let mut groups: HashMap<OwnerKey, Common> = HashMap::new();
        for part in self.groupings.iter().filter_map(|by| by.of_owner()) {
            for attribution in self.ownership.attributions.iter() {
                let common = attribution.common();
                let known = groups.entry(OwnerKey::new(part, attribution));
                known.and_modify(|known| known.meet(&common)).or_insert(common);
            }
        }
        groups
    }

    /// How many rows there are.
    pub(crate) fn len(&self) -> usize {
        self.table.len()
    }
}

/// The row of a conversation that says whose it is, for one of its rows: itself, or where nothing is known there another one. What
/// leaves a bridge at a port is told from what passes through only where it came in.
fn owning(ownership: &Ownership, crossings: &CrossingAccounts, row: u32) -> u32 {
    let has_owner = |row: u32| !ownership.of(row).owners.is_empty();
    if has_owner(row) {
        return row;
    }
    crossings.others(row).find(|other| has_owner(*other)).unwrap_or(row)
}

impl<S> Rows<S> {
    /// Makes anew what did not travel, if what did can be gone on with.
    fn mend(&mut self, timeline: &Timeline, first: &[u32]) -> Result<(), WireError> {
        let Self { table, crossings, groups, ownership, row_groups, brought, .. } = self;
        let rows = table.numbered();
        table.check(timeline)?;
        crossings.mend(table, timeline, first)?;
        ownership.mend(rows)?;
        check(brought.iter().all(|(row, _)| (*row as usize) < rows), "the last interval's rows")?;
        check(row_groups.len() >= rows.saturating_mul(groups.len()), "groups of rows")?;
        for (place, (_, group)) in groups.iter().enumerate() {
            group.check(timeline)?;
            let numbers = row_groups.iter().skip(place).step_by(groups.len());
            let mut known = numbers.filter(|number| **number != NO_GROUP);
            check(known.all(|number| (*number as usize) < group.numbered()), "groups of rows")?;
        }
        self.group_sizes = self.groups.iter().map(|(_, table)| vec![0; table.numbered()]).collect();
        for row in self.table.numbers().collect::<Vec<_>>() {
            self.join_groups(row);
        }
        Ok(())
    }

    /// Reads what [`put`](WireForm::put) wrote, and makes anew what did not travel.
    pub(crate) fn restore(
        from: &mut WireReader<'_>,
        timeline: &Timeline,
        services: Services,
    ) -> Result<Self, WireError> {
        let mut rows = Self { services, ..Self::take(from)? };
        let first = Vec::take(from)?;
        rows.mend(timeline, &first)?;
        Ok(rows)
    }

    /// Appends all of it. Nothing may wait.
    pub(crate) fn save(&self, to: &mut Vec<u8>) {
        self.put(to);
        self.crossings.first().put(to);
    }

    /// The keys of all rows.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &RowKey> {
        self.table.iter().map(|(key, _)| key)
    }
}

wire_struct!(DepartedRow { key, traffic, once, owner });
wire_struct!([S] Rows<S> {
    table, crossings, groups, groupings, ownership, row_groups, departed, brought, brought_late;
    group_sizes, services, waiting, numbers
});
