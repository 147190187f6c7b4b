//! Sockets of a network namespace, as the kernel lists them: `sock_diag(7)`, and where that is refused /proc/net.
//!
//! The list is the one of the namespace that the calling thread is in; [`netns`](super::netns) enters another one.

mod inet;
mod netlink;
mod packet;
mod text;
mod unix;

use std::{
    net::{Ipv6Addr, SocketAddr},
    path::Path,
};

use rustix::{io::Errno, net::netlink::SOCK_DIAG};

pub(crate) use netlink::{Attributes, Connection, DiagAnswer, SOCK_DIAG_BY_FAMILY, request_for, u32_at};
pub use packet::PacketSocket;
pub use unix::UnixSocket;

/// IP protocols whose sockets are asked for by their own number.
pub mod protocol {
    /// Internet Control Message Protocol: its ping sockets.
    pub const ICMP: u8 = 1;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Internet Control Message Protocol of IPv6: its ping sockets.
    pub const ICMPV6: u8 = 58;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Lightweight User Datagram Protocol.
    pub const UDPLITE: u8 = 136;
}

/// What a socket is called with in its list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SocketClass {
    /// Of a transport protocol: [`protocol::TCP`], [`protocol::UDP`]...
    Transport,
    /// Echo requests from an unprivileged process (`icmp(7)`): the local port is the echo's identifier.
    Ping,
    /// Whole packets of one IP protocol (`raw(7)`).
    Raw,
}

/// State of a socket (`include/net/tcp_states.h`); what is not TCP knows only [`Established`](Self::Established), which is
/// connected, and [`Close`](Self::Close), which is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names are those of RFC 9293, 3.3.2")]
pub enum State {
    Established = 1,
    SynSent,
    SynReceived,
    FinWait1,
    FinWait2,
    TimeWait,
    Close,
    CloseWait,
    LastAck,
    Listen,
    Closing,
    /// A connection that is being opened, with no socket yet (`TCP_NEW_SYN_RECV`).
    NewSynReceived,
    /// A number that the kernel did not have when this was written.
    Other,
}

impl State {
    /// The state of a number.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Self {
        match raw {
            1 => Self::Established,
            2 => Self::SynSent,
            3 => Self::SynReceived,
            4 => Self::FinWait1,
            5 => Self::FinWait2,
            6 => Self::TimeWait,
            7 => Self::Close,
            8 => Self::CloseWait,
            9 => Self::LastAck,
            10 => Self::Listen,
            11 => Self::Closing,
            12 => Self::NewSynReceived,
            _ => Self::Other,
        }
    }
}

/// A socket of the Internet families.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InternetSocket {
    /// What kind of socket it is.
    pub class: SocketClass,
    /// IP protocol; of a raw socket the one it takes (255 is all).
    pub protocol: u8,
    /// Whether it was made for IPv6; it may speak IPv4 all the same, unless `v6_only`.
    pub is_v6: bool,
    /// Whether it refuses IPv4; known of sockets that are not connected.
    pub v6_only: bool,
    /// Its state.
    pub state: State,
    /// Its own address, IPv4 as v4-mapped; unspecified (`::`, `::ffff:0.0.0.0`) for any.
    pub local: Ipv6Addr,
    /// The peer's, as `local`; unspecified without one.
    pub remote: Ipv6Addr,
    /// Its own port, 0 without one.
    pub local_port: u16,
    /// The peer's port, 0 without one.
    pub remote_port: u16,
    /// Index of the only interface it uses; 0 for any.
    pub interface: u32,
    /// Its cookie (`SO_COOKIE`); 0 where the kernel does not tell.
    pub cookie: u64,
    /// Its inode number, as in `socket:[N]` of /proc/PID/fd; 0 when no process can have it open any more, or yet.
    pub inode: u64,
    /// User of whoever made it.
    pub uid: u32,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted.
    pub receive_queue: u32,
    /// Bytes that wait to be sent, or acknowledged; of a listener, how many connections may wait.
    pub send_queue: u32,
}

impl InternetSocket {
    /// Whether it is bound or listens, without a peer.
    #[must_use]
    pub const fn has_no_peer(&self) -> bool {
        self.remote_port == 0 && is_any(self.remote)
    }

    /// The socket of the connection's namespace with these ends (of UDP, the one that takes what comes from there) and this cookie.
    pub(crate) fn get(
        connection: &mut Connection,
        protocol: u8,
        local: (Ipv6Addr, u16),
        remote: (Ipv6Addr, u16),
        cookie: u64,
    ) -> Option<Self> {
        inet::get(connection, protocol, local, remote, cookie).ok().flatten()
    }

    /// Hands every TCP or UDP socket of a family to `each`, or where the kernel can tell only those with an end whose port is in
    /// `ports`.
    pub(crate) fn each(
        connection: &mut Connection,
        protocol: u8,
        is_v6: bool,
        ports: Option<(u16, u16)>,
        mut each: impl FnMut(Self),
    ) -> rustix::io::Result<()> {
        inet::dump_family(connection, protocol, is_v6, ports, &mut each)
    }

    /// Its own end, as people read it.
    #[must_use]
    pub fn local_end(&self) -> SocketAddr {
        SocketAddr::new(self.local.to_canonical(), self.local_port)
    }

    /// The peer's end.
    #[must_use]
    pub fn remote_end(&self) -> SocketAddr {
        SocketAddr::new(self.remote.to_canonical(), self.remote_port)
    }
}

/// Whether an address stands for any, of either family.
#[must_use]
pub const fn is_any(address: Ipv6Addr) -> bool {
    matches!(address.to_bits(), 0 | 0xffff_0000_0000)
}

/// Which lists are wanted.
#[expect(clippy::struct_excessive_bools, reason = "a set, whose members have names")]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// TCP.
    pub tcp: bool,
    /// UDP.
    pub udp: bool,
    /// UDP-Lite.
    pub udplite: bool,
    /// SCTP: asking for it may load the protocol's module.
    pub sctp: bool,
    /// Raw sockets, and ping sockets.
    pub raw: bool,
    /// Packet sockets.
    pub packet: bool,
    /// UNIX sockets.
    pub unix: bool,
}

impl Wanted {
    /// What is there on every host.
    pub const ALL: Self =
        Self { tcp: true, udp: true, udplite: true, sctp: false, raw: true, packet: true, unix: true };

    /// What is in either.
    #[must_use]
    pub const fn or(self, other: Self) -> Self {
        Self {
            tcp: self.tcp | other.tcp,
            udp: self.udp | other.udp,
            udplite: self.udplite | other.udplite,
            sctp: self.sctp | other.sctp,
            raw: self.raw | other.raw,
            packet: self.packet | other.packet,
            unix: self.unix | other.unix,
        }
    }
}

/// Sockets of one network namespace.
#[derive(Clone, Debug, Default)]
pub struct NamespaceSockets {
    /// Of the Internet families.
    pub inet: Vec<InternetSocket>,
    /// Packet sockets.
    pub packet: Vec<PacketSocket>,
    /// UNIX sockets.
    pub unix: Vec<UnixSocket>,
    /// What `sock_diag` refused, so that /proc/net was read, and why: the list's name, and the error.
    pub refused: Vec<(&'static str, Errno)>,
}

impl NamespaceSockets {
    /// Reads the lists of the namespace that this thread is in. What neither `sock_diag` nor /proc/net shows is left out, and is in
    /// [`refused`](Self::refused).
    #[must_use]
    pub fn read(wanted: Wanted) -> Self {
        let mut sockets = Self::default();
        match Connection::open(Some(SOCK_DIAG)) {
            Ok(mut connection) => sockets.read_over(&mut connection, wanted),
            Err(error) => {
                sockets.refused.push(("all", error));
                sockets.read_text(Path::new("/proc/thread-self/net"), wanted);
            }
        }
        sockets
    }

    /// Reads the lists of another process's namespace from its /proc/PID/net, where the namespace may not be entered.
    #[must_use]
    pub fn read_of_process(pid: u32, wanted: Wanted) -> Self {
        let mut sockets = Self::default();
        sockets.read_text(Path::new(&format!("/proc/{pid}/net")), wanted);
        sockets
    }

    /// Reads the lists of the namespace that a connection belongs to.
    pub(crate) fn read_over(&mut self, connection: &mut Connection, wanted: Wanted) {
        let here = Path::new("/proc/thread-self/net");
        if wanted.tcp
            && let Err(error) = inet::dump_tcp(connection, &mut |socket| self.inet.push(socket))
        {
            self.refused.push(("TCP", error));
            self.read_text(here, Wanted { tcp: true, ..Wanted::default() });
        }
        for (wanted, name, number, fallback) in [
            (wanted.udp, "UDP", protocol::UDP, Wanted { udp: true, ..Wanted::default() }),
            (wanted.udplite, "UDP-Lite", protocol::UDPLITE, Wanted { udplite: true, ..Wanted::default() }),
            (wanted.sctp, "SCTP", protocol::SCTP, Wanted::default()),
            (wanted.raw, "raw", inet::RAW, Wanted { raw: true, ..Wanted::default() }),
        ] {
            if !wanted {
                continue;
            }
            if let Err(error) = inet::dump(connection, number, &mut |socket| self.inet.push(socket)) {
                // A kernel without the protocol, or without its lists.
                if error != Errno::NOENT {
                    self.refused.push((name, error));
                }
                self.read_text(here, fallback);
            } else if number == inet::RAW {
                self.read_text_of(here, &text::PING);
            }
        }
        if wanted.packet
            && let Err(error) = packet::dump(connection, &mut |socket| self.packet.push(socket))
        {
            self.refused.push(("packet", error));
        }
        if wanted.unix
            && let Err(error) = unix::dump(connection, &mut |socket| self.unix.push(socket))
        {
            self.refused.push(("UNIX", error));
        }
    }

    fn read_text(&mut self, net: &Path, wanted: Wanted) {
        for (wanted, tables) in [
            (wanted.tcp, &text::TCP),
            (wanted.udp, &text::UDP),
            (wanted.udplite, &text::UDPLITE),
            (wanted.raw, &text::RAW),
            (wanted.raw, &text::PING),
        ] {
            if wanted {
                self.read_text_of(net, tables);
            }
        }
    }

    fn read_text_of(&mut self, net: &Path, tables: &[text::ProcNetFile]) {
        for table in tables {
            // Without IPv6 there are no such files.
            if let Ok(text) = std::fs::read(net.join(table.file)) {
                self.inet.extend(text::parse(table, &text));
            }
        }
    }
}
