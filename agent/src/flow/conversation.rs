//! What is one conversation, whichever interface saw it, and where its frames may go.

use std::{
    hash::{Hash, Hasher},
    net::Ipv6Addr,
};

use super::{accounts::Way, crossing::Switched, orient::Orientation, row::RowKey};
use crate::model::protocol::Kind;

/// What rows have in common that are one conversation on several interfaces, whichever end each takes for the local one.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Conversation {
    ends: [(Ipv6Addr, u16); 2],
    /// Type and code of ICMP, which belong to no end.
    message: (u16, u16),
    kind: Kind,
}

impl Conversation {
    /// The conversation of a row.
    pub(crate) fn of(row: &RowKey) -> Self {
        let RowKey { local, remote, local_port, remote_port, kind, .. } = *row;
        let (ports, message) = if kind.is_icmp() {
            ((0, 0), (local_port, remote_port))
        } else {
            ((local_port, remote_port), (0, 0))
        };
        let mut ends = [(local, ports.0), (remote, ports.1)];
        ends.sort_unstable();
        Self { ends, message, kind }
    }
}

// As for the key of a row.
impl Hash for Conversation {
    fn hash<H: Hasher>(&self, state: &mut H) {
        for (address, _) in self.ends {
            state.write_u128(address.to_bits());
        }
        let numbers = [self.ends[0].1, self.ends[1].1, self.message.0, self.message.1].map(u64::from);
        state.write_u64(numbers.iter().fold(0, |all, number| all << 16 | number));
        self.kind.hash(state);
    }
}

/// Whether what went a way went from the second of a conversation's ends to the first. Frames without addresses have no ends.
pub(crate) fn goes_back(row: &RowKey, way: Way, orientation: &Orientation) -> bool {
    if !row.kind.is_ip() {
        return false;
    }
    let RowKey { local, remote, local_port, remote_port, .. } = *row;
    // What a group receives here was sent by the local end all the same.
    let from_local = way == Way::Sent || orientation.is_group(remote);
    let (from, to) = ((local, local_port), (remote, remote_port));
    let is_back = if row.kind.is_icmp() { from.0 > to.0 } else { from > to };
    is_back == from_local
}

/// Whether the IP stack may forward packets of a row: none of its ends is this host.
pub(crate) fn is_routed(row: &RowKey, orientation: &Orientation) -> bool {
    let stays = |end: Ipv6Addr| {
        let v4 = end.to_ipv4_mapped();
        end.is_unspecified()
            || end.is_loopback()
            || end.is_unicast_link_local()
            || orientation.is_own(end)
            || orientation.is_broadcast(end)
            || matches!(end.octets(), [0xff, scope, ..] if scope & 0xf <= 2)
            || v4.is_some_and(|v4| {
                v4.is_unspecified()
                    || v4.is_loopback()
                    || v4.is_link_local()
                    || v4.is_broadcast()
                    || v4.octets()[..3] == [224, 0, 0]
            })
    };
    row.kind.is_ip() && !stays(row.local) && !stays(row.remote)
}

/// Whether a switch hands a row's frames on.
pub(crate) fn switched(row: &RowKey) -> Switched {
    /// Ethernet types of frames to the next device only: slow protocols, pause, EAPOL, LLDP.
    const TO_THE_SWITCH: [u16; 4] = [0x8809, 0x8808, 0x888e, 0x88cc];
    match row.kind {
        // Asking for an address: from nobody yet to everybody.
        Kind::Ip(_) if row.local.to_bits() == 0 || row.local.to_bits() == 0xffff_0000_0000 => {
            Switched::Blurred
        }
        Kind::Ip(_) => Switched::Yes,
        Kind::Frame(number) if TO_THE_SWITCH.contains(&number) => Switched::No,
        // Spanning trees.
        Kind::Llc(_) => Switched::No,
        Kind::Frame(_) | Kind::Unparsed(_) => Switched::Blurred,
    }
}
