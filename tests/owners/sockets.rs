//! Sockets of all kinds: those that were there before the program under test was, which /proc tells of, and those of processes that
//! are gone, which the kernel has noted.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream},
};

use harness::{
    Agent, NetPair, PATIENCE, Report, Way,
    frames::{FAR_PORT, FAR_V4, IPV4, NEAR_PORT, NEAR_V4, NEAR_V6, ethernet, ipv4, protocol::UDP, udp},
};

use crate::{
    partners::{answer, far_udp},
    told::{is_of, nothing_is_unknown, row},
    workers::{Said, Worker},
};

/// When a worker lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Life {
    /// Its socket was there before the measurement began, and is at its end.
    Older,
    /// It begins later, and is gone when the measurement ends.
    Younger,
}

const LIVES: [Life; 2] = [Life::Older, Life::Younger];

/// Starts a worker and the measurement, lets both ends do something, and hands back what was reported and what the worker had
/// said when it was ready.
fn measure(pair: &NetPair, life: Life, steps: &str, act: impl FnOnce(&mut Worker, &Said)) -> (Report, Said) {
    let start_worker = || {
        let mut worker = Worker::start(&pair.near.namespace, steps);
        let ready = worker.hear();
        (worker, ready)
    };
    let start_agent = || Agent::measure(&pair.near, "");
    let (agent, (mut worker, ready)) = match life {
        Life::Older => {
            let worker = start_worker();
            (start_agent(), worker)
        }
        Life::Younger => (start_agent(), start_worker()),
    };
    act(&mut worker, &ready);
    let report = match life {
        Life::Older => {
            let report = agent.report();
            worker.dismiss();
            report
        }
        Life::Younger => {
            worker.dismiss();
            agent.report()
        }
    };
    nothing_is_unknown(&report);
    (report, ready)
}

fn check(report: &Report, protocol: &str, local_port: u16, remote_port: u16, said: &Said) {
    let row = row(report, protocol, local_port, remote_port);
    assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
}

fn far_connects(pair: &NetPair, to: SocketAddr) -> TcpStream {
    let stream = pair.far.namespace.enter(|| TcpStream::connect(to).unwrap());
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream
}

#[test]
fn a_connection_that_was_made() {
    for life in LIVES {
        let pair = NetPair::new();
        let listener = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, FAR_PORT)).unwrap());
        let steps =
            format!("name=client connect={FAR_V4}:{FAR_PORT} say=ready send=100 receive=50 say=done wait");
        let (report, said) = measure(&pair, life, &steps, |worker, _| {
            let _stream = answer(&listener);
            worker.hear();
        });
        check(&report, "tcp", said.local.port(), FAR_PORT, &said);
    }
}

#[test]
fn a_connection_that_was_accepted_before() {
    let pair = NetPair::new();
    let steps = format!(
        "name=server listen={NEAR_V4}:0 say=listens accept say=ready receive=100 send=50 say=done wait"
    );
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let mut stream = far_connects(&pair, worker.hear().local);
    let said = worker.hear();
    let agent = Agent::measure(&pair.near, "");
    stream.write_all(&[0; 100]).unwrap();
    stream.read_exact(&mut [0; 50]).unwrap();
    worker.hear();
    let report = agent.report();
    nothing_is_unknown(&report);
    check(&report, "tcp", said.local.port(), stream.local_addr().unwrap().port(), &said);
    worker.dismiss();
}

/// One connection is accepted, the other waits for that.
#[test]
fn a_listener() {
    for life in LIVES {
        let pair = NetPair::new();
        let steps =
            format!("name=server listen={NEAR_V4}:0 say=ready accept receive=100 send=50 say=done wait");
        let mut ports = Vec::new();
        let mut streams = Vec::new();
        let (report, said) = measure(&pair, life, &steps, |worker, ready| {
            for _ in 0..2 {
                let stream = far_connects(&pair, ready.local);
                ports.push(stream.local_addr().unwrap().port());
                streams.push(stream);
            }
            streams[0].write_all(&[0; 100]).unwrap();
            streams[0].read_exact(&mut [0; 50]).unwrap();
            streams[1].write_all(&[0; 100]).unwrap();
            worker.hear();
        });
        for port in ports {
            check(&report, "tcp", said.local.port(), port, &said);
        }
    }
}

/// As QUIC servers work: one socket, which is never connected, and many peers.
#[test]
fn an_unconnected_udp_server_with_many_peers() {
    for life in LIVES {
        let pair = NetPair::new();
        let exchanges = "receive=1200 send=700 ".repeat(5);
        let steps = format!("name=server udp={NEAR_V4}:443 say=ready {exchanges} say=done wait");
        let mut ports = Vec::new();
        let (report, said) = measure(&pair, life, &steps, |worker, ready| {
            for _ in 0..5 {
                let socket = far_udp(&pair);
                socket.send_to(&[0; 1200], ready.local).unwrap();
                assert_eq!(socket.recv(&mut [0; 1200]).unwrap(), 700);
                ports.push(socket.local_addr().unwrap().port());
            }
            worker.hear();
        });
        for port in ports {
            check(&report, "udp", 443, port, &said);
        }
    }
}

/// What only receives never shows its socket to a packet that leaves.
#[test]
fn a_udp_socket_that_only_receives() {
    for life in LIVES {
        let pair = NetPair::new();
        let steps = format!("name=server udp={NEAR_V4}:0 say=ready receive=100 say=done wait");
        let socket = far_udp(&pair);
        let (report, said) = measure(&pair, life, &steps, |worker, ready| {
            socket.send_to(&[0; 100], ready.local).unwrap();
            worker.hear();
        });
        check(&report, "udp", said.local.port(), socket.local_addr().unwrap().port(), &said);
    }
}

#[test]
fn ipv4_through_ipv6_sockets() {
    for life in LIVES {
        let pair = NetPair::new();
        let steps = "name=mapped udp=[::]:0 say=ready receive=100 send=50 say=done wait";
        let mut listener = Worker::start(
            &pair.near.namespace,
            "name=mapped-tcp listen=[::]:0 say=ready accept receive=9 say=done wait",
        );
        let listens = listener.hear();
        let socket = far_udp(&pair);
        let mut stream = None;
        let (report, said) = measure(&pair, life, steps, |worker, ready| {
            socket.send_to(&[0; 100], (NEAR_V4, ready.local.port())).unwrap();
            assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 50);
            worker.hear();
            let mut connected = far_connects(&pair, (NEAR_V4, listens.local.port()).into());
            connected.write_all(&[0; 9]).unwrap();
            listener.hear();
            stream = Some(connected);
        });
        check(&report, "udp", said.local.port(), socket.local_addr().unwrap().port(), &said);
        check(&report, "tcp", listens.local.port(), stream.unwrap().local_addr().unwrap().port(), &listens);
        listener.dismiss();
    }
}

#[test]
fn a_receiver_of_multicast() {
    const GROUP: &str = "239.77.0.1";
    const PORT: u16 = 5353;
    for life in LIVES {
        let pair = NetPair::new();
        pair.far.namespace.ip("route add 239.0.0.0/8 dev far");
        let steps = format!(
            "name=multicast udp=0.0.0.0:{PORT} join={GROUP}@{NEAR_V4} say=ready receive=100 say=done wait"
        );
        let socket = far_udp(&pair);
        let (report, said) = measure(&pair, life, &steps, |worker, _| {
            socket.send_to(&[0; 100], (GROUP, PORT)).unwrap();
            worker.hear();
        });
        let rows = report.flows.iter().filter(|row| row.flow.protocol == "udp").collect::<Vec<_>>();
        let [row] = rows[..] else { panic!("one row of UDP: {:#?}", report.flows) };
        assert!(is_of(&row.owner, &said), "not {said:?}: {row:#?}");
    }
}

#[test]
fn a_ping_socket() {
    for life in LIVES {
        let pair = NetPair::new();
        pair.near.namespace.set("ipv4/ping_group_range", "0 0");
        let echo = hex(&echo());
        let steps = format!(
            "name=pings ping={NEAR_V4} to={FAR_V4}:0 say=ready wait send-hex={echo} receive=100 say=done wait"
        );
        let (report, said) = measure(&pair, life, &steps, |worker, _| {
            worker.go();
            worker.hear();
        });
        let row = &report.flows[0];
        assert!(report.flows.len() == 1 && is_of(&row.owner, &said), "not {said:?}: {:#?}", report.flows);
    }
}

#[test]
fn raw_sockets() {
    for life in LIVES {
        // A protocol number for experiments (RFC 3692).
        for (protocol, payload, name) in [("1", echo(), "icmp"), ("253", vec![0; 30], "253")] {
            let pair = NetPair::new();
            let steps = format!(
                "name=raw raw={protocol}@{NEAR_V4} to={FAR_V4}:0 say=ready wait send-hex={} say=done wait",
                hex(&payload)
            );
            let (report, said) = measure(&pair, life, &steps, |worker, _| {
                worker.go();
                worker.hear();
            });
            let rows: Vec<_> = report.flows.iter().filter(|row| row.amounts.sent_packets > 0).collect();
            let [row] = rows[..] else { panic!("{name}: one row: {:#?}", report.flows) };
            assert!(is_of(&row.owner, &said), "{name}: not {said:?}: {row:#?}");
        }
    }
}

/// A packet socket sends what looks like anybody's. The kernel has nothing to note when one is made: only /proc tells.
#[test]
fn a_packet_socket() {
    for life in LIVES {
        let pair = NetPair::new();
        let frame = hex(&ethernet(Way::Sent, IPV4, &ipv4(Way::Sent, UDP, &udp(Way::Sent, 40))));
        let steps = format!("name=packets packet=near say=ready wait send-hex={frame} say=done wait");
        let (report, said) = measure(&pair, life, &steps, |worker, _| {
            worker.go();
            worker.hear();
        });
        let owner = &row(&report, "udp", NEAR_PORT, FAR_PORT).owner;
        let is_gone = owner.owner_reason.as_deref() == Some("gone");
        assert!(is_of(owner, &said) || life == Life::Younger && is_gone, "not {said:?}: {owner:#?}");
    }
}

/// Both ends are on this host, and both are older.
#[test]
fn over_loopback() {
    let pair = NetPair::new();
    let steps =
        format!("name=serves listen=[{NEAR_V6}]:0 say=ready accept receive=100 send=50 say=done wait");
    let mut server = Worker::start(&pair.near.namespace, &steps);
    let listens = server.hear();
    let steps =
        format!("name=asks connect={} say=ready wait send=100 receive=50 say=done wait", listens.local);
    let mut client = Worker::start(&pair.near.namespace, &steps);
    let asks = client.hear();
    let agent = Agent::measure_on(&pair.near.namespace, "lo", "");
    client.go();
    client.hear();
    server.hear();
    let report = agent.report();
    nothing_is_unknown(&report);
    // Which end of it a row calls local is the ledger's affair; the owner is the one of that end.
    let row = &report.flows[0];
    let said = if row.flow.local_port == listens.local.port() { &listens } else { &asks };
    assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
    server.dismiss();
    client.dismiss();
}

/// An ICMP echo request with its checksum (RFC 792).
fn echo() -> Vec<u8> {
    let mut message = vec![8, 0, 0, 0, 0x12, 0x34, 0, 1];
    let sum: u32 = message.chunks(2).map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    let sum = !u16::try_from((sum & 0xffff) + (sum >> 16)).unwrap();
    message[2..4].copy_from_slice(&sum.to_be_bytes());
    message
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |hex, byte| format!("{hex}{byte:02x}"))
}
