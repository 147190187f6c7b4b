//! Everything that is known of one entry: what its page shows.

use std::{
    collections::{BTreeSet, VecDeque},
    net::IpAddr,
    ops::Range,
    sync::Arc,
};

use flowtally_common::Count;

use super::list::{EntryKey, ListEntry, Scope};
use crate::{
    flow::{
        ledger::Ledger,
        orient::LocalRule,
        row::{Counting, InterfaceId, Interval, RowView, Traffic},
    },
    model::{owner::Attribution, protocol::Kind},
};

/// Most different values of one kind that are put into words.
const MOST: usize = 64;
/// Intervals of the longest window, in seconds: what the finer of the two sparklines shows.
pub(super) const SECONDS: usize = 40;

/// What is known.
#[derive(Clone, Debug)]
pub(super) struct Detail {
    /// What it is about.
    pub(super) entry: ListEntry,
    /// All rows of it, added up. The peak is exact for one row only.
    pub(super) traffic: Traffic,
    /// How many rows.
    pub(super) flows: usize,
    /// What each of the last seconds brought, oldest first.
    pub(super) seconds: VecDeque<Interval>,
    /// The highest rates of a second that have been seen, in bytes per second: sent, received, both.
    pub(super) peak: [u64; 3],
    /// What its rows have in common, or not.
    pub(super) facts: EntryFacts,
    /// The interval that comes next.
    next: u64,
}

/// What the rows of an entry are made of: each up to a number that nobody would read beyond.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct EntryFacts {
    pub(super) local: BTreeSet<IpAddr>,
    pub(super) remote: BTreeSet<IpAddr>,
    pub(super) local_ports: BTreeSet<(Kind, u16)>,
    pub(super) remote_ports: BTreeSet<(Kind, u16)>,
    pub(super) kinds: BTreeSet<Kind>,
    pub(super) vlans: BTreeSet<u16>,
    pub(super) interfaces: BTreeSet<InterfaceId>,
    /// Others that it crossed, and is not counted on.
    pub(super) crossed: BTreeSet<InterfaceId>,
    /// Tunnels whose packets it may carry.
    pub(super) inside: BTreeSet<InterfaceId>,
    pub(super) owners: BTreeSet<Arc<Attribution>>,
    /// Why the local end is the local one, in the words of [`LocalRule`].
    pub(super) rules: Vec<LocalRule>,
}

impl EntryFacts {
    fn add(&mut self, RowView { key: row, owner, .. }: RowView<'_>, rule: LocalRule) {
        fn add<T: Ord>(set: &mut BTreeSet<T>, value: T) {
            if set.len() < MOST {
                set.insert(value);
            }
        }
        if let Some((local, remote)) = row.local_address().zip(row.remote_address()) {
            add(&mut self.local, local);
            add(&mut self.remote, remote);
        }
        if row.kind.has_ports() {
            add(&mut self.local_ports, (row.kind, row.local_port));
            add(&mut self.remote_ports, (row.kind, row.remote_port));
        }
        add(&mut self.kinds, row.kind);
        add(&mut self.vlans, row.vlan);
        add(&mut self.interfaces, row.interface);
        if self.owners.len() < MOST && !self.owners.contains(owner) {
            self.owners.insert(Arc::clone(owner));
        }
        if !self.rules.contains(&rule) {
            self.rules.push(rule);
        }
    }
}

impl Detail {
    /// What is known of an entry, with as much of its past as the ledger has.
    pub(super) fn open(key: &EntryKey) -> Self {
        Self {
            entry: ListEntry::new(key.clone()),
            traffic: Traffic::default(),
            flows: 0,
            seconds: VecDeque::new(),
            peak: [0; 3],
            facts: EntryFacts::default(),
            next: 0,
        }
    }

    /// Takes up what has happened since, up to but not including interval `end`. `departed` is what groups got from rows that
    /// are gone, and `entry` its entry in the list, `None` if it is gone itself.
    pub(super) fn update<'a>(
        &mut self,
        ledger: &Ledger,
        rows: impl Iterator<Item = RowView<'a>>,
        departed: impl Iterator<Item = (&'a EntryKey, [Count; 2])>,
        entry: Option<ListEntry>,
        scope: &Scope<'_>,
        end: u64,
    ) {
        if let Some(entry) = entry {
            self.entry = entry;
        } else {
            self.entry.sent.recent = [0; 3];
            self.entry.received.recent = [0; 3];
        }
        let key = self.entry.key.clone();
        let (mut traffic, mut flows, mut facts) = (Traffic::default(), 0, EntryFacts::default());
        for row in rows {
            let Some(part) = scope.part(&key, row) else { continue };
            traffic.merge(&part.of_traffic(row.traffic));
            flows += 1;
            let loopback = scope.around.loopback.contains(&row.key.interface);
            if scope.counting == Counting::Once && facts.crossed.len() < MOST && flows <= MOST {
                facts.crossed.extend(ledger.crossed_by(row.key).iter().map(|crossed| crossed.interface));
            }
            if flows <= MOST {
                facts.inside.extend(ledger.inside(row.key));
            }
            facts.add(row, ledger.orientation().rule(row.key, loopback));
        }
        for (_, totals) in departed.filter(|(of, _)| **of == key) {
            for (lane, total) in [&mut traffic.sent, &mut traffic.received].into_iter().zip(totals) {
                lane.bytes = lane.bytes.saturating_add(total.bytes);
                lane.packets = lane.packets.saturating_add(total.packets);
            }
        }
        // What is gone keeps the last that was known of it.
        if flows > 0 {
            (self.traffic, self.flows, self.facts) = (traffic, flows, facts);
        }
        let new: Range<u64> = self.next.max(end.saturating_sub(SECONDS as u64))..end;
        for interval in ledger.intervals(new, scope.counting, |row| scope.part(&key, row)) {
            let rates = rates(&interval);
            for (peak, rate) in self.peak.iter_mut().zip(rates) {
                *peak = (*peak).max(rate);
            }
            self.seconds.push_back(interval);
        }
        self.next = end;
        while self.seconds.len() > SECONDS {
            self.seconds.pop_front();
        }
        if self.flows == 1 {
            let Traffic { sent, received, peak } = &self.traffic;
            for (known, of_row) in self.peak.iter_mut().zip([sent.peak, received.peak, *peak]) {
                *known = (*known).max(of_row);
            }
        }
    }

    /// Begins again with the peaks.
    pub(super) const fn forget_totals(&mut self) {
        self.peak = [0; 3];
        self.traffic.forget_totals();
    }
}

/// Sent, received and both, in bytes per second.
pub(super) fn rates(interval: &Interval) -> [u64; 3] {
    /// A shorter interval counts as this long: a few packets in the last milliseconds of a run are no record.
    const SHORTEST: f64 = 0.9;
    let seconds = interval.length.as_secs_f64().max(SHORTEST);
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "rates are positive and far below 2^64"
    )]
    let rate = |bytes: u64| (bytes as f64 / seconds).round() as u64;
    [interval.sent, interval.received, interval.sent.saturating_add(interval.received)].map(rate)
}
