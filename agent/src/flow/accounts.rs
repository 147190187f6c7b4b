//! Totals, window sums and peaks of many accounts at once.
//!
//! An account costs work only in intervals in which it saw traffic, and when such an interval leaves a window: every
//! interval has a journal of who got what, which is added to the sums once and taken off once for each window. Within an
//! interval only what is pending is touched; the rest is visited when the interval is closed, in the order of memory.

use std::{collections::VecDeque, ops::Range, time::Duration};

use flowtally_common::Count;

use super::{
    journal::{Journal, JournalEntry, JournalWriter},
    row::{Lane, Part, Traffic},
    window::{ClosedWindow, Timeline, index},
    wire::{WireError, check, wire_enum, wire_struct},
};

/// A shorter interval than this counts as this long for a peak: a few packets in the last few milliseconds of a run are
/// no record.
pub(crate) const SHORTEST_PEAK: Duration = Duration::from_millis(900);
/// Accounts that are closed together, as words of `touched`: the journals that leave the windows visit them while they
/// are still in the cache.
const BLOCK: u32 = 64;

/// Which way, from the local end.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Way {
    Sent,
    Received,
}

/// Accounts by number. Amounts may be differences and below 0: then all of it is to be read modulo 2^64, but for the peaks.
#[derive(Clone, Debug, Default)]
pub(crate) struct Accounts {
    traffic: Vec<Traffic>,
    /// The interval that is not closed yet, by [`Way`].
    pending: Vec<[Count; 2]>,
    /// A bit for each account: whether it has anything pending.
    touched: Vec<u64>,
    journals: VecDeque<Journal>,
    writer: JournalWriter,
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
        self.pending.push(Default::default());
        self.touched.resize(self.traffic.len().div_ceil(64), 0);
        Some(number)
    }

    /// The state of an account after the last closed interval.
    pub(crate) fn get(&self, number: u32) -> &Traffic {
        &self.traffic[number as usize]
    }

    /// Adds to the interval that is not closed yet.
    #[inline]
    pub(crate) fn add(&mut self, number: u32, way: Way, count: Count) {
        self.touched[number as usize / 64] |= 1 << (number % 64);
        self.pending[number as usize][way as usize].add(count);
    }

    /// Adds to the interval that is not closed yet, both ways.
    #[inline]
    pub(crate) fn add_both(&mut self, number: u32, [sent, received]: [Count; 2]) {
        self.touched[number as usize / 64] |= 1 << (number % 64);
        let pending = &mut self.pending[number as usize];
        pending[0].add(sent);
        pending[1].add(received);
    }

    /// Adds to the interval that is not closed yet, both ways, modulo 2^64.
    pub(crate) fn add_difference(&mut self, number: u32, difference: [Count; 2]) {
        self.touched[number as usize / 64] |= 1 << (number % 64);
        for (pending, more) in self.pending[number as usize].iter_mut().zip(difference) {
            *pending = Count {
                bytes: pending.bytes.wrapping_add(more.bytes),
                packets: pending.packets.wrapping_add(more.packets),
            };
        }
    }

    /// Takes off from the interval that is not closed yet, both ways, modulo 2^64.
    pub(crate) fn take_off(&mut self, number: u32, less: [Count; 2]) {
        let difference =
            |Count { bytes, packets }| Count { bytes: bytes.wrapping_neg(), packets: packets.wrapping_neg() };
        self.add_difference(number, less.map(difference));
    }

    /// Whether the open interval has brought an account anything so far.
    pub(crate) fn is_pending(&self, number: u32) -> bool {
        self.touched[number as usize / 64] & 1 << (number % 64) != 0
    }

    /// What the open interval has brought so far, account by account in the order of their numbers.
    pub(crate) fn pending(&self) -> impl Iterator<Item = (u32, [Count; 2])> {
        let words = (0..).step_by(64).zip(&self.touched);
        let numbers = words.flat_map(|(first, word)| bits(*word).map(move |bit| first + bit));
        numbers.map(|number| (number, self.pending[number as usize]))
    }

    /// What the open interval has brought an account so far.
    pub(crate) fn pending_of(&self, number: u32) -> [Count; 2] {
        self.pending[number as usize]
    }

    /// Takes back what the open interval has brought an account.
    pub(crate) fn take_pending(&mut self, number: u32) -> [Count; 2] {
        std::mem::take(&mut self.pending[number as usize])
    }

    /// The sequence numbers of the closed intervals that the longest window holds.
    pub(crate) fn closed(&self) -> Range<u64> {
        self.base..self.base + self.journals.len() as u64
    }

    /// What some accounts got together in a closed interval: of each account the part that is given by its number.
    pub(crate) fn sum(&self, interval: u64, parts: &[Option<Part>]) -> [u64; 2] {
        let mut sums = [0; 2];
        let journal =
            interval.checked_sub(self.base).and_then(|place| self.journals.get(usize::try_from(place).ok()?));
        for entry in journal.into_iter().flat_map(Journal::entries) {
            if let Some(Some(part)) = parts.get(entry.number as usize) {
                let [sent, received] = part.of(entry.sent, entry.received);
                for (sum, bytes) in sums.iter_mut().zip([sent, received]) {
                    *sum = u64::wrapping_add(*sum, bytes);
                }
            }
        }
        sums
    }

    /// Begins again with all totals and peaks; what is recent stays.
    pub(crate) fn forget_totals(&mut self) {
        for traffic in &mut self.traffic {
            traffic.forget_totals();
        }
    }

    /// How many accounts there are, in use or not.
    pub(crate) const fn len(&self) -> usize {
        self.traffic.len()
    }

    /// Whether what was read from elsewhere can be gone on with after the intervals of `timeline`.
    pub(crate) fn check(&self, timeline: &Timeline) -> Result<(), WireError> {
        let Self { traffic, pending, touched, journals, base, .. } = self;
        let accounts = traffic.len();
        let is_full = pending.len() == accounts && touched.len() == accounts.div_ceil(64);
        check(is_full && u32::try_from(accounts).is_ok(), "accounts")?;
        let beyond = touched.last().map_or(0, |last| match accounts % 64 {
            0 => 0,
            used => last >> used,
        });
        check(beyond == 0, "pending accounts")?;
        check(timeline.closed() == (*base..base.saturating_add(journals.len() as u64)), "journals")?;
        check(journals.iter().all(|journal| journal.is_of(accounts)), "a journal")
    }

    /// Closes the interval: what is pending goes into the windows, and what left them goes out. Calls `idle` for each
    /// account that has nothing in the longest window any more.
    pub(crate) fn close(
        &mut self,
        length: Duration,
        closed: &ClosedWindow,
        mut idle: impl FnMut(u32, &Traffic),
    ) {
        let Self { traffic, pending, touched, journals, writer, base } = self;
        let seconds = length.max(SHORTEST_PEAK).as_secs_f64();
        let mut leaving = Vec::new();
        for (window, left) in closed.left.iter().enumerate() {
            for interval in left.clone() {
                leaving.push((window, journals[index(interval, *base)].entries().peekable()));
            }
        }
        let (mut first, mut end) = (0, 0);
        for words in touched.chunks_mut(BLOCK as usize) {
            for word in words {
                for bit in bits(std::mem::take(word)) {
                    let number = first + bit;
                    let [sent, received] = std::mem::take(&mut pending[number as usize]);
                    let traffic = &mut traffic[number as usize];
                    settle(traffic, [sent, received], seconds);
                    writer.write(JournalEntry { number, sent: sent.bytes, received: received.bytes });
                }
                first += 64;
            }
            end += BLOCK * 64;
            for (window, entries) in &mut leaving {
                while let Some(JournalEntry { number, sent, received }) =
                    entries.next_if(|entry| entry.number < end)
                {
                    let traffic = &mut traffic[number as usize];
                    let Traffic { sent: out, received: back, .. } = traffic;
                    out.recent[*window] = out.recent[*window].wrapping_sub(sent);
                    back.recent[*window] = back.recent[*window].wrapping_sub(received);
                    if *window == 2 && traffic.sent.recent[2] == 0 && traffic.received.recent[2] == 0 {
                        idle(number, traffic);
                    }
                }
            }
        }
        drop(leaving);
        journals.push_back(writer.finish());
        while *base < closed.left[2].end {
            journals.pop_front();
            *base += 1;
        }
    }
}

/// Adds a closed interval.
#[inline]
fn settle(traffic: &mut Traffic, [sent, received]: [Count; 2], seconds: f64) {
    let rates = [
        settle_one_way(&mut traffic.sent, sent, seconds),
        settle_one_way(&mut traffic.received, received, seconds),
    ];
    // Most rows of most intervals have one way only, and a division is dear.
    let alone = sent.bytes == 0 || received.bytes == 0;
    let both =
        if alone { rates[0].max(rates[1]) } else { rate(sent.bytes.wrapping_add(received.bytes), seconds) };
    traffic.peak = traffic.peak.max(both);
}

/// The result is the interval's rate.
#[inline]
fn settle_one_way(lane: &mut Lane, count: Count, seconds: f64) -> u64 {
    lane.packets = lane.packets.wrapping_add(count.packets);
    if count.bytes == 0 {
        return 0;
    }
    lane.bytes = lane.bytes.wrapping_add(count.bytes);
    for sum in &mut lane.recent {
        *sum = sum.wrapping_add(count.bytes);
    }
    let rate = rate(count.bytes, seconds);
    lane.peak = lane.peak.max(rate);
    rate
}

/// The places of the bits that are set, lowest first.
pub(crate) fn bits(mut word: u64) -> impl Iterator<Item = u32> {
    std::iter::from_fn(move || {
        let bit = (word != 0).then(|| word.trailing_zeros())?;
        word &= word - 1;
        Some(bit)
    })
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

wire_enum!(Way { 0 => Sent {}, 1 => Received {} });
wire_struct!(Accounts { traffic, pending, touched, journals, base; writer });

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::flow::{row::WINDOWS, window::Timeline};

    #[test]
    fn short_intervals_make_no_records() {
        let mut accounts = Accounts::default();
        let mut timeline = Timeline::default();
        let number = accounts.open(None).unwrap();
        accounts.add(number, Way::Sent, Count { bytes: 900, packets: 1 });
        accounts.close(Duration::from_millis(1), &timeline.close(Duration::from_millis(1)), |_, _| ());
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
                accounts.close(end.saturating_sub(start), &closed, |number, _| idle.push(number));
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
                    let peak = |of: fn([u64; 2]) -> u64| {
                        let rate = |(start, stop, sums): &(Duration, Duration, [[u64; 2]; 6])| {
                            let seconds = stop.saturating_sub(*start).max(SHORTEST_PEAK).as_secs_f64();
                            rate(of(sums[number as usize]), seconds)
                        };
                        history.iter().map(rate).max().unwrap()
                    };
                    prop_assert_eq!(traffic.sent.peak, peak(|[sent, _]| sent));
                    prop_assert_eq!(traffic.received.peak, peak(|[_, received]| received));
                    prop_assert_eq!(traffic.peak, peak(|[sent, received]| sent + received));
                    if idle.contains(&number) {
                        prop_assert_eq!(traffic.sent.recent[2] + traffic.received.recent[2], 0);
                    }
                }
            }
        }
    }
}
