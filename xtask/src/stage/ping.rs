//! ICMP echo requests, without ping(8).

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;

use rustix::net::{AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, socket_with};

/// Type, code, checksum, identifier and number, of which the kernel fills in the two in the middle (icmp(7)).
const HEADER: [u8; 8] = [8, 0, 0, 0, 0, 0, 0, 0];
/// What ping(8) sends.
const PAYLOAD: usize = 56;

/// Sends IPv4 echo requests from one address to another. The replies are for the kernel to count.
pub(super) struct Ping {
    socket: OwnedFd,
    to: SocketAddr,
}

impl Ping {
    pub(super) fn new(from: IpAddr, to: IpAddr) -> io::Result<Self> {
        let kind = SocketType::DGRAM;
        let socket = socket_with(AddressFamily::INET, kind, SocketFlags::CLOEXEC, Some(ipproto::ICMP))?;
        bind(&socket, &SocketAddr::new(from, 0))?;
        Ok(Self { socket, to: SocketAddr::new(to, 0) })
    }

    pub(super) fn send(&self) -> io::Result<()> {
        let mut packet = HEADER.to_vec();
        packet.resize(HEADER.len() + PAYLOAD, 0);
        sendto(&self.socket, &packet, SendFlags::empty(), &self.to)?;
        Ok(())
    }
}
