//! A pair: what a line of the list (two, with both directions) is about.

use std::{
    hash::{Hash, Hasher},
    net::IpAddr,
};

use crate::{flow::row::Lane, model::protocol::Kind};

/// The address of one end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PairAddress {
    /// Any IPv4 address.
    HiddenV4,
    /// Any IPv6 address.
    HiddenV6,
    /// This one.
    Shown(IpAddr),
}

impl PairAddress {
    /// Whether it is an IPv6 address, hidden or not.
    #[must_use]
    pub const fn is_ipv6(self) -> bool {
        matches!(self, Self::HiddenV6 | Self::Shown(IpAddr::V6(_)))
    }

    /// The address, or what stands for it.
    #[must_use]
    pub const fn new(address: IpAddr, hidden: bool) -> Self {
        match (hidden, address) {
            (false, address) => Self::Shown(address),
            (true, IpAddr::V4(_)) => Self::HiddenV4,
            (true, IpAddr::V6(_)) => Self::HiddenV6,
        }
    }
}

/// One end of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PairEnd {
    /// Its address.
    pub address: PairAddress,
    /// Its port; 0 if it is not shown, not known (fragments), or if there is none.
    pub port: u16,
}

/// Identity of a pair.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PairKey {
    /// The source, as iftop calls the left end whoever sends.
    pub left: PairEnd,
    /// The destination.
    pub right: PairEnd,
    /// The protocol; `None` while no ports are shown: then protocols are not told apart.
    pub kind: Option<Kind>,
}

// By hand: derived, an address is a slice of bytes, which costs more to hash than all else that is done with a pair.
impl Hash for PairKey {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { left, right, kind } = self;
        for end in [left, right] {
            state.write_u128(match end.address {
                PairAddress::HiddenV4 => 0,
                PairAddress::HiddenV6 => 1,
                PairAddress::Shown(IpAddr::V4(address)) => address.to_ipv6_mapped().to_bits(),
                PairAddress::Shown(IpAddr::V6(address)) => address.to_bits(),
            });
        }
        state.write_u32(u32::from(left.port) << 16 | u32::from(right.port));
        kind.hash(state);
    }
}

/// Amounts of one direction, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PairAmounts {
    /// In the last 2, 10 and 40 seconds: divide by the snapshot's `window_seconds` for a rate.
    pub recent: [u64; 3],
    /// Since the start.
    pub bytes: u64,
}

impl PairAmounts {
    /// The sum of two.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut recent = self.recent;
        for (mine, theirs) in recent.iter_mut().zip(other.recent) {
            *mine = mine.saturating_add(theirs);
        }
        Self { recent, bytes: self.bytes.saturating_add(other.bytes) }
    }

    /// Whether there was nothing in the longest window.
    #[must_use]
    pub const fn is_idle(&self) -> bool {
        self.recent[2] == 0
    }
}

impl From<&Lane> for PairAmounts {
    fn from(lane: &Lane) -> Self {
        Self { recent: lane.recent, bytes: lane.bytes }
    }
}

/// One pair of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ListedPair {
    /// Who.
    pub key: PairKey,
    /// From left to right.
    pub sent: PairAmounts,
    /// From right to left.
    pub received: PairAmounts,
}
