//! Ticks added up to one interval of the log.
//!
//! Conversations alone are kept, each with its owner; every other granularity is made of them when the interval is written. So an
//! owner that is found late takes along what came earlier in the interval. What finds no room counts on its interface all the same.

use std::{
    hash::BuildHasher,
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;
use hashbrown::{DefaultHashBuilder, HashTable};

use super::clock::Leap;
use crate::{
    flow::{
        interval::{Difference, InterfaceInterval, RowInterval},
        row::{InterfaceId, RowKey},
    },
    model::{
        owner::{Attribution, Reason},
        protocol::Kind,
    },
};

/// Most sentences on what was degraded: they may have numbers in them.
const MOST_SENTENCES: usize = 16;

/// An interval of the log: what several ticks brought.
#[derive(Debug)]
pub struct LogFold {
    pub(super) span: Span,
    pub(super) flows: Vec<FoldedFlow>,
    /// Places in `flows`, by the key's hash.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
    max_flows: usize,
    /// By [`InterfaceId`]: ids are small and dense.
    pub(super) interfaces: Vec<Option<FoldedInterface>>,
}

/// The time that it is of.
#[derive(Clone, Debug)]
pub(super) struct Span {
    /// By the wall clock.
    pub(super) start: SystemTime,
    pub(super) end: SystemTime,
    /// Measured time.
    pub(super) measured: Duration,
    /// How many intervals are over and in it: more than one where those before could not be written.
    pub(super) intervals: u64,
    /// Where the last of them ended, or it began: from here on the next one is measured.
    pub(super) opened: SystemTime,
    /// Whether there has been a tick since.
    pub(super) is_open: bool,
    /// How long the host was suspended before it began, or in it where it is made of several.
    pub(super) gap: Duration,
    /// How far the wall clock was set then, in milliseconds.
    pub(super) step_ms: i64,
    pub(super) late_ticks: u64,
    /// What was less than it could be, a sentence each.
    pub(super) degraded: Vec<String>,
}

/// A conversation, as far as it was one owner's.
#[derive(Clone, Debug)]
pub(super) struct FoldedFlow {
    pub(super) key: RowKey,
    pub(super) owner: Arc<Attribution>,
    /// Sent and received.
    pub(super) counts: [Count; 2],
}

/// What an interface got.
#[derive(Clone, Debug, Default)]
pub(super) struct FoldedInterface {
    pub(super) name: String,
    pub(super) index: u32,
    pub(super) hook: String,
    pub(super) degraded: Vec<String>,
    /// By direction.
    pub(super) counted: [Count; 2],
    pub(super) kernel: [Count; 2],
    pub(super) untracked: Count,
    pub(super) repeated: Difference,
    pub(super) left_out: Count,
    /// What of that a capture filter left out, by direction.
    pub(super) filtered: [Count; 2],
    pub(super) residue: Difference,
    /// Of the rows that could not be parsed.
    pub(super) unparsed: Count,
    /// Sent and received in all other rows.
    pub(super) rows: [Count; 2],
    /// What of that found no room, and how many conversations at least.
    pub(super) beyond: [Count; 2],
    pub(super) beyond_rows: u64,
}

impl FoldedInterface {
    /// Whether there is anything to say of it.
    pub(super) fn is_worth_a_line(&self) -> bool {
        let nothing = |counts: &[Count]| counts.iter().all(Count::is_zero);
        let none = Difference::default();
        self.hook != "none"
            || !nothing(&self.counted)
            || !nothing(&self.kernel)
            || !nothing(&self.rows)
            || !nothing(&[self.untracked, self.left_out, self.unparsed])
            || self.repeated != none
            || self.residue != none
    }

    /// Adds what came later, or what another interface of the same name got.
    pub(super) fn add(&mut self, later: &Self) {
        add_both(&mut self.counted, later.counted);
        add_both(&mut self.kernel, later.kernel);
        add_both(&mut self.filtered, later.filtered);
        add_both(&mut self.rows, later.rows);
        add_both(&mut self.beyond, later.beyond);
        self.untracked.add(later.untracked);
        self.unparsed.add(later.unparsed);
        self.left_out.add(later.left_out);
        add_difference(&mut self.repeated, later.repeated);
        add_difference(&mut self.residue, later.residue);
        self.beyond_rows = self.beyond_rows.max(later.beyond_rows);
    }
}

impl LogFold {
    /// Nothing yet. `capacity` is how many conversations there will be, as far as that is known.
    pub(super) fn new(start: SystemTime, leap: Leap, max_flows: usize, capacity: usize) -> Self {
        let max_flows = max_flows.min(u32::MAX as usize);
        let capacity = capacity.min(max_flows);
        Self {
            span: Span {
                start,
                end: start,
                measured: Duration::ZERO,
                intervals: 0,
                opened: start,
                is_open: false,
                gap: leap.gap,
                step_ms: leap.step_ms,
                late_ticks: 0,
                degraded: Vec::new(),
            },
            flows: Vec::with_capacity(capacity),
            index: HashTable::with_capacity(capacity),
            hasher: DefaultHashBuilder::default(),
            max_flows,
            interfaces: Vec::new(),
        }
    }

    /// How many conversations are kept.
    #[must_use]
    pub fn flows(&self) -> usize {
        self.flows.len()
    }

    /// When it began, by the wall clock.
    #[must_use]
    pub const fn start(&self) -> SystemTime {
        self.span.start
    }

    /// How many intervals could not be handed over or written before the last one in it.
    #[must_use]
    pub fn carried(&self) -> u64 {
        self.span.intervals.saturating_sub(1)
    }

    /// Adds a tick, which took so long and ended at `wall`.
    pub(super) fn begin_tick(&mut self, length: Duration, wall: SystemTime, is_late: bool) {
        self.span.measured += length;
        self.span.end = wall;
        self.span.late_ticks += u64::from(is_late);
        self.span.is_open = true;
    }

    /// The interval is over.
    pub(super) fn close(&mut self) {
        self.span.intervals += u64::from(std::mem::take(&mut self.span.is_open));
        self.span.opened = self.span.end;
    }

    /// When the interval began that is not over yet.
    pub(super) const fn opened_at(&self) -> SystemTime {
        self.span.opened
    }

    /// The host was suspended, or its clock was set: the interval that is not over began at `start` by the clock as it is now.
    pub(super) fn leap(&mut self, leap: Leap, start: SystemTime) {
        self.span.opened = start;
        self.span.gap += leap.gap;
        self.span.step_ms = self.span.step_ms.saturating_add(leap.step_ms);
    }

    /// Says what is less than it could be.
    pub(super) fn note_degraded(&mut self, sentences: &[String]) {
        let mine = &mut self.span.degraded;
        for sentence in sentences {
            if mine.len() < MOST_SENTENCES && !mine.contains(sentence) {
                mine.push(sentence.clone());
            }
        }
    }

    /// Adds what a tick brought an interface, and what its residue changed by.
    pub(super) fn add_interface(&mut self, interval: &InterfaceInterval, residue: Difference) {
        let InterfaceInterval { view, counted, kernel, untracked, repeated, left_out, filtered } = interval;
        let interface = slot(&mut self.interfaces, view.id);
        if interface.name != view.name {
            interface.name.clone_from(&view.name);
        }
        interface.index = view.index;
        interface.hook.clone_from(&view.hook);
        interface.degraded.clone_from(&view.degraded);
        add_both(&mut interface.counted, *counted);
        add_both(&mut interface.kernel, *kernel);
        interface.untracked.add(*untracked);
        interface.left_out.add(*left_out);
        add_both(&mut interface.filtered, *filtered);
        add_difference(&mut interface.repeated, *repeated);
        add_difference(&mut interface.residue, residue);
    }

    /// Adds what a tick brought rows.
    pub(super) fn add_rows<'a>(&mut self, rows: impl Iterator<Item = RowInterval<'a>>) {
        let mut refused: Vec<(InterfaceId, u64)> = Vec::new();
        for RowInterval { key, owner, counts } in rows {
            let [sent, received] = counts;
            if sent.is_zero() && received.is_zero() {
                continue;
            }
            let interface = slot(&mut self.interfaces, key.interface);
            if matches!(key.kind, Kind::Unparsed(_)) {
                interface.unparsed.add(sent);
                interface.unparsed.add(received);
                continue;
            }
            add_both(&mut interface.rows, counts);
            if !self.add_flow(key, owner, counts) {
                add_both(&mut slot(&mut self.interfaces, key.interface).beyond, counts);
                match refused.iter_mut().find(|(id, _)| *id == key.interface) {
                    Some((_, rows)) => *rows += 1,
                    None => refused.push((key.interface, 1)),
                }
            }
        }
        for (id, rows) in refused {
            let interface = slot(&mut self.interfaces, id);
            interface.beyond_rows = interface.beyond_rows.max(rows);
        }
    }

    /// Adds to a conversation; false where there is no room for it.
    fn add_flow(&mut self, key: &RowKey, owner: &Arc<Attribution>, counts: [Count; 2]) -> bool {
        let Self { flows, index, hasher, max_flows, .. } = self;
        let hash = hasher.hash_one(key);
        let is_same = |place: &u32| {
            let flow = &flows[*place as usize];
            Arc::ptr_eq(&flow.owner, owner) && flow.key == *key
        };
        let found = index.find(hash, is_same).or_else(|| {
            index.find(hash, |place| {
                let flow = &flows[*place as usize];
                flow.key == *key && continues(&flow.owner, owner)
            })
        });
        if let Some(place) = found {
            let flow = &mut flows[*place as usize];
            add_both(&mut flow.counts, counts);
            if !Arc::ptr_eq(&flow.owner, owner) {
                flow.owner = Arc::clone(owner);
            }
            return true;
        }
        if flows.len() >= *max_flows {
            return false;
        }
        let Ok(place) = u32::try_from(flows.len()) else { return false };
        flows.push(FoldedFlow { key: *key, owner: Arc::clone(owner), counts });
        index.insert_unique(hash, place, |place| hasher.hash_one(flows[*place as usize].key));
        true
    }

    /// Adds what came after it.
    pub fn merge(&mut self, later: Self) {
        self.close();
        let Self { span, flows, interfaces, .. } = later;
        self.span.end = span.end;
        self.span.measured += span.measured;
        self.span.intervals += span.intervals;
        self.span.opened = span.opened;
        self.span.is_open = span.is_open;
        self.span.gap += span.gap;
        self.span.step_ms = self.span.step_ms.saturating_add(span.step_ms);
        self.span.late_ticks += span.late_ticks;
        self.note_degraded(&span.degraded);
        for (id, theirs) in (0..).map(InterfaceId).zip(interfaces) {
            let Some(theirs) = theirs else { continue };
            let mine = slot(&mut self.interfaces, id);
            mine.add(&theirs);
            let FoldedInterface { name, index, hook, degraded, .. } = theirs;
            (mine.name, mine.index, mine.hook, mine.degraded) = (name, index, hook, degraded);
        }
        let mut refused = vec![0_u64; self.interfaces.len()];
        for FoldedFlow { key, owner, counts } in flows {
            if !self.add_flow(&key, &owner, counts) {
                refused[usize::from(key.interface.0)] += 1;
                add_both(&mut slot(&mut self.interfaces, key.interface).beyond, counts);
            }
        }
        for (interface, refused) in self.interfaces.iter_mut().zip(refused) {
            if let Some(interface) = interface {
                interface.beyond_rows = interface.beyond_rows.max(refused);
            }
        }
    }
}

/// Whether a row of `later` is the one that was `former`'s: the same owner, as it is known now, or the one that was looked for.
fn continues(former: &Attribution, later: &Attribution) -> bool {
    let was_wanted =
        matches!(former.reason, Reason::NotLooked | Reason::Gone | Reason::NoSocket | Reason::NotPermitted);
    former.owners.is_empty() && was_wanted || former.is_same_owner(later)
}

fn slot(interfaces: &mut Vec<Option<FoldedInterface>>, InterfaceId(id): InterfaceId) -> &mut FoldedInterface {
    let id = usize::from(id);
    if interfaces.len() <= id {
        interfaces.resize_with(id + 1, || None);
    }
    interfaces[id].get_or_insert_default()
}

/// Both ways.
pub(super) fn add_both(sum: &mut [Count; 2], more: [Count; 2]) {
    for (sum, more) in sum.iter_mut().zip(more) {
        sum.add(more);
    }
}

pub(super) fn add_difference(sum: &mut Difference, more: Difference) {
    sum.bytes = sum.bytes.saturating_add(more.bytes);
    sum.packets = sum.packets.saturating_add(more.packets);
}
