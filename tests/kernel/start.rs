//! Signals while it starts: whenever they come it ends at once, with nothing attached and the terminal as it was.

use std::{
    collections::{BTreeSet, HashMap},
    fs::{self, File},
    io::Read as _,
    iter,
    os::unix::process::{CommandExt as _, ExitStatusExt as _},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus},
    thread,
    time::{Duration, Instant},
};

use aya::programs::{TcAttachType, loaded_links};
use harness::{NetPair, agent::program, eventually, foreign::attached};
use nix::{
    sys::{
        signal::{Signal, kill},
        termios::{Termios, tcgetattr},
        wait::{Id, WaitPidFlag, WaitStatus, waitid},
    },
    unistd::{Pid, SysconfVar, sysconf},
};
use rustix::{
    pty::{OpenptFlags, ioctl_tiocgptpeer, openpt, unlockpt},
    termios::{Winsize, tcsetwinsize},
};
use tempfile::TempDir;

/// Moments of the start at which each command gets a signal.
const MOMENTS: u32 = 40;
/// Moments at which a command gets one whose start is that of another.
const FEW: u32 = 10;
/// What an end may take: of the processor, and by the clock less the time in which others had the processors.
const LIMIT: Duration = Duration::from_millis(200);
/// The same by the clock of twelve at once, which wait for each other at the kernel's locks.
const TOGETHER: Duration = Duration::from_secs(1);
/// Longer than any test.
const FOR_LONG: &str = "--seconds 3600";

/// A command that loads the kernel programs.
struct Subject {
    /// The name it is called by.
    name: &'static str,
    arguments: String,
}

impl Subject {
    fn flowtally(arguments: &str) -> Self {
        Self { name: "flowtally", arguments: arguments.to_owned() }
    }

    fn iftop(arguments: &str) -> Self {
        Self { name: "iftop", arguments: arguments.to_owned() }
    }
}

/// A run on a terminal of its own.
struct Run {
    process: Process,
    terminal: Pty,
    files: TempDir,
}

/// Killed when the value goes.
struct Process(Child);

impl Drop for Process {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A terminal.
struct Pty {
    /// Where what is printed on it is read.
    reader: File,
    /// What a program has for it.
    end: File,
}

impl Pty {
    fn open() -> Self {
        // Not handed on to what other tests start meanwhile.
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let reader = openpt(flags).expect("open a terminal");
        unlockpt(&reader).unwrap();
        let end = ioctl_tiocgptpeer(&reader, flags).unwrap();
        tcsetwinsize(&end, Winsize { ws_row: 24, ws_col: 80, ws_xpixel: 0, ws_ypixel: 0 }).unwrap();
        Self { reader: reader.into(), end: end.into() }
    }

    fn settings(&self) -> Termios {
        tcgetattr(&self.end).unwrap()
    }
}

/// How a run ended.
struct End {
    status: ExitStatus,
    /// Whether it had begun to count when the signal came.
    had_begun: bool,
    /// By the clock, since the signal, less the time in which it was ready to run and others were running.
    took: Duration,
    /// That time.
    waited: Duration,
    /// Processor time since the signal, all threads.
    spent: Duration,
}

impl Run {
    fn start(pair: &NetPair, subject: &Subject) -> Self {
        let terminal = Pty::open();
        let files = TempDir::with_prefix("flowtally-test-").unwrap();
        let stream = || terminal.end.try_clone().expect("a second handle of the terminal");
        let mut command = Command::new(program());
        command
            .arg0(subject.name)
            .args(subject.arguments.split_whitespace())
            .env("TERM", "xterm")
            .env("HOME", files.path())
            .env_remove("XDG_CONFIG_HOME")
            .stdin(stream())
            .stdout(stream())
            .stderr(File::create(files.path().join("stderr")).unwrap());
        let child = pair.near.namespace.enter(|| command.spawn()).expect("start the program");
        Self { process: Process(child), terminal, files }
    }

    fn pid(&self) -> Pid {
        Pid::from_raw(i32::try_from(self.process.0.id()).unwrap())
    }

    fn said(&self) -> String {
        fs::read_to_string(self.files.path().join("stderr")).unwrap()
    }

    /// Whether it counts.
    fn has_begun(&self) -> bool {
        let said = self.said();
        said.contains("measuring on ") || said.contains("interface: ")
    }

    /// Sends a signal, waits for the end, and looks at what is left.
    fn end(self, signal: Signal) -> End {
        self.end_as(signal, |status| status.success())
    }

    /// The same, of what may end by itself with such a status.
    fn end_as(mut self, signal: Signal, by_itself: impl Fn(ExitStatus) -> bool) -> End {
        /// How often it is looked at while it ends.
        const LOOKS: Duration = Duration::from_millis(2);
        let had_begun = self.has_begun();
        let before = self.processor_time();
        let mut waits = Waits::of(self.pid());
        let sent = Instant::now();
        kill(self.pid(), signal).unwrap();
        let mut reader = self.terminal.reader.try_clone().unwrap();
        // It could not go on if nobody read.
        let reader = thread::spawn(move || {
            let mut printed = Vec::new();
            // The end of a terminal is an error.
            let _ = reader.read_to_end(&mut printed);
            printed
        });
        let ended = || {
            let flags = WaitPidFlag::WEXITED | WaitPidFlag::WNOWAIT | WaitPidFlag::WNOHANG;
            waitid(Id::Pid(self.pid()), flags).unwrap() != WaitStatus::StillAlive
        };
        while !ended() {
            // Of a thread that has ended the last look counts.
            waits.look();
            thread::sleep(LOOKS);
        }
        waits.look();
        let waited = waits.longest();
        let took = sent.elapsed().saturating_sub(waited);
        let used = self.processor_time().saturating_sub(before);
        let status = self.process.0.wait().unwrap();
        let said = self.said();
        assert_eq!(self.terminal.settings(), Pty::open().settings(), "the terminal's settings");
        drop(self.terminal);
        let printed = reader.join().unwrap();
        let count = |what: &str| printed.windows(what.len()).filter(|at| *at == what.as_bytes()).count();
        for (on, off) in
            [("\x1b[?1049h", "\x1b[?1049l"), ("\x1b[?25l", "\x1b[?25h"), ("\x1b[?1000h", "\x1b[?1000l")]
        {
            assert!(
                count(on) == 0 || count(off) > 0,
                "{on:?} without {off:?}: {:?}",
                String::from_utf8_lossy(&printed)
            );
        }
        assert!(status.signal() == Some(signal as i32) || by_itself(status), "{signal}: {status}: {said}");
        End { status, had_begun, took, waited, spent: used }
    }

    /// The processor time of all its threads, those that have ended too; also when it has ended itself.
    fn processor_time(&self) -> Duration {
        /// Number of the field `utime` of `proc_pid_stat(5)`, counted from what follows the name.
        const UTIME: usize = 11;
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.pid())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        let ticks: f64 =
            fields.split(' ').skip(UTIME).take(2).map(|field| field.parse::<f64>().unwrap()).sum();
        let per_second = sysconf(SysconfVar::CLK_TCK).unwrap().unwrap();
        Duration::from_secs_f64(ticks / per_second as f64)
    }
}

/// How long the threads of a process, and this one, have been ready to run while others were running.
struct Waits {
    /// The one that looks.
    own: PathBuf,
    /// Where the process's are.
    process: PathBuf,
    /// At first, and at the last look.
    seen: HashMap<PathBuf, [Duration; 2]>,
}

impl Waits {
    fn of(pid: Pid) -> Self {
        let own = fs::read_link("/proc/thread-self").expect("which thread this is");
        let mut waits = Self {
            own: Path::new("/proc").join(own),
            process: format!("/proc/{pid}/task").into(),
            seen: HashMap::new(),
        };
        waits.look();
        for [first, last] in waits.seen.values_mut() {
            *first = *last;
        }
        waits
    }

    fn look(&mut self) {
        let tasks = fs::read_dir(&self.process).into_iter().flatten().flatten().map(|entry| entry.path());
        for thread in iter::once(self.own.clone()).chain(tasks) {
            // It may have ended.
            let Ok(text) = fs::read_to_string(thread.join("schedstat")) else { continue };
            let delay = text.split(' ').nth(1).and_then(|nanoseconds| nanoseconds.parse().ok());
            let delay = Duration::from_nanos(delay.expect("a thread's delay"));
            self.seen.entry(thread).or_default()[1] = delay;
        }
    }

    /// Of that thread which has waited longest, for they wait at the same time; and this one's, which saw the end so much later.
    fn longest(&self) -> Duration {
        let waited = |[first, last]: &[Duration; 2]| last.saturating_sub(*first);
        let of_process = self.seen.iter().filter(|(thread, _)| **thread != self.own);
        let longest = of_process.map(|(_, seen)| waited(seen)).max().unwrap_or_default();
        longest + self.seen.get(&self.own).map(waited).unwrap_or_default()
    }
}

/// How long a command takes until it counts.
fn length_of_start(pair: &NetPair, subject: &Subject) -> Duration {
    let started = Instant::now();
    let run = Run::start(pair, subject);
    eventually("it counts", || run.has_begun().then_some(()));
    let length = started.elapsed();
    run.end(Signal::SIGTERM);
    length
}

/// Sends a signal at each of so many moments of a command's start.
fn check(subject: &Subject, moments: u32) {
    check_with(subject, moments, &[Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP]);
}

fn check_with(subject: &Subject, moments: u32, signals: &[Signal]) {
    let pair = NetPair::new();
    let known = links();
    let length = length_of_start(&pair, subject);
    let mut ends = Vec::new();
    for moment in 0..moments {
        let signal = signals[moment as usize % signals.len()];
        let run = Run::start(&pair, subject);
        // Not for something to happen: the moment is what is tried. The last tenth is after the start, which costs most.
        let delay = length * moment * 10 / (moments * 9);
        thread::sleep(delay);
        let end = run.end(signal);
        assert!(
            end.spent <= LIMIT,
            "{signal} after {delay:?} of {length:?}: {:?} of processor time",
            end.spent
        );
        assert!(
            end.took <= LIMIT,
            "{signal} after {delay:?} of {length:?}: it went on for {:?}, and waited for {:?} for a processor",
            end.took,
            end.waited
        );
        check_nothing_is_attached(&pair);
        ends.push(end);
    }
    check_links(&known);
    let early = ends.iter().filter(|end| !end.had_begun).count();
    let mut took: Vec<_> = ends.iter().map(|end| end.took).collect();
    took.sort();
    let spent = ends.iter().map(|end| end.spent).max().unwrap();
    let (usual, worst) = (took[took.len() / 2], took[took.len() - 1]);
    let waited = ends.iter().map(|end| end.waited).max().unwrap();
    println!(
        "{} {}: start {length:?}, {early} of {moments} signals before it counted; end after {usual:?}, {worst:?} at worst, with \
         {spent:?} of processor time at most; others had the processors for up to {waited:?}",
        subject.name, subject.arguments
    );
    assert!(early > 0, "no signal came during the start");
}

/// Nothing is left on the interface.
fn check_nothing_is_attached(pair: &NetPair) {
    let namespace = &pair.near.namespace;
    let qdiscs = namespace.tc("qdisc show dev near");
    assert!(!qdiscs.contains("clsact"), "{qdiscs}");
    // The kernel takes links away a moment after the process that held them has ended.
    eventually("nothing is attached", || {
        let none = |direction| attached(&pair.near, direction).is_empty();
        (none(TcAttachType::Ingress) && none(TcAttachType::Egress)).then_some(())
    });
}

/// The links of all BPF programs of this machine.
fn links() -> BTreeSet<u32> {
    loaded_links().filter_map(|link| Some(link.ok()?.id())).collect()
}

/// Checks that there is no link more than before but those that processes hold.
fn check_links(known: &BTreeSet<u32>) {
    eventually("every link has its process", || {
        let links = links();
        let held = held_links();
        links.iter().all(|link| known.contains(link) || held.contains(link)).then_some(())
    });
}

/// The links that processes have open.
fn held_links() -> BTreeSet<u32> {
    let entries = |path: &Path| fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path());
    let infos =
        entries(Path::new("/proc")).flat_map(|process| entries(&process.join("fdinfo")).collect::<Vec<_>>());
    let link = |info: &Path| {
        let text = fs::read_to_string(info).ok()?;
        text.lines().find_map(|line| line.strip_prefix("link_id:")?.trim().parse().ok())
    };
    infos.filter_map(|info| link(&info)).collect()
}

#[test]
fn a_report_is_ended_at_any_moment_of_its_start() {
    check(&Subject::flowtally(&format!("report -i near {FOR_LONG}")), MOMENTS);
}

/// Filters stay with the interface, unless they are taken away.
#[test]
fn a_report_by_clsact_is_ended_at_any_moment_of_its_start() {
    check(&Subject::flowtally(&format!("report -i near --hook clsact {FOR_LONG}")), FEW);
}

#[test]
fn the_agent_is_ended_at_any_moment_of_its_start() {
    // SIGHUP reads the configuration again.
    let signals = [Signal::SIGTERM, Signal::SIGINT];
    let folder = TempDir::with_prefix("flowtally-test-").unwrap();
    let place = folder.path().display();
    let arguments = format!("agent -i near --log {place}/log --socket {place}/socket");
    check_with(&Subject::flowtally(&arguments), MOMENTS, &signals);
    assert!(!folder.path().join("socket").exists());
}

/// It tries the hooks of every interface for a moment.
#[test]
fn a_check_of_the_host_is_ended_at_any_moment() {
    let pair = NetPair::new();
    let known = links();
    let subject = Subject::flowtally("doctor");
    let started = Instant::now();
    let mut run = Run::start(&pair, &subject);
    run.process.0.wait().unwrap();
    let length = started.elapsed();
    drop(run);
    let mut early = 0;
    for moment in 0..MOMENTS {
        let signal = [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP][moment as usize % 3];
        let run = Run::start(&pair, &subject);
        thread::sleep(length * moment / MOMENTS);
        let end = run.end_as(signal, |status| matches!(status.code(), Some(0 | 1)));
        assert!(end.spent <= LIMIT && end.took <= LIMIT, "{signal}: {:?}, {:?}", end.spent, end.took);
        check_nothing_is_attached(&pair);
        early += u32::from(end.status.signal().is_some());
    }
    check_links(&known);
    assert!(early > 0, "no signal came while it looked");
}

#[test]
fn a_page_is_ended_at_any_moment_of_its_start() {
    check(&Subject::flowtally(&format!("inspect 1 -i near {FOR_LONG}")), MOMENTS);
}

#[test]
fn text_mode_is_ended_at_any_moment_of_its_start() {
    check(&Subject::flowtally("-t -i near"), MOMENTS);
}

#[test]
fn the_screen_is_ended_at_any_moment_of_its_start() {
    check(&Subject::flowtally("-i near"), MOMENTS);
}

#[test]
fn iftop_is_ended_at_any_moment_of_its_start() {
    check(&Subject::iftop("-i near"), MOMENTS);
}

#[test]
fn text_mode_of_iftop_is_ended_at_any_moment_of_its_start() {
    check(&Subject::iftop("-t -i near"), MOMENTS);
}

#[test]
fn twelve_that_start_together_are_ended_together() {
    let pair = NetPair::new();
    let known = links();
    let subject = Subject::flowtally(&format!("report -i near {FOR_LONG}"));
    let length = length_of_start(&pair, &subject);
    for share in [1, 3, 9] {
        let runs: Vec<_> = (0..12).map(|_| Run::start(&pair, &subject)).collect();
        thread::sleep(length * share);
        let ends: Vec<_> = thread::scope(|scope| {
            let ends: Vec<_> = runs.into_iter().map(|run| scope.spawn(|| run.end(Signal::SIGTERM))).collect();
            ends.into_iter().map(|end| end.join().unwrap()).collect()
        });
        let took = ends.iter().map(|end| end.took).max().unwrap();
        let spent = ends.iter().map(|end| end.spent).max().unwrap();
        println!(
            "twelve after {share} times {length:?}: ended after {took:?}, with {spent:?} of processor time at most"
        );
        let waited = ends.iter().map(|end| end.waited).max().unwrap();
        println!("others had the processors for up to {waited:?}");
        assert!(spent <= LIMIT && took <= TOGETHER, "{took:?}, {spent:?} of processor time");
        check_nothing_is_attached(&pair);
    }
    check_links(&known);
}

/// What asks for nothing is not answered with half a second's work done again.
#[test]
fn other_signals_cost_the_start_nothing() {
    let pair = NetPair::new();
    for subject in [Subject::flowtally(&format!("report -i near {FOR_LONG}")), Subject::flowtally("-i near")]
    {
        let spent = |signals: &[Signal]| {
            let run = Run::start(&pair, &subject);
            eventually("it counts", || {
                for signal in signals {
                    kill(run.pid(), *signal).unwrap();
                }
                run.has_begun().then_some(())
            });
            let spent = run.processor_time();
            run.end(Signal::SIGTERM);
            spent
        };
        // Other tests make a processor slower, by less than twice.
        let usual = spent(&[]).min(spent(&[]));
        let disturbed = spent(&[Signal::SIGWINCH, Signal::SIGCONT, Signal::SIGCHLD, Signal::SIGURG]);
        println!("{}: {usual:?} of processor time, {disturbed:?} with signals", subject.arguments);
        assert!(disturbed < usual * 2, "{usual:?} of processor time, {disturbed:?} with signals");
    }
}

/// Ctrl-Z and `fg`: a stop interrupts the kernel's verifier in every thread, and once more is all that it costs.
#[test]
fn being_stopped_costs_the_start_little() {
    let pair = NetPair::new();
    let subject = Subject::flowtally(&format!("report -i near {FOR_LONG}"));
    let length = length_of_start(&pair, &subject);
    for moment in 1..10 {
        let started = |stop: bool| {
            let run = Run::start(&pair, &subject);
            if stop {
                thread::sleep(length * moment / 10);
                kill(run.pid(), Signal::SIGSTOP).unwrap();
                kill(run.pid(), Signal::SIGCONT).unwrap();
            }
            eventually("it counts", || run.has_begun().then_some(()));
            let spent = run.processor_time();
            run.end(Signal::SIGTERM);
            spent
        };
        let (usual, stopped) = (started(false), started(true));
        assert!(
            stopped < usual * 3,
            "stopped after {moment} tenths: {stopped:?} of processor time for {usual:?}"
        );
    }
}
