//! One file of the log, line by line, added to what is known so far.

use std::sync::Arc;

use flowtally_common::Count;
use thiserror::Error;

use super::{
    csv_line::LogColumns,
    fold::{Both, RowFold, add},
    json_line,
    key::KeyMaker,
    line::{EndLine, IntervalLine, LineError, LogField, ReadLine, RowCounts, RowLine, StartLine},
    question::{LogQuestion, RowSource, RowSurroundings, Unanswerable},
    tally::{FileNote, LogTally, MOST_SENTENCES, Stretch},
};
use crate::{flow::group::GroupBy, format::Name, log::Granularity};

/// What the last line of a file says that the agent did not end itself.
const RECOVERED: &str = "recovered";

/// Why a file cannot be read on.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum ReadingError {
    /// It is no log.
    #[error("line {number}: {error}")]
    NotALog {
        /// Which line.
        number: u64,
        /// What is wrong with it.
        error: LineError,
    },
    /// It does not hold what was asked.
    #[error("{0}")]
    Unanswerable(#[from] Unanswerable),
}

/// How lines of a file are written.
#[derive(Debug)]
enum LogShape {
    Json,
    Csv(LogColumns),
}

/// Whether there is more to read in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GoOn {
    /// There may be.
    Yes,
    /// All that comes is behind the time asked about.
    No,
}

/// Which rows answer which grouping, in one file.
#[derive(Debug)]
struct FilePlan {
    sources: Vec<RowSource>,
    /// By the place of a granularity: whether a grouping wants its rows.
    wanted: [bool; Granularity::COARSEST_FIRST.len()],
}

/// The interval that is being read.
#[derive(Debug)]
struct OpenInterval {
    line: Box<IntervalLine>,
    seen: RowCounts,
    /// What rows and `other` of each granularity amount to.
    sums: [Both; Granularity::COARSEST_FIRST.len()],
    /// In milliseconds.
    began: i64,
    /// The indexes of interfaces by name: there are few.
    indexes: Vec<(Name, u32)>,
}

/// Reads a file.
#[derive(Debug)]
pub struct LogReading<'a> {
    question: &'a LogQuestion,
    tally: &'a mut LogTally,
    file: Arc<str>,
    shape: Option<LogShape>,
    start: StartLine,
    plan: Option<FilePlan>,
    open: Option<OpenInterval>,
    /// Whether there was an interval whose rows do not count.
    is_outside: bool,
    /// The line that could not be read, with what is wrong with it, and how many there were.
    broken: Option<(u64, LineError, u64)>,
    stretch: Option<Stretch>,
    /// Whether the agent was killed, and the next one ended the file.
    is_recovered: bool,
    number: u64,
    key: Vec<u8>,
}

/// The granularities that the beginning of a file says it has; nothing where it does not say.
#[must_use]
pub fn granularities(beginning: &[u8]) -> Vec<Granularity> {
    let mut columns = None;
    for line in beginning.split(|byte| *byte == b'\n') {
        let read = match &columns {
            None if line.trim_ascii_start().first() == Some(&b'{') => json_line::read(line, |_| false),
            None => {
                let Ok(read) = LogColumns::new(line) else { return Vec::new() };
                columns = Some(read);
                continue;
            }
            Some(columns) => columns.read(line, |_| false),
        };
        return match read {
            Ok(ReadLine::Start(start)) => start.rows,
            Ok(ReadLine::Interval(interval)) => {
                let counts = interval.rows.unwrap_or_default();
                Granularity::COARSEST_FIRST
                    .into_iter()
                    .filter(|rows| counts.rows[*rows as usize] > 0)
                    .collect()
            }
            _ => Vec::new(),
        };
    }
    Vec::new()
}

impl<'a> LogReading<'a> {
    /// Begins a file of this name.
    pub fn new(question: &'a LogQuestion, tally: &'a mut LogTally, file: &str) -> Self {
        tally.files += 1;
        Self {
            question,
            tally,
            file: file.into(),
            shape: None,
            start: StartLine::default(),
            plan: None,
            open: None,
            is_outside: true,
            broken: None,
            stretch: None,
            is_recovered: false,
            number: 0,
            key: Vec::new(),
        }
    }

    /// Reads whole lines, each with its line feed.
    ///
    /// # Errors
    /// The file is no log, or does not hold what was asked.
    pub fn lines(&mut self, text: &[u8]) -> Result<GoOn, ReadingError> {
        self.tally.bytes += text.len() as u64;
        let mut rest = text;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            let line = &rest[..end];
            rest = &rest[end + 1..];
            if self.line(line)? == GoOn::No {
                return Ok(GoOn::No);
            }
        }
        Ok(GoOn::Yes)
    }

    /// Reads what is left behind the last line feed: a line that is not whole, or that nobody ended.
    ///
    /// # Errors
    /// Those of [`lines`](Self::lines).
    pub fn rest(&mut self, text: &[u8]) -> Result<(), ReadingError> {
        if text.is_empty() {
            return Ok(());
        }
        self.tally.bytes += text.len() as u64;
        if self.shape.is_none() {
            return self.line(text).map(drop);
        }
        // An object that is closed is whole; the last cell of a line may have lost some of its digits.
        let is_json = matches!(self.shape, Some(LogShape::Json));
        let is_whole = is_json && self.parse(text).is_ok_and(|line| !matches!(line, ReadLine::Unknown));
        if is_whole {
            return self.line(text).map(drop);
        }
        self.note(format!(
            "its last line is cut off after {} bytes: it is being written, or was when the agent was killed",
            text.len()
        ));
        Ok(())
    }

    /// The file could not be read to its end.
    pub fn broke_off(&mut self, why: &str) {
        self.note(format!("it could not be read to its end: {why}"));
        if self.open.is_some() {
            self.broken.get_or_insert((self.number, LineError::Place("the file breaks off"), 1));
        }
    }

    /// Whether anything of the file has been read.
    #[must_use]
    pub const fn has_begun(&self) -> bool {
        self.shape.is_some()
    }

    /// Ends the file.
    pub fn finish(mut self) {
        self.close();
        if let Some(stretch) = self.stretch.take() {
            self.tally.stretches.push(stretch);
        }
    }

    fn note(&mut self, text: String) {
        self.tally.notes.push(FileNote { file: Arc::clone(&self.file), text });
    }

    fn parse<'l>(&self, line: &'l [u8]) -> Result<ReadLine<'l>, LineError> {
        let wanted = |rows: Granularity| {
            !self.is_outside && self.plan.as_ref().is_some_and(|plan| plan.wanted[rows as usize])
        };
        match &self.shape {
            Some(LogShape::Csv(columns)) => columns.read(line, wanted),
            Some(LogShape::Json) | None => json_line::read(line, wanted),
        }
    }

    fn line(&mut self, line: &[u8]) -> Result<GoOn, ReadingError> {
        self.number += 1;
        self.tally.lines += 1;
        let number = self.number;
        let not_a_log = |error| ReadingError::NotALog { number, error };
        if self.shape.is_none() {
            if line.trim_ascii_start().first() != Some(&b'{') {
                let columns = LogColumns::new(line)
                    .map_err(|_| not_a_log(LineError::NotA("the log of flowtally agent")))?;
                self.shape = Some(LogShape::Csv(columns));
                return Ok(GoOn::Yes);
            }
            // What begins like that may still be any other file of JSON lines.
            self.parse(line).map_err(not_a_log)?;
            self.shape = Some(LogShape::Json);
        }
        match self.parse(line) {
            // Rows outside of the time are not looked at, nor counted.
            Ok(ReadLine::Skipped(_) | ReadLine::Unknown) => Ok(GoOn::Yes),
            Ok(ReadLine::Row(rows, row)) => {
                self.row(rows, &row);
                Ok(GoOn::Yes)
            }
            Ok(ReadLine::Other(of, row)) => {
                self.other(of, &row);
                Ok(GoOn::Yes)
            }
            Ok(ReadLine::Interval(interval)) => self.interval(interval),
            Ok(ReadLine::Interface(interface)) => {
                if let Some(open) = &mut self.open {
                    open.indexes.push((interface.name.clone(), interface.index));
                    open.line.interfaces.push(*interface);
                }
                Ok(GoOn::Yes)
            }
            Ok(ReadLine::Start(start)) => {
                self.close();
                (self.start, self.plan) = (start, None);
                Ok(GoOn::Yes)
            }
            Ok(ReadLine::End(end)) => {
                self.is_recovered = end.reason == RECOVERED;
                self.close();
                self.end(&end);
                Ok(GoOn::Yes)
            }
            Err(error) => {
                self.is_broken(error);
                Ok(GoOn::Yes)
            }
        }
    }

    fn is_broken(&mut self, error: LineError) {
        match &mut self.broken {
            Some((.., count)) => *count += 1,
            broken => *broken = Some((self.number, error, 1)),
        }
    }

    fn end(&mut self, end: &EndLine) {
        if end.torn_bytes > 0 {
            self.note(format!(
                "the agent was killed while it wrote it; {} bytes of a line that was not whole are gone",
                end.torn_bytes
            ));
        }
        if let Some(lines) = end.lines.filter(|lines| *lines + 1 != self.number) {
            self.note(format!(
                "its last line says that {lines} lines are before it, and there are {}",
                self.number - 1
            ));
        }
    }

    fn interval(&mut self, line: Box<IntervalLine>) -> Result<GoOn, ReadingError> {
        self.close();
        let period = &self.question.period;
        if period.is_over(line.start) {
            self.is_outside = true;
            return Ok(GoOn::No);
        }
        self.is_outside = !period.counts(line.start, line.end);
        if self.is_outside {
            return Ok(GoOn::Yes);
        }
        if self.plan.is_none() {
            self.plan = Some(self.plan(&line)?);
        }
        let indexes =
            line.interfaces.iter().map(|interface| (interface.name.clone(), interface.index)).collect();
        self.open = Some(OpenInterval {
            began: line.start.as_millisecond(),
            line,
            seen: RowCounts::default(),
            sums: Default::default(),
            indexes,
        });
        Ok(GoOn::Yes)
    }

    /// Which rows answer, of those that the file has.
    fn plan(&mut self, line: &IntervalLine) -> Result<FilePlan, Unanswerable> {
        let has = if self.start.rows.is_empty() {
            let counts =
                line.rows.unwrap_or(RowCounts { rows: [1; Granularity::COARSEST_FIRST.len()], other: 0 });
            Granularity::COARSEST_FIRST.into_iter().filter(|rows| counts.rows[*rows as usize] > 0).collect()
        } else {
            self.start.rows.clone()
        };
        let sources: Vec<RowSource> =
            self.question.by.iter().map(|by| self.question.source(*by, &has)).collect::<Result<_, _>>()?;
        let mut wanted = [false; Granularity::COARSEST_FIRST.len()];
        for source in &sources {
            wanted[source.rows as usize] = true;
            self.tally.service_ports |= source.service_ports;
        }
        self.tally.top = self.tally.top.into_iter().chain(self.start.top).min();
        Ok(FilePlan { sources, wanted })
    }

    fn row(&mut self, rows: Granularity, row: &RowLine<'_>) {
        let result = self.add_row(rows, row);
        if let Err(error) = result {
            self.is_broken(error);
        }
    }

    fn add_row(&mut self, rows: Granularity, row: &RowLine<'_>) -> Result<(), LineError> {
        let (Some(open), Some(plan)) = (&mut self.open, &self.plan) else { return Ok(()) };
        let counts = check(open, row)?;
        open.seen.rows[rows as usize] += 1;
        add(&mut open.sums[rows as usize], counts);
        let Self { question, tally, key, .. } = self;
        let everything = question.select.is_everything();
        tally.shared |= row.get(LogField::OwnerCount).is_some_and(|count| count != b"1" && count != b"0");
        for ((by, source), fold) in question.by.iter().zip(&plan.sources).zip(&mut tally.folds) {
            if source.rows != rows {
                continue;
            }
            let mut counts = counts;
            if !everything {
                let name = row.get(LogField::Interface).unwrap_or_default();
                let index = open
                    .indexes
                    .iter()
                    .find(|(known, _)| known.as_bytes() == name)
                    .map_or(0, |(_, index)| *index);
                let passes = question.select.passes(row, RowSurroundings { index, source: *source });
                if passes == [false; 2] {
                    continue;
                }
                for (count, passes) in counts.iter_mut().zip(passes) {
                    if !passes {
                        *count = Count::default();
                    }
                }
            }
            let maker = KeyMaker { by: *by, rows, services: &question.services };
            maker.make(row, open.line.origin.host.as_bytes(), key)?;
            fold.add(key, counts, open.began, || maker.example(row));
        }
        Ok(())
    }

    fn other(&mut self, of: Granularity, row: &RowLine<'_>) {
        let result = self.add_other(of, row);
        if let Err(error) = result {
            self.is_broken(error);
        }
    }

    fn add_other(&mut self, of: Granularity, row: &RowLine<'_>) -> Result<(), LineError> {
        let (Some(open), Some(plan)) = (&mut self.open, &self.plan) else { return Ok(()) };
        let counts = check(open, row)?;
        open.seen.other += 1;
        add(&mut open.sums[of as usize], counts);
        let Self { question, tally, key, .. } = self;
        for ((by, source), fold) in question.by.iter().zip(&plan.sources).zip(&mut tally.folds) {
            if source.rows != of {
                continue;
            }
            // Of which interface it is, it says.
            if *by == GroupBy::Interface && question.select.is_everything() {
                let maker = KeyMaker { by: *by, rows: of, services: &question.services };
                maker.make(row, open.line.origin.host.as_bytes(), key)?;
                fold.add(key, counts, open.began, || maker.example(row));
            } else {
                fold.add_other(row.number(LogField::Count, "count")?, counts);
            }
        }
        Ok(())
    }

    /// Adds the interval that was read, if it is whole.
    fn close(&mut self) {
        let broken = self.broken.take();
        let Some(OpenInterval { line, seen, sums, began, .. }) = self.open.take() else {
            if let Some((number, error, _)) = broken {
                self.note(format!("line {number} is left out: {error}"));
            }
            return;
        };
        let missing = match (broken, line.rows, &self.plan) {
            (Some((number, error, 1)), ..) => Some(format!("line {number}: {error}")),
            (Some((number, error, count)), ..) => {
                Some(format!("line {number} and {} more: {error}", count - 1))
            }
            (None, Some(counts), Some(plan)) if !(self.is_recovered && adds_up(&line, &sums, plan)) => {
                missing(&counts, &seen, plan)
            }
            _ => None,
        };
        if let Some(missing) = missing {
            self.tally.folds.iter_mut().for_each(RowFold::discard);
            let mut counted = Count::default();
            line.interfaces.iter().for_each(|interface| counted.add(interface.counted));
            self.note(format!(
                "interval {} ({} to {}, {} bytes counted) is left out, for it is not whole: {missing}",
                line.number, line.start, line.end, counted.bytes
            ));
            // What is missing is a gap.
            if let Some(stretch) = self.stretch.take() {
                self.tally.stretches.push(stretch);
            }
            return;
        }
        let step = self.question.step.map(|step| step_of(&line, step, self.question.step_offset));
        for fold in &mut self.tally.folds {
            fold.close(line.seconds, step);
        }
        if let Some(step) = step {
            *self.tally.steps.entry((line.origin.host.clone(), step)).or_default() += line.seconds;
        }
        self.count(*line, began);
    }

    /// What there is beside rows.
    fn count(&mut self, line: IntervalLine, began: i64) {
        let tally = &mut *self.tally;
        tally.late_ticks += line.late_ticks;
        tally.carried += line.carried;
        if tally.filters.len() < MOST_SENTENCES || tally.filters.contains_key(&self.start.filter) {
            *tally.filters.entry(self.start.filter.clone()).or_default() += 1;
        }
        if line.clock_step_seconds != 0.0 {
            tally.clock_steps += 1;
        }
        if line.gap_seconds > 0.0 {
            tally.gaps += 1;
            tally.gap_seconds += line.gap_seconds;
        }
        let beyond = self.question.period.beyond(line.start, line.end);
        let beyond = beyond.map(|beyond| u64::try_from(beyond.as_millis()).unwrap_or(u64::MAX));
        let host = &line.origin.host;
        for sentence in line.degraded {
            if tally.degraded.len() < MOST_SENTENCES || tally.degraded.contains_key(&sentence) {
                *tally.degraded.entry(sentence).or_default() += 1;
            }
        }
        for interface in line.interfaces {
            let key = (host.clone(), interface.name.clone());
            tally.interfaces.entry(key).or_default().add(interface, began);
        }
        let first = line.number.saturating_sub(line.carried);
        match &mut self.stretch {
            Some(stretch) if stretch.origin == line.origin && stretch.last + 1 == first => {
                stretch.last = line.number;
                stretch.end = line.end;
                stretch.intervals += 1;
                stretch.seconds += line.seconds;
                stretch.beyond[1] = beyond[1];
            }
            stretch => {
                let next = Stretch {
                    origin: line.origin,
                    first,
                    last: line.number,
                    start: line.start,
                    end: line.end,
                    intervals: 1,
                    seconds: line.seconds,
                    beyond,
                    file: Arc::clone(&self.file),
                };
                tally.stretches.extend(stretch.replace(next));
            }
        }
    }
}

/// What a row says, if it is of the interval that is being read.
fn check(open: &OpenInterval, row: &RowLine<'_>) -> Result<Both, LineError> {
    if row.number(LogField::Interval, "interval")? != open.line.number {
        return Err(LineError::Place("a row of another interval"));
    }
    row.counts()
}

/// Whether the rows that were read are all there were by their sums: where the agent was killed, the next one writes what is missing
/// as `other`, and there are other numbers of lines than the interval says.
fn adds_up(line: &IntervalLine, sums: &[Both; Granularity::COARSEST_FIRST.len()], plan: &FilePlan) -> bool {
    let mut all = Both::default();
    for interface in &line.interfaces {
        let Some(rows) = interface.rows else { return false };
        add(&mut all, rows);
    }
    Granularity::COARSEST_FIRST
        .into_iter()
        .filter(|rows| plan.wanted[*rows as usize])
        .all(|rows| sums[rows as usize] == all)
}

/// What is missing of an interval's rows, of those that were read.
fn missing(counts: &RowCounts, seen: &RowCounts, plan: &FilePlan) -> Option<String> {
    let wanted = Granularity::COARSEST_FIRST.into_iter().filter(|rows| plan.wanted[*rows as usize]);
    for rows in wanted {
        let (should, are) = (counts.rows[rows as usize], seen.rows[rows as usize]);
        if should != are {
            return Some(format!("{are} of {should} rows of {rows} are there"));
        }
    }
    (counts.other != seen.other).then(|| format!("{} of {} rows 'other' are there", seen.other, counts.other))
}

/// The step of a timeline that an interval is in: the one its middle is in.
fn step_of(line: &IntervalLine, step: i64, offset: i64) -> i64 {
    let (start, end) = (line.start.as_millisecond(), line.end.as_millisecond());
    (start + (end - start) / 2 + offset).div_euclid(step.max(1))
}
