//! The mounts of this mount namespace, read when first asked for.

use std::sync::OnceLock;

use crate::{host::proc::Mount, lsof::model::device};

/// The mounts and their devices, a line each: what `+m` prints.
#[must_use]
pub fn mounts() -> String {
    let all = Mounts::default();
    let mut lines: Vec<(&[u8], u64)> = Vec::new();
    for mount in all.all() {
        let on = device(mount.device.0, mount.device.1);
        // Of several at one place the last can be seen.
        match lines.iter_mut().find(|(path, _)| *path == mount.path) {
            Some(line) => line.1 = on,
            None => lines.push((&mount.path, on)),
        }
    }
    let line = |(path, on): &(&[u8], u64)| format!("{} {on:#x}\n", String::from_utf8_lossy(path));
    lines.iter().map(line).collect()
}

/// What `-b` keeps from being known, a message each: names are not resolved, and `mounts` are not examined.
#[must_use]
pub fn avoided(names: &[Vec<u8>], mounts: bool) -> Vec<String> {
    let shown = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
    let avoiding = |call: &str, path: &[u8]| format!("avoiding {call}({}): -b was specified.", shown(path));
    let mut lines: Vec<String> = names.iter().map(|name| avoiding("readlink", name)).collect();
    let table = Mounts::default();
    for mount in table.all().iter().filter(|_| mounts) {
        let path = &mount.path;
        lines.extend([avoiding("readlink", path), avoiding("stat", path)]);
        lines.push(format!(
            "WARNING: can't stat() {} file system {}\n      Output information may be incomplete.",
            mount.kind,
            shown(path)
        ));
    }
    lines.extend(names.iter().map(|name| avoiding("stat", name)));
    lines
}

/// The mounts.
#[derive(Debug, Default)]
pub(super) struct Mounts(OnceLock<Vec<Mount>>);

impl Mounts {
    /// All of them, in the kernel's order.
    pub(super) fn all(&self) -> &[Mount] {
        self.0.get_or_init(|| Mount::parse_all(&std::fs::read("/proc/self/mountinfo").unwrap_or_default()))
    }

    /// The mount that a path is on, by the longest path that it begins with. Of several at one place the last counts.
    pub(super) fn of(&self, path: &[u8]) -> Option<&Mount> {
        self.all().iter().filter(|mount| is_below(path, &mount.path)).max_by_key(|mount| mount.path.len())
    }

    /// Whether a path is on a file system whose server may be out of reach.
    pub(super) fn is_remote(&self, path: &[u8]) -> bool {
        self.of(path).is_some_and(Mount::is_remote)
    }
}

/// Whether a path is a directory or below it.
pub(super) fn is_below(path: &[u8], directory: &[u8]) -> bool {
    let directory = directory.strip_suffix(b"/").unwrap_or(directory);
    path.strip_prefix(directory).is_some_and(|rest| rest.is_empty() || rest.starts_with(b"/"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_below_directories() {
        assert!(is_below(b"/a/b", b"/a") && is_below(b"/a", b"/a") && is_below(b"/a", b"/"));
        assert!(!is_below(b"/ab", b"/a"));
    }

    #[test]
    fn proc_is_mounted() {
        let mounts = Mounts::default();
        assert_eq!(mounts.of(b"/proc/1/stat").unwrap().path, b"/proc");
        assert!(!mounts.is_remote(b"/proc"));
    }
}
