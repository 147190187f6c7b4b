//! What a frame costs in live traffic: a sender at full speed, and the kernel's own statistics about the programs.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use aya::sys::{Stats, enable_stats};
use flowtally::kernel::{Drained, Kernel};
use flowtally_common::settings::DEFAULT_SLOTS;
use harness::NetPair;

use crate::{
    programs::{self, Baseline, Baselines, Runs},
    table::{Table, median, verdict},
    traffic::{Spread, send},
};

const SPREADS: [Spread; 7] = [
    Spread::Uniform(1),
    Spread::Uniform(1000),
    Spread::Uniform(30_000),
    Spread::Uniform(UNIFORM),
    Spread::Zipf(100_000, 1.0),
    Spread::Zipf(100_000, 1.1),
    Spread::Zipf(100_000, 1.2),
];
/// The flows that the targets are about.
const UNIFORM: u32 = 100_000;
const MANY_SLOTS: u32 = 131_072;
/// How often flowtally's tables are drained, as in production.
const TICK: Duration = Duration::from_secs(1);

/// What is measured, in the order of the table's columns.
const SUBJECTS: [Subject; 5] = [
    Subject::Baseline(Baseline::Empty),
    Subject::Flowtally(DEFAULT_SLOTS),
    Subject::Flowtally(MANY_SLOTS),
    Subject::Baseline(Baseline::Plain),
    Subject::Baseline(Baseline::Lru),
];

#[derive(Clone, Copy)]
enum Subject {
    Baseline(Baseline),
    /// With this many slots.
    Flowtally(u32),
}

/// One measurement.
#[derive(Clone, Copy, Default)]
struct Measured {
    /// Nanoseconds a frame.
    cost: f64,
    frames: u64,
    untracked: u64,
}

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (rounds, ticks) = if quick { (1, 1) } else { (5, 2) };
    let pair = NetPair::new();
    pair.near.namespace.enter(|| measure(&pair, rounds, ticks));
}

fn measure(pair: &NetPair, rounds: usize, ticks: u32) {
    // On as long as the value lives, then as it was.
    let _statistics =
        enable_stats(Stats::RunTime).expect("turn on the kernel's statistics about BPF programs");
    let mut baselines = Baselines::load();
    let mut table = Table::new([
        "flows",
        "empty",
        "flowtally",
        "131072 slots",
        "plain",
        "LRU",
        "/ plain",
        "target",
        "131072 / plain",
        "target",
        "frames/s",
    ]);
    let (mut frames, mut untracked) = (0, 0);
    for spread in SPREADS {
        let flows = spread.draw();
        let mut costs: [Vec<f64>; 5] = Default::default();
        let mut sent = 0;
        for _ in 0..rounds {
            for (subject, costs) in SUBJECTS.into_iter().zip(&mut costs) {
                let measured = match subject {
                    Subject::Baseline(which) => compare(pair, &mut baselines, which, &flows, ticks),
                    Subject::Flowtally(slots) => {
                        let measured = flowtally(pair, slots, &flows, ticks);
                        frames += measured.frames;
                        untracked += measured.untracked;
                        measured
                    }
                };
                costs.push(measured.cost);
                sent += measured.frames;
            }
        }
        let medians = costs.map(|costs| median(&costs));
        let [_, default, many, plain, _] = medians;
        let rate = sent / (rounds * SUBJECTS.len()) as u64 / u64::from(ticks);
        let target = |value: f64, target: f64| match spread {
            Spread::Uniform(UNIFORM) => verdict(value, target, ""),
            _ => "-".to_owned(),
        };
        let (default, many) = (default / plain, many / plain);
        table.row([spread.name()].into_iter().chain(medians.map(|cost| format!("{cost:.0}"))).chain([
            format!("{default:.2}"),
            target(default, 1.1),
            format!("{many:.2}"),
            target(many, 0.75),
            rate.to_string(),
        ]));
    }
    table.print("Live: ns a frame");
    println!("\nuntracked: {untracked} of {frames} frames that flowtally counted");
}

/// Measures a program to compare with.
fn compare(
    pair: &NetPair,
    baselines: &mut Baselines,
    which: Baseline,
    flows: &[u32],
    ticks: u32,
) -> Measured {
    let program = baselines.program(which);
    let link = programs::attach(program, pair.near.interface);
    let measured = under_traffic(pair, flows, || {
        thread::sleep(TICK);
        let before = Runs::of(program);
        thread::sleep(TICK * ticks);
        let runs = Runs::of(program);
        Measured { cost: runs.cost_since(before), frames: runs.count_since(before), untracked: 0 }
    });
    program.detach(link).expect("detach a program to compare with");
    measured
}

/// Measures flowtally, drained as in production.
fn flowtally(pair: &NetPair, slots: u32, flows: &[u32], ticks: u32) -> Measured {
    let (mut kernel, program) = programs::flowtally(&pair.near, slots);
    under_traffic(pair, flows, || {
        thread::sleep(TICK);
        drain(&mut kernel);
        let before = Runs::of(&program);
        let mut untracked = 0;
        for _ in 0..ticks {
            thread::sleep(TICK);
            untracked += drain(&mut kernel);
        }
        let runs = Runs::of(&program);
        Measured { cost: runs.cost_since(before), frames: runs.count_since(before), untracked }
    })
}

/// Ends the interval; returns how many frames were untracked in it.
fn drain(kernel: &mut Kernel) -> u64 {
    let retired = kernel.flip();
    let mut untracked = 0;
    kernel
        .drain(&retired, |drained| {
            if let Drained::Health(_, health) = drained {
                untracked += health.untracked.packets;
            }
        })
        .expect("drain the kernel's tables");
    untracked
}

/// Does `work` while frames are sent.
fn under_traffic<T>(pair: &NetPair, flows: &[u32], work: impl FnOnce() -> T) -> T {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| send(pair, flows, &stop));
        let result = work();
        stop.store(true, Ordering::Relaxed);
        result
    })
}
