//! Records of a log, one at a time, wherever they are: for a screen that replays it. No more of the log is in memory than what was read
//! last.

use std::{
    collections::VecDeque,
    io::{self, Read, Seek as _, SeekFrom},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use hashbrown::HashMap;
use thiserror::Error;

use super::{BLOCK, Blocks, LogsError, THREADS, decompressed};
use crate::history::{
    moment::Period,
    place::{Chosen, FoundLogFile},
    reading::{GoOn, ReadingError},
    replay::{
        index::{FileIndexing, FoundRecords, IndexError, IndexedRecord, LogIndex},
        record::{KnownOwners, RecordReading, ReplayedRecord},
    },
};
use crate::log::Granularity;

/// Text that is kept of what was read last, in bytes: going back reads it again.
const KEPT: usize = 64 << 20;
/// A record that is longer is not kept.
const LONGEST_KEPT: usize = KEPT / 4;
/// What is this far ahead in a file is sought and not read over, in bytes.
const FAR: u64 = 1 << 20;

/// A log that cannot be replayed.
#[derive(Debug, Error)]
pub enum RecordsError {
    /// It cannot be read.
    #[error(transparent)]
    Logs(#[from] LogsError),
    /// There is nothing in it to replay.
    #[error(transparent)]
    Index(#[from] IndexError),
}

/// The records of a log.
#[derive(Debug)]
pub struct LogRecords {
    /// Where they are.
    pub index: LogIndex,
    /// The files that were handed in.
    files: Vec<FoundLogFile>,
    open: Option<OpenRecords>,
    owners: KnownOwners,
    kept: HashMap<usize, Arc<[u8]>>,
    order: VecDeque<usize>,
    size: usize,
}

/// A file that is being read.
struct OpenRecords {
    /// Its place in [`LogIndex::files`].
    file: u32,
    source: Box<dyn Read + Send>,
    /// Whether any place of it can be sought.
    can_seek: bool,
    /// How far it has been read, without compression.
    at: u64,
}

impl std::fmt::Debug for OpenRecords {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpenRecords").field("file", &self.file).field("at", &self.at).finish_non_exhaustive()
    }
}

impl LogRecords {
    /// Goes through files, and finds the records of a time. `read` is told of each file that has been gone through: how many have been, of
    /// how many.
    ///
    /// # Errors
    /// A file that is not there, may not be read, or is no log; a log that has nothing to replay.
    pub fn find(
        chosen: Chosen,
        period: &Period,
        read: impl Fn(usize, usize) + Sync,
    ) -> Result<Self, RecordsError> {
        let files = chosen.files;
        let next = AtomicUsize::new(0);
        let all = Mutex::new((Vec::new(), None));
        let work = || {
            loop {
                let place = next.fetch_add(1, Ordering::Relaxed);
                let Some(file) = files.get(place) else { return };
                let found = find_in(file, place, period);
                let Ok(mut all) = all.lock() else { return };
                match found {
                    Ok(found) => {
                        all.0.push((place, found));
                        read(all.0.len(), files.len());
                    }
                    Err(error) => {
                        // Nobody needs the rest any more.
                        next.store(files.len(), Ordering::Relaxed);
                        all.1.get_or_insert(error);
                    }
                }
            }
        };
        thread::scope(|scope| {
            for _ in 1..THREADS.min(files.len()) {
                drop(thread::Builder::new().spawn_scoped(scope, work));
            }
            work();
        });
        let (mut found, failed) = all.into_inner().unwrap_or_default();
        if let Some(error) = failed {
            return Err(error.into());
        }
        found.sort_by_key(|(place, _)| *place);
        let index = LogIndex::new(found.into_iter().map(|(_, found)| found).collect())?;
        Ok(Self {
            index,
            files,
            open: None,
            owners: KnownOwners::default(),
            kept: HashMap::new(),
            order: VecDeque::new(),
            size: 0,
        })
    }

    /// Reads a record by its place in [`LogIndex::records`]. The inner result says in words why a record does not count.
    ///
    /// # Errors
    /// The file cannot be read.
    pub fn read(
        &mut self,
        place: usize,
        rows: Granularity,
    ) -> Result<Result<ReplayedRecord, String>, LogsError> {
        let Some(record) = self.index.records.get(place).copied() else {
            return Ok(Err("it is not there".to_owned()));
        };
        let Some(file) = self.index.files.get(record.file as usize) else {
            return Ok(Err("it is not there".to_owned()));
        };
        let path = self.files[file.place].path.clone();
        let mut reading = RecordReading::new(file, rows, &mut self.owners);
        if let Some(text) = self.kept.get(&place) {
            reading.lines(text);
            return Ok(reading.finish());
        }
        let mut text = Vec::new();
        let result = read_text(&mut self.open, &path, &record, |block, is_last| {
            text.extend_from_slice(block);
            // What is short is handed on at once, and kept.
            if !is_last && record.length > LONGEST_KEPT as u64 {
                let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
                reading.lines(&text[..whole]);
                text.drain(..whole);
            }
        });
        if let Err(error) = result {
            self.open = None;
            return Err(LogsError::read(&path, error));
        }
        reading.lines(&text);
        let finished = reading.finish();
        if record.length <= LONGEST_KEPT as u64 {
            self.keep(place, text);
        }
        Ok(finished)
    }

    fn keep(&mut self, place: usize, text: Vec<u8>) {
        self.size += text.len();
        self.kept.insert(place, text.into());
        self.order.push_back(place);
        while self.size > KEPT {
            let Some(oldest) = self.order.pop_front() else { return };
            self.size -= self.kept.remove(&oldest).map_or(0, |text| text.len());
        }
    }
}

/// Finds the records of a file.
fn find_in(file: &FoundLogFile, place: usize, period: &Period) -> Result<FoundRecords, LogsError> {
    let mut blocks = Blocks::open(&file.path)?;
    let mut indexing = FileIndexing::new(period, place);
    let mut block = Vec::with_capacity(BLOCK + BLOCK / 2);
    let reading = |error: ReadingError| LogsError::Reading { path: file.path.clone(), error };
    loop {
        let more = match blocks.next(&mut block) {
            Ok(more) => more,
            // As far as it can be read it is a log.
            Err(_) if indexing.has_begun() => return Ok(indexing.finish()),
            Err(error) => return Err(LogsError::read(&file.path, error)),
        };
        let lines = block.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        if indexing.lines(&block[..lines]).map_err(reading)? == GoOn::No {
            break;
        }
        if !more {
            indexing.rest(&block[lines..]).map_err(reading)?;
            break;
        }
    }
    Ok(indexing.finish())
}

/// Reads the text of a record in blocks, and says of each whether it is the last one.
fn read_text(
    open: &mut Option<OpenRecords>,
    path: &std::path::Path,
    record: &IndexedRecord,
    mut each: impl FnMut(&[u8], bool),
) -> io::Result<()> {
    let serves = |log: &OpenRecords| {
        log.file == record.file && log.at <= record.offset && !(log.can_seek && record.offset - log.at > FAR)
    };
    let mut log = match open.take().filter(serves) {
        Some(log) => log,
        None => match decompressed(path)? {
            (_, Some(mut plain)) => {
                let at = plain.seek(SeekFrom::Start(record.offset))?;
                OpenRecords { file: record.file, source: Box::new(plain), can_seek: true, at }
            }
            (source, None) => OpenRecords { file: record.file, source, can_seek: false, at: 0 },
        },
    };
    let over = io::copy(&mut (&mut log.source).take(record.offset - log.at), &mut io::sink())?;
    log.at += over;
    let mut block = vec![0; BLOCK];
    let mut left = record.length;
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(usize::MAX).min(BLOCK);
        log.source.read_exact(&mut block[..most])?;
        left -= most as u64;
        log.at += most as u64;
        each(&block[..most], left == 0);
    }
    *open = Some(log);
    Ok(())
}
