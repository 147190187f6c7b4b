//! Lines of CSV: cells under the names of the header line, each as JSON has it.

use std::borrow::Cow;

use flowtally_common::Count;
use jiff::Timestamp;
use memchr::memchr;

use super::{
    json_line::{SCHEMA, row_counts},
    line::{
        EndLine, IntervalLine, LineError, LogField, LogOrigin, LoggedInterface, ReadLine, RowLine, StartLine,
        number,
    },
};
use crate::{
    format::{Name, unescape},
    log::Granularity,
};

/// What the errors of this module are about.
const CSV: LineError =
    LineError::NotA("a line of this file's CSV (a line that is cut off, or another kind of file)");

/// The columns of a file.
#[derive(Clone, Debug)]
pub(super) struct LogColumns {
    names: Vec<String>,
    fields: Vec<Option<LogField>>,
    /// Where the column `schema` is, and `record`.
    schema: usize,
    record: usize,
}

impl LogColumns {
    /// Reads the header line.
    pub(super) fn new(line: &[u8]) -> Result<Self, LineError> {
        let names: Vec<String> = cells(line)
            .map(|cell| cell.map(|cell| String::from_utf8_lossy(&cell).into_owned()))
            .collect::<Option<_>>()
            .ok_or(CSV)?;
        let place = |name: &str| {
            names
                .iter()
                .position(|column| column == name)
                .ok_or(LineError::NotA("the header line of a log as CSV"))
        };
        let (schema, record) = (place("schema")?, place("record")?);
        let fields = names.iter().map(|name| LogField::of_name(name.as_bytes())).collect();
        Ok(Self { names, fields, schema, record })
    }

    /// Reads a line. Rows of granularities that are not `wanted` are not looked at.
    pub(super) fn read<'a>(
        &self,
        line: &'a [u8],
        wanted: impl Fn(Granularity) -> bool,
    ) -> Result<ReadLine<'a>, LineError> {
        let mut first = [None, None];
        for (place, cell) in cells(line).enumerate().take(self.schema.max(self.record) + 1) {
            if place == self.schema {
                first[0] = cell;
            } else if place == self.record {
                first[1] = cell;
            }
        }
        let [Some(schema), Some(record)] = first else { return Err(CSV) };
        if *schema != *SCHEMA.as_bytes() {
            return Err(LineError::Schema((*schema).into()));
        }
        match (&*record, Granularity::of_code(&record)) {
            (_, Some(rows)) if !wanted(rows) => Ok(ReadLine::Skipped(rows)),
            (_, Some(rows)) => Ok(ReadLine::Row(rows, self.row(line)?)),
            (b"other", _) => {
                let row = self.row(line)?;
                let of =
                    row.get(LogField::Of).and_then(Granularity::of_code).ok_or(LineError::Field("of"))?;
                Ok(ReadLine::Other(of, row))
            }
            (b"start", _) => Ok(ReadLine::Start(self.whole(line)?.start())),
            (b"interval", _) => {
                let line = self.whole(line)?;
                Ok(match line.text("interface") {
                    None => ReadLine::Interval(Box::new(line.interval()?)),
                    Some(_) => ReadLine::Interface(Box::new(line.interface())),
                })
            }
            (b"end", _) => Ok(ReadLine::End(self.whole(line)?.end())),
            _ => Ok(ReadLine::Unknown),
        }
    }

    fn row<'a>(&self, line: &'a [u8]) -> Result<RowLine<'a>, LineError> {
        let mut row = RowLine::default();
        let mut places = 0;
        for (place, cell) in cells(line).enumerate() {
            let cell = cell.ok_or(CSV)?;
            places += 1;
            let Some(field) = self.fields.get(place).ok_or(CSV)?.filter(|_| !cell.is_empty()) else {
                continue;
            };
            match cell {
                Cow::Borrowed(cell) if memchr(b'\\', cell).is_none() => row.set(field, cell),
                cell => row.set_unescaped(field, true_name(&cell).ok_or(CSV)?),
            }
        }
        if places == self.names.len() { Ok(row) } else { Err(CSV) }
    }

    fn whole<'a>(&'a self, line: &[u8]) -> Result<WholeLine<'a>, LineError> {
        let values: Vec<Vec<u8>> =
            cells(line).map(|cell| cell.map(Cow::into_owned)).collect::<Option<_>>().ok_or(CSV)?;
        if values.len() == self.names.len() { Ok(WholeLine { columns: self, values }) } else { Err(CSV) }
    }
}

/// A name as it was before it was made safe for a cell.
fn true_name(cell: &[u8]) -> Option<Vec<u8>> {
    unescape(std::str::from_utf8(cell).ok()?)
}

/// All cells of a line between rows.
struct WholeLine<'a> {
    columns: &'a LogColumns,
    values: Vec<Vec<u8>>,
}

impl WholeLine<'_> {
    fn text(&self, name: &str) -> Option<&[u8]> {
        let place = self.columns.names.iter().position(|column| column == name)?;
        self.values.get(place).map(Vec::as_slice).filter(|value| !value.is_empty())
    }

    /// A name that others chose.
    fn name(&self, name: &str) -> Name {
        self.text(name).and_then(true_name).unwrap_or_default().into()
    }

    fn words(&self, name: &str) -> String {
        self.text(name).map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default()
    }

    fn list(&self, name: &str) -> Vec<String> {
        Some(self.words(name)).filter(|words| !words.is_empty()).into_iter().collect()
    }

    fn number(&self, name: &str) -> u64 {
        self.text(name).and_then(number).unwrap_or(0)
    }

    fn parse<T: std::str::FromStr>(&self, name: &'static str) -> Result<T, LineError> {
        let text = self.text(name).and_then(|text| std::str::from_utf8(text).ok());
        text.and_then(|text| text.parse().ok()).ok_or(LineError::Field(name))
    }

    fn count(&self, bytes: &str, packets: &str) -> Count {
        Count { bytes: self.number(bytes), packets: self.number(packets) }
    }

    fn difference(&self, bytes: &'static str, packets: &'static str) -> [i64; 2] {
        [bytes, packets].map(|name| self.parse(name).unwrap_or(0))
    }

    fn start(&self) -> StartLine {
        let granularities = self.text("granularities").or_else(|| self.text("rows")).unwrap_or_default();
        let words = granularities.split(|byte| matches!(byte, b' ' | b';' | b','));
        StartLine {
            rows: words.filter_map(Granularity::of_code).collect(),
            top: self.text("top").and_then(number),
            filter: self
                .text("filter")
                .and_then(true_name)
                .map(|text| String::from_utf8_lossy(&text).into_owned()),
        }
    }

    fn end(&self) -> EndLine {
        EndLine {
            lines: self.text("lines").and_then(number),
            reason: self.words("reason"),
            torn_bytes: self.number("torn_bytes"),
        }
    }

    fn interval(&self) -> Result<IntervalLine, LineError> {
        let counts = self.text("row_counts").or_else(|| self.text("rows"));
        let pairs = counts.map(|counts| {
            counts.split(|byte| *byte == b' ').filter_map(|pair| {
                let equals = memchr(b'=', pair)?;
                Some((&pair[..equals], number(&pair[equals + 1..])?))
            })
        });
        let moment = |name| self.parse::<Timestamp>(name);
        Ok(IntervalLine {
            origin: LogOrigin { host: self.name("host"), boot: self.name("boot"), run: self.name("run") },
            number: self.text("interval").and_then(number).ok_or(LineError::Field("interval"))?,
            start: moment("start")?,
            end: moment("end")?,
            seconds: self.parse("seconds")?,
            carried: self.number("carried"),
            gap_seconds: self.parse("gap_seconds").unwrap_or(0.0),
            clock_step_seconds: self.parse("clock_step_seconds").unwrap_or(0.0),
            rows: pairs.map(row_counts),
            late_ticks: self.number("late_ticks"),
            degraded: self.list("degraded"),
            interfaces: Vec::new(),
        })
    }

    fn interface(&self) -> LoggedInterface {
        LoggedInterface {
            name: self.name("interface"),
            index: u32::try_from(self.number("index")).unwrap_or(0),
            hook: self.words("hook"),
            degraded: self.list("degraded"),
            rows: self.text("sent_bytes").map(|_| {
                [self.count("sent_bytes", "sent_packets"), self.count("received_bytes", "received_packets")]
            }),
            counted: self.count("counted_bytes", "counted_packets"),
            ingress: self.count("ingress_bytes", "ingress_packets"),
            egress: self.count("egress_bytes", "egress_packets"),
            kernel: self.count("kernel_bytes", "kernel_packets"),
            residue: self.difference("residue_bytes", "residue_packets"),
            untracked: self.count("untracked_bytes", "untracked_packets"),
            unparsed: self.count("unparsed_bytes", "unparsed_packets"),
            repeated: self.difference("repeated_bytes", "repeated_packets"),
            left_out: self.count("left_out_bytes", "left_out_packets"),
            filtered: [
                self.count("filtered_ingress_bytes", "filtered_ingress_packets"),
                self.count("filtered_egress_bytes", "filtered_egress_packets"),
            ],
        }
    }
}

/// The cells of a line; nothing for one that is not closed.
fn cells(line: &[u8]) -> impl Iterator<Item = Option<Cow<'_, [u8]>>> {
    let mut rest = Some(line.strip_suffix(b"\r").unwrap_or(line));
    std::iter::from_fn(move || {
        let text = rest?;
        let Some(quoted) = text.strip_prefix(b"\"") else {
            let end = memchr(b',', text);
            rest = end.map(|end| &text[end + 1..]);
            return Some(Some(Cow::Borrowed(&text[..end.unwrap_or(text.len())])));
        };
        let (mut at, mut doubled) = (0, false);
        loop {
            let Some(end) = memchr(b'"', &quoted[at..]).map(|found| at + found) else {
                rest = None;
                return Some(None);
            };
            match quoted.get(end + 1) {
                Some(b'"') => (at, doubled) = (end + 2, true),
                Some(b',') | None => {
                    rest = quoted.get(end + 2..).filter(|_| end + 1 < quoted.len());
                    let cell = &quoted[..end];
                    if !doubled {
                        return Some(Some(Cow::Borrowed(cell)));
                    }
                    let cell = String::from_utf8_lossy(cell).replace("\"\"", "\"");
                    return Some(Some(Cow::Owned(cell.into_bytes())));
                }
                Some(_) => {
                    rest = None;
                    return Some(None);
                }
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::CsvCell;

    fn split(line: &str) -> Vec<String> {
        cells(line.as_bytes())
            .map(|cell| {
                cell.map_or("broken".to_owned(), |cell| String::from_utf8(cell.into_owned()).unwrap())
            })
            .collect()
    }

    #[test]
    fn cells_are_what_is_between_commas() {
        assert_eq!(split("a,b,,c"), ["a", "b", "", "c"]);
        assert_eq!(split("a,"), ["a", ""]);
        assert_eq!(split(""), [""]);
        assert_eq!(split("\"a,b\",\"say \"\"x\"\"\",c\r"), ["a,b", "say \"x\"", "c"]);
        assert_eq!(split("\"a\","), ["a", ""]);
        assert_eq!(split("\"a"), ["broken"]);
        assert_eq!(split("\"a\"b"), ["broken"]);
    }

    const HEADER: &str = "schema,record,host,boot,run,interval,granularities,start,end,seconds,row_counts,of,interface,command,counted_bytes,residue_bytes,sent_bytes";

    #[test]
    fn lines_say_what_lines_of_json_say() {
        let columns = LogColumns::new(HEADER.as_bytes()).unwrap();
        let read = |line| columns.read(line, |_| true).unwrap();
        let ReadLine::Start(start) = read(b"flowtally.log/1,start,web,b,r,7,flow process,,,,,,,,,,") else {
            panic!()
        };
        assert_eq!(start.rows, [Granularity::Flow, Granularity::Process]);
        let ReadLine::Interval(interval) = read(
            b"flowtally.log/1,interval,web,b,r,7,,2026-11-29T03:00:00.000Z,2026-11-29T03:00:10.000Z,10,flow=2 other=1,,,,,,",
        ) else {
            panic!()
        };
        assert_eq!((interval.number, interval.rows.unwrap().rows[Granularity::Flow as usize]), (7, 2));
        let ReadLine::Interface(eth0) = read(b"flowtally.log/1,interval,web,b,r,7,,,,,,,eth0,,100,-4,")
        else {
            panic!()
        };
        assert_eq!((eth0.name.as_bytes(), eth0.counted.bytes, eth0.residue[0]), (&b"eth0"[..], 100, -4));
        assert!(columns.read(b"flowtally.log/1,flow,web", |_| true).is_err(), "cut off");
        assert!(LogColumns::new(b"a,b").is_err());
    }

    proptest! {
        #[test]
        fn names_come_back_to_the_byte(name: Vec<u8>) {
            prop_assume!(!name.is_empty());
            let columns = LogColumns::new(HEADER.as_bytes()).unwrap();
            let mut writer = csv::Writer::from_writer(Vec::new());
            let mut cells = vec![String::new(); HEADER.split(',').count()];
            cells[0] = SCHEMA.to_owned();
            cells[1] = "process".to_owned();
            cells[13] = CsvCell::new(&name).to_string();
            writer.write_record(&cells).unwrap();
            let line = writer.into_inner().unwrap();
            let ReadLine::Row(_, row) = columns.read(line.strip_suffix(b"\n").unwrap(), |_| true).unwrap() else { panic!() };
            prop_assert_eq!(row.get(LogField::Command), Some(&name[..]));
        }

        #[test]
        fn no_line_is_too_strange(text: Vec<u8>) {
            let columns = LogColumns::new(HEADER.as_bytes()).unwrap();
            let _ = columns.read(&text, |_| true);
            let _ = LogColumns::new(&text);
        }
    }
}
