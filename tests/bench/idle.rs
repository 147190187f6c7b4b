//! What a report costs while nothing happens.

use std::{
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::{NetPair, agent};
use nix::{
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use crate::table::{Table, verdict};

/// Percent of one core.
const TARGET: f64 = 0.2;

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (run, from, to) = if quick { (8, 3, 7) } else { (20, 3, 18) };
    let pair = NetPair::new();
    let start = Instant::now();
    let mut child = pair
        .near
        .namespace
        .enter(|| {
            Command::new(agent::program())
                .args(["report", "-i", pair.near.interface, "--seconds", &run.to_string()])
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
        })
        .expect("start flowtally");
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let clock = clock_getcpuclockid(pid).expect("the clock of flowtally's processor time");
    let used_at = |second: u64| -> (Duration, Duration) {
        thread::sleep((start + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        (start.elapsed(), clock_gettime(clock).expect("read flowtally's processor time").into())
    };
    let (begin, before) = used_at(from);
    let (end, after) = used_at(to);
    let status = child.wait().expect("wait for flowtally");
    assert!(status.success(), "flowtally ended with {status}");

    let share = 100.0 * after.saturating_sub(before).as_secs_f64() / end.saturating_sub(begin).as_secs_f64();
    let mut table = Table::new(["program", "% of a core", "target"]);
    table.row(["flowtally report".to_owned(), format!("{share:.3}"), verdict(share, TARGET, "")]);
    table.print(&format!("Idle: processor time from second {from} to {to} of a report on an idle link"));
}
