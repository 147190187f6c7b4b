//! The benchmarks: what a frame costs in the kernel, what a tick and the screen cost in user space, what idling and finding
//! owners cost, and what listing open files does.
//!
//! Run as `cargo xtask bench`. Everything happens in network namespaces of its own. Figures are never a test: the
//! program prints them beside their targets and ends well either way. What they mean is in `docs/performance.md`.
#![forbid(unsafe_code)]

mod agent;
mod history;
mod idle;
mod links;
mod live;
mod log;
mod lsof;
mod mix;
mod owners;
mod programs;
mod screen;
mod soak;
mod start;
mod table;
mod testrun;
mod tick;
mod traffic;

use std::env;

use clap::{Parser, ValueEnum};
use harness::fixture;

#[derive(Parser)]
#[command(name = "bench", bin_name = "cargo xtask bench", about = "Measure what counting costs (root)")]
struct Options {
    /// Fewer and shorter rounds: to see whether it works, not to quote
    #[arg(long)]
    quick: bool,
    /// Only this measurement
    #[arg(long)]
    only: Option<Part>,
    /// The tick's child process: the number of flows
    #[arg(long, hide = true)]
    tick_child: Option<u32>,
    /// The screen's child process: the number of flows
    #[arg(long, hide = true)]
    screen_child: Option<u32>,
    /// A child process with many sockets
    #[arg(long, hide = true)]
    owners_child: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cost of a frame with everything in the cache (`BPF_PROG_TEST_RUN`)
    Testrun,
    /// The cost of a frame in live traffic
    Live,
    /// The cost of closing an interval
    Tick,
    /// The cost of closing an interval and showing it
    Screen,
    /// The cost of a report and of the screen on an idle link
    Idle,
    /// The cost of finding the owners of traffic
    Owners,
    /// `flowtally lsof` beside the original
    Lsof,
}

fn main() {
    // As a process whose files are listed: there it is called by another program.
    if env::args_os().nth(1).is_some_and(|first| first == "fixture") {
        fixture::main(env::args_os().skip(1));
    }
    let options = Options::parse();
    if let Some(flows) = options.tick_child {
        tick::child(flows, options.quick);
        return;
    }
    if let Some(flows) = options.screen_child {
        screen::child(flows, options.quick);
        return;
    }
    if options.owners_child {
        owners::child();
        return;
    }
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Testrun) {
        testrun::run(options.quick);
    }
    if wanted(Part::Live) {
        live::run(options.quick);
    }
    if wanted(Part::Tick) {
        tick::run(options.quick);
    }
    if wanted(Part::Screen) {
        screen::run(options.quick);
    }
    if wanted(Part::Idle) {
        idle::run(options.quick);
    }
    if wanted(Part::Owners) {
        owners::run(options.quick);
    }
    if wanted(Part::Lsof) {
        lsof::run(options.quick);
    }
}
