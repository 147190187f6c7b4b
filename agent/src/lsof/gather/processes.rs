//! All processes that are asked for, on several threads.

use std::{
    ops::ControlFlow,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering::Relaxed},
        mpsc::{self, SyncSender},
    },
    thread,
};

use super::{
    process::{RecordedProcess, Worker},
    shared::Shared,
};
use crate::{
    host::{
        opened::{self, OpenTables, RecordedMappings, RecordedTable, WalkError, WalkedTask, WantedRecords},
        proc,
    },
    lsof::model::Process,
};

/// How many processes a thread takes at a time.
const CHUNK: usize = 16;

/// More threads than this wait for each other in the kernel's tables.
const MAX_THREADS: usize = 16;

/// How many chunks wait to be read at most.
const WAITING: usize = 8;

/// Mapped files of so many processes wait for what is open of them at most.
const AHEAD: usize = 64;

/// Processes with what is known of them.
type Chunk = Vec<(u32, RecordedProcess)>;

/// Every listed process with its listed files, in the order of process and thread.
///
/// # Errors
/// When /proc cannot be read.
pub fn gather(shared: &Shared<'_>) -> rustix::io::Result<Vec<Process>> {
    let wanted = shared.records();
    let tables = wanted.as_ref().and_then(|wanted| opened::of_many_files(wanted.look_for()));
    if tables.is_none() && shared.nothing_can_match() {
        return Ok(Vec::new());
    }
    let pids = candidates(shared)?;
    let chunks = pids.len().div_ceil(CHUNK);
    // How many there may be is read from files, which a single process is not worth.
    let threads = match chunks {
        0 | 1 => 1,
        many => thread::available_parallelism().map_or(1, usize::from).min(many).min(MAX_THREADS),
    };
    match (tables, wanted) {
        (Some(tables), Some(wanted)) => walk(shared, &pids, threads, tables, &wanted),
        (None, Some(_)) => {
            opened::instead()?;
            Ok(read(shared, &pids, threads))
        }
        (_, None) => Ok(read(shared, &pids, threads)),
    }
}

/// Reads /proc alone.
fn read(shared: &Shared<'_>, pids: &[u32], threads: usize) -> Vec<Process> {
    let chunks: Vec<&[u32]> = pids.chunks(CHUNK).collect();
    let next = AtomicUsize::new(0);
    share(shared, threads, || {
        let at = next.fetch_add(1, Relaxed);
        let unknown = |pid: &u32| (*pid, RecordedProcess::default());
        Some((at, chunks.get(at)?.iter().map(unknown).collect()))
    })
}

/// Reads what the kernel's tables say of processes, and the rest of /proc beside that.
fn walk(
    shared: &Shared<'_>,
    pids: &[u32],
    threads: usize,
    mut tables: OpenTables,
    wanted: &WantedRecords,
) -> rustix::io::Result<Vec<Process>> {
    let (mut tasks, mut maps) = (Vec::new(), None);
    // Where only sockets are listed, hardly a process is asked for the rest.
    if !shared.only_sockets() {
        tasks = tables.processes().or_else(|_| opened::instead().map(|()| Vec::new()))?;
        maps = match OpenTables::open() {
            Ok(tables) => Some(tables),
            Err(_) => opened::instead().map(|()| None)?,
        };
    }
    let (send, receive) = mpsc::sync_channel(WAITING);
    let receive = Mutex::new(receive);
    let (mut processes, walked) = thread::scope(|scope| {
        let mappings = maps.map(|mut maps| {
            let (send, receive) = mpsc::sync_channel(AHEAD);
            scope.spawn(move || {
                // Whoever does not want more has what is wanted.
                let each = |mappings| {
                    if send.send(Ok(mappings)).is_ok() {
                        ControlFlow::Continue(())
                    } else {
                        ControlFlow::Break(())
                    }
                };
                if let Err(error) = maps.mappings(wanted.inodes.as_ref(), each) {
                    drop(send.send(Err(error)));
                }
            });
            Mappings { receive, next: None, broken: false }
        });
        let known = Known { tasks, mappings };
        let walked = scope.spawn(move || feed(pids, &mut tables, wanted, known, &send));
        let next = || receive.lock().ok()?.recv().ok();
        let processes = share(shared, threads, next);
        (processes, walked.join().unwrap_or(None))
    });
    let Some(apart) = walked else {
        opened::instead()?;
        return Ok(processes);
    };
    // Threads with tables of their own come when their process has been read; they are few.
    if !apart.is_empty() {
        processes.retain(|process| apart.binary_search(&process.pid).is_err());
        let mut worker = Worker::new(shared);
        for pid in apart.iter().filter(|pid| pids.binary_search(pid).is_ok()) {
            worker.process(*pid, &RecordedProcess::default(), &mut processes);
        }
        processes.sort_by_key(|process| process.pid);
    }
    Ok(processes)
}

/// What is known of processes beside their descriptors.
struct Known {
    /// In ascending order.
    tasks: Vec<WalkedTask>,
    /// `None` where /proc has to be read.
    mappings: Option<Mappings>,
}

impl Known {
    /// What there is of a process. Those asked for come in ascending order.
    fn of(&mut self, pid: u32, table: Option<RecordedTable>) -> RecordedProcess {
        let task = self.tasks.binary_search_by_key(&pid, |task| task.pid).ok();
        let task = task.and_then(|at| self.tasks.get(at)).filter(|task| task.has_memory).copied();
        RecordedProcess { task, table, mappings: self.mappings.as_mut().and_then(|it| it.of(pid)) }
    }
}

/// Mapped files as they are walked.
struct Mappings {
    receive: mpsc::Receiver<Result<RecordedMappings, WalkError>>,
    next: Option<RecordedMappings>,
    /// Whether the walk broke off.
    broken: bool,
}

impl Mappings {
    /// What a process maps; `None` where that is not known.
    fn of(&mut self, pid: u32) -> Option<RecordedMappings> {
        while !self.broken && self.next.as_ref().is_none_or(|next| next.pid < pid) {
            match self.receive.recv() {
                Ok(Ok(mappings)) => self.next = Some(mappings),
                Ok(Err(_)) => self.broken = true,
                // It has come to its end.
                Err(_) => break,
            }
        }
        if self.broken {
            return None;
        }
        let found = self.next.take_if(|next| next.pid == pid);
        Some(found.unwrap_or_else(|| RecordedMappings::empty(pid)))
    }
}

/// Hands over all processes in chunks, with what a walk says of them. Returns those of which threads have tables of their
/// own, or nothing when the walk broke off: the processes that are left have no records then.
fn feed(
    pids: &[u32],
    tables: &mut OpenTables,
    wanted: &WantedRecords,
    mut known: Known,
    send: &SyncSender<(usize, Chunk)>,
) -> Option<Vec<u32>> {
    let mut chunk = Chunk::new();
    let mut at = 0;
    let mut hand = |entry: Option<(u32, RecordedProcess)>| {
        let is_last = entry.is_none();
        chunk.extend(entry);
        if chunk.len() == CHUNK || (is_last && !chunk.is_empty()) {
            // Whoever does not listen any more has panicked, which is said elsewhere.
            let _ = send.send((at, std::mem::take(&mut chunk)));
            at += 1;
        }
    };
    let mut left = pids.iter().copied().peekable();
    let walked = tables.tables(wanted, None, |table| {
        while let Some(pid) = left.next_if(|pid| *pid < table.pid) {
            hand(Some((pid, known.of(pid, Some(RecordedTable::empty(pid))))));
        }
        // One that is new since then is not listed.
        if let Some(pid) = left.next_if_eq(&table.pid) {
            hand(Some((pid, known.of(pid, Some(table)))));
        }
    });
    for pid in left {
        let table = walked.is_ok().then(|| RecordedTable::empty(pid));
        hand(Some((pid, known.of(pid, table))));
    }
    hand(None);
    if known.mappings.is_some_and(|mappings| mappings.broken) {
        opened::instead().ok()?;
    }
    walked.ok()
}

/// Reads chunk after chunk on several threads.
fn share(
    shared: &Shared<'_>,
    threads: usize,
    next: impl Fn() -> Option<(usize, Chunk)> + Sync,
) -> Vec<Process> {
    let work = || {
        let mut worker = Worker::new(shared);
        let mut done: Vec<(usize, Vec<Process>)> = Vec::new();
        while let Some((at, chunk)) = next() {
            let mut processes = Vec::new();
            for (pid, known) in chunk {
                worker.process(pid, &known, &mut processes);
            }
            if !processes.is_empty() {
                done.push((at, processes));
            }
        }
        done
    };
    let mut done = if threads <= 1 {
        work()
    } else {
        thread::scope(|scope| {
            let others: Vec<_> = (1..threads).map(|_| scope.spawn(work)).collect();
            let mut done = work();
            for other in others {
                done.extend(other.join().unwrap_or_default());
            }
            done
        })
    };
    done.sort_unstable_by_key(|(at, _)| *at);
    done.into_iter().flat_map(|(_, processes)| processes).collect()
}

/// The processes that may be listed: all, unless only those with given numbers can be.
fn candidates(shared: &Shared<'_>) -> rustix::io::Result<Vec<u32>> {
    if shared.unlisted() {
        let mut pids = shared.options.pids.include.clone();
        pids.sort_unstable();
        return Ok(pids);
    }
    proc::pids()
}
