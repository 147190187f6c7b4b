//! A kernel that says nothing of its structures: it was built without BTF, or hides it.

use std::{
    net::{SocketAddr, TcpListener, UdpSocket},
    process::Command,
};

use harness::{
    Agent, NetPair, PATIENCE,
    agent::program,
    check::check_totals,
    frames::{FAR_V4, NEAR_V4},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{
    told::{is_of, nothing_is_unknown, row},
    workers::Worker,
};

/// Puts an empty directory over the kernel's type information.
const HIDE: &str = r#"mount -t tmpfs none /sys/kernel/btf && exec "$@""#;

fn without(arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--mount", "--propagation", "private", "sh", "-c", HIDE, "sh"]).arg(program());
    command.args(arguments.split_whitespace());
    command
}

/// Everything is counted; a process that has ended has the name of the thread that asked, and no start time; what lives has it all.
#[test]
fn owners_are_noted_less_well_and_everything_is_counted() {
    let pair = NetPair::new();
    let agents = ["json", "text"].map(|format| {
        let arguments = format!("report -i near --seconds 3600 --by flow --format {format}");
        let mut agent = Agent::start_command(&pair.near.namespace, without(&arguments));
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    let before = pair.near.counters();
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let listener = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, 0)).unwrap());
    let to = far.local_addr().unwrap();
    let mut lives = Worker::start(
        &pair.near.namespace,
        &format!("name=lives connect={} say=ready send=100 wait", listener.local_addr().unwrap()),
    );
    let is_living = lives.hear();
    let _stream = listener.accept().unwrap();
    let short =
        Worker::start(&pair.near.namespace, &format!("name=short udp={NEAR_V4}:5001 to={to} send=100"));
    let pid = short.pid();
    short.end();
    far.recv(&mut [0; 100]).unwrap();
    let thread = Worker::start(
        &pair.near.namespace,
        &format!("name=leader thread=worker udp={NEAR_V4}:5002 to={to} send=100 close"),
    );
    let leader = thread.pid();
    thread.end();
    far.recv(&mut [0; 100]).unwrap();
    for agent in &agents {
        agent.signal(Signal::SIGINT);
    }
    let [json, text] = agents.map(Agent::wait);
    let crossed = pair.near.counters() - before;
    let report = json.report();
    nothing_is_unknown(&report);
    let counted = report.interface("near").counted();
    check_totals(&report, "near", counted, "near");
    assert_eq!(
        (counted.sent_bytes, counted.received_bytes, counted.sent_packets, counted.received_packets),
        (crossed.sent_bytes, crossed.received_bytes, crossed.sent_packets, crossed.received_packets)
    );
    let remote = |address: SocketAddr| address.port();
    let living = &row(&report, "tcp", is_living.local.port(), remote(listener.local_addr().unwrap())).owner;
    assert!(is_of(living, &is_living), "not {is_living:?}: {living:#?}");
    for (port, pid, command) in [(5001, pid, "short"), (5002, leader, "worker")] {
        let gone = &row(&report, "udp", port, to.port()).owner;
        assert_eq!((gone.pid, gone.command.as_deref()), (Some(pid), Some(command)), "{gone:#?}");
        assert_eq!(gone.start_time, None, "nothing tells it: {gone:#?}");
    }
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    let words = document["owners_degraded"].to_string();
    // Lines of the text are broken anywhere.
    let text = String::from_utf8(text.stdout).unwrap();
    let text: Vec<_> = text.split_whitespace().collect();
    let text = text.join(" ");
    for word in ["owners are noted without their start time", "/sys/kernel/btf/vmlinux"] {
        assert!(words.contains(word), "no {word} in {words}");
        assert!(text.contains(word), "no {word} in:\n{text}");
    }
    lives.dismiss();
}
