//! A timeline for people: everything as a chart of block characters with an axis, and below it a line for each group.

use std::io::{self, Write};

use jiff::tz::TimeZone;

use super::{LogSeries, LogTimeline, length};
use crate::{
    format::{
        Guard, Safe,
        grid::UNLIMITED,
        numbers::{Rate, Size, rate_unit},
    },
    history::{answer::LogAnswer, text},
    report::{ReportRequest, text::paragraph},
};

/// Columns where there is no terminal to ask.
const COLUMNS: usize = 100;
/// Columns of the axis, its unit and its line.
const AXIS: usize = 9;
/// Lines of the chart.
const HEIGHT: usize = 8;
/// An eighth to eight eighths of a character.
const BLOCKS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];
/// Columns of a group's name, at most.
const NAME: usize = 26;
/// Columns between times below the axis.
const BETWEEN: usize = 12;

/// Writes the chart.
pub(super) fn write(
    out: &mut impl Write,
    answer: &LogAnswer,
    timeline: &LogTimeline,
    request: &ReportRequest,
    width: usize,
    zone: &TimeZone,
) -> io::Result<()> {
    let out = &mut Guard::new(out);
    text::header(out, answer, width, zone)?;
    let columns = if width == UNLIMITED { COLUMNS } else { width }.saturating_sub(AXIS + 1).max(10);
    let fitted = fit(timeline, columns);
    let timeline = &fitted;
    if let Some((first, last)) = timeline.ends() {
        writeln!(out)?;
        let unit = rate_unit(request.units);
        paragraph(out, width, &format!("{unit}, a column is {}", length(timeline.step)))?;
        chart(out, timeline, (first, last), request)?;
        times(out, timeline, (first, last), zone)?;
        writeln!(out)?;
        lines(out, timeline, (first, last), request)?;
    }
    if let Some(note) = &timeline.note {
        writeln!(out)?;
        paragraph(out, width, note)?;
    }
    text::notes(out, answer, width)
}

/// The same in no more steps than there are columns.
fn fit(timeline: &LogTimeline, columns: usize) -> LogTimeline {
    let Some((first, last)) = timeline.ends() else { return timeline.clone() };
    let (steps, columns) = (last - first + 1, i64::try_from(columns).unwrap_or(i64::MAX));
    if steps <= columns {
        return timeline.clone();
    }
    let mut times = (steps + columns - 1) / columns;
    // Steps that begin at multiples of their length may take one more of them.
    while last.div_euclid(times) - first.div_euclid(times) + 1 > columns {
        times += 1;
    }
    let mut fitted = timeline.coarser(times);
    fitted.note = Some(format!(
        "Step: {steps} steps of {} do not fit into {columns} columns, so that a column has {times} of them; JSON and CSV have each.",
        length(timeline.step)
    ));
    fitted
}

/// How many eighths of a line a rate is high, in this many lines. What is not nothing is seen.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a part of the highest rate, which is no more than the lines have eighths"
)]
fn eighths(rate: f64, highest: f64, lines: usize) -> usize {
    if rate <= 0.0 || highest <= 0.0 {
        return 0;
    }
    ((rate / highest * (lines * BLOCKS.len()) as f64).round() as usize).max(1)
}

/// The character of a column in a line, counted from the lowest one.
fn block(eighths: usize, line: usize) -> char {
    match eighths.saturating_sub(line * BLOCKS.len()) {
        0 => ' ',
        height => BLOCKS[height.min(BLOCKS.len()) - 1],
    }
}

fn chart(
    out: &mut impl Write,
    timeline: &LogTimeline,
    (first, last): (i64, i64),
    request: &ReportRequest,
) -> io::Result<()> {
    let highest = timeline.peak(&timeline.all);
    let columns: Vec<Option<usize>> = (first..=last)
        .map(|step| timeline.rate(&timeline.all, step).map(|rate| eighths(rate, highest, HEIGHT)))
        .collect();
    for line in (0..HEIGHT).rev() {
        let label = match line + 1 {
            HEIGHT => Rate(highest, request.units).to_string(),
            middle if middle == HEIGHT / 2 => Rate(highest / 2.0, request.units).to_string(),
            _ => String::new(),
        };
        let mark = if label.is_empty() { '│' } else { '┤' };
        let text: String =
            columns.iter().map(|eighths| eighths.map_or(' ', |eighths| block(eighths, line))).collect();
        writeln!(out, "{}", format!("{label:>width$} {mark}{text}", width = AXIS - 2).trim_end())?;
    }
    // Where the log has nothing, the axis is dotted.
    let axis: String = columns.iter().map(|column| if column.is_some() { '─' } else { '┈' }).collect();
    writeln!(out, "{:>width$} ┼{axis}", 0, width = AXIS - 2)
}

/// The times below the axis.
fn times(
    out: &mut impl Write,
    timeline: &LogTimeline,
    (first, last): (i64, i64),
    zone: &TimeZone,
) -> io::Result<()> {
    let format = if timeline.step >= 86_400_000 {
        "%m-%d"
    } else if (last - first) * timeline.step > 86_400_000 {
        "%d. %H:%M"
    } else if timeline.step < 60_000 {
        "%H:%M:%S"
    } else {
        "%H:%M"
    };
    let mut line = " ".repeat(AXIS);
    for step in first..=last {
        let column = AXIS + usize::try_from(step - first).unwrap_or(0);
        if !(step - first).unsigned_abs().is_multiple_of(BETWEEN as u64) {
            continue;
        }
        let moment = timeline.moment(step).to_zoned_datetime(zone.clone()).strftime(format).to_string();
        line.extend(std::iter::repeat_n(' ', column.saturating_sub(line.chars().count())));
        line.push_str(&moment);
    }
    writeln!(out, "{line}")
}

/// A line for each group, to a scale of its own.
fn lines(
    out: &mut impl Write,
    timeline: &LogTimeline,
    (first, last): (i64, i64),
    request: &ReportRequest,
) -> io::Result<()> {
    let shown: Vec<&LogSeries> =
        timeline.series.iter().filter(|series| timeline.bytes(series.total) > 0).collect();
    let name = |series: &LogSeries| cut(&Safe::new(&series.title).to_string());
    let width = shown.iter().map(|series| name(series).chars().count()).max().unwrap_or(0);
    let what = timeline.by.map_or_else(|| "direction".to_owned(), |by| by.to_string());
    if !shown.is_empty() {
        writeln!(out, "By {what}, each line to its own scale: its highest rate, all its bytes")?;
    }
    for series in shown {
        let peak = timeline.peak(series);
        let text: String = (first..=last)
            .map(|step| timeline.rate(series, step).map_or('┈', |rate| block(eighths(rate, peak, 1), 0)))
            .collect();
        let all = Size(timeline.bytes(series.total)).to_string();
        writeln!(out, "{:<width$} {:>7} {all:>8}", name(series), Rate(peak, request.units))?;
        writeln!(out, "{}", format!("{}{text}", " ".repeat(AXIS)).trim_end())?;
    }
    Ok(())
}

/// A name that fits, without its middle.
fn cut(name: &str) -> String {
    let characters: Vec<char> = name.chars().collect();
    if characters.len() <= NAME {
        return name.to_owned();
    }
    let (head, tail) = (NAME / 2, NAME - NAME / 2 - 1);
    characters[..head].iter().chain(&['…']).chain(&characters[characters.len() - tail..]).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::timeline::tests::timeline;

    #[test]
    fn a_chart_has_a_column_for_each_step() {
        let timeline =
            timeline(&[("443/tcp", &[(0, 6_000_000), (1, 3_000_000), (3, 60)]), ("53/udp", &[(1, 600)])]);
        let mut out = Vec::new();
        let ends = timeline.ends().unwrap();
        chart(&mut out, &timeline, ends, &ReportRequest::default()).unwrap();
        times(&mut out, &timeline, ends, &TimeZone::UTC).unwrap();
        lines(&mut out, &timeline, ends, &ReportRequest::default()).unwrap();
        insta::assert_snapshot!(String::from_utf8(out).unwrap());
    }

    #[test]
    fn what_is_not_nothing_is_seen() {
        assert_eq!(eighths(0.0, 100.0, 8), 0);
        assert_eq!(eighths(0.001, 100.0, 8), 1);
        assert_eq!(eighths(100.0, 100.0, 8), 64);
        assert_eq!(block(64, 7), '█');
        assert_eq!(block(9, 1), '▁');
        assert_eq!(block(9, 2), ' ');
    }

    #[test]
    fn steps_that_do_not_fit_are_taken_together() {
        let points: Vec<_> = (5..205).map(|step| (step, 60)).collect();
        let timeline = timeline(&[("a", &points)]);
        let fitted = fit(&timeline, 50);
        let (first, last) = fitted.ends().unwrap();
        assert!(last - first < 50, "{first} to {last}");
        assert_eq!(fitted.all.total, timeline.all.total);
        assert!(fitted.note.unwrap().starts_with("Step: 200 steps of 1m do not fit into 50 columns"));
        assert_eq!(cut("0123456789012345678901234567"), "0123456789012…678901234567");
    }
}
