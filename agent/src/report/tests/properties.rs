//! What holds for any snapshot.

use std::{
    cmp::Reverse,
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr, SocketAddr},
    sync::Arc,
};

use proptest::{collection::vec, prelude::*};
use serde_json::Value;

use super::{
    csv,
    fixtures::{ALL, context, names, nobody, owned as owned_by, owner, snapshot},
    json, print,
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        names::Names,
        row::{InterfaceId, Lane, RowKey, Traffic},
    },
    format::{grid::UNLIMITED, numbers::Units},
    model::{
        owner::{Attribution, Reason},
        protocol::Kind,
    },
    report::{ReportContext, ReportDirection, ReportFormat, ReportRequest, ReportSort, TableKey, tables},
};

fn kind() -> impl Strategy<Value = Kind> {
    prop_oneof![
        4 => prop_oneof![Just(Kind::TCP), Just(Kind::UDP), Just(Kind::Ip(1)), Just(Kind::Ip(58))],
        1 => any::<u8>().prop_map(Kind::Ip),
        1 => any::<u16>().prop_map(Kind::Frame),
        1 => any::<u8>().prop_map(Kind::Llc),
        1 => any::<u8>().prop_map(Kind::Unparsed),
    ]
}

fn end() -> impl Strategy<Value = Ipv6Addr> {
    prop_oneof![
        any::<[u8; 4]>().prop_map(|bytes| Ipv4Addr::from(bytes).to_ipv6_mapped()),
        any::<[u8; 16]>().prop_map(Ipv6Addr::from),
    ]
}

fn key() -> impl Strategy<Value = RowKey> {
    (end(), end(), any::<u16>(), any::<u16>(), any::<u16>(), 0..3_u16, kind()).prop_map(
        |(local, remote, local_port, remote_port, vlan, interface, kind)| RowKey {
            local,
            remote,
            local_port,
            remote_port,
            vlan,
            interface: InterfaceId(interface),
            kind,
        },
    )
}

fn lane(most: u64) -> impl Strategy<Value = Lane> {
    // Small amounts as well: ties and silent directions.
    let amount = move || prop_oneof![0..3_u64, 0..=most];
    (amount(), amount(), [amount(), amount(), amount()], amount())
        .prop_map(|(bytes, packets, recent, peak)| Lane { bytes, packets, recent, peak })
}

fn rows(most: u64) -> impl Strategy<Value = Vec<(RowKey, Traffic)>> {
    let traffic = (lane(most), lane(most), any::<bool>()).prop_map(|(sent, received, together)| {
        let peak =
            if together { sent.peak.saturating_add(received.peak) } else { sent.peak.max(received.peak) };
        Traffic { sent, received, peak }
    });
    vec((key(), traffic), 0..40)
}

fn request() -> impl Strategy<Value = ReportRequest> {
    let sort = [
        ReportSort::Bytes,
        ReportSort::Packets,
        ReportSort::Last2,
        ReportSort::Last10,
        ReportSort::Last40,
        ReportSort::Peak,
    ];
    let direction = [ReportDirection::Both, ReportDirection::Sent, ReportDirection::Received];
    (
        proptest::sample::subsequence(ALL.to_vec(), 0..=ALL.len()),
        proptest::option::of(0..50_usize),
        proptest::sample::select(sort.to_vec()),
        proptest::sample::select(direction.to_vec()),
        prop_oneof![Just(Units::Bits), Just(Units::Bytes)],
    )
        .prop_map(|(by, top, sort, direction, units)| ReportRequest {
            by,
            top,
            sort,
            direction,
            units,
            format: ReportFormat::Text,
        })
}

/// Far enough from the end of the range that fixtures may add up.
const PLENTY: u64 = 1 << 50;

fn sum(rows: &Value, field: &str) -> u64 {
    rows.as_array().unwrap().iter().map(|row| row[field].as_u64().unwrap()).sum()
}

/// What the report says of an interface in a column that CSV has of both directions, of one of them, or of one part of that.
fn beside_of(report: &Value, row: &Value, field: &str) -> String {
    let views = report["interfaces"].as_array().unwrap();
    let Some(view) = views.iter().find(|view| view["name"] == row["key"]) else { return String::new() };
    let (what, unit) = field.rsplit_once('_').unwrap();
    let of = |way: &str, what: &str| i128::from(view[way][format!("{what}_{unit}")].as_i64().unwrap());
    let sum = match what.rsplit_once('_') {
        Some((what, way)) => of(way, what),
        None if ["ingress", "egress"].contains(&what) => of(what, "counted"),
        None => of("ingress", what) + of("egress", what),
    };
    sum.to_string()
}

proptest! {
    #[test]
    fn json_parses_back_and_adds_up(rows in rows(PLENTY)) {
        let names = names();
        let snapshot = snapshot(rows, &names.services);
        let report = json(&snapshot, &ReportRequest { by: ALL.to_vec(), ..ReportRequest::default() }, &names);
        let Traffic { sent, received, .. } = snapshot.total;
        let expected = [
            ("sent_bytes", sent.bytes),
            ("sent_packets", sent.packets),
            ("received_bytes", received.bytes),
            ("received_packets", received.packets),
        ];
        for (field, expected) in expected {
            prop_assert_eq!(report["total"][field].as_u64(), Some(expected));
            prop_assert_eq!(sum(&report["flows"], field), expected);
            for by in ALL.into_iter().filter(|by| *by != GroupBy::Flow) {
                prop_assert_eq!(sum(&report[by.to_string()], field), expected, "{}", by);
            }
        }
    }

    #[test]
    fn csv_has_the_fields_and_values_of_json(rows in rows(u64::MAX >> 8), request in request()) {
        let names = names();
        let snapshot = snapshot(rows, &names.services);
        let report = json(&snapshot, &request, &names);
        let lines = csv(&snapshot, &request, &names);
        let (header, lines) = lines.split_first().unwrap();
        let keyed = header[0] == "by";
        let beside = header.iter().position(|name| name == "counted_bytes").unwrap_or(header.len());
        let beside = &header[beside..];
        let by = if request.by.is_empty() { vec![GroupBy::Flow] } else { request.by.clone() };
        prop_assert_eq!(keyed, by != [GroupBy::Flow]);

        let mut lines = lines.iter();
        for by in by {
            let name = if by == GroupBy::Flow { "flows".to_owned() } else { by.to_string() };
            for row in report[&name].as_array().unwrap() {
                let line = lines.next().unwrap();
                for (field, cell) in header.iter().zip(line) {
                    // What is behind the owner's is of interfaces alone.
                    let expected = match (field.as_str(), row.get(field)) {
                        (_, None) if beside.contains(field) => match by {
                            GroupBy::Interface => beside_of(&report, row, field),
                            _ => String::new(),
                        },
                        ("by", _) => by.to_string(),
                        ("key", None) | (_, Some(Value::Null)) => String::new(),
                        (_, Some(Value::String(text))) => text.clone(),
                        (_, Some(value)) => value.to_string(),
                        (field, None) => panic!("no {field} in {row}"),
                    };
                    prop_assert_eq!(&expected, cell, "{}", field);
                }
                // The port of a group by port, all owners, and where a flow crossed.
                let more = 1 + usize::from(by == GroupBy::Port || by == GroupBy::Flow);
                let keys = if keyed { 1 + usize::from(by == GroupBy::Flow) } else { 0 };
                prop_assert_eq!(row.as_object().unwrap().len() + keys, header.len() - beside.len() + more);
            }
            if by == GroupBy::Interface {
                let has_row = |view: &Value| snapshot.rows.iter().any(|(key, _)| {
                    let at = snapshot.interfaces.iter().position(|known| known.id == key.interface);
                    at.is_some_and(|at| view["name"] == snapshot.interfaces[at].name.as_str())
                });
                for view in report["interfaces"].as_array().unwrap().iter().filter(|view| !has_row(view)) {
                    let line = lines.next().unwrap();
                    prop_assert_eq!(&line[..3], ["interface", view["name"].as_str().unwrap(), view["name"].as_str().unwrap()]);
                }
            }
        }
        prop_assert_eq!(lines.next(), None);
    }

    #[test]
    fn nothing_panics_and_nothing_commands_the_terminal(
        rows in rows(u64::MAX),
        request in request(),
        width in 0..250_usize,
        resolve: bool,
        host in ".{0,40}",
    ) {
        let mut names = Names::default();
        if let Some(address) = rows.first().and_then(|(key, _)| key.remote_address()) {
            names.hosts.insert(address, host.into());
        }
        // Groups that are empty: sums of such amounts are not for this test.
        let mut snapshot = snapshot(Vec::new(), &names.services);
        snapshot.rows = rows;
        for format in [ReportFormat::Text, ReportFormat::Json, ReportFormat::Csv] {
            let request = ReportRequest { format, ..request.clone() };
            let report = print(&snapshot, &request, &ReportContext { resolve, width, ..context(&names) });
            if format == ReportFormat::Text {
                prop_assert!(!report.contains(|char: char| char.is_control() && char != '\n'));
            }
        }
    }

    #[test]
    fn addresses_and_ports_are_whole_at_every_width_and_lines_fit(
        rows in rows(PLENTY),
        request in request(),
        width in prop_oneof![20..=250_usize, Just(UNLIMITED)],
        owned: bool,
    ) {
        let names = names();
        let by = |row: &RowKey| if owned { an_owner(row) } else { nobody(Reason::NotLooked) };
        let snapshot = owned_by(rows, &by, &names.services);
        let report = print(&snapshot, &request, &ReportContext { width, ..context(&names) });
        let words: HashMap<&str, usize> =
            report.split_whitespace().fold(HashMap::new(), |mut words, word| {
                *words.entry(word).or_default() += 1;
                words
            });
        for line in report.lines() {
            let alone = line.split_whitespace().count() == 1;
            prop_assert!(line.chars().count() <= width || alone, "{} > {}: {:?}", line.len(), width, line);
        }
        let mut expected: HashMap<String, usize> = HashMap::new();
        for row in tables(&snapshot, &request).iter().flat_map(|table| &table.rows) {
            for word in ends(row.key) {
                *expected.entry(word).or_default() += 1;
            }
        }
        for (word, count) in expected {
            let there = words.get(word.as_str()).copied().unwrap_or_default();
            prop_assert!(there >= count, "{} is {} times in {}\n{}", word, there, width, report);
        }
    }

    #[test]
    fn the_top_is_what_a_naive_sort_puts_first(rows in rows(PLENTY), request in request()) {
        let names = names();
        let snapshot = snapshot(rows, &names.services);
        for table in tables(&snapshot, &request) {
            let mut naive: Vec<(TableKey<'_>, &Traffic)> = match table.by {
                GroupBy::Flow => snapshot.rows.iter().map(|(key, traffic)| (TableKey::Flow(key), traffic)).collect(),
                by => {
                    let (_, groups) = snapshot.groups.iter().find(|(kept, _)| *kept == by).unwrap();
                    groups.iter().map(|(key, traffic)| (TableKey::Group(key), traffic)).collect()
                }
            };
            naive.retain(|(_, traffic)| match request.direction {
                ReportDirection::Both => true,
                ReportDirection::Sent => traffic.sent.bytes + traffic.sent.packets > 0,
                ReportDirection::Received => traffic.received.bytes + traffic.received.packets > 0,
            });
            naive.sort_by_key(|(key, traffic)| {
                let amount = amount(traffic, request.sort, request.direction);
                let bytes = amount_of_bytes(traffic, request.direction);
                (Reverse(amount), Reverse(bytes), *key)
            });
            let rest = naive.split_off(request.limit().min(naive.len()));
            // Two rows may have the same key here: which comes first is then open, what they amount to is not.
            let keys: Vec<_> = table.rows.iter().map(|row| row.key).collect();
            prop_assert_eq!(keys, naive.iter().map(|(key, _)| *key).collect::<Vec<_>>());
            prop_assert_eq!(table.rest.rows, rest.len());
            let bytes: u64 = rest.iter().map(|(_, traffic)| amount_of_bytes(traffic, request.direction)).sum();
            prop_assert_eq!(table.rest.bytes, bytes);
        }
    }
}

/// An owner with a long name, or none.
fn an_owner(row: &RowKey) -> Arc<Attribution> {
    if row.local_port.is_multiple_of(2) {
        return nobody(Reason::Gone);
    }
    let owners = vec![owner(row.local_port.into(), "a-command-name")];
    Arc::new(Attribution { owners, reason: Reason::Connected })
}

/// The addresses and ports of a row, each as it must be somewhere in the report.
fn ends(key: TableKey<'_>) -> Vec<String> {
    match key {
        TableKey::Flow(row) => {
            let ported = row.kind.has_ports() && (row.local_port, row.remote_port) != (0, 0);
            let ends = [(row.local_address(), row.local_port), (row.remote_address(), row.remote_port)];
            let ends = ends.into_iter().filter_map(|(address, port)| Some((address?, port)));
            ends.map(
                |(address, port)| {
                    if ported { SocketAddr::new(address, port).to_string() } else { address.to_string() }
                },
            )
            .collect()
        }
        TableKey::Group(GroupKey::Address(Some(address))) => vec![address.to_string()],
        TableKey::Group(GroupKey::Pair(Some((local, remote)))) => vec![local.to_string(), remote.to_string()],
        TableKey::Group(GroupKey::Subnet(Some((network, prefix)))) => vec![format!("{network}/{prefix}")],
        TableKey::Group(GroupKey::Port(kind, Some(port))) => vec![format!("{port}/{kind}")],
        TableKey::Group(_) => Vec::new(),
    }
}

/// What the request sorts by, added up the plain way.
fn amount(traffic: &Traffic, sort: ReportSort, direction: ReportDirection) -> u64 {
    let of = |lane: &Lane| match sort {
        ReportSort::Bytes => lane.bytes,
        ReportSort::Packets => lane.packets,
        ReportSort::Last2 => lane.recent[0],
        ReportSort::Last10 => lane.recent[1],
        ReportSort::Last40 => lane.recent[2],
        ReportSort::Peak => lane.peak,
    };
    let (sent, received) = (of(&traffic.sent), of(&traffic.received));
    match direction {
        ReportDirection::Sent => sent,
        ReportDirection::Received => received,
        ReportDirection::Both if sort == ReportSort::Peak => traffic.peak,
        ReportDirection::Both => sent + received,
    }
}

fn amount_of_bytes(traffic: &Traffic, direction: ReportDirection) -> u64 {
    amount(traffic, ReportSort::Bytes, direction)
}
