//! What is known of processes, those that have ended included: everything about an owner but which sockets it has.

use std::{
    fs,
    time::{Duration, SystemTime},
};

use flowtally_common::SocketNote;
use hashbrown::HashMap;
use rustix::time::{ClockId, clock_gettime};

use super::cgroups::Cgroups;
use crate::{
    format::Name,
    host::{
        containers,
        holders::link_inode,
        netns::Namespaces,
        proc::{ProcessDir, ProcessStat, Tables, Views},
        users::Users,
    },
    model::owner::{Container, Netns, Owner, ProcessId},
};

/// Nanoseconds in a clock tick of /proc: `USER_HZ` is 100 on every architecture that flowtally runs on.
const TICK: u64 = 10_000_000;
/// So many processes are remembered; then those that were not asked for lately are forgotten.
const REMEMBERED: usize = 1 << 14;
/// How many calls a process is remembered without being asked for, once there are too many.
const LATELY: u64 = 60;

/// Processes, by PID and start.
#[derive(Debug)]
pub(in crate::host) struct Processes {
    known: HashMap<(u32, u64), KnownProcess>,
    /// Of the processes that were looked at in this call, when the one that lives started.
    looked_at: HashMap<u32, Option<u64>>,
    /// Of those that were looked at, whether they have no children.
    childless: HashMap<u32, bool>,
    users: Users,
    boot: SystemTime,
    call: u64,
    text: Vec<u8>,
}

#[derive(Debug)]
struct KnownProcess {
    owner: Owner,
    /// When it was read, in nanoseconds since boot.
    read: u64,
    /// In which call it was last asked for.
    used: u64,
}

/// Nanoseconds since boot.
pub(super) fn since_boot() -> u64 {
    let time = Duration::try_from(clock_gettime(ClockId::Boottime)).unwrap_or_default();
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Processes {
    pub(in crate::host) fn new() -> Self {
        Self {
            known: HashMap::new(),
            looked_at: HashMap::new(),
            childless: HashMap::new(),
            users: Users::default(),
            boot: SystemTime::now() - Duration::from_nanos(since_boot()),
            call: 0,
            text: Vec::new(),
        }
    }

    /// Begins a call: what was looked at before may have changed.
    pub(in crate::host) fn begin(&mut self) {
        self.call += 1;
        self.looked_at.clear();
        self.childless.clear();
        if self.known.len() > REMEMBERED {
            let oldest = self.call.saturating_sub(LATELY);
            self.known.retain(|_, known| known.used >= oldest);
        }
        if self.known.len() > REMEMBERED {
            self.known.clear();
        }
    }

    /// The process that has this number now, if it started by then (nanoseconds since boot).
    pub(in crate::host) fn living(&mut self, pid: u32, by: u64, namespaces: &Namespaces) -> Option<Owner> {
        let start = self.look_at(pid, namespaces)?;
        (start * TICK <= by).then(|| self.known.get(&(pid, start)).map(|known| known.owner.clone())).flatten()
    }

    /// The process that a note names: as it is, if it lives and `look` allows looking; as it was last seen; or as the note has it.
    pub(super) fn noted(
        &mut self,
        note: &SocketNote,
        look: bool,
        namespaces: &Namespaces,
        cgroups: &Cgroups,
        netns: Option<Netns>,
    ) -> Owner {
        let start = (note.start_time != 0).then_some(note.start_time / TICK);
        if look
            && let Some(living) = self.look_at(note.tgid, namespaces)
            && start.map_or(living * TICK <= note.noted, |start| start == living)
            && let Some(known) = self.known.get(&(note.tgid, living))
        {
            return known.owner.clone();
        }
        let command = || Name::from(until_zero(&note.command));
        let user = |users: &mut Users| users.name(note.uid).map(Name::from);
        if let Some(known) = start.and_then(|start| self.known.get_mut(&(note.tgid, start))) {
            known.used = self.call;
            let mut owner = known.owner.clone();
            if note.noted > known.read {
                owner.command = command();
                owner.uid = Some(note.uid);
                owner.user = user(&mut self.users);
            }
            return owner;
        }
        Owner {
            id: ProcessId { pid: note.tgid, start },
            start_time: start.map(|start| self.start_time(start)),
            command: command(),
            executable: None,
            uid: Some(note.uid),
            user: user(&mut self.users),
            container: cgroups.path(note.cgroup).and_then(containers::of_path),
            netns,
        }
    }

    /// Whether a process lives, and has no child that could have inherited what it has open.
    pub(super) fn is_without_children(&mut self, owner: &Owner) -> bool {
        let pid = owner.id.pid;
        let is_living = self.looked_at.get(&pid).is_some_and(|start| *start == owner.id.start);
        is_living
            && owner.id.start.is_some()
            && *self.childless.entry(pid).or_insert_with(|| has_children(pid) == Some(false))
    }

    fn start_time(&self, start: u64) -> SystemTime {
        self.boot + Duration::from_nanos(start.saturating_mul(TICK))
    }

    /// Reads a process, once a call; when it started.
    fn look_at(&mut self, pid: u32, namespaces: &Namespaces) -> Option<u64> {
        if let Some(start) = self.looked_at.get(&pid) {
            return *start;
        }
        let start = self.read(pid, namespaces);
        self.looked_at.insert(pid, start);
        start
    }

    fn read(&mut self, pid: u32, namespaces: &Namespaces) -> Option<u64> {
        let process = ProcessDir::open(pid).ok()?;
        process.read("stat", &mut self.text).ok()?;
        let stat = ProcessStat::parse(&self.text)?;
        // A first thread that has ended has no executable and no namespaces any more; those that go on have.
        let views = stat.has_ended().then(|| process.views(&mut Tables::new()));
        let process = views.as_ref().map_or(&process, Views::whole);
        let ProcessStat { start, command, .. } = stat;
        let uid = process.read("status", &mut self.text).ok().and_then(|()| effective_uid(&self.text));
        let command = Name::from(command);
        let known = self.known.get(&(pid, start));
        let executable = executable(process);
        // Neither changes in the life of almost any process; where one does, what it runs does too, mostly.
        let same =
            known.filter(|known| known.owner.command == command && known.owner.executable == executable);
        let (container, netns) = match same {
            Some(known) => (known.owner.container.clone(), known.owner.netns.clone()),
            None => (container(process, &mut self.text), netns(process, namespaces)),
        };
        let owner = Owner {
            id: ProcessId { pid, start: Some(start) },
            start_time: Some(self.start_time(start)),
            command,
            executable,
            uid,
            user: uid.and_then(|uid| self.users.name(uid)).map(Name::from),
            container,
            netns,
        };
        self.known.insert((pid, start), KnownProcess { owner, read: since_boot(), used: self.call });
        Some(start)
    }
}

/// What it runs, also when that was replaced or deleted meanwhile; `None` for a kernel thread, and where it may not be read.
fn executable(process: &ProcessDir) -> Option<Name> {
    let path = process.link("exe").ok()?;
    let path = path.strip_suffix(b" (deleted)").unwrap_or(&path);
    Some(path.into())
}

fn container(process: &ProcessDir, text: &mut Vec<u8>) -> Option<Container> {
    process.read("cgroup", text).ok()?;
    containers::of_process(text)
}

fn netns(process: &ProcessDir, namespaces: &Namespaces) -> Option<Netns> {
    let inode = link_inode(process.as_dir(), c"ns/net", "net").ok().flatten()?;
    Some(Netns { inode: Some(inode), name: namespaces.name(inode) })
}

/// Whether any thread of a process has children; `None` where the kernel does not tell.
fn has_children(pid: u32) -> Option<bool> {
    /// So many threads are looked at, for each is a file.
    const THREADS: usize = 64;
    let threads = fs::read_dir(format!("/proc/{pid}/task")).ok()?;
    for (number, thread) in threads.flatten().enumerate() {
        if number >= THREADS || !fs::read(thread.path().join("children")).ok()?.is_empty() {
            return Some(true);
        }
    }
    Some(false)
}

/// The second number of the line `Uid:` (proc(5)).
fn effective_uid(status: &[u8]) -> Option<u32> {
    let line = status.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"Uid:"))?;
    std::str::from_utf8(line).ok()?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// A name without the zeros it is padded with.
fn until_zero(name: &[u8]) -> &[u8] {
    name.split(|byte| *byte == 0).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};

    use super::*;

    fn namespaces() -> Namespaces {
        Namespaces::find(&std::collections::BTreeMap::new())
    }

    fn note(pid: u32, start_time: u64) -> SocketNote {
        let mut command = [0; 16];
        command[..5].copy_from_slice(b"noted");
        SocketNote {
            tgid: pid,
            start_time,
            noted: since_boot(),
            command,
            uid: 12_345,
            ..SocketNote::default()
        }
    }

    #[test]
    fn a_process_is_what_it_is_while_it_lives_and_what_it_was_afterwards() {
        let mut processes = Processes::new();
        let mut child = Command::new("sleep").arg("1000").stdout(Stdio::null()).spawn().unwrap();
        let pid = child.id();
        processes.begin();
        // Until it has executed `sleep` it is this program.
        let mut owner = processes.living(pid, u64::MAX, &namespaces()).unwrap();
        while owner.command != "sleep" {
            processes.begin();
            owner = processes.living(pid, u64::MAX, &namespaces()).unwrap();
        }
        assert!(owner.executable.as_ref().is_some_and(|path| path.as_bytes().starts_with(b"/")), "{owner:?}");
        assert_eq!(owner.uid, Some(rustix::process::geteuid().as_raw()));
        assert_eq!(owner.netns.as_ref().and_then(|netns| netns.inode), crate::host::netns::own());
        assert!(owner.start_time.is_some_and(|start| start.elapsed().is_ok_and(|age| age.as_secs() < 600)));
        let start = owner.id.start.unwrap();

        assert_eq!(
            processes.living(pid, (start - 1) * TICK, &namespaces()),
            None,
            "the number was another's then"
        );
        let cgroups = Cgroups::default();
        let noted =
            |processes: &mut Processes, note| processes.noted(&note, true, &namespaces(), &cgroups, None);
        let earlier = note(pid, start * TICK);
        assert_eq!(noted(&mut processes, earlier), owner);
        let other = noted(&mut processes, note(pid, (start - 1) * TICK));
        assert_eq!((other.command, other.uid, other.executable), ("noted".into(), Some(12_345), None));

        child.kill().unwrap();
        child.wait().unwrap();
        processes.begin();
        assert_eq!(processes.living(pid, u64::MAX, &namespaces()), None);
        assert_eq!(noted(&mut processes, SocketNote { noted: 1, ..earlier }), owner, "as it was last seen");
        let later = noted(&mut processes, note(pid, start * TICK));
        assert_eq!((later.command, later.executable), ("noted".into(), owner.executable));
    }

    #[test]
    fn the_effective_user_counts() {
        assert_eq!(effective_uid(b"Name:\tx\nUid:\t1\t2\t3\t4\nGid:\t5\t5\t5\t5\n"), Some(2));
        assert_eq!(effective_uid(b"Uid:\t1\n"), None);
        assert_eq!(until_zero(b"ab\0c"), b"ab");
        assert_eq!(until_zero(b"abcd"), b"abcd");
    }
}
