//! The records of the log, as docs/log.md has them.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;

use super::{
    fold::{FoldedInterface, LogFold, Span},
    granularity::Granularity,
    line::{LogColumn as C, LogFragment, LogLine, header},
    settings::{LogFormat, LogSettings},
    table::{LogRest, LogRow, LogTable, LogTables, Subject},
};
use crate::{
    flow::services::Services,
    format::Name,
    model::owner::{Attribution, Common, Reason},
};

/// The kind of these lines, and the version of their fields: a field that goes or changes its meaning is a new version.
pub const LOG_SCHEMA: &str = "flowtally.log/1";

/// Last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// Room for a line: a longer one only makes the buffer grow.
const LINE: usize = 512;

/// What all lines say of where they come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogIdentity {
    /// The host's name.
    pub host: Name,
    /// The kernel's id of this boot.
    pub boot: String,
    /// The id of this run of the agent.
    pub run: String,
    /// The program's version.
    pub version: String,
    /// The capture filter that is in place, as it was written.
    pub filter: Option<String>,
}

/// The beginning of a file.
#[derive(Clone, Debug)]
pub(crate) struct LogStart<'a> {
    pub(crate) time: SystemTime,
    /// Its number within the run, from 1.
    pub(crate) file: u64,
    /// The number of the next interval.
    pub(crate) interval: u64,
    /// The name of the file before.
    pub(crate) previous: Option<&'a str>,
}

/// Why a file is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndReason {
    /// It is old or large enough.
    Rotated,
    /// The agent ends.
    Stopped,
    /// Somebody asked for another file, or took this one away.
    Reopened,
    /// The agent was killed, and this is the next one.
    Recovered,
}

impl EndReason {
    const fn code(self) -> &'static str {
        match self {
            Self::Rotated => "rotated",
            Self::Stopped => "stopped",
            Self::Reopened => "reopened",
            Self::Recovered => "recovered",
        }
    }
}

/// The end of a file.
#[derive(Clone, Debug)]
pub(crate) struct LogEnd {
    pub(crate) time: SystemTime,
    /// The number of the last interval.
    pub(crate) interval: u64,
    /// Lines before it.
    pub(crate) lines: u64,
    /// Rows and rests before it.
    pub(crate) rows: u64,
    /// Of every byte before it.
    pub(crate) crc32: u32,
    /// What of a torn last line was cut off.
    pub(crate) torn_bytes: u64,
    pub(crate) reason: EndReason,
}

/// Lines for a file.
#[derive(Debug, Default)]
pub struct LogBlock {
    /// The lines.
    pub text: Vec<u8>,
    /// How many there are.
    pub lines: u64,
    /// Those of them that are rows and rests.
    pub rows: u64,
}

/// Writes records.
#[derive(Debug)]
pub struct LogEncoder<'a> {
    /// Where the lines come from.
    pub identity: &'a LogIdentity,
    /// What is written.
    pub settings: &'a LogSettings,
}

impl LogEncoder<'_> {
    fn line(&self, rows: usize) -> LogLine {
        LogLine::new(self.settings.format, (rows + 4) * LINE)
    }

    /// What the lines of a record begin with.
    fn common(&self, line: &mut LogLine, record: &str, interval: u64) -> LogFragment {
        common_fields(line, self.identity, record, interval)
    }

    /// The first lines of a file.
    pub(crate) fn start(&self, start: &LogStart<'_>) -> LogBlock {
        let LogStart { time, file, interval, previous } = start;
        let LogSettings { format, granularities, top, interval: length, .. } = self.settings;
        let LogIdentity { version, filter, .. } = self.identity;
        let mut line = self.line(0);
        let mut lines = 1;
        if *format == LogFormat::Csv {
            line.text.extend_from_slice(header().as_bytes());
            lines += 1;
        }
        let common = self.common(&mut line, "start", *interval);
        line.begin_with(&common);
        line.word(C::Time, &rfc3339(*time));
        line.word(C::Version, version);
        line.number(C::File, *file);
        let granularities: Vec<&str> = granularities.iter().map(|by| by.code()).collect();
        line.list(C::Granularities, &granularities, " ");
        line.number(C::Seconds, length.as_secs());
        if let Some(top) = top {
            line.number(C::Top, *top as u64);
        }
        if let Some(filter) = filter {
            line.name(C::Filter, filter.as_bytes());
        }
        if let Some(previous) = previous {
            line.name(C::Previous, previous.as_bytes());
        }
        line.end();
        LogBlock { text: line.text, lines, rows: 0 }
    }

    /// The last line of a file.
    pub(crate) fn end(&self, end: &LogEnd) -> Vec<u8> {
        end_line(self.settings.format, self.identity, end)
    }

    /// An interval with all its rows, by the number of the last one in it.
    #[must_use]
    pub fn interval(&self, number: u64, fold: &LogFold, services: &Services) -> LogBlock {
        let LogSettings { granularities, top, .. } = self.settings;
        let tables = LogTables::new(fold, granularities, *top, services);
        let rows: usize = tables.tables.iter().map(|table| table.rows.len() + table.rest.len()).sum();
        let mut line = self.line(rows + tables.interfaces.len());
        let mut lines = self.interval_lines(&mut line, number, &fold.span, &tables);
        let fragments = Fragments::new(&mut line, &tables);
        for table in &tables.tables {
            let common = self.common(&mut line, table.by.code(), number);
            for row in &table.rows {
                line.begin_with(&common);
                fragments.row(&mut line, row, table.by);
                line.end();
            }
            if !table.rest.is_empty() {
                let common = self.common(&mut line, "other", number);
                for (interface, rest) in &table.rest {
                    line.begin_with(&common);
                    rest_fields(&mut line, table.by, &fragments.interfaces[*interface], rest);
                    line.end();
                }
            }
        }
        lines += rows as u64;
        LogBlock { text: line.text, lines, rows: rows as u64 }
    }

    /// The record of an interval. The result is how many lines it is.
    fn interval_lines(&self, line: &mut LogLine, number: u64, span: &Span, tables: &LogTables<'_>) -> u64 {
        let worth: Vec<&FoldedInterface> =
            tables.interfaces.iter().filter(|interface| interface.is_worth_a_line()).collect();
        let common = self.common(line, "interval", number);
        line.begin_with(&common);
        let whole = |duration: Duration| i64::try_from(duration.as_millis()).unwrap_or(i64::MAX);
        line.word(C::Start, &rfc3339(span.start));
        line.word(C::End, &rfc3339(span.end));
        line.thousandths(C::Seconds, whole(span.measured));
        if span.intervals > 1 {
            line.number(C::Carried, span.intervals - 1);
        }
        if !span.gap.is_zero() {
            line.thousandths(C::GapSeconds, whole(span.gap));
        }
        if span.step_ms != 0 {
            line.thousandths(C::ClockStepSeconds, span.step_ms);
        }
        line.counts(C::RowCounts, &row_counts(&tables.tables));
        line.number(C::LateTicks, span.late_ticks);
        if line.is_json() {
            line.list(C::Degraded, &span.degraded, " ");
            line.objects("interfaces", &worth, |line, interface| {
                line.name(C::Name, interface.name.as_bytes());
                interface_fields(line, interface);
            });
            line.end();
            return 1;
        }
        if !span.degraded.is_empty() {
            line.list(C::Degraded, &span.degraded, " ");
        }
        line.end();
        for interface in &worth {
            line.begin_with(&common);
            line.name(C::Interface, interface.name.as_bytes());
            interface_fields(line, interface);
            line.end();
        }
        1 + worth.len() as u64
    }
}

/// How many lines of each granularity there are.
fn row_counts(tables: &[LogTable<'_>]) -> Vec<(&'static str, u64)> {
    let mut counts: Vec<_> = tables.iter().map(|table| (table.by.code(), table.rows.len() as u64)).collect();
    let rest: usize = tables.iter().map(|table| table.rest.len()).sum();
    if rest > 0 {
        counts.push(("other", rest as u64));
    }
    counts
}

fn common_fields(line: &mut LogLine, identity: &LogIdentity, record: &str, interval: u64) -> LogFragment {
    line.fragment(true, |line| {
        line.word(C::Schema, LOG_SCHEMA);
        line.word(C::Record, record);
        line.name(C::Host, identity.host.as_bytes());
        line.word(C::Boot, &identity.boot);
        line.word(C::Run, &identity.run);
        line.number(C::Interval, interval);
    })
}

/// Begins a line of a record.
pub(super) fn begin_line(line: &mut LogLine, identity: &LogIdentity, record: &str, interval: u64) {
    let common = common_fields(line, identity, record, interval);
    line.begin_with(&common);
}

/// The last line of a file, which another run may have begun.
pub(crate) fn end_line(format: LogFormat, identity: &LogIdentity, end: &LogEnd) -> Vec<u8> {
    let LogEnd { time, interval, lines, rows, crc32, torn_bytes, reason } = end;
    let mut line = LogLine::new(format, LINE);
    begin_line(&mut line, identity, "end", *interval);
    line.word(C::Time, &rfc3339(*time));
    line.number(C::Lines, *lines);
    line.number(C::Rows, *rows);
    if *torn_bytes > 0 {
        line.number(C::TornBytes, *torn_bytes);
    }
    line.word(C::Crc32, &format!("{crc32:08x}"));
    line.word(C::Reason, reason.code());
    line.end();
    line.text
}

fn interface_fields(line: &mut LogLine, interface: &FoldedInterface) {
    let FoldedInterface { index, hook, degraded, .. } = interface;
    line.number(C::Index, (*index).into());
    line.word(C::Hook, hook);
    if line.is_json() || !degraded.is_empty() {
        line.list(C::Degraded, degraded, " ");
    }
    amounts(line, interface.rows);
    let both = |[mut one, other]: [Count; 2]| {
        one.add(other);
        one
    };
    let [ingress, egress] = interface.counted;
    let pairs = [
        (C::CountedBytes, C::CountedPackets, both(interface.counted)),
        (C::IngressBytes, C::IngressPackets, ingress),
        (C::EgressBytes, C::EgressPackets, egress),
        (C::KernelBytes, C::KernelPackets, both(interface.kernel)),
    ];
    let later = [
        (C::UntrackedBytes, C::UntrackedPackets, interface.untracked),
        (C::UnparsedBytes, C::UnparsedPackets, interface.unparsed),
    ];
    for (bytes, packets, count) in pairs {
        line.number(bytes, count.bytes);
        line.number(packets, count.packets);
    }
    line.signed(C::ResidueBytes, interface.residue.bytes);
    line.signed(C::ResiduePackets, interface.residue.packets);
    for (bytes, packets, count) in later {
        line.number(bytes, count.bytes);
        line.number(packets, count.packets);
    }
    line.signed(C::RepeatedBytes, interface.repeated.bytes);
    line.signed(C::RepeatedPackets, interface.repeated.packets);
    line.number(C::LeftOutBytes, interface.left_out.bytes);
    line.number(C::LeftOutPackets, interface.left_out.packets);
    let [ingress, egress] = interface.filtered;
    for (bytes, packets, count) in [
        (C::FilteredBytes, C::FilteredPackets, both(interface.filtered)),
        (C::FilteredIngressBytes, C::FilteredIngressPackets, ingress),
        (C::FilteredEgressBytes, C::FilteredEgressPackets, egress),
    ] {
        line.number(bytes, count.bytes);
        line.number(packets, count.packets);
    }
}

/// Sent and received.
fn amounts(line: &mut LogLine, [sent, received]: [Count; 2]) {
    line.number(C::SentBytes, sent.bytes);
    line.number(C::SentPackets, sent.packets);
    line.number(C::ReceivedBytes, received.bytes);
    line.number(C::ReceivedPackets, received.packets);
}

fn rest_fields(line: &mut LogLine, of: Granularity, interface: &LogFragment, rest: &LogRest) {
    line.word(C::Of, of.code());
    line.put(interface);
    line.number(C::Count, rest.rows);
    amounts(line, rest.counts);
}

/// What rows have in common, made once.
struct Fragments {
    interfaces: Vec<LogFragment>,
    /// By the number of an attribution.
    owners: Vec<LogFragment>,
}

impl Fragments {
    fn new(line: &mut LogLine, tables: &LogTables<'_>) -> Self {
        let LogTables { interfaces, attributions, tables } = tables;
        let interface = |interface: &FoldedInterface| {
            line.fragment(false, |line| line.name(C::Interface, interface.name.as_bytes()))
        };
        let interfaces = interfaces.iter().map(interface).collect();
        let owner = |owner: &&Arc<Attribution>| {
            line.fragment(false, |line| owner_fields(line, &owner.common(), Some(owner.owners.len())))
        };
        let has_flows = tables.iter().any(|table| table.by == Granularity::Flow);
        let owners = if has_flows { attributions.iter().map(owner).collect() } else { Vec::new() };
        Self { interfaces, owners }
    }

    fn row(&self, line: &mut LogLine, row: &LogRow<'_>, by: Granularity) {
        line.put(&self.interfaces[row.interface]);
        match &row.subject {
            Subject::Flow(key, attribution) => {
                line.put(&self.owners[*attribution]);
                line.word(C::Protocol, &key.kind.to_string());
                if key.vlan != 0 {
                    line.number(C::Vlan, key.vlan.into());
                }
                if let Some(address) = key.local_address() {
                    line.address(C::LocalAddress, address);
                }
                line.number(C::LocalPort, key.local_port.into());
                if let Some(address) = key.remote_address() {
                    line.address(C::RemoteAddress, address);
                }
                line.number(C::RemotePort, key.remote_port.into());
            }
            Subject::Owner(key, common) if by == Granularity::Process => {
                owner_fields(line, common, Some(key.example.owners.len()));
            }
            Subject::Owner(key, common) => {
                let is_user = by == Granularity::User;
                let nobody = key.example.owners.is_empty();
                let Common { user, uid, container, reason, .. } = (**common).clone();
                let common = Common {
                    user: user.filter(|_| is_user),
                    uid: uid.filter(|_| is_user),
                    container: container.filter(|_| !is_user),
                    reason: reason.filter(|_| nobody),
                    ..Common::default()
                };
                owner_fields(line, &common, None);
            }
            Subject::Remote(address) => {
                if let Some(address) = address {
                    line.address(C::RemoteAddress, *address);
                }
            }
            Subject::Port(kind, port) => {
                line.word(C::Protocol, &kind.to_string());
                if let Some(port) = port {
                    line.number(C::Port, (*port).into());
                }
            }
            Subject::Interface => {}
        }
        amounts(line, row.counts);
    }
}

fn owner_fields(line: &mut LogLine, common: &Common, owners: Option<usize>) {
    let Common { pid, start_time, command, executable, uid, user, container, netns, reason } = common;
    if let Some(command) = command {
        line.name(C::Command, command.as_bytes());
    }
    if let Some(pid) = pid {
        line.number(C::Pid, (*pid).into());
    }
    if let Some(start_time) = start_time {
        line.word(C::StartTime, &rfc3339(*start_time));
    }
    if let Some(executable) = executable {
        line.name(C::Executable, executable.as_bytes());
    }
    if let Some(user) = user {
        line.name(C::User, user.as_bytes());
    }
    if let Some(uid) = uid {
        line.number(C::Uid, (*uid).into());
    }
    if let Some(container) = container {
        line.name(C::Container, container.title().as_bytes());
    }
    if let Some(netns) = netns {
        line.name(C::Netns, netns.title().as_bytes());
    }
    if let Some(reason) = reason.map(Reason::code) {
        line.word(C::OwnerReason, reason);
    }
    if let Some(owners) = owners.filter(|owners| *owners != 1) {
        line.number(C::OwnerCount, owners as u64);
    }
}

/// A moment in UTC to the millisecond, or the nearest that such a text can say.
pub(super) fn rfc3339(moment: SystemTime) -> String {
    let earliest = SystemTime::UNIX_EPOCH;
    humantime::format_rfc3339_millis(moment.clamp(earliest, earliest + LAST_SECOND)).to_string()
}
