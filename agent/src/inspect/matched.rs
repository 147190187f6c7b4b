//! Sockets that were asked for, joined with the traffic that was measured.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, HashMap},
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use super::{
    InspectTarget,
    flows::{BytesBothWays, ConversationEnds, CountedFlow, NamespaceAddresses, plain},
};
use crate::model::{
    owner::{Attribution, Netns, Owner, Reason},
    protocol::Kind,
};

/// A socket.
#[derive(Clone, Debug)]
pub struct MatchedSocket {
    /// Its protocol.
    pub kind: Kind,
    /// What it is called: the protocol, or what else it is (`raw`, `ping`).
    pub protocol: String,
    /// Its own end; unspecified for any address.
    pub local: SocketAddr,
    /// Its peer, if it is connected.
    pub remote: Option<SocketAddr>,
    /// Its state, in words.
    pub state: &'static str,
    /// Whether it waits for connections.
    pub listens: bool,
    /// Its network namespace.
    pub netns: Netns,
    /// Whether that is the one whose interfaces are measured.
    pub is_here: bool,
    /// Who has it open, in ascending order.
    pub holders: Vec<OpenDescriptor>,
    /// Why nobody has, where nobody is known to.
    pub nobody: Reason,
}

/// A descriptor by which a socket is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct OpenDescriptor {
    /// The process.
    pub pid: u32,
    /// Its descriptor.
    pub fd: u32,
    /// The thread that has it in a table of its own; `None` where it is in the first thread's.
    pub thread: Option<u32>,
}

/// A peer of a socket that is not connected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SocketPeer {
    /// Who.
    pub end: SocketAddr,
    /// What went between.
    pub amount: BytesBothWays,
}

/// A socket with its traffic.
#[derive(Clone, Debug)]
pub struct SocketLine {
    /// The socket.
    pub socket: MatchedSocket,
    /// The process it is listed under.
    pub owner: Option<u32>,
    /// Its traffic.
    pub amount: BytesBothWays,
    /// Without a peer of its own: who it spoke with, most first. Of a listener, connections that came and went.
    pub peers: Vec<SocketPeer>,
}

/// Traffic of what was asked for that no socket is left of.
#[derive(Clone, Debug)]
pub struct Stray {
    /// Its protocol.
    pub kind: Kind,
    /// One end: of this host, unless the traffic passes through.
    pub local: SocketAddr,
    /// The other end.
    pub remote: SocketAddr,
    /// What went between.
    pub amount: BytesBothWays,
    /// Whose it is, if that was looked for.
    pub attribution: Option<Arc<Attribution>>,
}

/// Everything that matches.
#[derive(Clone, Debug, Default)]
pub struct Matched {
    /// Each process, by PID, with the sockets that it and no older one among these has open; busiest first.
    pub owned: Vec<(u32, Vec<SocketLine>)>,
    /// Sockets that nobody is known to have open.
    pub unowned: Vec<SocketLine>,
    /// Traffic without a socket, most first.
    pub strays: Vec<Stray>,
}

impl Matched {
    /// Joins sockets and traffic. Of the processes that are asked for, `named`, every one is there, with or without sockets.
    #[must_use]
    pub fn new(
        target: &InspectTarget,
        sockets: Vec<MatchedSocket>,
        flows: &[CountedFlow],
        places: &NamespaceAddresses,
        named: &BTreeSet<u32>,
    ) -> Self {
        let is_named = |socket: &MatchedSocket| socket.holders.iter().any(|open| named.contains(&open.pid));
        let wanted: Vec<bool> = sockets
            .iter()
            .map(|socket| is_named(socket) || target.is_at(socket.local, socket.remote))
            .collect();
        let (traffic, strays) = SocketTraffic::join(target, &sockets, flows, places, named);
        let mut matched = Self { strays, ..Self::default() };
        let mut by_process: BTreeMap<u32, Vec<SocketLine>> =
            named.iter().map(|pid| (*pid, Vec::new())).collect();
        for ((socket, traffic), wanted) in sockets.into_iter().zip(traffic).zip(wanted) {
            // Of what speaks with many, a single peer may be what was asked for.
            if !wanted && !traffic.peers.keys().any(|peer| target.is_at(*peer, None)) {
                continue;
            }
            let holder = socket.holders.iter().map(|open| open.pid);
            let owner = holder.filter(|pid| named.is_empty() || named.contains(pid)).min();
            let line = traffic.line(socket, owner);
            match owner {
                Some(pid) => by_process.entry(pid).or_default().push(line),
                None => matched.unowned.push(line),
            }
        }
        matched.owned = by_process.into_iter().collect();
        for lines in matched.owned.iter_mut().map(|(_, lines)| lines).chain([&mut matched.unowned]) {
            lines.sort_by_key(|line| {
                (Reverse(line.amount.total()), !line.socket.listens, line.socket.local, line.socket.remote)
            });
        }
        matched.owned.sort_by_key(|(_, lines)| Reverse(sum(lines).total()));
        matched
    }

    /// Whether nothing matches.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.owned.is_empty() && self.unowned.is_empty() && self.strays.is_empty()
    }
}

impl SocketLine {
    /// The descriptors by which the process it is listed under has it open, and the thread of each that is in a thread's own table.
    /// A thread's copy of what is in the first table, too, is left out.
    pub(super) fn descriptors(&self) -> impl Iterator<Item = (u32, Option<u32>)> {
        let mut last = None;
        let own = self.socket.holders.iter().filter(|open| Some(open.pid) == self.owner);
        own.map(|open| (open.fd, open.thread)).filter(move |(fd, _)| last.replace(*fd) != Some(*fd))
    }

    /// The other processes that have it open.
    pub(super) fn others(&self) -> impl Iterator<Item = u32> {
        let mut last = None;
        self.socket.holders.iter().map(|open| open.pid).filter(move |pid| {
            let new = Some(*pid) != self.owner && last != Some(*pid);
            last = Some(*pid);
            new
        })
    }
}

/// The traffic of sockets together.
pub(super) fn sum(lines: &[SocketLine]) -> BytesBothWays {
    let mut sum = BytesBothWays::default();
    for line in lines {
        sum.add(line.amount);
    }
    sum
}

/// The traffic of one socket.
#[derive(Clone, Debug, Default)]
struct SocketTraffic {
    all: BytesBothWays,
    peers: HashMap<SocketAddr, BytesBothWays>,
}

impl SocketTraffic {
    /// The traffic of each socket, and what was asked for and is no socket's.
    fn join(
        target: &InspectTarget,
        sockets: &[MatchedSocket],
        flows: &[CountedFlow],
        places: &NamespaceAddresses,
        named: &BTreeSet<u32>,
    ) -> (Vec<Self>, Vec<Stray>) {
        let mut connected: HashMap<ConversationEnds, Vec<usize>> = HashMap::new();
        let mut open: HashMap<(Kind, u16), Vec<usize>> = HashMap::new();
        for (at, socket) in sockets.iter().enumerate() {
            let local = plain(socket.local);
            match socket.remote {
                Some(remote) => connected.entry((socket.kind, local, plain(remote))).or_default().push(at),
                None => open.entry((socket.kind, local.port())).or_default().push(at),
            }
        }
        // Where two namespaces have the same addresses, the traffic of these interfaces is that of their own.
        let best = |found: &[usize], address: IpAddr| {
            let here = found.iter().find(|at| sockets[**at].is_here);
            here.or_else(|| found.first().filter(|_| !places.is_own(address))).copied()
        };
        let find = |kind: Kind, local: SocketAddr, remote: SocketAddr| {
            let address = local.ip();
            let peers = connected.get(&(kind, local, remote)).and_then(|found| best(found, address));
            peers.or_else(|| {
                let open = open.get(&(kind, local.port()))?;
                let select = |is: &dyn Fn(&MatchedSocket, IpAddr) -> bool| -> Vec<usize> {
                    let is = |at: &&usize| is(&sockets[**at], sockets[**at].local.ip().to_canonical());
                    open.iter().filter(is).copied().collect()
                };
                let bound = select(&|_, own| own == address);
                let any = select(&|socket, own| {
                    own.is_unspecified() && places.takes(socket.netns.inode, own, address)
                });
                best(&bound, address).or_else(|| best(&any, address))
            })
        };
        let mut traffic = vec![Self::default(); sockets.len()];
        let mut strays: HashMap<ConversationEnds, (BytesBothWays, Option<Arc<Attribution>>)> = HashMap::new();
        for flow in flows {
            let (local, remote) = (plain(flow.local), plain(flow.remote));
            let mut is_stray = true;
            // On loopback, and between containers, both ends are sockets of this host.
            for (local, remote, amount) in
                [(local, remote, flow.amount), (remote, local, flow.amount.reversed())]
            {
                let Some(at) = find(flow.kind, local, remote) else { continue };
                is_stray = false;
                traffic[at].all.add(amount);
                if sockets[at].remote.is_none() {
                    traffic[at].peers.entry(remote).or_default().add(amount);
                }
            }
            // A connection that came and went is its owner's, who may have gone too.
            let owners = flow.attribution.iter().flat_map(|found| &found.owners);
            let is_theirs =
                |owner: &Owner| named.contains(&owner.id.pid) || target.is_called(owner.command.as_bytes());
            if is_stray && (target.is_at(local, Some(remote)) || owners.into_iter().any(is_theirs)) {
                let (sum, attribution) = strays.entry((flow.kind, local, remote)).or_default();
                sum.add(flow.amount);
                // Of a conversation that changed hands there is a row for each owner, and one for what nobody is found for.
                let is_told =
                    |of: &Option<Arc<Attribution>>| of.as_ref().is_some_and(|of| !of.owners.is_empty());
                if !is_told(attribution) && (is_told(&flow.attribution) || attribution.is_none()) {
                    attribution.clone_from(&flow.attribution);
                }
            }
        }
        let mut strays: Vec<_> = strays
            .into_iter()
            .map(|((kind, local, remote), (amount, attribution))| Stray {
                kind,
                local,
                remote,
                amount,
                attribution,
            })
            .collect();
        strays.sort_by_key(|stray| (Reverse(stray.amount.total()), stray.local, stray.remote));
        (traffic, strays)
    }

    fn line(self, socket: MatchedSocket, owner: Option<u32>) -> SocketLine {
        let mut peers: Vec<_> =
            self.peers.into_iter().map(|(end, amount)| SocketPeer { end, amount }).collect();
        peers.sort_by_key(|peer| (Reverse(peer.amount.total()), peer.end));
        SocketLine { socket, owner, amount: self.all, peers }
    }
}
