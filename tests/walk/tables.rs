//! Tables that threads share or have for themselves, and hosts on which everything changes.

use std::{
    collections::HashSet,
    fs::File,
    ops::ControlFlow,
    os::fd::AsRawFd as _,
    sync::{
        atomic::{AtomicBool, Ordering},
        mpsc,
    },
    thread,
};

use flowtally::kernel::walk::FileSelection;
use nix::{
    sched::{CloneFlags, unshare},
    unistd::gettid,
};

use super::{everything, files, open};

#[test]
fn a_table_is_met_once_and_a_thread_s_own_too() {
    let shared = File::open("/dev/null").unwrap();
    let shared_fd = shared.as_raw_fd().unsigned_abs();
    let (say, hear) = mpsc::channel();
    let (end, wait) = mpsc::channel::<()>();
    let apart = thread::spawn(move || {
        unshare(CloneFlags::CLONE_FILES).unwrap();
        let file = File::open("/dev/zero").unwrap();
        say.send((gettid().as_raw().unsigned_abs(), file.as_raw_fd().unsigned_abs())).unwrap();
        let _ = wait.recv();
    });
    let (tid, own_fd) = hear.recv().unwrap();
    let (end_other, wait_other) = mpsc::channel::<()>();
    let together = thread::spawn(move || {
        let _ = wait_other.recv();
    });

    let pid = std::process::id();
    let seen = files(&everything());
    let of = |fd: u32, tid: u32| seen.iter().filter(|file| (file.fd, file.tid) == (fd, tid)).count();
    assert_eq!((of(shared_fd, pid), of(shared_fd, tid)), (1, 1), "it has a copy");
    let zero = |tid: u32| {
        let is = |file: &&super::Seen| {
            (file.fd, file.tid) == (own_fd, tid) && file.link.as_deref() == Some(b"/dev/zero")
        };
        seen.iter().filter(is).count()
    };
    assert_eq!((zero(tid), zero(pid)), (1, 0));
    let tables: HashSet<_> = seen.iter().map(|file| (file.tid, file.table)).collect();
    // Other tests may have threads with tables of their own, one table each.
    assert_eq!(tables.len(), seen.iter().map(|file| file.table).collect::<HashSet<_>>().len());
    assert!(seen.iter().all(|file| file.pid == pid));
    drop((end, end_other));
    apart.join().unwrap();
    together.join().unwrap();
}

#[test]
fn what_stays_open_is_found_while_all_else_changes() {
    let stays: Vec<_> = (0..700).map(|_| File::open("/dev/null").unwrap()).collect();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let some: Vec<_> = (0..50).map(|_| File::open("/proc/self/status").unwrap()).collect();
                drop(some);
                let _ = std::process::Command::new("/bin/true").status();
            }
        });
        let mut tables = open();
        for _ in 0..20 {
            let mut found = HashSet::new();
            tables
                .files(&FileSelection { path: true, ..FileSelection::default() }, |file| {
                    if file.pid == std::process::id() && file.tid == file.pid {
                        assert!(found.insert(file.fd), "{} twice", file.fd);
                    }
                    ControlFlow::Continue(())
                })
                .unwrap();
            assert!(stays.iter().all(|file| found.contains(&file.as_raw_fd().unsigned_abs())));
        }
        done.store(true, Ordering::Relaxed);
    });
}

#[test]
fn whoever_has_enough_ends_the_walk() {
    let mut count = 0;
    open()
        .files(&FileSelection::default(), |_| {
            count += 1;
            if count == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        })
        .unwrap();
    assert_eq!(count, 3);
}
