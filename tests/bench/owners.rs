//! What finding owners costs on a host with many sockets: one refresh, and watching for a minute.
//!
//! The sockets are TCP connections over loopback, both ends of them, in a namespace of their own and spread over processes.
//! Everything is asked for without a note of the kernel, as for sockets that are older than flowtally.

use std::{
    env,
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::{Child, ChildStdin, Command, Stdio},
    time::{Duration, Instant},
};

use flowtally::{
    flow::{
        question::OwnerQuestion,
        row::{InterfaceId, RowKey},
    },
    host::{
        owners::{Look, Owners},
        sockets::{InternetSocket, NamespaceSockets, State, Wanted},
    },
    kernel::{Capacity, Kernel, OwnerNotes},
    model::{owner::Reason, protocol::Kind},
};
use flowtally_common::SocketHint;
use harness::Namespace;
use nix::time::{ClockId, clock_gettime};
use rustix::process::{Resource, Rlimit, setrlimit};

use crate::{
    table::{Table, median, verdict},
    tick::milliseconds,
};

const PROCESSES: usize = 25;
/// Sockets of each process: both ends of half as many connections.
const SOCKETS: usize = 2_000;
/// Room for notes on a host with 24 GB.
const NOTES: u32 = 196_608;
/// Targets: milliseconds, and percent of a core.
const REFRESH: f64 = 150.0;
const WATCHING: f64 = 2.0;
/// Conversations that are new in each second of watching, and seconds.
const NEW: usize = 100;
const SECONDS: u64 = 60;

/// A process with many sockets, until the value is dropped.
struct Holder {
    child: Child,
    /// It ends when this does.
    input: ChildStdin,
}

/// Runs the measurement and prints it.
pub(crate) fn run(quick: bool) {
    let (processes, rounds) = if quick { (5, 3) } else { (PROCESSES, 9) };
    let namespace = Namespace::new();
    // Before the sockets: they are noted as they are made.
    let capacity = Capacity { notes: NOTES, ..Capacity::for_host(1, 0) };
    let kernel = Kernel::load(capacity, false).expect("load the kernel programs");
    let holders: Vec<Holder> = (0..processes).map(|_| hold(&namespace)).collect();
    let (questions, refreshes, share, listed) = namespace.enter(|| {
        let questions = questions();
        let refreshes: Vec<(f64, f64)> = (0..rounds).map(|_| refresh(&questions)).collect();
        (questions.len(), refreshes, watch(&questions), ss())
    });
    look_up(kernel.owner_notes(), rounds);
    for mut holder in holders {
        drop(holder.input);
        holder.child.wait().expect("wait for a process with sockets");
    }
    let wall = median(&refreshes.iter().map(|(wall, _)| *wall).collect::<Vec<_>>());
    let used = median(&refreshes.iter().map(|(_, used)| *used).collect::<Vec<_>>());
    let mut table = Table::new(["what", "figure", "target", "beside ss"]);
    table.row([
        "a refresh, ms".to_owned(),
        format!("{wall:.1}"),
        verdict(wall, REFRESH, ""),
        listed.map_or("-".to_owned(), |listed| format!("{:.1} times as fast", listed / wall)),
    ]);
    table.row(["its processor time, ms".to_owned(), format!("{used:.1}"), "-".to_owned(), "-".to_owned()]);
    table.row([
        "watching, % of a core".to_owned(),
        format!("{share:.2}"),
        verdict(share, WATCHING, ""),
        "-".to_owned(),
    ]);
    table.print(&format!(
        "Owners: {questions} sockets of {processes} processes; a refresh finds {NEW} owners, `ss -tnp` lists them all"
    ));
}

/// Looks notes up one by one, and in a copy of all of them.
fn look_up(notes: &OwnerNotes, rounds: usize) {
    let all: Vec<u64> = notes.copy(usize::MAX).expect("copy the notes").into_keys().collect();
    let milliseconds_of = |work: &dyn Fn() -> usize| {
        let took: Vec<f64> = (0..rounds)
            .map(|_| {
                let begin = Instant::now();
                assert!(work() > 0, "no note was found");
                milliseconds(begin.elapsed())
            })
            .collect();
        median(&took)
    };
    let mut table = Table::new(["questions", "one by one, ms", "with a copy, ms"]);
    for number in [100, 1_000, 4_000, 16_000, 65_536] {
        let cookies = || all.iter().cycle().take(number);
        let single = milliseconds_of(&|| cookies().filter(|cookie| notes.note(**cookie).is_some()).count());
        let copied = milliseconds_of(&|| {
            let copy = notes.copy(usize::MAX).expect("copy the notes");
            cookies().filter(|cookie| copy.contains_key(*cookie)).count()
        });
        table.row([number.to_string(), format!("{single:.2}"), format!("{copied:.2}")]);
    }
    table.print(&format!("Notes: {} of {NOTES} that there is room for", all.len()));
}

/// Starts a process with sockets.
fn hold(namespace: &Namespace) -> Holder {
    let mut command = Command::new(env::current_exe().expect("the path of this program"));
    command.arg("--owners-child").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = namespace.enter(|| command.spawn()).expect("start a process that opens sockets");
    let mut ready = String::new();
    let stdout = child.stdout.take().expect("its output");
    BufReader::new(stdout).read_line(&mut ready).expect("read that its sockets are open");
    assert_eq!(ready, "ready\n", "a process could not open its sockets");
    Holder { input: child.stdin.take().expect("its input"), child }
}

/// Opens sockets, says so, and ends when its input does.
pub(crate) fn child() {
    let files = SOCKETS as u64 + 64;
    setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum: Some(files) })
        .expect("allow open files");
    let listener = TcpListener::bind("127.0.0.1:0").expect("listen");
    let address = listener.local_addr().expect("its address");
    let connections: Vec<_> = (0..SOCKETS / 2)
        .map(|_| (TcpStream::connect(address).expect("connect"), listener.accept().expect("accept")))
        .collect();
    println!("ready");
    io::stdout().flush().expect("say that the sockets are open");
    let _ = io::stdin().read_to_end(&mut Vec::new());
    drop(connections);
}

/// A question about each connected socket of this namespace.
fn questions() -> Vec<OwnerQuestion> {
    let sockets = NamespaceSockets::read(Wanted { tcp: true, ..Wanted::default() });
    let connected = sockets.inet.iter().filter(|socket| socket.state == State::Established);
    connected.map(question).collect()
}

fn question(socket: &InternetSocket) -> OwnerQuestion {
    let row = RowKey {
        local: socket.local,
        remote: socket.remote,
        local_port: socket.local_port,
        remote_port: socket.remote_port,
        vlan: 0,
        interface: InterfaceId(0),
        kind: Kind::TCP,
    };
    OwnerQuestion { row, ifindex: 1, local_is_own: true, socket: SocketHint::NONE, seen: [true; 2] }
}

/// The first look at a host: milliseconds, on the clock and of processor time.
fn refresh(questions: &[OwnerQuestion]) -> (f64, f64) {
    let mut owners = Owners::new();
    let (start, used) = (Instant::now(), processor_time());
    let some: Vec<OwnerQuestion> = questions.iter().step_by(questions.len() / NEW).copied().collect();
    let answers = owners.answer(&some, &mut |_| None, Look::Yes, start);
    let figures = (milliseconds(start.elapsed()), milliseconds(processor_time().saturating_sub(used)));
    for answer in answers {
        assert_eq!(answer.expect("an answer").reason, Reason::Open, "every owner is found");
    }
    figures
}

/// A minute of looking at owners, in which new conversations come each second that nothing is known of: percent of a core.
/// The minute is imagined; what is done in it is real.
fn watch(questions: &[OwnerQuestion]) -> f64 {
    let mut owners = Owners::new();
    let (start, used) = (Instant::now(), processor_time());
    for second in 0..SECONDS {
        // A port that was closed: neither a socket nor a note.
        let unknown = |question: &OwnerQuestion| {
            let mut question = *question;
            question.row.remote_port = u16::try_from(second + 1).unwrap_or(1);
            question.row.local_port = 1;
            question
        };
        let new: Vec<OwnerQuestion> = questions.iter().take(NEW).map(unknown).collect();
        owners.answer(&new, &mut |_| None, Look::Yes, start + Duration::from_secs(second));
    }
    100.0 * processor_time().saturating_sub(used).as_secs_f64() / Duration::from_secs(SECONDS).as_secs_f64()
}

/// What this process has used of processors, all threads.
fn processor_time() -> Duration {
    clock_gettime(ClockId::CLOCK_PROCESS_CPUTIME_ID).expect("read this process's clock").into()
}

/// How long `ss` takes for the same, in milliseconds; `None` where it is not installed.
fn ss() -> Option<f64> {
    let times: Vec<f64> = (0..3)
        .map(|_| {
            let start = Instant::now();
            let output = Command::new("ss").args(["-t", "-n", "-p"]).output().ok()?;
            output.status.success().then(|| milliseconds(start.elapsed()))
        })
        .collect::<Option<_>>()?;
    Some(median(&times))
}
