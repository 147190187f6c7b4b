//! The check that most tests are: frames of one conversation, both ways, and the one row they must become.

use std::collections::BTreeMap;

use crate::{Agent, Amounts, Flow, NetPair, Report, Way};

/// The hooks that are under test, by which of them can serve one interface at the same time: XDP changes how a veth
/// interface receives, so it has its own.
const HOOKS: [&[&str]; 2] = [&["tcx", "clsact"], &["xdp"]];

/// How often the frame is sent and received: not equally often, so that the two can't be confused.
const SENT: usize = 3;
/// See [`SENT`].
const RECEIVED: usize = 2;

/// Sends a frame both ways and checks that every hook makes exactly one row of it, with the right amounts to the byte,
/// and that the interface's totals agree with the kernel's.
///
/// On veth interfaces, a frame that leaves has its VLAN tags in band, and one that arrives has the outermost one taken
/// off and kept beside the frame: each case with tags is a test of both.
pub fn check(frame: impl Fn(Way) -> Vec<u8>, flow: &Flow) {
    for hooks in HOOKS {
        let pair = NetPair::new();
        let agents: Vec<_> =
            hooks.iter().map(|hook| (hook, Agent::measure(&pair.near, &format!("--hook {hook}")))).collect();
        let (sent, received) = (vec![frame(Way::Sent); SENT], vec![frame(Way::Received); RECEIVED]);
        pair.near.send(&sent);
        pair.far.send(&received);
        let expected = amounts(&sent, &received);
        for (hook, agent) in agents {
            let report = agent.report();
            check_report(&report, pair.near.interface, flow, expected, hook);
            let served = &report.interface(pair.near.interface).hook;
            assert!(served.contains(hook), "{hook} was asked for, {served} it is");
        }
    }
}

/// Checks that a report has exactly one row, and totals that go with it.
pub fn check_report(report: &Report, interface: &str, flow: &Flow, expected: Amounts, context: &str) {
    assert_eq!(report.rows(interface), BTreeMap::from([(flow.clone(), expected)]), "{context}: rows");
    check_totals(report, interface, expected, context);
    let unparsed = if flow.protocol == "unparsed" { expected } else { Amounts::default() };
    assert_eq!(report.interface(interface).unparsed(), unparsed, "{context}: unparsed");
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
