//! A [`fixture`](crate::fixture) on the host itself, or in a network namespace: not in a [`Lab`](crate::Lab).

use std::{
    collections::BTreeMap,
    os::unix::{fs::chown, process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
};

use tempfile::TempDir;

use crate::lab::read_facts;

/// A fixture with a folder of its own. Ended when the value goes.
#[derive(Debug)]
pub struct Alone {
    child: Child,
    facts: BTreeMap<String, String>,
    folder: TempDir,
}

impl Alone {
    /// Starts one of this kind, of the program that becomes a fixture when its first argument is `fixture`, where this thread is; it
    /// is ready when this returns.
    #[must_use]
    pub fn start(program: &Path, kind: &str) -> Self {
        Self::start_user(program, kind, 0)
    }

    /// As [`start`](Self::start), as another user, who must be able to execute the program.
    #[must_use]
    pub fn start_user(program: &Path, kind: &str, user: u32) -> Self {
        let folder = TempDir::with_prefix("flowtally-alone-").expect("make a temporary folder");
        let mut command = Command::new(program);
        command.args(["fixture", kind]).arg(folder.path());
        if user != 0 {
            chown(folder.path(), Some(user), Some(user)).expect("give a folder to its user");
            command.uid(user).gid(user);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("start a fixture");
        let facts = read_facts(kind, &mut child);
        Self { child, facts, folder }
    }

    /// What it has said about itself.
    #[must_use]
    pub fn fact(&self, name: &str) -> &str {
        self.facts.get(name).unwrap_or_else(|| panic!("no fact {name:?} among {:?}", self.facts.keys()))
    }

    /// A number that it has said.
    #[must_use]
    pub fn number(&self, name: &str) -> u32 {
        self.fact(name).parse().expect("a number")
    }

    /// The folder of its files.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Alone {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
