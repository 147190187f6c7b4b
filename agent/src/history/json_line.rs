//! Lines of JSON. Rows, of which there are millions, are scanned by hand: no field is copied, and none is looked at that nobody asked
//! for. The few lines between them are read by serde.

use std::collections::BTreeMap;

use flowtally_common::Count;
use jiff::Timestamp;
use memchr::{memchr, memchr2};
use serde::Deserialize;

use super::line::{
    EndLine, IntervalLine, LineError, LogField, LogOrigin, LoggedInterface, ReadLine, RowCounts, RowLine,
    StartLine,
};
use crate::{format::Name, log::Granularity};

/// The schema that is read.
pub(super) const SCHEMA: &str = "flowtally.log/1";
/// How the agent begins each line.
const BEGINNING: &[u8] = b"{\"schema\":\"flowtally.log/1\",\"record\":\"";
/// What the errors of this module are about.
const JSON: LineError = LineError::NotA("a line of JSON (a line that is cut off, or another kind of file)");

/// Reads a line. Rows of granularities that are not `wanted` are not looked at.
pub(super) fn read(line: &[u8], wanted: impl Fn(Granularity) -> bool) -> Result<ReadLine<'_>, LineError> {
    // Nearly every line says at the same place what it is.
    if let Some(rest) = line.strip_prefix(BEGINNING)
        && let Some(end) = memchr(b'"', rest)
    {
        match Granularity::of_code(&rest[..end]) {
            Some(rows) if !wanted(rows) => return Ok(ReadLine::Skipped(rows)),
            Some(rows) => return Ok(ReadLine::Row(rows, row(line, BEGINNING.len() + end + 1)?)),
            None if &rest[..end] == b"other" => return other(row(line, BEGINNING.len() + end + 1)?),
            None => {}
        }
    }
    between(line)
}

/// A line that is no row, or one that another program has written again.
fn between(line: &[u8]) -> Result<ReadLine<'_>, LineError> {
    #[derive(Deserialize)]
    struct LineKind<'a> {
        #[serde(borrow, default)]
        schema: std::borrow::Cow<'a, str>,
        #[serde(borrow, default)]
        record: std::borrow::Cow<'a, str>,
    }
    let kind: LineKind<'_> = serde_json::from_slice(line).map_err(|_| JSON)?;
    if kind.schema != SCHEMA {
        return Err(LineError::Schema((&*kind.schema).into()));
    }
    match &*kind.record {
        "start" => start(line).map(ReadLine::Start),
        "interval" => interval(line).map(|interval| ReadLine::Interval(Box::new(interval))),
        "end" => end(line).map(ReadLine::End),
        "other" => other(row_from_the_start(line)?),
        word => match Granularity::of_code(word.as_bytes()) {
            Some(rows) => Ok(ReadLine::Row(rows, row_from_the_start(line)?)),
            None => Ok(ReadLine::Unknown),
        },
    }
}

fn row_from_the_start(line: &[u8]) -> Result<RowLine<'_>, LineError> {
    let mut scan = JsonScan { text: line, at: 0 };
    scan.skip_blanks();
    if scan.next() != Some(b'{') {
        return Err(JSON);
    }
    row(line, scan.at)
}

fn other(row: RowLine<'_>) -> Result<ReadLine<'_>, LineError> {
    let of = row.get(LogField::Of).and_then(Granularity::of_code).ok_or(LineError::Field("of"))?;
    Ok(ReadLine::Other(of, row))
}

/// The fields of an object, from this place in it on.
fn row(line: &[u8], at: usize) -> Result<RowLine<'_>, LineError> {
    let mut scan = JsonScan { text: line, at };
    let mut row = RowLine::default();
    loop {
        scan.skip_blanks();
        match scan.next() {
            Some(b',') => continue,
            Some(b'}') => break,
            Some(b'"') => {}
            _ => return Err(JSON),
        }
        let (name, _) = scan.string().ok_or(JSON)?;
        scan.skip_blanks();
        if scan.next() != Some(b':') {
            return Err(JSON);
        }
        scan.skip_blanks();
        let (value, escaped) = scan.value().ok_or(JSON)?;
        match LogField::of_name(name) {
            Some(field) if escaped => row.set_unescaped(field, unescape(value).ok_or(JSON)?),
            // A name of these four letters is in quotes.
            Some(field) if value != b"null" || line[scan.at - 1] == b'"' => row.set(field, value),
            Some(_) => {}
            // The bytes of a name that is not UTF-8 stand beside its text.
            None => {
                if let Some(field) = name.strip_suffix(b"_hex").and_then(LogField::of_name) {
                    row.set_unescaped(field, bytes_of_hex(value).ok_or(JSON)?);
                }
            }
        }
    }
    scan.skip_blanks();
    if scan.at < line.len() { Err(JSON) } else { Ok(row) }
}

/// Walks over a text of JSON.
struct JsonScan<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> JsonScan<'a> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.text.get(self.at).copied();
        self.at += 1;
        byte
    }

    fn skip_blanks(&mut self) {
        while let Some(b' ' | b'\t' | b'\r' | b'\n') = self.text.get(self.at) {
            self.at += 1;
        }
    }

    /// The rest of a string behind its first quote, and whether there are escapes in it.
    fn string(&mut self) -> Option<(&'a [u8], bool)> {
        let begin = self.at;
        let mut escaped = false;
        loop {
            let found = self.at + memchr2(b'"', b'\\', self.text.get(self.at..)?)?;
            if self.text[found] == b'"' {
                self.at = found + 1;
                return Some((&self.text[begin..found], escaped));
            }
            escaped = true;
            self.at = found + 2;
        }
    }

    /// A value: the text in a string's quotes, or all of another value.
    fn value(&mut self) -> Option<(&'a [u8], bool)> {
        let begin = self.at;
        match self.next()? {
            b'"' => self.string(),
            b'{' | b'[' => {
                let mut depth = 1;
                while depth > 0 {
                    match self.next()? {
                        b'"' => drop(self.string()?),
                        b'{' | b'[' => depth += 1,
                        b'}' | b']' => depth -= 1,
                        _ => {}
                    }
                }
                Some((&self.text[begin..self.at], false))
            }
            _ => {
                while let Some(byte) = self.text.get(self.at) {
                    if matches!(byte, b',' | b'}' | b']' | b' ' | b'\t' | b'\r' | b'\n') {
                        return Some((&self.text[begin..self.at], false));
                    }
                    self.at += 1;
                }
                None
            }
        }
    }
}

/// A string without its escapes.
fn unescape(text: &[u8]) -> Option<Vec<u8>> {
    let quoted = [b"\"", text, b"\""].concat();
    serde_json::from_slice::<String>(&quoted).ok().map(String::into_bytes)
}

fn bytes_of_hex(digits: &[u8]) -> Option<Vec<u8>> {
    let digit = |digit: u8| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    if !digits.len().is_multiple_of(2) {
        return None;
    }
    digits.chunks(2).map(|pair| Some(digit(pair[0])? << 4 | digit(pair[1])?)).collect()
}

/// A name, and its bytes where it is not UTF-8.
fn name(text: String, hex: Option<String>) -> Result<Name, LineError> {
    match hex {
        Some(hex) => bytes_of_hex(hex.as_bytes()).map(Name::from).ok_or(LineError::Field("name_hex")),
        None => Ok(text.into()),
    }
}

fn start(line: &[u8]) -> Result<StartLine, LineError> {
    #[derive(Deserialize)]
    struct Raw {
        #[serde(default, alias = "rows")]
        granularities: Vec<String>,
        top: Option<u64>,
        filter: Option<String>,
    }
    let Raw { granularities, top, filter } =
        serde_json::from_slice(line).map_err(|_| LineError::Field("granularities"))?;
    let rows = granularities.iter().filter_map(|word| Granularity::of_code(word.as_bytes())).collect();
    Ok(StartLine { rows, top, filter })
}

fn end(line: &[u8]) -> Result<EndLine, LineError> {
    #[derive(Deserialize)]
    struct Raw {
        lines: Option<u64>,
        #[serde(default)]
        reason: String,
        #[serde(default)]
        torn_bytes: u64,
    }
    let Raw { lines, reason, torn_bytes } =
        serde_json::from_slice(line).map_err(|_| LineError::Field("lines"))?;
    Ok(EndLine { lines, reason, torn_bytes })
}

#[derive(Deserialize)]
struct RawInterval {
    host: String,
    host_hex: Option<String>,
    #[serde(default)]
    boot: String,
    #[serde(default)]
    run: String,
    interval: u64,
    start: String,
    end: String,
    seconds: f64,
    #[serde(default)]
    carried: u64,
    #[serde(default)]
    gap_seconds: f64,
    #[serde(default)]
    clock_step_seconds: f64,
    #[serde(alias = "rows")]
    row_counts: Option<BTreeMap<String, u64>>,
    #[serde(default)]
    late_ticks: u64,
    #[serde(default)]
    degraded: Vec<String>,
    #[serde(default)]
    interfaces: Vec<RawInterface>,
}

#[derive(Deserialize)]
#[serde(default)]
#[derive(Default)]
struct RawInterface {
    name: String,
    name_hex: Option<String>,
    index: u32,
    hook: String,
    degraded: Vec<String>,
    sent_bytes: Option<u64>,
    sent_packets: u64,
    received_bytes: u64,
    received_packets: u64,
    counted_bytes: u64,
    counted_packets: u64,
    ingress_bytes: u64,
    ingress_packets: u64,
    egress_bytes: u64,
    egress_packets: u64,
    kernel_bytes: u64,
    kernel_packets: u64,
    residue_bytes: i64,
    residue_packets: i64,
    untracked_bytes: u64,
    untracked_packets: u64,
    unparsed_bytes: u64,
    unparsed_packets: u64,
    repeated_bytes: i64,
    repeated_packets: i64,
    left_out_bytes: u64,
    left_out_packets: u64,
    filtered_ingress_bytes: u64,
    filtered_ingress_packets: u64,
    filtered_egress_bytes: u64,
    filtered_egress_packets: u64,
}

fn interval(line: &[u8]) -> Result<IntervalLine, LineError> {
    let raw: RawInterval = serde_json::from_slice(line).map_err(|_| {
        LineError::NotA("an interval's line with its number, start, end, seconds and interfaces")
    })?;
    Ok(IntervalLine {
        origin: LogOrigin { host: name(raw.host, raw.host_hex)?, boot: raw.boot.into(), run: raw.run.into() },
        number: raw.interval,
        start: moment(&raw.start, "start")?,
        end: moment(&raw.end, "end")?,
        seconds: raw.seconds,
        carried: raw.carried,
        gap_seconds: raw.gap_seconds,
        clock_step_seconds: raw.clock_step_seconds,
        rows: raw
            .row_counts
            .map(|counts| row_counts(counts.iter().map(|(word, count)| (word.as_bytes(), *count)))),
        late_ticks: raw.late_ticks,
        degraded: raw.degraded,
        interfaces: raw.interfaces.into_iter().map(interface).collect::<Result<_, _>>()?,
    })
}

fn moment(text: &str, name: &'static str) -> Result<Timestamp, LineError> {
    text.parse().map_err(|_| LineError::Field(name))
}

fn interface(raw: RawInterface) -> Result<LoggedInterface, LineError> {
    let count = |bytes, packets| Count { bytes, packets };
    Ok(LoggedInterface {
        name: name(raw.name, raw.name_hex)?,
        index: raw.index,
        hook: raw.hook,
        degraded: raw.degraded,
        rows: raw
            .sent_bytes
            .map(|sent| [count(sent, raw.sent_packets), count(raw.received_bytes, raw.received_packets)]),
        counted: count(raw.counted_bytes, raw.counted_packets),
        ingress: count(raw.ingress_bytes, raw.ingress_packets),
        egress: count(raw.egress_bytes, raw.egress_packets),
        kernel: count(raw.kernel_bytes, raw.kernel_packets),
        residue: [raw.residue_bytes, raw.residue_packets],
        untracked: count(raw.untracked_bytes, raw.untracked_packets),
        unparsed: count(raw.unparsed_bytes, raw.unparsed_packets),
        repeated: [raw.repeated_bytes, raw.repeated_packets],
        left_out: count(raw.left_out_bytes, raw.left_out_packets),
        filtered: [
            count(raw.filtered_ingress_bytes, raw.filtered_ingress_packets),
            count(raw.filtered_egress_bytes, raw.filtered_egress_packets),
        ],
    })
}

/// Counts of lines by the word for them.
pub(super) fn row_counts<'a>(words: impl Iterator<Item = (&'a [u8], u64)>) -> RowCounts {
    let mut counts = RowCounts::default();
    for (word, count) in words {
        match Granularity::of_code(word) {
            Some(rows) => counts.rows[rows as usize] = count,
            None if word == b"other" => counts.other = count,
            None => {}
        }
    }
    counts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::json as names;

    const COMMON: &str = "\"host\":\"web\",\"boot\":\"b\",\"run\":\"r\",\"interval\":7";

    fn line(record: &str, fields: &str) -> String {
        format!("{{\"schema\":\"flowtally.log/1\",\"record\":\"{record}\",{COMMON}{fields}}}")
    }

    fn row_of(text: &str) -> (Granularity, RowLine<'_>) {
        match read(text.as_bytes(), |_| true).unwrap() {
            ReadLine::Row(of, row) => (of, row),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_row_says_its_fields() {
        let text = line(
            "flow",
            ",\"interface\":\"eth0\",\"command\":\"a\\\"b\\u20ac\",\"user\":null,\"new\":{\"x\":[1,\"]\"]},\"vlan\":7,\"sent_bytes\":10",
        );
        let (of, row) = row_of(&text);
        assert_eq!(of, Granularity::Flow);
        assert_eq!(row.get(LogField::Interface), Some(&b"eth0"[..]));
        assert_eq!(row.get(LogField::Command), Some("a\"b\u{20ac}".as_bytes()));
        assert_eq!(row.get(LogField::User), None);
        assert_eq!(row.number(LogField::Vlan, "vlan"), Ok(7));
        assert_eq!(row.number(LogField::Interval, "interval"), Ok(7));
        assert_eq!(row.number(LogField::SentPackets, "sent_packets"), Err(LineError::Field("sent_packets")));
    }

    #[test]
    fn a_line_that_another_program_wrote_again_is_the_same() {
        let text = format!(
            " {{ \"record\" : \"port\", \"schema\" : \"flowtally.log/1\", {COMMON} , \"port\" : 443 ,\"sent_bytes\": 5 }} "
        );
        let (of, row) = row_of(&text);
        assert_eq!((of, row.number(LogField::Port, "port")), (Granularity::Port, Ok(443)));
        let text = line("other", ",\"of\":\"port\",\"count\":3");
        assert!(matches!(read(text.as_bytes(), |_| true), Ok(ReadLine::Other(Granularity::Port, _))));
        assert!(matches!(
            read(line("flow", "").as_bytes(), |_| false),
            Ok(ReadLine::Skipped(Granularity::Flow))
        ));
        assert!(matches!(read(line("weather", "").as_bytes(), |_| true), Ok(ReadLine::Unknown)));
    }

    #[test]
    fn what_is_no_line_of_the_log_is_said() {
        for text in [
            "",
            "{",
            "x",
            "[]",
            "{}",
            "{\"schema\":\"flowtally.report/1\"}",
            &line("flow", ",\"a\":"),
            &line("other", ""),
            &line("interval", ""),
        ] {
            assert!(read(text.as_bytes(), |_| true).is_err(), "{text}");
        }
        let torn = line("flow", ",\"interface\":\"eth0\"");
        for length in 1..torn.len() {
            assert!(read(&torn.as_bytes()[..length], |_| true).is_err(), "{length}");
        }
    }

    #[test]
    fn an_interval_says_what_interfaces_counted() {
        let text = line(
            "interval",
            ",\"start\":\"2026-11-29T03:00:00.000Z\",\"end\":\"2026-11-29T03:00:10.004Z\",\"seconds\":10.004,\"carried\":1,\
             \"row_counts\":{\"flow\":2,\"other\":1},\"late_ticks\":3,\"degraded\":[\"x\"],\"interfaces\":[{\"name\":\"eth0\",\
             \"index\":2,\"hook\":\"tcx\",\"degraded\":[],\"counted_bytes\":100,\"residue_bytes\":-4,\"repeated_bytes\":-1}]",
        );
        let ReadLine::Interval(interval) = read(text.as_bytes(), |_| true).unwrap() else { panic!() };
        assert_eq!((interval.number, interval.carried, interval.late_ticks), (7, 1, 3));
        assert_eq!(interval.rows.unwrap().rows[Granularity::Flow as usize], 2);
        assert_eq!(interval.rows.unwrap().other, 1);
        let eth0 = &interval.interfaces[0];
        assert_eq!((eth0.counted.bytes, eth0.residue[0], eth0.repeated[0]), (100, -4, -1));
    }

    proptest! {
        #[test]
        fn names_come_back_to_the_byte(name: Vec<u8>) {
            #[derive(serde::Serialize)]
            struct Row<'a> {
                #[serde(flatten)]
                command: names::Named<'a>,
            }
            let mut text = Vec::new();
            names::to_writer(&mut text, &Row { command: names::Named("command", &name) }).unwrap();
            let text = String::from_utf8(text).unwrap();
            let text = line("process", &format!(",{}", &text[1..text.len() - 1]));
            let (_, row) = row_of(&text);
            prop_assert_eq!(row.get(LogField::Command), Some(&name[..]));
        }

        #[test]
        fn no_line_is_too_strange(text: String, at in 0_usize..200) {
            let _ = read(text.as_bytes(), |_| true);
            let mut line = line("flow", ",\"interface\":\"eth0\",\"sent_bytes\":1");
            let at = at % line.len();
            line.insert_str(at, &text);
            let _ = read(line.as_bytes(), |_| true);
        }
    }
}
