//! One process: what of it is asked, in the order of what costs least to answer.

use std::mem::MaybeUninit;

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};

use super::{held::FileRowSource, read::read_small, rows::FileRows, shared::Shared};
use crate::{
    host::{
        opened::{RecordedMappings, RecordedTable, WalkedTask},
        proc::{Descriptors, ProcessStat, Tables, is_process},
    },
    lsof::{
        arguments::Tasks,
        model::Process,
        select::{self, About, SearchItem, SelectionClasses},
    },
};

/// What is known of a process before /proc is asked; nothing where /proc has to be read.
#[derive(Debug, Default)]
pub(super) struct RecordedProcess {
    pub(super) task: Option<WalkedTask>,
    pub(super) table: Option<RecordedTable>,
    pub(super) mappings: Option<RecordedMappings>,
}

/// What a thread of the listing has of its own.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    proc: Option<OwnedFd>,
    buffer: Vec<u8>,
    tables: Tables,
    rows: FileRows<'a>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        let proc = openat(rustix::fs::CWD, "/proc", DIRECTORY, Mode::empty()).ok();
        Self { shared, proc, buffer: Vec::new(), tables: Tables::new(), rows: FileRows::new(shared) }
    }

    /// Adds the rows of a process and of its threads. One that ends meanwhile has none, or fewer.
    /// What `table` says of its descriptors is not asked of /proc.
    pub(super) fn process(&mut self, pid: u32, known: &RecordedProcess, out: &mut Vec<Process>) {
        // Whether a process is gone or cannot be read shows in what it has open; nothing is said of one that is gone.
        let _ = self.read(pid, known, out);
    }

    fn read(&mut self, pid: u32, known: &RecordedProcess, out: &mut Vec<Process>) -> rustix::io::Result<()> {
        let shared = self.shared;
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        let RecordedProcess { task, table, mappings } = known;
        let table = table.as_ref();
        if shared.only_sockets() && table.is_some_and(|table| !shared.has_socket(table)) {
            return self.note_only(pid, task.as_ref());
        }
        // Nobody is shown what /proc would not show him: one link of a process is like all. Of one that may not be read there are rows
        // that say so, but none where files are searched for.
        let table = table.filter(|table| {
            let mut target = [MaybeUninit::<u8>::uninit(); 1];
            (table.records.is_empty() && shared.only_files())
                || readlinkat_raw(proc, format!("{pid}/root"), &mut target[..]).is_ok()
        });
        if table.is_none() && shared.only_sockets() && !self.rows.holds_socket(proc, pid, &mut self.tables)? {
            return self.note_only(pid, task.as_ref());
        }
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        let dir = openat(proc, pid.to_string(), DIRECTORY, Mode::empty())?;
        let Some((process, met, about)) = self.about(pid, &dir, task.as_ref())? else { return Ok(()) };
        // Where the table may be shown, so may they.
        let mappings = mappings.as_ref().filter(|mappings| table.is_some() && mappings.is_complete());
        let table = table.filter(|_| !about.has_ended);
        // The threads that list are not part of what is listed: lsof has one.
        let has_threads = about.threads > 1 && pid != std::process::id();
        let mut process = process;
        let template = Process { files: Vec::new(), ..process.clone() };
        if !about.has_ended {
            let source = FileRowSource { pid, tid: None, dir: &dir, table, mappings };
            // Beside other classes, a process with threads counts as the first of them.
            let own =
                if shared.rule.and && about.threads > 1 { met.with(SelectionClasses::TASK) } else { met };
            process.files = self.rows.of(&source, own);
        }
        if !process.files.is_empty() {
            out.push(process);
        }
        let every = has_threads && shared.tasks();
        let threads = if every {
            list_threads(&dir)?
        } else if has_threads && table.is_none() && shared.options.tasks != Tasks::Ignore {
            self.tables.further(pid, &dir)
        } else {
            Vec::new()
        };
        let mut stands_in = about.has_ended;
        for tid in threads.into_iter().filter(|tid| *tid != pid) {
            let Ok(dir) = openat(&dir, format!("task/{tid}"), DIRECTORY, Mode::empty()) else { continue };
            // One that ends meanwhile is no reason to leave out the others.
            if self.read_file(&dir, "stat").is_err() {
                continue;
            }
            let Some(stat) = ProcessStat::parse(&self.buffer).filter(|stat| !stat.has_ended()) else {
                continue;
            };
            if shared.options.tasks == Tasks::Select {
                shared.found.note(SearchItem::Tasks);
            }
            let source = FileRowSource { pid, tid: Some(tid), dir: &dir, table, mappings };
            let met = met.with(SelectionClasses::TASK);
            // Of a thread that nobody asked for, what the process has not: that is all if its first thread has ended.
            let files = if every || std::mem::take(&mut stands_in) {
                self.rows.of(&source, met)
            } else {
                self.rows.descriptors_of(&source, met)
            };
            if !files.is_empty() {
                let task_command = stat.command.into();
                out.push(Process { tid: Some(tid), task_command, files, ..template.clone() });
            }
        }
        Ok(())
    }

    /// A process that lists nothing may still be what was searched for.
    fn note_only(&mut self, pid: u32, task: Option<&WalkedTask>) -> rustix::io::Result<()> {
        if self.shared.rule.requested.any(SelectionClasses::PROCESS) {
            let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
            let dir = openat(proc, pid.to_string(), DIRECTORY, Mode::empty())?;
            self.about(pid, &dir, task)?;
        }
        Ok(())
    }

    /// What is known of a process, the classes it meets, and its threads; none if nothing of it is listed.
    fn about(
        &mut self,
        pid: u32,
        dir: &OwnedFd,
        task: Option<&WalkedTask>,
    ) -> rustix::io::Result<Option<(Process, SelectionClasses, Threads)>> {
        let shared = self.shared;
        let options = shared.options;
        if options.pids.exclude.contains(&pid) || (shared.unlisted() && !self.is_process(pid, dir)) {
            return Ok(None);
        }
        let known = task.and_then(|task| {
            let threads = Threads { threads: task.threads?, has_ended: task.ended };
            Some((task.command().to_vec(), task.parent, task.group, threads))
        });
        let (command, parent, group, threads) = if let Some(known) = known {
            known
        } else {
            self.read_file(dir, "stat")?;
            let stat = ProcessStat::parse(&self.buffer).ok_or(Errno::INVAL)?;
            let threads = Threads { threads: stat.threads, has_ended: stat.has_ended() };
            (stat.command, stat.parent, stat.group, threads)
        };
        // What is left of a dead process has nothing open, unless only its first thread has ended.
        if threads.has_ended && threads.threads <= 1 {
            return Ok(None);
        }
        let by_user = !options.users.is_empty() || !options.excluded_users.is_empty();
        let uid = if by_user || shared.needs.user { Some(rustix::fs::fstat(dir)?.st_uid) } else { None };
        let about = About { pid, group, uid, command: &command };
        let Some(mut met) = select::process(options, shared.rule, about, &shared.found) else {
            return Ok(None);
        };
        let mut context = None;
        if let Some(wanted) = &options.contexts {
            let text = if self.read_file(dir, "attr/current").is_ok() {
                self.buffer.strip_suffix(b"\n").unwrap_or(&self.buffer).to_vec()
            } else {
                b"(no context)".to_vec()
            };
            if let Some(at) = wanted.iter().position(|wanted| wanted.as_bytes() == text) {
                shared.found.note(SearchItem::Context(at));
                met = met.with(SelectionClasses::CONTEXT);
            }
            context = Some(text.into());
        }
        let process = Process {
            pid,
            tid: None,
            task_command: Box::default(),
            command: command.into(),
            parent,
            group,
            uid: uid.unwrap_or_default(),
            context,
            files: Vec::new(),
        };
        Ok(Some((process, met, threads)))
    }

    /// Whether a number is a process's. /proc answers for the numbers of threads too, which it does not list.
    fn is_process(&mut self, pid: u32, dir: &OwnedFd) -> bool {
        self.read_file(dir, "status").is_ok() && is_process(&self.buffer, pid)
    }

    /// Reads a file of one line.
    fn read_file(&mut self, dir: &OwnedFd, name: &str) -> rustix::io::Result<()> {
        read_small(dir, name, &mut self.buffer)
    }
}

/// The threads of a process.
#[derive(Clone, Copy)]
struct Threads {
    /// How many there are; one that has ended and is waited for is one of them.
    threads: u32,
    /// Whether the first one has ended.
    has_ended: bool,
}

fn list_threads(dir: &OwnedFd) -> rustix::io::Result<Vec<u32>> {
    let tasks = openat(dir, "task", DIRECTORY, Mode::empty())?;
    let mut threads = Vec::new();
    let mut descriptors = Descriptors::new();
    descriptors.list(&tasks, |number, _| {
        threads.push(number);
        true
    })?;
    threads.sort_unstable();
    Ok(threads)
}
