//! What a copy is written to: a new file, which has its name only when it is complete.

use std::{
    ffi::OsString,
    fs::File,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
};

use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    fs::{
        AtFlags, CWD, Mode, OFlags, Stat, Timestamps, fchmod, fchown, fstatvfs, fsync, ftruncate, futimens,
        linkat, open, openat, statat, unlinkat,
    },
    io::{Errno, pwrite},
    process::{Gid, Uid, geteuid},
};

use super::RecoverError;

/// Set-user-id, set-group-id: only for the owner that the file had.
const SET_ID: u32 = 0o6000;
/// All bits of a mode that chmod(2) takes.
const BITS: u32 = 0o7777;

/// A file that is being written.
#[derive(Debug)]
pub(super) struct Target {
    file: File,
    folder: OwnedFd,
    name: OsString,
    path: PathBuf,
    /// It has its name already, for the file system cannot do without; it is removed unless the copy is finished.
    named: bool,
}

impl Target {
    /// Makes a file that has no name yet, or where the file system knows none such, one with its name. There must be nothing of
    /// this name.
    pub(super) fn create(path: &Path) -> Result<Self, RecoverError> {
        let (folder, name) = Self::place(path)?;
        let flags = OFlags::TMPFILE | OFlags::WRONLY | OFlags::CLOEXEC;
        match openat(&folder, ".", flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => {
                Ok(Self { file: File::from(file), folder, name, path: path.to_owned(), named: false })
            }
            // A file system without such files, or a kernel whose overlay has none.
            Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Self::create_named(path),
            Err(error) => Err(RecoverError::system(format_args!("creating {}", path.display()))(error)),
        }
    }

    /// Makes a file that has its name from the beginning.
    pub(super) fn create_named(path: &Path) -> Result<Self, RecoverError> {
        let (folder, name) = Self::place(path)?;
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&folder, &name, flags, Mode::RUSR | Mode::WUSR) {
            Ok(file) => Ok(Self { file: File::from(file), folder, name, path: path.to_owned(), named: true }),
            Err(Errno::EXIST) => Err(RecoverError::Exists(path.to_owned())),
            Err(error) => Err(RecoverError::system(format_args!("creating {}", path.display()))(error)),
        }
    }

    /// The folder, and the name in it, which nothing has.
    fn place(path: &Path) -> Result<(OwnedFd, OsString), RecoverError> {
        let text = path.as_os_str().as_encoded_bytes();
        let name = path.file_name().filter(|_| !text.ends_with(b"/"));
        let name = name.ok_or_else(|| RecoverError::NoName(path.to_owned()))?;
        let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let folder = open(folder, flags, Mode::empty())
            .map_err(RecoverError::system(format_args!("opening the folder {}", folder.display())))?;
        match statat(&folder, name, AtFlags::SYMLINK_NOFOLLOW) {
            Err(Errno::NOENT) => Ok((folder, name.to_owned())),
            Ok(_) => Err(RecoverError::Exists(path.to_owned())),
            Err(error) => Err(RecoverError::system(format_args!("looking for {}", path.display()))(error)),
        }
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Fails when the file system has less room than that.
    pub(super) fn check_space(&self, needed: u64) -> Result<(), RecoverError> {
        let about =
            fstatvfs(&self.file).map_err(|error| self.failed("asking for the free space of", error))?;
        let blocks = if geteuid().is_root() { about.f_bfree } else { about.f_bavail };
        let free = blocks.saturating_mul(about.f_frsize);
        // A tmpfs without a limit says that it has no blocks at all.
        if about.f_blocks > 0 && needed > free {
            return Err(RecoverError::NoSpace { needed, free, output: self.path.clone() });
        }
        Ok(())
    }

    /// Everything that is not written is a hole.
    pub(super) fn set_length(&self, size: u64) -> Result<(), RecoverError> {
        ftruncate(&self.file, size).map_err(|error| self.failed("setting the length of", error))
    }

    pub(super) fn write(&self, mut bytes: &[u8], mut at: u64) -> Result<(), RecoverError> {
        while !bytes.is_empty() {
            match pwrite(&self.file, bytes, at) {
                Ok(written) => {
                    at += written as u64;
                    bytes = &bytes[written..];
                }
                Err(Errno::INTR) => {}
                Err(error) => return Err(self.failed("writing", error)),
            }
        }
        Ok(())
    }

    /// Gives it the owner and group of the source; false where that is not permitted and they are not the same anyway.
    pub(super) fn give_to(&self, source: &Stat) -> bool {
        let (uid, gid) = (Uid::from_raw(source.st_uid), Gid::from_raw(source.st_gid));
        let same = |about: std::fs::Metadata| (about.uid(), about.gid()) == (source.st_uid, source.st_gid);
        fchown(&self.file, Some(uid), Some(gid)).is_ok() || self.file.metadata().is_ok_and(same)
    }

    /// Gives it the mode of the source; without its owner, nothing that makes others run as the owner.
    pub(super) fn set_mode(&self, source: &Stat, owned: bool) -> Result<(), RecoverError> {
        let bits = source.st_mode & if owned { BITS } else { BITS & !SET_ID };
        fchmod(&self.file, Mode::from_raw_mode(bits))
            .map_err(|error| self.failed("setting the mode of", error))
    }

    pub(super) fn set_times(&self, times: &Timestamps) -> Result<(), RecoverError> {
        futimens(&self.file, times).map_err(|error| self.failed("setting the times of", error))
    }

    /// Waits until everything is on the disk, and gives it its name.
    pub(super) fn finish(mut self) -> Result<(), RecoverError> {
        fsync(&self.file).map_err(|error| self.failed("writing", error))?;
        if !self.named {
            // linkat(2): the way that takes no capability.
            let own = format!("/proc/self/fd/{}", self.file.as_raw_fd());
            linkat(CWD, own, &self.folder, &self.name, AtFlags::SYMLINK_FOLLOW).map_err(
                |error| match error {
                    Errno::EXIST => RecoverError::Exists(self.path.clone()),
                    error => self.failed("naming", error),
                },
            )?;
        }
        self.named = false;
        Ok(())
    }

    pub(super) fn failed(&self, doing: &str, error: Errno) -> RecoverError {
        RecoverError::system(format_args!("{doing} {}", self.path.display()))(error)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        if self.named {
            // It may have been removed by others; then there is nothing to remove.
            let _: Result<(), Errno> = unlinkat(&self.folder, &self.name, AtFlags::empty());
        }
    }
}
