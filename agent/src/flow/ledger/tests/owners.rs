//! Whose rows are.

use std::collections::{BTreeMap, HashMap, HashSet};

use proptest::prelude::*;

use super::*;
use crate::{
    flow::{
        group::{GroupKey, OwnerKey, OwnerPart},
        question::OwnerQuestion,
    },
    model::owner::{Attribution, Reason},
};

/// Answers everything that is asked by `answer`, as the wiring does; returns how much was asked.
fn answer(
    ledger: &mut Ledger,
    again: bool,
    answer: impl Fn(&OwnerQuestion) -> Option<Arc<Attribution>>,
) -> usize {
    let questions = ledger.questions(usize::MAX, again);
    for question in &questions {
        if let Some(attribution) = answer(question) {
            ledger.attribute(&question.row, &attribution);
        }
    }
    questions.len()
}

/// Bytes sent, by the pid of the row's owner; 0 for none.
fn by_pid(ledger: &Ledger) -> Vec<(u32, u64)> {
    let mut rows: Vec<_> = ledger
        .rows(Counting::Once)
        .map(|row| (row.owner.owners.first().map_or(0, |owner| owner.id.pid), row.traffic.sent.bytes))
        .collect();
    rows.sort_unstable();
    rows
}

#[test]
fn a_row_is_asked_about_when_it_is_new_and_when_its_socket_changes() {
    let mut ledger = ledger(|_| ());
    let none = |_: &OwnerQuestion| None;
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    let questions = ledger.questions(usize::MAX, false);
    let [OwnerQuestion { ifindex, local_is_own, socket, seen, .. }] = questions[..] else {
        panic!("{questions:?}")
    };
    assert_eq!((ifindex, local_is_own, socket, seen), (7, true, SocketHint::NONE, [true, false]));
    ledger.close(SECOND);
    ledger.record(&query(), count(100, 1), SocketHint::NONE);
    assert_eq!(answer(&mut ledger, false, none), 0, "nothing is new");
    assert_eq!(answer(&mut ledger, true, none), 1, "but it has no answer");
    ledger.record(&answer_of(), count(1, 1), SocketHint(SocketHint::BOUND | 5));
    assert_eq!(answer(&mut ledger, false, |_| Some(process(5, "a", Reason::Listener))), 1);
    assert_eq!(answer(&mut ledger, true, none), 0);
    ledger.record(&query(), count(1, 1), SocketHint(9));
    ledger.record(&answer_of(), count(1, 1), SocketHint(SocketHint::BOUND | 5));
    let questions = ledger.questions(usize::MAX, false);
    assert_eq!(questions.iter().map(|question| question.socket).collect::<Vec<_>>(), [SocketHint(9)]);
}

/// What comes in through a veth pair has the socket of its sender, which is at the remote end.
#[test]
fn a_senders_socket_is_the_remote_ends() {
    let mut ledger = ledger(|_| ());
    ledger.record(&query(), count(100, 1), SocketHint(5));
    ledger.record(&answer_of(), count(1, 1), SocketHint(6));
    // Neither end of this is the host's: whose it is, only the socket says.
    let forwarded = key(Direction::Ingress, ("172.17.0.2", 5000), ("192.0.2.53", 80));
    ledger.record(&forwarded, count(1, 1), SocketHint(7));
    let questions = ledger.questions(usize::MAX, false);
    let mut sockets: Vec<_> = questions.iter().map(|question| question.socket.0).collect();
    sockets.sort_unstable();
    assert_eq!(sockets, [5, 7]);
}

fn answer_of() -> FlowKey {
    super::answer()
}

#[test]
fn what_was_counted_before_a_better_answer_goes_with_it() {
    let mut ledger = ledger(|_| ());
    ledger.record(&query(), count(100, 1), SocketHint(SocketHint::BOUND | 5));
    answer(&mut ledger, true, |_| Some(process(5, "listener", Reason::Listener)));
    ledger.close(SECOND);
    ledger.record(&query(), count(10, 1), SocketHint(6));
    answer(&mut ledger, true, |_| Some(process(6, "child", Reason::Accepted)));
    ledger.close(SECOND * 2);
    assert_eq!(by_pid(&ledger), [(6, 110)]);
}

#[test]
fn a_conversation_that_changes_hands_is_a_row_for_each_owner() {
    let mut ledger = ledger(|terms| terms.groups = vec![GroupBy::Process, GroupBy::Remote]);
    let owner = |question: &OwnerQuestion| {
        let pid = u32::try_from(question.socket.cookie()).unwrap() / 10;
        Some(process(pid, "x", Reason::Connected))
    };
    // Sockets 11 and 12 are process 1's, 21 is process 2's; then process 1 is back.
    for (second, (cookie, bytes)) in
        (1..).zip([(11, 100), (12, 20), (21, 3_000), (11, 40_000), (21, 500_000)])
    {
        ledger.record(&query(), count(bytes, 1), SocketHint(cookie));
        answer(&mut ledger, false, owner);
        ledger.close(SECOND * second);
    }
    assert_eq!(by_pid(&ledger), [(1, 40_120), (2, 503_000)]);
    assert_eq!(ledger.len(), 2);
    let snapshot = ledger.snapshot();
    let mut groups: Vec<_> = snapshot.groups[0]
        .1
        .iter()
        .map(|(key, traffic)| (name(key), traffic.sent.bytes, traffic.sent.peak))
        .collect();
    groups.sort();
    assert_eq!(groups, [("x 1".to_owned(), 40_120, 40_000), ("x 2".to_owned(), 503_000, 500_000)]);
    assert_eq!(snapshot.groups[1].1[0].1.sent.bytes, 543_120);
    assert_eq!(snapshot.total.sent.bytes, 543_120);
}

/// Whose a retired row was stands: its conversation's socket is another one now, and everybody is asked about again.
#[test]
fn a_retired_row_is_not_asked_about_again() {
    let mut ledger = ledger(|_| ());
    let owner = |question: &OwnerQuestion| {
        Some(process(u32::try_from(question.socket.cookie()).unwrap(), "x", Reason::Connected))
    };
    for (second, cookie) in [(1, 1), (2, 2)] {
        ledger.record(&query(), count(100, 1), SocketHint(cookie));
        answer(&mut ledger, false, owner);
        ledger.close(SECOND * second);
    }
    ledger.ask_again();
    assert_eq!(answer(&mut ledger, true, owner), 1);
    assert_eq!(by_pid(&ledger), [(1, 100), (2, 100)]);
}

/// An answer that comes late, or a better one, may be the owner of a row that is retired.
#[test]
fn a_conversation_has_one_row_for_each_owner() {
    let mut ledger = ledger(|_| ());
    let mut second = 0;
    let mut interval = |bytes, cookie, pid| {
        second += 1;
        ledger.record(&query(), count(bytes, 1), SocketHint(cookie));
        ledger.ask_again();
        answer(&mut ledger, true, |_| Some(process(pid, "x", Reason::Connected)));
        ledger.close(SECOND * second);
        by_pid(&ledger)
    };
    interval(1, 1, 1);
    assert_eq!(interval(10, 2, 2), [(1, 1), (2, 10)]);
    assert_eq!(interval(100, 2, 1), [(1, 101), (2, 10)]);
    assert_eq!(interval(1000, 2, 2), [(1, 101), (2, 1010)]);
    assert_eq!(interval(10_000, 2, 3), [(1, 101), (3, 11_010)]);
}

#[test]
fn rows_that_are_live_leave_whoever_owns_them() {
    let mut ledger = ledger(|terms| {
        terms.retention = Retention::Live;
        terms.groups = vec![GroupBy::Command];
    });
    for (second, cookie) in [(1, 1), (2, 2), (3, 1)] {
        ledger.record(&query(), count(100, 1), SocketHint(cookie));
        answer(&mut ledger, false, |question| {
            Some(process(u32::try_from(question.socket.cookie()).unwrap(), "x", Reason::Created))
        });
        ledger.close(SECOND * second);
    }
    assert_eq!(by_pid(&ledger), [(1, 200), (2, 100)]);
    for second in 4..=42 {
        ledger.close(SECOND * second);
    }
    assert_eq!(by_pid(&ledger), [(1, 200)], "the second owner's row is gone");
    assert_eq!(ledger.departed(Counting::Once).next().unwrap().owner.owners[0].id.pid, 2);
    assert_eq!(ledger.snapshot().groups[0].1[0].1.sent.bytes, 300, "what a group had it keeps");
    ledger.close(SECOND * 43);
    ledger.close(SECOND * 44);
    assert!(ledger.is_empty() && ledger.snapshot().groups[0].1.is_empty());
    ledger.record(&query(), count(7, 1), SocketHint::NONE);
    assert_eq!(answer(&mut ledger, false, |_| None), 1);
    ledger.close(SECOND * 45);
    assert_eq!(by_pid(&ledger), [(0, 7)], "a row that comes back has no owner yet");
}

#[test]
fn without_room_a_conversation_stays_with_its_owner() {
    let mut ledger = ledger(|terms| terms.max_rows = 1);
    for (second, cookie) in [(1, 1), (2, 2), (3, 3)] {
        ledger.record(&query(), count(100, 1), SocketHint(cookie));
        answer(&mut ledger, true, |question| {
            Some(process(u32::try_from(question.socket.cookie()).unwrap(), "x", Reason::Created))
        });
        ledger.close(SECOND * second);
    }
    assert_eq!(by_pid(&ledger), [(1, 300)]);
    assert_eq!(answer(&mut ledger, true, |_| None), 0);
}

#[test]
fn only_the_local_ends_socket_counts() {
    let mut ledger = ledger(|_| ());
    ledger.attach(Attached { loopback: true, ..attached("lo", 1, [0, 0]) });
    let on_lo = |src: u16, dst: u16| FlowKey {
        ifindex: 1,
        ..key(Direction::Egress, ("127.0.0.1", src), ("127.0.0.1", dst))
    };
    ledger.record(&on_lo(40_000, 80), count(100, 1), SocketHint(1));
    ledger.record(&on_lo(80, 40_000), count(100, 1), SocketHint(2));
    let questions = ledger.questions(usize::MAX, false);
    let [OwnerQuestion { row, socket, local_is_own: true, .. }] = &questions[..] else {
        panic!("{questions:?}")
    };
    assert_eq!(socket.cookie(), if row.local_port == 80 { 2 } else { 1 });
}

#[test]
fn a_frames_own_socket_is_its_senders_and_a_bound_one_its_receivers() {
    let socket = |records: &[(FlowKey, u64)]| {
        let mut ledger = ledger(|_| ());
        for (key, socket) in records {
            ledger.record(key, count(100, 1), SocketHint(*socket));
        }
        ledger.questions(usize::MAX, false)[0].socket
    };
    let bound = SocketHint::BOUND;
    assert_eq!(socket(&[(query(), 5), (answer_of(), 6)]), SocketHint(5), "the far end's, over a cable");
    assert_eq!(socket(&[(answer_of(), 6)]), SocketHint::NONE);
    assert_eq!(socket(&[(answer_of(), bound | 6)]), SocketHint(bound | 6));
    assert_eq!(socket(&[(query(), bound | 6)]), SocketHint::NONE);
    // What passes through may be a container's, whichever end that is.
    let passing = key(Direction::Ingress, ("198.51.100.1", 1), ("192.0.2.53", 53));
    assert_eq!(socket(&[(passing, 7)]), SocketHint(7));
    let to_group = key(Direction::Ingress, ("192.0.2.1", 5353), ("224.0.0.251", 5353));
    assert_eq!(socket(&[(to_group, 7), (to_group, bound | 8)]), SocketHint(bound | 8));
}

#[test]
fn a_socket_of_the_kernel_does_not_take_over_a_conversation() {
    let mut ledger = ledger(|_| ());
    ledger.record(&query(), count(100, 1), SocketHint(5));
    answer(&mut ledger, true, |_| Some(process(5, "client", Reason::Connected)));
    ledger.close(SECOND);
    // The last acknowledgement comes from another socket, which nothing is noted of.
    ledger.record(&query(), count(10, 1), SocketHint(77));
    let questions = ledger.questions(usize::MAX, true);
    let [question] = &questions[..] else { panic!("{questions:?}") };
    assert_eq!((question.socket, ledger.rivals(&question.row)), (SocketHint(77), &[SocketHint(5)][..]));
    assert_eq!(ledger.choice(question, |_| false), None, "neither is known");
    assert_eq!(ledger.choice(question, |_| true), None, "the newest is");
    assert_eq!(ledger.choice(question, |socket| socket == SocketHint(5)), Some(SocketHint(5)));
    let row = question.row;
    ledger.apply(Event::Socket { row, socket: SocketHint(5) });
    ledger.apply(Event::Answer { row, attribution: process(5, "client", Reason::Connected) });
    ledger.close(SECOND * 2);
    assert_eq!(by_pid(&ledger), [(5, 110)]);
    // In the next interval it is a socket like any other.
    ledger.record(&query(), count(1, 1), SocketHint(6));
    let questions = ledger.questions(usize::MAX, true);
    ledger.attribute(&questions[0].row, &process(6, "other", Reason::Connected));
    ledger.close(SECOND * 3);
    assert_eq!(by_pid(&ledger), [(5, 110), (6, 1)]);
}

#[test]
fn what_a_group_has_in_common_is_told() {
    let mut ledger = ledger(|terms| terms.groups = vec![GroupBy::Command, GroupBy::Process]);
    for (port, pid) in [(1, 1), (2, 2), (3, 2)] {
        let key = key(Direction::Egress, ("10.0.0.1", port), ("192.0.2.53", 53));
        ledger.record(&key, count(100, 1), SocketHint(pid));
    }
    answer(&mut ledger, false, |question| {
        let reason = if question.row.local_port == 3 { Reason::Bound } else { Reason::Created };
        Some(process(u32::try_from(question.socket.cookie()).unwrap(), "x", reason))
    });
    ledger.close(SECOND);
    let snapshot = ledger.snapshot();
    let common = |part, pid| &snapshot.in_common[&OwnerKey::new(part, &process(pid, "x", Reason::Open))];
    let command = common(OwnerPart::Command, 1);
    assert_eq!((command.command.clone(), command.uid, command.reason), (Some("x".into()), None, None));
    let second = common(OwnerPart::Process, 2);
    assert_eq!((second.pid, second.uid, second.reason), (Some(2), Some(2), None));
    assert_eq!(common(OwnerPart::Process, 1).reason, Some(Reason::Created));
}

fn name(key: &GroupKey) -> String {
    match key {
        GroupKey::Owner(owner) => owner.to_string(),
        other => format!("{other:?}"),
    }
}

proptest! {
    /// Whatever is answered whenever: groups are the sums of their rows, rows are what was recorded, and with an answer in
    /// the interval every byte is its owner's.
    #[test]
    fn groups_are_the_sums_of_their_rows(
        live: bool,
        seconds in prop::collection::vec(
            (prop::collection::vec((0_u16..4, 0_u64..6, 1_u64..1000), 0..6), 0_u8..4, any::<bool>(), any::<bool>()), 1..70),
    ) {
        let groups = vec![GroupBy::Process, GroupBy::Command, GroupBy::Port];
        let mut ledger = ledger(|terms| {
            terms.groups.clone_from(&groups);
            terms.retention = if live { Retention::Live } else { Retention::Run };
        });
        // Two sockets to a process, two processes to a command.
        let owner = |question: &OwnerQuestion| match question.socket.cookie() {
            0 => Some(Arc::new(Attribution { owners: Vec::new(), reason: Reason::NoSocket })),
            cookie => Some(process(
                u32::try_from(cookie).unwrap() / 2,
                if cookie < 4 { "a" } else { "b" },
                if cookie % 2 == 0 { Reason::Created } else { Reason::Connected },
            )),
        };
        let (mut all_answered, mut expected) = (true, BTreeMap::<u32, u64>::new());
        for (second, (flows, answers, again, all)) in (1..).zip(seconds) {
            // Within an interval a conversation has one socket, as far as the ledger can tell: the last.
            let mut last = HashMap::new();
            for (port, cookie, bytes) in &flows {
                let socket = last.get(port).copied().unwrap_or_else(|| SocketHint(*cookie + 1));
                last.insert(*port, socket);
                let key = key(Direction::Egress, ("10.0.0.1", 1000 + port), ("192.0.2.53", 53));
                ledger.record(&key, count(*bytes, 1), socket);
                *expected.entry(u32::try_from(socket.cookie()).unwrap() / 2).or_default() += bytes;
            }
            if all {
                ledger.ask_again();
            }
            if answers > 0 {
                answer(&mut ledger, again, owner);
            } else {
                all_answered = false;
            }
            ledger.close(SECOND * second);

            let snapshot = ledger.snapshot();
            prop_assert_eq!(snapshot.rows.len(), ledger.len());
            let ids = |of: &Arc<Attribution>| of.owners.iter().map(|owner| owner.id).collect::<Vec<_>>();
            let identities: HashSet<_> = snapshot
                .rows
                .iter()
                .zip(&snapshot.owners)
                .map(|((row, _), owner)| (*row, ids(owner), owner.owners.is_empty().then_some(owner.reason)))
                .collect();
            prop_assert_eq!(identities.len(), snapshot.rows.len(), "a row for each owner");
            prop_assert_eq!(snapshot.rows.len(), snapshot.owners.len());
            for (by, groups) in &snapshot.groups {
                let mut sums: HashMap<GroupKey, Traffic> = HashMap::new();
                for ((row, traffic), owner) in snapshot.rows.iter().zip(&snapshot.owners) {
                    let key = by.key_of(row, owner, &Services::default()).unwrap();
                    sums.entry(key).or_default().merge(traffic);
                }
                prop_assert_eq!(groups.len(), sums.len(), "{:?}", by);
                for (key, traffic) in groups {
                    let sum = &sums[key];
                    prop_assert_eq!(traffic.sent.recent, sum.sent.recent);
                    prop_assert!(traffic.sent.bytes >= sum.sent.bytes && traffic.sent.peak >= sum.sent.peak);
                    prop_assert!(live || traffic.sent.bytes == sum.sent.bytes && traffic.sent.packets == sum.sent.packets);
                }
            }
            let all: u64 = snapshot.rows.iter().map(|(_, traffic)| traffic.sent.bytes).sum();
            prop_assert!(live || all == snapshot.total.sent.bytes);
            if all_answered && !live {
                let mut sums = BTreeMap::new();
                for (pid, bytes) in by_pid(&ledger) {
                    *sums.entry(pid).or_default() += bytes;
                }
                prop_assert_eq!(&sums, &expected);
            }
        }
    }
}
