//! The programs that are measured: the product's, and those it is compared with.

use std::{borrow::Cow, sync::Arc, time::Duration};

use aya::{
    Ebpf, EbpfLoader,
    programs::{
        LinkOrder, SchedClassifier, TcAttachType, TestRun as _, TestRunOptions,
        tc::{SchedClassifierLinkId, TcAttachOptions},
    },
};
use flowtally::{
    kernel::{AttachTarget, Capacity, Kernel},
    model::hook::HookChoice,
    translate::FrameJudge,
};
use flowtally_common::settings::{DEFAULT_SPILL, Layer, MIN_NOTES};
use harness::Host;
use nix::{
    net::if_::if_nametoindex,
    time::{ClockId, clock_gettime},
};

static OBJECT: &[u8] = aya::include_bytes_aligned!("baselines.bpf.o");

/// One of the programs it is compared with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Baseline {
    /// Does nothing.
    Empty,
    /// Counts in a per-CPU hash map.
    Plain,
    /// Counts in a per-CPU hash map that evicts.
    Lru,
}

/// The programs to compare with, loaded.
pub(crate) struct Baselines {
    ebpf: Ebpf,
}

impl Baselines {
    /// Loads them.
    pub(crate) fn load() -> Self {
        Self { ebpf: EbpfLoader::new().load(OBJECT).expect("load the programs to compare with") }
    }

    /// One of them, ready to run.
    pub(crate) fn program(&mut self, which: Baseline) -> &mut SchedClassifier {
        let name = match which {
            Baseline::Empty => "bench_empty",
            Baseline::Plain => "bench_plain",
            Baseline::Lru => "bench_lru",
        };
        let program: &mut SchedClassifier = self
            .ebpf
            .program_mut(name)
            .expect("the program is in the object")
            .try_into()
            .expect("a TC program");
        if program.fd().is_err() {
            program.load().expect("load a program to compare with");
        }
        program
    }
}

/// Attaches a program to what an interface of this thread's namespace sends.
pub(crate) fn attach(program: &mut SchedClassifier, interface: &str) -> SchedClassifierLinkId {
    program
        .attach_with_options(interface, TcAttachType::Egress, TcAttachOptions::TcxOrder(LinkOrder::first()))
        .expect("attach a program to compare with")
}

/// The product's kernel side on a host's interface, and its program there for what the interface sends. To be called
/// in the host's namespace.
pub(crate) fn flowtally(host: &Host, slots: u32) -> (Kernel, SchedClassifier) {
    filtered(host, slots, None)
}

/// The same with a filter.
pub(crate) fn filtered(host: &Host, slots: u32, judge: Option<Arc<FrameJudge>>) -> (Kernel, SchedClassifier) {
    let mut kernel = Kernel::load(Capacity { slots, flows: DEFAULT_SPILL, notes: MIN_NOTES }, false)
        .expect("load flowtally");
    kernel.set_filter(judge).expect("load the filter");
    let target = AttachTarget {
        index: if_nametoindex(host.interface).expect("the interface has an index"),
        name: host.interface.to_owned(),
        layer: Layer::Ethernet,
        loopback: false,
    };
    kernel.attach(&target, HookChoice::Tcx, 2).expect("attach flowtally");
    let (_, programs) =
        SchedClassifier::query_tcx(host.interface, TcAttachType::Egress).expect("ask for TCX programs");
    let info = programs.into_iter().next().expect("flowtally's program is attached");
    let program = SchedClassifier::from_program_info(info, Cow::Borrowed("flowtally"))
        .expect("open flowtally's program");
    (kernel, program)
}

/// Runs a program on a frame again and again; returns this thread's processor time for one run, in nanoseconds.
///
/// Processor time, for the kernel's own figure is in whole nanoseconds and includes what other processes take.
pub(crate) fn test_run(program: &SchedClassifier, frame: &[u8], repeat: u32) -> f64 {
    let before = processor_time();
    program
        .test_run(TestRunOptions { data_in: Some(frame), repeat, ..TestRunOptions::new() })
        .expect("run a program on a frame");
    processor_time().saturating_sub(before).as_nanos() as f64 / f64::from(repeat)
}

/// What this thread has used of a processor.
pub(crate) fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_THREAD_CPUTIME_ID).expect("read this thread's clock").into()
}

/// Time and number of a program's runs, as the kernel keeps them while its statistics are on.
#[derive(Clone, Copy)]
pub(crate) struct Runs {
    time: Duration,
    count: u64,
}

impl Runs {
    /// Up to now.
    pub(crate) fn of(program: &SchedClassifier) -> Self {
        let info = program.info().expect("ask about a program");
        Self { time: info.run_time(), count: info.run_count() }
    }

    /// Nanoseconds a run since an earlier reading.
    pub(crate) fn cost_since(self, earlier: Self) -> f64 {
        self.time.saturating_sub(earlier.time).as_nanos() as f64 / (self.count - earlier.count) as f64
    }

    /// Runs since an earlier reading.
    pub(crate) const fn count_since(self, earlier: Self) -> u64 {
        self.count - earlier.count
    }
}
