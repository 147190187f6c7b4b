//! Rows folded by what they have in common.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    str::FromStr,
};

use thiserror::Error;

use super::{
    protocol::Kind,
    row::{InterfaceId, RowKey},
    services::Services,
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
}

/// A name that no grouping has.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum GroupByError {
    /// No such grouping.
    #[error(
        "no grouping is called '{0}': use flow, local, remote, host, port, service, protocol, interface or \
         subnet[/PREFIX]"
    )]
    Unknown(String),
    /// A prefix that is no number, or too long.
    #[error(
        "'{0}' is no prefix: use subnet/0 to subnet/32 for IPv4, up to subnet/128 for IPv6, or subnet/24/64"
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
    Service(String),
    /// A protocol.
    Protocol(Kind),
    /// An interface.
    Interface(InterfaceId),
    /// A network and its prefix length; `None` for frames that are not IP.
    Subnet(Option<(IpAddr, u8)>),
}

impl GroupBy {
    /// The group that a row belongs to; `None` for [`GroupBy::Flow`], whose groups are the rows.
    #[must_use]
    pub fn key(self, row: &RowKey, services: &Services) -> Option<GroupKey> {
        let remote = row.remote_address();
        Some(match self {
            Self::Flow => return None,
            Self::Local => GroupKey::Address(row.local_address()),
            Self::Remote => GroupKey::Address(remote),
            Self::Host => GroupKey::Pair(row.local_address().zip(remote)),
            Self::Port => GroupKey::Port(row.kind, services.service_port(row)),
            Self::Service => GroupKey::Service(match services.service_port(row) {
                None => row.kind.to_string(),
                Some(port) => match services.name(row.kind, port) {
                    Some(name) => name.to_owned(),
                    None => format!("{port}/{}", row.kind),
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
