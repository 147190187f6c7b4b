//! Totals, window sums and peaks of many accounts at once.
//!
//! An account costs work only in intervals in which it saw traffic, and when such an interval leaves a window: every
//! interval has a journal of who got what, which is added to the sums once and taken off once for each window. A journal is
//! a string of variable-length numbers, about eight bytes an entry, for the longest window holds forty of them.

use std::{collections::VecDeque, time::Duration};

use flowtally_common::Count;

use super::{
    row::{Lane, Traffic},
    window::{Closed, index},
};

/// A shorter interval than this counts as this long for a peak: a few packets in the last few milliseconds of a run are
/// no record.
const SHORTEST_PEAK: Duration = Duration::from_millis(900);

/// Which way, from the local end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    Sent,
    Received,
}

/// Accounts by number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    traffic: Vec<Traffic>,
    /// Bytes in the interval that is not closed yet.
    pending: Vec<[u64; 2]>,
    /// The accounts with anything pending.
    touched: Vec<u32>,
    journals: VecDeque<Box<[u8]>>,
    /// Sequence number of the first of `journals`.
    base: u64,
}

impl Accounts {
    /// Opens an account, by the number `free` or a new one.
    pub(crate) fn open(&mut self, free: Option<u32>) -> Option<u32> {
        if let Some(number) = free {
            self.traffic[number as usize] = Traffic::default();
            return Some(number);
        }
        let number = u32::try_from(self.traffic.len()).ok()?;
        self.traffic.push(Traffic::default());
        self.pending.push([0; 2]);
        Some(number)
    }

    /// The state of an account.
    pub(crate) fn get(&self, number: u32) -> &Traffic {
        &self.traffic[number as usize]
    }

    /// Adds to the interval that is not closed yet.
    #[inline]
    pub(crate) fn add(&mut self, number: u32, way: Way, count: Count) {
        let traffic = &mut self.traffic[number as usize];
        let pending = &mut self.pending[number as usize];
        if *pending == [0; 2] && count.bytes != 0 {
            self.touched.push(number);
        }
        let (lane, pending) = match way {
            Way::Sent => (&mut traffic.sent, &mut pending[0]),
            Way::Received => (&mut traffic.received, &mut pending[1]),
        };
        lane.bytes += count.bytes;
        lane.packets += count.packets;
        *pending += count.bytes;
    }

    /// Closes the interval: what is pending goes into the windows, and what left them goes out. Calls `idle` for each
    /// account that has nothing in the longest window any more.
    pub(crate) fn close(&mut self, length: Duration, closed: &Closed, mut idle: impl FnMut(u32)) {
        let mut journal = Vec::with_capacity(self.touched.len() * 8);
        let seconds = length.max(SHORTEST_PEAK).as_secs_f64();
        let mut last = 0;
        for number in self.touched.drain(..) {
            let pending = std::mem::take(&mut self.pending[number as usize]);
            let traffic = &mut self.traffic[number as usize];
            for (lane, bytes) in [&mut traffic.sent, &mut traffic.received].into_iter().zip(pending) {
                if bytes != 0 {
                    for sum in &mut lane.recent {
                        *sum += bytes;
                    }
                    lane.peak = lane.peak.max(rate(bytes, seconds));
                }
            }
            // Accounts mostly come in the order of their numbers: the distance is short.
            write(&mut journal, zigzag(i64::from(number) - last));
            write(&mut journal, pending[0]);
            write(&mut journal, pending[1]);
            last = i64::from(number);
        }
        self.journals.push_back(journal.into_boxed_slice());
        for (window, left) in closed.left.iter().enumerate() {
            for interval in left.clone() {
                let journal = &self.journals[index(interval, self.base)];
                for (number, sent, received) in entries(journal) {
                    let traffic = &mut self.traffic[number as usize];
                    take_off(&mut traffic.sent, window, sent);
                    take_off(&mut traffic.received, window, received);
                    if window == 2 && traffic.sent.recent[2] == 0 && traffic.received.recent[2] == 0 {
                        idle(number);
                    }
                }
            }
        }
        while self.base < closed.left[2].end {
            self.journals.pop_front();
            self.base += 1;
        }
    }
}

fn take_off(lane: &mut Lane, window: usize, bytes: u64) {
    lane.recent[window] -= bytes;
}

/// Bytes per second, rounded.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are positive and far below 2^64"
)]
pub(crate) fn rate(bytes: u64, seconds: f64) -> u64 {
    (bytes as f64 / seconds).round() as u64
}

fn zigzag(number: i64) -> u64 {
    (number << 1 ^ number >> 63).cast_unsigned()
}

fn unzigzag(number: u64) -> i64 {
    (number >> 1).cast_signed() ^ -(number & 1).cast_signed()
}

/// Appends a number, seven bits a byte, the lowest first (LEB128).
fn write(journal: &mut Vec<u8>, mut number: u64) {
    loop {
        let [low, ..] = number.to_le_bytes();
        number >>= 7;
        if number == 0 {
            journal.push(low);
            return;
        }
        journal.push(low | 0x80);
    }
}

/// The entries of a journal: account, bytes sent, bytes received.
fn entries(journal: &[u8]) -> impl Iterator<Item = (u32, u64, u64)> {
    let mut bytes = journal.iter();
    let mut last = 0_i64;
    let mut read = move || {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = *bytes.next()?;
            number |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    };
    std::iter::from_fn(move || {
        last += unzigzag(read()?);
        Some((u32::try_from(last).ok()?, read()?, read()?))
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::{row::WINDOWS, window::Timeline};

    #[test]
    fn journal_numbers_survive() {
        for number in [0, 1, -1, 63, -64, i64::from(u32::MAX), -i64::from(u32::MAX)] {
            assert_eq!(unzigzag(zigzag(number)), number);
        }
        let mut journal = Vec::new();
        for (number, sent, received) in [(5, 0, u64::MAX), (4_000_000_000, 127, 128), (0, 1, 0)] {
            write(&mut journal, zigzag(number));
            write(&mut journal, sent);
            write(&mut journal, received);
        }
        let numbers: Vec<_> = entries(&journal).collect();
        assert_eq!(numbers[0], (5, 0, u64::MAX));
        assert_eq!(numbers[1].1, 127);
    }

    #[test]
    fn short_intervals_make_no_records() {
        let mut accounts = Accounts::default();
        let mut timeline = Timeline::default();
        let number = accounts.open(None).unwrap();
        accounts.add(number, Way::Sent, Count { bytes: 900, packets: 1 });
        accounts.close(Duration::from_millis(1), &timeline.close(Duration::from_millis(1)), |_| ());
        assert_eq!(accounts.get(number).sent.peak, 1000);
    }

    proptest! {
        /// Uneven ticks, bursts, idle accounts and a run younger than the windows, against sums over the whole history.
        #[test]
        fn sums_are_those_of_the_whole_history(
            ticks in prop::collection::vec(
                (prop_oneof![6 => 980_u64..1020, 1 => 1_u64..400, 1 => 1_500_u64..45_000],
                 prop::collection::vec((0_u32..6, any::<bool>(), prop_oneof![0_u64..2000, Just(20_000_000_000)]), 0..8)),
                1..120)
        ) {
            let mut accounts = Accounts::default();
            let mut timeline = Timeline::default();
            for _ in 0..6 {
                accounts.open(None).unwrap();
            }
            let mut history: Vec<(Duration, Duration, [[u64; 2]; 6])> = Vec::new();
            let mut end = Duration::ZERO;
            for (length, amounts) in ticks {
                let start = end;
                end += Duration::from_millis(length);
                let mut sums = [[0; 2]; 6];
                for (number, sent, bytes) in amounts {
                    let way = if sent { Way::Sent } else { Way::Received };
                    accounts.add(number, way, Count { bytes, packets: 1 });
                    sums[number as usize][usize::from(!sent)] += bytes;
                }
                history.push((start, end, sums));
                let closed = timeline.close(end);
                let mut idle = Vec::new();
                accounts.close(end.saturating_sub(start), &closed, |number| idle.push(number));
                for number in 0..6_u32 {
                    let traffic = accounts.get(number);
                    for (window, seconds) in WINDOWS.into_iter().enumerate() {
                        let inside = |(index, (start, stop, _)): &(usize, &(Duration, Duration, _))| {
                            *index == history.len() - 1
                                || end.saturating_sub(*start) + end.saturating_sub(*stop) <= Duration::from_secs(2 * seconds)
                        };
                        let sum = |way: usize| -> u64 {
                            history.iter().enumerate().filter(inside).map(|(_, (_, _, sums))| sums[number as usize][way]).sum()
                        };
                        prop_assert_eq!(traffic.sent.recent[window], sum(0));
                        prop_assert_eq!(traffic.received.recent[window], sum(1));
                    }
                    let total: u64 = history.iter().map(|(_, _, sums)| sums[number as usize][0]).sum();
                    prop_assert_eq!(traffic.sent.bytes, total);
                    let peak = history.iter()
                        .map(|(start, stop, sums)| rate(sums[number as usize][0], stop.saturating_sub(*start).max(SHORTEST_PEAK).as_secs_f64()))
                        .max();
                    prop_assert_eq!(traffic.sent.peak, peak.unwrap());
                    if idle.contains(&number) {
                        prop_assert_eq!(traffic.sent.recent[2] + traffic.received.recent[2], 0);
                    }
                }
            }
        }
    }
}
