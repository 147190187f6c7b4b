//! Where cgroup v2 is mounted: the text of /proc/self/mountinfo (proc(5)). Pure.

use std::path::PathBuf;

/// A mount of cgroup v2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct CgroupMount {
    /// Where.
    pub(super) path: PathBuf,
    /// Whether it shows the hierarchy from its root, as far as this process can see.
    pub(super) whole: bool,
}

/// The best of the mounts: one that shows all of the hierarchy, wherever it is; hybrid hosts have it beside version 1.
pub(super) fn mount(mountinfo: &str) -> Option<CgroupMount> {
    let mounts = mountinfo.lines().filter_map(|line| {
        let (before, after) = line.split_once(" - ")?;
        if after.split(' ').next()? != "cgroup2" {
            return None;
        }
        let mut fields = before.split(' ').skip(3);
        let (root, path) = (fields.next()?, fields.next()?);
        Some(CgroupMount { path: PathBuf::from(unescape(path)), whole: root == "/" })
    });
    mounts.max_by_key(|mount| mount.whole)
}

/// Blanks, tabs, line feeds and backslashes stand as three octal digits.
fn unescape(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find('\\') {
        plain.push_str(&rest[..at]);
        let octal = rest.get(at + 1..at + 4).and_then(|digits| u8::from_str_radix(digits, 8).ok());
        match octal.filter(u8::is_ascii) {
            Some(byte) => {
                plain.push(char::from(byte));
                rest = &rest[at + 4..];
            }
            None => {
                plain.push('\\');
                rest = &rest[at + 1..];
            }
        }
    }
    plain.push_str(rest);
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(mountinfo: &str) -> Option<(String, bool)> {
        mount(mountinfo).map(|mount| (mount.path.display().to_string(), mount.whole))
    }

    #[test]
    fn version_2_is_found_alone_and_beside_version_1() {
        let unified = "26 23 0:22 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
        assert_eq!(at(unified), Some(("/sys/fs/cgroup".to_owned(), true)));
        let hybrid = "32 31 0:29 / /sys/fs/cgroup/cpu rw,relatime - cgroup cgroup rw,cpu\n\
                      41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";
        assert_eq!(at(hybrid), Some(("/sys/fs/cgroup/unified".to_owned(), true)));
        assert_eq!(at("32 31 0:29 / /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu\n"), None);
        assert_eq!(at(""), None);
    }

    #[test]
    fn the_mount_that_shows_all_is_taken() {
        let several = "40 31 0:38 /some.slice /mnt/part rw - cgroup2 none rw\n\
                       41 31 0:38 / /mnt/with\\040blank\\134 rw - cgroup2 none rw\n\
                       42 31 0:38 /other /mnt/part2 rw - cgroup2 none rw\n";
        assert_eq!(at(several), Some(("/mnt/with blank\\".to_owned(), true)));
        assert_eq!(
            at("40 31 0:38 /some.slice /mnt/part rw - cgroup2 none rw\n"),
            Some(("/mnt/part".to_owned(), false))
        );
    }
}
