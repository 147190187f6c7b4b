//! Files that a measurement writes: complete, or as they were before.

use std::{
    fs::{self, File, Permissions},
    io::Read as _,
    os::unix::fs::{MetadataExt as _, PermissionsExt as _, chown, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use harness::{Agent, Ended, NetPair, agent::program, eventually};
use nix::{
    sys::{signal::Signal, stat::Mode},
    unistd::mkfifo,
};
use tempfile::TempDir;

const FORMER: &str = "former\n";

/// A folder with a file in it, and a host to measure on.
struct Place {
    pair: NetPair,
    folder: TempDir,
}

impl Place {
    fn new() -> Self {
        let place = Self { pair: NetPair::new(), folder: TempDir::with_prefix("flowtally-test-").unwrap() };
        fs::write(place.path("file"), FORMER).unwrap();
        place
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> = fs::read_dir(self.folder.path())
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// A report of an interface to a file.
    fn report(&self, interface: &str, seconds: &str, output: &Path) -> Agent {
        let mut command = Command::new(program());
        command.args(["report", "-i", interface, "--seconds", seconds, "--format", "json", "--output"]);
        command.arg(output).current_dir(self.folder.path());
        Agent::start_command(&self.pair.near.namespace, command)
    }

    /// A report of a second, which ends well.
    fn reported(&self, output: &Path) {
        let ended = self.report("near", "1", output).wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        assert!(ended.stdout.is_empty());
    }

    /// A shell in a mount namespace of its own; `$FLOWTALLY` makes a report of a second.
    fn script(&self, script: &str) -> Ended {
        let mut command = Command::new("unshare");
        let script = format!("set -u; cd {}; {script}", self.folder.path().display());
        command.args(["--mount", "--propagation", "private", "sh", "-c", &script]);
        command.env("FLOWTALLY", format!("{} report -i near --seconds 1 --format json", program().display()));
        Agent::start_command(&self.pair.near.namespace, command).wait()
    }
}

fn assert_is_report(path: &Path) {
    let text = fs::read(path).unwrap();
    let document: serde_json::Value = serde_json::from_slice(&text).unwrap();
    assert!(document["total"].is_object(), "{document}");
}

#[test]
fn a_run_that_fails_leaves_the_former_file() {
    let place = Place::new();
    let ended = place.report("nosuch", "1", &place.path("file")).wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert_eq!(fs::read_to_string(place.path("file")).unwrap(), FORMER);
    assert_eq!(place.names(), ["file"]);
    let ended = place.report("nosuch", "1", &place.path("new")).wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert_eq!(place.names(), ["file"]);
}

#[test]
fn a_kill_in_the_middle_leaves_the_former_file_and_nothing_else() {
    let place = Place::new();
    for name in ["file", "new"] {
        let mut agent = place.report("near", "3600", &place.path(name));
        agent.wait_for("flowtally: measuring on ");
        assert_eq!(place.names(), ["file"], "nothing lies around while it is measured");
        agent.signal(Signal::SIGKILL);
        drop(agent.wait());
        assert_eq!(fs::read_to_string(place.path("file")).unwrap(), FORMER);
        assert_eq!(place.names(), ["file"]);
    }
}

#[test]
fn a_full_file_system_leaves_the_former_file() {
    let place = Place::new();
    fs::create_dir(place.path("small")).unwrap();
    let ended = place.script(
        "mount -t tmpfs -o size=64k none small; echo former > small/file; : > small/empty; ln small/empty small/other
         cat /dev/zero 2>&1 > small/full; for name in file other new; do $FLOWTALLY --output small/$name; echo status $?; done
         cat small/file small/empty; ls -A small",
    );
    let printed = String::from_utf8_lossy(&ended.stdout);
    let lines: Vec<_> = printed.lines().filter(|line| !line.contains("write error")).collect();
    let status = "status 1";
    let expected = [status, status, status, "former", "empty", "file", "full", "other"];
    assert_eq!(lines, expected, "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
}

#[test]
fn the_new_file_has_the_owner_and_the_mode_of_the_former() {
    let place = Place::new();
    let path = place.path("file");
    chown(&path, Some(65_534), Some(65_533)).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o642)).unwrap();
    symlink("file", place.path("link")).unwrap();
    symlink("to come", place.path("dangling")).unwrap();
    let held = File::open(&path).unwrap();
    place.reported(&place.path("link"));
    assert_is_report(&path);
    let about = fs::metadata(&path).unwrap();
    assert_eq!((about.mode() & 0o7777, about.uid(), about.gid()), (0o642, 65_534, 65_533));
    assert_eq!(held.metadata().unwrap().nlink(), 0, "who has the former file open has it still");
    place.reported(Path::new("dangling"));
    assert_is_report(&place.path("to come"));
    assert!(place.path("link").is_symlink() && place.path("dangling").is_symlink());
    assert_eq!(place.names(), ["dangling", "file", "link", "to come"]);
}

#[test]
fn other_names_of_the_file_and_mount_points_get_the_new_content() {
    let place = Place::new();
    fs::hard_link(place.path("file"), place.path("other")).unwrap();
    place.reported(&place.path("file"));
    assert_is_report(&place.path("file"));
    assert!(fs::read(place.path("file")).unwrap() == fs::read(place.path("other")).unwrap());
    fs::remove_file(place.path("other")).unwrap();
    fs::write(place.path("mounted"), FORMER).unwrap();
    let ended = place.script(
        "echo place > point; mount --bind mounted point; $FLOWTALLY --output point || exit; umount point; cat point; ls -A",
    );
    assert!(ended.status.success(), "{}", ended.stderr);
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "place\nfile\nmounted\npoint\n");
    assert_is_report(&place.path("mounted"));
}

#[test]
fn what_cannot_be_written_is_said_before_anything_is_measured() {
    let place = Place::new();
    fs::create_dir(place.path("folder")).unwrap();
    for (output, message) in [
        ("folder", "folder is a folder"),
        ("folder/", "names no file"),
        ("missing/file", "folder of missing/file: No such file or directory"),
        ("file/file", "folder of file/file: Not a directory"),
    ] {
        let ended = place.report("near", "3600", Path::new(output)).wait();
        assert_eq!(ended.status.code(), Some(1), "{output}: {}", ended.stderr);
        assert!(ended.stderr.contains(message), "{output}: {}", ended.stderr);
        assert!(!ended.stderr.contains("measuring"), "{output}: {}", ended.stderr);
    }
    let ended = place.script(
        "mount --bind folder folder; echo former > folder/file; mount -o remount,bind,ro folder
         for name in file new; do $FLOWTALLY --output folder/$name; echo status $?; done; cat folder/file",
    );
    assert_eq!(String::from_utf8_lossy(&ended.stdout), "status 1\nstatus 1\nformer\n", "{}", ended.stderr);
    assert_eq!(ended.stderr.matches("Read-only file system").count(), 2, "{}", ended.stderr);
    assert!(!ended.stderr.contains("measuring"), "{}", ended.stderr);
}

#[test]
fn a_descriptor_is_written_to_as_the_shell_opened_it() {
    let place = Place::new();
    for script in [
        "$FLOWTALLY --output /dev/stdout >> file",
        "$FLOWTALLY --output - >> file",
        "$FLOWTALLY --output /dev/fd/7 7> seven",
    ] {
        let ended = place.script(script);
        assert!(ended.status.success() && ended.stdout.is_empty(), "{}", ended.stderr);
    }
    assert_eq!(place.names(), ["file", "seven"]);
    assert_is_report(&place.path("seven"));
    let text = fs::read_to_string(place.path("file")).unwrap();
    let reports = text.strip_prefix(FORMER).expect("what was there before stays");
    let reports = serde_json::Deserializer::from_str(reports).into_iter::<serde_json::Value>();
    assert_eq!(reports.map(Result::unwrap).filter(|report| report["total"].is_object()).count(), 2);
}

/// What is closed, or open for the program's own purposes, is no place for a report: nobody would read it.
#[test]
fn a_descriptor_that_nobody_opened_is_an_error_before_anything_is_measured() {
    let place = Place::new();
    for closed in ["/dev/stdout >&-", "/proc/self/fd/1 >&-", "/dev/stderr 2>&-", "/dev/fd/0 <&-"] {
        let ended = place.script(&format!("$FLOWTALLY --output {closed}; echo status $? >file"));
        assert_eq!(
            fs::read_to_string(place.path("file")).unwrap(),
            "status 1\n",
            "{closed}: {}",
            ended.stderr
        );
        assert!(!ended.stderr.contains("measuring"), "{closed}: {}", ended.stderr);
        assert!(
            closed.contains("2>") || ended.stderr.contains("was not open when the program began"),
            "{}",
            ended.stderr
        );
    }
    for number in 3..32 {
        // None that this test has left open.
        let close = [3, 4, 5, 6, 7, 8, 9].map(|number| format!("{number}>&-")).join(" ");
        let ended = place.script(&format!("$FLOWTALLY --output /dev/fd/{number} {close}; echo status $?"));
        assert_eq!(String::from_utf8_lossy(&ended.stdout), "status 1\n", "{number}: {}", ended.stderr);
        assert!(!ended.stderr.contains("measuring"), "{number}: {}", ended.stderr);
    }
}

#[test]
fn a_device_is_written_to_as_it_is() {
    let place = Place::new();
    let ended = place.script(
        "$FLOWTALLY --output /dev/null; echo status $?; $FLOWTALLY --output /dev/full; echo status $?
         test -c /dev/null && test -c /dev/full; echo status $?; ls -A",
    );
    let printed = String::from_utf8_lossy(&ended.stdout);
    assert_eq!(printed, "status 0\nstatus 1\nstatus 0\nfile\n", "{}", ended.stderr);
    assert!(ended.stderr.contains("No space left on device"), "{}", ended.stderr);
}

#[test]
fn a_fifo_waits_for_its_reader_in_words_and_a_signal_ends_that() {
    let place = Place::new();
    let path = place.path("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let mut agent = place.report("near", "1", &path);
        agent.wait_for("waiting until something reads it");
        agent.signal(signal);
        let ended = agent.wait();
        assert!(!ended.status.success());
        assert!(!ended.stderr.contains("measuring"), "{}", ended.stderr);
    }
    let mut agent = place.report("near", "1", &path);
    agent.wait_for("waiting until something reads it");
    let mut text = String::new();
    eventually("the report", || {
        File::open(&path).unwrap().read_to_string(&mut text).unwrap();
        (!text.is_empty()).then_some(())
    });
    let ended = agent.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert!(document["total"].is_object());
    assert_eq!(place.names(), ["fifo", "file"]);
}

/// What nobody has read was not written: other than in a pipe, that is told.
#[test]
fn a_reader_that_leaves_a_fifo_is_a_failure() {
    let place = Place::new();
    let path = place.path("fifo");
    mkfifo(&path, Mode::S_IRWXU).unwrap();
    let mut agent = place.report("near", "1", &path);
    agent.wait_for("waiting until something reads it");
    // It is opened for as long as it takes to notice, which is long before there is anything to read.
    let reader = File::open(&path).unwrap();
    agent.wait_for("measuring on near");
    drop(reader);
    let ended = agent.wait();
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    let message = format!("writing the report to {}: what reads it went away", path.display());
    assert!(ended.stderr.contains(&message), "{}", ended.stderr);
}
