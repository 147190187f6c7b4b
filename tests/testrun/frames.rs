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
const NEXT: i32 = -1;
/// `XDP_PASS`.
const PASS: i32 = 2;

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

/// Both directions in the same epoch: they are rows of their own.
#[test]
fn tc_counts_every_frame_as_what_it_is() {
    with_kernel(ROOMY, |kernel| {
        let mut programs = HashMap::new();
        for layer in [Layer::Ethernet, Layer::Ip] {
            programs.insert(layer, Direction::BOTH.map(|direction| tc(kernel, direction, layer)));
        }
        for case in cases() {
            let context = context(case.segmentation);
            for program in &programs[&case.layer] {
                assert_eq!(run(program, &case.bytes, Some(&context), 1), NEXT, "{}: verdict", case.name);
            }
            check_books(kernel, &case, &Direction::BOTH);
        }
    });
}

#[test]
fn xdp_counts_every_frame_as_what_it_is() {
    with_kernel(ROOMY, |kernel| {
        for case in cases().into_iter().filter(|case| case.segmentation == Segmentation::default()) {
            let program = kernel.xdp_program(case.layer).expect("load the XDP program");
            assert_eq!(run(program, &case.bytes, None, 1), PASS, "{}: verdict", case.name);
            check_books(kernel, &case, &[Direction::Ingress]);
        }
    });
}

/// The frame is in one row of each direction, and beside the flows there is what its being a super-packet added.
fn check_books(kernel: &mut Kernel, case: &Case, directions: &[Direction]) {
    let name = case.name;
    let mut books = Books::default();
    books.drain(kernel);
    let row = |direction: &Direction| (key(case, *direction), case.count);
    assert_eq!(books.flows, directions.iter().map(row).collect(), "{name}: rows");
    let shown = case.bytes.len() as u64;
    let gso_extra = Count { bytes: case.count.bytes.wrapping_sub(shown), packets: case.count.packets - 1 };
    let beside = Health { gso_extra, ..Health::default() };
    let kept = |direction: &Direction| (beside != Health::default()).then_some((*direction as u8, beside));
    assert_eq!(books.health, directions.iter().filter_map(kept).collect(), "{name}: beside the flows");
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
