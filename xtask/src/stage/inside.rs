//! Running any program on the host of the stage: a detour over this program, which goes there and becomes the other.

use std::ffi::OsString;
use std::fs::File;
use std::os::fd::AsFd as _;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{self, Command};

use anyhow::{Context, Result, bail};
use rustix::process::{Signal, getppid, set_parent_process_death_signal};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use super::process::itself;

/// A command that runs a program in the network namespace of a process.
pub(super) fn command(host: u32, program: &Path) -> Result<Command> {
    let mut command = Command::new(itself()?);
    command.args(["stage", "inside"]).args([host, process::id()].map(|id| id.to_string())).arg(program);
    Ok(command)
}

/// Goes to the namespace and becomes the program, which will be asked to end when the starter has ended.
pub(super) fn run(host: u32, starter: u32, command: &[OsString]) -> Result<()> {
    let Some((program, arguments)) = command.split_first() else { bail!("no program to become") };
    set_parent_process_death_signal(Some(Signal::TERM)).context("cannot tie this process to its starter")?;
    // It may have ended before it could be tied to.
    if getppid().is_none_or(|parent| parent.as_raw_pid().cast_unsigned() != starter) {
        bail!("whoever wanted this is gone");
    }
    let namespace = format!("/proc/{host}/ns/net");
    let file = File::open(&namespace).with_context(|| format!("cannot open {namespace}"))?;
    move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))
        .with_context(|| format!("cannot go to {namespace}"))?;
    let error = Command::new(program).args(arguments).exec();
    Err(error).with_context(|| format!("cannot start {}", program.display()))
}
