//! What a start costs: from the moment the program is executed to the first frame that it counts, and what the kernel's verifier goes
//! through for each of its programs. And how soon a measurement is over when its time is.

use std::{
    collections::BTreeMap,
    fs,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::{
    Agent, NetPair,
    frames::{IPV4, NEAR_V4, Way, ethernet, ipv4_between, protocol::UDP, udp},
    raw::RawSocket,
};
use nix::{
    time::{ClockId, clock_getcpuclockid, clock_gettime},
    unistd::Pid,
};

use flowtally::kernel::{Capacity, Kernel};
use flowtally_common::{
    Direction,
    settings::{Layer, MIN_SLOTS},
};

use crate::{
    agent::Memory,
    table::{Table, median, verdict},
};

/// Targets, in milliseconds: to the first frame, the processor time until then, and what is between a measurement's end and the program's.
const FIRST_FRAME: f64 = 150.0;
const PROCESSOR: f64 = 120.0;
const END: f64 = 150.0;
/// Memory of an idle report, in megabytes.
const MEMORY: f64 = 40.0;
/// Time between two frames; each is a flow of its own.
const BETWEEN: Duration = Duration::from_micros(500);
const FIRST_PORT: u16 = 10_000;

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let rounds = if quick { 3 } else { 11 };
    let mut table =
        Table::new(["command", "first frame, ms", "target", "processor, ms", "target", "end, ms", "target"]);
    for (name, arguments) in [
        ("report --seconds 1", "report --seconds 1 --format json --by flow"),
        ("-t -s 1", "-t -n -N -P -s 1 -L 100000"),
    ] {
        let starts: Vec<_> = (0..rounds).map(|_| Start::of(name, arguments)).collect();
        let middle = |field: fn(&Start) -> f64| median(&starts.iter().map(field).collect::<Vec<_>>());
        let figures = [
            (middle(|start| start.first_frame), FIRST_FRAME),
            (middle(|start| start.processor), PROCESSOR),
            (middle(|start| start.end), END),
        ];
        table.row(
            [name.to_owned()].into_iter().chain(
                figures
                    .into_iter()
                    .flat_map(|(figure, target)| [format!("{figure:.0}"), verdict(figure, target, "")]),
            ),
        );
    }
    table.print(&format!(
        "Start: medians of {rounds}, ms from the execution of the program; the end, from the end of its time"
    ));
    println!("\nAn idle report after 5 seconds: {}", idle());
    instructions();
    println!("\nload of the machine: {}", fs::read_to_string("/proc/loadavg").unwrap_or_default().trim());
}

/// One run, in milliseconds.
struct Start {
    first_frame: f64,
    processor: f64,
    end: f64,
}

impl Start {
    /// Runs the program while frames pass that are told apart by their port: the first that it has counted says when it began.
    fn of(name: &str, arguments: &str) -> Self {
        /// What the commands measure for.
        const LENGTH: Duration = Duration::from_secs(1);
        let pair = NetPair::new();
        let ended = AtomicBool::new(false);
        thread::scope(|scope| {
            let executed = Instant::now();
            let agent =
                Agent::start(&pair.near.namespace, &format!("{arguments} -i {}", pair.near.interface));
            let pid = agent.pid();
            let (pair, stop) = (&pair, &ended);
            let sender = scope.spawn(move || send(pair, pid, stop));
            let ended = agent.wait();
            let took = executed.elapsed();
            stop.store(true, Ordering::Relaxed);
            let sent = sender.join().expect("send frames");
            assert!(ended.status.success(), "{name}: {}", ended.stderr);
            let text = String::from_utf8_lossy(&ended.stdout);
            let counted = |port: u16| {
                if arguments.starts_with("report") {
                    text.contains(&format!("\"local_port\": {port},"))
                        || text.contains(&format!("\"local_port\":{port},"))
                } else {
                    text.contains(&format!(":{port} "))
                }
            };
            let (_, (at, processor)) =
                sent.into_iter().find(|(port, _)| counted(*port)).expect("a frame was counted");
            let first = at.saturating_duration_since(executed);
            Self {
                first_frame: milliseconds(first),
                processor: milliseconds(processor),
                end: milliseconds(took.saturating_sub(first + LENGTH)),
            }
        })
    }
}

/// Sends a frame of another flow each time, until told to stop; when, and what the program had used of processors by then.
fn send(pair: &NetPair, pid: u32, stop: &AtomicBool) -> BTreeMap<u16, (Instant, Duration)> {
    let clock = clock_getcpuclockid(Pid::from_raw(i32::try_from(pid).expect("a process id")));
    let used = |clock: ClockId| clock_gettime(clock).map_or(Duration::ZERO, Duration::from);
    let socket = RawSocket::open(&pair.near.namespace, pair.near.interface);
    let std::net::IpAddr::V4(far) = pair.far.v4 else { panic!("the far end has an IPv4 address") };
    let mut frame = ethernet(Way::Sent, IPV4, &ipv4_between(NEAR_V4, far, UDP, &[], 0, &udp(Way::Sent, 18)));
    let mut sent = BTreeMap::new();
    for port in FIRST_PORT.. {
        if stop.load(Ordering::Relaxed) || port == u16::MAX {
            break;
        }
        // The source port, behind both headers.
        frame[34..36].copy_from_slice(&port.to_be_bytes());
        let state = (Instant::now(), clock.map_or(Duration::ZERO, used));
        socket.send(&frame);
        sent.insert(port, state);
        thread::sleep(BETWEEN);
    }
    sent
}

/// What an idle report takes, in words.
fn idle() -> String {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    thread::sleep(Duration::from_secs(5));
    let memory = Memory::of(agent.pid());
    drop(agent.report());
    format!(
        "{:.1} MB ({}), {:.1} of its own, {:.1} at most",
        memory.resident,
        verdict(memory.resident, MEMORY, ""),
        memory.anonymous,
        memory.peak
    )
}

/// What the verifier goes through.
fn instructions() {
    let mut table = Table::new(["program", "instructions"]);
    let pair = NetPair::new();
    pair.near.namespace.enter(|| {
        let capacity = Capacity { slots: MIN_SLOTS, flows: 1024, notes: 0 };
        let mut kernel = Kernel::load(capacity, false).expect("load flowtally");
        for layer in [Layer::Ethernet, Layer::Ip] {
            for direction in Direction::BOTH {
                let program = kernel.tc_program(direction, layer).expect("load a TC program");
                let count = program.info().ok().and_then(|info| info.verified_instruction_count());
                table.row([format!("TC, {direction:?}, {layer:?}"), words(count)]);
            }
            let program = kernel.xdp_program(layer).expect("load an XDP program");
            let count = program.info().ok().and_then(|info| info.verified_instruction_count());
            table.row([format!("XDP, {layer:?}"), words(count)]);
        }
    });
    table.print("The verifier: instructions it goes through");
}

fn words(count: Option<u32>) -> String {
    count.map_or_else(|| "not told (before Linux 5.16)".to_owned(), |count| count.to_string())
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
