//! Which UNIX socket is connected to which: `sock_diag(7)`, the only one to say it.

use hashbrown::HashMap;
use rustix::{io::Result, net::netlink::SOCK_DIAG};

use crate::host::sockets::{Connection, DiagAnswer, SOCK_DIAG_BY_FAMILY, request_for, u32_at};

const AF_UNIX: u8 = 1;
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
    // All states, any inode, what is to be shown, any cookie.
    let request = request_for(AF_UNIX, &[u32::MAX, 0, SHOW, 0, 0]);
    Connection::open(Some(SOCK_DIAG))?.dump(SOCK_DIAG_BY_FAMILY, &request, &mut |message| {
        // What is cut off is a socket without a peer.
        let _ = peer(message, peers, waiting);
    })
}

/// Reads one socket.
fn peer(message: &[u8], peers: &mut Vec<(u64, u64)>, waiting: &mut Vec<(u64, u64)>) -> Option<()> {
    let answer = DiagAnswer(message);
    let inode = answer.inode()?;
    answer.attributes(|kind, content| {
        let other = u32_at(content, 0).filter(|other| *other != 0).map(u64::from);
        match (kind, other) {
            (PEER, Some(other)) => peers.push((inode, other)),
            // Who waits to be accepted.
            (PENDING, Some(other)) => waiting.push((inode, other)),
            _ => {}
        }
        Some(())
    })
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
