//! What the entries that are on the screen did in the last minutes.
//!
//! Every ten seconds the sums of the ten-second window are put aside: whole intervals, none of them twice. Only of what is
//! listed at that moment, so that the cost does not grow with the number of flows.

use std::{collections::VecDeque, time::Duration};

use hashbrown::HashMap;

use super::list::{EntryKey, ListEntry};

/// Length of a sample, the window that it is taken from.
const SAMPLE: Duration = Duration::from_secs(10);
/// Index of that window.
const WINDOW: usize = 1;
/// Samples that are kept of an entry: ten minutes.
pub(super) const KEPT: usize = 60;
/// Most entries of which samples are kept.
const MOST: usize = 4096;

/// Sent and received in one sample, in bytes.
type Sample = [u64; 2];

/// The samples.
#[derive(Clone, Debug, Default)]
pub(super) struct Minutes {
    /// By the number of the sample.
    samples: HashMap<EntryKey, VecDeque<(u64, Sample)>>,
    /// The number of the last sample.
    last: u64,
}

impl Minutes {
    /// Takes a sample if it is time for one.
    ///
    /// `window` is how many seconds the window really is: in a log an interval may be longer than ten seconds, and a sample is its share then.
    pub(super) fn take<'a>(
        &mut self,
        elapsed: Duration,
        window: f64,
        entries: impl Iterator<Item = &'a ListEntry>,
    ) {
        let number = number(elapsed);
        if number <= self.last {
            return;
        }
        self.last = number;
        let oldest = number.saturating_sub(KEPT as u64);
        self.samples.retain(|_, samples| {
            while samples.front().is_some_and(|(number, _)| *number <= oldest) {
                samples.pop_front();
            }
            !samples.is_empty()
        });
        for entry in entries {
            if self.samples.len() >= MOST && !self.samples.contains_key(&entry.key) {
                continue;
            }
            let sample = [entry.sent.recent[WINDOW], entry.received.recent[WINDOW]];
            let sample = if window < LONG { sample } else { sample.map(|bytes| share(bytes, window)) };
            let samples = self.samples.entry_ref(&entry.key).or_default();
            // An entry may be listed and opened.
            if samples.back().is_none_or(|(last, _)| *last != number) {
                samples.push_back((number, sample));
            }
        }
    }

    /// The samples of an entry, oldest first; `None` where it was not listed.
    pub(super) fn of(&self, key: &EntryKey) -> Vec<Option<Sample>> {
        let mut line = vec![None; KEPT];
        for (number, sample) in self.samples.get(key).into_iter().flatten() {
            let age = usize::try_from(self.last - number).unwrap_or(usize::MAX);
            if let Some(place) = KEPT.checked_sub(age + 1) {
                line[place] = Some(*sample);
            }
        }
        line
    }
}

/// A window of more seconds than this is longer than ticks that are late make it.
const LONG: f64 = 15.0;

/// What of a window's bytes is a sample's.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it is less than the bytes are")]
fn share(bytes: u64, window: f64) -> u64 {
    (bytes as f64 * SAMPLE.as_secs_f64() / window).round() as u64
}

/// The number of the sample that ends nearest to this moment: ticks are not to the millisecond.
fn number(elapsed: Duration) -> u64 {
    (elapsed + Duration::from_millis(500)).as_secs() / SAMPLE.as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{flow::group::GroupKey, iftop::pair::PairAmounts, model::protocol::Kind};

    fn entry(kind: Kind, bytes: u64) -> ListEntry {
        let amounts = |bytes| PairAmounts { recent: [0, bytes, 0], bytes: 0 };
        ListEntry {
            key: EntryKey::Left(GroupKey::Protocol(kind)),
            sent: amounts(bytes),
            received: amounts(2 * bytes),
            flows: 1,
            owner: None,
        }
    }

    #[test]
    fn a_sample_every_ten_seconds_and_no_more_than_ten_minutes() {
        let mut minutes = Minutes::default();
        for second in 1..=700 {
            let listed = [Kind::TCP, Kind::UDP].map(|kind| entry(kind, second));
            let listed = &listed[..if (300..=320).contains(&second) { 1 } else { 2 }];
            minutes.take(Duration::from_millis(second * 1000 - 20), 10.0, listed.iter());
        }
        let of = |kind| minutes.of(&EntryKey::Left(GroupKey::Protocol(kind)));
        let expected: Vec<_> = (11..=70).map(|number| Some([number * 10, number * 20])).collect();
        assert_eq!(of(Kind::TCP), expected);
        let gaps: Vec<_> = of(Kind::UDP)
            .iter()
            .enumerate()
            .filter(|(_, sample)| sample.is_none())
            .map(|(at, _)| at)
            .collect();
        assert_eq!(gaps, [19, 20, 21]);
        assert_eq!(of(Kind::Ip(1)), [None; KEPT]);
    }

    #[test]
    fn of_a_longer_interval_it_has_a_share() {
        let mut minutes = Minutes::default();
        minutes.take(Duration::from_hours(1), 3600.0, [entry(Kind::TCP, 720_000)].iter());
        let of = minutes.of(&EntryKey::Left(GroupKey::Protocol(Kind::TCP)));
        assert_eq!(of.last(), Some(&Some([2000, 4000])));
    }

    #[test]
    fn what_has_not_been_listed_for_long_is_forgotten() {
        let mut minutes = Minutes::default();
        minutes.take(Duration::from_secs(10), 10.0, [entry(Kind::TCP, 1)].iter());
        for tens in 2..=70 {
            minutes.take(Duration::from_secs(10 * tens), 10.0, [entry(Kind::UDP, 1)].iter());
        }
        assert_eq!(minutes.samples.len(), 1);
    }
}
