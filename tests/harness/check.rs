//! The check that most tests are: frames, both ways, and the rows they must become.

use std::collections::BTreeMap;

use crate::{Agent, Amounts, Flow, NetPair, Report, Way};

/// The hooks that are under test, by which of them can serve one interface at the same time: XDP changes how a veth
/// interface receives, so it has its own.
const HOOKS: [&[&str]; 2] = [&["tcx", "clsact"], &["xdp"]];

/// How often [`check`] sends its frame.
const SENT: usize = 3;
/// How often [`check`] receives its frame: not as often as it sends it, so that the two can't be confused.
const RECEIVED: usize = 2;

/// Sends a frame both ways and checks that every hook makes exactly one row of it, with the right amounts to the byte,
/// and that the interface's totals agree with the kernel's.
///
/// On veth interfaces, a frame that leaves has its VLAN tags in band, and one that arrives has the outermost one taken
/// off and kept beside the frame: each case with tags is a test of both.
pub fn check(frame: impl Fn(Way) -> Vec<u8>, flow: &Flow) {
    check_rows(&vec![frame(Way::Sent); SENT], &vec![frame(Way::Received); RECEIVED], |sent, received| {
        vec![(flow.clone(), amounts(sent, received))]
    });
}

/// Sends and receives frames and checks that every hook makes exactly these rows of them, and the right totals.
pub fn check_rows(
    sent: &[Vec<u8>],
    received: &[Vec<u8>],
    rows: impl Fn(&[Vec<u8>], &[Vec<u8>]) -> Vec<(Flow, Amounts)>,
) {
    let expected = BTreeMap::from_iter(rows(sent, received));
    observe("", sent, received, |report, hook| {
        let [interface] = report.interfaces.as_slice() else { panic!("interfaces: {:?}", report.interfaces) };
        assert_eq!(report.rows(&interface.name), expected, "{hook}: rows");
        check_totals(report, &interface.name, amounts(sent, received), hook);
        let mut unparsed = expected.iter().filter(|(flow, _)| flow.protocol == "unparsed");
        let unparsed = unparsed.next().map(|(_, amounts)| *amounts).unwrap_or_default();
        assert_eq!(interface.unparsed(), unparsed, "{hook}: unparsed");
    });
}

/// Lets every hook see the same frames, and hands its report and its name to `judge`.
pub fn observe(arguments: &str, sent: &[Vec<u8>], received: &[Vec<u8>], judge: impl Fn(&Report, &str)) {
    for_every_hook(
        arguments,
        |pair| {
            pair.near.send(sent);
            pair.far.send(received);
        },
        judge,
    );
}

/// Lets every hook see the same traffic, and hands its report and its name to `judge`.
pub fn for_every_hook(arguments: &str, traffic: impl Fn(&NetPair), judge: impl Fn(&Report, &str)) {
    for hooks in HOOKS {
        let pair = NetPair::new();
        let agents: Vec<_> = hooks
            .iter()
            .map(|hook| (hook, Agent::measure(&pair.near, &format!("--hook {hook} {arguments}"))))
            .collect();
        traffic(&pair);
        for (hook, agent) in agents {
            let report = agent.report();
            let served = &report.interface(pair.near.interface).hook;
            assert!(served.contains(hook), "{hook} was asked for, {served} it is");
            judge(&report, hook);
        }
    }
}

/// Checks the totals of a report that has one interface.
pub fn check_totals(report: &Report, interface: &str, expected: Amounts, context: &str) {
    let view = report.interface(interface);
    assert_eq!(view.counted(), expected, "{context}: counted on the interface");
    assert_eq!(report.total, expected, "{context}: total");
    assert_eq!(view.untracked(), Amounts::default(), "{context}: untracked");
    assert_eq!(view.residue(), [0; 4], "{context}: residue of {view:?}");
}

/// What these frames amount to.
#[must_use]
pub fn amounts(sent: &[Vec<u8>], received: &[Vec<u8>]) -> Amounts {
    let bytes = |frames: &[Vec<u8>]| frames.iter().map(|frame| frame.len() as u64).sum();
    Amounts {
        sent_bytes: bytes(sent),
        sent_packets: sent.len() as u64,
        received_bytes: bytes(received),
        received_packets: received.len() as u64,
    }
}
