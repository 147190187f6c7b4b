//! Text mode beside what iftop printed.

use std::{
    collections::HashSet,
    net::{IpAddr, Ipv6Addr},
};

use super::*;
use crate::{
    flow::{
        names::Names,
        row::{InterfaceId, Lane, RowKey, Traffic},
        services::Services,
        snapshot::RecentPeak,
    },
    format::hostile,
    iftop::{options::PortDisplay, view::pairs},
    model::protocol::Kind,
};

/// After six seconds: the slots of 10 and 40 seconds are no longer than that.
const SECONDS: [f64; 3] = [2.0, 6.0, 6.0];

fn lane(two: u64, all: u64) -> Lane {
    Lane { bytes: all, packets: 1, recent: [two, all, all], peak: 0 }
}

fn row(local: (&str, u16), remote: (&str, u16), kind: Kind, sent: Lane, received: Lane) -> (RowKey, Traffic) {
    let mapped = |address: &str| -> Ipv6Addr {
        match address.parse().unwrap() {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        }
    };
    let key = RowKey {
        local: mapped(local.0),
        remote: mapped(remote.0),
        local_port: local.1,
        remote_port: remote.1,
        vlan: 0,
        interface: InterfaceId(0),
        kind,
    };
    (key, Traffic { sent, received, peak: sent.peak.max(received.peak) })
}

fn snapshot(rows: Vec<(RowKey, Traffic)>, recent_peak: RecentPeak) -> Snapshot {
    let mut total = Traffic::default();
    for (_, traffic) in &rows {
        total.merge(traffic);
    }
    Snapshot { rows, total, recent_peak, window_seconds: SECONDS, ..Snapshot::default() }
}

/// Three senders of 100, 50 and 20 packets a second.
fn senders() -> Snapshot {
    let idle = Lane::default();
    let rows = vec![
        row(("fd77::1", 40003), ("fd77::2", 5003), Kind::UDP, lane(40_000, 100_000), idle),
        row(("10.77.0.1", 40001), ("10.77.0.2", 5001), Kind::UDP, lane(200_000, 499_000), idle),
        row(("10.77.0.1", 40002), ("10.77.0.20", 5002), Kind::UDP, lane(50_000, 124_500), idle),
    ];
    snapshot(rows, RecentPeak { sent: 145_000, received: 0, total: 145_000 })
}

/// `-n -P -B`.
fn numbers_ports_bytes() -> IftopOptions {
    IftopOptions { dns: false, port_display: PortDisplay::On, use_bytes: true, ..IftopOptions::default() }
}

fn print(snapshot: &Snapshot, options: &IftopOptions, names: &Names) -> String {
    let none = HashSet::new();
    let around = Surroundings { names, loopback: &HashSet::new(), broadcast: &none };
    report(snapshot, &pairs(snapshot, options, &around, &[]), options, &around)
}

fn lines(snapshot: &Snapshot, options: &IftopOptions) -> Vec<String> {
    print(snapshot, options, &Names::default()).lines().map(str::to_owned).collect()
}

#[test]
fn a_report_is_iftops_to_the_character() {
    let options = IftopOptions { num_lines: 5, ..numbers_ports_bytes() };
    let text = listening_on("vka") + &print(&senders(), &options, &Names::default());
    let expected = "\
Listening on vka
   # Host name (port/service if enabled)            last 2s   last 10s   last 40s cumulative
--------------------------------------------------------------------------------------------
   1 10.77.0.1:40001                          =>     97.7KB     81.2KB     81.2KB      487KB
     10.77.0.2:5001                           <=         0B         0B         0B         0B
   2 10.77.0.1:40002                          =>     24.4KB     20.3KB     20.3KB      122KB
     10.77.0.20:5002                          <=         0B         0B         0B         0B
   3 [fd77::1]:40003                          =>     19.5KB     16.3KB     16.3KB     97.7KB
     [fd77::2]:5003                           <=         0B         0B         0B         0B
--------------------------------------------------------------------------------------------
Total send rate:                                      142KB      118KB      118KB
Total receive rate:                                      0B         0B         0B
Total send and receive rate:                          142KB      118KB      118KB
--------------------------------------------------------------------------------------------
Peak rate (sent/received/total):                      142KB         0B      142KB
Cumulative (sent/received/total):                     707KB         0B      707KB
============================================================================================

";
    assert_eq!(text, expected);
}

#[test]
fn rates_are_in_bits_and_cumulative_values_in_bytes() {
    let lines = lines(&senders(), &IftopOptions { use_bytes: false, ..numbers_ports_bytes() });
    assert_eq!(
        lines[2],
        "   1 10.77.0.1:40001                          =>      781Kb      650Kb      650Kb      487KB"
    );
    assert_eq!(
        lines[3],
        "     10.77.0.2:5001                           <=         0b         0b         0b         0B"
    );
    assert_eq!(lines[9], "Total send rate:                                     1.11Mb      942Kb      942Kb");
    assert_eq!(
        lines[13],
        "Peak rate (sent/received/total):                     1.11Mb         0b     1.11Mb"
    );
    assert_eq!(
        lines[14],
        "Cumulative (sent/received/total):                     707KB         0B      707KB"
    );
}

#[test]
fn the_number_of_pairs_changes_neither_order_nor_totals() {
    let all = lines(&senders(), &numbers_ports_bytes());
    for num_lines in [0, 1, 2] {
        let some = lines(&senders(), &IftopOptions { num_lines, ..numbers_ports_bytes() });
        assert_eq!(some[..2 + 2 * num_lines], all[..2 + 2 * num_lines]);
        assert_eq!(some[2 + 2 * num_lines..], all[8..]);
    }
}

#[test]
fn groups_icmp_and_long_addresses() {
    let idle = Lane::default();
    let rows = vec![
        row(("10.77.0.2", 5353), ("224.0.0.251", 5353), Kind::UDP, idle, lane(6_000, 6_000)),
        row(("10.77.0.1", 8), ("10.77.0.2", 0), Kind::Ip(1), idle, lane(900, 900)),
        row(
            ("2001:db8:1111:2222:aaaa:bbbb:cccc:dddd", 40004),
            ("2001:db8:1111:2222:3333:4444:5555:6666", 5004),
            Kind::UDP,
            lane(300, 300),
            idle,
        ),
    ];
    let expected = [
        "   1 224.0.0.251:5353                         =>         0B         0B         0B         0B",
        "     10.77.0.2:5353                           <=     2.93KB     0.98KB     0.98KB     5.86KB",
        "   2 10.77.0.1                                =>         0B         0B         0B         0B",
        "     10.77.0.2                                <=       450B       150B       150B       900B",
        "   3 [2001:db8:1111:2222:aaaa:bbbb:cccc:40004 =>       150B        50B        50B       300B",
        "     [2001:db8:1111:2222:3333:4444:5555::5004 <=         0B         0B         0B         0B",
    ];
    let snapshot = snapshot(rows, RecentPeak::default());
    let as_iftop = lines(&snapshot, &IftopOptions { cut_ends: true, ..numbers_ports_bytes() });
    assert_eq!(as_iftop[2..8], expected);

    // Under its own name nothing is cut, and all lines are as long as that takes.
    let whole = [
        "   2 10.77.0.1                                      =>         0B         0B         0B         0B",
        "     10.77.0.2                                      <=       450B       150B       150B       900B",
        "   3 [2001:db8:1111:2222:aaaa:bbbb:cccc:dddd]:40004 =>       150B        50B        50B       300B",
        "     [2001:db8:1111:2222:3333:4444:5555:6666]:5004  <=         0B         0B         0B         0B",
    ];
    let own = lines(&snapshot, &numbers_ports_bytes());
    assert_eq!(own[4..8], whole);
    assert_eq!(
        own[0],
        "   # Host name (port/service if enabled)                  last 2s   last 10s   last 40s cumulative"
    );
    assert_eq!(own[1], "-".repeat(WIDTH + 6));
}

/// A name that would be cut is whole too, and one report's ends do not make the next one wider.
#[test]
fn names_are_whole_but_under_iftops_name() {
    let name = "a-very-long-host-name-indeed.with-a-long-domain.example.com";
    let names = Names { hosts: [("10.77.0.1".parse().unwrap(), name.into())].into(), ..Names::default() };
    let options = IftopOptions { dns: true, ..numbers_ports_bytes() };
    assert!(print(&senders(), &options, &names).contains(&format!("\n   1 {name}:40001 => ")));
    let cut = print(&senders(), &IftopOptions { cut_ends: true, ..options.clone() }, &names);
    assert!(cut.contains("\n   1 a-very-long-host-name-indeed.with-:40001 => "), "{cut}");
    // What is not listed has no say.
    let few = IftopOptions { num_lines: 0, ..options };
    assert_eq!(print(&senders(), &few, &names).lines().next().map(str::len), Some(WIDTH));
}

#[test]
fn names_and_services() {
    let names = Names {
        hosts: [("10.77.0.1".parse().unwrap(), "me.example.com".into())].into(),
        services: Services::parse("rfe 5002/udp"),
    };
    let options = IftopOptions { dns: true, ..numbers_ports_bytes() };
    let text = print(&senders(), &options, &names);
    assert!(text.contains("\n   2 me.example.com:40002                     => "), "{text}");
    assert!(text.contains("\n     10.77.0.20:rfe                           <= "), "{text}");
    let text = print(&senders(), &IftopOptions { port_resolution: false, ..options }, &names);
    assert!(text.contains("\n     10.77.0.20:5002                          <= "), "{text}");
}

#[test]
fn a_pair_number_above_9999_widens_its_line_only() {
    let rows = (1..=10_000).map(|port| {
        row(
            ("10.77.0.1", port),
            ("10.77.0.2", 53),
            Kind::UDP,
            lane(u64::from(port), u64::from(port)),
            Lane::default(),
        )
    });
    let options = IftopOptions { num_lines: 10_000, ..numbers_ports_bytes() };
    let lines = lines(&snapshot(rows.collect(), RecentPeak::default()), &options);
    assert!(lines[2 + 2 * 9_999].starts_with("10000 10.77.0.1:1 "));
    assert_eq!(lines[2 + 2 * 9_998].len(), WIDTH);
}

#[test]
fn before_the_first_interval_all_is_zero() {
    let lines = lines(&Snapshot::default(), &IftopOptions::default());
    assert_eq!(lines.len(), 11);
    assert_eq!(lines[3], "Total send rate:                                         0b         0b         0b");
    assert_eq!(lines[8], "Cumulative (sent/received/total):                        0B         0B         0B");
}

#[test]
fn no_name_commands_the_terminal() {
    for name in hostile::names() {
        let names = Names { hosts: [("10.77.0.1".parse().unwrap(), name.into())].into(), ..Names::default() };
        let options = IftopOptions { dns: true, ..numbers_ports_bytes() };
        hostile::assert_harmless(&print(&senders(), &options, &names));
    }
}
