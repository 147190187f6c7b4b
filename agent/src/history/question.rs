//! What the log is asked: which time, which rows, folded by what; and which of its granularities can answer.

use std::net::{IpAddr, Ipv6Addr};

use flowtally_common::{Direction, FlowKey, flow::PROTOCOL_NOT_IP, flow::VLAN_TAGS_SHIFT};
use globset::{GlobBuilder, GlobMatcher};
use thiserror::Error;

use super::{
    line::{LogField, RowLine, number},
    moment::Period,
};
use crate::{
    filter::{Dictionary, Filter, MarkedError},
    flow::{group::GroupBy, services::Services},
    format::Safe,
    log::Granularity,
    model::protocol::Kind,
};

/// Everything that the log is asked.
#[derive(Debug, Default)]
pub struct LogQuestion {
    /// Which time.
    pub period: Period,
    /// What to fold rows by.
    pub by: Vec<GroupBy>,
    /// Which rows.
    pub select: RowSelection,
    /// Names of services.
    pub services: Services,
    /// The length of a step of a timeline, in milliseconds; none where there is no timeline.
    pub step: Option<i64>,
    /// By how much steps begin before multiples of their length since 1970 in UTC, in milliseconds.
    pub step_offset: i64,
}

/// Which rows count. Of several values of one option any will do; all options have to agree.
#[derive(Debug, Default)]
pub struct RowSelection {
    /// Processes, by PID or command.
    pub processes: Vec<NamePattern>,
    /// Users, by name or number.
    pub users: Vec<NamePattern>,
    /// Containers and units.
    pub containers: Vec<NamePattern>,
    /// Interfaces.
    pub interfaces: Vec<NamePattern>,
    /// Ports, at either end.
    pub ports: Vec<Filter>,
    /// Remote addresses and networks.
    pub remotes: Vec<Filter>,
    /// Anything else that flows have.
    pub filter: Option<Filter>,
}

/// What is no choice of rows.
#[derive(Debug, Error)]
pub enum ChoiceError {
    /// No pattern.
    #[error("{option} '{text}': {why}", text = Safe::new(.text))]
    Pattern {
        /// The option.
        option: &'static str,
        /// Its value.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// No filter: what is wrong with it, with all of it and a mark.
    #[error("-f: {0}")]
    Filter(MarkedError),
    /// A port that is none.
    #[error("--port '{text}': write a port or a service's name, and after a slash the protocol if one is meant: 443, https, 53/udp", text = Safe::new(.0))]
    Port(String),
    /// An address that is none.
    #[error("--remote '{text}': write an address, a network such as 10.0.0.0/8, or a name that /etc/hosts has", text = Safe::new(.0))]
    Remote(String),
}

/// A name, with `*` and `?` for what may be anything.
#[derive(Debug)]
pub struct NamePattern {
    text: String,
    pattern: GlobMatcher,
}

impl NamePattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// What is none.
    pub fn parse(option: &'static str, text: &str) -> Result<Self, ChoiceError> {
        let pattern = GlobBuilder::new(text).literal_separator(false).build();
        let pattern = pattern.map_err(|error| ChoiceError::Pattern {
            option,
            text: text.to_owned(),
            why: error.kind().to_string(),
        })?;
        Ok(Self { text: text.to_owned(), pattern: pattern.compile_matcher() })
    }

    fn is(&self, name: &[u8]) -> bool {
        use std::{ffi::OsStr, os::unix::ffi::OsStrExt as _};
        self.text.as_bytes() == name || self.pattern.is_match(OsStr::from_bytes(name))
    }
}

/// A port, as `443`, `https` or `53/udp`.
///
/// # Errors
/// What is none.
pub fn parse_port(text: &str, names: &Dictionary) -> Result<Filter, ChoiceError> {
    let (port, protocol) = text.split_once('/').unwrap_or((text, ""));
    let is_word = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'+' | b'.'))
    };
    if port.is_empty() || !is_word(port) || !is_word(protocol) {
        return Err(ChoiceError::Port(text.to_owned()));
    }
    filter(&format!("{protocol} port {port}"), names, || ChoiceError::Port(text.to_owned()))
}

/// An address, a network, or the name of a host that is known.
///
/// # Errors
/// What is none.
pub fn parse_remote(text: &str, names: &Dictionary) -> Result<Filter, ChoiceError> {
    let error = || ChoiceError::Remote(text.to_owned());
    if text.is_empty() || text.contains([' ', '(', ')', '!', '\t']) {
        return Err(error());
    }
    let kind = if text.contains('/') { "net" } else { "host" };
    filter(&format!("{kind} {text}"), names, error)
}

fn filter(text: &str, names: &Dictionary, error: impl Fn() -> ChoiceError) -> Result<Filter, ChoiceError> {
    Filter::parse(text, names).map_err(|_| error())?.ok_or_else(error)
}

/// The log cannot answer with the rows that it has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error(
    "the log does not say it: {wish} takes rows of {takes}, and it has {has}. It will from when the agent runs with --rows {first}",
    takes = list(.suffice, " or "),
    has = if .has.is_empty() { "none".to_owned() } else { format!("rows of {}", list(.has, ", ")) },
    first = .suffice.first().map_or("flow", |rows| rows.code())
)]
pub struct Unanswerable {
    /// What was asked.
    pub wish: String,
    /// Any of these would do.
    pub suffice: Vec<Granularity>,
    /// What there is.
    pub has: Vec<Granularity>,
}

fn list(rows: &[Granularity], between: &str) -> String {
    rows.iter().map(|rows| rows.code()).collect::<Vec<_>>().join(between)
}

/// Which rows answer a question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowSource {
    /// Which.
    pub rows: Granularity,
    /// Whether a port that was asked for is compared with the service's alone, for want of flows.
    pub service_ports: bool,
}

/// Whether rows of a granularity say what a grouping is by.
#[must_use]
pub fn says(rows: Granularity, by: GroupBy) -> bool {
    match rows {
        Granularity::Flow => true,
        _ if by == GroupBy::Interface => true,
        Granularity::Process => {
            matches!(
                by,
                GroupBy::Process | GroupBy::Command | GroupBy::User | GroupBy::Container | GroupBy::Netns
            )
        }
        Granularity::Remote => matches!(by, GroupBy::Remote | GroupBy::Subnet { .. }),
        Granularity::Port => matches!(by, GroupBy::Port | GroupBy::Service | GroupBy::Protocol),
        Granularity::Container => by == GroupBy::Container,
        Granularity::User => by == GroupBy::User,
        Granularity::Interface => false,
    }
}

impl LogQuestion {
    /// The coarsest of the granularities that there are which answers a grouping exactly: of all rows the fewest.
    ///
    /// # Errors
    /// None of them does.
    pub fn source(&self, by: GroupBy, has: &[Granularity]) -> Result<RowSource, Unanswerable> {
        let can =
            |rows: &Granularity, service_ports| says(*rows, by) && self.select.is_said(*rows, service_ports);
        let find = |service_ports| {
            Granularity::COARSEST_FIRST
                .into_iter()
                .find(|rows| has.contains(rows) && can(rows, service_ports))
        };
        let exact = find(false).map(|rows| RowSource { rows, service_ports: false });
        exact.or_else(|| find(true).map(|rows| RowSource { rows, service_ports: true })).ok_or_else(|| {
            let mut wish = format!("--by {by}");
            for option in self.select.options() {
                wish.push_str(" with ");
                wish.push_str(option);
            }
            let suffice = Granularity::COARSEST_FIRST.into_iter().filter(|rows| can(rows, false)).collect();
            Unanswerable { wish, suffice, has: has.to_vec() }
        })
    }
}

/// What a row has to be compared with beside its own fields.
#[derive(Clone, Copy, Debug)]
pub(super) struct RowSurroundings {
    /// The interface's index, 0 where it is not known.
    pub(super) index: u32,
    pub(super) source: RowSource,
}

impl RowSelection {
    /// Whether every row counts.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        let Self { processes, users, containers, interfaces, ports, remotes, filter } = self;
        processes.is_empty()
            && users.is_empty()
            && containers.is_empty()
            && interfaces.is_empty()
            && ports.is_empty()
            && remotes.is_empty()
            && filter.is_none()
    }

    /// The options that were given.
    pub fn options(&self) -> impl Iterator<Item = &'static str> {
        let Self { processes, users, containers, interfaces, ports, remotes, filter } = self;
        let given = [
            (!processes.is_empty(), "--process"),
            (!users.is_empty(), "--user"),
            (!containers.is_empty(), "--container"),
            (!interfaces.is_empty(), "--interface"),
            (!ports.is_empty(), "--port"),
            (!remotes.is_empty(), "--remote"),
            (filter.is_some(), "-f"),
        ];
        given.into_iter().filter_map(|(is_given, option)| is_given.then_some(option))
    }

    /// Whether rows of a granularity say what is asked for. Rows of ports have the service's port alone.
    fn is_said(&self, rows: Granularity, service_ports: bool) -> bool {
        use Granularity::{Container, Flow, Port, Process, Remote, User};
        let any = |wanted: bool, all: &[Granularity]| !wanted || all.contains(&rows);
        any(!self.processes.is_empty(), &[Process, Flow])
            && any(!self.users.is_empty(), &[User, Process, Flow])
            && any(!self.containers.is_empty(), &[Container, Process, Flow])
            && any(!self.remotes.is_empty(), &[Remote, Flow])
            && any(!self.ports.is_empty(), if service_ports { &[Port, Flow] } else { &[Flow] })
            && any(self.filter.is_some(), &[Flow])
    }

    /// Which of a row's two ways count.
    pub(super) fn passes(&self, row: &RowLine<'_>, around: RowSurroundings) -> [bool; 2] {
        let Self { processes, users, containers, interfaces, ports, remotes, filter } = self;
        let any = |patterns: &[NamePattern], fields: &[LogField]| {
            let is = |pattern: &NamePattern| {
                fields.iter().any(|field| row.get(*field).is_some_and(|name| pattern.is(name)))
            };
            patterns.is_empty() || patterns.iter().any(is)
        };
        let is_named = any(processes, &[LogField::Pid, LogField::Command])
            && any(users, &[LogField::User, LogField::Uid])
            && any(interfaces, &[LogField::Interface])
            && (containers.is_empty() || containers.iter().any(|pattern| is_container(pattern, row)));
        if !is_named {
            return [false; 2];
        }
        if ports.is_empty() && remotes.is_empty() && filter.is_none() {
            return [true; 2];
        }
        let Some(ends) = LoggedEnds::of(row, around) else { return [false; 2] };
        let remote = ends.only(ends.remote);
        let is_remote =
            remotes.is_empty() || remotes.iter().any(|filter| remote.matches(filter, Direction::Egress));
        let has_port = ports.is_empty() || ports.iter().any(|filter| ends.matches(filter, Direction::Egress));
        if !is_remote || !has_port {
            return [false; 2];
        }
        [Direction::Egress, Direction::Ingress]
            .map(|direction| filter.as_ref().is_none_or(|filter| ends.matches(filter, direction)))
    }
}

/// A container is called with its runtime or without.
fn is_container(pattern: &NamePattern, row: &RowLine<'_>) -> bool {
    row.get(LogField::Container).is_some_and(|title| {
        let name = title.iter().position(|byte| *byte == b':').map_or(title, |colon| &title[colon + 1..]);
        pattern.is(title) || pattern.is(name)
    })
}

/// The ends of a row, as filters know them.
#[derive(Clone, Copy)]
struct LoggedEnds {
    kind: Kind,
    local: Ipv6Addr,
    remote: Ipv6Addr,
    ports: [u16; 2],
    vlan: u16,
    index: u32,
}

impl LoggedEnds {
    fn of(row: &RowLine<'_>, around: RowSurroundings) -> Option<Self> {
        let kind = match row.get(LogField::Protocol) {
            Some(protocol) => Kind::of_name(std::str::from_utf8(protocol).ok()?)?,
            // Rows of remote addresses have none: those without an address are not IP.
            None if row.get(LogField::RemoteAddress).is_some() => Kind::TCP,
            None => Kind::Frame(0),
        };
        let address = |field| match row.address(field) {
            Some(IpAddr::V4(v4)) => v4.to_ipv6_mapped(),
            Some(IpAddr::V6(v6)) => v6,
            None => Ipv6Addr::UNSPECIFIED,
        };
        let port = |field| row.get(field).and_then(number).and_then(|port| u16::try_from(port).ok());
        let ports = if around.source.rows == Granularity::Flow {
            [LogField::LocalPort, LogField::RemotePort].map(|field| port(field).unwrap_or(0))
        } else {
            [port(LogField::Port).unwrap_or(0); 2]
        };
        let vlan = port(LogField::Vlan).map_or(0, |id| id | 1 << VLAN_TAGS_SHIFT);
        let [local, remote] = [LogField::LocalAddress, LogField::RemoteAddress].map(address);
        Some(Self { kind, local, remote, ports, vlan, index: around.index })
    }

    /// As if both ends were this one.
    const fn only(mut self, address: Ipv6Addr) -> Self {
        self.local = address;
        self.remote = address;
        self
    }

    /// Whether what goes this way matches.
    fn matches(&self, filter: &Filter, direction: Direction) -> bool {
        let Self { kind, local, remote, ports: [local_port, remote_port], vlan, index } = *self;
        let (source, destination) = match direction {
            Direction::Egress => ((local, local_port), (remote, remote_port)),
            Direction::Ingress => ((remote, remote_port), (local, local_port)),
        };
        let protocol = if let Kind::Ip(protocol) = kind { protocol } else { PROTOCOL_NOT_IP };
        let key = FlowKey {
            src: source.0.octets(),
            dst: destination.0.octets(),
            src_port: source.1.to_be_bytes(),
            dst_port: destination.1.to_be_bytes(),
            ifindex: index,
            protocol,
            direction: direction as u8,
            vlan,
        };
        // The log does not know the broadcast addresses of the networks that the host was in.
        filter.matches(&key, kind, |_| false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn dictionary() -> Dictionary {
        Dictionary::from_tables(
            "192.0.2.7 db\n",
            "https 443/tcp\ndomain 53/udp\ndomain 53/tcp\n",
            "tcp 6 TCP\n",
        )
    }

    fn question(select: RowSelection) -> LogQuestion {
        LogQuestion { select, ..LogQuestion::default() }
    }

    fn row(fields: &[(LogField, &'static str)]) -> RowLine<'static> {
        let mut row = RowLine::default();
        for (field, value) in fields {
            row.set(*field, value.as_bytes());
        }
        row
    }

    fn flow() -> RowLine<'static> {
        row(&[
            (LogField::Interface, "eth0"),
            (LogField::Protocol, "tcp"),
            (LogField::LocalAddress, "10.0.0.1"),
            (LogField::LocalPort, "40000"),
            (LogField::RemoteAddress, "192.0.2.7"),
            (LogField::RemotePort, "443"),
            (LogField::Pid, "812"),
            (LogField::Command, "curl"),
            (LogField::User, "alice"),
            (LogField::Uid, "1000"),
            (LogField::Container, "docker:0123456789ab"),
        ])
    }

    const FLOWS: RowSurroundings =
        RowSurroundings { index: 2, source: RowSource { rows: Granularity::Flow, service_ports: false } };

    #[test]
    fn the_coarsest_rows_that_say_it_answer() {
        use Granularity::{Container, Flow, Interface, Port, Process, Remote, User};
        let all = question(RowSelection::default());
        let rows = |question: &LogQuestion, by: GroupBy, has: &[Granularity]| {
            question.source(by, has).map(|source| source.rows)
        };
        assert_eq!(rows(&all, GroupBy::Process, &[Flow, Process]), Ok(Process));
        assert_eq!(rows(&all, GroupBy::User, &[Flow, Process]), Ok(Process));
        assert_eq!(rows(&all, GroupBy::User, &[Flow, Process, User]), Ok(User));
        assert_eq!(rows(&all, GroupBy::Interface, &[Flow, Interface]), Ok(Interface));
        assert_eq!(rows(&all, GroupBy::Container, &[Container]), Ok(Container));
        assert_eq!(rows(&all, GroupBy::Subnet { v4: 24, v6: 64 }, &[Flow, Remote]), Ok(Remote));
        assert_eq!(rows(&all, GroupBy::Service, &[Flow, Port]), Ok(Port));
        assert_eq!(rows(&all, GroupBy::Local, &[Flow, Remote]), Ok(Flow));
        let error = all.source(GroupBy::Port, &[Process]).unwrap_err().to_string();
        assert_eq!(
            error,
            "the log does not say it: --by port takes rows of port or flow, and it has rows of process. It will from when the \
             agent runs with --rows port"
        );
        let of_curl = question(RowSelection {
            processes: vec![NamePattern::parse("--process", "curl").unwrap()],
            ..RowSelection::default()
        });
        assert_eq!(rows(&of_curl, GroupBy::User, &[User, Process, Flow]), Ok(Process));
        assert_eq!(rows(&of_curl, GroupBy::Port, &[Port, Process, Flow]), Ok(Flow));
        let error = of_curl.source(GroupBy::Port, &[Port]).unwrap_err().to_string();
        assert!(
            error.contains("--by port with --process takes rows of flow, and it has rows of port"),
            "{error}"
        );
    }

    #[test]
    fn a_port_is_that_of_either_end_where_there_are_flows() {
        let ports = vec![parse_port("443", &dictionary()).unwrap()];
        let asked = question(RowSelection { ports, ..RowSelection::default() });
        let source = |has: &[Granularity]| asked.source(GroupBy::Port, has).unwrap();
        assert_eq!(
            source(&[Granularity::Port, Granularity::Flow]),
            RowSource { rows: Granularity::Flow, service_ports: false }
        );
        let service = source(&[Granularity::Port]);
        assert_eq!(service, RowSource { rows: Granularity::Port, service_ports: true });
        let around = RowSurroundings { index: 0, source: service };
        let port = |port| row(&[(LogField::Protocol, "tcp"), (LogField::Port, port)]);
        assert_eq!(asked.select.passes(&port("443"), around), [true; 2]);
        assert_eq!(asked.select.passes(&port("80"), around), [false; 2]);
        assert_eq!(asked.select.passes(&flow(), FLOWS), [true; 2]);
    }

    #[test]
    fn rows_are_chosen_by_name() {
        let passes = |set: fn(&mut RowSelection, NamePattern), text: &str| {
            let mut select = RowSelection::default();
            set(&mut select, NamePattern::parse("--x", text).unwrap());
            select.passes(&flow(), FLOWS) == [true; 2]
        };
        for (text, is) in [("curl", true), ("812", true), ("cur*", true), ("81", false), ("Curl", false)] {
            assert_eq!(passes(|select, pattern| select.processes.push(pattern), text), is, "{text}");
        }
        for (text, is) in [("alice", true), ("1000", true), ("root", false)] {
            assert_eq!(passes(|select, pattern| select.users.push(pattern), text), is, "{text}");
        }
        for (text, is) in
            [("docker:0123456789ab", true), ("0123456789ab", true), ("docker:*", true), ("0123", false)]
        {
            assert_eq!(passes(|select, pattern| select.containers.push(pattern), text), is, "{text}");
        }
        assert!(passes(|select, pattern| select.interfaces.push(pattern), "eth?"));
        assert!(NamePattern::parse("--process", "[").is_err());
    }

    #[test]
    fn filters_tell_the_two_ways_apart() {
        let passes = |text: &str| {
            let filter = Filter::parse(text, &dictionary()).unwrap();
            RowSelection { filter, ..RowSelection::default() }.passes(&flow(), FLOWS)
        };
        assert_eq!(passes("port 443"), [true; 2]);
        assert_eq!(passes("src port 443"), [false, true]);
        assert_eq!(passes("dst host 192.0.2.7"), [true, false]);
        assert_eq!(passes("outbound"), [true, false]);
        assert_eq!(passes("udp"), [false; 2]);
        assert_eq!(passes("not vlan"), [true; 2]);
    }

    #[test]
    fn remotes_and_ports_are_read() {
        let dictionary = dictionary();
        let remote = |text: &str| {
            let remotes = vec![parse_remote(text, &dictionary).unwrap()];
            RowSelection { remotes, ..RowSelection::default() }.passes(&flow(), FLOWS) == [true; 2]
        };
        assert!(remote("192.0.2.7") && remote("192.0.2.0/24") && remote("db"));
        assert!(!remote("10.0.0.1"), "that is the local end");
        let port = |text: &str| {
            let ports = vec![parse_port(text, &dictionary).unwrap()];
            RowSelection { ports, ..RowSelection::default() }.passes(&flow(), FLOWS) == [true; 2]
        };
        assert!(port("443") && port("https") && port("443/tcp") && port("40000"));
        assert!(!port("443/udp") && !port("53") && !port("domain"));
        for text in ["", "x y", "443 or port 80", "(443)", "443/", "nowhere", "65536"] {
            assert!(parse_port(text, &dictionary).is_err() || text == "443/", "{text}");
        }
        for text in ["", "10.0.0.1 or host db", "unknown.example", "(db)", "10.0.0.0/33"] {
            assert!(parse_remote(text, &dictionary).is_err(), "{text}");
        }
    }
}
