//! What is listed, and in which order.

use proptest::prelude::*;

use super::*;
use crate::{
    flow::{
        boundary::{Ipv4Boundary, Ipv6Boundary},
        row::Lane,
    },
    iftop::options::{PairOrder, PortDisplay},
};

const ETHERNET: InterfaceId = InterfaceId(1);
const LOOPBACK: InterfaceId = InterfaceId(2);

/// An address and a port.
type Place<'a> = (&'a str, u16);

fn mapped(address: &str) -> Ipv6Addr {
    match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    }
}

fn row(local: Place<'_>, remote: Place<'_>, kind: Kind, sent: u64, received: u64) -> (RowKey, Traffic) {
    let lane = |bytes| Lane { bytes, packets: 1, recent: [bytes / 4, bytes / 2, bytes], peak: bytes };
    let key = RowKey {
        local: mapped(local.0),
        remote: mapped(remote.0),
        local_port: local.1,
        remote_port: remote.1,
        vlan: 0,
        interface: ETHERNET,
        kind,
    };
    (key, Traffic { sent: lane(sent), received: lane(received), peak: sent + received })
}

fn on_loopback((key, traffic): (RowKey, Traffic)) -> (RowKey, Traffic) {
    (RowKey { interface: LOOPBACK, ..key }, traffic)
}

fn list(rows: &[(RowKey, Traffic)], options: &IftopOptions, previous: &[PairKey]) -> Vec<ListedPair> {
    let snapshot = Snapshot { rows: rows.to_vec(), ..Snapshot::default() };
    let around = Surroundings {
        names: &Names::default(),
        loopback: &[LOOPBACK].into(),
        broadcast: &[Ipv4Addr::new(10, 0, 0, 255)].into(),
    };
    pairs(&snapshot, options, &around, previous)
}

/// A pair in one line: left, right, kind, bytes sent and received.
fn describe(pair: &ListedPair) -> String {
    let end = |end: PairEnd| match (end.address, end.port) {
        (PairAddress::Shown(address), 0) => address.to_string(),
        (PairAddress::Shown(IpAddr::V6(address)), port) => format!("[{address}]:{port}"),
        (PairAddress::Shown(address), port) => format!("{address}:{port}"),
        (PairAddress::HiddenV4, port) => format!("*4:{port}"),
        (PairAddress::HiddenV6, port) => format!("*6:{port}"),
    };
    let kind = pair.key.kind.map_or_else(|| "any".to_owned(), |kind| kind.to_string());
    format!(
        "{} {} {kind} {}/{}",
        end(pair.key.left),
        end(pair.key.right),
        pair.sent.bytes,
        pair.received.bytes
    )
}

fn check(rows: &[(RowKey, Traffic)], options: &IftopOptions, expected: &[&str]) {
    let listed: Vec<String> = list(rows, options, &[]).iter().map(describe).collect();
    assert_eq!(listed, expected);
}

fn with_ports(port_display: PortDisplay) -> IftopOptions {
    IftopOptions { port_display, ..IftopOptions::default() }
}

/// What one host and its neighbours do.
fn conversations() -> Vec<(RowKey, Traffic)> {
    vec![
        row(("10.0.0.1", 4000), ("10.0.0.2", 80), Kind::TCP, 1000, 64_000),
        row(("10.0.0.1", 4001), ("10.0.0.2", 80), Kind::TCP, 2000, 30_000),
        row(("10.0.0.1", 4000), ("10.0.0.2", 80), Kind::UDP, 8000, 0),
        row(("10.0.0.1", 8), ("10.0.0.2", 0), Kind::Ip(1), 400, 400),
        row(("fd77::1", 4000), ("fd77::2", 80), Kind::TCP, 200, 0),
    ]
}

#[test]
fn with_ports_off_protocols_are_one() {
    check(
        &conversations(),
        &with_ports(PortDisplay::Off),
        &["10.0.0.1 10.0.0.2 any 11400/94400", "fd77::1 fd77::2 any 200/0"],
    );
}

#[test]
fn with_ports_on_every_flow_is_a_pair_and_icmp_has_no_port() {
    check(
        &conversations(),
        &with_ports(PortDisplay::On),
        &[
            "10.0.0.1:4000 10.0.0.2:80 tcp 1000/64000",
            "10.0.0.1:4001 10.0.0.2:80 tcp 2000/30000",
            "10.0.0.1:4000 10.0.0.2:80 udp 8000/0",
            "10.0.0.1 10.0.0.2 icmp 400/400",
            "[fd77::1]:4000 [fd77::2]:80 tcp 200/0",
        ],
    );
}

#[test]
fn with_the_ports_of_one_side_protocols_stay_apart() {
    check(
        &conversations(),
        &with_ports(PortDisplay::Destination),
        &[
            "10.0.0.1 10.0.0.2:80 tcp 3000/94000",
            "10.0.0.1 10.0.0.2:80 udp 8000/0",
            "10.0.0.1 10.0.0.2 icmp 400/400",
            "fd77::1 [fd77::2]:80 tcp 200/0",
        ],
    );
    check(
        &conversations(),
        &with_ports(PortDisplay::Source),
        &[
            "10.0.0.1:4000 10.0.0.2 tcp 1000/64000",
            "10.0.0.1:4001 10.0.0.2 tcp 2000/30000",
            "10.0.0.1:4000 10.0.0.2 udp 8000/0",
            "10.0.0.1 10.0.0.2 icmp 400/400",
            "[fd77::1]:4000 fd77::2 tcp 200/0",
        ],
    );
}

#[test]
fn hidden_hosts_keep_their_family_and_port() {
    let options = IftopOptions { hide_source: true, ..with_ports(PortDisplay::Source) };
    check(
        &conversations()[..2],
        &options,
        &["*4:4000 10.0.0.2 tcp 1000/64000", "*4:4001 10.0.0.2 tcp 2000/30000"],
    );
    let options = IftopOptions { hide_source: true, hide_destination: true, ..IftopOptions::default() };
    check(&conversations(), &options, &["*4:0 *4:0 any 11400/94400", "*6:0 *6:0 any 200/0"]);
}

#[test]
fn vlans_and_interfaces_are_not_told_apart() {
    let [(key, traffic), ..] = conversations()[..] else { unreachable!() };
    let others = [
        (key, traffic),
        (RowKey { vlan: 7, ..key }, traffic),
        (RowKey { interface: InterfaceId(9), ..key }, traffic),
    ];
    check(&others, &IftopOptions::default(), &["10.0.0.1 10.0.0.2 any 3000/192000"]);
}

#[test]
fn fragments_without_ports_show_none() {
    let rows = [row(("10.0.0.1", 0), ("10.0.0.2", 0), Kind::UDP, 8, 0)];
    check(&rows, &with_ports(PortDisplay::On), &["10.0.0.1 10.0.0.2 udp 8/0"]);
}

#[test]
fn what_a_group_received_has_the_group_left() {
    let rows = [
        row(("10.77.0.2", 5353), ("224.0.0.251", 5353), Kind::UDP, 0, 600),
        row(("10.77.0.2", 68), ("255.255.255.255", 67), Kind::UDP, 0, 500),
        row(("10.0.0.2", 138), ("10.0.0.255", 138), Kind::UDP, 0, 400),
        row(("fd77::2", 5353), ("ff05::fb", 5353), Kind::UDP, 0, 300),
        row(("10.0.0.1", 138), ("10.0.0.255", 138), Kind::UDP, 200, 0),
        row(("10.0.0.1", 9), ("10.0.1.255", 9), Kind::UDP, 0, 100),
    ];
    let options = with_ports(PortDisplay::On);
    check(
        &rows,
        &options,
        &[
            "224.0.0.251:5353 10.77.0.2:5353 udp 0/600",
            "255.255.255.255:67 10.77.0.2:68 udp 0/500",
            "10.0.0.255:138 10.0.0.2:138 udp 0/400",
            "[ff05::fb]:5353 [fd77::2]:5353 udp 0/300",
            "10.0.0.1:138 10.0.0.255:138 udp 200/0",
            "10.0.0.1:9 10.0.1.255:9 udp 0/100",
        ],
    );
    // A net filter says which end is inside, for its own family.
    let v4 =
        IftopOptions { net_filter: Some(Ipv4Boundary::parse("10.77.0.0/24").unwrap()), ..options.clone() };
    let left = |options| describe(&list(&rows[..1], options, &[])[0]);
    assert_eq!(left(&v4), "10.77.0.2:5353 224.0.0.251:5353 udp 0/600");
    let v6 = IftopOptions { net_filter6: Some(Ipv6Boundary::parse("fd77::/64").unwrap()), ..options };
    assert_eq!(left(&v6), "224.0.0.251:5353 10.77.0.2:5353 udp 0/600");
    assert_eq!(describe(&list(&rows[3..4], &v6, &[])[0]), "[fd77::2]:5353 [ff05::fb]:5353 udp 0/300");
}

#[test]
fn loopback_is_two_pairs_that_send() {
    let rows = [
        on_loopback(row(("127.0.0.1", 4000), ("127.0.0.1", 80), Kind::TCP, 100, 900)),
        on_loopback(row(("127.0.0.1", 4001), ("127.0.0.2", 53), Kind::UDP, 50, 0)),
    ];
    check(
        &rows,
        &with_ports(PortDisplay::On),
        &[
            "127.0.0.1:80 127.0.0.1:4000 tcp 900/0",
            "127.0.0.1:4000 127.0.0.1:80 tcp 100/0",
            "127.0.0.1:4001 127.0.0.2:53 udp 50/0",
        ],
    );
    check(&rows[..1], &IftopOptions::default(), &["127.0.0.1 127.0.0.1 any 1000/0"]);
    // A net filter says which end is inside, on loopback too.
    let inside = IftopOptions {
        net_filter: Some(Ipv4Boundary::parse("127.0.0.1/32").unwrap()),
        ..with_ports(PortDisplay::On)
    };
    check(&rows[1..], &inside, &["127.0.0.1:4001 127.0.0.2:53 udp 50/0"]);
}

#[test]
fn a_flow_that_was_idle_for_40_seconds_is_gone_with_its_totals() {
    let mut rows = conversations();
    rows[0].1.sent.recent = [0; 3];
    rows[0].1.received.recent = [0; 3];
    check(&rows[..2], &IftopOptions::default(), &["10.0.0.1 10.0.0.2 any 2000/30000"]);
    check(&rows[..1], &IftopOptions::default(), &[]);
}

#[test]
fn a_frozen_list_keeps_its_pairs_and_places() {
    let options = IftopOptions { frozen: true, ..with_ports(PortDisplay::On) };
    let rows = conversations();
    let keys: Vec<PairKey> =
        list(&rows[1..3], &with_ports(PortDisplay::On), &[]).iter().map(|pair| pair.key).collect();
    // The first row is new and has more traffic than any other; the third is gone.
    let listed: Vec<String> = list(&rows[..2], &options, &keys).iter().map(describe).collect();
    assert_eq!(listed, ["10.0.0.1:4001 10.0.0.2:80 tcp 2000/30000", "10.0.0.1:4000 10.0.0.2:80 udp 0/0"]);
}

fn any_row() -> impl Strategy<Value = (RowKey, Traffic)> {
    let place =
        || (prop::sample::select(vec!["10.0.0.1", "10.0.0.2", "224.0.0.1", "fd77::1", "fe80::1"]), 0_u16..3);
    let kind = prop::sample::select(vec![Kind::TCP, Kind::UDP, Kind::Ip(1)]);
    (place(), place(), kind, 0_u64..1000, 0_u64..1000, any::<bool>()).prop_map(
        |(local, remote, kind, sent, received, lo)| {
            let row = row(local, remote, kind, sent, received);
            if lo { on_loopback(row) } else { row }
        },
    )
}

prop_compose! {
    fn any_options()(
        ports in 0_usize..4, sort in 0_usize..5, hide_source: bool, hide_destination: bool
    ) -> IftopOptions {
        let ports = [PortDisplay::Off, PortDisplay::Source, PortDisplay::Destination, PortDisplay::On][ports];
        let sort =
            [PairOrder::TwoSeconds, PairOrder::TenSeconds, PairOrder::FortySeconds, PairOrder::Source, PairOrder::Destination][sort];
        IftopOptions { hide_source, hide_destination, sort, ..with_ports(ports) }
    }
}

proptest! {
    #[test]
    fn every_byte_is_in_one_pair(rows in prop::collection::vec(any_row(), 0..40), options in any_options()) {
        let listed = list(&rows, &options, &[]);
        let expected: u64 = rows.iter().map(|(_, traffic)| traffic.bytes()).sum();
        let both = |pair: &ListedPair| pair.sent.plus(pair.received);
        prop_assert_eq!(listed.iter().map(|pair| both(pair).bytes).sum::<u64>(), expected);
        prop_assert_eq!(listed.iter().map(|pair| both(pair).recent[2]).sum::<u64>(), expected);
        let keys: HashSet<PairKey> = listed.iter().map(|pair| pair.key).collect();
        prop_assert_eq!(keys.len(), listed.len());
        prop_assert!(listed.iter().all(|pair| both(pair).bytes > 0));
    }

    #[test]
    fn a_list_does_not_depend_on_the_order_of_rows(rows in prop::collection::vec(any_row(), 0..40), options in any_options()) {
        let listed = list(&rows, &options, &[]);
        let backwards: Vec<_> = rows.iter().rev().copied().collect();
        prop_assert_eq!(&listed, &list(&backwards, &options, &[]));
        // Freezing changes nothing as long as nothing else changes.
        let keys: Vec<PairKey> = listed.iter().map(|pair| pair.key).collect();
        prop_assert_eq!(&listed, &list(&backwards, &IftopOptions { frozen: true, ..options }, &keys));
    }
}
