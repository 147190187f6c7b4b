//! Pure: why traffic is nobody's, when no process was found for it.

use std::net::Ipv6Addr;

use crate::{
    flow::question::OwnerQuestion,
    model::{owner::Reason, protocol::Kind},
};

/// ICMP and `ICMPv6` types of echo requests, whose replies are in the same conversation.
const ECHO: u16 = 8;
const ECHO_V6: u16 = 128;

/// What is known of a conversation that no socket was found for.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct ConversationFacts {
    /// Ports that the kernel gives to those who ask for none (`net.ipv4.ip_local_port_range`).
    pub(super) ephemeral: (u16, u16),
}

/// Why there is no socket for it. `hidden` says whether it may be a process's that may not be seen.
pub(super) fn without_socket(
    question: &OwnerQuestion,
    facts: ConversationFacts,
    hidden: impl FnOnce() -> bool,
) -> Reason {
    let row = &question.row;
    let [sent, received] = question.seen;
    let Kind::Ip(protocol) = row.kind else {
        // ARP and the like; whoever sends frames of his own has a packet socket.
        return Reason::KernelStack;
    };
    match protocol {
        // A ping that has ended looks as the kernel's answer to somebody else's; the latter is usual.
        1 | 58 => return icmp(question),
        // IGMP.
        2 => return Reason::KernelStack,
        _ => {}
    }
    if !is_here(question) {
        // The frames of a container that is gone came with its socket.
        let had_socket = question.socket.is_exact() && (row.kind != Kind::TCP || sent && received);
        return match had_socket {
            true if hidden() => Reason::NotPermitted,
            true => Reason::Gone,
            false => Reason::Forwarded,
        };
    }
    match row.kind {
        Kind::TCP => match (sent, received) {
            // A reset, or the last acknowledgement of a connection that is over.
            (true, false) => Reason::KernelStack,
            (true, true) if is_client(question, facts) => Reason::Gone,
            // Nobody listens: the kernel refused what came, if it was not dropped before.
            _ => Reason::NoSocket,
        },
        _ if row.kind.has_ports() => {
            if sent || question.socket.is_exact() {
                Reason::Gone
            } else {
                Reason::NoSocket
            }
        }
        // Tunnels: the kernel's own devices.
        _ => Reason::KernelStack,
    }
}

fn icmp(question: &OwnerQuestion) -> Reason {
    let is_echo =
        matches!((question.row.kind, question.row.local_port), (Kind::Ip(1), ECHO) | (Kind::Ip(58), ECHO_V6));
    if is_echo && !is_here(question) { Reason::Forwarded } else { Reason::KernelStack }
}

/// Whether one end of the conversation is this host, or every host.
pub(super) fn is_here(question: &OwnerQuestion) -> bool {
    question.local_is_own
        || is_group(question)
        || question.row.local.is_unspecified()
        || question.row.local.to_bits() == ANY_V4
        || question.row.local.is_unicast_link_local()
}

const ANY_V4: u128 = 0xffff_0000_0000;

/// Whether what the kernel noted of a conversation's socket is of the local end: what passes through has the port of whoever is
/// bound to it here, but not the address.
pub(super) fn is_of_local_end(question: &OwnerQuestion) -> bool {
    question.socket.is_exact() || question.socket.is_some() && is_here(question)
}

/// Whether the remote end is a group of hosts. The broadcast address of a subnet is not known here: what was only received
/// and ends in 255 is taken for one.
pub(super) fn is_group(question: &OwnerQuestion) -> bool {
    let remote: Ipv6Addr = question.row.remote;
    match remote.to_ipv4_mapped() {
        Some(v4) => {
            let is_subnets = v4.octets()[3] == 255 && question.seen == [false, true];
            v4.is_multicast() || v4.is_broadcast() || is_subnets
        }
        None => remote.is_multicast(),
    }
}

/// Whether the local end was the one that asked, by its port.
pub(super) fn is_client(question: &OwnerQuestion, facts: ConversationFacts) -> bool {
    let (first, last) = facts.ephemeral;
    (first..=last).contains(&question.row.local_port) && !(first..=last).contains(&question.row.remote_port)
}

#[cfg(test)]
mod tests {
    use std::net::IpAddr;

    use flowtally_common::SocketHint;

    use super::*;
    use crate::flow::row::{InterfaceId, RowKey};

    const FACTS: ConversationFacts = ConversationFacts { ephemeral: (32_768, 60_999) };
    const IN: [bool; 2] = [false, true];
    const OUT: [bool; 2] = [true, false];
    const BOTH: [bool; 2] = [true, true];

    fn question(
        kind: Kind,
        local: (&str, u16),
        remote: (&str, u16),
        local_is_own: bool,
        seen: [bool; 2],
    ) -> OwnerQuestion {
        let mapped = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let row = RowKey {
            local: mapped(local.0),
            remote: mapped(remote.0),
            local_port: local.1,
            remote_port: remote.1,
            vlan: 0,
            interface: InterfaceId(0),
            kind,
        };
        OwnerQuestion { row, ifindex: 1, local_is_own, socket: SocketHint::NONE, seen }
    }

    /// What passes with its sender's socket is a container's: gone, if every process can be seen.
    #[test]
    fn a_container_that_may_not_be_seen_is_not_gone() {
        let passing = question(Kind::UDP, ("10.9.9.9", 40_000), ("10.0.0.2", 53), false, BOTH);
        let passing = OwnerQuestion { socket: SocketHint(77), ..passing };
        assert!(passing.socket.is_exact());
        assert_eq!(without_socket(&passing, FACTS, || false), Reason::Gone);
        assert_eq!(without_socket(&passing, FACTS, || true), Reason::NotPermitted);
        let unknown = OwnerQuestion { socket: SocketHint::NONE, ..passing };
        assert_eq!(without_socket(&unknown, FACTS, || true), Reason::Forwarded);
    }

    #[test]
    fn every_kind_of_traffic_has_its_reason() {
        use Reason::{Forwarded, Gone, KernelStack, NoSocket};
        let (here, there) = ("10.0.0.1", "10.0.0.2");
        for (name, kind, local, remote, is_own, seen, reason) in [
            ("arp", Kind::Frame(0x0806), ("::", 0), ("::", 0), false, BOTH, KernelStack),
            ("ping from elsewhere", Kind::Ip(1), (here, 8), (there, 0), true, BOTH, KernelStack),
            ("unreachable", Kind::Ip(1), (here, 3), (there, 3), true, OUT, KernelStack),
            ("ping that passes", Kind::Ip(1), ("10.9.9.9", 8), (there, 0), false, BOTH, Forwarded),
            ("neighbours", Kind::Ip(58), ("fe80::1", 135), ("ff02::1:ff00:2", 0), true, OUT, KernelStack),
            ("groups", Kind::Ip(2), (here, 0), ("224.0.0.22", 0), true, OUT, KernelStack),
            ("a closed port", Kind::TCP, (here, 81), (there, 40_000), true, BOTH, NoSocket),
            ("a dropped segment", Kind::TCP, (here, 81), (there, 40_000), true, IN, NoSocket),
            ("a reset alone", Kind::TCP, (here, 81), (there, 40_000), true, OUT, KernelStack),
            ("a client that ended", Kind::TCP, (here, 40_000), (there, 80), true, BOTH, Gone),
            ("a query that ended", Kind::UDP, (here, 40_000), (there, 53), true, BOTH, Gone),
            ("to a closed port", Kind::UDP, (here, 9), (there, 40_000), true, IN, NoSocket),
            ("to a group nobody is in", Kind::UDP, (there, 9), ("239.0.0.1", 9), false, IN, NoSocket),
            ("to a broadcast address", Kind::UDP, (there, 9), ("10.0.0.255", 9), false, IN, NoSocket),
            ("through this host", Kind::TCP, ("10.9.9.9", 40_000), (there, 80), false, BOTH, Forwarded),
            ("a tunnel", Kind::Ip(47), (here, 0), (there, 0), true, BOTH, KernelStack),
            ("a tunnel through", Kind::Ip(50), ("10.9.9.9", 0), (there, 0), false, BOTH, Forwarded),
        ] {
            let question = question(kind, local, remote, is_own, seen);
            assert_eq!(without_socket(&question, FACTS, || false), reason, "{name}");
        }
    }
}
