//! `cargo xtask demo`: the screen on traffic made for it, for whoever has none.

use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::path::PathBuf;

use anyhow::{Context, Result, bail, ensure};
use clap::Args;

use crate::stage::Stage;
use crate::test;
use crate::workspace::Workspace;

/// What flowtally is given unless there is something else to give: names of hosts could not be looked up from where it
/// runs, and ports are what tells most of the traffic apart.
const ARGUMENTS: [&str; 2] = ["-n", "-P"];

#[derive(Args)]
pub(crate) struct DemoArgs {
    /// The flowtally to run, in place of one built from this checkout
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// What flowtally is given [default: -n -P]
    #[arg(last = true)]
    arguments: Vec<OsString>,
}

pub(crate) fn run(workspace: &Workspace, args: &DemoArgs) -> Result<()> {
    test::require_root("the demo needs network namespaces and a program in the kernel", "demo")?;
    if args.arguments.is_empty() && !(io::stdin().is_terminal() && io::stdout().is_terminal()) {
        bail!("the screen needs a terminal: without one, try `cargo xtask demo -- report --seconds 5`");
    }
    let program = args.program.clone().map_or_else(|| test::build_program(workspace, None), Ok)?;
    let mut stage = Stage::set()?;
    stage.begin()?;
    let mut flowtally = stage.command(&program)?;
    if args.arguments.is_empty() {
        flowtally.args(ARGUMENTS);
    } else {
        flowtally.args(&args.arguments);
    }
    let status = flowtally.status().with_context(|| format!("cannot start {}", program.display()))?;
    stage.end()?;
    ensure!(status.success(), "flowtally failed ({status})");
    Ok(())
}
