//! What a path leads to, link by link: a name in a folder, or what this process has open already.

use std::{
    ffi::{OsStr, OsString},
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
};

use rustix::{
    fd::{AsFd, BorrowedFd, OwnedFd},
    fs::{CWD, FileType, Mode, OFlags, PROC_SUPER_MAGIC, fstat, fstatfs, open, openat, readlinkat},
    io::Errno,
    process::geteuid,
};

use super::{OutputError, failed};

/// As many links as the kernel follows (`MAXSYMLINKS`).
const LINKS: usize = 40;
/// The sticky bit, and the right of everybody to write.
const SHARED: u32 = 0o1002;

/// What a path leads to.
#[derive(Debug)]
pub(super) enum OutputPlace {
    /// A name in a folder. Nothing has it, or something that is no symbolic link.
    Named {
        /// The folder, by `O_PATH`.
        folder: OwnedFd,
        /// The name.
        name: OsString,
        /// Whether the path that was given is a symbolic link.
        linked: bool,
    },
    /// A descriptor of this process, such as /dev/stdout and /dev/fd/3 are.
    Inherited(u32),
    /// A link of /proc that leads to no name, or a file of the kernel's there.
    Kernel,
}

/// Finds out where a path leads, as open(2) would.
pub(super) fn find(path: &Path) -> Result<OutputPlace, OutputError> {
    let mut rest = path.as_os_str().to_owned();
    let mut from: Option<OwnedFd> = None;
    for followed in 0..=LINKS {
        let (folder, name) = split(&rest).ok_or_else(|| OutputError::NoName(path.to_owned()))?;
        let from_folder: BorrowedFd<'_> = from.as_ref().map_or(CWD, AsFd::as_fd);
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let opened = openat(from_folder, folder, flags, Mode::empty());
        let opened = opened.map_err(failed("opening the folder of", path))?;
        if fstatfs(&opened).is_ok_and(|about| about.f_type == PROC_SUPER_MAGIC) {
            let number = name.to_str().and_then(|name| name.parse().ok());
            return Ok(match number.filter(|_| is_own_descriptors(&opened)) {
                Some(number) => OutputPlace::Inherited(number),
                None => OutputPlace::Kernel,
            });
        }
        let linked = followed > 0;
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let entry = match openat(&opened, name, flags, Mode::empty()) {
            Ok(entry) => entry,
            Err(Errno::NOENT) => {
                return Ok(OutputPlace::Named { folder: opened, name: name.to_owned(), linked });
            }
            Err(error) => return Err(failed("looking for", path)(error)),
        };
        let stat = fstat(&entry).map_err(failed("looking for", path))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(OutputPlace::Named { folder: opened, name: name.to_owned(), linked });
        }
        let about = fstat(&opened).map_err(failed("looking for", path))?;
        if is_trap((about.st_mode, about.st_uid), stat.st_uid, geteuid().as_raw()) {
            return Err(OutputError::Trap(path.to_owned()));
        }
        let target = readlinkat(&entry, "", Vec::new()).map_err(failed("following the link", path))?;
        rest = OsString::from_vec(target.into_bytes());
        from = Some(opened);
    }
    Err(failed("following the links of", path)(Errno::LOOP))
}

/// The folder of a path, and the name in it; `None` where the path can only be a folder's.
fn split(path: &OsStr) -> Option<(&Path, &OsStr)> {
    let bytes = path.as_bytes();
    let at = bytes.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    let (folder, name) = bytes.split_at(at);
    if matches!(name, b"" | b"." | b"..") {
        return None;
    }
    let folder = if folder.is_empty() { OsStr::new(".") } else { OsStr::from_bytes(folder) };
    Some((Path::new(folder), OsStr::from_bytes(name)))
}

/// Whether a folder is the one in /proc of this process's, or this thread's, descriptors.
fn is_own_descriptors(folder: &OwnedFd) -> bool {
    let Ok(this) = fstat(folder) else { return false };
    ["/proc/self/fd", "/proc/thread-self/fd"].into_iter().any(|own| {
        // Held open, so that its inode keeps its number.
        let opened = open(own, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
        opened.and_then(fstat).is_ok_and(|own| (own.st_dev, own.st_ino) == (this.st_dev, this.st_ino))
    })
}

/// Whether a link is one that somebody else may have put where everybody may make files, for others to write to what it leads to.
/// The kernel's own rule (`fs.protected_symlinks` in proc(5)), which not every host has switched on.
const fn is_trap((mode, folder): (u32, u32), link: u32, user: u32) -> bool {
    mode & SHARED == SHARED && link != user && link != folder
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_a_folder_and_a_name() {
        for (path, expected) in [
            ("a", Some((".", "a"))),
            ("./a", Some(("./", "a"))),
            ("/a", Some(("/", "a"))),
            ("/b/c/a", Some(("/b/c/", "a"))),
            ("..a", Some((".", "..a"))),
            ("", None),
            ("/", None),
            ("a/", None),
            ("a/.", None),
            ("..", None),
        ] {
            let expected = expected.map(|(folder, name)| (Path::new(folder), OsStr::new(name)));
            assert_eq!(split(OsStr::new(path)), expected, "{path}");
        }
    }

    #[test]
    fn a_link_of_somebody_else_in_a_shared_folder_is_a_trap() {
        for (folder, link, user, trap) in [
            ((0o1777, 0), 1000, 0, true),
            ((0o1777, 0), 1000, 1001, true),
            ((0o1777, 0), 1000, 1000, false),
            ((0o1777, 0), 0, 1000, false),
            ((0o777, 0), 1000, 0, false),
            ((0o1775, 0), 1000, 0, false),
        ] {
            assert_eq!(is_trap(folder, link, user), trap);
        }
    }
}
