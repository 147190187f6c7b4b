//! Sockets of the Internet families over `sock_diag`: `linux/inet_diag.h`.

use std::net::{Ipv4Addr, Ipv6Addr};

use rustix::io::Result;

use super::{
    InternetSocket, SocketClass, State,
    netlink::{Attributes, Connection, SOCK_DIAG_BY_FAMILY, cookie_at, u32_at},
    protocol,
};

/// `IPPROTO_RAW`: the protocol number under which raw sockets are listed.
pub(super) const RAW: u8 = 255;

const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// The message of the older `struct inet_diag_req`: TCP of both families, in one pass over a table that all namespaces share and
/// that may have half a million buckets.
const TCPDIAG_GETSOCK: u16 = 18;

/// Length of `struct inet_diag_sockid`.
const SOCKET_ID: usize = 48;
/// Length of `struct inet_diag_msg`.
const MESSAGE: usize = 72;

/// `INET_DIAG_SKV6ONLY` and `INET_DIAG_PROTOCOL`: a byte each.
const V6_ONLY: u16 = 11;
const PROTOCOL: u16 = 10;

/// Every TCP socket.
pub(super) fn dump_tcp(connection: &mut Connection, each: &mut impl FnMut(InternetSocket)) -> Result<()> {
    // Family, two prefix lengths, extensions; identity; states; a table's number.
    let mut request = [0; 4 + SOCKET_ID + 8];
    if let Some(states) = request.get_mut(4 + SOCKET_ID..4 + SOCKET_ID + 4) {
        states.fill(0xff);
    }
    connection.dump_sockets(TCPDIAG_GETSOCK, &request, |message| parse(message, protocol::TCP), each)
}

/// Every socket of a protocol, or with [`RAW`] every raw socket.
pub(super) fn dump(
    connection: &mut Connection,
    protocol: u8,
    each: &mut impl FnMut(InternetSocket),
) -> Result<()> {
    for family in [AF_INET, AF_INET6] {
        let mut request = [0; 8 + SOCKET_ID];
        request[..8].copy_from_slice(&[family, protocol, 0, 0, 0xff, 0xff, 0xff, 0xff]);
        connection.dump_sockets(SOCK_DIAG_BY_FAMILY, &request, |message| parse(message, protocol), each)?;
    }
    Ok(())
}

/// Every socket of one family and transport that /proc/net lists too; of those, where the kernel can tell, only those with an end
/// whose port is in `ports`.
pub(super) fn dump_family(
    connection: &mut Connection,
    protocol: u8,
    is_v6: bool,
    ports: Option<(u16, u16)>,
    each: &mut impl FnMut(InternetSocket),
) -> Result<()> {
    /// `TCPF_ALL`: all states but the one of sockets that are bound and nothing else.
    const STATES: u32 = 0xfff;
    let mut request = vec![if is_v6 { AF_INET6 } else { AF_INET }, protocol, 0, 0];
    request.extend_from_slice(&STATES.to_ne_bytes());
    request.resize(8 + SOCKET_ID, 0);
    if let Some((from, to)) = ports {
        request.extend_from_slice(&port_filter(from, to));
    }
    connection.dump_sockets(SOCK_DIAG_BY_FAMILY, &request, |message| parse(message, protocol), each)
}

/// The attribute `INET_DIAG_REQ_BYTECODE` with a program that lets a socket through with the port of either end from `from` to `to`.
fn port_filter(from: u16, to: u16) -> Vec<u8> {
    const REQUEST_BYTECODE: u16 = 1;
    // `INET_DIAG_BC_JMP`, and the comparisons of the source's and the destination's port.
    const JUMP: u8 = 1;
    const SOURCE_FROM: u8 = 2;
    const SOURCE_TO: u8 = 3;
    const DESTINATION_FROM: u8 = 4;
    const DESTINATION_TO: u8 = 5;
    // How far to go when it holds, and when not: a program is left with success at its very end, behind it with none.
    let program: [(u8, u8, u16, Option<u16>); 5] = [
        (SOURCE_FROM, 8, 20, Some(from)),
        (SOURCE_TO, 8, 12, Some(to)),
        (JUMP, 4, 20, None),
        (DESTINATION_FROM, 8, 20, Some(from)),
        (DESTINATION_TO, 8, 12, Some(to)),
    ];
    let mut code = Vec::with_capacity(40);
    for (operation, yes, no, port) in program {
        code.extend_from_slice(&[operation, yes]);
        code.extend_from_slice(&no.to_ne_bytes());
        if let Some(port) = port {
            code.extend_from_slice(&[0, 0]);
            code.extend_from_slice(&port.to_ne_bytes());
        }
    }
    let length = u16::try_from(4 + code.len()).unwrap_or_default();
    [&length.to_ne_bytes()[..], &REQUEST_BYTECODE.to_ne_bytes(), &code].concat()
}

/// One socket, by its ends and its cookie; an error when there is none.
pub(super) fn get(
    connection: &mut Connection,
    protocol: u8,
    local: (Ipv6Addr, u16),
    remote: (Ipv6Addr, u16),
    cookie: u64,
) -> Result<Option<InternetSocket>> {
    // UDP's are asked for the other way round (`net/ipv4/udp_diag.c`, `udp_dump_one`: "for historical reasons").
    let (source, destination) = if protocol == protocol::TCP { (local, remote) } else { (remote, local) };
    let address = |address: Ipv6Addr| {
        let mut octets = [0; 16];
        match address.to_ipv4_mapped() {
            Some(address) => octets[..4].copy_from_slice(&address.octets()),
            None => octets = address.octets(),
        }
        octets
    };
    let family = if local.0.to_ipv4_mapped().is_some() { AF_INET } else { AF_INET6 };
    let mut request = Vec::with_capacity(8 + SOCKET_ID);
    request.extend_from_slice(&[family, protocol, 0, 0, 0xff, 0xff, 0xff, 0xff]);
    request.extend_from_slice(&source.1.to_be_bytes());
    request.extend_from_slice(&destination.1.to_be_bytes());
    request.extend_from_slice(&address(source.0));
    request.extend_from_slice(&address(destination.0));
    request.extend_from_slice(&[0; 4]);
    for half in [cookie & u64::from(u32::MAX), cookie >> 32] {
        request.extend_from_slice(&u32::try_from(half).unwrap_or_default().to_ne_bytes());
    }
    let mut found = None;
    connection.get(SOCK_DIAG_BY_FAMILY, &request, &mut |message| found = parse(message, protocol))?;
    Ok(found)
}

/// Reads a `struct inet_diag_msg` and the attributes behind it.
fn parse(message: &[u8], protocol: u8) -> Option<InternetSocket> {
    let is_v6 = match *message.first()? {
        AF_INET => false,
        AF_INET6 => true,
        _ => return None,
    };
    let port = |at: usize| Some(u16::from_be_bytes(*message.get(at..)?.first_chunk()?));
    let address = |at: usize| -> Option<Ipv6Addr> {
        Some(if is_v6 {
            Ipv6Addr::from(*message.get(at..)?.first_chunk::<16>()?)
        } else {
            Ipv4Addr::from(*message.get(at..)?.first_chunk::<4>()?).to_ipv6_mapped()
        })
    };
    let is_raw = protocol == RAW;
    let mut socket = InternetSocket {
        class: if is_raw { SocketClass::Raw } else { SocketClass::Transport },
        protocol,
        is_v6,
        v6_only: false,
        state: State::from_raw(*message.get(1)?),
        local_port: if is_raw { 0 } else { port(4)? },
        remote_port: if is_raw { 0 } else { port(6)? },
        local: address(8)?,
        remote: address(24)?,
        interface: u32_at(message, 40)?,
        cookie: cookie_at(message, 44)?,
        // At 52 the timer's time.
        receive_queue: u32_at(message, 56)?,
        send_queue: u32_at(message, 60)?,
        uid: u32_at(message, 64)?,
        inode: u64::from(u32_at(message, 68)?),
    };
    // Only these have the attributes that count, and most sockets are neither.
    if is_raw || is_v6 && matches!(socket.state, State::Listen | State::Close) {
        for (kind, content) in Attributes(message.get(MESSAGE..).unwrap_or_default()) {
            match (kind, content) {
                (V6_ONLY, [flag, ..]) => socket.v6_only = *flag != 0,
                (PROTOCOL, [number, ..]) if is_raw => socket.protocol = *number,
                _ => {}
            }
        }
    }
    Some(socket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A listener on [::]:443, as a kernel lists it.
    fn listener() -> Vec<u8> {
        let mut message = vec![AF_INET6, 10, 0, 0];
        message.extend_from_slice(&443_u16.to_be_bytes());
        message.extend_from_slice(&[0; 2 + 32]);
        for number in [0_u32, 0x1234, 1, 0, 3, 128, 33, 4711] {
            message.extend_from_slice(&number.to_ne_bytes());
        }
        message.extend_from_slice(&[5, 0, 8, 0, 0, 0, 0, 0, 5, 0, 11, 0, 1, 0, 0, 0]);
        message
    }

    #[test]
    fn a_message_is_a_socket() {
        let socket = parse(&listener(), protocol::TCP).unwrap();
        assert_eq!((socket.local_end().to_string(), socket.state), ("[::]:443".to_owned(), State::Listen));
        assert_eq!((socket.cookie, socket.inode, socket.uid), (0x1_0000_1234, 4711, 33));
        assert_eq!((socket.receive_queue, socket.send_queue), (3, 128));
        assert!(socket.v6_only && socket.is_v6 && socket.has_no_peer());
    }

    #[test]
    fn short_addresses_are_mapped_and_raw_sockets_have_no_ports() {
        let mut message = vec![AF_INET, 7, 0, 0, 0, 1, 0, 0, 192, 0, 2, 1];
        message.resize(MESSAGE, 0);
        message.extend_from_slice(&[5, 0, 10, 0, 89, 0, 0, 0]);
        let socket = parse(&message, RAW).unwrap();
        assert_eq!(socket.local_end().to_string(), "192.0.2.1:0");
        assert_eq!(
            (socket.class, socket.protocol, socket.remote),
            (SocketClass::Raw, 89, Ipv4Addr::UNSPECIFIED.to_ipv6_mapped())
        );
    }

    #[test]
    fn the_kernel_leaves_out_other_ports() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let client = std::net::TcpStream::connect(address).unwrap();
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let own = client.local_addr().unwrap().port();
        let mut connection = Connection::open(Some(rustix::net::netlink::SOCK_DIAG)).unwrap();
        let mut ends = |ports| {
            let mut ends = Vec::new();
            dump_family(&mut connection, protocol::TCP, false, ports, &mut |socket: InternetSocket| {
                ends.push((socket.local_port, socket.remote_port));
            })
            .unwrap();
            ends
        };
        let found = ends(Some((address.port(), address.port())));
        for end in [(address.port(), 0), (own, address.port())] {
            assert!(found.contains(&end), "{end:?} in {found:?}");
        }
        assert!(found.iter().all(|(local, remote)| [*local, *remote].contains(&address.port())));
        let all = ends(None);
        assert!(all.contains(&(other.local_addr().unwrap().port(), 0)) && all.len() > found.len());
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_socket_or_none(bytes in prop::collection::vec(any::<u8>(), 0..120), cut in 0_usize..88) {
            let _ = parse(&bytes, RAW);
            let mut message = listener();
            message.truncate(cut);
            prop_assert_eq!(parse(&message, protocol::TCP).is_some(), cut >= MESSAGE);
        }
    }
}
