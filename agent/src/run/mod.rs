//! The wiring: the only place that knows kernel, host, ledger and outputs at once.

/// Prints a line on standard error. It may be closed, and that is no reason to stop. Whatever is in the line, the terminal obeys none
/// of it; names that can hold a line feed are to be [`Safe`] before, so that they don't look like a line of their own.
macro_rules! say {
    ($($arguments:tt)*) => {
        $crate::run::say_text(&format!("{}\n", format_args!($($arguments)*)))
    };
}

/// Prints a message on standard error, which begins with the name that the program was called by, as all that are flowtally's own do.
macro_rules! tell {
    ($($arguments:tt)*) => {
        say!("{}", $crate::run::signed($crate::run::name(), &format!($($arguments)*)))
    };
}

mod agent;
mod deleted;
mod doctor;
mod files;
mod history;
mod iftop;
mod inspect;
mod lsof;
mod progress;
mod recover;
mod replay;
mod report;
mod security;
mod settings;
mod source;
mod stdout;
mod target;
mod terminal;
mod text;
mod top;

use std::{
    env,
    ffi::OsStr,
    fs::File,
    io::{self, Write as _},
    net::IpAddr,
    panic,
    path::Path,
    process::ExitCode,
    sync::{OnceLock, mpsc},
    thread,
};

use anyhow::Context as _;
use clap::{
    Parser as _,
    error::{ContextKind, ContextValue, ErrorKind},
};
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use crate::{
    cli::{Cli, Command, TopArgs},
    doctor::CheckState,
    format::{Guard, Safe},
    host::{
        opened, rights,
        shutdown::{self, Stopped},
    },
    iftop::options::IftopOptions,
    kernel::process,
    meter::{Meter, Plan},
};

/// sysexits.h has no better: wrong usage, as clap ends with.
const USAGE: u8 = 2;

/// The programs that this one is, by the name it is called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Called {
    /// By any name that is not another program's.
    Flowtally,
    /// Through a link named iftop.
    Iftop,
    /// Through a link named lsof.
    Lsof,
}

impl Called {
    fn by(name: Option<&OsStr>) -> Self {
        match name.map(Path::new).and_then(Path::file_name).and_then(|name| name.to_str()) {
            Some("iftop") => Self::Iftop,
            Some("lsof") => Self::Lsof,
            _ => Self::Flowtally,
        }
    }

    /// What its messages begin with.
    const fn name(self) -> &'static str {
        match self {
            Self::Flowtally => "flowtally",
            Self::Iftop => "iftop",
            Self::Lsof => "lsof",
        }
    }

    /// The exit status of wrong usage.
    const fn usage(self) -> u8 {
        match self {
            Self::Flowtally => USAGE,
            Self::Iftop | Self::Lsof => 1,
        }
    }
}

/// The usual limit on a stack, and what everything is tested with. A caller's limit (`ulimit -s`) may be less than the command line's parser
/// takes; it is for the first thread alone. Pages that are not used take no memory.
const STACK: usize = 8 << 20;

/// Runs the program on a stack that is large enough; the exit code is 0, 1 for a failed run, 2 for wrong usage. Called by another
/// program's name it is that program, with its exit codes.
#[must_use]
pub fn main() -> ExitCode {
    // The rule, and it costs nothing.
    let limit = getrlimit(Resource::Stack).current;
    if limit.is_none_or(|limit| limit >= STACK as u64) {
        return program();
    }
    let (spawned, begin) = mpsc::channel::<()>();
    let thread = thread::Builder::new().name("flowtally".to_owned()).stack_size(STACK).spawn(move || {
        // Until the sender is gone.
        let _ = begin.recv();
        program()
    });
    // This thread only waits. With rights that the other one has given up it would keep the process from its user. Where the kernel
    // refuses, the process stays as closed as it is.
    let _ = rights::put_aside();
    drop(spawned);
    match thread.map(thread::JoinHandle::join) {
        Ok(Ok(code)) => code,
        // The panic has been told of, and goes on here.
        Ok(Err(payload)) => panic::resume_unwind(payload),
        Err(error) => {
            tell!(
                "starting a thread: {error}: the limits on processes (ulimit -u) or memory (ulimit -v) are too low"
            );
            ExitCode::FAILURE
        }
    }
}

/// Which way open files are read: for tests alone.
const TEST_FILES: &str = "FLOWTALLY_TEST_FILES";

fn program() -> ExitCode {
    process::survive_file_limit();
    let mut words = env::args_os().peekable();
    let name = words.next();
    let called = Called::by(name.as_deref());
    // It has no other value so far.
    let _ = NAME.set(called.name());
    if let Some(way) = env::var_os(TEST_FILES)
        && let Err(why) = opened::choose(&way.to_string_lossy())
    {
        tell!("{TEST_FILES}: {why}");
        return ExitCode::FAILURE;
    }
    match called {
        Called::Iftop => iftop::main(words),
        Called::Lsof => lsof::main(name.as_deref(), words),
        // Its grammar is its own, and so is its help.
        Called::Flowtally if words.peek().is_some_and(|word| word == "lsof") => {
            lsof::main(words.next().as_deref(), words)
        }
        Called::Flowtally => flowtally(),
    }
}

fn flowtally() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
                let printed = stdout::print(&error.render().to_string());
                return end(printed.context("printing what was asked for"), Called::Flowtally);
            }
            refuse(error);
            return ExitCode::from(USAGE);
        }
    };
    let top = |args: TopArgs| {
        in_runtime(async move {
            if args.attach {
                let (options, orders) = settings::attach_settings(&args)?;
                return top::attached(options, orders).await;
            }
            if args.replay.is_some() {
                let (options, orders) = settings::replay_settings(&args)?;
                return top::replayed(options, orders).await;
            }
            live(settings::settings(&args)?).await
        })
    };
    let result = match cli.command {
        Some(Command::Lsof(args)) => return lsof::main(Some(OsStr::new("lsof")), args.words),
        Some(Command::Agent(args)) => agent::agent(args),
        Some(Command::Report(args)) => in_runtime(report::report(args)),
        Some(Command::Deleted(args)) => deleted::deleted(&args),
        Some(Command::Doctor(args)) => return diagnosed(in_runtime(doctor::doctor(args))),
        Some(Command::History(args)) => in_runtime(history::history(args)),
        Some(Command::Inspect(args)) => in_runtime(inspect::inspect(args)),
        Some(Command::Recover(args)) => in_runtime(recover::recover(args)),
        Some(Command::Top(args)) => top(args),
        None => top(cli.top),
    };
    end(result, Called::Flowtally)
}

/// The name that the program was called by.
static NAME: OnceLock<&str> = OnceLock::new();

/// What messages begin with.
fn name() -> &'static str {
    NAME.get().copied().unwrap_or(Called::Flowtally.name())
}

/// A message that begins with the program's name, as does each further one in a line of its own. What is indented goes on with what is above.
fn signed(name: &str, message: &str) -> String {
    let line = |line: &str| {
        if line.starts_with(' ') || line.is_empty() { line.to_owned() } else { format!("{name}: {line}") }
    };
    message.lines().map(line).collect::<Vec<_>>().join("\n")
}

/// Prints text on standard error, as `say!` does.
fn say_text(text: &str) {
    drop(Guard::new(io::stderr().lock()).write_all(text.as_bytes()));
}

/// Says what is wrong with the command line: the words of it can be anything.
fn refuse(mut error: clap::Error) {
    for kind in [ContextKind::InvalidArg, ContextKind::InvalidSubcommand, ContextKind::InvalidValue] {
        if let Some(ContextValue::String(word)) = error.get(kind) {
            let word = Safe::new(word).to_string();
            error.insert(kind, ContextValue::String(word));
        }
    }
    let message = error.render().to_string();
    say!("{}: {}", name(), message.strip_prefix("error: ").unwrap_or(&message).trim_end());
}

/// Names of interfaces, for a message.
fn interface_list(names: &[impl AsRef<[u8]>]) -> String {
    names.iter().map(|name| Safe::new(name).to_string()).collect::<Vec<_>>().join(", ")
}

/// Says what went wrong, if anything did.
fn end(result: anyhow::Result<()>, called: Called) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            if error.is::<Usage>() { ExitCode::from(called.usage()) } else { ExitCode::FAILURE }
        }
    }
}

/// Says what went wrong, and what the user can do about it. A request to stop is obeyed instead.
fn complain(error: &anyhow::Error) {
    if let Some(stopped) = error.downcast_ref::<Stopped>() {
        stopped.end();
    }
    tell!("{}", advised(format!("{error:#}")));
}

/// A message, with what helps where it is about a limit of the process or about what the kernel shows of itself: the system's words do not name
/// it, and an error may have passed through hands that keep its text alone.
fn advised(told: String) -> String {
    if told.contains("counting the CPUs failed") {
        return format!(
            "{told} (/sys has them, and is not mounted here or must not be read: mount -t sysfs sysfs /sys)"
        );
    }
    let limits = [(Errno::MFILE, "open files, ulimit -n,"), (Errno::FBIG, "the length of files, ulimit -f,")];
    let reached = |(errno, _): &(Errno, &str)| told.contains(&format!("(os error {})", errno.raw_os_error()));
    match limits.into_iter().find(reached) {
        Some((_, limit)) if !told.contains("ulimit") => format!("{told} (the limit on {limit} is too low)"),
        _ => told,
    }
}

/// The live view: a screen, or iftop's text mode.
async fn live((options, plan): (IftopOptions, Plan)) -> anyhow::Result<()> {
    if options.text_mode { text::text(options, plan).await } else { top::top(options, plan).await }
}

/// What the user asked for makes no sense; nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// `doctor` has exit statuses of its own: that nothing could be said is as bad as that nothing can be counted.
fn diagnosed(result: anyhow::Result<CheckState>) -> ExitCode {
    match result {
        Ok(state) => ExitCode::from(state.exit_status()),
        Err(error) => {
            complain(&error);
            ExitCode::from(CheckState::Failed.exit_status())
        }
    }
}

/// Runs what a signal ends in good order, when it listens for them, and by itself before that.
fn in_runtime<T>(command: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    shutdown::end_at_once();
    check_descriptors().context("starting the runtime")?;
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(command);
    // A thread that waits for a key would keep the process from ending.
    runtime.shutdown_background();
    result
}

/// Finds out whether there are the descriptors that the runtime and its signals take, for it panics where one is missing.
fn check_descriptors() -> io::Result<()> {
    const TAKEN: usize = 8;
    let null = File::open("/dev/null").or_else(|_| File::open("/"))?;
    (0..TAKEN).map(|_| null.try_clone()).collect::<io::Result<Vec<_>>>().map(drop)
}

/// The reader of our output went away: for a program in a pipe that is success.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| {
        cause.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
    })
}

/// Columns of the terminal that standard output is; `None` for what is no terminal, and for one that does not know (a serial line says 0).
fn terminal_width() -> Option<usize> {
    let size = rustix::termios::tcgetwinsize(io::stdout()).ok()?;
    Some(usize::from(size.ws_col)).filter(|columns| *columns > 0)
}

/// Says on standard error that counting has begun, for people and for scripts that wait for it.
fn announce(meter: &Meter) {
    tell!("measuring on {}", interface_list(&meter.interfaces()));
}

/// Where open files were read from, and why, on standard error.
fn tell_where_files_are_from() {
    if let Some(served) = opened::served() {
        tell!("open files were read from {served}");
    }
}

/// iftop's lines about the interfaces, on standard error.
async fn describe(meter: &Meter) -> anyhow::Result<()> {
    for (interface, addresses) in meter.described().await? {
        say!("interface: {}", Safe::new(&interface.name));
        if let Some(address) = addresses.iter().find(|address| address.is_ipv4()) {
            say!("IP address is: {address}");
        }
        let global =
            |address: &&IpAddr| matches!(address, IpAddr::V6(address) if !address.is_unicast_link_local());
        if let Some(address) = addresses.iter().find(global) {
            say!("IPv6 address is: {address}");
        }
        if !interface.hardware_address.is_empty() {
            let bytes: Vec<_> = interface.hardware_address.iter().map(|byte| format!("{byte:02x}")).collect();
            say!("MAC address is: {}", bytes.join(":"));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn messages_begin_with_the_name() {
        assert_eq!(signed("iftop", "one"), "iftop: one");
        assert_eq!(signed("flowtally", "a: b\nc: d"), "flowtally: a: b\nflowtally: c: d");
        assert_eq!(signed("flowtally", "run\n  sudo setcap"), "flowtally: run\n  sudo setcap");
    }

    #[test]
    fn a_limit_that_is_reached_is_named() {
        let told = |errno: Errno| advised(format!("doing this: {}", io::Error::from(errno)));
        assert!(told(Errno::MFILE).ends_with(" (the limit on open files, ulimit -n, is too low)"));
        assert!(told(Errno::FBIG).ends_with(" (the limit on the length of files, ulimit -f, is too low)"));
        assert!(told(Errno::NOENT).ends_with("(os error 2)"));
        assert_eq!(advised("x (os error 24); ulimit -n".to_owned()), "x (os error 24); ulimit -n");
        assert!(advised("counting the CPUs failed: gone".to_owned()).ends_with("mount -t sysfs sysfs /sys)"));
    }

    #[test]
    fn the_last_component_of_the_name_decides() {
        let called = |name: &str| Called::by(Some(OsStr::new(name)));
        assert_eq!(called("iftop"), Called::Iftop);
        assert_eq!(called("/usr/local/sbin/iftop"), Called::Iftop);
        assert_eq!(called("/usr/bin/lsof"), Called::Lsof);
        assert_eq!(called("./flowtally"), Called::Flowtally);
        assert_eq!(called("/opt/iftop/flowtally"), Called::Flowtally);
        assert_eq!(called(""), Called::Flowtally);
        assert_eq!(Called::by(None), Called::Flowtally);
    }
}
