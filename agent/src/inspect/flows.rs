//! Traffic that was measured.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::model::{owner::Attribution, protocol::Kind};

/// Bytes that went each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BytesBothWays {
    /// From the local end.
    pub sent: u64,
    /// To it.
    pub received: u64,
}

impl BytesBothWays {
    /// Adds another one.
    pub const fn add(&mut self, other: Self) {
        self.sent += other.sent;
        self.received += other.received;
    }

    /// Both ways.
    #[must_use]
    pub const fn total(self) -> u64 {
        self.sent + self.received
    }

    /// As the other end has it.
    pub(super) const fn reversed(self) -> Self {
        Self { sent: self.received, received: self.sent }
    }
}

/// A conversation as far as it counts on one interface: what crosses several counts once.
#[derive(Clone, Debug)]
pub struct CountedFlow {
    /// Its protocol.
    pub kind: Kind,
    /// The end of this host; of traffic that passes through, either.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What went from the local to the remote end, and back.
    pub amount: BytesBothWays,
    /// Whose it is, if somebody looked.
    pub attribution: Option<Arc<Attribution>>,
}

/// A conversation, whichever end is the local one.
pub(super) type ConversationEnds = (Kind, SocketAddr, SocketAddr);

/// An end as it is compared: IPv4 in IPv6 is IPv4, and neither scope nor flow label matter.
pub(super) fn plain(end: SocketAddr) -> SocketAddr {
    SocketAddr::new(end.ip().to_canonical(), end.port())
}

/// The addresses of the network namespaces there are.
#[derive(Clone, Debug, Default)]
pub struct NamespaceAddresses {
    /// Inode number of the one whose interfaces are measured.
    pub own: Option<u64>,
    /// By inode number, the addresses of its interfaces.
    pub addresses: HashMap<u64, HashSet<IpAddr>>,
}

impl NamespaceAddresses {
    /// Whether an address is one of the namespace that is measured: then no other namespace has its traffic.
    pub(super) fn is_own(&self, address: IpAddr) -> bool {
        address.is_loopback() || self.own.is_some_and(|own| self.has(own, address))
    }

    /// Whether a socket of a namespace that is open to any of its addresses takes what comes to this one.
    pub(super) fn takes(&self, netns: Option<u64>, any: IpAddr, to: IpAddr) -> bool {
        let everybody = match to {
            IpAddr::V4(to) => to.is_multicast() || to.is_broadcast(),
            IpAddr::V6(to) => to.is_multicast(),
        };
        let is_here = netns == self.own;
        (any.is_ipv6() || to.is_ipv4())
            && (netns.is_some_and(|netns| self.has(netns, to)) || is_here && (to.is_loopback() || everybody))
    }

    fn has(&self, netns: u64, address: IpAddr) -> bool {
        self.addresses.get(&netns).is_some_and(|addresses| addresses.contains(&address))
    }
}
