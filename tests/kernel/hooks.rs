//! Other programs on the same hooks, and what stays behind after a violent end.

use aya::programs::TcAttachType;
use harness::{
    Agent, Amounts, Flow, Host, NetPair, Way,
    check::amounts,
    eventually,
    foreign::{self, Foreign, Verdict, attached},
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
    network::settle,
    raw::RawSocket,
};
use nix::sys::signal::Signal;

const DIRECTIONS: [TcAttachType; 2] = [TcAttachType::Ingress, TcAttachType::Egress];
/// As tc names them.
const CLSACT: [&str; 2] = ["ingress", "egress"];

#[test]
fn a_foreign_tcx_program_before_ours_keeps_running() {
    let pair = NetPair::new();
    let foreign = DIRECTIONS.map(|direction| Foreign::attach(&pair.near, direction, Verdict::Next));
    for hook in ["tcx", "clsact", "xdp"] {
        check_counts(&pair, Agent::measure(&pair.near, &format!("--hook {hook}")));
        for direction in DIRECTIONS {
            assert_eq!(attached(&pair.near, direction), [foreign::NAME], "{hook}");
        }
    }
    drop(foreign);
}

/// It has a verdict, and that counts: ours has none.
#[test]
fn a_foreign_tcx_program_behind_ours_keeps_its_say() {
    let pair = NetPair::new();
    for hook in ["tcx", "xdp"] {
        let agent = Agent::measure(&pair.near, &format!("--hook {hook}"));
        let foreign = Foreign::attach(&pair.near, TcAttachType::Egress, Verdict::Drop);
        let before = pair.near.counters().sent_packets;
        let frames = vec![frame(Way::Sent); 4];
        inject(&pair.near, &frames);
        assert_eq!(pair.near.counters().sent_packets, before, "{hook}: the foreign program drops them");
        assert_eq!(
            agent.report().rows("near")[&flow()],
            amounts(&frames, &[]),
            "{hook}: they are counted before"
        );
        // Ours is gone, the other is not.
        inject(&pair.near, &frames);
        assert_eq!(pair.near.counters().sent_packets, before, "{hook}: the foreign program is still there");
        drop(foreign);
    }
}

#[test]
fn a_foreign_clsact_filter_keeps_running() {
    for priority in [1, 40] {
        let pair = NetPair::new();
        add_foreign_filter(&pair.near, priority);
        for hook in ["tcx", "clsact", "xdp"] {
            let before = foreign_filter_hits(&pair.near);
            check_counts(&pair, Agent::measure(&pair.near, &format!("--hook {hook}")));
            let after = foreign_filter_hits(&pair.near);
            assert_eq!(after, before + 5, "{hook}: frames that the foreign filters saw");
            assert_eq!(our_filters(&pair.near), 0, "{hook}: filters left behind");
        }
    }
}

#[test]
fn the_qdisc_goes_with_who_made_it() {
    let pair = NetPair::new();
    check_counts(&pair, Agent::measure(&pair.near, "--hook clsact"));
    assert!(!has_clsact(&pair.near), "made by the program, and left behind");

    pair.near.namespace.tc("qdisc add dev near clsact");
    check_counts(&pair, Agent::measure(&pair.near, "--hook clsact"));
    assert!(has_clsact(&pair.near), "made by somebody else, and taken away");
}

#[test]
fn killed_on_tcx_nothing_stays() {
    let pair = NetPair::new();
    for hook in ["tcx", "xdp"] {
        let agent = Agent::measure(&pair.near, &format!("--hook {hook}"));
        assert_eq!(attached(&pair.near, TcAttachType::Egress).len(), 1);
        kill(agent);
        for direction in DIRECTIONS {
            eventually("nothing is attached", || attached(&pair.near, direction).is_empty().then_some(()));
        }
        eventually("no XDP program is attached", || {
            (!pair.near.namespace.ip("link show near").contains("xdp")).then_some(())
        });
    }
}

#[test]
fn killed_on_clsact_the_next_start_cleans_up() {
    for next in ["tcx", "clsact"] {
        let pair = NetPair::new();
        kill(Agent::measure(&pair.near, "--hook clsact"));
        assert_eq!(our_filters(&pair.near), 2, "what a killed process leaves");
        let agent = Agent::measure(&pair.near, &format!("--hook {next}"));
        assert_eq!(our_filters(&pair.near), if next == "clsact" { 2 } else { 0 }, "{next}: old filters gone");
        check_counts(&pair, agent);
        assert_eq!(our_filters(&pair.near), 0, "{next}: filters left behind");
        assert!(!has_clsact(&pair.near), "{next}: the qdisc of the killed process is left behind");
    }
}

#[test]
fn cleaning_up_leaves_foreign_filters_alone() {
    let pair = NetPair::new();
    add_foreign_filter(&pair.near, 40);
    kill(Agent::measure(&pair.near, "--hook clsact"));
    check_counts(&pair, Agent::measure(&pair.near, "--hook clsact"));
    assert_eq!(our_filters(&pair.near), 0);
    assert_eq!(foreign_filter_hits(&pair.near), 5);
}

#[test]
fn two_side_by_side_do_not_take_each_other_for_leftovers() {
    let pair = NetPair::new();
    for hook in ["tcx", "clsact"] {
        let first = Agent::measure(&pair.near, &format!("--hook {hook}"));
        let second = Agent::measure(&pair.near, &format!("--hook {hook}"));
        let expected = exchange(&pair);
        assert_eq!(first.report().rows("near")[&flow()], expected, "{hook}: first");
        let more = exchange(&pair);
        assert_eq!(second.report().rows("near")[&flow()], expected + more, "{hook}: second");
        assert_eq!(our_filters(&pair.near), 0, "{hook}: filters left behind");
    }
}

fn flow() -> Flow {
    Flow::v4("udp").ports()
}

fn frame(way: Way) -> Vec<u8> {
    ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)))
}

/// Three frames out, two in.
fn exchange(pair: &NetPair) -> Amounts {
    let (sent, received) = (vec![frame(Way::Sent); 3], vec![frame(Way::Received); 2]);
    pair.near.send(&sent);
    pair.far.send(&received);
    amounts(&sent, &received)
}

/// Ends a measurement after three frames out and two in, which must be what it counted.
fn check_counts(pair: &NetPair, agent: Agent) {
    let expected = exchange(pair);
    assert_eq!(agent.report().rows("near")[&flow()], expected);
}

/// Sends frames that will not arrive.
fn inject(host: &Host, frames: &[Vec<u8>]) {
    let socket = RawSocket::open(&host.namespace, host.interface);
    for frame in frames {
        socket.send_in_vain(frame);
    }
    settle();
}

fn kill(agent: Agent) {
    agent.signal(Signal::SIGKILL);
    let ended = agent.wait();
    assert!(!ended.status.success());
}

/// A filter that copies every frame to the loopback interface, and so has a counter, and lets the next one go on.
fn add_foreign_filter(host: &Host, priority: u32) {
    host.namespace.tc("qdisc add dev near clsact");
    for direction in CLSACT {
        host.namespace.tc(&format!(
            "filter add dev near {direction} prio {priority} protocol all \
             u32 match u32 0 0 action mirred egress mirror dev lo continue"
        ));
    }
}

/// Frames that the foreign filters saw, both directions.
fn foreign_filter_hits(host: &Host) -> u64 {
    // Filters of the u32 kind share their tables: each direction lists both.
    let text = host.namespace.tc("-s filter show dev near ingress");
    let counters: Vec<u64> = text
        .lines()
        .filter_map(|line| line.trim().strip_prefix("Sent ")?.split_whitespace().nth(2)?.parse().ok())
        .collect();
    assert_eq!(counters.len(), CLSACT.len(), "foreign filters are missing: {text}");
    counters.iter().sum()
}

/// How many filters of the program there are, both directions.
fn our_filters(host: &Host) -> usize {
    let ours = |direction: &str| {
        let text = host.namespace.tc(&format!("filter show dev near {direction}"));
        text.lines().filter(|line| line.contains(" flowtally_")).count()
    };
    CLSACT.into_iter().map(ours).sum()
}

fn has_clsact(host: &Host) -> bool {
    host.namespace.tc("qdisc show dev near").contains("clsact")
}
