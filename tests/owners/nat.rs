//! Translated addresses: whose a conversation is, and with which ends it is reported, on either side of a translation.

use std::{
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpListener, TcpStream, UdpSocket},
    process::Command,
    sync::Arc,
};

use harness::{Agent, Flow, Host, Namespace, NetPair, PATIENCE, Report, namespace::require, report::Row};

use crate::{
    told::is_of,
    workers::{Said, Worker},
};

/// The host on the outer cable, and the world.
const HOST: [u8; 4] = [10, 99, 0, 1];
const WORLD: [u8; 4] = [10, 99, 0, 2];
/// A server of the world's.
const PORT: u16 = 5000;

/// The chains of the table, and where they hook in.
const HOOKS: [(&str, &str, i32); 4] = [
    ("pre", "prerouting", -100),
    ("in", "input", 100),
    ("out", "output", -100),
    ("post", "postrouting", 100),
];

/// A host that translates, two containers behind it, and the world before it.
struct Place {
    host: Arc<Namespace>,
    cables: [NetPair; 2],
    world: NetPair,
}

impl Place {
    /// With these rules in its `nat` table.
    fn new(rules: &str) -> Self {
        require("nft", "nftables");
        let host = Arc::new(Namespace::new());
        let end = |interface, mac, v4: [u8; 4], v6: String, namespace: &Arc<Namespace>| Host {
            namespace: Arc::clone(namespace),
            interface,
            mac,
            v4: v4.into(),
            v6: v6.parse().unwrap(),
        };
        let cables = [("c0", 0_u8), ("c1", 1)].map(|(interface, number)| {
            NetPair::of(
                end(interface, "02:00:00:00:00:0a", [10, 77, number, 2], format!("fd77:{number}::2"), &host),
                end(
                    "eth0",
                    "02:00:00:00:00:01",
                    [10, 77, number, 1],
                    format!("fd77:{number}::1"),
                    &Arc::default(),
                ),
            )
        });
        let world = NetPair::of(
            end("out", "02:00:00:00:00:0c", HOST, "fd99::1".to_owned(), &host),
            end("eth0", "02:00:00:00:00:0d", WORLD, "fd99::2".to_owned(), &Arc::default()),
        );
        host.set("ipv4/ip_forward", "1");
        for (number, cable) in cables.iter().enumerate() {
            cable.far.namespace.ip(&format!("route add default via 10.77.{number}.2"));
        }
        let chains = HOOKS.map(|(chain, hook, priority)| {
            format!("add chain ip nat {chain} {{ type nat hook {hook} priority {priority}; }}\n")
        });
        let text = format!("add table ip nat\n{}{rules}\n", chains.concat());
        let mut nft = Command::new("nft");
        nft.arg(text);
        let output = host.enter(|| nft.output()).unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { host, cables, world }
    }

    /// The namespace of a container.
    fn container(&self, number: usize) -> &Namespace {
        &self.cables[number].far.namespace
    }

    fn measure(&self) -> Agent {
        Agent::measure_on(&self.host, "out", "-i c0 -i c1 --per-interface")
    }

    fn listen(&self) -> TcpListener {
        self.world.far.namespace.enter(|| TcpListener::bind((std::net::Ipv4Addr::from(WORLD), PORT)).unwrap())
    }

    fn bind(&self, port: u16) -> UdpSocket {
        let address = SocketAddr::from((WORLD, port));
        let socket = self.world.far.namespace.enter(|| UdpSocket::bind(address).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    }
}

/// A worker that sends, receives and stays, and what it has said.
fn start(namespace: &Namespace, steps: &str) -> (Worker, Said) {
    let mut worker = Worker::start(namespace, steps);
    let said = worker.hear();
    (worker, said)
}

/// Checks that a conversation of an interface has these ends, and this owner.
fn owned(report: &Report, interface: &str, flow: &Flow, said: &Said) {
    let fits = |row: &&Row| row.interface == interface && row.flow == *flow;
    let rows: Vec<_> = report.flows.iter().filter(fits).collect();
    let [row] = rows[..] else { panic!("not one row {flow} on {interface}: {:#?}", report.flows) };
    assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
}

/// A TCP or UDP conversation between two ends.
fn flow(protocol: &str, local: SocketAddr, remote: SocketAddr) -> Flow {
    Flow::between(protocol, local.ip(), remote.ip()).with_ports(local.port(), remote.port())
}

/// Answers what comes, and returns where from.
fn answer(stream: &mut TcpStream) -> SocketAddr {
    stream.read_exact(&mut [0; 100]).unwrap();
    stream.write_all(&[0; 50]).unwrap();
    stream.peer_addr().unwrap()
}

/// Out of containers with the host's address: the wire has that, the container's cable its own.
#[test]
fn masqueraded_conversations_are_the_containers() {
    let place = Place::new("add rule ip nat post oifname out masquerade");
    let listener = place.listen();
    let to = SocketAddr::from((WORLD, PORT));
    let steps = |name, cable: u8| {
        format!(
            "name={name} connect=10.99.0.2:{PORT} say=ready wait send=100 receive=50 say=done{cable} wait"
        )
    };
    let (mut older, is_older) = start(place.container(0), &steps("older", 0));
    let (mut older_stream, _) = listener.accept().unwrap();
    let agent = place.measure();
    let (mut younger, is_younger) = start(place.container(1), &steps("younger", 1));
    let (mut younger_stream, _) = listener.accept().unwrap();
    older.go();
    younger.go();
    let seen = [&mut older_stream, &mut younger_stream].map(answer);
    older.hear();
    younger.hear();
    // Datagrams, of one that has ended when it is looked for.
    let datagrams = place.bind(PORT);
    let short = Worker::start(
        place.container(0),
        &format!("name=short udp=10.77.0.1:6000 to={to} say=ready send=100"),
    );
    let mut short = short;
    let is_short = short.hear();
    short.end();
    let (_, short_seen) = datagrams.recv_from(&mut [0; 200]).unwrap();
    let report = agent.report();
    for (said, seen, inside, protocol) in [
        (&is_older, seen[0], "c0", "tcp"),
        (&is_younger, seen[1], "c1", "tcp"),
        (&is_short, short_seen, "c0", "udp"),
    ] {
        assert_eq!(seen.ip(), std::net::IpAddr::from(HOST), "it is translated");
        let inner = report.flows.iter().find(|row| {
            row.interface == inside
                && row.flow.protocol == protocol
                && [row.flow.local_port, row.flow.remote_port].contains(&said.local.port())
        });
        let inner = inner.unwrap_or_else(|| panic!("no {said:?} on {inside}: {:#?}", report.flows));
        assert!(is_of(&inner.owner, said), "not {said:?}: {inner:#?}");
        let ends = [inner.flow.local_address, inner.flow.remote_address];
        assert!(ends.contains(&Some(said.local.ip())) && ends.contains(&Some(to.ip())), "{inner:#?}");
        if protocol == "tcp" {
            owned(&report, "out", &flow(protocol, seen, to), said);
        }
    }
    older.dismiss();
    younger.dismiss();
}

/// Both ask from the same port: one of them gets another one on the wire, which only the kernel's own table can tell.
#[test]
fn two_with_the_same_port_are_told_apart_behind_one_address() {
    let place = Place::new("add rule ip nat post oifname out masquerade");
    let listener = place.listen();
    let workers = [0, 1].map(|number| {
        let steps = format!(
            "name=same{number} udp=10.77.{number}.1:7000 to=10.99.0.2:{PORT} connect-udp=10.99.0.2:{PORT} say=ready wait send=100 say=done wait"
        );
        start(place.container(number), &steps)
    });
    drop(listener);
    let socket = place.bind(PORT);
    let agent = place.measure();
    let workers = workers.map(|(mut worker, said)| {
        worker.go();
        let (_, seen) = socket.recv_from(&mut [0; 200]).unwrap();
        worker.hear();
        (worker, said, seen)
    });
    assert_ne!(workers[0].2.port(), workers[1].2.port());
    let report = agent.report();
    for (worker, said, seen) in workers {
        owned(&report, "out", &flow("udp", seen, socket.local_addr().unwrap()), &said);
        worker.dismiss();
    }
}

/// Into a container, by the host's address and another port. What listens there on the host, as docker-proxy does, gets nothing: an
/// older one, which is found by its port, and a younger one, which the kernel programs know.
#[test]
fn forwarded_ports_are_the_containers() {
    let place = Place::new(
        "add rule ip nat pre iifname out tcp dport 8080 dnat to 10.77.0.1:80\n\
         add rule ip nat pre iifname out udp dport 8081 dnat to 10.77.1.1:81",
    );
    let server = |number: usize, steps: &str| start(place.container(number), steps);
    let (mut tcp, is_tcp) =
        server(0, "name=web listen=10.77.0.1:80 say=ready accept receive=100 send=50 say=done wait");
    let (mut udp, is_udp) =
        server(1, "name=names udp=10.77.1.1:81 say=ready receive=100 send=50 say=done wait");
    let proxy = |steps: &str| start(&place.host, &format!("name=proxy {steps} say=ready wait"));
    let (older, _) = proxy("listen=0.0.0.0:8080");
    let agent = place.measure();
    let (younger, _) = proxy("udp=0.0.0.0:8081");
    let host = |port| SocketAddr::from((HOST, port));
    let mut stream = place.world.far.namespace.enter(|| TcpStream::connect(host(8080)).unwrap());
    stream.write_all(&[0; 100]).unwrap();
    stream.read_exact(&mut [0; 50]).unwrap();
    tcp.hear();
    let socket = place.bind(0);
    socket.send_to(&[0; 100], host(8081)).unwrap();
    socket.recv(&mut [0; 100]).unwrap();
    udp.hear();
    let report = agent.report();
    for (said, asker, outside, inside, protocol) in [
        (&is_tcp, stream.local_addr().unwrap(), host(8080), "c0", "tcp"),
        (&is_udp, socket.local_addr().unwrap(), host(8081), "c1", "udp"),
    ] {
        owned(&report, "out", &flow(protocol, outside, asker), said);
        let rows: Vec<_> = report.flows.iter().filter(|row| row.interface == inside).collect();
        let [row] = rows[..] else { panic!("not one row on {inside}: {:#?}", report.flows) };
        let inner = flow(protocol, said.local, asker);
        assert!(row.flow == inner || row.flow == inner.clone().reversed(), "{inner}: {row:#?}");
        assert!(is_of(&row.owner, said), "not {said:?}: {row:#?}");
    }
    for worker in [tcp, udp, older, younger] {
        worker.dismiss();
    }
}

/// The host's own sockets, which have other addresses and ports than the wire: from another address, and at another port.
#[test]
fn what_is_translated_here_is_the_hosts_own() {
    let place = Place::new(
        "add rule ip nat post oifname out udp sport 40000 snat to 10.99.0.7:6000\n\
         add rule ip nat out udp dport 53 dnat to 10.99.0.2:5000\n\
         add rule ip nat pre iifname out udp dport 8080 redirect to :80",
    );
    place.host.ip("address add 10.99.0.7/24 dev out");
    let mac = place.world.near.mac;
    place.world.far.namespace.ip(&format!("neigh replace 10.99.0.7 lladdr {mac} dev eth0 nud permanent"));
    let mac = place.world.far.mac;
    place.host.ip(&format!("neigh replace 10.99.0.3 lladdr {mac} dev out nud permanent"));
    let world = place.bind(PORT);
    let steps = |name: &str, own: &str, to: &str| {
        format!("name={name} udp={own} to={to} say=ready wait send=100 receive=50 say=done wait")
    };
    let (mut asks, is_asker) = start(&place.host, &steps("asks", "10.99.0.1:40000", "10.99.0.2:5000"));
    let (mut other, is_other) = start(&place.host, &steps("other", "10.99.0.1:40001", "10.99.0.3:53"));
    let (mut serves, is_server) =
        start(&place.host, "name=serves udp=0.0.0.0:80 say=ready receive=100 say=done wait");
    let agent = place.measure();
    let mut seen = Vec::new();
    for worker in [&mut asks, &mut other] {
        worker.go();
        let (_, from) = world.recv_from(&mut [0; 200]).unwrap();
        world.send_to(&[0; 50], from).unwrap();
        worker.hear();
        seen.push(from);
    }
    let asker = place.bind(0);
    asker.send_to(&[0; 100], (std::net::Ipv4Addr::from(HOST), 8080)).unwrap();
    serves.hear();
    let report = agent.report();
    let to = world.local_addr().unwrap();
    assert_eq!(seen[0].to_string(), "10.99.0.7:6000");
    owned(&report, "out", &flow("udp", seen[0], to), &is_asker);
    owned(&report, "out", &flow("udp", seen[1], to), &is_other);
    let at = SocketAddr::from((HOST, 8080));
    owned(&report, "out", &flow("udp", at, asker.local_addr().unwrap()), &is_server);
    for worker in [asks, other, serves] {
        worker.dismiss();
    }
}
