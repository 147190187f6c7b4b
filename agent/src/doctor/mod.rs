//! Whether this host can be counted on, and what would make it better: a page about the kernel, rights, hooks, owners, limits.
//!
//! `facts -> problems -> { text, JSON, exit status }`. Pure: what was found out is handed in.

mod json;
mod judge;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, BufWriter, Write};

use serde::Serialize;

use crate::{files::PageFormat, format::Name};

/// All that was found out about a host.
#[derive(Clone, Debug)]
pub struct HostCheckup {
    /// The kernel and the machine.
    pub kernel: KernelCheck,
    /// What this process may do.
    pub rights: RightsCheck,
    /// Why the kernel programs cannot be loaded, in words; `None` when they were.
    pub refusal: Option<String>,
    /// The interfaces, by index.
    pub interfaces: Vec<InterfaceCheck>,
    /// Where cgroups are mounted.
    pub cgroups: CgroupCheck,
    /// Whether the kernel has type information (/sys/kernel/btf/vmlinux).
    pub btf: bool,
    /// Whether the kernel has BPF iterators; `None` when that could not be seen.
    pub iterators: Option<bool>,
    /// Why open files are read from /proc alone; `None` where iterators may serve.
    pub no_walk: Option<String>,
    /// Whose traffic it is.
    pub owners: OwnersCheck,
    /// What the kernel has for the agent's sandbox.
    pub sandbox: SandboxCheck,
    /// Limits of this process.
    pub limits: LimitsCheck,
    /// The kernel's tables, as they are made by default.
    pub tables: TablesCheck,
    /// Where the agent writes its log by default.
    pub log: LogCheck,
    /// The agent that runs here.
    pub agent: AgentCheck,
}

/// The kernel and the machine.
#[derive(Clone, Debug, Serialize)]
pub struct KernelCheck {
    /// `uname -r`.
    pub release: String,
    /// `uname -m`.
    pub machine: String,
    /// CPUs that there could be: tables are made for all of them.
    pub cpus: usize,
    /// Bytes of memory.
    pub memory_bytes: u64,
}

/// What this process may do.
#[derive(Clone, Debug, Serialize)]
pub struct RightsCheck {
    /// The effective user.
    pub uid: u32,
    /// Whether it is in a user namespace, where rights count for nothing.
    pub user_namespace: bool,
    /// Capabilities that it has, of those that are of use.
    pub present: Vec<&'static str>,
    /// Those that it has not.
    pub missing: Vec<MissingRight>,
    /// The program's file.
    #[serde(skip)]
    pub program: Name,
}

/// A capability that would be of use.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct MissingRight {
    /// Its name.
    pub capability: &'static str,
    /// What needs it, a sentence.
    pub why: &'static str,
    /// Whether nothing is counted without.
    pub needed_to_count: bool,
}

/// An interface.
#[derive(Clone, Debug, Serialize)]
pub struct InterfaceCheck {
    /// Its name; what cannot be text is escaped.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// Whether it is switched on.
    pub up: bool,
    /// Whether it is counted on where none is named.
    pub by_default: bool,
    /// The hooks that served it when that was tried; `None` when none did, or it was not tried.
    pub hook: Option<String>,
    /// Why a better hook could not be had, a sentence each.
    pub degraded: Vec<String>,
    /// Why no hook could be had.
    pub refusal: Option<String>,
    /// Programs that are at its hooks.
    pub programs: Vec<HookProgram>,
    /// Why some of them could not be seen, a sentence each.
    pub unseen: Vec<String>,
}

/// A program, or another filter, at a hook of an interface.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookProgram {
    /// `tcx`, `clsact` or `xdp`.
    pub hook: &'static str,
    /// `ingress` or `egress`.
    pub direction: &'static str,
    /// The number that the kernel gave it, where it is a BPF program.
    pub id: Option<u32>,
    /// What it is called, or which kind of filter it is.
    pub name: Name,
    /// Whether it is flowtally's: another one counts here.
    pub flowtally: bool,
}

/// Where cgroups are mounted.
#[derive(Clone, Debug)]
pub struct CgroupCheck {
    /// Whether there are hierarchies of version 1.
    pub version1: bool,
    /// Where version 2 is mounted.
    pub version2: Option<Name>,
    /// Whether what is mounted there is the whole hierarchy.
    pub whole: bool,
}

/// Whose traffic it is.
#[derive(Clone, Debug, Serialize)]
pub struct OwnersCheck {
    /// Hooks at the root of cgroup v2 that note owners.
    pub hooks: Vec<&'static str>,
    /// Why less than all owners can be found, a sentence each.
    pub degraded: Vec<String>,
    /// Whether the host was read as it is for owners.
    pub tried: bool,
}

/// What the kernel has for the agent's sandbox.
#[derive(Clone, Debug, Serialize)]
pub struct SandboxCheck {
    /// The version of Landlock's interface.
    pub landlock_abi: Option<i32>,
    /// Why Landlock holds back less than it could, or nothing.
    pub landlock_degraded: Option<String>,
    /// Why there are no filters of system calls.
    pub seccomp_degraded: Option<String>,
}

/// A limit: soft, then hard; `None` is unlimited.
pub type LimitPair = [Option<u64>; 2];

/// Limits of this process.
#[derive(Clone, Debug, Serialize)]
pub struct LimitsCheck {
    /// Locked memory in bytes (`ulimit -l`).
    pub locked_memory_bytes: LimitPair,
    /// Open files (`ulimit -n`).
    pub open_files: LimitPair,
}

/// The kernel's tables, as they are made by default.
#[derive(Clone, Debug, Serialize)]
pub struct TablesCheck {
    /// Slots of the first level, per CPU and bank.
    pub slots: u32,
    /// Flows of the second level, and of the third.
    pub flows: u32,
    /// Sockets whose owners are noted.
    pub notes: u32,
    /// Memory that they take from the start.
    pub bytes: u64,
    /// Memory that they take when all of them are full.
    pub most_bytes: u64,
}

/// Where the agent writes its log by default.
#[derive(Clone, Debug)]
pub struct LogCheck {
    /// The folder.
    pub folder: Name,
    /// Whether there is one.
    pub exists: bool,
    /// Why nothing could be written there by this user.
    pub refusal: Option<String>,
    /// Bytes that are free there.
    pub free_bytes: Option<u64>,
}

/// The agent that runs here.
#[derive(Clone, Debug)]
pub struct AgentCheck {
    /// Where it would be asked.
    pub socket: Name,
    /// Whether one listens there; `None` when that could not be seen.
    pub runs: Option<bool>,
    /// Its process, if it answered.
    pub pid: Option<u32>,
    /// The parts of its sandbox, and whether each is `on`, `off` or `degraded` and why, if it answered.
    pub sandbox: Vec<(String, String)>,
}

/// How something is; later is worse.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckState {
    /// As it should be.
    Fine,
    /// It could not be seen.
    Unknown,
    /// It works less well than it could.
    Degraded,
    /// Nothing can be counted.
    Failed,
}

/// What a line is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CheckTopic {
    /// [`HostCheckup::kernel`].
    Kernel,
    /// [`HostCheckup::rights`].
    Rights,
    /// [`HostCheckup::refusal`].
    Programs,
    /// [`HostCheckup::interfaces`]: their hooks.
    Hooks,
    /// [`HostCheckup::interfaces`]: who else is there.
    Others,
    /// [`HostCheckup::cgroups`].
    Cgroups,
    /// [`HostCheckup::btf`].
    Btf,
    /// [`HostCheckup::iterators`].
    Iterators,
    /// [`HostCheckup::owners`].
    Owners,
    /// [`HostCheckup::sandbox`].
    Sandbox,
    /// [`HostCheckup::limits`].
    Limits,
    /// [`HostCheckup::tables`].
    Tables,
    /// [`HostCheckup::log`].
    Log,
    /// [`HostCheckup::agent`].
    Agent,
}

impl CheckTopic {
    /// All, in the order of the page.
    pub(crate) const ALL: [Self; 14] = [
        Self::Kernel,
        Self::Rights,
        Self::Programs,
        Self::Hooks,
        Self::Others,
        Self::Cgroups,
        Self::Btf,
        Self::Iterators,
        Self::Owners,
        Self::Sandbox,
        Self::Limits,
        Self::Tables,
        Self::Log,
        Self::Agent,
    ];
}

/// Something that is not as it should be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CheckProblem {
    /// What it is about.
    pub topic: CheckTopic,
    /// The interface, of what is about one.
    pub interface: Option<String>,
    /// How bad it is.
    pub state: CheckState,
    /// What is wrong, a sentence.
    pub what: String,
    /// The command that mends it.
    pub remedy: Option<String>,
}

impl HostCheckup {
    /// What is not as it should be, in the order of the page.
    #[must_use]
    pub fn problems(&self) -> Vec<CheckProblem> {
        judge::problems(self)
    }

    /// How the host is as a whole. What could not be seen is no worse than fine by itself.
    #[must_use]
    pub fn state(&self) -> CheckState {
        let worst = self.problems().into_iter().map(|problem| problem.state).max();
        worst.filter(|state| *state > CheckState::Unknown).unwrap_or(CheckState::Fine)
    }
}

impl CheckState {
    /// The exit status: 0 fine, 1 degraded, 2 nothing can be counted.
    #[must_use]
    pub const fn exit_status(self) -> u8 {
        match self {
            Self::Fine | Self::Unknown => 0,
            Self::Degraded => 1,
            Self::Failed => 2,
        }
    }

    /// As both formats have it.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Unknown => "unknown",
            Self::Degraded => "degraded",
            Self::Failed => "failed",
        }
    }
}

/// Prints the page, and flushes.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, checkup: &HostCheckup, format: PageFormat) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match format {
        PageFormat::Text => text::write(&mut out, checkup)?,
        PageFormat::Json => json::write(&mut out, checkup)?,
    }
    out.flush()
}
