//! With less than everything: no cgroup v2, or not the right to look at other users' processes.

use std::{
    fs::{self, Permissions},
    net::UdpSocket,
    os::unix::fs::PermissionsExt,
    process::Command,
};

use harness::{
    Agent, NetPair, PATIENCE,
    agent::program,
    frames::{FAR_V4, NEAR_V4},
};
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::{
    cgroups,
    told::{is_of, nothing_is_unknown, row},
    workers::{Said, Worker},
};

/// Hides cgroup v2 from the program that it then is.
const HIDE: &str = r#"
while path=$(awk '/ - cgroup2 /{print $5; exit}' /proc/self/mountinfo) && test -n "$path"; do
    umount -l "$path" || exit
done
exec "$@"
"#;

/// Takes the right to mount it again.
const FOR_GOOD: [&str; 3] = ["setpriv", "--inh-caps=-sys_admin", "--bounding-set=-sys_admin"];

fn hidden(before: &[&str], arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", HIDE, "sh"]).args(before);
    command.arg(program()).args(arguments.split_whitespace());
    command
}

/// A server that answers one datagram and stays.
fn server(pair: &NetPair, name: &str, before: &str) -> (Worker, Said) {
    let steps = format!("name={name} {before} udp={NEAR_V4}:0 say=ready receive=100 send=50 say=done wait");
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let said = worker.hear();
    (worker, said)
}

fn ask(pair: &NetPair, said: &Said) -> u16 {
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.send_to(&[0; 100], said.local).unwrap();
    far.recv(&mut [0; 100]).unwrap();
    far.local_addr().unwrap().port()
}

/// The host's part serves alone: what lives has its name, what is gone has a reason, and both are said in words.
#[test]
fn without_cgroups() {
    assert!(cgroups::root().exists());
    let pair = NetPair::new();
    let agents = ["json", "text"].map(|format| {
        let arguments = format!("report -i near --seconds 3600 --format {format} --by process --by flow");
        let mut agent = Agent::start_command(&pair.near.namespace, hidden(&FOR_GOOD, &arguments));
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    let (worker, lives) = server(&pair, "lives", "");
    let lives_port = ask(&pair, &lives);
    for agent in &agents {
        agent.signal(Signal::SIGINT);
    }
    let [json, text] = agents.map(Agent::wait);
    let report = json.report();
    nothing_is_unknown(&report);
    let owner = &row(&report, "udp", lives.local.port(), lives_port).owner;
    assert!(is_of(owner, &lives), "not {lives:?}: {owner:#?}");
    assert_eq!(owner.owner_reason.as_deref(), Some("open"));
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("cgroup"), "not a word of what is missing:\n{text}");
    worker.dismiss();
}

#[test]
fn what_is_gone_has_a_reason_without_cgroups() {
    let pair = NetPair::new();
    let arguments = "report -i near --seconds 3600 --format json";
    let mut agent = Agent::start_command(&pair.near.namespace, hidden(&FOR_GOOD, arguments));
    agent.wait_for("flowtally: measuring on ");
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 5000)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let steps = format!("name=gone udp={NEAR_V4}:5001 to={FAR_V4}:5000 send=100");
    Worker::start(&pair.near.namespace, &steps).end();
    far.recv(&mut [0; 100]).unwrap();
    let report = agent.report();
    let owner = &row(&report, "udp", 5001, 5000).owner;
    let reason = owner.owner_reason.as_deref();
    assert!(owner.command.is_none() && matches!(reason, Some("gone" | "no_socket")), "{owner:#?}");
}

/// `ip netns exec` makes a mount namespace in which cgroup v2 is not mounted: it is there all the same.
#[test]
fn with_cgroups_out_of_sight() {
    let pair = NetPair::new();
    let arguments = "report -i near --seconds 3600 --format json";
    let mut agent = Agent::start_command(&pair.near.namespace, hidden(&[], arguments));
    agent.wait_for("flowtally: measuring on ");
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let port = far.local_addr().unwrap().port();
    let steps = format!("name=short udp={NEAR_V4}:5001 to={FAR_V4}:{port} send=100");
    let short = Worker::start(&pair.near.namespace, &steps);
    let pid = short.pid();
    short.end();
    far.recv(&mut [0; 100]).unwrap();
    let report = agent.report();
    let owner = &row(&report, "udp", 5001, port).owner;
    assert_eq!((owner.pid, owner.command.as_deref()), (Some(pid), Some("short")), "{owner:#?}");
}

/// Enough to count, and not to look into other users' processes: what the kernel notes has its name, and of the rest it is said
/// what would grant it.
#[test]
fn without_the_right_to_look() {
    const CAPABILITIES: &str = "-all,+bpf,+net_admin,+perfmon";
    let pair = NetPair::new();
    let folder = TempDir::with_prefix("flowtally-test-").unwrap();
    let copy = folder.path().join("flowtally");
    fs::copy(program(), &copy).unwrap();
    for path in [folder.path(), &copy] {
        fs::set_permissions(path, Permissions::from_mode(0o755)).unwrap();
    }
    let (older, is_older) = server(&pair, "older", "");
    let agents = ["json", "text"].map(|format| {
        let mut command = Command::new("setpriv");
        command.args(["--reuid=65534", "--regid=65534", "--clear-groups"]);
        for set in ["inh-caps", "ambient-caps", "bounding-set"] {
            command.arg(format!("--{set}={CAPABILITIES}"));
        }
        command.arg(&copy).args([
            "report",
            "-i",
            "near",
            "--seconds",
            "3600",
            "--by",
            "flow",
            "--format",
            format,
        ]);
        let mut agent = Agent::start_command(&pair.near.namespace, command);
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    let (younger, is_younger) = server(&pair, "younger", "");
    let ports = [&is_older, &is_younger].map(|said| ask(&pair, said));
    for agent in &agents {
        agent.signal(Signal::SIGINT);
    }
    let [json, text] = agents.map(Agent::wait);
    let report = json.report();
    nothing_is_unknown(&report);
    let unseen = &row(&report, "udp", is_older.local.port(), ports[0]).owner;
    assert_eq!(unseen.owner_reason.as_deref(), Some("not_permitted"), "{unseen:#?}");
    let noted = &row(&report, "udp", is_younger.local.port(), ports[1]).owner;
    assert_eq!((noted.pid, noted.command.as_deref()), (Some(is_younger.pid), Some("younger")), "{noted:#?}");
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.to_lowercase().contains("cap_sys_ptrace"), "not a word of what grants it:\n{text}");
    older.dismiss();
    younger.dismiss();
}
