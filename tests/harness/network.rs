//! Two hosts joined by a cable.

use std::{fs, net::IpAddr, ops::Sub, sync::Arc};

use crate::{Namespace, eventually, frames, raw::RawSocket};

/// One end of a cable: a namespace and an interface in it.
#[derive(Debug)]
pub struct Host {
    /// Where it is.
    pub namespace: Arc<Namespace>,
    /// The interface at this end of the cable.
    pub interface: &'static str,
    /// Its hardware address.
    pub mac: &'static str,
    /// Its IPv4 address, in a /24.
    pub v4: IpAddr,
    /// Its IPv6 address, in a /64.
    pub v6: IpAddr,
}

/// What an interface's own counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Bytes received.
    pub received_bytes: u64,
    /// Packets received.
    pub received_packets: u64,
    /// Bytes sent.
    pub sent_bytes: u64,
    /// Packets sent.
    pub sent_packets: u64,
}

impl Sub for Counters {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            received_bytes: self.received_bytes - earlier.received_bytes,
            received_packets: self.received_packets - earlier.received_packets,
            sent_bytes: self.sent_bytes - earlier.sent_bytes,
            sent_packets: self.sent_packets - earlier.sent_packets,
        }
    }
}

/// Two hosts and a veth pair between them, on which there is no frame but those of the test: no address resolution
/// (neighbours are permanent entries), no router solicitation, no multicast report.
#[derive(Debug)]
pub struct NetPair {
    /// Where the program under test runs.
    pub near: Host,
    /// The other end.
    pub far: Host,
}

impl NetPair {
    /// Makes both and the cable.
    #[must_use]
    pub fn new() -> Self {
        Self::with_near(Arc::default())
    }

    /// Makes the other end and the cable.
    #[must_use]
    pub fn with_near(near: Arc<Namespace>) -> Self {
        Self::of(
            Host {
                namespace: near,
                interface: "near",
                mac: "02:00:00:00:00:01",
                v4: frames::NEAR_V4.into(),
                v6: frames::NEAR_V6.into(),
            },
            Host {
                namespace: Arc::default(),
                interface: "far",
                mac: "02:00:00:00:00:02",
                v4: frames::FAR_V4.into(),
                v6: frames::FAR_V6.into(),
            },
        )
    }

    /// Joins two hosts.
    #[must_use]
    pub fn of(near: Host, far: Host) -> Self {
        let pair = Self { near, far };
        pair.plug();
        pair
    }

    /// Makes the cable and gives its ends their addresses.
    pub fn plug(&self) {
        let Self { near, far } = self;
        near.namespace.ip(&format!(
            "link add name {} address {} type veth peer name {} address {} netns {}",
            near.interface,
            near.mac,
            far.interface,
            far.mac,
            far.namespace.path()
        ));
        near.configure(far);
        far.configure(near);
        // Until the kernel has taken note of the carrier, it drops what is sent without a word.
        for host in [near, far] {
            eventually("the cable works", || {
                host.namespace.ip(&format!("link show {}", host.interface)).contains("state UP").then_some(())
            });
        }
    }

    /// Takes the cable away, and both interfaces with it.
    pub fn unplug(&self) {
        self.near.namespace.ip(&format!("link del {}", self.near.interface));
    }
}

impl Default for NetPair {
    fn default() -> Self {
        Self::new()
    }
}

impl Host {
    fn configure(&self, other: &Self) {
        let Self { namespace, interface, v4, v6, .. } = self;
        // Without "arp", an IPv6 address sends neither probes nor reports about the groups it makes the host join;
        // without a link-local address there are no router solicitations.
        namespace.ip(&format!("link set {interface} arp off addrgenmode none"));
        namespace.ip(&format!("link set {interface} up"));
        namespace.ip(&format!("address add {v4}/24 brd + dev {interface}"));
        namespace.ip(&format!("address add {v6}/64 dev {interface} nodad"));
        for address in [other.v4, other.v6] {
            namespace
                .ip(&format!("neigh replace {address} lladdr {} dev {interface} nud permanent", other.mac));
        }
    }

    /// Sends frames as they are, and returns when the other end's kernel has seen the last one.
    pub fn send(&self, frames: &[Vec<u8>]) {
        let all = self.counters().sent_packets + frames.len() as u64;
        let socket = RawSocket::open(&self.namespace, self.interface);
        for frame in frames {
            socket.send(frame);
        }
        eventually("every frame leaves", || (self.counters().sent_packets >= all).then_some(()));
        settle();
    }

    /// The interface's counters.
    #[must_use]
    pub fn counters(&self) -> Counters {
        self.counters_of(self.interface)
    }

    /// The counters of any interface of this host.
    #[must_use]
    pub fn counters_of(&self, interface: &str) -> Counters {
        let text = self
            .namespace
            .enter(|| fs::read_to_string("/proc/thread-self/net/dev"))
            .expect("read the interface counters");
        let line = text.lines().find_map(|line| line.trim().strip_prefix(interface)?.strip_prefix(':'));
        let line = line.unwrap_or_else(|| panic!("no interface {interface} in {text}"));
        let numbers: Vec<u64> =
            line.split_whitespace().map(|word| word.parse().expect("a counter")).collect();
        Counters {
            received_bytes: numbers[0],
            received_packets: numbers[1],
            sent_bytes: numbers[8],
            sent_packets: numbers[9],
        }
    }

    /// Sets offloads with ethtool: `tso off gro on`.
    pub fn offload(&self, features: &str) {
        self.namespace.run("ethtool", &format!("-K {} {features}", self.interface));
    }
}

/// Waits until no CPU has received frames that it has not delivered yet. A veth pair hands frames over in the sender's
/// system call unless the CPU is busy; then they lie in its backlog, and a counter would be read too early.
pub fn settle() {
    /// Column of the backlog's length (`net/core/net-procfs.c`, `softnet_seq_show`).
    const BACKLOG: usize = 11;
    let backlogs = || -> Vec<bool> {
        let text = fs::read_to_string("/proc/net/softnet_stat").expect("read softnet_stat");
        let empty =
            |line: &str| line.split_whitespace().nth(BACKLOG).is_none_or(|n| n.trim_matches('0').is_empty());
        text.lines().map(empty).collect()
    };
    // A backlog is first in, first out: once it was empty, what was in it before is delivered. They need not be empty
    // all at the same time, which other tests would prevent.
    let mut seen_empty = backlogs();
    eventually("received frames are delivered", || {
        for (seen, now) in seen_empty.iter_mut().zip(backlogs()) {
            *seen |= now;
        }
        seen_empty.iter().all(|seen| *seen).then_some(())
    });
}
