//! Traffic that is no process's: what it is called instead.

use std::{
    fs,
    io::ErrorKind,
    net::{IpAddr, TcpStream, UdpSocket},
    sync::Arc,
};

use harness::{
    Agent, Host, NetPair, PATIENCE, Report,
    frames::{FAR_V4, NEAR_V4},
    report::Row,
};

use crate::{
    told::{nothing_is_unknown, row},
    workers::Worker,
};

fn reason(row: &Row) -> &str {
    assert_eq!((row.owner.pid, row.owner.command.as_deref()), (None, None), "it is nobody's: {row:#?}");
    row.owner.owner_reason.as_deref().unwrap_or_else(|| panic!("no reason: {row:#?}"))
}

fn measure(pair: &NetPair, act: impl FnOnce()) -> Report {
    let agent = Agent::measure(&pair.near, "");
    act();
    let report = agent.report();
    nothing_is_unknown(&report);
    report
}

/// Nobody listens: the kernel answers with a reset, or with an ICMP message.
#[test]
fn ports_that_nobody_listens_at() {
    let pair = NetPair::new();
    let report = measure(&pair, || {
        let refused = pair.far.namespace.enter(|| TcpStream::connect((NEAR_V4, 5000))).unwrap_err();
        assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
        let socket = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
        socket.connect((NEAR_V4, 5001)).unwrap();
        socket.send(&[0; 100]).unwrap();
        assert_eq!(socket.recv(&mut [0; 100]).unwrap_err().kind(), ErrorKind::ConnectionRefused);
    });
    assert_eq!(reason(row(&report, "tcp", 5000, 0)), "no_socket");
    assert_eq!(reason(row(&report, "udp", 5001, 0)), "no_socket");
    let icmp = report.flows.iter().find(|row| row.flow.protocol == "icmp").unwrap();
    assert_eq!(reason(icmp), "kernel_stack");
}

/// The kernel answers pings itself.
#[test]
fn answers_to_pings() {
    let pair = NetPair::new();
    pair.far.namespace.set("ipv4/ping_group_range", "0 0");
    let report = measure(&pair, || {
        let steps = format!("ping={FAR_V4} to={NEAR_V4}:0 send-hex=0800000000010001 receive=100");
        Worker::start(&pair.far.namespace, &steps).end();
    });
    let [row] = report.flows.as_slice() else { panic!("one conversation: {:#?}", report.flows) };
    assert_eq!(reason(row), "kernel_stack");
}

/// Packets of a tunnel arrive at a socket that no process ever had.
#[test]
fn sockets_of_the_kernel() {
    const VXLAN: u16 = 4789;
    let pair = NetPair::new();
    pair.near.namespace.ip(&format!("link add vxlan7 type vxlan id 7 local {NEAR_V4} dstport {VXLAN}"));
    pair.near.namespace.ip("link set vxlan7 up");
    let report = measure(&pair, || {
        let socket = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
        socket.send_to(&[0; 100], (NEAR_V4, VXLAN)).unwrap();
    });
    let reason = reason(row(&report, "udp", VXLAN, 0));
    // A socket that nobody has could be that of a process that is hidden.
    assert!(reason == "kernel" || reason == "not_permitted" && !sees_everybody(), "{reason}");
}

/// A host in the middle of four: what it forwards comes from another router, which takes the sender's socket off it.
#[test]
fn forwarded_traffic() {
    let pair = NetPair::new();
    let cable = |near: &Host, [interface, other]: [&'static str; 2], network: u8| {
        let address = |host| IpAddr::from([10, network, 0, host]);
        let end = |namespace, interface, host: u8| Host {
            namespace,
            interface,
            mac: ["02:00:00:00:00:05", "02:00:00:00:00:06"][usize::from(host) - 1],
            v4: address(host),
            v6: format!("fd{network}::{host}").parse().unwrap(),
        };
        NetPair::of(end(Arc::clone(&near.namespace), interface, 1), end(Arc::default(), other, 2))
    };
    let (source, target) =
        (cable(&pair.far, ["to-source", "source"], 78), cable(&pair.near, ["to-target", "target"], 79));
    for host in [&pair.near, &pair.far] {
        host.namespace.set("ipv4/ip_forward", "1");
    }
    source.far.namespace.ip("route add default via 10.78.0.1");
    pair.far.namespace.ip(&format!("route add 10.79.0.0/24 via {NEAR_V4}"));
    // The same port as the target's receiver has: this must not be taken for it.
    let decoy = Worker::start(&pair.near.namespace, "name=decoy udp=0.0.0.0:5000 wait");
    let receiver = target.far.namespace.enter(|| UdpSocket::bind(("10.79.0.2", 5000)).unwrap());
    receiver.set_read_timeout(Some(PATIENCE)).unwrap();
    let report = measure(&pair, || {
        let socket = source.far.namespace.enter(|| UdpSocket::bind(("10.78.0.2", 5000)).unwrap());
        socket.send_to(&[0; 100], ("10.79.0.2", 5000)).unwrap();
        assert_eq!(receiver.recv(&mut [0; 200]).unwrap(), 100);
    });
    let [row] = report.flows.as_slice() else { panic!("one conversation: {:#?}", report.flows) };
    assert_eq!(reason(row), "forwarded");
    decoy.dismiss();
}

/// Whether nothing of any process is hidden from root, as something is where process 1 has more capabilities.
fn sees_everybody() -> bool {
    let names =
        fs::read_dir("/proc").unwrap().filter_map(|entry| entry.unwrap().file_name().into_string().ok());
    let mut pids = names.filter_map(|name| name.parse::<u32>().ok());
    pids.all(|pid| {
        let link = format!("/proc/{pid}/ns/net");
        let is_refused = |error: std::io::Error| error.kind() == ErrorKind::PermissionDenied;
        !fs::read_link(&link).is_err_and(is_refused) || !fs::exists(format!("/proc/{pid}")).unwrap()
    })
}

/// Frames that are no IP, or none that anybody asked for.
#[test]
fn the_stack_itself() {
    let pair = NetPair::new();
    let report = measure(&pair, || {
        // The kernel tells the neighbours which groups it listens to, and asks for addresses that it does not know.
        pair.near.namespace.ip("link set near arp on");
        let unknown = "10.77.0.99:5000";
        let steps = format!("udp=0.0.0.0:0 to={unknown} send=10 join=239.77.0.9@{NEAR_V4}");
        Worker::start(&pair.near.namespace, &steps).end();
        harness::eventually("a question for the neighbour", || {
            (pair.near.counters().sent_packets >= 2).then_some(())
        });
    });
    for protocol in ["arp", "igmp"] {
        let row = report.flows.iter().find(|row| row.flow.protocol == protocol);
        let row = row.unwrap_or_else(|| panic!("no {protocol}: {:#?}", report.flows));
        assert_eq!(reason(row), "kernel_stack");
    }
}
