//! Whether a flow is what a filter asks for.

use std::net::Ipv6Addr;

use flowtally_common::{Direction, FlowKey, flow::VLAN_ID_MASK, flow::VLAN_TAGS_SHIFT};

use super::{Expression, Filter, IpFamily, PacketEnd, Test};
use crate::model::protocol::Kind;

/// A flow's fields, in host order.
struct FlowFields<F> {
    kind: Kind,
    source: Ipv6Addr,
    destination: Ipv6Addr,
    /// Of the source and the destination, where they are known.
    ports: Option<(u16, u16)>,
    vlan: u16,
    direction: Direction,
    interface: u32,
    is_broadcast: F,
}

impl Filter {
    /// Whether a flow of this kind matches. `is_broadcast` tells the broadcast addresses of the host's own networks, IPv4
    /// as v4-mapped.
    #[must_use]
    pub fn matches(&self, key: &FlowKey, kind: Kind, is_broadcast: impl Fn(Ipv6Addr) -> bool) -> bool {
        let Some(expression) = self.expression() else { return true };
        let ports = (u16::from_be_bytes(key.src_port), u16::from_be_bytes(key.dst_port));
        FlowFields {
            kind,
            source: key.src.into(),
            destination: key.dst.into(),
            // Later fragments have none; port 0 on both ends is nobody's.
            ports: (kind.has_ports() && ports != (0, 0)).then_some(ports),
            vlan: key.vlan,
            direction: Direction::from_raw(key.direction),
            interface: key.ifindex,
            is_broadcast,
        }
        .is(expression)
    }
}

impl<F: Fn(Ipv6Addr) -> bool> FlowFields<F> {
    fn is(&self, expression: &Expression) -> bool {
        match expression {
            Expression::Test(test) => self.passes(test),
            Expression::Not(inner) => !self.is(inner),
            Expression::All(all) => all.iter().all(|one| self.is(one)),
            Expression::Any(any) => any.iter().any(|one| self.is(one)),
        }
    }

    fn passes(&self, test: &Test) -> bool {
        match test {
            Test::Family(family) => self.family() == Some(*family),
            Test::Protocol(number) => self.kind == Kind::Ip(*number),
            Test::EtherType(number) => self.kind == Kind::Frame(*number),
            Test::ServicePoint(number) => self.kind == Kind::Llc(*number),
            Test::Address(end, network) => {
                self.kind.is_ip()
                    && either_or_both(*end, network.contains(self.source), || {
                        network.contains(self.destination)
                    })
            }
            Test::Port(end, range) => self.ports.is_some_and(|(source, destination)| {
                either_or_both(*end, range.contains(&source), || range.contains(&destination))
            }),
            Test::Vlan(id) => {
                self.vlan >> VLAN_TAGS_SHIFT > 0 && id.is_none_or(|id| id == self.vlan & VLAN_ID_MASK)
            }
            Test::Direction(direction) => self.direction == *direction,
            Test::Interface(index) => self.interface == *index,
            Test::Broadcast => {
                self.family() == Some(IpFamily::V4)
                    && (self.destination == std::net::Ipv4Addr::BROADCAST.to_ipv6_mapped()
                        || (self.is_broadcast)(self.destination))
            }
        }
    }

    /// The version of IP. Both addresses are of the same: IPv4 is v4-mapped, and no IPv6 packet is.
    fn family(&self) -> Option<IpFamily> {
        self.kind.is_ip().then(|| match self.source.to_ipv4_mapped() {
            Some(_) => IpFamily::V4,
            None => IpFamily::V6,
        })
    }
}

fn either_or_both(end: PacketEnd, source: bool, destination: impl FnOnce() -> bool) -> bool {
    match end {
        PacketEnd::Source => source,
        PacketEnd::Destination => destination(),
        PacketEnd::Either => source || destination(),
        PacketEnd::Both => source && destination(),
    }
}
