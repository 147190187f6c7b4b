//! Cgroups of the tests' own, as container engines make them.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::id,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::{Duration, Instant},
};

use harness::PATIENCE;

/// A cgroup below the root of cgroup v2, with cgroups in it. Gone when the value goes.
#[derive(Debug)]
pub(crate) struct Cgroup {
    path: PathBuf,
    below: BTreeSet<PathBuf>,
}

impl Cgroup {
    /// Makes one.
    pub(crate) fn new() -> Self {
        static MADE: AtomicU32 = AtomicU32::new(0);
        let name = format!("flowtally-test-{}-{}", id(), MADE.fetch_add(1, Ordering::Relaxed));
        let path = root().join(name);
        fs::create_dir(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        Self { path, below: BTreeSet::new() }
    }

    /// Makes one in it, and returns its path.
    pub(crate) fn make(&mut self, name: &str) -> String {
        let path = self.path.join(name);
        fs::create_dir_all(&path).unwrap_or_else(|error| panic!("make {}: {error}", path.display()));
        self.below.extend(path.ancestors().take_while(|path| *path != self.path).map(Path::to_owned));
        path.to_str().unwrap().to_owned()
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // What is in another one comes behind it in their order.
        for path in self.below.iter().rev().chain([&self.path]) {
            // A process that has just ended may still be leaving. Nothing panics here: a test may be doing so already.
            let deadline = Instant::now() + PATIENCE;
            while path.exists() && fs::remove_dir(path).is_err() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(2));
            }
        }
    }
}

/// Where cgroup v2 is mounted: at `/sys/fs/cgroup`, on hybrid hosts below it.
pub(crate) fn root() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap();
    // The type of a file system stands behind a lone hyphen (proc(5)).
    let mount = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let mount = mount.expect("cgroup v2 is mounted: run `mount -t cgroup2 none /sys/fs/cgroup`");
    mount.split(' ').nth(4).unwrap().into()
}
