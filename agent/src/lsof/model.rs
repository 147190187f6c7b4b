//! Processes and their open files, as they are listed. Kept small: a host has hundreds of thousands of them at a time.

use std::net::IpAddr;

/// A process, or one of its threads, and what of it is listed.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its number; a thread has that of its process.
    pub pid: u32,
    /// The thread's number, for a row of a thread.
    pub tid: Option<u32>,
    /// The thread's name, for a row of a thread.
    pub task_command: Box<[u8]>,
    /// The kernel's name of the process, any bytes.
    pub command: Box<[u8]>,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// The owner of its directory in /proc.
    pub uid: u32,
    /// Its `SELinux` context, or why there is none.
    pub context: Option<Box<[u8]>>,
    /// What it has open.
    pub files: Vec<OpenFile>,
}

/// How a process holds a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Fd {
    /// Its working directory.
    Cwd,
    /// Its root.
    Root,
    /// Its executable.
    Text,
    /// Mapped to memory.
    Memory,
    /// Mapped to memory, and deleted.
    Deleted,
    /// The descriptors could not be read.
    None,
    /// By a descriptor.
    Number(u32),
}

impl Fd {
    /// Its name in the FD column; none for a descriptor.
    #[must_use]
    pub const fn name(self) -> Option<&'static str> {
        match self {
            Self::Cwd => Some("cwd"),
            Self::Root => Some("rtd"),
            Self::Text => Some("txt"),
            Self::Memory => Some("mem"),
            Self::Deleted => Some("DEL"),
            Self::None => Some("NOFD"),
            Self::Number(_) => None,
        }
    }
}

/// The TYPE column.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum OpenFileKind {
    /// Nothing is known, and nothing is printed.
    #[default]
    Blank,
    /// It could not be examined.
    Unknown,
    /// On a file system that must not be touched (`-e`).
    Exempt,
    /// A regular file.
    Regular,
    /// A directory.
    Directory,
    /// A character device.
    Character,
    /// A block device.
    Block,
    /// A pipe, named or not.
    Fifo,
    /// A symbolic link.
    Link,
    /// An anonymous inode: eventfd, epoll and their like.
    Anonymous,
    /// A UNIX socket.
    Unix,
    /// An IPv4 socket.
    Ipv4,
    /// An IPv6 socket.
    Ipv6,
    /// A socket of which no more is known.
    Socket,
    /// A netlink socket.
    Netlink,
    /// A packet socket.
    Packet,
    /// A raw IPv4 socket.
    Raw,
    /// A raw IPv6 socket.
    Raw6,
    /// An ICMP socket.
    Icmp,
    /// An AX.25 socket.
    Ax25,
    /// An IPX socket.
    Ipx,
    /// An SCTP socket.
    Sctp,
    /// A POSIX message queue.
    MessageQueue,
    /// Anything else: the type bits of its mode.
    Other(u16),
}

/// What is known of a file.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// How it is held.
    pub fd: Fd,
    /// `r`, `w`, `u`, or a blank.
    pub access: u8,
    /// `R`, `W`, `r`, `w`, or a blank.
    pub lock: u8,
    /// What it is.
    pub kind: OpenFileKind,
    /// The device that holds it, in the kernel's form for stat(2).
    pub device: Option<u64>,
    /// The device that it is.
    pub rdev: Option<u64>,
    /// Its size.
    pub size: Option<u64>,
    /// Where the next byte is read or written.
    pub offset: Option<u64>,
    /// Its inode.
    pub inode: Option<u64>,
    /// How many names it has.
    pub links: Option<u32>,
    /// The flags that it was opened with.
    pub flags: Option<u32>,
    /// What a socket's table in /proc/net says of it.
    pub socket: Option<Box<ListedSocket>>,
    /// Its name: a path, or a text in its place. Any bytes.
    pub name: Box<[u8]>,
    /// What follows the name and is no part of it: who holds the other end (`-E`), or why the file could not be examined.
    pub note: Option<Box<[u8]>>,
    /// What tells who else holds it, where no inode does.
    pub twin: Option<Twin>,
}

impl OpenFile {
    /// A file of which only the holder is known.
    #[must_use]
    pub fn new(fd: Fd, kind: OpenFileKind) -> Self {
        Self {
            fd,
            access: b' ',
            lock: b' ',
            kind,
            device: None,
            rdev: None,
            size: None,
            offset: None,
            inode: None,
            links: None,
            flags: None,
            socket: None,
            name: Box::default(),
            note: None,
            twin: None,
        }
    }
}

/// What two descriptors have in common that are ends of one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Twin {
    /// The number of the terminal that it controls.
    Terminal(u32),
    /// The kernel's number of an eventfd: all of them have one inode.
    Event(u32),
}

/// A transport that has ports.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Transport {
    /// TCP, and MPTCP's listeners.
    Tcp,
    /// UDP.
    Udp,
    /// UDP-Lite.
    UdpLite,
}

impl Transport {
    /// Its name in the NODE column.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
            Self::UdpLite => "UDPLITE",
        }
    }

    /// Its name in /etc/services. UDP-Lite has UDP's services.
    #[must_use]
    pub const fn services(self) -> &'static str {
        match self {
            Self::Tcp => "tcp",
            Self::Udp | Self::UdpLite => "udp",
        }
    }
}

/// An address and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SocketEnd {
    /// The address; an IPv4 address in IPv6 clothes is IPv4.
    pub address: IpAddr,
    /// The port; 0 for none.
    pub port: u16,
}

impl SocketEnd {
    /// Whether there is such an end at all.
    #[must_use]
    pub fn is_set(&self) -> bool {
        self.port != 0 || !self.address.is_unspecified()
    }
}

/// What /proc/net says of a socket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ListedSocket {
    /// TCP, UDP, UDP-Lite.
    Internet {
        /// The protocol.
        transport: Transport,
        /// Whether the socket is an IPv6 socket; what is in its addresses does not matter.
        v6: bool,
        /// This end.
        local: SocketEnd,
        /// The other end.
        foreign: SocketEnd,
        /// The kernel's number of the state.
        state: u8,
        /// Bytes that wait to be sent.
        send_queue: u64,
        /// Bytes that wait to be read, or connections that wait to be accepted.
        receive_queue: u64,
    },
    /// UNIX.
    Unix {
        /// The kernel's address of it, as printed in /proc/net/unix.
        address: Box<[u8]>,
        /// `SOCK_STREAM` and so on.
        kind: u16,
        /// The kernel's number of the state.
        state: u8,
        /// Whether it listens.
        listens: bool,
        /// Its path, if bound.
        path: Box<[u8]>,
    },
    /// All whose row says what is printed: raw, netlink, packet, ...
    Other {
        /// The NODE column, for packet sockets.
        protocol: Option<Box<[u8]>>,
        /// The DEVICE column is the inode.
        inode_is_device: bool,
        /// The NAME column.
        text: Box<[u8]>,
    },
}

/// The kernel's states of TCP, by number (`include/net/tcp_states.h`), with lsof's names.
pub const TCP_STATES: [(u8, &str); 12] = [
    (1, "ESTABLISHED"),
    (2, "SYN_SENT"),
    (3, "SYN_RECV"),
    (4, "FIN_WAIT1"),
    (5, "FIN_WAIT2"),
    (6, "TIME_WAIT"),
    (7, "CLOSE"),
    (8, "CLOSE_WAIT"),
    (9, "LAST_ACK"),
    (10, "LISTEN"),
    (11, "CLOSING"),
    (0, "CLOSED"),
];

/// The name of a state of TCP.
#[must_use]
pub fn tcp_state(number: u8) -> Option<&'static str> {
    TCP_STATES.iter().find(|(state, _)| *state == number).map(|(_, name)| *name)
}

/// The major number in a device number of stat(2).
#[must_use]
pub const fn major(device: u64) -> u64 {
    ((device >> 8) & 0xfff) | ((device >> 32) & 0xffff_f000)
}

/// The minor number in a device number of stat(2).
#[must_use]
pub const fn minor(device: u64) -> u64 {
    (device & 0xff) | ((device >> 12) & 0xffff_ff00)
}

/// The device number of stat(2) for a major and a minor number.
#[must_use]
pub const fn device(major: u64, minor: u64) -> u64 {
    ((major & 0xfff) << 8) | ((major & 0xffff_f000) << 32) | (minor & 0xff) | ((minor & 0xffff_ff00) << 12)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_have_the_kernels_form() {
        assert_eq!(device(254, 0), 0xfe00);
        assert_eq!(device(0, 0x123), 0x10_0023);
        for (a, b) in [(254, 0), (0, 5), (0, 300), (259, 70_000), (0xfffff, 0xfffff)] {
            assert_eq!((major(device(a, b)), minor(device(a, b))), (a, b));
        }
    }

    #[test]
    fn a_row_is_small() {
        assert!(size_of::<OpenFile>() <= 168, "{}", size_of::<OpenFile>());
    }
}
