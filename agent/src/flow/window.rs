//! Which intervals the last 2, 10 and 40 seconds are made of.
//!
//! Intervals are about a second long, but late under load, so a window is whole intervals: those whose middle is no
//! older than the window. Rates divide by the real length of those. An interval that is longer than a window makes it up
//! alone.

use std::{collections::VecDeque, ops::Range, time::Duration};

use super::{
    row::WINDOWS,
    wire::{WireError, check, wire_struct},
};

/// The recent intervals, by sequence number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Timeline {
    /// Start and end of each interval since the start of the longest window, measured from the start of the run.
    intervals: VecDeque<(Duration, Duration)>,
    /// Sequence number of the first of `intervals`.
    base: u64,
    /// For each window, the sequence number of its oldest interval.
    oldest: [u64; 3],
}

/// What closing an interval changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ClosedWindow {
    /// For each window, the intervals that are no longer in it.
    pub(crate) left: [Range<u64>; 3],
}

impl Timeline {
    /// Ends the interval that began where the last one ended; `end` is measured from the start of the run.
    pub(crate) fn close(&mut self, end: Duration) -> ClosedWindow {
        let start = self.end();
        let end = end.max(start);
        self.intervals.push_back((start, end));
        let newest = self.base + self.intervals.len() as u64 - 1;
        let mut left = [const { 0..0 }; 3];
        for ((oldest, left), seconds) in self.oldest.iter_mut().zip(&mut left).zip(WINDOWS) {
            let from = *oldest;
            while *oldest < newest {
                let (start, stop) = self.intervals[index(*oldest, self.base)];
                // Twice the age of the interval's middle, to stay in whole nanoseconds.
                if end.saturating_sub(start) + end.saturating_sub(stop) <= Duration::from_secs(2 * seconds) {
                    break;
                }
                *oldest += 1;
            }
            *left = from..*oldest;
        }
        while self.base < self.oldest[2] {
            self.intervals.pop_front();
            self.base += 1;
        }
        ClosedWindow { left }
    }

    /// End of the last interval, measured from the start of the run.
    pub(crate) fn end(&self) -> Duration {
        self.intervals.back().map_or(Duration::ZERO, |(_, end)| *end)
    }

    /// The sequence numbers of the intervals that the longest window holds.
    pub(crate) fn closed(&self) -> Range<u64> {
        self.base..self.next()
    }

    /// Whether what was read from elsewhere can be gone on with.
    pub(crate) fn check(&self) -> Result<(), WireError> {
        let Self { intervals, base, oldest } = self;
        let newest = base.saturating_add((intervals.len() as u64).saturating_sub(1));
        check(newest < 1 << 60 && oldest.iter().all(|oldest| (*base..=newest).contains(oldest)), "windows")?;
        let is_in_order = intervals.iter().all(|(start, end)| start <= end);
        check(is_in_order, "intervals")
    }

    /// The sequence number of the next interval.
    pub(crate) fn next(&self) -> u64 {
        self.base + self.intervals.len() as u64
    }

    /// Length of an interval that the longest window holds.
    pub(crate) fn length(&self, interval: u64) -> Option<Duration> {
        let place = usize::try_from(interval.checked_sub(self.base)?).ok()?;
        self.intervals.get(place).map(|(start, end)| end.saturating_sub(*start))
    }

    /// Real length of each window, in seconds.
    pub(crate) fn window_seconds(&self) -> [f64; 3] {
        self.oldest.map(|oldest| match self.intervals.get(index(oldest, self.base)) {
            Some((start, _)) => self.end().saturating_sub(*start).as_secs_f64(),
            None => 0.0,
        })
    }
}

/// Place of sequence number `of` in a queue that starts at `base`.
pub(crate) fn index(of: u64, base: u64) -> usize {
    usize::try_from(of - base).unwrap_or(usize::MAX)
}

wire_struct!(Timeline { intervals, base, oldest });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, from the whole history.
    fn naive(ends: &[Duration], seconds: u64) -> (usize, f64) {
        let now = *ends.last().unwrap();
        let age = |moment: Duration| now.saturating_sub(moment);
        let start = |i: usize| if i == 0 { Duration::ZERO } else { ends[i - 1] };
        let first = (0..ends.len())
            .find(|i| {
                *i == ends.len() - 1 || age(start(*i)) + age(ends[*i]) <= Duration::from_secs(2 * seconds)
            })
            .unwrap();
        (first, age(start(first)).as_secs_f64())
    }

    #[test]
    fn whole_seconds() {
        let mut timeline = Timeline::default();
        for second in 1..=60 {
            let closed = timeline.close(Duration::from_secs(second));
            let expected = WINDOWS.map(|window| second.min(window) as f64);
            assert_eq!(format!("{:?}", timeline.window_seconds()), format!("{expected:?}"));
            assert_eq!(closed.left[0], if second > 2 { second - 3..second - 2 } else { 0..0 });
        }
    }

    proptest! {
        #[test]
        fn windows_are_what_the_definition_says(
            lengths in prop::collection::vec(prop_oneof![
                8 => 990_000_u64..1_010_000, 2 => 0_u64..100_000, 2 => 1_000_000_u64..60_000_000,
            ], 1..150)
        ) {
            let mut timeline = Timeline::default();
            let mut ends = Vec::new();
            let mut end = Duration::ZERO;
            let mut oldest = [0; 3];
            for length in lengths {
                end += Duration::from_micros(length);
                ends.push(end);
                let closed = timeline.close(end);
                for (window, seconds) in WINDOWS.into_iter().enumerate() {
                    let (first, length) = naive(&ends, seconds);
                    prop_assert_eq!(closed.left[window].start, oldest[window]);
                    prop_assert_eq!(closed.left[window].end, first as u64);
                    prop_assert!((timeline.window_seconds()[window] - length).abs() < 1e-9);
                    oldest[window] = closed.left[window].end;
                }
            }
        }
    }
}
