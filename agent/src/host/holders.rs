//! Who has sockets open: one walk through /proc/*/fd, and through the tables of threads that have their own.
//!
//! A walk costs a system call for each open file of the host and one for each thread, so it is shared by the processors, and
//! whoever starts one has a reason.

use std::{
    collections::BTreeMap,
    ffi::{CStr, CString},
    mem::MaybeUninit,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

use hashbrown::{HashMap, HashSet};
use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{AtFlags, CWD, Mode, OFlags, openat, readlinkat_raw, statat},
    io::{Errno, Result},
};

use super::opened::{self, LookFor, OpenTables};
use super::proc::{Descriptors, ProcessDir, Tables, has_threads, inode_in, pids};

/// More threads than this wait for each other's locks in the kernel more than they help.
const THREADS: usize = 8;
/// Processes that are worth another thread.
const WORTHWHILE: usize = 32;
/// Longest link of interest, `socket:[18446744073709551615]`: what is longer is no socket.
const LINK: usize = 40;

/// A file descriptor of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DescriptorHolder {
    /// The process.
    pub pid: u32,
    /// The number of its descriptor.
    pub fd: u32,
    /// The thread that has it in a table of its own; `None` where it is in the first thread's.
    pub thread: Option<u32>,
}

/// What a walk found.
#[derive(Debug, Default)]
pub struct Holders {
    /// By the socket's inode number, who has it open, in ascending order; one more descriptor of a process is one more entry.
    sockets: HashMap<u64, Vec<DescriptorHolder>>,
    /// By the inode number of a network namespace, a process that lives in it: the first one. Of one whose first thread has ended, a
    /// thread that goes on.
    pub namespaces: BTreeMap<u64, u32>,
    /// Processes whose descriptors may not be read.
    pub refused: Vec<u32>,
    /// Whether every process of the host was there, though it need not have been readable.
    pub sees_all: bool,
    /// Whether every process of the host was there and could be read.
    pub is_complete: bool,
}

impl Holders {
    /// Walks through all processes. What closes meanwhile may be missing.
    ///
    /// # Errors
    /// When /proc cannot be read.
    pub fn walk() -> Result<Self> {
        let pids = pids()?;
        let walked =
            opened::of_many_files(LookFor::Sockets).and_then(|mut tables| by_kernel(&pids, &mut tables));
        let mut all = if let Some(found) = walked {
            vec![found]
        } else {
            opened::instead()?;
            by_proc(&pids)
        };
        let mut holders = Self::default();
        holders.sockets.reserve(all.iter().map(|found| found.sockets.len()).sum());
        for found in &mut all {
            for (inode, holder) in found.sockets.drain(..) {
                holders.sockets.entry(inode).or_default().push(holder);
            }
            for (namespace, pid) in found.namespaces.drain() {
                let first = holders.namespaces.entry(namespace).or_insert(pid);
                *first = pid.min(*first);
            }
            holders.refused.append(&mut found.refused);
        }
        for holders in holders.sockets.values_mut().filter(|holders| holders.len() > 1) {
            holders.sort_unstable();
        }
        holders.refused.sort_unstable();
        // Process 1 is hidden where others' processes are (`hidepid` in proc(5)).
        holders.sees_all = sees_all() && pids.first() == Some(&1);
        holders.is_complete = holders.sees_all && holders.refused.is_empty();
        Ok(holders)
    }

    /// Who has the socket with this inode number open.
    #[must_use]
    pub fn of(&self, inode: u64) -> &[DescriptorHolder] {
        self.sockets.get(&inode).map_or(&[], Vec::as_slice)
    }

    /// Every socket that is open, by its inode number.
    pub fn iter(&self) -> impl Iterator<Item = (u64, &[DescriptorHolder])> {
        self.sockets.iter().map(|(inode, holders)| (*inode, holders.as_slice()))
    }
}

/// Reads the links of all descriptors.
fn by_proc(pids: &[u32]) -> Vec<FoundHolders> {
    let next = AtomicUsize::new(0);
    let work = || {
        let mut found = FoundHolders::default();
        // One at a time, for most of a host's open files may be a few processes'.
        while let Some(pid) = pids.get(next.fetch_add(1, Ordering::Relaxed)) {
            found.process(*pid);
        }
        found
    };
    let threads = thread::available_parallelism().map_or(1, Into::into).min(THREADS);
    let threads = threads.min(pids.len() / WORTHWHILE).max(1);
    thread::scope(|scope| {
        let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
        let mut all = vec![work()];
        // A thread that panicked found nothing.
        all.extend(others.into_iter().filter_map(|thread| thread.join().ok()));
        all
    })
}

/// Takes the kernel's own tables; of /proc only who may be read and in which network namespace he is. Nothing where the walk breaks off.
fn by_kernel(pids: &[u32], tables: &mut OpenTables) -> Option<FoundHolders> {
    let mut found = FoundHolders::default();
    let mut readable = HashSet::with_capacity(pids.len());
    for pid in pids {
        match link_inode(CWD, &CString::new(format!("/proc/{pid}/ns/net")).ok()?, "net") {
            Ok(namespace) => {
                readable.insert(*pid);
                if let Some(namespace) = namespace {
                    found.namespaces.entry(namespace).or_insert(*pid);
                }
            }
            Err(Errno::ACCESS | Errno::PERM) if is_there(*pid) => found.refused.push(*pid),
            Err(_) => {}
        }
    }
    let mut apart: HashMap<(u32, u32), bool> = HashMap::new();
    let FoundHolders { sockets, namespaces, refused, .. } = &mut found;
    let walked = tables.sockets(|inode, pid, tid, fd| {
        let thread = (tid != pid).then_some(tid);
        // What is left of a first thread that has ended is refused to its own user, and holds nothing.
        let mut may_be_read = || {
            let link = CString::new(format!("/proc/{pid}/task/{tid}/ns/net")).ok();
            let namespace = link.and_then(|link| link_inode(CWD, &link, "net").ok());
            if let Some(namespace) = namespace.flatten() {
                namespaces.entry(namespace).or_insert(tid);
            }
            namespace.is_some()
        };
        let is_readable = match thread {
            None => readable.contains(&pid),
            Some(_) => *apart.entry((pid, tid)).or_insert_with(&mut may_be_read),
        };
        if is_readable {
            sockets.push((inode, DescriptorHolder { pid, fd, thread }));
        }
    });
    refused.retain(|pid| !apart.iter().any(|((of, _), may)| of == pid && *may));
    walked.ok()?;
    Some(found)
}

/// By the inode number of each network namespace that processes live in, one of them: a small part of what a walk does.
///
/// # Errors
/// When /proc cannot be read.
pub fn namespaces() -> Result<BTreeMap<u64, u32>> {
    let mut namespaces = BTreeMap::new();
    let mut tables = Tables::new();
    for pid in pids()? {
        let Ok(process) = ProcessDir::open(pid) else { continue };
        let of = |dir: &ProcessDir| link_inode(dir.as_dir(), c"ns/net", "net").ok().flatten();
        // A first thread that has ended is in no namespace any more.
        let found = of(&process).map(|inode| (inode, pid)).or_else(|| {
            let views = process.views(&mut tables);
            Some((of(views.whole())?, views.whole().by_thread()?))
        });
        if let Some((inode, through)) = found {
            namespaces.entry(inode).or_insert(through);
        }
    }
    Ok(namespaces)
}

/// Whether this process sees the host's processes under their own numbers, as the kernel programs do: whether it is in the first
/// PID namespace (`include/linux/proc_ns.h`, `PROC_PID_INIT_INO`).
#[must_use]
pub fn sees_all() -> bool {
    const FIRST: u64 = 0xefff_fffc;
    link_inode(CWD, c"/proc/self/ns/pid", "pid") == Ok(Some(FIRST))
}

/// Whether a process is still there.
fn is_there(pid: u32) -> bool {
    statat(CWD, format!("/proc/{pid}"), AtFlags::empty()).is_ok()
}

/// The inode number in a link such as `net:[4026531840]`; `None` for another link.
pub(super) fn link_inode(dir: impl AsFd, name: &CStr, kind: &str) -> Result<Option<u64>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); LINK];
    let (link, _) = readlinkat_raw(dir, name, &mut buffer[..])?;
    Ok(inode_in(link, kind))
}

/// What one thread found.
#[derive(Default)]
struct FoundHolders {
    sockets: Vec<(u64, DescriptorHolder)>,
    namespaces: HashMap<u64, u32>,
    refused: Vec<u32>,
    descriptors: Descriptors,
    tables: Tables,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl FoundHolders {
    fn process(&mut self, pid: u32) {
        // With any other error it has ended; and links of one that ends while it is read are refused too
        // (`fs/proc/base.c`, `proc_fd_access_allowed`).
        if let Err(Errno::ACCESS | Errno::PERM) = self.read(pid)
            && is_there(pid)
        {
            self.refused.push(pid);
        }
    }

    fn read(&mut self, pid: u32) -> Result<()> {
        let dir = openat(CWD, format!("/proc/{pid}"), DIRECTORY, Mode::empty())?;
        let mut result = self.table(&dir, pid, None);
        if !has_threads(&dir) {
            return result;
        }
        for thread in self.tables.further(pid, &dir) {
            let Ok(dir) = openat(&dir, format!("task/{thread}"), DIRECTORY, Mode::empty()) else { continue };
            // What is left of a first thread that has ended is refused to its own user, and holds nothing.
            result = self.table(&dir, pid, Some(thread)).or(result);
        }
        result
    }

    /// Reads the table that a directory of a process or a thread leads to.
    fn table(&mut self, dir: &OwnedFd, pid: u32, thread: Option<u32>) -> Result<()> {
        if let Some(namespace) = link_inode(dir, c"ns/net", "net")? {
            self.namespaces.entry(namespace).or_insert(thread.unwrap_or(pid));
        }
        let fds = openat(dir, c"fd", DIRECTORY, Mode::empty())?;
        let Self { sockets, descriptors, .. } = self;
        let mut refused = false;
        let mut target = [MaybeUninit::<u8>::uninit(); LINK];
        descriptors.links(&fds, &mut target, |fd, _, link| {
            refused = matches!(link, Err(Errno::ACCESS | Errno::PERM));
            if let Some(inode) = link.ok().and_then(|link| inode_in(link, "socket")) {
                sockets.push((inode, DescriptorHolder { pid, fd, thread }));
            }
            !refused
        })?;
        if refused {
            return Err(Errno::ACCESS);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::fd::AsRawFd as _};

    use rustix::fs::fstat;

    use super::*;

    #[test]
    fn every_descriptor_of_a_socket_is_found() {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        let again = socket.try_clone().unwrap();
        let inode = fstat(&socket).unwrap().st_ino;
        let holders = Holders::walk().unwrap();
        let pid = std::process::id();
        let mut expected = [&socket, &again].map(|socket| DescriptorHolder {
            pid,
            fd: socket.as_raw_fd().unsigned_abs(),
            thread: None,
        });
        expected.sort_unstable();
        assert_eq!(holders.of(inode), expected);
        let own = link_inode(CWD, c"/proc/self/ns/net", "net").unwrap().unwrap();
        assert!(holders.namespaces.contains_key(&own));
        assert!(holders.of(0).is_empty());
        assert!(holders.iter().any(|(found, _)| found == inode));
    }
}
