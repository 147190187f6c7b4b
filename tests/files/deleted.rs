//! What is listed, with which sums.

use std::{
    fs::{self, File},
    io::Write as _,
    os::{fd::AsRawFd as _, unix::fs::MetadataExt as _},
    path::Path,
    process::{self, Command, Stdio},
};

use harness::{Alone, eventually};
use nix::sys::memfd::{MFdFlags, memfd_create};
use serde_json::{Value, json};

use crate::holders::{Holder, NOBODY, Place, copy, find, said};

/// Asks until a file has these holders and no others: a process that another test is just starting has everything open that this
/// one has, for a moment.
fn held_by(place: &Place, user: u32, path: &Path, expected: &[u64]) -> Value {
    let what = format!("{} is held by {expected:?}", path.display());
    eventually(&what, || {
        let document = place.deleted(user, &[]);
        let file = find(&document, path)?;
        (pids(file) == expected).then_some(document)
    })
}

fn pids(file: &Value) -> Vec<u64> {
    file["holders"].as_array().unwrap().iter().map(|holder| holder["pid"].as_u64().unwrap()).collect()
}

#[test]
fn a_file_that_several_hold_is_listed_once_with_what_it_takes() {
    let place = Place::new();
    let file = place.sparse("shared.log");
    let holders: Vec<_> = (0..5).map(|_| Holder::of(&file, 0)).collect();
    let mut expected: Vec<u64> = holders.iter().map(|holder| holder.pid().into()).collect();
    expected.push(process::id().into());
    expected.sort_unstable();

    let document = held_by(&place, 0, &place.path("shared.log"), &expected);
    let found = find(&document, &place.path("shared.log")).unwrap();
    let about = file.metadata().unwrap();
    assert_eq!(found["inode"], about.ino());
    assert_eq!(found["size_bytes"], 1_u64 << 30);
    assert_eq!(found["held_bytes"], about.blocks() * 512);
    assert_eq!((&found["storage"], &found["kind"]), (&json!("disk"), &json!("file")));
    assert_eq!(found["open_for_writing"], true);
    let own =
        found["holders"].as_array().unwrap().iter().find(|holder| holder["pid"] == process::id()).unwrap();
    assert_eq!(own["holds"], json!([{"fd": file.as_raw_fd().to_string(), "access": "write"}]));
    assert_eq!((&own["user"], &own["uid"]), (&json!("root"), &json!(0)));

    // Once in the sum, whatever else is on this host.
    let sum = document["files"].as_array().unwrap().iter().filter(|file| file["storage"] == "disk");
    let sum: u64 = sum.filter_map(|file| file["held_bytes"].as_u64()).sum();
    assert_eq!(document["disk_bytes"], sum);

    // Five megabytes are held, a gigabyte long: a limit is about what is held.
    assert!(find(&place.deleted(0, &["--min-size", "3M"]), &place.path("shared.log")).is_some());
    assert!(find(&place.deleted(0, &["--min-size", "100M"]), &place.path("shared.log")).is_none());

    drop((file, holders));
    eventually("the file is gone with its last holder", || {
        find(&place.deleted(0, &[]), &place.path("shared.log")).is_none().then_some(())
    });
}

#[test]
fn what_has_a_name_still_is_not_listed() {
    let place = Place::new();
    let (first, second) = (place.path("first"), place.path("second"));
    let linked = File::create(&first).unwrap();
    fs::hard_link(&first, &second).unwrap();
    fs::remove_file(&first).unwrap();
    // A name that only looks so.
    let odd = place.path("odd (deleted)");
    let named = File::create(&odd).unwrap();
    let document = place.deleted(0, &[]);
    for path in [&first, &second, &odd, &place.path("odd")] {
        assert!(find(&document, path).is_none(), "{}", path.display());
    }
    drop((linked, named));
}

#[test]
fn what_runs_and_what_is_mapped_is_held() {
    let place = Place::new();
    let (program, library) = (place.path("runs"), place.path("library.so"));
    copy(Path::new("/bin/sleep"), &program);
    copy(Path::new(&libc()), &library);
    let mut command = Command::new(&program);
    command.env("LD_PRELOAD", &library).stdin(Stdio::null());
    let holder = Holder::start(command, 0).has_mapped(&library);
    let lengths = [&program, &library].map(|path| fs::metadata(path).unwrap().len());
    fs::remove_file(&program).unwrap();
    fs::remove_file(&library).unwrap();

    let document = place.deleted(0, &[]);
    let [runs, mapped] = [&program, &library].map(|path| find(&document, path).unwrap().clone());
    for (file, length) in [&runs, &mapped].into_iter().zip(lengths) {
        assert_eq!(pids(file), [u64::from(holder.pid())]);
        assert_eq!(file["size_bytes"], length);
        assert!(file["held_bytes"].as_u64().unwrap() >= length / 2, "{file:#}");
        assert_eq!(file["open_for_writing"], false);
    }
    assert_eq!(runs["holders"][0]["holds"][0]["fd"], "txt");
    let handle = mapped["holders"][0]["holds"][0]["fd"].as_str().unwrap();
    assert!(handle.starts_with("mem:"), "{mapped:#}");
}

/// A library that every program here can be made to load.
fn libc() -> String {
    let maps = fs::read_to_string("/proc/self/maps").unwrap();
    let path = maps.split_whitespace().find(|word| word.contains("/libc.so"));
    path.expect("a program that is linked to libc").to_owned()
}

#[test]
fn memory_is_told_from_disk() {
    let place = Place::new();
    let name = format!("flowtally-files-{}", process::id());
    let mut memory = File::from(memfd_create(name.as_str(), MFdFlags::MFD_CLOEXEC).unwrap());
    memory.write_all(&vec![1; 100_000]).unwrap();
    let shared_path = format!("/dev/shm/{name}");
    let mut shared = File::create_new(&shared_path).unwrap();
    shared.write_all(&[1; 5000]).unwrap();
    fs::remove_file(&shared_path).unwrap();

    let document = place.deleted(0, &[]);
    for (path, kind, size) in [(format!("/memfd:{name}"), "memfd", 100_000), (shared_path, "posix_shm", 5000)]
    {
        let file = find(&document, Path::new(&path)).unwrap();
        assert_eq!((&file["storage"], &file["kind"]), (&json!("memory"), &json!(kind)));
        assert_eq!(file["size_bytes"], size);
        assert!(file["held_bytes"].as_u64().unwrap() >= size, "{file:#}");
    }
    let text = String::from_utf8(place.run(0, ["deleted"]).stdout).unwrap();
    let (disk, rest) = text.split_once("In memory, not on disk:").unwrap();
    assert!(rest.contains(&name) && !disk.contains(&name), "{text}");
}

/// Its name begins with that of another folder, in a mount namespace of its own, and it is what `shm_open(3)` makes.
#[test]
fn shared_memory_is_known_by_the_file_system_where_it_has_another_path() {
    let place = Place::new();
    let fixture = Alone::start(Path::new(env!("CARGO_BIN_EXE_fixture")), "elsewhere");
    let path = Path::new(fixture.fact("shared"));
    let document = place.deleted(0, &[]);
    let file = find(&document, path).unwrap_or_else(|| panic!("no {}: {document:#}", path.display()));
    assert_eq!((&file["kind"], &file["storage"]), (&json!("posix_shm"), &json!("memory")), "{file:#}");
    assert_eq!(file["holders"][0]["pid"], fixture.number("pid"));
}

#[test]
fn a_directory_that_somebody_is_in_is_held() {
    let place = Place::new();
    let folder = place.path("gone");
    fs::create_dir(&folder).unwrap();
    let mut command = Command::new("sleep");
    command.current_dir(&folder).stdin(Stdio::null());
    let holder = Holder::start(command, 0);
    fs::remove_dir(&folder).unwrap();
    let document = place.deleted(0, &[]);
    let found = find(&document, &folder).unwrap();
    assert_eq!(found["kind"], "directory");
    assert_eq!(found["holders"][0]["holds"], json!([{"fd": "cwd", "access": "read"}]));
    assert_eq!(pids(found), [u64::from(holder.pid())]);
}

#[test]
fn processes_are_listed_with_what_they_alone_hold() {
    let place = Place::new();
    let (both, alone) = (place.sparse("both"), place.sparse("alone"));
    let held = both.metadata().unwrap().blocks() * 512;
    let first = Holder::of(&both, 0);
    let mut command = Command::new("sleep");
    command.stdin(alone.try_clone().unwrap());
    let second = Holder::start(command, 0);
    let third = Holder::of(&both, 0);
    drop((both, alone));
    for (name, holders) in [("both", &[&first, &third][..]), ("alone", &[&second])] {
        let pids: Vec<_> = holders.iter().map(|holder| u64::from(holder.pid())).collect();
        held_by(&place, 0, &place.path(name), &pids);
    }
    let document = place.deleted(0, &["--by", "process"]);
    let sums = |holder: &Holder| {
        let processes = document["processes"].as_array().unwrap();
        let process = processes.iter().find(|process| process["pid"] == holder.pid()).unwrap();
        [&process["disk_files"], &process["disk_bytes"], &process["alone_bytes"]]
            .map(|sum| sum.as_u64().unwrap())
    };
    assert_eq!(sums(&first), [1, held, 0]);
    assert_eq!(sums(&second), [1, held, held]);
    assert_eq!(sums(&third), [1, held, 0]);
    let text = String::from_utf8(place.run(0, ["deleted", "--by", "process"]).stdout).unwrap();
    assert!(text.contains("ALONE") && text.contains(&first.pid().to_string()), "{text}");
}

#[test]
fn without_privileges_ones_own_files_are_listed_and_what_is_missing_is_said() {
    let place = Place::new();
    let (own, others) = (place.sparse("own"), place.sparse("others"));
    let library = place.path("library.so");
    copy(Path::new(&libc()), &library);
    let mut command = Command::new("sleep");
    command.stdin(own.try_clone().unwrap()).env("LD_PRELOAD", &library);
    let holder = Holder::start(command, NOBODY).has_mapped(&library);
    fs::remove_file(&library).unwrap();

    let document = held_by(&place, NOBODY, &place.path("own"), &[u64::from(holder.pid())]);
    assert!(find(&document, &place.path("others")).is_none());
    assert!(document["processes_unreadable"].as_u64().unwrap() > 0, "{document:#}");
    let mapped = find(&document, &library).unwrap();
    assert_eq!((&mapped["size_bytes"], &mapped["held_bytes"]), (&Value::Null, &Value::Null));
    assert_eq!(document["unknown_files"], 1);
    let text = String::from_utf8(place.run(NOBODY, ["deleted"]).stdout).unwrap();
    for word in ["processes could not be read", "CAP_SYS_PTRACE", "CAP_CHECKPOINT_RESTORE"] {
        assert!(text.contains(word), "no {word} in: {text}");
    }
    drop(others);
}

#[test]
fn wrong_options_are_wrong_usage() {
    let place = Place::new();
    for arguments in
        [&["--min-size", "ten"][..], &["--by", "user"], &["--sort", "x"], &["--format", "xml"], &["x"]]
    {
        let output = place.run(0, ["deleted"].iter().chain(arguments));
        assert_eq!(output.status.code(), Some(2), "{arguments:?}: {}", said(&output));
    }
}

/// Which way is read, and why, is said to whoever asks; what is listed is the same.
#[test]
fn it_says_where_open_files_were_read_from() {
    let place = Place::new();
    let file = place.sparse("said.log");
    let holder = Holder::of(&file, 0);
    for (way, expected) in [("iterators", "the kernel's own tables (BPF iterators)"), ("proc", "/proc: ")] {
        let output = Command::new(place.path("flowtally"))
            .args(["deleted", "--verbose", "--format", "json"])
            .env("FLOWTALLY_TEST_FILES", way)
            .output()
            .unwrap();
        let said = said(&output);
        assert!(said.contains(&format!("open files were read from {expected}")), "{way}: {said}");
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let found = find(&document, &place.path("said.log")).expect("the file is listed");
        assert!(pids(found).contains(&u64::from(holder.pid())), "{way}: {found}");
    }
    let output = place.run(0, ["deleted"]);
    assert!(!said(&output).contains("read from"), "nobody asked");
}
