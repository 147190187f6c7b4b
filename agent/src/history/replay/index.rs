//! Where the records of a log are, found by going through it once: a few numbers of each, whatever its rows are.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use hashbrown::HashMap;
use jiff::Timestamp;
use thiserror::Error;

use super::super::{
    csv_line::LogColumns,
    json_line,
    line::{IntervalLine, LineError, LogOrigin, ReadLine, StartLine},
    moment::Period,
    reading::{GoOn, ReadingError},
};
use crate::{format::Name, log::Granularity};

/// What the last line of a file says that the agent did not end itself.
const RECOVERED: &str = "recovered";

/// A record: an interval with its rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IndexedRecord {
    /// The place of its file in [`LogIndex::files`].
    pub file: u32,
    /// Where it begins in the file, and how long it is, in bytes without compression.
    pub offset: u64,
    /// See `offset`.
    pub length: u64,
    /// Its number.
    pub number: u64,
    /// When it began and ended, in milliseconds since 1970.
    pub start: i64,
    /// See `start`.
    pub end: i64,
    /// How long was counted, in milliseconds.
    pub counted: u64,
    /// How long nothing is known of before it, in milliseconds.
    pub gap: u64,
    /// How many intervals are missing before it.
    pub missing: u64,
    /// Since the beginning of the first record, with all gaps, in milliseconds: when it is over.
    pub over: u64,
}

impl IndexedRecord {
    /// How long was counted.
    #[must_use]
    pub const fn length_of_time(&self) -> Duration {
        Duration::from_millis(self.counted)
    }
}

/// How the lines of a file are written.
#[derive(Clone, Debug)]
pub enum IndexedShape {
    /// JSON lines.
    Json,
    /// CSV, under these names.
    Csv(Columns),
}

/// The columns of a file.
#[derive(Clone, Debug)]
pub struct Columns(LogColumns);

impl IndexedShape {
    /// Reads a line. Rows of granularities that are not `wanted` are not looked at.
    pub(super) fn read<'a>(
        &self,
        line: &'a [u8],
        wanted: impl Fn(Granularity) -> bool,
    ) -> Result<ReadLine<'a>, LineError> {
        match self {
            Self::Json => json_line::read(line, wanted),
            Self::Csv(columns) => columns.0.read(line, wanted),
        }
    }
}

/// A file, and what is the same for all records in it.
#[derive(Clone, Debug)]
pub struct IndexedFile {
    /// Its place among those that were handed in.
    pub place: usize,
    /// How it is written.
    pub shape: IndexedShape,
    /// Its first line, as far as it is there.
    pub start: StartLine,
    /// Whether the agent was killed, and the next one ended the file.
    pub is_recovered: bool,
}

/// Goes through a file, line by line.
#[derive(Debug)]
pub struct FileIndexing<'a> {
    period: &'a Period,
    place: usize,
    shape: Option<IndexedShape>,
    start: StartLine,
    is_recovered: bool,
    found: Vec<FoundRecord>,
    seen: BTreeSet<Granularity>,
    is_open: bool,
    offset: u64,
    number: u64,
}

/// What is in a file.
#[derive(Debug)]
pub struct FoundRecords {
    file: Option<IndexedFile>,
    records: Vec<FoundRecord>,
    seen: BTreeSet<Granularity>,
}

#[derive(Debug)]
struct FoundRecord {
    origin: Arc<LogOrigin>,
    record: IndexedRecord,
    carried: u64,
    /// By how much the clock was set, and how long the host was suspended, in milliseconds.
    step: i64,
    suspended: u64,
}

impl<'a> FileIndexing<'a> {
    /// Begins the file with this place among all.
    #[must_use]
    pub fn new(period: &'a Period, place: usize) -> Self {
        Self {
            period,
            place,
            shape: None,
            start: StartLine::default(),
            is_recovered: false,
            found: Vec::new(),
            seen: BTreeSet::new(),
            is_open: false,
            offset: 0,
            number: 0,
        }
    }

    /// Takes whole lines, each with its line feed.
    ///
    /// # Errors
    /// The file is no log.
    pub fn lines(&mut self, text: &[u8]) -> Result<GoOn, ReadingError> {
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let (line, behind) = rest.split_at(end + 1);
            rest = behind;
            if self.line(&line[..end], line.len() as u64)? == GoOn::No {
                return Ok(GoOn::No);
            }
        }
        Ok(GoOn::Yes)
    }

    /// Takes what is left behind the last line feed: a line that nobody ended counts if it is whole.
    ///
    /// # Errors
    /// Those of [`lines`](Self::lines).
    pub fn rest(&mut self, text: &[u8]) -> Result<(), ReadingError> {
        let is_json = matches!(self.shape, Some(IndexedShape::Json));
        if text.is_empty() || self.shape.is_some() && !(is_json && text.ends_with(b"}")) {
            return Ok(());
        }
        self.line(text, text.len() as u64).map(drop)
    }

    fn line(&mut self, line: &[u8], length: u64) -> Result<GoOn, ReadingError> {
        let begin = self.offset;
        self.offset += length;
        self.number += 1;
        let number = self.number;
        let not_a_log = |error| ReadingError::NotALog { number, error };
        let shape = match &self.shape {
            Some(shape) => shape,
            None if line.trim_ascii_start().first() == Some(&b'{') => {
                // What begins like that may still be any other file of JSON lines.
                json_line::read(line, |_| false).map_err(not_a_log)?;
                self.shape.insert(IndexedShape::Json)
            }
            None => {
                let columns = LogColumns::new(line)
                    .map_err(|_| not_a_log(LineError::NotA("the log of flowtally agent")))?;
                self.shape = Some(IndexedShape::Csv(Columns(columns)));
                return Ok(GoOn::Yes);
            }
        };
        match shape.read(line, |_| false) {
            Ok(ReadLine::Interval(interval)) => return Ok(self.interval(&interval, begin, length)),
            Ok(ReadLine::Start(start)) => {
                self.is_open = false;
                self.start = start;
            }
            Ok(ReadLine::End(end)) => {
                self.is_open = false;
                self.is_recovered = end.reason == RECOVERED;
            }
            other => {
                if let Ok(ReadLine::Skipped(rows)) = other {
                    self.seen.insert(rows);
                }
                // What cannot be read is for whoever reads the record to say.
                if let Some(found) = self.found.last_mut().filter(|_| self.is_open) {
                    found.record.length += length;
                }
            }
        }
        Ok(GoOn::Yes)
    }

    fn interval(&mut self, line: &IntervalLine, offset: u64, length: u64) -> GoOn {
        self.is_open = false;
        if self.period.is_over(line.start) {
            return GoOn::No;
        }
        if !self.period.counts(line.start, line.end) {
            return GoOn::Yes;
        }
        self.is_open = true;
        let record = IndexedRecord {
            file: 0,
            offset,
            length,
            number: line.number,
            start: line.start.as_millisecond(),
            end: line.end.as_millisecond(),
            counted: millis(line.seconds),
            gap: 0,
            missing: 0,
            over: 0,
        };
        // Nearly all are of one run.
        let origin = match self.found.last() {
            Some(last) if *last.origin == line.origin => Arc::clone(&last.origin),
            _ => Arc::new(line.origin.clone()),
        };
        #[expect(clippy::cast_possible_truncation, reason = "what is beyond is no time that a clock has")]
        let step = (line.clock_step_seconds * 1000.0).round() as i64;
        let suspended = millis(line.gap_seconds);
        self.found.push(FoundRecord { origin, record, carried: line.carried, step, suspended });
        GoOn::Yes
    }

    /// Whether anything of the file has been read.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.shape.is_some()
    }

    /// Ends the file.
    #[must_use]
    pub fn finish(self) -> FoundRecords {
        let Self { place, shape, start, is_recovered, found: records, seen, .. } = self;
        let file = shape.map(|shape| IndexedFile { place, shape, start, is_recovered });
        FoundRecords { file, records, seen }
    }
}

/// Milliseconds of a time that is not below 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "what is beyond is no length of time"
)]
fn millis(seconds: f64) -> u64 {
    (seconds * 1000.0).round().max(0.0) as u64
}

/// A log that cannot be replayed.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum IndexError {
    /// It has no interval, or none of the time.
    #[error(
        "the log has no interval of this time: `flowtally history` says what there is, and an agent writes an interval when it is over"
    )]
    Empty,
    /// Its files have nothing in common that could be shown.
    #[error(
        "the files of the log have rows of different kinds: replay those before and those after that was changed on their own"
    )]
    Apart,
    /// An interval is in two files.
    #[error("interval {0} is there twice: name a file and its copy only once")]
    Twice(u64),
    /// It is of several hosts.
    #[error("the log is of several hosts ({}): name the files of one of them", .0.join(", "))]
    Hosts(Vec<String>),
}

/// All records of a log, in the order in which they happened.
#[derive(Debug)]
pub struct LogIndex {
    /// The files.
    pub files: Vec<IndexedFile>,
    /// The records; there is one at least.
    pub records: Vec<IndexedRecord>,
    /// The granularities that all files with records have.
    pub has: Vec<Granularity>,
    /// The host that it is of.
    pub host: Name,
}

impl LogIndex {
    /// Puts together what was found in files.
    ///
    /// # Errors
    /// There is nothing to replay, or the files are not of one host.
    pub fn new(mut found: Vec<FoundRecords>) -> Result<Self, IndexError> {
        found.retain(|file| !file.records.is_empty());
        // Whatever files are called, they are in the order of what is in them: of a run by number, for a clock may be set back.
        let mut begun: HashMap<Arc<LogOrigin>, i64> = HashMap::new();
        for FoundRecord { origin, record, .. } in found.iter().filter_map(|file| file.records.first()) {
            let first = begun.entry(Arc::clone(origin)).or_insert(record.start);
            *first = record.start.min(*first);
        }
        found.sort_by_cached_key(|file| {
            let first = file.records.first();
            first.map(|FoundRecord { origin, record, .. }| {
                (begun.get(origin).copied(), Arc::clone(origin), record.number)
            })
        });
        let mut hosts: Vec<Name> = Vec::new();
        for FoundRecord { origin, .. } in found.iter().flat_map(|file| &file.records) {
            if !hosts.contains(&origin.host) {
                hosts.push(origin.host.clone());
            }
        }
        let host = match &hosts[..] {
            [] => return Err(IndexError::Empty),
            [host] => host.clone(),
            hosts => return Err(IndexError::Hosts(hosts.iter().map(ToString::to_string).collect())),
        };
        let (mut files, mut records) = (Vec::new(), Vec::new());
        let mut has: Option<Vec<Granularity>> = None;
        let mut before: Option<(Arc<LogOrigin>, IndexedRecord)> = None;
        for FoundRecords { file, records: found, seen } in found {
            let Some(file) = file else { continue };
            let place = u32::try_from(files.len()).unwrap_or(u32::MAX);
            let own: Vec<Granularity> =
                if file.start.rows.is_empty() { seen.into_iter().collect() } else { file.start.rows.clone() };
            has = Some(match has {
                None => own,
                Some(has) => has.into_iter().filter(|rows| own.contains(rows)).collect(),
            });
            files.push(file);
            for FoundRecord { origin, mut record, carried, step, suspended } in found {
                record.file = place;
                record.over = record.counted;
                if let Some((of, last)) = &before {
                    let first = record.number.saturating_sub(carried);
                    let is_next = *of == origin && last.number + 1 == first;
                    record.gap = if is_next {
                        suspended
                    } else {
                        let apart = record.start.saturating_sub(last.end).saturating_sub(step);
                        u64::try_from(apart).unwrap_or(0)
                    };
                    if *of == origin && first <= last.number {
                        return Err(IndexError::Twice(first));
                    }
                    // Numbers go on where the agent was started again.
                    record.missing = first.saturating_sub(last.number + 1);
                    record.over = last.over + record.gap + record.counted;
                }
                records.push(record);
                before = Some((origin, record));
            }
        }
        let has = has.unwrap_or_default();
        if has.is_empty() {
            return Err(IndexError::Apart);
        }
        Ok(Self { files, records, has, host })
    }

    /// How many records there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none, which no index is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The record that is shown after so many have been read.
    #[must_use]
    pub fn record(&self, position: usize) -> Option<&IndexedRecord> {
        self.records.get(position.checked_sub(1)?)
    }

    /// How many records have been read at a tenth of the time that they cover: up to the one in which the moment lies, or before which
    /// it lies where there is a gap.
    #[must_use]
    pub fn at_tenth(&self, tenth: u8) -> usize {
        let covered = self.records.last().map_or(0, |last| last.over);
        let moment = u64::try_from(u128::from(covered) * u128::from(tenth) / 10).unwrap_or(u64::MAX);
        let before = self.records.partition_point(|record| record.over <= moment);
        (before + 1).min(self.records.len())
    }

    /// When the first record began and the last one ended.
    #[must_use]
    pub fn covered(&self) -> Option<[Timestamp; 2]> {
        let moment = |ms| Timestamp::from_millisecond(ms).ok();
        Some([moment(self.records.first()?.start)?, moment(self.records.last()?.end)?])
    }
}
