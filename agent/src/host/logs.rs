//! The files of a log: found, opened, decompressed and handed on in whole lines, on two threads. What lines mean is
//! [`history`](crate::history)'s business.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Cursor, Read},
    path::{Path, PathBuf},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use flate2::read::MultiGzDecoder;
use thiserror::Error;

use crate::{
    format::Safe,
    history::{
        place::{Chosen, FoundLogFile, LogPlace},
        question::LogQuestion,
        reading::{GoOn, LogReading, ReadingError},
        tally::LogTally,
    },
};

pub mod records;

/// Lines are handed on in blocks of about this many bytes: small enough for the cache of a core.
const BLOCK: usize = 256 * 1024;
/// Blocks that are read ahead.
const AHEAD: usize = 4;
/// The longest line that is waited for: what is longer is another kind of file.
const LONGEST: usize = 64 << 20;
/// Threads that read: more would wait for the disk or for memory.
const THREADS: usize = 2;

/// A log that cannot be read.
#[derive(Debug, Error)]
pub enum LogsError {
    /// What was named is not there, or may not be read.
    #[error("reading the log {path}: {error}{hint}", path = Safe::os(.path))]
    Read {
        /// What was named.
        path: PathBuf,
        /// Why.
        error: io::Error,
        /// What to do.
        hint: &'static str,
    },
    /// There is no log where one was looked for.
    #[error("no file of a log is in {path}: name its files or folder, or start one with `flowtally agent`", path = Safe::os(.0))]
    Empty(PathBuf),
    /// A file does not say what it should.
    #[error("{path}: {error}", path = Safe::os(.path))]
    Reading {
        /// Which.
        path: PathBuf,
        /// What is wrong.
        error: ReadingError,
    },
}

impl LogsError {
    fn read(path: &Path, error: io::Error) -> Self {
        let hint = match error.kind() {
            io::ErrorKind::PermissionDenied => " (run as root, or as a member of the log's group)",
            io::ErrorKind::NotFound => {
                " (`flowtally agent` writes a log where its configuration says; name its files or its folder)"
            }
            _ => "",
        };
        Self::Read { path: path.to_owned(), error, hint }
    }
}

/// The files that were named, and those in folders that were named.
///
/// # Errors
/// What is not there, or may not be listed; a folder without a log.
pub fn list(paths: &[PathBuf]) -> Result<Vec<FoundLogFile>, LogsError> {
    let mut files = Vec::new();
    for path in paths {
        let kind = fs::metadata(path).map_err(|error| LogsError::read(path, error))?;
        if !kind.is_dir() {
            let place = path.file_name().and_then(|name| name.to_str()).and_then(LogPlace::parse);
            files.push(FoundLogFile { path: path.clone(), place });
            continue;
        }
        let before = files.len();
        for entry in fs::read_dir(path).map_err(|error| LogsError::read(path, error))? {
            let name: OsString = entry.map_err(|error| LogsError::read(path, error))?.file_name();
            // What else is in the folder is not the log's.
            if let Some(place) = name.to_str().and_then(LogPlace::parse) {
                files.push(FoundLogFile { path: path.join(&name), place: Some(place) });
            }
        }
        if files.len() == before {
            return Err(LogsError::Empty(path.clone()));
        }
    }
    Ok(files)
}

/// Reads files, and adds up what they say. None but those that were chosen is opened.
///
/// # Errors
/// A file that is not there, may not be read, or is no log; a log that does not hold what was asked.
pub fn read(chosen: &Chosen, question: &LogQuestion) -> Result<LogTally, LogsError> {
    let files = &chosen.files[..];
    let mut tally = LogTally::new(question);
    if let [file] = files {
        // One thread decompresses, the other one reads.
        ahead(file, question, &mut tally)?;
        return Ok(tally);
    }
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(None);
    let work = || {
        let mut tally = LogTally::new(question);
        while let Some(file) = files.get(next.fetch_add(1, Ordering::Relaxed)) {
            if let Err(error) = alone(file, question, &mut tally) {
                // Nobody needs the rest any more.
                next.store(files.len(), Ordering::Relaxed);
                if let Ok(mut failed) = failed.lock() {
                    failed.get_or_insert(error);
                }
            }
        }
        tally
    };
    thread::scope(|scope| {
        let threads = THREADS.min(files.len());
        let others: Vec<_> =
            (1..threads).filter_map(|_| thread::Builder::new().spawn_scoped(scope, work).ok()).collect();
        tally.merge(work());
        for other in others {
            match other.join() {
                Ok(part) => tally.merge(part),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
    });
    match failed.into_inner() {
        Ok(None) | Err(_) => Ok(tally),
        Ok(Some(error)) => Err(error),
    }
}

/// The beginning of a file: enough for its first lines.
///
/// # Errors
/// Those of [`read`].
pub fn beginning(file: &FoundLogFile) -> Result<Vec<u8>, LogsError> {
    let mut blocks = Blocks::open(&file.path)?;
    let mut block = Vec::new();
    blocks.next(&mut block).map_err(|error| LogsError::read(&file.path, error))?;
    Ok(block)
}

/// Reads a file on this thread.
fn alone(file: &FoundLogFile, question: &LogQuestion, tally: &mut LogTally) -> Result<(), LogsError> {
    let mut blocks = Blocks::open(&file.path)?;
    let mut reading = LogReading::new(question, tally, &file.path.to_string_lossy());
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 2);
    loop {
        let is_last = match blocks.next(&mut block) {
            Ok(more) => !more,
            Err(error) => return broke_off(reading, error, &file.path),
        };
        if take(&mut reading, &block, is_last)
            .map_err(|error| LogsError::Reading { path: file.path.clone(), error })?
            == GoOn::No
        {
            break;
        }
    }
    reading.finish();
    Ok(())
}

/// The same with a thread that reads ahead.
fn ahead(file: &FoundLogFile, question: &LogQuestion, tally: &mut LogTally) -> Result<(), LogsError> {
    let mut blocks = Blocks::open(&file.path)?;
    let mut reading = LogReading::new(question, tally, &file.path.to_string_lossy());
    let (full, blocks_read) = mpsc::sync_channel::<io::Result<(Vec<u8>, bool)>>(AHEAD);
    let (empty, used) = mpsc::channel::<Vec<u8>>();
    thread::scope(|scope| {
        let read = move || {
            loop {
                let mut block = used.try_recv().unwrap_or_else(|_| Vec::with_capacity(BLOCK + BLOCK / 2));
                let result = blocks.next(&mut block).map(|more| (block, !more));
                let is_last = !matches!(result, Ok((_, false)));
                // Who reads has what was asked for, and no more is wanted.
                if full.send(result).is_err() || is_last {
                    return;
                }
            }
        };
        let reader = thread::Builder::new().spawn_scoped(scope, read);
        reader.map_err(|error| LogsError::read(&file.path, error))?;
        for block in &blocks_read {
            let (block, is_last) = match block {
                Ok(block) => block,
                Err(error) => return broke_off(reading, error, &file.path),
            };
            let go_on = take(&mut reading, &block, is_last);
            if go_on.map_err(|error| LogsError::Reading { path: file.path.clone(), error })? == GoOn::No {
                break;
            }
            // The reader may be gone.
            let _ = empty.send(block);
        }
        drop(blocks_read);
        reading.finish();
        Ok(())
    })
}

/// Hands a block on.
fn take(reading: &mut LogReading<'_>, block: &[u8], is_last: bool) -> Result<GoOn, ReadingError> {
    let lines = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let go_on = reading.lines(&block[..lines])?;
    if go_on == GoOn::Yes && is_last {
        reading.rest(&block[lines..])?;
        return Ok(GoOn::No);
    }
    Ok(go_on)
}

/// A file that cannot be read to its end says so in the answer; one that cannot be read at all is an error.
fn broke_off(mut reading: LogReading<'_>, error: io::Error, path: &Path) -> Result<(), LogsError> {
    if !reading.has_begun() {
        return Err(LogsError::read(path, error));
    }
    reading.broke_off(&error.to_string());
    reading.finish();
    Ok(())
}

/// A file in blocks that end with a line.
struct Blocks {
    source: Box<dyn Read + Send>,
    /// The beginning of a line whose end is in the next block.
    rest: Vec<u8>,
}

impl Blocks {
    fn open(path: &Path) -> Result<Self, LogsError> {
        let (source, _) = decompressed(path).map_err(|error| LogsError::read(path, error))?;
        Ok(Self { source, rest: Vec::new() })
    }

    /// Fills a block. The result is whether there may be another one: the last one ends where the file does.
    fn next(&mut self, block: &mut Vec<u8>) -> io::Result<bool> {
        block.clear();
        block.append(&mut self.rest);
        let mut most = BLOCK.max(block.len() * 2);
        loop {
            let begin = block.len();
            block.resize(most, 0);
            let mut end = begin;
            while end < most {
                match self.source.read(&mut block[end..]) {
                    Ok(0) => {
                        block.truncate(end);
                        return Ok(false);
                    }
                    Ok(read) => end += read,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) => return Err(error),
                }
            }
            if let Some(line) = block[begin..].iter().rposition(|byte| *byte == b'\n') {
                self.rest.extend_from_slice(&block[begin + line + 1..]);
                block.truncate(begin + line + 1);
                return Ok(true);
            }
            if most > LONGEST {
                return Err(io::Error::other("it has a line of more than 64 MiB, which no log has"));
            }
            most *= 2;
        }
    }
}

/// A file's bytes without compression, and the file itself where it has none.
fn decompressed(path: &Path) -> io::Result<(Box<dyn Read + Send>, Option<File>)> {
    let mut file = opened(path)?;
    let mut first = [0; 4];
    let mut length = 0;
    while length < first.len() {
        match file.read(&mut first[length..])? {
            0 => break,
            read => length += read,
        }
    }
    let plain = file.try_clone()?;
    let file = Cursor::new(first).take(length as u64).chain(file);
    Ok(match first {
        // The beginnings that RFC 8878 and RFC 1952 give their files.
        [0x28, 0xb5, 0x2f, 0xfd] => (Box::new(zstd::Decoder::new(file)?), None),
        [0x1f, 0x8b, ..] => (Box::new(MultiGzDecoder::new(io::BufReader::with_capacity(BLOCK, file))), None),
        _ => (Box::new(file), Some(plain)),
    })
}

/// Opens a file; one that the agent compressed meanwhile under its new name.
fn opened(path: &Path) -> io::Result<File> {
    let error = match File::open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => error,
        other => return other,
    };
    for ending in [".zst", ".gz"] {
        let mut name = path.as_os_str().to_owned();
        name.push(ending);
        if let Ok(file) = File::open(&name) {
            return Ok(file);
        }
    }
    Err(error)
}
