//! Each record beside what /proc says of the same descriptor.

use std::{
    fs::{self, File, OpenOptions},
    io::{Seek as _, SeekFrom, Write as _},
    os::{
        fd::{AsRawFd as _, OwnedFd},
        unix::{ffi::OsStrExt as _, fs::OpenOptionsExt as _},
    },
};

use flowtally::kernel::walk::{FileKinds, FileSelection, IdSet};
use rustix::{
    event::{EventfdFlags, epoll, eventfd},
    fs::{AtFlags, CWD, Mode, OFlags, StatxFlags, openat, statx},
    pipe::pipe,
};

use super::{Seen, everything, folder, link, own};

/// `O_CLOEXEC`
const CLOSE_ON_EXEC: u32 = 0o2_000_000;

/// The number behind a word in a text of /proc.
fn number(text: &str, word: &str, radix: u32) -> u64 {
    let line = text.lines().find_map(|line| line.strip_prefix(word)).unwrap();
    u64::from_str_radix(line.trim(), radix).unwrap()
}

/// Holds a record against everything that /proc says of the descriptor.
fn compare(seen: &Seen) {
    let fd = seen.fd;
    let target = fs::read_link(link(fd)).unwrap();
    let context = target.display();
    assert_eq!(seen.link.as_deref(), Some(target.as_os_str().as_bytes()), "{fd}");
    let info = fs::read_to_string(format!("/proc/self/fdinfo/{fd}")).unwrap();
    let flags = u32::try_from(number(&info, "flags:", 8)).unwrap();
    assert_eq!(seen.flags, flags & !CLOSE_ON_EXEC, "{context}");
    assert_eq!(seen.close_on_exec, Some(flags & CLOSE_ON_EXEC != 0), "{context}");
    assert_eq!(seen.position, number(&info, "pos:", 10), "{context}");
    let mode = fs::symlink_metadata(link(fd)).map(|it| std::os::unix::fs::MetadataExt::mode(&it)).unwrap();
    assert_eq!(seen.access, (mode & 0o400 != 0, mode & 0o200 != 0), "{context}");
    if info.contains("eventfd-id:") {
        assert_eq!(seen.event.map(u64::from), Some(number(&info, "eventfd-id:", 10)));
    } else {
        assert_eq!(seen.event, None, "{context}");
    }
    if seen.file.exact {
        let stat = statx(CWD, link(fd), AtFlags::STATX_DONT_SYNC, StatxFlags::BASIC_STATS).unwrap();
        let file = seen.file;
        assert_eq!(file.device, (stat.stx_dev_major, stat.stx_dev_minor), "{context}");
        assert_eq!(file.rdev, (stat.stx_rdev_major, stat.stx_rdev_minor), "{context}");
        assert_eq!(
            (file.inode, file.mode, file.links, file.size),
            (stat.stx_ino, stat.stx_mode, stat.stx_nlink, stat.stx_size),
            "{context}"
        );
    }
}

#[test]
fn every_descriptor_is_as_proc_has_it() {
    let folder = folder();
    let path = |name: &str| folder.path().join(name);
    let mut kept: Vec<OwnedFd> = Vec::new();
    let mut written = File::create(path("written")).unwrap();
    written.write_all(b"some bytes").unwrap();
    written.seek(SeekFrom::Start(3)).unwrap();
    kept.push(written.into());
    kept.push(File::create(path("gone")).unwrap().into());
    fs::remove_file(path("gone")).unwrap();
    kept.push(File::create(path("new\nline \\ (deleted)")).unwrap().into());
    let flags = OFlags::APPEND.union(OFlags::SYNC).bits().cast_signed();
    kept.push(
        OpenOptions::new().append(true).create(true).custom_flags(flags).open(path("log")).unwrap().into(),
    );
    kept.push(File::open(folder.path()).unwrap().into());
    kept.push(openat(CWD, path("log"), OFlags::PATH, Mode::empty()).unwrap());
    for device in ["/dev/null", "/dev/zero", "/dev/ptmx", "/proc/self/status", "/sys/kernel/btf/vmlinux"] {
        kept.push(File::open(device).unwrap().into());
    }
    let (reader, writer) = pipe().unwrap();
    kept.extend([reader, writer]);
    kept.push(eventfd(7, EventfdFlags::CLOEXEC).unwrap());
    kept.push(epoll::create(epoll::CreateFlags::empty()).unwrap());
    kept.push(rustix::fs::memfd_create("mem", rustix::fs::MemfdFlags::CLOEXEC).unwrap());
    kept.push(std::net::UdpSocket::bind("127.0.0.1:0").unwrap().into());

    let seen = own(&everything());
    for fd in &kept {
        let fd = fd.as_raw_fd().unsigned_abs();
        let seen = seen.get(&fd).unwrap_or_else(|| panic!("{fd} is missing"));
        compare(seen);
        assert_ne!(seen.table, 0);
    }
    // A file system that answers from its inodes needs no second question.
    assert!(seen[&kept[0].as_raw_fd().unsigned_abs()].file.exact);
}

#[test]
fn a_path_is_whole_however_long_it_is() {
    let folder = folder();
    let mut at = openat(CWD, folder.path(), OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
    let name = "d".repeat(255);
    let mut length = folder.path().as_os_str().len();
    let mut kept = Vec::new();
    // Past the longest path that anybody can be told.
    while length < 4_600 {
        rustix::fs::mkdirat(&at, &*name, Mode::RWXU).unwrap();
        at = openat(&at, &*name, OFlags::PATH | OFlags::DIRECTORY, Mode::empty()).unwrap();
        length += 256;
        let file = openat(&at, "f", OFlags::CREATE | OFlags::RDWR, Mode::RUSR).unwrap();
        kept.push(file);
    }
    let seen = own(&everything());
    let (mut whole, mut too_long) = (0, 0);
    for fd in &kept {
        let number = fd.as_raw_fd().unsigned_abs();
        match fs::read_link(link(number)) {
            Ok(target) => {
                assert_eq!(seen[&number].link.as_deref(), Some(target.as_os_str().as_bytes()));
                whole += 1;
            }
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENAMETOOLONG));
                assert_eq!(seen[&number].link, None);
                too_long += 1;
            }
        }
    }
    assert!(whole > 10 && too_long > 0, "{whole} and {too_long}");
}

#[test]
fn the_kernel_selects() {
    let folder = folder();
    let plain = File::create(folder.path().join("plain")).unwrap();
    let gone = File::create(folder.path().join("gone")).unwrap();
    fs::remove_file(folder.path().join("gone")).unwrap();
    let socket = std::net::UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let of = |it: &dyn std::os::fd::AsRawFd| it.as_raw_fd().unsigned_abs();
    let (plain_fd, gone_fd, socket_fd) = (of(&plain), of(&gone), of(&socket));
    let all = everything();
    let has = |selection: &FileSelection<'_>| {
        let seen = own(selection);
        [plain_fd, gone_fd, socket_fd].map(|fd| seen.contains_key(&fd))
    };
    assert_eq!(has(&all), [true; 3]);
    assert_eq!(has(&FileSelection { kind: FileKinds::Sockets, ..all }), [false, false, true]);
    assert_eq!(has(&FileSelection { kind: FileKinds::NoSockets, ..all }), [true, true, false]);
    assert_eq!(has(&FileSelection { descriptors: Some((gone_fd, gone_fd)), ..all }), [false, true, false]);
    let kind = FileKinds::NoSockets;
    assert_eq!(has(&FileSelection { unlinked: true, kind, ..all }), [false, true, false]);
    let inode = rustix::fs::fstat(&plain).unwrap().st_ino;
    let inodes: IdSet = [inode].into_iter().collect();
    assert_eq!(has(&FileSelection { inodes: Some(&inodes), kind, ..all }), [true, false, false]);
    let device = rustix::fs::fstat(&plain).unwrap().st_dev;
    let device = (rustix::fs::major(device), rustix::fs::minor(device));
    assert_eq!(has(&FileSelection { device: Some(device), kind, ..all }), [true, true, false]);
    assert_eq!(has(&FileSelection { device: Some((0, 0xfffff)), kind, ..all }), [false; 3]);
    let ports: IdSet = [u64::from(port)].into_iter().collect();
    let kind = FileKinds::Sockets;
    assert_eq!(has(&FileSelection { ports: Some(&ports), kind, ..all }), [false, false, true]);
    // Without 0, which is the port of an end that there is not.
    let ports: IdSet = (1..=u64::from(u16::MAX)).filter(|it| *it != u64::from(port)).collect();
    assert_eq!(has(&FileSelection { ports: Some(&ports), kind, ..all }), [false; 3]);
    // The same without a process: comparing is the program's.
    let everybody = super::files(&FileSelection { process: None, ..all });
    let mine = |file: &&Seen| (file.tid, file.fd) == (std::process::id(), plain_fd);
    assert_eq!(everybody.iter().filter(mine).count(), 1);
    assert!(everybody.iter().any(|file| file.pid != std::process::id()));
}
