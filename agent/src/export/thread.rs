//! The thread that writes the log. What cannot be written is carried into the next interval; nothing else waits for it.

use std::{
    fs::DirBuilder,
    io,
    os::unix::fs::DirBuilderExt as _,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    time::{Duration, SystemTime},
};

use super::{
    FileDoor, LogClock, Say,
    file::{LogFile, Place},
    queue::{FoldQueue, LogWork, Resettled},
    status::LogStatus,
    upkeep::Upkeep,
};
use crate::{
    flow::services::Services,
    format::Safe,
    log::{EndReason, LogEncoder, LogFold, LogIdentity, LogSettings, LogStart, files::is_full},
};

/// What a step of writing was, and why it failed.
#[derive(Debug, thiserror::Error)]
#[error("{doing} {}: {error}", Safe::os(.path))]
pub(super) struct LogError {
    pub(super) doing: &'static str,
    pub(super) path: std::path::PathBuf,
    pub(super) error: io::Error,
}

impl LogError {
    pub(super) fn at<'a>(doing: &'static str, path: &'a Path) -> impl FnOnce(io::Error) -> Self + use<'a> {
        move |error| Self { doing, path: path.to_owned(), error }
    }
}

/// The writing side of the log, to be run on a thread of its own.
pub struct LogThread {
    pub(super) queue: Arc<FoldQueue>,
    pub(super) status: Arc<Mutex<LogStatus>>,
    pub(super) settings: LogSettings,
    pub(super) identity: LogIdentity,
    pub(super) services: Services,
    pub(super) upkeep: mpsc::Sender<Upkeep>,
    pub(super) now: LogClock,
    pub(super) say: Say,
    pub(super) file: Option<LogFile>,
    /// How many files this run has begun.
    pub(super) files: u64,
    /// The name of the file before.
    pub(super) previous: Option<String>,
    /// The number of the last interval that was written.
    pub(super) number: u64,
    /// Whether the folder has been looked through for what an earlier run left.
    pub(super) is_ready: bool,
    /// What could not be written.
    pub(super) carried: Option<Box<LogFold>>,
    /// Whether that was said.
    pub(super) is_failing: bool,
    /// Bytes written since old files were looked for.
    pub(super) since_upkeep: u64,
}

impl LogThread {
    /// Writes until the other side stops. `door` is who lets files be made and removed.
    pub fn run(mut self, door: &dyn FileDoor) {
        let now = (self.now)();
        let opened = self.ready(door).and_then(|()| self.open(door, now));
        self.note(opened);
        loop {
            let LogWork { fold, settings, reopen, stop } = self.queue.work();
            if settings.is_some() || reopen {
                // What is there is written as it was meant.
                self.close(door, EndReason::Reopened);
                if let Some(Resettled { settings, filter }) = settings {
                    self.is_ready &= settings.folder == self.settings.folder;
                    self.settings = settings;
                    self.identity.filter = filter;
                }
                if fold.is_none() && !stop {
                    let now = (self.now)();
                    let opened = self.ready(door).and_then(|()| self.open(door, now));
                    self.note(opened);
                }
            }
            if let Some(fold) = fold {
                self.carry(fold);
            }
            if self.carried.is_some() {
                let written = self.write(door);
                self.note(written);
            }
            if stop {
                break;
            }
        }
        self.close(door, EndReason::Stopped);
        if let Some(lost) = &self.carried {
            let flows = lost.flows();
            (self.say)(&format!("the log's last intervals could not be written: {flows} flows are lost"));
        }
        self.queue.done();
    }

    /// Adds an interval to those that wait.
    fn carry(&mut self, fold: Box<LogFold>) {
        match &mut self.carried {
            Some(carried) => carried.merge(*fold),
            None => self.carried = Some(fold),
        }
    }

    /// Tells how it went: the first failure and the first success after it aloud.
    fn note(&mut self, result: Result<(), LogError>) {
        let now = (self.now)();
        let (carried, flows) =
            self.carried.as_ref().map_or((0, 0), |fold| (fold.carried() + 1, fold.flows() as u64));
        let file = self.file.as_ref().map(|file| (file.path.clone(), file.length));
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
        (status.file, status.file_bytes) = file.map_or((None, 0), |(path, length)| (Some(path), length));
        (status.carried, status.carried_flows) = (carried, flows);
        match result {
            Ok(()) => {
                status.is_failing = false;
                if std::mem::take(&mut self.is_failing) {
                    (self.say)("the log is written again; what was counted meanwhile is in it");
                }
            }
            Err(error) => {
                let text = error.to_string();
                (status.last_failure, status.is_failing) = (Some(now), true);
                status.failures += 1;
                status.last_error = Some(text.clone());
                if !std::mem::replace(&mut self.is_failing, true) {
                    (self.say)(&format!(
                        "the log cannot be written: {text}; counting goes on, and what is counted is written as soon as that is possible"
                    ));
                }
            }
        }
    }

    /// Writes what waits.
    fn write(&mut self, door: &dyn FileDoor) -> Result<(), LogError> {
        let Some(fold) = self.carried.take() else { return Ok(()) };
        let written = self.write_fold(door, &fold);
        if written.is_err() {
            self.carried = Some(fold);
        }
        written
    }

    fn write_fold(&mut self, door: &dyn FileDoor, fold: &LogFold) -> Result<(), LogError> {
        self.ready(door)?;
        self.look_at_place(door)?;
        let number = self.number + fold.carried() + 1;
        let begins = fold.start();
        let encoder = LogEncoder { identity: &self.identity, settings: &self.settings };
        let block = encoder.interval(number, fold, &self.services);
        let size = block.text.len() as u64;
        if let Some(file) = &self.file {
            let is_full = || is_full(&self.settings, file.length, size, file.begun, rounded(begins));
            if file.intervals > 0 && is_full() || file.name.is_after(begins) {
                self.close(door, EndReason::Rotated);
            }
        }
        if self.file.is_none() {
            self.open(door, begins)?;
        }
        let Some(file) = &mut self.file else { return Ok(()) };
        file.add(&block, self.settings.sync).map_err(LogError::at("writing to", &file.path))?;
        self.number = number;
        self.since_upkeep += size;
        let now = (self.now)();
        {
            let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner);
            status.last_success = Some(now);
            status.last_interval = number;
            status.bytes += size;
            status.rows += block.rows;
            status.intervals += fold.carried() + 1;
        }
        if self.settings.keep_size.is_some_and(|most| self.since_upkeep > (most / 64).max(1 << 20)) {
            self.look_for_old();
        }
        Ok(())
    }

    /// What became of the file meanwhile.
    fn look_at_place(&mut self, door: &dyn FileDoor) -> Result<(), LogError> {
        let Some(file) = &mut self.file else { return Ok(()) };
        match file.place() {
            Place::Kept => Ok(()),
            Place::Emptied => {
                file.begin_again();
                self.begin_file()
            }
            Place::Gone if file.is_removed() => {
                self.file = None;
                Ok(())
            }
            Place::Gone => {
                self.end_file(EndReason::Reopened);
                self.file = None;
                Ok(())
            }
            Place::Foreign => {
                (self.say)(&format!(
                    "somebody else wrote to {}: another file is begun",
                    Safe::os(&file.path)
                ));
                self.file = None;
                let now = (self.now)();
                self.open(door, now)
            }
        }
    }

    /// Looks through the folder once, as soon as that is possible.
    fn ready(&mut self, door: &dyn FileDoor) -> Result<(), LogError> {
        let folder = self.settings.folder.clone();
        if !folder.is_dir() {
            make_folder(&folder).map_err(LogError::at("making the folder", &folder))?;
        }
        if self.is_ready {
            return Ok(());
        }
        let found = self.recover(door)?;
        self.number = self.number.max(found.number);
        self.previous = found.newest;
        self.is_ready = true;
        self.look_for_old();
        Ok(())
    }

    /// Begins a file for what is of this moment or later.
    fn open(&mut self, door: &dyn FileDoor, begun: SystemTime) -> Result<(), LogError> {
        let folder = self.settings.folder.clone();
        let Self { settings, identity, .. } = self;
        let mut made = None;
        let begins = [begun, rounded(begun)];
        door.below(&folder, &mut || made = Some(LogFile::create(settings, &identity.host, begins)))
            .map_err(LogError::at("being let into", &folder))?;
        let file = made.unwrap_or_else(|| Err(io::Error::other("nobody was let in")));
        self.file = Some(file.map_err(LogError::at("making a file in", &folder))?);
        self.files += 1;
        let begins = self.begin_file();
        if begins.is_err()
            && let Some(file) = self.file.take()
        {
            self.files -= 1;
            let mut file = Some(file);
            // An empty file that stays is removed at the next start.
            let _ = door.below(&folder, &mut || file.take().into_iter().for_each(LogFile::remove));
        }
        begins
    }

    /// Writes the first lines of the file.
    fn begin_file(&mut self) -> Result<(), LogError> {
        let Self { settings, identity, previous, number, files, now, file: Some(file), .. } = self else {
            return Ok(());
        };
        let start =
            LogStart { time: now(), file: *files, interval: *number + 1, previous: previous.as_deref() };
        let started = file.start(&LogEncoder { identity, settings }, &start);
        started.map_err(LogError::at("writing to", &file.path))
    }

    /// Writes the last line of the file, if that is possible.
    fn end_file(&mut self, reason: EndReason) -> bool {
        let Self { settings, identity, number, now, file: Some(file), .. } = self else { return false };
        let encoder = LogEncoder { identity, settings };
        match file.close(&encoder, *number, now(), reason) {
            Ok(()) => true,
            Err(error) => {
                (self.say)(&format!(
                    "{} could not be closed: {error}; the next start of the agent does it",
                    Safe::os(&file.path)
                ));
                false
            }
        }
    }

    /// Closes the file, and leaves it to those who compress.
    fn close(&mut self, door: &dyn FileDoor, reason: EndReason) {
        let Some(file) = &self.file else { return };
        if file.intervals == 0 {
            // Nobody needs a file without an interval: neither a reader, nor one who counts files.
            let folder = self.settings.folder.clone();
            let mut file = self.file.take();
            self.files -= 1;
            let _ = door.below(&folder, &mut || file.take().into_iter().for_each(LogFile::remove));
            return;
        }
        let is_whole = self.end_file(reason);
        let Some(file) = self.file.take() else { return };
        self.previous = Some(file.name.to_string());
        if is_whole {
            let _ = self.upkeep.send(Upkeep::Closed(file.name, self.settings.clone()));
        }
        self.look_for_old();
    }

    /// Lets files that are too old or too many be removed.
    fn look_for_old(&mut self) {
        self.since_upkeep = 0;
        let current = self.file.as_ref().map(|file| file.name.clone());
        // Where the other thread is gone nothing is removed, which its status says.
        let _ = self.upkeep.send(Upkeep::Expire(current, self.settings.clone()));
    }
}

/// To the second that is nearest: what an interval ends with comes a little early or late.
fn rounded(moment: SystemTime) -> SystemTime {
    let since =
        moment.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() + Duration::from_millis(500);
    SystemTime::UNIX_EPOCH + Duration::from_secs(since.as_secs())
}

/// Makes the folder and those above it; others than the owner and the group may not look into it.
fn make_folder(folder: &Path) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o750).create(folder)
}
