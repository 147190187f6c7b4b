//! The highest rate of one interval, beside a model that keeps the whole history.

use std::collections::HashMap;

use proptest::prelude::*;

use super::*;
use crate::{
    flow::{accounts::SHORTEST_PEAK, group::GroupKey},
    model::owner::Reason,
};

/// Two conversations that share a service, and one of another.
const REMOTE_PORTS: [u16; 3] = [53, 53, 443];

/// Bytes of an interval: which of [`REMOTE_PORTS`], whether sent, how much.
type RowAmount = (usize, bool, u64);

/// The highest rates of a part of the history: sent, received, both together.
fn peaks(history: &[(f64, Vec<RowAmount>)], of: impl Fn(usize) -> bool) -> [u64; 3] {
    let mut peaks = [0; 3];
    for (seconds, amounts) in history {
        let mut sums = [0; 3];
        for (_, sent, bytes) in amounts.iter().filter(|(number, ..)| of(*number)) {
            sums[usize::from(!sent)] += bytes;
            sums[2] += bytes;
        }
        for (peak, bytes) in peaks.iter_mut().zip(sums) {
            *peak = (*peak).max(rate(bytes, *seconds));
        }
    }
    peaks
}

fn of(traffic: &Traffic) -> [u64; 3] {
    [traffic.sent.peak, traffic.received.peak, traffic.peak]
}

proptest! {
    /// Rows, groups by what is in their keys and by owner, and the total.
    #[test]
    fn peaks_are_those_of_the_whole_history(
        ticks in prop::collection::vec(
            (prop_oneof![6 => 980_u64..1020, 1 => 1_u64..400, 1 => 1_500_u64..5_000],
             prop::collection::vec((0_usize..3, any::<bool>(), prop_oneof![1_u64..2000, Just(20_000_000_000)]), 0..8)),
            1..60)
    ) {
        let mut ledger = ledger(|terms| terms.groups = vec![GroupBy::Port, GroupBy::Process, GroupBy::Command]);
        let (mut end, mut history) = (Duration::ZERO, Vec::new());
        for (length, amounts) in ticks {
            let length = Duration::from_millis(length);
            end += length;
            for (number, sent, bytes) in &amounts {
                let local = ("10.0.0.1", 40_000 + u16::try_from(*number).unwrap());
                let remote = ("192.0.2.53", REMOTE_PORTS[*number]);
                let key = if *sent {
                    key(Direction::Egress, local, remote)
                } else {
                    key(Direction::Ingress, remote, local)
                };
                ledger.record(&key, count(*bytes, 1), SocketHint::NONE);
            }
            for question in ledger.questions(usize::MAX, true) {
                // The first and the third conversation are of one process.
                ledger.attribute(&question.row, &process(u32::from(question.row.local_port % 2), "x", Reason::Created));
            }
            ledger.close(end);
            history.push((length.max(SHORTEST_PEAK).as_secs_f64(), amounts));
        }
        let snapshot = ledger.snapshot();
        prop_assert_eq!(of(&snapshot.total), peaks(&history, |_| true));
        for (row, traffic) in &snapshot.rows {
            prop_assert_eq!(of(traffic), peaks(&history, |number| usize::from(row.local_port) == 40_000 + number));
        }
        let groups: HashMap<_, _> = snapshot.groups.into_iter().collect();
        for (key, traffic) in &groups[&GroupBy::Port] {
            let GroupKey::Port(_, Some(port)) = key else { panic!("{key:?}") };
            prop_assert_eq!(of(traffic), peaks(&history, |number| REMOTE_PORTS[number] == *port));
        }
        for (key, traffic) in &groups[&GroupBy::Process] {
            let GroupKey::Owner(key) = key else { panic!("{key:?}") };
            let pid = key.example.owners[0].id.pid;
            prop_assert_eq!(of(traffic), peaks(&history, |number| number % 2 == pid as usize));
        }
        for (_, traffic) in &groups[&GroupBy::Command] {
            prop_assert_eq!(of(traffic), peaks(&history, |_| true));
        }
        ledger.forget_totals();
        let snapshot = ledger.snapshot();
        let groups = snapshot.groups.iter().flat_map(|(_, groups)| groups.iter().map(|(_, traffic)| traffic));
        for traffic in groups.chain([&snapshot.total]).chain(snapshot.rows.iter().map(|(_, traffic)| traffic)) {
            prop_assert_eq!(of(traffic), [0; 3]);
        }
    }
}

/// What a list takes of a row has the peak of what it takes.
#[test]
fn a_part_has_its_own_peak() {
    let mut ledger = ledger(|_| ());
    for (second, sent, received) in [(1, 700, 100), (2, 500, 400), (3, 100, 600)] {
        ledger.record(&query(), count(sent, 1), SocketHint::NONE);
        ledger.record(&answer(), count(received, 1), SocketHint::NONE);
        ledger.close(SECOND * second);
    }
    let row = ledger.snapshot().rows[0].1;
    let peaks = |part: Part| of(&part.of_traffic(&row));
    assert_eq!(peaks(Part::Both), [700, 600, 900]);
    assert_eq!(peaks(Part::Sent), [700, 0, 700]);
    assert_eq!(peaks(Part::ReceivedAsSent), [600, 0, 600]);
    assert_eq!(peaks(Part::BothAsSent), [900, 0, 900]);
}
