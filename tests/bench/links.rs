//! What it costs to ask, at the end of each interval, whether interfaces have changed.

use std::{
    process::Command,
    time::{Duration, Instant},
};

use flowtally::host::interfaces::Netlink;
use harness::Namespace;
use tokio::runtime;

use crate::{
    programs::processor_time,
    table::{Table, median, verdict},
};

/// Interfaces, loopback among them.
const SIZES: [usize; 3] = [2, 10, 200];
/// Microseconds an interval.
const TARGET: f64 = 100.0;

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let rounds = if quick { 100 } else { 2_000 };
    let mut table =
        Table::new(["interfaces", "nothing changed", "of the processor", "target", "one changed"]);
    for size in SIZES {
        let namespace = Namespace::new();
        for number in 1..size {
            namespace.ip(&format!("link add b{number} type bridge"));
        }
        let [quiet, spent, changed] = namespace.enter(|| measure(rounds));
        table.row([
            size.to_string(),
            format!("{quiet:.0}"),
            format!("{spent:.0}"),
            verdict(quiet, TARGET, ""),
            format!("{changed:.0}"),
        ]);
    }
    table.print("Links: µs to ask whether interfaces have changed, once an interval");
}

/// Microseconds of a question when nothing has changed, of the processor for it, and of a question behind one change.
fn measure(rounds: u32) -> [f64; 3] {
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("start the runtime");
    runtime.block_on(async {
        let mut netlink = Netlink::open().expect("connect to rtnetlink");
        let mut ask = async || {
            let begin = Instant::now();
            let told = netlink.pending().await.len();
            (microseconds(begin.elapsed()), told)
        };
        // What was made before may still be told.
        while ask().await.1 > 0 {}
        let before = processor_time();
        let mut quiet = Vec::new();
        for _ in 0..rounds {
            let (took, told) = ask().await;
            assert_eq!(told, 0, "nothing changes");
            quiet.push(took);
        }
        let spent = microseconds(processor_time().saturating_sub(before)) / f64::from(rounds);
        let mut changed = Vec::new();
        for round in 0..rounds.min(100) {
            set_loopback_mtu(30_000 + round);
            let (took, told) = ask().await;
            assert!(told > 0, "a change is told");
            changed.push(took);
        }
        [median(&quiet), spent, median(&changed)]
    })
}

fn microseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e6
}

/// In the namespace of this thread, with `ip`: sysfs shows that of whoever mounted it.
fn set_loopback_mtu(mtu: u32) {
    let mtu = mtu.to_string();
    let status = Command::new("ip").args(["link", "set", "lo", "mtu", &mtu]).status();
    assert!(status.expect("run ip").success());
}
