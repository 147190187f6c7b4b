//! What `flowtally agent` costs: while nothing happens, and with 10,000 conversations whose flows and processes it logs.
//!
//! The conversations are connected UDP sockets of ten processes, each of which says something every
//! second, answered or not. What
//! makes the traffic are other processes than the agent; of the agent alone the processor time and the memory are read.

use std::{
    env, fs,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{IpAddr, SocketAddr, UdpSocket},
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use harness::{Agent, LoggedRecords, NetPair, agent::program};
use nix::{
    sys::signal::Signal,
    time::{clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::table::{Table, verdict};

const PROCESSES: u16 = 10;
/// Conversations of each process.
const SOCKETS: u16 = 1_000;
/// Where all of them are answered.
const PORT: u16 = 5_353;
/// Targets: percent of a core, and megabytes.
const BUSY: (f64, f64) = (1.0, 80.0);
const IDLE: (f64, f64) = (0.05, 45.0);
/// An interval of the log, and one more tick: what has just begun is not what is measured.
const WARM_UP: Duration = Duration::from_secs(12);

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let time = Duration::from_secs(if quick { 20 } else { 60 });
    let mut table =
        Table::new(["agent", "% of a core", "target", "memory, MB", "target", "of it its own", "peak"]);
    let pair = NetPair::new();
    let folder = tempfile::tempdir().expect("a folder");
    let idle = start(&pair, folder.path());
    thread::sleep(WARM_UP);
    add(&mut table, "idle", &Cost::of(idle.pid(), time), IDLE);
    end(idle);
    drop(folder);

    for (name, answers) in [("10,000 flows, one way", false), ("10,000 conversations, both ways", true)] {
        let folder = tempfile::tempdir().expect("a folder");
        let busy = start(&pair, folder.path());
        let echo = Echo::start(&pair, answers);
        let talkers: Vec<Talker> = (0..PROCESSES).map(|_| Talker::start(&pair)).collect();
        thread::sleep(WARM_UP);
        add(&mut table, name, &Cost::of(busy.pid(), time), BUSY);
        drop(talkers);
        drop(echo);
        end(busy);
        check(&folder.path().join("log"));
    }
    table.print(&format!("Agent: {} s, intervals of 10 s, flows and processes logged", time.as_secs()));
    println!("\nload of the machine: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

fn start(pair: &NetPair, folder: &Path) -> Agent {
    let mut command = Command::new(program());
    command.args(["agent", "-i", pair.near.interface, "--interval", "10s", "--rows", "flow,process"]);
    command.arg("--log").arg(folder.join("log")).arg("--socket").arg(folder.join("run/agent.sock"));
    let mut agent = Agent::start_command(&pair.near.namespace, command);
    agent.wait_for("flowtally: measuring on ");
    agent
}

fn end(agent: Agent) {
    agent.signal(Signal::SIGTERM);
    let ended = agent.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
}

fn add(table: &mut Table, name: &str, cost: &Cost, (share, memory): (f64, f64)) {
    table.row([
        name.to_owned(),
        format!("{:.3}", cost.share),
        verdict(cost.share, share, ""),
        format!("{:.1}", cost.memory.resident),
        verdict(cost.memory.resident, memory, ""),
        format!("{:.1}", cost.memory.anonymous),
        format!("{:.1}", cost.memory.peak),
    ]);
}

/// What was measured did log what it is said to have logged.
fn check(log: &Path) {
    let records = LoggedRecords::read(log);
    let full = records.of("interval").filter(|interval| {
        let counts = &interval["row_counts"];
        let talkers = counts["process"].as_u64().unwrap_or(0) >= u64::from(PROCESSES);
        counts["flow"].as_u64().unwrap_or(0) >= u64::from(PROCESSES * SOCKETS) && talkers
    });
    assert!(full.count() > 0, "no interval had all conversations and all processes");
}

/// What a process takes.
struct Cost {
    /// Percent of one core.
    share: f64,
    memory: Memory,
}

impl Cost {
    fn of(pid: u32, time: Duration) -> Self {
        let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).expect("a process id")))
            .expect("the clock of the agent's processor time");
        let used = || Duration::from(clock_gettime(clock).expect("read the agent's processor time"));
        let (begin, before) = (Instant::now(), used());
        thread::sleep(time);
        let (took, used) = (begin.elapsed(), used().saturating_sub(before));
        Self { share: 100.0 * used.as_secs_f64() / took.as_secs_f64(), memory: Memory::of(pid) }
    }
}

/// Memory of a process in megabytes, as `proc_pid_status(5)` has it.
#[derive(Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) resident: f64,
    /// Without the program's file and the kernel's tables.
    pub(crate) anonymous: f64,
    pub(crate) peak: f64,
}

impl Memory {
    pub(crate) fn of(pid: u32) -> Self {
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the state of the agent");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
            let kilobytes = line.and_then(|line| line.split_whitespace().next()?.parse::<f64>().ok());
            kilobytes.unwrap_or_else(|| panic!("no {name} in {status}")) * 1024.0 / 1e6
        };
        Self { resident: field("VmRSS"), anonymous: field("RssAnon"), peak: field("VmHWM") }
    }
}

/// Listens at the far end, and answers or does not, until the value goes.
struct Echo {
    stop: Arc<AtomicBool>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Echo {
    fn start(pair: &NetPair, answers: bool) -> Self {
        let address = SocketAddr::new(pair.far.v4, PORT);
        let socket = pair.far.namespace.enter(|| UdpSocket::bind(address)).expect("a socket that answers");
        socket.set_read_timeout(Some(Duration::from_millis(100))).expect("set a time-out");
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let mut buffer = [0; 256];
            while !stopped.load(Ordering::Relaxed) {
                let received = socket.recv_from(&mut buffer);
                if let Some((length, from)) = received.ok().filter(|_| answers) {
                    // Who has gone needs no answer.
                    let _ = socket.send_to(&buffer[..length], from);
                }
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Echo {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        drop(self.thread.take().map(thread::JoinHandle::join));
    }
}

/// A process that talks, until the value goes.
struct Talker {
    child: Child,
    /// It ends when this does.
    input: Option<ChildStdin>,
}

impl Talker {
    fn start(pair: &NetPair) -> Self {
        let mut command = Command::new(env::current_exe().expect("the path of this program"));
        command.args(["--agent-child", &pair.far.v4.to_string()]);
        command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = pair.near.namespace.enter(|| command.spawn()).expect("start a process that talks");
        let mut ready = String::new();
        let stdout = child.stdout.take().expect("its output");
        BufReader::new(stdout).read_line(&mut ready).expect("read that its sockets are open");
        assert_eq!(ready, "ready\n", "a process could not open its sockets");
        Self { input: child.stdin.take(), child }
    }
}

impl Drop for Talker {
    fn drop(&mut self) {
        drop(self.input.take());
        drop(self.child.wait());
    }
}

/// Opens sockets, says so, and has each of them say something every second until its input ends.
pub(crate) fn child(peer: IpAddr) {
    /// Times in a second at which some of the sockets have their turn.
    const TURNS: u16 = 50;
    let files = u64::from(SOCKETS) + 64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) })
        .expect("allow open files");
    let any = SocketAddr::new(IpAddr::from([0, 0, 0, 0]), 0);
    let sockets: Vec<UdpSocket> = (0..SOCKETS)
        .map(|_| {
            let socket = UdpSocket::bind(any).expect("a socket");
            socket.connect((peer, PORT)).expect("connect");
            socket
        })
        .collect();
    println!("ready");
    io::stdout().flush().expect("say that the sockets are open");
    let talker = move || {
        let start = Instant::now();
        let turn = Duration::from_secs(1) / u32::from(TURNS);
        for number in 1.. {
            let some = sockets.chunks(usize::from(SOCKETS / TURNS));
            for socket in some.into_iter().nth((number % u32::from(TURNS)) as usize).unwrap_or_default() {
                // Nobody listens any more at the end.
                let _ = socket.send(&[0; 100]);
            }
            thread::sleep((start + turn * number).saturating_duration_since(Instant::now()));
        }
    };
    thread::spawn(talker);
    // The process ends with this thread.
    let _ = io::stdin().read_to_end(&mut Vec::new());
}
