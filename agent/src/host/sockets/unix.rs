//! UNIX sockets: `linux/unix_diag.h`.

use rustix::io::Result;

use super::{
    State,
    netlink::{Connection, DiagAnswer, SOCK_DIAG_BY_FAMILY, request_for, u32_at},
};

const AF_UNIX: u8 = 1;
/// `UDIAG_SHOW_NAME`, `_VFS`, `_PEER`, `_RQLEN`, `_UID`.
const SHOW: u32 = 0x01 | 0x02 | 0x04 | 0x10 | 0x40;
const NAME: u16 = 0;
const FILE: u16 = 1;
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
    /// The file that it is bound to: the major and the minor number of its device, and the lower half of its inode's number.
    pub file: Option<(u32, u32, u32)>,
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
    let request = request_for(AF_UNIX, &[u32::MAX, 0, SHOW, u32::MAX, u32::MAX]);
    connection.dump_sockets(SOCK_DIAG_BY_FAMILY, &request, parse, each)
}

fn parse(message: &[u8]) -> Option<UnixSocket> {
    let answer = DiagAnswer(message);
    let mut socket = UnixSocket {
        kind: answer.kind()?,
        state: State::from_raw(*message.get(2)?),
        name: Vec::new(),
        file: None,
        peer: 0,
        inode: answer.inode()?,
        cookie: answer.cookie()?,
        uid: None,
        receive_queue: 0,
        send_queue: 0,
    };
    answer.attributes(|kind, content| {
        match kind {
            NAME => socket.name = content.to_vec(),
            FILE => {
                // The kernel's own form of a device's number (`include/linux/kdev_t.h`).
                let (inode, device) = (u32_at(content, 0)?, u32_at(content, 4)?);
                socket.file = Some((device >> 20, device & 0xf_ffff, inode));
            }
            PEER => socket.peer = u64::from(u32_at(content, 0)?),
            QUEUES => {
                socket.receive_queue = u32_at(content, 0)?;
                socket.send_queue = u32_at(content, 4)?;
            }
            UID => socket.uid = u32_at(content, 0),
            _ => {}
        }
        Some(())
    })?;
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
        message.extend_from_slice(&[12, 0, 1, 0]);
        message.extend_from_slice(&8_888_u32.to_ne_bytes());
        message.extend_from_slice(&(254_u32 << 20 | 7).to_ne_bytes());
        message.extend_from_slice(&[12, 0, 4, 0]);
        message.extend_from_slice(&2_u32.to_ne_bytes());
        message.extend_from_slice(&128_u32.to_ne_bytes());
        let socket = parse(&message).unwrap();
        assert_eq!(
            (socket.name.as_slice(), socket.state, socket.inode),
            (&b"\0bus"[..], State::Listen, 4711)
        );
        assert_eq!(socket.file, Some((254, 7, 8_888)));
        assert_eq!((socket.receive_queue, socket.send_queue, socket.uid), (2, 128, None));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_socket_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
