//! A timeline for programs: a point for each step and group that has anything.

use std::io::{self, Write};

use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq as _},
};

use super::{LogSeries, LogTimeline};
use crate::{
    format::{CsvCell, json as name},
    history::{
        answer::LogAnswer,
        fold::Both,
        machine::{AVERAGES, Lines, about, averages, into_io, rfc3339},
    },
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.timeline/1";

/// What a point is of; [`AVERAGES`] come behind it.
const COLUMNS: [&str; 3] = ["start", "seconds", "key"];

/// A point.
struct Point<'a> {
    start: String,
    seconds: f64,
    series: &'a LogSeries,
    counts: Both,
}

impl Point<'_> {
    /// The values of [`AVERAGES`].
    fn amounts(&self) -> [u64; 6] {
        averages(self.counts, self.seconds)
    }
}

/// All points, step by step. Of everything there is one for each step that the log has; of a group for those where it has anything.
fn points(timeline: &LogTimeline) -> impl Iterator<Item = Point<'_>> {
    timeline.seconds.iter().flat_map(move |(step, seconds)| {
        let point = |series, counts| Point {
            start: rfc3339(timeline.moment(*step)),
            seconds: *seconds,
            series,
            counts,
        };
        let all = timeline.by.is_none().then(|| {
            let counts = timeline.all.points.get(step).copied().unwrap_or_default();
            point(&timeline.all, counts)
        });
        let groups = timeline.series.iter().filter(|_| timeline.by.is_some());
        let groups = groups.filter_map(move |series| Some(point(series, *series.points.get(step)?)));
        all.into_iter().chain(groups)
    })
}

impl Serialize for Point<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry(COLUMNS[0], &self.start)?;
        map.serialize_entry(COLUMNS[1], &self.seconds)?;
        name::entry(&mut map, COLUMNS[2], self.series.name.as_bytes())?;
        for (name, value) in AVERAGES.into_iter().zip(self.amounts()) {
            map.serialize_entry(name, &value)?;
        }
        map.end()
    }
}

struct TimelineDocument<'a> {
    answer: &'a LogAnswer,
    timeline: &'a LogTimeline,
}

impl Serialize for TimelineDocument<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self { answer, timeline } = self;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("schema", SCHEMA)?;
        about(&mut map, answer)?;
        map.serialize_entry("step_seconds", &(timeline.step as f64 / 1000.0))?;
        map.serialize_entry("by", &timeline.by.map(|by| by.to_string()))?;
        map.serialize_entry("points", &Points(timeline))?;
        map.end()
    }
}

struct Points<'a>(&'a LogTimeline);

impl Serialize for Points<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(None)?;
        points(self.0).try_for_each(|point| seq.serialize_element(&point))?;
        seq.end()
    }
}

/// Writes the document and a line feed.
pub(super) fn write_json(out: &mut impl Write, answer: &LogAnswer, timeline: &LogTimeline) -> io::Result<()> {
    name::to_writer(&mut *out, &TimelineDocument { answer, timeline })?;
    writeln!(out)
}

/// Writes a header line, then the points.
pub(super) fn write_csv(out: &mut impl Write, timeline: &LogTimeline) -> io::Result<()> {
    let mut lines = Lines { writer: csv::Writer::from_writer(out), cell: String::new() };
    lines.header(COLUMNS.into_iter().chain(AVERAGES)).map_err(into_io)?;
    for point in points(timeline) {
        lines.cell(&point.start).map_err(into_io)?;
        lines.cell(point.seconds).map_err(into_io)?;
        lines.cell(CsvCell::new(&point.series.name)).map_err(into_io)?;
        lines.values(point.amounts().iter()).map_err(into_io)?;
        lines.end().map_err(into_io)?;
    }
    lines.writer.flush()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::timeline::tests::timeline;

    #[test]
    fn each_point_is_a_line() {
        let timeline = timeline(&[("443/tcp", &[(0, 6000), (2, 60)]), ("=x", &[(2, 600)])]);
        let mut out = Vec::new();
        write_csv(&mut out, &timeline).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "start,seconds,key,sent_bytes,sent_packets,received_bytes,received_packets,sent_bps,received_bps\n\
             1970-01-01T00:00:00.000Z,60,443/tcp,6000,1,0,0,800,0\n\
             1970-01-01T00:02:00.000Z,60,443/tcp,60,1,0,0,8,0\n\
             1970-01-01T00:02:00.000Z,60,\\x3dx,600,1,0,0,80,0\n"
        );
    }
}
