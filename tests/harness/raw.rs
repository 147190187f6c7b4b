//! Packet sockets: frames onto an interface as they are.

use std::os::fd::{AsRawFd, OwnedFd};

use nix::{
    errno::Errno,
    ifaddrs::getifaddrs,
    setsockopt_impl, sockopt_impl,
    sys::socket::{
        AddressFamily, LinkAddr, MsgFlags, SockFlag, SockType, SockaddrLike, SockaddrStorage, bind, send,
        setsockopt, socket,
    },
};

use crate::Namespace;

sockopt_impl!(
    /// Every frame starts with a `virtio_net_hdr` (packet(7)).
    VirtioHeader,
    SetOnly,
    libc::SOL_PACKET,
    libc::PACKET_VNET_HDR,
    bool
);

/// A socket that puts frames onto one interface.
#[derive(Debug)]
pub struct RawSocket {
    socket: OwnedFd,
}

impl RawSocket {
    /// Opens it in a namespace.
    #[must_use]
    pub fn open(namespace: &Namespace, interface: &str) -> Self {
        namespace.enter(|| Self::on(interface))
    }

    /// Opens it where the thread is.
    #[must_use]
    pub fn on(interface: &str) -> Self {
        // No protocol: the socket receives nothing.
        let socket = socket(AddressFamily::Packet, SockType::Raw, SockFlag::SOCK_CLOEXEC, None)
            .expect("open a packet socket");
        bind(socket.as_raw_fd(), &link_address(interface)).expect("bind a packet socket");
        Self { socket }
    }

    /// Opens it for super-packets: what is sent starts with [`Gso::header`].
    #[must_use]
    pub fn open_for_super_packets(namespace: &Namespace, interface: &str) -> Self {
        let raw = Self::open(namespace, interface);
        setsockopt(&raw.socket, VirtioHeader, &true).expect("ask for virtio headers");
        raw
    }

    /// Sends one frame.
    pub fn send(&self, frame: &[u8]) {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty())
            .unwrap_or_else(|error| panic!("send a frame of {} bytes: {error}", frame.len()));
        assert_eq!(sent, frame.len(), "a frame is sent whole");
    }

    /// Sends one frame that is dropped on its way out, which the socket reports.
    pub fn send_in_vain(&self, frame: &[u8]) {
        let sent = send(self.socket.as_raw_fd(), frame, MsgFlags::empty());
        assert_eq!(sent, Err(Errno::ENOBUFS), "the frame is dropped");
    }
}

/// Where packet sockets are bound to for an interface of this thread's namespace.
#[must_use]
pub fn link_address(interface: &str) -> LinkAddr {
    getifaddrs()
        .expect("list interfaces")
        .filter(|entry| entry.interface_name == interface)
        .filter_map(|entry| entry.address)
        .find(|address| address.family() == Some(AddressFamily::Packet))
        .as_ref()
        .and_then(SockaddrStorage::as_link_addr)
        .copied()
        .unwrap_or_else(|| panic!("no interface {interface}"))
}

/// What a super-packet is made of (`linux/virtio_net.h`).
#[derive(Clone, Copy, Debug)]
pub struct Gso {
    /// `VIRTIO_NET_HDR_GSO_*`.
    pub kind: u8,
    /// Bytes of headers that every segment repeats.
    pub headers: u16,
    /// Payload bytes of a segment.
    pub size: u16,
    /// Offset of the transport header.
    pub transport: u16,
    /// Offset of the checksum in the transport header.
    pub checksum: u16,
}

impl Gso {
    /// `VIRTIO_NET_HDR_GSO_TCPV4`.
    pub const TCP_V4: u8 = 1;
    /// `VIRTIO_NET_HDR_GSO_TCPV6`.
    pub const TCP_V6: u8 = 4;
    /// `VIRTIO_NET_HDR_GSO_UDP_L4`.
    pub const UDP: u8 = 5;

    /// The header that goes before the frame.
    #[must_use]
    pub fn header(self) -> Vec<u8> {
        const NEEDS_CHECKSUM: u8 = 1;
        let mut header = vec![NEEDS_CHECKSUM, self.kind];
        for word in [self.headers, self.size, self.transport, self.checksum] {
            header.extend(word.to_ne_bytes());
        }
        header
    }
}
