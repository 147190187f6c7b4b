//! Sockets of this process and its children, on the real kernel. Namespaces need root: without it those tests say so.

use std::{
    fs::File,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
    process::{Child, Command, Stdio},
    thread,
    time::Duration,
};

use nix::sched::{CloneFlags, unshare};
use rustix::{fs::fstat, net::sockopt::socket_cookie};

use super::*;
use crate::flow::row::{InterfaceId, RowKey};

const LOOPBACK: u32 = 1;

fn question(kind: Kind, local: SocketAddr, remote: SocketAddr) -> OwnerQuestion {
    let mapped = |address: SocketAddr| match address.ip() {
        IpAddr::V4(address) => address.to_ipv6_mapped(),
        IpAddr::V6(address) => address,
    };
    let row = RowKey {
        local: mapped(local),
        remote: mapped(remote),
        local_port: local.port(),
        remote_port: remote.port(),
        vlan: 0,
        interface: InterfaceId(0),
        kind,
    };
    OwnerQuestion { row, ifindex: LOOPBACK, local_is_own: true, socket: SocketHint::NONE, seen: [true; 2] }
}

fn answer(owners: &mut Owners, question: OwnerQuestion) -> Attribution {
    let answers = owners.answer(&[question], &mut |_| None, Look::Final, Instant::now());
    answers[0].as_deref().expect("the last look answers everything").clone()
}

fn pids(answer: &Attribution) -> (Vec<u32>, Reason) {
    (answer.owners.iter().map(|owner| owner.id.pid).collect(), answer.reason)
}

/// Asks until this is the answer: for a moment, a process that another test starts has everything open that this one has.
fn expect(owners: &mut Owners, question: OwnerQuestion, pids: Vec<u32>, reason: Reason) {
    let deadline = Instant::now() + Duration::from_secs(20);
    let expected = (pids, reason);
    let mut found = self::pids(&answer(owners, question));
    while found != expected && Instant::now() < deadline {
        found = self::pids(&answer(owners, question));
    }
    assert_eq!(found, expected, "{:?}", question.row);
}

/// A process that has these open as its standard input and output until it is told to end.
struct Heir(Child);

impl Heir {
    fn of(socket: impl AsFd) -> Self {
        let copy: OwnedFd = socket.as_fd().try_clone_to_owned().unwrap();
        Self(Command::new("sleep").arg("1000").stdin(Stdio::from(copy)).spawn().unwrap())
    }
}

impl Drop for Heir {
    fn drop(&mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

/// Whether the reason for "nobody has it open" can be told on this host: not while a process hides its descriptors.
fn sees_everybody(owners: &Owners) -> bool {
    owners.host.holders.is_complete
}

#[test]
fn connections_listeners_and_datagrams_are_this_processs() {
    let me = std::process::id();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let bound = UdpSocket::bind("0.0.0.0:0").unwrap();
    let connected = UdpSocket::bind("[::1]:0").unwrap();
    connected.connect("[::1]:9").unwrap();
    let mapped = UdpSocket::bind("[::]:0").unwrap();
    let mut owners = Owners::new();
    let to = |address: &str| address.parse::<SocketAddr>().unwrap();
    let any = |socket: &UdpSocket| SocketAddr::from(([127, 0, 0, 1], socket.local_addr().unwrap().port()));
    for (name, kind, local, remote, reason) in [
        ("client", Kind::TCP, client.local_addr().unwrap(), client.peer_addr().unwrap(), Reason::Open),
        ("server", Kind::TCP, server.local_addr().unwrap(), server.peer_addr().unwrap(), Reason::Open),
        ("over", Kind::TCP, listener.local_addr().unwrap(), to("127.0.0.1:1"), Reason::Listener),
        ("bound", Kind::UDP, any(&bound), to("127.0.0.1:9"), Reason::Open),
        ("connected", Kind::UDP, connected.local_addr().unwrap(), to("[::1]:9"), Reason::Open),
        ("v4-mapped", Kind::UDP, any(&mapped), to("127.0.0.1:9"), Reason::Open),
    ] {
        eprintln!("{name}");
        expect(&mut owners, question(kind, local, remote), vec![me], reason);
    }
    let owner = &answer(&mut owners, question(Kind::UDP, any(&bound), to("127.0.0.1:9"))).owners[0];
    assert_eq!(owner.executable, std::env::current_exe().ok().map(|path| path.as_os_str().into()));
    assert_eq!(owner.netns.as_ref().and_then(|netns| netns.inode), crate::host::netns::own());
    let port = bound.local_addr().unwrap().port();
    drop(bound);
    let closed = question(Kind::UDP, SocketAddr::from(([127, 0, 0, 1], port)), to("127.0.0.1:9"));
    let closed = OwnerQuestion { seen: [false, true], ..closed };
    expect(&mut owners, closed, vec![], Reason::NoSocket);
}

#[test]
fn a_cookie_is_enough_and_a_socket_may_have_several_owners() {
    let me = std::process::id();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let heir = Heir::of(&socket);
    let nowhere: SocketAddr = "127.0.0.1:0".parse().unwrap();
    let hint = SocketHint(socket_cookie(&socket).unwrap());
    let asked = OwnerQuestion { socket: hint, ..question(Kind::UDP, nowhere, nowhere) };
    let mut owners = Owners::new();
    let found = answer(&mut owners, asked);
    let mut both = vec![me, heir.0.id()];
    both.sort_unstable();
    assert_eq!(pids(&found), (both, Reason::Open));
    // What is known is said again without reading anything, and is the same answer.
    let again = owners.answer(&[asked, asked], &mut |_| None, Look::Yes, Instant::now());
    let [Some(first), Some(second)] = &again[..] else { panic!("{again:?}") };
    assert!(Arc::ptr_eq(first, second) && **first == found);
    assert!(!owners.host.was_read());
    // The heir alone has it now, and then nobody.
    drop(socket);
    let mut owners = Owners::new();
    expect(&mut owners, asked, vec![heir.0.id()], Reason::Open);
    drop(heir);
    expect(&mut owners, asked, vec![], Reason::Gone);
}

#[test]
fn notes_answer_without_reading_anything() {
    let child = Heir::of(File::open("/dev/null").unwrap());
    let note = |start_time: u64, occasion: Occasion| {
        let mut command = [0; 16];
        command[..4].copy_from_slice(b"brie");
        let noted = processes::since_boot();
        let tgid = child.0.id();
        SocketNote {
            tgid,
            start_time,
            noted,
            uid: 0,
            command,
            occasion: occasion as u8,
            ..SocketNote::default()
        }
    };
    let mut owners = Owners::new();
    let (near, far) = ("127.0.0.1:40000".parse().unwrap(), "127.0.0.1:80".parse().unwrap());
    let asked = OwnerQuestion { socket: SocketHint(77), ..question(Kind::TCP, near, far) };
    let mut ask = |note: SocketNote, look| {
        let answers =
            owners.answer(&[asked], &mut |cookie| (cookie == 77).then_some(note), look, Instant::now());
        answers[0].as_deref().expect("a note is an answer").clone()
    };
    let noted = ask(note(10_000_000, Occasion::Connected), Look::No);
    assert_eq!(noted.reason, Reason::Connected);
    let owner = &noted.owners[0];
    assert_eq!((&owner.command, owner.id.start, owner.executable.as_ref()), (&"brie".into(), Some(1), None));
    // Another process has the number now; or the same one, which says more.
    let other = ask(note(10_000_000, Occasion::Closed), Look::Yes);
    assert_eq!((&other.owners[0].command, other.reason), (&"brie".into(), Reason::Closed));
    let same = ask(note(0, Occasion::Created), Look::Yes);
    assert_eq!((same.owners[0].id.pid, same.reason), (child.0.id(), Reason::Created));
    assert!(same.owners[0].executable.is_some());
    assert!(!owners.host.was_read());
    // Without a note there is no answer yet, and no reading while nobody looks.
    let answers = owners.answer(&[asked], &mut |_| None, Look::No, Instant::now());
    assert_eq!(answers, [None]);
}

#[test]
fn what_a_noted_process_shared_or_left_behind_is_found() {
    let me = std::process::id();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let hint = SocketHint(socket_cookie(&socket).unwrap());
    let far = "127.0.0.1:9".parse().unwrap();
    let asked = OwnerQuestion { socket: hint, ..question(Kind::UDP, socket.local_addr().unwrap(), far) };
    let note = |pid| {
        let noted = processes::since_boot();
        SocketNote { tgid: pid, noted, occasion: Occasion::Created as u8, ..SocketNote::default() }
    };
    let ask = |owners: &mut Owners, pid, now| {
        let answers = owners.answer(&[asked], &mut |_| Some(note(pid)), Look::Yes, now);
        answers[0].as_deref().map(pids)
    };
    // This process has a child, which has inherited it.
    let heir = Heir::of(&socket);
    let mut owners = Owners::new();
    let mut both = vec![me, heir.0.id()];
    both.sort_unstable();
    let start = Instant::now();
    assert_eq!(ask(&mut owners, me, start), Some((both, Reason::Created)));
    // One who has ended has left it to this process; as long as the host may not be read, that is not known.
    drop(heir);
    let mut ended = Command::new("true").spawn().unwrap();
    ended.wait().unwrap();
    let mut owners = Owners::new();
    owners.budget.spend(start, Duration::from_secs(1));
    assert_eq!(ask(&mut owners, ended.id(), start), None);
    let later = start + Duration::from_hours(1);
    // The kernel has forgotten its note meanwhile.
    let answers = owners.answer(&[asked], &mut |_| None, Look::Yes, later);
    assert_eq!(answers[0].as_deref().map(pids), Some((vec![me], Reason::Open)));
    // The socket has ended too: the note says all there is.
    drop(socket);
    let mut owners = Owners::new();
    assert_eq!(ask(&mut owners, ended.id(), start), Some((vec![ended.id()], Reason::Created)));
    assert!(!owners.host.was_read());
}

#[test]
fn a_connection_that_is_over_is_the_listeners_or_gone() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    let (near, far) = (client.local_addr().unwrap(), client.peer_addr().unwrap());
    // Whoever closes first keeps the connection in TIME-WAIT.
    drop(client);
    drop(server);
    let mut owners = Owners::new();
    expect(&mut owners, question(Kind::TCP, near, far), vec![], Reason::Gone);
    expect(&mut owners, question(Kind::TCP, far, near), vec![std::process::id()], Reason::Listener);
    // From then on only the kernel answers for it.
    expect(&mut owners, question(Kind::TCP, near, far), vec![], Reason::KernelStack);
}

#[test]
fn a_budget_puts_readings_off() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asked = question(Kind::UDP, socket.local_addr().unwrap(), "127.0.0.1:9".parse().unwrap());
    let mut owners = Owners::new();
    let start = Instant::now();
    let first = owners.answer(&[asked], &mut |_| None, Look::Yes, start);
    assert!(first[0].is_some() && owners.host.was_read());
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    let asked = question(Kind::UDP, other.local_addr().unwrap(), "127.0.0.1:9".parse().unwrap());
    assert_eq!(owners.answer(&[asked], &mut |_| None, Look::Yes, start), [None]);
    let later = start + Duration::from_hours(1);
    assert!(owners.answer(&[asked], &mut |_| None, Look::Yes, later)[0].is_some());
}

#[test]
fn what_nobody_has_open_has_a_reason() {
    let mut owners = Owners::new();
    // A socket that this process has closed, but for the copy on its way through another socket: no process has it open.
    let (left, right) = std::os::unix::net::UnixDatagram::pair().unwrap();
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let local = socket.local_addr().unwrap();
    let mut space = [std::mem::MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = rustix::net::SendAncillaryBuffer::new(&mut space);
    let files = [socket.as_fd()];
    assert!(ancillary.push(rustix::net::SendAncillaryMessage::ScmRights(&files)));
    let data = [std::io::IoSlice::new(b"x")];
    rustix::net::sendmsg(&left, &data, &mut ancillary, rustix::net::SendFlags::empty()).unwrap();
    drop(socket);
    let asked = question(Kind::UDP, local, "127.0.0.1:9".parse().unwrap());
    let mut found = answer(&mut owners, asked);
    while !found.owners.is_empty() {
        // A process that another test has just started.
        found = answer(&mut owners, asked);
    }
    // Which of the two depends on whether a process that may not be read lives in this namespace.
    assert!(matches!(found.reason, Reason::Kernel | Reason::NotPermitted), "{found:?}");
    assert_eq!(owners.degraded().is_empty(), sees_everybody(&owners), "{:?}", owners.degraded());
    // Were all of /proc readable: the socket is there, and no process has it.
    owners.host.holders.refused.clear();
    owners.host.holders.sees_all = true;
    owners.host.find_kernels(&[asked]);
    assert_eq!(pids(&owners.by_the_host(&asked)), (vec![], Reason::Kernel));
    drop(right);
}

#[test]
fn groups_raw_and_packet_sockets_have_owners() {
    use rustix::net::{AddressFamily, SocketFlags, SocketType, eth, ipproto, socket_with};
    let me = vec![std::process::id()];
    let mut owners = Owners::new();
    let member = UdpSocket::bind("0.0.0.0:0").unwrap();
    let port = member.local_addr().unwrap().port();
    let (other, group) = ("192.0.2.9:9".parse().unwrap(), SocketAddr::from(([239, 1, 2, 3], port)));
    let received =
        OwnerQuestion { local_is_own: false, seen: [false, true], ..question(Kind::UDP, other, group) };
    expect(&mut owners, received, me.clone(), Reason::Open);
    let sent = SocketAddr::from(([127, 0, 0, 1], port));
    expect(&mut owners, question(Kind::UDP, sent, group), me.clone(), Reason::Open);
    if !is_root() {
        return;
    }
    let (near, far) = ("127.0.0.1:8".parse().unwrap(), "127.0.0.1:0".parse().unwrap());
    let echo = question(Kind::Ip(1), near, far);
    let ospf = question(Kind::Ip(89), far, far);
    let lldp = question(Kind::Frame(0x88cc), far, far);
    for asked in [ospf, lldp] {
        expect(&mut owners, asked, vec![], Reason::KernelStack);
    }
    let raw = |protocol| {
        socket_with(AddressFamily::INET, SocketType::RAW, SocketFlags::CLOEXEC, Some(protocol)).unwrap()
    };
    let _open = [raw(ipproto::ICMP), raw(rustix::net::Protocol::from_raw(89.try_into().unwrap()))];
    let lldp_number = u32::from(0x88cc_u16.to_be()).try_into().unwrap();
    let frames = socket_with(
        AddressFamily::PACKET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(rustix::net::Protocol::from_raw(lldp_number)),
    )
    .unwrap();
    let all =
        socket_with(AddressFamily::PACKET, SocketType::RAW, SocketFlags::CLOEXEC, Some(eth::ALL)).unwrap();
    for asked in [echo, ospf, lldp] {
        let found = answer(&mut owners, asked);
        assert!(found.owners.iter().any(|owner| me.contains(&owner.id.pid)), "{:?} {found:?}", asked.row);
        assert_eq!(found.reason, Reason::Open);
    }
    drop(frames);
    // One that takes everything owns nothing by that; what it sends is its own.
    expect(&mut owners, lldp, vec![], Reason::KernelStack);
    let hint = SocketHint(socket_cookie(&all).unwrap());
    expect(&mut owners, OwnerQuestion { socket: hint, ..lldp }, me, Reason::Open);
}

/// A process in a network namespace of its own, with a UDP socket; and a file of the namespace.
struct Tenant {
    heir: Heir,
    cookie: u64,
    local: SocketAddr,
    inode: u64,
}

impl Tenant {
    fn new(port: u16) -> Self {
        thread::spawn(move || {
            unshare(CloneFlags::CLONE_NEWNET).unwrap();
            let file = File::open("/proc/thread-self/ns/net").unwrap();
            let up = Command::new("ip").args(["link", "set", "lo", "up"]).status();
            assert!(up.is_ok_and(|status| status.success()), "install iproute2: `apt-get install iproute2`");
            let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
            socket.connect((Ipv4Addr::LOCALHOST, 9)).unwrap();
            let cookie = socket_cookie(&socket).unwrap();
            let (local, inode) = (socket.local_addr().unwrap(), fstat(&file).unwrap().st_ino);
            Self { heir: Heir::of(&socket), cookie, local, inode }
        })
        .join()
        .unwrap()
    }
}

fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("not tested: making network namespaces needs root");
    }
    is_root
}

#[test]
fn a_socket_of_the_kernel_is_told_where_no_process_lives() {
    if !is_root() {
        return;
    }
    let ask = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        for arguments in ["link set lo up", "link add vxlan7 type vxlan id 7 local 127.0.0.1 dstport 4789"] {
            let done = Command::new("ip").args(arguments.split(' ')).status().unwrap();
            assert!(done.success(), "ip {arguments}");
        }
        let up = Command::new("ip").args(["link", "set", "vxlan7", "up"]).status().unwrap();
        assert!(up.success(), "ip link set vxlan7 up");
        let asked = question(Kind::UDP, "127.0.0.1:4789".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
        let mut owners = Owners::new();
        let found = pids(&answer(&mut owners, asked));
        assert_eq!(found, (vec![], Reason::Kernel));
    };
    thread::scope(|scope| scope.spawn(ask).join())
        .unwrap_or_else(|payload| std::panic::resume_unwind(payload));
}

#[test]
fn equal_sockets_in_two_namespaces_are_told_apart() {
    if !is_root() {
        return;
    }
    let tenants = [Tenant::new(41_234), Tenant::new(41_234)];
    assert_eq!(tenants[0].local, tenants[1].local);
    let mut owners = Owners::new();
    let far = "127.0.0.1:9".parse().unwrap();
    for tenant in &tenants {
        let asked = OwnerQuestion {
            socket: SocketHint(tenant.cookie),
            local_is_own: false,
            ..question(Kind::UDP, tenant.local, far)
        };
        let answer = answer(&mut owners, asked);
        assert_eq!(pids(&answer), (vec![tenant.heir.0.id()], Reason::Open));
        assert_eq!(answer.owners[0].netns.as_ref().and_then(|netns| netns.inode), Some(tenant.inode));
    }
    // Without a hint they are no more told apart than by anybody else.
    let asked = OwnerQuestion { local_is_own: false, ..question(Kind::UDP, tenants[0].local, far) };
    expect(&mut owners, asked, vec![], Reason::Forwarded);
    // One that ends takes its namespace with it: nothing here keeps it.
    let [first, second] = tenants;
    drop(first);
    let again =
        answer(&mut owners, OwnerQuestion { local_is_own: false, ..question(Kind::UDP, second.local, far) });
    assert_eq!(pids(&again), (vec![second.heir.0.id()], Reason::Open));
}

#[test]
fn the_peer_of_a_veth_says_which_namespace_is_meant() {
    if !is_root() {
        return;
    }
    let tenants = [Tenant::new(41_235), Tenant::new(41_235)];
    let far: SocketAddr = "127.0.0.1:9".parse().unwrap();
    let ask = || {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        let mut owners = Owners::new();
        for (number, tenant) in tenants.iter().enumerate() {
            let name = format!("tenant{number}");
            let arguments = format!("link add {name} type veth peer name eth0 netns {}", tenant.heir.0.id());
            let made = Command::new("ip").args(arguments.split(' ')).status().unwrap();
            assert!(made.success(), "ip {arguments}");
            let socket = UdpSocket::bind("0.0.0.0:0").unwrap();
            let ifindex = rustix::net::netdevice::name_to_index(&socket, &name).unwrap();
            for (near, far) in [(tenant.local, far), (far, tenant.local)] {
                let asked = OwnerQuestion { ifindex, local_is_own: false, ..question(Kind::UDP, near, far) };
                let expected = (vec![tenant.heir.0.id()], Reason::Open);
                assert_eq!(pids(&answer(&mut owners, asked)), expected, "{name} {near} {far}");
            }
        }
    };
    thread::scope(|scope| scope.spawn(ask).join())
        .unwrap_or_else(|payload| std::panic::resume_unwind(payload));
}
