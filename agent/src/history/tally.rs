//! What files of the log amount to, from one file after the other or from several at a time.

use std::{collections::BTreeMap, sync::Arc};

use super::{
    fold::{self, RowFold},
    line::{LogOrigin, LoggedInterface},
    question::LogQuestion,
};
use crate::format::Name;

/// Sentences of one kind that are kept: a year of a degraded interface says the same thing often.
pub(super) const MOST_SENTENCES: usize = 64;

/// Intervals of one run, none of which is missing between the first and the last.
#[derive(Clone, Debug, PartialEq)]
pub struct Stretch {
    /// Who wrote them.
    pub origin: LogOrigin,
    /// The number of the first one, those that it carries included.
    pub first: u64,
    /// The number of the last one.
    pub last: u64,
    /// When the first one began.
    pub start: jiff::Timestamp,
    /// When the last one ended.
    pub end: jiff::Timestamp,
    /// How many there are in the log.
    pub intervals: u64,
    /// Their lengths together.
    pub seconds: f64,
    /// By how much the first one begins before the time asked about, and the last one ends after it, in milliseconds.
    pub beyond: [u64; 2],
    /// The file that they are in.
    pub file: Arc<str>,
}

/// What an interface counted in all intervals.
#[derive(Clone, Debug, Default)]
pub struct InterfaceSum {
    /// Sums; the rest is as it was last.
    pub logged: LoggedInterface,
    /// When it was last.
    seen: i64,
}

/// Something about a file that has to be said.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FileNote {
    /// Which file.
    pub file: Arc<str>,
    /// What about it.
    pub text: String,
}

/// What files amount to.
#[derive(Debug, Default)]
pub struct LogTally {
    /// One for each grouping.
    pub(super) folds: Vec<RowFold>,
    /// By host and name.
    pub(super) interfaces: BTreeMap<(Name, Name), InterfaceSum>,
    pub(super) stretches: Vec<Stretch>,
    pub(super) notes: Vec<FileNote>,
    /// Sentences about what was less than it could be, with the number of intervals that say so.
    pub(super) degraded: BTreeMap<String, u64>,
    pub(super) late_ticks: u64,
    /// Intervals that are in another one because they could not be written.
    pub(super) carried: u64,
    pub(super) gap_seconds: f64,
    pub(super) gaps: u64,
    /// Intervals before which the clock was set.
    pub(super) clock_steps: u64,
    /// Filters that the agent had, and in how many intervals; nothing where it had none.
    pub(super) filters: BTreeMap<Option<String>, u64>,
    /// The fewest rows that an interval had at most.
    pub(super) top: Option<u64>,
    /// Whether a service's port stands for a port.
    pub(super) service_ports: bool,
    /// Whether several processes had a socket of a row.
    pub(super) shared: bool,
    /// Measured seconds by host and step of a timeline.
    pub(super) steps: BTreeMap<(Name, i64), f64>,
    /// Uncompressed bytes.
    pub(super) bytes: u64,
    pub(super) lines: u64,
    pub(super) files: u64,
}

impl LogTally {
    /// Nothing so far.
    #[must_use]
    pub fn new(question: &LogQuestion) -> Self {
        Self {
            folds: question.by.iter().map(|_| RowFold::new(question.select.is_everything())).collect(),
            ..Self::default()
        }
    }

    /// Adds what another one read.
    pub fn merge(&mut self, other: Self) {
        for (mine, theirs) in self.folds.iter_mut().zip(other.folds) {
            mine.merge(theirs);
        }
        for (key, theirs) in other.interfaces {
            self.interfaces.entry(key).or_default().add(theirs.logged, theirs.seen);
        }
        self.stretches.extend(other.stretches);
        self.notes.extend(other.notes);
        for (sentence, count) in other.degraded {
            *self.degraded.entry(sentence).or_default() += count;
        }
        for (filter, count) in other.filters {
            *self.filters.entry(filter).or_default() += count;
        }
        for (step, seconds) in other.steps {
            *self.steps.entry(step).or_default() += seconds;
        }
        self.late_ticks += other.late_ticks;
        self.carried += other.carried;
        self.gap_seconds += other.gap_seconds;
        self.gaps += other.gaps;
        self.clock_steps += other.clock_steps;
        self.top = self.top.into_iter().chain(other.top).min();
        self.service_ports |= other.service_ports;
        self.shared |= other.shared;
        self.bytes += other.bytes;
        self.lines += other.lines;
        self.files += other.files;
    }
}

impl InterfaceSum {
    pub(super) fn add(&mut self, more: LoggedInterface, seen: i64) {
        let sum = &mut self.logged;
        for (to, from) in [
            (&mut sum.counted, more.counted),
            (&mut sum.ingress, more.ingress),
            (&mut sum.egress, more.egress),
            (&mut sum.kernel, more.kernel),
            (&mut sum.untracked, more.untracked),
            (&mut sum.unparsed, more.unparsed),
            (&mut sum.left_out, more.left_out),
        ] {
            to.add(from);
        }
        fold::add(&mut sum.filtered, more.filtered);
        for at in 0..2 {
            sum.residue[at] = sum.residue[at].saturating_add(more.residue[at]);
            sum.repeated[at] = sum.repeated[at].saturating_add(more.repeated[at]);
        }
        for sentence in more.degraded {
            if sum.degraded.len() < MOST_SENTENCES && !sum.degraded.contains(&sentence) {
                sum.degraded.push(sentence);
            }
        }
        if seen >= self.seen {
            self.seen = seen;
            (sum.name, sum.index, sum.hook) = (more.name, more.index, more.hook);
        }
    }
}
