//! A file system whose server never answers.

use std::{
    ffi::CString,
    fs::File,
    os::fd::{AsRawFd as _, OwnedFd},
    path::Path,
    sync::mpsc,
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, unshare};
use rustix::{
    fs::{CWD, Mode, OFlags, openat},
    mount::{MountFlags, MountPropagationFlags, mount, mount_change},
};

use super::{everything, folder, own};

/// `FUSE_SUPER_MAGIC` of `linux/magic.h`.
const FUSE: u64 = 0x6573_5546;
/// Longer than any walk takes, however busy the machine is.
const LONGEST: Duration = Duration::from_mins(1);

/// Mounts a file system of which nobody answers for, and holds its root, which is found without the server.
fn hang(point: &Path) -> (File, OwnedFd) {
    let server = File::options().read(true).write(true).open("/dev/fuse").unwrap();
    let options = format!("fd={},rootmode=40000,user_id=0,group_id=0", server.as_raw_fd());
    let options = CString::new(options).unwrap();
    mount("hung", point, "fuse", MountFlags::NOSUID | MountFlags::NODEV, options.as_c_str()).unwrap();
    (server, openat(CWD, point, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap())
}

#[test]
fn a_server_that_does_not_answer_is_not_waited_for() {
    let folder = folder();
    let point = folder.path().to_owned();
    let (say, hear) = mpsc::channel();
    let (end, wait) = mpsc::channel::<()>();
    let holder = thread::spawn(move || {
        // Nobody else sees the mount, which goes with this thread.
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let (server, root) = hang(&point);
        say.send(root.as_raw_fd().unsigned_abs()).unwrap();
        let _ = wait.recv();
        drop((server, root));
    });
    let fd = hear.recv().unwrap();
    let (done, walked) = mpsc::channel();
    thread::spawn(move || done.send(own(&everything())));
    let seen = walked.recv_timeout(LONGEST).expect("the walk comes to its end");
    let file = seen[&fd].file;
    assert_eq!(file.file_system, FUSE);
    assert!(!file.exact, "its server would answer stat(2)");
    drop(end);
    holder.join().unwrap();
}
