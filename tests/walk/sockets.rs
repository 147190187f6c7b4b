//! What sockets say of themselves, beside what the kernel says of them elsewhere.

use std::{
    fs,
    io::Write as _,
    net::{IpAddr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd as _},
        linux::net::SocketAddrExt as _,
        unix::net::{SocketAddr as UnixAddr, UnixDatagram, UnixListener, UnixStream},
    },
    thread,
};

use nix::sched::{CloneFlags, unshare};
use rustix::net::{AddressFamily, SocketFlags, SocketType, netlink, socket_with};

use super::{Seen, everything, folder, own};

/// States of `net/tcp_states.h`.
const ESTABLISHED: u8 = 1;
const CLOSE: u8 = 7;
const LISTEN: u8 = 10;

fn of(seen: &std::collections::BTreeMap<u32, Seen>, socket: impl AsFd) -> Seen {
    let fd = socket.as_fd();
    let seen = seen[&fd.as_raw_fd().unsigned_abs()].clone();
    assert_eq!(seen.file.inode, rustix::fs::fstat(fd).unwrap().st_ino);
    let socket = seen.socket.unwrap();
    assert!(socket.complete, "{socket:?}");
    assert_eq!(socket.inode, seen.file.inode);
    assert_eq!(socket.uid, Some(0));
    seen
}

/// Ends of an Internet socket.
fn ends(seen: &Seen) -> (SocketAddr, SocketAddr) {
    let socket = seen.socket.unwrap();
    let end = |address: Ipv6Addr, port| SocketAddr::new(address.to_canonical(), port);
    (end(socket.local, socket.local_port), end(socket.remote, socket.remote_port))
}

fn namespace() -> u64 {
    let link = fs::read_link("/proc/thread-self/ns/net").unwrap();
    let text = link.to_str().unwrap();
    text.trim_start_matches("net:[").trim_end_matches(']').parse().unwrap()
}

#[test]
fn internet_sockets_have_ends_states_and_queues() {
    for host in ["127.0.0.1", "::1"] {
        let any: SocketAddr = (host.parse::<IpAddr>().unwrap(), 0).into();
        let listener = TcpListener::bind(any).unwrap();
        let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (server, _) = listener.accept().unwrap();
        let waiting = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        client.write_all(b"five!").unwrap();
        let receiver = UdpSocket::bind(any).unwrap();
        let sender = UdpSocket::bind(any).unwrap();
        sender.connect(receiver.local_addr().unwrap()).unwrap();
        let unbound = socket_with(
            if any.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 },
            SocketType::STREAM,
            SocketFlags::CLOEXEC,
            None,
        )
        .unwrap();
        let mut bytes = [0; 8];
        // The data has arrived when it can be seen.
        server.peek(&mut bytes).unwrap();

        let seen = own(&everything());
        let found = of(&seen, &listener);
        let socket = found.socket.unwrap();
        assert_eq!((socket.kind, socket.protocol, socket.state), (1, 6, LISTEN));
        assert_eq!(ends(&found).0, listener.local_addr().unwrap());
        assert_eq!(ends(&found).1.port(), 0);
        assert_eq!(socket.receive_queue, 1, "one waits to be accepted");
        assert!(socket.send_queue >= 1);
        assert_eq!(socket.namespace, namespace());
        assert_eq!(socket.family, if any.is_ipv4() { 2 } else { 10 });
        let found = of(&seen, &client);
        assert_eq!(ends(&found), (client.local_addr().unwrap(), client.peer_addr().unwrap()));
        assert_eq!(found.socket.unwrap().state, ESTABLISHED);
        let found = of(&seen, &server);
        assert_eq!(ends(&found), (server.local_addr().unwrap(), server.peer_addr().unwrap()));
        assert_eq!(found.socket.unwrap().receive_queue, 5);
        assert_eq!(ends(&of(&seen, &waiting)).1, listener.local_addr().unwrap());
        let found = of(&seen, &receiver);
        assert_eq!((found.socket.unwrap().protocol, found.socket.unwrap().state), (17, CLOSE));
        assert_eq!(ends(&found).0, receiver.local_addr().unwrap());
        let found = of(&seen, &sender);
        assert_eq!(ends(&found), (sender.local_addr().unwrap(), receiver.local_addr().unwrap()));
        let socket = of(&seen, &unbound).socket.unwrap();
        assert_eq!((socket.state, socket.local_port, socket.remote_port), (CLOSE, 0, 0));
    }
}

#[test]
fn a_datagram_waits_as_proc_counts_it() {
    let receiver = UdpSocket::bind("127.0.0.1:0").unwrap();
    receiver.send_to(&[7; 300], receiver.local_addr().unwrap()).unwrap();
    receiver.peek(&mut [0; 300]).unwrap();
    let found = of(&own(&everything()), &receiver);
    let inode = found.file.inode.to_string();
    let text = fs::read_to_string("/proc/thread-self/net/udp").unwrap();
    let line = text.lines().find(|line| line.split_whitespace().nth(9) == Some(inode.as_str())).unwrap();
    let (queued, waiting) = line.split_whitespace().nth(4).unwrap().split_once(':').unwrap();
    let number = |text| u32::from_str_radix(text, 16).unwrap();
    let socket = found.socket.unwrap();
    assert_eq!((socket.send_queue, socket.receive_queue), (number(queued), number(waiting)));
    assert_ne!(socket.receive_queue, 0);
}

#[test]
fn unix_sockets_have_names_peers_and_addresses() {
    let folder = folder();
    let path = folder.path().join("socket");
    let listener = UnixListener::bind(&path).unwrap();
    let client = UnixStream::connect(&path).unwrap();
    let (server, _) = listener.accept().unwrap();
    let unaccepted = UnixStream::connect(&path).unwrap();
    let name = format!("walk\0{}", std::process::id());
    let hidden = UnixDatagram::bind_addr(&UnixAddr::from_abstract_name(&name).unwrap()).unwrap();
    let (one, other) = UnixStream::pair().unwrap();

    let seen = own(&everything());
    let found = of(&seen, &listener);
    assert_eq!(found.name, path.as_os_str().as_encoded_bytes());
    assert_eq!((found.socket.unwrap().family, found.socket.unwrap().state), (1, LISTEN));
    let (client, server) = (of(&seen, &client), of(&seen, &server));
    assert_eq!(client.socket.unwrap().peer, server.file.inode);
    assert_eq!(server.socket.unwrap().peer, client.file.inode);
    assert_eq!(server.name, path.as_os_str().as_encoded_bytes());
    assert!(client.name.is_empty());
    assert_eq!(of(&seen, &unaccepted).socket.unwrap().peer, 0);
    assert_eq!(of(&seen, &hidden).name, [b"\0", name.as_bytes()].concat());
    assert_eq!(of(&seen, &hidden).socket.unwrap().kind, 2);
    assert_eq!(of(&seen, &one).socket.unwrap().peer, of(&seen, &other).file.inode);
    let text = String::from_utf8_lossy(&fs::read("/proc/thread-self/net/unix").unwrap()).into_owned();
    for found in [&client, &server] {
        let inode = found.file.inode.to_string();
        let line = text.lines().find(|line| line.split_whitespace().nth(6) == Some(inode.as_str())).unwrap();
        if let Some(address) = found.socket.unwrap().address {
            assert!(line.starts_with(std::str::from_utf8(&address).unwrap()), "{line}");
        }
    }
}

#[test]
fn other_families_have_their_numbers() {
    let netlink =
        socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, Some(netlink::SOCK_DIAG))
            .unwrap();
    rustix::net::bind(&netlink, &netlink::SocketAddrNetlink::new(0, 0)).unwrap();
    let raw = socket_with(
        AddressFamily::INET,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(rustix::net::ipproto::GRE),
    )
    .unwrap();
    let seen = own(&everything());
    let socket = of(&seen, &netlink).socket.unwrap();
    assert_eq!((socket.family, socket.protocol), (16, 4));
    assert!(socket.number.is_some_and(|port| port != 0));
    let socket = of(&seen, &raw).socket.unwrap();
    assert_eq!((socket.family, socket.kind, socket.protocol), (2, 3, 47));
}

#[test]
fn a_socket_tells_its_own_namespace() {
    let before = namespace();
    let (socket, inside) = thread::spawn(|| {
        unshare(CloneFlags::CLONE_NEWNET).unwrap();
        (UdpSocket::bind("0.0.0.0:0").unwrap(), namespace())
    })
    .join()
    .unwrap();
    assert_ne!(inside, before);
    assert_eq!(of(&own(&everything()), &socket).socket.unwrap().namespace, inside);
}
