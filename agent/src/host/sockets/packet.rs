//! Packet sockets: `linux/packet_diag.h`.

use rustix::io::Result;

use super::netlink::{Connection, DiagAnswer, SOCK_DIAG_BY_FAMILY, request_for, u16_at, u32_at};

const AF_PACKET: u8 = 17;
/// `PACKET_SHOW_INFO`, which brings the user too.
const SHOW_INFO: u32 = 1;
const INFO: u16 = 0;
const UID: u16 = 5;

/// A socket that takes or sends whole frames (`packet(7)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketSocket {
    /// `SOCK_RAW` (3) or `SOCK_DGRAM` (2).
    pub kind: u8,
    /// The `EtherType` that it takes; 3 is all.
    pub ethertype: u16,
    /// Index of its interface, 0 for all.
    pub interface: u32,
    /// Its cookie.
    pub cookie: u64,
    /// Its inode number.
    pub inode: u64,
    /// User of whoever made it.
    pub uid: u32,
}

/// Every packet socket.
pub(super) fn dump(connection: &mut Connection, each: &mut impl FnMut(PacketSocket)) -> Result<()> {
    let request = request_for(AF_PACKET, &[0, SHOW_INFO, 0, 0]);
    connection.dump_sockets(SOCK_DIAG_BY_FAMILY, &request, parse, each)
}

fn parse(message: &[u8]) -> Option<PacketSocket> {
    let answer = DiagAnswer(message);
    let mut socket = PacketSocket {
        kind: answer.kind()?,
        ethertype: u16_at(message, 2)?,
        interface: 0,
        inode: answer.inode()?,
        cookie: answer.cookie()?,
        uid: 0,
    };
    answer.attributes(|kind, content| {
        match kind {
            INFO => socket.interface = u32_at(content, 0)?,
            UID => socket.uid = u32_at(content, 0)?,
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
        let mut message = vec![AF_PACKET, 3];
        message.extend_from_slice(&0x88cc_u16.to_ne_bytes());
        for number in [4711_u32, 9, 0] {
            message.extend_from_slice(&number.to_ne_bytes());
        }
        message.extend_from_slice(&[8, 0, 0, 0]);
        message.extend_from_slice(&2_u32.to_ne_bytes());
        message.extend_from_slice(&[8, 0, 5, 0]);
        message.extend_from_slice(&33_u32.to_ne_bytes());
        let expected =
            PacketSocket { kind: 3, ethertype: 0x88cc, interface: 2, cookie: 9, inode: 4711, uid: 33 };
        assert_eq!(parse(&message), Some(expected));
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_socket_or_none(bytes in prop::collection::vec(any::<u8>(), 0..80)) {
            let _ = parse(&bytes);
        }
    }
}
