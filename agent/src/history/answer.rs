//! The answer: what files amount to, as a report has it, and everything that has to be said beside the tables.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flowtally_common::Count;
use jiff::{Timestamp, tz::TimeZone};
use thiserror::Error;

use super::{
    fold::{LogGroup, LogSum, RowFold, Steps, is_nothing},
    key::{self, KeyMeaning},
    line::LoggedInterface,
    moment::Period,
    question::LogQuestion,
    tally::{FileNote, LogTally, Stretch},
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey, OwnerPart},
        row::{InterfaceId, Lane, RowKey, Traffic},
        snapshot::{InterfaceView, Reconciliation, Snapshot},
    },
    format::{Name, Safe, numbers::Many},
    model::owner::{Attribution, Common},
    report::{self, OtherRows, ReportRequest, ReportTable, TableKey},
};

/// Notes of one kind that are printed; what there are more of is counted.
const MOST_NOTES: usize = 8;
/// How far the log may begin behind the time asked about, or end before it, without a word: less than an interval can be.
const EDGE: i64 = 1_000;

/// Time that the log does not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogGap {
    /// The host.
    pub host: Name,
    /// When the last interval before it ended.
    pub from: Timestamp,
    /// When the next one began.
    pub to: Timestamp,
    /// How many intervals are missing by their numbers.
    pub missing: u64,
    /// Why, as far as it shows.
    pub reason: GapReason,
}

/// Why time is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GapReason {
    /// Intervals of one run are not there.
    Missing,
    /// The agent ended and began again.
    Restart,
    /// The host was booted.
    Boot,
}

impl GapReason {
    /// In one word, for machines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Missing => "missing",
            Self::Restart => "restart",
            Self::Boot => "boot",
        }
    }
}

/// The log holds something twice, and nothing can be added up.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "interval {number} of host {host} is in {} and in {}: name each file once, and no copies of it",
    Safe::new(&*.files[0]), Safe::new(&*.files[1]), host = .host
)]
pub struct Twice {
    host: Name,
    number: u64,
    files: [Arc<str>; 2],
}

/// What the rows of a grouping that is in no row amount to.
#[derive(Clone, Debug, Default)]
pub struct LoggedRest {
    /// As a row.
    pub rows: Option<OtherRows>,
    /// By step of a timeline.
    pub steps: Steps,
}

/// The answer.
#[derive(Debug)]
pub struct LogAnswer {
    /// The time that was asked about.
    pub period: Period,
    /// When the first interval began, and when the last one ended.
    pub covered: Option<(Timestamp, Timestamp)>,
    /// How many intervals were added up.
    pub intervals: u64,
    /// How many files were read.
    pub files: u64,
    /// How many lie outside of the time.
    pub files_outside: usize,
    /// The hosts.
    pub hosts: Vec<Name>,
    /// The tables' rows.
    pub snapshot: Snapshot,
    /// Of each grouping what is in no row.
    pub rest: Vec<(GroupBy, LoggedRest)>,
    /// By step of a timeline what all rows brought, of the first grouping.
    pub total_steps: Steps,
    /// By step of a timeline what each group brought, by the place of a grouping in the question.
    pub steps: Vec<Vec<(GroupKey, Steps)>>,
    /// The same of conversations.
    pub flow_steps: Vec<(RowKey, Steps)>,
    /// Measured seconds of each step: of several hosts the most.
    pub step_seconds: BTreeMap<i64, f64>,
    /// Interfaces as they are called here, with what they counted.
    pub interfaces: Vec<(String, LoggedInterface)>,
    /// Whether all rows were asked for: what is in none belongs to them only then.
    pub is_everything: bool,
    /// What time is missing.
    pub gaps: Vec<LogGap>,
    /// What has to be said, a sentence each.
    pub notes: Vec<String>,
}

impl LogAnswer {
    /// Makes the answer of what was read. Moments in sentences are those of the time zone.
    ///
    /// # Errors
    /// The same interval was read twice.
    pub fn new(
        mut tally: LogTally,
        question: &LogQuestion,
        files_outside: usize,
        zone: &TimeZone,
    ) -> Result<Self, Twice> {
        tally.stretches.sort_by(|one, other| {
            let key = |stretch: &Stretch| (stretch.origin.host.clone(), stretch.start, stretch.first);
            key(one).cmp(&key(other))
        });
        let stretches = &tally.stretches;
        twice(stretches)?;
        let mut hosts: Vec<Name> = stretches.iter().map(|stretch| stretch.origin.host.clone()).collect();
        hosts.dedup();
        let seconds = |host: &Name| -> f64 {
            stretches
                .iter()
                .filter(|stretch| stretch.origin.host == *host)
                .map(|stretch| stretch.seconds)
                .sum()
        };
        let elapsed = hosts.iter().map(seconds).fold(0.0, f64::max);
        let covered = stretches
            .iter()
            .map(|stretch| stretch.start)
            .min()
            .zip(stretches.iter().map(|stretch| stretch.end).max());
        let mut step_seconds: BTreeMap<i64, f64> = BTreeMap::new();
        for ((_, step), seconds) in &tally.steps {
            let most = step_seconds.entry(*step).or_default();
            *most = most.max(*seconds);
        }
        let mut answer = Self {
            period: question.period,
            covered,
            intervals: stretches.iter().map(|stretch| stretch.intervals).sum(),
            files: tally.files,
            files_outside,
            gaps: gaps(stretches),
            snapshot: Snapshot {
                elapsed: Duration::try_from_secs_f64(elapsed).unwrap_or_default(),
                late_ticks: tally.late_ticks,
                ..Snapshot::default()
            },
            rest: Vec::new(),
            total_steps: Vec::new(),
            steps: Vec::new(),
            flow_steps: Vec::new(),
            step_seconds,
            interfaces: Vec::new(),
            is_everything: question.select.is_everything(),
            notes: Vec::new(),
            hosts,
        };
        let mut ids = InterfaceIds::default();
        answer.add_interfaces(&tally, &mut ids);
        for (by, fold) in question.by.iter().zip(std::mem::take(&mut tally.folds)) {
            answer.add_table(*by, fold, question, &mut ids);
        }
        answer.notes = answer.sentences(&tally, question, zone);
        Ok(answer)
    }

    /// The tables that were asked for, what is in no row with each.
    #[must_use]
    pub fn tables(&self, request: &ReportRequest) -> Vec<ReportTable<'_>> {
        let mut tables = report::tables(&self.snapshot, request);
        if self.is_everything {
            for table in &mut tables {
                table.other =
                    self.rest.iter().find(|(by, _)| *by == table.by).and_then(|(_, rest)| rest.rows);
            }
        }
        tables
    }

    /// What the interface counted that a row of interfaces is of.
    pub(super) fn logged(&self, key: TableKey<'_>) -> Option<&LoggedInterface> {
        let TableKey::Group(GroupKey::Interface(id)) = key else { return None };
        let place = self.snapshot.interfaces.iter().position(|interface| interface.id == *id)?;
        self.interfaces.get(place).map(|(_, logged)| logged)
    }

    fn add_interfaces(&mut self, tally: &LogTally, ids: &mut InterfaceIds) {
        let several = self.hosts.len() > 1;
        for ((host, name), sum) in &tally.interfaces {
            let called = if several {
                format!("{}/{}", host.safe(), name.safe())
            } else {
                String::from_utf8_lossy(name.as_bytes()).into_owned()
            };
            let side = |counted| Reconciliation { counted, ..Reconciliation::default() };
            let logged = &sum.logged;
            self.snapshot.interfaces.push(InterfaceView {
                id: ids.get(host.as_bytes(), name.as_bytes()),
                name: called.clone(),
                index: logged.index,
                hook: logged.hook.clone(),
                degraded: logged.degraded.clone(),
                ingress: side(logged.ingress),
                egress: side(logged.egress),
            });
            self.interfaces.push((called, logged.clone()));
        }
    }

    fn add_table(&mut self, by: GroupBy, fold: RowFold, question: &LogQuestion, ids: &mut InterfaceIds) {
        let rows = fold.other_rows;
        let (groups, [other, all]) = fold.finish();
        if self.rest.is_empty() {
            self.snapshot.total = traffic(&all);
            self.total_steps = all.steps;
        }
        let with_steps = question.step.is_some();
        let mut group_rows = Vec::new();
        let mut group_steps = Vec::new();
        for (key, LogGroup { example, sum, .. }) in groups {
            let meaning = key::read(by, &key, &example, &mut |host, name| ids.get(host, name));
            match meaning {
                Some(KeyMeaning::Flow(row, owner)) => {
                    self.snapshot.rows.push((row, traffic(&sum)));
                    self.snapshot.owners.push(owner);
                    if with_steps {
                        self.flow_steps.push((row, sum.steps));
                    }
                }
                Some(KeyMeaning::Group(group)) => {
                    if let GroupKey::Owner(owner) = &group {
                        let common = in_common(owner.part, &owner.example);
                        self.snapshot.in_common.insert(owner.clone(), common);
                    }
                    group_rows.push((group.clone(), traffic(&sum)));
                    if with_steps {
                        group_steps.push((group, sum.steps));
                    }
                }
                None => {}
            }
        }
        if by != GroupBy::Flow {
            self.snapshot.groups.push((by, group_rows));
        }
        self.steps.push(group_steps);
        let is_there = !is_nothing(other.total);
        let rows = is_there.then(|| OtherRows { rows, traffic: traffic(&other) });
        self.rest.push((by, LoggedRest { rows, steps: other.steps }));
    }

    /// What has to be said.
    fn sentences(&self, tally: &LogTally, question: &LogQuestion, zone: &TimeZone) -> Vec<String> {
        let moment = |moment: Timestamp| written(moment, zone);
        let mut notes = Vec::new();
        if self.intervals > 0 {
            notes.extend(self.edges(tally, zone));
        }
        for gap in self.gaps.iter().take(MOST_NOTES) {
            let LogGap { from, to, missing, reason, .. } = gap;
            let length = to.duration_since(*from).as_secs_f64();
            let host = if self.hosts.len() > 1 { format!(" on {}", gap.host.safe()) } else { String::new() };
            let why = match reason {
                GapReason::Missing => "intervals are missing",
                GapReason::Restart => "the agent was started again",
                GapReason::Boot => "the host was booted",
            };
            let numbers = if *missing > 0 { format!(", {missing} by their numbers") } else { String::new() };
            notes.push(format!(
                "Gap{host}: nothing from {} to {} ({length:.1} s): {why}{numbers}.",
                moment(*from),
                moment(*to)
            ));
        }
        if self.gaps.len() > MOST_NOTES {
            notes.push(format!("Gaps: {} more; --format json lists all.", self.gaps.len() - MOST_NOTES));
        }
        if tally.gaps > 0 {
            notes.push(format!(
                "Suspended: before {} intervals nothing was counted for {:.1} s in all.",
                tally.gaps, tally.gap_seconds
            ));
        }
        if tally.clock_steps > 0 {
            notes.push(format!(
                "Clock: it was set before {} intervals; moments before and after are in different clocks.",
                tally.clock_steps
            ));
        }
        if tally.carried > 0 {
            notes.push(format!(
                "Carried: {} intervals could not be written when they ended, and are part of the ones after them. Nothing of them \
                 is lost; their rates are averages over longer times.",
                tally.carried
            ));
        }
        notes.extend(file_notes(&tally.notes));
        if !question.select.is_everything() {
            let mut unknown = [Count::default(); 2];
            if let Some((_, LoggedRest { rows: Some(rest), .. })) = self.rest.first() {
                for (count, lane) in unknown.iter_mut().zip([rest.traffic.sent, rest.traffic.received]) {
                    *count = Count { bytes: lane.bytes, packets: lane.packets };
                }
                notes.push(format!(
                    "Other: {} bytes sent and {} received are in rows 'other' of the log, and may be of what was asked for too. \
                     They are in no total.",
                    unknown[0].bytes, unknown[1].bytes
                ));
            }
        }
        if let Some(top) = tally.top {
            notes.push(format!(
                "The agent wrote the {top} largest rows of each kind; what the others brought is in 'other'."
            ));
        }
        if tally.service_ports {
            notes.push("Ports: the log has no flows, so that a port is the one that names the service, not one at either end.".to_owned());
        }
        if tally.shared {
            notes.push("Shared: sockets of several processes count for the first of them, which is the one that the log names.".to_owned());
        }
        notes.extend(filter_note(tally));
        if tally.late_ticks > 0 {
            notes.push(format!(
                "Late: {} ticks took more than half as long again as planned. No bytes are lost.",
                tally.late_ticks
            ));
        }
        for (sentence, intervals) in tally.degraded.iter().take(MOST_NOTES) {
            notes.push(format!(
                "Degraded in {intervals} of {} intervals: {}",
                self.intervals,
                Safe::new(sentence)
            ));
        }
        notes
    }

    /// What is said of the ends of the time.
    fn edges(&self, tally: &LogTally, zone: &TimeZone) -> Vec<String> {
        let mut notes = Vec::new();
        let Period { from, to } = self.period;
        let seconds = |milliseconds: u64| milliseconds as f64 / 1000.0;
        let reaches = |at: usize| {
            let cut = tally.stretches.iter().map(|stretch| stretch.beyond[at]).filter(|beyond| *beyond > 0);
            (cut.clone().count(), cut.max().unwrap_or(0))
        };
        for (at, option, side) in [(0, "--from", "begins"), (1, "--to", "ends")] {
            let (cut, most) = reaches(at);
            if cut > 0 {
                let [before, many] = [
                    if at == 0 { "before" } else { "after" },
                    if cut == 1 { "interval" } else { "intervals" },
                ];
                notes.push(format!(
                    "Edge: {cut} {many} of the log {side} up to {:.3} s {before} {option}, and counted as a whole: what was sent in which \
                     part of an interval is not in the log.",
                    seconds(most)
                ));
            }
        }
        let Some((first, last)) = self.covered else { return notes };
        if from.is_some_and(|from| first.as_millisecond() - from.as_millisecond() > EDGE) {
            notes.push(format!("The log has nothing of this time before {}.", written(first, zone)));
        }
        if to.is_some_and(|to| to.as_millisecond() - last.as_millisecond() > EDGE) {
            notes.push(format!("The log has nothing of this time after {}.", written(last, zone)));
        }
        notes
    }
}

/// A moment as people of a time zone write it, with the offset that makes it plain.
#[must_use]
pub(super) fn written(moment: Timestamp, zone: &TimeZone) -> String {
    let local = moment.to_zoned_datetime(zone.clone());
    let format =
        if moment.as_millisecond() % 1000 == 0 { "%Y-%m-%d %H:%M:%S%:z" } else { "%Y-%m-%d %H:%M:%S%.3f%:z" };
    local.strftime(format).to_string()
}

/// What the agent's filter was, and what it left out: rows before and after a change do not compare.
fn filter_note(tally: &LogTally) -> Option<String> {
    let mut filtered = Count::default();
    for sum in tally.interfaces.values() {
        sum.logged.filtered.iter().for_each(|count| filtered.add(*count));
    }
    let left_out = if filtered.is_zero() {
        String::new()
    } else {
        format!(
            " {} in {} did not match and are in no row.",
            Many(filtered.bytes, "byte"),
            Many(filtered.packets, "packet")
        )
    };
    let what = |filter: &Option<String>| match filter {
        Some(filter) => format!("what matches '{}'", Safe::new(filter)),
        None => "everything".to_owned(),
    };
    let filters = &tally.filters;
    match filters.first_key_value()? {
        (None, _) if filters.len() == 1 => None,
        (Some(filter), _) if filters.len() == 1 => Some(format!(
            "Filter: the agent counted only what matches '{}' (--filter).{left_out}",
            Safe::new(filter)
        )),
        _ => {
            let parts: Vec<String> = filters
                .iter()
                .take(MOST_NOTES)
                .map(|(filter, intervals)| format!("{} in {}", what(filter), Many(*intervals, "interval")))
                .collect();
            let more = filters.len().saturating_sub(MOST_NOTES);
            let more = if more > 0 { format!(", and {more} more filters") } else { String::new() };
            Some(format!(
                "Filter: the agent's filter (--filter) changed in this time. It counted {}{more}.{left_out}",
                parts.join(", ")
            ))
        }
    }
}

/// Notes on files, those of one text together.
fn file_notes(notes: &[FileNote]) -> Vec<String> {
    let mut sorted = notes.to_vec();
    sorted.sort();
    let mut texts: Vec<String> = sorted
        .iter()
        .take(MOST_NOTES)
        .map(|FileNote { file, text }| format!("File {}: {}.", Safe::new(&**file), Safe::new(text)))
        .collect();
    if notes.len() > MOST_NOTES {
        texts.push(format!(
            "Files: {} more things are not as they should be; --format json lists all.",
            notes.len() - MOST_NOTES
        ));
    }
    texts
}

/// The ids of interfaces by host and name.
#[derive(Debug, Default)]
struct InterfaceIds {
    known: hashbrown::HashMap<(Name, Name), InterfaceId>,
}

impl InterfaceIds {
    fn get(&mut self, host: &[u8], name: &[u8]) -> InterfaceId {
        let next = u16::try_from(self.known.len()).unwrap_or(u16::MAX);
        *self.known.entry((host.into(), name.into())).or_insert(InterfaceId(next))
    }
}

fn lane(count: Count, peak: u64) -> Lane {
    Lane { bytes: count.bytes, packets: count.packets, recent: [0; 3], peak }
}

fn traffic(sum: &LogSum) -> Traffic {
    let [sent, received] = sum.total;
    Traffic { sent: lane(sent, sum.peak[0]), received: lane(received, sum.peak[1]), peak: sum.peak[2] }
}

/// What is known of all of a group: no more than what makes it one.
fn in_common(part: OwnerPart, example: &Attribution) -> Common {
    let common = example.common();
    let none = Common { reason: common.reason.filter(|_| example.owners.is_empty()), ..Common::default() };
    match part {
        OwnerPart::Process => common,
        OwnerPart::Command => Common { command: common.command, ..none },
        OwnerPart::User => Common { uid: common.uid, user: common.user, ..none },
        OwnerPart::Container => Common { container: common.container, ..none },
        OwnerPart::Netns => Common { netns: common.netns, ..none },
    }
}

/// Whether anything was read twice.
fn twice(stretches: &[Stretch]) -> Result<(), Twice> {
    let mut sorted: Vec<&Stretch> = stretches.iter().collect();
    sorted.sort_by(|one, other| (&one.origin, one.first).cmp(&(&other.origin, other.first)));
    for pair in sorted.windows(2) {
        let [one, other] = pair else { continue };
        if one.origin == other.origin && other.first <= one.last {
            let files = [Arc::clone(&one.file), Arc::clone(&other.file)];
            return Err(Twice { host: one.origin.host.clone(), number: other.first, files });
        }
    }
    Ok(())
}

/// The time between stretches. What follows at once on another file is none.
fn gaps(stretches: &[Stretch]) -> Vec<LogGap> {
    let mut gaps = Vec::new();
    for pair in stretches.windows(2) {
        let [one, next] = pair else { continue };
        if one.origin.host != next.origin.host {
            continue;
        }
        // Where the clock was set back and forth, those that lie between by their numbers may be there at another time.
        let between = stretches.iter().filter(|between| {
            between.origin.host == one.origin.host && between.first > one.last && between.last < next.first
        });
        let elsewhere: u64 = between.map(|between| between.last + 1 - between.first).sum();
        let missing = next.first.saturating_sub(one.last + 1).saturating_sub(elsewhere);
        let reason = if one.origin.boot != next.origin.boot {
            GapReason::Boot
        } else if one.origin.run != next.origin.run {
            GapReason::Restart
        } else {
            GapReason::Missing
        };
        if missing > 0 || reason != GapReason::Missing {
            gaps.push(LogGap {
                host: one.origin.host.clone(),
                from: one.end,
                to: next.start.max(one.end),
                missing,
                reason,
            });
        }
    }
    gaps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::line::LogOrigin;

    fn stretch(numbers: [u64; 2], begins: i64) -> Stretch {
        let at = |seconds| Timestamp::from_second(seconds).unwrap();
        let intervals = numbers[1] + 1 - numbers[0];
        Stretch {
            origin: LogOrigin { host: "web".into(), boot: "1".into(), run: "2".into() },
            first: numbers[0],
            last: numbers[1],
            start: at(begins),
            end: at(begins + i64::try_from(intervals).unwrap()),
            intervals,
            seconds: intervals as f64,
            beyond: [0; 2],
            file: "file".into(),
        }
    }

    /// A clock that is set back for a while puts intervals elsewhere: their numbers are there all the same.
    #[test]
    fn what_is_there_at_another_time_is_not_missing() {
        let [first, moved, last] = [stretch([1, 3], 1000), stretch([4, 13], 400), stretch([14, 17], 1013)];
        assert_eq!(gaps(&[moved, first.clone(), last.clone()]), []);
        let some = stretch([5, 13], 400);
        let found = gaps(&[some, first, last]);
        assert_eq!((found.len(), found[0].missing, found[0].reason), (1, 1, GapReason::Missing));
    }
}
