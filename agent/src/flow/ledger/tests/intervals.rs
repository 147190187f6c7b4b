//! What an interval brought.

use super::*;
use crate::filter::Dictionary;
use crate::flow::{
    interval::{InterfaceInterval, RowInterval},
    snapshot::Reconciliation,
};

/// The sum that holds in every interval, for every interface. The result is what all rows got.
pub(super) fn add_up(ledger: &Ledger) -> Count {
    let interval = ledger.interval().unwrap();
    let mut all = Count::default();
    for interface in interval.interfaces() {
        let InterfaceInterval { view, counted, untracked, repeated, left_out, filtered, .. } = interface;
        let rows = sum(interval.rows().filter(|row| row.key.interface == view.id));
        let [mut counted, egress] = counted;
        counted.add(egress);
        let mut parts = rows;
        parts.add(untracked);
        parts.add(left_out);
        let of = |amount: u64, repeated: i64| amount.checked_add_signed(repeated).unwrap();
        let parts = count(of(parts.bytes, repeated.bytes), of(parts.packets, repeated.packets));
        assert_eq!(parts, counted, "{}", view.name);
        let [mut filtered, egress] = filtered;
        filtered.add(egress);
        assert!(filtered.bytes <= left_out.bytes && filtered.packets <= left_out.packets, "{}", view.name);
        all.add(rows);
    }
    assert_eq!(sum(interval.rows()), all, "every row is on an interface");
    all
}

fn sum<'a>(rows: impl Iterator<Item = RowInterval<'a>>) -> Count {
    let mut sum = Count::default();
    for count in rows.flat_map(|row| row.counts) {
        sum.add(count);
    }
    sum
}

fn books(change: impl FnOnce(&mut Terms)) -> Ledger {
    ledger(|terms| {
        terms.intervals = true;
        change(terms);
    })
}

#[test]
fn an_interval_is_what_it_brought_and_no_more() {
    let mut ledger = books(|_| ());
    assert!(ledger.interval().is_none(), "none is closed");
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&answer(), count(900, 2), SocketHint::NONE);
    ledger.close(SECOND);
    ledger.record(&query(), count(7, 1), SocketHint::NONE);
    ledger.read_counters(7, [count(5, 1), count(7, 1)]);
    ledger.close(SECOND * 3);
    let interval = ledger.interval().unwrap();
    assert_eq!((interval.number(), interval.start(), interval.end()), (1, SECOND, SECOND * 3));
    assert!(interval.is_late());
    let rows: Vec<_> = interval.rows().map(|row| (row.key.local_port, row.counts)).collect();
    assert_eq!(rows, [(40_000, [count(7, 1), count(0, 0)])]);
    let [interface] = &interval.interfaces()[..] else { panic!("one interface") };
    assert_eq!(interface.counted, [count(0, 0), count(7, 1)]);
    assert_eq!(interface.kernel, [count(5, 1), count(7, 1)]);
    add_up(&ledger);
    ledger.close(SECOND * 4);
    assert_eq!(ledger.interval().unwrap().rows().count(), 0);
    assert_eq!(add_up(&ledger), Count::default());
}

#[test]
fn it_is_kept_only_where_it_is_asked_for() {
    let mut ledger = ledger(|_| ());
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.close(SECOND);
    assert!(ledger.interval().is_none());
}

#[test]
fn what_is_in_no_row_is_told() {
    let filter = Filter::parse("not port 80", &Dictionary::default()).unwrap();
    let mut ledger = books(|terms| {
        terms.max_rows = 1;
        terms.filter = filter;
    });
    let web = key(Direction::Egress, ("10.0.0.1", 40_000), ("192.0.2.53", 80));
    let other = key(Direction::Egress, ("10.0.0.1", 40_001), ("192.0.2.53", 53));
    // What cannot be parsed has no port either, and matches.
    let unparsed = FlowKey {
        protocol: PROTOCOL_NOT_IP,
        src_port: [0; 2],
        dst_port: [0, Unparsed::Truncated as u8],
        direction: Direction::Ingress as u8,
        ..query()
    };
    for (key, bytes) in [(query(), 100), (web, 20), (other, 3), (unparsed, 7)] {
        ledger.record(&key, count(bytes, 1), SocketHint::NONE);
    }
    let health = Health { untracked: count(4000, 40), filtered: count(500, 5), ..Health::default() };
    ledger.record_health(HealthKey { ifindex: 7, direction: 0, bank: 0, padding: [0; 2] }, &health);
    ledger.close(SECOND);
    assert_eq!(add_up(&ledger), count(100, 1));
    let [interface] = &ledger.interval().unwrap().interfaces()[..] else { panic!("one interface") };
    assert_eq!(interface.left_out, count(520, 6));
    assert_eq!(interface.filtered, [count(500, 5), count(20, 1)], "in the kernel, and after counting");
    assert_eq!(interface.untracked, count(4010, 42), "rows without room, and flows without");
}

/// What a filter on flows leaves out counts as that, whatever it is.
#[test]
fn what_is_filtered_is_not_unparsed_too() {
    let filter = Filter::parse("port 53", &Dictionary::default()).unwrap();
    let mut ledger = books(|terms| terms.filter = filter);
    let unparsed = FlowKey {
        protocol: PROTOCOL_NOT_IP,
        src_port: [0; 2],
        dst_port: [0, Unparsed::Truncated as u8],
        ..query()
    };
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    ledger.record(&unparsed, count(7, 1), SocketHint::NONE);
    ledger.close(SECOND);
    add_up(&ledger);
    let [interface] = &ledger.interval().unwrap().interfaces()[..] else { panic!("one interface") };
    let Reconciliation { counted, filtered, unparsed, untracked, .. } = interface.view.egress;
    assert_eq!((counted, filtered), (count(107, 2), count(7, 1)));
    assert!(unparsed.is_zero() && untracked.is_zero());
}

#[test]
fn rows_that_are_forgotten_are_told() {
    let mut ledger = books(|terms| terms.retention = Retention::Live);
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    let ended =
        |ledger: &Ledger| ledger.interval().unwrap().ended().map(|row| row.traffic.bytes()).sum::<u64>();
    for second in 1..=40 {
        ledger.close(SECOND * second);
        assert_eq!(ended(&ledger), 0, "{second}");
    }
    ledger.close(SECOND * 41);
    assert_eq!(ended(&ledger), 100);
}
