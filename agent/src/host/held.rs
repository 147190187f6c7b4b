//! Files that were deleted and are still held by a process: open, mapped, run, or as a directory it is in.
//!
//! A link in /proc that ends in ` (deleted)` is a hint, for a file may be called that; what counts is that the file has no
//! link left. A file is asked through a descriptor of its own (`O_PATH`), so that all that is said is of one file.

use std::collections::HashSet;

use rustix::{
    fd::{AsFd, OwnedFd},
    fs::{FileType, Mode, OFlags, Stat, fstat, fstatfs, major, minor, openat},
    io::{Errno, Result},
};

use super::{
    netns::Namespaces,
    portrait::Painter,
    proc::{FdInfo, Mapping, ProcessDir, pids},
};
use crate::{
    files::{Access, DELETED, Facts, FileId, Findings, Hold, How, Sighting, Storage},
    flow::owner::{Owner, ProcessId},
};

/// File systems whose files are memory (linux/magic.h): tmpfs, ramfs, hugetlbfs.
const IN_MEMORY: [u64; 3] = [0x0102_1994, 0x8584_58f6, 0x9584_58f6];

/// Parent of every kernel thread (kthreadd), which has nothing open.
const KERNEL_THREADS: u32 = 2;

/// `O_ACCMODE` and `O_RDONLY` (fcntl.h).
const ACCESS_MODE: u32 = 3;
const READ_ONLY: u32 = 0;

/// Looks at every process.
///
/// # Errors
/// When /proc cannot be read. A process that cannot be is counted; one that ends meanwhile is left out.
pub fn deleted() -> Result<Findings> {
    let mut findings = Findings::default();
    let mut painter = Painter::new(Namespaces::default());
    for pid in pids()? {
        let Ok(process) = ProcessDir::open(pid) else { continue };
        match look(&process, findings.processes.len()) {
            Ok(sightings) => {
                findings.looked += 1;
                if sightings.is_empty() {
                    continue;
                }
                if let Ok(owner) = painter.paint(&process) {
                    findings.processes.push(owner);
                    findings.sightings.extend(sightings);
                }
            }
            Err(Errno::ACCESS | Errno::PERM) => {
                if process.stat().is_ok_and(|stat| stat.parent != KERNEL_THREADS && pid != KERNEL_THREADS) {
                    findings.looked += 1;
                    findings.unreadable += 1;
                }
            }
            Err(_) => {}
        }
    }
    Ok(findings)
}

/// What one process holds; without the process itself, which the caller knows.
///
/// # Errors
/// When it is gone, or may not be read.
pub fn of(process: &ProcessDir) -> Result<Findings> {
    let sightings = look(process, 0)?;
    let owner = Owner {
        id: ProcessId { pid: process.pid(), start: None },
        start_time: None,
        command: Name::default(),
        executable: None,
        uid: None,
        user: None,
        container: None,
        netns: None,
    };
    Ok(Findings { processes: vec![owner], sightings, looked: 1, unreadable: 0 })
}

/// What a process holds without a name.
fn look(process: &ProcessDir, at: usize) -> Result<Vec<Sighting>> {
    let mut sightings = Vec::new();
    let mut open = Vec::new();
    process.descriptors(|number, link| {
        if let Some(path) = link.strip_suffix(DELETED) {
            open.push((number, path.to_vec()));
        }
    })?;
    let sighting = |file: &OwnedFd, path: Vec<u8>, how, access| {
        let facts = unlinked(file)?;
        Some(Sighting { process: at, id: facts.id, facts: Some(facts), path, hold: Hold { how, access } })
    };
    for (number, path) in open {
        let Ok(file) = hold(process, &format!("fd/{number}")) else { continue };
        let access = access(process, number);
        sightings.extend(sighting(&file, path, How::Descriptor(number), access));
    }
    for (name, how) in [("exe", How::Executable), ("cwd", How::WorkingDirectory), ("root", How::Root)] {
        let Ok(link) = process.link(name) else { continue };
        let Some(path) = link.strip_suffix(DELETED) else { continue };
        let Ok(file) = hold(process, name) else { continue };
        sightings.extend(sighting(&file, path.to_vec(), how, Access::Read));
    }
    mapped(process, |mapping, file| {
        let how = How::Mapped(mapping.start, mapping.end);
        let access = if mapping.writes { Access::Write } else { Access::Read };
        let path = mapping.path.strip_suffix(DELETED).unwrap_or(mapping.path).to_vec();
        match file {
            Ok(file) => sightings.extend(sighting(&file, path, how, access)),
            // Whoever may not follow a mapping still knows that it is there. A ring of io_submit(2) has no file.
            Err(_) if path != b"/[aio]" => {
                let id = FileId { device: mapping.device, inode: mapping.inode };
                let hold = Hold { how, access };
                sightings.push(Sighting { process: at, id, facts: None, path, hold });
            }
            Err(_) => {}
        }
    })?;
    Ok(sightings)
}

/// Hands over each deleted file that a process has mapped, by its first mapping or, where one is written through, that, and
/// the file itself where it may be followed.
fn mapped(process: &ProcessDir, mut each: impl FnMut(&Mapping<'_>, Result<OwnedFd>)) -> Result<()> {
    let mut maps = Vec::new();
    process.read("maps", &mut maps)?;
    let mut mappings: Vec<_> = maps
        .split(|byte| *byte == b'\n')
        .filter(|line| line.ends_with(DELETED))
        .filter_map(Mapping::parse)
        .collect();
    mappings.sort_by_key(|mapping| !mapping.writes);
    let mut seen = HashSet::new();
    for mapping in mappings {
        if seen.insert((mapping.device, mapping.inode)) {
            let file = hold(process, &format!("map_files/{:x}-{:x}", mapping.start, mapping.end));
            each(&mapping, file);
        }
    }
    Ok(())
}

/// A descriptor for what a link below a process's directory leads to, which opens nothing: no device is woken, no permission of the
/// file is asked for.
pub(super) fn hold(process: &ProcessDir, name: &str) -> Result<OwnedFd> {
    openat(process.as_dir(), name, OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
}

/// What there is to say of a file or directory that has no name any more; `None` for everything else.
fn unlinked(file: impl AsFd) -> Option<FileFacts> {
    let stat = fstat(&file).ok()?;
    let directory = match FileType::from_raw_mode(stat.st_mode) {
        FileType::RegularFile => false,
        FileType::Directory => true,
        _ => return None,
    };
    if stat.st_nlink != 0 {
        return None;
    }
    Some(FileFacts {
        id: id(&stat),
        directory,
        storage: storage(&file),
        size: u64::try_from(stat.st_size).ok()?,
        held: u64::try_from(stat.st_blocks).ok()? * 512,
    })
}

/// What a file takes.
fn storage(file: impl AsFd) -> Storage {
    let magic = fstatfs(file).map_or(0, |about| about.f_type.cast_unsigned());
    if IN_MEMORY.contains(&magic) { Storage::Memory } else { Storage::Disk }
}

/// What a process may do through a descriptor.
pub(super) fn access(process: &ProcessDir, number: u32) -> Access {
    let mut text = Vec::new();
    let flags =
        process.read(&format!("fdinfo/{number}"), &mut text).ok().and_then(|()| FdInfo::parse(&text).flags);
    if flags.is_some_and(|flags| flags & ACCESS_MODE != READ_ONLY) { Access::Write } else { Access::Read }
}

/// Which file it is.
pub(super) fn id(stat: &Stat) -> FileId {
    FileId { device: (major(stat.st_dev).into(), minor(stat.st_dev).into()), inode: stat.st_ino }
}
