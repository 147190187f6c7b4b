//! Which socket traffic belongs to, and which process a socket belongs to, as the kernel notes it.

use core::mem::size_of;

/// A socket that a flow was seen with: its cookie, as the kernel numbers sockets (`SO_COOKIE`, `bpf_get_socket_cookie`), never
/// the same twice until the next boot; and how sure that is. 0 is none.
///
/// An exact one is the socket that *sent* the frames: the flow's source. A sent frame has it when a process of this host sent it;
/// a received one when its sender is on the same host, in a container say, and the frame came without crossing a wire. One
/// with [`BOUND`](Self::BOUND) is a socket of the namespace whose interfaces are counted that *receives* them: the flow's destination.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(transparent)]
pub struct SocketHint(pub u64);

impl SocketHint {
    /// Set when the frame was received and is delivered here, and this is the socket that is bound to its destination: of a TCP
    /// connection the listener, not the connection itself. Cookies grow from 1 and never come near this bit.
    pub const BOUND: u64 = 1 << 63;

    /// No socket is known.
    pub const NONE: Self = Self(0);

    /// The socket's cookie; 0 for none.
    #[must_use]
    pub const fn cookie(self) -> u64 {
        self.0 & !Self::BOUND
    }

    /// Whether there is a socket at all.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != 0
    }

    /// Whether the frame itself belonged to the socket.
    #[must_use]
    pub const fn is_exact(self) -> bool {
        self.0 != 0 && self.0 & Self::BOUND == 0
    }

    /// The better of the two: exact before bound before none; of equals the newer, which is `other`.
    #[must_use]
    pub const fn or_better(self, other: Self) -> Self {
        if !other.is_some() || self.is_exact() && !other.is_exact() { self } else { other }
    }
}

/// When a socket's owner was noted; the later occasions say more than the earlier ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Occasion {
    /// The connection came to a listener of the process, and nobody is known yet to have accepted it.
    Listened = 1,
    /// The process made the socket.
    Created = 2,
    /// It bound it to an address.
    Bound = 3,
    /// It connected it.
    Connected = 4,
    /// It accepted the connection, or asked for the peer of one that another accepted.
    Accepted = 5,
    /// It closed the socket, last of all who had it open: who served a connection that was accepted without a trace, or
    /// was handed over to a child.
    Closed = 6,
}

impl Occasion {
    /// The occasion that a [`SocketNote::occasion`] stands for.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Option<Self> {
        Some(match raw {
            1 => Self::Listened,
            2 => Self::Created,
            3 => Self::Bound,
            4 => Self::Connected,
            5 => Self::Accepted,
            6 => Self::Closed,
            _ => return None,
        })
    }
}

/// Who owns a socket: the value of the map `NOTES`, by socket cookie. It outlives socket and process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketNote {
    /// When the process (its thread group leader) started, in nanoseconds since boot; 0 where the kernel does not tell.
    pub start_time: u64,
    /// When this was noted, in nanoseconds since boot (`CLOCK_BOOTTIME`).
    pub noted: u64,
    /// Id of the process's cgroup (v2): its directory's inode number.
    pub cgroup: u64,
    /// Cookie of the socket's network namespace (`SO_NETNS_COOKIE`).
    pub netns: u64,
    /// Thread group id: what users call the PID. In the first PID namespace of the machine, whichever the process, or the reader
    /// of this note, lives in: where the reader has one of its own, it is not the number that the reader's /proc has.
    pub tgid: u32,
    /// The effective user of the process at that moment, as the first user namespace numbers users; the real one where the
    /// kernel has no BTF.
    pub uid: u32,
    /// The command's name at that moment, as `ps` shows it: the name of the first thread; of the running thread where the
    /// kernel has no BTF. Padded with zeros (`TASK_COMM_LEN`).
    pub command: [u8; 16],
    /// An [`Occasion`].
    pub occasion: u8,
    /// Always 0.
    pub padding: [u8; 7],
}

/// What a socket is bound to: the key of the map `BOUND`, whose values are socket cookies.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct BoundKey {
    /// Cookie of the network namespace.
    pub netns: u64,
    /// The address, IPv4 as v4-mapped; all zeros for any.
    pub address: [u8; 16],
    /// The port, in network order.
    pub port: [u8; 2],
    /// IP protocol.
    pub protocol: u8,
    /// Always 0.
    pub padding: [u8; 5],
}

const _: () = assert!(size_of::<SocketNote>() == 64 && size_of::<BoundKey>() == 32);
