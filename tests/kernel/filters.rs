//! What a filter matches, beside tcpdump on the same interface at the same time.

use std::process::Command;

use harness::{
    Agent, NetPair, Report, Way,
    agent::program,
    eventually,
    frames::{
        DOT1AD, DOT1Q, IPV4, IPV6, ipv4, ipv6,
        protocol::{TCP, UDP},
        tagged, tcp, udp,
    },
    network::settle,
};
use nix::sys::signal::Signal;

/// Expressions about tags, and such as tags must not or do hide.
const EXPRESSIONS: [&str; 13] = [
    "vlan",
    "vlan 5",
    "vlan 7",
    "not vlan",
    "vlan 5 and vlan 9",
    "vlan and vlan",
    "udp",
    "vlan and udp",
    "vlan 5 and tcp port 5001",
    "tcp or vlan 7 and ip6",
    "host 10.77.0.1",
    "vlan 5 and host 10.77.0.1",
    "ether[12:2] = 0x8100",
];
/// The kernel knows which way a frame goes. libpcap judges the first one by itself too, does not know, and drops it; so of these it is
/// compared how many frames passed the kernel's filter.
const OF_WAYS: [(&str, Way); 4] = [
    ("inbound", Way::Received),
    ("outbound and vlan", Way::Sent),
    ("inbound and vlan 5", Way::Received),
    ("not inbound and tcp", Way::Sent),
];
/// Those that say the same of a tag beside a frame and of one in it.
const OF_TAGS: [&str; 3] = ["vlan", "vlan 5", "vlan 5 and host 10.77.0.1"];

/// Frames without a tag, with one of either kind, and with two.
fn frames(way: Way) -> Vec<Vec<u8>> {
    let payloads = [
        (IPV4, ipv4(way, UDP, &udp(way, 100))),
        (IPV4, ipv4(way, TCP, &tcp(way, 200))),
        (IPV6, ipv6(way, UDP, &udp(way, 300))),
    ];
    let tags: [&[(u16, u16)]; 6] = [
        &[],
        &[(DOT1Q, 5)],
        &[(DOT1Q, 7)],
        &[(DOT1AD, 5)],
        &[(DOT1Q, 5), (DOT1Q, 9)],
        &[(DOT1AD, 7), (DOT1Q, 5)],
    ];
    let each = |(kind, payload): &(u16, Vec<u8>)| tags.map(|tags| tagged(way, tags, *kind, payload));
    payloads.iter().flat_map(each).collect()
}

/// Sends and receives them. What is sent has its tags in band; what is received has the outermost beside the frame, and is sent back so.
fn traffic(pair: &NetPair) {
    pair.near.send(&frames(Way::Sent));
    let before = pair.near.counters().sent_packets;
    let received = frames(Way::Received);
    pair.far.send(&received);
    eventually("all are sent back", || {
        (pair.near.counters().sent_packets >= before + received.len() as u64).then_some(())
    });
    settle();
}

fn pair() -> NetPair {
    let pair = NetPair::new();
    pair.near.namespace.tc("qdisc add dev near clsact");
    pair.near.namespace.tc(
        "filter add dev near ingress prio 40 protocol all u32 match u32 0 0 action mirred egress mirror dev near",
    );
    pair
}

fn measure(pair: &NetPair, hook: &str, expression: &str) -> Agent {
    let mut command = Command::new(program());
    command.args(["report", "-i", "near", "--seconds", "3600", "--format", "json", "--hook", hook]);
    command.args(["-f", expression]);
    let mut agent = Agent::start_command(&pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on ");
    agent
}

/// tcpdump for frames of one direction.
fn tcpdump(pair: &NetPair, direction: &str, expression: &str) -> Agent {
    let mut command = Command::new("tcpdump");
    // As a user of its own it would take the file for that user, and the file is the host's.
    command.args(["-i", "near", "-n", "--immediate-mode", "-Z", "root", "-w", "/dev/null"]);
    command.args(["-Q", direction, expression]);
    let mut tcpdump = Agent::start_command(&pair.near.namespace, command);
    tcpdump.wait_for("listening on near");
    tcpdump
}

/// How many have been captured of each direction: all that passed the filter, of which each of the two lists its own.
fn captured(dumps: &[Agent; 2]) -> [u64; 2] {
    eventually("all that passed the filter is captured", || {
        let counts = dumps.each_ref().map(|dump| {
            dump.signal(Signal::SIGUSR1);
            statistics(&dump.said())
        });
        let [Some([out, passed]), Some([received, _])] = counts else { return None };
        (out + received == passed).then_some([out, received])
    })
}

/// Captured, and received by filter, of the last line that tcpdump has said at the signal.
fn statistics(said: &str) -> Option<[u64; 2]> {
    let line = said.lines().rfind(|line| line.contains(" captured, "))?;
    let mut numbers = line.split_whitespace().filter_map(|word| word.parse().ok());
    Some([numbers.next()?, numbers.next()?])
}

/// Packets that matched, sent and received.
fn matched(report: &Report) -> [u64; 2] {
    let near = report.interface("near");
    assert_eq!(near.residue(), [0; 4], "all is counted, matched or not");
    // By the way through the interface, for what is sent back has the other end's addresses.
    [near.egress, near.ingress].map(|side| side.counted_packets - side.filtered_packets)
}

#[test]
fn tags_in_band_and_beside_the_frame_are_seen_as_tcpdump_sees_them() {
    let pair = pair();
    let agents = EXPRESSIONS.map(|expression| {
        let dumps = ["out", "in"].map(|direction| tcpdump(&pair, direction, expression));
        (expression, dumps, measure(&pair, "auto", expression))
    });
    traffic(&pair);
    for (expression, dumps, agent) in agents {
        assert_eq!(matched(&agent.report()), captured(&dumps), "{expression}");
    }
}

#[test]
fn frames_go_the_way_that_tcpdump_knows_of() {
    let pair = pair();
    let agents = OF_WAYS.map(|(expression, way)| {
        (expression, way, tcpdump(&pair, "inout", expression), measure(&pair, "auto", expression))
    });
    traffic(&pair);
    for (expression, way, dump, agent) in agents {
        let [sent, received] = matched(&agent.report());
        dump.signal(Signal::SIGUSR1);
        let [_, passed] = eventually("tcpdump answers", || statistics(&dump.said()));
        assert_eq!(way.ends([sent, received], [received, sent]).0, [passed, 0], "{expression}");
    }
}

#[test]
fn xdp_programs_find_the_same_tags_in_the_frame() {
    for expression in OF_TAGS {
        let pair = pair();
        let dumps = ["out", "in"].map(|direction| tcpdump(&pair, direction, expression));
        let agent = measure(&pair, "xdp", expression);
        traffic(&pair);
        assert_eq!(matched(&agent.report()), captured(&dumps), "{expression}");
    }
}
