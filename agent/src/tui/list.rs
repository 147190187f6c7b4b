//! The list: what rows come to under the chosen grouping, and the part of it that is on the screen.
//!
//! There may be a million entries, and a screen shows some twenty: only those are put in order and into words.

use std::{cmp::Ordering, hash::BuildHasher as _, ops::Range, sync::Arc};

use flowtally_common::Count;
use hashbrown::{DefaultHashBuilder, HashTable, hash_table};

use super::{filter::ScreenFilter, screen::Scroll, words::EntryWords};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        row::{Counting, Part, RowView},
    },
    iftop::{
        options::{IftopOptions, LineDisplay, PairOrder},
        order,
        pair::{PairAmounts, PairKey},
        view::{self, Surroundings},
    },
    model::owner::Attribution,
};

/// What rows are brought together by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Grouping(pub(super) GroupBy);

impl Grouping {
    /// In the order in which they follow each other.
    pub(super) const ALL: [Self; 12] = [
        Self(GroupBy::Flow),
        Self(GroupBy::Remote),
        Self(GroupBy::Local),
        Self(GroupBy::Port),
        Self(GroupBy::Protocol),
        Self(GroupBy::Interface),
        Self(GroupBy::Subnet { v4: 24, v6: 64 }),
        Self(GroupBy::Process),
        Self(GroupBy::Command),
        Self(GroupBy::User),
        Self(GroupBy::Container),
        Self(GroupBy::Netns),
    ];

    /// Of those there are, the one after it; after the last the first.
    #[must_use]
    pub(super) fn next(self, of: &[Self]) -> Self {
        let place = of.iter().position(|known| *known == self).map_or(0, |place| place + 1);
        of.get(place).or(of.first()).copied().unwrap_or(self)
    }

    /// In words.
    #[must_use]
    pub(super) const fn name(self) -> &'static str {
        match self.0 {
            GroupBy::Flow => "flow",
            GroupBy::Local => "local host",
            GroupBy::Remote => "remote host",
            GroupBy::Host => "pair of hosts",
            GroupBy::Port => "port",
            GroupBy::Service => "service",
            GroupBy::Protocol => "protocol",
            GroupBy::Interface => "interface",
            GroupBy::Subnet { .. } => "remote subnet",
            GroupBy::Process => "process",
            GroupBy::Command => "command",
            GroupBy::User => "user",
            GroupBy::Container => "container",
            GroupBy::Netns => "netns",
        }
    }
}

/// What an entry of the list is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) enum EntryKey {
    /// Two ends, as iftop has them.
    Pair(PairKey),
    /// A group that stands left: the local end, or what belongs to neither.
    Left(GroupKey),
    /// A group that stands right: the remote end.
    Right(GroupKey),
}

/// An entry of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ListEntry {
    /// What it is about.
    pub key: EntryKey,
    /// From left to right.
    pub sent: PairAmounts,
    /// From right to left.
    pub received: PairAmounts,
    /// How many rows it is made of.
    pub flows: u32,
    /// Whose it is, as far as that is shown: of the rows with an owner, the one with the most bytes in the longest window.
    pub owner: Option<Box<Owned>>,
}

/// Whose an entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Owned {
    /// The owner.
    pub by: Arc<Attribution>,
    /// Bytes of the longest window that are the owner's.
    bytes: u64,
    /// Whether other rows of the entry have other owners.
    pub mixed: bool,
}

impl ListEntry {
    /// An entry of no rows.
    pub(super) fn new(key: EntryKey) -> Self {
        Self { key, sent: PairAmounts::default(), received: PairAmounts::default(), flows: 0, owner: None }
    }

    /// Takes up whose a row of the entry is.
    fn own(&mut self, by: &Arc<Attribution>, bytes: u64) {
        match &mut self.owner {
            None => self.owner = Some(Box::new(Owned { by: Arc::clone(by), bytes, mixed: false })),
            Some(owned) if owned.by.is_same_owner(by) => owned.bytes += bytes,
            Some(owned) => {
                owned.mixed = true;
                if (by.owners.is_empty(), owned.bytes) < (owned.by.owners.is_empty(), bytes) {
                    (owned.by, owned.bytes) = (Arc::clone(by), bytes);
                }
            }
        }
    }
}

/// What decides how rows come together.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) options: &'a IftopOptions,
    pub(super) grouping: Grouping,
    pub(super) around: &'a Surroundings<'a>,
    /// Whether entries say whose they are.
    pub(super) owners: bool,
    /// Which interfaces count a frame that crosses several.
    pub(super) counting: Counting,
    /// Whether rows are conversations.
    pub(super) of_flows: bool,
}

impl Scope<'_> {
    /// The entries that a row belongs to, and what each takes of it.
    pub(super) fn shares(&self, view: RowView<'_>) -> impl Iterator<Item = (EntryKey, Part)> {
        let Self { options, grouping: Grouping(by), around, .. } = *self;
        let RowView { key: row, traffic, owner } = view;
        let group = by.key_of(row, owner, &around.names.services).map(|key| {
            // As in the totals, every packet on loopback is one that was sent.
            let loopback = around.loopback.contains(&row.interface);
            let part = if loopback { Part::BothAsSent } else { Part::Both };
            let remote = matches!(by, GroupBy::Remote | GroupBy::Subnet { .. });
            (if remote { EntryKey::Right(key) } else { EntryKey::Left(key) }, part)
        });
        let pairs = (by == GroupBy::Flow).then(|| {
            view::parts(row, traffic, options, around).map(|(pair, part)| (EntryKey::Pair(pair), part))
        });
        pairs.into_iter().flatten().chain(group)
    }

    /// What an entry takes of a row; `None` if the row has no part in it.
    pub(super) fn part(&self, key: &EntryKey, row: RowView<'_>) -> Option<Part> {
        self.shares(row).filter(|(of, _)| of == key).map(|(_, part)| part).reduce(Part::and)
    }
}

/// Entries by key, and those of them that are listed.
#[derive(Clone, Debug, Default)]
pub(super) struct EntryList {
    entries: Vec<ListEntry>,
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    /// What is listed; in order only where it is on the screen.
    listed: Vec<RankedEntry>,
    /// The keys that keep their places.
    frozen: Option<Vec<EntryKey>>,
    /// For an order by host: the hosts, by the numbers of entries.
    hosts: Vec<String>,
    /// What `listed` was made for; `None` when it has to be made anew.
    made_for: Option<(PairOrder, LineDisplay, bool)>,
    /// The part of `listed` that is in order.
    in_order: Range<usize>,
}

/// An entry's number, with as much of its rank as decides nearly all comparisons: a million entries are far apart in
/// memory.
#[derive(Clone, Copy, Debug)]
struct RankedEntry {
    rank: [u64; 3],
    number: u32,
}

impl EntryList {
    /// Brings rows together, in place of what was there.
    ///
    /// `departed` is what groups got from rows that are gone.
    pub(super) fn gather<'a>(
        &mut self,
        rows: impl Iterator<Item = RowView<'a>>,
        departed: impl Iterator<Item = (&'a EntryKey, [Count; 2])>,
        scope: &Scope<'_>,
    ) {
        self.entries.clear();
        self.index.clear();
        // Its numbers are those of entries that are gone.
        self.listed.clear();
        self.made_for = None;
        for row in rows {
            for (key, part) in scope.shares(row) {
                let taken = part.of_traffic(row.traffic);
                let (sent, received) = (PairAmounts::from(&taken.sent), PairAmounts::from(&taken.received));
                if sent.is_idle() && received.is_idle() {
                    continue;
                }
                let number = self.number(key);
                let entry = &mut self.entries[number as usize];
                entry.sent = entry.sent.plus(sent);
                entry.received = entry.received.plus(received);
                entry.flows = entry.flows.saturating_add(u32::from(scope.of_flows));
                if scope.owners {
                    entry.own(row.owner, taken.sent.recent[2].saturating_add(taken.received.recent[2]));
                }
            }
        }
        for (key, [sent, received]) in departed {
            if let Some(number) = self.find(key) {
                let entry = &mut self.entries[number as usize];
                entry.sent.bytes = entry.sent.bytes.saturating_add(sent.bytes);
                entry.received.bytes = entry.received.bytes.saturating_add(received.bytes);
            }
        }
    }

    /// The number of a key's entry, made if there is none.
    fn number(&mut self, key: EntryKey) -> u32 {
        let Self { entries, index, hasher, .. } = self;
        let entry = index.entry(
            hasher.hash_one(&key),
            |number| entries[*number as usize].key == key,
            |number| hasher.hash_one(&entries[*number as usize].key),
        );
        match entry {
            hash_table::Entry::Occupied(known) => *known.get(),
            hash_table::Entry::Vacant(free) => {
                let number = u32::try_from(entries.len()).unwrap_or(u32::MAX);
                entries.push(ListEntry::new(key));
                free.insert(number);
                number
            }
        }
    }

    fn find(&self, key: &EntryKey) -> Option<u32> {
        let hash = self.hasher.hash_one(key);
        self.index.find(hash, |number| self.entries[*number as usize].key == *key).copied()
    }

    /// The entry of a key.
    pub(super) fn get(&self, key: &EntryKey) -> Option<&ListEntry> {
        self.find(key).map(|number| &self.entries[number as usize])
    }

    /// Lets the order be found anew, frozen or not: the keys are others now.
    pub(super) fn thaw(&mut self) {
        self.frozen = None;
        self.made_for = None;
    }

    /// Decides what is listed, and puts what is on the screen in order. `scroll` says which part that is, and is told how
    /// much there is.
    pub(super) fn arrange(
        &mut self,
        words: &EntryWords<'_>,
        filter: Option<&ScreenFilter>,
        scroll: &mut Scroll,
        visible: usize,
    ) {
        self.freeze_or_thaw(words);
        let IftopOptions { sort, line_display, frozen, .. } = *words.options;
        // Hosts may have got names meanwhile.
        let lasting =
            (filter.is_none() && order::window(sort).is_some()).then_some((sort, line_display, frozen));
        if lasting.is_none() || lasting != self.made_for {
            self.list(words, filter);
            self.made_for = lasting;
            self.in_order = 0..0;
        }
        let frozen = self.frozen.is_some();
        let order = Order { entries: &self.entries, hosts: &self.hosts, options: words.options };
        let compare = |a: &RankedEntry, b: &RankedEntry| order.compare(*a, *b);
        let cursor = scroll.cursor.as_ref().and_then(|cursor| cursor.key.as_ref());
        let cursor = cursor.and_then(|key| self.find(key));
        let listed = &mut self.listed;
        let rank = cursor.and_then(|number| {
            let at = listed.iter().position(|place| place.number == number)?;
            let place = listed[at];
            Some(if frozen {
                at
            } else {
                listed.iter().filter(|other| compare(other, &place).is_lt()).count()
            })
        });
        scroll.settle(rank, listed.len(), visible);
        let (first, end) = scroll.shown();
        if !frozen && self.in_order != (first..end) {
            self.in_order = first..end;
            if first > 0 && first < listed.len() {
                listed.select_nth_unstable_by(first, compare);
            }
            let rest = &mut listed[first.min(end)..];
            let shown = end - first;
            if shown > 0 && shown < rest.len() {
                rest.select_nth_unstable_by(shown, compare);
            }
            rest[..shown].sort_unstable_by(compare);
        }
        let at_cursor = scroll.cursor.as_ref().map(|cursor| cursor.rank);
        if let Some(rank) = at_cursor.filter(|rank| (first..end).contains(rank)) {
            scroll.found(self.entries[listed[rank].number as usize].key.clone());
        }
    }

    /// Keeps the keys and their places from the moment in which the order is frozen.
    fn freeze_or_thaw(&mut self, words: &EntryWords<'_>) {
        if !words.options.frozen {
            self.frozen = None;
            return;
        }
        if self.frozen.is_none() {
            self.made_for = None;
            self.list(words, None);
            self.sort_all(words.options);
            self.frozen = Some(
                self.listed.iter().map(|place| self.entries[place.number as usize].key.clone()).collect(),
            );
        }
    }

    fn sort_all(&mut self, options: &IftopOptions) {
        let order = Order { entries: &self.entries, hosts: &self.hosts, options };
        self.listed.sort_unstable_by(|a, b| order.compare(*a, *b));
    }

    /// Fills `listed`, in no order unless it is frozen: then what is gone is listed with zeros.
    fn list(&mut self, words: &EntryWords<'_>, filter: Option<&ScreenFilter>) {
        let options = words.options;
        let numbers: Vec<u32> = match self.frozen.take() {
            Some(keys) => {
                let numbers = keys.iter().map(|key| self.number(key.clone())).collect();
                self.frozen = Some(keys);
                numbers
            }
            None => (0..u32::try_from(self.entries.len()).unwrap_or(u32::MAX)).collect(),
        };
        let Self { entries, listed, hosts, .. } = self;
        let window = order::window(options.sort);
        let place = |number: u32| {
            let ListEntry { sent, received, .. } = &entries[number as usize];
            let rank = window.map(|window| order::rank(*sent, *received, window, options.line_display));
            let rank = rank.map_or([0; 3], |[shown, both]| match options.line_display {
                LineDisplay::TwoLine | LineDisplay::OneLineBoth => both,
                LineDisplay::OneLineSent | LineDisplay::OneLineReceived => shown,
            });
            RankedEntry { rank, number }
        };
        let matches = |number: &u32| {
            filter.is_none_or(|filter| {
                let entry = &entries[*number as usize];
                words.ends(entry).iter().any(|end| filter.matches(&end.to_string()))
                    || EntryWords::owner(entry).is_some_and(|owner| filter.matches(&owner.to_string()))
            })
        };
        listed.clear();
        listed.extend(numbers.into_iter().filter(matches).map(place));
        hosts.clear();
        if window.is_none() {
            let side = usize::from(options.sort == PairOrder::Destination);
            hosts.extend(entries.iter().map(|entry| words.host(entry, side)));
        }
    }

    /// What is on the screen, in order.
    pub(super) fn shown(&self, scroll: &Scroll) -> impl Iterator<Item = &ListEntry> {
        let (first, end) = scroll.shown();
        let places = self.listed.get(first..end).unwrap_or_default();
        places.iter().map(|place| &self.entries[place.number as usize])
    }

    /// Everything that is listed, in no particular order.
    pub(super) fn any(&self) -> impl Iterator<Item = &ListEntry> {
        self.listed.iter().map(|place| &self.entries[place.number as usize])
    }

    /// Everything that is listed, in order.
    pub(super) fn all(&mut self, options: &IftopOptions) -> impl Iterator<Item = &ListEntry> {
        if self.frozen.is_none() {
            self.sort_all(options);
        }
        self.listed.iter().map(|place| &self.entries[place.number as usize])
    }

    /// The rank of the next entry after `after` that `wanted` is true for; after the last comes the first.
    pub(super) fn search(
        &mut self,
        options: &IftopOptions,
        after: Option<usize>,
        wanted: impl Fn(&ListEntry) -> bool,
    ) -> Option<usize> {
        let found: Vec<bool> = self.all(options).map(wanted).collect();
        let from = after.map_or(0, |rank| (rank + 1).min(found.len()));
        let behind = found[from..].iter().position(|found| *found).map(|rank| from + rank);
        behind.or_else(|| found.iter().position(|found| *found))
    }
}

/// What comes before what.
struct Order<'a> {
    entries: &'a [ListEntry],
    hosts: &'a [String],
    options: &'a IftopOptions,
}

impl Order<'_> {
    fn compare(&self, a: RankedEntry, b: RankedEntry) -> Ordering {
        let IftopOptions { sort, line_display, .. } = *self.options;
        let by_traffic = |window| {
            let [a, b] = [a, b].map(|place| {
                let entry = &self.entries[place.number as usize];
                order::rank(entry.sent, entry.received, window, line_display)
            });
            b.cmp(&a)
        };
        let order = b.rank.cmp(&a.rank).then_with(|| match (order::window(sort), line_display) {
            (None, _) => {
                self.hosts[a.number as usize].cmp(&self.hosts[b.number as usize]).then_with(|| by_traffic(2))
            }
            // The rank is all there is.
            (Some(_), LineDisplay::TwoLine | LineDisplay::OneLineBoth) => Ordering::Equal,
            (Some(window), LineDisplay::OneLineSent | LineDisplay::OneLineReceived) => by_traffic(window),
        });
        // Equal entries must not change places from one second to the next: the rows that they are made of don't.
        order.then(a.number.cmp(&b.number))
    }
}
