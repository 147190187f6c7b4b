//! Many flows on every CPU while the epoch is flipped again and again: nothing is lost, nothing counted twice.

use std::{
    collections::HashMap,
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
};

use aya::programs::SchedClassifier;
use flowtally::kernel::Capacity;
use flowtally_common::{
    Count, Direction, FlowKey,
    settings::{DEFAULT_SPILL, Layer, MIN_SLOTS},
};
use harness::frames::{
    IPV4, IPV6, Way, ethernet, ipv4_between, ipv6_between,
    protocol::{TCP, UDP},
    tcp, udp,
};
use nix::{
    sched::{CpuSet, sched_getaffinity, sched_setaffinity},
    unistd::Pid,
};

use crate::subject::{Books, LOOPBACK, run, sum, tc, with_kernel};

/// Flows of each CPU; half of them are another CPU's flows too.
const FLOWS: u32 = 4000;
/// Epochs.
const EPOCHS: usize = 10;
/// Test runs, of all CPUs together, before an epoch is ended: enough flows in it for the second level to have its share
/// even where nothing has to be waited for, as on one CPU.
const RUNS_PER_EPOCH: usize = 2000;
/// Most frames in a test run.
const MAX_REPEAT: u32 = 8;

#[test]
fn flows_are_exact() {
    // The fewest slots, so that flows displace each other and the second level has its share.
    let (books, sent) = count(Capacity { slots: MIN_SLOTS, flows: DEFAULT_SPILL, notes: 0 });
    assert_eq!(books.untracked(), Count::default(), "there was room for all");
    assert_eq!(books.flows.len(), sent.len(), "flows");
    for (key, count) in &sent {
        assert_eq!(books.flows.get(key), Some(count), "{key:?}");
    }
}

#[test]
fn flows_and_what_found_no_room_are_exact() {
    let (books, sent) = count(Capacity { slots: MIN_SLOTS, flows: 16, notes: 0 });
    let mut counted = sum(books.flows.values());
    counted.add(books.untracked());
    assert_eq!(counted, sum(sent.values()));
    assert!(books.untracked().packets > 0, "the second level was too large for this test");
    for (key, count) in &books.flows {
        assert!(sent[key].packets >= count.packets && sent[key].bytes >= count.bytes, "{key:?}: {count:?}");
    }
}

/// Runs the programs on every CPU while epochs begin and end. Returns what they counted, and what it should be.
fn count(capacity: Capacity) -> (Books, HashMap<FlowKey, Count>) {
    with_kernel(capacity, |kernel| {
        let programs = Direction::BOTH.map(|direction| tc(kernel, direction, Layer::Ethernet));
        let (runs, stop) = (AtomicUsize::new(0), AtomicBool::new(false));
        let (mut books, mut sent) = (Books::default(), HashMap::<FlowKey, Count>::new());
        thread::scope(|scope| {
            let (programs, runs, stop) = (&programs, &runs, &stop);
            let senders: Vec<_> =
                cpus().into_iter().map(|cpu| scope.spawn(move || send(cpu, programs, runs, stop))).collect();
            let stop = Stop(stop);
            for _ in 0..EPOCHS {
                while runs.load(Ordering::Relaxed) < RUNS_PER_EPOCH {
                    let failed = senders.iter().any(thread::ScopedJoinHandle::is_finished);
                    assert!(!failed, "a sender has ended before it should");
                    thread::yield_now();
                }
                runs.store(0, Ordering::Relaxed);
                books.drain(kernel);
            }
            drop(stop);
            for sender in senders {
                for (key, count) in sender.join().expect("a sender") {
                    sent.entry(key).or_default().add(count);
                }
            }
        });
        books.drain(kernel);
        (books, sent)
    })
}

/// Stops the senders when it goes: also when the thread that drains panics, which would else wait for them for ever.
pub(crate) struct Stop<'a>(pub(crate) &'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// The CPUs that this process may use.
fn cpus() -> Vec<usize> {
    let allowed = sched_getaffinity(Pid::from_raw(0)).expect("ask for this process's CPUs");
    (0..CpuSet::count()).filter(|cpu| allowed.is_set(*cpu).unwrap_or(false)).collect()
}

/// Sends flows in random order on one CPU until it is told to stop; returns what was sent.
///
/// On one CPU, for a test run can be interrupted where a frame on its way can't: two of them on the same CPU would
/// share its slots.
fn send(
    cpu: usize,
    programs: &[SchedClassifier; 2],
    runs: &AtomicUsize,
    stop: &AtomicBool,
) -> HashMap<FlowKey, Count> {
    let mut only = CpuSet::new();
    only.set(cpu).expect("a CPU's number");
    sched_setaffinity(Pid::from_raw(0), &only).expect("stay on a CPU");
    let mut random = Random(0x5eed ^ cpu as u64);
    let mut sent = HashMap::<FlowKey, Count>::new();
    let first_flow = FLOWS / 2 * u32::try_from(cpu).unwrap();
    while !stop.load(Ordering::Relaxed) {
        let direction = Direction::BOTH[random.below(2) as usize];
        let flow = first_flow + random.below(FLOWS);
        let (frame, key) = frame(flow, random.below(1000) as usize, direction);
        let repeat = 1 + random.below(MAX_REPEAT);
        run(&programs[direction as usize], &frame, None, repeat);
        runs.fetch_add(1, Ordering::Relaxed);
        let packets = u64::from(repeat);
        sent.entry(key).or_default().add(Count { bytes: packets * frame.len() as u64, packets });
    }
    sent
}

/// A frame of a flow, and its row.
fn frame(flow: u32, payload: usize, direction: Direction) -> (Vec<u8>, FlowKey) {
    let [_, a, b, c] = flow.to_be_bytes();
    let (protocol, segment) =
        if flow & 1 == 0 { (TCP, tcp(Way::Sent, payload)) } else { (UDP, udp(Way::Sent, payload)) };
    let (frame, src, dst) = if flow & 2 == 0 {
        let (src, dst) = (Ipv4Addr::new(10, a, b, c), Ipv4Addr::new(192, 0, 2, 1));
        let packet = ipv4_between(src, dst, protocol, &[], 0, &segment);
        (ethernet(Way::Sent, IPV4, &packet), src.to_ipv6_mapped(), dst.to_ipv6_mapped())
    } else {
        let src = Ipv6Addr::from(0x2001_0db8_u128 << 96 | u128::from(flow));
        let dst = Ipv6Addr::from(0x2001_0db8_u128 << 96 | 1 << 64);
        (ethernet(Way::Sent, IPV6, &ipv6_between(src, dst, protocol, &segment)), src, dst)
    };
    let key = FlowKey {
        src: src.octets(),
        dst: dst.octets(),
        src_port: [segment[0], segment[1]],
        dst_port: [segment[2], segment[3]],
        ifindex: LOOPBACK,
        protocol,
        direction: direction as u8,
        vlan: 0,
    };
    (frame, key)
}

/// `SplitMix64`: the same numbers in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ word >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from(((word >> 32) * u64::from(bound)) >> 32).expect("below the bound")
    }
}
