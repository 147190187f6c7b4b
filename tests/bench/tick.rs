//! What closing an interval costs user space: reading the kernel's tables and keeping the books.
//!
//! Every size has a process of its own, whose peak memory is then that size's.

use std::{
    env, fs,
    process::Command,
    time::{Duration, Instant},
};

use aya::programs::{SchedClassifier, TestRun as _, TestRunOptions};
use flowtally::{
    flow::{
        group::GroupBy,
        ledger::{Ledger, Measure, Retention},
    },
    kernel::{Drained, Kernel},
};
use flowtally_common::{Count, SocketHint, settings::DEFAULT_SLOTS};
use harness::{NetPair, books};

use crate::{
    programs::{flowtally, processor_time},
    table::{Table, median, verdict},
    traffic::{self, Frame},
};

/// Flows, and the targets: milliseconds a tick, and megabytes.
const SIZES: [(u32, Option<f64>, Option<f64>); 3] =
    [(10_000, None, None), (100_000, Some(30.0), None), (1_000_000, Some(250.0), Some(500.0))];
pub(crate) const SLOTS: u32 = DEFAULT_SLOTS;
/// Intervals until the longest window is full: from then on each close takes three intervals' journals off.
pub(crate) const WARM_UP: u64 = 42;
/// Index of the interface that a test run's frames seem to cross: loopback.
const TEST_RUN_INTERFACE: u32 = 1;

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let program = env::current_exe().expect("the path of this program");
    let mut table = Table::new([
        "flows",
        "wait",
        "drain",
        "record",
        "shuffled",
        "close",
        "tick",
        "target",
        "first tick",
        "peak memory, MB",
        "target",
    ]);
    for (flows, time, memory) in SIZES {
        let mut child = Command::new(&program);
        child.args(["--tick-child", &flows.to_string()]).args(quick.then_some("--quick"));
        let output = child.output().expect("start a process to measure in");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8_lossy(&output.stdout);
        let figures: Vec<f64> = text.split_whitespace().map(|word| word.parse().expect("a figure")).collect();
        let [wait, drain, record, shuffled, close, first, megabytes] = figures[..] else {
            panic!("not seven figures: {text}")
        };
        let tick = drain + record + close;
        let target = |value, target: Option<f64>, unit| {
            target.map_or("-".to_owned(), |target| verdict(value, target, unit))
        };
        table.row([
            flows.to_string(),
            format!("{wait:.1}"),
            format!("{drain:.1}"),
            format!("{record:.1}"),
            format!("{shuffled:.1}"),
            format!("{close:.1}"),
            format!("{tick:.1}"),
            target(tick, time, ""),
            format!("{first:.1}"),
            format!("{megabytes:.0}"),
            target(megabytes, memory, ""),
        ]);
    }
    table.print("Tick: ms, every flow active in every one of the last 40 intervals");
}

/// What the child measures, in milliseconds.
#[derive(Default)]
struct Figures {
    wait: Vec<f64>,
    drain: Vec<f64>,
    record_and_drain: Vec<f64>,
    /// Recording, with the flows in another order each time.
    shuffled: Vec<f64>,
    close: Vec<f64>,
    first: f64,
}

/// Measures one size, and prints the figures for [`run`].
pub(crate) fn child(flows: u32, quick: bool) {
    let rounds = if quick { 2 } else { 9 };
    let pair = NetPair::new();
    let figures = pair.near.namespace.enter(|| {
        let (mut kernel, program) = flowtally(&pair.near, SLOTS);
        let mut ledger = books();
        let mut figures = Figures::default();
        for second in 1..=WARM_UP + rounds {
            if (2..=WARM_UP).contains(&second) {
                figures.shuffled.push(imagine(&mut ledger, flows, second));
                ledger.close(Duration::from_secs(second));
                continue;
            }
            fill(&program, flows);
            let (wait, drained) = drain(&mut kernel, |drained| match drained {
                Drained::Flow(key, count, hint) => ledger.record(key, count, hint),
                Drained::Health(key, health) => ledger.record_health(key, health),
            });
            let (close, ()) = timed(|| ledger.close(Duration::from_secs(second)));
            assert_eq!(ledger.len(), flows as usize, "every flow is in the books");
            if second == 1 {
                figures.first = drained + close;
            } else {
                figures.wait.push(wait);
                figures.record_and_drain.push(drained);
                figures.close.push(close);
                fill(&program, flows);
                let mut seen = 0;
                figures.drain.push(drain(&mut kernel, |_| seen += 1).1);
                assert!(seen >= flows, "every flow is drained");
            }
        }
        figures
    });
    let Figures { wait, drain, record_and_drain, shuffled, close, first } = figures;
    let [wait, drain, both, shuffled, close] =
        [wait, drain, record_and_drain, shuffled, close].map(|values| median(&values));
    println!("{wait} {drain} {} {shuffled} {close} {first} {}", both - drain, peak_memory());
}

/// One frame of every flow.
pub(crate) fn fill(program: &SchedClassifier, flows: u32) {
    let mut frame = Frame::new();
    for flow in 0..flows {
        program
            .test_run(TestRunOptions { data_in: Some(frame.of(flow)), ..TestRunOptions::new() })
            .expect("run the program on a frame");
    }
}

/// One frame of every flow, put into the books without the kernel, in an order that has as little to do with the last
/// interval's as possible: the intervals that only have to be there. Returns how long it took.
pub(crate) fn imagine(ledger: &mut Ledger, flows: u32, interval: u64) -> f64 {
    /// Primes, so that every flow has its turn.
    const STRIDES: [u32; 3] = [611_953, 1_299_709, 15_485_863];
    let stride = STRIDES[(interval % 3) as usize];
    let mut flow = 0;
    let before = processor_time();
    for _ in 0..flows {
        flow = (flow + stride) % flows;
        ledger.record(
            &traffic::key(flow, TEST_RUN_INTERFACE),
            Count { bytes: 60, packets: 1 },
            SocketHint::NONE,
        );
    }
    milliseconds(processor_time().saturating_sub(before))
}

/// Ends the interval and drains it. Returns how long the grace period took and how long everything else.
pub(crate) fn drain(kernel: &mut Kernel, mut sink: impl FnMut(Drained<'_>)) -> (f64, f64) {
    let start = Instant::now();
    let retired = kernel.flip();
    // The first flow comes as soon as the wait is over.
    let mut began = None;
    let mut used = processor_time();
    kernel
        .drain(&retired, |drained| {
            if began.is_none() {
                began = Some(start.elapsed());
                used = processor_time();
            }
            sink(drained);
        })
        .expect("drain the kernel's tables");
    (milliseconds(began.unwrap_or_default()), milliseconds(processor_time().saturating_sub(used)))
}

pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let before = processor_time();
    let result = work();
    (milliseconds(processor_time().saturating_sub(before)), result)
}

pub(crate) fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Books as `flowtally report` keeps them by default.
fn books() -> Ledger {
    books_with(Measure::Frames, Retention::Run, vec![GroupBy::Remote, GroupBy::Port])
}

/// Books of what crosses the interface of a test run.
pub(crate) fn books_with(measure: Measure, retention: Retention, groups: Vec<GroupBy>) -> Ledger {
    books::ledger("near", TEST_RUN_INTERFACE, |terms| {
        (terms.measure, terms.retention, terms.groups, terms.intervals) = (measure, retention, groups, false);
    })
}

/// The most memory that this process ever had, in megabytes (`VmHWM` in proc(5)).
fn peak_memory() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("read /proc/self/status");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.strip_suffix("kB"));
    kilobytes.and_then(|number| number.trim().parse::<f64>().ok()).expect("VmHWM in kB") * 1024.0 / 1e6
}
