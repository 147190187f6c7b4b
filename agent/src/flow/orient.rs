//! Which end of a flow is the local one.
//!
//! In this order:
//! 1. With a net boundary for the packet's family (`-F`, `-G`): the end inside is local. A packet with both ends inside,
//!    or both outside, does not cross the boundary and is left out.
//! 2. A multicast or broadcast destination is remote; its sender is local.
//! 3. On loopback, where both ends are local, the end with the lower port (then the higher address) is remote: the service.
//! 4. If exactly one end has an address of this host, of any interface, it is local.
//! 5. Otherwise by direction: what is sent has a local source, what is received a local destination. So of forwarded
//!    traffic, the end behind this host is the local one, on every interface, and both directions of a conversation meet in
//!    one row.
//!
//! What goes from the local to the remote end counts as sent.

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use flowtally_common::{Direction, FlowKey, flow::ICMP_LATER_FRAGMENT};
use hashbrown::HashSet;

use super::{
    accounts::Way,
    boundary::{Ipv4Boundary, Ipv6Boundary},
    row::RowKey,
    wire::wire_struct,
};
use crate::model::protocol::Kind;

/// What decides which end is local.
#[derive(Clone, Debug, Default)]
pub struct Orientation {
    inside_v4: Option<Ipv4Boundary>,
    inside_v6: Option<Ipv6Boundary>,
    addresses: HashSet<Ipv6Addr>,
    broadcasts: HashSet<Ipv6Addr>,
}

/// Why the local end of a row is the local one: the rules above, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LocalRule {
    /// It is inside the net boundary, the other end outside.
    Boundary,
    /// The other end is a group of hosts.
    Group,
    /// Both ends are on loopback, and the other one is the service.
    Service,
    /// It is an address of this host, the other is none.
    Own,
    /// The packets' direction: both ends are addresses of this host, or neither, or there are no addresses.
    Direction,
}

impl fmt::Display for LocalRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Boundary => "inside the net boundary",
            Self::Group => "the other end is a group of hosts",
            Self::Service => "the other end is the service",
            Self::Own => "an address of this host",
            Self::Direction => "by the packets' direction",
        })
    }
}

/// A flow's ends, placed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Placed {
    pub(crate) local: Ipv6Addr,
    pub(crate) remote: Ipv6Addr,
    pub(crate) local_port: u16,
    pub(crate) remote_port: u16,
    pub(crate) way: Way,
}

impl Orientation {
    /// With net boundaries (`-F`, `-G`), each for its family.
    #[must_use]
    pub fn with_boundary(inside_v4: Option<Ipv4Boundary>, inside_v6: Option<Ipv6Boundary>) -> Self {
        Self { inside_v4, inside_v6, ..Self::default() }
    }

    /// Takes the host's addresses and broadcast addresses, in place of those known so far.
    pub fn set_addresses(
        &mut self,
        addresses: impl IntoIterator<Item = IpAddr>,
        broadcasts: impl IntoIterator<Item = Ipv4Addr>,
    ) {
        self.addresses = addresses.into_iter().map(to_v6).collect();
        self.broadcasts = broadcasts.into_iter().map(|address| address.to_ipv6_mapped()).collect();
    }

    /// The net boundaries, each for its family.
    #[must_use]
    pub const fn boundaries(&self) -> (Option<Ipv4Boundary>, Option<Ipv6Boundary>) {
        (self.inside_v4, self.inside_v6)
    }

    /// Whether this is an address of the host.
    #[must_use]
    pub fn is_own(&self, address: Ipv6Addr) -> bool {
        self.addresses.contains(&address)
    }

    /// Whether packets to this address go to a group of hosts.
    #[must_use]
    pub fn is_group(&self, address: Ipv6Addr) -> bool {
        match address.to_ipv4_mapped() {
            Some(v4) => v4.is_multicast() || v4.is_broadcast() || self.is_broadcast(address),
            None => address.is_multicast(),
        }
    }

    /// Whether it is the broadcast address, as v4-mapped, of a network that the host is in.
    #[must_use]
    pub fn is_broadcast(&self, address: Ipv6Addr) -> bool {
        self.broadcasts.contains(&address)
    }

    /// The broadcast addresses of the networks that the host is in.
    pub fn broadcasts(&self) -> impl Iterator<Item = Ipv4Addr> {
        self.broadcasts.iter().filter_map(Ipv6Addr::to_ipv4_mapped)
    }

    /// Whether a net boundary decides about packets of this address's family.
    #[must_use]
    pub fn has_boundary(&self, address: Ipv6Addr) -> bool {
        self.inside(address).is_some()
    }

    /// Places a flow's ends; `None` when it does not cross the net boundary.
    pub(crate) fn place(&self, key: &FlowKey, kind: Kind, loopback: bool) -> Option<Placed> {
        let (src, dst) = (Ipv6Addr::from(key.src), Ipv6Addr::from(key.dst));
        let (src_port, dst_port) = (u16::from_be_bytes(key.src_port), u16::from_be_bytes(key.dst_port));
        let egress = Direction::from_raw(key.direction) == Direction::Egress;
        let source_is_local = if kind.is_ip() {
            match self.inside(src).zip(self.inside(dst)) {
                Some((true, false)) => true,
                Some((false, true)) => false,
                Some(_) => return None,
                None if self.is_group(dst) => true,
                None if loopback => {
                    let ports = if kind.has_ports() { (dst_port, src_port) } else { (0, 0) };
                    (ports.0, src) <= (ports.1, dst)
                }
                None => match (self.addresses.contains(&src), self.addresses.contains(&dst)) {
                    (true, false) => true,
                    (false, true) => false,
                    _ => egress,
                },
            }
        } else {
            egress
        };
        // What a group of hosts receives here was not sent by the local end, which is a host elsewhere.
        let received_by_group =
            !egress && source_is_local && self.is_group(dst) && self.inside(src).is_none();
        let way = if source_is_local && !received_by_group { Way::Sent } else { Way::Received };
        Some(if kind.is_icmp() {
            let (local, remote) = if source_is_local { (src, dst) } else { (dst, src) };
            let (of_type, code) = match (src_port, dst_port) {
                (_, ICMP_LATER_FRAGMENT) => (0, 0),
                (of_type, code) => (query_type(kind, of_type), code),
            };
            Placed { local, remote, local_port: of_type, remote_port: code, way }
        } else if !kind.is_ip() {
            // Not ports but what the frame is: the same both ways.
            Placed { local: src, remote: dst, local_port: 0, remote_port: 0, way }
        } else if source_is_local {
            Placed { local: src, remote: dst, local_port: src_port, remote_port: dst_port, way }
        } else {
            Placed { local: dst, remote: src, local_port: dst_port, remote_port: src_port, way }
        })
    }

    /// Why a row's local end is the local one, by what is known now.
    #[must_use]
    pub fn rule(&self, row: &RowKey, loopback: bool) -> LocalRule {
        let RowKey { local, remote, .. } = row;
        if !row.kind.is_ip() {
            LocalRule::Direction
        } else if self.inside(*remote).is_some() {
            LocalRule::Boundary
        } else if self.is_group(*remote) {
            LocalRule::Group
        } else if loopback {
            LocalRule::Service
        } else if self.addresses.contains(local) && !self.addresses.contains(remote) {
            LocalRule::Own
        } else {
            LocalRule::Direction
        }
    }

    /// Whether an address lies inside the net boundary of its family; `None` without one.
    fn inside(&self, address: Ipv6Addr) -> Option<bool> {
        match address.to_ipv4_mapped() {
            Some(v4) => self.inside_v4.map(|net| net.contains(v4)),
            None => self.inside_v6.map(|net| net.contains(address)),
        }
    }
}

fn to_v6(address: IpAddr) -> Ipv6Addr {
    match address {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

/// The type of the query that a reply answers, so that both are one conversation (RFC 792, 4443, 8335).
fn query_type(kind: Kind, reply: u16) -> u16 {
    match (kind, reply) {
        // Echo, timestamp, information, address mask, extended echo.
        (Kind::Ip(1), 0) => 8,
        (Kind::Ip(1), 14) => 13,
        (Kind::Ip(1), 16) => 15,
        (Kind::Ip(1), 18) => 17,
        (Kind::Ip(1), 43) => 42,
        (Kind::Ip(58), 129) => 128,
        (Kind::Ip(58), 161) => 160,
        (_, other) => other,
    }
}

wire_struct!(Orientation { inside_v4, inside_v6, addresses, broadcasts });

#[cfg(test)]
mod tests {
    use super::*;

    fn key(direction: Direction, src: &str, src_port: u16, dst: &str, dst_port: u16) -> FlowKey {
        FlowKey {
            src: to_v6(src.parse().unwrap()).octets(),
            dst: to_v6(dst.parse().unwrap()).octets(),
            src_port: src_port.to_be_bytes(),
            dst_port: dst_port.to_be_bytes(),
            protocol: 17,
            direction: direction as u8,
            ..FlowKey::default()
        }
    }

    fn place(orientation: &Orientation, key: &FlowKey, loopback: bool) -> Option<(String, String, Way)> {
        orientation.place(key, Kind::UDP, loopback).map(|placed| {
            let end = |address: Ipv6Addr, port: u16| format!("{} {port}", address.to_canonical());
            (end(placed.local, placed.local_port), end(placed.remote, placed.remote_port), placed.way)
        })
    }

    fn here() -> Orientation {
        let mut orientation = Orientation::default();
        let own = ["10.0.0.1", "10.9.0.1", "fd00::1"].map(|address| address.parse().unwrap());
        orientation.set_addresses(own, ["10.0.0.255".parse().unwrap()]);
        orientation
    }

    fn expect(orientation: &Orientation, key: &FlowKey, local: &str, remote: &str, way: Way) {
        assert_eq!(
            place(orientation, key, false),
            Some((local.to_owned(), remote.to_owned(), way)),
            "{key:?}"
        );
    }

    #[test]
    fn own_addresses_then_direction() {
        use Direction::{Egress, Ingress};
        let here = here();
        expect(&here, &key(Egress, "10.0.0.1", 5, "10.0.0.2", 6), "10.0.0.1 5", "10.0.0.2 6", Way::Sent);
        expect(&here, &key(Ingress, "10.0.0.2", 6, "10.0.0.1", 5), "10.0.0.1 5", "10.0.0.2 6", Way::Received);
        // To another interface's address.
        expect(&here, &key(Ingress, "10.0.0.2", 6, "10.9.0.1", 5), "10.9.0.1 5", "10.0.0.2 6", Way::Received);
        // Between two foreign hosts: the one behind this host is local, both ways.
        expect(
            &here,
            &key(Ingress, "192.0.2.9", 6, "10.0.0.7", 5),
            "10.0.0.7 5",
            "192.0.2.9 6",
            Way::Received,
        );
        expect(&here, &key(Egress, "10.0.0.7", 5, "192.0.2.9", 6), "10.0.0.7 5", "192.0.2.9 6", Way::Sent);
        // Between two own addresses.
        expect(&here, &key(Egress, "10.0.0.1", 5, "10.9.0.1", 6), "10.0.0.1 5", "10.9.0.1 6", Way::Sent);
    }

    #[test]
    fn groups_are_remote() {
        use Direction::{Egress, Ingress};
        let here = here();
        for group in ["224.0.0.251", "255.255.255.255", "10.0.0.255", "ff02::fb"] {
            let (own, other) =
                if group.contains(':') { ("fd00::1", "fd00::2") } else { ("10.0.0.1", "10.0.0.2") };
            let remote = format!("{group} 5353");
            expect(&here, &key(Egress, own, 5353, group, 5353), &format!("{own} 5353"), &remote, Way::Sent);
            expect(
                &here,
                &key(Ingress, other, 5353, group, 5353),
                &format!("{other} 5353"),
                &remote,
                Way::Received,
            );
        }
    }

    #[test]
    fn a_boundary_decides_alone() {
        use Direction::{Egress, Ingress};
        let mut here = here();
        here.inside_v4 = Some(Ipv4Boundary::parse("10.0.0.0/24").unwrap());
        expect(&here, &key(Ingress, "10.0.0.9", 1, "192.0.2.1", 2), "10.0.0.9 1", "192.0.2.1 2", Way::Sent);
        expect(
            &here,
            &key(Egress, "192.0.2.1", 2, "10.0.0.9", 1),
            "10.0.0.9 1",
            "192.0.2.1 2",
            Way::Received,
        );
        expect(
            &here,
            &key(Ingress, "10.0.0.9", 1, "224.0.0.251", 2),
            "10.0.0.9 1",
            "224.0.0.251 2",
            Way::Sent,
        );
        assert_eq!(place(&here, &key(Egress, "10.0.0.1", 1, "10.0.0.2", 2), false), None);
        assert_eq!(place(&here, &key(Egress, "192.0.2.1", 1, "192.0.2.2", 2), false), None);
        expect(&here, &key(Egress, "fd00::1", 1, "fd00::2", 2), "fd00::1 1", "fd00::2 2", Way::Sent);
    }

    #[test]
    fn loopback_conversations_are_one_row() {
        let here = here();
        let there =
            place(&here, &key(Direction::Egress, "127.0.0.1", 40_000, "127.0.0.1", 80), true).unwrap();
        let back = place(&here, &key(Direction::Egress, "127.0.0.1", 80, "127.0.0.1", 40_000), true).unwrap();
        assert_eq!(there, ("127.0.0.1 40000".to_owned(), "127.0.0.1 80".to_owned(), Way::Sent));
        assert_eq!(back, ("127.0.0.1 40000".to_owned(), "127.0.0.1 80".to_owned(), Way::Received));
        let even = place(&here, &key(Direction::Egress, "127.0.0.2", 7, "127.0.0.1", 7), true).unwrap();
        let odd = place(&here, &key(Direction::Egress, "127.0.0.1", 7, "127.0.0.2", 7), true).unwrap();
        assert_eq!((even.0, even.2, odd.2), ("127.0.0.1 7".to_owned(), Way::Received, Way::Sent));
    }

    #[test]
    fn replies_join_their_query() {
        let here = here();
        let mut query = key(Direction::Egress, "10.0.0.1", 8, "10.0.0.2", 0);
        query.protocol = 1;
        let mut reply = key(Direction::Ingress, "10.0.0.2", 0, "10.0.0.1", 0);
        reply.protocol = 1;
        let query = here.place(&query, Kind::Ip(1), false).unwrap();
        let reply = here.place(&reply, Kind::Ip(1), false).unwrap();
        assert_eq!(reply, Placed { way: Way::Received, ..query });
        assert_eq!(query.local_port, 8);
    }
}
