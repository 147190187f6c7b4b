//! The benchmarks: what a frame costs in the kernel, what a start, a tick and the screen cost in user space, what idling and finding
//! owners cost, and what listing open files does.
//!
//! Run as `cargo xtask bench`. Everything happens in network namespaces of its own. Figures are never a test: the
//! program prints them beside their targets and ends well either way. What they mean is in `docs/performance.md`.
#![forbid(unsafe_code)]

mod agent;
mod filters;
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

use std::{env, net::IpAddr, path::PathBuf};

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
    /// Only write a log such as history is measured on, a gigabyte of lines that are not compressed, to this folder
    #[arg(long, value_name = "DIR")]
    log_to: Option<PathBuf>,
    /// The tick's child process: the number of flows
    #[arg(long, hide = true)]
    tick_child: Option<u32>,
    /// The screen's child process: the number of flows
    #[arg(long, hide = true)]
    screen_child: Option<u32>,
    /// A child process with many sockets
    #[arg(long, hide = true)]
    owners_child: bool,
    /// A child process that talks over many sockets: with whom
    #[arg(long, hide = true)]
    agent_child: Option<IpAddr>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The cost of a frame with everything in the cache (`BPF_PROG_TEST_RUN`)
    Testrun,
    /// The cost of a filter of ten terms, beside the same as a socket's, and iftop's
    Filters,
    /// The cost of a frame in live traffic
    Live,
    /// From the execution of the program to the first frame counted, and what the verifier goes through
    Start,
    /// The cost of closing an interval
    Tick,
    /// The cost of closing an interval and showing it
    Screen,
    /// The cost of a report and of the screen on an idle link
    Idle,
    /// The cost of asking whether interfaces have changed
    Links,
    /// The cost of finding the owners of traffic
    Owners,
    /// `flowtally lsof` beside the original
    Lsof,
    /// The cost of logging, and what a log takes
    Log,
    /// Reading the log back, beside jq, `DuckDB` and `ClickHouse`
    History,
    /// What the agent takes, idle and busy
    Agent,
    /// The agent for ten minutes on a restless host: what is in its log, and its memory
    Soak,
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
    if let Some(peer) = options.agent_child {
        agent::child(peer);
        return;
    }
    if let Some(folder) = options.log_to {
        history::write(&folder);
        return;
    }
    let wanted = |part| options.only.is_none_or(|only| only == part);
    if wanted(Part::Testrun) {
        testrun::run(options.quick);
    }
    if wanted(Part::Filters) {
        filters::run(options.quick);
    }
    if wanted(Part::Live) {
        live::run(options.quick);
    }
    if wanted(Part::Start) {
        start::run(options.quick);
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
    if wanted(Part::Links) {
        links::run(options.quick);
    }
    if wanted(Part::Owners) {
        owners::run(options.quick);
    }
    if wanted(Part::Lsof) {
        lsof::run(options.quick);
    }
    if wanted(Part::Log) {
        log::run(options.quick);
    }
    if wanted(Part::History) {
        history::run(options.quick);
    }
    if wanted(Part::Agent) {
        agent::run(options.quick);
    }
    if wanted(Part::Soak) {
        soak::run(options.quick);
    }
}
