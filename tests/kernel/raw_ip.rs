//! A device without a link layer: what is counted starts with the IP header.

use std::collections::BTreeMap;

use harness::{
    Agent, Flow, NetPair, Way,
    check::{amounts, check_totals},
    frames::{
        extension, icmp, ipv4, ipv4_with, ipv6, opaque,
        protocol::{HOP_BY_HOP, ICMPV6, TCP, UDP},
        tcp, udp,
    },
    tun::{TUN, Tun},
};

#[test]
fn udp_v4() {
    check(|way| ipv4(way, UDP, &udp(way, 100)), &Flow::v4("udp").ports());
}

#[test]
fn tcp_v6() {
    check(|way| ipv6(way, TCP, &tcp(way, 100)), &Flow::v6("tcp").ports());
}

#[test]
fn options() {
    check(|way| ipv4_with(way, TCP, &[1; 8], 0, &tcp(way, 100)), &Flow::v4("tcp").ports());
}

#[test]
fn extensions() {
    check(
        |way| ipv6(way, HOP_BY_HOP, &extension(ICMPV6, 0, &icmp(way.ends(128, 129).0, 0, 64))),
        &Flow::v6("icmpv6").with_ports(128, 0),
    );
}

#[test]
fn later_fragment() {
    check(|way| ipv4_with(way, UDP, &[], 150, &opaque(800)), &Flow::v4("udp"));
}

#[test]
fn total_length_beyond_the_packet() {
    check(|way| ipv4(way, UDP, &udp(way, 100))[..100].to_vec(), &Flow::frames("unparsed"));
}

/// As [`harness::check()`], on a tun device.
fn check(packet: impl Fn(Way) -> Vec<u8>, flow: &Flow) {
    for hooks in [&["tcx", "clsact"][..], &["xdp"]] {
        let pair = NetPair::new();
        let tun = Tun::new(&pair.near);
        let agents: Vec<_> = hooks
            .iter()
            .map(|hook| (hook, Agent::measure_on(&pair.near.namespace, TUN, &format!("--hook {hook}"))))
            .collect();
        let (sent, received) = (vec![packet(Way::Sent); 3], vec![packet(Way::Received); 2]);
        tun.send(&sent);
        tun.receive(&pair.near, &received);
        let expected = amounts(&sent, &received);
        for (hook, agent) in agents {
            let report = agent.report();
            assert_eq!(report.rows(TUN), BTreeMap::from([(flow.clone(), expected)]), "{hook}: rows");
            check_totals(&report, TUN, expected, hook);
        }
    }
}
