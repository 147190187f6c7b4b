//! A new file that has no name yet, or a temporary one, until it is complete.

use std::{
    ffi::{OsStr, OsString},
    fs::File,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
};

use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    fs::{
        AtFlags, CWD, Mode, OFlags, RenameFlags, fsync, linkat, open, openat, renameat, renameat_with,
        unlinkat,
    },
    io::{Errno, Result, fcntl_dupfd_cloexec},
    rand::{GetRandomFlags, getrandom},
};

use super::{Existing, PRIVATE};
use crate::host::rights;

/// So many temporary names are tried before it is said that there is none.
const TRIES: usize = 16;
/// As much of a name as leaves room for what is added (`NAME_MAX`).
const NAME: usize = 200;

/// A file that is not yet where it belongs. It is gone when the value goes, unless it was placed.
#[derive(Debug)]
pub(super) struct Staged {
    file: File,
    folder: OwnedFd,
    /// Its name for the time being, where it has to have one.
    temporary: Option<OsString>,
}

/// Makes a file without a name; `None` on a file system that knows none such, or with a kernel whose overlay has none.
pub(super) fn without_name(folder: &OwnedFd, mode: Mode) -> Result<Option<File>> {
    // Readable too: what cannot be renamed over is copied from it.
    let flags = OFlags::TMPFILE | OFlags::RDWR | OFlags::CLOEXEC;
    match openat(folder, ".", flags, mode) {
        Ok(file) => Ok(Some(file.into())),
        Err(Errno::OPNOTSUPP | Errno::ISDIR | Errno::INVAL | Errno::NOENT) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Staged {
    /// A file from [`without_name`], for a name in this folder.
    pub(super) const fn nameless(file: File, folder: OwnedFd) -> Self {
        Self { file, folder, temporary: None }
    }

    /// Makes a file with a temporary name.
    pub(super) fn temporary(folder: OwnedFd, name: &OsStr, mode: Mode) -> Result<Self> {
        let flags = OFlags::CREATE | OFlags::EXCL | OFlags::RDWR | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let (file, temporary) = try_names(name, |name| openat(&folder, name, flags, mode))?;
        Ok(Self { file: file.into(), folder, temporary: Some(temporary) })
    }

    pub(super) const fn file(&self) -> &File {
        &self.file
    }

    /// Waits until it is on the disk, and gives it its name. On failure it is handed back.
    pub(super) fn place(
        mut self,
        name: &OsStr,
        existing: Existing,
    ) -> std::result::Result<(), (Errno, Self)> {
        let placed = sync(&self.file).and_then(|()| flush(&self.file)).and_then(|()| match existing {
            Existing::Keep => self.link_or_move(name),
            Existing::Replace => self.replace(name),
        });
        if let Err(error) = placed {
            return Err((error, self));
        }
        self.temporary = None;
        // That it is there should outlive the machine's end, too; where a folder cannot be synced, it is there all the same.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let _ = openat(&self.folder, ".", flags, Mode::empty()).and_then(fsync);
        Ok(())
    }

    /// Where nothing has the name.
    fn link_or_move(&self, name: &OsStr) -> Result<()> {
        let Self { folder, temporary, .. } = self;
        let Some(temporary) = temporary else { return self.link(name) };
        match renameat_with(folder, temporary, folder, name, RenameFlags::NOREPLACE) {
            Err(Errno::INVAL | Errno::NOSYS | Errno::OPNOTSUPP) => {
                // A file system that cannot: an empty file of this process's own keeps the name.
                let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
                openat(folder, name, flags, PRIVATE)?;
                let moved = renameat(folder, temporary, folder, name);
                if moved.is_err() {
                    let _: Result<()> = unlinkat(folder, name, AtFlags::empty());
                }
                moved
            }
            result => result,
        }
    }

    /// Whatever has the name.
    fn replace(&mut self, name: &OsStr) -> Result<()> {
        if self.temporary.is_none() {
            match self.link(name) {
                Err(Errno::EXIST) => {}
                result => return result,
            }
            let ((), temporary) = try_names(name, |name| self.link(name))?;
            self.temporary = Some(temporary);
        }
        let Self { folder, temporary: Some(temporary), .. } = self else { return Ok(()) };
        renameat(&*folder, &*temporary, &*folder, name)
    }

    fn link(&self, name: &OsStr) -> Result<()> {
        // linkat(2): the way that takes no capability.
        linkat(CWD, own_path(&self.file), &self.folder, name, AtFlags::SYMLINK_FOLLOW)
    }
}

impl Drop for Staged {
    fn drop(&mut self) {
        if let Some(temporary) = &self.temporary {
            let _as_user = rights::as_user();
            // It may have been removed by others; then there is nothing to remove.
            let _: Result<()> = unlinkat(&self.folder, temporary, AtFlags::empty());
        }
    }
}

/// Does something with a name that nothing has, beside `name`.
fn try_names<T>(name: &OsStr, make: impl Fn(&OsStr) -> Result<T>) -> Result<(T, OsString)> {
    for _ in 0..TRIES {
        let mut number = [0; 8];
        getrandom(&mut number, GetRandomFlags::empty())?;
        let name = &name.as_bytes()[..name.len().min(NAME)];
        let number = format!(".{:016x}", u64::from_ne_bytes(number));
        let temporary = OsString::from_vec([b".", name, number.as_bytes()].concat());
        match make(&temporary) {
            Ok(result) => return Ok((result, temporary)),
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::EXIST)
}

/// Waits until a file is on the disk. What has no disk behind it has nothing to wait for.
pub(super) fn sync(file: &File) -> Result<()> {
    match fsync(file) {
        Err(Errno::INVAL | Errno::ROFS | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        result => result,
    }
}

/// What close(2) would say: some file systems have errors for it alone.
pub(super) fn flush(file: &File) -> Result<()> {
    let again = fcntl_dupfd_cloexec(file, 0)?;
    nix::unistd::close(again).map_err(|error| Errno::from_raw_os_error(error as i32))
}

/// The same file, opened for reading.
pub(super) fn readable(file: &File) -> Result<File> {
    open(own_path(file), OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty()).map(File::from)
}

fn own_path(file: &File) -> String {
    format!("/proc/self/fd/{}", file.as_raw_fd())
}
