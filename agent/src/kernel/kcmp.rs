//! kcmp(2): whether two tasks share what the kernel keeps for them.

use std::{cmp::Ordering, io};

/// What of two tasks is compared (`linux/kcmp.h`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// The table of file descriptors.
    Files = 2,
    /// Working directory and root.
    Directories = 3,
}

/// Compares what two tasks have, by the kernel's order: equal if they share it. A task that has ended has none, and shares that
/// with all others that have.
///
/// # Errors
/// `ESRCH` when one is gone, `EPERM` when one may not be traced, `ENOSYS` without `CONFIG_KCMP`.
pub fn kcmp(resource: Resource, one: u32, other: u32) -> io::Result<Ordering> {
    let (resource, none) = (resource as libc::c_long, 0 as libc::c_long);
    let [one, other] = [one, other].map(libc::c_long::from);
    // SAFETY: the call takes five integers; the last two are not looked at for these resources.
    match unsafe { libc::syscall(libc::SYS_kcmp, one, other, resource, none, none) } {
        0 => Ok(Ordering::Equal),
        1 => Ok(Ordering::Less),
        // Different, and without an order on a kernel that tells none.
        2.. => Ok(Ordering::Greater),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::mpsc, thread};

    use nix::sched::{CloneFlags, unshare};

    use super::*;

    #[test]
    fn a_thread_that_has_parted_shares_no_more() {
        let (say, hear) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_FILES).unwrap();
            say.send(nix::unistd::gettid().as_raw().unsigned_abs()).unwrap();
            let _ = wait.recv();
        });
        let (own, other) = (std::process::id(), hear.recv().unwrap());
        assert_eq!(kcmp(Resource::Files, own, own).unwrap(), Ordering::Equal);
        let order = kcmp(Resource::Files, own, other).unwrap();
        assert_ne!(order, Ordering::Equal);
        assert_eq!(kcmp(Resource::Files, other, own).unwrap(), order.reverse());
        assert_eq!(kcmp(Resource::Directories, own, other).unwrap(), Ordering::Equal);
        drop(end);
        thread.join().unwrap();
        assert_eq!(kcmp(Resource::Files, own, 0).unwrap_err().raw_os_error(), Some(libc::ESRCH));
    }
}
