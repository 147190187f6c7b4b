//! What must not be touched, and what must not be waited for.

use std::{sync::mpsc, thread, time::Duration};

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::CWD,
    io::{Errno, Result},
};

use super::{
    mounts::is_below,
    shared::Shared,
    stat::{self, FileStat},
};
use crate::lsof::model::major;

impl Shared<'_> {
    /// Whether a path is on a file system that must not be touched.
    pub(super) fn is_exempt(&self, path: &[u8]) -> bool {
        self.options.exempt.iter().any(|exempt| is_below(path, &exempt.path))
    }

    /// A path, and for which of them it is not touched.
    pub(super) fn exempt_name(&self, path: &[u8]) -> Box<[u8]> {
        let exempt = self.options.exempt.iter().find(|exempt| is_below(path, &exempt.path));
        let (sign, mount) =
            exempt.map_or((&b"-e"[..], &b""[..]), |it| (if it.readlink { b"-e" } else { b"+e" }, &it.path));
        [path, b" (", sign, b" ", mount, b")"].concat().into()
    }

    /// Whether a file is on NFS.
    pub(super) fn is_nfs(&self, on: u64, path: &[u8]) -> bool {
        let device = |numbers: (u64, u64)| crate::lsof::model::device(numbers.0, numbers.1);
        let mounts = self.mounts.all();
        mounts
            .iter()
            .any(|mount| mount.is_nfs() && (device(mount.device) == on || is_below(path, &mount.path)))
    }

    /// Whether a device is that of POSIX message queues.
    pub(super) fn is_queue(&self, on: u64) -> bool {
        // Only file systems without a device of their own may be it.
        if major(on) != 0 {
            return false;
        }
        let look = || stat::follow(CWD, "/dev/mqueue", false).ok().map(|stat| stat.device);
        *self.queue_device.get_or_init(look) == Some(on)
            && self.mounts.all().iter().any(|mount| mount.kind == "mqueue")
    }

    /// Asks about a file through /proc, whose links lead to it without a path to walk. What its server says now is waited for
    /// only as long as `-S` allows; what it said last is known without it.
    pub(super) fn stat_below(
        &self,
        dir: &OwnedFd,
        name: impl rustix::path::Arg + Copy,
        link: &[u8],
    ) -> Result<FileStat> {
        let stat = stat::follow(dir, name, false)?;
        // Local file systems answer at once, and the same.
        if major(stat.device) != 0 || self.options.avoid_blocking || !self.mounts.is_remote(link) {
            return Ok(stat);
        }
        let file = dir.as_fd().try_clone_to_owned();
        let name = name.into_c_str().map(std::borrow::Cow::into_owned);
        let (Ok(file), Ok(name)) = (file, name) else { return Ok(stat) };
        let timeout = self.options.timeout;
        let asked = patiently(timeout, move || stat::follow(&file, name.as_c_str(), true));
        // What it was when it was last asked about is better than nothing.
        Ok(asked.unwrap_or(Ok(stat)).unwrap_or(stat))
    }

    /// Asks about a path.
    pub(super) fn stat_path(&self, dir: impl AsFd, path: &[u8]) -> Result<FileStat> {
        if !self.mounts.is_remote(path) {
            return stat::follow(dir, path, false);
        }
        if self.options.avoid_blocking {
            return Err(Errno::AGAIN);
        }
        let path = path.to_vec();
        patiently(self.options.timeout, move || stat::follow(CWD, path.as_slice(), true))
            .unwrap_or(Err(Errno::TIMEDOUT))
    }
}

/// Does what may never end on a thread that is left alone when it takes too long.
pub(super) fn patiently<T: Send + 'static>(
    patience: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = mpsc::channel();
    let asked = thread::Builder::new().spawn(move || {
        // Nobody waits any more: then nobody needs it.
        drop(answer.send(ask()));
    });
    asked.ok()?;
    answered.recv_timeout(patience).ok()
}
