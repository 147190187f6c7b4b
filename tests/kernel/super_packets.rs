//! Super-packets of known size: what is on the wire, not what the stack holds.

use std::{collections::BTreeMap, net::UdpSocket};

use harness::{
    Amounts, Flow, NetPair, Way,
    check::{check_totals, for_every_hook},
    frames::{
        DOT1Q, FAR_PORT, IPV4, IPV6, NEAR_PORT, ethernet, ipv4, ipv6,
        protocol::{TCP, UDP},
        tagged, tcp, udp,
    },
    network::settle,
    raw::{Gso, RawSocket},
};
use nix::sys::socket::{setsockopt, sockopt::UdpGsoSegment};

const ETHERNET: usize = 14;
const TAG: usize = 4;
const V4: usize = 20;
const V6: usize = 40;
const TCP_HEADER: usize = 20;
const UDP_HEADER: usize = 8;

/// Payload of a segment.
const SIZE: usize = 1000;
/// Ten whole segments and a short one.
const PAYLOAD: usize = 10 * SIZE + 123;
const SEGMENTS: usize = 11;

#[test]
fn tcp_v4() {
    let headers = ETHERNET + V4 + TCP_HEADER;
    let frame = |way| ethernet(way, IPV4, &ipv4(way, TCP, &tcp(way, PAYLOAD)));
    check(frame, gso(Gso::TCP_V4, headers, TCP_HEADER, 16), &Flow::v4("tcp").ports());
}

#[test]
fn tcp_v6() {
    let headers = ETHERNET + V6 + TCP_HEADER;
    let frame = |way| ethernet(way, IPV6, &ipv6(way, TCP, &tcp(way, PAYLOAD)));
    check(frame, gso(Gso::TCP_V6, headers, TCP_HEADER, 16), &Flow::v6("tcp").ports());
}

#[test]
fn tcp_options() {
    const OPTIONS: usize = 12;
    let headers = ETHERNET + V4 + TCP_HEADER + OPTIONS;
    let frame = |way| {
        let mut segment = tcp(way, OPTIONS + PAYLOAD);
        segment[12] = 8 << 4;
        ethernet(way, IPV4, &ipv4(way, TCP, &segment))
    };
    check(frame, gso(Gso::TCP_V4, headers, TCP_HEADER + OPTIONS, 16), &Flow::v4("tcp").ports());
}

#[test]
fn tcp_in_a_vlan() {
    let headers = ETHERNET + TAG + V4 + TCP_HEADER;
    let frame = |way| tagged(way, &[(DOT1Q, 7)], IPV4, &ipv4(way, TCP, &tcp(way, PAYLOAD)));
    check(frame, gso(Gso::TCP_V4, headers, TCP_HEADER, 16), &Flow::v4("tcp").ports().vlan(7));
}

#[test]
fn udp_v4() {
    let headers = ETHERNET + V4 + UDP_HEADER;
    let frame = |way| ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, PAYLOAD)));
    check(frame, gso(Gso::UDP, headers, UDP_HEADER, 6), &Flow::v4("udp").ports());
}

#[test]
fn udp_v6() {
    let headers = ETHERNET + V6 + UDP_HEADER;
    let frame = |way| ethernet(way, IPV6, &ipv6(way, UDP, &udp(way, PAYLOAD)));
    check(frame, gso(Gso::UDP, headers, UDP_HEADER, 6), &Flow::v6("udp").ports());
}

/// As an application makes them, with `UDP_SEGMENT` (udp(7)).
#[test]
fn udp_from_a_socket() {
    const SENDS: u64 = 5;
    let traffic = |pair: &NetPair| {
        let near = pair.near.namespace.enter(|| UdpSocket::bind((pair.near.v4, NEAR_PORT)).unwrap());
        let _far = pair.far.namespace.enter(|| UdpSocket::bind((pair.far.v4, FAR_PORT)).unwrap());
        setsockopt(&near, UdpGsoSegment, &i32::try_from(SIZE).unwrap()).unwrap();
        for _ in 0..SENDS {
            assert_eq!(near.send_to(&[0; PAYLOAD], (pair.far.v4, FAR_PORT)).unwrap(), PAYLOAD);
        }
        settle();
    };
    let wire = PAYLOAD + SEGMENTS * (ETHERNET + V4 + UDP_HEADER);
    let expected = Amounts {
        sent_bytes: SENDS * wire as u64,
        sent_packets: SENDS * SEGMENTS as u64,
        ..Amounts::default()
    };
    for_every_hook("", traffic, |report, hook| {
        let flow = Flow::v4("udp").ports();
        assert_eq!(report.rows("near"), BTreeMap::from([(flow, expected)]), "{hook}: rows");
        check_totals(report, "near", expected, hook);
    });
}

/// What goes before a frame whose transport header, `transport` bytes long, ends `headers` bytes into it.
fn gso(kind: u8, headers: usize, transport: usize, checksum: u16) -> Gso {
    let number = |number: usize| u16::try_from(number).unwrap();
    Gso {
        kind,
        headers: number(headers),
        size: number(SIZE),
        transport: number(headers - transport),
        checksum,
    }
}

/// Three of them sent, two received. Those from a packet socket have no number of segments on egress, where the program
/// has to work it out; on ingress the stack has filled it in.
fn check(frame: impl Fn(Way) -> Vec<u8>, gso: Gso, flow: &Flow) {
    let traffic = |pair: &NetPair| {
        for (host, way, count) in [(&pair.near, Way::Sent, 3), (&pair.far, Way::Received, 2)] {
            let socket = RawSocket::open_for_super_packets(&host.namespace, host.interface);
            let before = host.counters().sent_packets;
            for _ in 0..count {
                socket.send(&[gso.header(), frame(way)].concat());
            }
            harness::eventually("every super-packet leaves", || {
                (host.counters().sent_packets >= before + count).then_some(())
            });
            settle();
        }
    };
    let wire = (PAYLOAD + SEGMENTS * usize::from(gso.headers)) as u64;
    let expected = Amounts {
        sent_bytes: 3 * wire,
        sent_packets: 3 * SEGMENTS as u64,
        received_bytes: 2 * wire,
        received_packets: 2 * SEGMENTS as u64,
    };
    for_every_hook("", traffic, |report, hook| {
        assert_eq!(report.rows("near"), BTreeMap::from([(flow.clone(), expected)]), "{hook}: rows");
        check_totals(report, "near", expected, hook);
    });
}
