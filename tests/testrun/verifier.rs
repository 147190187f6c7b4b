//! What the kernel's verifier has to do before the first frame is counted: a start waits for it.

use aya::programs::ProgramInfo;
use flowtally::kernel::{Capacity, Kernel};
use flowtally_common::{
    Direction,
    settings::{Layer, MIN_SLOTS},
};
use harness::Namespace;

/// Instructions that the verifier may go through for a program: two and a half times what it does. Without bounds of its own a
/// program takes 100,000 to 370,000, and a microsecond or two for each.
const MOST: u32 = 25_000;

/// No notes and small tables: what is looked at is the programs.
const SMALL: Capacity = Capacity { slots: MIN_SLOTS, flows: 1024, notes: 0 };

#[test]
fn no_program_takes_the_verifier_long() {
    Namespace::new().enter(|| {
        for verbose in [false, true] {
            let mut kernel = Kernel::load(SMALL, verbose).expect("load the kernel object");
            for layer in [Layer::Ethernet, Layer::Ip] {
                for direction in Direction::BOTH {
                    let program = kernel.tc_program(direction, layer).expect("load the TC program");
                    bounded(&program.info().expect("ask about the TC program"));
                    let entry = kernel.tc_entry(direction, layer).expect("load the entry to a filter");
                    bounded(&entry.info().expect("ask about the entry"));
                }
                let program = kernel.xdp_program(layer).expect("load the XDP program");
                bounded(&program.info().expect("ask about the XDP program"));
            }
        }
    });
}

fn bounded(info: &ProgramInfo) {
    let name = info.name_as_str().unwrap_or_default().to_owned();
    match info.verified_instruction_count() {
        Some(count) => assert!(count <= MOST, "{name}: {count} instructions"),
        None => eprintln!("{name}: this kernel does not say what it went through (before 5.16)"),
    }
}
