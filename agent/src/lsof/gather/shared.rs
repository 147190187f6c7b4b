//! What all threads of a listing share: what was asked, what was met, and tables that are read once.

use std::{borrow::Cow, path::PathBuf, sync::OnceLock};

use hashbrown::{HashMap, HashSet};

use super::{
    mounts::Mounts,
    net::SocketTable,
    search::Search,
    sockets::{self, HeldSockets, ProcSockets, SocketRow},
};
use crate::{
    host::{
        opened::{RecordedSocket, RecordedTable, WantedRecords},
        proc::Lock,
        sockets::{self as host, UnixSocket, Wanted},
    },
    lsof::{
        arguments::{EndPoints, LsofOptions, SizeOrOffset, Tasks},
        model::{ListedSocket, Transport, device},
        select::{self, FoundItems, SelectionClasses, SelectionRule},
    },
};

/// What all threads of a listing share.
#[derive(Debug)]
pub struct Shared<'a> {
    /// What was asked.
    pub options: &'a LsofOptions,
    /// The classes.
    pub rule: SelectionRule,
    /// What was met.
    pub found: FoundItems,
    /// The names that are searched for.
    pub search: &'a Search,
    pub(super) needs: Needs,
    pub(super) mounts: Mounts,
    sockets: OnceLock<ProcSockets>,
    /// Of the tables that no record stands for.
    other_sockets: OnceLock<ProcSockets>,
    /// The items of the search that UNIX sockets are bound to, by the sockets' inodes.
    bound: OnceLock<HashMap<u64, usize>>,
    locks: OnceLock<HashMap<(u32, u64, u64), u8>>,
    pub(super) pipe_device: OnceLock<u64>,
    pub(super) socket_device: OnceLock<u64>,
    pub(super) anonymous: OnceLock<(u64, u64)>,
    pub(super) queue_devices: OnceLock<HashSet<u64>>,
    pub(super) mount_namespace: OnceLock<Option<PathBuf>>,
}

/// What is needed of a row that is listed.
#[derive(Clone, Copy, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "each is a question to the kernel of its own")]
pub(super) struct Needs {
    /// Anything beyond that it is listed.
    pub(super) columns: bool,
    /// The owner of a process.
    pub(super) user: bool,
    /// The mode in which a descriptor is open.
    pub(super) access: bool,
    /// Locks.
    pub(super) locks: bool,
    /// Offsets of what has a size too.
    pub(super) offsets: bool,
    /// The flags of open(2).
    pub(super) flags: bool,
    /// What tells the other end of a terminal.
    pub(super) peers: bool,
}

impl Needs {
    fn new(options: &LsofOptions) -> Self {
        // Machine-readable output that names its fields needs those alone.
        let field = |letter: u8| options.fields.as_ref().is_none_or(|fields| fields.has(letter));
        let columns = !options.terse || options.endpoints != EndPoints::None;
        let everything = options.json.is_some() || options.fields.is_some();
        Self {
            columns,
            user: columns && (field(b'u') || field(b'L')),
            access: columns && (field(b'a') || options.endpoints != EndPoints::None),
            locks: columns && field(b'l'),
            offsets: columns
                && (options.size_or_offset == SizeOrOffset::Offset || options.json.is_some())
                && field(b'o'),
            peers: options.endpoints != EndPoints::None,
            flags: columns && options.flags.is_some() && (!everything || field(b'G')),
        }
    }
}

impl<'a> Shared<'a> {
    /// For one listing.
    #[must_use]
    pub fn new(options: &'a LsofOptions, search: &'a Search) -> Self {
        Self {
            options,
            rule: SelectionRule::new(options),
            found: FoundItems::new(options, search.items().len()),
            search,
            needs: Needs::new(options),
            mounts: Mounts::default(),
            sockets: OnceLock::new(),
            other_sockets: OnceLock::new(),
            bound: OnceLock::new(),
            locks: OnceLock::new(),
            pipe_device: OnceLock::new(),
            socket_device: OnceLock::new(),
            anonymous: OnceLock::new(),
            queue_devices: OnceLock::new(),
            mount_namespace: OnceLock::new(),
        }
    }

    /// Whether a file is listed only if it is a socket of a class that was asked for.
    pub(super) fn only_sockets(&self) -> bool {
        let SelectionRule { requested, and } = self.rule;
        if requested.is_empty() {
            return false;
        }
        if and {
            requested.any(SelectionClasses::SOCKET)
        } else {
            requested.without(SelectionClasses::SOCKET).is_empty()
        }
    }

    /// Whether a file is listed only if its stat or its name is what was asked for: of sockets, UNIX sockets by their name.
    pub(super) fn only_files(&self) -> bool {
        let SelectionRule { requested, and } = self.rule;
        if requested.is_empty() {
            return false;
        }
        if and {
            requested.any(SelectionClasses::STAT)
        } else {
            requested.without(SelectionClasses::STAT).is_empty()
        }
    }

    /// Whether processes are looked up by the numbers given, and /proc is not listed.
    pub(super) fn unlisted(&self) -> bool {
        let SelectionRule { requested, and } = self.rule;
        requested == SelectionClasses::PID || (and && requested.any(SelectionClasses::PID))
    }

    /// Whether threads have rows of their own.
    pub(super) fn tasks(&self) -> bool {
        match self.options.tasks {
            Tasks::Select => true,
            Tasks::Ignore => false,
            Tasks::Default => self.rule.requested.is_empty() && self.needs.columns,
        }
    }

    /// Which records are wanted of all processes' descriptors; `None` where it takes few questions to /proc.
    pub(super) fn records(&self) -> Option<WantedRecords> {
        // Of given processes no more than those are read; and a process that is listed by its number alone has one row.
        if self.unlisted() || (!self.needs.columns && self.search.items().is_empty() && !self.only_sockets())
        {
            return None;
        }
        let requested = self.rule.requested;
        if self.only_sockets() {
            let internet = requested.any(SelectionClasses::INTERNET);
            let ports = if internet || requested.any(SelectionClasses::UNIX) { None } else { self.ports() };
            return Some(WantedRecords {
                only_sockets: true,
                sockets: true,
                unix: requested.any(SelectionClasses::UNIX),
                internet: !requested.any(SelectionClasses::UNIX),
                ports: ports.map(|(from, to)| (from..=to).map(u64::from).collect()),
                flags: self.needs.flags,
                ..WantedRecords::default()
            });
        }
        let states = &self.options.states;
        let only_names = self.only_files()
            && requested.common(SelectionClasses::STAT) == SelectionClasses::NAME
            && states.include.is_empty()
            && states.exclude.is_empty();
        let by_inode = only_names && !self.search.has_sockets();
        Some(WantedRecords {
            sockets: !only_names || self.search.has_sockets(),
            unix: !only_names || self.search.has_sockets(),
            inodes: by_inode.then(|| self.search.inodes()).flatten(),
            paths: true,
            flags: self.needs.flags,
            locks: self.needs.locks,
            ..WantedRecords::default()
        })
    }

    /// The socket of an inode, by its record or else by the tables, as far as any class may list it.
    pub(super) fn socket(&self, inode: u64, record: Option<&RecordedSocket>) -> Option<Cow<'_, SocketRow>> {
        let row = match record {
            Some(RecordedSocket::Internet(_)) if self.options.no_tcp_udp => return None,
            Some(RecordedSocket::Internet(socket)) => sockets::internet(socket),
            Some(RecordedSocket::Unix(socket)) => sockets::unix(socket),
            Some(RecordedSocket::Unlisted) => return None,
            Some(RecordedSocket::Other) => return self.other_sockets().get(inode).map(Cow::Borrowed),
            Some(RecordedSocket::Unknown) | None => return self.sockets().get(inode).map(Cow::Borrowed),
        };
        self.keeps(inode, &row.1).then_some(Cow::Owned(row))
    }

    /// Whether a socket may be listed by any class, as the tables are read for.
    fn keeps(&self, inode: u64, socket: &ListedSocket) -> bool {
        let requested = self.rule.requested;
        let states = &self.options.states;
        match socket {
            _ if self.only_files() && states.include.is_empty() && states.exclude.is_empty() => {
                matches!(socket, ListedSocket::Unix { path, .. } if self.searched_socket(inode, path).is_some())
            }
            _ if !self.only_sockets() => true,
            ListedSocket::Unix { .. } => requested.any(SelectionClasses::UNIX),
            _ => !select::may_meet(self.options, socket).is_empty(),
        }
    }

    /// Whether a table has a socket that may be listed.
    pub(super) fn has_socket(&self, table: &RecordedTable) -> bool {
        table.records.iter().any(|record| self.socket(record.inode, record.socket.as_deref()).is_some())
    }

    fn other_sockets(&self) -> &ProcSockets {
        self.other_sockets.get_or_init(|| {
            let only = self.only_sockets();
            let wanted = |table| match table {
                SocketTable::Raw6 | SocketTable::Inet(..) if self.options.no_tcp_udp => false,
                // An Internet socket as TCP's and UDP's are.
                SocketTable::Inet(Transport::UdpLite, _) => true,
                SocketTable::Inet(..) | SocketTable::Unix => false,
                _ => !only,
            };
            ProcSockets::read(wanted, None, None, |inode, socket| self.keeps(inode, socket))
        })
    }

    /// Whether it is certain before any process is read that nothing is listed.
    pub(super) fn nothing_can_match(&self) -> bool {
        self.only_sockets()
            && self.rule.requested.without(SelectionClasses::SOCKET).is_empty()
            && self.sockets().is_empty()
    }

    /// The sockets, or as many of them as any class may list.
    pub(super) fn sockets(&self) -> &ProcSockets {
        self.sockets.get_or_init(|| {
            let only = self.only_sockets();
            // Which states were met is asked, too.
            let states = &self.options.states;
            if self.only_files() && states.include.is_empty() && states.exclude.is_empty() {
                let searched = |inode, socket: &ListedSocket| {
                    matches!(socket, ListedSocket::Unix { path, .. } if self.searched_socket(inode, path).is_some())
                };
                let has = self.search.has_sockets();
                return ProcSockets::read(|table| has && table == SocketTable::Unix, None, None, searched);
            }
            let requested = self.rule.requested;
            let unix = requested.any(SelectionClasses::UNIX);
            let internet = requested.any(SelectionClasses::ADDRESS.with(SelectionClasses::INTERNET));
            let transport = |transport| {
                let addresses = &self.options.addresses;
                requested.any(SelectionClasses::INTERNET)
                    || addresses.iter().any(|it| it.transport.is_none_or(|wanted| wanted == transport))
            };
            let wanted = |table| match table {
                SocketTable::Inet(..) | SocketTable::Raw6 if self.options.no_tcp_udp => false,
                SocketTable::Inet(of, _) => !only || (internet && transport(of)),
                SocketTable::Unix => !only || unix,
                _ => !only,
            };
            let keep = |_, socket: &ListedSocket| {
                !only
                    || matches!(socket, ListedSocket::Unix { .. })
                    || !select::may_meet(self.options, socket).is_empty()
            };
            // Of a few processes not even all tables are read.
            if self.unlisted() && !self.tasks() {
                let held = HeldSockets::by(&self.options.pids.include);
                if let Some(sockets) = ProcSockets::walk(&self.options.pids.include, &held, &wanted, &keep) {
                    return sockets;
                }
                return ProcSockets::read(wanted, Some(&held), None, keep);
            }
            let ports = (only && !requested.any(SelectionClasses::INTERNET)).then(|| self.ports()).flatten();
            ProcSockets::read(wanted, None, ports, keep)
        })
    }

    /// The item of the search that a UNIX socket is: by the path that it was bound to, or by the file, if that path says less than
    /// where it is. As lsof, no more is known of a whole path than its text.
    pub(super) fn searched_socket(&self, inode: u64, path: &[u8]) -> Option<usize> {
        let bound = || {
            let wanted = Wanted { unix: true, ..Wanted::default() };
            let item = |socket: UnixSocket| {
                let (major, minor, file) = socket.file?;
                Some((socket.inode, self.search.socket_file(device(major.into(), minor.into()), file)?))
            };
            host::NamespaceSockets::read(wanted).unix.into_iter().filter_map(item).collect()
        };
        let by_file = || self.bound.get_or_init(bound).get(&inode).copied();
        self.search.socket(path).or_else(|| if path.starts_with(b"/") { None } else { by_file() })
    }

    /// From the lowest to the highest port of the addresses that were given, if each names ports.
    fn ports(&self) -> Option<(u16, u16)> {
        let mut all: Option<(u16, u16)> = None;
        for address in &self.options.addresses {
            if address.ports.is_empty() {
                return None;
            }
            for ports in &address.ports {
                let (from, to) = all.unwrap_or((ports.from, ports.to));
                all = Some((from.min(ports.from), to.max(ports.to)));
            }
        }
        all
    }

    /// The letter of a lock that a process holds on a file; a blank for none.
    pub(super) fn lock(&self, pid: u32, on: u64, inode: u64) -> u8 {
        let locks = self.locks.get_or_init(|| {
            let text = std::fs::read("/proc/locks").unwrap_or_default();
            let text = String::from_utf8_lossy(&text);
            let entry =
                |lock: Lock| ((lock.pid, device(lock.device.0, lock.device.1), lock.inode), lock.letter());
            text.lines().filter_map(Lock::parse).map(entry).collect()
        });
        if locks.is_empty() {
            return b' ';
        }
        locks.get(&(pid, on, inode)).copied().unwrap_or(b' ')
    }
}
