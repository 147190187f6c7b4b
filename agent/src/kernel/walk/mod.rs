//! The kernel's own tables of open files, mappings, sockets and tasks, walked by the kernel itself (BPF iterators): who asks gets the
//! records that he asked for, without a question for each file. No path is looked up and no file system is asked, so no server that
//! does not answer is waited for.
//!
//! What is handed over is what /proc would say; where it may not be, or cannot, the reason is a [`NoWalk`], and /proc is there.

mod calls;
mod object;
mod reason;
mod record;
mod selection;

use std::{fs, io, ops::ControlFlow};

use flowtally_common::walk::{WalkSelection, WalkSet, want};
use hashbrown::HashMap;

pub use reason::{NoWalk, WalkError, may_walk, walk_by_proc};
pub use record::{WalkedFile, WalkedInode, WalkedLink, WalkedMapping, WalkedSocket, WalkedTask};
pub use selection::{FileKinds, FileSelection, IdSet, MappingSelection, TaskSelection};

use object::{Program, Programs};
use record::Walked;

/// As much as a walk writes at once, and half as much again: the kernel's own buffer has 32 KB (`kernel/bpf/bpf_iter.c`).
const BUFFER: usize = 64 * 1024;

/// The kernel's tables. A walk has the programs for itself; who wants several at once opens several.
#[derive(Debug)]
pub struct KernelTables {
    programs: Programs,
    buffer: Vec<u8>,
    /// Whether the kernel prints addresses as in /proc/net/unix; looked at once.
    prints_addresses: Option<bool>,
}

impl KernelTables {
    /// Asks where the running kernel has its fields, and makes what the programs need: some milliseconds. A program is loaded when it is
    /// first used.
    ///
    /// # Errors
    /// Why there is no walk; then /proc says the same.
    pub fn open() -> Result<Self, NoWalk> {
        may_walk()?;
        Ok(Self { programs: Programs::open()?, buffer: vec![0; BUFFER], prints_addresses: None })
    }

    /// Hands over each file that is open, one descriptor after the other and table after table. Threads that share a table are one, and
    /// have the number of the first thread, where that has it too.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn files(
        &mut self,
        selection: &FileSelection<'_>,
        mut each: impl FnMut(&WalkedFile<'_>) -> ControlFlow<()>,
    ) -> Result<(), WalkError> {
        let mut want = selection.want();
        if want & want::ADDRESS != 0 && !self.prints_addresses() {
            want &= !want::ADDRESS;
        }
        let mut tables: HashMap<(u32, u64), u32> = HashMap::new();
        let mut last = (0, true);
        self.walk((Program::Files, want), &selection.words(), selection.set(), |bytes| {
            let Some(file) = WalkedFile::parse(bytes) else { return Walked::broken() };
            // Threads that share a table are handed over each for itself, where the first thread has ended.
            if file.tid != file.pid {
                if last.0 != file.tid {
                    last = (file.tid, *tables.entry((file.pid, file.table)).or_insert(file.tid) == file.tid);
                }
                if !last.1 {
                    return Walked::next(bytes);
                }
            }
            Walked::after(bytes, each(&file))
        })
    }

    /// Hands over each mapping of a file, process after process.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn mappings(
        &mut self,
        selection: &MappingSelection<'_>,
        mut each: impl FnMut(&WalkedMapping<'_>) -> ControlFlow<()>,
    ) -> Result<(), WalkError> {
        let mut processes: HashMap<u32, u32> = HashMap::new();
        let mut last = (0, true);
        let program = (Program::Mappings, selection.want());
        self.walk(program, &selection.words(), selection.set(), |bytes| {
            let Some((mapping, tid)) = WalkedMapping::parse(bytes) else { return Walked::broken() };
            if tid != mapping.pid {
                if last.0 != tid {
                    last = (tid, *processes.entry(mapping.pid).or_insert(tid) == tid);
                }
                if !last.1 {
                    return Walked::next(bytes);
                }
            }
            Walked::after(bytes, each(&mapping))
        })
    }

    /// Hands over each process, and each thread if they are wanted.
    ///
    /// # Errors
    /// When the walk cannot be made, or breaks off.
    pub fn tasks(
        &mut self,
        selection: &TaskSelection,
        mut each: impl FnMut(&WalkedTask) -> ControlFlow<()>,
    ) -> Result<(), WalkError> {
        let program = (Program::Tasks, selection.want());
        self.walk(program, &selection.words(), None, |bytes| match WalkedTask::parse(bytes) {
            Some(task) => Walked::after(bytes, each(&task)),
            None => Walked::broken(),
        })
    }

    fn prints_addresses(&mut self) -> bool {
        *self.prints_addresses.get_or_insert_with(|| {
            fs::read("/proc/sys/kernel/kptr_restrict").is_ok_and(|text| text.trim_ascii() == b"0")
        })
    }

    /// Runs a program over all that there is, and hands over what it wrote, record after record.
    fn walk(
        &mut self,
        program: (Program, u32),
        selection: &WalkSelection,
        set: Option<&WalkSet>,
        mut each: impl FnMut(&[u8]) -> Walked,
    ) -> Result<(), WalkError> {
        let iterator = self.programs.start(program, selection, set)?;
        let mut kept = 0;
        loop {
            let count = match rustix::io::read(&iterator, &mut self.buffer[kept..]) {
                Ok(0) if kept == 0 => return Ok(()),
                Ok(0) => return Err(WalkError::Broken(io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => count,
                // A million in a row were not wanted.
                Err(rustix::io::Errno::AGAIN | rustix::io::Errno::INTR) => continue,
                Err(error) => return Err(WalkError::Broken(error.into())),
            };
            let filled = kept + count;
            let mut at = 0;
            while let Some(bytes) = record::first(&self.buffer[at..filled]) {
                match each(bytes) {
                    Walked::Next(length) => at += length,
                    Walked::Enough => return Ok(()),
                    Walked::Broken => return Err(WalkError::Broken(io::ErrorKind::InvalidData.into())),
                }
            }
            self.buffer.copy_within(at..filled, 0);
            kept = filled - at;
        }
    }
}
