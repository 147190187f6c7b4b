//! The same expressions and the same packets through libpcap: `cargo test --lib filter -- --ignored` runs it where there is
//! tcpdump.

use std::{
    collections::BTreeSet,
    io::Write,
    process::{Command, Stdio},
};

use flowtally_common::FlowKey;
use proptest::{prelude::*, strategy::ValueTree, test_runner::TestRunner};

use super::{any_end, any_expression, any_key, any_network, matches, parse};
use crate::filter::{IpFamily, Test};

/// Random expressions to compare.
const EXPRESSIONS: usize = 1500;
/// Random flows that each of them is asked about.
const FLOWS: usize = 200;

/// What both programs understand alike: no tags, no interfaces, no directions, no broadcast.
fn common_test() -> impl Strategy<Value = Test> {
    // 0 is a port to libpcap.
    let port =
        (any_end(), 1..4_u16, 0..3_u16).prop_map(|(end, from, more)| Test::Port(end, from..=from + more));
    prop_oneof![
        prop::sample::select(vec![IpFamily::V4, IpFamily::V6]).prop_map(Test::Family),
        prop::sample::select(vec![1_u8, 6, 17, 58, 132]).prop_map(Test::Protocol),
        (any_end(), any_network()).prop_map(|(end, network)| Test::Address(end, network)),
        port,
    ]
}

/// Texts whose parts the random ones do not have: inherited words, names, binding.
const TEXTS: &[&str] = &[
    "port 2 or 3",
    "tcp port 2 or 3 and host 10.0.0.1",
    "not host 10.0.0.1 and 10.0.0.2",
    "tcp or udp and port 2",
    "tcp or (udp and port 2)",
    "src or dst port 2",
    "src and dst net 10",
    "host not 10.0.0.1",
    "host 10.0",
    "net 10.0.0.0 mask 255.0.0.0",
    "port (2 or not 3)",
    "!tcp&&!udp||icmp",
    "not not tcp",
    "icmp or icmp6",
    "ip multicast",
    "ip6 multicast",
    "udp portrange 4-2",
    "ip proto \\udp or ip6 proto 6",
    "proto 17",
    "src 10.0.0.1 or 10.0.0.2 and tcp",
    "sctp src port 1",
    "dst host fd77::1 or fd77::2",
    "ether proto \\ip",
    "ether proto 0x86dd and port 1",
];

#[test]
#[ignore = "needs tcpdump"]
fn libpcap_agrees() {
    let mut runner = TestRunner::deterministic();
    let mut keys: Vec<FlowKey> = Vec::new();
    while keys.len() < FLOWS {
        let key = any_key().new_tree(&mut runner).unwrap().current();
        // Both ends are of one family, and (0, 0) are the ports of a fragment.
        let is_v4 = |octets: [u8; 16]| octets[10..12] == [0xff, 0xff];
        if is_v4(key.src) == is_v4(key.dst) && (key.src_port, key.dst_port) != ([0; 2], [0; 2]) {
            keys.push(key);
        }
    }
    let capture = capture(&keys);
    let expressions = any_expression(common_test());
    let random = (0..EXPRESSIONS).map(|_| expressions.new_tree(&mut runner).unwrap().current().to_string());
    let mut compared = 0;
    for text in random.chain(TEXTS.iter().map(|text| (*text).to_owned())) {
        let Some(theirs) = tcpdump(&capture, &text) else { continue };
        let filter = parse(&text);
        let ours: BTreeSet<usize> = (0..keys.len()).filter(|index| matches(&filter, &keys[*index])).collect();
        assert_eq!(ours, theirs, "{text}");
        compared += 1;
    }
    assert!(compared > EXPRESSIONS / 2, "libpcap refused most of them: only {compared} were compared");
    println!("{compared} expressions, {FLOWS} flows");
}

/// The numbers of the packets that match; `None` if the expression is refused: libpcap finds out that some can never match.
fn tcpdump(capture: &[u8], text: &str) -> Option<BTreeSet<usize>> {
    let mut child = Command::new("tcpdump")
        .args(["-r", "-", "-w", "-", text])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("start tcpdump");
    // It may have refused the expression before it reads.
    drop(child.stdin.take().unwrap().write_all(capture));
    let output = child.wait_with_output().unwrap();
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("expression rejects all packets"), "{text}: {said}");
        return None;
    }
    let mut rest = output.stdout.get(FILE_HEADER..)?;
    let mut found = BTreeSet::new();
    while rest.len() > RECORD_HEADER {
        let (header, packet) = rest.split_at(RECORD_HEADER);
        let length = u32::from_le_bytes(header[8..12].try_into().unwrap()) as usize;
        let (packet, after) = packet.split_at(length);
        found.insert(usize::from(u16::from_be_bytes(packet[length - 2..].try_into().unwrap())));
        rest = after;
    }
    Some(found)
}

/// Of libpcap's file format: its header, and that of each packet.
const FILE_HEADER: usize = 24;
const RECORD_HEADER: usize = 16;

/// A file with a packet of each flow, which ends in its number.
fn capture(keys: &[FlowKey]) -> Vec<u8> {
    let mut file = Vec::new();
    for word in [0xa1b2_c3d4_u32, 0x0004_0002, 0, 0, 65_535, 1] {
        file.extend(word.to_le_bytes());
    }
    for (index, key) in keys.iter().enumerate() {
        let packet = packet(key, u16::try_from(index).unwrap());
        let length = u32::try_from(packet.len()).unwrap();
        for word in [0, 0, length, length] {
            file.extend(word.to_le_bytes());
        }
        file.extend(packet);
    }
    file
}

fn packet(key: &FlowKey, number: u16) -> Vec<u8> {
    let mut payload = [key.src_port, key.dst_port].concat();
    payload.resize(40, 0);
    payload.extend(number.to_be_bytes());
    let length = u16::try_from(payload.len()).unwrap();

    let mut frame = vec![2, 0, 0, 0, 0, 1, 2, 0, 0, 0, 0, 2];
    if key.src[10..12] == [0xff, 0xff] {
        frame.extend([0x08, 0x00, 0x45, 0]);
        frame.extend((length + 20).to_be_bytes());
        frame.extend([0, 0, 0, 0, 64, key.protocol, 0, 0]);
        frame.extend(&key.src[12..]);
        frame.extend(&key.dst[12..]);
    } else {
        frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
        frame.extend(length.to_be_bytes());
        frame.extend([key.protocol, 64]);
        frame.extend(key.src);
        frame.extend(key.dst);
    }
    frame.extend(payload);
    frame
}
