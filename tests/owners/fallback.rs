//! What is left when the kernel refuses a way to look: `sock_diag`, or other network namespaces.

use std::{
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
};

use harness::{
    Agent, NetPair, PATIENCE, Refusal, Report,
    agent::program,
    frames::{FAR_V4, FAR_V6, NEAR_V4, NEAR_V6},
};
use nix::{errno::Errno, sys::signal::Signal};
use serde_json::Value;

use crate::{
    gateway::Gateway,
    told::{is_of, nothing_is_unknown, row},
    workers::{Said, Worker},
};

fn refused(pair: &NetPair, arguments: &str, refusals: &[Refusal]) -> Agent {
    let mut command = Command::new(program());
    command.args(arguments.split_whitespace());
    Agent::start_refused(&pair.near.namespace, command, refusals)
}

fn measure(pair: &NetPair, arguments: &str, refusals: &[Refusal]) -> Agent {
    let mut agent = refused(pair, &format!("report -i near --seconds 3600 {arguments}"), refusals);
    agent.wait_for("flowtally: measuring on ");
    agent
}

/// What is said of owners at the end of a report.
fn degraded(report: &[u8]) -> String {
    let report: Value = serde_json::from_slice(report).unwrap();
    report["owners_degraded"]
        .as_array()
        .unwrap()
        .iter()
        .map(|words| words.as_str().unwrap().to_owned() + "\n")
        .collect()
}

/// The other end of what a worker does.
fn far(pair: &NetPair, address: impl Into<IpAddr> + Send) -> UdpSocket {
    let socket = pair.far.namespace.enter(|| UdpSocket::bind((address.into(), 0)).unwrap());
    socket.set_read_timeout(Some(PATIENCE)).unwrap();
    socket
}

/// Servers that are older than the measurement, of which nothing is noted, and what they have been asked.
struct Older {
    workers: Vec<(Worker, Said)>,
    datagrams: [UdpSocket; 2],
}

impl Older {
    fn start(pair: &NetPair) -> Self {
        let steps = [
            format!("name=udp4 udp={NEAR_V4}:0 say=ready receive=100 send=50 wait"),
            format!("name=udp6 udp=[{NEAR_V6}]:0 say=ready receive=100 send=50 wait"),
            format!("name=tcp4 listen={NEAR_V4}:0 say=ready accept receive=100 send=50 say=done wait"),
            "name=any listen=[::]:0 say=ready accept receive=100 send=50 say=done wait".to_owned(),
        ];
        let workers = steps.map(|steps| {
            let mut worker = Worker::start(&pair.near.namespace, &steps);
            let said = worker.hear();
            (worker, said)
        });
        Self { workers: workers.into(), datagrams: [far(pair, FAR_V4), far(pair, FAR_V6)] }
    }

    /// Asks each, and returns the ports of those who asked.
    fn ask(&mut self, pair: &NetPair) -> Vec<(Said, &'static str, u16)> {
        let mut asked = Vec::new();
        for (number, (worker, said)) in self.workers.iter_mut().enumerate() {
            if let Some(socket) = self.datagrams.get(number) {
                socket.send_to(&[0; 100], said.local).unwrap();
                socket.recv(&mut [0; 100]).unwrap();
                asked.push((said.clone(), "udp", socket.local_addr().unwrap().port()));
            } else {
                let to = SocketAddr::from((NEAR_V4, said.local.port()));
                let mut stream = pair.far.namespace.enter(|| TcpStream::connect(to).unwrap());
                stream.write_all(&[0; 100]).unwrap();
                stream.read_exact(&mut [0; 50]).unwrap();
                worker.hear();
                asked.push((said.clone(), "tcp", stream.local_addr().unwrap().port()));
            }
        }
        asked
    }
}

fn owned(report: &Report, asked: &[(Said, &'static str, u16)]) {
    for (said, protocol, port) in asked {
        let row = row(report, protocol, said.local.port(), *port);
        assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
    }
}

/// `/proc/net` has no cookies, and takes longer; every owner is found all the same, and it is said that it was read.
#[test]
fn owners_are_found_where_sock_diag_is_refused() {
    for error in [Errno::EACCES, Errno::EPERM] {
        let pair = NetPair::new();
        let mut older = Older::start(&pair);
        let agents = ["json", "text"].map(|format| {
            measure(&pair, &format!("--by flow --format {format}"), &[Refusal::SockDiag(error)])
        });
        let asked = older.ask(&pair);
        let peer = far(&pair, FAR_V4);
        let to = peer.local_addr().unwrap();
        let mut younger = Worker::start(
            &pair.near.namespace,
            &format!("name=younger udp={NEAR_V4}:0 to={to} say=ready send=100 wait"),
        );
        let is_younger = younger.hear();
        peer.recv(&mut [0; 100]).unwrap();
        let short =
            Worker::start(&pair.near.namespace, &format!("name=short udp={NEAR_V4}:5001 to={to} send=100"));
        let short_pid = short.pid();
        short.end();
        peer.recv(&mut [0; 100]).unwrap();
        for agent in &agents {
            agent.signal(Signal::SIGINT);
        }
        let [json, text] = agents.map(Agent::wait);
        let report = json.report();
        nothing_is_unknown(&report);
        owned(&report, &asked);
        owned(&report, &[(is_younger, "udp", to.port())]);
        let short = &row(&report, "udp", 5001, to.port()).owner;
        assert_eq!((short.pid, short.command.as_deref()), (Some(short_pid), Some("short")), "{short:#?}");
        let words = degraded(&json.stdout);
        let text = String::from_utf8(text.stdout).unwrap();
        for word in ["sock_diag", error.desc(), "/proc/net is read instead"] {
            assert!(words.contains(word), "no {word} in {words}");
        }
        assert!(text.contains("sock_diag"), "not a word of what is refused:\n{text}");
    }
}

/// Those of other namespaces are read on threads that enter them, whichever way.
#[test]
fn sockets_of_other_namespaces_are_read_where_sock_diag_is_refused() {
    behind_the_host(&[Refusal::SockDiag(Errno::EACCES)], |words| {
        assert!(words.contains("/proc/net is read instead"), "{words}");
        assert!(!words.contains("cannot be entered"), "{words}");
    });
}

/// What lives there has a `/proc/PID/net`, which needs no entering.
#[test]
fn other_namespaces_are_read_through_proc_where_setns_is_refused() {
    behind_the_host(&[Refusal::Setns], |words| {
        for word in ["cannot be entered", Errno::EPERM.desc(), "/proc/PID/net is read instead", "setns(2)"] {
            assert!(words.contains(word), "no {word} in {words}");
        }
    });
}

/// The page has the same sockets and owners, and says where they are from.
#[test]
fn a_page_has_every_socket_where_the_kernel_refuses() {
    let pair = NetPair::new();
    let mut here =
        Worker::start(&pair.near.namespace, &format!("name=here listen={NEAR_V4}:5302 say=ready wait"));
    let mut there =
        Worker::start(&pair.far.namespace, &format!("name=there listen={FAR_V4}:5302 say=ready wait"));
    let said = [here.hear(), there.hear()];
    let page = |refusals: &[Refusal]| -> Value {
        let ended = refused(&pair, "inspect :5302 --seconds 0 --format json", refusals).wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        serde_json::from_slice(&ended.stdout).unwrap()
    };
    let without = page(&[]);
    assert!(!without["notes"].to_string().contains("instead"), "{without:#}");
    for (refusals, words) in [
        (&[Refusal::SockDiag(Errno::EACCES)][..], &["sock_diag", "/proc/net was read instead"][..]),
        (&[Refusal::Setns], &["could not be entered", "/proc/PID/net was read instead"]),
        (&[Refusal::Setns, Refusal::SockDiag(Errno::EPERM)], &["sock_diag", "could not be entered"]),
    ] {
        let page = page(refusals);
        for said in &said {
            let of = |owner: &&Value| owner["pid"] == said.pid;
            let owners = |page: &Value| page["owners"].as_array().unwrap().iter().find(of).cloned();
            let owner = owners(&page).unwrap_or_else(|| panic!("no {said:?}: {page:#}"));
            assert_eq!(owner["sockets"], owners(&without).unwrap()["sockets"], "{page:#}");
        }
        let notes = page["notes"].to_string();
        for word in words {
            assert!(notes.contains(word), "no {word} in {notes}");
        }
    }
    here.dismiss();
    there.dismiss();
}

/// lsof's tables are in /proc/net, too.
#[test]
fn lsof_lists_the_same_where_sock_diag_is_refused() {
    let pair = NetPair::new();
    let mut older = Older::start(&pair);
    let asked = older.ask(&pair);
    let pids: Vec<_> = asked.iter().map(|(said, ..)| said.pid.to_string()).collect();
    let listed = |arguments: &str, refusals: &[Refusal]| {
        let ended =
            refused(&pair, &format!("lsof -nP -a -p {} {arguments}", pids.join(",")), refusals).wait();
        assert!(ended.status.success(), "{arguments}: {}", ended.stderr);
        assert_eq!(ended.stderr, "", "{arguments}");
        String::from_utf8(ended.stdout).unwrap()
    };
    for arguments in ["-i", "-iTCP -sTCP:LISTEN", "-iUDP", "-i6", "-i -T qs -F"] {
        let text = listed(arguments, &[]);
        assert!(text.lines().count() > 1, "{arguments}: {text}");
        for error in [Errno::EACCES, Errno::EPERM] {
            assert_eq!(listed(arguments, &[Refusal::SockDiag(error)]), text, "{arguments}");
        }
    }
}

/// Without the right to look at a process, not even its namespace is known: what it sends is nobody's that is known, and why is said.
#[test]
fn namespaces_that_may_not_be_seen_are_said_to_be_hidden() {
    const LESS: &str = "--bounding-set=-sys_ptrace,-dac_read_search";
    let place = Place::new();
    let mut command = Command::new("setpriv");
    command.args(["--inh-caps=-sys_ptrace,-dac_read_search", LESS]).arg(program());
    let (report, said) = place.converse(command, &[]);
    for interface in ["c0", "out"] {
        let rows: Vec<_> = report.flows.iter().filter(|row| row.interface == interface).collect();
        let [row] = rows[..] else { panic!("one conversation on {interface}: {:#?}", report.flows) };
        // Not "gone": it lives.
        assert_eq!(
            (row.owner.pid, row.owner.owner_reason.as_deref()),
            (None, Some("not_permitted")),
            "{row:#?}"
        );
    }
    assert!(said.contains("CAP_SYS_PTRACE"), "{said}");
}

fn behind_the_host(refusals: &[Refusal], judge: impl Fn(&str)) {
    let place = Place::new();
    let is_inside = place.worker.1.clone();
    let (report, said) = place.converse(Command::new(program()), refusals);
    nothing_is_unknown(&report);
    for interface in ["c0", "out"] {
        let rows: Vec<_> = report.flows.iter().filter(|row| row.interface == interface).collect();
        let [row] = rows[..] else { panic!("one conversation on {interface}: {:#?}", report.flows) };
        assert!(is_of(&row.owner, &is_inside), "not {is_inside:?}: {row:#?}");
    }
    judge(&said);
}

/// A host between a container and the world, and a connection through it that is older than any measurement.
struct Place {
    gateway: Gateway,
    worker: (Worker, Said),
    stream: TcpStream,
}

impl Place {
    fn new() -> Self {
        let gateway = Gateway::new(["c0"]);
        let (cable, world) = (&gateway.cables[0], &gateway.world);
        world.far.namespace.ip("route add default via 10.99.0.1");
        let listener = world.far.namespace.enter(|| TcpListener::bind("10.99.0.2:5000").unwrap());
        let steps = "name=inside connect=10.99.0.2:5000 say=ready wait send=100 receive=50 say=done wait";
        let mut worker = Worker::start(&cable.far.namespace, steps);
        let said = worker.hear();
        let (stream, _) = listener.accept().unwrap();
        Self { gateway, worker: (worker, said), stream }
    }

    /// What is reported of the connection's traffic, and said of owners.
    fn converse(self, mut command: Command, refusals: &[Refusal]) -> (Report, String) {
        let Self { gateway, worker: (mut worker, _), mut stream } = self;
        command.args("report -i c0 -i out --per-interface --seconds 3600 --format json".split_whitespace());
        let mut agent = Agent::start_refused(&gateway.world.near.namespace, command, refusals);
        agent.wait_for("flowtally: measuring on ");
        worker.go();
        stream.read_exact(&mut [0; 100]).unwrap();
        stream.write_all(&[0; 50]).unwrap();
        worker.hear();
        agent.signal(Signal::SIGINT);
        let ended = agent.wait();
        worker.dismiss();
        (ended.report(), degraded(&ended.stdout))
    }
}
