//! The wiring: the only place that knows kernel, host, ledger and outputs at once.

/// Prints a line on standard error. It may be closed, and that is no reason to stop.
macro_rules! say {
    ($($arguments:tt)*) => {
        drop(std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{}\n", format_args!($($arguments)*))))
    };
}

mod meter;
mod report;
mod settings;
mod shutdown;
mod terminal;
mod text;
mod top;

use std::{io, net::IpAddr, process::ExitCode, time::Duration};

use anyhow::Context as _;
use clap::{Parser as _, error::ErrorKind};

use crate::{
    cli::{CaptureArgs, Cli, Command, TextArgs},
    flow::{
        group::GroupBy,
        ledger::{Measure, Retention, Terms},
        orient::Orientation,
        services::Services,
    },
};

use meter::Plan;

/// Rows that a ledger keeps; what finds no room is untracked. A row is about 250 bytes.
const MAX_ROWS: usize = 4 << 20;
/// sysexits.h has no better: wrong usage, as clap ends with.
const USAGE: u8 = 2;

/// Runs the program; the exit code is 0, 1 for a failed run, 2 for wrong usage.
#[must_use]
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // A reader that went away is no failure.
            drop(error.print());
            let asked = matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion);
            return if asked { ExitCode::SUCCESS } else { ExitCode::from(USAGE) };
        }
    };
    let result = match cli.command {
        Some(Command::Report(args)) => in_runtime(report::report(args)),
        None => in_runtime(live(cli.text)),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            say!("flowtally: {error:#}");
            if error.is::<Usage>() { ExitCode::from(USAGE) } else { ExitCode::FAILURE }
        }
    }
}

/// What the user asked for makes no sense; nothing was started.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Usage(String);

/// The screen, or text in its place.
async fn live(args: TextArgs) -> anyhow::Result<()> {
    let (options, plan) = settings::settings(&args)?;
    if options.text_mode { text::text(options, plan).await } else { top::top(options, plan).await }
}

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

fn plan(
    args: &CaptureArgs,
    measure: Measure,
    retention: Retention,
    groups: Vec<GroupBy>,
    services: Services,
) -> Plan {
    let orientation = Orientation::with_boundary(args.net_filter, args.net_filter6);
    Plan {
        interfaces: args.interfaces.clone(),
        hook: args.hook,
        slots: args.slots,
        max_flows: args.max_flows,
        verbose: args.verbose,
        terms: Terms {
            measure,
            retention,
            groups,
            max_rows: MAX_ROWS,
            orientation,
            services,
            tick: Duration::from_millis(args.tick_ms),
        },
    }
}

/// Names of services; a host without the file has none.
fn services() -> Services {
    Services::parse(&std::fs::read_to_string("/etc/services").unwrap_or_default())
}

/// Says on standard error that counting has begun, for people and for scripts that wait for it.
fn announce(meter: &meter::Meter) {
    say!("flowtally: measuring on {}", meter.interfaces().join(", "));
}

/// iftop's lines about the interfaces, on standard error.
async fn describe(meter: &meter::Meter) -> anyhow::Result<()> {
    for (interface, addresses) in meter.described().await? {
        say!("interface: {}", interface.name);
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
