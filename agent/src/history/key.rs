//! What rows have in common, as bytes that are compared: made for each of millions of lines, and read back for the few rows of the
//! answer. Parts are told apart by their lengths, so that different parts never make the same key.

use std::{net::Ipv6Addr, sync::Arc};

use super::line::{LineError, LogField, RowLine, number, system_time};
use crate::{
    flow::{
        group::{GroupBy, GroupKey, OwnerKey, OwnerPart},
        row::{InterfaceId, RowKey},
        services::Services,
    },
    format::Name,
    log::Granularity,
    model::{
        owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
        protocol::Kind,
    },
};

/// The first part of an owner's key: whether there is one.
const SOMEBODY: &[u8] = b"+";
const NOBODY: &[u8] = b"-";

/// The parts of a conversation's key before those of its owner.
const OF_FLOW: [LogField; 6] = [
    LogField::Protocol,
    LogField::Vlan,
    LogField::LocalAddress,
    LogField::LocalPort,
    LogField::RemoteAddress,
    LogField::RemotePort,
];

/// Appends a part.
fn push(key: &mut Vec<u8>, part: &[u8]) {
    // No field of a log is longer; what would be is cut the same way each time.
    let length = u16::try_from(part.len()).unwrap_or(u16::MAX);
    key.extend_from_slice(&length.to_le_bytes());
    key.extend_from_slice(&part[..usize::from(length)]);
}

pub(super) fn push_fields(key: &mut Vec<u8>, row: &RowLine<'_>, fields: &[LogField]) {
    for field in fields {
        push(key, row.get(*field).unwrap_or_default());
    }
}

/// The parts of a key.
fn parts(mut key: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let (length, rest) = key.split_first_chunk::<2>()?;
        let (part, rest) = rest.split_at_checked(u16::from_le_bytes(*length).into())?;
        key = rest;
        Some(part)
    })
}

/// Makes the keys of one grouping.
#[derive(Clone, Copy, Debug)]
pub(super) struct KeyMaker<'a> {
    pub(super) by: GroupBy,
    pub(super) rows: Granularity,
    pub(super) services: &'a Services,
}

impl KeyMaker<'_> {
    /// Writes the key of a row.
    pub(super) fn make(&self, row: &RowLine<'_>, host: &[u8], key: &mut Vec<u8>) -> Result<(), LineError> {
        key.clear();
        match self.by {
            GroupBy::Flow => {
                push(key, host);
                push_fields(key, row, &[LogField::Interface]);
                push_fields(key, row, &OF_FLOW);
                push_fields(key, row, &LogField::OWNER);
            }
            GroupBy::Local => push_fields(key, row, &[LogField::LocalAddress]),
            GroupBy::Remote => push_fields(key, row, &[LogField::RemoteAddress]),
            GroupBy::Host => push_fields(key, row, &[LogField::LocalAddress, LogField::RemoteAddress]),
            GroupBy::Protocol => push_fields(key, row, &[LogField::Protocol]),
            GroupBy::Interface => {
                push(key, host);
                push_fields(key, row, &[LogField::Interface]);
            }
            GroupBy::Port if self.rows == Granularity::Port => {
                push_fields(key, row, &[LogField::Protocol, LogField::Port]);
            }
            GroupBy::Port => {
                push_fields(key, row, &[LogField::Protocol]);
                let port = self.services.service_port(&ports(row)?);
                push(key, port.map(|port| port.to_string()).unwrap_or_default().as_bytes());
            }
            GroupBy::Service => push(key, self.service(row)?.as_bytes()),
            GroupBy::Subnet { .. } => {
                let remote = row.address(LogField::RemoteAddress);
                let group = remote.and_then(|remote| {
                    let row = RowKey { remote: mapped(remote), kind: Kind::TCP, ..NOWHERE };
                    self.by.key(&row, self.services)
                });
                if let Some(GroupKey::Subnet(Some((network, prefix)))) = group {
                    push(key, network.to_string().as_bytes());
                    push(key, prefix.to_string().as_bytes());
                }
            }
            GroupBy::Process | GroupBy::Command | GroupBy::User | GroupBy::Container | GroupBy::Netns => {
                if is_nobody(row, self.rows) {
                    push(key, NOBODY);
                    push_fields(key, row, &[LogField::OwnerReason]);
                    return Ok(());
                }
                push(key, SOMEBODY);
                match self.by {
                    GroupBy::Command => push_fields(key, row, &[LogField::Command]),
                    GroupBy::User => push_fields(key, row, &[LogField::Uid, LogField::User]),
                    GroupBy::Container => push_fields(key, row, &[LogField::Container]),
                    GroupBy::Netns => push_fields(key, row, &[LogField::Netns]),
                    // A PID is used again, and other hosts have it too.
                    _ => {
                        push(key, host);
                        push_fields(key, row, &[LogField::Pid, LogField::StartTime]);
                    }
                }
            }
        }
        Ok(())
    }

    /// What is worth keeping of the first row of a group, beside its key.
    pub(super) fn example(&self, row: &RowLine<'_>) -> Box<[u8]> {
        let mut example = Vec::new();
        if self.by == GroupBy::Process {
            push_fields(&mut example, row, &LogField::OWNER);
        }
        example.into()
    }

    fn service(&self, row: &RowLine<'_>) -> Result<Name, LineError> {
        let key = if self.rows == Granularity::Port {
            let port = row.parse(LogField::Port).unwrap_or(0);
            RowKey { kind: kind(row)?, local_port: port, remote_port: port, ..NOWHERE }
        } else {
            ports(row)?
        };
        match GroupBy::Service.key(&key, self.services) {
            Some(GroupKey::Service(name)) => Ok(name),
            _ => Err(LineError::Field("port")),
        }
    }
}

/// A conversation of which nothing is known.
pub(super) const NOWHERE: RowKey = RowKey {
    local: Ipv6Addr::UNSPECIFIED,
    remote: Ipv6Addr::UNSPECIFIED,
    local_port: 0,
    remote_port: 0,
    vlan: 0,
    interface: InterfaceId(0),
    kind: Kind::TCP,
};

/// Whether a row has no owner; it says why then.
pub(super) fn is_nobody(row: &RowLine<'_>, rows: Granularity) -> bool {
    let has = |field| row.get(field).is_some();
    has(LogField::OwnerReason)
        && !match rows {
            Granularity::User => has(LogField::Uid) || has(LogField::User),
            Granularity::Container => has(LogField::Container),
            _ => has(LogField::Pid),
        }
}

pub(super) fn kind(row: &RowLine<'_>) -> Result<Kind, LineError> {
    let name = row.get(LogField::Protocol).and_then(|name| std::str::from_utf8(name).ok());
    name.and_then(Kind::of_name).ok_or(LineError::Field("protocol"))
}

/// A conversation's protocol and ports.
fn ports(row: &RowLine<'_>) -> Result<RowKey, LineError> {
    let port = |field| row.get(field).and_then(number).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
    Ok(RowKey {
        kind: kind(row)?,
        local_port: port(LogField::LocalPort),
        remote_port: port(LogField::RemotePort),
        ..NOWHERE
    })
}

pub(super) fn mapped(address: std::net::IpAddr) -> Ipv6Addr {
    match address {
        std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
        std::net::IpAddr::V6(v6) => v6,
    }
}

/// What a key stands for.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum KeyMeaning {
    Flow(RowKey, Arc<Attribution>),
    Group(GroupKey),
}

/// Reads what [`KeyMaker::make`] wrote. `interface` says which interface of which host a name is.
pub(super) fn read(
    by: GroupBy,
    key: &[u8],
    example: &[u8],
    interface: &mut dyn FnMut(&[u8], &[u8]) -> InterfaceId,
) -> Option<KeyMeaning> {
    let mut parts = parts(key);
    let mut next = || parts.next().unwrap_or_default();
    let group = match by {
        GroupBy::Flow => {
            let interface = interface(next(), next());
            let [protocol, vlan, local, local_port, remote, remote_port] = std::array::from_fn(|_| next());
            let port = |text| number(text).and_then(|port| u16::try_from(port).ok()).unwrap_or(0);
            let end = |text| address(text).map_or(Ipv6Addr::UNSPECIFIED, mapped);
            let key = RowKey {
                local: end(local),
                remote: end(remote),
                local_port: port(local_port),
                remote_port: port(remote_port),
                vlan: port(vlan),
                interface,
                kind: Kind::of_name(std::str::from_utf8(protocol).ok()?)?,
            };
            let owner: [&[u8]; 10] = std::array::from_fn(|_| next());
            return Some(KeyMeaning::Flow(key, Arc::new(attribution(owner))));
        }
        GroupBy::Local | GroupBy::Remote => GroupKey::Address(address(next())),
        GroupBy::Host => GroupKey::Pair(address(next()).zip(address(next()))),
        GroupBy::Protocol => GroupKey::Protocol(Kind::of_name(std::str::from_utf8(next()).ok()?)?),
        GroupBy::Interface => GroupKey::Interface(interface(next(), next())),
        GroupBy::Port => {
            let kind = Kind::of_name(std::str::from_utf8(next()).ok()?)?;
            GroupKey::Port(kind, number(next()).and_then(|port| u16::try_from(port).ok()))
        }
        GroupBy::Service => GroupKey::Service(next().into()),
        GroupBy::Subnet { .. } => {
            let prefix = |text| number(text).and_then(|prefix| u8::try_from(prefix).ok());
            GroupKey::Subnet(address(next()).zip(prefix(next())))
        }
        GroupBy::Process | GroupBy::Command | GroupBy::User | GroupBy::Container | GroupBy::Netns => {
            let part = by.of_owner()?;
            let attribution = if next() == NOBODY {
                Attribution { owners: Vec::new(), reason: reason(next()).unwrap_or(Reason::NotLooked) }
            } else {
                let fields = [next(), next(), next()];
                of_part(part, fields, example)
            };
            GroupKey::Owner(OwnerKey::new(part, &Arc::new(attribution)))
        }
    };
    Some(KeyMeaning::Group(group))
}

/// An owner of whom only one part is known.
pub(super) fn of_part(part: OwnerPart, fields: [&[u8]; 3], example: &[u8]) -> Attribution {
    let mut all: [&[u8]; 10] = [&[]; 10];
    let mut example = parts(example);
    match part {
        OwnerPart::Process => all = std::array::from_fn(|_| example.next().unwrap_or_default()),
        OwnerPart::Command => all[2] = fields[0],
        OwnerPart::User => [all[5], all[4], _] = fields,
        OwnerPart::Container => all[6] = fields[0],
        OwnerPart::Netns => all[7] = fields[0],
    }
    let reason = reason(all[8]).unwrap_or(Reason::Open);
    Attribution { owners: vec![owner(all)], reason }
}

/// Whose a row is, from its fields in the order of [`LogField::OWNER`].
pub(super) fn attribution(fields: [&[u8]; 10]) -> Attribution {
    let reason = reason(fields[8]).unwrap_or(Reason::NotLooked);
    let owners = if fields[0].is_empty() { Vec::new() } else { vec![owner(fields)] };
    Attribution { owners, reason }
}

fn owner([pid, start_time, command, executable, user, uid, container, netns, ..]: [&[u8]; 10]) -> Owner {
    let short = |text| number(text).and_then(|number| u32::try_from(number).ok());
    let name = |text: &[u8]| (!text.is_empty()).then(|| Name::from(text));
    let start_time = system_time(start_time);
    // What tells processes of one PID apart: here the time of day does.
    let since = start_time.and_then(|start| start.duration_since(std::time::UNIX_EPOCH).ok());
    let start = since.and_then(|since| u64::try_from(since.as_millis()).ok());
    Owner {
        id: ProcessId { pid: short(pid).unwrap_or(0), start },
        start_time,
        command: command.into(),
        executable: name(executable),
        uid: short(uid),
        user: name(user),
        container: (!container.is_empty()).then(|| of_container(container)),
        netns: (!netns.is_empty()).then(|| of_netns(netns)),
    }
}

/// A container or unit from what it is called.
fn of_container(title: &[u8]) -> Container {
    const RUNTIMES: [(&[u8], Runtime); 7] = [
        (b"docker:", Runtime::Docker),
        (b"podman:", Runtime::Podman),
        (b"containerd:", Runtime::Containerd),
        (b"cri-o:", Runtime::CriO),
        (b"kubernetes:", Runtime::Kubernetes),
        (b"machine:", Runtime::Machine),
        (b"lxc:", Runtime::Lxc),
    ];
    let known = RUNTIMES.iter().find_map(|(prefix, runtime)| Some((*runtime, title.strip_prefix(*prefix)?)));
    let (runtime, name) = known.unwrap_or_else(|| {
        let is_unit = [&b".service"[..], b".scope", b".slice"].iter().any(|ending| title.ends_with(ending));
        (if is_unit { Runtime::Systemd } else { Runtime::Cgroup }, title)
    });
    Container { runtime, name: name.into() }
}

/// A network namespace from what it is called.
fn of_netns(title: &[u8]) -> Netns {
    let inode = title.strip_prefix(b"net:[").and_then(|rest| number(rest.strip_suffix(b"]")?));
    let name = if inode.is_some() || title == b"gone" { Name::default() } else { title.into() };
    Netns { inode, name }
}

fn reason(code: &[u8]) -> Option<Reason> {
    const ALL: [Reason; 14] = [
        Reason::Created,
        Reason::Bound,
        Reason::Connected,
        Reason::Accepted,
        Reason::Closed,
        Reason::Open,
        Reason::Listener,
        Reason::Kernel,
        Reason::KernelStack,
        Reason::Forwarded,
        Reason::NoSocket,
        Reason::Gone,
        Reason::NotPermitted,
        Reason::NotLooked,
    ];
    ALL.into_iter().find(|reason| reason.code().as_bytes() == code)
}

fn address(text: &[u8]) -> Option<std::net::IpAddr> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(fields: &[(LogField, &'static str)]) -> RowLine<'static> {
        let mut row = RowLine::default();
        for (field, value) in fields {
            row.set(*field, value.as_bytes());
        }
        row
    }

    fn meaning(by: GroupBy, rows: Granularity, row: &RowLine<'_>) -> KeyMeaning {
        let services = Services::parse("https 443/tcp\n");
        let maker = KeyMaker { by, rows, services: &services };
        let mut key = Vec::new();
        maker.make(row, b"web", &mut key).unwrap();
        read(by, &key, &maker.example(row), &mut |host, name| {
            assert_eq!((host, name), (&b"web"[..], &b"eth0"[..]));
            InterfaceId(3)
        })
        .unwrap()
    }

    const FLOW: &[(LogField, &str)] = &[
        (LogField::Interface, "eth0"),
        (LogField::Protocol, "tcp"),
        (LogField::Vlan, "7"),
        (LogField::LocalAddress, "10.0.0.1"),
        (LogField::LocalPort, "40000"),
        (LogField::RemoteAddress, "192.0.2.7"),
        (LogField::RemotePort, "443"),
        (LogField::Pid, "812"),
        (LogField::StartTime, "2026-11-29T03:00:00.250Z"),
        (LogField::Command, "curl"),
        (LogField::User, "alice"),
        (LogField::Uid, "1000"),
        (LogField::Container, "docker:0123456789ab"),
        (LogField::Netns, "net:[42]"),
        (LogField::OwnerReason, "connected"),
    ];

    #[test]
    fn a_flow_comes_back_whole() {
        let KeyMeaning::Flow(key, owner) = meaning(GroupBy::Flow, Granularity::Flow, &row(FLOW)) else {
            panic!()
        };
        assert_eq!(key.remote_address(), Some("192.0.2.7".parse().unwrap()));
        assert_eq!(
            (key.local_port, key.remote_port, key.vlan, key.interface, key.kind),
            (40_000, 443, 7, InterfaceId(3), Kind::TCP)
        );
        let [first] = &owner.owners[..] else { panic!() };
        assert_eq!((first.id.pid, first.uid, owner.reason), (812, Some(1000), Reason::Connected));
        assert_eq!(first.container.as_ref().unwrap().title(), "docker:0123456789ab");
        assert_eq!(first.netns.as_ref().unwrap().title(), "net:[42]");
    }

    #[test]
    fn groups_come_back() {
        let title = |by, rows, fields: &[(LogField, &'static str)]| match meaning(by, rows, &row(fields)) {
            KeyMeaning::Group(GroupKey::Owner(owner)) => owner.to_string(),
            KeyMeaning::Group(GroupKey::Port(kind, port)) => format!("{port:?} {kind}"),
            KeyMeaning::Group(GroupKey::Service(name)) => name.to_string(),
            KeyMeaning::Group(group) => format!("{group:?}"),
            KeyMeaning::Flow(..) => panic!(),
        };
        assert_eq!(title(GroupBy::Process, Granularity::Flow, FLOW), "curl 812");
        assert_eq!(title(GroupBy::Command, Granularity::Flow, FLOW), "curl");
        assert_eq!(title(GroupBy::User, Granularity::Flow, FLOW), "alice");
        assert_eq!(title(GroupBy::Container, Granularity::Flow, FLOW), "docker:0123456789ab");
        assert_eq!(title(GroupBy::Netns, Granularity::Flow, FLOW), "net:[42]");
        assert_eq!(title(GroupBy::Port, Granularity::Flow, FLOW), "Some(443) tcp");
        assert_eq!(title(GroupBy::Service, Granularity::Flow, FLOW), "https");
        let port = &[(LogField::Protocol, "tcp"), (LogField::Port, "443")];
        assert_eq!(title(GroupBy::Port, Granularity::Port, port), "Some(443) tcp");
        assert_eq!(title(GroupBy::Service, Granularity::Port, port), "https");
        assert_eq!(title(GroupBy::Protocol, Granularity::Port, port), "Protocol(Ip(6))");
        assert_eq!(title(GroupBy::Port, Granularity::Port, &[(LogField::Protocol, "icmp")]), "None icmp");
        assert_eq!(
            title(GroupBy::Subnet { v4: 24, v6: 64 }, Granularity::Flow, FLOW),
            "Subnet(Some((192.0.2.0, 24)))"
        );
        assert_eq!(title(GroupBy::Remote, Granularity::Remote, &[]), "Address(None)");
        let nobody = &[(LogField::OwnerReason, "forwarded")];
        for (by, rows) in [
            (GroupBy::Process, Granularity::Process),
            (GroupBy::User, Granularity::User),
            (GroupBy::Container, Granularity::Container),
        ] {
            assert_eq!(title(by, rows, nobody), "forwarded");
        }
        assert_eq!(title(GroupBy::Container, Granularity::Container, &[]), "no container");
        assert_eq!(title(GroupBy::User, Granularity::User, &[(LogField::Uid, "7")]), "7");
    }

    #[test]
    fn parts_are_told_apart_by_their_lengths() {
        let key = |local, remote| {
            let services = Services::default();
            let maker = KeyMaker { by: GroupBy::Host, rows: Granularity::Flow, services: &services };
            let mut key = Vec::new();
            maker
                .make(
                    &row(&[(LogField::LocalAddress, local), (LogField::RemoteAddress, remote)]),
                    b"",
                    &mut key,
                )
                .unwrap();
            key
        };
        assert_ne!(key("::1", "::2"), key("::1::", "2"));
    }
}
