//! The resolver against a name server of the tests' own, on loopback.

use std::{
    net::{Ipv4Addr, SocketAddr, UdpSocket},
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use hickory_resolver::{
    config::{NameServerConfig, ResolverConfig},
    net::runtime::TokioRuntimeProvider,
};

use super::*;

/// Answers each query after a while: an address that ends in an even number has a name, one that ends in an odd number has
/// none, and about 10.0.0.255 it is silent.
struct Server {
    address: SocketAddr,
    asked: Arc<AtomicUsize>,
}

/// Codes of the DNS (RFC 1035, 4.1.1).
const RESPONSE: u8 = 0x80;
const NO_SUCH_NAME: u8 = 3;
const HEADER: usize = 12;

impl Server {
    fn start() -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = socket.local_addr().unwrap();
        let asked = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&asked);
        // It ends with the process that runs the tests.
        std::thread::spawn(move || {
            let mut buffer = [0; 512];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                counter.fetch_add(1, Ordering::SeqCst);
                if let Some(answer) = answer(&buffer[..length]) {
                    drop(socket.send_to(&answer, from));
                }
            }
        });
        Self { address, asked }
    }

    fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }

    fn resolver(&self, hosts: &str) -> Resolver {
        let mut server = NameServerConfig::udp(self.address.ip());
        for connection in &mut server.connections {
            connection.port = self.address.port();
        }
        let config = ResolverConfig::from_parts(None, Vec::new(), vec![server]);
        let mut builder = TokioResolver::builder_with_config(config, TokioRuntimeProvider::default());
        let options = builder.options_mut();
        options.use_hosts_file = ResolveHosts::Never;
        options.cache_size = 0;
        options.attempts = 0;
        options.timeout = Duration::from_millis(300);
        Resolver::new(HostsFile::at(PathBuf::from(hosts)), Ok(builder.build().unwrap()))
    }
}

/// The answer to a query for the name of an IPv4 address.
fn answer(query: &[u8]) -> Option<Vec<u8>> {
    // The last byte of the address comes first: a length, and that many digits.
    let length = usize::from(query[HEADER]);
    let last: u8 = std::str::from_utf8(&query[HEADER + 1..=HEADER + length]).ok()?.parse().ok()?;
    let question_end = HEADER + query[HEADER..].iter().position(|byte| *byte == 0)? + 5;
    let named = last.is_multiple_of(2);
    let mut answer = query[..2].to_vec();
    answer.extend([
        RESPONSE | 1,
        0x80 | if named { 0 } else { NO_SUCH_NAME },
        0,
        1,
        0,
        u8::from(named),
        0,
        0,
        0,
        0,
    ]);
    answer.extend(&query[HEADER..question_end]);
    if named {
        let name = format!("host{last}");
        // A pointer to the question's name; PTR, IN; 300 seconds.
        answer.extend([0xc0, 12, 0, 12, 0, 1, 0, 0, 1, 44]);
        let label = u8::try_from(name.len()).unwrap();
        let mut data = vec![label];
        data.extend(name.as_bytes());
        data.extend(b"\x07example\0");
        answer.extend(u16::try_from(data.len()).unwrap().to_be_bytes());
        answer.extend(data);
    }
    (last != 255).then_some(answer)
}

fn address(last: u8) -> IpAddr {
    Ipv4Addr::new(10, 0, 0, last).into()
}

fn run<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

const LIMIT: Duration = Duration::from_secs(20);

#[test]
fn names_come_when_they_are_there() {
    run(async {
        let server = Server::start();
        let mut resolver = server.resolver("/nonexistent");
        let mut names = Names::default();
        let wanted = [address(2), address(3)];
        assert!(!resolver.update(&mut names, wanted), "nothing is known yet");
        assert_eq!(names.host(address(2)), "10.0.0.2");
        resolver.complete(&mut names, wanted, LIMIT).await;
        assert_eq!(names.host(address(2)), "host2.example");
        assert_eq!(names.host(address(3)), "10.0.0.3");
        assert_eq!(server.asked(), 2);
        // What is known, and that there is no name, is not asked for again.
        assert!(!resolver.update(&mut names, wanted));
        resolver.complete(&mut names, wanted, LIMIT).await;
        assert_eq!(server.asked(), 2);
    });
}

#[test]
fn a_silent_server_costs_the_limit_and_no_more() {
    run(async {
        let server = Server::start();
        let mut resolver = server.resolver("/nonexistent");
        let mut names = Names::default();
        let wanted: HashSet<IpAddr> = [address(255), address(2)].into();
        let started = Instant::now();
        resolver.complete(&mut names, wanted.iter().copied(), Duration::from_millis(50)).await;
        assert!(started.elapsed() < LIMIT);
        assert!(!names.hosts.contains_key(&address(255)));
        // A failure is remembered too.
        resolver.complete(&mut names, wanted.iter().copied(), LIMIT).await;
        let asked = server.asked();
        resolver.complete(&mut names, wanted.iter().copied(), LIMIT).await;
        assert_eq!((server.asked(), resolver.pending.len()), (asked, 0));
        assert_eq!(names.host(address(2)), "host2.example");
    });
}

#[test]
fn a_full_queue_is_asked_again() {
    /// Addresses than the queue has room for, and yet so few that the server is done before anybody loses patience.
    const MORE: u32 = 1200;
    run(async {
        let server = Server::start();
        let mut resolver = server.resolver("/nonexistent");
        let mut names = Names::default();
        let wanted: HashSet<IpAddr> =
            (0..MORE).map(|number| Ipv4Addr::from_bits(0x0a01_0000 + number * 2).into()).collect();
        resolver.update(&mut names, wanted.iter().copied());
        assert_eq!((resolver.pending.len(), resolver.running.len()), (QUEUE, CONCURRENT));
        resolver.complete(&mut names, wanted.iter().copied(), LIMIT).await;
        assert_eq!(names.hosts.len(), wanted.len());
        assert_eq!(server.asked(), wanted.len());
    });
}

#[test]
fn the_hosts_file_comes_first_and_names_of_links_are_not_asked_for() {
    run(async {
        let server = Server::start();
        let path = std::env::temp_dir().join(format!("flowtally-names-{}", std::process::id()));
        std::fs::write(&path, "10.0.0.2 first second\nfe80::1 router\n").unwrap();
        let mut resolver = server.resolver(path.to_str().unwrap());
        let mut names = Names::default();
        let wanted = ["10.0.0.2", "fe80::1", "fe80::2", "fec0::1", "169.254.0.1", "0.0.0.0", "::"];
        let wanted = wanted.map(|address| address.parse::<IpAddr>().unwrap());
        assert!(resolver.update(&mut names, wanted), "at once");
        std::fs::remove_file(&path).unwrap();
        assert_eq!(names.host(address(2)), "first");
        assert_eq!(names.host(wanted[1]), "router");
        assert_eq!((resolver.pending.len(), server.asked()), (0, 0));
    });
}

#[test]
fn without_a_name_server_the_hosts_file_serves() {
    run(async {
        let mut resolver = Resolver::new(HostsFile::at("/nonexistent".into()), Err("no server".to_owned()));
        let mut names = Names::default();
        assert_eq!(resolver.unavailable(), Some("no server"));
        resolver.complete(&mut names, [address(2)], LIMIT).await;
        assert!(names.hosts.is_empty());
    });
}

#[test]
fn a_name_server_may_say_anything() {
    let name = |labels: &[&[u8]]| title(&domain::Name::from_labels(labels.iter().copied()).unwrap());
    assert_eq!(name(&[b"www", b"example", b"com"]), "www.example.com");
    assert_eq!(name(&[b"xn--bcher-kva", b"example"]), "b\u{fc}cher.example");
    assert_eq!(name(&[b"a\x1b[2J", "\u{202e}".as_bytes()]), "a\x1b[2J.\u{202e}");
    assert_eq!(name(&[b"\xff=", b"x"]).as_bytes(), b"\xff=.x");
}
