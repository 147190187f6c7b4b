//! flowtally in a PID namespace of its own, as in a container: it sees its own processes alone, and the kernel's notes have the host's
//! numbers.

use std::{
    fs,
    net::UdpSocket,
    process::{Command, Stdio},
};

use harness::{
    Agent, Amounts, NetPair, PATIENCE,
    agent::program,
    check::check_totals,
    frames::{FAR_V4, NEAR_V4},
};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use serde_json::Value;
use tempfile::TempDir;

use crate::{
    told::{nothing_is_unknown, row},
    workers::{Said, Worker},
};

/// A command that becomes the first process of a PID namespace.
fn inside(arguments: &str) -> Command {
    let mut command = Command::new("unshare");
    command.args(["--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private"]);
    command.arg(program()).args(arguments.split_whitespace());
    command
}

/// Ends a measurement that runs behind unshare(1), which waits for it and hands on no signal.
fn interrupt(agent: &Agent) {
    let children = format!("/proc/{0}/task/{0}/children", agent.pid());
    let child = fs::read_to_string(children).unwrap();
    kill(Pid::from_raw(child.trim().parse().unwrap()), Signal::SIGINT).unwrap();
}

/// What asks a server, and hears its answer.
fn ask(pair: &NetPair, worker: &mut Worker, said: &Said) -> u16 {
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    far.send_to(&[0; 100], said.local).unwrap();
    far.recv(&mut [0; 100]).unwrap();
    worker.hear();
    far.local_addr().unwrap().port()
}

fn server(pair: &NetPair, name: &str) -> (Worker, Said) {
    let steps = format!("name={name} udp={NEAR_V4}:0 say=ready receive=100 send=50 say=done wait");
    let mut worker = Worker::start(&pair.near.namespace, &steps);
    let said = worker.hear();
    (worker, said)
}

/// Everything is counted. What the kernel noted has its name and the host's PID, of which a word is said; of what is older nobody is
/// known, and that is said, too.
#[test]
fn a_measurement_has_the_kernels_notes_and_says_whose_numbers_they_are() {
    let pair = NetPair::new();
    let (mut older, is_older) = server(&pair, "older");
    let agents = ["json", "text"].map(|format| {
        let command = inside(&format!("report -i near --seconds 3600 --by flow --format {format}"));
        let mut agent = Agent::start_command(&pair.near.namespace, command);
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    let before = pair.near.counters();
    let (mut younger, is_younger) = server(&pair, "younger");
    let ports = [ask(&pair, &mut older, &is_older), ask(&pair, &mut younger, &is_younger)];
    let short = Worker::start(
        &pair.near.namespace,
        &format!("name=short udp={NEAR_V4}:5001 to={FAR_V4}:5000 send=100"),
    );
    let short_pid = short.pid();
    short.end();
    agents.iter().for_each(interrupt);
    let [json, text] = agents.map(Agent::wait);
    let crossed = pair.near.counters() - before;
    let report = json.report();
    nothing_is_unknown(&report);
    let expected = Amounts {
        sent_bytes: crossed.sent_bytes,
        sent_packets: crossed.sent_packets,
        received_bytes: crossed.received_bytes,
        received_packets: crossed.received_packets,
    };
    let udp = report.flows.iter().filter(|row| row.flow.protocol == "udp").count();
    assert_eq!(udp, 3, "{:#?}", report.flows);
    check_totals(&report, "near", expected, "near");
    let of = |local, remote| row(&report, "udp", local, remote).owner.clone();
    let unseen = of(is_older.local.port(), ports[0]);
    assert_eq!((unseen.pid, unseen.owner_reason.as_deref()), (None, Some("not_permitted")), "{unseen:#?}");
    let noted = of(is_younger.local.port(), ports[1]);
    assert_eq!((noted.pid, noted.command.as_deref()), (Some(is_younger.pid), Some("younger")), "{noted:#?}");
    let gone = of(5001, 5000);
    assert_eq!((gone.pid, gone.command.as_deref()), (Some(short_pid), Some("short")), "{gone:#?}");
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();
    let words = document["owners_degraded"].to_string();
    for word in ["outside this PID namespace", "the host's PIDs"] {
        assert!(words.contains(word), "no {word} in {words}");
    }
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("PID namespace"), "not a word of it:\n{text}");
    older.dismiss();
    younger.dismiss();
}

/// What the namespace has of its own is listed under its own numbers, and what is outside is not: the shell here is the first process,
/// and holds a deleted file and a listening socket.
#[test]
fn lists_have_the_namespaces_own_processes_and_their_numbers() {
    const SCRIPT: &str = r#"
        exec 7>"$2/gone"; head -c 5000 /dev/zero >&7; rm "$2/gone"
        socat -u UDP4-RECV:5000 OPEN:/dev/null & server=$!
        until grep -q ":1388 " /proc/net/udp; do :; done
        echo $server >"$2/server"
        "$1" deleted --format json >"$2/deleted"
        "$1" inspect :5000 --seconds 0 --format json >"$2/inspect"
        "$1" lsof -nP -iUDP:5000 -Fpcn >"$2/lsof"
        "$1" lsof -nP -t -a -d 7 -p 1 >"$2/holder"
        "$1" recover --pid 1 --fd 7 --output "$2/copy"
        kill $server
    "#;
    let pair = NetPair::new();
    let mut outside =
        Worker::start(&pair.near.namespace, &format!("name=outside udp={NEAR_V4}:0 say=ready wait"));
    let is_outside = outside.hear();
    let folder = TempDir::with_prefix("flowtally-test-").unwrap();
    let mut command = Command::new("unshare");
    command.args([
        "--pid",
        "--fork",
        "--kill-child",
        "--mount-proc",
        "--propagation",
        "private",
        "sh",
        "-ec",
        SCRIPT,
        "sh",
    ]);
    command.arg(program()).arg(folder.path()).stdin(Stdio::null());
    let output = pair.near.namespace.enter(|| command.output()).unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{said}");
    let read = |name: &str| fs::read_to_string(folder.path().join(name)).unwrap();
    let server: u64 = read("server").trim().parse().unwrap();
    let json = |name: &str| -> Value { serde_json::from_str(&read(name)).unwrap() };

    let deleted = json("deleted");
    let path = folder.path().join("gone");
    let files = deleted["files"].as_array().unwrap();
    let file = files.iter().find(|file| file["path"] == *path.to_str().unwrap());
    let file = file.unwrap_or_else(|| panic!("no {}: {deleted:#}", path.display()));
    assert!(file["holders"].as_array().unwrap().iter().any(|holder| holder["pid"] == 1), "{file:#}");
    assert_eq!(fs::metadata(folder.path().join("copy")).unwrap().len(), 5000);

    let page = json("inspect");
    let owners: Vec<_> =
        page["owners"].as_array().unwrap().iter().map(|owner| owner["pid"].as_u64()).collect();
    assert_eq!(owners, [Some(server)], "{page:#}");
    assert!(page["notes"].to_string().contains("PID namespace"), "{page:#}");
    // Which of them is the host's is not known here: process 1 is the shell.
    let netns = page["owners"][0]["sockets"][0]["netns"].as_str().unwrap();
    assert!(netns.starts_with("net:["), "{page:#}");
    let lines = read("lsof");
    assert!(lines.starts_with(&format!("p{server}\ncsocat\n")), "{lines}");
    assert_eq!(lines.matches("\np").count(), 0, "{lines}");
    assert_eq!(read("holder"), "1\n");
    assert!(!said.contains(&is_outside.pid.to_string()), "{said}");
    outside.dismiss();
}
