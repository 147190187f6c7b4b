//! System calls that are refused, as a container's profile refuses them: seccomp(2).

use std::{collections::BTreeMap, env::consts::ARCH};

use nix::errno::Errno;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition, SeccompFilter, SeccompRule,
    apply_filter,
};

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// To make a socket of `sock_diag(7)`, with this error.
    SockDiag(Errno),
    /// To enter a namespace (`EPERM`).
    Setns,
    /// To attach by a link of bpf(2), as before Linux 6.6 on an interface (`EINVAL`).
    BpfLink,
    /// Landlock, as on a kernel without it (`ENOSYS`).
    Landlock,
    /// To install a filter of system calls (`EINVAL`); not to the one that does so already.
    Seccomp,
}

/// `BPF_LINK_CREATE` (`linux/bpf.h`).
const LINK_CREATE: i32 = 28;

impl Refusal {
    /// Refuses all this to the thread that calls, and to the processes that it starts, for good.
    pub fn apply(refusals: &[Self]) {
        for refusal in refusals {
            apply_filter(&refusal.program()).expect("install a seccomp filter");
        }
    }

    fn program(self) -> BpfProgram {
        let is = |argument, value: i32| {
            let value = u64::try_from(value).expect("a small number");
            SeccompCondition::new(argument, SeccompCmpArgLen::Dword, SeccompCmpOp::Eq, value)
                .expect("a condition")
        };
        let (call, rules, error) = match self {
            Self::SockDiag(error) => {
                let ends = [is(0, libc::AF_NETLINK), is(2, libc::NETLINK_SOCK_DIAG)];
                (libc::SYS_socket, vec![SeccompRule::new(ends.into()).expect("a rule")], error)
            }
            // Without a rule, every call is meant.
            Self::Setns => (libc::SYS_setns, Vec::new(), Errno::EPERM),
            Self::BpfLink => {
                let create = vec![is(0, LINK_CREATE)];
                (libc::SYS_bpf, vec![SeccompRule::new(create).expect("a rule")], Errno::EINVAL)
            }
            Self::Landlock => (libc::SYS_landlock_create_ruleset, Vec::new(), Errno::ENOSYS),
            Self::Seccomp => (libc::SYS_seccomp, Vec::new(), Errno::EINVAL),
        };
        let error = SeccompAction::Errno((error as i32).cast_unsigned());
        let arch = ARCH.try_into().expect("an architecture that seccomp filters can be made for");
        let filter = SeccompFilter::new(BTreeMap::from([(call, rules)]), SeccompAction::Allow, error, arch);
        filter.and_then(TryInto::try_into).expect("a seccomp filter")
    }
}
