//! The end of a file whose run was killed: what is whole, and what makes its last interval add up again.

use std::{borrow::Cow, collections::BTreeMap};

use flowtally_common::Count;
use serde::Deserialize;

use super::{
    fold::add_both,
    line::{LogColumn as C, LogLine},
    record::{LOG_SCHEMA, LogBlock, LogIdentity, begin_line},
    settings::LogFormat,
};

/// The lines of a file, one after the other.
#[derive(Debug)]
pub(crate) struct TailScan {
    format: LogFormat,
    /// Bytes of whole lines.
    pub(crate) length: u64,
    pub(crate) lines: u64,
    pub(crate) rows: u64,
    pub(crate) crc: crc32fast::Hasher,
    /// Where the last interval's record is; `None` where there is none.
    pub(crate) block: Option<u64>,
    /// Whether the last line says that the file is closed.
    pub(crate) is_closed: bool,
    pub(crate) last_line: Vec<u8>,
}

impl TailScan {
    pub(crate) fn new(format: LogFormat) -> Self {
        Self {
            format,
            length: 0,
            lines: 0,
            rows: 0,
            crc: crc32fast::Hasher::new(),
            block: None,
            is_closed: false,
            last_line: Vec::new(),
        }
    }

    /// Takes the next line, with its line feed; false for one without, which is torn.
    pub(crate) fn line(&mut self, line: &[u8]) -> bool {
        if line.last() != Some(&b'\n') {
            return false;
        }
        let record = self.record(line);
        match record {
            b"interval" => {
                // In CSV each interface has a line of its own.
                let goes_on = self.format == LogFormat::Csv
                    && self.record(&self.last_line) == b"interval"
                    && same_interval(&self.last_line, line);
                if !goes_on {
                    self.block = Some(self.length);
                }
            }
            b"start" | b"end" | b"" => {}
            _ => self.rows += 1,
        }
        self.is_closed = record == b"end";
        self.length += line.len() as u64;
        self.lines += 1;
        self.crc.update(line);
        self.last_line.clear();
        self.last_line.extend_from_slice(line);
        true
    }

    /// What a line's record is; nothing for any other line.
    fn record<'a>(&self, line: &'a [u8]) -> &'a [u8] {
        let (before, behind) = match self.format {
            LogFormat::JsonLines => (format!("{{\"schema\":\"{LOG_SCHEMA}\",\"record\":\""), b'"'),
            LogFormat::Csv => (format!("{LOG_SCHEMA},"), b','),
        };
        let rest = line.strip_prefix(before.as_bytes()).unwrap_or_default();
        rest.split(|byte| *byte == behind).next().unwrap_or_default()
    }
}

/// Whether two lines of CSV are of the same interval.
fn same_interval(one: &[u8], other: &[u8]) -> bool {
    let interval = |line| read_line(LogFormat::Csv, line).map(|line| line.interval);
    interval(one) == interval(other)
}

/// A line, as far as it matters here.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TailLine<'a> {
    #[serde(borrow)]
    record: Cow<'a, str>,
    pub(crate) boot: String,
    pub(crate) run: String,
    /// The interval's number.
    pub(crate) interval: u64,
    of: Option<String>,
    /// A row's, and in CSV also that of an interface of an interval.
    interface: Option<String>,
    /// Not UTF-8: what `interface` says is no name.
    interface_hex: Option<String>,
    sent_bytes: u64,
    sent_packets: u64,
    received_bytes: u64,
    received_packets: u64,
    interfaces: Vec<TailInterface>,
    row_counts: BTreeMap<String, u64>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct TailInterface {
    name: String,
    name_hex: Option<String>,
    sent_bytes: u64,
    sent_packets: u64,
    received_bytes: u64,
    received_packets: u64,
}

/// Reads a line; `None` for what is none.
pub(crate) fn read_line(format: LogFormat, line: &[u8]) -> Option<TailLine<'_>> {
    match format {
        LogFormat::JsonLines => serde_json::from_slice(line).ok(),
        LogFormat::Csv => read_cells(line),
    }
}

fn read_cells(line: &[u8]) -> Option<TailLine<'static>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(line);
    let mut record = csv::ByteRecord::new();
    if !reader.read_byte_record(&mut record).ok()? {
        return None;
    }
    let cell = |column: C| record.get(column as usize).filter(|cell| !cell.is_empty());
    let text = |column| cell(column).map(|cell| String::from_utf8_lossy(cell).into_owned());
    let number = |column| text(column).and_then(|text| text.parse().ok()).unwrap_or(0);
    let count = |pair: &str| {
        pair.split_once('=').and_then(|(name, count)| Some((name.to_owned(), count.parse().ok()?)))
    };
    Some(TailLine {
        record: text(C::Record).unwrap_or_default().into(),
        boot: text(C::Boot).unwrap_or_default(),
        run: text(C::Run).unwrap_or_default(),
        interval: text(C::Interval)?.parse().ok()?,
        of: text(C::Of),
        interface: text(C::Interface),
        interface_hex: None,
        sent_bytes: number(C::SentBytes),
        sent_packets: number(C::SentPackets),
        received_bytes: number(C::ReceivedBytes),
        received_packets: number(C::ReceivedPackets),
        interfaces: Vec::new(),
        row_counts: text(C::RowCounts).unwrap_or_default().split(' ').filter_map(count).collect(),
    })
}

/// The rests that stand for the lines that the last interval of a file lacks. `block` is that interval's lines.
pub(crate) fn mend(format: LogFormat, identity: &LogIdentity, block: &[u8]) -> LogBlock {
    let mut lines = block.split_inclusive(|byte| *byte == b'\n').filter_map(|line| read_line(format, line));
    let mut mended = LogBlock::default();
    let Some(TailLine { interval, interfaces, row_counts, boot, run, .. }) = lines.next() else {
        return mended;
    };
    let identity = LogIdentity { boot, run, ..identity.clone() };
    // What is to come, by interface and granularity; and how many lines of each granularity.
    let mut wanted: Vec<(Vec<u8>, [Count; 2])> = interfaces.into_iter().map(TailInterface::total).collect();
    let mut got: BTreeMap<(Vec<u8>, String), [Count; 2]> = BTreeMap::new();
    let mut rows: BTreeMap<String, u64> = BTreeMap::new();
    for line in lines {
        let name =
            name_of(line.interface.as_deref().unwrap_or_default(), line.interface_hex.as_deref(), format);
        let counts = pair([line.sent_bytes, line.sent_packets, line.received_bytes, line.received_packets]);
        match (&*line.record, line.of) {
            ("interval", _) => wanted.push((name, counts)),
            ("other", of) => add_both(got.entry((name, of.unwrap_or_default())).or_default(), counts),
            (record, _) => {
                *rows.entry(record.to_owned()).or_default() += 1;
                add_both(got.entry((name, record.to_owned())).or_default(), counts);
            }
        }
    }
    let mut line = LogLine::new(format, 0);
    for (granularity, count) in row_counts.iter().filter(|(granularity, _)| *granularity != "other") {
        let missing: Vec<_> = wanted
            .iter()
            .filter_map(|(name, counts)| {
                let key = (name.clone(), granularity.clone());
                let counts = less(*counts, got.get(&key).copied().unwrap_or_default());
                (!counts.iter().all(Count::is_zero)).then_some((name, counts))
            })
            .collect();
        let lost = count.saturating_sub(rows.get(granularity).copied().unwrap_or(0));
        let each = if missing.len() == 1 { lost.max(1) } else { 1 };
        for (name, [sent, received]) in missing {
            begin_line(&mut line, &identity, "other", interval);
            line.word(C::Of, granularity);
            line.name(C::Interface, name);
            line.number(C::Count, each);
            line.number(C::SentBytes, sent.bytes);
            line.number(C::SentPackets, sent.packets);
            line.number(C::ReceivedBytes, received.bytes);
            line.number(C::ReceivedPackets, received.packets);
            line.end();
            mended.rows += 1;
        }
    }
    mended.lines = mended.rows;
    mended.text = line.text;
    mended
}

impl TailInterface {
    fn total(self) -> (Vec<u8>, [Count; 2]) {
        let Self { name, name_hex, sent_bytes, sent_packets, received_bytes, received_packets } = self;
        let counts = pair([sent_bytes, sent_packets, received_bytes, received_packets]);
        (name_of(&name, name_hex.as_deref(), LogFormat::JsonLines), counts)
    }
}

/// An interface's name to the byte.
fn name_of(text: &str, hex: Option<&str>, format: LogFormat) -> Vec<u8> {
    let bytes = |hex: &str| {
        (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(hex.get(at..at + 2)?, 16).ok()).collect()
    };
    match (format, hex.and_then(bytes)) {
        (LogFormat::Csv, _) => crate::format::unescape(text).unwrap_or_else(|| text.as_bytes().to_vec()),
        (_, Some(bytes)) => bytes,
        (_, None) => text.as_bytes().to_vec(),
    }
}

const fn pair([sent_bytes, sent_packets, received_bytes, received_packets]: [u64; 4]) -> [Count; 2] {
    [
        Count { bytes: sent_bytes, packets: sent_packets },
        Count { bytes: received_bytes, packets: received_packets },
    ]
}

fn less([sent, received]: [Count; 2], [less_sent, less_received]: [Count; 2]) -> [Count; 2] {
    let less = |one: Count, other: Count| Count {
        bytes: one.bytes.saturating_sub(other.bytes),
        packets: one.packets.saturating_sub(other.packets),
    };
    [less(sent, less_sent), less(received, less_received)]
}
