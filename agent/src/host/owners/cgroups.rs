//! Paths of cgroups by their ids, of version 2: an id is the inode number of the cgroup's directory.

use std::{ffi::CStr, fs, mem::MaybeUninit, path::PathBuf};

use hashbrown::HashMap;
use rustix::{
    fd::OwnedFd,
    fs::{CWD, FileType, Mode, OFlags, RawDir, fstat, openat},
    io::Result,
};

/// So many paths are remembered, those of cgroups that are gone too; then all are forgotten.
const REMEMBERED: usize = 1 << 16;
/// Deeper than any that systemd or a container runtime makes.
const DEPTH: usize = 32;

/// The cgroups that were seen.
#[derive(Debug, Default)]
pub(super) struct Cgroups {
    paths: HashMap<u64, String>,
    mount: Mount,
}

/// Where version 2 is mounted.
#[derive(Debug, Default)]
enum Mount {
    #[default]
    NotLooked,
    Nowhere,
    At(PathBuf),
}

impl Cgroups {
    /// The path of a cgroup, of those that were seen.
    pub(super) fn path(&self, id: u64) -> Option<&str> {
        self.paths.get(&id).map(String::as_str)
    }

    /// Looks at all that there are now.
    pub(super) fn walk(&mut self) {
        if matches!(self.mount, Mount::NotLooked) {
            let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
            self.mount = mount(&mountinfo).map_or(Mount::Nowhere, Mount::At);
        }
        let Mount::At(mount) = &self.mount else { return };
        if self.paths.len() > REMEMBERED {
            self.paths.clear();
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        if let Ok(root) = openat(CWD, mount, flags, Mode::empty()) {
            if let Ok(stat) = fstat(&root) {
                self.paths.insert(stat.st_ino, "/".to_owned());
            }
            // One that goes away meanwhile is of no more interest.
            let _ = walk(&root, &mut String::new(), 0, &mut self.paths);
        }
    }
}

fn walk(dir: &OwnedFd, path: &mut String, depth: usize, paths: &mut HashMap<u64, String>) -> Result<()> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 8 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if entry.file_type() != FileType::Directory || matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let length = path.len();
        path.push('/');
        path.push_str(&name.to_string_lossy());
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

/// Where version 2 is mounted, by /proc/PID/mountinfo (proc(5)): anywhere on a hybrid host.
fn mount(mountinfo: &str) -> Option<PathBuf> {
    mountinfo.lines().find_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        let is_version_2 = after.split(' ').next() == Some("cgroup2");
        // Blanks and the like are octal; cgroups are not mounted where there are such.
        is_version_2.then(|| before.split(' ').nth(4).map(PathBuf::from)).flatten()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_is_found_wherever_it_is() {
        let hybrid = "24 1 0:22 / /sys/fs/cgroup ro - tmpfs tmpfs ro\n\
                      25 24 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw\n";
        assert_eq!(mount(hybrid), Some(PathBuf::from("/sys/fs/cgroup/unified")));
        assert_eq!(mount("26 24 0:24 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
        assert_eq!(mount("garbage\n"), None);
    }

    #[test]
    fn this_processs_cgroup_has_a_path() {
        let text = fs::read_to_string("/proc/self/cgroup").unwrap();
        let mountinfo = fs::read_to_string("/proc/self/mountinfo").unwrap();
        let (Some(mount), Some(path)) =
            (mount(&mountinfo), text.lines().find_map(|line| line.strip_prefix("0::")))
        else {
            eprintln!("no cgroup of version 2 here");
            return;
        };
        let mut cgroups = Cgroups::default();
        cgroups.walk();
        let dir = mount.join(path.trim_start_matches('/'));
        let id = std::os::unix::fs::MetadataExt::ino(&fs::metadata(dir).unwrap());
        assert_eq!(cgroups.path(id), Some(path));
    }
}
