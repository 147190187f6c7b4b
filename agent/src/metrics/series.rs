//! The series of one kind: which have amounts of their own.
//!
//! A tick's largest are those that ought to be shown. One that is shown keeps its place for as long as it was among them within the
//! retention, and loses it then; free places go to the largest that have none. So a place changes hands at most once a retention, the
//! number of series is bounded at every moment, and so is that of a day.
//!
//! What a series had come to when it lost its place is `retired`, apart from `other`: that a sum moves from one counter to another would
//! look to whoever asks for a rate as if it had been sent once more.

use std::{cmp::Ordering, collections::BTreeMap, time::Duration};

use flowtally_common::Count;
use hashbrown::HashMap;

use super::subject::MetricSubject;

/// Sent and received.
pub(super) type SeriesCounts = [Count; 2];

/// Which interface: numbers are not used again.
pub(super) type InterfaceNumber = u32;

/// The series of one kind, of all interfaces.
#[derive(Debug, Default)]
pub(super) struct SeriesBook {
    shown: HashMap<(InterfaceNumber, MetricSubject), ShownSeries>,
    rests: BTreeMap<InterfaceNumber, SeriesRest>,
}

#[derive(Debug)]
struct ShownSeries {
    counts: SeriesCounts,
    /// When it was last among the largest.
    largest: Duration,
}

/// What of an interface is in no series.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SeriesRest {
    /// Of those that had no place when it came.
    pub(super) other: SeriesCounts,
    /// Of those that had one and lost it, and of the time before there were series of this kind.
    pub(super) retired: SeriesCounts,
}

impl SeriesBook {
    /// Begins with what has come to each interface so far, of which nobody knows any more what it was of.
    pub(super) fn new(before: impl Iterator<Item = (InterfaceNumber, SeriesCounts)>) -> Self {
        let rests = before.map(|(number, retired)| (number, SeriesRest { retired, ..SeriesRest::default() }));
        Self { shown: HashMap::new(), rests: rests.collect() }
    }

    /// An interface is there from now on.
    pub(super) fn open(&mut self, interface: InterfaceNumber) {
        self.rests.entry(interface).or_default();
    }

    /// An interface is gone, and all that was its.
    pub(super) fn forget(&mut self, interface: InterfaceNumber) {
        self.rests.remove(&interface);
        self.shown.retain(|(of, _), _| *of != interface);
    }

    /// Adds what a tick that ended at `now` brought.
    pub(super) fn add(
        &mut self,
        now: Duration,
        brought: HashMap<(InterfaceNumber, MetricSubject), SeriesCounts>,
        top: usize,
        retention: Duration,
    ) {
        let mut brought: Vec<_> = brought.into_iter().collect();
        let largest = top.min(brought.len());
        if largest < brought.len() {
            brought.select_nth_unstable_by(largest, most_first);
        }
        brought[..largest].sort_unstable_by(most_first);
        for (key, _) in &brought[..largest] {
            if let Some(series) = self.shown.get_mut(key) {
                series.largest = now;
            }
        }
        self.retire(now, top, retention);
        for (place, (key, counts)) in brought.into_iter().enumerate() {
            if let Some(series) = self.shown.get_mut(&key) {
                add_both(&mut series.counts, counts);
            } else if place < largest && self.shown.len() < top {
                self.shown.insert(key, ShownSeries { counts, largest: now });
            } else {
                add_both(&mut self.rests.entry(key.0).or_default().other, counts);
            }
        }
    }

    /// Takes their places from those whose time is over, and where there are fewer places than before, from those that were among the
    /// largest the longest ago.
    fn retire(&mut self, now: Duration, top: usize, retention: Duration) {
        let Self { shown, rests } = self;
        let mut retired = |(interface, _): &(InterfaceNumber, MetricSubject), series: &ShownSeries| {
            add_both(&mut rests.entry(*interface).or_default().retired, series.counts);
        };
        shown.retain(|key, series| {
            let stays = now.saturating_sub(series.largest) <= retention;
            if !stays {
                retired(key, series);
            }
            stays
        });
        let beyond = shown.len().saturating_sub(top);
        if beyond > 0 {
            let mut order: Vec<_> = shown.iter().map(|(key, series)| (series.largest, key.clone())).collect();
            order.sort_unstable();
            for (_, key) in order.into_iter().take(beyond) {
                if let Some(series) = shown.remove(&key) {
                    retired(&key, &series);
                }
            }
        }
    }

    /// How many have amounts of their own.
    pub(super) fn len(&self) -> usize {
        self.shown.len()
    }

    /// Those that have amounts of their own.
    pub(super) fn shown(&self) -> impl Iterator<Item = (InterfaceNumber, &MetricSubject, SeriesCounts)> {
        self.shown.iter().map(|((interface, subject), series)| (*interface, subject, series.counts))
    }

    /// What else there is of each interface.
    pub(super) fn rests(&self) -> impl Iterator<Item = (InterfaceNumber, SeriesRest)> {
        self.rests.iter().map(|(interface, rest)| (*interface, *rest))
    }
}

/// Those that brought more bytes first; of equals the one that is first in order.
fn most_first<K: Ord>((key, counts): &(K, SeriesCounts), (other, theirs): &(K, SeriesCounts)) -> Ordering {
    let bytes = |counts: &SeriesCounts| counts[0].bytes.saturating_add(counts[1].bytes);
    bytes(theirs).cmp(&bytes(counts)).then_with(|| key.cmp(other))
}

pub(super) fn add_both(sum: &mut SeriesCounts, more: SeriesCounts) {
    for (sum, more) in sum.iter_mut().zip(more) {
        sum.add(more);
    }
}
