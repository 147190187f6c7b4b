//! What the programs that walk the kernel's tables are told, and the records that they write.
//!
//! Records follow one another; each begins with its length, a multiple of eight.

use core::mem::{offset_of, size_of};

/// An offset that the running kernel's type information does not have.
pub const UNKNOWN: u32 = u32::MAX;

/// Longest path that the kernel writes (`PATH_MAX`), the zero at its end included.
pub const LONGEST_PATH: usize = 4096;

/// Bits in a [`WalkSet`].
pub const SET_BITS: u64 = 1 << 16;

/// Name of the load-time value of type [`WalkLayout`].
pub const LAYOUT: &str = "LAYOUT";
/// Name of the load-time value with the [`want`] bits.
pub const WANT: &str = "WANT";
/// Name of the map whose one element is a [`WalkSelection`].
pub const SELECTION: &str = "SELECTION";

/// Declares [`WalkLayout`] with a list of its fields, so that user space fills in one by one what it looks up.
macro_rules! layout {
    ($($(#[$attribute:meta])* $field:ident: $structure:literal [$($name:literal),+] $need:ident,)+) => {
        /// Where fields lie in the running kernel's structures, in bytes; [`UNKNOWN`] where it has none.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[repr(C)]
        pub struct WalkLayout {
            $($(#[$attribute])* pub $field: u32,)+
        }

        impl WalkLayout {
            /// Nothing is known.
            pub const NONE: Self = Self { $($field: UNKNOWN,)+ };

            /// The fields in their order: the structure, the names that the field has had (an empty one is the structure's size), and whether no walk can do without it.
            pub const FIELDS: &'static [(&'static str, &'static [&'static str], bool)] =
                &[$(($structure, &[$($name),+], layout!(@ $need)),)+];

            /// From the offsets in the order of [`FIELDS`](Self::FIELDS); what is missing at the end is not known.
            #[must_use]
            pub fn from_offsets(offsets: impl IntoIterator<Item = Option<u32>>) -> Self {
                let mut offsets = offsets.into_iter();
                Self { $($field: offsets.next().flatten().unwrap_or(UNKNOWN),)+ }
            }
        }
    };
    (@ needed) => { true };
    (@ optional) => { false };
}

layout! {
    /// `struct bpf_iter_meta`.
    meta_seq: "bpf_iter_meta" ["seq"] needed,
    /// `struct task_struct`.
    task_pid: "task_struct" ["pid"] needed,
    /// Number of the process.
    task_tgid: "task_struct" ["tgid"] needed,
    /// First thread.
    task_leader: "task_struct" ["group_leader"] needed,
    /// What its number is in each PID namespace.
    task_thread_pid: "task_struct" ["thread_pid"] needed,
    /// Table of descriptors.
    task_files: "task_struct" ["files"] needed,
    /// Memory.
    task_mm: "task_struct" ["mm"] needed,
    /// The file of the executable.
    mm_exe_file: "mm_struct" ["exe_file"] optional,
    /// What threads share.
    task_signal: "task_struct" ["signal"] needed,
    /// Parent.
    task_parent: "task_struct" ["real_parent"] needed,
    /// Whether it has ended.
    task_exit_state: "task_struct" ["exit_state"] needed,
    /// Start, in nanoseconds since boot.
    task_start: "task_struct" ["start_boottime", "real_start_time"] needed,
    /// Name.
    task_comm: "task_struct" ["comm"] needed,
    /// User.
    task_cred: "task_struct" ["cred"] needed,
    /// Namespaces.
    task_nsproxy: "task_struct" ["nsproxy"] needed,
    /// Effective user.
    cred_euid: "cred" ["euid"] needed,
    /// Network namespace of a task.
    nsproxy_net: "nsproxy" ["net_ns"] needed,
    /// Number of threads.
    signal_threads: "signal_struct" ["nr_threads"] optional,
    /// Process, process group and session.
    signal_pids: "signal_struct" ["pids"] needed,
    /// Which of them is the group: an index.
    group_index: "pid_type" ["PIDTYPE_PGID"] needed,
    /// How deep a PID namespace is.
    pid_level: "pid" ["level"] needed,
    /// The number in each.
    pid_numbers: "pid" ["numbers"] needed,
    /// Where in such an entry.
    upid_nr: "upid" ["nr"] needed,
    /// How long such an entry is.
    upid_size: "upid" [""] needed,
    /// `struct file`.
    file_inode: "file" ["f_inode"] needed,
    /// For what it is open.
    file_mode: "file" ["f_mode"] needed,
    /// Flags of open(2).
    file_flags: "file" ["f_flags"] needed,
    /// Position.
    file_pos: "file" ["f_pos"] needed,
    /// Path.
    file_path: "file" ["f_path"] needed,
    /// What is behind it.
    file_private: "file" ["private_data"] needed,
    /// `struct path`.
    path_dentry: "path" ["dentry"] needed,
    /// `struct dentry`.
    dentry_inode: "dentry" ["d_inode"] needed,
    /// `struct inode`.
    inode_mode: "inode" ["i_mode"] needed,
    /// Its number.
    inode_ino: "inode" ["i_ino"] needed,
    /// Links.
    inode_nlink: "inode" ["i_nlink", "__i_nlink"] needed,
    /// Device that it stands for.
    inode_rdev: "inode" ["i_rdev"] needed,
    /// Locks that were ever on it.
    inode_locks: "inode" ["i_flctx"] optional,
    /// Those of flock(2).
    locks_flock: "file_lock_context" ["flc_flock"] optional,
    /// Those of fcntl(2).
    locks_posix: "file_lock_context" ["flc_posix"] optional,
    /// Leases.
    locks_lease: "file_lock_context" ["flc_lease"] optional,
    /// Size.
    inode_size: "inode" ["i_size"] needed,
    /// File system.
    inode_sb: "inode" ["i_sb"] needed,
    /// What the file system does itself.
    inode_op: "inode" ["i_op"] needed,
    /// What stat(2) asks, if not the inode.
    op_getattr: "inode_operations" ["getattr"] needed,
    /// Device of the file system.
    sb_dev: "super_block" ["s_dev"] needed,
    /// Kind of the file system.
    sb_magic: "super_block" ["s_magic"] needed,
    /// The table itself.
    files_fdt: "files_struct" ["fdt"] optional,
    /// Bits of what is closed on exec.
    fdt_close_on_exec: "fdtable" ["close_on_exec"] optional,
    /// Number of an eventfd (Linux 5.2).
    eventfd_id: "eventfd_ctx" ["id"] optional,
    /// What an epoll instance watches.
    eventpoll_root: "eventpoll" ["rbr.rb_root.rb_node"] optional,
    /// `struct socket`.
    socket_sk: "socket" ["sk"] needed,
    /// Socket and inode are one.
    alloc_socket: "socket_alloc" ["socket"] optional,
    /// The inode in it.
    alloc_inode: "socket_alloc" ["vfs_inode"] optional,
    /// `struct sock_common`, with which `struct sock` begins.
    sk_family: "sock_common" ["skc_family"] needed,
    /// State.
    sk_state: "sock_common" ["skc_state"] needed,
    /// Interface.
    sk_interface: "sock_common" ["skc_bound_dev_if"] needed,
    /// Network namespace.
    sk_net: "sock_common" ["skc_net"] needed,
    /// Cookie.
    sk_cookie: "sock_common" ["skc_cookie"] needed,
    /// IPv4 address of the peer.
    sk_daddr: "sock_common" ["skc_daddr"] needed,
    /// IPv4 address.
    sk_rcv_saddr: "sock_common" ["skc_rcv_saddr"] needed,
    /// Port of the peer, in network order.
    sk_dport: "sock_common" ["skc_dport"] needed,
    /// Port.
    sk_num: "sock_common" ["skc_num"] needed,
    /// IPv6 address of the peer.
    sk_v6_daddr: "sock_common" ["skc_v6_daddr"] optional,
    /// IPv6 address.
    sk_v6_rcv_saddr: "sock_common" ["skc_v6_rcv_saddr"] optional,
    /// `struct sock`.
    sk_type: "sock" ["sk_type"] needed,
    /// Protocol.
    sk_protocol: "sock" ["sk_protocol"] needed,
    /// User.
    sk_uid: "sock" ["sk_uid"] optional,
    /// Connections that wait.
    sk_ack_backlog: "sock" ["sk_ack_backlog"] optional,
    /// How many may.
    sk_max_ack_backlog: "sock" ["sk_max_ack_backlog"] optional,
    /// Bytes to be sent, and one.
    sk_wmem_alloc: "sock" ["sk_wmem_alloc"] optional,
    /// Bytes received.
    sk_rmem_alloc: "sock" ["sk_backlog.rmem_alloc"] optional,
    /// What processes have of it.
    sk_socket: "sock" ["sk_socket"] optional,
    /// Network namespace.
    net_inum: "net" ["ns.inum"] needed,
    /// `struct tcp_sock`.
    tcp_rcv_nxt: "tcp_sock" ["rcv_nxt"] optional,
    /// Read so far.
    tcp_copied: "tcp_sock" ["copied_seq"] optional,
    /// Written so far.
    tcp_write: "tcp_sock" ["write_seq"] optional,
    /// Acknowledged so far.
    tcp_una: "tcp_sock" ["snd_una"] optional,
    /// Bytes that are accounted for, and read.
    udp_deficit: "udp_sock" ["forward_deficit"] optional,
    /// `struct unix_sock`.
    unix_addr: "unix_sock" ["addr"] optional,
    /// The other end.
    unix_peer: "unix_sock" ["peer"] optional,
    /// `struct unix_address`.
    address_len: "unix_address" ["len"] optional,
    /// The address.
    address_name: "unix_address" ["name"] optional,
    /// Port of a netlink socket.
    netlink_portid: "netlink_sock" ["portid"] optional,
    /// Protocol of a packet socket, in network order.
    packet_num: "packet_sock" ["num"] optional,
    /// `struct vm_area_struct`.
    vma_start: "vm_area_struct" ["vm_start"] needed,
    /// Behind its last byte.
    vma_end: "vm_area_struct" ["vm_end"] needed,
    /// What may be done in it.
    vma_flags: "vm_area_struct" ["vm_flags"] needed,
    /// Where in the file, in pages.
    vma_pgoff: "vm_area_struct" ["vm_pgoff"] needed,
    /// The file.
    vma_file: "vm_area_struct" ["vm_file"] needed,
    /// A name that somebody gave it, in place of its file's (Linux 6.2; before, what is mapped of a file has none).
    vma_name: "vm_area_struct" ["anon_name"] optional,
    /// What that shared its place with before.
    vma_shared: "vm_area_struct" ["shared"] optional,
}

/// What of a walk is wanted. All zero: nothing is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WalkSelection {
    /// First and last descriptor.
    pub descriptors: [u32; 2],
    /// The process, as the walk's PID namespace numbers it; 0 for all.
    pub process: u32,
    /// The device of the file system, as the kernel has it; 0 for all.
    pub device: u32,
    /// Notes of the programs, 0 at first: how deep the reader's PID namespace is, and one.
    pub level: u32,
    /// The numbers of the task that was met last.
    pub pid: u32,
    /// Its thread's.
    pub tid: u32,
    /// Zero.
    pub padding: u32,
    /// That task.
    pub task: u64,
    /// When it started, which tells it from one that took its place.
    pub start: u64,
    /// The file that it maps, and that was met last: the device.
    pub mapped_device: u64,
    /// The inode.
    pub mapped_inode: u64,
}

/// What is wanted, as bits that a program is loaded with: the verifier leaves out what is for others.
pub mod want {
    /// Sockets.
    pub const SOCKETS: u32 = 1;
    /// What is no socket.
    pub const FILES: u32 = 1 << 1;
    /// Only what has no link left.
    pub const UNLINKED: u32 = 1 << 2;
    /// Only what is in the set, by its inode.
    pub const INODES: u32 = 1 << 3;
    /// Only sockets of the Internet families with a port that is in the set.
    pub const PORTS: u32 = 1 << 4;
    /// Write paths.
    pub const PATH: u32 = 1 << 5;
    /// Look what is closed on exec.
    pub const CLOSE_ON_EXEC: u32 = 1 << 6;
    /// Write what sockets are.
    pub const SOCKET: u32 = 1 << 7;
    /// Write the addresses of sockets.
    pub const ADDRESS: u32 = 1 << 8;
    /// Threads that are not the first, too.
    pub const THREADS: u32 = 1 << 9;
    /// Only sockets of the Internet families.
    pub const INTERNET: u32 = 1 << 10;
    /// Look whether files have locks.
    pub const LOCKS: u32 = 1 << 11;
    /// Of mappings of one file that follow each other only the first.
    pub const DISTINCT: u32 = 1 << 12;
}

/// A set of small numbers, or of hashes of large ones: the one element of the map `SET`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct WalkSet(pub [u64; (SET_BITS / 64) as usize]);

/// Where a number is in a [`WalkSet`]: itself, where it is small.
#[must_use]
#[inline]
pub const fn place(number: u64) -> u64 {
    if number < SET_BITS { number } else { number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 48 }
}

/// Which link a file has in /proc.
pub mod link {
    /// Nobody asked.
    pub const NOT_ASKED: u8 = 0;
    /// A path, which follows the record.
    pub const PATH: u8 = 1;
    /// `socket:[INODE]`
    pub const SOCKET: u8 = 2;
    /// `pipe:[INODE]`
    pub const PIPE: u8 = 3;
    /// It could not be written.
    pub const UNKNOWN: u8 = 4;
}

/// Bits of [`WalkRecord::facts`] and [`SocketRecord::facts`].
pub mod fact {
    /// What the record says of the inode is what stat(2) says.
    pub const EXACT: u16 = 1;
    /// Whether it is closed on exec is known.
    pub const CLOSING_KNOWN: u16 = 1 << 1;
    /// It is closed on exec.
    pub const CLOSES: u16 = 1 << 2;
    /// A [`SocketRecord`](super::SocketRecord) follows.
    pub const SOCKET: u16 = 1 << 3;
    /// The number of an eventfd is known.
    pub const EVENT: u16 = 1 << 4;
    /// Of a socket: all that its family has is known.
    pub const COMPLETE: u16 = 1 << 5;
    /// Of a socket: its address follows.
    pub const ADDRESS: u16 = 1 << 6;
    /// Nobody has a lock on it.
    pub const UNLOCKED: u16 = 1 << 7;
    /// It is an epoll instance that watches nothing.
    pub const IDLE: u16 = 1 << 8;
    /// Of a mapping: the file is the executable of its process.
    pub const EXECUTABLE: u16 = 1 << 9;
}

/// A file that a process has open or mapped. What follows it is a path, or a [`SocketRecord`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct WalkRecord {
    /// Of the whole record with all that follows, a multiple of eight.
    pub length: u32,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Descriptor; of a mapping its flags.
    pub fd: u32,
    /// The table of descriptors; of a mapping where it begins.
    pub table: u64,
    /// Position; of a mapping its offset in the file.
    pub position: u64,
    /// Behind the last byte of a mapping.
    pub end: u64,
    /// Inode.
    pub inode: u64,
    /// Size.
    pub size: u64,
    /// Kind of file system.
    pub magic: u64,
    /// Flags of open(2).
    pub flags: u32,
    /// `f_mode`.
    pub open_mode: u32,
    /// Device, as the kernel has it.
    pub device: u32,
    /// Device that it stands for.
    pub rdev: u32,
    /// Links.
    pub links: u32,
    /// Number of an eventfd.
    pub event: u32,
    /// Type and permissions.
    pub mode: u16,
    /// Length of the path.
    pub text: u16,
    /// [`fact`].
    pub facts: u16,
    /// [`link`].
    pub link: u8,
    /// Zero.
    pub padding: u8,
}

/// A socket. What follows it is a name, of UNIX sockets alone.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SocketRecord {
    /// Cookie, 0 if it never got one.
    pub cookie: u64,
    /// Inode of the other end of a UNIX socket.
    pub peer: u64,
    /// Its own address, IPv4 as v4-mapped, in network order.
    pub local: [u32; 4],
    /// The peer's.
    pub remote: [u32; 4],
    /// Inode of its network namespace.
    pub namespace: u32,
    /// User.
    pub uid: u32,
    /// Interface.
    pub interface: u32,
    /// Bytes to be read.
    pub receive_queue: u32,
    /// Bytes to be sent.
    pub send_queue: u32,
    /// Port of a netlink socket, protocol of a packet socket.
    pub number: u32,
    /// Ports in host order.
    pub local_port: u16,
    /// The peer's.
    pub remote_port: u16,
    /// Family.
    pub family: u16,
    /// `SOCK_STREAM` and so on.
    pub kind: u16,
    /// Protocol.
    pub protocol: u16,
    /// Length of the name.
    pub text: u16,
    /// [`fact`].
    pub facts: u16,
    /// State.
    pub state: u8,
    /// Zero.
    pub padding: u8,
    /// The kernel's address of it, as it is printed.
    pub address: [u8; 16],
}

/// A process or a thread.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct TaskRecord {
    /// Of the record.
    pub length: u32,
    /// Process.
    pub pid: u32,
    /// Thread.
    pub tid: u32,
    /// Parent.
    pub parent: u32,
    /// Process group.
    pub group: u32,
    /// Effective user.
    pub uid: u32,
    /// Threads.
    pub threads: u32,
    /// Inode of its network namespace.
    pub namespace: u32,
    /// Start in nanoseconds since boot.
    pub start: u64,
    /// Table of descriptors.
    pub table: u64,
    /// Memory.
    pub memory: u64,
    /// Name.
    pub command: [u8; 16],
    /// Whether it has ended.
    pub ended: u32,
    /// Zero.
    pub padding: u32,
}

const _: () = assert!(size_of::<WalkRecord>() == 96);
const _: () = assert!(size_of::<SocketRecord>() == 104);
const _: () = assert!(offset_of!(SocketRecord, address) == 88);
const _: () = assert!(size_of::<TaskRecord>() == 80);
const _: () = assert!(size_of::<WalkSelection>() == 64);
