//! What iftop would list: the ledger's rows as pairs with a left and a right end.
//!
//! The grand total is not a sum of pairs: rows that have been evicted count in it. So what iftop does not count stays out
//! of the ledger ([`Measure::IpPackets`](crate::flow::ledger::Measure)), and every row of it counts here.

use std::{
    collections::{HashMap, HashSet},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use super::{
    options::IftopOptions,
    order,
    pair::{ListedPair, PairAddress, PairAmounts, PairEnd, PairKey},
};
use crate::{
    flow::{
        names::Names,
        row::{InterfaceId, Part, RowKey, Traffic},
        snapshot::{RecentPeak, Snapshot},
    },
    model::protocol::Kind,
};

/// What has to be known besides the snapshot.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings<'a> {
    /// Names of hosts and services.
    pub names: &'a Names,
    /// The loopback interfaces.
    pub loopback: &'a HashSet<InterfaceId>,
    /// The broadcast addresses of the networks that interfaces are in (255.255.255.255 is known without).
    pub broadcast: &'a HashSet<Ipv4Addr>,
}

/// Both directions of everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ViewTotals {
    /// Sent.
    pub sent: PairAmounts,
    /// Received.
    pub received: PairAmounts,
    /// Highest two-second rates of the last 40 seconds.
    pub peak: RecentPeak,
}

/// All pairs in the order in which they are listed.
///
/// `previous` are the keys of the last list. It matters only while the order is frozen: then exactly those pairs are
/// listed, with zeros for what is gone.
#[must_use]
pub fn pairs(
    snapshot: &Snapshot,
    options: &IftopOptions,
    around: &Surroundings<'_>,
    previous: &[PairKey],
) -> Vec<ListedPair> {
    let mut amounts = HashMap::<PairKey, [PairAmounts; 2]>::new();
    for (key, traffic) in &snapshot.rows {
        for (pair, part) in parts(key, traffic, options, around) {
            let taken = part.of_traffic(traffic);
            let (more_sent, more_received) =
                (PairAmounts::from(&taken.sent), PairAmounts::from(&taken.received));
            // As iftop forgets a flow 40 seconds after its last packet, totals included, so is it left out here, however
            // long the ledger keeps it.
            if more_sent.is_idle() && more_received.is_idle() {
                continue;
            }
            let [sent, received] = amounts.entry(pair).or_default();
            *sent = sent.plus(more_sent);
            *received = received.plus(more_received);
        }
    }
    if options.frozen {
        let pair = |key: &PairKey| {
            let [sent, received] = amounts.get(key).copied().unwrap_or_default();
            ListedPair { key: *key, sent, received }
        };
        return previous.iter().map(pair).collect();
    }
    let mut pairs: Vec<ListedPair> =
        amounts.into_iter().map(|(key, [sent, received])| ListedPair { key, sent, received }).collect();
    order::sort(&mut pairs, options, around.names);
    pairs
}

/// The three lines below the list.
#[must_use]
pub fn totals(snapshot: &Snapshot) -> ViewTotals {
    ViewTotals {
        sent: PairAmounts::from(&snapshot.total.sent),
        received: PairAmounts::from(&snapshot.total.received),
        peak: snapshot.recent_peak,
    }
}

/// The pairs that a row, or one direction of it, belongs to. The ledger's rows have the local end left, and one row for both
/// directions.
pub(crate) fn parts(
    row: &RowKey,
    traffic: &Traffic,
    options: &IftopOptions,
    around: &Surroundings<'_>,
) -> impl Iterator<Item = (PairKey, Part)> {
    let local = (row.local.to_canonical(), row.local_port);
    let remote = (row.remote.to_canonical(), row.remote_port);
    let pair = |left, right| pair(left, right, row.kind, options);
    let (first, second) = if has_boundary(row, options) {
        ((pair(local, remote), Part::Both), None)
    } else if around.loopback.contains(&row.interface) {
        // Every packet on loopback is one that this host sent: each direction is a flow of its own.
        ((pair(local, remote), Part::Sent), Some((pair(remote, local), Part::ReceivedAsSent)))
    } else if traffic.sent.bytes == 0 && traffic.sent.recent[2] == 0 && is_group(row.remote, around.broadcast)
    {
        // What others send to a group is received by the group: it stands left.
        ((pair(remote, local), Part::Both), None)
    } else {
        ((pair(local, remote), Part::Both), None)
    };
    std::iter::once(first).chain(second)
}

/// The pair of two ends in full detail, as far as it is shown.
fn pair(left: (IpAddr, u16), right: (IpAddr, u16), kind: Kind, options: &IftopOptions) -> PairKey {
    let shown = options.port_display;
    let end = |(address, port), hidden, with_port| PairEnd {
        address: PairAddress::new(address, hidden),
        port: if with_port && kind.has_ports() { port } else { 0 },
    };
    PairKey {
        left: end(left, options.hide_source, shown.source()),
        right: end(right, options.hide_destination, shown.destination()),
        kind: (shown.source() || shown.destination()).then_some(kind),
    }
}

fn is_group(address: Ipv6Addr, broadcast: &HashSet<Ipv4Addr>) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            address.is_multicast() || address.is_broadcast() || broadcast.contains(&address)
        }
        IpAddr::V6(address) => address.is_multicast(),
    }
}

/// Whether a net filter decides which end of the row is left: the inside.
fn has_boundary(row: &RowKey, options: &IftopOptions) -> bool {
    if row.remote.to_canonical().is_ipv4() {
        options.net_filter.is_some()
    } else {
        options.net_filter6.is_some()
    }
}

#[cfg(test)]
mod tests;
