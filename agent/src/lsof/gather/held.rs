//! A descriptor, and who is asked about it: the record, as far as there is one, else /proc.

use std::{cell::OnceCell, ffi::CStr};

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, openat},
};

use super::{
    shared::Shared,
    stat::{self, FileStat},
};
use crate::{
    host::opened::{DescriptorRecord, RecordedMappings, RecordedTable},
    lsof::model::Fd,
};

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Where rows come from.
pub(super) struct FileRowSource<'a> {
    pub(super) pid: u32,
    pub(super) tid: Option<u32>,
    /// /proc/PID, or /proc/PID/task/TID.
    pub(super) dir: &'a OwnedFd,
    /// What is known of its descriptors already; `None` where /proc has to be read.
    pub(super) table: Option<&'a RecordedTable>,
    /// As of descriptors, of mapped files.
    pub(super) mappings: Option<&'a RecordedMappings>,
}

impl FileRowSource<'_> {
    pub(super) fn path(&self, below: &str) -> String {
        match self.tid {
            Some(tid) => format!("/proc/{}/task/{tid}/{below}", self.pid),
            None => format!("/proc/{}/{below}", self.pid),
        }
    }
}

/// A descriptor, and where it is.
pub(super) struct HeldDescriptor<'a> {
    pub(super) source: &'a FileRowSource<'a>,
    /// The directory of descriptors.
    pub(super) fds: &'a DescriptorFolder<'a>,
    /// Its name there.
    pub(super) entry: &'a CStr,
    pub(super) fd: Fd,
    /// What is known of it.
    pub(super) record: Option<&'a DescriptorRecord>,
}

/// The directory of a process's descriptors, opened when it is first needed.
pub(super) struct DescriptorFolder<'a> {
    dir: &'a OwnedFd,
    opened: OnceCell<OwnedFd>,
}

impl<'a> DescriptorFolder<'a> {
    /// Below the directory of a process or a thread.
    pub(super) fn new(dir: &'a OwnedFd) -> Self {
        Self { dir, opened: OnceCell::new() }
    }

    /// The same, opened.
    pub(super) fn opened(dir: &'a OwnedFd, fds: OwnedFd) -> Self {
        Self { dir, opened: OnceCell::from(fds) }
    }

    pub(super) fn get(&self) -> rustix::io::Result<&OwnedFd> {
        if let Some(opened) = self.opened.get() {
            return Ok(opened);
        }
        let opened = openat(self.dir, "fd", DIRECTORY, Mode::empty())?;
        Ok(self.opened.get_or_init(|| opened))
    }
}

impl HeldDescriptor<'_> {
    /// What it is, as the file system says.
    pub(super) fn follow(&self) -> rustix::io::Result<FileStat> {
        match self.record.and_then(|record| record.stat) {
            Some(stat) => Ok(stat.into()),
            None => stat::follow(self.fds.get()?, self.entry, false),
        }
    }

    /// As [`follow`](Self::follow), of what may be on a server.
    pub(super) fn stat(&self, shared: &Shared<'_>, link: &[u8]) -> rustix::io::Result<FileStat> {
        match self.record.and_then(|record| record.stat) {
            Some(stat) => Ok(stat.into()),
            None => shared.stat_below(self.fds.get()?, self.entry, link),
        }
    }

    /// The access letter; a blank when it is closed meanwhile.
    pub(super) fn access(&self) -> u8 {
        match self.record.map(|record| record.access) {
            Some((true, false)) => b'r',
            Some((false, true)) => b'w',
            Some(_) => b'u',
            None => {
                let stat = self.fds.get().and_then(|fds| stat::entry(fds, self.entry));
                stat.map_or(b' ', |stat| stat::access(stat.mode))
            }
        }
    }
}
