//! What of the facts is not as it should be, how bad that is, and the command that mends it.

use super::{CheckProblem, CheckState, CheckTopic, HostCheckup, InterfaceCheck};
use crate::{format::Safe, model::owner::CLOSED_TO_ALL};

/// Descriptors of programs, maps and sockets, and of the links on each interface.
const OPEN_FILES: u64 = 128;
const OPEN_FILES_AN_INTERFACE: u64 = 4;
/// Free space below which a log of some days has no room.
const ROOM: u64 = 1 << 30;
/// The first kernel that does not count tables as locked memory.
const WITHOUT_LOCKED_MEMORY: (u32, u32) = (5, 11);
/// The first kernel that has all that the programs use.
const OLDEST: (u32, u32) = (5, 15);
/// The first kernel that has the TCX hook.
const WITH_TCX: (u32, u32) = (6, 6);

const NEWER_KERNEL: &str =
    "apt-get install -t bookworm-backports linux-image-amd64   (a kernel from 6.6; Debian 12)";

pub(super) fn problems(checkup: &HostCheckup) -> Vec<CheckProblem> {
    let mut list = Problems { found: Vec::new() };
    rights(checkup, &mut list);
    programs(checkup, &mut list);
    hooks(checkup, &mut list);
    others(checkup, &mut list);
    cgroups(checkup, &mut list);
    if !checkup.btf {
        list.degraded(
            CheckTopic::Btf,
            "the kernel has no type information (/sys/kernel/btf/vmlinux): notes on owners have no start time, executable and effective \
             user",
            "boot a kernel that is built with CONFIG_DEBUG_INFO_BTF=y (those of distributions are)",
        );
    }
    owners(checkup, &mut list);
    sandbox(checkup, &mut list);
    limits(checkup, &mut list);
    if checkup.tables.bytes > checkup.kernel.memory_bytes / 4 {
        list.degraded(
            CheckTopic::Tables,
            "the tables take more than a quarter of the memory",
            "flowtally report --slots 1024 --max-flows 16384",
        );
    }
    log(checkup, &mut list);
    agent(checkup, &mut list);
    list.found
}

/// Found so far.
struct Problems {
    found: Vec<CheckProblem>,
}

impl Problems {
    fn add(
        &mut self,
        topic: CheckTopic,
        interface: Option<&InterfaceCheck>,
        state: CheckState,
        what: impl Into<String>,
        remedy: Option<String>,
    ) {
        let interface = interface.map(|interface| interface.name.clone());
        self.found.push(CheckProblem { topic, interface, state, what: what.into(), remedy });
    }

    fn degraded(&mut self, topic: CheckTopic, what: impl Into<String>, remedy: impl Into<String>) {
        self.add(topic, None, CheckState::Degraded, what, Some(remedy.into()));
    }
}

/// What grants the program all that is of use.
fn grant(checkup: &HostCheckup) -> String {
    let rights = &checkup.rights;
    if rights.user_namespace {
        return "run flowtally outside of the user namespace, as root of the host".to_owned();
    }
    let missing = rights.missing.iter().map(|right| right.capability);
    let program = Safe::new(&rights.program);
    if rights.uid == 0 {
        // Whoever started this gave root less.
        let added = missing.map(|name| format!(" --cap-add={}", name.trim_start_matches("CAP_")));
        return format!("docker run{} ...   (or the unit's AmbientCapabilities=)", added.collect::<String>());
    }
    let all = rights.present.iter().copied().chain(missing);
    let all: Vec<_> = all.map(str::to_lowercase).collect();
    format!("sudo {program} doctor, or sudo setcap {}+ep {program}   (docs/rights.md)", all.join(","))
}

fn rights(checkup: &HostCheckup, list: &mut Problems) {
    let rights = &checkup.rights;
    if rights.user_namespace {
        let what = "this process is in a user namespace, in which nobody may load programs into the kernel, not its root either";
        list.add(CheckTopic::Rights, None, CheckState::Failed, what, Some(grant(checkup)));
        return;
    }
    for right in &rights.missing {
        let state = if right.needed_to_count { CheckState::Failed } else { CheckState::Degraded };
        let what = format!("{} is missing. {}", right.capability, right.why);
        list.add(CheckTopic::Rights, None, state, what, Some(grant(checkup)));
    }
}

fn programs(checkup: &HostCheckup, list: &mut Problems) {
    let Some(refusal) = &checkup.refusal else { return };
    let is_told =
        checkup.rights.user_namespace || checkup.rights.missing.iter().any(|right| right.needed_to_count);
    // The right is the reason then, and its remedy is there.
    let first = refusal.lines().next().unwrap_or_default();
    let remedy = if is_told {
        grant(checkup)
    } else if is_older(&checkup.kernel.release, OLDEST) {
        NEWER_KERNEL.to_owned()
    } else {
        "uname -r; cat /sys/kernel/security/lockdown; ulimit -l".to_owned()
    };
    list.add(CheckTopic::Programs, None, CheckState::Failed, first, Some(remedy));
}

fn hooks(checkup: &HostCheckup, list: &mut Problems) {
    if checkup.refusal.is_some() {
        let what = "which hooks would serve the interfaces was not tried: the programs could not be loaded";
        list.add(CheckTopic::Hooks, None, CheckState::Unknown, what, None);
        return;
    }
    let by_default = || checkup.interfaces.iter().filter(|interface| interface.by_default);
    let served = by_default().filter(|interface| interface.hook.is_some()).count();
    let none_is_served = by_default().count() > 0 && served == 0;
    for interface in &checkup.interfaces {
        let remedy = if is_older(&checkup.kernel.release, WITH_TCX) {
            NEWER_KERNEL.to_owned()
        } else {
            format!("tc filter show dev {0} ingress; bpftool net show dev {0}", Safe::new(&interface.name))
        };
        if let Some(refusal) = &interface.refusal {
            let fails = interface.by_default && none_is_served;
            let state = if fails { CheckState::Failed } else { CheckState::Degraded };
            list.add(CheckTopic::Hooks, Some(interface), state, refusal, Some(remedy.clone()));
        }
        for why in &interface.degraded {
            list.add(CheckTopic::Hooks, Some(interface), CheckState::Degraded, why, Some(remedy.clone()));
        }
    }
}

/// Programs of others are no fault; that they could not be seen is said.
fn others(checkup: &HostCheckup, list: &mut Problems) {
    let mut said: Vec<&String> = Vec::new();
    for interface in &checkup.interfaces {
        for why in &interface.unseen {
            // The same refusal for a thousand interfaces is one.
            if !said.contains(&why) {
                said.push(why);
                list.add(CheckTopic::Others, None, CheckState::Unknown, why, Some(grant(checkup)));
            }
        }
    }
}

fn cgroups(checkup: &HostCheckup, list: &mut Problems) {
    match &checkup.cgroups.version2 {
        None => list.degraded(
            CheckTopic::Cgroups,
            "cgroup v2 is not mounted here: processes that end before they are looked up have no name, unless flowtally may mount it for \
             itself",
            "mkdir -p /run/cgroup2 && mount -t cgroup2 none /run/cgroup2",
        ),
        Some(path) if !checkup.cgroups.whole => list.degraded(
            CheckTopic::Cgroups,
            format!("{path} is not the root of the host's cgroups, but a part: owners are noted for processes below it alone"),
            "run flowtally in the host's cgroup namespace (docker run --cgroupns=host)",
        ),
        Some(_) => {}
    }
}

fn owners(checkup: &HostCheckup, list: &mut Problems) {
    if !checkup.owners.tried {
        let what = "whose traffic it is was not tried: the programs could not be loaded";
        list.add(CheckTopic::Owners, None, CheckState::Unknown, what, None);
    }
    for why in &checkup.owners.degraded {
        if why.ends_with(CLOSED_TO_ALL) {
            // No command of ours would open them.
            list.add(CheckTopic::Owners, None, CheckState::Unknown, why.clone(), None);
            continue;
        }
        let remedy = match why {
            _ if why.starts_with("/proc ") => "mount -t proc proc /proc   (first of all)".to_owned(),
            _ if why.contains("sock_diag") => {
                "modprobe -a inet_diag tcp_diag udp_diag raw_diag unix_diag".to_owned()
            }
            _ if why.contains("PID namespace") => {
                "run flowtally in the host's PID namespace (docker run --pid=host)".to_owned()
            }
            _ if why.contains("mount") => {
                "mount -t cgroup2 none /sys/fs/cgroup   (in this mount namespace)".to_owned()
            }
            _ if why.contains("type information") => {
                "boot a kernel that is built with CONFIG_DEBUG_INFO_BTF=y".to_owned()
            }
            _ if why.contains("lockdown") => {
                "cat /sys/kernel/security/lockdown   (the kernel's parameter lockdown=)".to_owned()
            }
            _ if why.contains("cgroup hook") => "bpftool cgroup tree   (who else is there)".to_owned(),
            _ => grant(checkup),
        };
        list.degraded(CheckTopic::Owners, why, remedy);
    }
}

fn sandbox(checkup: &HostCheckup, list: &mut Problems) {
    if let Some(why) = &checkup.sandbox.landlock_degraded {
        let remedy = if checkup.sandbox.landlock_abi.is_some() {
            NEWER_KERNEL
        } else {
            "cat /sys/kernel/security/lsm   (add landlock to it with the kernel's parameter lsm=)"
        };
        list.degraded(CheckTopic::Sandbox, format!("Landlock: {why}"), remedy);
    }
    if let Some(why) = &checkup.sandbox.seccomp_degraded {
        let remedy = "boot a kernel that is built with CONFIG_SECCOMP_FILTER=y (those of distributions are)";
        list.degraded(CheckTopic::Sandbox, format!("seccomp: {why}"), remedy);
    }
}

fn limits(checkup: &HostCheckup, list: &mut Problems) {
    let limits = &checkup.limits;
    let counted = checkup.interfaces.len() as u64;
    let files = OPEN_FILES + OPEN_FILES_AN_INTERFACE * counted;
    if let [Some(soft), _] = limits.open_files
        && soft < files
    {
        let what = format!("{soft} open files at most; {counted} interfaces may take {files}");
        list.degraded(CheckTopic::Limits, what, format!("ulimit -n {}", files.next_power_of_two()));
    }
    // Whoever has CAP_SYS_RESOURCE raises it himself; the hard limit is what the others are held to.
    let is_counted = is_older(&checkup.kernel.release, WITHOUT_LOCKED_MEMORY) && checkup.rights.uid != 0;
    if let [_, Some(hard)] = limits.locked_memory_bytes
        && is_counted
        && hard < checkup.tables.most_bytes
    {
        let what = format!("tables count as locked memory on this kernel, of which {hard} bytes are allowed");
        list.degraded(CheckTopic::Limits, what, "ulimit -l unlimited");
    }
}

fn log(checkup: &HostCheckup, list: &mut Problems) {
    let log = &checkup.log;
    if let Some(why) = &log.refusal {
        let what = format!("the agent could not write its log to {} as this user: {why}", log.folder);
        let remedy = if checkup.rights.uid == 0 {
            format!("flowtally agent --log DIR   (a folder that can be written to), or mend {}", log.folder)
        } else {
            format!("sudo install -d -o \"$USER\" {}", log.folder)
        };
        list.degraded(CheckTopic::Log, what, remedy);
    } else if let Some(free) = log.free_bytes
        && free < ROOM
    {
        let what = format!("{} has little room left for a log", log.folder);
        list.degraded(CheckTopic::Log, what, format!("df -h {}", log.folder));
    }
}

/// What is switched off was meant so.
fn agent(checkup: &HostCheckup, list: &mut Problems) {
    for (part, state) in checkup.agent.sandbox.iter().filter(|(_, state)| state.starts_with("degraded")) {
        let what = format!("sandbox of the agent that runs: {part} {state}");
        list.degraded(CheckTopic::Agent, what, "flowtally agent status; systemctl restart flowtally");
    }
}

/// Whether a kernel release such as `6.1.0-44-amd64` is older than a version. One that cannot be read is not.
fn is_older(release: &str, than: (u32, u32)) -> bool {
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(str::parse);
    match (numbers.next(), numbers.next()) {
        (Some(Ok(major)), Some(Ok(minor))) => (major, minor) < than,
        _ => false,
    }
}
