//! Which capabilities(7) counting goes on needing after its start, and giving up all others.
//!
//! The table is the one that docs/service.md and packaging/flowtally.service have; a test holds them together.

use std::io;

use rustix::{
    io::Errno,
    thread::{
        CapabilitySet, CapabilitySets, capabilities, capability_is_in_bounding_set,
        clear_ambient_capability_set, remove_capability_from_bounding_set, set_capabilities,
    },
};

/// A capability that is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeptCapability {
    /// Its bit.
    pub set: CapabilitySet,
    /// Its name, as capabilities(7) has it.
    pub name: &'static str,
    /// What goes on needing it, a sentence.
    pub why: &'static str,
}

const fn kept(set: CapabilitySet, name: &'static str, why: &'static str) -> KeptCapability {
    KeptCapability { set, name, why }
}

/// What counting and owners go on needing.
pub const KEPT: [KeptCapability; 6] = [
    kept(
        CapabilitySet::BPF,
        "CAP_BPF",
        "Reads the counts each interval, and loads programs for interfaces that come later.",
    ),
    kept(
        CapabilitySet::NET_ADMIN,
        "CAP_NET_ADMIN",
        "Attaches to interfaces that come later and to the root of cgroup v2; asks for sockets and translated connections.",
    ),
    kept(
        CapabilitySet::PERFMON,
        "CAP_PERFMON",
        "Programs loaded later read packets' and tasks' memory through pointers.",
    ),
    kept(
        CapabilitySet::SYS_ADMIN,
        "CAP_SYS_ADMIN",
        "Enters network namespaces of containers (setns), to find whose their sockets are.",
    ),
    kept(
        CapabilitySet::SYS_PTRACE,
        "CAP_SYS_PTRACE",
        "Reads which process has a socket open, of every user: links in /proc/PID/fd, exe and ns.",
    ),
    kept(CapabilitySet::DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH", "Goes into /proc/PID/fd of every user."),
];

/// What threads that write files may keep beside, where the log is so set up that they need it. No other thread has them.
pub const KEPT_TO_WRITE: [KeptCapability; 2] = [
    kept(
        CapabilitySet::DAC_OVERRIDE,
        "CAP_DAC_OVERRIDE",
        "Writes in a log folder that is another user's (of root's agent alone).",
    ),
    kept(
        CapabilitySet::CHOWN,
        "CAP_CHOWN",
        "Gives log files to the group that is set (of root's agent alone).",
    ),
];

/// All of a table together.
pub(super) fn all_of(table: &[KeptCapability]) -> CapabilitySet {
    table.iter().fold(CapabilitySet::empty(), |all, kept| all | kept.set)
}

/// Gives up everything but these on this thread, and for all that it starts, for good: what it may use, what it could take back, and
/// what an executed program would get. Returns what is left.
///
/// # Errors
/// When the kernel refuses; what was given up by then stays given up.
pub(super) fn keep(wanted: CapabilitySet) -> io::Result<CapabilitySet> {
    clear_ambient_capability_set()?;
    for bit in 0..u64::BITS {
        let capability = CapabilitySet::from_bits_retain(1 << bit);
        // Beyond the last that this kernel knows.
        let Ok(bounded) = capability_is_in_bounding_set(capability) else { break };
        if bounded && !wanted.contains(capability) {
            match remove_capability_from_bounding_set(capability) {
                // Without CAP_SETPCAP. What is not permitted cannot be got back either: no program is executed, and none that was
                // would gain anything (`no_new_privs`).
                Ok(()) | Err(Errno::PERM) => {}
                Err(error) => return Err(error.into()),
            }
        }
    }
    lower(wanted)
}

/// The same, but for what an executed program would get, which [`keep`] has settled before.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn lower(wanted: CapabilitySet) -> io::Result<CapabilitySet> {
    let left = capabilities(None)?.permitted & wanted;
    set_capabilities(
        None,
        CapabilitySets { effective: left, permitted: left, inheritable: CapabilitySet::empty() },
    )?;
    Ok(left)
}

/// Names of those in a set, in the order of the tables.
pub(super) fn names(set: CapabilitySet) -> Vec<&'static str> {
    KEPT.iter().chain(&KEPT_TO_WRITE).filter(|kept| set.contains(kept.set)).map(|kept| kept.name).collect()
}

/// What this thread may do of what is kept, and what is missing.
#[must_use]
pub fn present_and_missing() -> (Vec<KeptCapability>, Vec<KeptCapability>) {
    let effective = capabilities(None).map_or(CapabilitySet::empty(), |sets| sets.effective);
    KEPT.into_iter().partition(|kept| effective.contains(kept.set))
}

#[cfg(test)]
mod tests {
    use super::*;

    const UNIT: &str = include_str!("../../../../packaging/flowtally.service");
    const PAGE: &str = include_str!("../../../../docs/service.md");

    /// A capability, the reason in the line above it, and the same one as an ambient one.
    #[test]
    fn the_unit_grants_what_is_kept_and_says_why() {
        let lines: Vec<_> = UNIT.lines().collect();
        let granted = |key: &str| -> Vec<&str> {
            lines.iter().filter_map(|line| line.strip_prefix(key)).filter(|value| !value.is_empty()).collect()
        };
        let names = KEPT.map(|kept| kept.name);
        assert_eq!(granted("CapabilityBoundingSet="), names);
        assert_eq!(granted("AmbientCapabilities="), names);
        for KeptCapability { name, why, .. } in KEPT {
            let at = lines.iter().position(|line| *line == format!("CapabilityBoundingSet={name}")).unwrap();
            assert_eq!(lines[at - 1], format!("# {why}"), "{name}");
        }
    }

    #[test]
    fn the_page_about_services_has_the_same_tables() {
        let rows: Vec<_> = PAGE.lines().filter(|line| line.starts_with("| `CAP_")).collect();
        let kept = KEPT.iter().chain(&KEPT_TO_WRITE);
        let expected: Vec<_> = kept.map(|kept| format!("| `{}` | {} |", kept.name, kept.why)).collect();
        assert_eq!(rows, expected);
    }
}
