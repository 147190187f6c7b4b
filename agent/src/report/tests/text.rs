//! What people see, to the character. After a change that is meant: `INSTA_UPDATE=always cargo test`, and read the diff.

use std::time::Duration;

use flowtally_common::Count;
use insta::assert_snapshot;

use super::{
    fixtures::{
        ALL, address, busy, busy_with_owners, context, crossed, flow, frames, names, snapshot, traffic,
        troubled,
    },
    print,
};
use crate::{
    flow::{group::GroupBy, names::Names, snapshot::Snapshot},
    format::{grid::UNLIMITED, numbers::Units},
    model::protocol::Kind,
    report::{ReportContext, ReportDirection, ReportRequest, ReportSort},
};

/// A report on `width` columns.
fn text(snapshot: &Snapshot, request: &ReportRequest, width: usize) -> String {
    let names = names();
    print(snapshot, request, &ReportContext { width, ..context(&names) })
}

#[test]
fn default_report() {
    assert_snapshot!(text(&troubled(), &ReportRequest::default(), 100));
}

#[test]
fn default_report_on_80_columns() {
    assert_snapshot!(text(&busy(), &ReportRequest::default(), 80));
}

#[test]
fn default_report_on_200_columns() {
    assert_snapshot!(text(&busy(), &ReportRequest::default(), 200));
}

#[test]
fn every_grouping_cut_to_two() {
    let request = ReportRequest { by: ALL.to_vec(), top: Some(2), ..ReportRequest::default() };
    assert_snapshot!(text(&busy(), &request, 100));
}

#[test]
fn owners_and_what_is_theirs() {
    let by = ALL.into_iter().filter(|by| by.of_owner().is_some() || *by == GroupBy::Flow).collect();
    let request = ReportRequest { by, ..ReportRequest::default() };
    let mut snapshot = busy_with_owners();
    snapshot.owners_degraded = vec!["cgroup v2 is not mounted: sockets are not noted.".to_owned()];
    assert_snapshot!(text(&snapshot, &request, 120));
}

#[test]
fn one_direction_in_bytes_by_a_window() {
    let request = ReportRequest {
        by: vec![GroupBy::Flow],
        sort: ReportSort::Last40,
        direction: ReportDirection::Sent,
        units: Units::Bytes,
        ..ReportRequest::default()
    };
    assert_snapshot!(text(&busy(), &request, 80));
}

#[test]
fn what_crossed_several_interfaces() {
    let request = ReportRequest { by: vec![GroupBy::Flow, GroupBy::Interface], ..ReportRequest::default() };
    assert_snapshot!(text(&crossed(), &request, 100));
}

#[test]
fn idle_report() {
    let mut idle = snapshot(Vec::new(), &names().services);
    idle.interfaces[1].hook = "none".to_owned();
    assert_snapshot!(text(&idle, &ReportRequest::default(), 100));
}

/// Its counters went with it, so that comparing them says nothing.
#[test]
fn what_an_interface_received_that_is_gone_is_no_loss() {
    let mut gone = troubled();
    gone.interfaces[0].hook = "none".to_owned();
    let ingress = &mut gone.interfaces[0].ingress;
    ingress.kernel = Count::default();
    (ingress.residue_bytes, ingress.residue_packets) = (-308_428, -301);
    let name = gone.interfaces[0].name.clone();
    let report = text(&gone, &ReportRequest::default(), 500);
    assert!(report.contains(&format!("\nGone while it was measured: {name} received. ")), "{report}");
    let follows = report.lines().filter(|line| line.starts_with("The kernel's counters follow"));
    assert!(follows.clone().all(|line| !line.contains(&format!("{name} received"))), "{report}");
    assert!(follows.count() > 0, "{report}");
    gone.interfaces[0].hook = "tcx".to_owned();
    assert!(!text(&gone, &ReportRequest::default(), 500).contains("Gone while"));
}

#[test]
fn nothing_in_the_direction_asked() {
    let rows = vec![(frames(Kind::Frame(0x88cc)), traffic((0, 0), (600, 3)))];
    let request = ReportRequest {
        by: vec![GroupBy::Flow],
        direction: ReportDirection::Sent,
        ..ReportRequest::default()
    };
    let report = text(&snapshot(rows, &names().services), &request, 100);
    assert!(report.contains("\nFlows: none, by bytes, sent only\n"), "{report}");
}

#[test]
fn with_a_filter_the_untracked_are_in_no_total() {
    let snapshot = Snapshot { filter: Some("port 443".to_owned()), ..troubled() };
    let report = text(&snapshot, &ReportRequest::default(), 200);
    assert!(
        report.contains("in no row and, whether the filter (-f) means them or not, in no total"),
        "{report}"
    );
}

#[test]
fn nothing_exceeds_the_width_that_can_be_helped() {
    for width in 20..=250 {
        let report =
            text(&troubled(), &ReportRequest { by: ALL.to_vec(), ..ReportRequest::default() }, width);
        for line in report.lines() {
            let alone = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= width || alone, "{width}: {line}");
        }
    }
}

#[test]
fn names_are_printed_only_when_asked_and_cannot_command_the_terminal() {
    let mut names = names();
    names.hosts.insert(address("192.0.2.10"), "evil\u{1b}[2J\u{202e}.example".into());
    let asked = ReportContext { resolve: true, ..context(&names) };
    let report = print(&busy(), &ReportRequest::default(), &asked);
    assert!(report.contains("evil\\x1b[2J\\u{202e}.example"), "{report}");
    assert!(!report.contains('\u{1b}'));

    let report = print(&busy(), &ReportRequest::default(), &context(&names));
    assert!(report.contains("192.0.2.10:443") && !report.contains("evil"), "{report}");
}

/// The last one that is gone at a width, in a table without long names.
#[test]
fn columns_of_less_use_go_first() {
    let mut snapshot = busy();
    snapshot.window_seconds = [2.0, 10.0, 15.0];
    let titles = |width, sort| {
        let request = ReportRequest { by: vec![GroupBy::Remote], sort, ..ReportRequest::default() };
        let report = text(&snapshot, &request, width);
        let header = report.lines().skip_while(|line| !line.starts_with("remote ")).take(1);
        header.flat_map(str::split_whitespace).map(str::to_owned).collect::<Vec<_>>().join(" ")
    };
    let widest = 39 + 7 + 7 + 7 + 6 + 6 + 10 + 10 + 9 + 7;
    let all = titles(widest, ReportSort::Bytes);
    assert_eq!(all, "remote share bit/s 2s 10s 40s sent received packets peak");
    let mut order = Vec::new();
    let mut before = all;
    for width in (66..widest).rev() {
        let now = titles(width, ReportSort::Bytes);
        let gone = before.split(' ').filter(|title| !now.split(' ').any(|kept| kept == *title));
        order.extend(gone.map(str::to_owned));
        before = now;
    }
    assert_eq!(order, ["peak", "packets", "40s", "10s", "2s", "share"]);
    assert_eq!(titles(66, ReportSort::Last2), "", "what is sorted by stays, and a row takes two lines");
    assert_eq!(titles(72, ReportSort::Last2), "remote bit/s 2s sent received");
    assert_eq!(titles(66, ReportSort::Bytes), "remote bit/s sent received");
}

#[test]
fn nothing_is_cut_where_there_is_no_terminal() {
    let request = ReportRequest { by: ALL.to_vec(), ..ReportRequest::default() };
    let report = text(&busy_with_owners(), &request, UNLIMITED);
    assert!(!report.contains('…'), "{report}");
    let row = "tcp ssh                        [2001:db8:1111:2222:3333:4444:5555:6666]:40000  \
               [2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:22  eth0         sshd/813 +1  ";
    assert!(report.lines().any(|line| line.starts_with(row)), "{report}");
}

#[test]
fn windows_as_long_as_the_measurement_are_left_out() {
    let header = |elapsed, windows, sort| {
        let mut snapshot = busy();
        snapshot.elapsed = Duration::from_secs_f64(elapsed);
        snapshot.window_seconds = windows;
        let request = ReportRequest { by: vec![GroupBy::Protocol], sort, ..ReportRequest::default() };
        let report = text(&snapshot, &request, 120);
        let header = report.lines().find(|line| line.starts_with("protocol")).unwrap();
        header.split_whitespace().skip(3).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(header(1.0, [1.0; 3], ReportSort::Bytes), "sent received packets peak");
    assert_eq!(header(10.0, [2.0, 10.0, 10.0], ReportSort::Bytes), "2s sent received packets peak");
    assert_eq!(header(10.0, [2.0, 10.0, 10.0], ReportSort::Last40), "2s 40s sent received packets peak");
    assert_eq!(header(60.0, [2.0, 10.0, 40.0], ReportSort::Bytes), "2s 10s 40s sent received packets peak");
}

#[test]
fn messages_and_kinds_have_names() {
    let one = traffic((100, 1), (0, 0));
    let ends = |kind, kind_of_message, code| flow(kind, ("10.0.0.1", kind_of_message), ("10.0.0.2", code));
    let rows = [
        (ends(Kind::Ip(1), 11, 0), "icmp time-exceeded"),
        (ends(Kind::Ip(1), 200, 7), "icmp 200/7"),
        (ends(Kind::Ip(58), 128, 0), "icmpv6 echo"),
        (ends(Kind::Ip(58), 255, 1), "icmpv6 255/1"),
        (ends(Kind::Ip(89), 0, 0), "ospf "),
        (ends(Kind::UDP, 0, 0), "udp fragments"),
        (ends(Kind::TCP, 50_000, 443), "tcp https"),
        (frames(Kind::Llc(0x42)), "stp "),
        (frames(Kind::Frame(0x1234)), "ethertype-0x1234"),
        (frames(Kind::Unparsed(2)), "unparsed: malformed"),
    ];
    for (key, expected) in rows {
        let snapshot = snapshot(vec![(key, one)], &names().services);
        let request = ReportRequest { by: vec![GroupBy::Flow], ..ReportRequest::default() };
        let report = print(&snapshot, &request, &context(&names()));
        assert!(report.lines().any(|line| line.starts_with(expected)), "{expected}: {report}");
    }
    let no_names = Names::default();
    let report = print(&busy(), &ReportRequest::default(), &context(&no_names));
    assert!(!report.contains("https"), "{report}");
}
