//! `flowtally -t`: iftop's text mode, in which bytes are those of IP packets.

use std::time::{Duration, Instant};

use aya::programs::TcAttachType;
use harness::{
    Agent, NetPair, Way, eventually,
    foreign::attached,
    frames::{DOT1Q, IPV4, IPV6, ethernet, ipv4, ipv6, opaque, protocol::UDP, tagged, udp},
};

#[test]
fn totals_are_ip_bytes() {
    let pair = NetPair::new();
    let agent = start(&pair, "-t -i near -n -N -P -B -s 2 -L 10");
    // 5 x 60 + 2 x 70 = 440 bytes out, 3 x 80 = 240 in: below 1000, they are printed to the byte.
    let mut sent = vec![ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 32))); 5];
    let tags = [(DOT1Q, 7)];
    sent.extend(vec![tagged(Way::Sent, &tags, IPV6, &ipv6(Way::Sent, UDP, &udp(Way::Sent, 22))); 2]);
    let mut received =
        vec![tagged(Way::Received, &tags, IPV4, &ipv4(Way::Received, UDP, &udp(Way::Received, 52))); 3];
    // Not IP: not there.
    sent.push(ethernet(Way::Sent, 0x0806, &opaque(28)));
    received.push(ethernet(Way::Received, 0x88cc, &opaque(46)));
    pair.near.send(&sent);
    pair.far.send(&received);
    let text = finish(agent);
    assert_eq!(values(&text, "Cumulative (sent/received/total):"), ["440B", "240B", "680B"], "{text}");
    for line in ["10.77.0.1:40001", "10.77.0.2:5001", "[fd77::1]:40001", "[fd77::2]:5001"] {
        assert!(text.contains(line), "no {line} in {text}");
    }
    assert!(!text.contains("arp") && !text.contains("lldp"), "{text}");
}

/// The bytes of a packet are those of its frame without the link-layer header, and so with the padding.
#[test]
fn padding_counts() {
    let pair = NetPair::new();
    let agent = start(&pair, "-t -i near -n -N -P -B -s 2");
    let mut frame = ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 1)));
    frame.resize(60, 0);
    pair.near.send(&vec![frame; 10]);
    let text = finish(agent);
    assert_eq!(values(&text, "Cumulative (sent/received/total):"), ["460B", "0B", "460B"], "{text}");
}

#[test]
fn it_ends_on_a_silent_link() {
    let pair = NetPair::new();
    let started = Instant::now();
    let text = finish(start(&pair, "-t -i near -n -N -P -B -s 2"));
    assert!(started.elapsed() < Duration::from_secs(20), "took {:?}", started.elapsed());
    assert_eq!(values(&text, "Cumulative (sent/received/total):"), ["0B", "0B", "0B"], "{text}");
}

#[test]
fn pairs_are_limited_but_totals_are_not() {
    let pair = NetPair::new();
    let agent = start(&pair, "-t -i near -n -N -P -B -s 2 -L 1");
    pair.near.send(&vec![ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 72))); 2]);
    pair.near.send(&[ethernet(Way::Sent, IPV6, &ipv6(Way::Sent, UDP, &udp(Way::Sent, 2)))]);
    let text = finish(agent);
    assert_eq!(text.matches("=>").count(), 1, "{text}");
    assert!(text.contains("10.77.0.1:40001") && !text.contains("fd77"), "{text}");
    assert_eq!(values(&text, "Cumulative (sent/received/total):"), ["250B", "0B", "250B"], "{text}");
}

fn start(pair: &NetPair, arguments: &str) -> Agent {
    let agent = Agent::start(&pair.near.namespace, arguments);
    eventually("programs on the interface", || {
        let attached = |direction| !attached(&pair.near, direction).is_empty();
        (attached(TcAttachType::Ingress) && attached(TcAttachType::Egress)).then_some(())
    });
    agent
}

fn finish(agent: Agent) -> String {
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(0), "{}", ended.stderr);
    String::from_utf8(ended.stdout).unwrap()
}

/// The words after a label.
fn values<'a>(text: &'a str, label: &str) -> Vec<&'a str> {
    let line = text.lines().find_map(|line| line.strip_prefix(label));
    line.unwrap_or_else(|| panic!("no line {label:?} in {text}")).split_whitespace().collect()
}
