//! How the log is doing, for whoever asks.

use std::{path::PathBuf, time::SystemTime};

use serde::Serialize;

/// How the log is doing. Plain data: a copy of what was at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LogStatus {
    /// The file that is written; `None` where there is none at the moment.
    pub file: Option<PathBuf>,
    /// Bytes in it.
    pub file_bytes: u64,
    /// Bytes written since the start, before compression.
    pub bytes: u64,
    /// Rows and rests written since the start.
    pub rows: u64,
    /// Intervals written since the start, each as often as it has intervals in it.
    pub intervals: u64,
    /// The number of the last interval that was written.
    pub last_interval: u64,
    /// Intervals that wait to be written: in the queue, and those that could not be.
    pub queue: u64,
    /// How many of them could not be written so far, and are carried into the next record.
    pub carried: u64,
    /// Conversations that those are made of.
    pub carried_flows: u64,
    /// When an interval was last written.
    pub last_success: Option<SystemTime>,
    /// Why writing failed the last time, since the last success or before it; `None` where it never did.
    pub last_error: Option<String>,
    /// When that was.
    pub last_failure: Option<SystemTime>,
    /// Whether writing fails at the moment.
    pub is_failing: bool,
    /// How often an interval could not be written.
    pub failures: u64,
    /// Bytes of torn last lines that were cut off at the start.
    pub torn_bytes: u64,
    /// Files that an earlier run had not closed, and this one did.
    pub recovered_files: u64,
    /// Files that were compressed since the start.
    pub compressed_files: u64,
    /// Files that were removed since the start, being too old or too many.
    pub removed_files: u64,
    /// Why compressing or removing files failed the last time.
    pub upkeep_error: Option<String>,
}
