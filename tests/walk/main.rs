//! The kernel's own tables of files, mappings and tasks, as `kernel::walk` hands them over, compared with /proc on files of the test's own.
//! Needs root: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod compared;
mod hung;
mod sockets;
mod tables;
mod tasks;

use std::{collections::BTreeMap, fmt::Debug, ops::ControlFlow, path::PathBuf};

use flowtally::kernel::walk::{
    FileSelection, KernelTables, WalkedFile, WalkedInode, WalkedLink, WalkedSocket,
};

/// A record without what it borrows.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    pid: u32,
    tid: u32,
    table: u64,
    fd: u32,
    flags: u32,
    close_on_exec: Option<bool>,
    access: (bool, bool),
    position: u64,
    file: WalkedInode,
    /// What the link in /proc says.
    link: Option<Vec<u8>>,
    event: Option<u32>,
    /// Without its name.
    socket: Option<WalkedSocket<'static>>,
    name: Vec<u8>,
}

impl Seen {
    fn new(file: &WalkedFile<'_>) -> Self {
        let link = match file.link {
            WalkedLink::Path(path) => Some(path.to_vec()),
            WalkedLink::Socket => Some(format!("socket:[{}]", file.file.inode).into_bytes()),
            WalkedLink::Pipe => Some(format!("pipe:[{}]", file.file.inode).into_bytes()),
            WalkedLink::NotAsked | WalkedLink::Unknown => None,
        };
        Self {
            pid: file.pid,
            tid: file.tid,
            table: file.table,
            fd: file.fd,
            flags: file.flags,
            close_on_exec: file.close_on_exec,
            access: (file.reads, file.writes),
            position: file.position,
            file: file.file,
            link,
            event: file.event,
            socket: file.socket.map(|socket| WalkedSocket { name: &[], ..socket }),
            name: file.socket.map(|socket| socket.name.to_vec()).unwrap_or_default(),
        }
    }
}

/// Opens the tables, or panics with the reason: the tests run where they are to be had.
fn open() -> KernelTables {
    KernelTables::open().unwrap()
}

/// What a walk hands over.
fn files(selection: &FileSelection<'_>) -> Vec<Seen> {
    let mut seen = Vec::new();
    open()
        .files(selection, |file| {
            seen.push(Seen::new(file));
            ControlFlow::Continue(())
        })
        .unwrap();
    seen
}

/// All that can be asked of the files of this process.
fn everything() -> FileSelection<'static> {
    FileSelection {
        process: Some(std::process::id()),
        path: true,
        close_on_exec: true,
        socket: true,
        socket_address: true,
        ..FileSelection::default()
    }
}

/// Those of the first thread's table, by descriptor.
fn own(selection: &FileSelection<'_>) -> BTreeMap<u32, Seen> {
    let pid = std::process::id();
    let files = files(selection).into_iter().filter(|file| file.tid == pid);
    let files: Vec<_> = files.map(|file| (file.fd, file)).collect();
    let count = files.len();
    let map = BTreeMap::from_iter(files);
    assert_eq!(map.len(), count, "no descriptor twice");
    map
}

/// A folder that goes with the test.
fn folder() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("walk").tempdir().unwrap()
}

/// /proc/self/fd/N
fn link(fd: impl Debug) -> PathBuf {
    format!("/proc/self/fd/{fd:?}").into()
}
