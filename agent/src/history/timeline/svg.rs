//! A timeline as a picture: groups stacked on one another, in a file that needs nothing else.

use std::{
    fmt::Write as _,
    io::{self, Write},
};

use jiff::tz::TimeZone;

use super::{LogSeries, LogTimeline, length};
use crate::{
    format::{
        Safe,
        numbers::{Rate, Size, rate_unit},
    },
    history::answer::{LogAnswer, written},
    report::ReportRequest,
};

/// The picture, and the part of it that the chart takes.
const WIDTH: f64 = 960.0;
const LEFT: f64 = 70.0;
const RIGHT: f64 = 940.0;
const TOP: f64 = 64.0;
const BOTTOM: f64 = 344.0;
/// Times below the axis.
const TIMES: u32 = 8;
/// Lines of a scale.
const LINES: u32 = 4;
/// The height of a line of the legend.
const LINE: f64 = 20.0;
/// Columns of the legend.
const COLUMNS: usize = 3;

/// Colours that people who see few of them tell apart (Paul Tol's muted scheme), grey for the rest last.
const COLOURS: [&str; 10] = [
    "#332288", "#88ccee", "#44aa99", "#117733", "#999933", "#ddcc77", "#cc6677", "#882255", "#aa4499",
    "#6699cc",
];
const REST: &str = "#aaaaaa";

/// Writes the picture.
pub(super) fn write(
    out: &mut impl Write,
    answer: &LogAnswer,
    timeline: &LogTimeline,
    request: &ReportRequest,
    zone: &TimeZone,
) -> io::Result<()> {
    let shown: Vec<&LogSeries> =
        timeline.series.iter().filter(|series| timeline.bytes(series.total) > 0).collect();
    let notes: Vec<&String> = timeline.note.iter().chain(&answer.notes).collect();
    let legend = BOTTOM + 50.0;
    let below = legend + LINE * shown.len().div_ceil(COLUMNS) as f64;
    let height = below + 16.0 * notes.len() as f64 + 8.0;
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" \
         font-family=\"sans-serif\" font-size=\"12\" fill=\"#222222\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
    );
    title(&mut text, answer, timeline, request, zone);
    if let Some(ends) = timeline.ends() {
        scale(&mut text, timeline, ends, request, zone);
        areas(&mut text, timeline, ends, &shown);
    }
    for (at, series) in shown.iter().enumerate() {
        let x = LEFT + (RIGHT - LEFT) / COLUMNS as f64 * (at % COLUMNS) as f64;
        let y = legend + LINE * (at / COLUMNS) as f64;
        let name = escape(&cut(&Safe::new(&series.title).to_string()));
        let size = Size(timeline.bytes(series.total));
        // Writing to a String does not fail, here and below.
        let _ = writeln!(
            text,
            "<rect x=\"{x:.0}\" y=\"{:.0}\" width=\"12\" height=\"12\" fill=\"{}\"/><text x=\"{:.0}\" y=\"{y:.0}\">{name} ({size})</text>",
            y - 11.0,
            colour(at, series),
            x + 18.0,
        );
    }
    for (at, note) in notes.iter().enumerate() {
        let y = below + 16.0 * at as f64;
        let _ = writeln!(
            text,
            "<text x=\"{LEFT}\" y=\"{y:.0}\" font-size=\"11\" fill=\"#666666\">{}</text>",
            escape(note)
        );
    }
    text.push_str("</svg>\n");
    out.write_all(text.as_bytes())
}

fn title(
    text: &mut String,
    answer: &LogAnswer,
    timeline: &LogTimeline,
    request: &ReportRequest,
    zone: &TimeZone,
) {
    let hosts: Vec<String> = answer.hosts.iter().map(ToString::to_string).collect();
    let by = timeline.by.map(|by| format!(" by {by}")).unwrap_or_default();
    let hosts = escape(&hosts.join(", "));
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"24\" font-size=\"16\" font-weight=\"bold\">{hosts}: traffic{by}</text>"
    );
    let time = answer.covered.map_or_else(
        || "the log has nothing of this time".to_owned(),
        |(start, end)| format!("{} to {}", written(start, zone), written(end, zone)),
    );
    let _ = writeln!(
        text,
        "<text x=\"{LEFT}\" y=\"44\" fill=\"#666666\">{time}, {} in steps of {}</text>",
        rate_unit(request.units),
        length(timeline.step)
    );
}

/// Where a step begins, from the left.
fn x(step: i64, (first, last): (i64, i64)) -> f64 {
    LEFT + (RIGHT - LEFT) * (step - first) as f64 / (last - first + 1) as f64
}

/// Where a rate is, from above.
fn y(rate: f64, highest: f64) -> f64 {
    if highest > 0.0 { BOTTOM - (BOTTOM - TOP) * rate / highest } else { BOTTOM }
}

fn scale(
    text: &mut String,
    timeline: &LogTimeline,
    ends: (i64, i64),
    request: &ReportRequest,
    zone: &TimeZone,
) {
    let highest = timeline.peak(&timeline.all);
    for line in 0..=LINES {
        let rate = highest * f64::from(line) / f64::from(LINES);
        let (y, label) = (y(rate, highest), Rate(rate, request.units));
        let _ = writeln!(
            text,
            "<path d=\"M{LEFT} {y:.1}H{RIGHT}\" stroke=\"#dddddd\"/><text x=\"{:.0}\" y=\"{:.1}\" text-anchor=\"end\">{label}</text>",
            LEFT - 6.0,
            y + 4.0,
        );
    }
    let (first, last) = ends;
    let days = (last - first + 1).saturating_mul(timeline.step) > 86_400_000;
    let format = match timeline.step {
        ..60_000 if !days => "%H:%M:%S",
        ..86_400_000 if !days => "%H:%M",
        ..86_400_000 => "%m-%d %H:%M",
        _ => "%Y-%m-%d",
    };
    let steps = last - first + 1;
    let each = (steps / i64::from(TIMES)).max(1);
    for step in (first..=last).filter(|step| (step - first) % each == 0) {
        let x = x(step, ends);
        let moment = timeline.moment(step).to_zoned_datetime(zone.clone()).strftime(format).to_string();
        let _ = writeln!(
            text,
            "<path d=\"M{x:.1} {BOTTOM}v5\" stroke=\"#888888\"/><text x=\"{x:.1}\" y=\"{:.0}\" text-anchor=\"middle\">{moment}</text>",
            BOTTOM + 20.0,
        );
    }
}

/// The groups, each on those before it. Where the log has nothing the picture has nothing.
fn areas(text: &mut String, timeline: &LogTimeline, ends: (i64, i64), shown: &[&LogSeries]) {
    let highest = timeline.peak(&timeline.all);
    let mut below: Vec<f64> = vec![0.0; timeline.seconds.len()];
    for (at, series) in shown.iter().enumerate() {
        let mut path = String::new();
        for (step, below) in timeline.seconds.keys().zip(&mut below) {
            let Some(rate) = timeline.rate(series, *step).filter(|rate| *rate > 0.0) else { continue };
            let (left, right) = (x(*step, ends), x(step + 1, ends));
            let (low, high) = (y(*below, highest), y(*below + rate, highest));
            *below += rate;
            let _ = write!(path, "M{left:.1} {low:.1}V{high:.1}H{right:.1}V{low:.1}Z");
        }
        let name = escape(&Safe::new(&series.title).to_string());
        let _ =
            writeln!(text, "<path d=\"{path}\" fill=\"{}\"><title>{name}</title></path>", colour(at, series));
    }
    let _ = writeln!(text, "<path d=\"M{LEFT} {BOTTOM}H{RIGHT}\" stroke=\"#888888\"/>");
}

fn colour(at: usize, series: &LogSeries) -> &'static str {
    if series.name == super::OTHER { REST } else { COLOURS[at % COLOURS.len()] }
}

/// A name that fits into the legend.
fn cut(name: &str) -> String {
    const MOST: usize = 30;
    if name.chars().count() <= MOST {
        name.to_owned()
    } else {
        name.chars().take(MOST - 1).chain(['…']).collect()
    }
}

/// Text as XML has it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in text.chars() {
        match char {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '"' => escaped.push_str("&quot;"),
            // XML 1.0 has no other control characters, whatever escape they would be written in.
            '\0'..='\x1f' | '\u{fffe}' | '\u{ffff}' => escaped.push(' '),
            _ => escaped.push(char),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::timeline::tests::timeline;

    #[test]
    fn groups_are_stacked_and_their_names_are_text() {
        let timeline = timeline(&[("443/tcp", &[(0, 6000), (2, 60)]), ("<script>&\"", &[(0, 6000)])]);
        let shown: Vec<_> = timeline.series.iter().collect();
        let mut text = String::new();
        areas(&mut text, &timeline, timeline.ends().unwrap(), &shown);
        assert!(text.contains("M70.0 344.0V204.0H360.0V344.0Z"), "{text}");
        assert!(text.contains("M70.0 204.0V64.0H360.0V204.0Z"), "{text}");
        assert!(text.contains("<title>&lt;script&gt;&amp;&quot;</title>"), "{text}");
    }
}
