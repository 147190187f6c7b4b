//! A conversation: one row with a local and a remote end, and what each sent.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
};

use super::protocol::Kind;

/// An interface, the same for as long as its name stays or, when it is renamed, its index.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct InterfaceId(pub u16);

/// Identity of a conversation. Both directions have the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    /// The local end, IPv4 as v4-mapped; unspecified for frames that are not IP.
    pub local: Ipv6Addr,
    /// The remote end, as `local`.
    pub remote: Ipv6Addr,
    /// Port of the local end; ICMP: the type.
    pub local_port: u16,
    /// Port of the remote end; ICMP: the code.
    pub remote_port: u16,
    /// Id of the innermost VLAN, 0 without one.
    pub vlan: u16,
    /// Where it was seen.
    pub interface: InterfaceId,
    /// What it is made of.
    pub kind: Kind,
}

// By hand: derived, an address is a slice of bytes, which costs four times as much to hash as a number.
impl Hash for RowKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u128(self.local.to_bits());
        state.write_u128(self.remote.to_bits());
        let Self { local_port, remote_port, vlan, interface, .. } = *self;
        let numbers = [local_port, remote_port, vlan, interface.0].map(u64::from);
        state.write_u64(numbers.iter().fold(0, |all, number| all << 16 | number));
        self.kind.hash(state);
    }
}

impl RowKey {
    /// The local address, `None` for frames that are not IP.
    #[must_use]
    pub fn local_address(&self) -> Option<IpAddr> {
        self.kind.is_ip().then(|| self.local.to_canonical())
    }

    /// The remote address, `None` for frames that are not IP.
    #[must_use]
    pub fn remote_address(&self) -> Option<IpAddr> {
        self.kind.is_ip().then(|| self.remote.to_canonical())
    }
}

/// The averaging windows, in seconds, in the order of every `[_; 3]` of averages.
pub const WINDOWS: [u64; 3] = [2, 10, 40];

/// What went one way. All amounts are bytes (not bits); which bytes of a packet count is the ledger's
/// [`Measure`](super::ledger::Measure).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Lane {
    /// Bytes since the start.
    pub bytes: u64,
    /// Packets since the start.
    pub packets: u64,
    /// Bytes in the last 2, 10 and 40 seconds: divide by the snapshot's
    /// [`window_seconds`](super::snapshot::Snapshot::window_seconds) for a rate.
    pub recent: [u64; 3],
    /// Highest rate of a one-second interval since the start, in bytes per second.
    pub peak: u64,
}

impl Lane {
    /// Adds amounts of another lane; the peak becomes the larger of the two, for the sum's own peak is not known
    /// from them.
    pub fn merge(&mut self, other: &Self) {
        self.bytes += other.bytes;
        self.packets += other.packets;
        for (mine, theirs) in self.recent.iter_mut().zip(other.recent) {
            *mine += theirs;
        }
        self.peak = self.peak.max(other.peak);
    }
}

/// Both directions of a row, a group or the grand total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the local to the remote end.
    pub sent: Lane,
    /// From the remote to the local end.
    pub received: Lane,
}

impl Traffic {
    /// Bytes since the start, both directions.
    #[must_use]
    pub const fn bytes(&self) -> u64 {
        self.sent.bytes + self.received.bytes
    }

    /// Packets since the start, both directions.
    #[must_use]
    pub const fn packets(&self) -> u64 {
        self.sent.packets + self.received.packets
    }

    /// Adds both directions of `other`, as [`Lane::merge`].
    pub fn merge(&mut self, other: &Self) {
        self.sent.merge(&other.sent);
        self.received.merge(&other.received);
    }
}
