//! Rows added up by their keys. An interval is added when all of it has been read, and not at all where a part of it is missing.

use flowtally_common::Count;
use hashbrown::HashMap;

/// Sent and received.
pub(super) type Both = [Count; 2];

/// What the rows of one key amount to.
#[derive(Clone, Debug, Default)]
pub(super) struct LogSum {
    pub(super) total: Both,
    /// The highest rates of one interval: sent, received, both at a time; bytes per second.
    pub(super) peak: [u64; 3],
    /// By step of a timeline, in their order.
    pub(super) steps: Steps,
    /// Of the interval that is being read.
    pending: Both,
}

/// What there was in each step of a timeline.
pub(super) type Steps = Vec<(i64, Both)>;

/// Groups by their keys.
pub(super) type Keyed = Vec<(Box<[u8]>, LogGroup)>;

/// Adds what was sent and received.
pub(super) fn add(to: &mut Both, more: Both) {
    for (to, more) in to.iter_mut().zip(more) {
        to.add(more);
    }
}

/// Whether it is nothing.
pub(super) fn is_nothing(both: Both) -> bool {
    both.iter().all(Count::is_zero)
}

impl LogSum {
    fn close(&mut self, seconds: f64, step: Option<i64>) {
        let pending = std::mem::take(&mut self.pending);
        add(&mut self.total, pending);
        let [sent, received] = pending.map(|count| count.bytes);
        for (peak, bytes) in self.peak.iter_mut().zip([sent, received, sent.saturating_add(received)]) {
            *peak = (*peak).max(rate(bytes, seconds));
        }
        if let Some(step) = step {
            match self.steps.last_mut() {
                Some((last, sum)) if *last == step => add(sum, pending),
                _ => self.steps.push((step, pending)),
            }
        }
    }

    /// Adds what another one has. Peaks of different intervals do not add up, nor do those of different hosts.
    fn merge(&mut self, other: Self) {
        add(&mut self.total, other.total);
        for (mine, theirs) in self.peak.iter_mut().zip(other.peak) {
            *mine = (*mine).max(theirs);
        }
        self.steps.extend(other.steps);
    }

    /// Puts the steps in order, each once.
    fn settle(&mut self) {
        self.steps.sort_by_key(|(step, _)| *step);
        self.steps.dedup_by(|(step, more), (kept, sum)| {
            let is_same = step == kept;
            if is_same {
                add(sum, *more);
            }
            is_same
        });
    }
}

/// Whole bytes per second.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded before; what is out of range saturates, and no amount is below 0"
)]
fn rate(bytes: u64, seconds: f64) -> u64 {
    if seconds > 0.0 { (bytes as f64 / seconds).round() as u64 } else { 0 }
}

/// A key, with what its rows amount to.
#[derive(Clone, Debug)]
pub(super) struct LogGroup {
    pub(super) example: Box<[u8]>,
    /// When the example was read, in milliseconds: the earliest of several is kept.
    seen: i64,
    pub(super) sum: LogSum,
}

/// The groups of one grouping.
#[derive(Debug, Default)]
pub(super) struct RowFold {
    index: HashMap<Box<[u8]>, u32>,
    groups: Vec<LogGroup>,
    /// Those that the interval brought something.
    touched: Vec<u32>,
    /// What is in no row.
    pub(super) other: LogSum,
    /// Everything.
    pub(super) all: LogSum,
    /// Whether what is in no row is of it.
    with_other: bool,
    /// The most rows that it stood for in an interval, at least.
    pub(super) other_rows: u64,
    pending_rows: u64,
}

impl RowFold {
    /// Nothing so far.
    pub(super) fn new(with_other: bool) -> Self {
        Self { with_other, ..Self::default() }
    }

    /// Adds a row of the interval that is being read, which began at this moment.
    pub(super) fn add(&mut self, key: &[u8], counts: Both, began: i64, example: impl FnOnce() -> Box<[u8]>) {
        let number = if let Some(number) = self.index.get(key) {
            *number
        } else {
            // A log of more different rows than that does not fit in memory either.
            let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
            self.index.insert(key.into(), number);
            self.groups.push(LogGroup { example: example(), seen: began, sum: LogSum::default() });
            number
        };
        let sum = &mut self.groups[number as usize].sum;
        if is_nothing(sum.pending) {
            self.touched.push(number);
        }
        add(&mut sum.pending, counts);
        add(&mut self.all.pending, counts);
    }

    /// Adds what is in no row.
    pub(super) fn add_other(&mut self, rows: u64, counts: Both) {
        add(&mut self.other.pending, counts);
        if self.with_other {
            add(&mut self.all.pending, counts);
        }
        self.pending_rows = self.pending_rows.saturating_add(rows);
    }

    /// The interval is whole.
    pub(super) fn close(&mut self, seconds: f64, step: Option<i64>) {
        for number in self.touched.drain(..) {
            let sum = &mut self.groups[number as usize].sum;
            // It is there twice where the first row of it was empty.
            if !is_nothing(sum.pending) {
                sum.close(seconds, step);
            }
        }
        for sum in [&mut self.other, &mut self.all] {
            if !is_nothing(sum.pending) {
                sum.close(seconds, step);
            }
        }
        self.other_rows = self.other_rows.max(std::mem::take(&mut self.pending_rows));
    }

    /// A part of the interval is missing.
    pub(super) fn discard(&mut self) {
        for number in self.touched.drain(..) {
            self.groups[number as usize].sum.pending = Both::default();
        }
        self.other.pending = Both::default();
        self.all.pending = Both::default();
        self.pending_rows = 0;
    }

    /// Adds another one.
    pub(super) fn merge(&mut self, mut other: Self) {
        if self.groups.len() < other.groups.len() {
            std::mem::swap(self, &mut other);
        }
        let mut groups: Vec<Option<LogGroup>> = other.groups.into_iter().map(Some).collect();
        for (key, number) in other.index {
            let Some(group) = groups[number as usize].take() else { continue };
            if let Some(number) = self.index.get(&key) {
                let mine = &mut self.groups[*number as usize];
                if group.seen < mine.seen {
                    (mine.example, mine.seen) = (group.example, group.seen);
                }
                mine.sum.merge(group.sum);
            } else {
                let number = u32::try_from(self.groups.len()).unwrap_or(u32::MAX);
                self.index.insert(key, number);
                self.groups.push(group);
            }
        }
        self.other.merge(other.other);
        self.all.merge(other.all);
        self.other_rows = self.other_rows.max(other.other_rows);
    }

    /// All groups that have anything, in no particular order, what is in none, and everything.
    pub(super) fn finish(mut self) -> (Keyed, [LogSum; 2]) {
        let mut groups: Vec<Option<LogGroup>> = self.groups.into_iter().map(Some).collect();
        let keyed = self.index.into_iter().filter_map(|(key, number)| {
            let mut group = groups[number as usize].take()?;
            group.sum.settle();
            (!is_nothing(group.sum.total)).then_some((key, group))
        });
        let keyed = keyed.collect();
        self.other.settle();
        self.all.settle();
        (keyed, [self.other, self.all])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn both(sent: u64, received: u64) -> Both {
        [Count { bytes: sent, packets: 1 }, Count { bytes: received, packets: 1 }]
    }

    fn fold(rows: &[(u8, u64)]) -> RowFold {
        let mut fold = RowFold::new(true);
        for interval in rows.chunks(3) {
            for (key, bytes) in interval {
                fold.add(&[*key], both(*bytes, 1), 0, Box::default);
            }
            fold.close(2.0, Some(0));
        }
        fold
    }

    #[test]
    fn rows_of_one_interval_make_one_peak() {
        let mut fold = RowFold::new(true);
        for interval in [[100, 200], [50, 50]] {
            for bytes in interval {
                fold.add(b"a", both(bytes, 0), 0, Box::default);
            }
            fold.add_other(4, both(10, 0));
            fold.close(10.0, None);
        }
        fold.add(b"a", both(1_000_000, 0), 0, Box::default);
        fold.add(b"torn", both(1, 0), 0, Box::default);
        fold.add_other(9, both(1, 0));
        fold.discard();
        assert_eq!(fold.other_rows, 4);
        let (groups, [other, all]) = fold.finish();
        assert_eq!((all.total[0].bytes, all.peak), (420, [31, 0, 31]));
        assert_eq!(groups.len(), 1, "nothing is left of what was torn");
        assert_eq!(groups[0].1.sum.peak, [30, 0, 30]);
        assert_eq!(other.total[0], Count { bytes: 20, packets: 2 });
    }

    proptest! {
        #[test]
        fn sums_do_not_depend_on_who_read_what(rows in prop::collection::vec((0_u8..6, 0_u64..1000), 0..60), at in 0_usize..60) {
            // Between two intervals.
            let at = (at / 3 * 3).min(rows.len());
            let whole = fold(&rows);
            let mut parts = fold(&rows[..at]);
            parts.merge(fold(&rows[at..]));
            prop_assert_eq!((whole.all.total, whole.all.peak), (parts.all.total, parts.all.peak));
            let sums = |fold: RowFold| {
                let (groups, _) = fold.finish();
                let mut sums: Vec<_> = groups.into_iter().map(|(key, group)| (key, group.sum.total, group.sum.steps)).collect();
                sums.sort_by(|(one, ..), (other, ..)| one.cmp(other));
                sums
            };
            prop_assert_eq!(sums(whole), sums(parts));
        }
    }
}
