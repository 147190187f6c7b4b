//! One line of the log, as JSON or as CSV: fields are put in the order of [`LogColumn`], so that the two cannot differ.
//!
//! This is the hot path of writing: a hundred thousand lines at once. Text that repeats is made once, as a [`LogFragment`].

use std::{
    fmt::Write as _,
    net::{IpAddr, Ipv4Addr},
};

use super::settings::LogFormat;
use crate::format::{
    CsvCell,
    json::{self, Hex},
};

macro_rules! columns {
    ($($column:ident $name:literal,)*) => {
        /// Every field that a line may have but for lists of objects, in their order.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        pub(super) enum LogColumn {
            $(#[doc = concat!("`", $name, "`")] $column,)*
        }

        impl LogColumn {
            /// All of them.
            pub(super) const ALL: &[Self] = &[$(Self::$column,)*];

            /// Its name.
            pub(super) const fn name(self) -> &'static str {
                match self {
                    $(Self::$column => $name,)*
                }
            }

            /// What is before its value in an object.
            const fn key(self) -> &'static str {
                match self {
                    $(Self::$column => concat!(",\"", $name, "\":"),)*
                }
            }
        }
    };
}

// What repeats from line to line is first: so it takes the least room.
columns! {
    Schema "schema",
    Record "record",
    Host "host",
    Boot "boot",
    Run "run",
    Interval "interval",
    Time "time",
    Version "version",
    File "file",
    Granularities "granularities",
    Start "start",
    End "end",
    Seconds "seconds",
    Top "top",
    Filter "filter",
    Previous "previous",
    Carried "carried",
    GapSeconds "gap_seconds",
    ClockStepSeconds "clock_step_seconds",
    RowCounts "row_counts",
    LateTicks "late_ticks",
    Of "of",
    Interface "interface",
    Name "name",
    Index "index",
    Hook "hook",
    Degraded "degraded",
    Command "command",
    Pid "pid",
    StartTime "start_time",
    Executable "executable",
    User "user",
    Uid "uid",
    Container "container",
    Netns "netns",
    OwnerReason "owner_reason",
    OwnerCount "owner_count",
    Protocol "protocol",
    Vlan "vlan",
    Port "port",
    LocalAddress "local_address",
    LocalPort "local_port",
    RemoteAddress "remote_address",
    RemotePort "remote_port",
    Count "count",
    SentBytes "sent_bytes",
    SentPackets "sent_packets",
    ReceivedBytes "received_bytes",
    ReceivedPackets "received_packets",
    CountedBytes "counted_bytes",
    CountedPackets "counted_packets",
    IngressBytes "ingress_bytes",
    IngressPackets "ingress_packets",
    EgressBytes "egress_bytes",
    EgressPackets "egress_packets",
    KernelBytes "kernel_bytes",
    KernelPackets "kernel_packets",
    ResidueBytes "residue_bytes",
    ResiduePackets "residue_packets",
    UntrackedBytes "untracked_bytes",
    UntrackedPackets "untracked_packets",
    UnparsedBytes "unparsed_bytes",
    UnparsedPackets "unparsed_packets",
    RepeatedBytes "repeated_bytes",
    RepeatedPackets "repeated_packets",
    LeftOutBytes "left_out_bytes",
    LeftOutPackets "left_out_packets",
    Lines "lines",
    Rows "rows",
    TornBytes "torn_bytes",
    Crc32 "crc32",
    Reason "reason",
    FilteredBytes "filtered_bytes",
    FilteredPackets "filtered_packets",
    FilteredIngressBytes "filtered_ingress_bytes",
    FilteredIngressPackets "filtered_ingress_packets",
    FilteredEgressBytes "filtered_egress_bytes",
    FilteredEgressPackets "filtered_egress_packets",
}

/// The line of names of CSV.
pub(super) fn header() -> String {
    let names: Vec<_> = LogColumn::ALL.iter().map(|column| column.name()).collect();
    names.join(",") + "\n"
}

/// Fields in a row, ready to be put into lines.
#[derive(Clone, Debug)]
pub(super) struct LogFragment {
    text: Vec<u8>,
    /// The first column that it has a cell of, and the one behind its last.
    cells: [usize; 2],
}

/// Where lines are written.
#[derive(Debug)]
pub(super) struct LogLine {
    format: LogFormat,
    /// Whole lines, and the one that is being written.
    pub(super) text: Vec<u8>,
    /// Of an object: whether nothing has been put into it. Of a line of CSV: the column that comes next.
    is_empty: bool,
    column: usize,
    scratch: String,
}

impl LogLine {
    pub(super) fn new(format: LogFormat, capacity: usize) -> Self {
        Self { format, text: Vec::with_capacity(capacity), is_empty: true, column: 0, scratch: String::new() }
    }

    pub(super) const fn is_json(&self) -> bool {
        matches!(self.format, LogFormat::JsonLines)
    }

    /// Begins an object, or a line.
    pub(super) fn begin(&mut self) {
        if self.is_json() {
            self.text.push(b'{');
        }
        (self.is_empty, self.column) = (true, 0);
    }

    /// Ends the line.
    pub(super) fn end(&mut self) {
        if self.is_json() {
            self.text.push(b'}');
        } else {
            let commas = LogColumn::ALL.len() - self.column.max(1);
            self.text.resize(self.text.len() + commas, b',');
        }
        self.text.push(b'\n');
    }

    /// Begins the line with what all lines have.
    pub(super) fn begin_with(&mut self, fragment: &LogFragment) {
        self.begin();
        self.text.extend_from_slice(&fragment.text);
        self.is_empty = false;
        self.column = fragment.cells[1];
    }

    /// Puts fields that were made before.
    pub(super) fn put(&mut self, fragment: &LogFragment) {
        let [from, until] = fragment.cells;
        if from == until {
            return;
        }
        if !self.is_json() {
            self.commas(from);
            self.column = until;
        }
        self.text.extend_from_slice(&fragment.text);
    }

    /// Makes fields to be put later: `write` puts them.
    pub(super) fn fragment(&mut self, begins: bool, write: impl FnOnce(&mut Self)) -> LogFragment {
        let mut line = Self::new(self.format, 0);
        line.is_empty = begins;
        // Commas before its first cell are those of the line that it is put into.
        line.column = usize::MAX;
        write(&mut line);
        let last = if line.column == usize::MAX { 0 } else { line.column };
        let first = line.first_cell(last);
        LogFragment { text: line.text, cells: [first, last] }
    }

    fn first_cell(&self, last: usize) -> usize {
        if self.is_json() {
            return 0;
        }
        // Cells of names have no commas of their own: those are in quotes.
        let mut commas = 0;
        let mut quoted = false;
        for byte in &self.text {
            match byte {
                b'"' => quoted = !quoted,
                b',' if !quoted => commas += 1,
                _ => {}
            }
        }
        last.saturating_sub(commas + 1)
    }

    /// Goes to a cell.
    fn commas(&mut self, column: usize) {
        if self.column == usize::MAX {
            self.column = column;
            return;
        }
        let first = usize::from(self.column == 0);
        let commas = (column + 1).saturating_sub(self.column + first);
        self.text.resize(self.text.len() + commas, b',');
    }

    /// What is before a value.
    fn key(&mut self, column: LogColumn) {
        let place = column as usize;
        if self.is_json() {
            let key = column.key().as_bytes();
            self.text.extend_from_slice(if self.is_empty { &key[1..] } else { key });
            self.is_empty = false;
        } else {
            self.commas(place);
        }
        self.column = place + 1;
    }

    /// A whole number.
    pub(super) fn number(&mut self, column: LogColumn, value: u64) {
        self.key(column);
        decimal(&mut self.text, value);
    }

    /// A whole number that may be negative.
    pub(super) fn signed(&mut self, column: LogColumn, value: i64) {
        self.key(column);
        if value < 0 {
            self.text.push(b'-');
        }
        decimal(&mut self.text, value.unsigned_abs());
    }

    /// Thousandths.
    pub(super) fn thousandths(&mut self, column: LogColumn, value: i64) {
        self.key(column);
        if value < 0 {
            self.text.push(b'-');
        }
        decimal(&mut self.text, value.unsigned_abs() / 1000);
        let rest = value.unsigned_abs() % 1000;
        if rest > 0 {
            let digits = format!(".{rest:03}");
            self.text.extend_from_slice(digits.trim_end_matches('0').as_bytes());
        }
    }

    /// A word of this program's own, which needs no escape.
    pub(super) fn word(&mut self, column: LogColumn, value: &str) {
        self.key(column);
        self.quoted(value);
    }

    fn quoted(&mut self, value: &str) {
        if self.is_json() {
            self.text.push(b'"');
            self.text.extend_from_slice(value.as_bytes());
            self.text.push(b'"');
        } else {
            self.text.extend_from_slice(value.as_bytes());
        }
    }

    /// A name that somebody else chose, to the byte.
    pub(super) fn name(&mut self, column: LogColumn, name: &[u8]) {
        self.key(column);
        if self.is_json() {
            self.json(&json::JsonName(name));
            if let Some(hex) = Hex::of(name) {
                // Writing to a String does not fail.
                let _ = write!(self.scratch, ",\"{}_hex\":\"{hex}\"", column.name());
                self.text.extend_from_slice(self.scratch.as_bytes());
                self.scratch.clear();
            }
        } else {
            self.cell(name);
        }
    }

    /// Sentences or words in a list; in a cell one after the other.
    pub(super) fn list(
        &mut self,
        column: LogColumn,
        values: &[impl AsRef<str> + serde::Serialize],
        between: &str,
    ) {
        self.key(column);
        if self.is_json() {
            self.json(&values);
        } else {
            let values: Vec<&str> = values.iter().map(AsRef::as_ref).collect();
            self.cell(values.join(between).as_bytes());
        }
    }

    /// Numbers by word.
    pub(super) fn counts(&mut self, column: LogColumn, values: &[(&'static str, u64)]) {
        self.key(column);
        for (place, (word, value)) in values.iter().enumerate() {
            let [before, between] = match (self.format, place) {
                (LogFormat::JsonLines, 0) => ["{\"", "\":"],
                (LogFormat::JsonLines, _) => [",\"", "\":"],
                (LogFormat::Csv, 0) => ["", "="],
                (LogFormat::Csv, _) => [" ", "="],
            };
            for part in [before, word, between] {
                self.text.extend_from_slice(part.as_bytes());
            }
            decimal(&mut self.text, *value);
        }
        if self.is_json() {
            self.text.extend_from_slice(if values.is_empty() { b"{}" } else { b"}" });
        }
    }

    /// Objects in a list, which only JSON has.
    pub(super) fn objects<T>(&mut self, name: &str, values: &[T], mut write: impl FnMut(&mut Self, &T)) {
        for part in [",\"", name, "\":["] {
            self.text.extend_from_slice(part.as_bytes());
        }
        for (place, value) in values.iter().enumerate() {
            if place > 0 {
                self.text.push(b',');
            }
            self.begin();
            write(self, value);
            self.text.push(b'}');
        }
        self.text.push(b']');
        self.is_empty = false;
    }

    /// An address.
    pub(super) fn address(&mut self, column: LogColumn, address: IpAddr) {
        self.key(column);
        if self.is_json() {
            self.text.push(b'"');
        }
        match address {
            IpAddr::V4(address) => dotted(&mut self.text, address),
            IpAddr::V6(address) => {
                let _ = write!(self.scratch, "{address}");
                self.text.extend_from_slice(self.scratch.as_bytes());
                self.scratch.clear();
            }
        }
        if self.is_json() {
            self.text.push(b'"');
        }
    }

    fn json(&mut self, value: &(impl serde::Serialize + ?Sized)) {
        // Neither memory nor these values refuse to be written.
        let _ = json::to_writer(&mut self.text, value);
    }

    fn cell(&mut self, name: &[u8]) {
        let _ = write!(self.scratch, "{}", CsvCell::new(name));
        let text = std::mem::take(&mut self.scratch);
        if text.contains(['"', ',', '\r', '\n']) {
            self.text.push(b'"');
            self.text.extend_from_slice(text.replace('"', "\"\"").as_bytes());
            self.text.push(b'"');
        } else {
            self.text.extend_from_slice(text.as_bytes());
        }
        self.scratch = text;
        self.scratch.clear();
    }
}

/// Two digits at a time: `Display` takes three times as long.
fn decimal(out: &mut Vec<u8>, mut value: u64) {
    const PAIRS: &[u8; 200] = b"0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546474849\
        5051525354555657585960616263646566676869707172737475767778798081828384858687888990919293949596979899";
    let mut digits = [0_u8; 20];
    let mut at = digits.len();
    while value >= 100 {
        let pair = 2 * (value % 100) as usize;
        value /= 100;
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    let pair = 2 * (value % 100) as usize;
    if value < 10 {
        at -= 1;
        digits[at] = PAIRS[pair + 1];
    } else {
        at -= 2;
        digits[at..at + 2].copy_from_slice(&PAIRS[pair..pair + 2]);
    }
    out.extend_from_slice(&digits[at..]);
}

fn dotted(out: &mut Vec<u8>, address: Ipv4Addr) {
    for (place, octet) in address.octets().into_iter().enumerate() {
        if place > 0 {
            out.push(b'.');
        }
        decimal(out, octet.into());
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn numbers_are_as_others_write_them(value: u64, shift in 0_u32..64, octets: [u8; 4]) {
            let value = value >> shift;
            let mut out = Vec::new();
            decimal(&mut out, value);
            prop_assert_eq!(String::from_utf8(out).unwrap(), value.to_string());
            let mut out = Vec::new();
            dotted(&mut out, octets.into());
            prop_assert_eq!(String::from_utf8(out).unwrap(), Ipv4Addr::from(octets).to_string());
        }
    }

    #[test]
    fn cells_are_below_their_names() {
        let mut line = LogLine::new(LogFormat::Csv, 0);
        let common = line.fragment(true, |line| {
            line.word(LogColumn::Schema, "s");
            line.word(LogColumn::Host, "h");
        });
        let owner = line.fragment(false, |line| {
            line.name(LogColumn::Command, b"a,\"b");
            line.number(LogColumn::Uid, 7);
        });
        let nothing = line.fragment(false, |_| ());
        for with in [true, false] {
            line.begin_with(&common);
            line.put(&nothing);
            if with {
                line.put(&owner);
            }
            line.number(LogColumn::Vlan, 5);
            line.word(LogColumn::Reason, "r");
            line.end();
        }
        line.begin();
        line.word(LogColumn::Reason, "alone");
        line.end();
        let text = header() + std::str::from_utf8(&line.text).unwrap();
        let mut reader = csv::Reader::from_reader(text.as_bytes());
        let names = reader.headers().unwrap().clone();
        let cells: Vec<Vec<(String, String)>> = reader
            .records()
            .map(|record| {
                let record = record.unwrap();
                let cells = names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
                cells.map(|(name, cell)| (name.to_owned(), cell.to_owned())).collect()
            })
            .collect();
        let of = |cells: &[(&str, &str)]| -> Vec<_> {
            cells.iter().map(|(name, cell)| ((*name).to_owned(), (*cell).to_owned())).collect()
        };
        assert_eq!(
            cells[0],
            of(&[
                ("schema", "s"),
                ("host", "h"),
                ("command", "a,\"b"),
                ("uid", "7"),
                ("vlan", "5"),
                ("reason", "r")
            ])
        );
        assert_eq!(cells[1], of(&[("schema", "s"), ("host", "h"), ("vlan", "5"), ("reason", "r")]));
        assert_eq!(cells[2], of(&[("reason", "alone")]));
    }

    #[test]
    fn thousandths_are_as_short_as_they_can_be() {
        let mut line = LogLine::new(LogFormat::JsonLines, 0);
        line.begin();
        for value in [10_000, 9_990, -1, 0] {
            line.thousandths(LogColumn::Seconds, value);
        }
        assert_eq!(line.text, br#"{"seconds":10,"seconds":9.99,"seconds":-0.001,"seconds":0"#);
    }
}
