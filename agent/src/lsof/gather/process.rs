//! One process: what of it is asked, in the order of what costs least to answer.

use std::mem::MaybeUninit;

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};

use super::{held::FileRowSource, read::read_small, rows::FileRows, shared::Shared};
use crate::{
    host::proc::{Descriptors, Stat, inode_in},
    lsof::{
        arguments::Tasks,
        model::Process,
        select::{self, About, SearchItem, SelectionClasses},
    },
};

/// What a thread of the listing has of its own.
pub(super) struct Worker<'a> {
    shared: &'a Shared<'a>,
    proc: Option<OwnedFd>,
    buffer: Vec<u8>,
    rows: Rows<'a>,
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

impl<'a> Worker<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        let proc = openat(rustix::fs::CWD, "/proc", DIRECTORY, Mode::empty()).ok();
        Self { shared, proc, buffer: Vec::new(), rows: Rows::new(shared) }
    }

    /// Adds the rows of a process and of its threads. One that ends meanwhile has none, or fewer.
    pub(super) fn process(&mut self, pid: u32, out: &mut Vec<Process>) {
        // Whether a process is gone or cannot be read shows in what it has open; nothing is said of one that is gone.
        let _ = self.read(pid, out);
    }

    fn read(&mut self, pid: u32, out: &mut Vec<Process>) -> rustix::io::Result<()> {
        let shared = self.shared;
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        if shared.only_sockets() && !self.rows.holds_socket(proc, pid)? {
            return self.note_only(pid);
        }
        let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
        let dir = openat(proc, pid.to_string(), DIRECTORY, Mode::empty())?;
        let Some((process, met, threads)) = self.about(pid, &dir)? else { return Ok(()) };
        let source = Source { pid, tid: None, dir: &dir };
        // Beside other classes, a process with threads counts as the first of them.
        let own = if shared.rule.and && threads > 1 { met.with(Class::TASK) } else { met };
        let files = self.rows.of(&source, own);
        // The threads that list are not part of what is listed: lsof has one.
        let is_own = pid == std::process::id();
        let tasks = if threads > 1 && !is_own && shared.tasks() { list_threads(&dir)? } else { Vec::new() };
        let mut process = process;
        let template = Process { files: Vec::new(), ..process.clone() };
        process.files = files;
        if !process.files.is_empty() {
            out.push(process);
        }
        for tid in tasks.into_iter().filter(|tid| *tid != pid) {
            let Ok(dir) = openat(&dir, format!("task/{tid}"), DIRECTORY, Mode::empty()) else { continue };
            self.read_file(&dir, "stat")?;
            let Some(stat) = Stat::parse(&self.buffer) else { continue };
            if shared.options.tasks == Tasks::Select {
                shared.found.note(SearchItem::Tasks);
            }
            let source = Source { pid, tid: Some(tid), dir: &dir };
            let files = self.rows.of(&source, met.with(Class::TASK));
            if !files.is_empty() {
                let task_command = stat.command.into();
                out.push(Process { tid: Some(tid), task_command, files, ..template.clone() });
            }
        }
        Ok(())
    }

    /// A process that lists nothing may still be what was searched for.
    fn note_only(&mut self, pid: u32) -> rustix::io::Result<()> {
        if self.shared.rule.requested.any(SelectionClasses::PROCESS) {
            let proc = self.proc.as_ref().ok_or(Errno::NOENT)?;
            let dir = openat(proc, pid.to_string(), DIRECTORY, Mode::empty())?;
            self.about(pid, &dir)?;
        }
        Ok(())
    }

    /// What is known of a process, the classes it meets, and its number of threads; none if nothing of it is listed.
    fn about(&mut self, pid: u32, dir: &OwnedFd) -> rustix::io::Result<Option<(Process, Class, u32)>> {
        let shared = self.shared;
        let options = shared.options;
        if options.pids.exclude.contains(&pid) || (shared.unlisted() && !self.is_process(pid, dir)) {
            return Ok(None);
        }
        self.read_file(dir, "stat")?;
        let stat = Stat::parse(&self.buffer).ok_or(Errno::INVAL)?;
        // What is left of a dead process has nothing open.
        if stat.state == b'Z' {
            return Ok(None);
        }
        let by_user = !options.users.is_empty() || !options.excluded_users.is_empty();
        let uid = if by_user || shared.needs.user { Some(rustix::fs::fstat(dir)?.st_uid) } else { None };
        let about = About { pid, group: stat.group, uid, command: &stat.command };
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
            command: stat.command.into(),
            parent: stat.parent,
            group: stat.group,
            uid: uid.unwrap_or_default(),
            context,
            files: Vec::new(),
        };
        Ok(Some((process, met, stat.threads)))
    }

    /// Whether a number is a process's. /proc answers for the numbers of threads too, which it does not list.
    fn is_process(&mut self, pid: u32, dir: &OwnedFd) -> bool {
        if self.read_file(dir, "status").is_err() {
            return false;
        }
        let group = self.buffer.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Tgid:"));
        group.is_some_and(|group| group.trim_ascii() == pid.to_string().as_bytes())
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
