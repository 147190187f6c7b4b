//! Processes that hold files, and the program under test beside them.

use std::{
    ffi::OsStr,
    fs::{self, File},
    io::{Seek as _, SeekFrom, Write as _},
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    sync::Arc,
};

use harness::{agent::program, eventually};
use serde_json::Value;
use tempfile::TempDir;

/// User and group `nobody` and `nogroup`.
pub(crate) const NOBODY: u32 = 65_534;

/// A process that does nothing but hold what it was given. Ended when the value goes.
#[derive(Debug)]
pub(crate) struct Holder(Child);

impl Holder {
    /// `sleep` with a file as its standard input.
    pub(crate) fn of(file: &File, user: u32) -> Self {
        let mut command = Command::new("sleep");
        command.stdin(file.try_clone().unwrap());
        Self::start(command, user)
    }

    /// `sleep`, made of any command that takes its argument.
    pub(crate) fn start(mut command: Command, user: u32) -> Self {
        if user != 0 {
            command.uid(user).gid(user);
        }
        let child = command.arg("infinity").stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        let holder = Self(child);
        // Until then it is this program, with everything that this has open.
        eventually("the process runs what it should", || {
            let command = fs::read_to_string(format!("/proc/{}/cmdline", holder.pid())).ok()?;
            command.contains("infinity").then_some(())
        });
        holder
    }

    /// Waits until it has mapped a file: a library is loaded only after the program has its name.
    pub(crate) fn has_mapped(self, path: &Path) -> Self {
        eventually("the library is loaded", || {
            let maps = fs::read_to_string(format!("/proc/{}/maps", self.pid())).ok()?;
            maps.contains(path.to_str()?).then_some(())
        });
        self
    }

    pub(crate) fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for Holder {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to end.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// A folder of the test's own, which everybody may go into, and a copy of the program in it that everybody may run.
#[derive(Clone, Debug)]
pub(crate) struct Place(Arc<TempDir>);

impl Place {
    pub(crate) fn new() -> Self {
        let folder = TempDir::with_prefix("flowtally-files-").unwrap();
        let place = Self(Arc::new(folder));
        copy(program(), &place.path("flowtally"));
        for path in [place.path(""), place.path("flowtally")] {
            fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        }
        place
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// The program with arguments, as root or another user.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, user: u32, arguments: impl IntoIterator<Item = S>) -> Output {
        let mut command = Command::new(self.path("flowtally"));
        if user != 0 {
            command.uid(user).gid(user);
        }
        command.args(arguments).stdin(Stdio::null()).env("HOME", self.0.path()).output().unwrap()
    }

    /// The document of `flowtally deleted`.
    pub(crate) fn deleted(&self, user: u32, arguments: &[&str]) -> Value {
        let output = self.run(user, ["deleted", "--format", "json"].iter().chain(arguments));
        assert!(output.status.success(), "{}", said(&output));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A file of 1 GiB that is a hole but for two stretches of a few megabytes, with no name any more.
    pub(crate) fn sparse(&self, name: &str) -> File {
        let path = self.path(name);
        let mut file = File::options().read(true).write(true).create_new(true).open(&path).unwrap();
        for (at, seed) in [(4096, 1_u32), (512 << 20, 2)] {
            let mut state = seed;
            let mut next = || {
                // Numerical Recipes' generator: no stretch repeats, and none is zero throughout.
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                state.to_be_bytes()[0]
            };
            let bytes: Vec<u8> = (0..2_500_000).map(|_| next()).collect();
            file.seek(SeekFrom::Start(at)).unwrap();
            file.write_all(&bytes).unwrap();
        }
        file.set_len(1 << 30).unwrap();
        file.sync_all().unwrap();
        fs::remove_file(path).unwrap();
        file
    }
}

/// Copies a program or a library. By another process: a descriptor that is open for writing here would be open in every child too that
/// another test is just starting, and a file that somebody may write to cannot be run (`ETXTBSY`).
pub(crate) fn copy(from: &Path, to: &Path) {
    assert!(Command::new("cp").args([from, to]).status().unwrap().success(), "copy {}", from.display());
}

/// The one file of a document whose last name was this, if it is there.
pub(crate) fn find<'a>(document: &'a Value, path: &Path) -> Option<&'a Value> {
    let mut files =
        document["files"].as_array().unwrap().iter().filter(|file| file["path"] == *path.to_str().unwrap());
    let first = files.next();
    assert!(files.next().is_none(), "{} is there twice: {document:#}", path.display());
    first
}

/// What a program said on standard error.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}
