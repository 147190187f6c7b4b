//! What a line of the log says, whichever way it is written: the fields of a row as they stand there, without a copy, and the few
//! lines between rows in full.

use std::{net::IpAddr, str::FromStr, time::SystemTime};

use flowtally_common::Count;
use jiff::Timestamp;

use crate::{format::Name, log::Granularity};

/// The fields of rows, by their places in a [`RowLine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(usize)]
#[expect(missing_docs, reason = "docs/log.md has every one of them under this name")]
pub enum LogField {
    Record,
    Of,
    Interval,
    Interface,
    Protocol,
    Vlan,
    LocalAddress,
    LocalPort,
    RemoteAddress,
    RemotePort,
    Port,
    Pid,
    StartTime,
    Command,
    Executable,
    User,
    Uid,
    Container,
    Netns,
    OwnerReason,
    OwnerCount,
    Count,
    SentBytes,
    SentPackets,
    ReceivedBytes,
    ReceivedPackets,
    Host,
    Boot,
    Run,
}

/// How many there are.
pub(super) const FIELDS: usize = LogField::Run as usize + 1;

impl LogField {
    /// What the owner's fields are, in the order of the report.
    pub const OWNER: [Self; 10] = [
        Self::Pid,
        Self::StartTime,
        Self::Command,
        Self::Executable,
        Self::User,
        Self::Uid,
        Self::Container,
        Self::Netns,
        Self::OwnerReason,
        Self::OwnerCount,
    ];

    /// The field of a name.
    #[must_use]
    pub const fn of_name(name: &[u8]) -> Option<Self> {
        Some(match name {
            b"record" => Self::Record,
            b"of" => Self::Of,
            b"interval" => Self::Interval,
            b"interface" => Self::Interface,
            b"protocol" => Self::Protocol,
            b"vlan" => Self::Vlan,
            b"local_address" => Self::LocalAddress,
            b"local_port" => Self::LocalPort,
            b"remote_address" => Self::RemoteAddress,
            b"remote_port" => Self::RemotePort,
            b"port" => Self::Port,
            b"pid" => Self::Pid,
            b"start_time" => Self::StartTime,
            b"command" => Self::Command,
            b"executable" => Self::Executable,
            b"user" => Self::User,
            b"uid" => Self::Uid,
            b"container" => Self::Container,
            b"netns" => Self::Netns,
            b"owner_reason" => Self::OwnerReason,
            b"owner_count" => Self::OwnerCount,
            b"count" => Self::Count,
            b"sent_bytes" => Self::SentBytes,
            b"sent_packets" => Self::SentPackets,
            b"received_bytes" => Self::ReceivedBytes,
            b"received_packets" => Self::ReceivedPackets,
            b"host" => Self::Host,
            b"boot" => Self::Boot,
            b"run" => Self::Run,
            _ => return None,
        })
    }
}

/// A row of the log, or of what is in no row (`other`): each field as it stands in the line, its escapes undone.
#[derive(Clone, Debug)]
pub struct RowLine<'a> {
    fields: [Option<&'a [u8]>; FIELDS],
    /// Those that were written with escapes. Hardly ever is one.
    unescaped: Vec<(LogField, Vec<u8>)>,
}

impl Default for RowLine<'_> {
    fn default() -> Self {
        Self { fields: [None; FIELDS], unescaped: Vec::new() }
    }
}

/// A line that does not say what it should.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    /// It is not what its kind of file has.
    #[error("it is not {0}")]
    NotA(&'static str),
    /// It is of another kind or version.
    #[error("its schema is {0:?}, and this program reads flowtally.log/1")]
    Schema(Name),
    /// A field is missing, or says what it cannot.
    #[error("its field {0} is missing, or is not what it should be")]
    Field(&'static str),
    /// It cannot be where it is.
    #[error("{0}")]
    Place(&'static str),
}

impl<'a> RowLine<'a> {
    /// What a field says; nothing for one that is left out.
    #[must_use]
    pub fn get(&self, field: LogField) -> Option<&[u8]> {
        if !self.unescaped.is_empty()
            && let Some((_, value)) = self.unescaped.iter().rev().find(|(of, _)| *of == field)
        {
            return Some(value);
        }
        self.fields[field as usize]
    }

    pub(super) const fn set(&mut self, field: LogField, value: &'a [u8]) {
        self.fields[field as usize] = Some(value);
    }

    pub(super) fn set_unescaped(&mut self, field: LogField, value: Vec<u8>) {
        self.unescaped.push((field, value));
    }

    /// A field that is a number.
    pub(super) fn number(&self, field: LogField, name: &'static str) -> Result<u64, LineError> {
        self.get(field).and_then(number).ok_or(LineError::Field(name))
    }

    /// A field of ASCII text as what it stands for.
    pub(super) fn parse<T: FromStr>(&self, field: LogField) -> Option<T> {
        std::str::from_utf8(self.get(field)?).ok()?.parse().ok()
    }

    /// An address.
    pub(super) fn address(&self, field: LogField) -> Option<IpAddr> {
        self.parse(field)
    }

    /// What was sent and received.
    pub(super) fn counts(&self) -> Result<[Count; 2], LineError> {
        let count = |bytes, packets, names: [&'static str; 2]| {
            Ok(Count { bytes: self.number(bytes, names[0])?, packets: self.number(packets, names[1])? })
        };
        Ok([
            count(LogField::SentBytes, LogField::SentPackets, ["sent_bytes", "sent_packets"])?,
            count(
                LogField::ReceivedBytes,
                LogField::ReceivedPackets,
                ["received_bytes", "received_packets"],
            )?,
        ])
    }
}

/// A number in digits.
pub(super) fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 20 {
        return None;
    }
    digits.iter().try_fold(0_u64, |sum, digit| {
        let digit = digit.wrapping_sub(b'0');
        (digit < 10).then_some(())?;
        sum.checked_mul(10)?.checked_add(digit.into())
    })
}

/// A moment as the log has it, as the core has moments.
pub(super) fn system_time(text: &[u8]) -> Option<SystemTime> {
    let moment: Timestamp = std::str::from_utf8(text).ok()?.parse().ok()?;
    SystemTime::try_from(moment).ok()
}

/// Who wrote a line.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LogOrigin {
    /// The host's name.
    pub host: Name,
    /// The kernel's boot id.
    pub boot: Name,
    /// The id of the agent's run.
    pub run: Name,
}

/// The first line of a file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StartLine {
    /// The granularities that the file has; none where it does not say.
    pub rows: Vec<Granularity>,
    /// How many rows of each are written at most.
    pub top: Option<u64>,
    /// The capture filter.
    pub filter: Option<String>,
}

/// What comes before the rows of an interval.
#[derive(Clone, Debug, PartialEq)]
pub struct IntervalLine {
    /// Who wrote it.
    pub origin: LogOrigin,
    /// Its number.
    pub number: u64,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub end: Timestamp,
    /// How long it was by the monotonic clock.
    pub seconds: f64,
    /// How many intervals before it are in it.
    pub carried: u64,
    /// Time before it in which nothing was counted.
    pub gap_seconds: f64,
    /// By how much the clock was set before it began.
    pub clock_step_seconds: f64,
    /// How many lines of each granularity follow; nothing where it does not say.
    pub rows: Option<RowCounts>,
    /// Ticks that came late.
    pub late_ticks: u64,
    /// What is less than it could be.
    pub degraded: Vec<String>,
    /// What each interface counted.
    pub interfaces: Vec<LoggedInterface>,
}

/// How many lines of each granularity an interval has, and of `other`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RowCounts {
    /// By the granularity's place.
    pub rows: [u64; Granularity::COARSEST_FIRST.len()],
    /// Lines of `other`.
    pub other: u64,
}

/// What an interface counted in an interval.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoggedInterface {
    /// Its name.
    pub name: Name,
    /// Its index.
    pub index: u32,
    /// The hooks that served it.
    pub hook: String,
    /// What is less than it could be.
    pub degraded: Vec<String>,
    /// What rows and `other` of each granularity amount to, sent and received; nothing where it does not say.
    pub rows: Option<[Count; 2]>,
    /// Everything that was counted.
    pub counted: Count,
    /// What came in, of that.
    pub ingress: Count,
    /// What went out.
    pub egress: Count,
    /// What its own counters went up by.
    pub kernel: Count,
    /// The difference of the two, bytes and packets.
    pub residue: [i64; 2],
    /// In no row: the flow table was full.
    pub untracked: Count,
    /// In no row: it could not be parsed.
    pub unparsed: Count,
    /// In rows of another interface, bytes and packets.
    pub repeated: [i64; 2],
    /// Left out by a filter or a net boundary.
    pub left_out: Count,
    /// What of that a filter left out, of what came in and of what went out.
    pub filtered: [Count; 2],
}

/// The last line of a file that is closed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndLine {
    /// Lines before it.
    pub lines: Option<u64>,
    /// Why it was closed.
    pub reason: String,
    /// Bytes of a torn last line that were cut off.
    pub torn_bytes: u64,
}

/// A line.
#[derive(Clone, Debug)]
pub enum ReadLine<'a> {
    /// The first of a file.
    Start(StartLine),
    /// The first of an interval.
    Interval(Box<IntervalLine>),
    /// What an interface counted in the interval, where that is a line of its own.
    Interface(Box<LoggedInterface>),
    /// A row.
    Row(Granularity, RowLine<'a>),
    /// What is in no row of this granularity.
    Other(Granularity, RowLine<'a>),
    /// A row that nobody asked for.
    Skipped(Granularity),
    /// The last of a file.
    End(EndLine),
    /// Something that a later version may write.
    Unknown,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_fit() {
        assert_eq!(number(b"0"), Some(0));
        assert_eq!(number(b"18446744073709551615"), Some(u64::MAX));
        for text in ["", "-1", "1.5", "18446744073709551616", "1e3", " 1", "000000000000000000001"] {
            assert_eq!(number(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn words_of_granularities_are_their_own() {
        for rows in Granularity::COARSEST_FIRST {
            assert_eq!(Granularity::of_code(rows.to_string().as_bytes()), Some(rows));
        }
        assert_eq!(Granularity::of_code(b"other"), None);
    }
}
