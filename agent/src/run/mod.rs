//! The wiring: the only place that knows kernel, host, ledger and outputs at once.

/// Prints a line on standard error. It may be closed, and that is no reason to stop.
macro_rules! say {
    ($($arguments:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($arguments)*))))
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

use std::{env, ffi::OsStr, io, net::IpAddr, path::Path, process::ExitCode};

use anyhow::Context as _;
use clap::{Parser as _, error::ErrorKind};

use crate::{
    cli::{Cli, Command},
    iftop::options::Options,
};

use meter::Plan;

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

/// Runs the program; the exit code is 0, 1 for a failed run, 2 for wrong usage. Called by another program's name it is that
/// program, with its exit codes.
#[must_use]
pub fn main() -> ExitCode {
    let mut words = env::args_os().peekable();
    let name = words.next();
    match Called::by(name.as_deref()) {
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
            // A reader that went away is no failure.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let top = |args| settings::settings(&args).and_then(|(options, plan)| in_runtime(live(options, plan)));
    let result = match cli.command {
        Some(Command::Lsof(args)) => return lsof::main(Some(OsStr::new("lsof")), args.words),
        Some(Command::Report(args)) => in_runtime(report::report(args)),
        Some(Command::Deleted(args)) => deleted::deleted(&args),
        Some(Command::Inspect(args)) => in_runtime(inspect::inspect(args)),
        Some(Command::Recover(args)) => in_runtime(recover::recover(args)),
        Some(Command::Top(args)) => top(args),
        None => top(cli.top),
    };
    end(result, Called::Flowtally)
}

/// Says what went wrong, if anything did.
fn end(result: anyhow::Result<()>, called: Called) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say!("{}: {error:#}", called.name());
            if error.is::<Usage>() { ExitCode::from(called.usage()) } else { ExitCode::FAILURE }
        }
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

fn in_runtime(command: impl Future<Output = anyhow::Result<()>>) -> anyhow::Result<()> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_all().build().context("starting the runtime")?;
    let result = runtime.block_on(command);
    // A thread that waits for a key would keep the process from ending.
    runtime.shutdown_background();
    result
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
fn announce(meter: &meter::Meter) {
    say!("flowtally: measuring on {}", meter.interfaces().join(", "));
}

/// iftop's lines about the interfaces, on standard error.
async fn describe(meter: &meter::Meter) -> anyhow::Result<()> {
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
