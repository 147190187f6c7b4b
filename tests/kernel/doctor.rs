//! `flowtally doctor`: what it says of a host, that it leaves it as it was, and its exit status.

use std::{fs, path::Path, process::Command};

use aya::programs::TcAttachType;
use harness::{
    Agent, Ended, NetPair, Refusal,
    agent::program,
    foreign::{self, Foreign, Verdict, attached},
};
use nix::sys::signal::Signal;
use serde_json::Value;

/// Less rights than any other test has: what setpriv(1) takes away of a bounding set.
fn without(capabilities: &str) -> Command {
    let mut command = Command::new("setpriv");
    command.arg(format!("--bounding-set={capabilities}")).arg(program());
    command.args(["doctor", "--format", "json"]);
    command
}

fn document(ended: &Ended) -> Value {
    serde_json::from_slice(&ended.stdout).unwrap_or_else(|error| panic!("{error}: {}", ended.stderr))
}

fn run(pair: &NetPair) -> (Value, Ended) {
    let ended = Agent::start(&pair.near.namespace, "doctor --format json").wait();
    (document(&ended), ended)
}

fn interface<'a>(document: &'a Value, name: &str) -> &'a Value {
    let interfaces = document["interfaces"].as_array().unwrap();
    interfaces.iter().find(|interface| interface["name"] == name).unwrap()
}

/// What is wrong that a topic is about, in one text.
fn problems(document: &Value, topic: &str) -> String {
    let all = document["problems"].as_array().unwrap().iter().filter(|problem| problem["topic"] == topic);
    all.map(Value::to_string).collect::<Vec<_>>().join("\n")
}

fn assert_schema(document: &Value) {
    let schema =
        fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/doctor.schema.json")).unwrap();
    let schema = jsonschema::validator_for(&serde_json::from_str(&schema).unwrap()).unwrap();
    let errors: Vec<_> = schema.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(errors.is_empty(), "{errors:?}");
}

fn status(document: &Value) -> i32 {
    match document["state"].as_str().unwrap() {
        "fine" => 0,
        "degraded" => 1,
        "failed" => 2,
        other => panic!("{other}"),
    }
}

#[test]
fn a_host_that_can_be_counted_on_is_left_as_it_was() {
    let pair = NetPair::new();
    let (document, ended) = run(&pair);
    assert_schema(&document);
    assert_eq!(ended.status.code(), Some(status(&document)), "{}", ended.stderr);
    assert_ne!(document["state"], "failed", "{document}");
    assert_eq!(document["programs"]["loaded"], true);
    assert_eq!(document["rights"]["missing"].as_array().unwrap().len(), 0);
    let near = interface(&document, "near");
    assert_eq!((&near["hook"], &near["degraded"]), (&"tcx".into(), &Value::Array(Vec::new())));
    assert_eq!(near["programs"], Value::Array(Vec::new()));
    assert_eq!(document["owners"]["hooks"].as_array().unwrap().len(), 9);
    assert!(document["sandbox"]["landlock_abi"].as_i64().unwrap() > 0);
    for direction in [TcAttachType::Ingress, TcAttachType::Egress] {
        assert_eq!(attached(&pair.near, direction), [""; 0]);
    }
    let text = Agent::start(&pair.near.namespace, "doctor").wait();
    assert_eq!(text.status, ended.status);
    let page = String::from_utf8(text.stdout).unwrap();
    assert!(page.contains("near: tcx") && page.contains("BTF"), "{page}");
}

#[test]
fn where_tcx_is_refused_clsact_serves_and_it_says_why() {
    let pair = NetPair::new();
    let mut command = Command::new(program());
    command.args(["doctor", "--format", "json"]);
    let ended = Agent::start_refused(&pair.near.namespace, command, &[Refusal::BpfLink]).wait();
    let document = document(&ended);
    assert_eq!(ended.status.code(), Some(1), "{document}");
    assert_eq!(interface(&document, "near")["hook"], "clsact");
    let problem = problems(&document, "hooks");
    assert!(problem.contains("clsact in place of tcx") && problem.contains("\"remedy\":\""), "{problem}");
    assert!(!pair.near.namespace.tc("qdisc show dev near").contains("clsact"), "the qdisc is gone again");
}

#[test]
fn programs_of_others_are_named_and_left_alone() {
    let pair = NetPair::new();
    let foreign = Foreign::attach(&pair.near, TcAttachType::Egress, Verdict::Next);
    pair.near.namespace.tc("qdisc add dev near clsact");
    pair.near.namespace.tc(
        "filter add dev near ingress prio 40 protocol all u32 match u32 0 0 action mirred egress mirror dev lo continue",
    );
    let other = Agent::measure(&pair.near, "--hook xdp");
    let (document, _) = run(&pair);
    let programs = interface(&document, "near")["programs"].as_array().unwrap().clone();
    let found = |hook: &str, direction: &str| {
        let found =
            programs.iter().find(|program| program["hook"] == hook && program["direction"] == direction);
        found.unwrap_or_else(|| panic!("no {hook} {direction} in {programs:?}"))
    };
    let of_tcx: Vec<_> = programs.iter().filter(|program| program["hook"] == "tcx").collect();
    assert_eq!(of_tcx.len(), 2, "{programs:?}");
    assert!(of_tcx.iter().any(|program| program["name"] == foreign::NAME && program["flowtally"] == false));
    assert!(of_tcx.iter().any(|program| program["flowtally"] == true), "the other one's egress");
    assert_eq!(found("xdp", "ingress")["flowtally"], true);
    let filter = found("clsact", "ingress");
    assert_eq!(
        (&filter["name"], &filter["id"], &filter["flowtally"]),
        (&"u32".into(), &Value::Null, &false.into())
    );
    // All of it is there still.
    assert_eq!(attached(&pair.near, TcAttachType::Egress).len(), 2);
    assert!(pair.near.namespace.tc("filter show dev near ingress").contains("u32"));
    assert_eq!(interface(&document, "near")["hook"], "tcx");
    other.signal(Signal::SIGINT);
    assert!(other.wait().status.success());
    drop(foreign);
}

#[test]
fn a_capability_that_is_missing_is_named_with_what_it_is_for() {
    let pair = NetPair::new();
    let ended = Agent::start_command(&pair.near.namespace, without("-sys_ptrace,-dac_read_search")).wait();
    let seen = document(&ended);
    assert_schema(&seen);
    assert_eq!((ended.status.code(), &seen["state"]), (Some(1), &"degraded".into()), "{seen}");
    let missing: Vec<_> =
        seen["rights"]["missing"].as_array().unwrap().iter().map(|right| &right["capability"]).collect();
    assert_eq!(missing, ["CAP_SYS_PTRACE", "CAP_DAC_READ_SEARCH"]);
    assert!(problems(&seen, "rights").contains("--cap-add=SYS_PTRACE"), "{seen}");

    let ended = Agent::start_command(&pair.near.namespace, without("-net_admin")).wait();
    let seen = document(&ended);
    assert_eq!((ended.status.code(), &seen["state"]), (Some(2), &"failed".into()), "{seen}");
    assert!(problems(&seen, "programs").contains("CAP_NET_ADMIN"), "{seen}");
}

#[test]
fn without_root_it_says_what_it_could_not_see() {
    let pair = NetPair::new();
    let ended = Agent::run_unprivileged(&pair.near.namespace, "doctor --format json");
    let document = document(&ended);
    assert_schema(&document);
    assert_eq!(ended.status.code(), Some(2), "{}", ended.stderr);
    assert_eq!(document["programs"]["loaded"], false);
    assert_eq!(interface(&document, "near")["hook"], Value::Null);
    assert!(problems(&document, "rights").contains("setcap cap_bpf"), "{document}");
    assert!(problems(&document, "hooks").contains("was not tried"), "{document}");
    assert_eq!(ended.stderr, "");
}

#[test]
fn hidden_cgroups_and_a_read_only_log_are_said_with_the_command() {
    let pair = NetPair::new();
    // A mount namespace of its own, in which nothing comes from or goes to the host.
    let script = "while path=$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo) && test -n \"$path\"; do umount -l \"$path\"; done
        mount -t tmpfs -o ro none /var/log && exec \"$PROGRAM\" doctor --format json";
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", script]).env("PROGRAM", program());
    let ended = Agent::start_command(&pair.near.namespace, command).wait();
    let document = document(&ended);
    assert_schema(&document);
    assert_eq!(ended.status.code(), Some(1), "{}", ended.stderr);
    assert_eq!(document["cgroups"]["version2"], Value::Null);
    assert!(problems(&document, "cgroups").contains("mount -t cgroup2"), "{document}");
    assert!(problems(&document, "log").contains("read-only"), "{document}");
    assert_eq!(document["log"]["exists"], false);
}

#[test]
fn a_kernel_without_landlock_is_said() {
    let pair = NetPair::new();
    let mut command = Command::new(program());
    command.args(["doctor", "--format", "json"]);
    let ended = Agent::start_refused(&pair.near.namespace, command, &[Refusal::Landlock]).wait();
    let document = document(&ended);
    assert_eq!((ended.status.code(), &document["sandbox"]["landlock_abi"]), (Some(1), &Value::Null));
    assert!(problems(&document, "sandbox").contains("Landlock"), "{document}");
}

/// The figure beside the kernel's own: what the maps of a measurement take.
#[test]
fn the_memory_of_the_tables_is_what_the_kernel_says() {
    let pair = NetPair::new();
    let (document, _) = run(&pair);
    let agent = Agent::measure(&pair.near, "");
    let folder = Path::new("/proc").join(agent.pid().to_string()).join("fdinfo");
    let mut taken = 0;
    for entry in fs::read_dir(folder).unwrap() {
        let text = fs::read_to_string(entry.unwrap().path()).unwrap_or_default();
        let is_map = text.contains("map_type:");
        let memory = text.lines().find_map(|line| line.strip_prefix("memlock:")).filter(|_| is_map);
        taken += memory.map_or(0, |bytes| bytes.trim().parse::<u64>().unwrap());
    }
    let told = document["tables"]["bytes"].as_u64().unwrap();
    // What it leaves out is the table of what was lost, by CPU and interface.
    assert!((taken * 90 / 100..=taken).contains(&told), "{told} of {taken}");
    drop(agent);
}
