//! Which end is the local one, and which way a packet went.

use std::{
    collections::BTreeMap,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket},
    sync::Arc,
};

use harness::{
    Agent, Amounts, Flow, Host, Namespace, NetPair, Way,
    check::{amounts, check_rows, observe},
    frames::{
        FAR_PORT, FAR_V4, FAR_V6, IPV4, IPV6, NEAR_PORT, NEAR_V4, NEAR_V6, ethernet, ipv4_between,
        ipv6_between, protocol::UDP, udp,
    },
    network::settle,
};

/// Bytes of payload of every datagram.
const PAYLOAD: usize = 100;
/// Bytes of its frame over IPv4.
const FRAME: u64 = 14 + 20 + 8 + PAYLOAD as u64;

const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 0, 5);
const ALSO_INSIDE: Ipv4Addr = Ipv4Addr::new(10, 1, 200, 6);
const OUTSIDE: Ipv4Addr = Ipv4Addr::new(198, 51, 100, 7);
const ALSO_OUTSIDE: Ipv4Addr = Ipv4Addr::new(203, 0, 113, 8);

#[test]
fn multicast_is_remote() {
    check_group([
        (NEAR_V4.into(), FAR_V4.into(), Ipv4Addr::new(224, 0, 0, 251).into()),
        (NEAR_V4.into(), FAR_V4.into(), Ipv4Addr::new(239, 255, 255, 250).into()),
        (NEAR_V6.into(), FAR_V6.into(), Ipv6Addr::new(0xff02, 0, 0, 0, 0, 0, 0, 0xfb).into()),
    ]);
}

#[test]
fn broadcast_is_remote() {
    check_group([
        (NEAR_V4.into(), FAR_V4.into(), Ipv4Addr::BROADCAST.into()),
        // That of the interface's network.
        (NEAR_V4.into(), FAR_V4.into(), Ipv4Addr::new(10, 77, 0, 255).into()),
    ]);
}

/// Datagrams from both ends to the same group: the sender is the local end of each.
fn check_group<const N: usize>(cases: [(IpAddr, IpAddr, IpAddr); N]) {
    for (near, far, group) in cases {
        let sent = vec![datagram(Way::Sent, near, group); 3];
        let received = vec![datagram(Way::Sent, far, group); 2];
        check_rows(&sent, &received, |sent, received| {
            vec![
                (Flow::between("udp", near, group).ports(), amounts(sent, &[])),
                (Flow::between("udp", far, group).ports(), amounts(&[], received)),
            ]
        });
    }
}

/// Both ends are foreign: what is sent has its source behind this host, what is received its destination.
#[test]
fn third_parties_by_direction() {
    let (one, other) = (OUTSIDE.into(), ALSO_OUTSIDE.into());
    let sent = vec![datagram(Way::Sent, one, other); 3];
    let received = vec![datagram(Way::Received, other, one); 2];
    check_rows(&sent, &received, |sent, received| {
        vec![(Flow::between("udp", OUTSIDE, ALSO_OUTSIDE).ports(), amounts(sent, received))]
    });
}

/// The addresses decide, not the direction: a frame of ours that comes in again was still sent.
#[test]
fn an_address_of_this_host_is_local_on_ingress_too() {
    let received = vec![datagram(Way::Sent, NEAR_V4.into(), OUTSIDE.into()); 2];
    observe("", &[], &received, |report, hook| {
        let expected = amounts(&received, &[]);
        let flow = Flow::between("udp", NEAR_V4, OUTSIDE).ports();
        assert_eq!(report.rows("near"), BTreeMap::from([(flow, expected)]), "{hook}");
    });
}

#[test]
fn an_ipv4_boundary() {
    for net in ["10.1.0.0/16", "10.1.0.0/255.255.0.0"] {
        check_boundary(
            &format!("-F {net}"),
            INSIDE.into(),
            ALSO_INSIDE.into(),
            OUTSIDE.into(),
            ALSO_OUTSIDE.into(),
        );
    }
}

#[test]
fn an_ipv6_boundary() {
    let address = |text: &str| -> IpAddr { text.parse::<Ipv6Addr>().unwrap().into() };
    check_boundary(
        "-G 2001:db8:1::/48",
        address("2001:db8:1::5"),
        address("2001:db8:1:ffff::6"),
        address("2001:db8:2::7"),
        address("2001:db8:3::8"),
    );
}

/// Only what crosses the boundary is in a row, and which way it crosses it is all that counts; the other family is not
/// touched.
fn check_boundary(
    argument: &str,
    inside: IpAddr,
    also_inside: IpAddr,
    outside: IpAddr,
    also_outside: IpAddr,
) {
    let out = datagram(Way::Sent, inside, outside);
    let back = datagram(Way::Received, outside, inside);
    let within = datagram(Way::Sent, inside, also_inside);
    let without = datagram(Way::Sent, outside, also_outside);
    let (near, far): (IpAddr, IpAddr) =
        if inside.is_ipv4() { (NEAR_V6.into(), FAR_V6.into()) } else { (NEAR_V4.into(), FAR_V4.into()) };
    let other_family = datagram(Way::Sent, near, far);
    let frames = [out.clone(), out.clone(), back.clone(), within, without, other_family.clone()];
    // The same frames both ways: here the direction means nothing.
    observe(argument, &frames, &frames, |report, hook| {
        let crossing =
            amounts(&[out.clone(), out.clone(), out.clone(), out.clone()], &[back.clone(), back.clone()]);
        let other = amounts(&[other_family.clone(), other_family.clone()], &[]);
        let expected = BTreeMap::from([
            (Flow::between("udp", inside, outside).ports(), crossing),
            (Flow::between("udp", near, far).ports(), other),
        ]);
        assert_eq!(report.rows("near"), expected, "{hook}: rows");
        assert_eq!(report.total, crossing + other, "{hook}: total");
        assert_eq!(report.outside_boundary_packets, 4, "{hook}: outside");
        assert_eq!(report.interface("near").residue(), [0; 4], "{hook}: residue");
    });
}

#[test]
fn loopback_counts_once() {
    for hook in ["tcx", "clsact"] {
        for address in [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()] {
            let namespace = Namespace::new();
            let agent = Agent::measure_on(&namespace, "lo", &format!("--hook {hook}"));
            namespace.enter(|| {
                let client = UdpSocket::bind((address, NEAR_PORT)).unwrap();
                let server = UdpSocket::bind((address, FAR_PORT)).unwrap();
                converse(&client, &server, (address, FAR_PORT).into());
            });
            let report = agent.report();
            let frame = if address.is_ipv4() { FRAME } else { FRAME + 20 };
            let expected = conversation(frame);
            // The end with the lower port is the service, and remote.
            let flow = Flow::between("udp", address, address).ports();
            assert_eq!(report.rows("lo"), BTreeMap::from([(flow, expected)]), "{hook}");
            assert_eq!(report.total, expected, "{hook}");
            assert_eq!(report.interface("lo").residue(), [0; 4], "{hook}: {:?}", report.interface("lo"));
        }
    }
}

/// A router between two hosts sees the conversation on both of its interfaces, and on each the end behind it is the
/// local one.
#[test]
fn forwarded_traffic_counts_on_both_interfaces() {
    let pair = NetPair::new();
    let inner = Host {
        namespace: Arc::clone(&pair.near.namespace),
        interface: "inner",
        mac: "02:00:00:00:00:03",
        v4: Ipv4Addr::new(10, 78, 0, 1).into(),
        v6: Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 1).into(),
    };
    let third = Host {
        namespace: Arc::default(),
        interface: "third",
        mac: "02:00:00:00:00:04",
        v4: Ipv4Addr::new(10, 78, 0, 2).into(),
        v6: Ipv6Addr::new(0xfd78, 0, 0, 0, 0, 0, 0, 2).into(),
    };
    let behind = NetPair::of(inner, third);
    pair.near.namespace.set("ipv4/ip_forward", "1");
    pair.far.namespace.ip(&format!("route add default via {}", pair.near.v4));
    behind.far.namespace.ip(&format!("route add default via {}", behind.near.v4));

    let agents = ["tcx", "clsact"].map(|hook| {
        Agent::measure_on(&pair.near.namespace, "near -i inner", &format!("--hook {hook} --per-interface"))
    });
    let client = pair.far.namespace.enter(|| UdpSocket::bind((pair.far.v4, NEAR_PORT)).unwrap());
    let server = behind.far.namespace.enter(|| UdpSocket::bind((behind.far.v4, FAR_PORT)).unwrap());
    converse(&client, &server, (behind.far.v4, FAR_PORT).into());

    for agent in agents {
        let report = agent.report();
        let expected = conversation(FRAME);
        let flow = Flow::between("udp", pair.far.v4, behind.far.v4).ports();
        assert_eq!(report.rows("inner"), BTreeMap::from([(flow.clone(), expected)]));
        assert_eq!(report.rows("near"), BTreeMap::from([(flow.reversed(), swapped(expected))]));
        for name in ["near", "inner"] {
            assert_eq!(report.interface(name).residue(), [0; 4], "{name}");
        }
    }
}

/// The same in a namespace with other addresses: secondary ones are this host's too.
#[test]
fn every_address_of_every_interface_is_local() {
    let pair = NetPair::new();
    pair.near.namespace.ip("address add 192.0.2.1/24 dev near");
    pair.near.namespace.ip("address add 192.0.2.77/32 dev lo");
    let agent = Agent::measure(&pair.near, "--tick-ms 50");
    let secondary: IpAddr = Ipv4Addr::new(192, 0, 2, 1).into();
    let on_loopback: IpAddr = Ipv4Addr::new(192, 0, 2, 77).into();
    // All come in, so that only the addresses can say that these were sent.
    let frames = [secondary, on_loopback].map(|local| datagram(Way::Sent, local, OUTSIDE.into()));
    pair.far.send(&frames);
    let report = agent.report();
    let one = amounts(&frames[..1], &[]);
    let expected = [secondary, on_loopback].map(|local| (Flow::between("udp", local, OUTSIDE).ports(), one));
    assert_eq!(report.rows("near"), BTreeMap::from(expected));
    let received = Amounts { received_bytes: 2 * FRAME, received_packets: 2, ..Amounts::default() };
    assert_eq!(report.interface("near").counted(), received);
    check_totals_of_sent(&report, 2);
}

fn check_totals_of_sent(report: &harness::Report, packets: u64) {
    let sent = Amounts { sent_bytes: packets * FRAME, sent_packets: packets, ..Amounts::default() };
    assert_eq!(report.total, sent);
}

fn datagram(way: Way, source: IpAddr, destination: IpAddr) -> Vec<u8> {
    let payload = udp(way, PAYLOAD);
    match (source, destination) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            ethernet(way, IPV4, &ipv4_between(source, destination, UDP, &[], 0, &payload))
        }
        (IpAddr::V6(source), IpAddr::V6(destination)) => {
            ethernet(way, IPV6, &ipv6_between(source, destination, UDP, &payload))
        }
        _ => unreachable!("two families in one packet"),
    }
}

/// Five datagrams there, two back.
fn converse(client: &UdpSocket, server: &UdpSocket, to: std::net::SocketAddr) {
    let payload = [0; PAYLOAD];
    for _ in 0..5 {
        client.send_to(&payload, to).unwrap();
        server.recv(&mut [0; PAYLOAD]).unwrap();
    }
    for _ in 0..2 {
        server.send_to(&payload, client.local_addr().unwrap()).unwrap();
        client.recv(&mut [0; PAYLOAD]).unwrap();
    }
    settle();
}

/// What [`converse`] amounts to, from the client's end.
fn conversation(frame: u64) -> Amounts {
    Amounts { sent_bytes: 5 * frame, sent_packets: 5, received_bytes: 2 * frame, received_packets: 2 }
}

fn swapped(amounts: Amounts) -> Amounts {
    Amounts {
        sent_bytes: amounts.received_bytes,
        sent_packets: amounts.received_packets,
        received_bytes: amounts.sent_bytes,
        received_packets: amounts.sent_packets,
    }
}
