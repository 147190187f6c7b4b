//! Deleted files as one JSON document, as docs/deleted.schema.json has it.

use std::io::{self, Write};

use serde::Serialize;

use super::{Deleted, DeletedBy, DeletedFile, DeletedRequest, FileHolder, deleted::ProcessShare};
use crate::{
    format::{
        Name,
        json::{Named, NamedOrNull, to_writer},
        moment::rfc3339,
    },
    model::{
        held::{Access, Storage},
        owner::{Container, Owner},
    },
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.deleted/1";

#[derive(Serialize)]
struct DeletedDocument<'a> {
    schema: &'static str,
    disk_files: u64,
    disk_bytes: u64,
    memory_files: u64,
    memory_bytes: u64,
    unknown_files: usize,
    processes_looked_at: usize,
    processes_unreadable: usize,
    files: Vec<FileView<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    processes: Option<Vec<ShareView<'a>>>,
}

#[derive(Serialize)]
struct FileView<'a> {
    device: String,
    inode: u64,
    #[serde(flatten)]
    path: Named<'a>,
    storage: &'static str,
    kind: &'static str,
    size_bytes: Option<u64>,
    held_bytes: Option<u64>,
    open_for_writing: bool,
    holders: Vec<HolderView<'a>>,
}

#[derive(Serialize)]
struct HolderView<'a> {
    #[serde(flatten)]
    process: ProcessView<'a>,
    holds: Vec<HoldView>,
}

#[derive(Serialize)]
struct HoldView {
    fd: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    thread: Option<u32>,
    access: &'static str,
}

/// A process, in the fields that reports have for an owner.
#[derive(Serialize)]
pub(crate) struct ProcessView<'a> {
    pid: u32,
    start_time: Option<String>,
    #[serde(flatten)]
    command: Named<'a>,
    #[serde(flatten)]
    executable: NamedOrNull<&'a Name>,
    #[serde(flatten)]
    user: NamedOrNull<&'a Name>,
    uid: Option<u32>,
    #[serde(flatten)]
    container: NamedOrNull<Name>,
}

#[derive(Serialize)]
struct ShareView<'a> {
    #[serde(flatten)]
    process: ProcessView<'a>,
    disk_files: u64,
    disk_bytes: u64,
    memory_files: u64,
    memory_bytes: u64,
    alone_bytes: u64,
}

/// Writes the document and a line feed.
pub(super) fn write(out: &mut impl Write, deleted: &Deleted, request: &DeletedRequest) -> io::Result<()> {
    let [disk, memory] = [Storage::Disk, Storage::Memory].map(|storage| deleted.sum(storage));
    let shares = || deleted.shares(request.sort).into_iter().map(|share| ShareView::new(deleted, share));
    let document = DeletedDocument {
        schema: SCHEMA,
        disk_files: disk.files,
        disk_bytes: disk.held,
        memory_files: memory.files,
        memory_bytes: memory.held,
        unknown_files: deleted.unknown(),
        processes_looked_at: deleted.looked,
        processes_unreadable: deleted.unreadable,
        files: deleted.files.iter().map(|file| FileView::new(deleted, file)).collect(),
        processes: (request.by == Some(DeletedBy::Process)).then(|| shares().collect()),
    };
    to_writer(&mut *out, &document)?;
    writeln!(out)
}

impl<'a> FileView<'a> {
    fn new(deleted: &'a Deleted, file: &'a DeletedFile) -> Self {
        let (major, minor) = file.id.device;
        let holder = |holder: &FileHolder| HolderView {
            process: ProcessView::new(&deleted.processes[holder.process]),
            holds: holder
                .holds
                .iter()
                .map(|hold| HoldView {
                    fd: hold.how.to_string(),
                    thread: hold.how.thread(),
                    access: match hold.access {
                        Access::Read => "read",
                        Access::Write => "write",
                    },
                })
                .collect(),
        };
        Self {
            device: format!("{major}:{minor}"),
            inode: file.id.inode,
            path: Named("path", &file.path),
            storage: file.storage.code(),
            kind: file.kind.code(),
            size_bytes: file.sizes.map(|(size, _)| size),
            held_bytes: file.sizes.map(|(_, held)| held),
            open_for_writing: file.is_written(),
            holders: file.holders.iter().map(holder).collect(),
        }
    }
}

impl<'a> ShareView<'a> {
    fn new(deleted: &'a Deleted, share: ProcessShare) -> Self {
        Self {
            process: ProcessView::new(&deleted.processes[share.process]),
            disk_files: share.disk.files,
            disk_bytes: share.disk.held,
            memory_files: share.memory.files,
            memory_bytes: share.memory.held,
            alone_bytes: share.alone,
        }
    }
}

impl<'a> ProcessView<'a> {
    pub(crate) fn new(process: &'a Owner) -> Self {
        Self {
            pid: process.id.pid,
            start_time: process.start_time.map(rfc3339),
            command: Named("command", process.command.as_bytes()),
            executable: NamedOrNull("executable", process.executable.as_ref()),
            user: NamedOrNull("user", process.user.as_ref()),
            uid: process.uid,
            container: NamedOrNull("container", process.container.as_ref().map(Container::title)),
        }
    }
}
