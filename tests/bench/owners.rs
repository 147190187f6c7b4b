//! What it costs to say whose traffic it is, on a host with many sockets that are older than flowtally: those that the kernel
//! has noted cost nothing of this.

use std::{
    env,
    io::{self, Read as _},
    net::UdpSocket,
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{
    NetPair, agent,
    frames::{FAR_V4, NEAR_V4},
};

use crate::{
    idle::share,
    table::{Table, verdict},
};

/// Sockets of the host, and how many of them a process has.
const SOCKETS: u16 = 50_000;
const EACH: u16 = 1_000;
/// Their ports: from here on.
const FIRST: u16 = 10_000;
/// Percent of one core.
const WATCHING: f64 = 2.0;
/// Sockets that receive something every second.
const BUSY: u16 = 200;
/// Of these, those that did not before.
const NEW: u16 = 20;

/// A process that has sockets until its standard input ends.
pub(crate) fn child(first: u16) {
    let open = |port| UdpSocket::bind((NEAR_V4, port)).expect("open a socket");
    let sockets: Vec<_> = (first..first + EACH).map(open).collect();
    println!("{}", sockets.len());
    // Nothing is ever written there.
    drop(io::stdin().read(&mut [0]));
}

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (from, to) = if quick { (3, 7) } else { (3, 18) };
    let mut table = Table::new(["what has traffic", "% of a core", "target"]);
    for (name, new) in [("the same sockets all the time", 0), ("20 other sockets each second", NEW)] {
        let pair = NetPair::new();
        let mut holders = pair.near.namespace.enter(hold);
        let begin = Instant::now();
        let mut command = Command::new(agent::program());
        command.args(["report", "-i", pair.near.interface, "--seconds", "3600", "--by", "process"]);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        let mut watching = pair.near.namespace.enter(|| command.spawn()).expect("start flowtally");
        let stop = AtomicBool::new(false);
        let used = thread::scope(|scope| {
            scope.spawn(|| send(&pair, new, &stop));
            let used = share(&watching, begin, from, to);
            stop.store(true, Ordering::Relaxed);
            used
        });
        let ended = watching.try_wait().expect("ask for flowtally");
        assert!(ended.is_none(), "flowtally has ended early: {ended:?}");
        for child in holders.iter_mut().chain([&mut watching]) {
            child.kill().expect("end a process");
            child.wait().expect("wait for a process");
        }
        table.row([name.to_owned(), format!("{used:.3}"), verdict(used, WATCHING, "")]);
    }
    table.print(&format!("Owners: processor time from second {from} to {to} beside {SOCKETS} older sockets"));
}

/// Processes with all the sockets.
fn hold() -> Vec<Child> {
    let start = |first: u16| {
        let mut command = Command::new(env::current_exe().expect("the benchmark's own program"));
        command.args(["--owners-child", &first.to_string()]).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("start a process");
        let mut ready = [0];
        child.stdout.take().expect("its output").read_exact(&mut ready).expect("it opens its sockets");
        child
    };
    (0..SOCKETS / EACH).map(|number| start(FIRST + number * EACH)).collect()
}

/// Sends datagrams to the sockets, in each second to so many others.
fn send(pair: &NetPair, new: u16, stop: &AtomicBool) {
    let socket = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 5000))).expect("open a socket");
    let mut first = FIRST;
    while !stop.load(Ordering::Relaxed) {
        for port in first..first + BUSY {
            socket.send_to(&[0; 100], (NEAR_V4, port)).expect("send a datagram");
        }
        first += new;
        thread::sleep(Duration::from_secs(1));
    }
}
