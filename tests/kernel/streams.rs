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
    Agent, Amounts, Flow, Host, NetPair, eventually,
    frames::{FAR_PORT, FAR_V4, FAR_V6, NEAR_V4, NEAR_V6},
};

/// Bytes of each transfer: thousands of segments.
const BULK: usize = 8 << 20;

#[test]
fn offloads_off() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso off gro off", "tso off gso off gro off");
    }
}

#[test]
fn segmented_behind_the_hook() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso on gro off", "tso off gso on gro off");
    }
}

#[test]
fn merged_before_the_hook() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso off gro on", "tso off gso off gro on");
    }
}

#[test]
fn segmented_and_merged() {
    for hook in ["tcx", "clsact", "xdp"] {
        check_against_counters(hook, "tso off gso on gro on", "tso off gso on gro on");
    }
}

/// Super-packets from end to end: no counter sees the wire, but both ends must agree on what would be on it.
#[test]
fn both_ends_agree_on_what_is_never_segmented() {
    /// The most that an Ethernet frame carries beside IP and TCP headers and time stamps.
    const SEGMENT: u64 = 1500 - 20 - 20 - 12;
    let pair = NetPair::new();
    let (near, far) = measure_transfer(&pair, "tcx", FAR_V4.into());
    let (sent, seen) =
        (single(&near, NEAR_V4.into(), FAR_V4.into()), single(&far, FAR_V4.into(), NEAR_V4.into()));
    assert_eq!((sent.sent_bytes, sent.sent_packets), (seen.received_bytes, seen.received_packets));
    assert_eq!((sent.received_bytes, sent.received_packets), (seen.sent_bytes, seen.sent_packets));
    assert!(sent.sent_packets >= BULK as u64 / SEGMENT, "super-packets counted as packets: {sent:?}");
    assert!(sent.sent_packets > pair.near.counters().sent_packets, "there were no super-packets");
}

fn check_against_counters(hook: &str, near: &str, far: &str) {
    let pair = NetPair::new();
    pair.near.offload(near);
    pair.far.offload(far);
    for (local, remote) in [(NEAR_V4.into(), FAR_V4.into()), (NEAR_V6.into(), FAR_V6.into())] {
        let before = pair.near.counters();
        let (near, far) = measure_transfer(&pair, hook, remote);
        let after = pair.near.counters();
        let wire = Amounts {
            sent_bytes: after.sent_bytes - before.sent_bytes,
            sent_packets: after.sent_packets - before.sent_packets,
            received_bytes: after.received_bytes - before.received_bytes,
            received_packets: after.received_packets - before.received_packets,
        };
        assert_eq!(single(&near, local, remote), wire, "{hook}: the sender's row");
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
fn measure_transfer(pair: &NetPair, hook: &str, to: IpAddr) -> (harness::Report, harness::Report) {
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
fn single(report: &harness::Report, local: IpAddr, remote: IpAddr) -> Amounts {
    let [row] = report.flows.as_slice() else { panic!("one connection, but {:?}", report.flows) };
    let Flow { local_address, remote_address, ref protocol, .. } = row.flow;
    assert_eq!((protocol.as_str(), local_address, remote_address), ("tcp", Some(local), Some(remote)));
    row.amounts
}
