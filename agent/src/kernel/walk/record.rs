//! Records as the kernel's programs write them. Pure.

use std::{mem::offset_of, net::Ipv6Addr};

use flowtally_common::walk::{SocketRecord, TaskRecord, UNKNOWN, WalkRecord, fact, link};

/// `FMODE_READ` and `FMODE_WRITE` (`linux/fs.h`).
const READS: u32 = 1;
const WRITES: u32 = 2;
/// `O_CLOEXEC`, which a file does not have: its descriptors do.
const O_CLOEXEC: u32 = 0o2_000_000;
/// `VM_WRITE`, `VM_EXEC` and `VM_MAYSHARE` (`linux/mm.h`), which are what /proc/PID/maps shows.
const VM_WRITE: u32 = 2;
const VM_EXEC: u32 = 4;
const VM_MAYSHARE: u32 = 0x80;

/// An open file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct WalkedFile<'a> {
    /// Its process, as the reader's PID namespace numbers it.
    pub pid: u32,
    /// The thread whose table it is in: the first, or one that has a table of its own.
    pub tid: u32,
    /// Which table, for comparison: threads and processes that share one have the same.
    pub table: u64,
    /// The descriptor.
    pub fd: u32,
    /// The flags of open(2), without `O_CLOEXEC`.
    pub flags: u32,
    /// Whether exec(2) closes it; `None` where nobody asked, or the kernel does not tell.
    pub close_on_exec: Option<bool>,
    /// Whether it is open for reading: the link in /proc/PID/fd is readable.
    pub reads: bool,
    /// Whether it is open for writing: the link is writable.
    pub writes: bool,
    /// Where the next byte is read or written.
    pub position: u64,
    /// The file.
    pub file: WalkedInode,
    /// What the link in /proc/PID/fd says.
    pub link: WalkedLink<'a>,
    /// The number of an eventfd, where paths were asked for.
    pub event: Option<u32>,
    /// Whether it is an epoll instance that watches nothing, where paths were asked for; not where the kernel does not tell.
    pub idle: bool,
    /// Whether it is certain that nobody has a lock on it, where that was asked for.
    pub unlocked: bool,
    /// What socket it is, where that was asked for.
    pub socket: Option<WalkedSocket<'a>>,
}

/// What an inode says of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkedInode {
    /// Major and minor number of the file system's device.
    pub device: (u32, u32),
    /// Inode number.
    pub inode: u64,
    /// Type and permissions.
    pub mode: u16,
    /// Links.
    pub links: u32,
    /// Length in bytes.
    pub size: u64,
    /// Major and minor number of the device that it stands for.
    pub rdev: (u32, u32),
    /// Kind of the file system (`linux/magic.h`).
    pub file_system: u64,
    /// Whether stat(2) says the same. File systems that keep no such inodes (network, stacked, btrfs) answer it by themselves.
    pub exact: bool,
}

/// What a link in /proc says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WalkedLink<'a> {
    /// Nobody asked.
    NotAsked,
    /// The text of the link.
    Path(&'a [u8]),
    /// `socket:[INODE]`
    Socket,
    /// `pipe:[INODE]`
    Pipe,
    /// It is longer than a path may be, or is not known here: readlink(2) says.
    Unknown,
}

/// A socket that is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkedSocket<'a> {
    /// Its inode number.
    pub inode: u64,
    /// Its cookie; 0 if nobody ever asked for it.
    pub cookie: u64,
    /// Inode number of its network namespace.
    pub namespace: u64,
    /// `AF_INET` and so on.
    pub family: u16,
    /// `SOCK_STREAM` and so on.
    pub kind: u16,
    /// Protocol of the family.
    pub protocol: u16,
    /// State (`net/tcp_states.h`).
    pub state: u8,
    /// User of whoever made it; `None` where the kernel does not tell.
    pub uid: Option<u32>,
    /// Index of the only interface that it uses; 0 for any.
    pub interface: u32,
    /// Its own address, IPv4 as v4-mapped; unspecified for any, and for families without.
    pub local: Ipv6Addr,
    /// The peer's.
    pub remote: Ipv6Addr,
    /// Its own port; 0 without one, and for one that is bound to nothing.
    pub local_port: u16,
    /// The peer's port.
    pub remote_port: u16,
    /// Bytes that wait to be read; of a listener, connections that wait to be accepted. Of the Internet families alone.
    pub receive_queue: u32,
    /// Bytes that wait to be sent; of a listener, how many connections may wait. Of the Internet families alone.
    pub send_queue: u32,
    /// The path that a UNIX socket is bound to, without the zero at its end; one that begins with a zero byte is abstract, and has whatever
    /// zeros it was given; empty without one.
    pub name: &'a [u8],
    /// Inode number of the other end of a UNIX socket; 0 without one, and while nobody has accepted it.
    pub peer: u64,
    /// The port of a netlink socket, or the `EtherType` of a packet socket.
    pub number: Option<u32>,
    /// The kernel's address of it, as /proc/net/unix prints it; `None` where nobody asked, or the kernel shows no such addresses.
    pub address: Option<[u8; 16]>,
    /// Whether all that its family has is here: not where the kernel lacks a field, nor of a family that is not known.
    pub complete: bool,
}

/// A mapping of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a fact of its own")]
pub struct WalkedMapping<'a> {
    /// Its process.
    pub pid: u32,
    /// First address.
    pub start: u64,
    /// The address behind the last.
    pub end: u64,
    /// Whether it may be written to.
    pub writes: bool,
    /// Whether it may be executed.
    pub executes: bool,
    /// Whether what is written goes to the file.
    pub shared: bool,
    /// Where in the file it begins, in pages.
    pub page: u64,
    /// The file.
    pub file: WalkedInode,
    /// Its path; not known either of one that /proc shows another name of.
    pub link: WalkedLink<'a>,
    /// Whether it is the executable of its process.
    pub executable: bool,
}

/// A process, or a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WalkedTask {
    /// The process.
    pub pid: u32,
    /// The thread: the process's number is that of its first one.
    pub tid: u32,
    /// Its parent; 0 where that is in another PID namespace.
    pub parent: u32,
    /// Its process group; 0 where that is in another PID namespace.
    pub group: u32,
    /// Its effective user.
    pub uid: u32,
    /// How many threads the process has; `None` where the kernel does not tell.
    pub threads: Option<u32>,
    /// Inode number of its network namespace; 0 for one that has ended.
    pub namespace: u64,
    /// When it started, in nanoseconds since boot.
    pub start: u64,
    /// Its table of descriptors, for comparison; 0 without one.
    pub table: u64,
    /// Whether it has memory of its own: threads of the kernel, and what has ended, have none.
    pub has_memory: bool,
    /// Whether it has ended, and nobody has taken notice.
    pub ended: bool,
    /// Its name, with zeros behind it.
    pub name: [u8; 16],
}

impl WalkedTask {
    /// The name.
    #[must_use]
    pub fn command(&self) -> &[u8] {
        let end = self.name.iter().position(|byte| *byte == 0).unwrap_or(self.name.len());
        self.name.get(..end).unwrap_or_default()
    }
}

/// What comes of a record.
pub(super) enum Walked {
    /// The next one, so many bytes further.
    Next(usize),
    /// Whoever asked has enough.
    Enough,
    /// It is no record.
    Broken,
}

impl Walked {
    pub(super) fn next(bytes: &[u8]) -> Self {
        Self::Next(bytes.len())
    }

    pub(super) fn after(bytes: &[u8], flow: std::ops::ControlFlow<()>) -> Self {
        if flow.is_break() { Self::Enough } else { Self::next(bytes) }
    }

    pub(super) const fn broken() -> Self {
        Self::Broken
    }
}

/// The first record, if the whole of it is there. One whose length cannot be true is handed over as it is, and is none.
pub(super) fn first(bytes: &[u8]) -> Option<&[u8]> {
    let length = u32::from_ne_bytes(*bytes.first_chunk()?) as usize;
    if length < size_of::<TaskRecord>().min(size_of::<WalkRecord>()) || !length.is_multiple_of(8) {
        return bytes.get(..4);
    }
    bytes.get(..length)
}

/// A field of a record that begins at `$from`.
macro_rules! field {
    ($bytes:expr, $record:ident.$field:ident: $kind:ty) => {{
        const AT: usize = offset_of!($record, $field);
        <$kind>::from_ne_bytes(*$bytes[AT..].first_chunk()?)
    }};
}

/// A device's number (`include/linux/kdev_t.h`).
const fn device(number: u32) -> (u32, u32) {
    (number >> 20, number & 0xf_ffff)
}

const fn known(number: u32) -> Option<u32> {
    if number == UNKNOWN { None } else { Some(number) }
}

/// What both records of files have.
fn inode_and_link(bytes: &[u8]) -> Option<(WalkedInode, WalkedLink<'_>, u16)> {
    let (head, rest) = bytes.split_first_chunk::<{ size_of::<WalkRecord>() }>()?;
    let facts = field!(head, WalkRecord.facts: u16);
    let file = WalkedInode {
        device: device(field!(head, WalkRecord.device: u32)),
        inode: field!(head, WalkRecord.inode: u64),
        mode: field!(head, WalkRecord.mode: u16),
        links: field!(head, WalkRecord.links: u32),
        size: field!(head, WalkRecord.size: u64),
        rdev: device(field!(head, WalkRecord.rdev: u32)),
        file_system: field!(head, WalkRecord.magic: u64),
        exact: facts & fact::EXACT != 0,
    };
    let link = match head[offset_of!(WalkRecord, link)] {
        link::NOT_ASKED => WalkedLink::NotAsked,
        link::PATH => WalkedLink::Path(rest.get(..usize::from(field!(head, WalkRecord.text: u16)))?),
        link::SOCKET => WalkedLink::Socket,
        link::PIPE => WalkedLink::Pipe,
        _ => WalkedLink::Unknown,
    };
    Some((file, link, facts))
}

impl<'a> WalkedFile<'a> {
    /// From a record; `None` if it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Self> {
        let (file, link, facts) = inode_and_link(bytes)?;
        let (head, rest) = bytes.split_first_chunk::<{ size_of::<WalkRecord>() }>()?;
        let open_mode = field!(head, WalkRecord.open_mode: u32);
        let has = |bit| facts & bit != 0;
        Some(Self {
            pid: field!(head, WalkRecord.pid: u32),
            tid: field!(head, WalkRecord.tid: u32),
            table: field!(head, WalkRecord.table: u64),
            fd: field!(head, WalkRecord.fd: u32),
            flags: field!(head, WalkRecord.flags: u32) & !O_CLOEXEC,
            close_on_exec: has(fact::CLOSING_KNOWN).then(|| has(fact::CLOSES)),
            reads: open_mode & READS != 0,
            writes: open_mode & WRITES != 0,
            position: field!(head, WalkRecord.position: u64),
            event: has(fact::EVENT).then_some(field!(head, WalkRecord.event: u32)),
            idle: has(fact::IDLE),
            unlocked: has(fact::UNLOCKED),
            socket: if has(fact::SOCKET) { Some(WalkedSocket::parse(rest, file.inode)?) } else { None },
            file,
            link,
        })
    }
}

impl<'a> WalkedSocket<'a> {
    fn parse(bytes: &'a [u8], inode: u64) -> Option<Self> {
        let (head, rest) = bytes.split_first_chunk::<{ size_of::<SocketRecord>() }>()?;
        let facts = field!(head, SocketRecord.facts: u16);
        let address = |at: usize| head[at..].first_chunk::<16>().map(|bytes| Ipv6Addr::from(*bytes));
        let name = rest.get(..usize::from(field!(head, SocketRecord.text: u16)))?;
        // The zero behind a path is part of the address, and not of the path.
        let name = if name.first() == Some(&0) { name } else { name.strip_suffix(b"\0").unwrap_or(name) };
        let printed = *head[offset_of!(SocketRecord, address)..].first_chunk::<16>()?;
        Some(Self {
            inode,
            cookie: field!(head, SocketRecord.cookie: u64),
            namespace: field!(head, SocketRecord.namespace: u32).into(),
            family: field!(head, SocketRecord.family: u16),
            kind: field!(head, SocketRecord.kind: u16),
            protocol: field!(head, SocketRecord.protocol: u16),
            state: head[offset_of!(SocketRecord, state)],
            uid: known(field!(head, SocketRecord.uid: u32)),
            interface: field!(head, SocketRecord.interface: u32),
            local: address(offset_of!(SocketRecord, local))?,
            remote: address(offset_of!(SocketRecord, remote))?,
            local_port: field!(head, SocketRecord.local_port: u16),
            remote_port: field!(head, SocketRecord.remote_port: u16),
            receive_queue: field!(head, SocketRecord.receive_queue: u32),
            send_queue: field!(head, SocketRecord.send_queue: u32),
            name,
            peer: field!(head, SocketRecord.peer: u64),
            number: known(field!(head, SocketRecord.number: u32)),
            address: (facts & fact::ADDRESS != 0).then_some(printed),
            complete: facts & fact::COMPLETE != 0,
        })
    }
}

impl<'a> WalkedMapping<'a> {
    /// From a record, with the thread through which it was met; `None` if it is none.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<(Self, u32)> {
        let (file, link, facts) = inode_and_link(bytes)?;
        let head = bytes.first_chunk::<{ size_of::<WalkRecord>() }>()?;
        let flags = field!(head, WalkRecord.fd: u32);
        let mapping = Self {
            pid: field!(head, WalkRecord.pid: u32),
            start: field!(head, WalkRecord.table: u64),
            end: field!(head, WalkRecord.end: u64),
            writes: flags & VM_WRITE != 0,
            executes: flags & VM_EXEC != 0,
            shared: flags & VM_MAYSHARE != 0,
            page: field!(head, WalkRecord.position: u64),
            file,
            link,
            executable: facts & fact::EXECUTABLE != 0,
        };
        Some((mapping, field!(head, WalkRecord.tid: u32)))
    }
}

impl WalkedTask {
    /// From a record; `None` if it is none.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let head = bytes.first_chunk::<{ size_of::<TaskRecord>() }>()?;
        Some(Self {
            pid: field!(head, TaskRecord.pid: u32),
            tid: field!(head, TaskRecord.tid: u32),
            parent: field!(head, TaskRecord.parent: u32),
            group: field!(head, TaskRecord.group: u32),
            uid: field!(head, TaskRecord.uid: u32),
            threads: known(field!(head, TaskRecord.threads: u32)),
            namespace: field!(head, TaskRecord.namespace: u32).into(),
            start: field!(head, TaskRecord.start: u64),
            table: field!(head, TaskRecord.table: u64),
            has_memory: field!(head, TaskRecord.memory: u64) != 0,
            ended: field!(head, TaskRecord.ended: u32) != 0,
            name: *head[offset_of!(TaskRecord, command)..].first_chunk()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts numbers at their places in a record.
    fn bytes_of(length: usize, fields: &[(usize, &[u8])]) -> Vec<u8> {
        let mut bytes = vec![0; length];
        for (at, value) in fields {
            bytes[*at..*at + value.len()].copy_from_slice(value);
        }
        bytes
    }

    fn file(link: u8, facts: u16, after: &[u8], text: u16) -> Vec<u8> {
        let mut bytes = bytes_of(
            size_of::<WalkRecord>(),
            &[
                (offset_of!(WalkRecord, pid), &17_u32.to_ne_bytes()),
                (offset_of!(WalkRecord, tid), &18_u32.to_ne_bytes()),
                (offset_of!(WalkRecord, fd), &3_u32.to_ne_bytes()),
                (offset_of!(WalkRecord, flags), &(O_CLOEXEC | 2).to_ne_bytes()),
                (offset_of!(WalkRecord, open_mode), &(WRITES | 0x40).to_ne_bytes()),
                (offset_of!(WalkRecord, device), &(254_u32 << 20 | 0x12c).to_ne_bytes()),
                (offset_of!(WalkRecord, inode), &u64::MAX.to_ne_bytes()),
                (offset_of!(WalkRecord, text), &text.to_ne_bytes()),
                (offset_of!(WalkRecord, link), &[link]),
                (offset_of!(WalkRecord, facts), &facts.to_ne_bytes()),
            ],
        );
        bytes.extend_from_slice(after);
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        let length = u32::try_from(bytes.len()).unwrap();
        bytes[..4].copy_from_slice(&length.to_ne_bytes());
        bytes
    }

    #[test]
    fn a_record_is_a_file() {
        let bytes = file(link::PATH, fact::EXACT | fact::CLOSING_KNOWN, b"/tmp/x (deleted)\0", 16);
        let found = WalkedFile::parse(first(&bytes).unwrap()).unwrap();
        assert_eq!((found.pid, found.tid, found.fd, found.flags), (17, 18, 3, 2));
        assert_eq!((found.reads, found.writes, found.close_on_exec), (false, true, Some(false)));
        assert_eq!((found.file.device, found.file.inode, found.file.exact), ((254, 300), u64::MAX, true));
        assert_eq!(
            (found.link, found.socket, found.event),
            (WalkedLink::Path(b"/tmp/x (deleted)"), None, None)
        );
        assert_eq!(first(&bytes[..bytes.len() - 1]), None, "the rest is still to come");
        assert!(WalkedFile::parse(&file(link::PATH, 0, b"/tmp", 9)).is_none());
    }

    #[test]
    fn a_record_has_a_socket() {
        let socket = bytes_of(
            size_of::<SocketRecord>(),
            &[
                (offset_of!(SocketRecord, local), &Ipv6Addr::LOCALHOST.octets()),
                (offset_of!(SocketRecord, local_port), &443_u16.to_ne_bytes()),
                (offset_of!(SocketRecord, uid), &UNKNOWN.to_ne_bytes()),
                (offset_of!(SocketRecord, text), &5_u16.to_ne_bytes()),
                (offset_of!(SocketRecord, facts), &fact::ADDRESS.to_ne_bytes()),
                (offset_of!(SocketRecord, address), b"00000000deadbeef"),
            ],
        );
        let named = |name: &[u8]| file(link::SOCKET, fact::SOCKET, &[&socket, name].concat(), 0);
        let bytes = named(b"/bus\0");
        let found = WalkedFile::parse(&bytes).unwrap();
        assert_eq!(found.socket.unwrap().name, b"/bus");
        let bytes = named(b"\0bus\0");
        let found = WalkedFile::parse(&bytes).unwrap();
        let socket = found.socket.unwrap();
        assert_eq!((found.link, socket.inode), (WalkedLink::Socket, u64::MAX));
        assert_eq!((socket.local, socket.local_port, socket.uid), (Ipv6Addr::LOCALHOST, 443, None));
        assert_eq!((socket.name, socket.address), (&b"\0bus\0"[..], Some(*b"00000000deadbeef")));
        assert!(!socket.complete);
    }

    #[test]
    fn a_record_is_a_task() {
        let bytes = bytes_of(
            size_of::<TaskRecord>(),
            &[
                (0, &u32::try_from(size_of::<TaskRecord>()).unwrap().to_ne_bytes()),
                (offset_of!(TaskRecord, pid), &17_u32.to_ne_bytes()),
                (offset_of!(TaskRecord, memory), &1_u64.to_ne_bytes()),
                (offset_of!(TaskRecord, command), b"sleep"),
            ],
        );
        let task = WalkedTask::parse(first(&bytes).unwrap()).unwrap();
        assert_eq!((task.pid, task.command(), task.has_memory, task.ended), (17, &b"sleep"[..], true, false));
        let whole = WalkedTask { name: [b'x'; 16], ..task };
        assert_eq!(whole.command().len(), 16);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_record_or_none(mut bytes in prop::collection::vec(any::<u8>(), 0..400), length in 0_u32..400) {
            if let Some(start) = bytes.first_chunk_mut() {
                *start = length.to_ne_bytes();
            }
            if let Some(record) = first(&bytes) {
                let _ = WalkedFile::parse(record);
                let _ = WalkedMapping::parse(record);
                let _ = WalkedTask::parse(record);
            }
        }

        #[test]
        fn a_path_is_what_was_written(path in prop::collection::vec(any::<u8>(), 1..4096)) {
            let bytes = file(link::PATH, 0, &path, u16::try_from(path.len()).unwrap());
            let found = WalkedFile::parse(first(&bytes).unwrap()).unwrap();
            prop_assert_eq!(found.link, WalkedLink::Path(&path));
        }
    }
}
