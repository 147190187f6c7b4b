//! The page about a host, as text and as JSON that its schema holds to, and how bad what is.

use serde_json::Value;

use super::*;
use crate::{documents::Schema, format::hostile, model::owner::CLOSED_TO_ALL};

const SCHEMA: &str = include_str!("../../../docs/doctor.schema.json");

/// A host on which everything is as it should be.
fn fine() -> HostCheckup {
    let interface = |name: &str, index| InterfaceCheck {
        name: name.to_owned(),
        index,
        up: true,
        by_default: index == 2,
        hook: Some("tcx".to_owned()),
        degraded: Vec::new(),
        refusal: None,
        programs: Vec::new(),
        unseen: Vec::new(),
    };
    HostCheckup {
        kernel: KernelCheck {
            release: "6.12.9-amd64".to_owned(),
            machine: "x86_64".to_owned(),
            cpus: 4,
            memory_bytes: 16 << 30,
        },
        rights: RightsCheck {
            uid: 0,
            user_namespace: false,
            present: vec!["CAP_BPF", "CAP_NET_ADMIN"],
            missing: Vec::new(),
            program: "/usr/bin/flowtally".into(),
        },
        refusal: None,
        interfaces: vec![interface("lo", 1), interface("eth0", 2)],
        cgroups: CgroupCheck { version1: false, version2: Some("/sys/fs/cgroup".into()), whole: true },
        btf: true,
        iterators: Some(true),
        no_walk: None,
        owners: OwnersCheck { hooks: vec!["sock_create", "connect4"], degraded: Vec::new(), tried: true },
        sandbox: SandboxCheck { landlock_abi: Some(6), landlock_degraded: None, seccomp_degraded: None },
        limits: LimitsCheck {
            locked_memory_bytes: [Some(8 << 20), Some(8 << 20)],
            open_files: [Some(1024), None],
        },
        tables: TablesCheck {
            slots: 16_384,
            flows: 1 << 20,
            notes: 131_072,
            bytes: 220 << 20,
            most_bytes: 440 << 20,
        },
        log: LogCheck {
            folder: "/var/log/flowtally".into(),
            exists: true,
            refusal: None,
            free_bytes: Some(50 << 30),
        },
        agent: AgentCheck {
            socket: "/run/flowtally/agent.sock".into(),
            runs: Some(true),
            pid: Some(812),
            sandbox: vec![
                ("capabilities".to_owned(), "on".to_owned()),
                ("landlock".to_owned(), "off".to_owned()),
            ],
        },
    }
}

/// One on which much is wrong, and names are hostile.
fn degraded() -> HostCheckup {
    let mut host = fine();
    "6.1.0-44-amd64".clone_into(&mut host.kernel.release);
    host.rights.missing =
        vec![MissingRight { capability: "CAP_SYS_ADMIN", why: "Enters namespaces.", needed_to_count: false }];
    let eth0 = &mut host.interfaces[1];
    eth0.hook = Some("clsact".to_owned());
    eth0.degraded = vec!["clsact in place of tcx: Invalid argument".to_owned()];
    eth0.programs = vec![
        HookProgram {
            hook: "tcx",
            direction: "ingress",
            id: Some(7),
            name: b"x\x1b[2J\xff"[..].into(),
            flowtally: false,
        },
        HookProgram { hook: "clsact", direction: "egress", id: None, name: "u32".into(), flowtally: false },
        HookProgram {
            hook: "xdp",
            direction: "ingress",
            id: Some(9),
            name: "flowtally_xdp_e".into(),
            flowtally: true,
        },
    ];
    let mut hidden = host.interfaces[0].clone();
    "veth\u{202e}1".clone_into(&mut hidden.name);
    (hidden.index, hidden.up, hidden.hook) = (3, false, None);
    hidden.refusal = Some("attaching to the clsact hook failed".to_owned());
    hidden.unseen = vec!["TCX programs could not be seen: Operation not permitted".to_owned()];
    host.interfaces[0].unseen.clone_from(&hidden.unseen);
    host.interfaces.push(hidden);
    host.cgroups = CgroupCheck { version1: true, version2: None, whole: false };
    (host.btf, host.iterators) = (false, None);
    host.no_walk = Some("the kernel has no type information".to_owned());
    host.owners.degraded =
        vec!["owners: sock_diag refuses to list TCP sockets (ENOENT): /proc/net is read instead".to_owned()];
    host.sandbox = SandboxCheck {
        landlock_abi: None,
        landlock_degraded: Some("switched off".to_owned()),
        seccomp_degraded: None,
    };
    host.limits.open_files = [Some(64), Some(64)];
    host.log = LogCheck {
        folder: b"/var/log/\xfe"[..].into(),
        exists: false,
        refusal: Some("Permission denied".to_owned()),
        free_bytes: None,
    };
    (host.agent.runs, host.agent.pid, host.agent.sandbox) = (Some(false), None, Vec::new());
    host
}

/// What a user without any right sees.
fn failed() -> HostCheckup {
    let mut host = fine();
    host.rights = RightsCheck {
        uid: 1000,
        present: Vec::new(),
        missing: vec![
            MissingRight { capability: "CAP_BPF", why: "Reads the counts.", needed_to_count: true },
            MissingRight { capability: "CAP_SYS_PTRACE", why: "Reads links.", needed_to_count: false },
        ],
        ..host.rights
    };
    host.refusal =
        Some("loading the kernel programs needs CAP_BPF: run as root, or grant it\n  sudo setcap".to_owned());
    for interface in &mut host.interfaces {
        interface.hook = None;
    }
    host.owners = OwnersCheck { hooks: Vec::new(), degraded: Vec::new(), tried: false };
    (host.agent.runs, host.agent.pid, host.agent.sandbox) = (None, None, Vec::new());
    host
}

fn text(host: &HostCheckup) -> String {
    let mut out = Vec::new();
    write(&mut out, host, PageFormat::Text).unwrap();
    String::from_utf8(out).unwrap()
}

fn json(host: &HostCheckup) -> Value {
    let mut out = Vec::new();
    write(&mut out, host, PageFormat::Json).unwrap();
    assert!(out.ends_with(b"}\n"));
    serde_json::from_slice(&out).unwrap()
}

#[test]
fn pages() {
    insta::assert_snapshot!("fine", text(&fine()));
    insta::assert_snapshot!("degraded", text(&degraded()));
    insta::assert_snapshot!("failed", text(&failed()));
}

#[test]
fn the_exit_status_says_how_the_host_is() {
    for (host, state, status) in [
        (fine(), CheckState::Fine, 0),
        (degraded(), CheckState::Degraded, 1),
        (failed(), CheckState::Failed, 2),
    ] {
        assert_eq!((host.state(), host.state().exit_status()), (state, status));
        assert_eq!(json(&host)["state"], state.word());
    }
}

/// Changes one thing of a host that is fine; what is found then is about that, and has a remedy if it is bad.
fn finds(topic: CheckTopic, state: CheckState, what: &str, change: impl FnOnce(&mut HostCheckup)) {
    let mut host = fine();
    change(&mut host);
    let problems = host.problems();
    assert_eq!(problems.len(), 1, "{problems:?}");
    let problem = &problems[0];
    assert_eq!((problem.topic, problem.state), (topic, state), "{problem:?}");
    assert!(problem.what.contains(what), "{problem:?}");
    assert_eq!(problem.remedy.is_some(), state > CheckState::Unknown, "{problem:?}");
}

#[test]
fn each_thing_that_is_worse_is_found_with_what_mends_it() {
    use CheckState::{Degraded, Failed, Unknown};
    use CheckTopic::{Btf, Cgroups, Hooks, Limits, Log, Owners, Programs, Rights, Sandbox, Tables};
    finds(Btf, Degraded, "type information", |host| host.btf = false);
    finds(Cgroups, Degraded, "not mounted", |host| host.cgroups.version2 = None);
    finds(Cgroups, Degraded, "a part", |host| host.cgroups.whole = false);
    finds(Rights, Degraded, "CAP_SYS_PTRACE is missing. Looks.", |host| {
        host.rights.missing =
            vec![MissingRight { capability: "CAP_SYS_PTRACE", why: "Looks.", needed_to_count: false }];
    });
    finds(Rights, Failed, "user namespace", |host| host.rights.user_namespace = true);
    finds(Hooks, Degraded, "clsact in place", |host| {
        host.interfaces[1].degraded = vec!["clsact in place of tcx: no".to_owned()];
    });
    // An interface that is not counted by default is no reason to fail.
    finds(Hooks, Degraded, "no hook", |host| {
        host.interfaces[0].hook = None;
        host.interfaces[0].refusal = Some("no hook".to_owned());
    });
    finds(Hooks, Failed, "no hook", |host| {
        host.interfaces[1].hook = None;
        host.interfaces[1].refusal = Some("no hook".to_owned());
    });
    finds(Owners, Degraded, "sock_diag", |host| host.owners.degraded = vec!["sock_diag refuses".to_owned()]);
    let unread = |why: &str| format!("owners: open files of 2 processes may not be read{why}");
    finds(Owners, Unknown, "although no right is missing", |host| {
        host.owners.degraded = vec![unread(&format!(", {CLOSED_TO_ALL}"))];
    });
    finds(Owners, Degraded, "allow it", |host| {
        host.owners.degraded = vec![unread("; CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH allow it")];
    });
    finds(Sandbox, Degraded, "Landlock: off", |host| host.sandbox.landlock_degraded = Some("off".to_owned()));
    finds(Sandbox, Degraded, "seccomp: none", |host| host.sandbox.seccomp_degraded = Some("none".to_owned()));
    finds(Limits, Degraded, "64 open files", |host| host.limits.open_files = [Some(64), None]);
    finds(Tables, Degraded, "a quarter", |host| host.kernel.memory_bytes = 512 << 20);
    finds(Log, Degraded, "read-only", |host| host.log.refusal = Some("read-only".to_owned()));
    finds(Log, Degraded, "little room", |host| host.log.free_bytes = Some(1 << 20));
    finds(CheckTopic::Agent, Degraded, "landlock degraded: old", |host| {
        host.agent.sandbox[1].1 = "degraded: old".to_owned();
    });
    let mut refused = fine();
    refused.refusal = Some("the kernel refuses".to_owned());
    let programs = |problem: &&CheckProblem| problem.topic == Programs;
    assert_eq!(refused.problems().iter().find(programs).unwrap().state, Failed);
    assert_eq!(refused.state(), Failed);
}

/// Before Linux 5.11 tables count as locked memory, and root raises the limit himself.
#[test]
fn locked_memory_matters_on_old_kernels_without_root() {
    for (release, uid, found) in [("5.10.0-39-amd64", 1000, 1), ("5.10.0-39-amd64", 0, 0), ("6.1.0", 1000, 0)]
    {
        let mut host = fine();
        release.clone_into(&mut host.kernel.release);
        host.rights.uid = uid;
        assert_eq!(host.problems().len(), found, "{release} {uid}");
    }
}

#[test]
fn what_could_not_be_seen_is_said_once_and_is_no_fault() {
    let mut host = fine();
    for interface in &mut host.interfaces {
        interface.unseen = vec!["TCX programs could not be seen: no".to_owned()];
    }
    assert_eq!(host.problems().len(), 1);
    assert_eq!(host.state(), CheckState::Fine);
}

#[test]
fn many_interfaces_are_counted_and_not_listed() {
    let mut host = fine();
    for index in 3..100 {
        let name = format!("veth{index}");
        let other = InterfaceCheck { name, index, ..host.interfaces[0].clone() };
        host.interfaces.push(other);
    }
    let page = text(&host);
    assert!(page.contains("eth0: tcx (counted by default)") && page.contains("and 79 more"), "{page}");
    assert_eq!(json(&host)["interfaces"].as_array().unwrap().len(), 99);
}

#[test]
fn no_name_commands_a_terminal() {
    for name in hostile::names() {
        let mut host = degraded();
        host.interfaces[1].programs[0].name = name.clone().into();
        host.log.folder = name.clone().into();
        host.cgroups.version2 = Some(name.clone().into());
        host.rights.program = name.clone().into();
        hostile::assert_harmless(&text(&host));
        let document = json(&host);
        Schema::new(SCHEMA).check(&document);
        assert_eq!(hostile::of_json(&document["interfaces"][1]["programs"][0], "name"), name);
        assert_eq!(hostile::of_json(&document["log"], "folder"), name);
        assert_eq!(hostile::of_json(&document["cgroups"], "version2"), name);
    }
}

#[test]
fn the_schema_describes_every_document() {
    let schema = Schema::new(SCHEMA);
    for host in [fine(), degraded(), failed()] {
        let document = json(&host);
        schema.check(&document);
        let places = [
            "",
            "/kernel",
            "/rights",
            "/rights/missing/0",
            "/programs",
            "/interfaces/1",
            "/interfaces/1/programs/0",
            "/cgroups",
            "/owners",
            "/sandbox",
            "/limits",
            "/tables",
            "/log",
            "/agent",
            "/agent/sandbox/0",
            "/problems/0",
        ];
        schema.check_fields(&document, &places, |_, field| field.ends_with("_hex"));
    }
}
