//! Copies what a process holds to a new file, byte for byte: a deleted file lives only as long as whoever has it open.
//!
//! The file is taken hold of once (`O_PATH`, through the process's own directory) and asked, opened and read through that: neither
//! a PID nor a descriptor's number that is used again can put another file in its place.

mod attributes;
mod source;
#[cfg(test)]
mod tests;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicU64, Ordering},
};

use rustix::{
    fs::{SeekFrom, Stat, Timespec, Timestamps, fstat, ioctl_ficlone, seek},
    io::{Errno, pread, pwrite},
};

pub use self::source::RecoverSource;
use crate::{
    format::{Safe, numbers::Size},
    host::{
        output::{Existing, Output, OutputError, OutputTarget, PRIVATE},
        rights,
    },
    model::held::How,
};

/// What is read at a time: large enough that a system call costs nothing beside it.
const CHUNK: usize = 1 << 20;

/// Most that is copied of a file whose length nobody knows before it is read.
const MOST_MADE: u64 = 1 << 30;

/// Why a file could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// There is no such process.
    #[error("there is no process {0}")]
    NoProcess(u32),
    /// It holds nothing of this name.
    #[error("{0}: `flowtally deleted` lists what processes hold of deleted files")]
    NotHeld(String),
    /// More than one file is meant.
    #[error("process {0} has mapped more than one deleted file; add an address: {1}")]
    Ambiguous(u32, String),
    /// What it holds has no content to copy.
    #[error("{0} is {1}, which has no content to copy")]
    NoContent(String, &'static str),
    /// It may not be read.
    #[error("{0} may not be read by this user: run as root ({1})")]
    NotPermitted(String, &'static str),
    /// The copy cannot be made.
    #[error(transparent)]
    Output(#[from] OutputError),
    /// It does not fit.
    #[error(
        "the file has {} of data, and the file system of {} has {} free: choose another one",
        Size(*.needed), Safe::os(.output), Size(*.free)
    )]
    NoSpace {
        /// Bytes of data.
        needed: u64,
        /// Bytes that are free.
        free: u64,
        /// The output.
        output: PathBuf,
    },
    /// It was told to stop.
    #[error("interrupted; nothing was left behind")]
    Interrupted,
    /// The system refused.
    #[error("{doing}: {error}")]
    System {
        /// What was being done.
        doing: String,
        /// Its words.
        error: std::io::Error,
    },
}

impl RecoverError {
    /// Whether the reader of a pipe went away.
    #[must_use]
    pub fn is_broken_pipe(&self) -> bool {
        match self {
            Self::Output(OutputError::System { error, .. }) | Self::System { error, .. } => {
                error.kind() == std::io::ErrorKind::BrokenPipe
            }
            _ => false,
        }
    }

    fn system(doing: impl fmt::Display) -> impl FnOnce(Errno) -> Self {
        move |error| Self::System { doing: doing.to_string(), error: error.into() }
    }
}

/// How far a copy is; shared with whoever shows it, and stops it.
#[derive(Debug, Default)]
pub struct CopyProgress {
    total: AtomicU64,
    done: AtomicU64,
    stop: AtomicBool,
}

impl CopyProgress {
    /// Bytes of data that were copied, and that there are: 0 until they are known.
    #[must_use]
    pub fn state(&self) -> (u64, u64) {
        (self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }

    /// The copy ends as soon as it can.
    pub fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    fn check(&self) -> Result<(), RecoverError> {
        if self.stop.load(Ordering::Relaxed) { Err(RecoverError::Interrupted) } else { Ok(()) }
    }
}

/// A copy that was made.
#[derive(Debug)]
pub struct Copied {
    /// Length of the copy.
    pub size: u64,
    /// Bytes of it that are data and no hole.
    pub data: u64,
    /// Whether it shares its data with the source, so that it takes no space.
    pub shared: bool,
    /// What is not as it should be, a sentence each.
    pub warnings: Vec<String>,
}

/// A process that may write to a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WritingProcess {
    /// Which.
    pub pid: u32,
    /// The kernel's name of it.
    pub command: crate::format::Name,
    /// By what.
    pub how: How,
}

impl RecoverSource {
    /// Where a copy may go: there must be no file of this name.
    ///
    /// # Errors
    /// When there is one, or none can be made.
    pub fn target(output: &Path) -> Result<OutputTarget, OutputError> {
        OutputTarget::prepare(output, Existing::Keep, PRIVATE)
    }

    /// Copies everything up to the length that the file has now.
    ///
    /// # Errors
    /// When the output has no room, or the system refuses; then there is no output. [`RecoverError::Interrupted`] after
    /// [`CopyProgress::stop`].
    pub fn copy_to(&self, target: OutputTarget, progress: &CopyProgress) -> Result<Copied, RecoverError> {
        let output = target.begin()?;
        let before = *self.stat();
        let size = u64::try_from(before.st_size).unwrap_or(0);
        let file = self.open()?;
        let mut copy = Copy { source: self, file: &file, output: &output, progress, data: 0 };
        // On file systems that can, the copy shares the data: it takes no time, and no room where there may be none left.
        let shared = ioctl_ficlone(target.file(), &file).is_ok();
        let mut data = 0;
        if shared {
            data = self.held();
        } else {
            target.set_length(size)?;
            let mut needed = 0;
            let mut at = 0;
            while let Some((start, end)) = self.data(&file, at, size)? {
                progress.check()?;
                needed += end - start;
                at = end;
            }
            target.check_space(needed)?;
            progress.total.store(needed, Ordering::Relaxed);
            let mut buffer = vec![0; CHUNK];
            at = 0;
            'copy: while let Some((start, end)) = self.data(&file, at, size)? {
                at = start;
                while at < end {
                    progress.check()?;
                    let most = usize::try_from(end - at).map_or(CHUNK, |rest| rest.min(CHUNK));
                    let read = pread(&file, &mut buffer[..most], at)
                        .map_err(RecoverError::system(format_args!("reading {self} at byte {at}")))?;
                    if read == 0 {
                        break 'copy;
                    }
                    target.write(&buffer[..read], at)?;
                    let read = read as u64;
                    at += read;
                    data += read;
                    progress.done.store(data, Ordering::Relaxed);
                }
            }
        }
        let after = fstat(&file).map_err(RecoverError::system(format_args!("asking for {self}")))?;
        if after.st_size < before.st_size {
            let now = u64::try_from(after.st_size).unwrap_or(0);
            target.set_length(now)?;
            warnings.push(format!(
                "it was cut from {} to {} while it was copied, and so is the copy",
                Size(size),
                Size(now)
            ));
        } else if after.st_size > before.st_size && !shared {
            let more = u64::try_from(after.st_size - before.st_size).unwrap_or(0);
            warnings
                .push(format!("it grew by {} while it was copied; these are not in the copy", Size(more)));
        } else if (after.st_mtime, after.st_mtime_nsec) != (before.st_mtime, before.st_mtime_nsec) {
            warnings.push(
                "it was written to while it was copied: the copy may be neither the old content nor the new"
                    .to_owned(),
            );
        }
        // Time stamps last: all else changes them.
        let owned = target.give_to(&before);
        if !owned {
            warnings.push("the owner could not be kept: that takes root".to_owned());
        }
        target.set_mode(&before, owned)?;
        target.set_times(&Timestamps {
            last_access: time(before.st_atime, before.st_atime_nsec),
            last_modification: time(after.st_mtime, after.st_mtime_nsec),
        })?;
        let size = u64::try_from(after.st_size.min(before.st_size)).unwrap_or(0);
        progress.check()?;
        target.finish()?;
        Ok(Copied { size, data, shared, warnings })
    }

    /// The next stretch of data at or behind `at` and before `size`.
    fn data(&self, file: &std::fs::File, at: u64, size: u64) -> Result<Option<(u64, u64)>, RecoverError> {
        if at >= size {
            return Ok(None);
        }
        let asking = |error| RecoverError::system(format_args!("looking for the holes of {self}"))(error);
        let start = match seek(file, SeekFrom::Data(at)) {
            Ok(start) => start,
            // Nothing but a hole up to the end.
            Err(Errno::NXIO) => return Ok(None),
            // A file system that knows no holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => return Ok(Some((at, size))),
            Err(error) => return Err(asking(error)),
        };
        let end = match seek(file, SeekFrom::Hole(start)) {
            Ok(end) => end,
            // It was cut in between.
            Err(Errno::NXIO) => return Ok(None),
            Err(error) => return Err(asking(error)),
        };
        Ok((start < size).then_some((start, end.min(size))))
    }
}

/// A time stamp of stat(2).
fn time(seconds: i64, nanoseconds: impl TryInto<i64>) -> Timespec {
    Timespec { tv_sec: seconds, tv_nsec: nanoseconds.try_into().unwrap_or(0) }
}

impl fmt::Display for RecoverSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.title(), Safe::new(self.link()))
    }
}
