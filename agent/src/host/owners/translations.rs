//! Conversations whose addresses are translated on their way (NAT): the ends that their sockets have.

use std::net::IpAddr;

use hashbrown::{HashMap, HashSet};

use super::{
    ends,
    table::{Match, SocketEnds, SocketIndex},
};
use crate::{
    flow::question::OwnerQuestion,
    host::{
        conntrack::{self, Tracked, Tuple},
        netns,
    },
};

/// So many conversations are asked for one by one; of more, the kernel's whole table is read.
const SINGLE: usize = 512;

/// What is translated, of what is asked just now.
#[derive(Debug, Default)]
pub(super) struct Translations {
    /// The ends of the socket, by the ends on the wire.
    beyond: HashMap<SocketEnds, SocketEnds>,
    /// Which namespaces have an address, as they were last read.
    namespaces: HashMap<u128, Vec<u64>>,
    /// Whether anything was translated yet.
    are_any: bool,
}

impl Translations {
    /// Learns which of these conversations are translated. `own` is the namespace that this thread is in.
    pub(super) fn learn(&mut self, questions: &[OwnerQuestion], own: u64) {
        self.beyond.clear();
        if !questions.iter().any(may_be_translated) || !conntrack::is_in_use() {
            return;
        }
        let Ok(mut connection) = conntrack::open() else { return };
        let questions = questions.iter().filter(|question| may_be_translated(question));
        let wires: HashSet<SocketEnds> = questions.filter_map(ends).map(anywhere).collect();
        let beyond = &mut self.beyond;
        let mut take = |wire: SocketEnds, tracked: &Tracked| {
            beyond.extend(tracked.beyond(tuple(&wire)).map(|tuple| (wire, of_tuple(tuple))));
        };
        // What cannot be had is not translated, as far as anybody knows.
        if wires.len() <= SINGLE {
            for wire in wires {
                if let Ok(Some(tracked)) = conntrack::get(&mut connection, tuple(&wire)) {
                    take(wire, &tracked);
                }
            }
        } else {
            let _ = conntrack::dump(&mut connection, &mut |tracked| {
                for wire in tracked.tuples().map(of_tuple).into_iter().filter(|wire| wires.contains(wire)) {
                    take(wire, &tracked);
                }
            });
        }
        if !self.beyond.is_empty() {
            self.are_any = true;
            self.place(own, netns::addresses());
        }
    }

    /// Whether it matters which addresses a namespace has.
    pub(super) const fn are_any(&self) -> bool {
        self.are_any
    }

    /// Forgets which addresses other namespaces have.
    pub(super) fn forget_places(&mut self, own: u64) {
        self.namespaces.clear();
        if self.are_any {
            self.place(own, netns::addresses());
        }
    }

    /// The ends that the socket of a conversation has, where they are others than on the wire.
    pub(super) fn of(&self, question: &OwnerQuestion) -> Option<SocketEnds> {
        if self.beyond.is_empty() {
            return None;
        }
        self.beyond.get(&anywhere(ends(question)?)).copied()
    }

    /// The sockets with these ends, in the namespace that has the local address.
    pub(super) fn find(&self, table: &SocketIndex, ends: &SocketEnds) -> Option<Match> {
        let Some(namespaces) = self.namespaces.get(&ends.local.to_bits()) else {
            return table.elsewhere(ends);
        };
        let exact = namespaces.iter().find_map(|namespace| table.by_ends(*namespace, ends));
        exact.or_else(|| {
            let mut found = namespaces.iter().filter_map(|namespace| table.find(*namespace, ends));
            // Containers may have equal addresses.
            found.next().filter(|_| found.next().is_none())
        })
    }

    /// Notes which addresses a namespace has.
    pub(super) fn place(&mut self, namespace: u64, addresses: impl IntoIterator<Item = IpAddr>) {
        for address in addresses {
            let address = match address {
                IpAddr::V4(address) => address.to_ipv6_mapped(),
                IpAddr::V6(address) => address,
            };
            let namespaces = self.namespaces.entry(address.to_bits()).or_default();
            if !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
    }
}

/// Whether the ends of a conversation may be others than its socket's. A frame's own socket is known by itself.
const fn may_be_translated(question: &OwnerQuestion) -> bool {
    question.local_is_own && question.row.kind.has_ports() && !question.socket.is_exact()
}

/// Ends on any interface.
const fn anywhere(ends: SocketEnds) -> SocketEnds {
    SocketEnds { interface: 0, ..ends }
}

/// What comes from the remote end.
const fn tuple(ends: &SocketEnds) -> Tuple {
    Tuple {
        protocol: ends.protocol,
        source: (ends.remote, ends.remote_port),
        destination: (ends.local, ends.local_port),
    }
}

const fn of_tuple(tuple: Tuple) -> SocketEnds {
    SocketEnds {
        protocol: tuple.protocol,
        local: tuple.destination.0,
        local_port: tuple.destination.1,
        remote: tuple.source.0,
        remote_port: tuple.source.1,
        interface: 0,
    }
}
