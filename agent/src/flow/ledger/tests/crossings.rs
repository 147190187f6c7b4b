//! Frames that cross several interfaces, and what of their crossings counts.

mod random;
mod saved;
mod topologies;

use super::*;
use crate::{
    flow::{
        group::GroupKey,
        snapshot::{Crossings, InterfaceView},
    },
    model::owner::{Attribution, Reason},
};

/// A link that is measured, by its index.
fn link(index: u32, kind: &str) -> Link {
    let kind = (!kind.is_empty()).then(|| kind.to_owned());
    Link { index, kind, ..Link::default() }
}

fn port(index: u32, kind: &str, master: u32) -> Link {
    Link { master: Some(master), ..link(index, kind) }
}

fn upon(index: u32, kind: &str, lower: u32) -> Link {
    Link { lower: Some(lower), ..link(index, kind) }
}

fn uplink(link: Link) -> Link {
    Link { uplink: true, ..link }
}

/// Books of the links in `measured`; the host's own address is 10.0.0.1.
fn books(links: &[Link], measured: &[u32], change: impl FnOnce(&mut Terms)) -> Ledger {
    let mut terms = Terms {
        measure: Measure::Frames,
        counting: Counting::Once,
        retention: Retention::Run,
        groups: vec![GroupBy::Port, GroupBy::Interface, GroupBy::Process],
        intervals: true,
        max_rows: 1000,
        orientation: Orientation::default(),
        filter: None,
        services: Services::default(),
        tick: SECOND,
    };
    terms.orientation.set_addresses([OWN.0.parse().unwrap()], ["10.0.0.255".parse().unwrap()]);
    change(&mut terms);
    let mut ledger = Ledger::new(terms);
    for index in measured {
        ledger.attach(attached(&format!("i{index}"), *index, [0, 0]));
    }
    ledger.set_links(links.to_vec());
    ledger
}

const OWN: (&str, u16) = ("10.0.0.1", 40_000);
const NEAR: (&str, u16) = ("10.0.0.7", 50_000);
const FAR: (&str, u16) = ("192.0.2.9", 443);
const GROUP: (&str, u16) = ("10.0.0.255", 137);

/// A place on a frame's way: in or out, the interface, and the VLAN tag that it has there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Step(Direction, u32, u16);

const fn i(index: u32) -> Step {
    Step(Direction::Ingress, index, 0)
}

const fn o(index: u32) -> Step {
    Step(Direction::Egress, index, 0)
}

const fn tagged(Step(direction, index, _): Step, vlan: u16) -> Step {
    Step(direction, index, vlan)
}

type End = (&'static str, u16);

fn cross(ledger: &mut Ledger, way: &[Step], (src, dst): (End, End), bytes: u64, packets: u64) {
    for Step(direction, index, vlan) in way {
        let tags = u64::from(*vlan > 0);
        let key = FlowKey {
            ifindex: *index,
            vlan: *vlan | if *vlan > 0 { 1 << VLAN_TAGS_SHIFT } else { 0 },
            ..key(*direction, src, dst)
        };
        ledger.record(&key, count(bytes + 4 * tags * packets, packets), SocketHint::NONE);
    }
}

fn rows(ledger: &Ledger, counting: Counting) -> Vec<(u32, u64, u64)> {
    let index = |id: InterfaceId| ledger.interfaces[usize::from(id.0)].attached.index;
    let mut rows: Vec<_> = ledger
        .rows(counting)
        .map(|row| (index(row.key.interface), row.traffic.bytes(), row.traffic.packets()))
        .collect();
    rows.sort_unstable();
    rows
}

/// Whatever is counted once: rows, groups, totals and what they are made of agree, and the interfaces' own tables are whole.
fn agree(ledger: &Ledger) {
    intervals::add_up(ledger);
    let snapshot = ledger.snapshot();
    let total = snapshot.total;
    let mut rows = Traffic::default();
    for (_, traffic) in &snapshot.rows {
        rows.merge(traffic);
    }
    let amounts = |traffic: &Traffic| {
        [&traffic.sent, &traffic.received].map(|lane| (lane.bytes, lane.packets, lane.recent))
    };
    assert_eq!(amounts(&rows), amounts(&total));
    for (by, groups) in &snapshot.groups {
        let mut sum = Traffic::default();
        for (_, traffic) in groups {
            sum.merge(traffic);
        }
        if *by == GroupBy::Interface {
            let counted =
                |interface: &InterfaceView| interface.ingress.counted.bytes + interface.egress.counted.bytes;
            assert_eq!(sum.bytes(), snapshot.interfaces.iter().map(counted).sum::<u64>());
        } else {
            assert_eq!(amounts(&sum), amounts(&total), "{by}");
        }
    }
    let counted: u64 = snapshot
        .interfaces
        .iter()
        .map(|interface| interface.ingress.counted.packets + interface.egress.counted.packets)
        .sum();
    let again: u64 = snapshot
        .crossings
        .by_interface
        .iter()
        .map(|crossed| crossed.sent.packets + crossed.received.packets)
        .sum();
    assert_eq!(total.packets() + again, counted, "what is not counted here is counted elsewhere");
    let raw: u64 = ledger.rows(Counting::PerInterface).map(|row| row.traffic.packets()).sum();
    assert_eq!(raw, counted);
    let intervals = ledger.intervals(0..u64::MAX, Counting::Once, |_| Some(Part::Both));
    let recent: u64 = intervals.iter().map(|interval| interval.sent + interval.received).sum();
    assert_eq!(recent, total.sent.recent[2] + total.received.recent[2]);
}

/// Where one of its rows has an owner, a conversation has, on whichever interface it is counted.
#[test]
fn a_conversation_has_the_owner_that_any_of_its_rows_has() {
    let links = [link(1, "bridge"), port(2, "veth", 1), port(3, "", 1)];
    let mut ledger = books(&links, &[1, 2, 3], |_| ());
    for second in 1..=2 {
        cross(&mut ledger, &[i(2), o(3)], (NEAR, FAR), 100, 1);
        for question in ledger.questions(usize::MAX, true) {
            let attribution = if question.ifindex == 2 {
                process(7, "x", Reason::Created)
            } else {
                Arc::new(Attribution { owners: Vec::new(), reason: Reason::Forwarded })
            };
            ledger.attribute(&question.row, &attribution);
        }
        ledger.close(SECOND * second);
        agree(&ledger);
    }
    let [row] = ledger.rows(Counting::Once).collect::<Vec<_>>()[..] else { panic!("one row") };
    assert_eq!((row.key.interface, row.owner.reason), (InterfaceId(2), Reason::Created));
    let snapshot = ledger.snapshot();
    let of_process = snapshot.groups.iter().find(|(by, _)| *by == GroupBy::Process).unwrap();
    let [(GroupKey::Owner(key), traffic)] = &of_process.1[..] else { panic!("{of_process:?}") };
    assert_eq!((key.example.reason, traffic.bytes(), traffic.peak), (Reason::Created, 200, 100));
    let each: Vec<Reason> = ledger.rows(Counting::PerInterface).map(|row| row.owner.reason).collect();
    assert_eq!(each, [Reason::Created, Reason::Forwarded]);
}

/// Which way frames went is known in the first interval too, however many there are.
#[test]
fn a_pair_counts_once_from_the_first_frame_on() {
    let links = [Link { lower: Some(2), ..link(1, "veth") }, upon(2, "veth", 1)];
    let mut ledger = books(&links, &[1, 2], |_| ());
    for port in 0..500 {
        cross(&mut ledger, &[o(2), i(1)], ((OWN.0, 1000 + port), FAR), 100, 1);
    }
    ledger.close(SECOND);
    agree(&ledger);
    assert_eq!(ledger.total().packets(), 500);
}

#[test]
fn what_two_slaves_carry_is_the_bonds() {
    let links = [link(1, "bond"), port(2, "", 1), port(3, "", 1)];
    let mut ledger = books(&links, &[1, 2, 3], |_| ());
    cross(&mut ledger, &[o(1), o(2)], (OWN, FAR), 500, 5);
    cross(&mut ledger, &[o(1), o(3)], (OWN, FAR), 700, 7);
    ledger.close(SECOND);
    agree(&ledger);
    assert_eq!(rows(&ledger, Counting::Once), [(2, 500, 5), (3, 700, 7)]);
    assert_eq!(rows(&ledger, Counting::PerInterface), [(1, 1200, 12), (2, 500, 5), (3, 700, 7)]);
}

/// Without the devices below, or without the bridge itself, what is measured counts.
#[test]
fn what_is_not_measured_takes_nothing_away() {
    let links = [link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)];
    for (measured, expected) in [
        (&[1][..], vec![(1, 300, 3)]),
        (&[1, 2], vec![(1, 300, 3), (2, 700, 7)]),
        (&[2, 3], vec![(2, 700, 7), (3, 300, 3)]),
        (&[1, 3], vec![(3, 300, 3), (3, 700, 7)]),
        (&[1, 2, 3], vec![(2, 700, 7), (3, 300, 3)]),
    ] {
        let mut ledger = books(&links, measured, |_| ());
        cross(&mut ledger, &[o(1), o(3)], (OWN, FAR), 300, 3);
        cross(&mut ledger, &[i(2), o(3)], (NEAR, FAR), 700, 7);
        ledger.close(SECOND);
        agree(&ledger);
        assert_eq!(rows(&ledger, Counting::Once), expected, "{measured:?}");
    }
    // The slaves of a bond that is not measured are the port that it is.
    let links = [link(1, "bridge"), port(2, "bond", 1), port(3, "", 2), port(4, "", 2), port(5, "tap", 1)];
    let mut ledger = books(&links, &[1, 3, 4, 5], |_| ());
    cross(&mut ledger, &[i(5), o(3)], (NEAR, FAR), 700, 7);
    cross(&mut ledger, &[i(4), i(1)], (FAR, OWN), 200, 2);
    ledger.close(SECOND);
    agree(&ledger);
    assert_eq!(rows(&ledger, Counting::Once), [(3, 700, 7), (4, 200, 2)]);
}

/// What the devices below do not account for is new: the route changed, or the device came later.
#[test]
fn what_is_seen_on_one_interface_only_does_not_vanish() {
    let links = [link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)];
    let mut ledger = books(&links, &[1, 2], |_| ());
    cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 400, 4);
    cross(&mut ledger, &[i(1)], (FAR, OWN), 600, 6);
    ledger.close(SECOND);
    agree(&ledger);
    assert_eq!(rows(&ledger, Counting::Once), [(1, 600, 6), (2, 400, 4)]);
    cross(&mut ledger, &[i(1)], (FAR, OWN), 900, 9);
    ledger.close(SECOND * 2);
    agree(&ledger);
    assert_eq!(rows(&ledger, Counting::Once), [(1, 1500, 15), (2, 400, 4)]);
}

/// A frame is seen on the way up or down in one interval and in the next: it is one frame, and stays where the others are.
#[test]
fn a_frame_between_two_intervals_counts_once() {
    for (way, ends) in [([i(2), i(1)], (FAR, OWN)), ([o(1), o(2)], (OWN, FAR))] {
        let mut ledger = books(&[link(1, "bridge"), port(2, "veth", 1)], &[1, 2], |_| ());
        let [first, second] = way;
        let (mut at_first, mut at_second) = (0, 0);
        for (interval, (before, after)) in (1..).zip([(10, 9), (10, 11), (10, 7), (3, 6), (0, 0), (5, 5)]) {
            cross(&mut ledger, &[first], ends, 100 * before, before);
            cross(&mut ledger, &[second], ends, 100 * after, after);
            (at_first, at_second) = (at_first + before, at_second + after);
            ledger.close(SECOND * interval);
            agree(&ledger);
            let expected = if first == i(2) { at_first } else { at_second };
            assert_eq!(rows(&ledger, Counting::Once), [(2, 100 * expected, expected)], "{way:?} {interval}");
        }
    }
}

/// What never arrives is counted where it was last seen: an interval later, and at once in the last one.
#[test]
fn a_frame_that_is_dropped_on_the_way_counts_where_it_was_seen() {
    let links = [link(1, ""), uplink(link(2, ""))];
    for last in [false, true] {
        let mut ledger = books(&links, &[1, 2], |_| ());
        for second in 1..=3 {
            cross(&mut ledger, &[i(1)], (NEAR, FAR), 100, 1);
            cross(&mut ledger, &[i(1), o(2)], (NEAR, FAR), 200, 2);
            if last && second == 3 {
                ledger.close_last(SECOND * second);
            } else {
                ledger.close(SECOND * second);
            }
            agree(&ledger);
        }
        if !last {
            ledger.close(SECOND * 4);
            ledger.close(SECOND * 5);
            agree(&ledger);
        }
        assert_eq!(rows(&ledger, Counting::Once), [(1, 300, 3), (2, 600, 6)]);
        for second in 6..60 {
            ledger.close(SECOND * second);
            agree(&ledger);
        }
    }
}

/// With an address that is translated on the way, both sides are counted, and that is told.
#[test]
fn what_is_translated_is_told() {
    let links = [link(1, ""), uplink(link(2, ""))];
    let mut ledger = books(&links, &[1, 2], |_| ());
    cross(&mut ledger, &[i(1)], (NEAR, FAR), 100, 1);
    cross(&mut ledger, &[o(2)], (OWN, FAR), 100, 1);
    cross(&mut ledger, &[i(2)], (FAR, OWN), 900, 3);
    cross(&mut ledger, &[o(1)], (FAR, NEAR), 900, 3);
    ledger.close(SECOND);
    assert_eq!(ledger.total().bytes(), 2000);
    assert_eq!(ledger.snapshot().crossings.one_sided, count(1000, 4));
    // Where nothing is measured but one side, nothing is counted twice.
    let mut ledger = books(&links, &[1], |_| ());
    cross(&mut ledger, &[i(1)], (NEAR, FAR), 100, 1);
    ledger.close(SECOND);
    assert!(ledger.snapshot().crossings.one_sided.is_zero());
}

/// What a tunnel carries is a conversation of its own, and so is what carries it.
#[test]
fn what_is_inside_a_tunnel_is_told() {
    let links = [uplink(link(1, "")), link(2, "wireguard")];
    let mut ledger = books(&links, &[1, 2], |_| ());
    cross(&mut ledger, &[o(2)], (OWN, ("10.9.0.9", 443)), 1000, 1);
    cross(&mut ledger, &[o(1)], (("10.0.0.1", 51_820), ("192.0.2.9", 51_820)), 1094, 1);
    ledger.close(SECOND);
    agree(&ledger);
    assert_eq!(ledger.total().bytes(), 2094);
    assert_eq!(ledger.snapshot().crossings.tunnelled, [(InterfaceId(1), count(1000, 1))]);
}

#[test]
fn frames_without_addresses_are_matched_where_every_port_is_measured() {
    let arp = |direction, index| FlowKey {
        ifindex: index,
        direction: direction as u8,
        protocol: PROTOCOL_NOT_IP,
        src_port: [8, 6],
        ..FlowKey::default()
    };
    let links = [link(1, "bridge"), port(2, "veth", 1), port(3, "veth", 1)];
    for (measured, expected) in [(&[1, 2, 3][..], 5), (&[1, 2], 9)] {
        let mut ledger = books(&links, measured, |_| ());
        // Two questions of a host behind a port go everywhere, two answers of this host to it, and one from the other port to it.
        for (way, packets) in [(vec![i(2), i(1), o(3)], 2), (vec![o(1), o(2)], 2), (vec![i(3), o(2)], 1)] {
            for Step(direction, index, _) in way {
                ledger.record(&arp(direction, index), count(42 * packets, packets), SocketHint::NONE);
            }
        }
        ledger.close(SECOND);
        agree(&ledger);
        assert_eq!(ledger.total().packets(), expected);
    }
}

/// A link that becomes a port, or ceases to be one, while it is measured.
#[test]
fn changes_of_links_are_followed() {
    let apart = [link(1, "bridge"), link(2, "veth")];
    let together = [link(1, "bridge"), port(2, "veth", 1)];
    let mut ledger = books(&apart, &[1, 2], |terms| terms.retention = Retention::Live);
    let mut expected = 0;
    for second in 1..=100 {
        match second {
            10 => ledger.set_links(together.to_vec()),
            20 => ledger.set_links(apart.to_vec()),
            _ => {}
        }
        let packets = u64::from(second);
        cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 100 * packets, packets);
        expected += if (10..=20).contains(&second) { packets } else { 2 * packets };
        ledger.close(SECOND * second);
        assert_eq!(ledger.total().packets(), expected, "{second}");
        agree_on_windows(&ledger);
    }
    // An interface that is gone.
    ledger.detach(1);
    cross(&mut ledger, &[i(2)], (FAR, OWN), 100, 1);
    ledger.close(SECOND * 101);
    ledger.close(SECOND * 102);
    assert_eq!(ledger.total().packets(), expected + 1);
}

/// A link that becomes a port in the last interval: what the row crossed is told with the total.
#[test]
fn a_change_in_the_last_interval_is_told() {
    let mut ledger = books(&[link(1, "bridge"), link(2, "veth")], &[1, 2], |_| ());
    ledger.set_links(vec![link(1, "bridge"), port(2, "veth", 1)]);
    cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 400, 4);
    ledger.close_last(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!(snapshot.total.packets(), 4);
    let crossed: Vec<_> = snapshot.rows.iter().map(|(row, _)| ledger.crossed_by(row)).collect();
    assert_eq!(crossed.iter().map(Vec::len).collect::<Vec<_>>(), [1]);
    assert_eq!(crossed[0][0].interface, InterfaceId(0));
}

fn agree_on_windows(ledger: &Ledger) {
    let snapshot = ledger.snapshot();
    for window in 0..3 {
        let of = |traffic: &Traffic| traffic.sent.recent[window] + traffic.received.recent[window];
        assert_eq!(snapshot.rows.iter().map(|(_, traffic)| of(traffic)).sum::<u64>(), of(&snapshot.total));
    }
}

#[test]
fn per_interface_is_as_it_was() {
    let links = [link(1, "bridge"), port(2, "veth", 1)];
    let mut ledger = books(&links, &[1, 2], |terms| terms.counting = Counting::PerInterface);
    cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 400, 4);
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    assert_eq!((snapshot.total.bytes(), snapshot.rows.len()), (800, 2));
    assert!(snapshot.crossings.by_interface.is_empty());
    // Of some interfaces each has its own, whatever counts.
    let mut ledger = books(&links, &[1, 2], |_| ());
    cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 400, 4);
    ledger.close(SECOND);
    let bridge = ledger.overview(|id| id == InterfaceId(0), Counting::PerInterface);
    assert_eq!((bridge.total.bytes(), bridge.recent_peak.total), (400, 200));
    assert_eq!(ledger.overview(|_| true, Counting::PerInterface).total.bytes(), 800);
    let once = ledger.overview(|_| true, Counting::Once);
    assert_eq!((once.total.bytes(), once.total.peak, once.recent_peak.total), (400, 400, 200));
}

/// Rows that find no room: their frames are untracked, and those of their twins are not lost for it.
#[test]
fn a_twin_without_room_takes_nothing_away() {
    let links = [link(1, "bridge"), port(2, "veth", 1)];
    let mut ledger = books(&links, &[1, 2], |terms| terms.max_rows = 1);
    cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 400, 4);
    ledger.close(SECOND);
    assert_eq!(rows(&ledger, Counting::Once), [(2, 400, 4)]);
    assert_eq!(ledger.total().bytes(), 800);
}

/// With a net boundary a way says nothing about in and out.
#[test]
fn a_boundary_does_not_hide_which_way_frames_went() {
    let links = [link(1, ""), uplink(link(2, ""))];
    let inside = crate::flow::boundary::Ipv4Boundary::parse("10.0.0.0/8").unwrap();
    let mut ledger = books(&links, &[1, 2], |terms| {
        terms.orientation = Orientation::with_boundary(Some(inside), None);
    });
    for second in 1..=2 {
        cross(&mut ledger, &[i(1), o(2)], (NEAR, FAR), 300, 3);
        cross(&mut ledger, &[i(2), o(1)], (FAR, NEAR), 500, 5);
        ledger.close(SECOND * second);
    }
    agree(&ledger);
    assert_eq!(rows(&ledger, Counting::Once), [(2, 1600, 16)]);
    let total = ledger.total();
    assert_eq!((total.sent.bytes, total.received.bytes), (600, 1000));
}

#[test]
fn groups_have_the_peaks_of_what_counts_once() {
    let links = [link(1, "bridge"), port(2, "veth", 1)];
    let mut ledger = books(&links, &[1, 2], |_| ());
    for (second, packets) in [(1, 5), (2, 9), (3, 2)] {
        cross(&mut ledger, &[i(2), i(1)], (FAR, OWN), 100 * packets, packets);
        cross(&mut ledger, &[o(1), o(2)], (OWN, FAR), 10 * packets, packets);
        ledger.close(SECOND * second);
    }
    let snapshot = ledger.snapshot();
    let peaks = |traffic: &Traffic| [traffic.sent.peak, traffic.received.peak, traffic.peak];
    assert_eq!(peaks(&snapshot.total), [90, 900, 990]);
    assert_eq!(peaks(&snapshot.rows[0].1), [90, 900, 990]);
    for (by, groups) in &snapshot.groups {
        for (key, traffic) in groups {
            assert_eq!(peaks(traffic), [90, 900, 990], "{by} {key:?}");
            assert_eq!(matches!(key, GroupKey::Interface(_)), *by == GroupBy::Interface);
        }
    }
}
