//! The file that is being written: whole blocks, or nothing.

use std::{
    fs::{File, Permissions},
    io::{self, Write as _},
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, fchown},
    path::{Path, PathBuf},
    time::SystemTime,
};

use rustix::{
    fs::{FlockOperation, Mode, OFlags, flock, fsync, open},
    io::Errno,
};

use crate::{
    format::Name,
    log::{
        EndReason, LogBlock, LogEncoder, LogEnd, LogSettings, LogStart, SyncPolicy,
        files::{LogFileName, PARTIAL},
    },
};

/// Most files that are begun in one second before that is given up.
const MOST_NUMBERS: u32 = 10_000;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct LogFile {
    file: File,
    pub(super) path: PathBuf,
    pub(super) name: LogFileName,
    /// When its first interval began, to the second that is nearest: by this it is old.
    pub(super) begun: SystemTime,
    /// What it should be.
    pub(super) length: u64,
    /// Intervals in it.
    pub(super) intervals: u64,
    rows: u64,
    lines: u64,
    crc: crc32fast::Hasher,
    /// Whether there is more in it than should be: what was cut off could not be.
    is_torn: bool,
    /// Which file it is.
    identity: [u64; 2],
}

/// What became of a file while nobody looked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Nothing.
    Kept,
    /// It has another name, or none: another one is begun.
    Gone,
    /// It is empty: it begins again.
    Emptied,
    /// Somebody else wrote to it: it is left as it is, and another one is begun.
    Foreign,
}

impl LogFile {
    /// Makes the file. Nothing is written yet. No interval in it will begin before the first moment; the second is when it was begun,
    /// as far as its age goes.
    pub(super) fn create(
        settings: &LogSettings,
        host: &Name,
        [earliest, begun]: [SystemTime; 2],
    ) -> io::Result<Self> {
        let mut name = LogFileName::new(host, earliest, settings.format);
        let file = loop {
            let path = settings.folder.join(name.to_string());
            let flags = OFlags::WRONLY
                | OFlags::CREATE
                | OFlags::EXCL
                | OFlags::APPEND
                | OFlags::CLOEXEC
                | OFlags::NOFOLLOW;
            let is_taken = [Some("gz"), Some("zst")]
                .into_iter()
                .any(|ending| settings.folder.join(name.with_compressed(ending).to_string()).exists());
            match if is_taken { Err(Errno::EXIST) } else { open(&path, flags, Mode::from_raw_mode(0o600)) } {
                Ok(file) => break File::from(file),
                Err(Errno::EXIST) if name.number < MOST_NUMBERS => name.number += 1,
                Err(error) => return Err(error.into()),
            }
        };
        let path = settings.folder.join(name.to_string());
        let file = Self {
            identity: [0; 2],
            file,
            path,
            name,
            begun,
            length: 0,
            intervals: 0,
            rows: 0,
            lines: 0,
            crc: crc32fast::Hasher::new(),
            is_torn: false,
        };
        file.prepared(settings)
    }

    fn prepared(mut self, settings: &LogSettings) -> io::Result<Self> {
        let prepare = |file: &File| {
            // Whoever finds a file that is locked knows that it is not for him to close. Where there are no locks it is no matter.
            let _ = flock(file, FlockOperation::NonBlockingLockExclusive);
            if let Some(group) = settings.group {
                fchown(file, None, Some(group))?;
            }
            file.set_permissions(Permissions::from_mode(settings.mode))?;
            Ok(())
        };
        // Known first: what is not, is not removed either.
        let metadata = self.file.metadata()?;
        self.identity = [metadata.dev(), metadata.ino()];
        match prepare(&self.file) {
            Ok(()) => Ok(self),
            Err(error) => {
                self.remove();
                Err(error)
            }
        }
    }

    /// Takes away a file in which nothing is.
    pub(super) fn remove(self) {
        // What stays is empty, and is removed at the next start. What has its name now may be somebody else's.
        if self.has_its_name() {
            let _ = std::fs::remove_file(&self.path);
        }
    }

    fn has_its_name(&self) -> bool {
        std::fs::symlink_metadata(&self.path).is_ok_and(|there| [there.dev(), there.ino()] == self.identity)
    }

    /// What became of it since it was last written to.
    pub(super) fn place(&self) -> Place {
        let Ok(own) = self.file.metadata() else { return Place::Gone };
        match own.len() {
            _ if own.nlink() == 0 || !self.has_its_name() => Place::Gone,
            0 if self.length > 0 => Place::Emptied,
            length if length == self.length || self.is_torn && length > self.length => Place::Kept,
            _ => Place::Foreign,
        }
    }

    /// Whether it has no name any more, so that writing to it is writing nowhere.
    pub(super) fn is_removed(&self) -> bool {
        self.file.metadata().is_ok_and(|own| own.nlink() == 0)
    }

    /// Begins again with a file that was emptied.
    pub(super) fn begin_again(&mut self) {
        (self.length, self.intervals, self.rows, self.lines, self.is_torn) = (0, 0, 0, 0, false);
        self.crc = crc32fast::Hasher::new();
    }

    /// Adds the first lines.
    pub(super) fn start(&mut self, encoder: &LogEncoder<'_>, start: &LogStart<'_>) -> io::Result<()> {
        self.append(&encoder.start(start), SyncPolicy::Never)
    }

    /// Adds an interval.
    pub(super) fn add(&mut self, block: &LogBlock, sync: SyncPolicy) -> io::Result<()> {
        self.append(block, sync)?;
        self.intervals += 1;
        Ok(())
    }

    /// Adds whole lines with one write, or nothing.
    fn append(&mut self, block: &LogBlock, sync: SyncPolicy) -> io::Result<()> {
        if self.is_torn {
            self.file.set_len(self.length)?;
            self.is_torn = false;
        }
        let written = self.file.write_all(&block.text).and_then(|()| match sync {
            SyncPolicy::Interval => self.file.sync_data(),
            SyncPolicy::Never | SyncPolicy::Close => Ok(()),
        });
        if let Err(error) = written {
            self.is_torn = self.file.set_len(self.length).is_err();
            return Err(error);
        }
        self.length += block.text.len() as u64;
        self.rows += block.rows;
        self.lines += block.lines;
        self.crc.update(&block.text);
        Ok(())
    }

    /// Closes it with its last line.
    pub(super) fn close(
        &mut self,
        encoder: &LogEncoder<'_>,
        interval: u64,
        time: SystemTime,
        reason: EndReason,
    ) -> io::Result<()> {
        let text = encoder.end(&LogEnd {
            time,
            interval,
            lines: self.lines,
            rows: self.rows,
            crc32: self.crc.clone().finalize(),
            torn_bytes: 0,
            reason,
        });
        self.append(&LogBlock { text, lines: 1, rows: 0 }, SyncPolicy::Never)?;
        if encoder.settings.sync != SyncPolicy::Never {
            self.file.sync_all()?;
        }
        Ok(())
    }
}

/// Makes a folder known to the disk, with what was made or renamed in it.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    let folder = open(folder, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(fsync(folder)?)
}

/// The name of a file while it is not complete.
pub(super) fn partial(name: &LogFileName) -> String {
    format!("{name}{PARTIAL}")
}
