//! The agent for ten minutes, on a host that does not leave it alone: flows, interfaces and namespaces that come and go, settings that
//! change, a log folder that is taken away, a disk that is full. At the end what is in the log is what was sent, to the byte, and the
//! agent takes no more memory than after its first minute.

use std::{
    ffi::CString,
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{
    Agent, Host, LoggedRecords, NetPair, Way,
    agent::program,
    eventually,
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
    logged::{LoggedSum, add},
    network::{Counters, settle},
    raw::RawSocket,
};
use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::Signal,
};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_change, unmount};
use serde_json::Value;

use crate::{
    agent::Memory,
    table::{Table, verdict},
    traffic::Frame,
};

/// Flows that are alive at a time, and new ones a second.
const LIVE: u32 = 500;
const NEW: u32 = 200;
/// Frames a second from each end.
const RATE: u64 = 2_000;
/// Frames over each interface that comes and goes.
const VISIT: usize = 50;
/// Room for the log.
const DISK: &str = "size=512m";
/// What may be added to the memory of the first minute.
const FLAT: f64 = 1.1;

/// Runs it and prints what came of it.
pub(crate) fn run(quick: bool) {
    let (time, first) = if quick { (240, 60) } else { (600, 60) };
    let soak = move || {
        unshare(CloneFlags::CLONE_NEWNS).expect("a mount namespace");
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)
            .expect("mounts of its own");
        let disk = tempfile::tempdir().expect("a folder");
        let options = CString::new(DISK).expect("words");
        mount("log", disk.path(), "tmpfs", MountFlags::empty(), Some(&*options)).expect("a small disk");
        soak(disk.path(), Duration::from_secs(time), Duration::from_secs(first));
        unmount(disk.path(), UnmountFlags::DETACH).expect("take the disk away");
    };
    // Mounts are of this thread and of what it starts.
    thread::spawn(soak).join().expect("the soak");
}

/// What is done to the agent, one after the other.
const FAULTS: [(&str, Fault); 5] = [
    ("interfaces and namespaces that come and go", Soak::visit),
    ("other settings, by SIGHUP", Soak::change),
    ("the folder of the log is taken away", Soak::rename),
    ("the disk is full", Soak::fill),
    ("wrong settings, by SIGHUP", Soak::mistake),
];

/// Something that is done to the agent, and waited for.
type Fault = fn(&mut Soak);

struct Soak {
    pair: NetPair,
    disk: PathBuf,
    agent: Agent,
    /// What crossed interfaces that are gone.
    visited: LoggedSum,
    /// What was done how often.
    steps: usize,
    /// Where the log was before.
    folders: Vec<PathBuf>,
}

fn soak(disk: &Path, time: Duration, first: Duration) {
    let pair = NetPair::new();
    fs::write(disk.join("config.toml"), configuration(0)).expect("write the configuration");
    let mut command = Command::new(program());
    command.arg("agent").arg("--log").arg(disk.join("log")).arg("--socket").arg(disk.join("run/agent.sock"));
    command.arg("--config").arg(disk.join("config.toml"));
    let mut agent = Agent::start_command(&pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on ");
    let before = pair.near.counters();
    let traffic = Traffic::start(&pair);
    let mut soak = Soak {
        pair,
        disk: disk.to_owned(),
        agent,
        visited: LoggedSum::default(),
        steps: 0,
        folders: Vec::new(),
    };
    let begin = Instant::now();
    let mut measured = Vec::new();
    while begin.elapsed() < time {
        // Memory is compared at the same place of the round.
        for (_, fault) in FAULTS {
            fault(&mut soak);
            soak.steps += 1;
        }
        if begin.elapsed() >= first {
            measured.push(Memory::of(soak.agent.pid()));
        }
    }
    let (early, late) = (measured[0], measured[measured.len() - 1]);
    drop(traffic);
    settle();
    let sent = sum(soak.pair.near.counters() - before);
    let took = begin.elapsed();
    let (visited, steps, stderr) = soak.end(sent);
    print(&Outcome { sent, visited, steps, early, late, took });
    let faults = stderr.lines().filter(|line| line.contains("cannot be written")).count();
    println!("\nthe agent said {faults} times that the log cannot be written");
}

struct Outcome {
    sent: LoggedSum,
    visited: LoggedSum,
    steps: usize,
    early: Memory,
    late: Memory,
    took: Duration,
}

fn print(Outcome { sent, visited, steps, early, late, took }: &Outcome) {
    let mut table = Table::new(["what", "figure", "target"]);
    let mut row = |what: &str, figure: String, target: String| table.row([what.to_owned(), figure, target]);
    for (what, sum) in [("the cable", sent), ("interfaces that came and went", visited)] {
        let logged = format!("{} bytes, {} packets", sum[0], sum[1]);
        row(what, logged, "logged as sent: met".to_owned());
    }
    for (what, _) in FAULTS {
        row(what, format!("{} times", steps / FAULTS.len()), "-".to_owned());
    }
    let limit = early.anonymous * FLAT;
    row("memory of its own, first minute", format!("{:.1} MB", early.anonymous), "-".to_owned());
    row("at the end", format!("{:.1} MB", late.anonymous), verdict(late.anonymous, limit.round(), " MB"));
    row("all memory, first minute", format!("{:.1} MB", early.resident), "-".to_owned());
    row("at the end", format!("{:.1} MB", late.resident), "-".to_owned());
    table.print(&format!("Soak: {} s, {LIVE} flows alive, {NEW} new ones a second", took.as_secs()));
    println!("\nload of the machine: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

impl Soak {
    /// An interface comes with a namespace at its other end, is counted on, and goes with it.
    fn visit(&mut self) {
        let near = Host {
            namespace: Arc::clone(&self.pair.near.namespace),
            interface: "visit",
            mac: "02:00:00:00:00:03",
            v4: [10, 78, 0, 1].into(),
            v6: [0xfd78, 0, 0, 0, 0, 0, 0, 1].into(),
        };
        let far = Host {
            namespace: Arc::default(),
            interface: "visitor",
            mac: "02:00:00:00:00:04",
            v4: [10, 78, 0, 2].into(),
            v6: [0xfd78, 0, 0, 0, 0, 0, 0, 2].into(),
        };
        let visit = NetPair::of(near, far);
        self.status_when("the interface is counted on", |status| hook(status, "visit") != Some("none"));
        let before = visit.near.counters();
        visit.near.send(&frames(Way::Sent, VISIT));
        visit.far.send(&frames(Way::Received, VISIT));
        add(&mut self.visited, sum(visit.near.counters() - before));
        visit.unplug();
        self.status_when("the interface is gone", |status| hook(status, "visit") == Some("none"));
    }

    /// Other settings, and SIGHUP.
    fn change(&mut self) {
        self.configure(&configuration(self.steps));
    }

    /// Settings that make no sense, and SIGHUP.
    fn mistake(&mut self) {
        self.configure("[agent]\ninterval = \"0s\"\n");
    }

    fn configure(&self, text: &str) {
        fs::write(self.disk.join("config.toml"), text).expect("write the configuration");
        self.agent.signal(Signal::SIGHUP);
        self.written(1);
    }

    /// The log's folder is taken away.
    fn rename(&mut self) {
        let old = self.disk.join(format!("log-{}", self.folders.len()));
        fs::rename(self.disk.join("log"), &old).expect("rename the log's folder");
        self.folders.push(old);
        eventually("there is a log again", || self.disk.join("log").exists().then_some(()));
        self.written(2);
    }

    /// The disk is full for a while.
    fn fill(&mut self) {
        let path = self.disk.join("ballast");
        let mut ballast = File::create(&path).expect("make a file");
        let block = vec![0; 1 << 16];
        // Until there is room for nothing, not even for a short line: what was freed meanwhile too.
        while ballast.write_all(&block).is_ok() {}
        let failures = |status: &Value| status["exporters"][0]["failures"].as_u64().expect("a number");
        let before = failures(&self.status());
        self.status_when("writing fails", |status| {
            while ballast.write_all(&block).is_ok() {}
            failures(status) > before + 1
        });
        drop(ballast);
        fs::remove_file(path).expect("make room again");
        self.status_when("the log is written again", |status| status["exporters"][0]["is_failing"] == false);
    }

    /// Waits for so many more intervals in the log.
    fn written(&self, more: u64) {
        let intervals = |status: &Value| status["exporters"][0]["intervals"].as_u64().expect("a number");
        let before = intervals(&self.status());
        self.status_when("an interval is written", |status| intervals(status) >= before + more);
    }

    fn status(&self) -> Value {
        let mut command = Command::new(program());
        command
            .args(["agent", "status", "--format", "json", "--socket"])
            .arg(self.disk.join("run/agent.sock"));
        let output = command.output().expect("ask the agent");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("a status")
    }

    fn status_when(&self, what: &str, mut is_so: impl FnMut(&Value) -> bool) {
        eventually(what, || {
            thread::sleep(Duration::from_millis(100));
            is_so(&self.status()).then_some(())
        });
    }

    /// Ends the agent, and holds its log against what was sent.
    fn end(self, sent: LoggedSum) -> (LoggedSum, usize, String) {
        let Self { disk, agent, visited, steps, folders, .. } = self;
        agent.signal(Signal::SIGTERM);
        let ended = agent.wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        let mut all = LoggedRecords { records: Vec::new() };
        for folder in folders.iter().chain([&disk.join("log")]) {
            all.records.extend(LoggedRecords::read(folder).records);
        }
        assert_eq!(all.add_up("near"), sent, "what is in the log is what was sent");
        assert_eq!(all.add_up("visit"), visited, "also of interfaces that are gone");
        (visited, steps, ended.stderr)
    }
}

/// The settings of a round. A file is small, so that files are closed and compressed all the time.
fn configuration(round: usize) -> String {
    let rows = ["flow,process", "flow,process,remote,port", "process,user,container", "flow,interface"];
    let (rows, top) = (rows[round % rows.len()], [0, 50][round / 2 % 2]);
    let interval = [1, 2, 3][round % 3];
    format!(
        "[capture]\ninterfaces = [\"near\", \"visit*\"]\n\
         [agent]\ninterval = \"{interval}s\"\nrows = \"{rows}\"\ntop = {top}\nrotate-size = \"1MiB\"\n"
    )
}

fn hook<'a>(status: &'a Value, name: &str) -> Option<&'a str> {
    let interfaces = status["interfaces"].as_array().expect("a list");
    let found = interfaces.iter().rev().find(|interface| interface["name"] == name);
    found.map_or(Some("none"), |interface| interface["hook"].as_str())
}

fn frames(way: Way, count: usize) -> Vec<Vec<u8>> {
    vec![ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100))); count]
}

fn sum(counters: Counters) -> LoggedSum {
    let Counters { received_bytes, received_packets, sent_bytes, sent_packets } = counters;
    [received_bytes + sent_bytes, received_packets + sent_packets]
        .map(|amount| i64::try_from(amount).expect("an amount"))
}

/// Frames of flows that come and go, from both ends, until the value goes.
struct Traffic {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Traffic {
    fn start(pair: &NetPair) -> Self {
        let [near, far] =
            [&pair.near, &pair.far].map(|host| RawSocket::open(&host.namespace, host.interface));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let received = frames(Way::Received, 1);
            let (start, mut frame, mut sent) = (Instant::now(), Frame::new(), 0_u64);
            while !stopped.load(Ordering::Relaxed) {
                let elapsed = start.elapsed();
                let due = elapsed.as_secs() * RATE + u64::from(elapsed.subsec_millis()) * RATE / 1_000;
                let oldest = u32::try_from(elapsed.as_secs()).expect("a short run") * NEW;
                while sent < due {
                    // A prime, so that all flows that are alive have their turn.
                    let flow = oldest + u32::try_from(sent * 7_919 % u64::from(LIVE)).expect("a flow");
                    near.send(frame.of(flow));
                    far.send(&received[0]);
                    sent += 1;
                }
                thread::sleep(Duration::from_millis(5));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}
