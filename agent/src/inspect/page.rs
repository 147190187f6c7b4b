//! What is printed.

use std::{collections::HashMap, time::SystemTime};

use super::{Matched, Target};
use crate::flow::owner::Owner;

/// The page.
#[derive(Clone, Debug)]
pub struct InspectPage<'a> {
    /// What was asked for.
    pub target: &'a InspectTarget,
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
