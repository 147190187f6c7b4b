//! What all threads of a listing share: what was asked, what was met, and tables that are read once.

use std::sync::OnceLock;

use hashbrown::HashMap;

use super::{
    mounts::Mounts,
    net::SocketTable,
    search::Search,
    sockets::{Held, Sockets},
};
use crate::{
    host::proc::Lock,
    lsof::{
        arguments::{EndPoints, Options, SizeOrOffset, Tasks},
        model::{Socket, device},
        select::{self, Class, Found, Rule},
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
    sockets: OnceLock<Sockets>,
    locks: OnceLock<HashMap<(u32, u64, u64), u8>>,
    pub(super) pipe_device: OnceLock<u64>,
    pub(super) socket_device: OnceLock<u64>,
    pub(super) anonymous: OnceLock<(u64, u64)>,
    pub(super) queue_device: OnceLock<Option<u64>>,
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
            locks: OnceLock::new(),
            pipe_device: OnceLock::new(),
            socket_device: OnceLock::new(),
            anonymous: OnceLock::new(),
            queue_device: OnceLock::new(),
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
    fn only_files(&self) -> bool {
        let Rule { requested, and } = self.rule;
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
                let searched = |socket: &Socket| {
                    matches!(socket, Socket::Unix { path, .. } if self.search.socket(path).is_some())
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
            let keep = |socket: &Socket| {
                !only
                    || matches!(socket, ListedSocket::Unix { .. })
                    || !select::may_meet(self.options, socket).is_empty()
            };
            // Of a few processes not even all tables are read; threads may hold others.
            if self.unlisted() && !self.tasks() {
                let held = Held::by(&self.options.pids.include);
                return Sockets::read(wanted, Some(&held), None, keep);
            }
            let ports = (only && !requested.any(SelectionClasses::INTERNET)).then(|| self.ports()).flatten();
            ProcSockets::read(wanted, None, ports, keep)
        })
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
