//! Files that were deleted and are still open: which there are, who holds them and what they cost, as text and JSON.
//!
//! `sightings -> Deleted -> { text, json }`. Pure: what /proc said is handed in ([`crate::host::held`] reads it).

mod deleted;
mod json;
mod size;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;

pub(crate) use self::json::ProcessView;
pub use self::{
    deleted::{Deleted, DeletedFile, DeletedKind, FileHolder, Sum},
    size::parse_size,
};

/// What is printed, of the files there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct DeletedRequest {
    /// Only files that hold at least so many bytes.
    pub min_size: u64,
    /// Processes in place of files.
    pub by: Option<DeletedBy>,
    /// What comes first.
    pub sort: DeletedSort,
    /// How to print.
    pub format: PageFormat,
}

/// What a line is about, other than a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum DeletedBy {
    /// What each process holds
    Process,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum DeletedSort {
    /// What holds most space
    #[default]
    Held,
    /// What is longest, holes and all
    Size,
    /// The lowest PID
    Pid,
    /// By path (of processes: by command)
    Path,
}

/// How to print.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum PageFormat {
    /// Tables for people
    #[default]
    Text,
    /// JSON; docs/ has a schema for each command
    Json,
}

/// Prints what is asked for, and flushes. Text is fitted to `width` columns.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, deleted: &Deleted, request: &DeletedRequest, width: usize) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match request.format {
        PageFormat::Text => text::write(&mut out, deleted, request, width)?,
        PageFormat::Json => json::write(&mut out, deleted, request)?,
    }
    out.flush()
}
