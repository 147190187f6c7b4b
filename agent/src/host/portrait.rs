//! One process as an owner: what it is called, what it runs, whose it is, since when.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use rustix::io::Result;

use super::{proc::ProcessDir, users::Users};
use crate::flow::owner::{Owner, ProcessId};

/// Clock ticks in a second, as /proc counts them: `USER_HZ`, 100 on every architecture that Linux still has.
const TICKS: u64 = 100;

/// What it takes to draw one, read once.
#[derive(Debug)]
pub struct Painter {
    users: Users,
    boot: Option<SystemTime>,
}

impl Painter {
    /// Reads when the system was started.
    #[must_use]
    pub fn new() -> Self {
        // The whole file is long, for it counts every interrupt; it is read once.
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let boot = stat.lines().find_map(|line| line.strip_prefix("btime ")?.trim().parse().ok());
        Self {
            users: Users::default(),
            boot: boot.map(|seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)),
        }
    }

    /// The process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn paint(&mut self, process: &ProcessDir) -> Result<Owner> {
        let stat = process.stat()?;
        let uid = effective_user(process);
        let since_boot = Duration::from_secs(stat.start / TICKS);
        let executable = process.link("exe").ok();
        Ok(Owner {
            id: ProcessId { pid: process.pid(), start: Some(stat.start) },
            start_time: self.boot.map(|boot| boot + since_boot),
            command: String::from_utf8_lossy(&stat.command).into_owned(),
            executable: executable.map(|path| String::from_utf8_lossy(&path).into_owned()),
            uid,
            user: uid.and_then(|uid| self.users.name(uid)).map(str::to_owned),
            container: None,
            netns: None,
        })
    }
}

impl Default for Painter {
    fn default() -> Self {
        Self::new()
    }
}

/// The second number of `Uid:` in /proc/PID/status. The directory's owner is another one for a process that may not be
/// dumped.
fn effective_user(process: &ProcessDir) -> Option<u32> {
    let mut status = Vec::new();
    process.read("status", &mut status).ok()?;
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}
