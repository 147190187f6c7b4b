//! Processes: proc(5). What is read here may be gone in the next moment; whoever calls takes that as an answer.

mod descriptors;
mod fdinfo;
mod locks;
mod maps;
mod stat;
mod tables;

use std::mem::MaybeUninit;

use rustix::{
    fd::OwnedFd,
    fs::{AtFlags, Mode, OFlags, PROC_SUPER_MAGIC, RawDir, open, openat, readlinkat_raw, statat, statfs},
    io::{Errno, Result, read},
};

pub use descriptors::{DescriptorName, Descriptors};
pub use fdinfo::FdInfo;
pub use locks::Lock;
pub use maps::Mapping;
pub use stat::ProcessStat;
pub use tables::{Tables, has_threads};

pub use crate::mountinfo::{Mount, unescape};

/// Longest target of a symbolic link in /proc that the kernel hands out (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// Whether /proc is there, for who can say nothing of processes without it. A folder without processes in it is no answer.
///
/// # Errors
/// When proc(5) is not mounted, in words that say what to do.
pub fn check() -> std::io::Result<()> {
    match statfs("/proc") {
        Ok(about) if about.f_type == PROC_SUPER_MAGIC => Ok(()),
        _ => Err(std::io::Error::other(
            "/proc is not mounted here, and it has the processes: mount -t proc proc /proc",
        )),
    }
}

/// Every process that /proc shows now, in ascending order.
///
/// # Errors
/// When /proc cannot be read.
pub fn pids() -> Result<Vec<u32>> {
    let proc = open("/proc", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let mut pids = numbers(&proc)?;
    pids.sort_unstable();
    Ok(pids)
}

/// The entries of a directory whose names are numbers, in its order.
fn numbers(dir: &OwnedFd) -> Result<Vec<u32>> {
    let mut buffer = [MaybeUninit::<u8>::uninit(); 16 * 1024];
    let mut entries = RawDir::new(dir, &mut buffer);
    let mut numbers = Vec::new();
    while let Some(entry) = entries.next() {
        numbers.extend(entry?.file_name().to_str().ok().and_then(|name| name.parse::<u32>().ok()));
    }
    Ok(numbers)
}

/// A process's directory, held open: everything read through it is of this process, even when its PID is used again.
#[derive(Debug)]
pub struct ProcessDir {
    pid: u32,
    thread: Option<u32>,
    dir: OwnedFd,
}

/// A process by all the tables of descriptors that its threads have.
#[derive(Debug)]
pub struct Views<'a> {
    process: &'a ProcessDir,
    /// Where the first thread has ended, one that goes on.
    stand_in: Option<ProcessDir>,
    further: Vec<ProcessDir>,
}

impl Views<'_> {
    /// By what the whole process has is asked for: its mappings, its executable, the first table.
    #[must_use]
    pub const fn whole(&self) -> &ProcessDir {
        match &self.stand_in {
            Some(thread) => thread,
            None => self.process,
        }
    }

    /// A view for each table.
    pub fn tables(&self) -> impl Iterator<Item = &ProcessDir> {
        std::iter::once(self.whole()).chain(&self.further)
    }
}

impl ProcessDir {
    /// Opens the directory of a process.
    ///
    /// # Errors
    /// `NOENT` when there is no such process.
    pub fn open(pid: u32) -> Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let dir = open(format!("/proc/{pid}"), flags, Mode::empty())?;
        Ok(Self { pid, thread: None, dir })
    }

    /// One of its threads, with everything below the directory that a process has.
    ///
    /// # Errors
    /// `NOENT` when it has no such thread.
    pub fn thread(&self, thread: u32) -> Result<Self> {
        // /proc/PID/task/TID has less in it. That its number is this process's thread is asked last.
        let whole = Self::open(thread)?;
        statat(&self.dir, format!("task/{thread}"), AtFlags::empty())?;
        Ok(Self { pid: self.pid, thread: Some(thread), dir: whole.dir })
    }

    /// The thread that it is seen through; `None` for the first one.
    #[must_use]
    pub const fn by_thread(&self) -> Option<u32> {
        self.thread
    }

    /// Whether its number is the process's own: /proc answers for the numbers of other threads too, which it does not list.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let mut status = Vec::new();
        self.thread.is_none() && self.read("status", &mut status).is_ok() && is_process(&status, self.pid)
    }

    /// The process by each table of descriptors that its threads have; the first one answers for all that they share.
    #[must_use]
    pub fn views(&self, tables: &mut Tables) -> Views<'_> {
        let mut views = Views { process: self, stand_in: None, further: Vec::new() };
        if !has_threads(&self.dir) {
            return views;
        }
        let threads = tables.further(self.pid, &self.dir);
        views.further = threads.into_iter().filter_map(|thread| self.thread(thread).ok()).collect();
        if !views.further.is_empty() && self.stat().is_ok_and(|stat| stat.has_ended()) {
            views.stand_in = Some(views.further.remove(0));
        }
        views
    }

    /// Threads with a working directory and a root of their own.
    #[must_use]
    pub fn apart(&self, tables: &mut Tables) -> Vec<Self> {
        if !has_threads(&self.dir) {
            return Vec::new();
        }
        let threads = tables.directories(self.pid, &self.dir);
        threads.into_iter().filter_map(|thread| self.thread(thread).ok()).collect()
    }

    /// The process.
    #[must_use]
    pub const fn pid(&self) -> u32 {
        self.pid
    }

    /// The directory itself, for `openat` and its like.
    #[must_use]
    pub const fn as_dir(&self) -> &OwnedFd {
        &self.dir
    }

    /// Reads a whole file below the directory, into a buffer that is emptied first.
    ///
    /// # Errors
    /// `NOENT` or `SRCH` when the process is gone, `ACCESS` or `PERM` when it is another user's.
    pub fn read(&self, name: &str, into: &mut Vec<u8>) -> Result<()> {
        into.clear();
        let file = openat(&self.dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        loop {
            into.reserve(4096);
            if read(&file, rustix::buffer::spare_capacity(into))? == 0 {
                return Ok(());
            }
        }
    }

    /// Its stat(5) line.
    ///
    /// # Errors
    /// As [`read`](Self::read); `INVAL` when the kernel prints something else.
    pub fn stat(&self) -> Result<ProcessStat> {
        let mut text = Vec::new();
        self.read("stat", &mut text)?;
        ProcessStat::parse(&text).ok_or(Errno::INVAL)
    }

    /// Where a symbolic link below the directory points: `exe`, `cwd`, `root`, `ns/net`.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn link(&self, name: &str) -> Result<Vec<u8>> {
        let mut buffer = [MaybeUninit::<u8>::uninit(); PATH_MAX];
        let (target, _) = readlinkat_raw(&self.dir, name, &mut buffer[..])?;
        Ok(target.to_vec())
    }

    /// Hands every file descriptor and what its link says to `each`, in the order of the kernel (ascending). One that is closed
    /// meanwhile is left out.
    ///
    /// # Errors
    /// When the directory of descriptors cannot be read: `ACCESS` for another user's process.
    pub fn descriptors(&self, mut each: impl FnMut(u32, &[u8])) -> Result<()> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fds = openat(&self.dir, "fd", flags, Mode::empty())?;
        let mut target = [MaybeUninit::<u8>::uninit(); PATH_MAX];
        Descriptors::new().links(&fds, &mut target, |number, _, link| {
            if let Ok(link) = link {
                each(number, link);
            }
            true
        })
    }
}

/// Whether a number is that of the process itself, by /proc/NUMBER/status.
#[must_use]
pub fn is_process(status: &[u8], number: u32) -> bool {
    let group = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"));
    group.is_some_and(|group| group.trim_ascii() == number.to_string().as_bytes())
}

/// The inode number in a link such as `socket:[1234]` or `pipe:[1234]`.
#[must_use]
pub fn inode_in(link: &[u8], kind: &str) -> Option<u64> {
    let number = link.strip_prefix(kind.as_bytes())?.strip_prefix(b":[")?.strip_suffix(b"]")?;
    std::str::from_utf8(number).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use std::{fs::File, os::fd::AsRawFd as _};

    use super::*;

    #[test]
    fn this_process_is_there_with_what_it_has_open() {
        let pid = std::process::id();
        assert!(pids().unwrap().binary_search(&pid).is_ok());
        let process = ProcessDir::open(pid).unwrap();
        let file = File::open("/dev/null").unwrap();
        let number = u32::try_from(file.as_raw_fd()).unwrap();
        let mut found = Vec::new();
        process.descriptors(|fd, link| found.push((fd, link.to_vec()))).unwrap();
        assert!(found.contains(&(number, b"/dev/null".to_vec())), "{found:?}");
        assert!(found.is_sorted());
        let stat = process.stat().unwrap();
        assert!(stat.start > 0 && stat.parent > 0);
        let executable = std::env::current_exe().unwrap();
        assert_eq!(process.link("exe").unwrap(), executable.into_os_string().into_encoded_bytes());
        assert_eq!(ProcessDir::open(0).unwrap_err(), Errno::NOENT);
    }

    #[test]
    fn inodes_stand_in_brackets() {
        assert_eq!(inode_in(b"socket:[4026531840]", "socket"), Some(4_026_531_840));
        assert_eq!(inode_in(b"pipe:[7]", "socket"), None);
        assert_eq!(inode_in(b"socket:[]", "socket"), None);
        assert_eq!(inode_in(b"/tmp/socket:[1]", "socket"), None);
    }
}
