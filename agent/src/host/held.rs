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
    opened::{self, LookFor},
    proc::{FdInfo, Mapping, ProcessDir, Tables, pids},
};
use crate::{
    format::Name,
    host::painter::Painter,
    model::{
        held::{Access, DELETED, FileFacts, FileId, Findings, Hold, How, Sighting, Storage},
        owner::{Owner, ProcessId},
    },
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
    let mut tables = Tables::new();
    let pids = pids()?;
    let holders =
        opened::of_many_files(LookFor::Files).and_then(|mut tables| tables.holders_of_deleted().ok());
    if holders.is_none() {
        opened::instead()?;
    }
    for pid in pids {
        let Ok(process) = ProcessDir::open(pid) else { continue };
        let has_any = holders.as_ref().is_none_or(|holders| holders.contains(&pid));
        match look(&process, findings.processes.len(), &mut tables, has_any) {
            Ok(sightings) => {
                findings.looked += 1;
                if sightings.is_empty() {
                    continue;
                }
                if let Ok(owner) = painter.paint(&process) {
                    findings.processes.push(owner);
                    findings.shared_memory.extend(shared_memory(&process, &sightings));
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
    let sightings = look(process, 0, &mut Tables::new(), true)?;
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
    let shared_memory = shared_memory(process, &sightings).into_iter().collect();
    Ok(Findings { processes: vec![owner], sightings, shared_memory, looked: 1, unreadable: 0 })
}

/// The device of what a process has mounted at /dev/shm, where it is worth asking: it holds something in memory.
fn shared_memory(process: &ProcessDir, sightings: &[Sighting]) -> Option<(u64, u64)> {
    let in_memory = |seen: &Sighting| seen.facts.is_some_and(|facts| facts.storage == Storage::Memory);
    if !sightings.iter().any(in_memory) {
        return None;
    }
    let device = |name: &str| {
        let file = hold(process, name).ok()?;
        Some((id(&fstat(&file).ok()?).device, storage(&file)))
    };
    let (found, storage) = device("root/dev/shm")?;
    // A folder of another file system is known by its name alone.
    let is_mounted = device("root/dev").is_none_or(|(above, _)| above != found);
    (is_mounted && storage == Storage::Memory).then_some(found)
}

/// What a process holds without a name, in whichever of its threads' tables. One that does not have any such file open or mapped, as the
/// kernel's tables say, may still run it or be in it.
fn look(process: &ProcessDir, at: usize, tables: &mut Tables, has_any: bool) -> Result<Vec<Sighting>> {
    // Where a link cannot be read, nor can the rest; and of one that has ended nothing is known.
    let has_any = has_any
        || match process.link("root") {
            Ok(_) => false,
            Err(error @ (Errno::ACCESS | Errno::PERM)) => return Err(error),
            Err(_) => true,
        };
    let mut sightings = Vec::new();
    let views = process.views(tables);
    for table in views.tables().filter(|_| has_any) {
        match opened(table, at) {
            Ok(found) => sightings.extend(found),
            // A thread that ends meanwhile takes its table with it.
            Err(Errno::NOENT | Errno::SRCH) if table.by_thread().is_some() => {}
            Err(error) => return Err(error),
        }
    }
    let whole = views.whole();
    sightings.extend(linked(whole, "exe", How::Executable, at));
    let directories = [("cwd", How::WorkingDirectory), ("root", How::Root)];
    sightings.extend(directories.iter().filter_map(|(name, how)| linked(whole, name, *how, at)));
    for thread in process.apart(tables) {
        for found in directories.iter().filter_map(|(name, how)| linked(&thread, name, *how, at)) {
            if !sightings.iter().any(|known| known.id == found.id && known.hold == found.hold) {
                sightings.push(found);
            }
        }
    }
    if !has_any {
        return Ok(sightings);
    }
    mapped(whole, |mapping, file| {
        let how = How::Mapped(mapping.start, mapping.end);
        let access = if mapping.writes { Access::Write } else { Access::Read };
        let path = mapping.path.strip_suffix(DELETED).unwrap_or(mapping.path).to_vec();
        match file {
            Ok(file) => sightings.extend(sighting(&file, path, Hold { how, access }, at)),
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

/// What is open without a name in one table.
fn opened(table: &ProcessDir, at: usize) -> Result<Vec<Sighting>> {
    let mut open = Vec::new();
    table.descriptors(|number, link| {
        if let Some(path) = link.strip_suffix(DELETED) {
            open.push((number, path.to_vec()));
        }
    })?;
    let sightings = open.into_iter().filter_map(|(number, path)| {
        let file = hold(table, &format!("fd/{number}")).ok()?;
        sighting(&file, path, Hold { how: how(table, number), access: access(table, number) }, at)
    });
    Ok(sightings.collect())
}

/// What a link leads to, if that has no name.
fn linked(process: &ProcessDir, name: &str, how: How, at: usize) -> Option<Sighting> {
    let link = process.link(name).ok()?;
    let path = link.strip_suffix(DELETED)?.to_vec();
    let file = hold(process, name).ok()?;
    sighting(&file, path, Hold { how, access: Access::Read }, at)
}

fn sighting(file: &OwnedFd, path: Vec<u8>, hold: Hold, at: usize) -> Option<Sighting> {
    let facts = unlinked(file)?;
    Some(Sighting { process: at, id: facts.id, facts: Some(facts), path, hold })
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

/// How a descriptor of a table is held.
pub(super) fn how(table: &ProcessDir, number: u32) -> How {
    table.by_thread().map_or(How::Descriptor(number), |thread| How::OfThread(number, thread))
}

/// Which file it is.
pub(super) fn id(stat: &Stat) -> FileId {
    FileId { device: (major(stat.st_dev).into(), minor(stat.st_dev).into()), inode: stat.st_ino }
}
