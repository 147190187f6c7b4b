//! Files that processes hold: which file it is, how it is held, and what was seen of all that are deleted.

use std::{collections::HashSet, fmt};

use super::owner::Owner;

/// What the kernel adds to the name of a file that has none any more (`fs/d_path.c`).
pub const DELETED: &[u8] = b" (deleted)";

/// Identity of a file, while it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FileId {
    /// Major and minor number of the file system's device.
    pub device: (u64, u64),
    /// Inode number.
    pub inode: u64,
}

/// What a file takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Storage {
    /// Space of a file system.
    Disk,
    /// Memory, or swap: the file system is tmpfs, ramfs, hugetlbfs, or none that was ever mounted.
    Memory,
}

impl Storage {
    /// In one word, for machines.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Disk => "disk",
            Self::Memory => "memory",
        }
    }
}

/// What stat(2) says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FileFacts {
    /// Which file.
    pub id: FileId,
    /// Whether it is a directory.
    pub directory: bool,
    /// What it takes.
    pub storage: Storage,
    /// Length in bytes, holes included.
    pub size: u64,
    /// Bytes that are taken: 512 for each of `st_blocks`.
    pub held: u64,
}

/// How a process holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum How {
    /// Its working directory.
    WorkingDirectory,
    /// Its root directory.
    Root,
    /// It runs it.
    Executable,
    /// Mapped to memory, from the first address to the one behind the last.
    Mapped(u64, u64),
    /// A file descriptor.
    Descriptor(u32),
    /// A file descriptor in a table that is not the first thread's: its number, and a thread that has the table.
    OfThread(u32, u32),
}

impl How {
    /// Whether it is by a descriptor.
    #[must_use]
    pub const fn is_open(self) -> bool {
        matches!(self, Self::Descriptor(_) | Self::OfThread(..))
    }

    /// The thread whose table it is, where that is not the first one's.
    #[must_use]
    pub const fn thread(self) -> Option<u32> {
        match self {
            Self::OfThread(_, thread) => Some(thread),
            _ => None,
        }
    }
}

impl fmt::Display for How {
    /// As `flowtally recover --fd` takes it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::WorkingDirectory => f.write_str("cwd"),
            Self::Root => f.write_str("rtd"),
            Self::Executable => f.write_str("txt"),
            Self::Mapped(start, _) => write!(f, "mem:{start:x}"),
            Self::Descriptor(number) => write!(f, "{number}"),
            Self::OfThread(number, thread) => write!(f, "{number}@{thread}"),
        }
    }
}

/// What a holder may do with a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Access {
    /// Read it only.
    Read,
    /// Write to it.
    Write,
}

/// One way in which a process holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hold {
    /// How.
    pub how: How,
    /// What it may do through it.
    pub access: Access,
}

/// Something that a process holds, as it was seen.
#[derive(Clone, Debug)]
pub struct Sighting {
    /// The process's place in [`Findings::processes`].
    pub process: usize,
    /// Which file, as far as is known: a mapping's own numbers where it could not be followed to its file.
    pub id: FileId,
    /// What stat(2) says; `None` for a mapping that could not be followed.
    pub facts: Option<FileFacts>,
    /// Its last name, without ` (deleted)`.
    pub path: Vec<u8>,
    /// How it is held.
    pub hold: Hold,
}

/// Everything that was seen.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// Processes that hold something.
    pub processes: Vec<Owner>,
    /// What they hold.
    pub sightings: Vec<Sighting>,
    /// File systems that any of them has mounted at its /dev/shm, which may have another path here: their devices.
    pub shared_memory: HashSet<(u64, u64)>,
    /// Processes that were looked at.
    pub looked: usize,
    /// Processes among them that could not be read.
    pub unreadable: usize,
}
