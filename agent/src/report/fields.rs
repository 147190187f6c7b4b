//! The fields of JSON and CSV: one list, so that the two cannot differ.

use std::{fmt, net::IpAddr, time::SystemTime};

use serde::ser::SerializeMap;

use super::{
    ReportContext, rates,
    table::{TableKey, TableRow},
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey, OwnerKey, OwnerPart},
        row::{InterfaceId, RowKey, Traffic},
        snapshot::Snapshot,
    },
    format::{CsvCell, Name, json, moment::rfc3339_millis},
    model::{
        owner::{Attribution, Common, Container, Netns, Owner, Reason},
        protocol::{Kind, unparsed_reason},
    },
};

/// Who a row is.
pub(crate) const IDENTITY: [&str; 7] =
    ["interface", "protocol", "vlan", "local_address", "local_port", "remote_address", "remote_port"];

/// What it sent and received. Bytes are frame bytes, bps is bits per second.
pub(crate) const AMOUNTS: [&str; 13] = [
    "sent_bytes",
    "sent_packets",
    "received_bytes",
    "received_packets",
    "sent_bps_2s",
    "sent_bps_10s",
    "sent_bps_40s",
    "received_bps_2s",
    "received_bps_10s",
    "received_bps_40s",
    "peak_sent_bps",
    "peak_received_bps",
    "peak_bps",
];

/// Names of its ends, in a report with names only.
pub(crate) const NAMES: [&str; 2] = ["local_name", "remote_name"];

/// Whose it is: of several owners, the first. What the rows of a group do not have in common is not there.
pub(crate) const OWNER: [&str; 10] = [
    "pid",
    "start_time",
    "command",
    "executable",
    "user",
    "uid",
    "container",
    "netns",
    "owner_reason",
    "owner_count",
];

/// What frames without addresses are called where addresses are.
pub(crate) const NOT_IP: &str = "not IP";

/// One value of a field.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    /// Not known, or not the same for all of a group.
    Null,
    /// A whole number.
    Number(u64),
    /// A word of this program's own.
    Word(&'static str),
    /// A name that somebody else chose.
    Name(&'a [u8]),
    /// An address.
    Address(IpAddr),
    /// A protocol's name.
    Kind(Kind),
    /// A moment, as RFC 3339 text in UTC to the millisecond.
    Moment(SystemTime),
    /// A container's name.
    Container(&'a Container),
    /// A network namespace's name.
    Netns(&'a Netns),
}

impl<'a> Value<'a> {
    fn of<T>(value: Option<T>, make: impl FnOnce(T) -> Self) -> Self {
        value.map_or(Self::Null, make)
    }

    fn number(value: Option<impl Into<u64>>) -> Self {
        Self::of(value, |value| Self::Number(value.into()))
    }

    fn name(value: Option<&'a (impl AsRef<[u8]> + ?Sized)>) -> Self {
        Self::of(value, |value| Self::Name(value.as_ref()))
    }

    /// Writes the value of a key of JSON.
    pub(crate) fn entry<M: SerializeMap>(self, map: &mut M, key: &'static str) -> Result<(), M::Error> {
        match self {
            Self::Null => map.serialize_entry(key, &()),
            Self::Number(value) => map.serialize_entry(key, &value),
            Self::Word(value) => map.serialize_entry(key, value),
            Self::Name(value) => json::entry(map, key, value),
            Self::Container(value) => json::entry(map, key, value.title().as_bytes()),
            Self::Netns(value) => json::entry(map, key, value.title().as_bytes()),
            Self::Address(_) | Self::Kind(_) | Self::Moment(_) => map.serialize_entry(key, &self.to_string()),
        }
    }
}

/// As a cell of CSV; nothing for [`Value::Null`].
impl fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Null => Ok(()),
            Self::Number(value) => value.fmt(f),
            Self::Word(value) => value.fmt(f),
            Self::Name(value) => CsvCell::new(value).fmt(f),
            Self::Address(value) => value.fmt(f),
            Self::Kind(value) => value.fmt(f),
            Self::Moment(value) => f.write_str(&rfc3339_millis(*value)),
            Self::Container(value) => CsvCell::new(&value.title()).fmt(f),
            Self::Netns(value) => CsvCell::new(&value.title()).fmt(f),
        }
    }
}

/// Makes the fields of rows.
#[derive(Debug)]
pub(crate) struct RowFields<'a> {
    /// Names by [`InterfaceId`]: ids are small and dense.
    interfaces: Vec<&'a str>,
    snapshot: &'a Snapshot,
    context: &'a ReportContext<'a>,
}

impl<'a> RowFields<'a> {
    pub(crate) fn new(snapshot: &'a Snapshot, context: &'a ReportContext<'a>) -> Self {
        Self { interfaces: interface_names(snapshot), snapshot, context }
    }

    /// Whether the fields [`NAMES`] are there.
    pub(crate) fn with_names(&self) -> bool {
        self.context.resolve
    }

    /// The name of a host, in a report with names.
    pub(crate) fn host(&self, address: IpAddr) -> Option<&'a Name> {
        self.context.names.hosts.get(&address).filter(|_| self.context.resolve)
    }

    /// The values of [`IDENTITY`].
    fn identity(&self, known: KnownOwner) -> [Value<'a>; 7] {
        let KnownOwner { interface, kind, vlan, local, local_port, remote, remote_port } = known;
        [
            Value::of(interface, |id| Value::Name(self.interface(id).as_bytes())),
            Value::of(kind, Value::Kind),
            Value::number(vlan),
            Value::of(local, Value::Address),
            Value::number(local_port),
            Value::of(remote, Value::Address),
            Value::number(remote_port),
        ]
    }

    /// The values of [`AMOUNTS`].
    pub(crate) fn amounts(&self, traffic: &Traffic) -> [u64; 13] {
        let Traffic { sent, received, peak } = traffic;
        let [sent_2s, sent_10s, sent_40s] = self.rates(sent.recent);
        let [received_2s, received_10s, received_40s] = self.rates(received.recent);
        [
            sent.bytes,
            sent.packets,
            received.bytes,
            received.packets,
            sent_2s,
            sent_10s,
            sent_40s,
            received_2s,
            received_10s,
            received_40s,
            rates::bps(sent.peak),
            rates::bps(received.peak),
            rates::bps(*peak),
        ]
    }

    fn rates(&self, recent: [u64; 3]) -> [u64; 3] {
        std::array::from_fn(|at| rates::window_bps(recent[at], self.snapshot.window_seconds[at]))
    }

    /// The values of [`NAMES`].
    fn names(&self, known: KnownOwner) -> [Value<'a>; 2] {
        let hosts = &self.context.names.hosts;
        [known.local, known.remote].map(|end| Value::name(end.and_then(|address| hosts.get(&address))))
    }

    /// All fields of a row that are in both formats, in their order.
    pub(crate) fn of(
        &self,
        by: GroupBy,
        row: &TableRow<'a>,
    ) -> impl Iterator<Item = (&'static str, Value<'a>)> + use<'a> {
        let known = KnownOwner::of(by, row.key);
        let identity = IDENTITY.into_iter().zip(self.identity(known));
        let amounts = AMOUNTS.into_iter().zip(self.amounts(row.traffic).map(Value::Number));
        let names = self.with_names().then(|| NAMES.into_iter().zip(self.names(known)));
        let owner = OWNER.into_iter().zip(self.owner(row));
        identity.chain(amounts).chain(names.into_iter().flatten()).chain(owner)
    }

    /// The values of [`OWNER`].
    fn owner(&self, row: &TableRow<'a>) -> [Value<'a>; 10] {
        match row.key {
            TableKey::Flow(_) => row.owner.map_or([Value::Null; 10], of_attribution),
            TableKey::Group(GroupKey::Owner(key)) => match self.snapshot.in_common.get(key) {
                Some(common) => of_common(key, common),
                None => of_attribution(&key.example),
            },
            TableKey::Group(_) => [Value::Null; 10],
        }
    }

    /// All owners of a row that has several.
    pub(crate) fn owners(
        row: &TableRow<'a>,
    ) -> Option<impl Iterator<Item = impl Iterator<Item = (&'static str, Value<'a>)>>> {
        let owners: &'a [Owner] = match row.key {
            TableKey::Flow(_) => &row.owner?.owners,
            TableKey::Group(GroupKey::Owner(key)) if key.part == OwnerPart::Process => &key.example.owners,
            TableKey::Group(_) => return None,
        };
        let fields = |owner| OWNER.into_iter().zip(of_owner(owner));
        (owners.len() > 1).then(|| owners.iter().map(fields))
    }

    /// What a group is called in the field `key`.
    pub(crate) fn key(&self, key: &'a GroupKey) -> GroupName<'a> {
        let interface = match key {
            GroupKey::Interface(id) => self.interface(*id),
            _ => "",
        };
        GroupName { key, interface }
    }

    pub(crate) fn interface(&self, id: InterfaceId) -> &'a str {
        interface_name(&self.interfaces, id)
    }
}

/// The values of [`OWNER`] that one owner has.
fn of_owner(owner: &Owner) -> [Value<'_>; 8] {
    let Owner { id, start_time, command, executable, uid, user, container, netns } = owner;
    [
        Value::Number(id.pid.into()),
        Value::of(*start_time, Value::Moment),
        Value::Name(command.as_bytes()),
        Value::name(executable.as_ref()),
        Value::name(user.as_ref()),
        Value::number(*uid),
        Value::of(container.as_ref(), Value::Container),
        Value::of(netns.as_ref(), Value::Netns),
    ]
}

/// The values of [`OWNER`] of a conversation.
fn of_attribution(attribution: &Attribution) -> [Value<'_>; 10] {
    let [pid, start_time, command, executable, user, uid, container, netns] =
        attribution.owners.first().map_or([Value::Null; 8], of_owner);
    let (reason, count) =
        (Value::Word(attribution.reason.code()), Value::Number(attribution.owners.len() as u64));
    [pid, start_time, command, executable, user, uid, container, netns, reason, count]
}

/// The values of [`OWNER`] of a group.
fn of_common<'a>(key: &'a OwnerKey, common: &'a Common) -> [Value<'a>; 10] {
    let Common { pid, start_time, command, executable, uid, user, container, netns, reason } = common;
    let owners = key.example.owners.len();
    let count = (key.part == OwnerPart::Process || owners == 0).then_some(owners as u64);
    [
        Value::number(*pid),
        Value::of(*start_time, Value::Moment),
        Value::name(command.as_ref()),
        Value::name(executable.as_ref()),
        Value::name(user.as_ref()),
        Value::number(*uid),
        Value::of(container.as_ref(), Value::Container),
        Value::of(netns.as_ref(), Value::Netns),
        Value::of(reason.map(Reason::code), Value::Word),
        Value::number(count),
    ]
}

/// The interfaces' names by id.
pub(crate) fn interface_names(snapshot: &Snapshot) -> Vec<&str> {
    let most = snapshot.interfaces.iter().map(|interface| usize::from(interface.id.0) + 1).max();
    let mut names = vec![""; most.unwrap_or(0)];
    for interface in &snapshot.interfaces {
        names[usize::from(interface.id.0)] = &interface.name;
    }
    names
}

/// The name of one of them. Every row's interface is in the snapshot; one that is not must not hide the row.
pub(crate) fn interface_name<'a>(names: &[&'a str], id: InterfaceId) -> &'a str {
    names.get(usize::from(id.0)).copied().filter(|name| !name.is_empty()).unwrap_or("?")
}

/// A group's key as text: the same for the same group, different for different ones.
#[derive(Clone, Copy, Debug)]
pub(crate) struct GroupName<'a> {
    key: &'a GroupKey,
    interface: &'a str,
}

impl GroupName<'_> {
    /// The name, to the byte.
    pub(crate) fn title(self) -> Name {
        match self.key {
            GroupKey::Address(Some(address)) => address.to_string().into(),
            GroupKey::Pair(Some((local, remote))) => format!("{local} {remote}").into(),
            GroupKey::Subnet(Some((network, prefix))) => format!("{network}/{prefix}").into(),
            GroupKey::Address(None) | GroupKey::Pair(None) | GroupKey::Subnet(None) => NOT_IP.into(),
            GroupKey::Port(kind, Some(port)) => format!("{port}/{kind}").into(),
            GroupKey::Port(kind, None) | GroupKey::Protocol(kind) => match kind {
                Kind::Unparsed(reason) => format!("{kind} ({})", unparsed_reason(*reason)).into(),
                _ => kind.to_string().into(),
            },
            GroupKey::Service(name) => name.clone(),
            GroupKey::Interface(_) => self.interface.into(),
            GroupKey::Owner(owner) => owner.title(),
        }
    }
}

/// As a cell of CSV.
impl fmt::Display for GroupName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = match self.key {
            GroupKey::Owner(owner) => owner.names(),
            _ => Vec::new(),
        };
        if names.len() < 2 {
            return CsvCell::new(&self.title()).fmt(f);
        }
        // A comma of a name is not one between two names.
        let cell = |name: &Name| CsvCell::new(name).to_string().replace(',', "\\x2c");
        f.write_str(&names.iter().map(cell).collect::<Vec<_>>().join(", "))
    }
}

/// What all conversations of a row have in common, by what they were folded by.
#[derive(Clone, Copy, Default)]
struct KnownOwner {
    interface: Option<InterfaceId>,
    kind: Option<Kind>,
    vlan: Option<u16>,
    local: Option<IpAddr>,
    local_port: Option<u16>,
    remote: Option<IpAddr>,
    remote_port: Option<u16>,
}

impl KnownOwner {
    fn of(by: GroupBy, key: TableKey<'_>) -> Self {
        match key {
            TableKey::Flow(row) => Self::row(row),
            TableKey::Group(GroupKey::Address(local)) if by == GroupBy::Local => {
                Self { local: *local, ..Self::default() }
            }
            TableKey::Group(GroupKey::Address(remote)) => Self { remote: *remote, ..Self::default() },
            TableKey::Group(GroupKey::Service(_) | GroupKey::Subnet(_) | GroupKey::Owner(_)) => {
                Self::default()
            }
            TableKey::Group(GroupKey::Pair(pair)) => Self {
                local: pair.map(|(local, _)| local),
                remote: pair.map(|(_, remote)| remote),
                ..Self::default()
            },
            TableKey::Group(GroupKey::Port(kind, _) | GroupKey::Protocol(kind)) => {
                Self { kind: Some(*kind), ..Self::default() }
            }
            TableKey::Group(GroupKey::Interface(id)) => Self { interface: Some(*id), ..Self::default() },
        }
    }

    fn row(row: &RowKey) -> Self {
        Self {
            interface: Some(row.interface),
            kind: Some(row.kind),
            vlan: Some(row.vlan),
            local: row.local_address(),
            local_port: Some(row.local_port),
            remote: row.remote_address(),
            remote_port: Some(row.remote_port),
        }
    }
}
