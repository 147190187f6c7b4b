//! Which socket a flow has.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, TcpStream, UdpSocket},
    os::fd::{AsFd, OwnedFd},
};

use flowtally_common::{Direction, SocketHint};
use harness::frames::{FAR_V4, FAR_V6, NEAR_V4, NEAR_V6};
use rustix::net::{AddressFamily, Protocol, SendFlags, SocketType, ipproto, sendto, socket};

use crate::subject::{ICMP, Subject, TCP, UDP, Wanted, cookie};

fn exact(socket: impl AsFd) -> SocketHint {
    SocketHint(cookie(socket))
}

fn bound(socket: impl AsFd) -> SocketHint {
    SocketHint(cookie(socket) | SocketHint::BOUND)
}

fn sent(protocol: u8, port: u16) -> Wanted {
    Wanted::new(protocol, Direction::Egress).on_port(port)
}

fn received(protocol: u8, port: u16) -> Wanted {
    Wanted::new(protocol, Direction::Ingress).to_port(port)
}

fn port(address: std::io::Result<SocketAddr>) -> u16 {
    address.unwrap().port()
}

#[test]
fn a_connection_has_its_own_socket() {
    let mut subject = Subject::new();
    let listener = subject.near(|| TcpListener::bind((NEAR_V4, 0)).unwrap());
    let client = subject.far(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (accepted, peer) = listener.accept().unwrap();
    let flow = sent(TCP, port(listener.local_addr()));
    assert_eq!(subject.any_hint(&flow), exact(&accepted));
    // The connection's own socket isn't known from what comes in, but the listener is.
    assert_eq!(subject.any_hint(&received(TCP, port(listener.local_addr()))), bound(&listener));
    drop((client, peer));
}

#[test]
fn a_client_has_its_socket_and_the_server_its_own() {
    let mut subject = Subject::new();
    let listener = subject.far(|| TcpListener::bind((FAR_V6, 0)).unwrap());
    let client = subject.near(|| TcpStream::connect(listener.local_addr().unwrap()).unwrap());
    let (accepted, _) = listener.accept().unwrap();
    let local = port(client.local_addr());
    assert_eq!(subject.any_hint(&sent(TCP, local)), exact(&client));
    // Both ends are on one machine, and the frame still has its sender's socket.
    assert_eq!(subject.any_hint(&received(TCP, local)), exact(&accepted));
}

#[test]
fn a_server_that_never_answers_is_known_by_its_port() {
    for (bind, to) in [
        ("0.0.0.0", IpAddr::from(NEAR_V4)),
        ("::", NEAR_V4.into()),
        ("::", NEAR_V6.into()),
        ("::ffff:0.0.0.0", NEAR_V4.into()),
    ] {
        let mut subject = Subject::new();
        let server = subject.near(|| UdpSocket::bind((bind, 0)).unwrap());
        let at = port(server.local_addr());
        subject.far(|| sender(to).send_to(b"x", (to, at)).unwrap());
        assert_eq!(subject.any_hint(&received(UDP, at)), bound(&server), "{bind} {to}");
    }
}

#[test]
fn a_socket_bound_to_an_address_goes_before_one_bound_to_any() {
    for to in [IpAddr::from(NEAR_V4), NEAR_V6.into()] {
        let mut subject = Subject::new();
        let server = subject.near(|| UdpSocket::bind((to, 0)).unwrap());
        let at = port(server.local_addr());
        subject.far(|| sender(to).send_to(b"x", (to, at)).unwrap());
        assert_eq!(subject.any_hint(&received(UDP, at)), bound(&server), "{to}");
    }
    // The same through a socket for both families.
    let mut subject = Subject::new();
    let mapped = NEAR_V4.to_ipv6_mapped();
    let server = subject.near(|| UdpSocket::bind((mapped, 0)).unwrap());
    let at = port(server.local_addr());
    subject.far(|| sender(NEAR_V4.into()).send_to(b"x", (NEAR_V4, at)).unwrap());
    assert_eq!(subject.any_hint(&received(UDP, at)), bound(&server));
}

#[test]
fn a_closed_socket_is_bound_no_more() {
    let mut subject = Subject::new();
    let server = subject.near(|| UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).unwrap());
    let at = port(server.local_addr());
    drop(server);
    let client = subject.far(|| sender(NEAR_V4.into()));
    client.send_to(b"x", (NEAR_V4, at)).unwrap();
    assert_eq!(subject.any_hint(&received(UDP, at)), exact(&client));
}

#[test]
fn a_server_that_answers_every_peer_from_one_socket() {
    let mut subject = Subject::new();
    let server = subject.near(|| UdpSocket::bind("[::]:0").unwrap());
    let at = port(server.local_addr());
    for to in [IpAddr::from(NEAR_V4), NEAR_V6.into()] {
        let client = subject.far(|| sender(to));
        client.send_to(b"x", (to, at)).unwrap();
        let (_, peer) = server.recv_from(&mut [0; 8]).unwrap();
        server.send_to(b"y", peer).unwrap();
        let flow = sent(UDP, at).to_port(port(client.local_addr()));
        assert_eq!(subject.any_hint(&flow), exact(&server), "{to}");
    }
}

#[test]
fn a_client_that_is_neither_bound_nor_connected() {
    let mut subject = Subject::new();
    for to in [IpAddr::from(FAR_V4), FAR_V6.into()] {
        let client = subject.near(|| plain(to));
        sendto(&client, b"x", SendFlags::empty(), &SocketAddr::from((to, 4003))).unwrap();
        let flow = Wanted::new(UDP, Direction::Egress).to_port(4003).to(to);
        assert_eq!(subject.any_hint(&flow), exact(&client), "{to}");
    }
}

#[test]
fn multicast_is_for_whoever_is_bound_to_the_port() {
    let group = Ipv4Addr::new(239, 1, 2, 3);
    let mut subject = Subject::new();
    // What is forwarded is nobody's, but a group is no place to forward to.
    subject.pair.near.namespace.set("ipv4/ip_forward", "1");
    let server = subject.near(|| {
        let server = UdpSocket::bind("0.0.0.0:0").unwrap();
        server.join_multicast_v4(&group, &NEAR_V4).unwrap();
        server
    });
    let at = port(server.local_addr());
    subject.pair.far.namespace.ip("route add 239.0.0.0/8 dev far");
    subject.far(|| sender(group.into()).send_to(b"x", (group, at)).unwrap());
    assert_eq!(subject.any_hint(&received(UDP, at)), bound(&server));
}

#[test]
fn forwarded_traffic_is_not_that_of_a_socket_with_the_same_port() {
    let elsewhere = Ipv4Addr::new(198, 51, 100, 9);
    let mut subject = Subject::new();
    let near = &subject.pair.near.namespace;
    near.ip("route add 198.51.100.0/24 dev near");
    let decoy = subject.near(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    let at = port(decoy.local_addr());
    near.set("ipv4/ip_forward", "1");
    subject.pair.far.namespace.ip(&format!("route add 198.51.100.0/24 via {NEAR_V4} dev far onlink"));
    let client = subject.far(|| sender(elsewhere.into()));
    client.send_to(b"x", (elsewhere, at)).unwrap();
    assert_eq!(subject.any_hint(&received(UDP, at).to(elsewhere.into())), exact(&client));
    // While what is for this host still is.
    client.send_to(b"x", (NEAR_V4, at)).unwrap();
    assert_eq!(subject.any_hint(&received(UDP, at).to(NEAR_V4.into())), bound(&decoy));
}

#[test]
fn pings_and_raw_packets_have_their_sockets() {
    let mut subject = Subject::new();
    subject.pair.near.namespace.set("ipv4/ping_group_range", "0 2147483647");
    // An echo request: type, code, checksum, identifier and sequence number.
    let request = [8, 0, 0, 0, 0, 7, 0, 1];
    let far = SocketAddr::from((FAR_V4, 0));
    for kind in [SocketType::DGRAM, SocketType::RAW] {
        let ping = subject.near(|| socket(AddressFamily::INET, kind, Some(ipproto::ICMP)).unwrap());
        sendto(&ping, &request, SendFlags::empty(), &far).unwrap();
        let flow = Wanted::new(ICMP, Direction::Egress).to(FAR_V4.into());
        let wanted = exact(&ping);
        assert_eq!(subject.hint(&flow, |hint| hint == wanted), wanted, "{kind:?}");
    }
    let udp = Some(Protocol::from_raw(17.try_into().unwrap()));
    let raw = subject.near(|| socket(AddressFamily::INET, SocketType::RAW, udp).unwrap());
    let datagram = [0x12, 0x34, 0x56, 0x78, 0, 8, 0, 0];
    sendto(&raw, &datagram, SendFlags::empty(), &far).unwrap();
    assert_eq!(subject.any_hint(&sent(UDP, 0x1234)), exact(&raw));
}

#[test]
fn what_the_kernel_refuses_is_nobodys() {
    let mut subject = Subject::new();
    let free = subject.near(|| TcpListener::bind((NEAR_V4, 0)).unwrap().local_addr().unwrap());
    assert!(subject.far(|| TcpStream::connect(free)).is_err());
    assert_eq!(subject.any_hint(&sent(TCP, free.port())), SocketHint::NONE);
}

/// A socket that can send there.
fn sender(to: IpAddr) -> UdpSocket {
    let any = match to {
        IpAddr::V4(_) => IpAddr::from(Ipv4Addr::UNSPECIFIED),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    UdpSocket::bind((any, 0)).unwrap()
}

/// The same, without an address of its own.
fn plain(to: IpAddr) -> OwnedFd {
    let family = if to.is_ipv4() { AddressFamily::INET } else { AddressFamily::INET6 };
    socket(family, SocketType::DGRAM, None).unwrap()
}
