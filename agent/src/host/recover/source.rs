//! What is copied: a file that a process holds.

use std::fs::File;

use rustix::{
    fd::{AsRawFd as _, OwnedFd},
    fs::{FileType, Mode, OFlags, Stat, fstat, fstatfs, open},
    io::Errno,
};

use super::{MOST_MADE, RecoverError, WritingProcess};
use crate::{
    host::{
        held,
        proc::{Mapping, ProcessDir, Tables, Views},
    },
    model::{
        handle::Handle,
        held::{Access, DELETED, FileId, How},
    },
};

/// A regular file, held on to.
#[derive(Debug)]
pub struct RecoverSource {
    /// `O_PATH`: it stays this file, whatever becomes of the process.
    file: OwnedFd,
    stat: Stat,
    link: Vec<u8>,
    title: String,
    /// What kind of file system it is on.
    magic: u64,
}

/// File systems whose files the kernel makes up when they are read: what stat(2) says of their length means nothing
/// (linux/magic.h: proc, sysfs, debugfs, tracefs, both cgroups, securityfs, configfs, selinuxfs, smackfs, bpf, efivarfs, resctrl).
const MADE_WHEN_READ: [u64; 13] = [
    PROC,
    0x6265_6572,
    DEBUGFS,
    TRACEFS,
    0x0027_e0eb,
    0x6367_7270,
    0x7363_6673,
    0x6265_6570,
    0xf97c_ff8c,
    0x4341_5d53,
    0xcafe_4a11,
    0xde5e_81e4,
    0x0765_5821,
];
const PROC: u64 = 0x9fa0;
const DEBUGFS: u64 = 0x6462_6720;
const TRACEFS: u64 = 0x7472_6163;
/// What a descriptor of a namespace or of a process leads to: nsfs, pidfs.
const HANDLES: [u64; 2] = [0x6e73_6673, 0x5049_4446];

/// What following a mapping takes beside `CAP_SYS_PTRACE` (`fs/proc/base.c`, `proc_map_files_get_link`).
const MAPPED: &str = "CAP_CHECKPOINT_RESTORE";
/// What another user's process takes (ptrace(2), `PTRACE_MODE_READ_FSCREDS`).
const OTHERS: &str = "CAP_SYS_PTRACE";
/// What another user's file takes.
const UNREADABLE: &str = "CAP_DAC_READ_SEARCH";

impl RecoverSource {
    /// Takes hold of a file of a process.
    ///
    /// # Errors
    /// When there is no such process, it holds no such file, or that may not be asked.
    pub fn find(pid: u32, handle: Handle) -> Result<Self, RecoverError> {
        let process = ProcessDir::open(pid).map_err(|error| match error {
            Errno::NOENT | Errno::SRCH => RecoverError::NoProcess(pid),
            error => RecoverError::system(format_args!("opening /proc/{pid}"))(error),
        })?;
        let title = format!("{handle} of process {pid}");
        let refused = |error| match error {
            Errno::ACCESS | Errno::PERM => RecoverError::NotPermitted(title.clone(), OTHERS),
            // A kernel thread has no executable, and a zombie nothing at all.
            Errno::NOENT | Errno::SRCH => {
                RecoverError::NotHeld(format!("process {pid} does not have {handle}"))
            }
            error => RecoverError::system(format_args!("taking hold of {title}"))(error),
        };
        let views = process.views(&mut Tables::new());
        let (file, link) = match handle {
            Handle::Descriptor(number) => {
                let first = match views.whole().by_thread() {
                    Some(_) => Err(Errno::NOENT),
                    None => take(&process, &format!("fd/{number}")),
                };
                match first {
                    // Who names a thread in place of a process means its table.
                    Err(Errno::NOENT) if process.is_whole() => {
                        in_threads(&views, number)?.ok_or_else(|| refused(Errno::NOENT))?
                    }
                    found => found.map_err(refused)?,
                }
            }
            Handle::OfThread(number, thread) => {
                let thread = process.thread(thread).map_err(refused)?;
                take(&thread, &format!("fd/{number}")).map_err(refused)?
            }
            Handle::Executable => take(views.whole(), "exe").map_err(refused)?,
            Handle::Mapped(address) => mapped(views.whole(), address, &title, refused)?,
        };
        let stat = fstat(&file).map_err(RecoverError::system(format_args!("asking for {title}")))?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {
                let magic = fstatfs(&file).map_or(0, |about| about.f_type.cast_unsigned());
                return Self { file, stat, link, title, magic }.checked();
            }
            FileType::Directory => "a directory",
            FileType::Socket => "a socket",
            FileType::Fifo => "a pipe",
            FileType::CharacterDevice | FileType::BlockDevice => "a device",
            _ => "an object of the kernel",
        };
        Err(RecoverError::NoContent(title, kind))
    }

    /// Refuses what is a file by its type alone.
    fn checked(self) -> Result<Self, RecoverError> {
        let name = self.link.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        match self.magic {
            magic if HANDLES.contains(&magic) => {
                Err(RecoverError::NoContent(self.title, "a handle of a namespace or a process"))
            }
            PROC if name == b"mem" => Err(RecoverError::NoContent(self.title, "the memory of a process")),
            // What is read of them is gone for whoever reads them for the host, and then the next read waits.
            PROC if name == b"kmsg" => Err(RecoverError::Endless(self.to_string())),
            TRACEFS | DEBUGFS if name.starts_with(b"trace_pipe") => {
                Err(RecoverError::Endless(self.to_string()))
            }
            // As /proc/kcore does, which is all of the memory.
            _ if self.is_made_when_read() && self.stat.st_size > MOST_MADE.cast_signed() => {
                Err(RecoverError::TooMuch(self.to_string()))
            }
            _ => Ok(self),
        }
    }

    /// Whether its length is not known before it is read.
    pub(super) fn is_made_when_read(&self) -> bool {
        MADE_WHEN_READ.contains(&self.magic)
    }

    /// What is said of it, without its name.
    #[must_use]
    pub fn title(&self) -> &str {
        &self.title
    }

    /// What the kernel's link says: its name, and ` (deleted)` behind it.
    #[must_use]
    pub fn link(&self) -> &[u8] {
        &self.link
    }

    /// Whether it has a name still.
    #[must_use]
    pub const fn is_deleted(&self) -> bool {
        self.stat.st_nlink == 0
    }

    /// Bytes that it takes.
    pub(super) fn held(&self) -> u64 {
        u64::try_from(self.stat.st_blocks).unwrap_or(0) * 512
    }

    pub(super) const fn stat(&self) -> &Stat {
        &self.stat
    }

    /// Opens it for reading, whatever the process has it open for.
    pub(super) fn open(&self) -> Result<File, RecoverError> {
        // Through the descriptor that is held: no path is looked up, and it is the same file.
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        // Not to wait changes nothing for what has an end.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC;
        open(path, flags, Mode::empty()).map(File::from).map_err(|error| match error {
            Errno::ACCESS | Errno::PERM => RecoverError::NotPermitted(self.to_string(), UNREADABLE),
            error => RecoverError::system(format_args!("opening {self}"))(error),
        })
    }

    /// Processes that may write to it, as far as they can be read.
    #[must_use]
    pub fn writers(&self) -> Vec<WritingProcess> {
        let id = held::id(&self.stat);
        let mut writers = Vec::new();
        let mut tables = Tables::new();
        for pid in crate::host::proc::pids().unwrap_or_default() {
            let Ok(process) = ProcessDir::open(pid) else { continue };
            let Some(how) = written_by(&process, id, &self.link, &mut tables) else { continue };
            let command = process.stat().map(|stat| stat.command.clone().into());
            writers.push(WritingProcess { pid, command: command.unwrap_or_default(), how });
        }
        writers
    }
}

/// A link of a process, and what it leads to.
fn take(process: &ProcessDir, name: &str) -> rustix::io::Result<(OwnedFd, Vec<u8>)> {
    Ok((held::hold(process, name)?, process.link(name)?))
}

/// The descriptor of this number in the tables of a process's threads, if it is of one file.
fn in_threads(views: &Views<'_>, number: u32) -> Result<Option<(OwnedFd, Vec<u8>)>, RecoverError> {
    let mut found: Vec<(u32, FileId, (OwnedFd, Vec<u8>))> = Vec::new();
    for table in views.tables() {
        let Some(thread) = table.by_thread() else { continue };
        let Ok(file) = take(table, &format!("fd/{number}")) else { continue };
        let Ok(stat) = fstat(&file.0) else { continue };
        if found.iter().all(|(_, id, _)| *id != held::id(&stat)) {
            found.push((thread, held::id(&stat), file));
        }
    }
    if found.len() > 1 {
        let name = |(thread, _, (_, link)): &(u32, FileId, (OwnedFd, Vec<u8>))| {
            format!("{number}@{thread} for {}", crate::format::Safe::new(link))
        };
        let names: Vec<_> = found.iter().map(name).collect();
        return Err(RecoverError::SeveralTables(views.whole().pid(), number, names.join(", ")));
    }
    Ok(found.pop().map(|(_, _, file)| file))
}

/// By what a process may write to a file, if it may.
fn written_by(process: &ProcessDir, id: FileId, link: &[u8], tables: &mut Tables) -> Option<How> {
    let views = process.views(tables);
    if let Some(how) = views.tables().find_map(|table| written_in(table, id, link)) {
        return Some(how);
    }
    let process = views.whole();
    let same = |name: &str| held::hold(process, name).and_then(fstat).is_ok_and(|stat| held::id(&stat) == id);
    let mut maps = Vec::new();
    process.read("maps", &mut maps).ok()?;
    maps.split(|byte| *byte == b'\n')
        .filter_map(Mapping::parse)
        .filter(|mapping| mapping.writes && mapping.inode == id.inode)
        .find(|mapping| mapping.device == id.device || same(&map_file(mapping)))
        .map(|mapping| How::Mapped(mapping.start, mapping.end))
}

/// A descriptor of a table by which may be written to a file.
fn written_in(table: &ProcessDir, id: FileId, link: &[u8]) -> Option<How> {
    // Names of a file that had several differ when all are gone; one that has a name is asked for by that alone.
    let deleted = link.ends_with(DELETED);
    let mut open = Vec::new();
    let candidates = table.descriptors(|number, other| {
        if other == link || (deleted && other.ends_with(DELETED)) {
            open.push(number);
        }
    });
    candidates.ok()?;
    let same = |number: u32| held::hold(table, &format!("fd/{number}")).and_then(fstat);
    let is_it = |number: u32| same(number).is_ok_and(|stat| held::id(&stat) == id);
    let number =
        open.into_iter().find(|number| held::access(table, *number) == Access::Write && is_it(*number))?;
    Some(held::how(table, number))
}

fn map_file(mapping: &Mapping<'_>) -> String {
    format!("map_files/{:x}-{:x}", mapping.start, mapping.end)
}

/// The file that a process has mapped at an address, or the only deleted one.
fn mapped(
    process: &ProcessDir,
    address: Option<u64>,
    title: &str,
    refused: impl Fn(Errno) -> RecoverError,
) -> Result<(OwnedFd, Vec<u8>), RecoverError> {
    /// A process at work splits and joins its mappings.
    const TRIES: usize = 3;
    let pid = process.pid();
    let mut last = Errno::NOENT;
    for _ in 0..TRIES {
        let mut maps = Vec::new();
        process.read("maps", &mut maps).map_err(&refused)?;
        let mappings: Vec<_> = maps.split(|byte| *byte == b'\n').filter_map(Mapping::parse).collect();
        let mapping = match address {
            Some(address) => mappings.iter().find(|mapping| (mapping.start..mapping.end).contains(&address)),
            None => only_deleted(pid, &mappings)?,
        };
        let Some(mapping) = mapping else {
            return Err(RecoverError::NotHeld(format!(
                "process {pid} does not have {}",
                Handle::Mapped(address)
            )));
        };
        if mapping.inode == 0 {
            return Err(RecoverError::NoContent(title.to_owned(), "memory without a file"));
        }
        let name = map_file(mapping);
        match held::hold(process, &name).and_then(|file| Ok((file, process.link(&name)?))) {
            Ok(found) => return Ok(found),
            Err(Errno::NOENT) => last = Errno::NOENT,
            Err(Errno::ACCESS | Errno::PERM) => {
                return otherwise(process, mapping)
                    .ok_or_else(|| RecoverError::NotPermitted(title.to_owned(), MAPPED));
            }
            Err(error) => return Err(refused(error)),
        }
    }
    Err(refused(last))
}

/// The first mapping of the only deleted file, if there is one.
fn only_deleted<'a>(pid: u32, mappings: &'a [Mapping<'a>]) -> Result<Option<&'a Mapping<'a>>, RecoverError> {
    let mut deleted: Vec<&Mapping<'_>> = Vec::new();
    for mapping in mappings.iter().filter(|mapping| mapping.path.ends_with(DELETED)) {
        if !deleted.iter().any(|seen| (seen.device, seen.inode) == (mapping.device, mapping.inode)) {
            deleted.push(mapping);
        }
    }
    match deleted[..] {
        [] => Ok(None),
        [only] => Ok(Some(only)),
        _ => {
            let name = |mapping: &&Mapping<'_>| {
                format!("mem:{:x} for {}", mapping.start, crate::format::Safe::new(mapping.path))
            };
            let names: Vec<_> = deleted.iter().map(name).collect();
            Err(RecoverError::Ambiguous(pid, names.join(", ")))
        }
    }
}

/// The same file by another way, for whoever may not follow a mapping: what the process runs, or has open too.
fn otherwise(process: &ProcessDir, mapping: &Mapping<'_>) -> Option<(OwnedFd, Vec<u8>)> {
    let mut names = vec!["exe".to_owned()];
    process.descriptors(|number, _| names.push(format!("fd/{number}"))).ok()?;
    names.iter().find_map(|name| {
        let found = take(process, name).ok()?;
        let id = held::id(&fstat(&found.0).ok()?);
        (id == FileId { device: mapping.device, inode: mapping.inode }).then_some(found)
    })
}
