//! `+d` and `+D`: everything in a directory, or below it, in the order of a walk depth first.

use std::time::Duration;

use hashbrown::HashSet;
use rustix::{
    fd::OwnedFd,
    fs::{CWD, Dir, Mode, OFlags, openat},
};

use super::{
    patience::patiently,
    stat::{self, FileStat},
};

/// Where a walk goes beyond its directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cross {
    /// On to other file systems.
    pub(super) mounts: bool,
    /// Through symbolic links.
    pub(super) links: bool,
}

/// An entry: its name, what it is, and whether a link leads to that.
type DirectoryEntry = (Vec<u8>, FileStat, bool);

/// Hands every entry to `each`, with its path. A directory for which `patience` gives a time is given up after it, and ends the
/// walk: it is returned.
pub(super) fn walk(
    path: &[u8],
    root: &FileStat,
    deep: bool,
    cross: Cross,
    patience: &dyn Fn(&[u8]) -> Option<Duration>,
    each: &mut impl FnMut(Vec<u8>, &FileStat),
) -> Option<Vec<u8>> {
    // A link may lead back to where the walk has been.
    let mut seen = HashSet::new();
    seen.insert((root.device, root.inode));
    let mut stack = vec![path.to_vec()];
    while let Some(directory) = stack.pop() {
        let listed = match patience(&directory) {
            None => list(&directory, cross.links),
            Some(time) => {
                let path = directory.clone();
                match patiently(time, move || list(&path, cross.links)) {
                    Some(listed) => listed,
                    None => return Some(directory),
                }
            }
        };
        for (name, stat, linked) in listed {
            if stat.device != root.device && !cross.mounts {
                continue;
            }
            // Of very many paths each is kept: none has more room than it needs.
            let mut path = Vec::with_capacity(directory.len() + 1 + name.len());
            path.extend_from_slice(&directory);
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(&name);
            if deep && stat.is_dir() {
                let new = seen.insert((stat.device, stat.inode));
                if new || !linked {
                    stack.push(path.clone());
                }
            }
            each(path, &stat);
        }
    }
    None
}

/// What is in a directory; nothing if it cannot be read. Symbolic links are left out, or are what they lead to.
fn list(directory: &[u8], links: bool) -> Vec<DirectoryEntry> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
    let Ok(dir) = openat(CWD, directory, flags, Mode::empty()) else { return Vec::new() };
    let mut listed = Vec::new();
    entries(&dir, |name| {
        let Ok(stat) = stat::entry(&dir, name) else { return };
        if !stat.is_link() {
            listed.push((name.to_bytes().to_vec(), stat, false));
        } else if links && let Ok(stat) = stat::follow(&dir, name, false) {
            listed.push((name.to_bytes().to_vec(), stat, true));
        }
    });
    listed
}

fn entries(dir: &OwnedFd, mut each: impl FnMut(&std::ffi::CStr)) {
    let Ok(entries) = Dir::read_from(dir) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        if name != c"." && name != c".." {
            each(name);
        }
    }
}
