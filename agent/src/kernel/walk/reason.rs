//! Why the kernel's tables are not walked, where they are not.

use std::{
    fs, io,
    sync::atomic::{AtomicBool, Ordering},
};

use thiserror::Error;

use crate::kernel::privileges::{Privileges, in_user_namespace};

/// Why /proc is read in place of a walk: half a sentence.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum NoWalk {
    /// Somebody said so.
    #[error("it was turned off")]
    TurnedOff,
    /// The program has rights that the user has not.
    #[error("the program's rights are not its user's: a walk would show him files of others")]
    LentRights,
    /// What loading needs.
    #[error("this process has no {missing}")]
    NotPermitted {
        /// Capabilities.
        missing: String,
    },
    /// What /proc needs to show everything.
    #[error("/proc does not show every process's files to one without {missing}")]
    ShownLess {
        /// Capabilities.
        missing: String,
    },
    /// Nobody in it may.
    #[error("this process is in a user namespace")]
    UserNamespace,
    /// Numbers would be others.
    #[error("/proc shows another PID namespace than this process is in")]
    OtherProcesses,
    /// No BTF.
    #[error("the kernel has no type information (/sys/kernel/btf/vmlinux, CONFIG_DEBUG_INFO_BTF)")]
    NoTypeInformation,
    /// It is older, or newer.
    #[error("the kernel has no {what} that is known")]
    NotFound {
        /// A function, or a field of a structure.
        what: String,
    },
    /// The kernel said no.
    #[error("the kernel refuses it: {doing}: {reason}")]
    Refused {
        /// What was being done.
        doing: &'static str,
        /// What it answered.
        reason: String,
    },
}

/// Why a walk did not come to its end.
#[derive(Debug, Error)]
pub enum WalkError {
    /// It did not begin: nothing was handed over.
    #[error(transparent)]
    Unavailable(#[from] NoWalk),
    /// It broke off. Some of it was handed over.
    #[error("walking the kernel's tables broke off: {0}")]
    Broken(io::Error),
}

static TURNED_OFF: AtomicBool = AtomicBool::new(false);

/// From now on every walk is refused: /proc is to serve.
pub fn walk_by_proc() {
    TURNED_OFF.store(true, Ordering::Relaxed);
}

/// Whether this process may walk, as far as its rights and namespaces say: one file of /proc is read.
///
/// # Errors
/// Why not.
pub fn may_walk() -> Result<(), NoWalk> {
    if TURNED_OFF.load(Ordering::Relaxed) {
        return Err(NoWalk::TurnedOff);
    }
    judge(&fs::read_to_string("/proc/self/status").unwrap_or_default(), in_user_namespace)
}

/// From the text of /proc/self/status.
fn judge(status: &str, in_user_namespace: impl FnOnce() -> bool) -> Result<(), NoWalk> {
    let words = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.map(|line| line.split_whitespace().collect::<Vec<_>>())
    };
    // A number for each namespace from that of /proc to that of the process; none where the kernel has no such namespaces.
    let Some(users) = words("Uid") else { return Err(NoWalk::OtherProcesses) };
    if words("NSpid").is_some_and(|numbers| numbers.len() != 1) {
        return Err(NoWalk::OtherProcesses);
    }
    let Some(privileges) = Privileges::parse(status) else {
        return Err(NoWalk::NotPermitted { missing: "capabilities".to_owned() });
    };
    if let Some(missing) = privileges.missing_to_walk() {
        return Err(NoWalk::NotPermitted { missing });
    }
    if users.first() != Some(&"0") {
        return Err(NoWalk::LentRights);
    }
    if let Some(missing) = privileges.missing_to_see_files() {
        return Err(NoWalk::ShownLess { missing });
    }
    if in_user_namespace() { Err(NoWalk::UserNamespace) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(uid: u32, numbers: &str, capabilities: u64) -> String {
        format!("Name:\tx\nUid:\t{uid}\t0\t0\t0\nNSpid:\t{numbers}\nCapEff:\t{capabilities:016x}\n")
    }

    #[test]
    fn who_may_walk_sees_no_more_than_in_proc() {
        const ALL: u64 = 0x1ff_ffff_ffff;
        const SYS_ADMIN: u64 = 1 << 21;
        let of = |uid, numbers, capabilities| judge(&status(uid, numbers, capabilities), || false);
        let missing = |names: &str| names.to_owned();
        assert_eq!(of(0, "17", ALL), Ok(()));
        assert_eq!(of(0, "17", ALL & !(3 << 38)), Ok(()), "CAP_SYS_ADMIN has both in it");
        assert_eq!(of(1000, "17", ALL), Err(NoWalk::LentRights));
        assert_eq!(of(0, "17\t3", ALL), Err(NoWalk::OtherProcesses));
        assert_eq!(
            of(0, "17", ALL & !SYS_ADMIN & !(1 << 38)),
            Err(NoWalk::NotPermitted { missing: missing("CAP_PERFMON") })
        );
        assert_eq!(of(0, "17", 0), Err(NoWalk::NotPermitted { missing: missing("CAP_BPF, CAP_PERFMON") }));
        assert_eq!(
            of(0, "17", ALL & !(1 << 19)),
            Err(NoWalk::ShownLess { missing: missing("CAP_SYS_PTRACE") })
        );
        // Either of the two lets a process into any directory.
        assert_eq!(of(0, "17", ALL & !(1 << 1)), Ok(()));
        assert_eq!(of(0, "17", ALL & !(1 << 2)), Ok(()));
        assert_eq!(
            of(0, "17", ALL & !(3 << 1)),
            Err(NoWalk::ShownLess { missing: missing("CAP_DAC_READ_SEARCH") })
        );
        assert_eq!(judge(&status(0, "17", ALL), || true), Err(NoWalk::UserNamespace));
        assert_eq!(judge("", || false), Err(NoWalk::OtherProcesses));
    }
}
