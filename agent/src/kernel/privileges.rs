//! What this process may do: capabilities(7).

use std::{fs, os::linux::fs::MetadataExt as _};

/// Bits of the capability sets (`linux/capability.h`).
const CAPABILITIES: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON")];
/// Stands for `CAP_BPF` and `CAP_PERFMON`, as it did before they existed.
const SYS_ADMIN: u32 = 21;
const NET_ADMIN: u32 = 12;
/// `CAP_SYS_PTRACE`, `CAP_DAC_READ_SEARCH` and `CAP_DAC_OVERRIDE`.
const SYS_PTRACE: u32 = 19;
const DAC_READ_SEARCH: u32 = 2;
const DAC_OVERRIDE: u32 = 1;

/// Inode number of the host's own user namespace (`PROC_USER_INIT_INO`, `linux/proc_ns.h`).
const HOST_USERS: u64 = 0xefff_fffd;

/// Whether this process is in a user namespace: its capabilities count for nothing outside, whichever it has.
#[must_use]
pub fn in_user_namespace() -> bool {
    match fs::metadata("/proc/self/ns/user") {
        Ok(namespace) => namespace.st_ino() != HOST_USERS,
        // Where /proc has no such file, not every user of the host is known in a namespace.
        Err(_) => fs::read_to_string("/proc/self/uid_map").is_ok_and(|map| !maps_everybody(&map)),
    }
}

/// Who is who in this process's user namespace, in one line: user inside, user outside, how many; of several such only the first.
pub(super) fn user_map() -> String {
    let map = fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
    map.lines().next().unwrap_or_default().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Whether a `uid_map` of proc(5) is that of the host: each user is himself.
fn maps_everybody(map: &str) -> bool {
    map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// The effective capabilities of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Privileges(u64);

impl Privileges {
    /// Of this process. Where /proc cannot be read all are assumed, and the kernel will say otherwise.
    pub(super) fn of_this_process() -> Self {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        Self::parse(&status).unwrap_or(Self(u64::MAX))
    }

    /// From the text of /proc/PID/status.
    pub(super) fn parse(status: &str) -> Option<Self> {
        let set = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?;
        u64::from_str_radix(set.trim(), 16).ok().map(Self)
    }

    const fn has(self, bit: u32) -> bool {
        self.0 >> bit & 1 == 1
    }

    /// The capabilities that loading and attaching need and that are missing, in words.
    pub(super) fn missing_to_load(self) -> Option<String> {
        let missing: Vec<_> = CAPABILITIES
            .into_iter()
            .filter(|(bit, _)| !self.has(*bit) && (*bit == NET_ADMIN || !self.has(SYS_ADMIN)))
            .map(|(_, name)| name)
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// The capabilities that walking the kernel's tables needs and that are missing, in words.
    pub(super) fn missing_to_walk(self) -> Option<String> {
        let missing: Vec<_> = CAPABILITIES
            .into_iter()
            .filter(|(bit, _)| *bit != NET_ADMIN && !self.has(*bit) && !self.has(SYS_ADMIN))
            .map(|(_, name)| name)
            .collect();
        (!missing.is_empty()).then(|| missing.join(", "))
    }

    /// The capability without which /proc does not show the files of every process, if it is missing.
    pub(super) fn missing_to_see_files(self) -> Option<String> {
        if !self.has(SYS_PTRACE) {
            Some("CAP_SYS_PTRACE".to_owned())
        } else if !self.has(DAC_READ_SEARCH) && !self.has(DAC_OVERRIDE) {
            Some("CAP_DAC_READ_SEARCH".to_owned())
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Privileges, maps_everybody};

    #[test]
    fn a_user_namespace_has_a_map() {
        assert!(maps_everybody("         0          0 4294967295\n"));
        assert!(!maps_everybody("         0       1000          1\n"));
        assert!(!maps_everybody("         0       1000          1\n         1     100000      65536\n"));
        assert!(!maps_everybody(""));
    }

    #[test]
    fn names_what_is_missing() {
        let of = |set: &str| Privileges::parse(&format!("Name:\tx\nCapEff:\t{set}\nCapBnd:\t0\n")).unwrap();
        assert_eq!(of("000001ffffffffff").missing_to_load(), None);
        assert_eq!(of("0000000000000000").missing_to_load().unwrap(), "CAP_BPF, CAP_NET_ADMIN, CAP_PERFMON");
        assert_eq!(of("0000008000001000").missing_to_load().unwrap(), "CAP_PERFMON");
        // CAP_SYS_ADMIN and CAP_NET_ADMIN, as on kernels before 5.8.
        assert_eq!(of("0000000000201000").missing_to_load(), None);
        assert_eq!(of("0000000000200000").missing_to_load().unwrap(), "CAP_NET_ADMIN");
    }
}
