//! Filters in front of what counts, on every kernel: what they say, whose epoch a frame is, and what becomes of one that no filter was
//! asked about.

use std::{
    net::{Ipv4Addr, UdpSocket},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread,
};

use flowtally::{
    kernel::{AttachTarget, Kernel, Libpcap},
    model::hook::HookChoice,
    translate::FrameJudge,
};
use flowtally_common::{Count, Direction, Health, settings::Layer};
use flowtally_ebpf::frames;
use nix::net::if_::if_nametoindex;

use crate::{
    filters,
    flips::Stop,
    frames::{NEXT, PASS},
    subject::{Books, MARK, ROOMY, run, with_kernel},
};

/// One of every kind of instruction, and of every way through the verifier.
const DOZEN: [&str; 15] = [
    "tcp port 80 or 443",
    "host 192.0.2.1 and not port 22",
    "net 10.0.0.0/8 or ip6 net 2001:db8::/32",
    "udp portrange 1000-60000",
    "icmp[icmptype] = icmp-unreach or icmp6 and ip6[40] = 135",
    "tcp[tcpflags] & (tcp-syn|tcp-fin) != 0",
    "tcp and (ip[2:2] - ((ip[0]&0xf)<<2) - ((tcp[12]&0xf0)>>2)) != 0",
    "ip6 protochain 6",
    "ether multicast or arp",
    "greater 100 and not ip6",
    "ip[8] % (1 + (ip[0] & 15)) = 4 or ether[len - 1] = 0",
    "ip[6:2] & 0x3fff != 0",
    "mpls and host 192.0.2.1",
    "pppoes and tcp",
    "(ip[1] + 3) / (udp[4:2] - 8) > 0",
];
/// Frames that each judges are one in so many: emulated machines are slow.
const PART: usize = 40;

#[test]
fn a_dozen_filters_say_what_libpcap_says() {
    let texts = DOZEN.map(str::to_owned);
    let (taken, judged) = filters::compare(Layer::Ethernet, &texts, PART);
    assert!(taken == DOZEN.len() && judged > 1000, "{taken} expressions, {judged} verdicts");
}

#[test]
fn a_frame_that_no_filter_was_asked_about_is_untracked() {
    with_kernel(ROOMY, |kernel| {
        let case = frames::all().into_iter().find(|case| case.layer == Layer::Ethernet).unwrap();
        let bytes = case.bytes.len() as u64;
        let nothing_else = |count| Health { untracked: count, ..Health::default() };
        for layer in [Layer::Ethernet, Layer::Ip] {
            let mut books = Books::default();
            for direction in Direction::BOTH {
                let entry = kernel.tc_entry(direction, layer).expect("load the entry");
                assert_eq!(run(&entry, &case.bytes, None, 3), NEXT, "{direction:?}, {layer:?}");
            }
            books.drain(kernel);
            let each = nothing_else(Count { bytes: 3 * bytes, packets: 3 });
            assert_eq!((books.flows.len(), books.health.len()), (0, 2));
            assert!(books.health.values().all(|health| *health == each), "{layer:?}: {:?}", books.health);
            let entry = kernel.xdp_entry(layer).expect("load the entry");
            assert_eq!(run(entry, &case.bytes, None, 1), PASS, "{layer:?}");
            let mut books = Books::default();
            books.drain(kernel);
            let received = &books.health[&(Direction::Ingress as u8)];
            assert_eq!(*received, nothing_else(Count { bytes, packets: 1 }), "{layer:?}");
        }
    });
}

/// A judge for both layers.
fn judge(text: &str) -> Option<Arc<FrameJudge>> {
    let pcap = Libpcap::get().expect("libpcap0.8 is installed");
    pcap.judge(text).unwrap_or_else(|error| panic!("{text}: {error}")).map(Arc::new)
}

/// Sends datagrams over the loopback interface, one to each port, and returns what was counted of each, and what was filtered.
fn epoch(kernel: &mut Kernel, ports: [u16; 2]) -> ([u64; 2], u64) {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for port in ports {
        socket.send_to(&[0; 100], (Ipv4Addr::LOCALHOST, port)).unwrap();
    }
    let mut books = Books::default();
    books.drain(kernel);
    let of = |port: u16| {
        let flows = books.flows.iter().filter(|(key, _)| u16::from_be_bytes(key.dst_port) == port);
        flows.filter(|(key, _)| key.protocol == 17).map(|(_, count)| count.packets).sum()
    };
    (ports.map(of), books.health.values().map(|health| health.filtered.packets).sum())
}

/// An interface of this thread's namespace that has the programs on it, and is gone before that is told.
fn plug_and_unplug(kernel: &mut Kernel, choice: HookChoice) {
    const NAME: &str = "gone";
    ip(&format!("link add {NAME} type veth peer name other"));
    let index = if_nametoindex(NAME).unwrap();
    let target = AttachTarget { index, name: NAME.to_owned(), layer: Layer::Ethernet, loopback: false };
    kernel.attach(&target, choice, MARK).expect("attach to an interface");
    ip(&format!("link del {NAME}"));
}

fn ip(arguments: &str) {
    let ended = Command::new("ip").args(arguments.split_whitespace()).output().unwrap();
    assert!(ended.status.success(), "ip {arguments}: {ended:?}");
}

/// A filter that comes or goes meanwhile is the others' all the same.
#[test]
fn an_interface_that_went_is_no_obstacle() {
    for choice in [HookChoice::Auto, HookChoice::Clsact, HookChoice::Xdp] {
        with_kernel(ROOMY, |kernel| {
            const PORTS: [u16; 2] = [5001, 5002];
            plug_and_unplug(kernel, choice);
            kernel.set_filter(judge("udp dst port 5001")).unwrap();
            assert_eq!(epoch(kernel, PORTS).0, [1, 1], "{choice:?}: the epoch is still that of no filter");
            assert_eq!(epoch(kernel, PORTS).0, [1, 0], "{choice:?}: the filter");
            plug_and_unplug(kernel, choice);
            kernel.set_filter(None).unwrap();
            assert_eq!(epoch(kernel, PORTS).0, [1, 0], "{choice:?}: the epoch is still the filter's");
            assert_eq!(epoch(kernel, PORTS).0, [1, 1], "{choice:?}: no filter");
        });
    }
}

#[test]
fn each_epoch_has_one_filter() {
    with_kernel(ROOMY, |kernel| {
        const PORTS: [u16; 2] = [5001, 5002];
        assert_eq!(epoch(kernel, PORTS).0, [1, 1], "no filter");
        kernel.set_filter(judge("udp dst port 5001")).unwrap();
        assert_eq!(epoch(kernel, PORTS).0, [1, 1], "the epoch is still that of no filter");
        // The answers (port unreachable) are filtered too.
        let (counted, filtered) = epoch(kernel, PORTS);
        assert_eq!((counted, filtered > 0), ([1, 0], true), "the first filter");
        kernel.set_filter(judge("udp dst port 5002")).unwrap();
        assert_eq!(epoch(kernel, PORTS).0, [1, 0], "the epoch is still the first filter's");
        assert_eq!(epoch(kernel, PORTS).0, [0, 1], "the second filter");
        kernel.set_filter(judge("udp dst port 5001")).unwrap();
        kernel.set_filter(judge("udp")).unwrap();
        assert_eq!(epoch(kernel, PORTS).0, [0, 1], "two changes in an epoch leave it the second filter's");
        assert_eq!(epoch(kernel, PORTS).0, [1, 1], "the last filter");
        kernel.set_filter(None).unwrap();
        assert_eq!(epoch(kernel, PORTS).0, [1, 1]);
        let (counted, filtered) = epoch(kernel, PORTS);
        assert_eq!((counted, filtered), ([1, 1], 0), "no filter again");
    });
}

/// Sends datagrams to two sockets that nobody reads, in turn, until it is told to stop.
fn send(receivers: &[UdpSocket; 2], sent: &AtomicU64, stop: &AtomicBool) {
    let sender = UdpSocket::bind("127.0.0.1:0").unwrap();
    while !stop.load(Ordering::Relaxed) {
        for receiver in receivers {
            sender.send_to(&[0; 100], receiver.local_addr().unwrap()).unwrap();
            sent.fetch_add(1, Ordering::Release);
        }
    }
}

#[test]
fn no_frame_is_missed_or_judged_by_another_filter_while_filters_change() {
    const EPOCHS: usize = 40;
    const FRAMES: u64 = 500;
    with_kernel(ROOMY, |kernel| {
        let receivers = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").unwrap());
        let ports = receivers.each_ref().map(|receiver| receiver.local_addr().unwrap().port());
        // What each lets pass of the two.
        let filters = [
            (format!("udp dst port {}", ports[0]), [true, false]),
            (format!("udp dst port {}", ports[1]), [false, true]),
            (String::new(), [true, true]),
            ("tcp".to_owned(), [false, false]),
        ];
        let (sent, stop) = (AtomicU64::new(0), AtomicBool::new(false));
        let mut counted = Count::default();
        thread::scope(|scope| {
            scope.spawn(|| send(&receivers, &sent, &stop));
            let stop = Stop(&stop);
            let mut passes = [true, true];
            for (text, next) in filters.iter().cycle().take(EPOCHS) {
                let begin = sent.load(Ordering::Acquire);
                // In the midst of an epoch.
                while sent.load(Ordering::Acquire) < begin + FRAMES {
                    thread::yield_now();
                }
                kernel.set_filter(judge(text)).unwrap();
                let mut books = Books::default();
                books.drain(kernel);
                let ports_seen =
                    ports.map(|port| books.flows.keys().any(|key| u16::from_be_bytes(key.dst_port) == port));
                assert_eq!(ports_seen, passes, "before '{text}'");
                books.flows.values().for_each(|flow| counted.add(*flow));
                books.health.values().for_each(|health| counted.add(health.filtered));
                passes = *next;
            }
            drop(stop);
        });
        let mut books = Books::default();
        books.drain(kernel);
        books.flows.values().for_each(|flow| counted.add(*flow));
        books.health.values().for_each(|health| counted.add(health.filtered));
        assert_eq!(counted.packets, sent.into_inner());
    });
}
