//! The list of deleted files: each once, in sums, as text and as JSON that its schema holds to.

use std::time::{Duration, SystemTime};

use serde_json::Value;

use super::{Deleted, DeletedBy, DeletedKind, DeletedRequest, DeletedSort, PageFormat, write};
use crate::{
    documents::Schema,
    format::hostile,
    model::{
        held::{Access, FileFacts, FileId, Findings, Hold, How, Sighting, Storage},
        owner::{Container, Owner, ProcessId, Runtime},
    },
};

const SCHEMA: &str = include_str!("../../../docs/deleted.schema.json");
const MIB: u64 = 1 << 20;

fn process(pid: u32, command: &str, user: Option<&str>, container: Option<&str>) -> Owner {
    let container = container.map(|name| Container { runtime: Runtime::Docker, name: name.into() });
    Owner {
        id: ProcessId { pid, start: Some(100) },
        start_time: Some(SystemTime::UNIX_EPOCH + Duration::from_hours(492_315)),
        command: command.into(),
        executable: Some(format!("/usr/sbin/{command}").into()),
        uid: Some(33),
        user: user.map(Into::into),
        container,
        netns: None,
    }
}

fn id(inode: u64) -> FileId {
    FileId { device: (254, 0), inode }
}

fn facts(inode: u64, storage: Storage, size: u64, held: u64) -> FileFacts {
    FileFacts { id: id(inode), directory: false, storage, size, held }
}

fn sighting(process: usize, facts: FileFacts, path: &str, how: How, access: Access) -> Sighting {
    let hold = Hold { how, access };
    Sighting { process, id: facts.id, facts: Some(facts), path: path.as_bytes().to_vec(), hold }
}

/// Seven workers of one program that share a log, a mapping that could not be followed, and memory.
fn findings() -> Findings {
    let log = facts(10, Storage::Disk, 1 << 30, 300 * MIB);
    let mut processes = vec![process(812, "nginx", Some("root"), Some("3f2a9c11b0de"))];
    let mut sightings = vec![
        sighting(0, log, "/var/log/nginx/access.log", How::Descriptor(9), Access::Write),
        sighting(0, log, "/var/log/nginx/access.log", How::Descriptor(4), Access::Write),
        sighting(0, facts(11, Storage::Disk, 4096, 4096), "/etc/x\x1b[2J", How::Descriptor(3), Access::Read),
    ];
    for worker in 0..6 {
        processes.push(process(820 + worker, "nginx", None, Some("3f2a9c11b0de")));
        let at = processes.len() - 1;
        let hold = How::Descriptor(9);
        sightings.push(sighting(at, log, "/var/log/nginx/access.log", hold, Access::Write));
    }
    processes.push(process(99, "p\u{7}gres", Some("postgres"), None));
    let at = processes.len() - 1;
    let mapped = |inode, path: &[u8], start| Sighting {
        process: at,
        id: id(inode),
        facts: None,
        path: path.to_vec(),
        hold: Hold { how: How::Mapped(start, start + 8 * MIB), access: Access::Write },
    };
    sightings.extend([
        // Known, for somebody has it open too.
        mapped(10, b"/var/log/nginx/access.log", 0x7f00_0000_0000),
        mapped(12, b"/usr/lib/libold.so.1", 0x7f11_0000_0000),
        mapped(13, b"/SYSV0052e2c1", 0x7f22_0000_0000),
        sighting(at, facts(14, Storage::Memory, MIB, MIB), "/memfd:jit", How::Descriptor(5), Access::Write),
        sighting(
            at,
            facts(15, Storage::Memory, 2 * MIB, MIB),
            "/dev/zero",
            How::Mapped(4096, 8192),
            Access::Write,
        ),
        sighting(at, facts(16, Storage::Memory, 10, 4096), "/dev/shm/q", How::Descriptor(6), Access::Write),
        sighting(at, facts(17, Storage::Memory, 10, 4096), "/run/lock/x", How::Descriptor(7), Access::Read),
        sighting(
            at,
            facts(18, Storage::Disk, 10, 4096),
            "/memfd:on a disk",
            How::Descriptor(8),
            Access::Read,
        ),
        sighting(
            at,
            facts(19, Storage::Disk, 9 * MIB, 9 * MIB),
            "/usr/bin/postgres",
            How::Executable,
            Access::Read,
        ),
        sighting(
            at,
            FileFacts { directory: true, ..facts(20, Storage::Disk, 0, 4096) },
            "/srv/old",
            How::WorkingDirectory,
            Access::Read,
        ),
    ]);
    let shared_memory = [(0, 77)].into();
    Findings { processes, sightings, shared_memory, looked: 240, unreadable: 3 }
}

fn print(request: &DeletedRequest, width: usize) -> String {
    let mut deleted = Deleted::new(findings());
    deleted.select(request);
    let mut out = Vec::new();
    write(&mut out, &deleted, request, width).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn the_list_for_people() {
    insta::assert_snapshot!("files_of_everybody", print(&DeletedRequest::default(), usize::MAX));
    insta::assert_snapshot!("files_on_80_columns", print(&DeletedRequest::default(), 80));
    let request = DeletedRequest { by: Some(DeletedBy::Process), ..DeletedRequest::default() };
    insta::assert_snapshot!("files_by_process", print(&request, 100));
}

#[test]
fn an_empty_list_says_so() {
    let mut out = Vec::new();
    write(&mut out, &Deleted::default(), &DeletedRequest::default(), 80).unwrap();
    assert_eq!(String::from_utf8(out).unwrap(), "No deleted file is still open.\n");
    let text = print(&DeletedRequest { min_size: 1 << 40, ..DeletedRequest::default() }, 80);
    assert!(text.starts_with("No deleted file that is still open holds 1.00 TiB or more.\n"), "{text}");
    assert!(text.contains("3 of 240 processes could not be read"), "{text}");
}

#[test]
fn a_file_counts_once_however_many_hold_it() {
    let deleted = Deleted::new(findings());
    let log = deleted.files.iter().find(|file| file.id == id(10)).unwrap();
    assert_eq!(log.holders.len(), 8);
    assert_eq!(log.sizes, Some((1 << 30, 300 * MIB)));
    let pids: Vec<_> = log.holders.iter().map(|holder| deleted.processes[holder.process].id.pid).collect();
    assert!(pids.is_sorted(), "{pids:?}");
    assert_eq!(deleted.sum(Storage::Disk).held, 309 * MIB + 3 * 4096);
    assert_eq!(deleted.sum(Storage::Memory).held, 2 * MIB + 2 * 4096);
    assert_eq!(deleted.unknown(), 2);
    let kind = |inode| deleted.files.iter().find(|file| file.id == id(inode)).unwrap().kind;
    assert_eq!(
        (10..=20).map(kind).collect::<Vec<_>>(),
        [
            DeletedKind::File,
            DeletedKind::File,
            DeletedKind::File,
            DeletedKind::SystemVShm,
            DeletedKind::Memfd,
            DeletedKind::SharedAnonymous,
            DeletedKind::PosixShm,
            DeletedKind::File,
            DeletedKind::File,
            DeletedKind::File,
            DeletedKind::Directory
        ]
    );
}

#[test]
fn a_limit_is_about_what_is_held_and_unknown_files_about_what_is_mapped() {
    let count = |min_size| {
        let mut deleted = Deleted::new(findings());
        deleted.select(&DeletedRequest { min_size, ..DeletedRequest::default() });
        deleted.files.iter().map(|file| file.id.inode).collect::<Vec<_>>()
    };
    assert_eq!(count(301 * MIB), [0; 0]);
    assert_eq!(count(300 * MIB), [10]);
    assert_eq!(count(8 * MIB), [10, 19, 12, 13]);
}

#[test]
fn the_order_is_as_asked_for() {
    let order = |sort| {
        let mut deleted = Deleted::new(findings());
        deleted.select(&DeletedRequest { sort, min_size: MIB, ..DeletedRequest::default() });
        deleted.files.iter().map(|file| file.id.inode).collect::<Vec<_>>()
    };
    assert_eq!(order(DeletedSort::Held), [10, 19, 15, 14, 12, 13]);
    assert_eq!(order(DeletedSort::Size), [10, 19, 15, 14, 12, 13]);
    assert_eq!(order(DeletedSort::Path), [13, 15, 14, 19, 12, 10]);
    assert_eq!(order(DeletedSort::Pid), [10, 12, 13, 14, 15, 19]);
}

#[test]
fn documents_are_valid() {
    let schema = Schema::new(SCHEMA);
    for by in [None, Some(DeletedBy::Process)] {
        let request = DeletedRequest { by, format: PageFormat::Json, ..DeletedRequest::default() };
        let document: Value = serde_json::from_str(&print(&request, 80)).unwrap();
        schema.check(&document);
        assert_eq!(document["files"][0]["holders"][0]["pid"], 99);
        assert_eq!(document["files"][0]["holders"][1]["holds"][1]["fd"], "9");
        assert_eq!(document.get("processes").is_some(), by.is_some());

        let places = ["", "/files/0", "/files/0/holders/0", "/files/0/holders/0/holds/0", "/processes/0"];
        schema.check_fields(&document, &places, |place, field| place.is_empty() && field == "processes");
    }
}

#[test]
fn names_that_were_chosen_to_do_harm_are_harmless_in_text_and_true_in_json() {
    let hostile = hostile::names();
    let mut findings = Findings::default();
    for (number, name) in (1..).zip(&hostile) {
        let mut process = process(number, "", None, Some(""));
        (process.command, process.user) = (name.clone().into(), Some(name.clone().into()));
        process.container = Some(Container { runtime: Runtime::Cgroup, name: name.clone().into() });
        findings.processes.push(process);
        let facts = facts(number.into(), Storage::Disk, 1, 1);
        let hold = Hold { how: How::Descriptor(number), access: Access::Read };
        let process = findings.processes.len() - 1;
        findings.sightings.push(Sighting {
            process,
            id: facts.id,
            facts: Some(facts),
            path: name.clone(),
            hold,
        });
    }
    for by in [None, Some(DeletedBy::Process)] {
        let request = |format| DeletedRequest { by, format, ..DeletedRequest::default() };
        let print = |format| {
            let mut out = Vec::new();
            write(&mut out, &Deleted::new(findings.clone()), &request(format), 80).unwrap();
            String::from_utf8(out).unwrap()
        };
        hostile::assert_harmless(&print(PageFormat::Text));
        let json = print(PageFormat::Json);
        hostile::assert_harmless(&json);
        let document: Value = serde_json::from_str(&json).unwrap();
        Schema::new(SCHEMA).check(&document);
        for file in document["files"].as_array().unwrap() {
            let name = &hostile[usize::try_from(file["inode"].as_u64().unwrap()).unwrap() - 1];
            assert_eq!(&hostile::of_json(file, "path"), name);
            for field in ["command", "user", "container"] {
                assert_eq!(&hostile::of_json(&file["holders"][0], field), name, "{field}");
            }
        }
        for process in document["processes"].as_array().into_iter().flatten() {
            let name = &hostile[usize::try_from(process["pid"].as_u64().unwrap()).unwrap() - 1];
            assert_eq!(&hostile::of_json(process, "command"), name);
        }
    }
}
