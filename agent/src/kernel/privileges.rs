//! What this process may do: capabilities(7).

use std::fs;

/// Bits of the capability sets (`linux/capability.h`).
const CAPABILITIES: [(u32, &str); 3] = [(39, "CAP_BPF"), (12, "CAP_NET_ADMIN"), (38, "CAP_PERFMON")];
/// Stands for `CAP_BPF` and `CAP_PERFMON`, as it did before they existed.
const SYS_ADMIN: u32 = 21;
const NET_ADMIN: u32 = 12;

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
    fn parse(status: &str) -> Option<Self> {
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
}

#[cfg(test)]
mod tests {
    use super::Privileges;

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
