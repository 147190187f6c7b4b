//! What flowtally costs while nothing happens: as a report, and with the screen.

use std::{
    fs::File,
    io::Read as _,
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use harness::{NetPair, agent};
use nix::{
    pty::{Winsize, openpty},
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use crate::table::{Table, verdict};

/// Percent of one core.
const REPORT: f64 = 0.2;
const SCREEN: f64 = 0.5;
/// The terminal's size.
const SIZE: Winsize = Winsize { ws_row: 50, ws_col: 160, ws_xpixel: 0, ws_ypixel: 0 };

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (from, to) = if quick { (3, 7) } else { (3, 18) };
    let mut table = Table::new(["program", "% of a core", "target"]);
    for (name, target, start) in [
        ("flowtally report", REPORT, report as fn(&NetPair) -> Child),
        ("flowtally, the screen", SCREEN, screen),
    ] {
        let pair = NetPair::new();
        let begin = Instant::now();
        let mut child = start(&pair);
        let share = share(&child, begin, from, to);
        child.kill().expect("end flowtally");
        child.wait().expect("wait for flowtally");
        table.row([name.to_owned(), format!("{share:.3}"), verdict(share, target, "")]);
    }
    table.print(&format!("Idle: processor time from second {from} to {to} on an idle link"));
}

fn report(pair: &NetPair) -> Child {
    let mut command = Command::new(agent::program());
    command.args(["report", "-i", pair.near.interface]).stdout(Stdio::null()).stderr(Stdio::null());
    command.args(["--seconds", "3600"]);
    pair.near.namespace.enter(|| command.spawn()).expect("start flowtally")
}

fn screen(pair: &NetPair) -> Child {
    let terminal = openpty(&SIZE, None).expect("make a terminal");
    let end = || Stdio::from(terminal.slave.try_clone().expect("another handle of the terminal"));
    let mut command = Command::new(agent::program());
    command.args(["-i", pair.near.interface]).env("TERM", "xterm-256color");
    command.stdin(end()).stdout(end()).stderr(end());
    let child = pair.near.namespace.enter(|| command.spawn()).expect("start flowtally");
    // What is written has to be read by somebody; it ends with the terminal.
    let mut reader = File::from(terminal.master);
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while reader.read(&mut buffer).is_ok_and(|read| read > 0) {}
    });
    child
}

/// The share of a core that a process uses between two seconds after `start`, in percent.
fn share(child: &Child, start: Instant, from: u64, to: u64) -> f64 {
    let pid = Pid::from_raw(i32::try_from(child.id()).expect("a process id"));
    let clock = clock_getcpuclockid(pid).expect("the clock of flowtally's processor time");
    let used_at = |second: u64| -> (Duration, Duration) {
        thread::sleep((start + Duration::from_secs(second)).saturating_duration_since(Instant::now()));
        (start.elapsed(), clock_gettime(clock).expect("read flowtally's processor time").into())
    };
    let (begin, before) = used_at(from);
    let (end, after) = used_at(to);
    100.0 * after.saturating_sub(before).as_secs_f64() / end.saturating_sub(begin).as_secs_f64()
}
