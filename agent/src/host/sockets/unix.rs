//! UNIX sockets: `linux/unix_diag.h`.

use rustix::io::Result;

use super::{
    State,
    netlink::{Attributes, Connection, cookie_at, u32_at},
};

const AF_UNIX: u8 = 1;
const SOCK_DIAG_BY_FAMILY: u16 = 20;
/// `UDIAG_SHOW_NAME`, `_PEER`, `_RQLEN`, `_UID`.
const SHOW: u32 = 0x01 | 0x04 | 0x10 | 0x40;
/// Length of `struct unix_diag_msg`.
const MESSAGE: usize = 16;
const NAME: u16 = 0;
const PEER: u16 = 2;
const QUEUES: u16 = 4;
const UID: u16 = 7;

/// A UNIX socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnixSocket {
    /// `SOCK_STREAM` (1), `SOCK_DGRAM` (2) or `SOCK_SEQPACKET` (5).
    pub kind: u8,
    /// Its state: connected, listening, or neither.
    pub state: State,
    /// The path it is bound to; one that begins with a zero byte is abstract; empty without one.
    pub name: Vec<u8>,
    /// Inode number of the socket at the other end, 0 without one.
    pub peer: u64,
    /// Its cookie.
    pub cookie: u64,
    /// Its inode number.
    pub inode: u64,
    /// User of whoever made it; `None` where the kernel does not tell (before Linux 5.3).
    pub uid: Option<u32>,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub receive_queue: u32,
    /// Bytes that wait for the peer; of a listener, how many connections may wait.
    pub send_queue: u32,
}

/// Every UNIX socket.
pub(super) fn dump(connection: &mut Connection, each: &mut impl FnMut(UnixSocket)) -> Result<()> {
    let mut request = vec![AF_UNIX, 0, 0, 0];
    for number in [u32::MAX, 0, SHOW, u32::MAX, u32::MAX] {
        request.extend_from_slice(&number.to_ne_bytes());
    }
    connection.dump(SOCK_DIAG_BY_FAMILY, &request, &mut |message| {
        if let Some(socket) = parse(message) {
            each(socket);
        }
    })
}

fn parse(message: &[u8]) -> Option<UnixSocket> {
    let mut socket = UnixSocket {
        kind: *message.get(1)?,
        state: State::from_raw(*message.get(2)?),
        name: Vec::new(),
        peer: 0,
        inode: u64::from(u32_at(message, 4)?),
        cookie: cookie_at(message, 8)?,
        uid: None,
        receive_queue: 0,
        send_queue: 0,
    };
    for (kind, content) in Attributes(message.get(MESSAGE..).unwrap_or_default()) {
        match kind {
            NAME => socket.name = content.to_vec(),
            PEER => socket.peer = u64::from(u32_at(content, 0)?),
            QUEUES => {
                socket.receive_queue = u32_at(content, 0)?;
                socket.send_queue = u32_at(content, 4)?;
            }
            UID => socket.uid = u32_at(content, 0),
            _ => {}
        }
    }
    Some(socket)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_message_is_a_socket() {
        let mut message = vec![AF_UNIX, 1, 10, 0];
        for number in [4711_u32, 9, 0] {
            message.extend_from_slice(&number.to_ne_bytes());
        }
        message.extend_from_slice(&[8, 0, 0, 0, 0, b'b', b'u', b's']);
        message.extend_from_slice(&[12, 0, 4, 0]);
        message.extend_from_slice(&2_u32.to_ne_bytes());
        message.extend_from_slice(&128_u32.to_ne_bytes());
        let socket = parse(&message).unwrap();
        assert_eq!(
            (socket.name.as_slice(), socket.state, socket.inode),
            (&b"\0bus"[..], State::Listen, 4711)
        );
        assert_eq!((socket.receive_queue, socket.send_queue, socket.uid), (2, 128, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_socket_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
