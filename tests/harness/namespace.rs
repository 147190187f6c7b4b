//! A network namespace that exists as long as the value does.

use std::{
    fs::{self, File},
    os::fd::AsRawFd,
    panic, process,
    process::Command,
    sync::Once,
    thread,
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::geteuid,
};

/// Programs that the tests call, and the Debian packages they come in.
const TOOLS: [(&str, &str); 4] =
    [("ip", "iproute2"), ("tc", "iproute2"), ("ethtool", "ethtool"), ("socat", "socat")];

/// A network namespace. It has no name: only this value and what runs in it keep it alive, so that it is gone after
/// a panic, and after a killed test run too.
#[derive(Debug)]
pub struct Namespace {
    file: File,
}

impl Namespace {
    /// Makes a namespace in which the loopback interface is up.
    #[must_use]
    pub fn new() -> Self {
        static CHECKED: Once = Once::new();
        CHECKED.call_once(check_machine);
        let file = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("make a network namespace");
            File::open("/proc/thread-self/ns/net").expect("open the new network namespace")
        })
        .join()
        .expect("the thread that made the namespace");
        let namespace = Self { file };
        namespace.ip("link set lo up");
        namespace
    }

    /// Does `work` inside, on a thread of its own: sockets and processes made there belong to the namespace for good.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            setns(&self.file, CloneFlags::CLONE_NEWNET).expect("enter the network namespace");
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// What `ip link set ... netns` calls it.
    #[must_use]
    pub fn path(&self) -> String {
        format!("/proc/{}/fd/{}", process::id(), self.file.as_raw_fd())
    }

    /// Runs `ip` inside; returns what it prints.
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn ip(&self, arguments: &str) -> String {
        self.run("ip", arguments)
    }

    /// Runs `tc` inside; returns what it prints.
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn tc(&self, arguments: &str) -> String {
        self.run("tc", arguments)
    }

    /// Runs a program inside, with arguments separated by blanks; returns what it prints.
    #[expect(clippy::must_use_candidate, reason = "called for what it does")]
    pub fn run(&self, program: &str, arguments: &str) -> String {
        let output = self
            .enter(|| Command::new(program).args(arguments.split_whitespace()).output())
            .unwrap_or_else(|error| panic!("{program}: {error}"));
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{program} {arguments}: {errors}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Sets a kernel parameter, by its path below `/proc/sys/net`.
    pub fn set(&self, parameter: &str, value: &str) {
        self.enter(|| fs::write(format!("/proc/sys/net/{parameter}"), value))
            .unwrap_or_else(|error| panic!("{parameter}: {error}"));
    }
}

impl Default for Namespace {
    fn default() -> Self {
        Self::new()
    }
}

fn check_machine() {
    assert!(geteuid().is_root(), "the kernel tests need root: run `cargo xtask test` as root");
    for (tool, package) in TOOLS {
        require(tool, package);
    }
}

/// Fails if a program is not installed, and says how to install it.
pub fn require(tool: &str, package: &str) {
    let found = Command::new(tool).arg("-V").output().is_ok();
    assert!(found, "`{tool}` is missing: run `apt-get install --no-install-recommends {package}`");
}
