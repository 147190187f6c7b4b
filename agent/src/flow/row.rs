//! A conversation: one row with a local and a remote end, and what each sent.

use std::{
    hash::{Hash, Hasher},
    net::{IpAddr, Ipv6Addr},
    sync::Arc,
    time::Duration,
};

use flowtally_common::Count;

use super::wire::{WireError, WireForm, WireReader, wire_enum, wire_struct};
use crate::model::{owner::Attribution, protocol::Kind};

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

/// A row in its place. There are several of one key where the socket went from one owner to another: each has what was
/// counted while it was its owner's.
#[derive(Clone, Copy, Debug)]
pub struct RowView<'a> {
    /// Which conversation.
    pub key: &'a RowKey,
    /// What it sent and received.
    pub traffic: &'a Traffic,
    /// Whose it is.
    pub owner: &'a Arc<Attribution>,
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

    /// Begins again with the totals and the peak; what is recent stays.
    pub const fn forget_totals(&mut self) {
        self.bytes = 0;
        self.packets = 0;
        self.peak = 0;
    }
}

/// Which of a row's two ways something that is made of rows takes, and as which of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// Each as it is.
    Both,
    /// Only what was sent.
    Sent,
    /// Only what was received, as if it had been sent.
    ReceivedAsSent,
    /// Both, as if they had been sent.
    BothAsSent,
}

impl Part {
    /// What it takes of amounts that were sent and received, as its own sent and received.
    #[must_use]
    pub const fn of(self, sent: u64, received: u64) -> [u64; 2] {
        match self {
            Self::Both => [sent, received],
            Self::Sent => [sent, 0],
            Self::ReceivedAsSent => [received, 0],
            // Amounts may be differences.
            Self::BothAsSent => [sent.wrapping_add(received), 0],
        }
    }

    /// What it takes of a row.
    #[must_use]
    pub fn of_traffic(self, traffic: &Traffic) -> Traffic {
        let one_way = |sent: Lane| Traffic { sent, received: Lane::default(), peak: sent.peak };
        match self {
            Self::Both => *traffic,
            Self::Sent => one_way(traffic.sent),
            Self::ReceivedAsSent => one_way(traffic.received),
            Self::BothAsSent => one_way(traffic.both()),
        }
    }

    /// Two parts of one row that do not overlap, as one.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Sent, Self::ReceivedAsSent) | (Self::ReceivedAsSent, Self::Sent) => Self::BothAsSent,
            _ => self,
        }
    }
}

/// Which of the interfaces that a frame crosses on its way through this host count it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Counting {
    /// One: where it entered or left, or nearest to there.
    #[default]
    Once,
    /// Each.
    PerInterface,
}

/// What of a conversation crossed another interface than the one that it is counted on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crossed {
    /// Which.
    pub interface: InterfaceId,
    /// Sent, as the row has it that says so.
    pub sent: Count,
    /// Received.
    pub received: Count,
}

/// What went each way in one closed interval, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Interval {
    /// How long it was.
    pub length: Duration,
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
}

/// Both directions of a row, a group or the grand total.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// From the local to the remote end.
    pub sent: Lane,
    /// From the remote to the local end.
    pub received: Lane,
    /// Highest rate of both together in a one-second interval since the start, in bytes per second: more than the higher of the
    /// two directions' peaks where they were not alone, less than their sum where they were not at the same time.
    pub peak: u64,
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

    /// Both directions as one. Other amounts than the peak are sums.
    #[must_use]
    pub fn both(&self) -> Lane {
        let Self { sent, received, peak } = self;
        Lane {
            bytes: sent.bytes.saturating_add(received.bytes),
            packets: sent.packets.saturating_add(received.packets),
            recent: std::array::from_fn(|at| sent.recent[at].saturating_add(received.recent[at])),
            peak: *peak,
        }
    }

    /// Adds both directions of `other`, as [`Lane::merge`].
    pub fn merge(&mut self, other: &Self) {
        self.sent.merge(&other.sent);
        self.received.merge(&other.received);
        self.peak = self.peak.max(other.peak);
    }

    /// As [`Lane::forget_totals`], both ways.
    pub const fn forget_totals(&mut self) {
        self.sent.forget_totals();
        self.received.forget_totals();
        self.peak = 0;
    }
}

impl WireForm for InterfaceId {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        u16::take(from).map(Self)
    }
}

wire_struct!(RowKey { local, remote, local_port, remote_port, vlan, interface, kind });
wire_struct!(Lane { bytes, packets, recent, peak });
wire_struct!(Traffic { sent, received, peak });
wire_enum!(Counting { 0 => Once {}, 1 => PerInterface {} });
