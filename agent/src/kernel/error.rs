//! What a refusal of the kernel means, and what to do about it.

use std::io;

use thiserror::Error;

use super::privileges::{Privileges, in_user_namespace, user_map};

/// Why the kernel programs could not be loaded or attached. The text says what to do.
#[derive(Debug, Error)]
pub enum KernelError {
    /// Rights are missing.
    #[error(
        "loading the kernel programs needs {missing}: run as root (sudo flowtally ...), or grant it once to a group with\n  \
         sudo groupadd --system flowtally; sudo chgrp flowtally {program}; sudo chmod 750 {program}\n  \
         sudo setcap cap_bpf,cap_net_admin,cap_perfmon+ep {program}\n\
         Then whoever may run this file sees all traffic of the host: without chgrp and chmod, every user."
    )]
    NotPermitted {
        /// The missing capabilities.
        missing: String,
        /// This program's file.
        program: String,
    },
    /// Rights are there, but only in a user namespace.
    #[error(
        "the kernel lets nobody in a user namespace load BPF programs, not its root either, and this process is in one \
         (/proc/self/uid_map: {map}): run flowtally outside of it, as root of the host (not under unshare -U, and not in a rootless \
         or user-remapped container)"
    )]
    UserNamespace {
        /// Who is who in it: inside, outside, how many.
        map: String,
    },
    /// Rights are there, but something else refuses.
    #[error(
        "the kernel refuses BPF programs although this process has the rights (EPERM while {doing}): a lockdown mode \
         (/sys/kernel/security/lockdown), a security module or a container's seccomp profile forbids bpf(2), or, before \
         Linux 5.11, the limit on locked memory is too low (ulimit -l)"
    )]
    Forbidden {
        /// What was being done.
        doing: &'static str,
    },
    /// No bpf(2).
    #[error(
        "this kernel has no BPF ({source} while {doing}): flowtally needs Linux 5.15 or newer built with \
         CONFIG_BPF_SYSCALL; this is {release}"
    )]
    NoBpf {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// What it answered.
        source: io::Error,
    },
    /// The memory for the maps.
    #[error(
        "no memory for the flow tables ({source} while {doing}): ask for less with --slots and --max-flows, or raise the \
         limit on locked memory (ulimit -l) or the cgroup's memory limit"
    )]
    Memory {
        /// What was being done.
        doing: &'static str,
        /// What the kernel answered.
        source: io::Error,
    },
    /// A kernel without what the programs use.
    #[error(
        "measuring needs Linux 5.15 or newer, and this is {release}: {doing} failed ({reason}); inspect --seconds 0, deleted, \
         recover and lsof work without"
    )]
    TooOld {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// The chain of causes, without the rest of the verifier's log: what the kernel lacks is in its first line.
        reason: String,
    },
    /// A filter whose program is too long, or that the verifier does not follow to its end.
    #[error(
        "the filter is too complex for the kernel ({instructions} instructions): name fewer hosts, networks, ports or protochains, \
         or put those that are next to each other into one net or portrange"
    )]
    FilterTooComplex {
        /// How long its program is.
        instructions: usize,
    },
    /// Anything else.
    #[error("{doing} failed on kernel {release}: {reason}")]
    Other {
        /// What was being done.
        doing: &'static str,
        /// The running kernel.
        release: String,
        /// The chain of causes.
        reason: String,
    },
}

impl KernelError {
    /// What this process lacks to be permitted, if that can be told.
    pub(super) fn not_permitted() -> Option<Self> {
        // There the right capability is not to be had.
        if in_user_namespace() {
            return Some(Self::UserNamespace { map: user_map() });
        }
        let missing = Privileges::of_this_process().missing_to_load()?;
        Some(Self::NotPermitted { missing, program: program() })
    }

    /// Sorts a failure by what can be done about it.
    pub(super) fn explain(doing: &'static str, error: &(dyn std::error::Error + 'static)) -> Self {
        let mut cause = Some(error);
        let mut code = None;
        let mut reason = error.to_string();
        while let Some(error) = cause {
            if let Some(io) = error.downcast_ref::<io::Error>() {
                code = io.raw_os_error().or(code);
            }
            cause = error.source();
            if let Some(cause) = cause {
                let cause = cause.to_string();
                if !reason.contains(&cause) {
                    reason = format!("{reason}: {cause}");
                }
            }
        }
        let release = rustix::system::uname().release().to_string_lossy().into_owned();
        match code {
            // EACCES is the verifier's, and speaks of the program.
            Some(libc::EPERM) => Self::not_permitted().unwrap_or(Self::Forbidden { doing }),
            Some(code @ libc::ENOSYS) => {
                Self::NoBpf { doing, release, source: io::Error::from_raw_os_error(code) }
            }
            Some(code @ (libc::ENOMEM | libc::E2BIG)) => {
                Self::Memory { doing, source: io::Error::from_raw_os_error(code) }
            }
            _ if is_older(&release, OLDEST_KERNEL) => {
                let reason = reason.lines().next().unwrap_or_default().to_owned();
                Self::TooOld { doing, release, reason }
            }
            _ => Self::Other { doing, release, reason },
        }
    }
}

/// Major and minor number of the oldest kernel that has all that the programs use: atomic operations that return what was there
/// (5.12), and the cookie of a socket's network namespace in every program that notes owners (5.15). Older ones are tried all the same:
/// distributions give their kernels what came later.
const OLDEST_KERNEL: (u32, u32) = (5, 15);

/// Whether a kernel release such as `6.1.0-44-cloud-amd64` is older than a version. One that cannot be read is not.
pub(super) fn is_older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}

fn program() -> String {
    std::env::current_exe().map_or_else(|_| "flowtally".to_owned(), |path| path.display().to_string())
}

#[cfg(test)]
mod tests {
    use super::{OLDEST_KERNEL, is_older};

    #[test]
    fn old_kernels_are_recognised() {
        for (release, older) in [
            ("4.19.0-25-amd64", true),
            ("5.14.21", true),
            ("5.15.0", false),
            ("6.1.0-44-cloud-amd64", false),
            ("10.0", false),
            ("custom", false),
        ] {
            assert_eq!(is_older(release, OLDEST_KERNEL), older, "{release}");
        }
    }
}
