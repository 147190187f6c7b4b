//! Open files as records, wherever they come from: the kernel walks its own tables where it may be asked, and /proc is read where not.
//!
//! A record says what is known of a descriptor before /proc is asked. What it does not say is asked there, by whoever needs it: so
//! everybody else sees the same, whichever way it came.

mod socket;

use std::{
    fs,
    ops::{ControlFlow, Range},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
};

use rustix::fs::{AtFlags, CWD, statat};

pub use self::socket::{RecordedSocket, UnixRecord};
use crate::kernel::walk::{
    FileKinds, FileSelection, KernelTables, MappingSelection, NoWalk, TaskSelection, WalkedFile, WalkedInode,
    WalkedLink, WalkedMapping, walk_by_proc,
};
pub use crate::kernel::walk::{IdSet, WalkError, WalkedTask};

/// Whether /proc must not be taken in place of a walk: for tests.
static WALKS_ONLY: AtomicBool = AtomicBool::new(false);

/// Which way open files are to be read, for tests: `proc`, or `iterators`.
///
/// # Errors
/// What is wrong with the word, or why the kernel's tables cannot be walked.
pub fn choose(way: &str) -> Result<(), String> {
    match way {
        "proc" => walk_by_proc(),
        "iterators" => {
            KernelTables::open()
                .map_err(|why| format!("the kernel's tables of open files are not walked: {why}"))?;
            WALKS_ONLY.store(true, Ordering::Relaxed);
        }
        _ => return Err(format!("\"{way}\" is neither \"proc\" nor \"iterators\"")),
    }
    Ok(())
}

/// Whether to read /proc, since a walk was not possible. Tests may have said that it must be.
///
/// # Errors
/// `NOTSUP` when it must.
pub fn instead() -> rustix::io::Result<()> {
    if WALKS_ONLY.load(Ordering::Relaxed) { Err(rustix::io::Errno::NOTSUP) } else { Ok(()) }
}

/// What is looked for among all open files. /proc costs the less to ask the less of each file is wanted; a walk costs some milliseconds to
/// begin with, and hardly anything for a file (the figures are in docs/performance.md).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LookFor {
    /// Sockets alone.
    Sockets,
    /// Everything, without the flags of open(2).
    Files,
    /// Everything, with them.
    Flags,
    /// A few files.
    Few,
}

impl LookFor {
    /// From so many open files on a walk takes less processor time than /proc.
    const fn worth(self) -> u64 {
        match self {
            Self::Sockets => 1_000,
            Self::Flags => 1_500,
            Self::Files => 3_000,
            Self::Few => 7_000,
        }
    }
}

/// From so many sockets on, a walk of one process takes less processor time than the tables of all.
const MANY_SOCKETS: u64 = 5_000;

/// Where open files were read from last, once they were.
static SERVED: Mutex<Option<String>> = Mutex::new(None);

/// Where open files were read from last, and why not from the kernel's tables: the end of a sentence. `None` where none were looked for
/// on the whole host.
#[must_use]
pub fn served() -> Option<String> {
    SERVED.lock().unwrap_or_else(PoisonError::into_inner).clone()
}

fn note_served(by: String) {
    *SERVED.lock().unwrap_or_else(PoisonError::into_inner) = Some(by);
}

/// Why open files are read from /proc alone, however many there are; `None` where the kernel's tables may be walked.
#[must_use]
pub fn why_proc() -> Option<String> {
    OpenTables::open().err().map(|why| why.to_string())
}

/// The kernel's tables, where there is enough to read to be worth it.
fn worthwhile(what: &str, count: Option<u64>, enough: u64) -> Option<OpenTables> {
    if !WALKS_ONLY.load(Ordering::Relaxed)
        && let Some(count) = count.filter(|count| *count < enough)
    {
        note_served(format!("/proc: {count} {what} are fewer than the {enough} that a walk is worth it for"));
        return None;
    }
    match OpenTables::open() {
        Ok(tables) => {
            note_served("the kernel's own tables (BPF iterators)".to_owned());
            Some(tables)
        }
        Err(why) => {
            note_served(format!("/proc: {why}"));
            None
        }
    }
}

/// The kernel's tables, where the host has many files open.
#[must_use]
pub fn of_many_files(wanted: LookFor) -> Option<OpenTables> {
    // Allocated, free and at most.
    let text = fs::read_to_string("/proc/sys/fs/file-nr").unwrap_or_default();
    let count = text.split_ascii_whitespace().next().and_then(|count| count.parse().ok());
    worthwhile("open files", count, wanted.worth())
}

/// The kernel's tables, where this network namespace has many sockets.
#[must_use]
pub fn of_many_sockets() -> Option<OpenTables> {
    let text = fs::read_to_string("/proc/thread-self/net/sockstat").unwrap_or_default();
    let used = text.lines().find_map(|line| line.strip_prefix("sockets: used "));
    worthwhile("sockets", used.and_then(|count| count.trim().parse().ok()), MANY_SOCKETS)
}

/// What stat(2) says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RecordedStat {
    /// Major and minor number of the device that holds it.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Links.
    pub links: u32,
    /// Length in bytes.
    pub size: u64,
    /// Major and minor number of the device that it is.
    pub rdev: (u32, u32),
}

impl RecordedStat {
    /// Of a walked file, where its inode is all that stat(2) would ask.
    fn of(file: &WalkedInode) -> Option<Self> {
        let WalkedInode { device, inode, mode, links, size, rdev, exact, .. } = *file;
        exact.then_some(Self { device, inode, mode, links, size, rdev })
    }
}

/// What the link of a descriptor says.
#[derive(Clone, Debug, PartialEq, Eq)]
enum RecordedLink {
    /// A text: where it is.
    Text(Range<usize>),
    Socket,
    Pipe,
    /// It must be read.
    Unknown,
}

/// What a link says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkText<'a> {
    /// As it is.
    Text(&'a [u8]),
    /// `socket:[INODE]`
    Socket(u64),
    /// `pipe:[INODE]`
    Pipe(u64),
    /// Not known: it must be read.
    Unknown,
}

/// A descriptor, as far as it is known without asking /proc.
#[derive(Clone, Debug)]
pub struct DescriptorRecord {
    /// Its number.
    pub fd: u32,
    /// What stat(2) says of the file; `None` where it must be asked.
    pub stat: Option<RecordedStat>,
    /// The flags of open(2), with `O_CLOEXEC`; `None` where that is not known.
    pub flags: Option<u32>,
    /// Whether it is open for reading, and for writing.
    pub access: (bool, bool),
    /// Where the next byte is read or written; `None` before the beginning.
    pub position: Option<u64>,
    /// The number of an eventfd.
    pub event: Option<u32>,
    /// Whether it is an epoll instance that is known to watch nothing.
    pub idle: bool,
    /// Whether nobody is known to have a lock on the file.
    pub unlocked: bool,
    /// What socket it is.
    pub socket: Option<Box<RecordedSocket>>,
    /// The inode number, as the kernel has it.
    pub inode: u64,
    link: RecordedLink,
}

const O_CLOEXEC: u32 = 0o2_000_000;

/// The first thread's table of descriptors of a process.
#[derive(Clone, Debug, Default)]
pub struct RecordedTable {
    /// The process.
    pub pid: u32,
    /// In ascending order.
    pub records: Vec<DescriptorRecord>,
    text: Vec<u8>,
}

impl RecordedTable {
    /// Of a process that has nothing open that is wanted.
    #[must_use]
    pub fn empty(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// What the link of one of its descriptors says.
    #[must_use]
    pub fn link(&self, record: &DescriptorRecord) -> LinkText<'_> {
        match &record.link {
            RecordedLink::Text(range) => {
                self.text.get(range.clone()).map_or(LinkText::Unknown, LinkText::Text)
            }
            RecordedLink::Socket => LinkText::Socket(record.inode),
            RecordedLink::Pipe => LinkText::Pipe(record.inode),
            RecordedLink::Unknown => LinkText::Unknown,
        }
    }

    fn push(&mut self, file: &WalkedFile<'_>, own: u64) {
        let link = match file.link {
            WalkedLink::Path(path) => {
                let from = self.text.len();
                self.text.extend_from_slice(path);
                RecordedLink::Text(from..self.text.len())
            }
            WalkedLink::Socket => RecordedLink::Socket,
            WalkedLink::Pipe => RecordedLink::Pipe,
            WalkedLink::NotAsked if file.socket.is_some() => RecordedLink::Socket,
            WalkedLink::NotAsked | WalkedLink::Unknown => RecordedLink::Unknown,
        };
        let closes = |closes| file.flags | if closes { O_CLOEXEC } else { 0 };
        self.records.push(DescriptorRecord {
            fd: file.fd,
            stat: RecordedStat::of(&file.file),
            flags: file.close_on_exec.map(closes),
            access: (file.reads, file.writes),
            // fdinfo prints it with a sign.
            position: i64::try_from(file.position).ok().map(i64::cast_unsigned),
            event: file.event,
            idle: file.idle,
            unlocked: file.unlocked,
            socket: file.socket.as_ref().map(|socket| Box::new(RecordedSocket::of(socket, own))),
            inode: file.file.inode,
            link,
        });
    }
}

/// Which descriptors are wanted, and what of each.
#[derive(Clone, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each of them is a part that may be asked for alone")]
pub struct WantedRecords {
    /// Sockets alone.
    pub only_sockets: bool,
    /// What sockets are.
    pub sockets: bool,
    /// What /proc/net/unix has of UNIX sockets.
    pub unix: bool,
    /// Of sockets only those of the Internet families.
    pub internet: bool,
    /// Only sockets with one of these ports.
    pub ports: Option<IdSet>,
    /// Only files with one of these inode numbers, or such as look like it.
    pub inodes: Option<IdSet>,
    /// Only files on this device.
    pub device: Option<(u32, u32)>,
    /// The links' texts.
    pub paths: bool,
    /// The flags of open(2).
    pub flags: bool,
    /// Whether there are locks on it.
    pub locks: bool,
}

impl WantedRecords {
    /// What it is that is looked for.
    #[must_use]
    pub const fn look_for(&self) -> LookFor {
        if self.only_sockets {
            LookFor::Sockets
        } else if self.inodes.is_some() {
            LookFor::Few
        } else if self.flags {
            LookFor::Flags
        } else {
            LookFor::Files
        }
    }

    fn selection(&self, process: Option<u32>) -> FileSelection<'_> {
        FileSelection {
            process,
            kind: if self.only_sockets { FileKinds::Sockets } else { FileKinds::All },
            inodes: self.inodes.as_ref(),
            device: self.device,
            ports: self.ports.as_ref(),
            path: self.paths,
            close_on_exec: self.flags,
            socket: self.sockets,
            socket_address: self.unix,
            internet: self.internet,
            locks: self.locks,
            ..FileSelection::default()
        }
    }
}

/// A file that a process maps, as /proc/PID/maps has it.
#[derive(Clone, Debug)]
pub struct MappingRecord {
    /// First address, and the one behind the last.
    pub addresses: (u64, u64),
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// What stat(2) says of the file; `None` where it must be asked.
    pub stat: Option<RecordedStat>,
    /// Whether it is the executable of its process.
    pub executable: bool,
    path: Range<usize>,
}

/// The files that a process maps, in the order of their addresses. One that it maps several times may be there as often.
#[derive(Clone, Debug, Default)]
pub struct RecordedMappings {
    /// The process.
    pub pid: u32,
    /// One after the other.
    pub records: Vec<MappingRecord>,
    text: Vec<u8>,
    /// Whether it takes /proc to know all of their paths.
    partly: bool,
}

impl RecordedMappings {
    /// Of a process that maps nothing that is wanted.
    #[must_use]
    pub fn empty(pid: u32) -> Self {
        Self { pid, ..Self::default() }
    }

    /// The path of a mapped file.
    #[must_use]
    pub fn path(&self, record: &MappingRecord) -> &[u8] {
        self.text.get(record.path.clone()).unwrap_or_default()
    }

    /// Whether nothing is missing.
    #[must_use]
    pub const fn is_complete(&self) -> bool {
        !self.partly
    }

    fn push(&mut self, mapping: &WalkedMapping<'_>) {
        let WalkedLink::Path(path) = mapping.link else {
            self.partly = true;
            return;
        };
        let from = self.text.len();
        self.text.extend_from_slice(path);
        self.records.push(MappingRecord {
            addresses: (mapping.start, mapping.end),
            device: mapping.file.device,
            inode: mapping.file.inode,
            stat: RecordedStat::of(&mapping.file),
            executable: mapping.executable,
            path: from..self.text.len(),
        });
    }
}

/// The kernel's tables of open files.
#[derive(Debug)]
pub struct OpenTables {
    tables: KernelTables,
    /// The network namespace that this process is in, by its inode; 0 where nobody knows.
    own: u64,
}

impl OpenTables {
    /// Finds out whether they can be walked.
    ///
    /// # Errors
    /// Why not.
    pub fn open() -> Result<Self, NoWalk> {
        let tables = KernelTables::open()?;
        let own = statat(CWD, "/proc/thread-self/ns/net", AtFlags::empty()).map_or(0, |stat| stat.st_ino);
        Ok(Self { tables, own })
    }

    /// Hands over the table of each process in turn, in ascending order, but those of whom nothing is wanted. Returns the
    /// processes of which threads have tables of their own.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn tables(
        &mut self,
        wanted: &WantedRecords,
        process: Option<u32>,
        mut each: impl FnMut(RecordedTable),
    ) -> Result<Vec<u32>, WalkError> {
        let mut table = RecordedTable::default();
        let mut apart = Vec::new();
        let own = self.own;
        self.tables.files(&wanted.selection(process), |file| {
            if file.tid != file.pid {
                if apart.last() != Some(&file.pid) {
                    apart.push(file.pid);
                }
                return ControlFlow::Continue(());
            }
            if file.pid != table.pid {
                let before = std::mem::take(&mut table);
                if before.pid != 0 {
                    each(before);
                }
                table.pid = file.pid;
            }
            table.push(file, own);
            ControlFlow::Continue(())
        })?;
        if table.pid != 0 {
            each(table);
        }
        apart.sort_unstable();
        apart.dedup();
        Ok(apart)
    }

    /// Hands over the mapped files of each process in turn, in ascending order, but of those that map none. Only files with one of
    /// these inode numbers, or such as look like it.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn mappings(
        &mut self,
        inodes: Option<&IdSet>,
        mut each: impl FnMut(RecordedMappings) -> ControlFlow<()>,
    ) -> Result<(), WalkError> {
        let selection =
            MappingSelection { inodes, path: true, distinct: true, ..MappingSelection::default() };
        let mut mappings = RecordedMappings::default();
        self.tables.mappings(&selection, |mapping| {
            if mapping.pid != mappings.pid {
                let before = std::mem::replace(&mut mappings, RecordedMappings::empty(mapping.pid));
                if before.pid != 0 {
                    each(before)?;
                }
            }
            mappings.push(mapping);
            ControlFlow::Continue(())
        })?;
        if mappings.pid != 0 {
            // It was the last one.
            let _ = each(mappings);
        }
        Ok(())
    }

    /// What /proc/PID/stat says of each process that has memory of its own, in ascending order.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn processes(&mut self) -> Result<Vec<WalkedTask>, WalkError> {
        let mut tasks = Vec::new();
        self.tables.tasks(&TaskSelection::default(), |task| {
            tasks.push(*task);
            ControlFlow::Continue(())
        })?;
        tasks.sort_unstable_by_key(|task| task.pid);
        Ok(tasks)
    }

    /// Hands over the inode number of each socket that is open, with the process, the thread in whose table it is, and the descriptor.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn sockets(&mut self, mut each: impl FnMut(u64, u32, u32, u32)) -> Result<(), WalkError> {
        let selection = FileSelection { kind: FileKinds::Sockets, ..FileSelection::default() };
        self.tables.files(&selection, |file| {
            each(file.file.inode, file.pid, file.tid, file.fd);
            ControlFlow::Continue(())
        })
    }

    /// Processes that may hold a file without a name, open or mapped: no other does, but by its executable, working directory or root.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn holders_of_deleted(&mut self) -> Result<hashbrown::HashSet<u32>, WalkError> {
        let mut pids = hashbrown::HashSet::new();
        let selection =
            FileSelection { kind: FileKinds::NoSockets, unlinked: true, ..FileSelection::default() };
        self.tables.files(&selection, |file| {
            pids.insert(file.pid);
            ControlFlow::Continue(())
        })?;
        let selection = MappingSelection { unlinked: true, ..MappingSelection::default() };
        self.tables.mappings(&selection, |mapping| {
            pids.insert(mapping.pid);
            ControlFlow::Continue(())
        })?;
        Ok(pids)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_two_ways_can_be_chosen() {
        assert_eq!(choose("both").unwrap_err(), "\"both\" is neither \"proc\" nor \"iterators\"");
    }
}
