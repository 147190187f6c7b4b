//! The program under test, as a process in a namespace.

use std::{
    env,
    ffi::OsString,
    fs::{self, File, Permissions},
    os::unix::{fs::PermissionsExt, process::CommandExt},
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    sync::OnceLock,
};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tempfile::TempDir;

use crate::{Host, Namespace, Refusal, Report, eventually};

/// User and group `nobody` and `nogroup`.
const NOBODY: u32 = 65_534;

/// Where the program is: `FLOWTALLY_BIN`, else built once per test run.
pub fn program() -> &'static Path {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    let found = PROGRAM.get_or_init(|| env::var_os("FLOWTALLY_BIN").map(PathBuf::from).or_else(build));
    found.as_deref().expect("the program under test builds (or FLOWTALLY_BIN says where it is)")
}

fn build() -> Option<PathBuf> {
    let cargo = env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let output = Command::new(cargo)
        .args(["build", "--release", "--package", "flowtally", "--message-format", "json-render-diagnostics"])
        .current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))
        .stderr(Stdio::inherit())
        .output()
        .expect("start cargo");
    String::from_utf8_lossy(&output.stdout)
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// The program, running. Killed when the value goes.
#[derive(Debug)]
pub struct Agent {
    child: Child,
    interface: String,
    files: TempDir,
}

/// The program, ended.
#[derive(Debug)]
pub struct Ended {
    /// How.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: String,
}

impl Agent {
    /// Starts it with these arguments, separated by blanks.
    #[must_use]
    pub fn start(namespace: &Namespace, arguments: &str) -> Self {
        Self::spawn(namespace, Command::new(program()), arguments)
    }

    /// Starts a command that the caller has made of it: for another name, an environment, arguments with blanks.
    #[must_use]
    pub fn start_command(namespace: &Namespace, command: Command) -> Self {
        Self::spawn(namespace, command, "")
    }

    /// Starts a command to which system calls are refused. They are to setuid programs and to those with file capabilities too, which
    /// gain nothing then.
    #[must_use]
    pub fn start_refused(namespace: &Namespace, command: Command, refusals: &[Refusal]) -> Self {
        Self::spawn_refused(namespace, command, "", refusals)
    }

    /// Starts it as `nobody`, with no capability at all, and waits until it ends.
    #[must_use]
    pub fn run_unprivileged(namespace: &Namespace, arguments: &str) -> Ended {
        // The program may lie where nobody but its owner can go.
        let folder = TempDir::with_prefix("flowtally-test-").expect("make a temporary folder");
        let copy = folder.path().join("flowtally");
        fs::copy(program(), &copy).expect("copy the program");
        for path in [folder.path(), &copy] {
            fs::set_permissions(path, Permissions::from_mode(0o755)).expect("let everyone execute it");
        }
        let mut command = Command::new(&copy);
        command.uid(NOBODY).gid(NOBODY);
        Self::spawn(namespace, command, arguments).wait()
    }

    /// Starts a measurement of one interface, to be ended with [`report`](Self::report), and returns when it has
    /// begun.
    #[must_use]
    pub fn measure(host: &Host, arguments: &str) -> Self {
        Self::measure_on(&host.namespace, host.interface, arguments)
    }

    /// As [`measure`](Self::measure), of any interface.
    #[must_use]
    pub fn measure_on(namespace: &Namespace, interface: &str, arguments: &str) -> Self {
        /// Longer than any test; the test ends it.
        const SECONDS: u32 = 3600;
        let mut agent = Self::start(
            namespace,
            &format!("report -i {interface} --seconds {SECONDS} --format json {arguments}"),
        );
        interface.clone_into(&mut agent.interface);
        agent.wait_for("flowtally: measuring on ");
        agent
    }

    fn spawn(namespace: &Namespace, command: Command, arguments: &str) -> Self {
        Self::spawn_refused(namespace, command, arguments, &[])
    }

    fn spawn_refused(
        namespace: &Namespace,
        mut command: Command,
        arguments: &str,
        refusals: &[Refusal],
    ) -> Self {
        let files = TempDir::with_prefix("flowtally-test-").expect("make a temporary folder");
        let file = |name: &str| File::create(files.path().join(name)).expect("make a temporary file");
        let (stdout, stderr) = (file("stdout"), file("stderr"));
        command.args(arguments.split_whitespace()).stdin(Stdio::null()).stdout(stdout).stderr(stderr);
        // The configuration of whoever runs the tests is none of theirs.
        if command.get_envs().all(|(name, _)| name != "HOME") {
            command.env("HOME", files.path());
        }
        if command.get_envs().all(|(name, _)| name != "XDG_CONFIG_HOME") {
            command.env_remove("XDG_CONFIG_HOME");
        }
        let child = namespace.enter(|| {
            Refusal::apply(refusals);
            command.spawn()
        });
        let child = child.unwrap_or_else(|error| panic!("start {}: {error}", program().display()));
        Self { child, interface: String::new(), files }
    }

    /// Waits until it has said `text` on stderr.
    pub fn wait_for(&mut self, text: &str) {
        self.wait_for_in("stderr", text);
    }

    /// Waits until it has begun to count: text mode says so on stdout, and programs are attached earlier.
    pub fn wait_for_text_mode(&mut self) {
        self.wait_for_in("stdout", "Listening on ");
    }

    fn wait_for_in(&mut self, stream: &str, text: &str) {
        eventually(text, || {
            let printed = String::from_utf8_lossy(&self.read(stream)).into_owned();
            let ended = self.child.try_wait().expect("ask whether the program has ended");
            let there = printed.contains(text);
            assert!(ended.is_none() || there, "ended ({ended:?}) without {text:?}: {}", self.said());
            there.then_some(())
        });
    }

    /// What it has said on stderr so far.
    #[must_use]
    pub fn said(&self) -> String {
        String::from_utf8_lossy(&self.read("stderr")).into_owned()
    }

    /// The process that was started.
    #[must_use]
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.child.id()).expect("a process id");
        kill(Pid::from_raw(pid), signal).expect("send a signal");
    }

    /// Waits until it ends by itself.
    #[must_use]
    pub fn wait(mut self) -> Ended {
        let status = eventually("the program ends", || self.child.try_wait().expect("wait for the program"));
        Ended { status, stdout: self.read("stdout"), stderr: self.said() }
    }

    /// Ends the measurement as Ctrl-C does, and returns its report.
    #[must_use]
    pub fn report(self) -> Report {
        self.signal(Signal::SIGINT);
        self.wait().report()
    }

    /// The interface it measures.
    #[must_use]
    pub fn interface(&self) -> &str {
        &self.interface
    }

    fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.files.path().join(name)).expect("read what the program printed")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

impl Ended {
    /// The report of a successful run.
    #[must_use]
    pub fn report(&self) -> Report {
        assert!(self.status.success(), "{}: {}", self.status, self.stderr);
        Report::parse(&self.stdout)
    }
}
