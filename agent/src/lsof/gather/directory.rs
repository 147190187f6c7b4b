//! `+d` and `+D`: everything in a directory, or below it, in the order of a walk depth first.

use hashbrown::HashSet;
use rustix::{
    fd::OwnedFd,
    fs::{CWD, Dir, Mode, OFlags, openat},
};

use super::stat::{self, Stat};

/// Where a walk goes beyond its directory.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cross {
    /// On to other file systems.
    pub(super) mounts: bool,
    /// Through symbolic links.
    pub(super) links: bool,
}

/// Hands every entry to `each`, with its path.
pub(super) fn walk(
    path: &[u8],
    root: &Stat,
    deep: bool,
    cross: Cross,
    each: &mut impl FnMut(Vec<u8>, &Stat),
) {
    // A link may lead back to where the walk has been.
    let mut seen = HashSet::new();
    seen.insert((root.device, root.inode));
    let mut stack = vec![path.to_vec()];
    while let Some(directory) = stack.pop() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::NONBLOCK;
        let Ok(dir) = openat(CWD, directory.as_slice(), flags, Mode::empty()) else { continue };
        let mut below = Vec::new();
        entries(&dir, |name| {
            let Ok(mut stat) = stat::entry(&dir, name) else { return };
            let linked = stat.is_link();
            if linked {
                if !cross.links {
                    return;
                }
                let Ok(target) = stat::follow(&dir, name, false) else { return };
                stat = target;
            }
            if stat.device != root.device && !cross.mounts {
                return;
            }
            let mut path = directory.clone();
            if path.last() != Some(&b'/') {
                path.push(b'/');
            }
            path.extend_from_slice(name.to_bytes());
            if deep && stat.is_dir() {
                let new = seen.insert((stat.device, stat.inode));
                if new || !linked {
                    below.push(path.clone());
                }
            }
            // What a link leads to is walked, but it is no entry of its own.
            if !(linked && stat.is_dir()) {
                each(path, &stat);
            }
        });
        stack.append(&mut below);
    }
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
