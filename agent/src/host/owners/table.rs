//! Pure: the sockets of several network namespaces, found by cookie and by the two ends of a conversation.

use std::net::Ipv6Addr;

use hashbrown::HashMap;

use super::super::sockets::{
    InternetSocket, NamespaceSockets, PacketSocket, SocketClass, State, is_any, protocol,
};

/// The two ends of a conversation, as one side sees them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct SocketEnds {
    /// IP protocol.
    pub(super) protocol: u8,
    pub(super) local: Ipv6Addr,
    pub(super) local_port: u16,
    pub(super) remote: Ipv6Addr,
    pub(super) remote_port: u16,
    /// The interface it was seen on, for sockets that use one alone; 0 if that means nothing to the namespace.
    pub(super) interface: u32,
}

impl SocketEnds {
    /// As the other side sees them.
    pub(super) const fn reversed(self) -> Self {
        Self {
            local: self.remote,
            local_port: self.remote_port,
            remote: self.local,
            remote_port: self.local_port,
            ..self
        }
    }
}

/// How sockets were found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum FoundBy {
    /// They are this conversation's.
    Ends,
    /// They take what comes to the local end from anybody.
    Bound,
    /// They listen at the local end: the conversation's own socket is another.
    Listener,
}

/// Sockets that traffic belongs to. Several where a port is shared (`SO_REUSEPORT`), or a group of hosts is meant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Match {
    pub(super) by: FoundBy,
    /// Places in the table.
    pub(super) sockets: Vec<usize>,
}

/// A socket and its namespace, by inode number (0 where that is not known).
#[derive(Clone, Copy, Debug)]
pub(super) struct SocketEntry {
    pub(super) socket: InternetSocket,
    pub(super) namespace: u64,
}

/// An exact key: namespace, addresses, ports and protocol.
type ExactKey = (u64, u128, u128, u64);
/// As [`ExactKey`], of all other namespaces together.
type Foreign = (u128, u128, u64);
/// A peer's address, port and the protocol.
type PeerKey = (u128, u32);
/// Namespace, local port and protocol.
type Bound = (u64, u32);

/// The routing domains (VRF) of the own namespace. What comes to one is for the sockets that are bound to its device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Domains {
    /// By the index of an interface that is in one, or is its device, the device's index.
    pub(super) devices: HashMap<u32, u32>,
    /// Whether ordinary sockets take what comes to any of them (`net.ipv4.tcp_l3mdev_accept` and the like).
    pub(super) shares_tcp: bool,
    pub(super) shares_udp: bool,
    pub(super) shares_raw: bool,
}

impl Domains {
    /// The one that an interface is in.
    fn of(&self, ends: &SocketEnds) -> Option<Domain> {
        let device = *self.devices.get(&ends.interface)?;
        let is_shared = match ends.protocol {
            protocol::TCP => self.shares_tcp,
            protocol::UDP | protocol::UDPLITE => self.shares_udp,
            _ => self.shares_raw,
        };
        Some(Domain { device, is_shared })
    }
}

/// A routing domain, as the sockets of one protocol are concerned.
#[derive(Clone, Copy, Debug)]
struct Domain {
    device: u32,
    is_shared: bool,
}

/// Sockets of several namespaces.
#[derive(Debug, Default)]
pub(super) struct SocketIndex {
    pub(super) domains: Domains,
    entries: Vec<SocketEntry>,
    packet: Vec<(PacketSocket, u64)>,
    cookies: HashMap<u64, usize>,
    exact: HashMap<ExactKey, OneOrMore>,
    /// Those of other namespaces, whichever they are in; and by their peers.
    foreign: HashMap<Foreign, OneOrMore>,
    peers: HashMap<PeerKey, Vec<usize>>,
    bound: HashMap<Bound, Vec<usize>>,
    /// Raw and ping sockets, of which there are few.
    others: Vec<usize>,
}

/// One place, or several.
#[derive(Debug)]
enum OneOrMore {
    One(usize),
    Several(Vec<usize>),
}

impl SocketIndex {
    /// Adds a namespace's sockets; `is_own` of the one that this process's interfaces are in.
    pub(super) fn add(&mut self, namespace: u64, is_own: bool, sockets: NamespaceSockets) {
        self.entries.reserve(sockets.inet.len());
        self.cookies.reserve(sockets.inet.len());
        self.exact.reserve(sockets.inet.len());
        for socket in sockets.inet {
            let place = self.entries.len();
            self.entries.push(SocketEntry { socket, namespace });
            if socket.cookie != 0 {
                self.cookies.insert(socket.cookie, place);
            }
            if socket.class != SocketClass::Transport {
                self.others.push(place);
            } else if socket.has_no_peer() {
                self.bound
                    .entry(bound(namespace, socket.protocol, socket.local_port))
                    .or_default()
                    .push(place);
            } else {
                self.exact
                    .entry(exact(namespace, &socket.ends()))
                    .and_modify(|places| places.add(place))
                    .or_insert(OneOrMore::One(place));
                if !is_own {
                    let (_, local, remote, numbers) = exact(namespace, &socket.ends());
                    self.foreign
                        .entry((local, remote, numbers))
                        .and_modify(|places| places.add(place))
                        .or_insert(OneOrMore::One(place));
                    let peer = peer(socket.protocol, socket.remote, socket.remote_port);
                    self.peers.entry(peer).or_default().push(place);
                }
            }
        }
        self.packet.extend(sockets.packet.into_iter().map(|socket| (socket, namespace)));
    }

    /// Inode numbers of a namespace's sockets.
    pub(super) fn inodes(&self, namespace: u64) -> impl Iterator<Item = u64> {
        self.entries.iter().filter(move |entry| entry.namespace == namespace).map(|entry| entry.socket.inode)
    }

    /// The ends of a namespace's connections that are over and that the kernel keeps for a while.
    pub(super) fn waiting(&self, namespace: u64) -> impl Iterator<Item = SocketEnds> {
        let is_waiting =
            move |entry: &&SocketEntry| entry.namespace == namespace && entry.socket.state == State::TimeWait;
        self.entries.iter().filter(is_waiting).map(|entry| entry.socket.ends())
    }

    /// A socket by its place.
    pub(super) fn get(&self, place: usize) -> Option<&SocketEntry> {
        self.entries.get(place)
    }

    /// The socket with a cookie.
    pub(super) fn by_cookie(&self, cookie: u64) -> Option<usize> {
        self.cookies.get(&cookie).copied()
    }

    /// Inode number and namespace of the packet socket with a cookie.
    pub(super) fn packet_by_cookie(&self, cookie: u64) -> Option<(u64, u64)> {
        let (socket, namespace) = self.packet.iter().find(|(socket, _)| socket.cookie == cookie)?;
        Some((socket.inode, *namespace))
    }

    /// Inode numbers of the packet sockets that take frames of this `EtherType`, and no others, on this interface.
    pub(super) fn packet_by_type(&self, namespace: u64, ethertype: u16, interface: u32) -> Vec<u64> {
        self.packet
            .iter()
            .filter(|(socket, of)| {
                *of == namespace
                    && socket.ethertype == ethertype
                    && (socket.interface == 0 || socket.interface == interface)
            })
            .map(|(socket, _)| socket.inode)
            .collect()
    }

    /// The sockets of a conversation itself.
    pub(super) fn by_ends(&self, namespace: u64, ends: &SocketEnds) -> Option<Match> {
        let sockets = match self.exact.get(&exact(namespace, ends))? {
            OneOrMore::One(place) => vec![*place],
            OneOrMore::Several(places) => places.clone(),
        };
        Some(Match { by: FoundBy::Ends, sockets })
    }

    /// The sockets that take or send what has these ends: the conversation's own; else those bound to its local end, to the address
    /// before any address; of a protocol without ports those that take the protocol.
    pub(super) fn find(&self, namespace: u64, ends: &SocketEnds) -> Option<Match> {
        if has_ports(ends.protocol) {
            self.by_ends(namespace, ends).or_else(|| self.bound(namespace, ends))
        } else {
            self.of_protocol(namespace, ends)
        }
    }

    /// The listening or unconnected sockets at the local end: those with the best claim.
    pub(super) fn bound(&self, namespace: u64, ends: &SocketEnds) -> Option<Match> {
        let places = self.bound.get(&bound(namespace, ends.protocol, ends.local_port))?;
        let domain = self.domains.of(ends);
        let claims = places.iter().filter_map(|place| {
            let socket = &self.entries.get(*place)?.socket;
            // Of TCP, what is not listening is merely bound: nothing comes to it.
            let is_useless = ends.protocol == protocol::TCP && socket.state != State::Listen;
            (!is_useless).then(|| claim(socket, ends, domain)).flatten().map(|claim| (claim, *place))
        });
        let mut best = 0;
        let mut sockets = Vec::new();
        for (claim, place) in claims {
            if claim > best {
                sockets.clear();
                best = claim;
            }
            if claim == best {
                sockets.push(place);
            }
        }
        let by = if ends.protocol == protocol::TCP { FoundBy::Listener } else { FoundBy::Bound };
        (!sockets.is_empty()).then_some(Match { by, sockets })
    }

    /// All sockets that get a copy of what is sent to a group of hosts: the remote end is the group's.
    pub(super) fn members(&self, namespace: u64, ends: &SocketEnds) -> Option<Match> {
        let to_group = ends.reversed();
        let domain = self.domains.of(ends);
        let places = self.bound.get(&bound(namespace, ends.protocol, to_group.local_port))?;
        let takes = |place: &&usize| {
            let socket = self.entries.get(**place).map(|entry| &entry.socket);
            socket.is_some_and(|socket| {
                uses(socket, &to_group, domain) && claim(socket, &to_group, domain).is_some()
            })
        };
        let sockets: Vec<usize> = places.iter().filter(takes).copied().collect();
        (!sockets.is_empty()).then_some(Match { by: FoundBy::Bound, sockets })
    }

    /// The sockets of other namespaces with the same peer, for ends that are translated on the way (NAT): with the same local port
    /// too, as masquerading leaves it; else the only one with the peer's port, as forwarding of a port leaves it.
    pub(super) fn translated(&self, ends: &SocketEnds) -> Option<Match> {
        let places = self.peers.get(&peer(ends.protocol, ends.remote, ends.remote_port))?;
        let same_port = |place: &&usize| {
            self.entries.get(**place).is_some_and(|entry| entry.socket.local_port == ends.local_port)
        };
        let candidates: Vec<usize> = places.iter().filter(same_port).copied().collect();
        let only = |places: &[usize]| matches!(places, [_]).then(|| places.to_vec());
        let sockets = only(&candidates).or_else(|| only(places))?;
        Some(Match { by: FoundBy::Ends, sockets })
    }

    /// The sockets of other namespaces whose ends these are, either way round: `None` too where several namespaces use the same
    /// addresses and ports.
    pub(super) fn elsewhere(&self, ends: &SocketEnds) -> Option<Match> {
        let mut found = [*ends, ends.reversed()].into_iter().filter_map(|ends| {
            let (_, local, remote, numbers) = exact(0, &ends);
            self.foreign.get(&(local, remote, numbers))
        });
        match (found.next()?, found.next()) {
            (OneOrMore::One(place), None) => Some(Match { by: FoundBy::Ends, sockets: vec![*place] }),
            _ => None,
        }
    }

    /// Raw and ping sockets that take a protocol without ports.
    fn of_protocol(&self, namespace: u64, ends: &SocketEnds) -> Option<Match> {
        let domain = self.domains.of(ends);
        let fits = |place: &&usize| {
            self.entries.get(**place).is_some_and(|SocketEntry { socket, namespace: of }| {
                *of == namespace
                    && (socket.protocol == ends.protocol)
                    && (is_any(socket.local) || socket.local == ends.local)
                    && (is_any(socket.remote) || socket.remote == ends.remote)
                    && uses(socket, ends, domain)
            })
        };
        let sockets: Vec<usize> = self.others.iter().filter(fits).copied().collect();
        (!sockets.is_empty()).then_some(Match { by: FoundBy::Bound, sockets })
    }
}

impl InternetSocket {
    /// Its own two ends.
    pub(super) const fn ends(&self) -> SocketEnds {
        SocketEnds {
            protocol: self.protocol,
            local: self.local,
            local_port: self.local_port,
            remote: self.remote,
            remote_port: self.remote_port,
            interface: 0,
        }
    }
}

impl OneOrMore {
    fn add(&mut self, place: usize) {
        match self {
            Self::One(first) => *self = Self::Several(vec![*first, place]),
            Self::Several(places) => places.push(place),
        }
    }
}

fn exact(namespace: u64, ends: &SocketEnds) -> ExactKey {
    let numbers =
        u64::from(ends.protocol) << 32 | u64::from(ends.local_port) << 16 | u64::from(ends.remote_port);
    (namespace, ends.local.to_bits(), ends.remote.to_bits(), numbers)
}

fn bound(namespace: u64, protocol: u8, port: u16) -> Bound {
    (namespace, u32::from(protocol) << 16 | u32::from(port))
}

fn peer(protocol: u8, address: Ipv6Addr, port: u16) -> PeerKey {
    (address.to_bits(), u32::from(protocol) << 16 | u32::from(port))
}

const fn has_ports(protocol: u8) -> bool {
    matches!(protocol, protocol::TCP | protocol::UDP | protocol::UDPLITE | protocol::SCTP)
}

/// How good an unconnected socket's claim is to what comes to the local end, as the kernel prefers it (`net/ipv4/udp.c`,
/// `compute_score`); `None` if it gets none of it.
fn claim(socket: &InternetSocket, ends: &SocketEnds, domain: Option<Domain>) -> Option<u8> {
    let is_v4 = ends.local.to_ipv4_mapped().is_some();
    let address = if socket.local == ends.local {
        4
    } else if is_any(socket.local) {
        match (is_v4, socket.is_v6) {
            (true, true) if socket.v6_only => return None,
            (true, true) => 1,
            (false, false) => return None,
            (true, false) | (false, true) => 2,
        }
    } else if socket.local.to_canonical().is_multicast() && socket.local == ends.remote {
        // Bound to a group, and sending to it.
        1
    } else {
        return None;
    };
    let interface = match socket.interface {
        0 if domain.is_some_and(|domain| !domain.is_shared) => return None,
        0 => 10,
        _ if uses(socket, ends, domain) => 20,
        // It may all the same be meant: where what it uses stands on this one (a bridge, a bond).
        _ => 0,
    };
    Some(address + interface)
}

/// Whether a socket uses the interface, or the domain that it is in.
fn uses(socket: &InternetSocket, ends: &SocketEnds, domain: Option<Domain>) -> bool {
    match (socket.interface, domain) {
        (0, domain) => domain.is_none_or(|domain| domain.is_shared),
        (used, Some(domain)) if used == domain.device => true,
        (used, _) => ends.interface == 0 || used == ends.interface,
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, SocketAddr};

    use super::*;

    const HERE: u64 = 1;
    const THERE: u64 = 2;
    const ELSEWHERE: u64 = 3;

    fn mapped(address: IpAddr) -> Ipv6Addr {
        match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        }
    }

    /// `PROTOCOL LOCAL REMOTE STATE`, where a star is none.
    fn socket(text: &str) -> InternetSocket {
        let words: Vec<&str> = text.split(' ').collect();
        let local: SocketAddr = words[1].parse().unwrap();
        let remote: Option<SocketAddr> = words[2].parse().ok();
        let none = if local.is_ipv4() { "0.0.0.0" } else { "::" };
        let (class, protocol) = match words[0] {
            "tcp" => (SocketClass::Transport, 6),
            "udp" => (SocketClass::Transport, 17),
            "ping" => (SocketClass::Ping, 1),
            raw => (SocketClass::Raw, raw.parse().unwrap()),
        };
        InternetSocket {
            class,
            protocol,
            is_v6: local.is_ipv6(),
            v6_only: words.contains(&"v6only"),
            state: if words.contains(&"listen") { State::Listen } else { State::Established },
            local: mapped(local.ip()),
            remote: mapped(remote.map_or_else(|| none.parse().unwrap(), |remote| remote.ip())),
            local_port: local.port(),
            remote_port: remote.map_or(0, |remote| remote.port()),
            interface: words.iter().find_map(|word| word.strip_prefix("if")?.parse().ok()).unwrap_or(0),
            cookie: 0,
            inode: 0,
            uid: 0,
            receive_queue: 0,
            send_queue: 0,
        }
    }

    fn table(sockets: &[(u64, &str)]) -> SocketIndex {
        let mut table = SocketIndex::default();
        for (at, (namespace, text)) in sockets.iter().enumerate() {
            let cookie = at as u64 + 100;
            let inet = vec![InternetSocket { cookie, ..socket(text) }];
            table.add(
                *namespace,
                *namespace == HERE,
                NamespaceSockets { inet, ..NamespaceSockets::default() },
            );
        }
        table
    }

    fn ends(protocol: u8, local: &str, remote: &str) -> SocketEnds {
        let (local, remote): (SocketAddr, SocketAddr) = (local.parse().unwrap(), remote.parse().unwrap());
        SocketEnds {
            protocol,
            local: mapped(local.ip()),
            local_port: local.port(),
            remote: mapped(remote.ip()),
            remote_port: remote.port(),
            interface: 7,
        }
    }

    fn found(found: Option<Match>) -> Option<(FoundBy, Vec<usize>)> {
        found.map(|found| (found.by, found.sockets))
    }

    #[test]
    fn a_connection_is_found_before_its_listener() {
        let table = table(&[
            (HERE, "tcp 0.0.0.0:80 * listen"),
            (HERE, "tcp 10.0.0.1:80 * listen"),
            (HERE, "tcp [::ffff:10.0.0.1]:80 [::ffff:10.0.0.2]:5000"),
            (HERE, "tcp [::]:81 * listen"),
            (HERE, "tcp [::]:82 * listen v6only"),
            (HERE, "tcp 10.0.0.1:83 *"),
        ]);
        let find = |local, remote| found(table.find(HERE, &ends(6, local, remote)));
        assert_eq!(find("10.0.0.1:80", "10.0.0.2:5000"), Some((FoundBy::Ends, vec![2])));
        assert_eq!(find("10.0.0.1:80", "10.0.0.2:5001"), Some((FoundBy::Listener, vec![1])));
        assert_eq!(find("10.0.0.9:80", "10.0.0.2:5001"), Some((FoundBy::Listener, vec![0])));
        assert_eq!(find("10.0.0.1:81", "10.0.0.2:5001"), Some((FoundBy::Listener, vec![3])));
        assert_eq!(find("[fd00::1]:81", "[fd00::2]:5001"), Some((FoundBy::Listener, vec![3])));
        assert_eq!(find("10.0.0.1:82", "10.0.0.2:5001"), None);
        assert_eq!(find("[fd00::1]:80", "[fd00::2]:5001"), None);
        assert_eq!(find("10.0.0.1:83", "10.0.0.2:5001"), None, "bound, but it does not listen");
        assert_eq!(found(table.find(THERE, &ends(6, "10.0.0.1:80", "10.0.0.2:5000"))), None);
        assert_eq!(table.by_cookie(102), Some(2));
    }

    #[test]
    fn a_shared_port_is_everybodys() {
        let table = table(&[
            (HERE, "udp 0.0.0.0:443 *"),
            (HERE, "udp 0.0.0.0:443 *"),
            (HERE, "udp 10.0.0.1:443 10.0.0.2:5000"),
            (HERE, "udp [::]:443 *"),
            (HERE, "udp 0.0.0.0:444 * if7"),
            (HERE, "udp 0.0.0.0:444 * if8"),
            (HERE, "udp 0.0.0.0:444 *"),
        ]);
        let find = |local, remote| found(table.find(HERE, &ends(17, local, remote)));
        assert_eq!(find("10.0.0.1:443", "10.0.0.3:5000"), Some((FoundBy::Bound, vec![0, 1])));
        assert_eq!(find("10.0.0.1:443", "10.0.0.2:5000"), Some((FoundBy::Ends, vec![2])));
        assert_eq!(find("[fd00::1]:443", "[fd00::2]:5000"), Some((FoundBy::Bound, vec![3])));
        assert_eq!(find("10.0.0.1:444", "10.0.0.2:5000"), Some((FoundBy::Bound, vec![4])));
    }

    #[test]
    fn what_comes_to_a_domain_is_for_those_that_are_bound_to_it() {
        let mut table = table(&[
            (HERE, "udp 0.0.0.0:443 *"),
            (HERE, "udp 0.0.0.0:443 * if9"),
            (HERE, "tcp 0.0.0.0:80 * listen"),
            (HERE, "udp 0.0.0.0:444 * if9"),
            (HERE, "udp 0.0.0.0:444 * if7"),
        ]);
        let find = |table: &SocketIndex, protocol, local| {
            found(table.find(HERE, &ends(protocol, local, "10.0.0.2:5000")))
        };
        assert_eq!(find(&table, 17, "10.0.0.1:443"), Some((FoundBy::Bound, vec![0])));
        table.domains.devices.insert(7, 9);
        assert_eq!(find(&table, 17, "10.0.0.1:443"), Some((FoundBy::Bound, vec![1])));
        assert_eq!(find(&table, 6, "10.0.0.1:80"), None, "it listens outside");
        assert_eq!(find(&table, 17, "10.0.0.1:444"), Some((FoundBy::Bound, vec![3, 4])));
        (table.domains.shares_tcp, table.domains.shares_udp) = (true, true);
        assert_eq!(find(&table, 6, "10.0.0.1:80"), Some((FoundBy::Listener, vec![2])));
        assert_eq!(find(&table, 17, "10.0.0.1:443"), Some((FoundBy::Bound, vec![1])));
        let group = ends(17, "10.0.0.2:9999", "224.0.0.251:443");
        assert_eq!(found(table.members(HERE, &group)), Some((FoundBy::Bound, vec![0, 1])));
        table.domains.shares_udp = false;
        assert_eq!(found(table.members(HERE, &group)), Some((FoundBy::Bound, vec![1])));
    }

    #[test]
    fn a_group_has_members_and_senders() {
        let table = table(&[
            (HERE, "udp 0.0.0.0:5353 *"),
            (HERE, "udp 224.0.0.251:5353 *"),
            (HERE, "udp 239.1.1.1:5353 *"),
            (HERE, "udp [::]:5353 *"),
        ]);
        let received = ends(17, "10.0.0.2:9999", "224.0.0.251:5353");
        assert_eq!(found(table.members(HERE, &received)), Some((FoundBy::Bound, vec![0, 1, 3])));
        let sent = ends(17, "10.0.0.1:5353", "239.1.1.1:5353");
        assert_eq!(found(table.find(HERE, &sent)), Some((FoundBy::Bound, vec![0])));
        let table = self::table(&[(HERE, "udp 239.1.1.1:5353 *")]);
        assert_eq!(found(table.find(HERE, &sent)), Some((FoundBy::Bound, vec![0])));
    }

    #[test]
    fn protocols_without_ports_belong_to_raw_and_ping_sockets() {
        let table = table(&[
            (HERE, "1 0.0.0.0:0 *"),
            (HERE, "ping 0.0.0.0:77 *"),
            (HERE, "89 10.0.0.1:0 *"),
            (HERE, "1 0.0.0.0:0 10.0.0.9:0"),
        ]);
        let find = |protocol, local, remote| found(table.find(HERE, &ends(protocol, local, remote)));
        assert_eq!(find(1, "10.0.0.1:8", "10.0.0.2:0"), Some((FoundBy::Bound, vec![0, 1])));
        assert_eq!(find(89, "10.0.0.1:0", "224.0.0.5:0"), Some((FoundBy::Bound, vec![2])));
        assert_eq!(find(89, "10.0.0.2:0", "224.0.0.5:0"), None);
        assert_eq!(find(47, "10.0.0.1:0", "10.0.0.2:0"), None);
    }

    #[test]
    fn namespaces_are_told_apart() {
        let table = table(&[
            (THERE, "tcp 172.17.0.2:80 10.0.0.2:5000"),
            (ELSEWHERE, "tcp 172.17.0.2:80 10.0.0.2:5000"),
            (ELSEWHERE, "tcp 172.17.0.3:40000 192.0.2.1:443"),
            (THERE, "tcp 172.17.0.2:40001 192.0.2.1:443"),
        ]);
        let near = ends(6, "10.0.0.2:5000", "172.17.0.2:80");
        assert_eq!(found(table.find(THERE, &near.reversed())), Some((FoundBy::Ends, vec![0])));
        assert_eq!(found(table.find(ELSEWHERE, &near.reversed())), Some((FoundBy::Ends, vec![1])));
        assert_eq!(table.elsewhere(&near), None, "both have it");
        let other = ends(6, "192.0.2.1:443", "172.17.0.3:40000");
        assert_eq!(found(table.elsewhere(&other)), Some((FoundBy::Ends, vec![2])));
        // Masqueraded: the host's address, the same port; and a port that is forwarded.
        let masqueraded = ends(6, "203.0.113.1:40001", "192.0.2.1:443");
        assert_eq!(found(table.translated(&masqueraded)), Some((FoundBy::Ends, vec![3])));
        assert_eq!(table.translated(&ends(6, "203.0.113.1:40002", "192.0.2.1:443")), None, "two candidates");
        let table = self::table(&[(THERE, "tcp 172.17.0.2:80 198.51.100.7:61000")]);
        let forwarded = ends(6, "203.0.113.1:8080", "198.51.100.7:61000");
        assert_eq!(found(table.translated(&forwarded)), Some((FoundBy::Ends, vec![0])));
    }
}
