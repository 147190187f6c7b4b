//! Landlock (`Documentation/userspace-api/landlock.rst`): a thread that may write in some folders alone.
//!
//! It may not look into other processes either (/proc/PID/fd, exe, ns), nor trace them: that is the kernel's rule for whoever is under
//! Landlock (`security/landlock/task.c`), and why only threads that write files are.

use std::{path::Path, thread};

use landlock::{
    ABI, Access as _, AccessFs, AccessNet, BitFlags, LandlockStatus, RestrictionStatus, Ruleset,
    RulesetAttr as _, RulesetCreatedAttr as _, RulesetError, RulesetStatus, make_bitflags,
    path_beneath_rules,
};

/// The version (Linux 6.10) whose rights are asked for. An older kernel holds back what it knows of them.
const ASKED: ABI = ABI::V5;

/// What writing a log takes: files, folders, names and the control socket, and no devices.
const WRITING: BitFlags<AccessFs> = make_bitflags!(AccessFs::{
    WriteFile | Truncate | MakeReg | MakeDir | MakeSym | MakeSock | RemoveFile | RemoveDir | Refer
});

/// From now on this thread, and each that it starts, writes below these folders alone, executes nothing, and opens no TCP
/// connection. It reads what it could before, but for other processes.
pub(super) fn restrict_thread(folders: &[&Path]) -> Result<RestrictionStatus, RulesetError> {
    Ruleset::default()
        .handle_access(AccessFs::from_write(ASKED) | AccessFs::Execute)?
        .handle_access(AccessNet::from_all(ASKED))?
        .create()?
        .add_rules(path_beneath_rules(folders, WRITING))?
        .restrict_self()
}

/// What the kernel has of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Offer {
    /// All that is asked for, by this version of the interface.
    Full(i32),
    /// An older version, which holds back less.
    Partial(i32),
    /// Nothing, and why.
    None(String),
}

/// Tries it on a thread that ends at once.
pub(super) fn offer() -> Offer {
    let tried = thread::scope(|scope| scope.spawn(|| restrict_thread(&[])).join());
    match tried {
        Ok(Ok(RestrictionStatus { ruleset, landlock, .. })) => match (landlock, ruleset) {
            (LandlockStatus::NotImplemented, _) => {
                Offer::None("this kernel has no Landlock (Linux 5.13, CONFIG_SECURITY_LANDLOCK)".to_owned())
            }
            (LandlockStatus::NotEnabled, _) => Offer::None(
                "Landlock is switched off: add `landlock` to the kernel's parameter lsm= (see /sys/kernel/security/lsm)".to_owned(),
            ),
            (LandlockStatus::Available { effective_abi, kernel_abi }, ruleset) => {
                let version = kernel_abi.unwrap_or(effective_abi as i32);
                match ruleset {
                    RulesetStatus::FullyEnforced => Offer::Full(version),
                    RulesetStatus::PartiallyEnforced => Offer::Partial(version),
                    RulesetStatus::NotEnforced => Offer::None("the kernel enforces none of it".to_owned()),
                }
            }
        },
        Ok(Err(error)) => Offer::None(format!("the kernel refuses it: {error}")),
        Err(_) => Offer::None("the attempt failed".to_owned()),
    }
}
