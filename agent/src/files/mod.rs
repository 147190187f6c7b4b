//! Files that were deleted and are still open: which there are, who holds them and what they cost, as text and JSON.
//!
//! `sightings -> Deleted -> { text, json }`. Pure: what /proc said is handed in ([`crate::host::held`] reads it).

mod deleted;
mod json;
mod name;
mod size;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, BufWriter, Write};

use clap::ValueEnum;

pub(crate) use self::json::ProcessView;
pub use self::{
    deleted::{
        Access, Deleted, Facts, File, FileId, Findings, Hold, Holder, How, Kind, Process, Sighting, Storage,
        Sum,
    },
    handle::Handle,
    name::{DELETED, Name},
    size::parse_size,
};

/// What is printed, of the files there are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Request {
    /// Only files that hold at least so many bytes.
    pub min_size: u64,
    /// Processes in place of files.
    pub by: Option<By>,
    /// What comes first.
    pub sort: Sort,
    /// How to print.
    pub format: Format,
}

/// What a line is about, other than a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum By {
    /// What each process holds
    Process,
}

/// What comes first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Sort {
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
pub enum Format {
    /// Tables for people
    #[default]
    Text,
    /// JSON, as docs/deleted.schema.json has it
    Json,
}

/// Prints what is asked for, and flushes. Text is fitted to `width` columns.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, deleted: &Deleted, request: &Request, width: usize) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match request.format {
        Format::Text => text::write(&mut out, deleted, request, width)?,
        Format::Json => json::write(&mut out, deleted, request)?,
    }
    out.flush()
}
