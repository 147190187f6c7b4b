//! What a socket says of itself, as the tables of its network namespace would say it.

use crate::{
    host::sockets::{InternetSocket, SocketClass, State, protocol},
    kernel::walk::WalkedSocket,
};

/// A socket, as far as it is known without asking for the tables of sockets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RecordedSocket {
    /// In the tables of this network namespace, with all that they say.
    Internet(InternetSocket),
    /// In that of UNIX sockets.
    Unix(UnixRecord),
    /// In no table of this network namespace.
    Unlisted,
    /// In a table, if in any, that is neither of TCP nor of UDP nor of UNIX sockets.
    Other,
    /// It takes the tables to know.
    Unknown,
}

/// A UNIX socket, as /proc/net/unix has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixRecord {
    /// The kernel's address of it, in 16 digits.
    pub address: [u8; 16],
    /// `SOCK_STREAM` and so on.
    pub kind: u16,
    /// Its state, as a number of `linux/net.h`.
    pub state: u8,
    /// Whether it listens.
    pub listens: bool,
    /// Its path as it is printed.
    pub path: Box<[u8]>,
}

const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
const SOCK_STREAM: u16 = 1;
const SOCK_DGRAM: u16 = 2;
const SOCK_RAW: u16 = 3;

impl RecordedSocket {
    pub(super) fn of(socket: &WalkedSocket<'_>, own: u64) -> Self {
        if socket.namespace == 0 || own == 0 || !socket.complete {
            return match socket.family {
                AF_NETLINK | AF_PACKET => Self::Other,
                _ => Self::Unknown,
            };
        }
        if socket.namespace != own {
            return Self::Unlisted;
        }
        match (socket.family, socket.kind, socket.protocol) {
            (AF_UNIX, ..) => socket.address.map_or(Self::Unknown, |address| {
                let connected = socket.state == State::Established as u8;
                Self::Unix(UnixRecord {
                    address,
                    kind: socket.kind,
                    // `SS_CONNECTED` and `SS_UNCONNECTED`: whoever has a descriptor of it has the socket.
                    state: if connected { 3 } else { 1 },
                    listens: socket.state == State::Listen as u8,
                    path: printed(socket.name),
                })
            }),
            (AF_INET | AF_INET6, SOCK_STREAM, 6) => match State::from_raw(socket.state) {
                // What neither listens nor is connected is in no table.
                State::Close => Self::Unlisted,
                _ => Self::Internet(internet(socket, protocol::TCP)),
            },
            (AF_INET | AF_INET6, SOCK_DGRAM, 17) if socket.local_port == 0 => Self::Unlisted,
            (AF_INET | AF_INET6, SOCK_DGRAM, 17) => Self::Internet(internet(socket, protocol::UDP)),
            (AF_INET | AF_INET6, SOCK_RAW | SOCK_DGRAM, _) | (AF_NETLINK | AF_PACKET, ..) => Self::Other,
            _ => Self::Unknown,
        }
    }
}

fn internet(socket: &WalkedSocket<'_>, protocol: u8) -> InternetSocket {
    InternetSocket {
        class: SocketClass::Transport,
        protocol,
        is_v6: socket.family == AF_INET6,
        v6_only: false,
        state: State::from_raw(socket.state),
        local: socket.local,
        remote: socket.remote,
        local_port: socket.local_port,
        remote_port: socket.remote_port,
        interface: socket.interface,
        cookie: socket.cookie,
        inode: socket.inode,
        uid: socket.uid.unwrap_or_default(),
        receive_queue: socket.receive_queue,
        send_queue: socket.send_queue,
    }
}

/// The name of a UNIX socket as /proc/net/unix prints it (`net/unix/af_unix.c`, `unix_seq_show`), to the end of the line.
fn printed(name: &[u8]) -> Box<[u8]> {
    let name = if name.first() == Some(&0) { name } else { name.strip_suffix(b"\0").unwrap_or(name) };
    let end = name.iter().position(|byte| *byte == b'\n').unwrap_or(name.len());
    name[..end].iter().map(|byte| if *byte == 0 { b'@' } else { *byte }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_unix_sockets_are_as_proc_prints_them() {
        for (name, expected) in [
            (&b""[..], &b""[..]),
            (b"/run/x\0", b"/run/x"),
            (b"/run/x", b"/run/x"),
            (b"\0bus\0x", b"@bus@x"),
            (b"/run/a\nb\0", b"/run/a"),
        ] {
            assert_eq!(&*printed(name), expected);
        }
    }
}
