//! The page about a port, a process, a command or an address.

use std::{
    fs::{self, File},
    io::Write as _,
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::AsRawFd as _,
    path::Path,
    process::{self, Command},
    thread,
};

use harness::{
    Agent, NetPair, Sender, Stream, Terminal, Way,
    frames::{FAR_PORT, FAR_V4, IPV4, NEAR_PORT, NEAR_V4, ethernet, ipv4, protocol, udp},
};
use nix::sys::signal::Signal;
use serde_json::{Value, json};

use crate::holders::{Holder, Place, said};

/// What the program prints in the near namespace.
fn page(pair: &NetPair, arguments: &str) -> Value {
    let ended = Agent::start(&pair.near.namespace, &format!("inspect {arguments} --format json")).wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    let page: Value = serde_json::from_slice(&ended.stdout).unwrap();
    assert_eq!(page["schema"], "flowtally.inspect/1");
    page
}

/// The sockets of one process.
fn sockets(page: &Value, pid: u32) -> &[Value] {
    let owner = page["owners"].as_array().unwrap().iter().find(|owner| owner["pid"] == pid);
    owner.unwrap_or_else(|| panic!("no process {pid}: {page:#}"))["sockets"].as_array().unwrap()
}

fn datagram(way: Way, length: usize) -> Vec<u8> {
    ethernet(way, IPV4, &ipv4(way, protocol::UDP, &udp(way, length)))
}

#[test]
fn a_socket_has_the_traffic_of_its_address_with_its_rates_and_peers() {
    let pair = NetPair::new();
    let bind = |address: SocketAddr| move || UdpSocket::bind(address).unwrap();
    let near = pair.near.namespace.enter(bind((NEAR_V4, NEAR_PORT).into()));
    // In another namespace, with the other end's address: its traffic is not to be seen from here.
    let far = pair.far.namespace.enter(bind((FAR_V4, FAR_PORT).into()));
    let streams = [(Way::Sent, 500, 200), (Way::Received, 300, 100)];
    let frames = streams.map(|(way, length, _)| datagram(way, length));
    let stream =
        |at: usize| Stream { way: streams[at].0, frame: frames[at].clone(), per_second: streams[at].2 };
    let sender = Sender::start(&pair, vec![stream(0), stream(1)]);
    let page = page(&pair, &format!(":{NEAR_PORT} --seconds 2"));
    drop(sender);

    // Other tests may have the same addresses, in namespaces of their own.
    let here: Vec<_> =
        sockets(&page, process::id()).iter().filter(|socket| socket["netns_measured"] == true).collect();
    let [socket] = here[..] else { panic!("{page:#}") };
    assert_eq!(socket["protocol"], "udp");
    assert_eq!(
        (&socket["local_address"], &socket["local_port"]),
        (&json!(NEAR_V4.to_string()), &json!(NEAR_PORT))
    );
    assert_eq!(socket["fds"], json!([near.as_raw_fd()]));
    let [peer] = &socket["peers"].as_array().unwrap()[..] else { panic!("{socket:#}") };
    assert_eq!((&peer["address"], &peer["port"]), (&json!(FAR_V4.to_string()), &json!(FAR_PORT)));
    let seconds = page["seconds"].as_f64().unwrap();
    for (at, way) in ["sent", "received"].into_iter().enumerate() {
        let bytes = socket[format!("{way}_bytes")].as_u64().unwrap();
        assert!(bytes > 0 && bytes % frames[at].len() as u64 == 0, "whole frames: {socket:#}");
        assert_eq!(peer[format!("{way}_bytes")], bytes);
        let rate = socket[format!("{way}_bps")].as_f64().unwrap();
        assert!((rate * seconds / 8.0 - bytes as f64).abs() < 1.0, "{socket:#}");
        let sent = frames[at].len() as f64 * f64::from(streams[at].2) * 8.0;
        assert!((rate / sent - 1.0).abs() < 0.5, "{rate} of {sent}");
    }
    assert_eq!(page["interfaces"], json!(["lo", "near"]));
    drop(far);
}

#[test]
fn sockets_of_other_namespaces_are_there_and_said_to_be_elsewhere() {
    let pair = NetPair::new();
    let near = pair.near.namespace.enter(|| TcpListener::bind((NEAR_V4, 5201)).unwrap());
    let far = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, 5201)).unwrap());
    // A namespace is found by who lives in it.
    let resident = pair.far.namespace.enter(|| Holder::of(&File::open("/dev/null").unwrap(), 0));
    let ended = Agent::start(&pair.near.namespace, "inspect :5201 --seconds 0 --format json").wait();
    let page: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let found = sockets(&page, process::id());
    assert_eq!(found.len(), 2, "{page:#}");
    let of = |fd: i32| found.iter().find(|socket| socket["fds"] == json!([fd])).unwrap();
    assert_eq!(of(near.as_raw_fd())["netns_measured"], true);
    assert_eq!(of(far.as_raw_fd())["netns_measured"], false);
    assert_ne!(of(near.as_raw_fd())["netns"], of(far.as_raw_fd())["netns"]);
    for socket in found {
        assert_eq!((&socket["state"], &socket["sent_bps"]), (&json!("LISTEN"), &Value::Null));
    }
    assert_eq!((&page["seconds"], &page["interfaces"]), (&Value::Null, &json!([])));
    drop(resident);
}

#[test]
fn a_connection_is_listed_under_both_of_its_ends() {
    let pair = NetPair::new();
    let (listener, client, server) = pair.near.namespace.enter(|| {
        let listener = TcpListener::bind("127.0.0.1:5202").unwrap();
        let client = TcpStream::connect("127.0.0.1:5202").unwrap();
        let (server, _) = listener.accept().unwrap();
        (listener, client, server)
    });
    // A process that has the listener too: it is listed once.
    let mut command = Command::new("sleep");
    command.stdin(std::os::fd::OwnedFd::from(listener.try_clone().unwrap()));
    let holder = Holder::start(command, 0);
    let page = page(&pair, "127.0.0.1:5202 --seconds 0");
    let all: Vec<&Value> = page["owners"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|owner| owner["sockets"].as_array().unwrap())
        .collect();
    assert_eq!(all.len(), 3, "{page:#}");
    let listening = all.iter().find(|socket| socket["state"] == "LISTEN").unwrap();
    let mut holders: Vec<_> = listening["also_open_in"].as_array().unwrap().clone();
    holders.extend(page["owners"].as_array().unwrap().iter().map(|owner| owner["pid"].clone()));
    assert!(holders.contains(&json!(holder.pid())) && holders.contains(&json!(process::id())), "{page:#}");
    let ends = |socket: &Value| (socket["local_port"].as_u64(), socket["remote_port"].as_u64());
    let port = u64::from(client.local_addr().unwrap().port());
    for (local, remote) in [(5202, port), (port, 5202)] {
        assert!(all.iter().any(|socket| ends(socket) == (Some(local), Some(remote))), "{page:#}");
    }
    drop(server);
}

#[test]
fn traffic_without_a_socket_is_shown_as_that() {
    let pair = NetPair::new();
    let frame = datagram(Way::Received, 100);
    let sender = Sender::start(&pair, vec![Stream { way: Way::Received, frame, per_second: 50 }]);
    let page = page(&pair, &format!("{FAR_V4}:{FAR_PORT} --seconds 1"));
    drop(sender);
    let [stray] = &page["traffic_without_socket"].as_array().unwrap()[..] else { panic!("{page:#}") };
    assert_eq!((&stray["local_port"], &stray["remote_port"]), (&json!(NEAR_PORT), &json!(FAR_PORT)));
    assert!(stray["received_bytes"].as_u64().unwrap() > 0);
    assert_eq!(stray["owners"], json!([]));
}

#[test]
fn connections_of_processes_that_have_ended_have_their_names() {
    const CLIENTS: usize = 20;
    let pair = NetPair::new();
    let listener = pair.far.namespace.enter(|| TcpListener::bind((FAR_V4, 5204)).unwrap());
    let mut agent =
        Agent::start(&pair.near.namespace, &format!("inspect {FAR_V4}:5204 --seconds 3600 --format json"));
    agent.wait_for("measuring on");
    thread::scope(|scope| {
        scope.spawn(|| (0..CLIENTS).for_each(|_| drop(listener.accept().unwrap())));
        for _ in 0..CLIENTS {
            // The server closes first, and it is its end that waits (TIME-WAIT).
            pair.near.namespace.run("socat", &format!("-u TCP4:{FAR_V4}:5204 OPEN:/dev/null"));
        }
    });
    agent.signal(Signal::SIGINT);
    let ended = agent.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    let page: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let strays = page["traffic_without_socket"].as_array().unwrap();
    // What waits for its end (TIME-WAIT) still has a socket, without an owner.
    let waiting = page["unowned"].as_array().unwrap().len();
    assert_eq!(strays.len() + waiting, CLIENTS, "{page:#}");
    // How many of them must have one is the business of the tests of owners.
    let (named, gone): (Vec<&Value>, Vec<&Value>) =
        strays.iter().partition(|stray| stray["owners"] != json!([]));
    assert!(!named.is_empty(), "{page:#}");
    for stray in named {
        assert_eq!(stray["owners"][0]["command"], "socat", "{page:#}");
    }
    for stray in gone {
        assert_eq!(stray["owner_reason"], "gone", "{page:#}");
    }
}

#[test]
fn a_process_is_shown_with_its_parents_its_logs_and_what_is_deleted() {
    let place = Place::new();
    let log_path = place.path("service.log");
    let mut log = File::create(&log_path).unwrap();
    log.write_all(b"twelve bytes").unwrap();
    let gone = place.sparse("gone");
    let mut command = Command::new("sleep");
    command.stdin(gone.try_clone().unwrap());
    // Standard error of the holder is its log.
    let pid = {
        let holder = LoggingHolder::start(command, &log);
        let output =
            place.run(0, ["inspect", &holder.pid().to_string(), "--seconds", "0", "--format", "json"]);
        assert!(output.status.success(), "{}", said(&output));
        let page: Value = serde_json::from_slice(&output.stdout).unwrap();
        let [owner] = &page["owners"].as_array().unwrap()[..] else { panic!("{page:#}") };
        assert_eq!(owner["sockets"], json!([]));
        let process = &owner["process"];
        assert_eq!((&process["command"], &process["user"]), (&json!("sleep"), &json!("root")));
        assert_eq!(process["arguments"], json!(["sleep", "infinity"]));
        assert_eq!(process["parents"][0]["pid"], process::id());
        let files = &owner["files"];
        let path = log_path.to_str().unwrap();
        assert_eq!(files["logs"], json!([{"fd": 2, "path": path, "size_bytes": 12}]));
        let [deleted] = &files["deleted"].as_array().unwrap()[..] else { panic!("{files:#}") };
        assert_eq!((&deleted["fd"], &deleted["storage"]), (&json!("0"), &json!("disk")));
        assert!(deleted["held_bytes"].as_u64().unwrap() >= 5_000_000);
        // And whatever is open in whoever runs the tests.
        assert!(files["open"].as_u64().unwrap() >= 3);
        let text = place.run(0, ["inspect", "sleep", "--seconds", "0"]);
        let text = String::from_utf8(text.stdout).unwrap();
        for word in ["sleep infinity", "flowtally recover --pid"] {
            assert!(text.contains(word), "no {word} in {text}");
        }
        holder.pid()
    };
    let output = place.run(0, ["inspect", &pid.to_string(), "--seconds", "0"]);
    assert_eq!(output.status.code(), Some(1));
    assert!(said(&output).contains("no process"), "{}", said(&output));
}

/// A process whose standard error is a file. Ended when the value goes.
struct LoggingHolder(process::Child);

impl LoggingHolder {
    fn start(mut command: Command, log: &File) -> Self {
        let child =
            command.arg("infinity").stdout(process::Stdio::null()).stderr(log.try_clone().unwrap()).spawn();
        let holder = Self(child.unwrap());
        harness::eventually("the process runs what it should", || {
            let command =
                fs::read_to_string(Path::new("/proc").join(holder.pid().to_string()).join("comm")).ok()?;
            (command == "sleep\n").then_some(())
        });
        holder
    }

    fn pid(&self) -> u32 {
        self.0.id()
    }
}

impl Drop for LoggingHolder {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

#[test]
fn without_privileges_sockets_are_shown_and_what_is_missing_is_said() {
    let pair = NetPair::new();
    let listener = pair.near.namespace.enter(|| TcpListener::bind((NEAR_V4, 5203)).unwrap());
    let ended = Agent::run_unprivileged(&pair.near.namespace, "inspect :5203 --seconds 0 --format json");
    assert!(ended.status.success(), "{}", ended.stderr);
    let page: Value = serde_json::from_slice(&ended.stdout).unwrap();
    let [socket] = &page["unowned"].as_array().unwrap()[..] else { panic!("{page:#}") };
    assert_eq!((&socket["state"], &socket["owner_reason"]), (&json!("LISTEN"), &json!("not_permitted")));
    assert!(page["notes"][0].as_str().unwrap().contains("CAP_SYS_PTRACE"), "{page:#}");
    let ended = Agent::run_unprivileged(&pair.near.namespace, "inspect :5203");
    assert_eq!(ended.status.code(), Some(1));
    for word in ["--seconds 0", "CAP_BPF"] {
        assert!(ended.stderr.contains(word), "no {word} in {}", ended.stderr);
    }
    drop(listener);
}

#[test]
fn a_narrow_terminal_has_the_columns_that_matter_and_no_more() {
    let pair = NetPair::new();
    let listener = pair.near.namespace.enter(|| TcpListener::bind("127.0.0.1:5206").unwrap());
    let terminal = Terminal::open(&pair.near.namespace, (40, 40));
    terminal.enter("flowtally inspect 127.0.0.1:5206 --seconds 0 | cat");
    // What goes into a pipe has all columns, whatever the terminal.
    terminal.wait_for("STATE");
    terminal.enter("clear; flowtally inspect 127.0.0.1:5206 --seconds 0");
    terminal.wait("a page without the lesser columns", |screen| {
        let text = screen.text();
        (text.contains("PROTO  LOCAL ") && text.contains("files ") && !text.contains("STATE")).then_some(())
    });
    drop(listener);
}

#[test]
fn what_is_not_there_or_makes_no_sense_is_said() {
    let pair = NetPair::new();
    let listener = pair.near.namespace.enter(|| TcpListener::bind((NEAR_V4, 65_000)).unwrap());
    for (arguments, code, word) in [
        (":1 --seconds 0", 1, "nothing matches :1"),
        ("192.0.2.77 --seconds 1", 1, "no traffic in 1."),
        ("65000 --seconds 3600", 1, "use :65000"),
        ("no-such-command --seconds 3600", 1, "no process is called"),
        (":70000", 2, "no port"),
        ("10.0.0.256", 2, "no address"),
        (":443 --seconds -1", 2, "-1"),
        (":443 -i nosuch", 1, "nosuch"),
    ] {
        let ended = Agent::start(&pair.near.namespace, &format!("inspect {arguments}")).wait();
        assert_eq!(ended.status.code(), Some(code), "{arguments}: {}", ended.stderr);
        assert!(ended.stderr.contains(word), "{arguments}: {}", ended.stderr);
    }
    drop(listener);
}
