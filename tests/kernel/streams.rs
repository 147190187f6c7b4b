//! TCP in bulk, with the stack's offloads on and off, against the interfaces' own counters.
//!
//! Without TCP segmentation offload (`tso off`), super-packets are cut up before they reach the veth device, so that its
//! counters are those of the wire, whatever the programs get to see: super-packets on the sender's egress with `gso on`,
//! and again on the receiver's ingress with `gro on`.

use std::{
    fs,
    io::{Read, Write},
    net::{IpAddr, Shutdown, TcpListener, TcpStream},
    thread,
};

use harness::{
    Agent, Amounts, Flow, Host, NetPair, Report, eventually,
    frames::{FAR_PORT, FAR_V4, FAR_V6, NEAR_V4, NEAR_V6},
    network::Counters,
};

/// Bytes of an Ethernet header.
const ETHERNET: u64 = 14;
/// Bytes of each transfer: thousands of segments.
const BULK: usize = 8 << 20;

#[test]
fn offloads_off() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso off gro off");
    }
}

#[test]
fn segmented_behind_the_hook() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso on gro off");
    }
}

#[test]
fn merged_before_the_hook() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso off gro on");
    }
}

#[test]
fn segmented_and_merged() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso on gro on");
    }
}

#[test]
fn never_segmented_v4() {
    check_super_packets(&NetPair::new(), NEAR_V4.into(), FAR_V4.into());
}

#[test]
fn never_segmented_v6() {
    check_super_packets(&NetPair::new(), NEAR_V6.into(), FAR_V6.into());
}

/// Super-packets beyond 64 KiB, which have no length in their IP header, and a header that is never on the wire.
#[test]
fn big_tcp() {
    let pair = NetPair::new();
    for host in [&pair.near, &pair.far] {
        host.namespace.ip(&format!("link set {} gso_max_size 180000 gro_max_size 180000", host.interface));
        host.namespace.set("ipv4/tcp_wmem", "4096 4194304 4194304");
    }
    let counters = check_super_packets(&pair, NEAR_V6.into(), FAR_V6.into());
    assert!(counters.sent_bytes / counters.sent_packets > 1 << 16, "no packets beyond 64 KiB: {counters:?}");
}

/// Super-packets from end to end: no counter sees the wire, but the bytes on it follow from the number of packets, for all
/// of them have the same headers but the first, and both ends must agree. Returns what near's interface counted.
fn check_super_packets(pair: &NetPair, local: IpAddr, remote: IpAddr) -> Counters {
    /// Of TCP, with time stamps.
    const TCP: u64 = 20 + 12;
    /// What the options of the first packet take beyond the time stamps.
    const FIRST: u64 = 8;
    const MTU: u64 = 1500;
    let headers = TCP + if local.is_ipv4() { 20 } else { 40 };
    let (near, far, counters) = undisturbed_transfer(pair, remote);
    let (sent, seen) = (single(&near, local, remote), single(&far, remote, local));
    assert_eq!((sent.sent_bytes, sent.sent_packets), (seen.received_bytes, seen.received_packets));
    assert_eq!((sent.received_bytes, sent.received_packets), (seen.sent_bytes, seen.sent_packets));
    assert_eq!(sent.sent_bytes, BULK as u64 + sent.sent_packets * (ETHERNET + headers) + FIRST, "{sent:?}");
    assert!(sent.sent_packets >= BULK as u64 / (MTU - headers), "super-packets counted as packets: {sent:?}");
    assert!(sent.sent_packets > counters.sent_packets, "there were no super-packets");
    counters
}

/// Measures transfers until there is one in which nothing had to be sent twice, as happens on a busy machine.
fn undisturbed_transfer(pair: &NetPair, to: IpAddr) -> (Report, Report, Counters) {
    loop {
        let (before, again) = (pair.near.counters(), retransmitted(&pair.near));
        let (near, far) = measure_transfer(pair, "tcx", to);
        if retransmitted(&pair.near) == again {
            return (near, far, pair.near.counters() - before);
        }
    }
}

/// TCP segments that the host has sent twice (`RetransSegs` of RFC 4022).
fn retransmitted(host: &Host) -> u64 {
    let text = host.namespace.enter(|| fs::read_to_string("/proc/thread-self/net/snmp")).unwrap();
    let mut tcp = text.lines().filter_map(|line| line.strip_prefix("Tcp:")).map(str::split_whitespace);
    let (names, values) = (tcp.next().unwrap(), tcp.next().unwrap());
    let (_, value) = names.zip(values).find(|(name, _)| *name == "RetransSegs").unwrap();
    value.parse().unwrap()
}

fn check_against_counters(hook: &str, features: &str) {
    let pair = NetPair::new();
    for host in [&pair.near, &pair.far] {
        host.offload(features);
        // Less in flight than fits the queue of an interface that polls it (256 packets): what is dropped there was
        // counted on its way, and is in no counter of the interface.
        host.namespace.set("ipv4/tcp_rmem", "4096 131072 131072");
    }
    for (local, remote) in [(NEAR_V4.into(), FAR_V4.into()), (NEAR_V6.into(), FAR_V6.into())] {
        let before = pair.near.counters();
        let (near, far) = measure_transfer(&pair, hook, remote);
        let mut wire = pair.near.counters() - before;
        if hook == "xdp" || features.contains("gro on") {
            // Such an interface polls its queue, and then both ends of the pair count what it takes from there, without
            // the link-layer header (`drivers/net/veth.c`, `veth_xdp_rcv`).
            wire.sent_bytes += wire.sent_packets * ETHERNET;
            wire.received_bytes += wire.received_packets * ETHERNET;
        }
        let sent = single(&near, local, remote);
        assert_eq!(
            (sent.sent_bytes, sent.sent_packets),
            (wire.sent_bytes, wire.sent_packets),
            "{hook}: near"
        );
        assert_eq!(
            (sent.received_bytes, sent.received_packets),
            (wire.received_bytes, wire.received_packets),
            "{hook}: near"
        );
        let seen = single(&far, remote, local);
        assert_eq!(
            (seen.received_bytes, seen.received_packets),
            (wire.sent_bytes, wire.sent_packets),
            "{hook}: far"
        );
        assert_eq!(
            (seen.sent_bytes, seen.sent_packets),
            (wire.received_bytes, wire.received_packets),
            "{hook}: far"
        );
        for (report, interface) in [(&near, "near"), (&far, "far")] {
            assert_eq!(report.interface(interface).residue(), [0; 4], "{hook}: residue on {interface}");
        }
    }
}

/// Measures one transfer at both ends.
fn measure_transfer(pair: &NetPair, hook: &str, to: IpAddr) -> (Report, Report) {
    let arguments = format!("--hook {hook}");
    let near = Agent::measure(&pair.near, &arguments);
    let far = Agent::measure(&pair.far, &arguments);
    transfer(&pair.near, &pair.far, to);
    (near.report(), far.report())
}

/// Sends [`BULK`] bytes over a connection and closes it, and returns when not one packet of it is to come.
fn transfer(from: &Host, to: &Host, address: IpAddr) {
    let listener = to.namespace.enter(|| TcpListener::bind((address, FAR_PORT)).unwrap());
    thread::scope(|scope| {
        scope.spawn(|| {
            let (mut stream, _) = listener.accept().unwrap();
            let mut received = Vec::new();
            stream.read_to_end(&mut received).unwrap();
            assert_eq!(received.len(), BULK);
        });
        let mut stream = from.namespace.enter(|| TcpStream::connect((address, FAR_PORT)).unwrap());
        stream.write_all(&vec![0; BULK]).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        assert_eq!(stream.read(&mut [0]).unwrap(), 0);
    });
    // The sender's last packet answers the receiver's last one, and takes its socket away.
    eventually("the connection is gone", || {
        let tables = to.namespace.enter(|| {
            ["/proc/thread-self/net/tcp", "/proc/thread-self/net/tcp6"]
                .map(|path| fs::read_to_string(path).unwrap())
        });
        tables.iter().flat_map(|table| table.lines().skip(1)).all(is_listening).then_some(())
    });
}

/// Whether a line of /proc/net/tcp is a listening socket's (`net/tcp_states.h`).
fn is_listening(line: &str) -> bool {
    const STATE: usize = 3;
    const LISTEN: &str = "0A";
    line.split_whitespace().nth(STATE) == Some(LISTEN)
}

/// The only row of a report: a connection between these two.
fn single(report: &Report, local: IpAddr, remote: IpAddr) -> Amounts {
    let [row] = report.flows.as_slice() else { panic!("one connection, but {:?}", report.flows) };
    let Flow { local_address, remote_address, ref protocol, .. } = row.flow;
    assert_eq!((protocol.as_str(), local_address, remote_address), ("tcp", Some(local), Some(remote)));
    row.amounts
}
