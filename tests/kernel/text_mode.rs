//! `flowtally -t`: iftop's text mode, in which bytes are those of IP packets.

use std::{
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    time::{Duration, Instant},
};

use harness::{
    Agent, NetPair, Way,
    agent::program,
    frames::{
        DOT1Q, FAR_PORT, IPV4, IPV6, NEAR_PORT, ethernet, ipv4, ipv6, opaque, protocol::UDP, tagged, udp,
    },
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

/// Standard input need not be a terminal, and what is pressed before the first report counts.
#[test]
fn keys_are_told_and_answered() {
    let pair = NetPair::new();
    let script = format!("printf 'nNsdSDpPo1>zq' | {} -t -i near", program().display());
    let output = pair.near.namespace.enter(|| Command::new("sh").args(["-c", &script]).output().unwrap());
    let text = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = [
        "DNS resolution is OFF.",
        "Port resolution is OFF.",
        "Hide source host",
        "Hide destination host",
        "Showing ports: src.",
        "Showing ports: both.",
        "Showing ports: none.",
        "Pausing... press 'P' again to continue.",
        "Order frozen.",
        "Sorting by column 1.",
        "Sorting by column destination.",
    ];
    let said: Vec<_> = text.lines().filter(|line| messages.contains(line)).collect();
    assert_eq!(said, messages, "{text}");
    // One each until the pause.
    assert_eq!(text.matches("Total send rate:").count(), 7, "{text}");
}

/// Every packet on loopback was sent, whatever else is counted.
#[test]
fn loopback_sends_beside_other_interfaces() {
    let pair = NetPair::new();
    let agent = start(&pair, "-t -i near -i lo -n -N -P -B -s 2");
    pair.far.send(&[ethernet(Way::Received, IPV4, &ipv4(Way::Received, UDP, &udp(Way::Received, 72)))]);
    pair.near.namespace.enter(|| {
        let client = UdpSocket::bind((Ipv4Addr::LOCALHOST, NEAR_PORT)).unwrap();
        let server = UdpSocket::bind((Ipv4Addr::LOCALHOST, FAR_PORT)).unwrap();
        client.send_to(&[0; 122], server.local_addr().unwrap()).unwrap();
        server.send_to(&[0; 222], client.local_addr().unwrap()).unwrap();
    });
    let text = finish(agent);
    assert_eq!(values(&text, "Cumulative (sent/received/total):"), ["400B", "100B", "500B"], "{text}");
    assert_eq!(text.matches("127.0.0.1").count(), 4, "two pairs: {text}");
}

fn start(pair: &NetPair, arguments: &str) -> Agent {
    let mut agent = Agent::start(&pair.near.namespace, arguments);
    agent.wait_for_text_mode();
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
