//! Every literal frame of the parser's tests, one by one.

use std::collections::HashMap;

use flowtally::kernel::Kernel;
use flowtally_common::{Count, Direction, FlowKey, Health, settings::Layer};
use flowtally_ebpf::{
    frames::{self, Case},
    segments::Segmentation,
};

use crate::subject::{Books, LOOPBACK, ROOMY, context, run, tc, with_kernel};

/// `TCX_NEXT`: no verdict.
pub(crate) const NEXT: i32 = -1;
/// `XDP_PASS`.
pub(crate) const PASS: i32 = 2;

/// The shortest frame that a test run takes: the kernel removes an Ethernet header from it, whatever the program then
/// sees, and some kernels refuse a frame of which nothing is left.
const SHORTEST: usize = 15;
/// The longest: it must fit a page together with what a socket buffer adds.
const LONGEST: usize = 3499;

/// The frames that a test run can be given. Tags beside the frame are not among them (the kernel takes none from a
/// test), nor are very long ones; tests in namespaces send both.
fn cases() -> Vec<Case> {
    let fits = |case: &Case| case.offloaded_tag.is_none() && (SHORTEST..=LONGEST).contains(&case.bytes.len());
    let cases: Vec<_> = frames::all().into_iter().filter(fits).collect();
    let of = |layer| cases.iter().filter(|case| case.layer == layer).count();
    assert!(of(Layer::Ethernet) > 50 && of(Layer::Ip) > 10, "too few frames are left to test with");
    cases
}

#[test]
fn tc_counts_every_frame_as_what_it_is() {
    with_kernel(ROOMY, |kernel| {
        let mut programs = HashMap::new();
        for layer in [Layer::Ethernet, Layer::Ip] {
            programs.insert(layer, Direction::BOTH.map(|direction| tc(kernel, direction, layer)));
        }
        for epoch in epochs(cases()) {
            for case in &epoch {
                let context = context(case.segmentation);
                for program in &programs[&case.layer] {
                    assert_eq!(run(program, &case.bytes, Some(&context), 1), NEXT, "{}: verdict", case.name);
                }
            }
            check_books(kernel, &epoch, &Direction::BOTH);
        }
    });
}

#[test]
fn xdp_counts_every_frame_as_what_it_is() {
    let mut cases = cases();
    cases.retain(|case| case.segmentation == Segmentation::default());
    with_kernel(ROOMY, |kernel| {
        for epoch in epochs(cases) {
            for case in &epoch {
                let program = kernel.xdp_program(case.layer).expect("load the XDP program");
                assert_eq!(run(program, &case.bytes, None, 1), PASS, "{}: verdict", case.name);
            }
            check_books(kernel, &epoch, &[Direction::Ingress]);
        }
    });
}

/// The frames in as few epochs as it takes, for a drain has to wait: two of the same flow can't be told apart in one.
fn epochs(cases: Vec<Case>) -> Vec<Vec<Case>> {
    let mut epochs: Vec<Vec<Case>> = Vec::new();
    for case in cases {
        let key = |case: &Case| key(case, Direction::Ingress);
        let free = |epoch: &&mut Vec<Case>| epoch.iter().all(|other| key(other) != key(&case));
        match epochs.iter_mut().find(free) {
            Some(epoch) => epoch.push(case),
            None => epochs.push(vec![case]),
        }
    }
    epochs
}

/// Each frame is in one row of each direction, there is no other row, and beside the rows there is what being
/// super-packets added.
fn check_books(kernel: &mut Kernel, epoch: &[Case], directions: &[Direction]) {
    let mut books = Books::default();
    books.drain(kernel);
    let mut beside = HashMap::new();
    for (case, direction) in epoch.iter().flat_map(|case| directions.iter().map(move |way| (case, *way))) {
        let row = books.flows.remove(&key(case, direction));
        assert_eq!(row, Some(case.count), "{}, {direction:?}; other rows: {:?}", case.name, books.flows);
        let bytes = case.count.bytes - case.bytes.len() as u64;
        let gso_extra = Count { bytes, packets: case.count.packets - 1 };
        if !gso_extra.is_zero() {
            let health: &mut Health = beside.entry(direction as u8).or_default();
            health.gso_extra.add(gso_extra);
        }
    }
    assert_eq!(books.flows, HashMap::new(), "rows of no frame");
    assert_eq!(books.health, beside, "beside the rows of {:?}", names(epoch));
}

fn names(epoch: &[Case]) -> Vec<&str> {
    epoch.iter().map(|case| case.name).collect()
}

fn key(case: &Case, direction: Direction) -> FlowKey {
    let packet = &case.expected;
    let address = |halves: [u64; 2]| {
        let mut address = [0; 16];
        address[..8].copy_from_slice(&halves[0].to_ne_bytes());
        address[8..].copy_from_slice(&halves[1].to_ne_bytes());
        address
    };
    let [a, b, c, d] = packet.ports.to_ne_bytes();
    FlowKey {
        src: address(packet.src),
        dst: address(packet.dst),
        src_port: [a, b],
        dst_port: [c, d],
        ifindex: LOOPBACK,
        protocol: packet.protocol,
        direction: direction as u8,
        vlan: packet.vlan,
    }
}
