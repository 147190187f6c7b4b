//! Order and cut.

use super::fixtures::{flow, names, snapshot, traffic};
use crate::{
    flow::{group::GroupBy, row::RowKey, snapshot::Snapshot},
    model::protocol::Kind,
    report::{DEFAULT_TOP, ReportDirection, ReportFormat, ReportRequest, ReportSort, Rest, TableKey, tables},
};

fn three() -> Snapshot {
    let row = |port| flow(Kind::TCP, ("10.0.0.1", port), ("10.0.0.2", 443));
    let mut rows = vec![
        (row(3), traffic((100, 5), (0, 0))),
        (row(2), traffic((50, 1), (60, 9))),
        (row(1), traffic((100, 5), (0, 0))),
    ];
    (rows[1].1.received.peak, rows[1].1.peak) = (1_000, 1_000);
    rows[2].1.sent.recent = [0, 100, 100];
    snapshot(rows, &names().services)
}

fn ports(snapshot: &Snapshot, request: &ReportRequest) -> Vec<u16> {
    let tables = tables(snapshot, request);
    let ports = tables[0].rows.iter().map(|row| match row.key {
        TableKey::Flow(RowKey { local_port, .. }) => *local_port,
        TableKey::Group(_) => unreachable!("only flows were asked for"),
    });
    ports.collect()
}

#[test]
fn highest_first_and_equals_by_bytes_then_key() {
    let by = |sort, direction| {
        let request = ReportRequest { by: vec![GroupBy::Flow], sort, direction, ..ReportRequest::default() };
        ports(&three(), &request)
    };
    assert_eq!(by(ReportSort::Bytes, ReportDirection::Both), [2, 1, 3]);
    assert_eq!(by(ReportSort::Bytes, ReportDirection::Sent), [1, 3, 2]);
    assert_eq!(by(ReportSort::Packets, ReportDirection::Both), [2, 1, 3]);
    assert_eq!(by(ReportSort::Packets, ReportDirection::Sent), [1, 3, 2]);
    assert_eq!(by(ReportSort::Last2, ReportDirection::Both), [2, 3, 1]);
    assert_eq!(by(ReportSort::Last10, ReportDirection::Both), [1, 2, 3]);
    assert_eq!(by(ReportSort::Last40, ReportDirection::Sent), [1, 3, 2]);
    assert_eq!(by(ReportSort::Peak, ReportDirection::Both), [2, 1, 3]);
}

/// One way at a time here, both at once there.
#[test]
fn the_peak_of_both_ways_is_not_the_higher_of_the_two() {
    let row = |port| flow(Kind::TCP, ("10.0.0.1", port), ("10.0.0.2", 443));
    let mut rows = vec![(row(1), traffic((100, 1), (100, 1))), (row(2), traffic((100, 1), (100, 1)))];
    for ((_, traffic), (sent, received, both)) in rows.iter_mut().zip([(90, 80, 90), (60, 70, 130)]) {
        (traffic.sent.peak, traffic.received.peak, traffic.peak) = (sent, received, both);
    }
    let by = |direction| {
        let request = ReportRequest {
            by: vec![GroupBy::Flow],
            sort: ReportSort::Peak,
            direction,
            ..ReportRequest::default()
        };
        ports(&snapshot(rows.clone(), &names().services), &request)
    };
    assert_eq!(by(ReportDirection::Both), [2, 1]);
    assert_eq!(by(ReportDirection::Sent), [1, 2]);
    assert_eq!(by(ReportDirection::Received), [1, 2]);
}

#[test]
fn rows_without_traffic_in_the_direction_are_left_out() {
    let request = ReportRequest {
        by: vec![GroupBy::Flow],
        direction: ReportDirection::Received,
        ..ReportRequest::default()
    };
    assert_eq!(ports(&three(), &request), [2]);
}

#[test]
fn what_is_cut_off_is_added_up() {
    let request = ReportRequest { by: vec![GroupBy::Flow], top: Some(1), ..ReportRequest::default() };
    let snapshot = three();
    assert_eq!(ports(&snapshot, &request), [2]);
    assert_eq!(tables(&snapshot, &request)[0].rest, Rest { rows: 2, bytes: 200 });

    let none = ReportRequest { top: Some(0), ..request };
    assert_eq!(tables(&snapshot, &none)[0].rest, Rest { rows: 3, bytes: 310 });
}

#[test]
fn only_text_is_cut_unasked() {
    let limit = |format, top| ReportRequest { top, format, ..ReportRequest::default() }.limit();
    assert_eq!(limit(ReportFormat::Text, None), DEFAULT_TOP);
    assert_eq!(limit(ReportFormat::Json, None), usize::MAX);
    assert_eq!(limit(ReportFormat::Csv, Some(7)), 7);
}

#[test]
fn a_grouping_asked_twice_is_one_table() {
    let by = vec![GroupBy::Port, GroupBy::Flow, GroupBy::Port];
    let snapshot = three();
    let tables = tables(&snapshot, &ReportRequest { by, ..ReportRequest::default() });
    let groupings: Vec<_> = tables.iter().map(|table| table.by).collect();
    assert_eq!(groupings, [GroupBy::Port, GroupBy::Flow]);
}
