//! What rows, ends and protocols are called.

use std::{
    fmt::{self, Display},
    net::IpAddr,
};

use crate::{
    flow::{names::Names, row::RowKey, snapshot::InterfaceView},
    format::Name,
    model::protocol::{Kind, unparsed_reason},
    report::{ReportContext, fields::NOT_IP},
};

/// Makes the names of a report.
#[derive(Clone, Copy, Debug)]
pub(super) struct Labels<'a> {
    names: &'a Names,
    resolve: bool,
}

impl<'a> Labels<'a> {
    pub(super) fn new(context: &ReportContext<'a>) -> Self {
        Self { names: context.names, resolve: context.resolve }
    }

    /// An address, or its name.
    pub(super) fn host(self, address: Option<IpAddr>) -> impl Display + use<'a> {
        let name = address.filter(|_| self.resolve).and_then(|address| self.names.hosts.get(&address));
        fmt::from_fn(move |f| match (name, address) {
            (Some(name), _) => name.fmt(f),
            (None, Some(address)) => address.fmt(f),
            (None, None) => f.write_str(NOT_IP),
        })
    }

    /// Both ends of a conversation: the hosts, with ports if there are any.
    pub(super) fn ends(self, row: &RowKey) -> [impl Display + use<'a>; 2] {
        // Later fragments have the ports 0 and 0, which is to say none.
        let has_ports = row.kind.has_ports() && (row.local_port, row.remote_port) != (0, 0);
        [(row.local_address(), row.local_port), (row.remote_address(), row.remote_port)]
            .map(|(address, port)| self.end(address, has_ports.then_some(port)))
    }

    /// One end. IPv6 with a port in brackets, so that the port does not read as part of the address (RFC 3986,
    /// 3.2.2).
    fn end(self, address: Option<IpAddr>, port: Option<u16>) -> impl Display + use<'a> {
        fmt::from_fn(move |f| match (address, port) {
            (None, _) => f.write_str("-"),
            (Some(_), None) => self.host(address).fmt(f),
            (Some(v6 @ IpAddr::V6(_)), Some(port)) if !self.is_named(v6) => write!(f, "[{v6}]:{port}"),
            (Some(_), Some(port)) => write!(f, "{}:{port}", self.host(address)),
        })
    }

    fn is_named(self, address: IpAddr) -> bool {
        self.resolve && self.names.hosts.contains_key(&address)
    }

    /// A conversation's protocol, with the name of its service or message.
    pub(super) fn flow_kind(self, row: &RowKey) -> impl Display {
        let port = self.names.services.service_port(row);
        fmt::from_fn(move |f| {
            kind(row.kind).fmt(f)?;
            if row.kind.is_icmp() {
                return match icmp_type(row.kind, row.local_port) {
                    Some(name) => write!(f, " {name}"),
                    None => write!(f, " {}/{}", row.local_port, row.remote_port),
                };
            }
            match port {
                Some(port) => self.service(row.kind, Some(port)).map_or(Ok(()), |name| write!(f, " {name}")),
                None if row.kind.has_ports() => f.write_str(" fragments"),
                None => Ok(()),
            }
        })
    }

    /// The service at a port.
    pub(super) fn service(self, kind: Kind, port: Option<u16>) -> Option<&'a Name> {
        self.names.services.name(kind, port?)
    }
}

/// A port with its protocol, as `443/tcp`.
pub(super) fn port(of: Kind, port: Option<u16>) -> impl Display {
    fmt::from_fn(move |f| match port {
        Some(port) => write!(f, "{port}/{of}"),
        // Only the first fragment of a packet has ports.
        None if of.has_ports() => write!(f, "{of} fragments"),
        None => kind(of).fmt(f),
    })
}

/// The hooks that serve an interface.
pub(super) fn hook(interface: &InterfaceView) -> &str {
    match interface.hook.as_str() {
        "none" => "away",
        hook => hook,
    }
}

/// A protocol, or why there is none.
pub(super) fn kind(kind: Kind) -> impl Display {
    fmt::from_fn(move |f| match kind {
        Kind::Unparsed(reason) => write!(f, "{kind}: {}", unparsed_reason(reason)),
        _ => kind.fmt(f),
    })
}

/// The name of an ICMP message's type (IANA, ICMP and `ICMPv6` Parameters).
const fn icmp_type(kind: Kind, number: u16) -> Option<&'static str> {
    const ICMP: u8 = 1;
    Some(match (kind, number) {
        (Kind::Ip(ICMP), 0) => "echo-reply",
        (Kind::Ip(ICMP), 3) => "unreachable",
        (Kind::Ip(ICMP), 4) => "source-quench",
        (Kind::Ip(ICMP), 5) => "redirect",
        (Kind::Ip(ICMP), 8) => "echo",
        (Kind::Ip(ICMP), 9) => "router-advertisement",
        (Kind::Ip(ICMP), 10) => "router-solicitation",
        (Kind::Ip(ICMP), 11) => "time-exceeded",
        (Kind::Ip(ICMP), 12) => "parameter-problem",
        (Kind::Ip(ICMP), 13) => "timestamp",
        (Kind::Ip(ICMP), 14) => "timestamp-reply",
        (Kind::Ip(ICMP), _) => return None,
        (_, 1) => "unreachable",
        (_, 2) => "packet-too-big",
        (_, 3) => "time-exceeded",
        (_, 4) => "parameter-problem",
        (_, 128) => "echo",
        (_, 129) => "echo-reply",
        (_, 130) => "mld-query",
        (_, 131) => "mld-report",
        (_, 132) => "mld-done",
        (_, 133) => "router-solicitation",
        (_, 134) => "router-advertisement",
        (_, 135) => "neighbour-solicitation",
        (_, 136) => "neighbour-advertisement",
        (_, 137) => "redirect",
        (_, 143) => "mld2-report",
        _ => return None,
    })
}
