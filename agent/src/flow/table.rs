//! Accounts found by key.

use std::{
    hash::{BuildHasher, Hash},
    ops::Range,
    time::Duration,
};

use flowtally_common::Count;
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::{
    accounts::{Accounts, Way, bits},
    row::{Part, Traffic},
    window::{ClosedWindow, Timeline},
    wire::{WireError, WireForm, WireReader, check},
};

/// Keys, each with its account.
#[derive(Clone, Debug)]
pub(crate) struct AccountTable<K> {
    index: HashTable<KeyPlace>,
    hasher: DefaultHashBuilder,
    keys: Vec<K>,
    /// A bit for each account: whether it is in use.
    used: Vec<u64>,
    accounts: Accounts,
    free: Vec<u32>,
    /// How many keys have an account beside the one that they are found by.
    retired: usize,
    limit: usize,
}

/// Where a key is. Its hash goes along: without it, a growing index would have to visit all keys again, and a look-up
/// would visit keys that are not the wanted one.
#[derive(Clone, Copy, Debug)]
struct KeyPlace {
    hash: u32,
    number: u32,
}

impl KeyPlace {
    /// What the index files it under: the index takes the position from the lower bits, and a tag from the upper.
    fn filed(self) -> u64 {
        filed(self.hash)
    }
}

fn filed(hash: u32) -> u64 {
    u64::from(hash) << 32 | u64::from(hash)
}

impl<K: Eq + Hash + Clone> AccountTable<K> {
    /// A table that holds up to `limit` keys.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            used: Vec::new(),
            accounts: Accounts::default(),
            free: Vec::new(),
            retired: 0,
            limit,
        }
    }

    /// The numbers of the accounts of `wanted`, `None` for those that have none, in place of what is in `numbers`.
    pub(crate) fn find_all<'a>(
        &self,
        wanted: impl Iterator<Item = &'a K> + Clone,
        numbers: &mut Vec<Option<u32>>,
    ) where
        K: 'a,
    {
        // Two short loops in place of one long one: so the processor has many of the memory accesses under way.
        numbers.clear();
        numbers.extend(wanted.clone().map(|key| {
            let hash = self.hash(key);
            self.index.find(filed(hash), |place| place.hash == hash).map(|place| place.number)
        }));
        for (key, number) in wanted.zip(numbers) {
            if number.is_some_and(|number| self.keys[number as usize] != *key) {
                // Another key with the same hash.
                *number = self.find(key);
            }
        }
    }

    /// The number of `key`'s account, if it has one.
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        let hash = self.hash(key);
        let same = |place: &KeyPlace| place.hash == hash && self.keys[place.number as usize] == *key;
        self.index.find(filed(hash), same).map(|place| place.number)
    }

    /// The number of `key`'s account, opened if there is none, and whether it was opened now. `None` when the table is full.
    pub(crate) fn number(&mut self, key: &K) -> Option<(u32, bool)> {
        let hash = self.hash(key);
        let Self { index, keys, used, accounts, free, retired, limit, .. } = self;
        let full = index.len() + *retired >= *limit;
        match index.entry(
            filed(hash),
            |place| place.hash == hash && keys[place.number as usize] == *key,
            |place| place.filed(),
        ) {
            Entry::Occupied(entry) => Some((entry.get().number, false)),
            Entry::Vacant(_) if full => None,
            Entry::Vacant(entry) => {
                let number = accounts.open(free.pop())?;
                match keys.get_mut(number as usize) {
                    Some(place) => *place = key.clone(),
                    None => keys.push(key.clone()),
                }
                used.resize(keys.len().div_ceil(64), 0);
                used[number as usize / 64] |= 1 << (number % 64);
                entry.insert(KeyPlace { hash, number });
                Some((number, true))
            }
        }
    }

    /// Opens one more account for the key of account `of`, which the key is found by from now on. The other one stays in use
    /// until it is idle. `None` when the table is full.
    pub(crate) fn succeed(&mut self, of: u32) -> Option<u32> {
        if self.len() >= self.limit {
            return None;
        }
        let key = self.keys[of as usize].clone();
        let Self { keys, used, accounts, free, .. } = self;
        let number = accounts.open(free.pop())?;
        match keys.get_mut(number as usize) {
            Some(place) => *place = key,
            None => keys.push(key),
        }
        used.resize(keys.len().div_ceil(64), 0);
        used[number as usize / 64] |= 1 << (number % 64);
        self.retired += 1;
        self.lead_to(of, number);
        Some(number)
    }

    /// Lets a key that is found by account `from` be found by `to`, which is another one of its accounts.
    pub(crate) fn lead_to(&mut self, from: u32, to: u32) {
        let hash = self.hash(&self.keys[from as usize]);
        if let Some(place) = self.index.find_mut(filed(hash), |place| place.number == from) {
            place.number = to;
        }
    }

    /// Moves what the open interval has brought account `from` to account `to`.
    pub(crate) fn move_pending(&mut self, from: u32, to: u32) {
        let pending = self.accounts.take_pending(from);
        self.accounts.add_both(to, pending);
    }

    /// An account and its key.
    pub(crate) fn get(&self, number: u32) -> (&K, &Traffic) {
        (&self.keys[number as usize], self.accounts.get(number))
    }

    /// What the open interval has brought an account so far.
    pub(crate) fn pending_of(&self, number: u32) -> [Count; 2] {
        self.accounts.pending_of(number)
    }

    /// Whether the open interval has brought an account anything so far.
    pub(crate) fn is_pending(&self, number: u32) -> bool {
        self.accounts.is_pending(number)
    }

    fn hash(&self, key: &K) -> u32 {
        let hash = self.hasher.hash_one(key);
        (hash >> 32) as u32
    }

    /// Adds to an account's open interval.
    #[inline]
    pub(crate) fn add(&mut self, number: u32, way: Way, count: Count) {
        self.accounts.add(number, way, count);
    }

    /// Adds to an account's open interval, both ways.
    #[inline]
    pub(crate) fn add_both(&mut self, number: u32, counts: [Count; 2]) {
        self.accounts.add_both(number, counts);
    }

    /// What the open interval has brought so far, account by account in the order of their numbers.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (u32, [Count; 2])> {
        self.accounts.pending()
    }

    /// Closes the interval. What has been idle for the longest window is forgotten where `evict` says so, and told.
    pub(crate) fn close(
        &mut self,
        length: Duration,
        closed: &ClosedWindow,
        evict: impl Fn(u32) -> bool,
        mut evicted: impl FnMut(u32, &K, &Traffic),
    ) {
        let mut idle = Vec::new();
        self.accounts.close(length, closed, |number, _| {
            if evict(number) {
                idle.push(number);
            }
        });
        for number in idle {
            if self.forget(number) {
                evicted(number, &self.keys[number as usize], self.accounts.get(number));
            }
        }
    }

    /// Forgets an account, unless something of it is in a window or in the open interval: then it becomes idle later.
    pub(crate) fn forget_idle(&mut self, number: u32) {
        let Traffic { sent, received, .. } = self.accounts.get(number);
        if sent.recent[2] == 0 && received.recent[2] == 0 && !self.is_pending(number) {
            self.forget(number);
        }
    }

    /// Forgets an account. False where it has been forgotten: what brought it nothing is in a journal too (it was moved to another
    /// account), and may leave the longest window together with the last that did.
    fn forget(&mut self, number: u32) -> bool {
        let (word, bit) = (number as usize / 64, 1 << (number % 64));
        if self.used[word] & bit == 0 {
            return false;
        }
        self.used[word] &= !bit;
        let hash = self.hash(&self.keys[number as usize]);
        match self.index.find_entry(filed(hash), |place| place.number == number) {
            Ok(entry) => drop(entry.remove()),
            Err(_) => self.retired -= 1,
        }
        self.free.push(number);
        true
    }

    /// The numbers of the accounts in use, in the order of memory.
    pub(crate) fn numbers(&self) -> impl Iterator<Item = u32> {
        let words = (0..).step_by(64).zip(&self.used);
        words.flat_map(|(first, word)| bits(*word).map(move |bit| first + bit))
    }

    /// Every key with its account, in the order of memory: in that of the index every step would wait for memory.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Traffic)> {
        self.numbers().map(|number| self.get(number))
    }

    /// What some accounts got together in closed intervals: of each account the part that is asked for.
    pub(crate) fn intervals(
        &self,
        intervals: Range<u64>,
        part: impl Fn(u32) -> Option<Part>,
    ) -> impl Iterator<Item = (u64, [u64; 2])> {
        let mut parts = vec![None; self.keys.len()];
        for number in self.numbers() {
            parts[number as usize] = part(number);
        }
        let closed = self.accounts.closed();
        let (from, to) = (intervals.start.max(closed.start), intervals.end.min(closed.end));
        (from..to).map(move |interval| (interval, self.accounts.sum(interval, &parts)))
    }

    /// Begins again with all totals and peaks; what is recent stays.
    pub(crate) fn forget_totals(&mut self) {
        self.accounts.forget_totals();
    }

    /// How many numbers there are, in use or not.
    pub(crate) const fn numbered(&self) -> usize {
        self.keys.len()
    }

    /// Whether what was read from elsewhere can be gone on with.
    pub(crate) fn check(&self, timeline: &Timeline) -> Result<(), WireError> {
        self.accounts.check(timeline)
    }

    /// How many accounts there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len() + self.retired
    }
}

impl<K: WireForm + Eq + Hash + Clone> WireForm for AccountTable<K> {
    fn put(&self, to: &mut Vec<u8>) {
        let Self { index, keys, used, accounts, free, retired, limit, .. } = self;
        keys.put(to);
        used.put(to);
        accounts.put(to);
        free.put(to);
        retired.put(to);
        limit.put(to);
        index.iter().map(|place| place.number).collect::<Vec<_>>().put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        let mut table = Self {
            keys: WireForm::take(from)?,
            used: WireForm::take(from)?,
            accounts: WireForm::take(from)?,
            free: WireForm::take(from)?,
            retired: WireForm::take(from)?,
            limit: WireForm::take(from)?,
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
        };
        let places = table.keys.len();
        let is_full = table.accounts.len() == places && table.used.len() == places.div_ceil(64);
        check(is_full, "a table")?;
        check(table.free.iter().all(|number| (*number as usize) < places), "free places")?;
        let found = Vec::<u32>::take(from)?;
        let in_use: usize = table.used.iter().map(|word| word.count_ones() as usize).sum();
        let known =
            found.len().checked_add(table.retired).and_then(|known| known.checked_add(table.free.len()));
        check(in_use + table.free.len() == places && known == Some(places), "places in use")?;
        for number in found {
            let key = table.keys.get(number as usize).ok_or(WireError::Corrupt("an index"))?;
            check(table.used[number as usize / 64] & 1 << (number % 64) != 0, "an index")?;
            check(table.find(key).is_none(), "an index")?;
            let place = KeyPlace { hash: table.hash(key), number };
            table.index.insert_unique(place.filed(), place, |place| place.filed());
        }
        Ok(table)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What was moved away in its last interval leaves the window together with what came before, after a tick that was very late.
    #[test]
    fn an_account_is_forgotten_once() {
        let mut table = AccountTable::new(8);
        let mut timeline = Timeline::default();
        let mut end = Duration::ZERO;
        let mut forgotten = Vec::new();
        let mut close = |table: &mut AccountTable<u8>, seconds| {
            let length = Duration::from_secs(seconds);
            end += length;
            table.close(
                length,
                &timeline.close(end),
                |_| true,
                |number, key, _| forgotten.push((number, *key)),
            );
        };
        let count = Count { bytes: 100, packets: 1 };
        let (first, _) = table.number(&1).unwrap();
        table.add(first, Way::Sent, count);
        close(&mut table, 1);
        let second = table.succeed(first).unwrap();
        table.add(first, Way::Sent, count);
        table.move_pending(first, second);
        close(&mut table, 1);
        for _ in 0..2 {
            close(&mut table, 90);
        }
        assert_eq!(forgotten, [(first, 1), (second, 1)]);
        assert_eq!(table.len(), 0);
        let [one, other] = [2, 3].map(|key| table.number(&key).unwrap());
        assert_ne!(one, other);
    }
}
