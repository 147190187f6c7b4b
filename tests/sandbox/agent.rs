//! `flowtally agent` in its sandbox: what it exports, whose it says it is, and what comes later.

use std::{
    collections::BTreeSet,
    fs,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket},
    os::unix::net::UnixDatagram,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::mpsc,
    thread,
};

use harness::{Agent, Namespace, NetPair, agent::program, eventually};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

/// Of the container, and of this host on the way to it.
const INSIDE: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 2);
const GATEWAY: Ipv4Addr = Ipv4Addr::new(10, 9, 0, 1);

/// An agent with a folder of its own.
struct Running {
    agent: Agent,
    folder: TempDir,
}

impl Running {
    fn start(namespace: &Namespace, arguments: &str) -> Self {
        let folder = TempDir::with_prefix("flowtally-agent-").unwrap();
        let (log, socket) = (folder.path().join("log"), folder.path().join("run/agent.sock"));
        let mut agent = Agent::start(
            namespace,
            &format!(
                "agent --log {} --socket {} --interval 1s --compress none {arguments}",
                log.display(),
                socket.display()
            ),
        );
        agent.wait_for("flowtally: measuring on ");
        Self { agent, folder }
    }

    fn log(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    /// Every line of the files below a folder.
    fn lines(folder: &Path) -> Vec<Value> {
        let files = fs::read_dir(folder).into_iter().flatten().flatten();
        let text = files.map(|file| fs::read_to_string(file.path()).unwrap_or_default());
        // The last one may be half written.
        text.flat_map(|text| {
            text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect::<Vec<_>>()
        })
        .collect()
    }

    /// Waits for a line.
    fn wait_for(&self, what: &str, is_it: impl Fn(&Value) -> bool) -> Value {
        eventually(what, || Self::lines(&self.log()).into_iter().find(&is_it))
    }

    fn status(&self) -> Value {
        let socket = self.folder.path().join("run/agent.sock");
        let mut command = Command::new(program());
        command.args(["agent", "status", "--format", "json", "--socket"]).arg(socket);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).unwrap()
    }

    /// A field of /proc/PID/task/TID/status of every thread.
    fn of_threads(&self, field: &str) -> BTreeSet<String> {
        let tasks = fs::read_dir(format!("/proc/{}/task", self.agent.pid())).unwrap();
        let text = tasks.filter_map(|task| fs::read_to_string(task.unwrap().path().join("status")).ok());
        let value = |text: String| {
            text.lines()
                .find_map(|line| line.strip_prefix(field)?.strip_prefix(':'))
                .map(|value| value.trim().to_owned())
        };
        text.filter_map(value).collect()
    }
}

/// A process that does as it is told (the tests of owners have it). It ends when the value goes.
struct Worker {
    child: Child,
    address: SocketAddr,
}

impl Worker {
    /// Takes steps, of which one says that it is ready; then it has an address.
    fn start(namespace: &Namespace, steps: &str) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_worker"));
        command.args(steps.split_whitespace()).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = namespace.enter(|| command.spawn()).unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        let address = line.split_whitespace().nth(4).and_then(|word| word.parse().ok());
        Self { child, address: address.unwrap_or_else(|| panic!("{line:?}")) }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn socket(namespace: &Namespace, address: IpAddr) -> UdpSocket {
    let socket = namespace.enter(|| UdpSocket::bind((address, 0)).unwrap());
    socket.set_read_timeout(Some(harness::PATIENCE)).unwrap();
    socket
}

/// A datagram there, and one back.
fn ask(from: &NetPair, server: &Worker) {
    let socket = socket(&from.far.namespace, from.far.v4);
    socket.send_to(&[0; 100], server.address).unwrap();
    assert_eq!(socket.recv(&mut [0; 100]).unwrap(), 50);
}

fn is_row_of<'a>(command: &'a str, interface: &'a str) -> impl Fn(&Value) -> bool + 'a {
    move |line| line["record"] == "process" && line["command"] == command && line["interface"] == interface
}

/// Joins a namespace to the near end by an interface, as a container is; what it sends goes on to the far end.
fn join(pair: &NetPair, inside: &Namespace) {
    let near = &pair.near.namespace;
    near.ip(&format!("link add later type veth peer name inner netns {}", inside.path()));
    near.ip(&format!("address add {GATEWAY}/24 dev later"));
    near.ip("link set later up");
    inside.ip(&format!("address add {INSIDE}/24 dev inner"));
    inside.ip("link set inner up");
    inside.ip(&format!("route add default via {GATEWAY}"));
    near.set("ipv4/ip_forward", "1");
    pair.far.namespace.ip(&format!("route add 10.9.0.0/24 via {}", pair.near.v4));
}

#[test]
fn the_agent_goes_on_in_its_sandbox() {
    let pair = NetPair::new();
    // Its socket is older than the agent: only /proc says whose it is.
    let steps = format!("name=nearby udp={}:0 say=ready {}", pair.near.v4, "receive=100 send=50 ".repeat(9));
    let near = Worker::start(&pair.near.namespace, &steps);
    let running = Running::start(&pair.near.namespace, "-i near -i late* --rows flow,process");

    // Every thread that has its rights for good: the main one, those of the pool, and those that start others.
    assert_eq!(running.of_threads("Seccomp"), BTreeSet::from(["2".to_owned()]));
    assert_eq!(running.of_threads("NoNewPrivs"), BTreeSet::from(["1".to_owned()]));
    let kept: u64 = [39, 38, 12, 21, 19, 2].iter().map(|bit| 1_u64 << bit).sum();
    for set in ["CapEff", "CapPrm", "CapBnd"] {
        for value in running.of_threads(set) {
            assert_eq!(u64::from_str_radix(&value, 16).unwrap() & !kept, 0, "{set}");
        }
    }
    let status = running.status();
    for part in status["sandbox"].as_array().unwrap() {
        assert_eq!(part[1], "on", "{status}");
    }

    // Exporting, and owners.
    ask(&pair, &near);
    let row = running.wait_for("the owner of a conversation", is_row_of("nearby", "near"));
    assert_eq!(row["pid"], near.child.id());

    // A namespace and an interface that come later, and an owner in it.
    let inside = Namespace::new();
    join(&pair, &inside);
    eventually("the agent counts on the interface", || {
        let status = running.status();
        let interfaces = status["interfaces"].as_array().unwrap().clone();
        interfaces
            .iter()
            .any(|interface| interface["name"] == "later" && interface["hook"] == "tcx")
            .then_some(())
    });
    let far = socket(&pair.far.namespace, pair.far.v4);
    let to = far.local_addr().unwrap();
    let inner = Worker::start(
        &inside,
        &format!("name=inmate udp={INSIDE}:0 say=ready connect-udp={to} send=100 wait"),
    );
    assert_eq!(far.recv(&mut [0; 200]).unwrap(), 100);
    let row = running.wait_for("the owner in a namespace", |line| {
        line["record"] == "process" && line["command"] == "inmate"
    });
    assert_eq!(row["pid"], inner.child.id());

    // The folder is moved away, and another one is written to in its place.
    let moved = running.folder.path().join("moved");
    fs::rename(running.log(), &moved).unwrap();
    fs::create_dir(running.log()).unwrap();
    ask(&pair, &near);
    running.wait_for("a line in the new folder", |line| line["record"] == "interval");

    let log = running.log();
    let Running { agent, folder } = running;
    agent.signal(Signal::SIGTERM);
    let ended = agent.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    assert!(!folder.path().join("run/agent.sock").exists(), "the socket goes with the agent");
    assert!(Running::lines(&log).iter().any(|line| line["record"] == "end"));
    // The worker's and the agent's words alone: nothing was refused that it needs.
    let refused = ["ermission", "EPERM", "not permitted"];
    assert!(!refused.iter().any(|word| ended.stderr.contains(word)), "{}", ended.stderr);
}

/// As systemd has it: folders and sockets are in the environment.
#[test]
fn a_service_manager_is_told_and_the_doctor_finds_the_agent() {
    let pair = NetPair::new();
    let folder = TempDir::with_prefix("flowtally-agent-").unwrap();
    let (notify, log, runtime) =
        (folder.path().join("notify"), folder.path().join("log"), folder.path().join("run"));
    let socket = UnixDatagram::bind(&notify).unwrap();
    let (sender, heard) = mpsc::channel();
    // As systemd does it reads whatever else goes on: signs of life would fill the socket's queue.
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        while let Ok(length) = socket.recv(&mut buffer) {
            if sender.send(String::from_utf8(buffer[..length].to_vec()).unwrap()).is_err() {
                return;
            }
        }
    });
    let hear = || heard.recv_timeout(harness::PATIENCE).unwrap();
    let hear_but_for_life = || {
        eventually("something else than signs of life", || Some(hear()).filter(|heard| heard != "WATCHDOG=1"))
    };
    let variables = [("NOTIFY_SOCKET", &notify), ("LOGS_DIRECTORY", &log), ("RUNTIME_DIRECTORY", &runtime)];
    let mut command = Command::new(program());
    // An interval that is longer than systemd waits.
    command.args(["agent", "-i", "near", "--interval", "1h"]).envs(variables).env("WATCHDOG_USEC", "400000");
    let agent = Agent::start_command(&pair.near.namespace, command);
    assert!(hear_but_for_life().starts_with("READY=1\nSTATUS="));
    for _ in 0..3 {
        assert_eq!(hear(), "WATCHDOG=1");
    }
    agent.signal(Signal::SIGHUP);
    assert!(hear_but_for_life().starts_with("RELOADING=1\nMONOTONIC_USEC="));
    assert!(hear_but_for_life().starts_with("READY=1\n"));

    let mut command = Command::new(program());
    command.args(["doctor", "--format", "json"]).envs(variables);
    let ended = Agent::start_command(&pair.near.namespace, command).wait();
    let seen: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!((&seen["agent"]["runs"], &seen["log"]["exists"]), (&true.into(), &true.into()), "{seen}");
    assert_eq!(seen["agent"]["pid"], agent.pid(), "{seen}");
    let sandbox = seen["agent"]["sandbox"].as_array().unwrap();
    assert!(sandbox.len() == 3 && sandbox.iter().all(|part| part["state"] == "on"), "{seen}");
    let near =
        seen["interfaces"].as_array().unwrap().iter().find(|interface| interface["name"] == "near").unwrap();
    assert!(
        near["programs"].as_array().unwrap().iter().all(|program| program["flowtally"] == true),
        "{near}"
    );

    agent.signal(Signal::SIGTERM);
    assert_eq!(hear_but_for_life(), "STOPPING=1");
    assert!(agent.wait().status.success());
}

#[test]
fn no_sandbox_is_none() {
    let pair = NetPair::new();
    let running = Running::start(&pair.near.namespace, "-i near --no-sandbox");
    assert_eq!(running.of_threads("Seccomp"), BTreeSet::from(["0".to_owned()]));
    let status = running.status();
    for part in status["sandbox"].as_array().unwrap() {
        assert_eq!(part[1], "off", "{status}");
    }
    running.agent.signal(Signal::SIGTERM);
    assert!(running.agent.wait().status.success());
}
