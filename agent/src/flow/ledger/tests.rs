//! The ledger, fed interval by interval.

use std::net::IpAddr;

use flowtally_common::flow::{PROTOCOL_NOT_IP, Unparsed};

use super::*;
use crate::filter::Dictionary;
use crate::flow::{attached::Attached, orient::LocalRule};
use crate::model::owner::{Attribution, Owner, ProcessId, Reason};

const SECOND: Duration = Duration::from_secs(1);

fn ledger(change: impl FnOnce(&mut Terms)) -> Ledger {
    let mut terms = Terms {
        measure: Measure::Frames,
        counting: Counting::Once,
        retention: Retention::Run,
        groups: Vec::new(),
        intervals: false,
        max_rows: 1000,
        orientation: Orientation::default(),
        filter: None,
        services: Services::parse("domain 53/udp\nhttps 443/tcp\n"),
        tick: SECOND,
    };
    let own: [IpAddr; 2] = ["10.0.0.1".parse().unwrap(), "fd00::1".parse().unwrap()];
    terms.orientation.set_addresses(own, []);
    change(&mut terms);
    let mut ledger = Ledger::new(terms);
    ledger.attach(attached("eth0", 7, [0, 0]));
    ledger
}

fn attached(name: &str, index: u32, bytes: [u64; 2]) -> Attached {
    Attached {
        name: name.to_owned(),
        index,
        layer: Layer::Ethernet,
        loopback: false,
        hook: "tcx".to_owned(),
        degraded: Vec::new(),
        counters: bytes.map(|bytes| Count { bytes, packets: 0 }),
    }
}

/// What `src` sends to `dst`, each an address and a port, as eth0 sees it.
fn key(direction: Direction, src: (&str, u16), dst: (&str, u16)) -> FlowKey {
    let octets = |address: &str| match address.parse().unwrap() {
        IpAddr::V4(address) => address.to_ipv6_mapped().octets(),
        IpAddr::V6(address) => address.octets(),
    };
    FlowKey {
        src: octets(src.0),
        dst: octets(dst.0),
        src_port: src.1.to_be_bytes(),
        dst_port: dst.1.to_be_bytes(),
        ifindex: 7,
        protocol: 17,
        direction: direction as u8,
        vlan: 0,
    }
}

fn query() -> FlowKey {
    key(Direction::Egress, ("10.0.0.1", 40_000), ("192.0.2.53", 53))
}

fn answer() -> FlowKey {
    key(Direction::Ingress, ("192.0.2.53", 53), ("10.0.0.1", 40_000))
}

const fn count(bytes: u64, packets: u64) -> Count {
    Count { bytes, packets }
}

/// Everything of one process.
fn process(pid: u32, command: &str, reason: Reason) -> Arc<Attribution> {
    let owner = Owner {
        id: ProcessId { pid, start: Some(1) },
        start_time: None,
        command: command.into(),
        executable: None,
        uid: Some(pid),
        user: None,
        container: None,
        netns: None,
    };
    Arc::new(Attribution { owners: vec![owner], reason })
}

#[test]
fn both_directions_are_one_row() {
    let mut ledger = ledger(|_| ());
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&answer(), count(900, 2), SocketHint::NONE);
    ledger.record(&query(), count(50, 1), SocketHint::NONE);
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    let [(row, traffic)] = snapshot.rows.as_slice() else { panic!("{:?}", snapshot.rows) };
    assert_eq!((row.local_port, row.remote_port, row.kind), (40_000, 53, Kind::UDP));
    assert_eq!((traffic.sent.bytes, traffic.sent.packets), (150, 2));
    assert_eq!((traffic.received.bytes, traffic.received.packets), (900, 2));
    assert_eq!((traffic.sent.peak, traffic.received.peak, traffic.peak), (150, 900, 1050));
    assert_eq!(traffic.received.recent, [900; 3]);
    assert_eq!(snapshot.total, *traffic);
    assert_eq!(snapshot.interfaces[0].egress.counted, count(150, 2));
    assert_eq!(snapshot.interfaces[0].ingress.counted, count(900, 2));
}

#[test]
fn groups_have_their_own_peaks() {
    let mut ledger = ledger(|terms| terms.groups = vec![GroupBy::Service, GroupBy::Remote]);
    for (second, port) in [(1, 40_000), (2, 40_001)] {
        ledger.record(
            &key(Direction::Egress, ("10.0.0.1", port), ("192.0.2.53", 53)),
            count(500, 1),
            SocketHint::NONE,
        );
        ledger.record(
            &key(Direction::Egress, ("10.0.0.1", 50_000), ("192.0.2.53", 53)),
            count(700, 1),
            SocketHint::NONE,
        );
        ledger.close(SECOND * second);
    }
    for (by, groups) in ledger.snapshot().groups {
        let [(key, traffic)] = groups.as_slice() else { panic!("{by}: {groups:?}") };
        assert_eq!(
            (traffic.sent.bytes, traffic.sent.peak),
            (2400, 1200),
            "not the sum of the rows' peaks, 1700: {key:?}"
        );
    }
}

#[test]
fn live_rows_leave_with_the_longest_window() {
    for (retention, rows_left) in [(Retention::Live, 0), (Retention::Run, 1)] {
        let mut ledger = ledger(|terms| {
            terms.retention = retention;
            terms.groups = vec![GroupBy::Port];
        });
        ledger.record(&query(), count(100, 1), SocketHint::NONE);
        for second in 1..=40 {
            ledger.close(SECOND * second);
            assert_eq!(ledger.len(), 1, "after {second} s");
        }
        ledger.close(SECOND * 41);
        let snapshot = ledger.snapshot();
        assert_eq!((snapshot.rows.len(), snapshot.groups[0].1.len()), (rows_left, rows_left));
        assert_eq!(
            (snapshot.total.sent.bytes, snapshot.total.sent.recent),
            (100, [0; 3]),
            "totals never go down"
        );
        // Coming back is a new row, in the place of the old one.
        ledger.record(&query(), count(7, 1), SocketHint::NONE);
        ledger.close(SECOND * 42);
        let snapshot = ledger.snapshot();
        let expected = if retention == Retention::Live { 7 } else { 107 };
        assert_eq!(snapshot.rows[0].1.sent.bytes, expected);
        assert_eq!(snapshot.groups[0].1[0].1.sent.bytes, expected);
    }
}

#[test]
fn what_finds_no_row_is_untracked() {
    let mut ledger = ledger(|terms| {
        terms.max_rows = 1;
        terms.measure = Measure::IpPackets { link_local: false };
    });
    ledger.record(&query(), count(114, 1), SocketHint::NONE);
    ledger.record(
        &key(Direction::Egress, ("10.0.0.1", 1), ("192.0.2.1", 2)),
        count(214, 1),
        SocketHint::NONE,
    );
    let kept = HealthKey { ifindex: 7, direction: Direction::Egress as u8, ..HealthKey::default() };
    ledger.record_health(kept, &Health { untracked: count(50, 1), ..Health::default() });
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.rows.len(), 1);
    assert_eq!(snapshot.interfaces[0].egress.untracked, count(264, 2));
    assert_eq!(snapshot.interfaces[0].egress.counted, count(378, 3));
    assert_eq!((snapshot.total.sent.bytes, snapshot.total.sent.packets), (100 + 200 + 50, 3));
}

#[test]
fn ip_length_is_without_header_and_tags() {
    let measure = |link_local| ledger(move |terms| terms.measure = Measure::IpPackets { link_local });
    let mut ledger = measure(false);
    ledger.record(&query(), count(2 * 1014, 2), SocketHint::NONE);
    ledger.record(&FlowKey { vlan: 2 << VLAN_TAGS_SHIFT | 5, ..query() }, count(1022, 1), SocketHint::NONE);
    ledger.record(&key(Direction::Egress, ("fe80::1", 1), ("ff02::fb", 2)), count(500, 1), SocketHint::NONE);
    ledger.record(
        &FlowKey { protocol: PROTOCOL_NOT_IP, src_port: [8, 6], dst_port: [0, 0], ..query() },
        count(60, 1),
        SocketHint::NONE,
    );
    ledger.close(SECOND);
    assert_eq!(ledger.total().sent.bytes, 3000);
    assert_eq!(ledger.len(), 2);
    let counted = ledger.snapshot().interfaces[0].egress.counted;
    assert_eq!(counted, count(2 * 1014 + 1022 + 500 + 60, 5), "the reconciliation is in frames");
    let mut ledger = measure(true);
    ledger.record(&key(Direction::Egress, ("fe80::1", 1), ("ff02::fb", 2)), count(514, 1), SocketHint::NONE);
    ledger.close(SECOND);
    assert_eq!(ledger.total().sent.bytes, 500);
}

#[test]
fn unparsed_frames_are_rows_and_named() {
    let mut ledger = ledger(|_| ());
    let broken = FlowKey {
        ifindex: 7,
        protocol: PROTOCOL_NOT_IP,
        dst_port: [0, Unparsed::Truncated as u8],
        ..FlowKey::default()
    };
    ledger.record(&broken, count(30, 1), SocketHint::NONE);
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.rows[0].0.kind, Kind::Unparsed(Unparsed::Truncated as u8));
    assert_eq!(snapshot.interfaces[0].ingress.unparsed, count(30, 1));
    assert_eq!(snapshot.interfaces[0].ingress.counted, count(30, 1));
}

#[test]
fn an_interface_that_comes_back_goes_on() {
    let mut ledger = ledger(|_| ());
    ledger.attach(attached("eth0", 7, [1000, 2000]));
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.read_counters(7, [count(1000, 0), count(2100, 1)]);
    ledger.detach(7);
    assert_eq!(ledger.snapshot().interfaces[0].hook, "none");
    // What was counted before it went is drained after.
    ledger.record(&query(), count(10, 1), SocketHint::NONE);
    ledger.attach(attached("eth0", 9, [0, 0]));
    ledger.record(&FlowKey { ifindex: 9, ..query() }, count(40, 1), SocketHint::NONE);
    ledger.read_counters(9, [count(0, 0), count(50, 2)]);
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.interfaces.len(), snapshot.rows.len()), (1, 1));
    assert_eq!((snapshot.interfaces[0].index, snapshot.interfaces[0].hook.as_str()), (9, "tcx"));
    assert_eq!(snapshot.rows[0].1.sent.bytes, 150);
    assert_eq!(snapshot.interfaces[0].egress.kernel, count(150, 3));
    assert_eq!(snapshot.interfaces[0].egress.residue_bytes, 0);
    ledger.rename(9, "lan0");
    assert_eq!(ledger.snapshot().interfaces[0].name, "lan0");
}

#[test]
fn late_intervals_are_counted() {
    let mut ledger = ledger(|_| ());
    for end in [1.0, 2.01, 3.6, 4.6] {
        ledger.close(Duration::from_secs_f64(end));
    }
    assert_eq!(ledger.snapshot().late_ticks, 1);
}

#[test]
fn the_recent_peak_is_of_two_seconds_and_forgets() {
    let mut ledger = ledger(|_| ());
    for second in 1..=60_u32 {
        if second == 3 {
            ledger.record(&query(), count(8000, 1), SocketHint::NONE);
        }
        ledger.record(&answer(), count(100, 1), SocketHint::NONE);
        ledger.close(SECOND * second);
        let peak = ledger.snapshot().recent_peak;
        let remembered = (3..=42).contains(&second);
        assert_eq!(peak.sent, if remembered { 4000 } else { 0 }, "at {second} s");
        assert_eq!(peak.received, if second == 1 { 50 } else { 100 });
        assert_eq!(peak.total, if remembered { 4100 } else { peak.received });
    }
}

#[test]
fn traffic_that_crosses_no_boundary_is_left_out_and_told() {
    let net = "10.0.0.0/8";
    let boundary = crate::flow::boundary::Ipv4Boundary::parse(net).unwrap();
    let mut ledger = ledger(|terms| terms.orientation = Orientation::with_boundary(Some(boundary), None));
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&key(Direction::Egress, ("10.0.0.1", 1), ("10.0.0.2", 2)), count(60, 1), SocketHint::NONE);
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.rows.len(), snapshot.total.sent.bytes), (1, 100));
    assert_eq!(snapshot.outside_boundary, count(60, 1));
}

#[test]
fn an_overview_of_some_interfaces_is_exactly_theirs() {
    let mut ledger = ledger(|terms| terms.retention = Retention::Live);
    ledger.attach(attached("wg0", 8, [0, 0]));
    for second in 1..=50 {
        ledger.record(&query(), count(100, 1), SocketHint::NONE);
        ledger.record(&FlowKey { ifindex: 8, ..answer() }, count(700 * (second % 2), 1), SocketHint::NONE);
        let untracked = Health { untracked: count(1000, 2), ..Health::default() };
        ledger.record_health(HealthKey { ifindex: 8, direction: 0, bank: 0, padding: [0; 2] }, &untracked);
        ledger.close(SECOND * u32::try_from(second).unwrap());
    }
    let [eth0, wg0] = [0, 1].map(|id| ledger.overview(|of| of == InterfaceId(id), Counting::Once));
    assert_eq!((eth0.total.sent.bytes, eth0.total.received.bytes), (5000, 0));
    assert_eq!((wg0.total.sent.bytes, wg0.total.received.bytes), (0, 25 * 700 + 50_000));
    assert_eq!(wg0.total.received.recent, [2700, 13_500, 54_000]);
    assert_eq!(eth0.recent_peak, RecentPeak { sent: 100, received: 0, total: 100 });
    assert_eq!(wg0.recent_peak, RecentPeak { sent: 0, received: 1350, total: 1350 });
    assert_eq!(wg0.interfaces.iter().map(|interface| interface.name.as_str()).collect::<Vec<_>>(), ["wg0"]);
    let all = ledger.overview(|_| true, Counting::Once);
    let mut both = eth0.total;
    both.merge(&wg0.total);
    (both.sent.peak, both.received.peak, both.peak) = (100, 1700, 1800);
    assert_eq!(all.total, both);
    assert_eq!(all.recent_peak, ledger.snapshot().recent_peak);
    assert!(all.rows.is_empty() && ledger.rows(Counting::Once).count() == 2);
    assert_eq!(ledger.overview(|_| false, Counting::Once).total, Traffic::default());
}

#[test]
fn totals_begin_again_and_averages_go_on() {
    let mut ledger = ledger(|terms| terms.groups = vec![GroupBy::Remote]);
    for second in 1..=5 {
        ledger.record(&query(), count(100, 1), SocketHint::NONE);
        ledger.close(SECOND * second);
    }
    ledger.forget_totals();
    let zero = |traffic: &Traffic| {
        assert_eq!((traffic.sent.bytes, traffic.sent.packets, traffic.sent.peak), (0, 0, 0));
        assert_eq!(traffic.sent.recent, [200, 500, 500]);
    };
    let snapshot = ledger.snapshot();
    zero(&snapshot.total);
    zero(&snapshot.rows[0].1);
    zero(&snapshot.groups[0].1[0].1);
    assert_eq!(snapshot.recent_peak, RecentPeak::default());
    assert_eq!(snapshot.interfaces[0].egress.counted, count(500, 5));
    ledger.record(&query(), count(70, 1), SocketHint::NONE);
    ledger.close(SECOND * 6);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.total.sent.bytes, snapshot.rows[0].1.sent.peak), (70, 70));
    assert_eq!(snapshot.total.sent.recent, [170, 570, 570]);
}

#[test]
fn the_past_of_some_rows_by_intervals() {
    let mut ledger = ledger(|terms| terms.retention = Retention::Live);
    let other = key(Direction::Egress, ("10.0.0.1", 1), ("192.0.2.9", 2));
    for second in 1..=60_u32 {
        ledger.record(&query(), count(u64::from(second), 1), SocketHint::NONE);
        ledger.record(&answer(), count(1000, 1), SocketHint::NONE);
        ledger.record(&other, count(5, 1), SocketHint::NONE);
        ledger.close(SECOND * second + Duration::from_millis(u64::from(second % 2) * 100));
    }
    assert_eq!(ledger.closed(), 60);
    let of_query = |row: &RowKey| row.remote_port == 53;
    let past = ledger.intervals(0..u64::MAX, Counting::Once, |row| of_query(row.key).then_some(Part::Both));
    assert_eq!(past.len(), 40);
    assert_eq!((past[0].sent, past[39].sent, past[39].received), (21, 60, 1000));
    assert_eq!([past[38].length, past[39].length].map(|length| length.as_millis()), [1100, 900]);
    let last = ledger.intervals(59..60, Counting::Once, |row| of_query(row.key).then_some(Part::BothAsSent));
    assert_eq!(last.iter().map(|last| (last.sent, last.received)).collect::<Vec<_>>(), [(1060, 0)]);
    let all = ledger.intervals(59..60, Counting::Once, |_| Some(Part::Both));
    assert_eq!((all[0].sent, all[0].received), (65, 1000));
    assert_eq!(ledger.intervals(60..70, Counting::Once, |_| Some(Part::Both)), []);
}

#[test]
fn the_rule_behind_a_row_is_told() {
    let here = ledger(|_| ());
    let rule = |local: &str, remote: &str, kind, loopback| {
        let mapped = |address: &str| match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        let row = RowKey {
            local: mapped(local),
            remote: mapped(remote),
            local_port: 1,
            remote_port: 2,
            vlan: 0,
            interface: InterfaceId(0),
            kind,
        };
        here.orientation().rule(&row, loopback)
    };
    assert_eq!(rule("10.0.0.1", "192.0.2.1", Kind::TCP, false), LocalRule::Own);
    assert_eq!(rule("192.0.2.2", "192.0.2.1", Kind::TCP, false), LocalRule::Direction);
    assert_eq!(rule("10.0.0.1", "224.0.0.1", Kind::UDP, false), LocalRule::Group);
    assert_eq!(rule("127.0.0.1", "127.0.0.1", Kind::TCP, true), LocalRule::Service);
    assert_eq!(rule("::", "::", Kind::Frame(0x0806), false), LocalRule::Direction);
}

fn filter(text: &str) -> Option<Filter> {
    Filter::parse(text, &Dictionary::default()).unwrap()
}

#[test]
fn what_does_not_match_the_filter_is_left_out_and_told() {
    let mut ledger = ledger(|terms| terms.filter = filter("port 53"));
    let other = key(Direction::Egress, ("10.0.0.1", 1), ("192.0.2.1", 2));
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&answer(), count(900, 2), SocketHint::NONE);
    ledger.record(&other, count(60, 1), SocketHint::NONE);
    let health = HealthKey { ifindex: 7, direction: Direction::Egress as u8, ..HealthKey::default() };
    ledger.record_health(health, &Health { untracked: count(50, 1), ..Health::default() });
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.rows.len(), snapshot.total.bytes()), (1, 1000), "untracked is in no total");
    assert_eq!(snapshot.filtered_out, count(60, 1));
    assert_eq!(snapshot.interfaces[0].egress.counted, count(210, 3), "everything is reconciled");
    // Another filter is for what comes after it.
    ledger.set_filter(filter("not port 53"));
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&other, count(60, 1), SocketHint::NONE);
    ledger.close(SECOND * 2);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.rows.len(), snapshot.total.bytes()), (2, 1060));
    assert_eq!(snapshot.filtered_out, count(160, 2));
    ledger.set_filter(None);
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.close(SECOND * 3);
    assert_eq!(ledger.total().bytes(), 1160);
}

#[test]
fn the_filter_knows_the_broadcast_addresses_of_the_host() {
    let mut ledger = ledger(|terms| {
        terms.orientation.set_addresses([], ["10.0.0.255".parse().unwrap()]);
        terms.filter = filter("broadcast");
    });
    ledger.record(
        &key(Direction::Egress, ("10.0.0.1", 1), ("10.0.0.255", 2)),
        count(60, 1),
        SocketHint::NONE,
    );
    ledger.record(
        &key(Direction::Egress, ("10.0.0.1", 1), ("10.0.1.255", 2)),
        count(600, 1),
        SocketHint::NONE,
    );
    ledger.close(SECOND);
    assert_eq!(ledger.total().bytes(), 60);
}

#[test]
fn with_ip_packets_loopback_has_only_sent_them() {
    let boundary = crate::flow::boundary::Ipv4Boundary::parse("127.0.0.1/32").unwrap();
    for (measure, boundary, expected) in [
        (Measure::Frames, None, (100 + 14, 900 + 14)),
        (Measure::IpPackets { link_local: false }, None, (1000, 0)),
        (Measure::IpPackets { link_local: false }, Some(boundary), (100, 900)),
    ] {
        let mut ledger = ledger(|terms| {
            terms.measure = measure;
            terms.orientation = Orientation::with_boundary(boundary, None);
        });
        ledger.attach(Attached { loopback: true, ..attached("lo", 1, [0, 0]) });
        let on_loopback = |src, dst, bytes: u64| {
            (FlowKey { ifindex: 1, ..key(Direction::Egress, src, dst) }, count(bytes + 14, 1))
        };
        for (key, count) in [
            on_loopback(("127.0.0.1", 40_000), ("127.0.0.2", 80), 100),
            on_loopback(("127.0.0.2", 80), ("127.0.0.1", 40_000), 900),
        ] {
            ledger.record(&key, count, SocketHint::NONE);
        }
        ledger.close(SECOND);
        let total = ledger.total();
        assert_eq!((total.sent.bytes, total.received.bytes), expected, "{measure:?}");
        assert_eq!(ledger.len(), 1);
    }
}

mod crossings;
mod intervals;
mod owners;
mod peaks;
