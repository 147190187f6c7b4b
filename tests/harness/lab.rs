//! A small host of its own, for programs that look at processes and their files.
//!
//! It is a PID, mount and network namespace with a `/proc` of its own, so that nothing comes and goes in it but what the
//! test starts: two programs that run in it one after the other see the same. The processes in it are [`fixture`]s.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Display,
    fs::{self, File, Permissions},
    io::{BufRead as _, BufReader, Read as _, Seek as _},
    mem,
    os::unix::{
        ffi::OsStrExt as _,
        fs::PermissionsExt as _,
        process::{CommandExt as _, ExitStatusExt as _},
    },
    panic,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

use nix::{
    sched::{CloneFlags, setns, unshare},
    unistd::geteuid,
};
use tempfile::TempDir;

use crate::{Namespace, PATIENCE, fixture, namespace::require};

/// User `nobody`, and group `nogroup`.
pub const NOBODY: u32 = 65_534;

/// How long a process may take that has been killed.
const LAST_WORDS: Duration = Duration::from_secs(10);

/// A PID, mount and network namespace. All that runs in it is killed when the value goes.
#[derive(Debug)]
pub struct Lab {
    /// The program that becomes a fixture when its first argument is `fixture`.
    program: PathBuf,
    folder: TempDir,
    facts: BTreeMap<String, String>,
    namespaces: Vec<(CloneFlags, File)>,
    processes: Vec<(String, Child)>,
    init: Child,
}

/// How a program ended that ran in a lab.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The exit status; 128 and more for a signal, as shells have it; none when it had to be killed because it did not end.
    pub status: Option<i32>,
    /// What it printed.
    pub stdout: Vec<u8>,
    /// What it said.
    pub stderr: Vec<u8>,
}

impl Lab {
    /// Makes a lab; `program` is what runs as [`fixture`].
    #[must_use]
    pub fn new(program: &Path) -> Self {
        assert!(geteuid().is_root(), "a lab needs root: run `cargo xtask test` as root");
        require("unshare", "util-linux");
        require("ip", "iproute2");
        let folder = TempDir::with_prefix("flowtally-lab-").expect("make a temporary folder");
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).expect("let everyone see it");
        let mut init = Command::new("unshare")
            .args(["--pid", "--fork", "--mount-proc", "--net", "--propagation", "private"])
            .arg(program)
            .args(["fixture", "init"])
            .arg(folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start unshare");
        let facts = read_facts("init", &mut init);
        let space = |name: &str| {
            let path = format!("/proc/{}/ns/{name}", init.id());
            File::open(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
        };
        let namespaces = vec![
            (CloneFlags::CLONE_NEWNET, space("net")),
            (CloneFlags::CLONE_NEWPID, space("pid_for_children")),
            // Last: /proc is another one from here on.
            (CloneFlags::CLONE_NEWNS, space("mnt")),
        ];
        let lab =
            Self { program: program.to_owned(), folder, facts, namespaces, processes: Vec::new(), init };
        lab.run("ip link set lo up");
        lab
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Does `work` inside, on a thread of its own: processes started there are the lab's.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let inside = || {
            // Another mount namespace is refused to a thread that shares its working directory with others.
            unshare(CloneFlags::CLONE_FS).expect("part with the other threads' working directory");
            for (kind, file) in &self.namespaces {
                setns(file, *kind).expect("enter a namespace of the lab");
            }
            work()
        };
        thread::scope(|scope| scope.spawn(inside).join())
            .unwrap_or_else(|payload| panic::resume_unwind(payload))
    }

    /// Does `work` while all that enters the lab is in another network namespace.
    pub fn elsewhere(&mut self, network: &Namespace, work: impl FnOnce(&mut Self)) {
        let file = File::open(network.path()).expect("open a network namespace");
        let own = self.enter_network(file);
        work(self);
        self.enter_network(own);
    }

    fn enter_network(&mut self, file: File) -> File {
        let (_, entered) = self.namespaces.first_mut().expect("the network namespace");
        mem::replace(entered, file)
    }

    /// Runs a tool inside, such as `mount`, with arguments separated by blanks, in which facts are filled in.
    pub fn run(&self, line: &str) {
        let words = self.fill(line);
        let (program, arguments) = words.split_first().expect("the name of a program");
        let mut command = Command::new(program);
        command.args(arguments);
        let outcome = self.outcome(command);
        assert!(outcome.status == Some(0), "{line}: {}", String::from_utf8_lossy(&outcome.stderr));
    }

    /// Starts a fixture of this kind, and returns when it has made all it makes. Its facts are known as `kind.name`.
    pub fn start(&mut self, kind: &str) {
        self.start_as(kind, kind, |_| {});
    }

    /// As [`start`](Self::start), under another name, and changed by `change` before.
    pub fn start_as(&mut self, kind: &str, name: &str, change: impl FnOnce(&mut Command)) {
        self.spawn(&self.program.clone(), kind, name, change);
    }

    /// As [`start`](Self::start), with more arguments.
    pub fn start_with(&mut self, kind: &str, arguments: &[&str]) {
        self.start_as(kind, kind, |command| {
            command.args(arguments);
        });
    }

    /// As [`start`](Self::start), under another name and with its files in another folder.
    pub fn start_in(&mut self, kind: &str, name: &str, folder: &Path) {
        self.spawn_in(&self.program.clone(), kind, name, folder, |_| {});
    }

    /// As [`start`](Self::start), under another name and as another user.
    pub fn start_user(&mut self, kind: &str, name: &str, user: u32) {
        let folder = self.folder().to_owned();
        self.start_user_in(kind, name, user, &folder);
    }

    /// As [`start_user`](Self::start_user), with its files in another folder.
    pub fn start_user_in(&mut self, kind: &str, name: &str, user: u32, folder: &Path) {
        // The program may lie where nobody but its owner can go.
        let program = self.public_copy(&self.program, "fixture");
        self.spawn_in(&program, kind, name, folder, |command| {
            command.uid(user).gid(user);
        });
    }

    /// As [`start_as`](Self::start_as), of a copy of the program.
    pub fn spawn(&mut self, program: &Path, kind: &str, name: &str, change: impl FnOnce(&mut Command)) {
        let folder = self.folder().to_owned();
        self.spawn_in(program, kind, name, &folder, change);
    }

    fn spawn_in(
        &mut self,
        program: &Path,
        kind: &str,
        name: &str,
        folder: &Path,
        change: impl FnOnce(&mut Command),
    ) {
        let mut command = Command::new(program);
        command.args(["fixture", kind]).arg(folder).arg0(format!("fixture-{name}"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.process_group(0).current_dir(self.folder());
        change(&mut command);
        let child = self.enter(|| command.spawn()).expect("start a fixture");
        // First: whatever happens next, it must be waited for, or its namespace cannot end.
        self.processes.push((name.to_owned(), child));
        let facts = self.processes.last_mut().map(|(_, child)| read_facts(name, child)).unwrap_or_default();
        self.facts.extend(facts.into_iter().map(|(fact, value)| (format!("{name}.{fact}"), value)));
    }

    /// Ends a fixture.
    pub fn end(&mut self, name: &str) {
        let (_, process) =
            self.processes.iter_mut().find(|(other, _)| other == name).expect("a fixture that runs");
        process.kill().expect("kill a fixture");
        process.wait().expect("wait for a fixture");
        self.processes.retain(|(other, _)| other != name);
    }

    /// A copy of the fixture's program that everybody may execute, at this place of the folder.
    #[must_use]
    pub fn copy_of_program(&self, name: &str) -> PathBuf {
        self.public_copy(&self.program, name)
    }

    /// A copy of a file that everybody may read and execute, at this place of the folder.
    #[must_use]
    pub fn public_copy(&self, file: &Path, name: &str) -> PathBuf {
        let copy = self.folder().join(name);
        if !copy.exists() {
            fs::copy(file, &copy).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
            fs::set_permissions(&copy, Permissions::from_mode(0o755)).expect("let everyone execute it");
        }
        copy
    }

    /// Notes something to be filled in.
    pub fn note(&mut self, name: &str, value: impl Display) {
        self.facts.insert(name.to_owned(), value.to_string());
    }

    /// What a fixture has said about itself.
    #[must_use]
    pub fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("no fact {name:?} among {:?}", self.facts.keys()))
    }

    /// The facts whose names begin with this, by the rest of their names.
    pub fn facts<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.facts.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?, value.as_str())))
    }

    /// The words of a line, `{kind.name}` in which is a fact, and `{dir}` the folder.
    #[must_use]
    pub fn fill(&self, line: &str) -> Vec<String> {
        line.split_whitespace().map(|word| self.fill_word(word)).collect()
    }

    fn fill_word(&self, word: &str) -> String {
        let mut filled = String::new();
        let mut rest = word;
        // `{ }` never nest, and no other braces are used.
        while let Some((before, after)) = rest.split_once('{') {
            let (name, after) = after.split_once('}').unwrap_or_else(|| panic!("no }} in {word:?}"));
            filled.push_str(before);
            match name {
                "dir" => filled.push_str(&self.folder().to_string_lossy()),
                _ => filled.push_str(self.fact(name)),
            }
            rest = after;
        }
        filled + rest
    }

    /// Runs a command inside until it ends; it is killed after [`PATIENCE`].
    #[must_use]
    pub fn outcome(&self, command: Command) -> Outcome {
        self.outcome_within(command, PATIENCE)
    }

    /// As [`outcome`](Self::outcome), of what takes its time.
    #[must_use]
    pub fn outcome_within(&self, command: Command, patience: Duration) -> Outcome {
        self.enter(|| outcome(command, patience))
    }
}

impl Drop for Lab {
    fn drop(&mut self) {
        // A process that has died already is no reason to panic here.
        for (_, process) in &mut self.processes {
            let _ = process.kill();
            let _ = process.wait();
        }
        // The end of its standard input is the end of the namespace's first process, and of all others with it.
        drop(self.init.stdin.take());
        wait_until(&mut self.init, LAST_WORDS);
    }
}

/// Runs a command until it ends, without a terminal; it is killed when it has not in this time.
#[must_use]
pub fn outcome(mut command: Command, patience: Duration) -> Outcome {
    let file = || tempfile::tempfile().expect("make a temporary file");
    let (mut stdout, mut stderr) = (file(), file());
    let copy = |file: &File| file.try_clone().expect("another handle of a file");
    command.stdin(Stdio::null()).stdout(copy(&stdout)).stderr(copy(&stderr));
    let mut child = command.spawn().unwrap_or_else(|error| panic!("start {command:?}: {error}"));
    let status = wait(&mut child, patience);
    let read = |file: &mut File| {
        let mut bytes = Vec::new();
        file.rewind().and_then(|()| file.read_to_end(&mut bytes)).expect("read back what a program printed");
        bytes
    };
    Outcome { status, stdout: read(&mut stdout), stderr: read(&mut stderr) }
}

fn wait(child: &mut Child, patience: Duration) -> Option<i32> {
    if let Some(status) = wait_until(child, patience) {
        return status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    }
    let _ = child.kill();
    // A process that hangs in the kernel may never go.
    wait_until(child, LAST_WORDS);
    None
}

fn wait_until(child: &mut Child, patience: Duration) -> Option<ExitStatus> {
    const LONGEST: Duration = Duration::from_millis(5);
    let deadline = Instant::now() + patience;
    let mut pause = Duration::from_micros(200);
    loop {
        let status = child.try_wait().expect("wait for a child");
        if status.is_some() || Instant::now() > deadline {
            return status;
        }
        thread::sleep(pause);
        pause = (pause * 2).min(LONGEST);
    }
}

pub(crate) fn read_facts(name: &str, child: &mut Child) -> BTreeMap<String, String> {
    let stdout = child.stdout.as_mut().expect("a pipe");
    let mut facts = BTreeMap::new();
    let mut lines = BufReader::new(stdout);
    loop {
        let mut line = Vec::new();
        lines.read_until(b'\n', &mut line).expect("read what a fixture says");
        let line = OsStr::from_bytes(line.trim_ascii_end()).to_string_lossy().into_owned();
        match line.split_once(' ') {
            _ if line == fixture::READY => return facts,
            Some((fact, value)) if fact != fixture::ERROR => facts.insert(fact.to_owned(), value.to_owned()),
            _ => panic!("fixture {name} failed: {line:?}"),
        };
    }
}
