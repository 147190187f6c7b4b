//! `flowtally agent`, started as a service manager starts it: what it writes adds up, what it is asked it answers, and what it is told
//! while it runs loses nothing. Needs root.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod attach;
mod control;
mod counts;
mod metrics;
mod reload;

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{Agent, Ended, LoggedRecords, NetPair, agent::program, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// A host, and an agent on it with a folder of its own.
struct Service {
    pair: NetPair,
    folder: TempDir,
}

impl Service {
    fn new() -> Self {
        Self { pair: NetPair::new(), folder: TempDir::with_prefix("flowtally-test-").unwrap() }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn log(&self) -> PathBuf {
        self.path("log")
    }

    fn socket(&self) -> PathBuf {
        self.path("run").join("agent.sock")
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = Command::new(program());
        command.arg("agent").arg("--log").arg(self.log()).arg("--socket").arg(self.socket());
        command.args(arguments.split_whitespace());
        command
    }

    /// Starts it, and returns when it counts.
    fn start(&self, arguments: &str) -> Agent {
        let mut agent = Agent::start_command(&self.pair.near.namespace, self.command(arguments));
        agent.wait_for("flowtally: measuring on ");
        agent
    }

    /// Ends it as a service manager does, and reads what it wrote.
    fn stop(&self, agent: Agent) -> LoggedRecords {
        agent.signal(Signal::SIGTERM);
        let Ended { status, stderr, .. } = agent.wait();
        assert!(status.success(), "{status}: {stderr}");
        LoggedRecords::read(&self.log())
    }

    /// What the agent says of itself.
    fn status(&self) -> Value {
        let output = Command::new(program())
            .args(["agent", "status", "--format", "json", "--socket"])
            .arg(self.socket())
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// Waits for a status that is so.
    fn status_when(&self, what: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Some(self.status()).filter(|status| is_so(status)))
    }
}

/// Files of a folder, by name.
fn names(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}
