//! Traffic that was measured.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::matched::Amount;
use crate::flow::{owner::Attribution, protocol::Kind, row::InterfaceId};

/// A conversation on one interface.
#[derive(Clone, Debug)]
pub struct CountedFlow {
    /// Its protocol.
    pub kind: Kind,
    /// The end of this host; of traffic that passes through, either.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// Where it was seen. A host may see the same frames on more than one.
    pub interface: InterfaceId,
    /// What went from the local to the remote end, and back.
    pub amount: BytesBothWays,
    /// Whose it is, if somebody looked.
    pub attribution: Option<Arc<Attribution>>,
}

/// An amount for each interface that something was seen on. The largest is the one that counts: what a bridge and its ports see is the
/// same traffic again.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen(Vec<(InterfaceId, Amount)>);

impl Seen {
    pub(super) fn add(&mut self, interface: InterfaceId, amount: Amount) {
        match self.0.iter_mut().find(|(known, _)| *known == interface) {
            Some((_, sum)) => sum.add(amount),
            None => self.0.push((interface, amount)),
        }
    }

    pub(super) fn most(&self) -> Amount {
        self.0.iter().map(|(_, amount)| *amount).max_by_key(|amount| amount.total()).unwrap_or_default()
    }
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
