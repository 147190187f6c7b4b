//! What `doctor` reads of the host by itself: where cgroups are mounted, limits, and whether a folder could be written to.

use std::{fs, io, os::unix::net::UnixStream, path::Path};

use rustix::{
    fs::{Access, AtFlags, CWD, StatVfsMountFlags, accessat, statvfs},
    process::{Resource, getrlimit},
};

use crate::{format::Name, mountinfo::Mount};

/// Where cgroups are mounted, for this process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CgroupMounts {
    /// Whether there are hierarchies of version 1.
    pub version1: bool,
    /// Where version 2 is: the whole hierarchy, else a part.
    pub version2: Option<Name>,
    /// Whether it is the whole.
    pub whole: bool,
}

/// Inode number of the cgroup hierarchy's true root (`kernfs_create_root`).
const ROOT_INODE: u64 = 1;

/// Reads /proc/self/mountinfo.
///
/// # Errors
/// When it cannot be read.
pub fn cgroup_mounts() -> io::Result<CgroupMounts> {
    use std::os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _};
    let text = fs::read("/proc/self/mountinfo")?;
    let is_root = |path: &[u8]| {
        fs::metadata(std::ffi::OsStr::from_bytes(path)).is_ok_and(|metadata| metadata.ino() == ROOT_INODE)
    };
    Ok(find_cgroups(&text, is_root))
}

/// From the text of mountinfo; a mount of what looks like the root to this process may still be a part, which `is_root` knows.
fn find_cgroups(mountinfo: &[u8], is_root: impl Fn(&[u8]) -> bool) -> CgroupMounts {
    let mounts = Mount::parse_all(mountinfo);
    let version1 = mounts.iter().any(|mount| mount.kind == "cgroup");
    let second: Vec<_> = mounts.into_iter().filter(|mount| mount.kind == "cgroup2").collect();
    let whole = second.iter().find(|mount| mount.root == b"/" && is_root(&mount.path));
    let version2 = whole.or(second.first()).map(|mount| Name::from(mount.path.clone()));
    CgroupMounts { version1, version2, whole: whole.is_some() }
}

/// The host's memory, in bytes.
#[must_use]
pub fn memory() -> u64 {
    let info = rustix::system::sysinfo();
    info.totalram.saturating_mul(u64::from(info.mem_unit))
}

/// Soft and hard limit on locked memory in bytes; `None` is unlimited.
#[must_use]
pub fn locked_memory() -> [Option<u64>; 2] {
    let limit = getrlimit(Resource::Memlock);
    [limit.current, limit.maximum]
}

/// Soft and hard limit on open files.
#[must_use]
pub fn open_files() -> [Option<u64>; 2] {
    let limit = getrlimit(Resource::Nofile);
    [limit.current, limit.maximum]
}

/// A folder in which somebody would write.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FolderCheck {
    /// Whether it exists.
    pub exists: bool,
    /// Why it could not be written to, or made.
    pub refusal: Option<String>,
    /// Bytes that are free for this user's kind.
    pub free_bytes: Option<u64>,
}

/// Looks at a folder, or at the nearest above it that exists. Nothing is written.
#[must_use]
pub fn folder(path: &Path) -> FolderCheck {
    let exists = path.exists();
    let Some(nearest) = path.ancestors().find(|folder| folder.exists()) else {
        let refusal = Some("no folder above it can be seen".to_owned());
        return FolderCheck { exists, refusal, free_bytes: None };
    };
    if !nearest.is_dir() {
        let refusal = Some("it is no folder".to_owned());
        return FolderCheck { exists, refusal, free_bytes: None };
    }
    let file_system = statvfs(nearest).ok();
    let access = accessat(CWD, nearest, Access::WRITE_OK | Access::EXEC_OK, AtFlags::EACCESS);
    let read_only =
        file_system.as_ref().is_some_and(|found| found.f_flag.contains(StatVfsMountFlags::RDONLY));
    let refusal = match access {
        _ if read_only => Some("the file system is mounted read-only".to_owned()),
        Err(error) => Some(io::Error::from(error).to_string()),
        Ok(()) => None,
    };
    let free = |found: rustix::fs::StatVfs| found.f_bavail.saturating_mul(found.f_frsize);
    FolderCheck { exists, refusal, free_bytes: file_system.map(free) }
}

/// Whether somebody listens at a UNIX socket; `None` when that may not be seen.
#[must_use]
pub fn listens(socket: &Path) -> Option<bool> {
    match UnixStream::connect(socket) {
        Ok(_) => Some(true),
        Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::ConnectionRefused) => {
            Some(false)
        }
        Err(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::*;

    #[test]
    fn the_whole_hierarchy_counts_and_else_a_part() {
        let unified = b"29 23 0:26 / /sys/fs/cgroup rw shared:9 - cgroup2 cgroup2 rw\n";
        let found = find_cgroups(unified, |_| true);
        assert_eq!(
            found,
            CgroupMounts { version1: false, version2: Some("/sys/fs/cgroup".into()), whole: true }
        );
        // In a cgroup namespace the part looks like the root.
        assert!(!find_cgroups(unified, |_| false).whole);
        let hybrid = b"32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n\
            40 31 0:38 /docker/1 /mnt rw - cgroup2 cgroup2 rw\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
        let found = find_cgroups(hybrid, |path| path.ends_with(b"unified"));
        let version2 = Some("/sys/fs/cgroup/unified".into());
        assert_eq!(found, CgroupMounts { version1: true, version2, whole: true });
        assert_eq!(find_cgroups(b"", |_| true), CgroupMounts::default());
    }

    #[test]
    fn a_folder_that_is_not_there_is_as_good_as_the_one_above() {
        let there = tempfile::tempdir().unwrap();
        let found = folder(there.path());
        assert_eq!((found.exists, found.refusal), (true, None));
        assert!(found.free_bytes.is_some_and(|free| free > 0));
        let found = folder(&there.path().join("a/b"));
        assert_eq!((found.exists, found.refusal), (false, None));
        let file = there.path().join("file");
        fs::write(&file, "").unwrap();
        assert_eq!(folder(&file.join("x")).refusal.unwrap(), "it is no folder");
    }

    #[test]
    fn a_socket_is_asked_and_not_its_file() {
        let there = tempfile::tempdir().unwrap();
        let path = there.path().join("socket");
        assert_eq!(listens(&path), Some(false));
        let listener = UnixListener::bind(&path).unwrap();
        assert_eq!(listens(&path), Some(true));
        drop(listener);
        assert_eq!(listens(&path), Some(false));
    }
}
