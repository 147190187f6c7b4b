//! Less rights for a program that runs for months: what counting needs no more is given up, and what it never does is refused.
//!
//! - Capabilities: [`KEPT`] stay, with a reason each.
//! - seccomp: the system calls that are made are allowed, others fail with `EPERM`, in the whole process.
//! - Files: written below the log folder and the control socket's alone.
//!
//! Landlock is a thread's, and whoever is under it may not read /proc/PID/fd, exe and ns of other processes. So threads that find owners
//! are not: they, and every other thread, are refused by seccomp to open anything for writing and to change files by their paths
//! ("sealed"). What writes runs in [`FileWriter::below`], on a thread under Landlock that ends with the work: a new one each time,
//! so that a folder which was removed and made again is written to again. Those threads are started by one that is neither sealed nor
//! under Landlock, has no other work, and is never handed data from outside.
//!
//! Rights are a thread's, and threads inherit them. So [`Sandbox::enter`] comes before the first other thread is started; seccomp alone
//! reaches threads that are there.

mod calls;
mod capabilities;
mod landlock;
mod seccomp;

use std::{
    fs, io,
    os::unix::fs::MetadataExt as _,
    panic,
    path::{Path, PathBuf},
    sync::mpsc,
    thread::{self, JoinHandle},
};

use rustix::{
    process::{Resource, Rlimit, geteuid, setrlimit},
    thread::{CapabilitySet, set_no_new_privs},
};
use serde::Serialize;

pub use self::capabilities::{KEPT, KEPT_TO_WRITE, KeptCapability, present_and_missing};
use self::{capabilities::all_of, landlock::Offer};

/// What the sandbox is made for.
#[derive(Clone, Debug, Default)]
pub struct SandboxPlan {
    /// Whether there is to be one; `--no-sandbox` says no.
    pub on: bool,
    /// The folders that will be written to, such as the log's. They need not exist.
    pub folders: Vec<PathBuf>,
    /// Whether files get another group than the process's own.
    pub gives_group: bool,
}

/// Whether one of the restrictions holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase", tag = "state", content = "reason")]
pub enum Protection {
    /// It does.
    On,
    /// It was not asked for.
    Off,
    /// Not in all, and why, in words.
    Degraded(String),
}

/// What holds of the sandbox: for `status` and `doctor`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct SandboxState {
    /// Capabilities that are not needed are given up.
    pub capabilities: Protection,
    /// Names of those that this process still has.
    pub kept: Vec<&'static str>,
    /// Files are written below the folders alone.
    pub landlock: Protection,
    /// The version of Landlock's interface (ABI), where the kernel has it.
    pub landlock_version: Option<i32>,
    /// System calls that are never made are refused.
    pub seccomp: Protection,
}

impl SandboxState {
    const OFF: Self = Self {
        capabilities: Protection::Off,
        kept: Vec::new(),
        landlock: Protection::Off,
        landlock_version: None,
        seccomp: Protection::Off,
    };

    /// What does not hold and was asked for, a sentence each.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let parts =
            [("capabilities", &self.capabilities), ("Landlock", &self.landlock), ("seccomp", &self.seccomp)];
        let sentence = |(name, protection): (&str, &Protection)| match protection {
            Protection::Degraded(why) => Some(format!("sandbox: {name}: {why}")),
            Protection::On | Protection::Off => None,
        };
        parts.into_iter().filter_map(sentence).collect()
    }
}

/// A sandbox that nobody is in yet.
#[derive(Clone, Debug)]
pub struct Sandbox {
    plan: SandboxPlan,
}

impl Sandbox {
    /// Nothing changes by this.
    #[must_use]
    pub fn prepare(plan: SandboxPlan) -> Self {
        Self { plan }
    }

    /// Confines this process for good. To be called when what only the start needs is done (binding the control socket), and before
    /// the first other thread is started; with several threads it says in the state what does not hold of them.
    ///
    /// It cannot fail: whatever the kernel refuses is in the state.
    #[must_use]
    pub fn enter(self) -> Confined {
        if !self.plan.on {
            return Confined { state: SandboxState::OFF, nursery: None };
        }
        // Tables count as locked memory before Linux 5.11, and the right to raise the limit is given up.
        let _ = setrlimit(Resource::Memlock, Rlimit { current: None, maximum: None });
        let others = other_threads();
        let (capabilities, kept) = match give_up(all_of(&KEPT) | self.to_write()) {
            Ok(kept) => (Protection::On, kept),
            Err(error) => (Protection::Degraded(format!("giving them up was refused: {error}")), Vec::new()),
        };
        let mut state = SandboxState { capabilities, kept, ..SandboxState::OFF };
        state.seccomp = protection(seccomp::confine_process());
        (state.landlock, state.landlock_version) = offered_landlock();
        let nursery = Nursery::start().inspect_err(|error| {
            let why = format!("starting the thread that starts those which write: {error}");
            state.landlock = Protection::Degraded(why);
        });
        if let Err(error) = capabilities::lower(all_of(&KEPT)) {
            state.capabilities = Protection::Degraded(format!("giving them up was refused: {error}"));
        }
        if nursery.is_ok()
            && let Err(why) = seccomp::seal_thread()
        {
            state.landlock = Protection::Degraded(format!("threads that write no files could: {why}"));
        }
        if others > 0 {
            let why = format!(
                "{others} other {} there already (a small stack: ulimit -s 8192)",
                if others == 1 { "thread was" } else { "threads were" }
            );
            for part in [&mut state.capabilities, &mut state.landlock] {
                if *part == Protection::On {
                    *part = Protection::Degraded(why.clone());
                }
            }
        }
        Confined { state, nursery: nursery.ok() }
    }

    /// Capabilities without which this process could not write to the folders as it could before.
    fn to_write(&self) -> CapabilitySet {
        let own = geteuid().as_raw();
        // Of a folder that does not exist, its nearest that does: the rest will be this process's own.
        let is_foreign = |folder: &PathBuf| {
            let mut existing = folder.ancestors().filter_map(|folder| fs::metadata(folder).ok());
            existing.next().is_some_and(|metadata| metadata.uid() != own)
        };
        let [over, chown] = KEPT_TO_WRITE.map(|kept| kept.set);
        let mut wanted = CapabilitySet::empty();
        if self.plan.folders.iter().any(is_foreign) {
            wanted |= over;
        }
        if self.plan.gives_group {
            wanted |= chown;
        }
        wanted
    }
}

/// Nothing that is executed gains rights, and of capabilities only these stay; their names.
fn give_up(wanted: CapabilitySet) -> io::Result<Vec<&'static str>> {
    set_no_new_privs(true)?;
    Ok(capabilities::names(capabilities::keep(wanted)?))
}

fn protection(result: Result<(), String>) -> Protection {
    result.map_or_else(Protection::Degraded, |()| Protection::On)
}

/// How many threads there are beside this one.
fn other_threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(0, |threads| threads.count().saturating_sub(1))
}

/// This process is in its sandbox, or was told not to be.
#[derive(Debug)]
pub struct Confined {
    state: SandboxState,
    nursery: Option<Nursery>,
}

impl Confined {
    /// What holds.
    #[must_use]
    pub fn state(&self) -> &SandboxState {
        &self.state
    }

    /// Starts a thread that may write files, with the [`FileWriter`] that it does it with. At any time, from any thread.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn spawn_writer<T: Send + 'static>(
        &self,
        name: &str,
        work: impl FnOnce(&FileWriter) -> T + Send + 'static,
    ) -> io::Result<JoinHandle<T>> {
        let builder = thread::Builder::new().name(name.to_owned());
        let Some(nursery) = &self.nursery else {
            return builder.spawn(|| work(&FileWriter { confined: false }));
        };
        let (say, hear) = mpsc::channel();
        let gone = |_| io::Error::other("the thread that starts those which write is gone");
        let start = Box::new(move || {
            // Nobody hears of it if the caller is gone, and then nobody waits for it.
            drop(say.send(builder.spawn(|| work(&FileWriter { confined: true }))));
        });
        nursery.starts.send(start).map_err(|_| gone(mpsc::RecvError))?;
        hear.recv().map_err(gone)?
    }
}

/// The thread that starts threads which write files: they inherit that it is not sealed.
#[derive(Debug)]
struct Nursery {
    starts: mpsc::Sender<Box<dyn FnOnce() + Send>>,
}

impl Nursery {
    fn start() -> io::Result<Self> {
        let (starts, requests) = mpsc::channel::<Box<dyn FnOnce() + Send>>();
        let serve = move || requests.into_iter().for_each(|start| start());
        thread::Builder::new().name("nursery".to_owned()).stack_size(64 << 10).spawn(serve)?;
        Ok(Self { starts })
    }
}

/// What a thread of [`Confined::spawn_writer`] writes files with.
#[derive(Debug)]
pub struct FileWriter {
    confined: bool,
}

impl FileWriter {
    /// Does `work` on a thread that may write below these folders alone, and waits for it. Descriptors that it opens stay writable
    /// afterwards, anywhere.
    ///
    /// # Errors
    /// When no thread can be started; then nothing was done. A kernel without Landlock is no error.
    pub fn below<T: Send>(&self, folders: &[&Path], work: impl FnOnce() -> T + Send) -> io::Result<T> {
        if !self.confined {
            return Ok(work());
        }
        let confined = || {
            // What it is refused here is in the state.
            drop(capabilities::lower(all_of(&KEPT_TO_WRITE)));
            drop(landlock::restrict_thread(folders));
            work()
        };
        thread::scope(|scope| {
            let thread = thread::Builder::new().name("write".to_owned()).spawn_scoped(scope, confined)?;
            Ok(thread.join().unwrap_or_else(|payload| panic::resume_unwind(payload)))
        })
    }
}

/// What the kernel offers, for a look at the host: nothing is confined. Landlock's state and its version, and that of seccomp.
#[must_use]
pub fn offered() -> SandboxState {
    let (landlock, landlock_version) = offered_landlock();
    let actions = fs::read_to_string("/proc/sys/kernel/seccomp/actions_avail").unwrap_or_default();
    let seccomp = if actions.split_whitespace().any(|action| action == "errno") {
        Protection::On
    } else {
        Protection::Degraded("this kernel has no seccomp filters (CONFIG_SECCOMP_FILTER)".to_owned())
    };
    SandboxState { capabilities: Protection::On, kept: Vec::new(), landlock, landlock_version, seccomp }
}

/// Landlock as this kernel has it, and its version.
fn offered_landlock() -> (Protection, Option<i32>) {
    match landlock::offer() {
        Offer::Full(version) => (Protection::On, Some(version)),
        Offer::Partial(version) => {
            let why = format!("ABI {version} does not hold back all that ABI 5 (Linux 6.10) does");
            (Protection::Degraded(why), Some(version))
        }
        Offer::None(why) => (Protection::Degraded(why), None),
    }
}
