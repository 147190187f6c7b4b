//! A kernel without TCX: clsact serves, and counts as exactly.

use std::{net::Ipv4Addr, thread};

use harness::{
    Agent, Flow, Host, NetPair, Report, Way,
    check::{amounts, check_totals},
    frames::{IPV4, NEAR_V4, ethernet, ipv4_between, protocol::UDP, udp},
};
use nix::sys::{signal::Signal, utsname::uname};

#[test]
fn clsact_serves_and_says_why_tcx_does_not() {
    let pair = NetPair::new();
    // That another one was killed here before is no obstacle: what it has left is removed.
    let killed = Agent::measure(&pair.near, "");
    killed.signal(Signal::SIGKILL);
    assert!(!killed.wait().status.success());
    assert_eq!(filters(&pair.near), 2, "what a killed process leaves");

    let report = measure(&pair, "");
    let near = report.interface("near");
    assert_eq!(near.hook, "clsact");
    let [reason] = near.degraded.as_slice() else { panic!("reasons: {:?}", near.degraded) };
    assert!(reason.starts_with("clsact in place of tcx: "), "{reason}");
    assert!(reason.contains("Invalid argument"), "the kernel's own word is missing: {reason}");
}

#[test]
fn xdp_serves_what_arrives_and_clsact_what_leaves() {
    let pair = NetPair::new();
    let report = measure(&pair, "--hook xdp");
    assert_eq!(report.interface("near").hook, "xdp-native+clsact");
}

#[test]
fn tcx_alone_is_refused_with_the_kernel_it_takes() {
    let pair = NetPair::new();
    let ended = Agent::start(&pair.near.namespace, "report -i near --hook tcx --seconds 3600").wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let kernel = uname().unwrap();
    for word in ["TCX", "Linux 6.6", kernel.release().to_str().unwrap()] {
        assert!(ended.stderr.contains(word), "{word} is missing in: {}", ended.stderr);
    }
    assert_nothing_left(&pair.near);
}

/// What the drain rests on: after the wait, no program writes the retired bank. Both ends send at the same time.
#[test]
fn flips_lose_nothing() {
    const FLOWS: u8 = 200;
    const ROUNDS: usize = 40;
    let frame = |way: Way, flow: u8| {
        let remote = [198, 51, 100, flow].into();
        let (source, destination) = way.ends(NEAR_V4, remote);
        let datagram = udp(way, usize::from(flow));
        ethernet(way, IPV4, &ipv4_between(source, destination, UDP, &[], 0, &datagram))
    };
    let burst = |way| -> Vec<_> { (0..FLOWS).map(|flow| frame(way, flow)).collect() };
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "--slots 1024 --tick-ms 10");
    let repeated = |way| vec![burst(way); ROUNDS].concat();
    let (sent, received) = (repeated(Way::Sent), repeated(Way::Received));
    thread::scope(|scope| {
        scope.spawn(|| pair.near.send(&sent));
        scope.spawn(|| pair.far.send(&received));
    });
    let report = agent.report();
    let rows = report.rows("near");
    assert_eq!(rows.len(), usize::from(FLOWS));
    for flow in 0..FLOWS {
        let frames = |way| vec![frame(way, flow); ROUNDS];
        let key = Flow::between("udp", NEAR_V4, Ipv4Addr::new(198, 51, 100, flow)).ports();
        assert_eq!(rows[&key], amounts(&frames(Way::Sent), &frames(Way::Received)), "{key}");
    }
    check_totals(&report, "near", amounts(&sent, &received), "all flows");
}

/// What [`measure`](super::measure) reports. Nothing may stay behind.
fn measure(pair: &NetPair, arguments: &str) -> Report {
    let report = super::measure(pair, arguments);
    assert_nothing_left(&pair.near);
    report
}

fn assert_nothing_left(host: &Host) {
    assert_eq!(filters(host), 0, "filters left behind");
    let interface = host.namespace.ip("link show near");
    assert!(!interface.contains("xdp"), "an XDP program left behind: {interface}");
    let qdiscs = host.namespace.tc("qdisc show dev near");
    assert!(!qdiscs.contains("clsact"), "a qdisc left behind: {qdiscs}");
}

/// How many filters of the program there are, both directions.
fn filters(host: &Host) -> usize {
    let ours = |direction| {
        let text = host.namespace.tc(&format!("filter show dev near {direction}"));
        text.lines().filter(|line| line.contains(" flowtally_")).count()
    };
    ["ingress", "egress"].map(ours).iter().sum()
}
