//! Whose traffic a conversation is, answered from the kernel's notes and from the host: `sock_diag`, /proc, cgroups, in every
//! network namespace that a process lives in.
//!
//! Notes are cheap and outlive their process, so they come first. The host is read only when somebody looks and something is
//! left open, at most once a call, and no more often than a fixed share of a processor pays for.

mod budget;
mod cgroups;
mod nobody;
pub(super) mod processes;
mod read;
mod table;
mod translations;

use std::{fs, net::Ipv6Addr, os::fd::OwnedFd, sync::Arc, time::Instant};

use flowtally_common::{Occasion, SocketHint, SocketNote};
use hashbrown::{HashMap, HashSet};

use self::{
    budget::{Budget, processor_time},
    cgroups::Cgroups,
    nobody::ConversationFacts,
    processes::Processes,
    read::HostReader,
    table::{FoundBy, Match, SocketEnds, SocketEntry},
};
use super::{
    holders,
    sockets::{State, protocol},
};
use crate::{
    flow::{
        question::OwnerQuestion,
        row::{InterfaceId, RowKey},
    },
    model::{
        owner::{Attribution, Owner, Reason},
        protocol::Kind,
    },
};

/// So many different answers are kept to be shared; then those that nobody has any more are forgotten.
const SHARED: usize = 1 << 15;

/// Whether somebody looks at owners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// Nobody: what the kernel noted is said, nothing is read.
    No,
    /// Somebody does: the host is read, as often as its budget allows.
    Yes,
    /// Somebody does, and for the last time: everything is answered, with a reason where there is no owner.
    Final,
}

/// Finds owners. All of it may block for as long as reading the host takes (tenths of a second where there are tens of
/// thousands of sockets): not for a thread that others wait for.
#[derive(Debug)]
pub struct Owners {
    processes: Processes,
    cgroups: Cgroups,
    host: HostReader,
    budget: Budget,
    facts: ConversationFacts,
    /// Whether PIDs here are those that the kernel programs note.
    sees_all: bool,
    shared: HashSet<Arc<Attribution>>,
    /// Notes of what could not be answered in the last call, by the socket's cookie.
    kept: HashMap<u64, SocketNote>,
}

impl Default for Owners {
    fn default() -> Self {
        Self::new()
    }
}

impl Owners {
    /// Nothing is read yet.
    #[must_use]
    pub fn new() -> Self {
        Self {
            processes: Processes::new(),
            cgroups: Cgroups::default(),
            host: HostReader::default(),
            budget: Budget::default(),
            facts: ConversationFacts { ephemeral: ephemeral_ports() },
            sees_all: holders::sees_all(),
            shared: HashSet::new(),
            kept: HashMap::new(),
        }
    }

    /// Names cgroups by their paths below this directory, the root of version 2: of a process that is gone nothing else says
    /// what it ran in.
    pub fn set_cgroup(&mut self, root: OwnedFd) {
        self.cgroups = Cgroups::below(Some(root));
    }

    /// Answers what can be answered now; `None` is not yet: ask again in the next tick. An answer may become better later,
    /// when another process has inherited the socket or the owner has executed another program, so what lives long is worth
    /// asking for again. `note` looks a socket's cookie up in the kernel's notes; `now` is for the budget, and calls with the same
    /// `now` share what was read.
    pub fn answer(
        &mut self,
        questions: &[OwnerQuestion],
        note: &mut dyn FnMut(u64) -> Option<SocketNote>,
        look: Look,
        now: Instant,
    ) -> Vec<Option<Arc<Attribution>>> {
        self.processes.begin();
        self.host.begin();
        let mut questions = questions.to_vec();
        self.host.translations.learn(&questions, self.host.own());
        let notes: Vec<Option<SocketNote>> = questions
            .iter_mut()
            .map(|question| {
                let is_misled =
                    self.host.is_in_domain(question.ifindex) || self.host.translations.of(question).is_some();
                if !question.socket.is_exact() && is_misled {
                    question.socket = SocketHint::NONE;
                }
                let cookie = nobody::is_of_local_end(question).then(|| question.socket.cookie())?;
                let note = note(cookie).or_else(|| self.kept.remove(&cookie))?;
                // Through a veth pair a frame keeps the socket of its sender, who is the other end of what is this host's.
                if question.local_is_own && self.host.is_foreign(note.netns) {
                    question.socket = SocketHint::NONE;
                    return None;
                }
                Some(note)
            })
            .collect();
        self.kept.clear();
        if look == Look::No {
            return questions
                .iter()
                .zip(&notes)
                .map(|(question, note)| {
                    let note = note.as_ref()?;
                    let reason = noted_reason(question, note, self.facts)?;
                    let owners = vec![self.noted(note, false)];
                    Some(self.share(Attribution { owners, reason }))
                })
                .collect();
        }
        let mut may_read = !questions.is_empty() && (look == Look::Final || self.budget.allows(now));
        let cost = processor_time();
        if look == Look::Final && may_read {
            self.host.read(&questions, now);
        }
        if may_read {
            self.read_places(&notes);
        }
        let mut answers: Vec<Option<Arc<Attribution>>> = Vec::with_capacity(questions.len());
        for (question, note) in questions.iter().zip(&notes) {
            let answer = match note {
                Some(note) if look != Look::Final && self.may_be_shared(question, note) => None,
                Some(note) => self.by_note(question, note),
                None => self.by_what_is_known(question),
            };
            answers.push(answer.map(|answer| self.share(answer)));
        }
        let open: Vec<usize> =
            answers.iter().enumerate().filter(|(_, answer)| answer.is_none()).map(|(at, _)| at).collect();
        may_read &= !open.is_empty();
        if may_read {
            if look != Look::Final {
                let questions: Vec<OwnerQuestion> =
                    open.iter().filter_map(|at| questions.get(*at).copied()).collect();
                self.host.read(&questions, now);
            }
            for at in open {
                let (Some(question), Some(note)) = (questions.get(at), notes.get(at)) else { continue };
                let found = note.as_ref().and_then(|note| self.by_note(question, note));
                let found = found.unwrap_or_else(|| self.by_the_host(question));
                if let Some(answer) = answers.get_mut(at) {
                    *answer = Some(self.share(found));
                }
            }
        } else {
            // By the next time the kernel may have forgotten what it noted.
            for at in open {
                if let (Some(question), Some(Some(note))) = (questions.get(at), notes.get(at)) {
                    self.kept.insert(question.socket.cookie(), *note);
                }
            }
        }
        if self.host.was_read() {
            self.budget.spend(now, processor_time().saturating_sub(cost));
        }
        answers
    }

    /// Reads the host as it is read for conversations, so that [`degraded`](Self::degraded) has what is refused: with the question of a
    /// conversation that nobody has, whose socket may be in any namespace.
    pub fn try_out(&mut self, now: Instant) {
        let nobody = RowKey {
            local: Ipv6Addr::UNSPECIFIED,
            remote: Ipv6Addr::UNSPECIFIED,
            local_port: 0,
            remote_port: 0,
            vlan: 0,
            interface: InterfaceId(0),
            kind: Kind::TCP,
        };
        let question = OwnerQuestion {
            row: nobody,
            ifindex: 0,
            local_is_own: true,
            socket: SocketHint::NONE,
            seen: [true; 2],
        };
        drop(self.answer(&[question], &mut |_| None, Look::Final, now));
    }

    /// What of the host may not be read, in words, with what would allow it.
    #[must_use]
    pub fn degraded(&self) -> Vec<String> {
        let mut words = self.host.degraded();
        if !self.sees_all {
            words.push(
                "owners: processes outside this PID namespace cannot be seen, and those that the kernel noted have the host's \
                 PIDs here; run flowtally in the host's PID namespace"
                    .to_owned(),
            );
        }
        words
    }

    /// Finds the cgroups and namespaces that notes name, as far as they were never seen.
    fn read_places(&mut self, notes: &[Option<SocketNote>]) {
        let notes = || notes.iter().flatten();
        if notes().any(|note| note.cgroup != 0 && self.cgroups.path(note.cgroup).is_none()) {
            self.cgroups.walk();
        }
        let namespaces = notes().map(|note| note.netns);
        if namespaces.clone().any(|cookie| self.host.misses(cookie)) {
            self.host.find_namespaces(namespaces);
        }
    }

    /// The same answer for all that are equal.
    fn share(&mut self, answer: Attribution) -> Arc<Attribution> {
        if self.shared.len() >= SHARED {
            self.shared.retain(|answer| Arc::strong_count(answer) > 1);
        }
        if let Some(shared) = self.shared.get(&answer) {
            return Arc::clone(shared);
        }
        let answer = Arc::new(answer);
        self.shared.insert(Arc::clone(&answer));
        answer
    }

    fn noted(&mut self, note: &SocketNote, look: bool) -> Owner {
        let netns = self.host.netns_by_cookie(note.netns);
        self.processes.noted(note, look && self.sees_all, &self.host.namespaces, &self.cgroups, netns)
    }

    /// Whether others than the process that was noted may have the socket open, so that it takes reading the host to know: its
    /// children, or, when it has ended and the socket has not, whoever it left it to.
    fn may_be_shared(&mut self, question: &OwnerQuestion, note: &SocketNote) -> bool {
        let cookie = question.socket.cookie();
        if !self.sees_all || self.host.table.by_cookie(cookie).is_some() {
            return false;
        }
        let noted = self.noted(note, true);
        let is_alone = self.processes.is_without_children(&noted);
        !is_alone && ends(question).is_some_and(|ends| self.host.is_open_here(&ends, cookie))
    }

    /// By the kernel's note of the socket, and by who has it open as far as that is known.
    fn by_note(&mut self, question: &OwnerQuestion, note: &SocketNote) -> Option<Attribution> {
        let reason = noted_reason(question, note, self.facts)?;
        let noted = self.noted(note, true);
        let entry = self.noted_entry(question, note);
        let mut owners = entry.map(|entry| self.holders([entry.socket.inode])).unwrap_or_default();
        if owners.iter().any(|owner| owner.id == noted.id) {
            return Some(Attribution { owners, reason });
        }
        if owners.is_empty() {
            owners.push(noted);
            return Some(Attribution { owners, reason });
        }
        // It was handed on: to a child, or over a UNIX socket.
        let reason = if reason == Reason::Listener { reason } else { Reason::Open };
        Some(Attribution { owners, reason })
    }

    /// The socket that a note is about, as it was last listed: by its cookie, and where /proc/net had to be read, which has no
    /// cookies, by the two ends of the conversation, if the own namespace has one such socket.
    fn noted_entry(&self, question: &OwnerQuestion, note: &SocketNote) -> Option<SocketEntry> {
        let table = &self.host.table;
        if let Some(place) = table.by_cookie(question.socket.cookie()) {
            return table.get(place).copied();
        }
        if !question.socket.is_exact() || self.host.is_foreign(note.netns) {
            return None;
        }
        let found = table.by_ends(self.host.own(), &ends(question)?)?;
        let [place] = found.sockets[..] else { return None };
        table.get(place).copied().filter(|entry| entry.socket.cookie == 0)
    }

    /// By what was read before, as far as that cannot have changed.
    fn by_what_is_known(&mut self, question: &OwnerQuestion) -> Option<Attribution> {
        let found = if question.socket.is_exact() {
            let found = self.by_cookie(question.socket)?;
            let is_own = |place: &usize| {
                self.host.table.get(*place).is_some_and(|entry| entry.namespace == self.host.own())
            };
            if question.local_is_own && !found.sockets.iter().all(is_own) {
                return None;
            }
            found
        } else if let Some(ends) = self.host.translations.of(question) {
            self.host.translations.find(&self.host.table, &ends)?
        } else {
            let (table, own, ends) = (&self.host.table, self.host.own(), ends(question)?);
            // A listener's connection has a socket of its own, which is not known yet.
            let bound = || (ends.protocol != protocol::TCP).then(|| table.bound(own, &ends)).flatten();
            let is_bounds = question.local_is_own && !nobody::is_group(question);
            table.by_ends(own, &ends).or_else(|| is_bounds.then(bound).flatten())?
        };
        let entries = self.entries(&found);
        let owners = self.holders(entries.iter().map(|entry| entry.socket.inode));
        (!owners.is_empty()).then_some(Attribution { owners, reason: reason(found.by) })
    }

    /// By what was read just now: there is an answer in any case.
    fn by_the_host(&mut self, question: &OwnerQuestion) -> Attribution {
        let nobody = |reason| Attribution { owners: Vec::new(), reason };
        match self.host.find(question) {
            Some(read::ConversationSockets::Sockets(found)) => {
                let found = self.attribute(question, &found);
                // Of a connection that has no process any more, the listener's is known.
                if found.owners.is_empty() { self.by_listener(question).unwrap_or(found) } else { found }
            }
            Some(read::ConversationSockets::Inodes(inodes)) => {
                let owners = self.holders(inodes);
                let reason = if owners.is_empty() { self.host.without_holder(&[]) } else { Reason::Open };
                Attribution { owners, reason }
            }
            None => {
                let hidden = || self.host.may_be_hidden(question);
                nobody(nobody::without_socket(question, self.facts, hidden))
            }
        }
    }

    fn by_listener(&mut self, question: &OwnerQuestion) -> Option<Attribution> {
        let ends = ends(question).filter(|ends| ends.protocol == protocol::TCP)?;
        if self.host.translations.of(question).is_some() {
            return None;
        }
        let found = self.host.table.bound(self.host.own(), &ends)?;
        let entries = self.entries(&found);
        let owners = self.holders(entries.iter().map(|entry| entry.socket.inode));
        (!owners.is_empty()).then_some(Attribution { owners, reason: Reason::Listener })
    }

    /// Whose these sockets are, or why they are nobody's.
    fn attribute(&mut self, question: &OwnerQuestion, found: &Match) -> Attribution {
        let entries = self.entries(found);
        let owners = self.holders(entries.iter().map(|entry| entry.socket.inode));
        if !owners.is_empty() {
            return Attribution { owners, reason: reason(found.by) };
        }
        let reason = match entries.iter().find(|entry| entry.socket.inode != 0) {
            Some(_) => {
                let inodes: Vec<u64> = entries.iter().map(|entry| entry.socket.inode).collect();
                self.host.without_holder(&inodes)
            }
            // A connection whose socket nobody has any more. What TIME-WAIT was there before the traffic, the kernel answered.
            None if ends(question).is_some_and(|ends| self.host.was_waiting(&ends)) => Reason::KernelStack,
            None => Reason::Gone,
        };
        Attribution { owners, reason }
    }

    fn by_cookie(&self, hint: SocketHint) -> Option<Match> {
        let place = self.host.table.by_cookie(hint.cookie())?;
        let is_listener = self.host.table.get(place)?.socket.state == State::Listen;
        let by = if is_listener { FoundBy::Listener } else { FoundBy::Ends };
        Some(Match { by, sockets: vec![place] })
    }

    fn entries(&self, found: &Match) -> Vec<SocketEntry> {
        found.sockets.iter().filter_map(|place| self.host.table.get(*place)).copied().collect()
    }

    /// The living processes that had one of these open when that was last looked at, by PID.
    fn holders(&mut self, inodes: impl IntoIterator<Item = u64>) -> Vec<Owner> {
        let mut pids: Vec<u32> = inodes
            .into_iter()
            .filter(|inode| *inode != 0)
            .flat_map(|inode| self.host.holders.of(inode).iter().map(|holder| holder.pid))
            .collect();
        pids.sort_unstable();
        pids.dedup();
        let walked = self.host.walked;
        pids.into_iter().filter_map(|pid| self.processes.living(pid, walked, &self.host.namespaces)).collect()
    }
}

/// What a note's owner is to a conversation; `None` for a note that says nothing.
fn noted_reason(question: &OwnerQuestion, note: &SocketNote, facts: ConversationFacts) -> Option<Reason> {
    let occasion = Occasion::from_raw(note.occasion)?;
    // A TCP socket that was never connected nor accepted and has traffic is the listener, which sent a SYN-ACK.
    let is_listener = question.row.kind == Kind::TCP
        && (!question.socket.is_exact()
            || occasion <= Occasion::Bound && !nobody::is_client(question, facts));
    Some(match occasion {
        Occasion::Listened => Reason::Listener,
        _ if is_listener => Reason::Listener,
        Occasion::Created => Reason::Created,
        Occasion::Bound => Reason::Bound,
        Occasion::Connected => Reason::Connected,
        Occasion::Accepted => Reason::Accepted,
        Occasion::Closed => Reason::Closed,
    })
}

const fn reason(by: FoundBy) -> Reason {
    match by {
        FoundBy::Ends | FoundBy::Bound => Reason::Open,
        FoundBy::Listener => Reason::Listener,
    }
}

/// The conversation's ends as a socket of the local end has them; `None` for frames that are not IP.
fn ends(question: &OwnerQuestion) -> Option<SocketEnds> {
    let row = &question.row;
    let Kind::Ip(protocol) = row.kind else { return None };
    Some(SocketEnds {
        protocol,
        local: row.local,
        local_port: row.local_port,
        remote: row.remote,
        remote_port: row.remote_port,
        interface: question.ifindex,
    })
}

/// The ports that the kernel chooses from for who asks for none; its default where that cannot be read.
fn ephemeral_ports() -> (u16, u16) {
    const DEFAULT: (u16, u16) = (32_768, 60_999);
    let read = || {
        let text = fs::read_to_string("/proc/sys/net/ipv4/ip_local_port_range").ok()?;
        let mut numbers = text.split_ascii_whitespace().map(str::parse);
        Some((numbers.next()?.ok()?, numbers.next()?.ok()?))
    };
    read().unwrap_or(DEFAULT)
}

#[cfg(test)]
mod tests;
