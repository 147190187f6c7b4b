//! `flowtally doctor`.

use std::{env, io, path::Path, time::Instant};

use anyhow::Context as _;
use flowtally_common::Direction;
use rustix::process::geteuid;
use tokio::task::spawn_blocking;

use super::{agent::orders::host_agent, stdout};
use crate::{
    agent::status::AgentStatus,
    cli::DoctorArgs,
    doctor::{
        self, AgentCheck, CgroupCheck, CheckState, HookProgram, HostCheckup, InterfaceCheck, KernelCheck,
        LimitsCheck, LogCheck, MissingRight, OwnersCheck, RightsCheck, SandboxCheck, TablesCheck,
    },
    format::Safe,
    host::{
        checkup,
        clsact::{self, ClsactMark},
        control,
        interfaces::{Interface, Netlink, Selection},
        links::xdp_programs,
        opened,
        owners::Owners,
        proc,
        sandbox::{self, Protection},
        shutdown::Shutdown,
    },
    kernel::{self, Capacity, Kernel, KernelError},
    meter::target,
    model::hook::HookChoice,
};

/// Without /proc next to nothing can be seen of a host, so that what else is said may follow from that alone.
const WITHOUT_PROC: &str = "/proc is not there, and it has the processes, their cgroups and what is mounted";

/// Looks at everything, prints it, and says how the host is.
pub(super) async fn doctor(args: DoctorArgs) -> anyhow::Result<CheckState> {
    stdout::check()?;
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    let checkup = examine(&mut shutdown).await?;
    match doctor::write(stdout::open()?, &checkup, args.format) {
        // Whoever has read enough wants to know how the host is all the same.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
        written => written.context("writing the page")?,
    }
    Ok(checkup.state())
}

/// A request to stop gives it up, with nothing left at any hook.
async fn examine(shutdown: &mut Shutdown) -> anyhow::Result<HostCheckup> {
    let netlink = Netlink::open()?;
    let interfaces = netlink.interfaces().await?;
    let uplinks = netlink.default_routes().await?;
    // Where nothing can be counted on, that is no failure of this command.
    let selection = Selection::parse(&[]).resolve(&interfaces, &uplinks).ok();
    let cpus = kernel::possible_cpus()?;
    let memory_bytes = checkup::memory();
    let capacity = Capacity::for_host(cpus, memory_bytes);

    let mut checked = Vec::with_capacity(interfaces.len());
    let xdp = xdp_programs();
    for interface in &interfaces {
        shutdown.check().await?;
        let by_default = selection.as_ref().is_some_and(|selection| selection.contains(&interface.name));
        let mut check = InterfaceCheck {
            name: interface.name.clone(),
            index: interface.index,
            up: interface.up,
            by_default,
            hook: None,
            degraded: Vec::new(),
            refusal: None,
            programs: Vec::new(),
            unseen: Vec::new(),
        };
        look_at_hooks(&netlink, &mut check).await;
        match &xdp {
            Ok(programs) => {
                let own = programs.iter().filter(|(index, _)| *index == interface.index);
                check.programs.extend(own.map(|(_, id)| xdp_program(*id)));
            }
            Err(error) => check.unseen.push(format!("XDP programs could not be seen: {error}")),
        }
        checked.push(check);
    }

    // What is loaded makes nothing that would outlive the process.
    let targets: Vec<_> = interfaces.iter().map(target).collect();
    let loaded = spawn_blocking(move || {
        let mut kernel = Kernel::load(capacity, false)?;
        kernel.prepare(&targets, HookChoice::Auto);
        Ok::<_, KernelError>(kernel)
    });
    let loaded = shutdown.unless_requested(loaded).await?.context("loading the kernel programs")?;
    let (refusal, owners) = match loaded {
        Ok(mut kernel) => {
            try_hooks(&netlink, &mut kernel, &interfaces, &mut checked, shutdown).await?;
            let owners = spawn_blocking(move || try_owners(&kernel));
            (None, shutdown.unless_requested(owners).await?.context("looking for owners")?)
        }
        Err(error) => {
            (Some(error.to_string()), OwnersCheck { hooks: Vec::new(), degraded: Vec::new(), tried: false })
        }
    };
    let mut owners = owners;
    if proc::check().is_err() {
        owners.degraded.insert(0, WITHOUT_PROC.to_owned());
    }
    let cgroups = checkup::cgroup_mounts().unwrap_or_default();
    let tables = capacity.memory(cpus);
    let uname = rustix::system::uname();
    let agent = host_agent(None)?;
    let log = checkup::folder(&agent.log.folder);
    Ok(HostCheckup {
        kernel: KernelCheck {
            release: uname.release().to_string_lossy().into_owned(),
            machine: uname.machine().to_string_lossy().into_owned(),
            cpus,
            memory_bytes,
        },
        rights: rights(),
        refusal,
        interfaces: checked,
        cgroups: CgroupCheck { version1: cgroups.version1, version2: cgroups.version2, whole: cgroups.whole },
        btf: kernel::has_type_information(),
        iterators: kernel::has_iterators(),
        no_walk: opened::why_proc(),
        owners,
        sandbox: sandbox_check(),
        limits: LimitsCheck {
            locked_memory_bytes: checkup::locked_memory(),
            open_files: checkup::open_files(),
        },
        tables: TablesCheck {
            slots: capacity.slots,
            flows: capacity.flows,
            notes: capacity.notes,
            bytes: tables.at_start,
            most_bytes: tables.at_most,
        },
        log: LogCheck {
            folder: agent.log.folder.as_os_str().into(),
            exists: log.exists,
            refusal: log.refusal,
            free_bytes: log.free_bytes,
        },
        agent: ask_agent(&agent.socket),
    })
}

/// What the agent that runs says of itself, if there is one that answers this user.
fn ask_agent(socket: &Path) -> AgentCheck {
    let mut check = AgentCheck {
        socket: socket.as_os_str().into(),
        runs: checkup::listens(socket),
        pid: None,
        sandbox: Vec::new(),
    };
    if check.runs == Some(true)
        && let Ok(answer) = control::ask(socket, "status")
        && let Ok(status) = serde_json::from_str::<AgentStatus>(&answer)
    {
        (check.pid, check.sandbox) = (Some(status.pid), status.sandbox);
    }
    check
}

/// Who is at an interface's hooks before anything of ours is.
async fn look_at_hooks(netlink: &Netlink, check: &mut InterfaceCheck) {
    for direction in Direction::BOTH {
        match kernel::tcx_programs(&check.name, direction) {
            Ok(programs) => check.programs.extend(programs.into_iter().map(|program| HookProgram {
                hook: "tcx",
                direction: way(direction),
                id: Some(program.id),
                flowtally: is_flowtallys(&program.name),
                name: program.name.into(),
            })),
            Err(error) => check.unseen.push(format!("TCX programs could not be seen: {error}")),
        }
    }
    match clsact::all(netlink, check.index).await {
        Ok(filters) => check.programs.extend(filters.into_iter().map(|filter| HookProgram {
            hook: "clsact",
            direction: way(filter.direction),
            id: filter.program,
            name: filter.name.into(),
            flowtally: filter.ours,
        })),
        Err(error) => check.unseen.push(format!("clsact filters could not be seen: {error}")),
    }
    check.unseen.dedup();
}

const fn way(direction: Direction) -> &'static str {
    match direction {
        Direction::Ingress => "ingress",
        Direction::Egress => "egress",
    }
}

/// The kernel keeps the first 15 bytes of a program's name, and all of ours begin so.
fn is_flowtallys(name: &str) -> bool {
    name.starts_with("flowtally_")
}

fn xdp_program(id: u32) -> HookProgram {
    let name = kernel::program_name(id).unwrap_or_default();
    let flowtally = is_flowtallys(&name);
    HookProgram { hook: "xdp", direction: "ingress", id: Some(id), name: name.into(), flowtally }
}

/// Attaches to each interface for a moment, as a measurement does, and takes everything off again. What is counted meanwhile goes with the
/// tables.
async fn try_hooks(
    netlink: &Netlink,
    kernel: &mut Kernel,
    interfaces: &[Interface],
    checked: &mut [InterfaceCheck],
    shutdown: &mut Shutdown,
) -> anyhow::Result<()> {
    let mark = ClsactMark::take().context("taking a name for this process's clsact filters")?;
    for (interface, check) in interfaces.iter().zip(checked) {
        // Between two interfaces nothing is attached.
        shutdown.check().await?;
        match kernel.attach(&target(interface), HookChoice::Auto, mark.handle()) {
            Ok(served) => {
                check.hook = Some(served.hook);
                check.degraded = served.degraded;
            }
            Err(error) => check.refusal = Some(first_line(&error)),
        }
        if kernel.release(interface.index) {
            clsact::remove_qdisc_if_empty(netlink, interface.index)
                .await
                .with_context(|| format!("removing the clsact qdisc of {}", Safe::new(&interface.name)))?;
        }
    }
    Ok(())
}

fn first_line(error: &KernelError) -> String {
    error.to_string().lines().next().unwrap_or_default().to_owned()
}

/// Reads the host as a measurement does whose owners somebody looks at.
fn try_owners(kernel: &Kernel) -> OwnersCheck {
    let notes = kernel.owner_notes();
    let mut owners = Owners::new();
    owners.try_out(Instant::now());
    let mut degraded: Vec<String> = notes.unnoted().iter().map(ToString::to_string).collect();
    degraded.extend(owners.degraded());
    OwnersCheck { hooks: notes.hooks().to_vec(), degraded, tried: true }
}

fn rights() -> RightsCheck {
    let (present, missing) = sandbox::present_and_missing();
    let has = |name: &str| present.iter().any(|kept| kept.name == name);
    // It stands for the two, as it did before they existed.
    let is_implied = |name: &str| matches!(name, "CAP_BPF" | "CAP_PERFMON") && has("CAP_SYS_ADMIN");
    let missing = missing
        .iter()
        .filter(|kept| !is_implied(kept.name))
        .map(|kept| MissingRight {
            capability: kept.name,
            why: kept.why,
            needed_to_count: matches!(kept.name, "CAP_BPF" | "CAP_PERFMON" | "CAP_NET_ADMIN"),
        })
        .collect();
    let program = env::current_exe().unwrap_or_else(|_| Path::new("flowtally").to_owned());
    RightsCheck {
        uid: geteuid().as_raw(),
        user_namespace: kernel::in_user_namespace(),
        present: present.iter().map(|kept| kept.name).collect(),
        missing,
        program: program.as_os_str().into(),
    }
}

fn sandbox_check() -> SandboxCheck {
    let offered = sandbox::offered();
    let why = |protection| match protection {
        Protection::Degraded(why) => Some(why),
        Protection::On | Protection::Off => None,
    };
    SandboxCheck {
        landlock_abi: offered.landlock_version,
        landlock_degraded: why(offered.landlock),
        seccomp_degraded: why(offered.seccomp),
    }
}
