//! Which rows are one conversation on several interfaces, and how much of each is counted on another.
//!
//! What repeats is kept beside the rows, in accounts of its own for those rows alone that have any: a host without bridges, stacked
//! devices and forwarding pays nothing. Repeated amounts are differences, to be read modulo 2^64: what was put off in one interval
//! may count in the next after all. What is left of a row when they are taken off is never below 0.

use std::{hash::BuildHasher as _, time::Duration};

use flowtally_common::Count;
use hashbrown::{DefaultHashBuilder, HashMap, HashTable, hash_table::Entry};

use super::{
    accounts::{Accounts, SHORTEST_PEAK, Way, rate},
    conversation::{Conversation, goes_back, is_routed, switched},
    crossing::{Crossing, FramesBetween, Passing, Sums},
    orient::Orientation,
    row::{Crossed, Lane, Part, RowKey, Traffic},
    table::AccountTable,
    topology::Topology,
    window::{ClosedWindow, Timeline},
    wire::{WireError, check, wire_struct},
};

/// No row, no account.
const NONE: u32 = u32::MAX;
/// Intervals after which it does not matter when a row came.
const LONG_AGO: u32 = 9;
/// Both ways.
const WAYS: [Way; 2] = [Way::Sent, Way::Received];

/// See above.
#[derive(Default)]
pub(crate) struct CrossingAccounts {
    topology: Topology,
    /// Whether the topology may have become one in which frames cross several interfaces when the open interval is closed.
    pub(crate) watches: bool,
    /// One row of each conversation.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// For each row the next one of its conversation, itself if there is no other; [`NONE`] for rows that cannot have one.
    ring: Vec<u32>,
    /// Whether the IP stack may forward a row's packets.
    routed: Vec<bool>,
    /// Rows that have come since the last interval was closed.
    fresh: Vec<u32>,
    /// For each row the interval in which it came.
    came: Vec<u32>,
    /// The interval that is being closed.
    now: u32,
    /// For each row its account.
    account_of: Vec<u32>,
    /// What repeats.
    repeated: Accounts,
    /// For each account its row, and what of the row is counted there.
    once: Vec<(u32, Traffic)>,
    free: Vec<u32>,
    /// Accounts of rows that are gone, with something in a window.
    leaving: Vec<u32>,
    /// By row, way and direction.
    open: HashMap<(u32, Way, bool), FramesBetween>,
    /// What the open interval brought rows in the direction that is not usual for the way: sent and came in, or received and left.
    contrary: HashMap<u32, [Count; 2]>,
    /// What repeats since the start, by interface.
    by_place: Vec<[Count; 2]>,
    /// What repeats in the interval that is being closed.
    of_interval: [Count; 2],
    /// What was put off of rows that have nothing in the interval that is being closed.
    late: Vec<(u32, [Count; 2])>,
    /// What passed this host and has been seen on one side only.
    one_sided: Count,
    sums: Sums,
    members: Vec<u32>,
    /// Of a conversation, by direction.
    conversation: [Vec<(u32, Way, Crossing)>; 2],
    flow: Vec<Crossing>,
}

impl CrossingAccounts {
    /// Takes up how the interfaces lie upon each other, from the open interval on.
    pub(crate) fn set_topology(&mut self, topology: Topology, table: &AccountTable<RowKey>) {
        self.index.clear();
        self.ring.clear();
        self.fresh.clear();
        self.sums.fit(&topology);
        self.by_place.resize(self.by_place.len().max(topology.places.len()), Default::default());
        self.topology = topology;
        if self.is_active() {
            self.fresh.extend(table.numbers());
        }
    }

    /// Whether frames may cross more than one of the interfaces.
    pub(crate) const fn is_active(&self) -> bool {
        self.topology.has_several
    }

    /// A row is there that was not.
    pub(crate) fn open(&mut self, row: u32) {
        if self.is_active() {
            self.fresh.push(row);
        }
    }

    /// A row got something in the open interval in the direction that is not usual for the way.
    pub(crate) fn add_contrary(&mut self, row: u32, way: Way, count: Count) {
        self.contrary.entry(row).or_default()[way as usize].add(count);
    }

    /// All that the open interval has brought row `from` is row `to`'s.
    pub(crate) fn move_pending(&mut self, from: u32, to: u32) {
        if let Some(moved) = self.contrary.remove(&from) {
            let of = self.contrary.entry(to).or_default();
            of.iter_mut().zip(moved).for_each(|(count, more)| count.add(more));
        }
    }

    /// Finds out what of the open interval repeats. In the `last` one nothing is put off.
    pub(crate) fn settle(&mut self, table: &AccountTable<RowKey>, orientation: &Orientation, last: bool) {
        self.of_interval = Default::default();
        self.late.clear();
        self.now = self.now.wrapping_add(1);
        self.join_fresh(table, orientation);
        let mut before = std::mem::take(&mut self.open);
        if self.is_active() {
            let several = self.topology.routed() > 1;
            for (row, pending) in table.pending() {
                let Some(next) = self.ring.get(row as usize).copied().filter(|next| *next != NONE) else {
                    continue;
                };
                if next != row {
                    self.settle_conversation(row, table, orientation, &mut before, last);
                } else if several
                    && self.routed[row as usize]
                    && !orientation.is_group(table.get(row).0.remote)
                {
                    for count in pending {
                        self.one_sided.add(count);
                    }
                }
            }
        }
        for ((row, way, _), FramesBetween { put_off, .. }) in before {
            if !put_off.is_zero() {
                let mut amounts = [Count::default(); 2];
                amounts[way as usize] = put_off;
                self.repeat(row, table, amounts.map(|count| difference(Count::default(), count)));
                if !table.is_pending(row) {
                    self.late.push((row, amounts));
                }
            }
        }
        self.contrary.clear();
    }

    /// Brings rows that came since the last time, or all after a change of the topology, together with the others of their
    /// conversations.
    pub(crate) fn join_fresh(&mut self, table: &AccountTable<RowKey>, orientation: &Orientation) {
        if self.is_active() {
            for row in std::mem::take(&mut self.fresh) {
                self.join(row, table, orientation);
            }
        }
    }

    /// Brings a row together with the others of its conversation, if it can have any.
    fn join(&mut self, row: u32, table: &AccountTable<RowKey>, orientation: &Orientation) {
        let key = table.get(row).0;
        let is_routed = is_routed(key, orientation);
        let Some(place) = self.topology.places.get(usize::from(key.interface.0)) else { return };
        let rows = (row as usize + 1).max(self.ring.len());
        self.ring.resize(rows, NONE);
        self.routed.resize(rows.max(self.routed.len()), false);
        self.came.resize(rows.max(self.came.len()), self.now.wrapping_sub(LONG_AGO));
        if self.ring[row as usize] != NONE || !(place.is_related || is_routed && place.is_routed) {
            return;
        }
        self.routed[row as usize] = is_routed;
        let is_new = table.get(row).1.packets() == 0;
        self.came[row as usize] = self.now.wrapping_sub(if is_new { 0 } else { LONG_AGO });
        let Self { index, hasher, ring, .. } = self;
        let of = |row: u32| Conversation::of(table.get(row).0);
        let conversation = of(row);
        match index.entry(
            hasher.hash_one(conversation),
            |known| of(*known) == conversation,
            |known| hasher.hash_one(of(*known)),
        ) {
            Entry::Occupied(known) => {
                let known = *known.get();
                ring[row as usize] = std::mem::replace(&mut ring[known as usize], row);
            }
            Entry::Vacant(free) => {
                ring[row as usize] = row;
                free.insert(row);
            }
        }
    }

    /// All rows of a conversation, but only for the first of those with anything in the open interval.
    fn settle_conversation(
        &mut self,
        first: u32,
        table: &AccountTable<RowKey>,
        orientation: &Orientation,
        before: &mut HashMap<(u32, Way, bool), FramesBetween>,
        last: bool,
    ) {
        self.members.clear();
        let mut row = first;
        loop {
            self.members.push(row);
            row = self.ring[row as usize];
            if row == first {
                break;
            }
            if row < first && table.is_pending(row) {
                return;
            }
        }
        self.members.sort_unstable();
        let key = *table.get(first).0;
        let passing = Passing { is_routed: self.routed[first as usize], switched: switched(&key) };
        let mut flows = std::mem::take(&mut self.conversation);
        let mut counted = std::mem::take(&mut self.flow);
        for row in &self.members {
            let key = table.get(*row).0;
            let pending = table.pending_of(*row);
            let contrary = self.contrary.get(row).copied().unwrap_or_default();
            for way in WAYS {
                let flow = &mut flows[usize::from(goes_back(key, way, orientation))];
                let usual = way == Way::Received;
                let contrary = contrary[way as usize];
                let amounts = [(usual, difference(pending[way as usize], contrary)), (!usual, contrary)];
                for (is_ingress, count) in amounts {
                    let known = before.remove(&(*row, way, is_ingress));
                    if is_ingress == usual || !count.is_zero() || known.is_some() {
                        let place = key.interface.0;
                        let before = known.unwrap_or_default();
                        flow.push((
                            *row,
                            way,
                            Crossing { place, is_ingress, count, before, ..Crossing::default() },
                        ));
                    }
                }
            }
        }
        // The first packet may have been on its way when the interval ended, to where there was no row for it yet.
        let came =
            |ago: u32| self.members.iter().any(|row| self.came[*row as usize] == self.now.wrapping_sub(ago));
        if came(0) && came(1) {
            for crossings in &mut flows {
                counted.clear();
                counted.extend(crossings.iter().map(|(row, way, crossing)| {
                    let traffic = table.get(*row).1;
                    let lane = if *way == Way::Sent { &traffic.sent } else { &traffic.received };
                    let usual = crossing.is_ingress == (*way == Way::Received);
                    let is_past = usual && self.came[*row as usize] == self.now.wrapping_sub(1);
                    let count = Count { bytes: lane.bytes, packets: lane.packets };
                    Crossing {
                        count: if is_past { count } else { Count::default() },
                        before: FramesBetween::default(),
                        ..*crossing
                    }
                }));
                self.sums.count_once(&self.topology, passing, &mut counted, true);
                for ((row, .., crossing), past) in crossings.iter_mut().zip(&counted) {
                    if self.came[*row as usize] == self.now {
                        crossing.before.awaited = past.open.awaited;
                    }
                }
            }
        }
        let may_be_translated =
            passing.is_routed && self.topology.routed() > 1 && !orientation.is_group(key.remote);
        for crossings in &mut flows {
            counted.clear();
            counted.extend(crossings.iter().map(|(.., crossing)| *crossing));
            self.sums.count_once(&self.topology, passing, &mut counted, last);
            let seen = |ingress: bool| {
                counted.iter().any(|crossing| crossing.is_ingress == ingress && !crossing.count.is_zero())
            };
            let one_sided = may_be_translated && !(seen(true) && seen(false));
            for ((row, way, _), crossing) in crossings.drain(..).zip(&counted) {
                let Crossing { is_ingress, count, once, open, .. } = *crossing;
                let mut amounts = [Count::default(); 2];
                amounts[way as usize] = difference(count, once);
                self.repeat(row, table, amounts);
                if open != FramesBetween::default() {
                    self.open.insert((row, way, is_ingress), open);
                }
                if one_sided {
                    self.one_sided.add(once);
                }
            }
        }
        (self.conversation, self.flow) = (flows, counted);
    }

    /// So much of a row's open interval is counted elsewhere.
    fn repeat(&mut self, row: u32, table: &AccountTable<RowKey>, amounts: [Count; 2]) {
        if amounts.iter().all(Count::is_zero) {
            return;
        }
        let (key, traffic) = table.get(row);
        for (way, count) in amounts.iter().enumerate() {
            sum(&mut self.of_interval[way], *count);
            if let Some(of_place) = self.by_place.get_mut(usize::from(key.interface.0)) {
                sum(&mut of_place[way], *count);
            }
        }
        self.account_of.resize(self.account_of.len().max(row as usize + 1), NONE);
        if self.account_of[row as usize] == NONE {
            let Some(account) = self.repeated.open(self.free.pop()) else { return };
            // Nothing of it repeated so far.
            let entry = (row, *traffic);
            match self.once.get_mut(account as usize) {
                Some(place) => *place = entry,
                None => self.once.push(entry),
            }
            self.account_of[row as usize] = account;
        }
        self.repeated.add_difference(self.account_of[row as usize], amounts);
    }

    fn account(&self, row: u32) -> Option<u32> {
        self.account_of.get(row as usize).copied().filter(|account| *account != NONE)
    }

    /// What a row got in the open interval that is counted there, of what it got.
    #[inline]
    pub(crate) fn pending_once(&self, row: u32, pending: [Count; 2]) -> [Count; 2] {
        match self.account(row) {
            None => pending,
            Some(account) => {
                let [sent, received] = self.repeated.pending_of(account);
                [difference(pending[0], sent), difference(pending[1], received)]
            }
        }
    }

    /// What is counted in the interval that is being closed of rows that have nothing in it.
    pub(crate) fn late(&self) -> &[(u32, [Count; 2])] {
        &self.late
    }

    /// What of the interval that is being closed is counted twice.
    pub(crate) const fn repeated_in_interval(&self) -> [Count; 2] {
        self.of_interval
    }

    /// Closes the interval, before it is closed for the rows.
    pub(crate) fn close(&mut self, length: Duration, closed: &ClosedWindow, table: &AccountTable<RowKey>) {
        let seconds = length.max(SHORTEST_PEAK).as_secs_f64();
        for account in 0..self.once.len() {
            let (row, _) = self.once[account];
            if row == NONE {
                continue;
            }
            let counts = self.pending_once(row, table.pending_of(row));
            if counts.iter().any(|count| count.bytes > 0) {
                let traffic = &mut self.once[account].1;
                let [sent, received] = counts.map(|count| count.bytes);
                traffic.sent.peak = traffic.sent.peak.max(rate(sent, seconds));
                traffic.received.peak = traffic.received.peak.max(rate(received, seconds));
                traffic.peak = traffic.peak.max(rate(sent + received, seconds));
            }
        }
        self.repeated.close(length, closed, |_, _| ());
        let Self { repeated, leaving, free, .. } = self;
        leaving.retain(|account| {
            let is_gone = is_out_of_windows(repeated.get(*account));
            if is_gone {
                free.push(*account);
            }
            !is_gone
        });
    }

    /// Takes up what the rows have come to, after the interval was closed for them.
    pub(crate) fn refresh(&mut self, table: &AccountTable<RowKey>) {
        for (account, (row, traffic)) in (0..).zip(&mut self.once) {
            if *row != NONE {
                *traffic = rest(table.get(*row).1, self.repeated.get(account), traffic);
            }
        }
    }

    /// A row is gone, with all that it has come to. The result is what of it was counted there.
    pub(crate) fn depart(&mut self, row: u32, key: &RowKey, traffic: &Traffic) -> Traffic {
        self.leave(row, key);
        let Some(account) = self.account(row) else { return *traffic };
        self.account_of[row as usize] = NONE;
        let (of, known) = &mut self.once[account as usize];
        *of = NONE;
        let repeated = self.repeated.get(account);
        let once = rest(traffic, repeated, known);
        if is_out_of_windows(repeated) {
            self.free.push(account);
        } else {
            self.leaving.push(account);
        }
        once
    }

    fn leave(&mut self, row: u32, key: &RowKey) {
        let Some(next) = self.ring.get(row as usize).copied().filter(|next| *next != NONE) else { return };
        let hash = self.hasher.hash_one(Conversation::of(key));
        let ring = &mut self.ring;
        let mut last = row;
        while ring[last as usize] != row {
            last = ring[last as usize];
        }
        if let Ok(mut entry) = self.index.find_entry(hash, |known| *known == row) {
            if next == row {
                entry.remove();
            } else {
                *entry.get_mut() = next;
            }
        }
        ring[last as usize] = next;
        ring[row as usize] = NONE;
    }

    /// The other rows of a row's conversation.
    pub(crate) fn others(&self, row: u32) -> impl Iterator<Item = u32> {
        let next =
            move |of: &u32| self.ring.get(*of as usize).copied().filter(|next| *next != NONE && *next != row);
        std::iter::successors(next(&row), next)
    }

    /// Of what a row has come to, the part that is counted there; `None` for all of it.
    pub(crate) fn once(&self, row: u32) -> Option<&Traffic> {
        self.account(row).map(|account| &self.once[account as usize].1)
    }

    /// For each account the part of its row that is asked for.
    pub(crate) fn parts(&self, part: impl Fn(u32) -> Option<Part>) -> Vec<Option<Part>> {
        self.once.iter().map(|(row, _)| if *row == NONE { None } else { part(*row) }).collect()
    }

    /// What of those parts is counted elsewhere in a closed interval.
    pub(crate) fn repeated_of(&self, interval: u64, parts: &[Option<Part>]) -> [u64; 2] {
        if parts.is_empty() { [0; 2] } else { self.repeated.sum(interval, parts) }
    }

    /// The other interfaces that a row's conversation crossed, with what is not counted there, sent and received as the row has
    /// it.
    pub(crate) fn crossed(
        &self,
        row: u32,
        table: &AccountTable<RowKey>,
        orientation: &Orientation,
    ) -> Vec<Crossed> {
        let mut all: Vec<Crossed> = Vec::new();
        let goes_back = |row: u32| goes_back(table.get(row).0, Way::Sent, orientation);
        for other in self.others(row) {
            let Some(account) = self.account(other) else { continue };
            let Traffic { sent, received, .. } = self.repeated.get(account);
            let count = |lane: &Lane| Count { bytes: lane.bytes, packets: lane.packets };
            let (mut sent, mut received) = (count(sent), count(received));
            if sent.is_zero() && received.is_zero() {
                continue;
            }
            if goes_back(other) != goes_back(row) {
                std::mem::swap(&mut sent, &mut received);
            }
            let interface = table.get(other).0.interface;
            match all.iter_mut().find(|known| known.interface == interface) {
                Some(known) => {
                    sum(&mut known.sent, sent);
                    sum(&mut known.received, received);
                }
                None => all.push(Crossed { interface, sent, received }),
            }
        }
        all.retain(|crossed| crossed.interface != table.get(row).0.interface);
        all.sort_unstable_by_key(|crossed| crossed.interface);
        all
    }

    /// What repeats since the start, by the interfaces' numbers.
    pub(crate) fn by_place(&self) -> &[[Count; 2]] {
        &self.by_place
    }

    /// What passed this host and has been seen on one side only: if the addresses are others on the other side, it is counted
    /// there too.
    pub(crate) const fn one_sided(&self) -> Count {
        self.one_sided
    }

    /// Whether what crosses an interface travels inside another conversation.
    pub(crate) fn is_tunnel(&self, place: usize) -> bool {
        self.topology.places.get(place).is_some_and(|place| place.tunnel.is_some())
    }

    /// The tunnels whose packets a row may carry, by the interfaces' numbers.
    pub(crate) fn inside(&self, row: &RowKey) -> impl Iterator<Item = u16> {
        let places = (0..).zip(&self.topology.places).filter(|(number, _)| *number != row.interface.0);
        places.filter(|(_, place)| place.may_be_inside(row)).map(|(number, _)| number)
    }

    /// Begins again with all totals and peaks.
    pub(crate) fn forget_totals(&mut self) {
        self.repeated.forget_totals();
        self.by_place.fill(Default::default());
        self.one_sided = Count::default();
        for (_, traffic) in &mut self.once {
            traffic.forget_totals();
        }
    }
}

/// What is left of a row, with the peaks that are known of it.
fn rest(all: &Traffic, repeated: &Traffic, known: &Traffic) -> Traffic {
    let lane = |all: &Lane, repeated: &Lane, known: &Lane| Lane {
        bytes: all.bytes.wrapping_sub(repeated.bytes),
        packets: all.packets.wrapping_sub(repeated.packets),
        recent: std::array::from_fn(|window| all.recent[window].wrapping_sub(repeated.recent[window])),
        peak: known.peak,
    };
    Traffic {
        sent: lane(&all.sent, &repeated.sent, &known.sent),
        received: lane(&all.received, &repeated.received, &known.received),
        peak: known.peak,
    }
}

fn is_out_of_windows(traffic: &Traffic) -> bool {
    traffic.sent.recent == [0; 3] && traffic.received.recent == [0; 3]
}

/// `count` less `other`, modulo 2^64.
const fn difference(count: Count, other: Count) -> Count {
    Count { bytes: count.bytes.wrapping_sub(other.bytes), packets: count.packets.wrapping_sub(other.packets) }
}

/// Adds modulo 2^64.
const fn sum(count: &mut Count, more: Count) {
    count.bytes = count.bytes.wrapping_add(more.bytes);
    count.packets = count.packets.wrapping_add(more.packets);
}

impl CrossingAccounts {
    /// Makes anew what did not travel, if what did can be gone on with.
    pub(crate) fn mend(
        &mut self,
        table: &AccountTable<RowKey>,
        timeline: &Timeline,
        first: &[u32],
    ) -> Result<(), WireError> {
        self.repeated.check(timeline)?;
        self.topology.check()?;
        self.sums.fit(&self.topology);
        let rows = table.numbered();
        let is_row = |row: u32| (row as usize) < rows;
        let Self { ring, routed, came, fresh, account_of, once, free, leaving, open, repeated, .. } = self;
        // What is not on a ring of rows would be looked for for ever.
        let mut led_to = vec![false; ring.len()];
        for next in ring.iter().filter(|next| **next != NONE) {
            let is_on_ring = ring.get(*next as usize).is_some_and(|after| *after != NONE);
            check(is_on_ring && is_row(*next), "conversations")?;
            check(!std::mem::replace(&mut led_to[*next as usize], true), "conversations")?;
        }
        check(ring.len() <= rows && routed.len() >= ring.len() && came.len() >= ring.len(), "conversations")?;
        let is_account = |account: &u32| (*account as usize) < once.len();
        let accounts = account_of.iter().filter(|account| **account != NONE);
        let are_accounts = accounts.chain(&*free).chain(&*leaving).all(is_account);
        let are_rows = once.iter().all(|(row, _)| *row == NONE || is_row(*row))
            && fresh.iter().all(|row| is_row(*row))
            && open.keys().all(|(row, ..)| is_row(*row));
        check(are_accounts && are_rows && repeated.len() == once.len(), "repeated accounts")?;
        self.by_place.resize(self.by_place.len().max(self.topology.places.len()), Default::default());
        let Self { index, hasher, ring, .. } = self;
        let of = |row: u32| Conversation::of(table.get(row).0);
        for row in first {
            check(ring.get(*row as usize).is_some_and(|next| *next != NONE), "conversations")?;
            index.insert_unique(hasher.hash_one(of(*row)), *row, |known| hasher.hash_one(of(*known)));
        }
        Ok(())
    }

    /// The row that each conversation is found by.
    pub(crate) fn first(&self) -> Vec<u32> {
        self.index.iter().copied().collect()
    }
}

wire_struct!(CrossingAccounts {
    topology, watches, ring, routed, fresh, came, now, account_of, repeated, once, free, leaving, open, contrary, by_place, one_sided;
    index, hasher, of_interval, late, sums, members, conversation, flow
});
