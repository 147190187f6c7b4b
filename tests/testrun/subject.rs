//! The programs under test, loaded, and what they have counted.

use std::collections::HashMap;

use aya::programs::{SchedClassifier, TestRun, TestRunOptions, TestRunResult};
use flowtally::{
    kernel::{AttachTarget, Capacity, Drained, Kernel},
    model::hook::HookChoice,
};
use flowtally_common::{
    Count, Direction, FlowKey, Health,
    settings::{DEFAULT_SLOTS, DEFAULT_SPILL, Layer},
};
use flowtally_ebpf::segments::Segmentation;
use harness::Namespace;

/// The interface that a test run's frames are on when nothing else is said: `lo`.
pub(crate) const LOOPBACK: u32 = 1;

/// Tables with room for everything.
pub(crate) const ROOMY: Capacity = Capacity { slots: DEFAULT_SLOTS, flows: DEFAULT_SPILL, notes: 0 };

/// Everything counted between two drains.
#[derive(Debug, Default)]
pub(crate) struct Books {
    /// By flow.
    pub(crate) flows: HashMap<FlowKey, Count>,
    /// Beside the flows, by direction.
    pub(crate) health: HashMap<u8, Health>,
}

impl Books {
    /// Adds what is counted in the epoch that ends now.
    pub(crate) fn drain(&mut self, kernel: &mut Kernel) {
        let retired = kernel.flip();
        kernel
            .drain(&retired, |drained| match drained {
                Drained::Flow(key, count, _) => self.flows.entry(*key).or_default().add(count),
                Drained::Health(key, health) => self.health.entry(key.direction).or_default().add(health),
            })
            .expect("drain what was counted");
    }

    /// What found no room.
    pub(crate) fn untracked(&self) -> Count {
        sum(self.health.values().map(|health| &health.untracked))
    }
}

/// All of these together.
pub(crate) fn sum<'a>(counts: impl IntoIterator<Item = &'a Count>) -> Count {
    let mut sum = Count::default();
    for count in counts {
        sum.add(*count);
    }
    sum
}

/// Loads the object in a network namespace of its own and does `work` there.
///
/// It is attached to the loopback interface, where nothing happens, for an interface's amounts beside the flows are
/// kept from when it is attached.
pub(crate) fn with_kernel<T: Send>(capacity: Capacity, work: impl FnOnce(&mut Kernel) -> T + Send) -> T {
    Namespace::new().enter(|| {
        let mut kernel = Kernel::load(capacity, false).expect("load the kernel object");
        let target =
            AttachTarget { index: LOOPBACK, name: "lo".to_owned(), layer: Layer::Ethernet, loopback: true };
        kernel.attach(&target, HookChoice::Auto, MARK).expect("attach to the loopback interface");
        work(&mut kernel)
    })
}

/// Of the clsact filters, where there is no TCX; the namespace takes them with it.
pub(crate) const MARK: u32 = 2;

/// The TC program for a direction and a layer.
pub(crate) fn tc(kernel: &mut Kernel, direction: Direction, layer: Layer) -> SchedClassifier {
    kernel.tc_program(direction, layer).expect("load the TC program")
}

/// Runs a program on a frame and returns its verdict; the frame must come back as it was.
pub(crate) fn run<P>(program: &P, frame: &[u8], context: Option<&[u8]>, repeat: u32) -> i32
where
    P: for<'a> TestRun<Opts<'a> = TestRunOptions<'a>, Result = TestRunResult>,
{
    // Longer than the frame: a program that made it longer would not go unnoticed.
    let mut back = vec![0; frame.len() + 64];
    let result = program
        .test_run(TestRunOptions {
            data_in: Some(frame),
            data_out: Some(&mut back),
            ctx_in: context,
            repeat,
            ..TestRunOptions::new()
        })
        .expect("run the program");
    back.truncate(result.data_size_out as usize);
    assert_eq!(back, frame, "the frame is not as it was");
    result.return_value.cast_signed()
}

/// A `struct __sk_buff` (`linux/bpf.h`) that says how a super-packet is segmented, and nothing else.
pub(crate) fn context(segmentation: Segmentation) -> Vec<u8> {
    const GSO_SEGS_AT: usize = 164;
    const GSO_SIZE_AT: usize = 176;
    const LENGTH: usize = 192;
    let mut context = vec![0; LENGTH];
    for (at, word) in [(GSO_SEGS_AT, segmentation.segments), (GSO_SIZE_AT, segmentation.size)] {
        context[at..at + 4].copy_from_slice(&word.to_ne_bytes());
    }
    context
}
