//! Which threads of a process have a table of descriptors of their own.
//!
//! Threads share one, almost always. One that called unshare(2), or was made without `CLONE_FILES`, has another; and where the
//! first thread has ended, the table is that of those that go on: /proc/PID/fd is empty then.

use std::{cmp::Ordering, mem::MaybeUninit, sync::OnceLock};

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, openat, statat},
    io::Result,
};

use super::Descriptors;
use crate::kernel::{Resource, kcmp};

/// Longest part of a link that is compared.
const LINK: usize = 256;

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// Whether a process, by its directory, has more than one thread. It takes one question, whatever their number.
#[must_use]
pub fn has_threads(dir: &OwnedFd) -> bool {
    // Two links, and one for each thread (`fs/proc/base.c`, `proc_task_getattr`).
    statat(dir, "task", AtFlags::empty()).is_ok_and(|stat| stat.st_nlink > 3)
}

/// Finds tables, again and again.
#[derive(Debug)]
pub struct Tables {
    listing: Descriptors,
    /// By kcmp(2), or by what the tables hold.
    by_kernel: bool,
}

impl Default for Tables {
    fn default() -> Self {
        Self::new()
    }
}

impl Tables {
    /// With buffers that are used again.
    #[must_use]
    pub fn new() -> Self {
        Self { listing: Descriptors::new(), by_kernel: is_answered() }
    }

    /// The threads of a process whose table is not its first thread's, in ascending order: one for each further table. `dir` is the
    /// process's directory. It takes a question for each thread; no table is read where the kernel tells them apart.
    pub fn further(&mut self, pid: u32, dir: &OwnedFd) -> Vec<u32> {
        self.apart(Resource::Files, pid, dir)
    }

    /// The threads of a process whose working directory and root are kept apart from the first thread's: one for each that is.
    pub fn directories(&mut self, pid: u32, dir: &OwnedFd) -> Vec<u32> {
        if self.by_kernel { self.apart(Resource::Directories, pid, dir) } else { Vec::new() }
    }

    fn apart(&mut self, resource: Resource, pid: u32, dir: &OwnedFd) -> Vec<u32> {
        let mut threads = Vec::new();
        let listed = openat(dir, "task", DIRECTORY, Mode::empty()).and_then(|tasks| {
            self.listing.list(&tasks, |number, _| {
                threads.push(number);
                true
            })
        });
        // One that ends meanwhile has nothing.
        let _ = listed;
        threads.retain(|thread| *thread != pid);
        let mut found =
            if self.by_kernel { by_kernel(resource, pid, threads) } else { self.by_content(threads, dir) };
        found.sort_unstable();
        found
    }

    /// What holds the same is taken for one table.
    fn by_content(&mut self, threads: Vec<u32>, dir: &OwnedFd) -> Vec<u32> {
        let first = self.content(dir, "fd").unwrap_or_default();
        let mut known = vec![first];
        let mut found = Vec::new();
        for thread in threads {
            let Ok(content) = self.content(dir, &format!("task/{thread}/fd")) else { continue };
            if !content.is_empty() && !known.contains(&content) {
                known.push(content);
                found.push(thread);
            }
        }
        found
    }

    /// What a table holds.
    fn content(&mut self, dir: &OwnedFd, name: &str) -> Result<Vec<(u32, Vec<u8>)>> {
        let fds = openat(dir, name, DIRECTORY, Mode::empty())?;
        let mut target = [MaybeUninit::<u8>::uninit(); LINK];
        let mut content = Vec::new();
        self.listing.links(&fds, &mut target, |number, _, link| {
            content.push((number, link.unwrap_or_default().to_vec()));
            true
        })?;
        Ok(content)
    }
}

/// Each thread is compared with the first one, and what differs is put in the kernel's order.
fn by_kernel(resource: Resource, pid: u32, threads: Vec<u32>) -> Vec<u32> {
    let mut found: Vec<u32> = Vec::new();
    for thread in threads {
        // What may not be compared may not be read either.
        if !kcmp(resource, thread, pid).is_ok_and(Ordering::is_ne) {
            continue;
        }
        let place =
            found.binary_search_by(|known| kcmp(resource, *known, thread).unwrap_or(Ordering::Greater));
        if let Err(place) = place {
            found.insert(place, thread);
        }
    }
    found
}

/// Whether the kernel compares tasks, and /proc has the numbers that it takes: a filter of system calls may refuse the question, and
/// /proc may be another PID namespace's.
fn is_answered() -> bool {
    static ANSWERED: OnceLock<bool> = OnceLock::new();
    *ANSWERED.get_or_init(|| {
        let own = std::process::id();
        let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
        let numbers = status.lines().find_map(|line| line.strip_prefix("NSpid:"));
        numbers.is_some_and(|numbers| numbers.trim() == own.to_string())
            && kcmp(Resource::Files, own, own).is_ok_and(Ordering::is_eq)
    })
}

#[cfg(test)]
mod tests {
    use std::{fs::File, sync::mpsc, thread};

    use nix::{
        sched::{CloneFlags, unshare},
        unistd::gettid,
    };
    use rustix::fs::CWD;

    use super::*;

    /// A thread with a table of its own, and one that shares it; each says its number.
    fn parted(work: impl FnOnce([u32; 2])) {
        let own = || gettid().as_raw().unsigned_abs();
        let (say, hear) = mpsc::channel();
        let (end, wait) = mpsc::channel::<()>();
        let thread = thread::spawn(move || {
            unshare(CloneFlags::CLONE_FILES).unwrap();
            let file = File::open("/dev/null").unwrap();
            let (said, again) = (say.clone(), mpsc::channel::<()>());
            say.send(own()).unwrap();
            let second = thread::spawn(move || {
                said.send(own()).unwrap();
                let _ = again.1.recv();
            });
            let _ = wait.recv();
            drop(again.0);
            second.join().unwrap();
            drop(file);
        });
        let first = hear.recv().unwrap();
        work([first, hear.recv().unwrap()]);
        drop(end);
        thread.join().unwrap();
    }

    #[test]
    fn a_table_that_threads_share_is_found_once_with_and_without_the_kernels_help() {
        let pid = std::process::id();
        let dir = openat(CWD, format!("/proc/{pid}"), DIRECTORY, Mode::empty()).unwrap();
        parted(|both| {
            assert!(has_threads(&dir));
            for by_kernel in [true, false] {
                let mut tables = Tables { by_kernel, ..Tables::new() };
                // Other tests may have threads, none of which parts with the rest.
                let found = tables.further(pid, &dir);
                assert_eq!(
                    found.iter().filter(|thread| both.contains(thread)).count(),
                    1,
                    "{found:?} of {both:?}"
                );
            }
            assert!(is_answered());
        });
    }
}
