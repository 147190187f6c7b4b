//! The thread that looks after closed files, at low priority: it compresses them, and removes those that are too old or too many.

use std::{
    fs::{self, File, FileTimes, OpenOptions},
    io::{self, BufReader, Write as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError, mpsc},
};

use rustix::process::setpriority_process;

use super::{
    FileDoor, LogClock, Say,
    file::{partial, sync_folder},
    folder::{list, remove_partial},
    queue::UpkeepEnd,
    status::LogStatus,
};
use crate::{
    format::Safe,
    log::{
        Compression, LogSettings,
        files::{LogFileName, expired},
    },
};

/// The lowest there is.
const PRIORITY: i32 = 19;

/// Something to do.
#[derive(Debug)]
pub(super) enum Upkeep {
    /// What a killed run left of compressed files of this host in this folder goes.
    CleanUp(String, PathBuf),
    /// A file is closed.
    Closed(LogFileName, LogSettings),
    /// Old files are to be looked for; one is being written.
    Expire(Option<LogFileName>, LogSettings),
}

/// The thread that looks after closed files.
pub struct UpkeepThread {
    pub(super) work: mpsc::Receiver<Upkeep>,
    pub(super) status: Arc<Mutex<LogStatus>>,
    pub(super) host: String,
    pub(super) now: LogClock,
    pub(super) say: Say,
    pub(super) end: UpkeepEnd,
}

impl UpkeepThread {
    /// Works until the thread that writes is gone, and what it left is done.
    pub fn run(self, door: &dyn FileDoor) {
        // Of this thread alone, and those that it starts. Without it the work is done all the same.
        let _ = setpriority_process(None, PRIORITY);
        // Told when all else is over.
        let Self { work: queue, status, host, now, say, end: _end } = self;
        let step = Step { status: &status, host: &host, now: &now };
        let mut is_failing = false;
        while let Ok(work) = queue.recv() {
            let folder = match &work {
                Upkeep::CleanUp(_, folder) => folder.clone(),
                Upkeep::Closed(_, settings) | Upkeep::Expire(_, settings) => settings.folder.clone(),
            };
            let mut result = Ok(());
            let entered = door.below(&folder, &mut || result = step.work(&work, &folder));
            let result = entered.and(result);
            let mut status = status.lock().unwrap_or_else(PoisonError::into_inner);
            match result {
                Ok(()) => is_failing = false,
                Err(error) => {
                    let text = format!("looking after closed files in {}: {error}", Safe::os(&folder));
                    if !std::mem::replace(&mut is_failing, true) {
                        say(&text);
                    }
                    status.upkeep_error = Some(text);
                }
            }
        }
    }
}

/// One thing to do.
#[derive(Clone, Copy)]
struct Step<'a> {
    status: &'a Mutex<LogStatus>,
    host: &'a str,
    now: &'a LogClock,
}

impl Step<'_> {
    fn work(&self, work: &Upkeep, folder: &Path) -> io::Result<()> {
        match work {
            Upkeep::CleanUp(host, _) => remove_partial(folder, host),
            Upkeep::Closed(name, settings) => {
                let done = compress(folder, name, settings.compress)?;
                self.count(|status| status.compressed_files += u64::from(done));
                Ok(())
            }
            Upkeep::Expire(current, settings) => {
                let files = list(folder, self.host)?;
                for name in expired(settings, &files, current.as_ref(), (self.now)()) {
                    match fs::remove_file(folder.join(name.to_string())) {
                        Ok(()) => self.count(|status| status.removed_files += 1),
                        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                        Err(error) => return Err(error),
                    }
                }
                Ok(())
            }
        }
    }

    fn count(&self, change: impl FnOnce(&mut LogStatus)) {
        change(&mut self.status.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Compresses a closed file. The compressed one appears complete under its name, and only then the other one goes. False where
/// there is nothing to do.
fn compress(folder: &Path, name: &LogFileName, how: Compression) -> io::Result<bool> {
    let Some(ending) = how.extension() else { return Ok(false) };
    let from = folder.join(name.to_string());
    let source = match File::open(&from) {
        Ok(source) => source,
        // Somebody took it away, or it was too old.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(error) => return Err(error),
    };
    let target = name.with_compressed(Some(ending));
    let temporary = folder.join(partial(&target));
    let result = compress_into(source, &temporary, how).and_then(|()| {
        fs::rename(&temporary, folder.join(target.to_string()))?;
        // Before the file goes, the disk has the other one.
        sync_folder(folder)?;
        fs::remove_file(&from)
    });
    if result.is_err() {
        // What stays is removed at the next start.
        let _ = fs::remove_file(&temporary);
    }
    result.map(|()| true)
}

fn compress_into(source: File, path: &Path, how: Compression) -> io::Result<()> {
    let metadata = source.metadata()?;
    let target = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path)?;
    // A group that may not be given stays as it is: the file's content is no reason not to have it.
    let _ = fchown(&target, Some(metadata.uid()), Some(metadata.gid()));
    target.set_permissions(fs::Permissions::from_mode(metadata.mode() & 0o7777))?;
    let mut source = BufReader::with_capacity(1 << 18, source);
    match how {
        Compression::None => {}
        Compression::Gzip(level) => {
            let mut encoder = flate2::write::GzEncoder::new(&target, flate2::Compression::new(level.into()));
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?;
        }
        Compression::Zstd(level) => {
            let mut encoder = zstd::Encoder::new(&target, level.into())?;
            encoder.set_pledged_src_size(Some(metadata.len()))?;
            encoder.include_checksum(true)?;
            io::copy(&mut source, &mut encoder)?;
            encoder.finish()?;
        }
    }
    (&target).flush()?;
    // Its age is that of what is in it.
    target.set_times(FileTimes::new().set_modified(metadata.modified()?))?;
    target.sync_all()
}
