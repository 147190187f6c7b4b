//! The page as one JSON document, as docs/doctor.schema.json has it.

use std::io::{self, Write};

use serde::{Serialize, Serializer};

use super::{
    AgentCheck, CgroupCheck, CheckProblem, CheckState, HookProgram, HostCheckup, InterfaceCheck, KernelCheck,
    LimitsCheck, LogCheck, OwnersCheck, RightsCheck, SandboxCheck, TablesCheck,
};
use crate::format::{
    Name,
    json::{Named, NamedOrNull, to_writer},
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.doctor/1";

#[derive(Serialize)]
struct CheckupDocument<'a> {
    schema: &'static str,
    state: CheckState,
    kernel: &'a KernelCheck,
    rights: &'a RightsCheck,
    programs: ProgramsView<'a>,
    interfaces: &'a [InterfaceCheck],
    cgroups: &'a CgroupCheck,
    btf: bool,
    iterators: Option<bool>,
    no_walk: Option<&'a str>,
    owners: &'a OwnersCheck,
    sandbox: &'a SandboxCheck,
    limits: &'a LimitsCheck,
    tables: &'a TablesCheck,
    log: &'a LogCheck,
    agent: &'a AgentCheck,
    problems: Vec<CheckProblem>,
}

#[derive(Serialize)]
struct ProgramsView<'a> {
    loaded: bool,
    refusal: Option<&'a str>,
}

/// Writes the document and a line feed.
pub(super) fn write(out: &mut impl Write, checkup: &HostCheckup) -> io::Result<()> {
    let document = CheckupDocument {
        schema: SCHEMA,
        state: checkup.state(),
        kernel: &checkup.kernel,
        rights: &checkup.rights,
        programs: ProgramsView { loaded: checkup.refusal.is_none(), refusal: checkup.refusal.as_deref() },
        interfaces: &checkup.interfaces,
        cgroups: &checkup.cgroups,
        btf: checkup.btf,
        iterators: checkup.iterators,
        no_walk: checkup.no_walk.as_deref(),
        owners: &checkup.owners,
        sandbox: &checkup.sandbox,
        limits: &checkup.limits,
        tables: &checkup.tables,
        log: &checkup.log,
        agent: &checkup.agent,
        problems: checkup.problems(),
    };
    to_writer(&mut *out, &document)?;
    writeln!(out)
}

impl Serialize for HookProgram {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct HookProgramView<'a> {
            hook: &'static str,
            direction: &'static str,
            id: Option<u32>,
            #[serde(flatten)]
            name: Named<'a>,
            flowtally: bool,
        }
        let &Self { hook, direction, id, ref name, flowtally } = self;
        HookProgramView { hook, direction, id, name: Named("name", name.as_bytes()), flowtally }
            .serialize(serializer)
    }
}

impl Serialize for CgroupCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct CgroupView<'a> {
            version1: bool,
            #[serde(flatten)]
            version2: NamedOrNull<&'a Name>,
            whole: bool,
        }
        let version2 = NamedOrNull("version2", self.version2.as_ref());
        CgroupView { version1: self.version1, version2, whole: self.whole }.serialize(serializer)
    }
}

impl Serialize for LogCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct LogView<'a> {
            #[serde(flatten)]
            folder: Named<'a>,
            exists: bool,
            refusal: Option<&'a str>,
            free_bytes: Option<u64>,
        }
        let &Self { ref folder, exists, ref refusal, free_bytes } = self;
        let folder = Named("folder", folder.as_bytes());
        LogView { folder, exists, refusal: refusal.as_deref(), free_bytes }.serialize(serializer)
    }
}

impl Serialize for AgentCheck {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct AgentView<'a> {
            #[serde(flatten)]
            socket: Named<'a>,
            runs: Option<bool>,
            pid: Option<u32>,
            sandbox: Vec<SandboxPartView<'a>>,
        }
        #[derive(Serialize)]
        struct SandboxPartView<'a> {
            part: &'a str,
            state: &'a str,
        }
        let parts = self.sandbox.iter();
        let sandbox = parts.map(|(part, state)| SandboxPartView { part, state }).collect();
        let socket = Named("socket", self.socket.as_bytes());
        AgentView { socket, runs: self.runs, pid: self.pid, sandbox }.serialize(serializer)
    }
}
