//! Which system calls the program makes, and which arguments they may have. Pure: lists alone.
//!
//! What is in no list is refused: to execute, to trace, to mount, to load modules, to start another kernel, keys, rings, and whatever
//! later kernels bring.

use libc::c_long;

/// Calls of the C library, of threads and of memory.
const RUNTIME: &[c_long] = &[
    libc::SYS_brk,
    libc::SYS_capget,
    libc::SYS_capset,
    libc::SYS_clock_getres,
    libc::SYS_clock_gettime,
    libc::SYS_clock_nanosleep,
    // Refused by a filter of its own, for `clone` to be called in its place: this one's flags are out of a filter's sight.
    libc::SYS_clone3,
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_futex,
    libc::SYS_get_robust_list,
    libc::SYS_getcpu,
    libc::SYS_getegid,
    libc::SYS_geteuid,
    libc::SYS_getgid,
    libc::SYS_getgroups,
    libc::SYS_getpid,
    libc::SYS_getppid,
    libc::SYS_getrandom,
    libc::SYS_getresgid,
    libc::SYS_getresuid,
    libc::SYS_getrusage,
    libc::SYS_gettid,
    libc::SYS_gettimeofday,
    libc::SYS_getuid,
    libc::SYS_madvise,
    libc::SYS_membarrier,
    libc::SYS_mremap,
    libc::SYS_munmap,
    libc::SYS_nanosleep,
    libc::SYS_prctl,
    libc::SYS_prlimit64,
    libc::SYS_restart_syscall,
    libc::SYS_rseq,
    libc::SYS_rt_sigaction,
    libc::SYS_rt_sigpending,
    libc::SYS_rt_sigprocmask,
    libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigsuspend,
    libc::SYS_rt_sigtimedwait,
    libc::SYS_sched_getaffinity,
    libc::SYS_sched_getparam,
    libc::SYS_sched_getscheduler,
    libc::SYS_sched_yield,
    libc::SYS_set_robust_list,
    libc::SYS_set_tid_address,
    libc::SYS_setpriority,
    libc::SYS_sigaltstack,
    libc::SYS_sysinfo,
    libc::SYS_times,
    libc::SYS_umask,
    libc::SYS_uname,
];

/// Reading, writing and waiting.
const FILES: &[c_long] = &[
    libc::SYS_chdir,
    libc::SYS_close,
    libc::SYS_close_range,
    libc::SYS_copy_file_range,
    libc::SYS_dup,
    libc::SYS_dup3,
    libc::SYS_epoll_create1,
    libc::SYS_epoll_ctl,
    libc::SYS_epoll_pwait,
    libc::SYS_epoll_pwait2,
    libc::SYS_eventfd2,
    libc::SYS_faccessat,
    libc::SYS_faccessat2,
    libc::SYS_fadvise64,
    libc::SYS_fallocate,
    libc::SYS_fchmod,
    libc::SYS_fchmodat,
    libc::SYS_fchown,
    libc::SYS_fchownat,
    libc::SYS_fcntl,
    libc::SYS_fdatasync,
    libc::SYS_fgetxattr,
    libc::SYS_flock,
    libc::SYS_fstat,
    libc::SYS_fstatfs,
    libc::SYS_fsync,
    libc::SYS_ftruncate,
    libc::SYS_getcwd,
    libc::SYS_getdents64,
    libc::SYS_getxattr,
    libc::SYS_inotify_add_watch,
    libc::SYS_inotify_init1,
    libc::SYS_inotify_rm_watch,
    libc::SYS_lgetxattr,
    libc::SYS_linkat,
    libc::SYS_lseek,
    libc::SYS_mkdirat,
    libc::SYS_name_to_handle_at,
    libc::SYS_newfstatat,
    libc::SYS_openat,
    libc::SYS_pipe2,
    libc::SYS_ppoll,
    libc::SYS_pread64,
    libc::SYS_preadv,
    libc::SYS_preadv2,
    libc::SYS_pselect6,
    libc::SYS_pwrite64,
    libc::SYS_pwritev,
    libc::SYS_pwritev2,
    libc::SYS_read,
    libc::SYS_readahead,
    libc::SYS_readlinkat,
    libc::SYS_readv,
    libc::SYS_renameat,
    libc::SYS_renameat2,
    libc::SYS_sendfile,
    libc::SYS_signalfd4,
    libc::SYS_splice,
    libc::SYS_statfs,
    libc::SYS_statx,
    libc::SYS_symlinkat,
    libc::SYS_sync_file_range,
    libc::SYS_syncfs,
    libc::SYS_timerfd_create,
    libc::SYS_timerfd_gettime,
    libc::SYS_timerfd_settime,
    libc::SYS_unlinkat,
    libc::SYS_utimensat,
    libc::SYS_write,
    libc::SYS_writev,
];

/// Sockets once they are made: netlink, the control socket, what systemd is told, exporters.
const SOCKETS: &[c_long] = &[
    libc::SYS_accept,
    libc::SYS_accept4,
    libc::SYS_bind,
    libc::SYS_connect,
    libc::SYS_getpeername,
    libc::SYS_getsockname,
    libc::SYS_getsockopt,
    libc::SYS_listen,
    libc::SYS_recvfrom,
    libc::SYS_recvmmsg,
    libc::SYS_recvmsg,
    libc::SYS_sendmmsg,
    libc::SYS_sendmsg,
    libc::SYS_sendto,
    libc::SYS_setsockopt,
    libc::SYS_shutdown,
];

/// What few programs need: comparing tables of descriptors, a look at cgroup v2 where it is hidden (a mount that is nowhere in the file
/// system), the rights that are lent (`host/rights.rs`), and further restrictions.
const SPECIAL: &[c_long] = &[
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fsopen,
    libc::SYS_kcmp,
    libc::SYS_landlock_add_rule,
    libc::SYS_landlock_create_ruleset,
    libc::SYS_landlock_restrict_self,
    libc::SYS_seccomp,
    libc::SYS_setfsgid,
    libc::SYS_setfsuid,
];

/// Calls that newer architectures do without; older C libraries make them.
#[cfg(target_arch = "x86_64")]
const OLDER: &[c_long] = &[
    libc::SYS_access,
    libc::SYS_arch_prctl,
    libc::SYS_chmod,
    libc::SYS_chown,
    libc::SYS_dup2,
    libc::SYS_epoll_create,
    libc::SYS_epoll_wait,
    libc::SYS_eventfd,
    libc::SYS_getdents,
    libc::SYS_getrlimit,
    libc::SYS_link,
    libc::SYS_lstat,
    libc::SYS_mkdir,
    libc::SYS_open,
    libc::SYS_pipe,
    libc::SYS_poll,
    libc::SYS_readlink,
    libc::SYS_rename,
    libc::SYS_rmdir,
    libc::SYS_select,
    libc::SYS_setrlimit,
    libc::SYS_signalfd,
    libc::SYS_stat,
    libc::SYS_symlink,
    libc::SYS_time,
    libc::SYS_unlink,
];
#[cfg(not(target_arch = "x86_64"))]
const OLDER: &[c_long] = &[];

/// Calls whose every argument is allowed.
pub(super) fn always() -> impl Iterator<Item = c_long> {
    [RUNTIME, FILES, SOCKETS, SPECIAL, OLDER].into_iter().flatten().copied()
}

/// What is asked of an argument, by its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ArgumentTest {
    /// It is this.
    Is(u8, u64),
    /// It is anything but this.
    IsNot(u8, u64),
    /// Of these bits it has those alone.
    Bits { place: u8, mask: u64, value: u64 },
}

use ArgumentTest::{Bits, Is, IsNot};

const fn bits(flag: i32) -> u64 {
    flag.cast_unsigned() as u64
}

/// Calls that are allowed with some arguments: one alternative a line, of which every test must hold.
pub(super) fn sometimes() -> Vec<(c_long, Vec<ArgumentTest>)> {
    let own = u64::from(std::process::id());
    let family = |family: i32| (libc::SYS_socket, vec![Is(0, bits(family))]);
    let mapped = |protection: i32| {
        let mask = bits(libc::PROT_WRITE | libc::PROT_EXEC);
        (libc::SYS_mmap, vec![Bits { place: 2, mask, value: bits(protection) }])
    };
    vec![
        family(libc::AF_UNIX),
        family(libc::AF_NETLINK),
        family(libc::AF_INET),
        family(libc::AF_INET6),
        (libc::SYS_socketpair, vec![Is(0, bits(libc::AF_UNIX))]),
        // Threads, and no processes.
        (
            libc::SYS_clone,
            vec![Bits { place: 0, mask: bits(libc::CLONE_THREAD), value: bits(libc::CLONE_THREAD) }],
        ),
        // Network namespaces, in which sockets are looked up, and no others.
        (libc::SYS_setns, vec![Is(1, bits(libc::CLONE_NEWNET))]),
        // Nothing is written and executed; the name service's libraries are mapped to be executed.
        mapped(0),
        mapped(libc::PROT_WRITE),
        mapped(libc::PROT_EXEC),
        (libc::SYS_mprotect, vec![Bits { place: 2, mask: bits(libc::PROT_EXEC), value: 0 }]),
        // To abort.
        (libc::SYS_tgkill, vec![Is(0, own)]),
        // A terminal is never typed into.
        (libc::SYS_ioctl, [libc::TIOCSTI, libc::TIOCLINUX].map(|request| IsNot(1, request)).to_vec()),
        (libc::SYS_bpf, UNUSED_BPF.map(|command| IsNot(0, command)).to_vec()),
    ]
}

/// Commands of bpf(2) that would outlive the program or look at others: pins, raw tracepoints, what a task has open, tokens
/// (`enum bpf_cmd`, `linux/bpf.h`).
const UNUSED_BPF: [u64; 5] = [6, 7, 17, 20, 36];

/// Calls that make, change or remove files by a path, refused where nothing is to be written.
pub(super) fn changes() -> impl Iterator<Item = c_long> {
    const CHANGES: &[c_long] = &[
        libc::SYS_fchmodat,
        libc::SYS_fchownat,
        libc::SYS_linkat,
        libc::SYS_mkdirat,
        libc::SYS_renameat,
        libc::SYS_renameat2,
        libc::SYS_symlinkat,
        libc::SYS_unlinkat,
        libc::SYS_utimensat,
    ];
    #[cfg(target_arch = "x86_64")]
    const OLDER: &[c_long] = &[
        libc::SYS_chmod,
        libc::SYS_chown,
        libc::SYS_link,
        libc::SYS_mkdir,
        libc::SYS_rename,
        libc::SYS_rmdir,
        libc::SYS_symlink,
        libc::SYS_unlink,
    ];
    #[cfg(not(target_arch = "x86_64"))]
    const OLDER: &[c_long] = &[];
    [CHANGES, OLDER].into_iter().flatten().copied()
}

/// Ways of opening a file that are refused where nothing is to be written: for writing, to be made, to be cut off.
pub(super) fn opened_to_write() -> Vec<(c_long, Vec<ArgumentTest>)> {
    #[cfg(target_arch = "x86_64")]
    const OPEN: &[(c_long, u8)] = &[(libc::SYS_openat, 2), (libc::SYS_open, 1)];
    #[cfg(not(target_arch = "x86_64"))]
    const OPEN: &[(c_long, u8)] = &[(libc::SYS_openat, 2)];
    const FLAGS: [(i32, i32); 5] = [
        (libc::O_ACCMODE, libc::O_WRONLY),
        (libc::O_ACCMODE, libc::O_RDWR),
        // Neither, but for ioctl(2): devices.
        (libc::O_ACCMODE, libc::O_ACCMODE),
        (libc::O_CREAT, libc::O_CREAT),
        (libc::O_TRUNC, libc::O_TRUNC),
    ];
    let ways = |(call, place): &(c_long, u8)| {
        let (call, place) = (*call, *place);
        FLAGS.map(|(mask, value)| (call, vec![Bits { place, mask: bits(mask), value: bits(value) }]))
    };
    OPEN.iter().flat_map(ways).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_call_is_in_one_list() {
        let mut seen = HashSet::new();
        let conditional: HashSet<_> = sometimes().into_iter().map(|(call, _)| call).collect();
        assert!(always().chain(conditional).all(|call| seen.insert(call)));
    }

    #[test]
    fn what_is_refused_where_nothing_is_written_is_allowed_elsewhere() {
        let allowed: HashSet<_> = always().collect();
        assert!(changes().all(|call| allowed.contains(&call)));
        assert!(opened_to_write().iter().all(|(call, _)| allowed.contains(call)));
    }

    #[test]
    fn what_is_never_used_is_in_no_list() {
        let never = [
            libc::SYS_execve,
            libc::SYS_execveat,
            libc::SYS_ptrace,
            libc::SYS_process_vm_readv,
            libc::SYS_process_vm_writev,
            libc::SYS_mount,
            libc::SYS_umount2,
            libc::SYS_move_mount,
            libc::SYS_open_tree,
            libc::SYS_pivot_root,
            libc::SYS_chroot,
            libc::SYS_unshare,
            libc::SYS_init_module,
            libc::SYS_finit_module,
            libc::SYS_delete_module,
            libc::SYS_kexec_load,
            libc::SYS_reboot,
            libc::SYS_add_key,
            libc::SYS_keyctl,
            libc::SYS_request_key,
            libc::SYS_userfaultfd,
            libc::SYS_open_by_handle_at,
            libc::SYS_openat2,
            libc::SYS_io_uring_setup,
            libc::SYS_perf_event_open,
            libc::SYS_kill,
            libc::SYS_pidfd_getfd,
            libc::SYS_setuid,
            libc::SYS_setgid,
            libc::SYS_setgroups,
            libc::SYS_sethostname,
            libc::SYS_settimeofday,
            libc::SYS_clock_settime,
            libc::SYS_swapon,
            libc::SYS_truncate,
            libc::SYS_setxattr,
        ];
        let conditional = sometimes().into_iter().map(|(call, _)| call);
        let allowed: HashSet<_> = always().chain(conditional).collect();
        assert!(never.iter().all(|call| !allowed.contains(call)));
    }
}
