//! The page as text.

use std::io::{self, Write};

use super::{CheckProblem, CheckState, CheckTopic, HostCheckup, InterfaceCheck, LimitPair};
use crate::{
    format::numbers::{Many, Size},
    format::{Guard, Safe},
};

/// Interfaces that are listed without a word on them being wrong.
const LISTED: usize = 20;

/// Width of the first two columns.
const STATE: usize = 9;
const TOPIC: usize = 11;

pub(super) fn write(out: &mut impl Write, checkup: &HostCheckup) -> io::Result<()> {
    let out = &mut Guard::new(out);
    let problems = checkup.problems();
    for topic in CheckTopic::ALL {
        let own: Vec<_> = problems.iter().filter(|problem| problem.topic == topic).collect();
        let state = own.iter().map(|problem| problem.state).max().unwrap_or(CheckState::Fine);
        let mut lines = describe(checkup, topic).into_iter();
        let first = lines.next().unwrap_or_default();
        writeln!(out, "{:STATE$} {:TOPIC$} {first}", state.word(), title(topic))?;
        for line in lines {
            writeln!(out, "{:indent$}{line}", "", indent = STATE + TOPIC + 2)?;
        }
        for problem in own {
            write_problem(out, problem)?;
        }
    }
    writeln!(out)?;
    let worse = problems.iter().filter(|problem| problem.state > CheckState::Unknown).count();
    match checkup.state() {
        CheckState::Fine | CheckState::Unknown => writeln!(out, "Everything is as it should be."),
        CheckState::Degraded if worse == 1 => {
            writeln!(out, "flowtally counts here, and one thing works less well than it could: see above.")
        }
        CheckState::Degraded => {
            writeln!(
                out,
                "flowtally counts here, and {worse} things work less well than they could: see above."
            )
        }
        CheckState::Failed => writeln!(out, "flowtally cannot count here: see above."),
    }
}

fn write_problem(out: &mut impl Write, problem: &CheckProblem) -> io::Result<()> {
    let indent = STATE + TOPIC + 2;
    let interface =
        problem.interface.as_ref().map(|name| format!("{}: ", Safe::new(name))).unwrap_or_default();
    writeln!(out, "{:indent$}{} {interface}{}", "", mark(problem.state), problem.what)?;
    match &problem.remedy {
        Some(remedy) => writeln!(out, "{:indent$}  -> {remedy}", ""),
        None => Ok(()),
    }
}

const fn mark(state: CheckState) -> &'static str {
    match state {
        CheckState::Fine => "-",
        CheckState::Unknown => "?",
        CheckState::Degraded | CheckState::Failed => "!",
    }
}

const fn title(topic: CheckTopic) -> &'static str {
    match topic {
        CheckTopic::Kernel => "kernel",
        CheckTopic::Rights => "rights",
        CheckTopic::Programs => "programs",
        CheckTopic::Hooks => "hooks",
        CheckTopic::Others => "others",
        CheckTopic::Cgroups => "cgroups",
        CheckTopic::Btf => "BTF",
        CheckTopic::Iterators => "iterators",
        CheckTopic::Owners => "owners",
        CheckTopic::Sandbox => "sandbox",
        CheckTopic::Limits => "limits",
        CheckTopic::Tables => "tables",
        CheckTopic::Log => "log",
        CheckTopic::Agent => "agent",
    }
}

fn describe(checkup: &HostCheckup, topic: CheckTopic) -> Vec<String> {
    let line = match topic {
        CheckTopic::Kernel => {
            let kernel = &checkup.kernel;
            format!(
                "Linux {}, {}, {}, {} of memory",
                Safe::new(&kernel.release),
                Safe::new(&kernel.machine),
                Many(kernel.cpus as u64, "CPU"),
                Size(kernel.memory_bytes)
            )
        }
        CheckTopic::Rights => {
            let rights = &checkup.rights;
            let user = if rights.uid == 0 { "root".to_owned() } else { format!("user {}", rights.uid) };
            let present = if rights.present.is_empty() { "none".to_owned() } else { rights.present.join(", ") };
            format!("{user}; capabilities that are of use: {present}")
        }
        CheckTopic::Programs if checkup.refusal.is_some() => "could not be loaded into the kernel".to_owned(),
        CheckTopic::Programs => "were loaded into the kernel, and taken out again".to_owned(),
        CheckTopic::Hooks => return hooks(checkup),
        CheckTopic::Others => return others(checkup),
        CheckTopic::Cgroups => cgroups(checkup),
        CheckTopic::Btf if checkup.btf => "the kernel has type information".to_owned(),
        CheckTopic::Btf => "none".to_owned(),
        CheckTopic::Iterators => match checkup.iterators {
            Some(true) => match &checkup.no_walk {
                Some(why) => format!("the kernel has them, but open files are read from /proc: {}", Safe::new(why)),
                None => "where many files are open they tell who has them, in place of /proc".to_owned(),
            },
            Some(false) => "the kernel has none; owners are found by sock_diag and /proc".to_owned(),
            None => "without type information it cannot be seen whether the kernel has them; owners are found by sock_diag and /proc".to_owned(),
        },
        CheckTopic::Owners => match checkup.owners.hooks.len() {
            0 if checkup.owners.tried => "not noted in the kernel; found by sock_diag and /proc".to_owned(),
            0 => "not tried".to_owned(),
            _ => format!("noted in the kernel ({}), else found by sock_diag and /proc", checkup.owners.hooks.join(", ")),
        },
        CheckTopic::Sandbox => sandbox(checkup),
        CheckTopic::Limits => {
            let limits = &checkup.limits;
            let files = pair(limits.open_files, |files| files.to_string());
            let memory = pair(limits.locked_memory_bytes, |bytes| Size(bytes).to_string());
            format!("open files {files}; locked memory {memory}")
        }
        CheckTopic::Tables => {
            let tables = &checkup.tables;
            format!(
                "{} slots a CPU, {} flows, {} sockets: {}, {} when all are full",
                tables.slots,
                tables.flows,
                tables.notes,
                Size(tables.bytes),
                Size(tables.most_bytes)
            )
        }
        CheckTopic::Log => {
            let log = &checkup.log;
            let free = log.free_bytes.map(|free| format!(", {} free", Size(free))).unwrap_or_default();
            format!("{}{}{free}", log.folder, if log.exists { "" } else { " (made when the agent starts)" })
        }
        CheckTopic::Agent => {
            let agent = &checkup.agent;
            match agent.runs {
                Some(true) => {
                    let pid = agent.pid.map(|pid| format!(" (process {pid})")).unwrap_or_default();
                    let parts = agent.sandbox.iter().map(|(part, state)| format!("{part} {state}"));
                    let sandbox = parts.collect::<Vec<_>>().join(", ");
                    let sandbox = if sandbox.is_empty() { sandbox } else { format!("; its sandbox: {sandbox}") };
                    format!("runs{pid}, and listens at {}{sandbox}", agent.socket)
                }
                Some(false) => "none runs".to_owned(),
                None => format!("whether one runs could not be seen: {}", agent.socket),
            }
        }
    };
    vec![line]
}

fn hooks(checkup: &HostCheckup) -> Vec<String> {
    let mut lines = Vec::new();
    let listed: Vec<&InterfaceCheck> = {
        let mut sorted: Vec<_> = checkup.interfaces.iter().collect();
        sorted.sort_by_key(|interface| !interface.by_default);
        sorted
    };
    for interface in listed.iter().take(LISTED) {
        let hook = match (&interface.hook, &interface.refusal) {
            (Some(hook), _) => hook,
            (None, Some(_)) => "none",
            (None, None) => "not tried",
        };
        let mut notes = Vec::new();
        if interface.by_default {
            notes.push("counted by default");
        }
        if !interface.up {
            notes.push("down");
        }
        let notes = if notes.is_empty() { String::new() } else { format!(" ({})", notes.join(", ")) };
        lines.push(format!("{}: {hook}{notes}", Safe::new(&interface.name)));
    }
    if listed.len() > LISTED {
        lines.push(format!("and {} more; --format json has all", listed.len() - LISTED));
    }
    if lines.is_empty() {
        lines.push("no interface could be seen".to_owned());
    }
    lines
}

fn others(checkup: &HostCheckup) -> Vec<String> {
    let mut lines = Vec::new();
    for interface in &checkup.interfaces {
        for program in &interface.programs {
            let id = program.id.map(|id| format!(" (program {id})")).unwrap_or_default();
            let whose = if program.flowtally { ", another flowtally" } else { "" };
            lines.push(format!(
                "{}: {} {}: {}{id}{whose}",
                Safe::new(&interface.name),
                program.hook,
                program.direction,
                program.name
            ));
        }
    }
    let unlisted = lines.len().saturating_sub(LISTED);
    lines.truncate(LISTED);
    if unlisted > 0 {
        lines.push(format!("and {unlisted} more; --format json has all"));
    }
    if lines.is_empty() {
        lines.push("no other program was seen at the hooks".to_owned());
    }
    lines
}

fn cgroups(checkup: &HostCheckup) -> String {
    let cgroups = &checkup.cgroups;
    match (&cgroups.version2, cgroups.version1) {
        (Some(path), false) => format!("version 2 at {path}"),
        (Some(path), true) => format!("versions 1 and 2; version 2 at {path}"),
        (None, true) => "version 1 alone".to_owned(),
        (None, false) => "not mounted".to_owned(),
    }
}

fn sandbox(checkup: &HostCheckup) -> String {
    let sandbox = &checkup.sandbox;
    let landlock = match sandbox.landlock_abi {
        Some(version) => format!("Landlock (ABI {version})"),
        None => "no Landlock".to_owned(),
    };
    let seccomp = if sandbox.seccomp_degraded.is_none() { "seccomp" } else { "no seccomp" };
    format!("the kernel has {landlock}, {seccomp}")
}

fn pair([soft, hard]: LimitPair, show: impl Fn(u64) -> String) -> String {
    let word = |limit: Option<u64>| limit.map_or_else(|| "unlimited".to_owned(), &show);
    if soft == hard { word(soft) } else { format!("{} (at most {})", word(soft), word(hard)) }
}
