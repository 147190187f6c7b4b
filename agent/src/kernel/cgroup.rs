//! Where cgroup v2 is mounted: /proc/self/mountinfo (proc(5)). Pure.

use std::{ffi::OsString, os::unix::ffi::OsStringExt, path::PathBuf};

use crate::mountinfo;

/// A mount of the cgroup v2 hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CgroupMount {
    /// Where it is.
    pub(super) path: PathBuf,
    /// Whether it is, as far as this process can see, the hierarchy's root, and not a part of it that was mounted.
    pub(super) whole: bool,
}

/// The mounts of cgroup v2, those of the hierarchy's root first. The usual place may be one, /sys/fs/cgroup/unified on a
/// host that has version 1 too, or any other.
pub(super) fn mounts(mountinfo: &[u8]) -> Vec<CgroupMount> {
    let all = mountinfo::Mount::parse_all(mountinfo).into_iter().filter(|mount| mount.kind == "cgroup2");
    let mount = |mount: mountinfo::Mount| CgroupMount {
        path: PathBuf::from(OsString::from_vec(mount.path)),
        whole: mount.root == b"/",
    };
    let mut mounts: Vec<_> = all.map(mount).collect();
    mounts.sort_by_key(|mount| !mount.whole);
    mounts
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::mounts;

    #[test]
    fn finds_the_mount() {
        let text = b"22 1 0:21 / /proc rw,nosuid shared:5 - proc proc rw\n\
            29 23 0:26 / /sys/fs/cgroup rw,nosuid,nodev,noexec,relatime shared:9 - cgroup2 cgroup2 rw,nsdelegate\n";
        let found = mounts(text);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].path.as_path(), found[0].whole), (Path::new("/sys/fs/cgroup"), true));
    }

    #[test]
    fn hybrid_hosts_have_it_elsewhere() {
        let text = b"31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
            32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
            41 31 0:38 / /sys/fs/cgroup/unified rw,relatime master:1 propagate_from:2 - cgroup2 cgroup2 rw\n";
        assert_eq!(mounts(text)[0].path, Path::new("/sys/fs/cgroup/unified"));
    }

    #[test]
    fn a_part_comes_last() {
        let text = b"41 31 0:38 /docker/1234 /mnt/a\\040b\\134 rw - cgroup2 none rw\n\
            42 31 0:38 / /mnt/- rw - cgroup2 cgroup2 rw";
        let found = mounts(text);
        assert_eq!(found[0].path, Path::new("/mnt/-"));
        assert_eq!((found[1].path.as_path(), found[1].whole), (Path::new("/mnt/a b\\"), false));
    }

    #[test]
    fn nothing_and_nonsense_are_none() {
        for text in [&b""[..], b"\n\n", b"1 2 3", b"1 2 3 / /x rw cgroup2", b"1 2 3 / /x rw - "] {
            assert!(mounts(text).is_empty(), "{text:?}");
        }
    }
}
