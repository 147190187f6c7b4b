//! Rows folded by what they have in common.

use std::{
    cmp::Ordering,
    fmt,
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
    sync::Arc,
};

use thiserror::Error;

use super::{
    row::{InterfaceId, RowKey},
    services::Services,
    wire::{wire_enum, wire_struct},
};
use crate::{
    format::{Name, Safe},
    model::{
        owner::{Attribution, Container, Netns, ProcessId, Reason},
        protocol::Kind,
    },
};

/// IPv4 prefix of `subnet` when none is given.
const SUBNET_V4: u8 = 24;
/// IPv6 prefix of `subnet` when none is given.
const SUBNET_V6: u8 = 64;

/// What to fold rows by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum GroupBy {
    /// Not at all: every conversation.
    Flow,
    /// The local address.
    Local,
    /// The remote address.
    Remote,
    /// The pair of local and remote address.
    Host,
    /// Protocol and service port, by number.
    Port,
    /// The service's name.
    Service,
    /// The protocol.
    Protocol,
    /// The interface.
    Interface,
    /// The remote address's network.
    Subnet {
        /// Prefix length for IPv4, 0 to 32.
        v4: u8,
        /// Prefix length for IPv6, 0 to 128.
        v6: u8,
    },
    /// The process, or the processes that share the socket.
    Process,
    /// The name of the process.
    Command,
    /// The user that the process runs as.
    User,
    /// The container or the systemd unit that the process is in.
    Container,
    /// The network namespace that the process is in.
    Netns,
}

/// A name that no grouping has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupByError {
    /// No such grouping.
    #[error(
        "no grouping is called '{name}': use flow, local, remote, host, port, service, protocol, interface, \
         process, command, user, container, netns or subnet[/PREFIX]", name = Safe::new(.0)
    )]
    Unknown(String),
    /// A prefix that is no number, or too long.
    #[error(
        "'{name}' is no prefix: use subnet/0 to subnet/32 for IPv4, up to subnet/128 for IPv6, or subnet/24/64", name = Safe::new(.0)
    )]
    Prefix(String),
}

impl FromStr for GroupBy {
    type Err = GroupByError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(match text {
            "flow" => Self::Flow,
            "local" => Self::Local,
            "remote" => Self::Remote,
            "host" => Self::Host,
            "port" => Self::Port,
            "service" => Self::Service,
            "protocol" => Self::Protocol,
            "interface" => Self::Interface,
            "process" => Self::Process,
            "command" => Self::Command,
            "user" => Self::User,
            "container" => Self::Container,
            "netns" => Self::Netns,
            "subnet" => Self::Subnet { v4: SUBNET_V4, v6: SUBNET_V6 },
            _ => {
                let prefixes =
                    text.strip_prefix("subnet/").ok_or_else(|| GroupByError::Unknown(text.to_owned()))?;
                let error = || GroupByError::Prefix(text.to_owned());
                let number = |text: &str, most: u8| {
                    text.parse::<u8>().ok().filter(|prefix| *prefix <= most).ok_or_else(error)
                };
                match prefixes.split_once('/') {
                    Some((v4, v6)) => Self::Subnet { v4: number(v4, 32)?, v6: number(v6, 128)? },
                    None => match number(prefixes, 128)? {
                        v4 @ 0..=32 => Self::Subnet { v4, v6: SUBNET_V6 },
                        v6 => Self::Subnet { v4: SUBNET_V4, v6 },
                    },
                }
            }
        })
    }
}

impl fmt::Display for GroupBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Flow => "flow",
            Self::Local => "local",
            Self::Remote => "remote",
            Self::Host => "host",
            Self::Port => "port",
            Self::Service => "service",
            Self::Protocol => "protocol",
            Self::Interface => "interface",
            Self::Subnet { .. } => "subnet",
            Self::Process => "process",
            Self::Command => "command",
            Self::User => "user",
            Self::Container => "container",
            Self::Netns => "netns",
        })
    }
}

/// What the rows of a group have in common.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum GroupKey {
    /// One address, local or remote; `None` for frames that are not IP.
    Address(Option<IpAddr>),
    /// A local and a remote address; `None` for frames that are not IP.
    Pair(Option<(IpAddr, IpAddr)>),
    /// A service's port; `None` where the protocol has none.
    Port(Kind, Option<u16>),
    /// A service's name, else `PORT/PROTOCOL`, else the protocol's name.
    Service(Name),
    /// A protocol.
    Protocol(Kind),
    /// An interface.
    Interface(InterfaceId),
    /// A network and its prefix length; `None` for frames that are not IP.
    Subnet(Option<(IpAddr, u8)>),
    /// What an owner is, or why there is none.
    Owner(OwnerKey),
}

/// Which part of an owner a grouping is by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum OwnerPart {
    /// Which process it is.
    Process,
    /// Its name.
    Command,
    /// Its user.
    User,
    /// What it runs in.
    Container,
    /// Its network namespace.
    Netns,
}

/// An attribution, as far as a grouping cares for it: two that agree in that part are the same key.
#[derive(Clone, Debug)]
pub struct OwnerKey {
    /// What is compared.
    pub part: OwnerPart,
    /// One of the attributions that agree.
    pub example: Arc<Attribution>,
}

/// What is compared of one of the owners.
#[derive(PartialEq, Eq, Hash, PartialOrd, Ord)]
enum Compared<'a> {
    Process(ProcessId),
    Command(&'a Name),
    User(Option<u32>),
    Container(Option<&'a Container>),
    Netns(Option<&'a Netns>),
}

impl OwnerKey {
    /// The key of an attribution.
    #[must_use]
    pub fn new(part: OwnerPart, of: &Arc<Attribution>) -> Self {
        Self { part, example: Arc::clone(of) }
    }

    /// Why there is no owner, where there is none.
    #[must_use]
    pub fn nobody(&self) -> Option<Reason> {
        self.example.owners.is_empty().then_some(self.example.reason)
    }

    /// Each different value of the part, and the reason where there is none.
    fn compared(&self) -> (Option<Reason>, impl Iterator<Item = Compared<'_>>) {
        let values = self.example.owners.iter().map(|owner| match self.part {
            OwnerPart::Process => Compared::Process(owner.id),
            OwnerPart::Command => Compared::Command(&owner.command),
            OwnerPart::User => Compared::User(owner.uid),
            OwnerPart::Container => Compared::Container(owner.container.as_ref()),
            OwnerPart::Netns => Compared::Netns(owner.netns.as_ref()),
        });
        // Nearly always there is one, and nothing to put in order.
        let several = self.example.owners.len() > 1;
        let (mut sorted, one) = if several { (values.collect(), None) } else { (Vec::new(), Some(values)) };
        sorted.sort_unstable();
        sorted.dedup();
        (self.nobody(), one.into_iter().flatten().chain(sorted))
    }

    fn order(&self, other: &Self) -> Ordering {
        let ((mine, my_values), (theirs, their_values)) = (self.compared(), other.compared());
        let values = || my_values.cmp(their_values);
        self.part.cmp(&other.part).then_with(|| mine.cmp(&theirs)).then_with(values)
    }
}

impl PartialEq for OwnerKey {
    fn eq(&self, other: &Self) -> bool {
        self.part == other.part && Arc::ptr_eq(&self.example, &other.example) || self.order(other).is_eq()
    }
}

impl Eq for OwnerKey {}

impl Ord for OwnerKey {
    fn cmp(&self, other: &Self) -> Ordering {
        self.order(other)
    }
}

impl PartialOrd for OwnerKey {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Hash for OwnerKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let (nobody, values) = self.compared();
        self.part.hash(state);
        nobody.hash(state);
        values.for_each(|value| value.hash(state));
    }
}

impl OwnerKey {
    /// What people call it, to the byte: `curl 1234`, `nginx 812, 813`, `alice`, `docker:0123456789ab`, `forwarded`.
    #[must_use]
    pub fn title(&self) -> Name {
        self.names().iter().map(Name::as_bytes).collect::<Vec<_>>().join(&b", "[..]).into()
    }

    /// The names that the [`title`](Self::title) has: of a socket that several processes have open there are several, and a name may have
    /// a comma in it.
    #[must_use]
    pub fn names(&self) -> Vec<Name> {
        let Attribution { owners, reason } = &*self.example;
        if owners.is_empty() {
            return vec![reason.nobody().unwrap_or(reason.code()).into()];
        }
        let mut names: Vec<Name> = Vec::new();
        let mut before: Option<&Name> = None;
        for owner in owners {
            let name = match self.part {
                OwnerPart::Process if before == Some(&owner.command) => owner.id.pid.to_string().into(),
                OwnerPart::Process => {
                    [owner.command.as_bytes(), format!(" {}", owner.id.pid).as_bytes()].concat().into()
                }
                OwnerPart::Command => owner.command.clone(),
                OwnerPart::User => match (&owner.user, owner.uid) {
                    (Some(user), _) => user.clone(),
                    (None, Some(uid)) => uid.to_string().into(),
                    (None, None) => "user not known".into(),
                },
                OwnerPart::Container => {
                    owner.container.as_ref().map_or_else(|| "no container".into(), Container::title)
                }
                OwnerPart::Netns => {
                    owner.netns.as_ref().map_or_else(|| "namespace not known".into(), Netns::title)
                }
            };
            before = Some(&owner.command);
            if self.part == OwnerPart::Process || !names.contains(&name) {
                names.push(name);
            }
        }
        names
    }
}

impl fmt::Display for OwnerKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title().fmt(f)
    }
}

impl GroupBy {
    /// Which part of the owner it is by, if it is by owner.
    #[must_use]
    pub const fn of_owner(self) -> Option<OwnerPart> {
        Some(match self {
            Self::Process => OwnerPart::Process,
            Self::Command => OwnerPart::Command,
            Self::User => OwnerPart::User,
            Self::Container => OwnerPart::Container,
            Self::Netns => OwnerPart::Netns,
            _ => return None,
        })
    }

    /// The group that a row of an owner belongs to; `None` for [`GroupBy::Flow`], whose groups are the rows.
    #[must_use]
    pub fn key_of(self, row: &RowKey, owner: &Arc<Attribution>, services: &Services) -> Option<GroupKey> {
        match self.of_owner() {
            Some(part) => Some(GroupKey::Owner(OwnerKey::new(part, owner))),
            None => self.key(row, services),
        }
    }

    /// The group that a row belongs to, whoever owns it; `None` for [`GroupBy::Flow`], whose groups are the rows, and for
    /// groupings by owner.
    #[must_use]
    pub fn key(self, row: &RowKey, services: &Services) -> Option<GroupKey> {
        let remote = row.remote_address();
        Some(match self {
            Self::Flow | Self::Process | Self::Command | Self::User | Self::Container | Self::Netns => {
                return None;
            }
            Self::Local => GroupKey::Address(row.local_address()),
            Self::Remote => GroupKey::Address(remote),
            Self::Host => GroupKey::Pair(row.local_address().zip(remote)),
            Self::Port => GroupKey::Port(row.kind, services.service_port(row)),
            Self::Service => GroupKey::Service(match services.service_port(row) {
                None => row.kind.to_string().into(),
                Some(port) => match services.name(row.kind, port) {
                    Some(name) => name.clone(),
                    None => format!("{port}/{}", row.kind).into(),
                },
            }),
            Self::Protocol => GroupKey::Protocol(row.kind),
            Self::Interface => GroupKey::Interface(row.interface),
            Self::Subnet { v4, v6 } => GroupKey::Subnet(remote.map(|address| network(address, v4, v6))),
        })
    }
}

/// The network an address lies in.
fn network(address: IpAddr, v4: u8, v6: u8) -> (IpAddr, u8) {
    match address {
        IpAddr::V4(address) => {
            let mask = u32::MAX.checked_shl(32 - u32::from(v4)).unwrap_or(0);
            (Ipv4Addr::from_bits(address.to_bits() & mask).into(), v4)
        }
        IpAddr::V6(address) => {
            let mask = u128::MAX.checked_shl(128 - u32::from(v6)).unwrap_or(0);
            (Ipv6Addr::from_bits(address.to_bits() & mask).into(), v6)
        }
    }
}

wire_enum!(GroupBy {
    0 => Flow {},
    1 => Local {},
    2 => Remote {},
    3 => Host {},
    4 => Port {},
    5 => Service {},
    6 => Protocol {},
    7 => Interface {},
    8 => Subnet { v4: v4, v6: v6 },
    9 => Process {},
    10 => Command {},
    11 => User {},
    12 => Container {},
    13 => Netns {},
});
wire_enum!(GroupKey {
    0 => Address { 0: address },
    1 => Pair { 0: pair },
    2 => Port { 0: kind, 1: port },
    3 => Service { 0: name },
    4 => Protocol { 0: kind },
    5 => Interface { 0: interface },
    6 => Subnet { 0: network },
    7 => Owner { 0: key },
});
wire_enum!(OwnerPart { 0 => Process {}, 1 => Command {}, 2 => User {}, 3 => Container {}, 4 => Netns {} });
wire_struct!(OwnerKey { part, example });
