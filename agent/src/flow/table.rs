//! Accounts found by key.

use std::{
    hash::{BuildHasher, Hash},
    time::Duration,
};

use flowtally_common::Count;
use hashbrown::{DefaultHashBuilder, HashTable, hash_table::Entry};

use super::{
    accounts::{Accounts, Way},
    row::Traffic,
    window::Closed,
};

/// Keys, each with its account.
#[derive(Clone, Debug)]
pub(crate) struct Table<K> {
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    keys: Vec<K>,
    accounts: Accounts,
    free: Vec<u32>,
    limit: usize,
}

impl<K: Eq + Hash + Clone> Table<K> {
    /// A table that holds up to `limit` keys.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            index: HashTable::new(),
            hasher: DefaultHashBuilder::default(),
            keys: Vec::new(),
            accounts: Accounts::default(),
            free: Vec::new(),
            limit,
        }
    }

    /// The number of `key`'s account, opened if there is none, and whether it was opened now. `None` when the table is full.
    pub(crate) fn number(&mut self, key: &K) -> Option<(u32, bool)> {
        let Self { index, hasher, keys, accounts, free, limit } = self;
        let hash = hasher.hash_one(key);
        let full = index.len() >= *limit;
        match index.entry(
            hash,
            |number| keys[*number as usize] == *key,
            |number| hasher.hash_one(&keys[*number as usize]),
        ) {
            Entry::Occupied(entry) => Some((*entry.get(), false)),
            Entry::Vacant(_) if full => None,
            Entry::Vacant(entry) => {
                let number = accounts.open(free.pop())?;
                match keys.get_mut(number as usize) {
                    Some(place) => *place = key.clone(),
                    None => keys.push(key.clone()),
                }
                entry.insert(number);
                Some((number, true))
            }
        }
    }

    /// Adds to an account's open interval.
    #[inline]
    pub(crate) fn add(&mut self, number: u32, way: Way, count: Count) {
        self.accounts.add(number, way, count);
    }

    /// Closes the interval. With `evict`, what has been idle for the longest window is forgotten.
    pub(crate) fn close(&mut self, length: Duration, closed: &Closed, evict: bool) {
        let Self { index, hasher, keys, accounts, free, .. } = self;
        accounts.close(length, closed, |number| {
            if evict {
                let hash = hasher.hash_one(&keys[number as usize]);
                if let Ok(entry) = index.find_entry(hash, |other| *other == number) {
                    entry.remove();
                    free.push(number);
                }
            }
        });
    }

    /// Every key with its account, in no particular order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&K, &Traffic)> {
        self.index.iter().map(|number| (&self.keys[*number as usize], self.accounts.get(*number)))
    }

    /// How many keys there are.
    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }
}
