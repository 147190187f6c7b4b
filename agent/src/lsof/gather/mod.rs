//! The edge: /proc, /proc/net and stat(2). What no class and no column needs is not read, and what is read is compact.

mod directory;
mod endpoints;
mod maps;
mod mounts;
mod net;
mod paths;
mod patience;
mod process;
mod read;
mod remote;
mod rows;
mod search;
mod shared;
mod sockets;
mod special;
mod stat;
mod unix_peers;

use std::{
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

pub use endpoints::name_endpoints;
pub use mounts::{avoided, mounts};
pub use search::{Search, SearchError};
pub use shared::Shared;

use super::model::Process;
use crate::host::proc;

/// How many processes a thread takes at a time.
const CHUNK: usize = 16;

/// Every listed process with its listed files, in the order of process and thread.
///
/// # Errors
/// When /proc cannot be read.
pub fn gather(shared: &Shared<'_>) -> rustix::io::Result<Vec<Process>> {
    if shared.nothing_can_match() {
        return Ok(Vec::new());
    }
    let pids = candidates(shared)?;
    let chunks: Vec<&[u32]> = pids.chunks(CHUNK).collect();
    // How many there may be is read from files, which a single process is not worth.
    let threads = match chunks.len() {
        0 | 1 => 1,
        many => thread::available_parallelism().map_or(1, usize::from).min(many).min(MAX_THREADS),
    };
    let next = AtomicUsize::new(0);
    let work = || {
        let mut worker = process::Worker::new(shared);
        let mut done: Vec<(usize, Vec<Process>)> = Vec::new();
        loop {
            let at = next.fetch_add(1, Relaxed);
            let Some(chunk) = chunks.get(at) else { return done };
            let mut processes = Vec::new();
            for pid in *chunk {
                worker.process(*pid, &mut processes);
            }
            if !processes.is_empty() {
                done.push((at, processes));
            }
        }
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
    Ok(done.into_iter().flat_map(|(_, processes)| processes).collect())
}

/// More threads than this wait for each other in the kernel's tables.
const MAX_THREADS: usize = 16;

/// The processes that may be listed: all, unless only those with given numbers can be.
fn candidates(shared: &Shared<'_>) -> rustix::io::Result<Vec<u32>> {
    if shared.unlisted() {
        let mut pids = shared.options.pids.include.clone();
        pids.sort_unstable();
        return Ok(pids);
    }
    proc::pids()
}
