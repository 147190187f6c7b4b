//! The files there are, from what was seen in each process: each file once, with all that hold it.

use std::collections::{BTreeMap, HashMap, HashSet};

use super::{DeletedRequest, DeletedSort};
use crate::{
    format::Safe,
    model::{
        held::{Access, FileId, Findings, Hold, How, Sighting, Storage},
        owner::Owner,
    },
};

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DeletedKind {
    /// A file that had a name.
    File,
    /// A directory that was removed.
    Directory,
    /// `memfd_create(2)`.
    Memfd,
    /// `shm_open(3)`: /dev/shm.
    PosixShm,
    /// shmget(2): lives on without a process, unless it was removed with `IPC_RMID`.
    SystemVShm,
    /// mmap(2) with `MAP_SHARED | MAP_ANONYMOUS`: what a process shares with its children.
    SharedAnonymous,
}

/// A file without a name.
#[derive(Clone, Debug)]
pub struct DeletedFile {
    /// Which.
    pub id: FileId,
    /// What it is.
    pub kind: DeletedKind,
    /// What it takes.
    pub storage: Storage,
    /// Its last name.
    pub path: Vec<u8>,
    /// Length in bytes, and bytes that are taken; `None` for one that is mapped by a process and could not be asked.
    pub sizes: Option<(u64, u64)>,
    /// Who holds it, by PID.
    pub holders: Vec<FileHolder>,
}

/// A process that holds a file.
#[derive(Clone, Debug)]
pub struct FileHolder {
    /// The process's place in [`Deleted::processes`].
    pub process: usize,
    /// In which ways, descriptors last.
    pub holds: Vec<Hold>,
}

/// Files and what they take.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sum {
    /// Files.
    pub files: u64,
    /// Bytes that they take.
    pub held: u64,
}

/// Every file that was deleted and is still held.
#[derive(Clone, Debug, Default)]
pub struct Deleted {
    /// The files, each once.
    pub files: Vec<DeletedFile>,
    /// Processes that hold any.
    pub processes: Vec<Owner>,
    /// Processes that were looked at.
    pub looked: usize,
    /// Processes among them that could not be read.
    pub unreadable: usize,
}

/// What one process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ProcessShare {
    /// The process's place in [`Deleted::processes`].
    pub process: usize,
    /// On disk.
    pub disk: Sum,
    /// In memory.
    pub memory: Sum,
    /// Bytes, of both, that nobody else holds: what would be free if it ended.
    pub alone: u64,
}

impl DeletedFile {
    /// Bytes that it takes; 0 where that is not known.
    #[must_use]
    pub fn held(&self) -> u64 {
        self.sizes.map_or(0, |(_, held)| held)
    }

    /// Length in bytes; 0 where that is not known.
    fn size(&self) -> u64 {
        self.sizes.map_or(0, |(size, _)| size)
    }

    /// Whether somebody may still write to it.
    #[must_use]
    pub fn is_written(&self) -> bool {
        self.holders.iter().flat_map(|holder| &holder.holds).any(|hold| hold.access == Access::Write)
    }

    /// Bytes that it takes, or what is mapped of it where that is not known: what a limit is compared with.
    fn at_least(&self) -> u64 {
        let mapped = |hold: &Hold| match hold.how {
            How::Mapped(start, end) => end.saturating_sub(start),
            _ => 0,
        };
        let most = || self.holders.iter().flat_map(|holder| &holder.holds).map(mapped).max().unwrap_or(0);
        self.sizes.map_or_else(most, |(_, held)| held)
    }
}

impl Deleted {
    /// Puts together what was seen.
    #[must_use]
    pub fn new(findings: Findings) -> Self {
        let Findings { processes, sightings, shared_memory, looked, unreadable } = findings;
        let mut files: BTreeMap<FileId, DeletedFile> = BTreeMap::new();
        // What is known of a file comes first, so that a mapping without facts finds the file if anybody has it open.
        let (known, unknown): (Vec<_>, Vec<_>) = sightings.into_iter().partition(|seen| seen.facts.is_some());
        for seen in known.into_iter().chain(unknown) {
            let file = files.entry(seen.id).or_insert_with(|| DeletedFile::new(&seen, &shared_memory));
            match file.holders.iter_mut().find(|holder| holder.process == seen.process) {
                Some(holder) => holder.holds.push(seen.hold),
                None => file.holders.push(FileHolder { process: seen.process, holds: vec![seen.hold] }),
            }
        }
        let mut files: Vec<_> = files.into_values().collect();
        for file in &mut files {
            file.holders.sort_by_key(|holder| processes[holder.process].id);
            for holder in &mut file.holders {
                holder.holds.sort_unstable();
            }
        }
        Self { files, processes, looked, unreadable }
    }

    /// Only what is asked for, in the order that is asked for.
    pub fn select(&mut self, request: &DeletedRequest) {
        self.files.retain(|file| file.at_least() >= request.min_size);
        let processes = &self.processes;
        let pid = |file: &DeletedFile| file.holders.first().map(|holder| processes[holder.process].id);
        match request.sort {
            DeletedSort::Held => self.files.sort_by_key(|file| std::cmp::Reverse((file.held(), file.size()))),
            DeletedSort::Size => self.files.sort_by_key(|file| std::cmp::Reverse((file.size(), file.held()))),
            DeletedSort::Pid => self.files.sort_by_key(pid),
            DeletedSort::Path => self.files.sort_by(|one, other| one.path.cmp(&other.path)),
        }
    }

    /// How many files take how much of one kind of storage, each counted once.
    #[must_use]
    pub fn sum(&self, storage: Storage) -> Sum {
        let mut sum = Sum::default();
        self.files.iter().filter(|file| file.storage == storage).for_each(|file| sum.add(file));
        sum
    }

    /// Files of which it is not known what they take.
    #[must_use]
    pub fn unknown(&self) -> usize {
        self.files.iter().filter(|file| file.sizes.is_none()).count()
    }

    /// What each process holds, in the order that is asked for. A file that several hold counts for each of them.
    pub(super) fn shares(&self, sort: DeletedSort) -> Vec<ProcessShare> {
        let mut shares: HashMap<usize, ProcessShare> = HashMap::new();
        for file in &self.files {
            for holder in &file.holders {
                let process = holder.process;
                let share = shares.entry(process).or_insert(ProcessShare {
                    process,
                    disk: Sum::default(),
                    memory: Sum::default(),
                    alone: 0,
                });
                match file.storage {
                    Storage::Disk => share.disk.add(file),
                    Storage::Memory => share.memory.add(file),
                }
                // A segment of System V outlives whoever is attached to it.
                if file.holders.len() == 1 && file.kind != DeletedKind::SystemVShm {
                    share.alone += file.held();
                }
            }
        }
        let mut shares: Vec<_> = shares.into_values().collect();
        let id = |share: &ProcessShare| self.processes[share.process].id;
        shares.sort_unstable_by_key(id);
        match sort {
            DeletedSort::Pid => {}
            DeletedSort::Held | DeletedSort::Size => {
                shares.sort_by_key(|share| std::cmp::Reverse((share.disk.held, share.memory.held)));
            }
            DeletedSort::Path => shares.sort_by_key(|share| &self.processes[share.process].command),
        }
        shares
    }
}

impl Sum {
    const fn add(&mut self, file: &DeletedFile) {
        self.files += 1;
        if let Some((_, held)) = file.sizes {
            self.held += held;
        }
    }
}

impl DeletedFile {
    fn new(seen: &Sighting, shared_memory: &HashSet<(u64, u64)>) -> Self {
        let (kind, by_name) = match kind(&seen.path) {
            (DeletedKind::File, _) if shared_memory.contains(&seen.id.device) => {
                (DeletedKind::PosixShm, Storage::Memory)
            }
            by_name => by_name,
        };
        let (kind, storage) = match seen.facts {
            Some(facts) if facts.directory => (DeletedKind::Directory, facts.storage),
            Some(facts) if facts.storage == Storage::Disk => (DeletedKind::File, Storage::Disk),
            Some(facts) => (kind, facts.storage),
            None => (kind, by_name),
        };
        let sizes = seen.facts.map(|facts| (facts.size, facts.held));
        Self { id: seen.id, kind, storage, path: seen.path.clone(), sizes, holders: Vec::new() }
    }

    /// Its last name, to print.
    #[must_use]
    pub fn name(&self) -> Safe<'_> {
        Safe::new(&self.path)
    }
}

/// What a file in memory is, by its name; and what a file of such a name takes, as far as a name can tell.
fn kind(path: &[u8]) -> (DeletedKind, Storage) {
    let kind = match path {
        [b'/', b'm', b'e', b'm', b'f', b'd', b':', ..] => DeletedKind::Memfd,
        [b'/', b'S', b'Y', b'S', b'V', key @ ..] if key.iter().all(u8::is_ascii_hexdigit) => {
            DeletedKind::SystemVShm
        }
        b"/dev/zero" => DeletedKind::SharedAnonymous,
        _ if path.starts_with(b"/dev/shm/") => DeletedKind::PosixShm,
        _ => return (DeletedKind::File, Storage::Disk),
    };
    (kind, Storage::Memory)
}

impl DeletedKind {
    /// In one word, for machines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Memfd => "memfd",
            Self::PosixShm => "posix_shm",
            Self::SystemVShm => "sysv_shm",
            Self::SharedAnonymous => "shared_anonymous",
        }
    }

    /// For people.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Memfd => "memfd",
            Self::PosixShm => "POSIX shm",
            Self::SystemVShm => "SysV shm",
            Self::SharedAnonymous => "shared",
        }
    }
}
