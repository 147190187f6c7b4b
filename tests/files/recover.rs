//! What is copied, and what is refused.

use std::{
    fs::{self, File, Permissions},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    os::{
        fd::AsRawFd as _,
        unix::{
            fs::{MetadataExt as _, PermissionsExt as _, chown},
            net::UnixStream,
        },
    },
    path::Path,
    process::{self, Command, Output, Stdio},
    time::{Duration, SystemTime},
};

use nix::sys::memfd::{MFdFlags, memfd_create};

use crate::holders::{Holder, NOBODY, Place, copy, find, said};

fn recover(place: &Place, user: u32, pid: u32, handle: &str, output: &Path) -> Output {
    let pid = pid.to_string();
    let output = output.to_str().unwrap();
    place.run(user, ["recover", "--pid", &pid, "--fd", handle, "--output", output])
}

/// Compares two files a piece at a time.
fn assert_equal<'a>(mut one: &'a File, mut other: &'a File) {
    assert_eq!(one.metadata().unwrap().len(), other.metadata().unwrap().len());
    let (mut left, mut right) = (vec![0; 1 << 20], vec![0; 1 << 20]);
    for file in [&mut one, &mut other] {
        file.seek(SeekFrom::Start(0)).unwrap();
    }
    loop {
        let length = one.read(&mut left).unwrap();
        other.read_exact(&mut right[..length]).unwrap();
        assert!(left[..length] == right[..length], "the content differs");
        if length == 0 {
            return;
        }
    }
}

#[test]
fn a_copy_equals_the_file_and_keeps_its_holes_owner_mode_and_times() {
    let place = Place::new();
    let file = place.sparse("old.log");
    file.set_permissions(Permissions::from_mode(0o4751)).unwrap();
    chown(format!("/proc/self/fd/{}", file.as_raw_fd()), Some(NOBODY), Some(NOBODY)).unwrap();
    // Changing the owner takes the bit away.
    file.set_permissions(Permissions::from_mode(0o4751)).unwrap();
    let modified = SystemTime::UNIX_EPOCH + Duration::from_nanos(1_111_111_111_222_222_222);
    file.set_modified(modified).unwrap();
    let holder = Holder::of(&file, 0);

    let output = place.path("recovered");
    let ended = recover(&place, 0, holder.pid(), "0", &output);
    assert!(ended.status.success(), "{}", said(&ended));
    let copy = File::open(&output).unwrap();
    assert_equal(&copy, &file);
    let (about, original) = (copy.metadata().unwrap(), file.metadata().unwrap());
    assert!(about.blocks() * 512 < 8 << 20, "{} blocks", about.blocks());
    assert_eq!(about.blocks(), original.blocks());
    assert_eq!((about.uid(), about.gid(), about.mode()), (NOBODY, NOBODY, original.mode()));
    assert_eq!(about.modified().unwrap(), modified);
    let printed = String::from_utf8(ended.stdout).unwrap();
    assert!(printed.contains("1.00 GiB") && printed.contains("old.log (deleted)"), "{printed}");

    // The same once more: what is there is left as it is.
    fs::write(&output, "precious").unwrap();
    let ended = recover(&place, 0, holder.pid(), "0", &output);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said(&ended).contains("exists already"), "{}", said(&ended));
    assert_eq!(fs::read_to_string(&output).unwrap(), "precious");
}

#[test]
fn a_deleted_log_is_found_and_copied() {
    let place = Place::new();
    let path = place.path("service.log");
    let mut log = File::create(&path).unwrap();
    let line: Vec<u8> = (0..=255).collect();
    for _ in 0..4096 {
        log.write_all(&line).unwrap();
    }
    fs::remove_file(&path).unwrap();
    let document = place.deleted(0, &[]);
    let found = find(&document, &path).unwrap();
    // A process that another test is just starting may have it too, for a moment.
    let holders = found["holders"].as_array().unwrap();
    let holder = holders.iter().find(|holder| holder["pid"] == process::id()).unwrap();
    let (pid, handle) = (process::id(), holder["holds"][0]["fd"].as_str().unwrap());
    // Where it was: its name is free.
    let ended = recover(&place, 0, pid, handle, &path);
    assert!(ended.status.success(), "{}", said(&ended));
    assert!(fs::read(&path).unwrap() == line.repeat(4096), "the content differs");
    // It is open for writing here, and who has it is named.
    let warning = said(&ended);
    assert!(warning.contains("may still be written") && warning.contains(&format!("pid {pid}")), "{warning}");
}

#[test]
fn what_nobody_writes_to_brings_no_warning() {
    let place = Place::new();
    let path = place.path("quiet");
    fs::write(&path, "quiet").unwrap();
    let file = File::open(&path).unwrap();
    fs::remove_file(&path).unwrap();
    let ended = recover(&place, 0, process::id(), &file.as_raw_fd().to_string(), &path);
    assert!(ended.status.success());
    assert_eq!(said(&ended), "");
    assert_eq!(fs::read(&path).unwrap(), b"quiet");
}

#[test]
fn executables_libraries_and_memory_are_copied() {
    let place = Place::new();
    let (program, library) = (place.path("runs"), place.path("library.so"));
    let system = fs::read_to_string("/proc/self/maps").unwrap();
    let libc = system.split_whitespace().find(|word| word.contains("/libc.so")).unwrap();
    copy(Path::new("/bin/sleep"), &program);
    copy(Path::new(libc), &library);
    let mut command = Command::new(&program);
    command.env("LD_PRELOAD", &library).stdin(Stdio::null());
    let holder = Holder::start(command, 0).has_mapped(&library);
    fs::remove_file(&program).unwrap();
    fs::remove_file(&library).unwrap();

    let document = place.deleted(0, &[]);
    let handle =
        find(&document, &library).unwrap()["holders"][0]["holds"][0]["fd"].as_str().unwrap().to_owned();
    let original = File::open("/bin/sleep").unwrap();
    for (handle, original) in [("txt", original), (&handle, File::open(libc).unwrap())] {
        let output = place.path(&format!("copy of {}", handle.split(':').next().unwrap()));
        let ended = recover(&place, 0, holder.pid(), handle, &output);
        assert!(ended.status.success(), "{handle}: {}", said(&ended));
        assert_equal(&File::open(output).unwrap(), &original);
    }
    // Two deleted files are mapped: the program is, too.
    let ended = recover(&place, 0, holder.pid(), "mem", &place.path("any"));
    assert_eq!(ended.status.code(), Some(1));
    assert!(said(&ended).contains(&handle), "{}", said(&ended));

    let mut memory = File::from(memfd_create("flowtally-recover", MFdFlags::MFD_CLOEXEC).unwrap());
    memory.write_all(b"only in memory").unwrap();
    let output = place.path("memory");
    let ended = recover(&place, 0, process::id(), &memory.as_raw_fd().to_string(), &output);
    assert!(ended.status.success(), "{}", said(&ended));
    assert_eq!(fs::read(output).unwrap(), b"only in memory");
}

#[test]
fn what_does_not_fit_is_refused_before_it_is_copied() {
    let place = Place::new();
    let file = place.sparse("large");
    let holder = Holder::of(&file, 0);
    let small = place.path("small");
    fs::create_dir(&small).unwrap();
    // A file system of a megabyte, in a mount namespace that goes with the shell.
    let script = format!(
        "mount -t tmpfs -o size=1m none {0} && {1} recover --pid {2} --fd 0 --output {0}/copy; echo status $? left $(ls {0})",
        small.display(),
        place.path("flowtally").display(),
        holder.pid()
    );
    let output = Command::new("unshare").args(["--mount", "sh", "-c", &script]).output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout);
    assert_eq!(printed.trim(), "status 1 left", "{}", said(&output));
    let message = said(&output);
    assert!(message.contains("1.00 MiB free") && message.contains("4.7"), "{message}");
}

/// The length of such files is 0, or a page, whatever is in them.
#[test]
fn what_the_kernel_makes_up_is_read_to_the_end_and_that_is_said() {
    let place = Place::new();
    let holder = Holder::of(&File::open("/dev/null").unwrap(), 0);
    let maps = File::open(format!("/proc/{}/maps", holder.pid())).unwrap();
    let address = File::open("/sys/class/net/lo/address").unwrap();
    for (file, whole) in [(&maps, "[stack]"), (&address, "00:00:00:00:00:00\n")] {
        let holder = Holder::of(file, 0);
        let output = place.path("copy");
        let ended = recover(&place, 0, holder.pid(), "0", &output);
        assert!(ended.status.success(), "{}", said(&ended));
        let copy = fs::read_to_string(&output).unwrap();
        assert!(copy.contains(whole) && copy.ends_with('\n'), "{copy:?}");
        assert!(said(&ended).contains("read to the end"), "{}", said(&ended));
        let printed = String::from_utf8(ended.stdout).unwrap();
        assert!(!printed.contains(": 0 B"), "{printed}");
        fs::remove_file(output).unwrap();
    }
    // An empty file is an empty copy, and nothing is said.
    let empty = File::create(place.path("empty")).unwrap();
    let holder = Holder::of(&File::open(place.path("empty")).unwrap(), 0);
    drop(empty);
    let ended = recover(&place, 0, holder.pid(), "0", &place.path("copy"));
    assert!(ended.status.success() && said(&ended).is_empty(), "{}", said(&ended));
    assert_eq!(fs::metadata(place.path("copy")).unwrap().len(), 0);
}

#[test]
fn what_has_no_end_is_refused_in_words() {
    let place = Place::new();
    for (path, word) in [
        ("/proc/kmsg", "has no end"),
        ("/proc/self/mem", "the memory of a process"),
        ("/proc/kcore", "gave more than"),
        ("/dev/zero", "a device"),
        ("/dev/null", "a device"),
        ("/proc/self/ns/net", "a handle of a namespace"),
    ] {
        // Not every host lets even root open all of them.
        let Ok(file) = File::open(path) else { continue };
        let holder = Holder::of(&file, 0);
        let ended = recover(&place, 0, holder.pid(), "0", &place.path("copy"));
        assert_eq!(ended.status.code(), Some(1), "{path}");
        assert!(said(&ended).contains(word), "{path}: {}", said(&ended));
        assert!(!place.path("copy").exists(), "{path}");
    }
}

#[test]
fn what_is_no_file_is_called_what_it_is() {
    let place = Place::new();
    let (pipe, _end) = io::pipe().unwrap();
    let (socket, _peer) = UnixStream::pair().unwrap();
    let folder = File::open("/").unwrap();
    let own = process::id();
    for (number, word) in
        [(pipe.as_raw_fd(), "a pipe"), (socket.as_raw_fd(), "a socket"), (folder.as_raw_fd(), "a directory")]
    {
        let ended = recover(&place, 0, own, &number.to_string(), &place.path("copy"));
        assert_eq!(ended.status.code(), Some(1));
        assert!(said(&ended).contains(word), "{}", said(&ended));
        assert!(!place.path("copy").exists());
    }
    for (pid, handle, word) in [(own, "100000", "100000"), (u32::MAX, "1", "no process")] {
        let ended = recover(&place, 0, pid, handle, &place.path("copy"));
        assert_eq!(ended.status.code(), Some(1));
        assert!(said(&ended).contains(word), "{}", said(&ended));
    }
    for handle in ["x", "cwd", "-1", "mem:"] {
        let ended = recover(&place, 0, own, handle, &place.path("copy"));
        assert_eq!(ended.status.code(), Some(2), "{handle}: {}", said(&ended));
    }
}

#[test]
fn without_privileges_ones_own_files_are_copied_and_others_are_refused() {
    let place = Place::new();
    let file = place.sparse("own");
    let (own, others) = (Holder::of(&file, NOBODY), Holder::of(&file, 0));
    fs::create_dir(place.path("out")).unwrap();
    fs::set_permissions(place.path("out"), Permissions::from_mode(0o777)).unwrap();
    let output = place.path("out/copy");
    let ended = recover(&place, NOBODY, others.pid(), "0", &output);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said(&ended).contains("CAP_SYS_PTRACE"), "{}", said(&ended));
    assert!(!output.exists());

    // The file is root's, and everybody may read it.
    let ended = recover(&place, NOBODY, own.pid(), "0", &output);
    assert!(ended.status.success(), "{}", said(&ended));
    assert!(said(&ended).contains("owner could not be kept"), "{}", said(&ended));
    assert_equal(&File::open(&output).unwrap(), &file);
    fs::remove_file(&output).unwrap();

    // Now it may not.
    file.set_permissions(Permissions::from_mode(0o600)).unwrap();
    let ended = recover(&place, NOBODY, own.pid(), "0", &output);
    assert_eq!(ended.status.code(), Some(1));
    assert!(said(&ended).contains("CAP_DAC_READ_SEARCH"), "{}", said(&ended));
    assert!(!output.exists());
}
