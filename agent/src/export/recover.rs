//! What earlier runs left in the folder: files that were never closed, and the number that the next interval has.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufRead, BufReader, Read as _, Seek as _, SeekFrom, Write as _},
    path::Path,
    time::SystemTime,
};

use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};

use super::{
    FileDoor,
    file::sync_folder,
    folder::list,
    thread::{LogError, LogThread},
    upkeep::Upkeep,
};
use crate::{
    format::Safe,
    log::{
        EndReason, LogBlock, LogEnd, LogIdentity, end_line,
        files::{LogFileName, host_in_names},
        tail::{TailScan, mend, read_line},
    },
};

/// Bytes that are read at once.
const BLOCK: usize = 256 * 1024;
/// Files whose last number is looked for, of the newest by name and the newest by time: a clock that was set back makes them differ.
const NEWEST: usize = 3;

/// What an earlier run left.
#[derive(Debug, Default)]
pub(super) struct Left {
    /// The number of the last interval.
    pub(super) number: u64,
    /// The name of the newest file.
    pub(super) newest: Option<String>,
}

/// What became of a file that was not closed.
#[derive(Debug)]
enum Mended {
    /// It was closed already.
    Closed { number: u64 },
    /// It is now.
    Recovered { number: u64, torn: u64, rests: u64 },
    /// There was no whole line in it, and it is gone.
    Removed { torn: u64 },
    /// Somebody is writing to it.
    InUse,
}

impl LogThread {
    /// Closes what earlier runs left open, and finds the last interval's number.
    pub(super) fn recover(&mut self, door: &dyn FileDoor) -> Result<Left, LogError> {
        let folder = self.settings.folder.clone();
        let host = host_in_names(&self.identity.host);
        let mut files = list(&folder, &host).map_err(LogError::at("reading the folder", &folder))?;
        files.sort_by(|one, other| one.name.order(&other.name));
        let mut left = Left { number: 0, newest: files.last().map(|file| file.name.to_string()) };
        let (plain, compressed): (Vec<_>, Vec<_>) =
            files.iter().partition(|file| file.name.compressed.is_none());
        if let Some(file) = plain.iter().find(|file| is_in_use(&folder.join(file.name.to_string()))) {
            // Two that number intervals in one folder would give the same number twice, and take each other's files for left ones.
            let path = folder.join(file.name.to_string());
            let error = "another agent writes to it: give each a folder of its own (--log)";
            return Err(LogError::at("sharing the folder of", &path)(io::Error::other(error)));
        }
        let _ = self.upkeep.send(Upkeep::CleanUp(host, folder.clone()));
        for file in plain {
            let path = folder.join(file.name.to_string());
            if compressed.iter().any(|other| other.name.with_compressed(None) == file.name) {
                // It was compressed, and the kill came before it was removed.
                let _ = door.below(&folder, &mut || drop(fs::remove_file(&path)));
                continue;
            }
            let mut result = None;
            let (identity, now) = (&self.identity, (self.now)());
            door.below(&folder, &mut || result = Some(close_left(&path, &file.name, identity, now)))
                .map_err(LogError::at("being let into", &folder))?;
            let result = result.unwrap_or_else(|| Err(io::Error::other("nobody was let in")));
            let mended = result.map_err(LogError::at("closing what an earlier run left open,", &path))?;
            left.number = left.number.max(self.tell(&path, &mended));
            if matches!(mended, Mended::Closed { .. } | Mended::Recovered { .. }) {
                let _ = self.upkeep.send(Upkeep::Closed(file.name.clone(), self.settings.clone()));
            }
        }
        let mut compressed: Vec<_> = compressed.into_iter().rev().collect();
        let by_name: Vec<_> = compressed.iter().take(NEWEST).copied().collect();
        compressed.sort_by_key(|file| std::cmp::Reverse(file.modified));
        for files in [by_name, compressed.into_iter().take(NEWEST).collect()] {
            // A file that cannot be read does not keep the log from being written: the one before it is asked.
            let number = files.iter().find_map(|file| last_number(&folder, &file.name).ok().flatten());
            left.number = left.number.max(number.unwrap_or(0));
        }
        Ok(left)
    }

    /// Says what was found; the result is the last interval's number.
    fn tell(&self, path: &Path, mended: &Mended) -> u64 {
        let path = Safe::os(path);
        let (number, torn, recovered) = match *mended {
            Mended::InUse => return 0,
            Mended::Closed { number } => return number,
            Mended::Removed { torn } => {
                (self.say)(&format!("{path} had no whole line in it: it is removed"));
                (0, torn, false)
            }
            Mended::Recovered { number, torn, rests } => {
                let cut = if torn > 0 {
                    format!("{torn} bytes of a torn last line were cut off")
                } else {
                    "no line is torn".to_owned()
                };
                let rests = if rests > 0 { "; what its last interval lacks is in `other`" } else { "" };
                (self.say)(&format!("{path} was not closed by an earlier run and is now: {cut}{rests}"));
                (number, torn, true)
            }
        };
        let mut status = self.status.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        status.torn_bytes += torn;
        status.recovered_files += u64::from(recovered);
        number
    }
}

/// Whether somebody writes to a file: who does holds a lock on it.
fn is_in_use(path: &Path) -> bool {
    File::open(path)
        .is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK))
}

/// Closes a file that nobody writes to.
fn close_left(
    path: &Path,
    name: &LogFileName,
    identity: &LogIdentity,
    now: SystemTime,
) -> io::Result<Mended> {
    let mut file = OpenOptions::new().read(true).write(true).open(path)?;
    if flock(&file, FlockOperation::NonBlockingLockExclusive) == Err(Errno::WOULDBLOCK) {
        return Ok(Mended::InUse);
    }
    let length = file.metadata()?.len();
    let scan = scan(BufReader::with_capacity(BLOCK, &file), name)?;
    let number = read_line(name.format, &scan.last_line).map_or(0, |line| line.interval);
    let torn = length - scan.length;
    if scan.is_closed && torn == 0 {
        return Ok(Mended::Closed { number });
    }
    let Some(block) = scan.block else {
        fs::remove_file(path)?;
        return Ok(Mended::Removed { torn });
    };
    file.set_len(scan.length)?;
    file.seek(SeekFrom::Start(block))?;
    let mut lines = Vec::new();
    file.read_to_end(&mut lines)?;
    let rests = if scan.is_closed { LogBlock::default() } else { mend(name.format, identity, &lines) };
    let mut crc = scan.crc;
    crc.update(&rests.text);
    // The run that is over, whose file it is.
    let of = read_line(name.format, &scan.last_line).unwrap_or_default();
    let identity = LogIdentity { boot: of.boot, run: of.run, ..identity.clone() };
    let end = LogEnd {
        time: now,
        interval: number,
        lines: scan.lines + rests.lines,
        rows: scan.rows + rests.rows,
        crc32: crc.finalize(),
        torn_bytes: torn,
        reason: EndReason::Recovered,
    };
    let text = [rests.text, end_line(name.format, &identity, &end)].concat();
    if let Err(error) = file.write_all(&text) {
        // The next start finds it as it was, without its torn line.
        file.set_len(scan.length)?;
        return Err(error);
    }
    file.sync_all()?;
    if let Some(folder) = path.parent() {
        sync_folder(folder)?;
    }
    Ok(Mended::Recovered { number, torn, rests: rests.rows })
}

fn scan(mut lines: impl BufRead, name: &LogFileName) -> io::Result<TailScan> {
    let mut scan = TailScan::new(name.format);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line)? > 0 && scan.line(&line) {
        line.clear();
    }
    Ok(scan)
}

/// The number of the last interval in a compressed file.
fn last_number(folder: &Path, name: &LogFileName) -> io::Result<Option<u64>> {
    let file = File::open(folder.join(name.to_string()))?;
    let scan = match name.compressed {
        Some("zst") => scan(BufReader::with_capacity(BLOCK, zstd::Decoder::new(file)?), name)?,
        Some(_) => scan(BufReader::with_capacity(BLOCK, flate2::read::MultiGzDecoder::new(file)), name)?,
        None => scan(BufReader::with_capacity(BLOCK, file), name)?,
    };
    Ok(read_line(name.format, &scan.last_line).map(|line| line.interval))
}
