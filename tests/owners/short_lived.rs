//! Processes that live for a few milliseconds: long gone when anybody looks, and yet nearly all of their bytes have a name.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{Read as _, Write as _},
    net::{IpAddr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::Duration,
};

use harness::{
    Agent, NetPair, PATIENCE, Report,
    frames::{FAR_V4, FAR_V6, NEAR_V4, NEAR_V6},
};

use crate::{
    told::is_of,
    workers::{Done, Said, Worker},
};

/// How many there are of them.
const PROCESSES: usize = 1000;
/// What a process may live to count as one of these.
const SHORT: Duration = Duration::from_millis(20);
/// How many of a thousand bytes must carry the right name.
const AT_LEAST: u64 = 990;
/// What a worker and its peer send each other.
const THERE: usize = 700;
const BACK: usize = 300;

/// What a process does in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    TcpClient,
    UdpClient,
    UdpConnected,
    UdpSender,
    TcpServer,
    /// It does not ask who is calling.
    TcpServerBlind,
    /// Another process serves each connection.
    TcpServerForks,
    UdpServer,
    /// Its socket is an IPv6 one and serves both.
    UdpServerAny,
    /// It never sends.
    UdpSink,
}

const KINDS: [Kind; 10] = [
    Kind::TcpClient,
    Kind::UdpClient,
    Kind::UdpConnected,
    Kind::UdpSender,
    Kind::TcpServer,
    Kind::TcpServerBlind,
    Kind::TcpServerForks,
    Kind::UdpServer,
    Kind::UdpServerAny,
    Kind::UdpSink,
];

/// Everything that has happened in one life.
struct Life {
    kind: Kind,
    done: Done,
}

#[test]
fn a_thousand_one_after_the_other() {
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    // Servers come back to the port that one before them had.
    let lives = pair.near.namespace.enter(|| {
        (0..PROCESSES)
            .map(|number| live(&pair, KINDS[number % KINDS.len()], number, 5000))
            .collect::<Vec<_>>()
    });
    judge("in sequence", &agent.report(), &lives);
}

#[test]
fn a_thousand_at_the_same_time() {
    // More would not live at the same time, but wait for each other.
    let lanes = thread::available_parallelism().map_or(4, |processors| 2 * processors.get());
    let pair = NetPair::new();
    let agent = Agent::measure(&pair.near, "");
    let next = AtomicUsize::new(0);
    let lane = || {
        pair.near.namespace.enter(|| {
            let mut lives = Vec::new();
            loop {
                let number = next.fetch_add(1, Ordering::Relaxed);
                if number >= PROCESSES {
                    return lives;
                }
                lives.push(live(&pair, KINDS[number % KINDS.len()], number, 0));
            }
        })
    };
    let lives = thread::scope(|scope| {
        let lanes: Vec<_> = (0..lanes).map(|_| scope.spawn(lane)).collect();
        lanes.into_iter().flat_map(|lane| lane.join().unwrap()).collect::<Vec<_>>()
    });
    judge("in parallel", &agent.report(), &lives);
}

/// Makes a process, in the thread's namespace, and is its peer at the other end until it is gone.
fn live(pair: &NetPair, kind: Kind, number: usize, port: u16) -> Life {
    let (near, far): (IpAddr, IpAddr) = if number.is_multiple_of(3) {
        (NEAR_V6.into(), FAR_V6.into())
    } else {
        (NEAR_V4.into(), FAR_V4.into())
    };
    let own = SocketAddr::new(near, port);
    let name = format!("name=w{number:04}");
    let exchange = [format!("send={THERE}"), format!("receive={BACK}")];
    let [send, receive] = &exchange;
    let far_listener = || pair.far.namespace.enter(|| TcpListener::bind((far, 0)).unwrap());
    let far_socket = || {
        let socket = pair.far.namespace.enter(|| UdpSocket::bind((far, 0)).unwrap());
        socket.set_read_timeout(Some(PATIENCE)).unwrap();
        socket
    };
    let worker = |steps: &[&str]| Worker::start_here(&[&[name.as_str()], steps].concat());

    let done = match kind {
        Kind::TcpClient => {
            let listener = far_listener();
            let worker = worker(&[&format!("connect={}", listener.local_addr().unwrap()), send, receive]);
            let (stream, _) = listener.accept().unwrap();
            answer(stream);
            worker.end()
        }
        Kind::UdpClient | Kind::UdpConnected | Kind::UdpSender => {
            let socket = far_socket();
            let verb = if kind == Kind::UdpConnected { "connect-udp" } else { "to" };
            let bind = format!("udp={}", SocketAddr::new(near, 0));
            let to = format!("{verb}={}", socket.local_addr().unwrap());
            let steps = [bind.as_str(), &to, send, receive];
            let worker = worker(if kind == Kind::UdpSender { &steps[..3] } else { &steps });
            let (length, from) = socket.recv_from(&mut [0; THERE]).unwrap();
            assert_eq!(length, THERE);
            if kind != Kind::UdpSender {
                socket.send_to(&[0; BACK], from).unwrap();
            }
            worker.end()
        }
        Kind::TcpServer | Kind::TcpServerBlind | Kind::TcpServerForks => {
            let listen = format!("listen={own}");
            let child = format!("{name}c");
            let [receive, send] = [format!("receive={THERE}"), format!("send={BACK}")];
            let steps: &[&str] = match kind {
                Kind::TcpServer => &[&listen, "say=ready", "accept", &receive, &send],
                Kind::TcpServerBlind => &[&listen, "say=ready", "accept-blind", &receive, &send],
                _ => &[&listen, "say=ready", "accept", "hand", &child, "adopt=tcp", &receive, &send],
            };
            let mut worker = worker(steps);
            let to = worker.hear().local;
            ask(pair.far.namespace.enter(|| TcpStream::connect(to).unwrap()));
            worker.end()
        }
        Kind::UdpServer | Kind::UdpServerAny | Kind::UdpSink => {
            let own = if kind == Kind::UdpServerAny { format!("[::]:{port}") } else { own.to_string() };
            let [receive, send] = [format!("receive={THERE}"), format!("send={BACK}")];
            let steps = [&format!("udp={own}"), "say=ready", receive.as_str(), &send];
            let mut worker = worker(if kind == Kind::UdpSink { &steps[..3] } else { &steps });
            let to = SocketAddr::new(near, worker.hear().local.port());
            let socket = far_socket();
            socket.send_to(&[0; THERE], to).unwrap();
            if kind != Kind::UdpSink {
                assert_eq!(socket.recv(&mut [0; BACK]).unwrap(), BACK);
            }
            worker.end()
        }
    };
    Life { kind, done }
}

/// The peer of a client.
fn answer(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.read_exact(&mut [0; THERE]).unwrap();
    stream.write_all(&[0; BACK]).unwrap();
    // The client closes first: it has got what it waited for.
    assert_eq!(stream.read(&mut [0]).unwrap(), 0);
}

/// The peer of a server.
fn ask(mut stream: TcpStream) {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(&[0; THERE]).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    assert_eq!(answer.len(), BACK);
}

/// Holds the owners in a report against those who had the conversations.
fn judge(title: &str, report: &Report, lives: &[Life]) {
    // The bytes of a kind, and those of them with the right name.
    let mut scores: BTreeMap<Kind, [u64; 2]> = BTreeMap::new();
    let mut owners: BTreeMap<_, (Kind, BTreeSet<&Said>)> = BTreeMap::new();
    for life in lives {
        let flows = life.done.said.iter().filter(|said| said.word == "flow");
        for said in flows {
            let remote = (said.remote.ip().to_canonical(), said.remote.port());
            let key = (said.protocol.as_str(), said.local.port(), remote);
            let entry = owners.entry(key).or_insert_with(|| (life.kind, BTreeSet::new()));
            entry.1.insert(said);
        }
    }
    let mut wrong = Vec::new();
    let mut seen = BTreeSet::new();
    for row in &report.flows {
        let remote = (row.flow.remote_address.unwrap(), row.flow.remote_port);
        let key = (row.flow.protocol.as_str(), row.flow.local_port, remote);
        let (kind, owners) = owners.get(&key).unwrap_or_else(|| panic!("nobody's traffic: {row:?}"));
        seen.insert(key);
        let [all, right] = scores.entry(*kind).or_default();
        *all += row.amounts.bytes();
        if owners.iter().any(|said| is_of(&row.owner, said)) {
            *right += row.amounts.bytes();
        } else {
            wrong.push(format!("{kind:?} {} of {owners:?}: {:?}", row.flow, row.owner));
        }
    }
    assert_eq!(seen.len(), owners.len(), "a row for every conversation");

    let mut times: Vec<_> = lives.iter().map(|life| life.done.life).collect();
    times.sort_unstable();
    let short = times.iter().filter(|life| **life < SHORT).count();
    let (median, last) = (times[times.len() / 2], times[times.len() - 1]);
    println!(
        "{title}: {} processes, {short} of them under {SHORT:?} (median {median:?}, {last:?})",
        times.len()
    );
    let [all, right] = scores.values().fold([0, 0], |[all, right], score| [all + score[0], right + score[1]]);
    for (kind, [all, right]) in &scores {
        println!("  {kind:?}: {right} of {all} bytes have the right owner");
    }
    println!("  all: {right} of {all} bytes, {:.3} %", right as f64 * 100.0 / all as f64);
    for line in wrong.iter().take(20) {
        println!("  wrong: {line}");
    }
    assert!(right * 1000 >= all * AT_LEAST, "{title}: {right} of {all} bytes have the right owner");
}
