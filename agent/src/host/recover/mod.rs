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
    /// Threads of it have different files under this number.
    #[error("descriptor {1} of process {0} is another file in each of several threads; name one: {2}")]
    SeveralTables(u32, u32, String),
    /// What it holds has no content to copy.
    #[error("{0} is {1}, which has no content to copy")]
    NoContent(String, &'static str),
    /// Reading it never comes to an end, or takes away what others are to read.
    #[error(
        "{0} has no end: the kernel hands out what happens, to whoever reads first; read it where it is (dmesg, cat) and stop \
         when you have enough"
    )]
    Endless(String),
    /// It is made when it is read, and there is more than anybody wants.
    #[error("{0} is made up by the kernel when it is read, and gave more than {size}: it is not copied", size = Size(MOST_MADE))]
    TooMuch(String),
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
        let made = self.is_made_when_read();
        let shared = !made && !output.is_stream() && ioctl_ficlone(output.file(), &file).is_ok();
        if shared {
            copy.data = self.held();
        } else if made || size == 0 {
            copy.until_end()?;
        } else {
            copy.all(size)?;
        }
        let data = copy.data;
        let (after, mut warnings) = self.changes(&file, &before, shared)?;
        let mut size = u64::try_from(after.st_size.min(before.st_size)).unwrap_or(0);
        if made || (size == 0 && data > 0) {
            size = data;
            warnings = vec![self.made(&after, data)];
        }
        if !output.is_stream() {
            if after.st_size < before.st_size && !made {
                attributes::set_length(&output, size)?;
            }
            // The program's rights may be enough to read it; what it is given are the user's.
            let lowering = || "lowering the rights of this program to its user's".to_owned();
            let _as_user =
                rights::as_user().map_err(|error| RecoverError::System { doing: lowering(), error })?;
            // Time stamps last: all else changes them.
            let owned = attributes::give_to(&output, &before);
            if !owned {
                warnings.push("the owner could not be kept: that takes root".to_owned());
            }
            attributes::set_mode(&output, &before, owned)?;
            attributes::set_times(
                &output,
                &Timestamps {
                    last_access: time(before.st_atime, before.st_atime_nsec),
                    last_modification: time(after.st_mtime, after.st_mtime_nsec),
                },
            )?;
        }
        progress.check()?;
        output.finish()?;
        Ok(Copied { size, data, shared, warnings })
    }

    /// What is said of a copy of a file without a length.
    fn made(&self, after: &Stat, data: u64) -> String {
        if !self.is_made_when_read() && after.st_size > 0 {
            return format!("it was empty, and grew to {} while it was copied", Size(data));
        }
        format!(
            "its length is not known before it is read, as of files that the kernel makes up (/proc, /sys): the copy has the {} that \
             were read to the end now",
            Size(data)
        )
    }

    /// What became of the file while it was copied, and that in words.
    fn changes(
        &self,
        file: &std::fs::File,
        before: &Stat,
        shared: bool,
    ) -> Result<(Stat, Vec<String>), RecoverError> {
        let mut warnings = Vec::new();
        let after = fstat(file).map_err(RecoverError::system(format_args!("asking for {self}")))?;
        let size = |stat: &Stat| u64::try_from(stat.st_size).unwrap_or(0);
        if after.st_size < before.st_size {
            warnings.push(format!(
                "it was cut from {} to {} while it was copied, and so is the copy",
                Size(size(before)),
                Size(size(&after))
            ));
        } else if after.st_size > before.st_size && !shared {
            let more = size(&after) - size(before);
            warnings
                .push(format!("it grew by {} while it was copied; these are not in the copy", Size(more)));
        } else if (after.st_mtime, after.st_mtime_nsec) != (before.st_mtime, before.st_mtime_nsec) {
            warnings.push(
                "it was written to while it was copied: the copy may be neither the old content nor the new"
                    .to_owned(),
            );
        }
        Ok((after, warnings))
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

/// A copy under way.
struct Copy<'a> {
    source: &'a RecoverSource,
    file: &'a std::fs::File,
    output: &'a Output,
    progress: &'a CopyProgress,
    /// Bytes of data that were copied.
    data: u64,
}

impl Copy<'_> {
    /// Copies what is data, and leaves holes where there are any.
    fn all(&mut self, size: u64) -> Result<(), RecoverError> {
        let Self { source, file, output, progress, .. } = *self;
        let stretches = if output.is_stream() {
            // What is written to from its beginning to its end has no holes.
            progress.total.store(size, Ordering::Relaxed);
            vec![(0, size)]
        } else {
            attributes::set_length(output, size)?;
            let (mut stretches, mut needed, mut at) = (Vec::new(), 0, 0);
            while let Some((start, end)) = source.data(file, at, size)? {
                progress.check()?;
                stretches.push((start, end));
                needed += end - start;
                at = end;
            }
            attributes::check_space(output, needed)?;
            progress.total.store(needed, Ordering::Relaxed);
            stretches
        };
        let mut buffer = vec![0; CHUNK];
        for (start, end) in stretches {
            let mut at = start;
            while at < end {
                let most = usize::try_from(end - at).map_or(CHUNK, |rest| rest.min(CHUNK));
                let read = pread(file, &mut buffer[..most], at)
                    .map_err(RecoverError::system(format_args!("reading {source} at byte {at}")))?;
                if read == 0 {
                    return Ok(());
                }
                self.write(&buffer[..read], at)?;
                at += read as u64;
            }
        }
        Ok(())
    }

    /// Copies what there is to read, whatever length the file says it has.
    fn until_end(&mut self) -> Result<(), RecoverError> {
        let source = self.source;
        let mut buffer = vec![0; CHUNK];
        loop {
            self.progress.check()?;
            match rustix::io::read(self.file, buffer.as_mut_slice()) {
                Ok(0) => return Ok(()),
                Ok(read) => self.write(&buffer[..read], self.data)?,
                Err(Errno::INTR) => {}
                // Who reads on would wait for what is to come.
                Err(Errno::AGAIN) => return Err(RecoverError::Endless(source.to_string())),
                Err(error) => {
                    let reading = format_args!("reading {source} at byte {}", self.data);
                    return Err(RecoverError::system(reading)(error));
                }
            }
            if self.data > MOST_MADE {
                return Err(RecoverError::TooMuch(source.to_string()));
            }
        }
    }

    fn write(&mut self, mut bytes: &[u8], mut at: u64) -> Result<(), RecoverError> {
        self.progress.check()?;
        self.data += bytes.len() as u64;
        while !bytes.is_empty() {
            let file = self.output.file();
            let written = if self.output.is_stream() {
                rustix::io::write(file, bytes)
            } else {
                pwrite(file, bytes, at)
            };
            match written {
                Ok(written) => {
                    at += written as u64;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => self.progress.check()?,
                Err(error) => return Err(attributes::failed(self.output, "writing", error)),
            }
        }
        self.progress.done.store(self.data, Ordering::Relaxed);
        Ok(())
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
