//! Many flows, fast: nothing is lost and nothing counted twice, and what finds no room is known to the byte.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::{IpAddr, Ipv4Addr},
    ops::Range,
    thread,
};

use harness::{
    Agent, Amounts, Flow, NetPair, Report,
    frames::{FAR_PORT, IPV4, NEAR_V4, Way, ethernet, ipv4_between, protocol::UDP, udp},
    network::settle,
    raw::RawSocket,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

/// Flows, numbered from 0.
const FLOWS: u32 = 100_000;
/// Frames from each sender.
const FRAMES: u32 = 1_500_000;

#[test]
fn two_cpus_at_full_speed_flipping_every_second() {
    let (report, sent) = churn("", FRAMES);
    check_every_flow(&report, &sent);
}

#[test]
fn two_cpus_at_full_speed_flipping_50_times_a_second() {
    let (report, sent) = churn("--tick-ms 20", FRAMES);
    check_every_flow(&report, &sent);
}

/// The first level is small here, so that most flows spill to the second.
#[test]
fn two_cpus_with_a_small_first_level() {
    let (report, sent) = churn("--slots 1024 --tick-ms 20", FRAMES / 2);
    check_every_flow(&report, &sent);
}

#[test]
fn what_finds_no_room_is_untracked() {
    let (report, sent) = churn("--slots 1024 --max-flows 64 --tick-ms 20", FRAMES / 5);
    let near = report.interface("near");
    let rows: Amounts = report.rows("near").into_values().fold(Amounts::default(), |sum, row| sum + row);
    assert!(near.untracked().sent_packets > 0, "everything found room");
    assert_eq!(rows + near.untracked(), sent.total(), "rows and untracked");
    assert_eq!(near.counted(), sent.total(), "counted");
    assert_eq!(report.total, sent.total(), "total");
    assert_eq!(near.residue(), [0; 4], "residue");
    // No flow has more than was sent on it.
    for (flow, amounts) in report.rows("near") {
        let number = number(&flow);
        assert!(amounts.sent_packets <= sent.packets[number as usize], "{flow}: {amounts:?}");
        assert_eq!(amounts.sent_bytes, amounts.sent_packets * length(number), "{flow}");
    }
}

#[test]
fn untracked_is_logged_once_an_epoch() {
    let pair = NetPair::new();
    let mut agent = Agent::measure(&pair.near, "--verbose --slots 1024 --max-flows 64 --tick-ms 500");
    let mut senders = Sender::new(&pair, 1);
    while said(&agent).len() < 3 {
        senders.burst(0..20_000);
    }
    agent.wait_for("untracked");
    let lines = said(&agent);
    let epochs: BTreeSet<_> = lines.iter().map(|line| epoch(line)).collect();
    assert_eq!(epochs.len(), lines.len(), "an epoch is named twice: {lines:#?}");
    drop(agent.report());
}

/// The lines about flows that found no room.
fn said(agent: &Agent) -> Vec<String> {
    agent.said().lines().filter(|line| line.contains("untracked")).map(str::to_owned).collect()
}

/// The number after `epoch` in a logged line.
fn epoch(line: &str) -> u32 {
    let (_, rest) = line.split_once("epoch ").unwrap_or_else(|| panic!("no epoch in {line:?}"));
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().unwrap_or_else(|error| panic!("{line:?}: {error}"))
}

/// What was sent, by number of the flow.
struct Sent {
    packets: Vec<u64>,
}

impl Sent {
    fn total(&self) -> Amounts {
        let bytes = self.packets.iter().zip(0..).map(|(packets, number)| packets * length(number)).sum();
        Amounts { sent_bytes: bytes, sent_packets: self.packets.iter().sum(), ..Amounts::default() }
    }
}

/// Two senders, each on a CPU of its own where there are two, both on all flows: a window of them slides, so that flows
/// come and go, while the program counts them.
fn churn(arguments: &str, frames: u32) -> (Report, Sent) {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, arguments);
    let mut packets = vec![0; FLOWS as usize];
    thread::scope(|scope| {
        let senders: Vec<_> = (0..2)
            .map(|cpu| {
                let mut sender = Sender::new(&pair, cpu as u64 + 1);
                scope.spawn(move || {
                    pin(cpu);
                    sender.slide(frames);
                    sender.packets
                })
            })
            .collect();
        for sender in senders {
            for (sum, packets) in packets.iter_mut().zip(sender.join().unwrap()) {
                *sum += packets;
            }
        }
    });
    settle();
    (agent.report(), Sent { packets })
}

/// Runs the calling thread on one of the CPUs that it may use.
fn pin(which: usize) {
    let this_thread = Pid::from_raw(0);
    let allowed = sched_getaffinity(this_thread).unwrap();
    let cpus: Vec<_> = (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap()).collect();
    let mut one = CpuSet::new();
    one.set(cpus[which % cpus.len()]).unwrap();
    sched_setaffinity(this_thread, &one).unwrap();
}

/// Sends frames of flows by their number.
struct Sender {
    socket: RawSocket,
    /// A frame of the longest length, to be changed and cut.
    template: Vec<u8>,
    random: u64,
    packets: Vec<u64>,
}

/// Bytes of Ethernet, IPv4 and UDP headers.
const HEADERS: usize = 14 + 20 + 8;
/// Flows are this many ports times as many addresses as it takes.
const PORTS: u32 = 50_000;
const FIRST_PORT: u32 = 10_000;
const FIRST_REMOTE: Ipv4Addr = Ipv4Addr::new(10, 88, 0, 1);

/// Length of a flow's frames: not the same for all, so that bytes can't be right by accident.
fn length(number: u32) -> u64 {
    HEADERS as u64 + 18 + u64::from(number % 301)
}

/// A flow's local port and remote address.
fn ends(number: u32) -> (u16, Ipv4Addr) {
    let remote = Ipv4Addr::from_bits(FIRST_REMOTE.to_bits() + number / PORTS);
    (u16::try_from(FIRST_PORT + number % PORTS).unwrap(), remote)
}

fn flow(number: u32) -> Flow {
    let (port, remote) = ends(number);
    Flow::between("udp", NEAR_V4, remote).with_ports(port, FAR_PORT)
}

/// The other way round.
fn number(flow: &Flow) -> u32 {
    let Some(IpAddr::V4(remote)) = flow.remote_address else { panic!("{flow}") };
    (remote.to_bits() - FIRST_REMOTE.to_bits()) * PORTS + u32::from(flow.local_port) - FIRST_PORT
}

impl Sender {
    fn new(pair: &NetPair, seed: u64) -> Self {
        let longest = (0..FLOWS).map(length).max().unwrap();
        let payload = usize::try_from(longest).unwrap() - HEADERS;
        let packet = ipv4_between(NEAR_V4, FIRST_REMOTE, UDP, &[], 0, &udp(Way::Sent, payload));
        Self {
            socket: RawSocket::open(&pair.near.namespace, pair.near.interface),
            template: ethernet(Way::Sent, IPV4, &packet),
            random: seed,
            packets: vec![0; FLOWS as usize],
        }
    }

    fn send(&mut self, number: u32) {
        let length = usize::try_from(length(number)).unwrap();
        let (port, remote) = ends(number);
        let total = u16::try_from(length - 14).unwrap();
        self.template[16..18].copy_from_slice(&total.to_be_bytes());
        self.template[30..34].copy_from_slice(&remote.octets());
        self.template[34..36].copy_from_slice(&port.to_be_bytes());
        self.socket.send(&self.template[..length]);
        self.packets[number as usize] += 1;
    }

    /// One frame of each.
    fn burst(&mut self, numbers: Range<u32>) {
        for number in numbers {
            self.send(number);
        }
    }

    /// Frames of flows chosen at random in a window that goes once over all of them.
    fn slide(&mut self, frames: u32) {
        const WINDOW: u32 = FLOWS / 5;
        for sent in 0..frames {
            // Knuth, MMIX.
            self.random =
                self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            let start = u64::from(sent) * u64::from(FLOWS) / u64::from(frames);
            let chosen = (self.random >> 33) as u32 % WINDOW;
            self.send((u32::try_from(start).unwrap() + chosen) % FLOWS);
        }
    }
}

fn check_every_flow(report: &Report, sent: &Sent) {
    let near = report.interface("near");
    assert_eq!(near.counted(), sent.total(), "counted");
    assert_eq!(report.total, sent.total(), "total");
    assert_eq!(near.untracked(), Amounts::default(), "untracked");
    assert_eq!(near.residue(), [0; 4], "residue");
    let rows = report.rows("near");
    let expected: BTreeMap<_, _> = sent
        .packets
        .iter()
        .zip(0..)
        .filter(|(packets, _)| **packets > 0)
        .map(|(packets, number)| {
            let amounts = Amounts {
                sent_bytes: packets * length(number),
                sent_packets: *packets,
                ..Amounts::default()
            };
            (flow(number), amounts)
        })
        .collect();
    assert_eq!(rows.len(), expected.len(), "rows");
    // One by one: a difference between two maps of this size can't be read.
    for (flow, amounts) in expected {
        assert_eq!(rows.get(&flow), Some(&amounts), "{flow}");
    }
}
