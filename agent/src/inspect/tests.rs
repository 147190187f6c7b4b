//! Pages: what is joined with what, as text and as JSON that its schema holds to.

use std::{
    collections::{BTreeSet, HashMap},
    net::SocketAddr,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;

use super::{
    BytesBothWays, CountedFlow, InspectPage, InspectTarget, Matched, MatchedSocket, NamespaceAddresses,
    OpenDescriptor, write,
};
use crate::{
    documents::Schema,
    files::PageFormat,
    format::hostile,
    model::{
        held::{Access, FileFacts, FileId, Findings, Hold, How, Sighting, Storage},
        owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
        portrait::{OpenFiles, OpenLog, Parent, Portrait},
        protocol::Kind,
    },
};

const SCHEMA: &str = include_str!("../../../docs/inspect.schema.json");
/// 2026-03-01T03:00:00Z.
const STARTED: Duration = Duration::from_hours(492_315);
const HOST: u64 = 4_026_531_840;
const POD: u64 = 4_026_532_700;

fn end(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn socket(
    kind: Kind,
    local: &str,
    remote: Option<&str>,
    netns: u64,
    holders: &[(u32, u32)],
) -> MatchedSocket {
    let is_here = netns == HOST;
    MatchedSocket {
        kind,
        protocol: kind.to_string(),
        local: end(local),
        remote: remote.map(end),
        state: match (kind, remote) {
            (Kind::TCP, None) => "LISTEN",
            (Kind::TCP, Some(_)) => "ESTABLISHED",
            _ => "",
        },
        listens: kind == Kind::TCP && remote.is_none(),
        netns: Netns { inode: Some(netns), name: if is_here { "host".into() } else { String::new().into() } },
        is_here,
        holders: holders
            .iter()
            .map(|(pid, fd)| OpenDescriptor { pid: *pid, fd: *fd, thread: None })
            .collect(),
        nobody: Reason::KernelStack,
    }
}

fn flow(kind: Kind, local: &str, remote: &str, sent: u64, received: u64) -> CountedFlow {
    let amount = BytesBothWays { sent, received };
    let (local, remote) = (end(local), end(remote));
    CountedFlow { kind, local, remote, amount, attribution: None }
}

/// A web server of three processes, a resolver, a client on the same host, and a container with an address of the host.
fn sockets() -> Vec<MatchedSocket> {
    vec![
        socket(Kind::TCP, "[::]:443", None, HOST, &[(812, 6), (813, 6), (814, 6)]),
        socket(Kind::TCP, "10.0.0.5:443", Some("192.0.2.7:51000"), HOST, &[(813, 9)]),
        socket(Kind::TCP, "10.0.0.5:443", Some("192.0.2.8:51001"), HOST, &[(814, 9), (814, 12)]),
        socket(Kind::TCP, "10.0.0.5:443", Some("192.0.2.9:51002"), HOST, &[]),
        socket(Kind::TCP, "10.0.0.5:443", Some("192.0.2.7:51000"), POD, &[(990, 3)]),
        socket(Kind::UDP, "0.0.0.0:53", None, HOST, &[(700, 5)]),
        socket(Kind::UDP, "10.0.0.5:53", None, HOST, &[(701, 5)]),
        socket(Kind::TCP, "127.0.0.1:40000", Some("127.0.0.1:8080"), HOST, &[(900, 4)]),
        socket(Kind::TCP, "127.0.0.1:8080", Some("127.0.0.1:40000"), HOST, &[(901, 4)]),
    ]
}

fn flows() -> Vec<CountedFlow> {
    let mut flows = vec![
        // A part of it over each slave of a bond.
        flow(Kind::TCP, "10.0.0.5:443", "192.0.2.7:51000", 2_900_000, 20_000),
        flow(Kind::TCP, "10.0.0.5:443", "192.0.2.7:51000", 100_000, 10_000),
        // The other way round: it passes through.
        flow(Kind::TCP, "192.0.2.8:51001", "10.0.0.5:443", 600, 6000),
        flow(Kind::TCP, "10.0.0.5:443", "192.0.2.99:60000", 900, 90),
        flow(Kind::UDP, "10.0.0.5:53", "192.0.2.1:1000", 100, 50),
        flow(Kind::UDP, "10.0.0.6:53", "192.0.2.1:1000", 70, 7),
        flow(Kind::TCP, "127.0.0.1:40000", "127.0.0.1:8080", 1000, 9000),
        flow(Kind::TCP, "10.0.0.5:40999", "198.51.100.4:25", 5000, 500),
    ];
    let attribution = Attribution { owners: vec![owner(1234, "sendmail")], reason: Reason::Connected };
    flows[7].attribution = Some(Arc::new(attribution));
    flows
}

/// The host has the addresses 10.0.0.5 and 10.0.0.6, the container 10.0.0.5 and 172.17.0.2.
fn places() -> NamespaceAddresses {
    let set = |addresses: &[&str]| addresses.iter().map(|address| address.parse().unwrap()).collect();
    let addresses = HashMap::from([
        (HOST, set(&["127.0.0.1", "10.0.0.5", "10.0.0.6"])),
        (POD, set(&["127.0.0.1", "10.0.0.5", "172.17.0.2"])),
    ]);
    NamespaceAddresses { own: Some(HOST), addresses }
}

fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        id: ProcessId { pid, start: Some(u64::from(pid)) },
        start_time: Some(SystemTime::UNIX_EPOCH + STARTED - Duration::from_secs(93_784)),
        command: command.into(),
        executable: Some(format!("/usr/sbin/{command}").into()),
        uid: Some(33),
        user: Some("www-data".into()),
        container: Some(Container { runtime: Runtime::Docker, name: "3f2a9c11b0de".into() }),
        netns: Some(Netns { inode: Some(HOST), name: "host".into() }),
    }
}

/// A deleted file as it was seen: where it lies and how many bytes it takes, for one that could be asked.
fn seen(inode: u64, how: How, path: &[u8], facts: Option<(Storage, u64)>) -> Sighting {
    let id = FileId { device: (0, 1), inode };
    let facts = facts.map(|(storage, held)| FileFacts { id, directory: false, storage, size: held, held });
    Sighting { process: 0, id, facts, path: path.to_vec(), hold: Hold { how, access: Access::Write } }
}

fn portraits() -> HashMap<u32, Portrait> {
    let files = OpenFiles {
        counts: vec![("file", 12), ("socket", 3), ("pipe", 1)],
        logs: (4..11)
            .map(|fd| OpenLog { fd, path: format!("/var/log/site{fd}.log").into_bytes(), size: 1 << 20 })
            .collect(),
        held: Findings {
            processes: vec![owner(7, "nginx")],
            sightings: vec![
                seen(15, How::Descriptor(15), b"/var/log/old\n.log", Some((Storage::Disk, 3 << 29))),
                seen(17, How::Mapped(0x7f00_0000_0000, 0x7f00_0000_1000), b"/usr/lib/libssl.so.3", None),
                seen(16, How::Descriptor(16), b"/memfd:x", Some((Storage::Memory, 4096))),
            ],
            ..Findings::default()
        },
    };
    let portrait = |pid, files| Portrait {
        owner: owner(pid, "nginx"),
        arguments: vec!["nginx: worker process".into()],
        parents: vec![
            Parent { pid: 812, command: "nginx".into() },
            Parent { pid: 1, command: "systemd".into() },
        ],
        files,
    };
    HashMap::from([
        (812, portrait(812, Some(files))),
        (813, portrait(813, Some(OpenFiles::default()))),
        (814, portrait(814, None)),
    ])
}

fn matched(target: &str, named: &[u32]) -> (InspectTarget, Matched) {
    let target: InspectTarget = target.parse().unwrap();
    let named: BTreeSet<u32> = named.iter().copied().collect();
    let matched = Matched::new(&target, sockets(), &flows(), &places(), &named);
    (target, matched)
}

fn print(target: &str, named: &[u32], seconds: Option<f64>, format: PageFormat, width: usize) -> String {
    let (target, matched) = matched(target, named);
    let page = InspectPage {
        target: &target,
        started: SystemTime::UNIX_EPOCH + STARTED,
        seconds,
        interfaces: if seconds.is_some() { vec!["eth0".to_owned(), "lo".to_owned()] } else { Vec::new() },
        matched,
        portraits: portraits(),
        notes: vec!["Sockets of process 9 could not be read.".to_owned()],
    };
    let mut out = Vec::new();
    write(&mut out, &page, format, width).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn pages_for_people() {
    let text = |target, named: &[u32], seconds, width| print(target, named, seconds, PageFormat::Text, width);
    insta::assert_snapshot!("a_port", text(":443", &[], Some(3.0), 120));
    insta::assert_snapshot!("a_port_without_a_measurement", text(":443", &[], None, 80));
    insta::assert_snapshot!("a_process", text("813", &[813], Some(3.0), 120));
    insta::assert_snapshot!("an_address_of_traffic_alone", text("198.51.100.4", &[], Some(3.0), 120));
}

#[test]
fn addresses_are_whole_at_every_width() {
    const LOCAL: &str = "[2001:db8:1111:2222:3333:4444:5555:6666]:40443";
    const REMOTE: &str = "[2001:db8:aaaa:bbbb:cccc:dddd:eeee:ffff]:51000";
    const LISTENER: &str = "[fe80::1111:2222:3333:4444%12]:40443";
    const PEER: &str = "[fe80::ffff:eeee:dddd:cccc]:60000";
    let target: InspectTarget = ":40443".parse().unwrap();
    let sockets = vec![
        socket(Kind::TCP, LISTENER, None, HOST, &[(812, 6), (813, 6)]),
        socket(Kind::TCP, LOCAL, Some(REMOTE), POD, &[(813, 9)]),
        socket(Kind::TCP, "192.0.2.77:40443", Some("198.51.100.234:51000"), HOST, &[]),
    ];
    let flows = [flow(Kind::TCP, LOCAL, REMOTE, 3_000_000, 30_000), flow(Kind::TCP, LISTENER, PEER, 900, 90)];
    for width in (20..=160).chain([crate::format::grid::UNLIMITED]) {
        let page = InspectPage {
            target: &target,
            started: SystemTime::UNIX_EPOCH + STARTED,
            seconds: Some(3.0),
            interfaces: Vec::new(),
            matched: Matched::new(&target, sockets.clone(), &flows, &places(), &BTreeSet::new()),
            portraits: HashMap::new(),
            notes: Vec::new(),
        };
        let mut out = Vec::new();
        write(&mut out, &page, PageFormat::Text, width).unwrap();
        let text = String::from_utf8(out).unwrap();
        for end in [LOCAL, REMOTE, LISTENER, PEER, "192.0.2.77:40443", "198.51.100.234:51000"] {
            assert!(text.split_whitespace().any(|word| word == end), "{width}: no {end} in\n{text}");
        }
        for line in text.lines().filter(|line| line.starts_with("    ")) {
            let alone = line.split_whitespace().count() == 1;
            assert!(line.chars().count() <= width || alone, "{width}: {line}");
        }
        if width == 100 {
            insta::assert_snapshot!("long_addresses_on_100_columns", text);
        }
    }
}

#[test]
fn traffic_is_that_of_its_socket_and_counts_once() {
    let (_, matched) = matched(":443", &[]);
    let of = |pid: u32| {
        let lines = &matched.owned.iter().find(|(owner, _)| *owner == pid).unwrap().1;
        lines.iter().map(|line| (line.amount.sent, line.amount.received)).collect::<Vec<_>>()
    };
    // Of two namespaces the one that is measured.
    assert_eq!(of(813), [(3_000_000, 30_000)]);
    assert_eq!(of(990), [(0, 0)]);
    assert_eq!(of(814), [(6000, 600)]);
    // A connection that came and went is the listener's.
    assert_eq!(of(812), [(900, 90)]);
    assert_eq!(matched.owned.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [813, 814, 812, 990]);
    assert_eq!(matched.unowned.len(), 1);
    assert!(matched.strays.is_empty());
}

#[test]
fn a_datagram_socket_has_the_peers_of_its_own_address() {
    let (_, matched) = matched(":53", &[]);
    let peers: Vec<_> = matched
        .owned
        .iter()
        .map(|(pid, lines)| (*pid, lines[0].amount.sent, lines[0].peers.len(), lines[0].peers[0].end))
        .collect();
    let peer = end("192.0.2.1:1000");
    assert_eq!(peers, [(701, 100, 1, peer), (700, 70, 1, peer)]);
    // A peer can be what is asked for.
    let (_, asked) = self::matched("192.0.2.1", &[]);
    assert_eq!(asked.owned.iter().map(|(pid, _)| *pid).collect::<Vec<_>>(), [701, 700]);
}

#[test]
fn a_socket_of_any_address_has_the_traffic_of_its_own_namespace_alone() {
    let sockets = || {
        vec![
            socket(Kind::UDP, "0.0.0.0:53", None, HOST, &[(700, 5)]),
            socket(Kind::UDP, "[::]:53", None, POD, &[(990, 5)]),
        ]
    };
    let owners = |flow: CountedFlow| {
        let matched = Matched::new(&":53".parse().unwrap(), sockets(), &[flow], &places(), &BTreeSet::new());
        let busy = matched.owned.iter().filter(|(_, lines)| lines[0].amount.total() > 0);
        (busy.map(|(pid, _)| *pid).collect::<Vec<_>>(), matched.strays.len())
    };
    let between = |local, remote| flow(Kind::UDP, local, remote, 1, 1);
    assert_eq!(owners(between("10.0.0.6:53", "192.0.2.1:1000")), (vec![700], 0));
    assert_eq!(owners(between("172.17.0.2:53", "192.0.2.1:1000")), (vec![990], 0));
    // An address that both have is the one of the interfaces that are measured.
    assert_eq!(owners(between("10.0.0.5:53", "192.0.2.1:1000")), (vec![700], 0));
    // A name server elsewhere is neither of them.
    assert_eq!(owners(between("10.0.0.5:40000", "192.0.2.53:53")), (vec![], 1));
    assert_eq!(owners(between("224.0.0.251:53", "192.0.2.1:53")), (vec![700], 0));
}

#[test]
fn on_loopback_both_ends_have_the_traffic() {
    let (_, matched) = matched("127.0.0.1:8080", &[]);
    let amounts: Vec<_> = matched.owned.iter().map(|(pid, lines)| (*pid, lines[0].amount)).collect();
    assert!(amounts.contains(&(900, BytesBothWays { sent: 1000, received: 9000 })), "{amounts:?}");
    assert!(amounts.contains(&(901, BytesBothWays { sent: 9000, received: 1000 })), "{amounts:?}");
}

#[test]
fn processes_that_are_asked_for_are_there_without_sockets_too() {
    let (_, matched) = matched("nginx", &[813, 5000]);
    let counts: Vec<_> = matched.owned.iter().map(|(pid, lines)| (*pid, lines.len())).collect();
    // The listener is listed under the one that was asked for, not under the first that has it open.
    assert_eq!(counts, [(813, 2), (5000, 0)]);
    let listener = matched.owned[0].1.iter().find(|line| line.socket.listens).unwrap();
    assert_eq!(listener.descriptors().collect::<Vec<_>>(), [(6, None)]);
    assert_eq!(listener.others().collect::<Vec<_>>(), [812, 814]);
}

#[test]
fn a_connection_that_came_and_went_is_its_owners() {
    let (_, matched) = matched("sendmail", &[]);
    let [stray] = &matched.strays[..] else { panic!("{:?}", matched.strays) };
    assert_eq!(stray.remote, end("198.51.100.4:25"));
    assert_eq!(self::matched("1234", &[1234]).1.strays.len(), 1);
    assert_eq!(self::matched("nginx", &[812]).1.strays.len(), 0);
}

#[test]
fn what_nothing_matches_is_empty() {
    assert!(matched(":1", &[]).1.is_empty());
    assert!(matched("203.0.113.1", &[]).1.is_empty());
    assert!(!matched("198.51.100.4:25", &[]).1.is_empty());
}

#[test]
fn documents_are_valid() {
    let schema = Schema::new(SCHEMA);
    for (target, named, seconds) in [
        (":443", &[][..], Some(3.0)),
        (":53", &[], Some(3.0)),
        ("813", &[813, 1], None),
        ("198.51.100.4", &[], Some(3.0)),
    ] {
        let document: Value =
            serde_json::from_str(&print(target, named, seconds, PageFormat::Json, 80)).unwrap();
        schema.check(&document);
        let places = [
            "",
            "/owners/0",
            "/owners/0/process",
            "/owners/0/process/parents/0",
            "/owners/0/sockets/0",
            "/owners/0/sockets/0/peers/0",
            "/owners/2/files",
            "/owners/2/files/logs/0",
            "/owners/2/files/deleted/0",
            "/traffic_without_socket/0",
            "/traffic_without_socket/0/owners/0",
        ];
        schema.check_fields(&document, &places, |_, _| false);
    }
}

#[test]
fn names_that_were_chosen_to_do_harm_are_harmless_in_text_and_true_in_json() {
    for name in hostile::names() {
        let (_, mut matched) = matched(":443", &[812]);
        for line in matched.owned.iter_mut().flat_map(|(_, lines)| lines) {
            line.socket.netns.name = name.clone().into();
        }
        let mut portraits = portraits();
        for portrait in portraits.values_mut() {
            let owner = &mut portrait.owner;
            (owner.command, owner.executable) = (name.clone().into(), Some(name.clone().into()));
            owner.container = Some(Container { runtime: Runtime::Systemd, name: name.clone().into() });
            owner.netns = Some(Netns { inode: None, name: name.clone().into() });
            portrait.arguments = vec![name.clone().into(), "x".into()];
            portrait.parents = vec![Parent { pid: 1, command: name.clone().into() }];
            for log in portrait.files.iter_mut().flat_map(|files| &mut files.logs) {
                log.path.clone_from(&name);
            }
            for file in portrait.files.iter_mut().flat_map(|files| &mut files.held.sightings) {
                file.path.clone_from(&name);
            }
        }
        let text = String::from_utf8_lossy(&name).into_owned();
        let target = InspectTarget::Command(text.clone());
        let page = InspectPage {
            target: &target,
            started: SystemTime::UNIX_EPOCH + STARTED,
            seconds: Some(1.0),
            interfaces: vec![text.clone()],
            matched,
            portraits,
            notes: vec![text.clone()],
        };
        let print = |format| {
            let mut out = Vec::new();
            write(&mut out, &page, format, 80).unwrap();
            String::from_utf8(out).unwrap()
        };
        // A note may have lines, and so nothing else is here.
        hostile::assert_harmless(&print(PageFormat::Text));
        let json = print(PageFormat::Json);
        hostile::assert_harmless(&json);
        let document: Value = serde_json::from_str(&json).unwrap();
        assert_eq!(document["target"], text);
        Schema::new(SCHEMA).check(&document);
        let owner = &document["owners"][0];
        let process = &owner["process"];
        for field in ["command", "executable", "container"] {
            assert_eq!(hostile::of_json(process, field), name, "{field}");
        }
        let netns = if name.is_empty() { b"gone".to_vec() } else { name.clone() };
        assert_eq!(hostile::of_json(process, "netns"), netns);
        assert_eq!(hostile::of_json(&process["parents"][0], "command"), name);
        assert_eq!(hostile::of_json(&owner["files"]["logs"][0], "path"), name);
        assert_eq!(hostile::of_json(&owner["files"]["deleted"][0], "path"), name);
        match process.get("arguments_hex") {
            Some(hex) => assert_eq!(hostile::of_hex(hex[0].as_str().unwrap()), name),
            None => assert_eq!(process["arguments"][0].as_str().unwrap().as_bytes(), name),
        }
    }
}
