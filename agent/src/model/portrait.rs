//! A process as it is shown to people: who it is, who started it, and what it has open in short.

use super::{held::Findings, owner::Owner};
use crate::format::Name;

/// A process and what it has open.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// The process.
    pub owner: Owner,
    /// Its arguments, as /proc/PID/cmdline has them.
    pub arguments: Vec<Name>,
    /// Its parent, that one's parent, and so on.
    pub parents: Vec<Parent>,
    /// What it has open; `None` where that may not be read.
    pub files: Option<OpenFiles>,
}

/// A process that started another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its PID.
    pub pid: u32,
    /// The kernel's name of it.
    pub command: Name,
}

/// Open files in short.
#[derive(Clone, Debug, Default)]
pub struct OpenFiles {
    /// Descriptors of each type, most first.
    pub counts: Vec<(&'static str, usize)>,
    /// Logs that are being written, by descriptor.
    pub logs: Vec<OpenLog>,
    /// What was seen of files that are deleted and still held.
    pub held: Findings,
}

impl OpenFiles {
    /// All descriptors.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// A log that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenLog {
    /// The descriptor.
    pub fd: u32,
    /// Its name.
    pub path: Vec<u8>,
    /// Its length in bytes.
    pub size: u64,
}
