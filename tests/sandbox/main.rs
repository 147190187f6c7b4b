//! The agent's sandbox, tried by what must fail in it and by what must go on working. Needs root.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod agent;
mod unit;

use std::{
    collections::BTreeMap,
    fs::{self, Permissions},
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::{PermissionsExt as _, chown},
    path::Path,
    process::{Child, Command, Stdio},
};

use harness::{
    NOBODY, Namespace, NetPair, Refusal, Way,
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
};
use serde_json::Value;
use tempfile::TempDir;

/// Runs the child, and returns what it said of each attempt.
fn confined(arguments: &[&str]) -> BTreeMap<String, String> {
    let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
    command.args(arguments);
    said(&mut command)
}

fn said(command: &mut Command) -> BTreeMap<String, String> {
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {said}{errors}", output.status);
    said.lines()
        .filter_map(|line| line.split_once(": "))
        .map(|(name, word)| (name.to_owned(), word.to_owned()))
        .collect()
}

fn folder() -> TempDir {
    TempDir::with_prefix("flowtally-sandbox-").unwrap()
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A process of somebody else, ended when the value goes.
struct Somebody(Child);

impl Somebody {
    fn start(namespace: &Namespace) -> Self {
        let mut command = Command::new("sleep");
        command.arg("600").stdin(Stdio::null());
        Self(namespace.enter(|| command.spawn()).unwrap())
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Somebody {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

#[test]
fn what_counting_never_does_is_refused() {
    let (log, other, namespace) = (folder(), folder(), Namespace::new());
    fs::write(other.path().join("there"), "as it was").unwrap();
    let somebody = Somebody::start(&namespace);
    let said = confined(&["refused", "on", text(log.path()), text(other.path()), &somebody.pid()]);
    let attempts = [
        "create",
        "append",
        "truncate",
        "mkdir",
        "rename",
        "link",
        "symlink",
        "chmod",
        "chown",
        "unlink",
        "create in a thread",
        "process",
        "ptrace",
        "mount",
        "umount",
        "unshare",
        "setns uts",
        "module",
        "hostname",
        "groups",
        "signal",
        "vsock",
        "alg",
        "packet",
        "raise",
        "raise again",
        "execute",
    ];
    for attempt in attempts {
        assert_eq!(said[attempt], "EPERM", "{attempt}");
    }
    assert_eq!((said["NoNewPrivs"].as_str(), said["Seccomp"].as_str()), ("1", "2"));
    // BPF, PERFMON, NET_ADMIN, SYS_ADMIN, SYS_PTRACE, DAC_READ_SEARCH; executing would give no more.
    let kept: u64 = [39, 38, 12, 21, 19, 2].iter().map(|bit| 1_u64 << bit).sum();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        assert_eq!(u64::from_str_radix(&said[set], 16).unwrap(), kept, "{set}");
    }
    for set in ["CapInh", "CapAmb"] {
        assert_eq!(u64::from_str_radix(&said[set], 16).unwrap(), 0, "{set}");
    }
    let names: Vec<_> = fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["there"]);
    assert_eq!(fs::read_to_string(other.path().join("there")).unwrap(), "as it was");
    let state: Value = serde_json::from_str(&said["state"]).unwrap();
    for part in ["capabilities", "landlock", "seccomp"] {
        assert_eq!(state[part]["state"], "on", "{state}");
    }
    assert_eq!(state["kept"].as_array().unwrap().len(), 6, "{state}");
}

/// That proves the test.
#[test]
fn without_a_sandbox_the_same_is_not_refused() {
    let (log, other, namespace) = (folder(), folder(), Namespace::new());
    fs::write(other.path().join("there"), "as it was").unwrap();
    let somebody = Somebody::start(&namespace);
    let said = confined(&["refused", "off", text(log.path()), text(other.path()), &somebody.pid()]);
    for attempt in [
        "create",
        "append",
        "truncate",
        "mkdir",
        "rename",
        "create in a thread",
        "process",
        "ptrace",
        "mount",
        "umount",
        "unshare",
        "hostname",
        "signal",
    ] {
        assert_eq!(said[attempt], "ok", "{attempt}");
    }
    assert_ne!(said["module"], "EPERM");
    assert!(!said.contains_key("execute"), "executed");
    let state: Value = serde_json::from_str(&said["state"]).unwrap();
    assert_eq!(state["landlock"]["state"], "off", "{state}");
}

#[test]
fn files_are_written_below_the_folder_alone() {
    let (top, other) = (folder(), folder());
    fs::write(other.path().join("there"), "as it was").unwrap();
    let log = top.path().join("log");
    let said = confined(&["written", "on", text(&log), text(other.path())]);
    for works in [
        "below",
        "append",
        "rename",
        "rename back",
        "mkdir",
        "remove",
        "chmod",
        "read elsewhere",
        "list elsewhere",
        "write later",
        "again",
        "later",
    ] {
        assert_eq!(said[works], "ok", "{works}");
    }
    for fails in ["create elsewhere", "append elsewhere", "remove elsewhere", "climb", "connect"] {
        assert_eq!(said[fails], "EACCES", "{fails}");
    }
    for (fails, errors) in
        [("rename elsewhere", ["EXDEV", "EACCES"]), ("chown", ["EPERM", ""]), ("process", ["EPERM", ""])]
    {
        assert!(errors.contains(&said[fails].as_str()), "{fails}: {}", said[fails]);
    }
    assert_eq!(fs::read_to_string(top.path().join("log.old/file")).unwrap(), "one two");
    assert!(log.join("again").exists() && log.join("later").exists());
    assert!(other.path().join("there").exists() && !other.path().join("new").exists());
    assert!(!top.path().join("climbed").exists());
}

#[test]
fn owners_and_the_log_go_on() {
    let (log, namespace) = (folder(), Namespace::new());
    let somebody = Somebody::start(&namespace);
    let arguments =
        |on| ["works", on, text(log.path()), &somebody.pid(), &namespace.path()].map(str::to_owned);
    let run = |on| confined(&arguments(on).iter().map(String::as_str).collect::<Vec<_>>());
    let (inside, outside) = (run("on"), run("off"));
    for works in ["links", "exe", "namespace", "peers", "user", "threads", "listen", "log"] {
        assert_eq!(inside[works], "ok", "{works}");
    }
    assert_eq!(inside["owners"], outside["owners"], "owners are found as well as without it");
    assert_eq!(fs::read_to_string(log.path().join("log")).unwrap(), "counts");
}

/// On each hook, and on an interface that comes when the sandbox is closed already.
#[test]
fn counting_and_interfaces_that_come_later_go_on() {
    for hook in ["tcx", "clsact", "xdp"] {
        let (log, pair) = (folder(), NetPair::new());
        let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
        command.args(["counts", "on", text(log.path())]);
        counts(&pair, command, hook);
    }
}

fn counts(pair: &NetPair, mut command: Command, hook: &str) {
    command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = pair.near.namespace.enter(|| command.spawn()).unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.next().unwrap().starts_with("state: "));
    assert_eq!(lines.next().unwrap(), "hooks: 9");
    writeln!(stdin, "near {hook}").unwrap();
    assert!(lines.next().unwrap().starts_with("attached: near "), "{hook}");
    pair.near.namespace.ip("link add later type veth peer name behind");
    pair.near.namespace.ip("link set later up");
    writeln!(stdin, "later {hook}").unwrap();
    assert!(lines.next().unwrap().starts_with("attached: later "), "{hook}");
    let frame = |way| ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 100)));
    pair.near.send(&vec![frame(Way::Sent); 3]);
    pair.far.send(&vec![frame(Way::Received); 2]);
    writeln!(stdin).unwrap();
    let packets = lines.next().unwrap();
    let near = index(pair);
    assert!(packets.contains(&format!("{near}: 5")), "{hook}: {packets}");
    assert!(child.wait().unwrap().success());
}

fn index(pair: &NetPair) -> u32 {
    let text = pair.near.namespace.ip("-o link show near");
    text.split(':').next().unwrap().parse().unwrap()
}

#[test]
fn threads_that_were_there_are_confined_as_far_as_can_be_and_it_is_said() {
    let log = folder();
    let said = confined(&["late", text(log.path())]);
    assert_eq!(said["process in a thread that was there"], "EPERM", "seccomp reaches it");
    assert_eq!(said["degraded"], "2");
    let state: Value = serde_json::from_str(&said["state"]).unwrap();
    assert_eq!(state["seccomp"]["state"], "on");
    for part in ["capabilities", "landlock"] {
        assert!(state[part]["reason"].as_str().unwrap().contains("1 other thread was there"), "{state}");
    }
}

/// Root's agent, as under sudo in a user's own folder.
#[test]
fn a_log_folder_of_another_user_can_be_written_to() {
    let log = folder();
    chown(log.path(), Some(NOBODY), Some(NOBODY)).unwrap();
    let said = confined(&["foreign", text(log.path())]);
    assert_eq!(said["log"], "ok");
    assert_eq!(said["main thread may override"], "false");
    assert_eq!(fs::read_to_string(log.path().join("log")).unwrap(), "counts");
}

/// What a kernel without it cannot do is said, and all else holds.
#[test]
fn without_landlock_the_rest_holds_and_it_is_said() {
    let (log, other, namespace) = (folder(), folder(), Namespace::new());
    fs::write(other.path().join("there"), "as it was").unwrap();
    let somebody = Somebody::start(&namespace);
    let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
    command.args(["refused", "on", text(log.path()), text(other.path()), &somebody.pid()]);
    let said = namespace.enter(|| {
        Refusal::apply(&[Refusal::Landlock]);
        said(&mut command)
    });
    for attempt in ["create", "process", "mount", "raise", "execute"] {
        assert_eq!(said[attempt], "EPERM", "{attempt}");
    }
    let state: Value = serde_json::from_str(&said["state"]).unwrap();
    assert!(state["landlock"]["reason"].as_str().unwrap().contains("has no Landlock"), "{state}");
    assert_eq!(state["seccomp"]["state"], "on", "{state}");
    let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
    command.args(["foreign", text(log.path())]);
    let written = namespace.enter(|| {
        Refusal::apply(&[Refusal::Landlock]);
        self::said(&mut command)
    });
    assert_eq!(written["log"], "ok", "it is written all the same");
}

#[test]
fn without_seccomp_the_rest_holds_and_it_is_said() {
    let (top, other) = (folder(), folder());
    fs::write(other.path().join("there"), "as it was").unwrap();
    let log = top.path().join("log");
    let mut command = Command::new(env!("CARGO_BIN_EXE_confined"));
    command.args(["written", "on", text(&log), text(other.path())]);
    let said = Namespace::new().enter(|| {
        Refusal::apply(&[Refusal::Seccomp]);
        said(&mut command)
    });
    for (attempt, word) in
        [("below", "ok"), ("append", "ok"), ("later", "ok"), ("create elsewhere", "EACCES")]
    {
        assert_eq!(said[attempt], word, "{attempt}");
    }
    let state: Value = serde_json::from_str(&said["state"]).unwrap();
    assert_eq!(state["seccomp"]["state"], "degraded", "{state}");
    // Threads that write no files could write any.
    assert_eq!(state["landlock"]["state"], "degraded", "{state}");
    assert_eq!(state["capabilities"]["state"], "on", "{state}");
}

/// A user with the capabilities of packaging/flowtally.service, and no others.
#[test]
fn the_user_of_the_unit_can_do_all_of_it() {
    let (top, namespace) = (folder(), Namespace::new());
    // The program may lie where nobody but its owner can go.
    let program = top.path().join("confined");
    fs::copy(env!("CARGO_BIN_EXE_confined"), &program).unwrap();
    let log = top.path().join("log");
    fs::create_dir(&log).unwrap();
    chown(&log, Some(NOBODY), Some(NOBODY)).unwrap();
    fs::set_permissions(top.path(), Permissions::from_mode(0o755)).unwrap();
    let somebody = Somebody::start(&namespace);
    let capabilities = ["bpf", "net_admin", "perfmon", "sys_admin", "sys_ptrace", "dac_read_search"];
    let capabilities = capabilities.map(|name| format!("+{name}")).join(",");
    let as_user = |arguments: &[&str]| {
        let mut command = Command::new("setpriv");
        let user = NOBODY.to_string();
        command.args(["--reuid", &user, "--regid", &user, "--clear-groups", "--no-new-privs"]);
        command.args(["--bounding-set", &format!("-all,{capabilities}")]);
        command.args([
            "--inh-caps",
            &format!("-all,{capabilities}"),
            "--ambient-caps",
            &format!("-all,{capabilities}"),
        ]);
        command.arg(&program).args(arguments);
        command
    };
    let log = text(&log);
    let works = said(&mut as_user(&["works", "on", log, &somebody.pid(), &namespace.path()]));
    for attempt in ["links", "exe", "namespace", "peers", "user", "threads", "listen", "log"] {
        assert_eq!(works[attempt], "ok", "{attempt}");
    }
    let state: Value = serde_json::from_str(&works["state"]).unwrap();
    for part in ["capabilities", "landlock", "seccomp"] {
        assert_eq!(state[part]["state"], "on", "{state}");
    }
    let pair = NetPair::new();
    counts(&pair, as_user(&["counts", "on", log]), "auto");
}
