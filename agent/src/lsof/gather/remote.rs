//! What must not be touched, and what must not be waited for.

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::CWD,
    io::{Errno, Result},
};

use super::{
    mounts::{is_below, queue_devices_elsewhere},
    patience::patiently,
    shared::Shared,
    stat::{self, FileStat},
};
use crate::lsof::model::{OpenFile, major};

impl Shared<'_> {
    /// Whether a path is on a file system that must not be touched.
    pub(super) fn is_exempt(&self, path: &[u8]) -> bool {
        self.options.exempt.iter().any(|exempt| is_below(path, &exempt.path))
    }

    /// Names a file that is not touched, and says for which file system.
    pub(super) fn name_exempt(&self, path: &[u8], file: &mut OpenFile) {
        let exempt = self.options.exempt.iter().find(|exempt| is_below(path, &exempt.path));
        let (sign, mount) =
            exempt.map_or((&b"-e"[..], &b""[..]), |it| (if it.readlink { b"-e" } else { b"+e" }, &it.path));
        file.device = exempt.and_then(|exempt| exempt.device).or(file.device);
        file.name = path.into();
        file.note = Some([b"(", sign, b" ", mount, b")"].concat().into());
    }

    /// Whether a file is on NFS.
    pub(super) fn is_nfs(&self, on: u64, path: &[u8]) -> bool {
        let device = |numbers: (u64, u64)| crate::lsof::model::device(numbers.0, numbers.1);
        let mounts = self.mounts.all();
        mounts
            .iter()
            .any(|mount| mount.is_nfs() && (device(mount.device) == on || is_below(path, &mount.path)))
    }

    /// Whether a regular file is a POSIX message queue: on a file system of theirs, wherever that is mounted.
    pub(super) fn is_queue(&self, stat: &FileStat) -> bool {
        /// So long is what reading one gives (`ipc/mqueue.c`, `FILENT_SIZE`).
        const LENGTH: u64 = 80;
        // Only file systems without a device of their own may be it; and other mount namespaces are not read for nothing.
        if major(stat.device) != 0 || stat.size != LENGTH {
            return false;
        }
        self.mounts.has_queues(stat.device)
            || self.queue_devices.get_or_init(queue_devices_elsewhere).contains(&stat.device)
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
