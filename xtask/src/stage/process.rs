//! This program again, as another process, and what is said to it.
//!
//! Whoever starts a process holds its standard input, and the process ends when that is closed: when one is killed, so are
//! those after it.

use std::env;
use std::ffi::CString;
use std::io::{BufRead as _, BufReader, Write as _};
use std::os::unix::process::CommandExt as _;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A part of the stage that runs.
pub(super) struct Process {
    name: String,
    child: Child,
    /// `None` once it has been told to end.
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

/// Where this program is.
pub(super) fn itself() -> Result<PathBuf> {
    env::current_exe().context("cannot tell where this program is")
}

/// Gives this process a name, as `ps` and flowtally show it. Its threads inherit it.
pub(super) fn be_called(name: &str) -> Result<()> {
    let name = CString::new(name).context("a name without a null byte")?;
    rustix::thread::set_name(&name).context("cannot change the name of this process")
}

impl Process {
    /// The near end, and where it and all that it starts complain.
    pub(super) fn near() -> Result<(Self, ChildStderr)> {
        let mut near = Self::start("near", unshared()?.arg("near").stderr(Stdio::piped()))?;
        let stderr = near.child.stderr.take().context("no standard error")?;
        Ok((near, stderr))
    }

    /// The far end.
    pub(super) fn far() -> Result<Self> {
        Self::start("far", unshared()?.arg("far"))
    }

    /// A program of the near end, in the namespace that this process is in.
    pub(super) fn actor(name: &str) -> Result<Self> {
        // Its command line is like that of the program it stands for: it begins with its name.
        Self::start(name, Command::new(itself()?).arg0(name).args(["stage", "actor", name]))
    }

    fn start(name: &str, command: &mut Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", command.get_program().display()))?;
        let input = child.stdin.take();
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { name: name.to_owned(), child, input, output })
    }

    pub(super) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Waits until it has said this.
    pub(super) fn hear(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).with_context(|| format!("cannot hear `{}`", self.name))?;
        ensure!(line.trim_end() == word, "`{}` failed before it was {word}", self.name);
        Ok(())
    }

    /// Waits until it has done this.
    pub(super) fn ask(&mut self, word: &str) -> Result<()> {
        let input = self.input.as_mut().context("it has been told to end")?;
        writeln!(input, "{word}").with_context(|| format!("cannot tell `{}` to {word}", self.name))?;
        self.hear(word)
    }

    /// Lets it end.
    pub(super) fn let_go(&mut self) {
        drop(self.input.take());
    }

    /// Lets it end, and fails if it failed.
    pub(super) fn finish(mut self) -> Result<()> {
        self.let_go();
        let status = self.child.wait().with_context(|| format!("cannot wait for `{}`", self.name))?;
        ensure!(status.success(), "`{}` failed ({status})", self.name);
        Ok(())
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.let_go();
        // When this returns, all is gone that was there for it.
        drop(self.child.wait());
    }
}

/// This program in a network namespace of its own. unshare(1) becomes the program it runs: its process id is ours to use,
/// and its streams are ours.
fn unshared() -> Result<Command> {
    let mut command = Command::new("unshare");
    command.args(["--net", "--"]).arg(itself()?).arg("stage");
    Ok(command)
}
