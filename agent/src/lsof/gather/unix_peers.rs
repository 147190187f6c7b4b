//! Which UNIX socket is connected to which: `sock_diag(7)`, the only one to say it.

use std::mem::MaybeUninit;

use hashbrown::HashMap;
use rustix::{
    io::Result,
    net::{
        AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, netlink, netlink::SocketAddrNetlink,
        recv, sendto, socket_with,
    },
};

/// `SOCK_DIAG_BY_FAMILY` of `linux/sock_diag.h`.
const BY_FAMILY: u16 = 20;
/// `NLM_F_REQUEST | NLM_F_DUMP`.
const DUMP: u16 = 0x301;
/// `NLMSG_ERROR`, `NLMSG_DONE`.
const ENDS: [u16; 2] = [2, 3];
/// `UDIAG_SHOW_PEER | UDIAG_SHOW_ICONS`, and the attributes `UNIX_DIAG_PEER` and `UNIX_DIAG_ICONS` that they ask for.
const SHOW: u32 = 4 | 8;
const PEER: u16 = 2;
const PENDING: u16 = 3;

/// The inode of each UNIX socket's peer; empty where the kernel does not say.
pub(super) fn unix_peers() -> HashMap<u64, u64> {
    let mut pairs = Vec::new();
    let mut waiting = Vec::new();
    // Without it nobody knows: then no peer is named.
    let _ = dump(&mut pairs, &mut waiting);
    let mut peers: HashMap<u64, u64> = pairs.iter().copied().collect();
    // A datagram socket may be connected to one that is not connected itself: of several, that has the first.
    let one_way = pairs.into_iter().map(|(of, peer)| (peer, of));
    for (of, peer) in one_way.chain(waiting) {
        peers.entry(of).or_insert(peer);
    }
    peers
}

fn dump(peers: &mut Vec<(u64, u64)>, waiting: &mut Vec<(u64, u64)>) -> Result<()> {
    let socket = socket_with(
        AddressFamily::NETLINK,
        SocketType::DGRAM,
        SocketFlags::CLOEXEC,
        Some(netlink::SOCK_DIAG),
    )?;
    sendto(&socket, &request(), SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut buffer = vec![MaybeUninit::<u8>::uninit(); 64 * 1024];
    loop {
        let ((messages, _), _) = recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if messages.is_empty() || !read(messages, peers, waiting) {
            return Ok(());
        }
    }
}

/// A request for all UNIX sockets in any state: `nlmsghdr`, `unix_diag_req`.
fn request() -> [u8; 40] {
    let mut request = [0u8; 40];
    request[0..4].copy_from_slice(&40u32.to_ne_bytes());
    request[4..6].copy_from_slice(&BY_FAMILY.to_ne_bytes());
    request[6..8].copy_from_slice(&DUMP.to_ne_bytes());
    // The family, then states, inode and what is to be shown.
    request[16] = 1;
    request[20..24].copy_from_slice(&u32::MAX.to_ne_bytes());
    request[28..32].copy_from_slice(&SHOW.to_ne_bytes());
    request
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    bytes.get(at..at + 2)?.try_into().ok().map(u16::from_ne_bytes)
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.try_into().ok().map(u32::from_ne_bytes)
}

/// Reads messages; whether more follow.
fn read(mut messages: &[u8], peers: &mut Vec<(u64, u64)>, waiting: &mut Vec<(u64, u64)>) -> bool {
    while let (Some(length), Some(kind)) = (u32_at(messages, 0), u16_at(messages, 4)) {
        let length = length as usize;
        if ENDS.contains(&kind) {
            return false;
        }
        let Some(message) = messages.get(16..length) else { return false };
        peer(message, peers, waiting);
        messages = messages.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    true
}

/// Reads one socket: `unix_diag_msg`, then attributes.
fn peer(message: &[u8], peers: &mut Vec<(u64, u64)>, waiting: &mut Vec<(u64, u64)>) -> Option<()> {
    let inode = u64::from(u32_at(message, 4)?);
    let mut attributes = message.get(16..)?;
    while let (Some(length), Some(kind)) = (u16_at(attributes, 0), u16_at(attributes, 2)) {
        let length = usize::from(length);
        if length < 4 {
            return None;
        }
        let value = attributes.get(4..length).unwrap_or_default();
        let other = u32_at(value, 0).filter(|other| *other != 0).map(u64::from);
        match (kind, other) {
            (PEER, Some(other)) => peers.push((inode, other)),
            // Who waits to be accepted.
            (PENDING, Some(other)) => waiting.push((inode, other)),
            _ => {}
        }
        attributes = attributes.get(length.next_multiple_of(4)..)?;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use std::os::{fd::AsRawFd as _, unix::net::UnixStream};

    use super::*;

    #[test]
    fn a_pair_is_each_others_peer() {
        let (one, other) = UnixStream::pair().unwrap();
        let inode = |socket: &UnixStream| rustix::fs::fstat(socket).unwrap().st_ino;
        assert!(one.as_raw_fd() != other.as_raw_fd());
        let peers = unix_peers();
        assert_eq!(peers.get(&inode(&one)), Some(&inode(&other)));
        assert_eq!(peers.get(&inode(&other)), Some(&inode(&one)));
    }
}
