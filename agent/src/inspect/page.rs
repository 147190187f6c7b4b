//! What is printed.

use std::{collections::HashMap, time::SystemTime};

use super::{Matched, Target};
use crate::flow::owner::Owner;

/// The page.
#[derive(Clone, Debug)]
pub struct Page<'a> {
    /// What was asked for.
    pub target: &'a Target,
    /// When measuring started, or where nothing was measured, when the sockets were read.
    pub started: SystemTime,
    /// How long was measured, in seconds; `None` without a measurement.
    pub seconds: Option<f64>,
    /// What was measured.
    pub interfaces: Vec<String>,
    /// Sockets and traffic.
    pub matched: Matched,
    /// The processes among them, by PID; one that has ended is missing.
    pub portraits: HashMap<u32, Portrait>,
    /// What could not be read, a sentence each.
    pub notes: Vec<String>,
}

/// A process and what it has open.
#[derive(Clone, Debug)]
pub struct Portrait {
    /// The process.
    pub owner: Owner,
    /// Its arguments, as /proc/PID/cmdline has them.
    pub arguments: Vec<String>,
    /// Its parent, that one's parent, and so on.
    pub parents: Vec<Parent>,
    /// What it has open; `None` where that may not be read.
    pub files: Option<Files>,
}

/// A process that started another one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parent {
    /// Its PID.
    pub pid: u32,
    /// The kernel's name of it.
    pub command: String,
}

/// Open files in short.
#[derive(Clone, Debug, Default)]
pub struct Files {
    /// Descriptors of each type, most first.
    pub counts: Vec<(&'static str, usize)>,
    /// Logs that are being written, by descriptor.
    pub logs: Vec<LogFile>,
    /// Files that are deleted and still held, largest first.
    pub deleted: Vec<DeletedFile>,
}

impl Files {
    /// All descriptors.
    #[must_use]
    pub fn open(&self) -> usize {
        self.counts.iter().map(|(_, count)| count).sum()
    }
}

/// A log that is being written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogFile {
    /// The descriptor.
    pub fd: u32,
    /// Its name.
    pub path: Vec<u8>,
    /// Its length in bytes.
    pub size: u64,
}

/// A file that is deleted and still held.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedFile {
    /// By what, as `flowtally recover --fd` takes it.
    pub fd: String,
    /// Its last name.
    pub path: Vec<u8>,
    /// Whether it takes memory and no disk.
    pub in_memory: bool,
    /// Bytes that it takes; `None` where that may not be asked.
    pub held: Option<u64>,
}
