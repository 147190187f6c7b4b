//! Paths of cgroups by their ids, of version 2: an id is the inode number of the cgroup's directory.

use std::{ffi::CStr, mem::MaybeUninit};

use hashbrown::HashMap;
use rustix::{
    fd::OwnedFd,
    fs::{FileType, Mode, OFlags, RawDir, fstat, openat},
    io::Result,
};

/// So many paths are remembered, those of cgroups that are gone too; then all are forgotten.
const REMEMBERED: usize = 1 << 16;
/// Deeper than any that systemd or a container runtime makes.
const DEPTH: usize = 32;

/// The cgroups that were seen.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    paths: HashMap<u64, Vec<u8>>,
    /// The directory that all others are below; `None` where there is none to be had.
    root: Option<OwnedFd>,
}

impl Cgroups {
    /// The path of a cgroup, of those that were seen.
    pub(super) fn path(&self, id: u64) -> Option<&[u8]> {
        self.paths.get(&id).map(Vec::as_slice)
    }

    /// Those below a directory.
    pub(super) fn below(root: Option<OwnedFd>) -> Self {
        Self { paths: HashMap::new(), root }
    }

    /// Looks at all that there are now.
    pub(super) fn walk(&mut self) {
        let Self { paths, root: Some(root) } = self else { return };
        if paths.len() > REMEMBERED {
            paths.clear();
        }
        // Opened anew: what is read from the other goes on where it ended.
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(root) = openat(&*root, ".", flags, Mode::empty()) {
            if let Ok(stat) = fstat(&root) {
                paths.insert(stat.st_ino, b"/".to_vec());
            }
            // One that goes away meanwhile is of no more interest.
            let _ = walk(&root, &mut Vec::new(), 0, paths);
        }
    }
}

fn walk(dir: &OwnedFd, path: &mut Vec<u8>, depth: usize, paths: &mut HashMap<u64, Vec<u8>>) -> Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let length = path.len();
        path.push(b'/');
        path.extend_from_slice(name.to_bytes());
        paths.insert(entry.ino(), path.clone());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if depth < DEPTH
            && let Ok(inner) = openat(dir, name, flags, Mode::empty())
        {
            let _ = walk(&inner, path, depth + 1, paths);
        }
        path.truncate(length);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::MetadataExt as _};

    use super::*;

    #[test]
    fn ids_are_inodes_and_paths_begin_at_the_root() {
        let top = std::env::temp_dir().join(format!("flowtally-cgroups-{}", std::process::id()));
        let inner = top.join("system.slice/ssh.service");
        fs::create_dir_all(&inner).unwrap();
        let mut cgroups = Cgroups::below(Some(fs::File::open(&top).unwrap().into()));
        assert_eq!(cgroups.path(fs::metadata(&top).unwrap().ino()), None);
        cgroups.walk();
        assert_eq!(cgroups.path(fs::metadata(&top).unwrap().ino()), Some(&b"/"[..]));
        let service = fs::metadata(&inner).unwrap().ino();
        assert_eq!(cgroups.path(service), Some(&b"/system.slice/ssh.service"[..]));
        fs::remove_dir(&inner).unwrap();
        cgroups.walk();
        assert_eq!(cgroups.path(service), Some(&b"/system.slice/ssh.service"[..]));
        fs::remove_dir_all(&top).unwrap();
    }
}
