//! What was last read of the host: sockets, who has them open, and namespaces.

use std::{collections::BTreeMap, fs, thread, time::Instant};

use hashbrown::{HashMap, HashSet};
use rustix::{
    io::Errno,
    net::netlink::SOCK_DIAG,
    thread::{CapabilitySet, capabilities},
};

use super::{
    ends,
    nobody::{is_group, is_here},
    processes::since_boot,
    table::{Domains, FoundBy, Match, SocketEnds, SocketIndex},
    translations::Translations,
};
use crate::{
    flow::question::OwnerQuestion,
    host::{
        holders::{self, Holders},
        netns::{self, Namespaces},
        sockets::{Connection, InternetSocket, NamespaceSockets, State, Wanted, protocol},
    },
    model::{
        owner::{CLOSED_TO_ALL, Netns, Reason},
        protocol::Kind,
    },
};

/// More sockets of the kernel's own than any host has; then they are found anew.
const KERNELS: usize = 1 << 12;

/// Processes that may not be read whose namespaces' sockets are worth reading. More are refused to a user without privileges.
const FEW: usize = 16;
/// So many namespaces that are gone are remembered; then they are looked for again.
const GONE: usize = 1 << 12;

/// What belongs to a conversation.
#[derive(Clone, Debug)]
pub(super) enum ConversationSockets {
    /// Sockets of the Internet families.
    Sockets(Match),
    /// Others, by their inode numbers.
    Inodes(Vec<u64>),
}

/// The host, as it was last read.
#[derive(Debug, Default)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "how far a reading has come, of which any part may be wanted without another"
)]
pub(super) struct HostReader {
    pub(super) table: SocketIndex,
    pub(super) holders: Holders,
    /// When who has what open was last looked at, in nanoseconds since boot.
    pub(super) walked: u64,
    pub(super) namespaces: Namespaces,
    /// Namespaces by their cookies.
    cookies: HashMap<u64, u64>,
    own_cookie: Option<u64>,
    /// Cookies of namespaces that were gone before they were looked for.
    gone: HashSet<u64>,
    peers: HashMap<u32, u64>,
    pub(super) translations: Translations,
    /// Everything that was ever asked for: of a table that is read again nothing may be missing.
    wanted: Wanted,
    /// Connections that were over when the host was read before.
    waiting: HashSet<SocketEnds>,
    /// Sockets that no process has and that are there all the same.
    kernels: HashSet<u64>,
    /// Sockets that no process had, and that were gone when they were looked for again.
    vanished: HashSet<u64>,
    /// What `sock_diag` refuses, and which namespaces could not be entered, and how many of them not be read either.
    refused: BTreeMap<&'static str, Errno>,
    not_entered: Option<(usize, Errno)>,
    unread: usize,
    /// The ends of the sockets of processes that may not be read, once they were looked for.
    hidden: Option<HashSet<SocketEnds>>,
    /// Whether anything was read in this call.
    read: bool,
    /// When the table was read, and whether more was at the same moment: who has what open, and other namespaces.
    at: Option<Instant>,
    has_walked: bool,
    has_walked_along: bool,
    has_others: bool,
    /// To ask about single sockets of the own namespace.
    connection: Option<Connection>,
}

impl HostReader {
    /// Begins a call.
    pub(super) fn begin(&mut self) {
        self.read = false;
        if self.namespaces.own.is_none() {
            self.namespaces = Namespaces::find(&BTreeMap::new());
            self.connection = Connection::open(Some(SOCK_DIAG)).ok();
            // Not by that connection: where it is refused, frames of other namespaces must be told from the own ones all the same.
            self.own_cookie = Connection::open(None).ok().as_ref().and_then(netns::cookie);
            self.cookies.extend(self.own_cookie.zip(self.namespaces.own));
            self.table.domains = domains();
        }
    }

    /// Whether an interface is in a routing domain of its own (VRF), where the kernel programs do not know which of the sockets with a
    /// port is meant.
    pub(super) fn is_in_domain(&self, ifindex: u32) -> bool {
        self.table.domains.devices.contains_key(&ifindex)
    }

    /// Whether a cookie is another namespace's than the own one.
    pub(super) fn is_foreign(&self, cookie: u64) -> bool {
        cookie != 0 && self.own_cookie.is_some_and(|own| own != cookie)
    }

    /// Whether a namespace's cookie was never seen, nor looked for.
    pub(super) fn misses(&self, cookie: u64) -> bool {
        cookie != 0 && !self.cookies.contains_key(&cookie) && !self.gone.contains(&cookie)
    }

    /// Finds the namespaces that have these cookies, as far as they are still there.
    pub(super) fn find_namespaces(&mut self, wanted: impl Iterator<Item = u64>) {
        self.read = true;
        self.namespaces = Namespaces::find(&holders::namespaces().unwrap_or_default());
        let known: HashSet<u64> = self.cookies.values().copied().collect();
        let new: Vec<u64> =
            self.namespaces.files.keys().copied().filter(|inode| !known.contains(inode)).collect();
        let found = self.namespaces.inside(new.into_iter(), |inode, entered| {
            let connection = entered.and_then(|()| Connection::open(None)).ok()?;
            Some((netns::cookie(&connection)?, inode))
        });
        self.cookies.extend(found.into_iter().flatten());
        if self.gone.len() > GONE {
            self.gone.clear();
        }
        let gone: Vec<u64> = wanted.filter(|cookie| self.misses(*cookie)).collect();
        self.gone.extend(gone);
    }

    /// Whether the host was read in this call.
    pub(super) const fn was_read(&self) -> bool {
        self.read
    }

    /// The namespace that this process's interfaces are in.
    pub(super) fn own(&self) -> u64 {
        self.namespaces.own.unwrap_or(0)
    }

    /// What a namespace is, by its cookie; `None` where none was noted.
    pub(super) fn netns_by_cookie(&self, cookie: u64) -> Option<Netns> {
        if cookie == 0 {
            return None;
        }
        let inode = self.cookies.get(&cookie).copied();
        Some(Netns { inode, name: inode.map(|inode| self.namespaces.name(inode)).unwrap_or_default() })
    }

    /// Reads what these questions need, but for what was read at the same moment already: the own namespace's sockets; who has
    /// them open, if that is not known of all; and other namespaces' sockets, if something is left that may be theirs.
    pub(super) fn read(&mut self, questions: &[OwnerQuestion], now: Instant) {
        self.read = true;
        let wanted = self.wanted.or(wanted(questions));
        if self.at != Some(now) || self.wanted != wanted {
            (self.at, self.wanted) = (Some(now), wanted);
            (self.has_walked, self.has_others) = (false, false);
            self.hidden = None;
            self.waiting = self.table.waiting(self.own()).collect();
            // What the last reading does not answer takes a walk, almost always: then it goes along with the lists.
            let walks =
                questions.iter().any(|question| self.find(question).is_none() || self.is_open(question));
            self.table = SocketIndex::default();
            self.table.domains = domains();
            self.refused.clear();
            if walks {
                self.read_own_and_walk();
            } else {
                self.read_own();
            }
        }
        let needs_others = questions.iter().any(|question| self.may_be_elsewhere(question));
        let is_open = questions.iter().any(|question| self.is_open(question));
        // A connection may have been accepted after the walk that went along had passed; more walks find no more where many
        // processes may not be read.
        let again = self.has_walked_along && self.holders.refused.len() <= FEW;
        if is_open && again || !self.has_walked && (needs_others || is_open) {
            self.take_walk(since_boot(), Holders::walk());
        }
        if is_open && self.has_walked {
            self.find_kernels(questions);
        }
        self.has_walked_along = false;
        if !self.has_others && needs_others {
            self.read_others();
            self.has_others = true;
        }
    }

    /// Whether the own namespace has a socket with these ends and this cookie that somebody has open. It takes one question to the
    /// kernel, where everything else here takes a list of all sockets.
    pub(super) fn is_open_here(&mut self, ends: &SocketEnds, cookie: u64) -> bool {
        // Where nobody answers, it takes the list to know.
        let Some(connection) = &mut self.connection else { return true };
        let (local, remote) = ((ends.local, ends.local_port), (ends.remote, ends.remote_port));
        InternetSocket::get(connection, ends.protocol, local, remote, cookie)
            .is_some_and(|socket| socket.inode != 0)
    }

    fn read_own(&mut self) {
        let sockets = NamespaceSockets::read(self.wanted);
        self.refused.extend(sockets.refused.iter().copied());
        self.table.add(self.own(), true, sockets);
    }

    fn read_own_and_walk(&mut self) {
        let began = since_boot();
        let walk = thread::scope(|scope| {
            let walk = scope.spawn(Holders::walk);
            self.read_own();
            walk.join()
        });
        self.take_walk(began, walk.unwrap_or(Err(Errno::INVAL)));
        self.has_walked_along = true;
    }

    /// Takes what a walk found that began then. Without /proc nobody is known.
    fn take_walk(&mut self, began: u64, holders: rustix::io::Result<Holders>) {
        self.holders = holders.unwrap_or_default();
        self.walked = began;
        self.has_walked = true;
        self.namespaces = Namespaces::find(&self.holders.namespaces);
    }

    fn read_others(&mut self) {
        let own = self.own();
        let others: Vec<u64> = self.namespaces.files.keys().copied().filter(|inode| *inode != own).collect();
        let wanted = Wanted { unix: false, ..self.wanted };
        let pids = &self.holders.namespaces;
        // They are for what is translated alone.
        let is_translated = self.translations.are_any();
        let addresses = || is_translated.then(netns::addresses).unwrap_or_default();
        let read = self.namespaces.inside(others.into_iter(), |inode, entered| match entered {
            Ok(()) => {
                let cookie = Connection::open(None).ok().as_ref().and_then(netns::cookie);
                (inode, cookie, NamespaceSockets::read(wanted), addresses(), None)
            }
            Err(error) => {
                let sockets = pids.get(&inode).map(|pid| NamespaceSockets::read_of_process(*pid, wanted));
                (inode, None, sockets.unwrap_or_default(), std::collections::HashSet::new(), Some(error))
            }
        });
        self.not_entered = None;
        self.unread = 0;
        self.translations.forget_places(own);
        for (inode, cookie, sockets, addresses, error) in read {
            self.translations.place(inode, addresses);
            self.cookies.extend(cookie.map(|cookie| (cookie, inode)));
            self.refused.extend(sockets.refused.iter().copied());
            self.table.add(inode, false, sockets);
            // One that has gone away meanwhile is no failure.
            if let Some(error) = error.filter(|error| *error != Errno::NOENT) {
                let (count, _) = self.not_entered.unwrap_or((0, error));
                self.not_entered = Some((count + 1, error));
                self.unread += usize::from(!pids.contains_key(&inode));
            }
        }
        let living = |inode: &u64| self.namespaces.files.contains_key(inode);
        if self.cookies.len() > self.namespaces.files.len() * 2 + 1024 {
            self.cookies.retain(|_, inode| living(inode));
        }
        self.peers = self.namespaces.peers().unwrap_or_default();
    }

    /// Whether a conversation's sockets may be in another namespace.
    fn may_be_elsewhere(&self, question: &OwnerQuestion) -> bool {
        if self.namespaces.own.is_none() {
            return false;
        }
        match question.row.kind {
            Kind::Ip(1 | 58 | 2) => !question.local_is_own,
            Kind::Ip(_) => self.find(question).is_none(),
            _ => false,
        }
    }

    /// Whether the sockets of a conversation are known, but not who has one of them open.
    fn is_open(&self, question: &OwnerQuestion) -> bool {
        let inodes = match self.find(question) {
            Some(ConversationSockets::Sockets(found)) => self.inodes(&found),
            Some(ConversationSockets::Inodes(inodes)) => inodes,
            None => return false,
        };
        inodes
            .iter()
            .any(|inode| *inode != 0 && self.holders.of(*inode).is_empty() && !self.kernels.contains(inode))
    }

    fn inodes(&self, found: &Match) -> Vec<u64> {
        found.sockets.iter().filter_map(|place| Some(self.table.get(*place)?.socket.inode)).collect()
    }

    /// Sockets that a conversation needs and nobody has: those that are still there are the kernel's own, unless a process that
    /// may not be read lives in their namespace and may have them.
    pub(super) fn find_kernels(&mut self, questions: &[OwnerQuestion]) {
        let (few, wanted) =
            (self.holders.refused.len() <= FEW, Wanted { unix: false, packet: false, ..self.wanted });
        self.vanished.clear();
        if !self.holders.sees_all || !few || !questions.iter().any(|question| self.is_open(question)) {
            return;
        }
        if self.kernels.len() > KERNELS {
            self.kernels.clear();
        }
        let is_without = |inode: &u64| *inode != 0 && self.holders.of(*inode).is_empty();
        let without: HashSet<u64> = self.table.inodes(self.own()).filter(is_without).collect();
        let inodes = |sockets: NamespaceSockets| sockets.inet.into_iter().map(|socket| socket.inode);
        let still: HashSet<u64> = inodes(NamespaceSockets::read(wanted)).collect();
        self.vanished.extend(without.difference(&still));
        let mut kernels: HashSet<u64> = without.intersection(&still).copied().collect();
        for pid in &self.holders.refused {
            for inode in inodes(NamespaceSockets::read_of_process(*pid, wanted)) {
                kernels.remove(&inode);
            }
        }
        self.kernels.extend(kernels);
    }

    /// Why a socket with such an inode number is nobody's.
    pub(super) fn without_holder(&self, inodes: &[u64]) -> Reason {
        if inodes.iter().any(|inode| self.kernels.contains(inode)) {
            Reason::Kernel
        } else if self.holders.is_complete || inodes.iter().any(|inode| self.vanished.contains(inode)) {
            Reason::Gone
        } else {
            Reason::NotPermitted
        }
    }

    /// Whether a conversation that passes may be that of a process that may not be read: of few such processes their namespaces'
    /// sockets are looked at.
    pub(super) fn may_be_hidden(&mut self, question: &OwnerQuestion) -> bool {
        if !self.holders.sees_all || self.holders.refused.len() > FEW || self.unread > 0 {
            return true;
        }
        let Some(ends) = ends(question) else { return !self.holders.refused.is_empty() };
        let wanted = Wanted { unix: false, packet: false, ..self.wanted };
        let refused = &self.holders.refused;
        let hidden = self.hidden.get_or_insert_with(|| {
            let of = |pid: &u32| NamespaceSockets::read_of_process(*pid, wanted).inet;
            refused.iter().flat_map(of).map(|socket| socket.ends()).collect()
        });
        let ends = SocketEnds { interface: 0, ..ends };
        hidden.contains(&ends) || hidden.contains(&ends.reversed())
    }

    /// Whether a connection was over before: what came since, the kernel answered.
    pub(super) fn was_waiting(&self, ends: &SocketEnds) -> bool {
        self.waiting.contains(&SocketEnds { interface: 0, ..*ends })
    }

    /// The sockets of a conversation, in the namespaces that may be meant.
    pub(super) fn find(&self, question: &OwnerQuestion) -> Option<ConversationSockets> {
        let (table, own) = (&self.table, self.own());
        if question.socket.is_exact() {
            let cookie = question.socket.cookie();
            // Through a veth pair a frame keeps the socket of its sender, who is the other end here.
            let is_far = |of: u64| question.local_is_own && of != own;
            if let Some(place) = table.by_cookie(cookie)
                && !table.get(place).is_some_and(|entry| is_far(entry.namespace))
            {
                let is_listener = table.get(place).is_some_and(|entry| entry.socket.state == State::Listen);
                // A listener's cookie is on its SYN-ACK, and the connection may have a socket of its own by now.
                let better = is_listener.then(|| ends(question)).flatten();
                let better = better.and_then(|ends| table.find(own, &ends));
                let by = if is_listener { FoundBy::Listener } else { FoundBy::Ends };
                return Some(ConversationSockets::Sockets(
                    better.unwrap_or(Match { by, sockets: vec![place] }),
                ));
            }
            if let Some((inode, _)) = table.packet_by_cookie(cookie) {
                return Some(ConversationSockets::Inodes(vec![inode]));
            }
        }
        let Some(ends) = ends(question) else {
            let Kind::Frame(ethertype) = question.row.kind else { return None };
            let inodes = table.packet_by_type(own, ethertype, question.ifindex);
            return (!inodes.is_empty()).then_some(ConversationSockets::Inodes(inodes));
        };
        if !is_asked_by_processes(question) {
            return None;
        }
        if let Some(ends) = self.translations.of(question) {
            return self.translations.find(table, &ends).map(ConversationSockets::Sockets);
        }
        let found = if !question.local_is_own && is_group(question) {
            table.members(own, &ends)
        } else if is_here(question) {
            table.find(own, &ends)
        } else {
            None
        };
        found.or_else(|| self.find_elsewhere(question, &ends)).map(ConversationSockets::Sockets)
    }

    fn find_elsewhere(&self, question: &OwnerQuestion, ends: &SocketEnds) -> Option<Match> {
        let elsewhere = SocketEnds { interface: 0, ..*ends };
        if question.local_is_own {
            return self.table.translated(&elsewhere);
        }
        if let Some(namespace) = self.peers.get(&question.ifindex) {
            let ways = [elsewhere.reversed(), elsewhere];
            let exact = ways.iter().find_map(|ends| self.table.by_ends(*namespace, ends));
            return exact.or_else(|| ways.iter().find_map(|ends| self.table.find(*namespace, ends)));
        }
        self.table.elsewhere(&elsewhere)
    }

    /// What may not be read, in words.
    pub(super) fn degraded(&self) -> Vec<String> {
        let mut words = Vec::new();
        for (name, error) in &self.refused {
            words.push(format!(
                "owners: sock_diag refuses to list {name} sockets ({error}): /proc/net is read instead"
            ));
        }
        if let Some((count, error)) = self.not_entered {
            let namespaces = if count == 1 { "namespace" } else { "namespaces" };
            let unread = match self.unread {
                0 => String::new(),
                unread => format!(", but of {unread} without a process nothing is known"),
            };
            words.push(format!(
                "owners: {count} network {namespaces} cannot be entered ({error}): /proc/PID/net is read instead{unread}; \
                 CAP_SYS_ADMIN, and a seccomp profile with setns(2), allow it"
            ));
        }
        if !self.holders.refused.is_empty() {
            let count = self.holders.refused.len();
            let processes = if count == 1 { "process" } else { "processes" };
            let wanted = CapabilitySet::SYS_PTRACE | CapabilitySet::DAC_READ_SEARCH;
            let remedy = if capabilities(None).is_ok_and(|sets| sets.effective.contains(wanted)) {
                format!(", {CLOSED_TO_ALL}")
            } else {
                "; CAP_SYS_PTRACE and CAP_DAC_READ_SEARCH allow it: setcap grants them to whoever may run flowtally, who then sees \
                 which user's process each conversation is (let that be a group: chgrp and chmod 750 first), but not what else other \
                 users have open"
                    .to_owned()
            };
            words.push(format!("owners: open files of {count} {processes} may not be read{remedy}"));
        }
        words
    }
}

/// The routing domains of this namespace, and whether they share ordinary sockets. There are none in a kernel without them.
fn domains() -> Domains {
    let devices = netns::domains().unwrap_or_default();
    if devices.is_empty() {
        return Domains::default();
    }
    let is_set = |name: &str| {
        fs::read(format!("/proc/sys/net/ipv4/{name}_l3mdev_accept"))
            .is_ok_and(|text| text.trim_ascii() == b"1")
    };
    Domains { devices, shares_tcp: is_set("tcp"), shares_udp: is_set("udp"), shares_raw: is_set("raw") }
}

/// Whether processes have to do with it at all: of ICMP only queries, of which a process may be the asker.
fn is_asked_by_processes(question: &OwnerQuestion) -> bool {
    match (question.row.kind, question.row.local_port) {
        (Kind::Ip(1), of_type) => matches!(of_type, 8 | 13 | 15 | 17 | 42),
        (Kind::Ip(58), of_type) => matches!(of_type, 128 | 160),
        _ => true,
    }
}

/// The lists that questions need.
fn wanted(questions: &[OwnerQuestion]) -> Wanted {
    let mut wanted = Wanted::default();
    for question in questions {
        match question.row.kind {
            Kind::Ip(protocol::TCP) => wanted.tcp = true,
            Kind::Ip(protocol::UDP) => wanted.udp = true,
            Kind::Ip(protocol::UDPLITE) => wanted.udplite = true,
            Kind::Ip(protocol::SCTP) => wanted.sctp = true,
            Kind::Ip(_) => wanted.raw = true,
            _ => wanted.packet = true,
        }
        // The frames of a packet socket may be anything.
        wanted.packet |= question.socket.is_exact();
    }
    wanted
}
