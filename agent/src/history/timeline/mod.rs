//! Rates over time: what each step brought, of everything or of the largest groups.

mod chart;
mod machine;
mod svg;

use std::{
    collections::BTreeMap,
    io::{self, BufWriter, Write},
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use flowtally_common::Count;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    BLOCK, HistoryFormat,
    answer::LogAnswer,
    fold::{Both, Steps, add, is_nothing},
    machine::OTHER,
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        row::RowKey,
    },
    format::Name,
    report::{ReportContext, ReportDirection, ReportRequest, fields::RowFields},
};

/// Groups of a timeline when nothing else is asked.
const GROUPS: usize = 10;
/// The most steps: enough for a week in seconds.
const MOST_STEPS: i64 = 700_000;
/// Steps that a timeline has about, when nothing else is asked.
const ABOUT: u128 = 80;
/// As many steps of reading as this are about one step of a timeline.
const FINER: u32 = 25;
/// Lengths of steps that people know, in seconds.
const LENGTHS: [u64; 20] = [
    1, 2, 5, 10, 15, 20, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10_800, 21_600, 43_200, 86_400,
    604_800,
];

/// A length of a step that shows this much time in a number of steps that can be seen at once, and is a multiple of another one, in
/// milliseconds.
fn step_for(time: Duration, multiple: i64) -> i64 {
    let lengths = LENGTHS.iter().filter_map(|seconds| i64::try_from(seconds * 1000).ok());
    let fits = |length: &i64| {
        time.as_millis() <= u128::from(length.unsigned_abs()) * ABOUT && length % multiple == 0
    };
    lengths
        .clone()
        .find(fits)
        .or_else(|| lengths.clone().rfind(|length| length % multiple == 0))
        .unwrap_or(multiple)
}

/// A length of a step in which to read a log of which this much time is known at most: the timeline's own is found when it has
/// been read, and is a multiple of it.
#[must_use]
pub fn reading_step(time: Duration) -> Duration {
    Duration::from_millis(step_for(time / FINER, 1).unsigned_abs())
}

/// What one line of a timeline is of.
#[derive(Clone, Debug)]
pub(super) struct LogSeries {
    pub(super) name: Name,
    /// What people are shown in its place: host names where there are any.
    pub(super) title: Name,
    /// By step.
    pub(super) points: BTreeMap<i64, Both>,
    pub(super) total: Both,
}

impl LogSeries {
    fn new(name: Name, steps: &[(i64, Both)]) -> Self {
        let mut series = Self { title: name.clone(), name, points: BTreeMap::new(), total: Both::default() };
        series.add(steps);
        series
    }

    fn add(&mut self, steps: &[(i64, Both)]) {
        for (step, counts) in steps {
            add(self.points.entry(*step).or_default(), *counts);
            add(&mut self.total, *counts);
        }
    }

    fn coarser(&self, times: i64) -> Self {
        let steps: Vec<_> =
            self.points.iter().map(|(step, counts)| (step.div_euclid(times), *counts)).collect();
        Self { title: self.title.clone(), ..Self::new(self.name.clone(), &steps) }
    }
}

/// Rates over time.
#[derive(Clone, Debug)]
pub(super) struct LogTimeline {
    /// The length of a step, in milliseconds.
    pub(super) step: i64,
    /// By how much the steps begin before multiples of their length since 1970 in UTC: those of a day begin at midnight.
    offset: i64,
    /// What the groups are by; nothing for the two directions of everything.
    pub(super) by: Option<GroupBy>,
    /// Measured seconds by step; a step that is not there has nothing in the log.
    pub(super) seconds: BTreeMap<i64, f64>,
    /// Everything.
    pub(super) all: LogSeries,
    /// The largest groups, and what the rest of them come to.
    pub(super) series: Vec<LogSeries>,
    pub(super) direction: ReportDirection,
    /// What has to be said of the steps.
    pub(super) note: Option<String>,
}

impl LogTimeline {
    fn new(
        answer: &LogAnswer,
        options: &TimelineOptions,
        request: &ReportRequest,
        fields: &RowFields<'_>,
    ) -> Self {
        let all = LogSeries::new("total".into(), &answer.total_steps);
        let direction = request.direction;
        let series = match options.by {
            None => directions(&answer.total_steps),
            Some(by) => groups(answer, by, request, fields),
        };
        let timeline = Self {
            step: options.step,
            offset: options.offset,
            by: options.by,
            seconds: answer.step_seconds.clone(),
            all,
            series,
            direction,
            note: None,
        };
        let timeline = match answer.covered.filter(|_| options.fit) {
            None => timeline,
            Some((start, end)) => {
                let time = end.duration_since(start).try_into().unwrap_or_default();
                timeline.coarser(step_for(time, options.step) / options.step)
            }
        };
        // Intervals that are longer than a step would leave steps between them empty.
        let interval = answer.snapshot.elapsed.as_millis() / u128::from(answer.intervals.max(1))
            * answer.hosts.len().max(1) as u128;
        let interval = i64::try_from(interval).unwrap_or(i64::MAX);
        let step = timeline.step;
        if step.saturating_mul(21) / 20 >= interval {
            return timeline;
        }
        let mut coarser = timeline.coarser((interval + step - 1) / step);
        coarser.note = (!options.fit).then(|| {
            format!("Step: intervals of the log are {} long, so that steps are too.", length(coarser.step))
        });
        coarser
    }

    /// The same with longer steps.
    pub(super) fn coarser(&self, times: i64) -> Self {
        let mut seconds: BTreeMap<i64, f64> = BTreeMap::new();
        for (step, measured) in &self.seconds {
            *seconds.entry(step.div_euclid(times)).or_default() += measured;
        }
        Self {
            step: self.step * times,
            seconds,
            all: self.all.coarser(times),
            series: self.series.iter().map(|series| series.coarser(times)).collect(),
            ..self.clone()
        }
    }

    /// When a step begins.
    pub(super) fn moment(&self, step: i64) -> Timestamp {
        let milliseconds = step.saturating_mul(self.step).saturating_sub(self.offset);
        Timestamp::from_millisecond(milliseconds).unwrap_or(Timestamp::UNIX_EPOCH)
    }

    /// The first step and the last one.
    pub(super) fn ends(&self) -> Option<(i64, i64)> {
        let first = self.seconds.first_key_value()?.0;
        Some((*first, *self.seconds.last_key_value()?.0))
    }

    /// Bytes a second of a series in a step; nothing where the log has nothing.
    pub(super) fn rate(&self, series: &LogSeries, step: i64) -> Option<f64> {
        let seconds = self.seconds.get(&step).filter(|seconds| **seconds > 0.0)?;
        Some(series.points.get(&step).map_or(0.0, |counts| self.bytes(*counts) as f64 / seconds))
    }

    /// The highest of them.
    pub(super) fn peak(&self, series: &LogSeries) -> f64 {
        series.points.keys().filter_map(|step| self.rate(series, *step)).fold(0.0, f64::max)
    }

    /// Bytes in the directions that are asked for.
    pub(super) const fn bytes(&self, [sent, received]: Both) -> u64 {
        bytes(self.direction, [sent, received])
    }
}

const fn bytes(direction: ReportDirection, [sent, received]: Both) -> u64 {
    match direction {
        ReportDirection::Both => sent.bytes.saturating_add(received.bytes),
        ReportDirection::Sent => sent.bytes,
        ReportDirection::Received => received.bytes,
    }
}

/// A length of time as the command line takes it.
pub(super) fn length(milliseconds: i64) -> String {
    let milliseconds = u64::try_from(milliseconds).unwrap_or(0);
    humantime::format_duration(Duration::from_millis(milliseconds)).to_string()
}

/// Everything as what was sent and what was received.
fn directions(steps: &[(i64, Both)]) -> Vec<LogSeries> {
    let one = |name: &str, at: usize| {
        let steps: Vec<(i64, Both)> = steps
            .iter()
            .map(|(step, counts)| {
                let mut one = [Count::default(); 2];
                one[at] = counts[at];
                (*step, one)
            })
            .collect();
        LogSeries::new(name.into(), &steps)
    };
    vec![one("sent", 0), one("received", 1)]
}

/// The largest groups, and the rest.
fn groups(
    answer: &LogAnswer,
    by: GroupBy,
    request: &ReportRequest,
    fields: &RowFields<'_>,
) -> Vec<LogSeries> {
    let size = |steps: &[(i64, Both)]| {
        steps.iter().fold(0_u64, |sum, (_, counts)| sum.saturating_add(bytes(request.direction, *counts)))
    };
    let most = request.top.unwrap_or(GROUPS);
    let mut series: Vec<(u64, LogSeries)> = if by == GroupBy::Flow {
        let named = |(row, steps): &(RowKey, Steps)| {
            let title = flow(row, |address| fields.host(address));
            let name = flow(row, |_| None);
            (size(steps), LogSeries { title, ..LogSeries::new(name, steps) })
        };
        answer.flow_steps.iter().map(named).collect()
    } else {
        let groups = answer.steps.first().map(Vec::as_slice).unwrap_or_default();
        let named = |(key, steps): &(GroupKey, Vec<(i64, Both)>)| {
            let name = fields.key(key).title();
            let title = group(key, |address| fields.host(address)).unwrap_or_else(|| name.clone());
            (size(steps), LogSeries { title, ..LogSeries::new(name, steps) })
        };
        groups.iter().map(named).collect()
    };
    series.sort_by(|(one, first), (other, second)| other.cmp(one).then_with(|| first.name.cmp(&second.name)));
    let rest = series.split_off(most.min(series.len()));
    let mut series: Vec<LogSeries> = series.into_iter().map(|(_, series)| series).collect();
    let mut other = LogSeries::new(OTHER.into(), &[]);
    for (_, rest) in rest {
        let steps: Vec<_> = rest.points.into_iter().collect();
        other.add(&steps);
    }
    if answer.is_everything
        && let Some((_, rest)) = answer.rest.first()
    {
        other.add(&rest.steps);
    }
    if !is_nothing(other.total) {
        series.push(other);
    }
    series
}

/// What a group is called whose key is addresses, where any of them has a name.
fn group<'n>(key: &GroupKey, host: impl Fn(IpAddr) -> Option<&'n Name>) -> Option<Name> {
    match *key {
        GroupKey::Address(Some(address)) => host(address).cloned(),
        GroupKey::Pair(Some((local, remote))) => {
            let names = [local, remote].map(|address| (address, host(address)));
            names.iter().any(|(_, name)| name.is_some()).then(|| {
                let called = |(address, name): &(IpAddr, Option<&Name>)| match name {
                    Some(name) => name.as_bytes().to_vec(),
                    None => address.to_string().into_bytes(),
                };
                [called(&names[0]), called(&names[1])].join(&b' ').into()
            })
        }
        _ => None,
    }
}

/// What a conversation is called, with these names of hosts.
fn flow<'n>(row: &RowKey, host: impl Fn(IpAddr) -> Option<&'n Name>) -> Name {
    let end = |address: Option<IpAddr>, port: u16| match (address, address.and_then(&host)) {
        (None, _) => b"-".to_vec(),
        (_, Some(name)) if !row.kind.has_ports() => name.as_bytes().to_vec(),
        (_, Some(name)) => [name.as_bytes(), format!(":{port}").as_bytes()].concat(),
        (Some(address), None) if !row.kind.has_ports() => address.to_string().into_bytes(),
        (Some(address), None) => SocketAddr::new(address, port).to_string().into_bytes(),
    };
    let ends = [end(row.local_address(), row.local_port), end(row.remote_address(), row.remote_port)];
    [row.kind.to_string().as_bytes(), &*ends[0], &*ends[1]].join(&b' ').into()
}

/// What a timeline is asked for.
#[derive(Clone, Copy, Debug)]
pub struct TimelineOptions {
    /// The length of a step, in milliseconds.
    pub step: i64,
    /// Whether steps may be as long as it takes to see all of them.
    pub fit: bool,
    /// The time zone's offset from UTC, in milliseconds.
    pub offset: i64,
    /// What to show beside everything: groups, or the two directions.
    pub by: Option<GroupBy>,
}

/// More steps than can be shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{steps} steps are too many: choose longer ones (--step), or less time (--from, --to)")]
pub struct TooManySteps {
    steps: i64,
}

/// Writes a timeline, and flushes. Moments for people are those of the time zone.
///
/// # Errors
/// Those of `out`, with their kind kept; and more steps than can be shown, as an error of its own kind within it.
pub fn write_timeline(
    out: impl Write,
    format: HistoryFormat,
    answer: &LogAnswer,
    options: &TimelineOptions,
    request: &ReportRequest,
    context: &ReportContext<'_>,
    zone: &TimeZone,
) -> io::Result<()> {
    let fields = RowFields::new(&answer.snapshot, context);
    let timeline = LogTimeline::new(answer, options, request, &fields);
    if let Some(steps) = timeline.ends().map(|(first, last)| last - first).filter(|steps| *steps > MOST_STEPS)
    {
        return Err(io::Error::other(TooManySteps { steps }));
    }
    let mut out = BufWriter::with_capacity(BLOCK, out);
    match format {
        HistoryFormat::Text => chart::write(&mut out, answer, &timeline, request, context.width, zone)?,
        HistoryFormat::Json => machine::write_json(&mut out, answer, &timeline)?,
        HistoryFormat::Csv => machine::write_csv(&mut out, &timeline)?,
        HistoryFormat::Svg => svg::write(&mut out, answer, &timeline, request, zone)?,
    }
    out.flush()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    pub(super) fn timeline(series: &[(&str, &[(i64, u64)])]) -> LogTimeline {
        let steps = |points: &[(i64, u64)]| -> Vec<(i64, Both)> {
            points
                .iter()
                .map(|(step, bytes)| (*step, [Count { bytes: *bytes, packets: 1 }, Count::default()]))
                .collect()
        };
        let mut all = LogSeries::new("total".into(), &[]);
        for (_, points) in series {
            all.add(&steps(points));
        }
        LogTimeline {
            step: 60_000,
            offset: 0,
            by: Some(GroupBy::Port),
            seconds: all.points.keys().map(|step| (*step, 60.0)).collect(),
            all,
            series: series
                .iter()
                .map(|(name, points)| LogSeries::new((*name).into(), &steps(points)))
                .collect(),
            direction: ReportDirection::Both,
            note: None,
        }
    }

    #[test]
    fn steps_are_lengths_that_people_know() {
        let seconds = |time| step_for(Duration::from_secs(time), 1000) / 1000;
        assert_eq!([60, 600, 3600, 86_400].map(seconds), [1, 10, 60, 1800]);
        assert_eq!(seconds(10 * 365 * 86_400), 604_800);
        assert_eq!(step_for(Duration::from_secs(1000), 10_000), 20_000);
        assert_eq!(step_for(Duration::from_secs(1), 11_000), 11_000);
        assert_eq!(reading_step(Duration::from_hours(24)), Duration::from_mins(1));
    }

    #[test]
    fn longer_steps_have_the_same_sums() {
        let fine = timeline(&[("a", &[(-3, 60), (-2, 60), (0, 600), (5, 6)]), ("b", &[(0, 60)])]);
        let coarse = fine.coarser(2);
        assert_eq!(coarse.ends(), Some((-2, 2)));
        assert_eq!(coarse.all.total, fine.all.total);
        assert_eq!(coarse.rate(&coarse.all, -2), Some(1.0));
        assert_eq!(coarse.rate(&coarse.all, 0), Some(11.0));
        assert_eq!(coarse.rate(&coarse.all, 1), None, "nothing is in the log");
        assert!((coarse.peak(&coarse.series[1]) - 1.0).abs() < 1e-9);
        assert_eq!(fine.moment(1), Timestamp::from_second(60).unwrap());
    }
}
