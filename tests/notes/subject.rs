//! The kernel side on one end of a cable, and what is known of this process by other means.

use std::{
    collections::HashMap,
    fs,
    net::{IpAddr, Ipv6Addr},
    os::{fd::AsFd, linux::fs::MetadataExt},
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use flowtally::{
    kernel::{AttachTarget, Capacity, Drained, Kernel, OwnerNotes},
    model::hook::HookChoice,
};
use flowtally_common::{
    Direction, FlowKey, Occasion, SocketHint, SocketNote,
    settings::{Layer, MIN_NOTES, MIN_SLOTS},
};
use harness::{Host, Namespace, NetPair, eventually};
use nix::{getsockopt_impl, net::if_::if_nametoindex, sockopt_impl, sys::socket::getsockopt};
use rustix::net::sockopt::socket_cookie;

sockopt_impl!(
    /// `SO_NETNS_COOKIE` (socket(7)).
    NetnsCookie,
    GetOnly,
    libc::SOL_SOCKET,
    libc::SO_NETNS_COOKIE,
    u64
);

/// Of the clsact filters, where there is no TCX; the namespace takes them with it.
const MARK: u32 = 2;

/// Protocols, by number.
pub(crate) const ICMP: u8 = 1;
pub(crate) const TCP: u8 = 6;
pub(crate) const UDP: u8 = 17;

/// What every subject has, one after the other: to verify the programs takes the kernel a second, and half a minute where it is emulated.
static SHARED: Mutex<Option<Shared>> = Mutex::new(None);

/// The programs know one namespace's sockets by their ports: the one that they are loaded in.
struct Shared {
    near: Arc<Namespace>,
    kernel: Kernel,
}

/// Everything is noted, and `near` is counted.
pub(crate) struct Subject {
    /// The cable.
    pub(crate) pair: NetPair,
    /// What is noted.
    pub(crate) notes: Arc<OwnerNotes>,
    shared: MutexGuard<'static, Option<Shared>>,
    seen: HashMap<FlowKey, SocketHint>,
}

impl Subject {
    pub(crate) fn new() -> Self {
        // A test that has failed leaves nothing that would be in the way.
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        let Shared { near, kernel } = shared.get_or_insert_with(|| {
            let near = Arc::new(Namespace::new());
            let kernel = near.enter(load);
            Shared { near, kernel }
        });
        let pair = NetPair::with_near(Arc::clone(near));
        near.set("ipv4/ip_forward", "0");
        // Left over from the subject before.
        drain(kernel, |_, _| {});
        let target = target(&pair.near);
        near.enter(|| kernel.attach(&target, HookChoice::Auto, MARK)).expect("attach to the interface");
        let notes = Arc::clone(kernel.owner_notes());
        Self { pair, notes, shared, seen: HashMap::new() }
    }

    /// Does `work` in the namespace of the end where flows are counted.
    pub(crate) fn near<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pair.near.namespace.enter(work)
    }

    /// Does `work` at the other end.
    pub(crate) fn far<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        self.pair.far.namespace.enter(work)
    }

    /// The note on a socket.
    pub(crate) fn note(&self, socket: impl AsFd) -> Option<SocketNote> {
        self.notes.note(cookie(socket))
    }

    /// Waits until a flow was counted, with a hint that `is_it` says is the one, and returns that.
    pub(crate) fn hint(&mut self, flow: &Wanted, is_it: impl Fn(SocketHint) -> bool) -> SocketHint {
        let mut last = None;
        eventually(&format!("{flow:?} has its socket"), || {
            let shared = self.shared.as_mut().expect("what a subject has");
            drain(&mut shared.kernel, |key, hint| {
                self.seen.insert(*key, hint);
            });
            last = self.seen.iter().find(|(key, _)| flow.is(key)).map(|(_, hint)| *hint).or(last);
            last.filter(|hint| is_it(*hint))
        })
    }

    /// The hint that a flow came with.
    pub(crate) fn any_hint(&mut self, flow: &Wanted) -> SocketHint {
        self.hint(flow, |_| true)
    }
}

impl Drop for Subject {
    fn drop(&mut self) {
        let Some(Shared { near, kernel }) = self.shared.as_mut() else { return };
        near.enter(|| {
            for index in kernel.attached().collect::<Vec<_>>() {
                kernel.release(index);
            }
        });
        self.pair.unplug();
    }
}

/// The kernel side with all notes; no interface is counted.
pub(crate) fn load() -> Kernel {
    let capacity = Capacity { slots: MIN_SLOTS, flows: 16_384, notes: MIN_NOTES };
    let kernel = Kernel::load(capacity, false).expect("load the kernel object");
    assert_eq!(kernel.owner_notes().unnoted(), [], "something is not noted");
    kernel
}

fn target(host: &Host) -> AttachTarget {
    let index = host.namespace.enter(|| if_nametoindex(host.interface).expect("the interface has an index"));
    AttachTarget { index, name: host.interface.to_owned(), layer: Layer::Ethernet, loopback: false }
}

/// Takes what was counted since the last time.
fn drain(kernel: &mut Kernel, mut take: impl FnMut(&FlowKey, SocketHint)) {
    let retired = kernel.flip();
    kernel
        .drain(&retired, |drained| {
            if let Drained::Flow(key, _, hint) = drained {
                take(key, hint);
            }
        })
        .expect("drain what was counted");
}

/// A flow that is waited for; what is `None` does not matter.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Wanted {
    pub(crate) protocol: u8,
    pub(crate) direction: Direction,
    pub(crate) source: Option<u16>,
    pub(crate) destination: Option<u16>,
    pub(crate) to: Option<IpAddr>,
}

impl Wanted {
    pub(crate) const fn new(protocol: u8, direction: Direction) -> Self {
        Self { protocol, direction, source: None, destination: None, to: None }
    }

    pub(crate) const fn on_port(self, port: u16) -> Self {
        Self { source: Some(port), ..self }
    }

    pub(crate) const fn to_port(self, port: u16) -> Self {
        Self { destination: Some(port), ..self }
    }

    pub(crate) const fn to(self, address: IpAddr) -> Self {
        Self { to: Some(address), ..self }
    }

    fn is(&self, key: &FlowKey) -> bool {
        let port =
            |wanted: Option<u16>, port: [u8; 2]| wanted.is_none_or(|wanted| wanted.to_be_bytes() == port);
        let mapped = |address| match address {
            IpAddr::V4(address) => address.to_ipv6_mapped(),
            IpAddr::V6(address) => address,
        };
        key.protocol == self.protocol
            && key.direction == self.direction as u8
            && port(self.source, key.src_port)
            && port(self.destination, key.dst_port)
            && self.to.is_none_or(|address| mapped(address) == Ipv6Addr::from(key.dst))
    }
}

/// A socket's cookie, from the socket itself.
pub(crate) fn cookie(socket: impl AsFd) -> u64 {
    socket_cookie(socket).expect("ask a socket for its cookie")
}

/// The cookie of a socket's network namespace.
pub(crate) fn netns(socket: impl AsFd) -> u64 {
    getsockopt(&socket, NetnsCookie).expect("ask a socket for its namespace's cookie")
}

/// What a note says of a process must be what /proc says.
pub(crate) fn check_process(note: &SocketNote, pid: u32) {
    assert_eq!(note.tgid, pid);
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("read a process's stat");
    let (_, rest) = stat.rsplit_once(')').expect("the command is in brackets");
    let ticks: u64 = rest.split_whitespace().nth(19).expect("a start time").parse().unwrap();
    // USER_HZ is 100 everywhere (proc(5)).
    assert_eq!(note.start_time / 10_000_000, ticks, "start time of {pid}");
    let comm = fs::read(format!("/proc/{pid}/comm")).expect("read a process's name");
    assert_eq!(command(note).as_bytes(), comm.trim_ascii_end(), "command of {pid}");
    let status = fs::metadata(format!("/proc/{pid}")).expect("look at a process");
    assert_eq!(note.uid, status.st_uid(), "user of {pid}");
    assert_eq!(note.cgroup, cgroup_inode(pid), "cgroup of {pid}");
}

/// The note is of this process, as it is.
pub(crate) fn check_own(note: Option<SocketNote>, occasion: Occasion) -> SocketNote {
    let note = note.expect("a note");
    check_process(&note, process::id());
    assert_eq!(Occasion::from_raw(note.occasion), Some(occasion));
    note
}

/// The command of a note.
pub(crate) fn command(note: &SocketNote) -> String {
    let end = note.command.iter().position(|byte| *byte == 0).unwrap_or(note.command.len());
    assert!(note.command[end..].iter().all(|byte| *byte == 0), "no padding: {:?}", note.command);
    String::from_utf8_lossy(&note.command[..end]).into_owned()
}

/// Where the whole of cgroup v2 is mounted.
pub(crate) fn cgroups() -> PathBuf {
    let mounts = fs::read_to_string("/proc/self/mountinfo").expect("read the mounts");
    let line = mounts.lines().find(|line| line.contains(" - cgroup2 "));
    let line = line.expect("no cgroup v2: mount -t cgroup2 none /sys/fs/cgroup/unified");
    line.split(' ').nth(4).expect("a place").into()
}

fn cgroup_inode(pid: u32) -> u64 {
    let text = fs::read_to_string(format!("/proc/{pid}/cgroup")).expect("read a process's cgroup");
    let path = text.lines().find_map(|line| line.strip_prefix("0::")).expect("a cgroup of version 2");
    inode(&cgroups().join(path.trim_start_matches('/')))
}

/// A directory's inode number.
pub(crate) fn inode(path: &Path) -> u64 {
    fs::metadata(path).expect("look at a cgroup").st_ino()
}
