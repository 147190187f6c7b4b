//! A host between containers, which are where it forwards to and from, and the rest of the world.

use std::{net::IpAddr, sync::Arc};

use harness::{Host, Namespace, NetPair};

/// Hardware addresses in the host, of the cables to the containers.
const MACS: [&str; 2] = ["02:00:00:00:00:0a", "02:00:00:00:00:0b"];

/// The host is `near` of each cable.
pub(crate) struct Gateway {
    /// To the containers: all of them are 10.77.0.1, behind 10.77.0.2.
    pub(crate) cables: Vec<NetPair>,
    /// To the world: from 10.99.0.1, named `out`, to 10.99.0.2.
    pub(crate) world: NetPair,
}

impl Gateway {
    /// With a container behind each of these interfaces.
    pub(crate) fn new<const COUNT: usize>(interfaces: [&'static str; COUNT]) -> Self {
        let host = Arc::new(Namespace::new());
        let end = |interface, mac, v4: [u8; 4], v6: &str, namespace: &Arc<Namespace>| Host {
            namespace: Arc::clone(namespace),
            interface,
            mac,
            v4: v4.into(),
            v6: IpAddr::V6(v6.parse().unwrap()),
        };
        let cables = interfaces.into_iter().zip(MACS).map(|(interface, mac)| {
            let cable = NetPair::of(
                end(interface, mac, [10, 77, 0, 2], "fd77::2", &host),
                end("eth0", "02:00:00:00:00:01", [10, 77, 0, 1], "fd77::1", &Arc::default()),
            );
            cable.far.namespace.ip("route add default via 10.77.0.2");
            cable
        });
        let cables = cables.collect();
        let world = NetPair::of(
            end("out", "02:00:00:00:00:0c", [10, 99, 0, 1], "fd99::1", &host),
            end("eth0", "02:00:00:00:00:0d", [10, 99, 0, 2], "fd99::2", &Arc::default()),
        );
        host.set("ipv4/ip_forward", "1");
        Self { cables, world }
    }
}
