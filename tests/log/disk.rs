//! Disks that refuse or dawdle. Mounts are seen by the test's own thread and what it starts.

use std::{
    ffi::OsStr,
    fs,
    path::Path,
    process::{Child, Command},
    thread,
};

use harness::eventually;
use nix::{
    sched::{CloneFlags, unshare},
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use rustix::mount::{
    MountFlags, MountPropagationFlags, UnmountFlags, mount, mount_bind, mount_change, mount_remount, unmount,
};

use crate::subject::{Subject, files, settings, told};

/// Runs a test where a small file system is mounted.
fn on_small_disk(size: &str, test: impl FnOnce(&Path) + Send + 'static) {
    let size = format!("size={size}");
    let run = move || {
        unshare(CloneFlags::CLONE_NEWNS).unwrap();
        mount_change("/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let options = std::ffi::CString::new(size).unwrap();
        mount("log", folder.path(), "tmpfs", MountFlags::empty(), Some(&*options)).unwrap();
        test(folder.path());
        unmount(folder.path(), UnmountFlags::DETACH).unwrap();
    };
    thread::spawn(run).join().unwrap();
}

#[test]
fn a_full_disk_costs_no_byte() {
    on_small_disk("2m", |disk| {
        let folder = disk.join("log");
        let mut subject = Subject::new(&settings(&folder), 200);
        subject.tick_until("something is written", |status| status.intervals > 2);
        let filler = disk.join("filler");
        // As much as there is room for.
        let _ = fs::write(&filler, vec![0; 4 << 20]);
        let status = subject.tick_until("the disk is full", |status| status.failures > 3);
        assert!(status.is_failing && status.carried > 0);
        assert!(status.last_error.unwrap().contains("No space left on device"));
        fs::remove_file(&filler).unwrap();
        subject.tick_until("it is written again", |status| !status.is_failing && status.carried == 0);
        let (status, sent, said) = subject.stop();
        assert_eq!(said.matches("cannot be written").count(), 1, "{said}");
        assert_eq!(said.matches("is written again").count(), 1, "{said}");
        assert!(status.carried == 0 && status.failures > 3);
        let told = told(&files(&folder));
        assert_eq!(told.bytes, sent);
        assert!(told.most_carried >= 3, "{told:?}");
    });
}

#[test]
fn a_disk_that_is_full_from_the_start_is_waited_for() {
    on_small_disk("1m", |disk| {
        let filler = disk.join("filler");
        let _ = fs::write(&filler, vec![0; 2 << 20]);
        let folder = disk.join("log");
        let mut subject = Subject::new(&settings(&folder), 50);
        subject.tick_until("it fails", |status| status.failures > 3);
        assert!(!folder.exists() || files(&folder).len() <= 1, "nothing is littered");
        fs::remove_file(&filler).unwrap();
        subject.tick_until("it is written", |status| !status.is_failing && status.carried == 0);
        let (_, sent, _) = subject.stop();
        assert_eq!(told(&files(&folder)).bytes, sent);
    });
}

#[test]
fn a_disk_that_becomes_read_only_costs_no_byte() {
    on_small_disk("8m", |disk| {
        let folder = disk.join("log");
        let mut subject = Subject::new(&settings(&folder), 50);
        subject.tick_until("something is written", |status| status.intervals > 2);
        subject.settle();
        // A new mount of the same file system is read-only at once: the next file cannot be made in it.
        mount_bind(disk, disk).unwrap();
        mount_remount(disk, MountFlags::BIND | MountFlags::RDONLY, "").unwrap();
        subject.writer.reopen();
        let status = subject.tick_until("it is read-only", |status| status.failures > 3);
        assert!(status.last_error.unwrap().contains("Read-only file system"));
        unmount(disk, UnmountFlags::DETACH).unwrap();
        subject.tick_until("it is written again", |status| !status.is_failing && status.carried == 0);
        let (_, sent, _) = subject.stop();
        assert_eq!(told(&files(&folder)).bytes, sent);
    });
}

/// A disk that hangs: a frozen file system lets nobody write before it is thawed.
#[test]
fn a_disk_that_hangs_holds_nothing_up() {
    on_small_disk("64m", |disk| {
        let (image, mounted) = (disk.join("image"), disk.join("mounted"));
        fs::create_dir(&mounted).unwrap();
        fs::File::create(&image).unwrap().set_len(32 << 20).unwrap();
        run("mkfs.ext4", &["-q".as_ref(), image.as_os_str()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), mounted.as_os_str()]);
        let folder = mounted.join("log");
        let mut subject = Subject::new(&settings(&folder), 300);
        subject.tick_until("something is written", |status| status.intervals > 2);
        run("fsfreeze", &["--freeze".as_ref(), mounted.as_os_str()]);
        // One interval is being written and one waits; all others are added up, and no tick takes longer for it.
        let before = subject.writer.status().intervals;
        for _ in 0..200 {
            subject.tick();
        }
        let status = subject.writer.status();
        assert!(status.intervals <= before + 2 && status.queue > 0, "{status:?}");
        run("fsfreeze", &["--unfreeze".as_ref(), mounted.as_os_str()]);
        subject.tick_until("it is written again", |status| status.intervals > before + 200);
        let (_, sent, said) = subject.stop();
        let told = told(&files(&folder));
        assert_eq!(told.bytes, sent);
        assert!(told.most_carried >= 190, "{told:?}");
        assert_eq!(said, "");
        unmount(&mounted, UnmountFlags::DETACH).unwrap();
    });
}

/// A folder whose user may take no more room: of all file systems with quotas, the one that grants root no more than others.
#[test]
fn a_quota_costs_no_byte() {
    if !fs::read_to_string("/proc/filesystems").unwrap().contains("btrfs") {
        eprintln!("not tested: this kernel has no btrfs, whose quotas are for root too");
        return;
    }
    on_small_disk("256m", |disk| {
        let (image, mounted) = (disk.join("image"), disk.join("mounted"));
        fs::create_dir(&mounted).unwrap();
        fs::File::create(&image).unwrap().set_len(128 << 20).unwrap();
        run("mkfs.btrfs", &["-q".as_ref(), image.as_os_str()]);
        run("mount", &["-o".as_ref(), "loop".as_ref(), image.as_os_str(), mounted.as_os_str()]);
        let volume = mounted.join("volume");
        run("btrfs", &["quota".as_ref(), "enable".as_ref(), mounted.as_os_str()]);
        run("btrfs", &["subvolume".as_ref(), "create".as_ref(), volume.as_os_str()]);
        let limit = |size: &str| {
            run("btrfs", &["qgroup".as_ref(), "limit".as_ref(), size.as_ref(), volume.as_os_str()]);
        };
        limit("1M");
        let folder = volume.join("log");
        let mut subject = Subject::new(&settings(&folder), 200);
        let status = subject.tick_until("the quota is used up", |status| status.failures > 3);
        assert!(status.is_failing && status.carried > 0 && status.intervals > 0);
        assert!(status.last_error.unwrap().contains("Disk quota exceeded"));
        limit("none");
        subject.tick_until("it is written again", |status| !status.is_failing && status.carried == 0);
        let (_, sent, said) = subject.stop();
        assert_eq!(said.matches("cannot be written").count(), 1, "{said}");
        let told = told(&files(&folder));
        assert_eq!(told.bytes, sent);
        assert!(told.most_carried >= 3, "{told:?}");
        unmount(&mounted, UnmountFlags::DETACH).unwrap();
    });
}

/// A file system whose server is a process, and shows another folder.
struct Served(Child);

impl Served {
    fn new(shown: &Path, mounted: &Path, options: &[&str]) -> Self {
        let mut command = Command::new("bindfs");
        let server = command.arg("-f").args(options).arg(shown).arg(mounted).spawn().expect("bindfs");
        eventually("the file system is mounted", || {
            let mounts = fs::read_to_string("/proc/thread-self/mountinfo").unwrap();
            mounts
                .lines()
                .any(|line| line.contains(" - fuse ") && line.contains(mounted.to_str().unwrap()))
                .then_some(())
        });
        Self(server)
    }

    fn signal(&self, signal: Signal) {
        kill(Pid::from_raw(self.0.id().cast_signed()), signal).unwrap();
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A server that answers nothing for a while, as one at the other end of a network does.
#[test]
fn a_file_system_whose_server_hangs_holds_nothing_up() {
    on_small_disk("64m", |disk| {
        let (shown, mounted) = (disk.join("shown"), disk.join("mounted"));
        for folder in [&shown, &mounted] {
            fs::create_dir(folder).unwrap();
        }
        let server = Served::new(&shown, &mounted, &[]);
        let mut subject = Subject::new(&settings(&mounted.join("log")), 300);
        subject.tick_until("something is written", |status| status.intervals > 2);
        server.signal(Signal::SIGSTOP);
        let before = subject.writer.status().intervals;
        for _ in 0..200 {
            subject.tick();
        }
        let status = subject.writer.status();
        assert!(status.intervals <= before + 2 && status.queue > 0, "{status:?}");
        server.signal(Signal::SIGCONT);
        subject.tick_until("it is written again", |status| status.last_interval > before + 200);
        let (_, sent, said) = subject.stop();
        let told = told(&files(&shown.join("log")));
        assert_eq!(told.bytes, sent);
        assert!(told.most_carried >= 190, "{told:?}");
        assert_eq!(said, "");
        drop(server);
        unmount(&mounted, UnmountFlags::DETACH).unwrap();
    });
}

/// A disk that takes less than there is to write: what it does not get to is in fewer records.
#[test]
fn a_slow_disk_gets_fewer_records_and_no_byte_less() {
    on_small_disk("64m", |disk| {
        let (shown, mounted) = (disk.join("shown"), disk.join("mounted"));
        for folder in [&shown, &mounted] {
            fs::create_dir(folder).unwrap();
        }
        // A record of 500 conversations and one process takes about a second.
        let server = Served::new(&shown, &mounted, &["--write-rate=256k"]);
        let mut subject = Subject::new(&settings(&mounted.join("log")), 500);
        let status = subject.tick_until("records have several intervals in them", |status| {
            status.intervals > status.rows / 501 + 2
        });
        assert!(!status.is_failing && status.failures == 0, "{status:?}");
        let (_, sent, said) = subject.stop();
        let told = told(&files(&shown.join("log")));
        assert_eq!(told.bytes, sent);
        assert!(told.most_carried > 0, "{told:?}");
        assert_eq!(said, "");
        drop(server);
        unmount(&mounted, UnmountFlags::DETACH).unwrap();
    });
}

fn run(program: &str, arguments: &[&OsStr]) {
    let output = Command::new(program).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
}
