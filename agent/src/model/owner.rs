//! Whose traffic it is: processes, what they run in, and why an owner is or is not known.

use std::{fmt, time::SystemTime};

use crate::format::Name;

/// Why open files of a process stay unread where this program has the capabilities that are for that.
pub const CLOSED_TO_ALL: &str = "although no right is missing: they have more rights, or a user namespace above or a security module protects them";

/// Identity of a process. A PID alone is none: it is used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ProcessId {
    /// The thread group's id.
    pub pid: u32,
    /// When it started, in clock ticks (hundredths of a second) since boot, as /proc/PID/stat has it; `None` where a process
    /// was gone before that could be read, and the kernel did not note it.
    pub start: Option<u64>,
}

/// A process that owns traffic.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Owner {
    /// Which process.
    pub id: ProcessId,
    /// When it started.
    pub start_time: Option<SystemTime>,
    /// The kernel's name of it (15 bytes at most).
    pub command: Name,
    /// Path of what it runs; `None` where it was gone, or where that may not be read.
    pub executable: Option<Name>,
    /// Its effective user.
    pub uid: Option<u32>,
    /// The user's login name, where there is one.
    pub user: Option<Name>,
    /// What it runs in.
    pub container: Option<Container>,
    /// Its network namespace.
    pub netns: Option<Netns>,
}

/// A network namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Netns {
    /// Inode number of its file in /proc/PID/ns, as `lsns` shows it; `None` for one that was gone before it could be asked for.
    pub inode: Option<u64>,
    /// What people call it: `host` for the namespace of process 1, the name below /run/netns, else empty.
    pub name: Name,
}

/// What a process runs in: a container, or a systemd unit.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Container {
    /// Who runs it.
    pub runtime: Runtime,
    /// Its id or name: of a container the first 12 hex digits of its id, of a unit its name.
    pub name: Name,
}

/// Who runs a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Runtime {
    /// Docker.
    Docker,
    /// Podman (libpod).
    Podman,
    /// containerd, on its own or below Kubernetes.
    Containerd,
    /// CRI-O.
    CriO,
    /// A Kubernetes pod whose container's runtime cannot be told.
    Kubernetes,
    /// systemd-nspawn and other machines of systemd-machined.
    Machine,
    /// LXC and LXD.
    Lxc,
    /// A systemd unit: service, scope or slice.
    Systemd,
    /// A cgroup that is none of these; the name is its path.
    Cgroup,
}

/// Why traffic is said to be an owner's, or nobody's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Reason {
    /// The process made the socket (noted by the kernel).
    Created,
    /// It bound the socket (noted by the kernel).
    Bound,
    /// It connected the socket (noted by the kernel).
    Connected,
    /// It accepted the connection (noted by the kernel).
    Accepted,
    /// It was the last to close the socket (noted by the kernel).
    Closed,
    /// It has the socket open (/proc/PID/fd).
    Open,
    /// It listens on the port that the connection came to.
    Listener,
    /// The socket is the kernel's own: no process ever had it.
    Kernel,
    /// The kernel answers or keeps this itself: ICMP replies, neighbour discovery, ARP, TCP resets, connections in TIME-WAIT.
    KernelStack,
    /// Neither end is of this host: the traffic passes through.
    Forwarded,
    /// This host has no socket for it: nobody listens at the port.
    NoSocket,
    /// The socket was there, and its process was gone before it could be found.
    Gone,
    /// Its process may not be seen: `CAP_SYS_PTRACE` and `CAP_DAC_READ_SEARCH` are missing, or it is outside this PID namespace.
    NotPermitted,
    /// Nobody has looked yet.
    NotLooked,
}

impl Reason {
    /// In one word, for machines: the field `owner_reason`.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Bound => "bound",
            Self::Connected => "connected",
            Self::Accepted => "accepted",
            Self::Closed => "closed",
            Self::Open => "open",
            Self::Listener => "listener",
            Self::Kernel => "kernel",
            Self::KernelStack => "kernel_stack",
            Self::Forwarded => "forwarded",
            Self::NoSocket => "no_socket",
            Self::Gone => "gone",
            Self::NotPermitted => "not_permitted",
            Self::NotLooked => "not_looked",
        }
    }

    /// In a sentence's end, for people: `it is theirs because ...`.
    #[must_use]
    pub const fn because(self) -> &'static str {
        match self {
            Self::Created => "it made the socket",
            Self::Bound => "it bound the socket",
            Self::Connected => "it connected the socket",
            Self::Accepted => "it accepted the connection",
            Self::Closed => "it was the last to close the socket",
            Self::Open => "it has the socket open",
            Self::Listener => "it listens on the port",
            Self::Kernel => "the socket is the kernel's own",
            Self::KernelStack => "the kernel answers this itself",
            Self::Forwarded => "neither end is of this host",
            Self::NoSocket => "this host has no socket for it",
            Self::Gone => "its process was gone before it could be found",
            Self::NotPermitted => {
                "its process may not be seen: CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH, or the host's PID namespace, are missing"
            }
            Self::NotLooked => "owners are looked for while they are shown",
        }
    }

    /// What traffic without an owner is called, for people; `None` for a reason that comes with owners.
    #[must_use]
    pub const fn nobody(self) -> Option<&'static str> {
        match self {
            Self::Kernel => Some("kernel socket"),
            Self::KernelStack => Some("kernel"),
            Self::Forwarded => Some("forwarded"),
            Self::NoSocket => Some("no socket"),
            Self::Gone => Some("gone before it was seen"),
            Self::NotPermitted => Some("not permitted to see"),
            Self::NotLooked => Some("not looked up yet"),
            _ => None,
        }
    }
}

/// Whose traffic a conversation is. Several owners share a socket after a fork.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Attribution {
    /// The owners, by PID; none where nobody is one.
    pub owners: Vec<Owner>,
    /// Why.
    pub reason: Reason,
}

impl Attribution {
    /// Whether both name the same owners, or the same reason for none.
    #[must_use]
    pub fn is_same_owner(&self, other: &Self) -> bool {
        let ids = |of: &'_ Self| of.owners.iter().map(|owner| owner.id).collect::<Vec<_>>();
        ids(self) == ids(other) && (!self.owners.is_empty() || self.reason == other.reason)
    }

    /// What is known of it as a whole: everything of the first owner.
    #[must_use]
    pub fn common(&self) -> Common {
        let reason = Some(self.reason);
        let Some(Owner { id, start_time, command, executable, uid, user, container, netns }) =
            self.owners.first().cloned()
        else {
            return Common { reason, ..Common::default() };
        };
        Common {
            pid: Some(id.pid),
            start_time,
            command: Some(command),
            executable,
            uid,
            user,
            container,
            netns,
            reason,
        }
    }
}

impl Attribution {
    /// In a row's width, to the byte: `curl/1234`, `nginx/812 +1`, `forwarded`.
    #[must_use]
    pub fn title(&self) -> Name {
        let Some((first, others)) = self.owners.split_first() else {
            return self.reason.nobody().unwrap_or(self.reason.code()).into();
        };
        let more = if others.is_empty() { String::new() } else { format!(" +{}", others.len()) };
        [first.command.as_bytes(), format!("/{}{more}", first.id.pid).as_bytes()].concat().into()
    }
}

impl fmt::Display for Attribution {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title().fmt(f)
    }
}

/// What the owners of several conversations have in common: `None` where they differ, and where it is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Common {
    /// The process.
    pub pid: Option<u32>,
    /// When it started.
    pub start_time: Option<SystemTime>,
    /// The kernel's name of it.
    pub command: Option<Name>,
    /// What it runs.
    pub executable: Option<Name>,
    /// Its effective user.
    pub uid: Option<u32>,
    /// The user's login name.
    pub user: Option<Name>,
    /// What it runs in.
    pub container: Option<Container>,
    /// Its network namespace.
    pub netns: Option<Netns>,
    /// Why it is said to be the owner, or nobody.
    pub reason: Option<Reason>,
}

impl Common {
    /// Keeps only what the other one has too.
    pub fn meet(&mut self, other: &Self) {
        fn meet<T: PartialEq>(mine: &mut Option<T>, theirs: Option<&T>) {
            if mine.as_ref() != theirs {
                *mine = None;
            }
        }
        // A PID without its start is no identity.
        if self.start_time != other.start_time {
            self.pid = None;
        }
        meet(&mut self.pid, other.pid.as_ref());
        meet(&mut self.start_time, other.start_time.as_ref());
        meet(&mut self.command, other.command.as_ref());
        meet(&mut self.executable, other.executable.as_ref());
        meet(&mut self.uid, other.uid.as_ref());
        meet(&mut self.user, other.user.as_ref());
        meet(&mut self.container, other.container.as_ref());
        meet(&mut self.netns, other.netns.as_ref());
        meet(&mut self.reason, other.reason.as_ref());
    }
}

impl Container {
    /// What people call it, to the byte: `docker:0123456789ab`, `ssh.service`.
    #[must_use]
    pub fn title(&self) -> Name {
        let runtime: &[u8] = match self.runtime {
            Runtime::Docker => b"docker:",
            Runtime::Podman => b"podman:",
            Runtime::Containerd => b"containerd:",
            Runtime::CriO => b"cri-o:",
            Runtime::Kubernetes => b"kubernetes:",
            Runtime::Machine => b"machine:",
            Runtime::Lxc => b"lxc:",
            Runtime::Systemd | Runtime::Cgroup => b"",
        };
        [runtime, self.name.as_bytes()].concat().into()
    }
}

impl fmt::Display for Container {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title().fmt(f)
    }
}

impl Netns {
    /// What people call it, to the byte; of one without a name its number.
    #[must_use]
    pub fn title(&self) -> Name {
        match self.inode {
            _ if !self.name.is_empty() => self.name.clone(),
            Some(inode) => format!("net:[{inode}]").into(),
            None => "gone".into(),
        }
    }
}

impl fmt::Display for Netns {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.title().fmt(f)
    }
}
