//! The mounts of this mount namespace, read when first asked for.

use std::sync::OnceLock;

use hashbrown::HashSet;

use crate::{
    host::proc::{Mount, ProcessDir, pids},
    lsof::model::device,
};

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

    /// Whether a device has POSIX message queues and is mounted here.
    pub(super) fn has_queues(&self, on: u64) -> bool {
        self.all().iter().any(|mount| is_queues(mount) && device(mount.device.0, mount.device.1) == on)
    }

    /// Whether a path is on a file system of processes (proc(5)).
    pub(super) fn is_processes(&self, path: &[u8]) -> bool {
        self.of(path).is_some_and(|mount| mount.kind == "proc")
    }

    /// Whether a path is on a file system whose server may be out of reach.
    pub(super) fn is_remote(&self, path: &[u8]) -> bool {
        self.of(path).is_some_and(Mount::is_remote)
    }
}

fn is_queues(mount: &Mount) -> bool {
    mount.kind == "mqueue"
}

/// The devices that have POSIX message queues and are mounted in the mount namespace of any process.
pub(super) fn queue_devices_elsewhere() -> HashSet<u64> {
    let mut seen_from = HashSet::new();
    let mut found = HashSet::new();
    for pid in pids().unwrap_or_default() {
        // Of one that has ended, or may not be read, nothing is known.
        let Ok(process) = ProcessDir::open(pid) else { continue };
        let mut text = Vec::new();
        // A process is told the mounts below its own root.
        let seen = process.link("ns/mnt").and_then(|namespace| Ok((namespace, process.link("root")?)));
        let is_new = seen.is_ok_and(|seen| seen_from.insert(seen));
        if is_new && process.read("mountinfo", &mut text).is_ok() {
            let mounts = Mount::parse_all(&text);
            found.extend(
                mounts
                    .iter()
                    .filter(|mount| is_queues(mount))
                    .map(|mount| device(mount.device.0, mount.device.1)),
            );
        }
    }
    found
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
