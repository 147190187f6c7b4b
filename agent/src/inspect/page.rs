//! What is printed.

use std::{cmp::Reverse, collections::HashMap, time::SystemTime};

use super::{InspectTarget, Matched};
use crate::{
    files::Deleted,
    model::{
        held::Storage,
        portrait::{OpenFiles, Portrait},
    },
};

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
#[derive(Clone, Debug)]
pub(super) struct DeletedLine {
    /// By what, as `flowtally recover --fd` takes it.
    pub fd: String,
    /// Its last name.
    pub path: Vec<u8>,
    /// Whether it takes memory and no disk.
    pub in_memory: bool,
    /// Bytes that it takes; `None` where that may not be asked.
    pub held: Option<u64>,
}

/// Files that are deleted and still held, largest first.
pub(super) fn deleted(files: &OpenFiles) -> Vec<DeletedLine> {
    let deleted = Deleted::new(files.held.clone());
    let mut files: Vec<_> = deleted
        .files
        .iter()
        .filter_map(|file| {
            // What is open is the shortest way to it, and the last.
            let hold = file.holders.first()?.holds.last()?;
            Some(DeletedLine {
                fd: hold.how.to_string(),
                path: file.path.clone(),
                in_memory: file.storage == Storage::Memory,
                held: file.sizes.map(|(_, held)| held),
            })
        })
        .collect();
    files.sort_by_key(|file| Reverse(file.held));
    files
}
