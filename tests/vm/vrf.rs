//! Sockets in a VRF, a routing domain of its own which interfaces are put into: whose they are, and that what comes to them is counted
//! once.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpStream, UdpSocket},
    process::{Child, Command, Stdio},
};

use harness::{
    Agent, Amounts, Host, NetPair, PATIENCE, Report,
    check::check_totals,
    eventually,
    frames::{FAR_V4, NEAR_V4},
    report::Row,
};

/// Of a datagram on the wire: Ethernet, IPv4 and UDP.
const HEADERS: u64 = 14 + 20 + 8;
/// What a server has at which of its ports: what only receives, what answers the one client that asks first, and what takes one
/// connection.
const SILENT: u16 = 0;
const ANSWERS: u16 = 1;
const LISTENS: u16 = 2;

/// A host whose interface is in a VRF, and its neighbour.
fn in_vrf() -> NetPair {
    let pair = NetPair::new();
    let NetPair { near, far } = &pair;
    near.namespace.ip("link add vrf0 type vrf table 10");
    near.namespace.ip("link set vrf0 addrgenmode none up");
    near.namespace.ip("link set near master vrf0");
    // The neighbours are forgotten when an interface gets another master.
    near.namespace.ip(&format!("neigh replace {} lladdr {} dev near nud permanent", far.v4, far.mac));
    eventually("the cable works", || near.namespace.ip("link show near").contains("state UP").then_some(()));
    pair
}

/// A program that serves at three ports from this one on, each in a process of its own.
struct Server {
    port: u16,
    /// By what each is added to the port.
    processes: Vec<(u16, Child)>,
}

impl Server {
    /// In the VRF, with sockets that are bound to it.
    fn in_vrf(host: &Host, port: u16) -> Self {
        Self::start(host, port, ",so-bindtodevice=vrf0", &[SILENT, ANSWERS, LISTENS])
    }

    /// With ordinary sockets, which are not in the VRF: nothing comes to them, but where the kernel is told otherwise. Then too an answer
    /// of UDP finds no route.
    fn outside(host: &Host, port: u16) -> Self {
        Self::start(host, port, "", &[SILENT, LISTENS])
    }

    fn start(host: &Host, port: u16, options: &str, offsets: &[u16]) -> Self {
        let start = |offset: u16| {
            let (table, from, to, way): (_, _, _, &[&str]) = match offset {
                SILENT => ("udp", "UDP4-RECV", "OPEN:/dev/null", &["-u"]),
                ANSWERS => ("udp", "UDP4-LISTEN", "PIPE", &[]),
                _ => ("tcp", "TCP4-LISTEN", "PIPE", &[]),
            };
            let sockets = || -> usize {
                let path = format!("/proc/thread-self/net/{table}");
                let text = host.namespace.enter(|| fs::read_to_string(path)).unwrap();
                text.matches(&format!("00000000:{:04X} 00000000:0000", port + offset)).count()
            };
            let before = sockets();
            let mut command = Command::new("socat");
            command.args(way).arg(format!("{from}:{},reuseaddr{options}", port + offset)).arg(to);
            let child = host.namespace.enter(|| command.stdin(Stdio::null()).spawn()).unwrap();
            eventually("the server is there", || (sockets() > before).then_some(()));
            child
        };
        Self { port, processes: offsets.iter().map(|offset| (*offset, start(*offset))).collect() }
    }

    /// Sends what each of them takes; returns the ports of who has sent it.
    fn ask(&self, pair: &NetPair) -> Vec<u16> {
        let ask = |offset: u16| {
            let to = (NEAR_V4, self.port + offset);
            if offset == LISTENS {
                let mut client = pair.far.namespace.enter(|| TcpStream::connect(to).unwrap());
                client.write_all(&[0; 1000]).unwrap();
                client.read_exact(&mut [0; 1000]).unwrap();
                let port = client.local_addr().unwrap().port();
                drop(client);
                // The server closes its end half a second later: until then more frames come, and belong to the measurement.
                eventually("the connection has ended", || (!is_open(&pair.near, port)).then_some(()));
                return port;
            }
            let client = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
            client.set_read_timeout(Some(PATIENCE)).unwrap();
            client.send_to(&[0; 100], to).unwrap();
            if offset == ANSWERS {
                assert_eq!(client.recv(&mut [0; 200]).unwrap(), 100);
            }
            client.local_addr().unwrap().port()
        };
        self.processes.iter().map(|(offset, _)| ask(*offset)).collect()
    }

    /// Checks that its rows are its own, and as long as they must be.
    fn check(&self, report: &Report, peers: Vec<u16>) {
        let datagram = 100 + HEADERS;
        for ((offset, process), peer) in self.processes.iter().zip(peers) {
            let offset = *offset;
            let row = row(report, self.port + offset, peer);
            assert_eq!(
                (row.owner.pid, row.owner.command.as_deref()),
                (Some(process.id()), Some("socat")),
                "{row:#?}"
            );
            let sent = u64::from(offset == ANSWERS);
            let amounts = Amounts {
                received_bytes: datagram,
                received_packets: 1,
                sent_bytes: datagram * sent,
                sent_packets: sent,
            };
            assert!(offset == LISTENS || row.amounts == amounts, "{row:#?}");
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        for (_, process) in &mut self.processes {
            drop(process.kill());
            drop(process.wait());
        }
    }
}

/// Whether the host has a socket whose peer has this port. The last to close loses its socket with the last frame.
fn is_open(host: &Host, remote: u16) -> bool {
    let text = host.namespace.enter(|| fs::read_to_string("/proc/thread-self/net/tcp")).unwrap();
    let mut peers = text.lines().skip(1).filter_map(|line| line.split_whitespace().nth(2));
    peers.any(|peer| peer.ends_with(&format!(":{remote:04X}")))
}

/// The only row with these ports, on whatever interface.
fn row(report: &Report, local: u16, remote: u16) -> Row {
    let fits = |row: &&Row| [row.flow.local_port, row.flow.remote_port] == [local, remote];
    let rows: Vec<_> = report.flows.iter().filter(fits).collect();
    let [row] = rows[..] else { panic!("not one row of {local} and {remote}: {:#?}", report.flows) };
    assert_eq!(row.interface, "near", "{row:#?}");
    row.clone()
}

/// Measures while all of them are asked, and checks what is reported of them.
fn measure(pair: &NetPair, agent: Agent, servers: &[&Server]) -> Report {
    let before = pair.near.counters();
    let peers: Vec<_> = servers.iter().map(|server| server.ask(pair)).collect();
    let report = agent.report();
    let crossed = pair.near.counters() - before;
    for (server, peers) in servers.iter().zip(peers) {
        server.check(&report, peers);
    }
    let expected = Amounts {
        sent_bytes: crossed.sent_bytes,
        sent_packets: crossed.sent_packets,
        received_bytes: crossed.received_bytes,
        received_packets: crossed.received_packets,
    };
    check_totals(&report, "near", expected, "near");
    report
}

/// Others have the same ports outside: older ones and younger ones, so that it matters neither what the kernel notes nor when.
#[test]
fn sockets_on_the_device_own_what_comes_to_it() {
    let pair = in_vrf();
    let near = &pair.near;
    let _before = Server::outside(near, 5000);
    let older = Server::in_vrf(near, 5000);
    let agent = Agent::measure(near, "");
    let younger = Server::in_vrf(near, 5100);
    let _after = [Server::outside(near, 5100), Server::outside(near, 5200)];
    let youngest = Server::in_vrf(near, 5200);
    measure(&pair, agent, &[&older, &younger, &youngest]);
}

/// Ordinary sockets take what comes to any VRF where the kernel is told so.
#[test]
fn sockets_of_every_domain_own_what_comes_to_one() {
    let pair = in_vrf();
    for protocol in ["tcp", "udp"] {
        pair.near.namespace.set(&format!("ipv4/{protocol}_l3mdev_accept"), "1");
    }
    let older = Server::outside(&pair.near, 5000);
    let agent = Agent::measure(&pair.near, "");
    let younger = Server::outside(&pair.near, 5100);
    measure(&pair, agent, &[&older, &younger]);
}

/// The device of a VRF carries no frame of its own: all of it is counted where it crosses a wire, and nothing twice. The device's
/// counters have what came to its domain, after the hooks.
#[test]
fn the_device_of_a_vrf_has_nothing_of_its_own() {
    let pair = in_vrf();
    let server = Server::in_vrf(&pair.near, 5000);
    let report = measure(&pair, Agent::measure(&pair.near, "-i vrf0"), &[&server]);
    assert!(report.flows.iter().all(|row| row.interface == "near"), "{:#?}", report.flows);
    assert_eq!(report.interface("vrf0").counted(), Amounts::default());
}
