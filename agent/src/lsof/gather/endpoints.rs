//! `-E`, `+E`: who holds the other end.

use std::cell::RefCell;

use hashbrown::{HashMap, HashSet};
use rustix::fs::CWD;

use super::{processes::gather, search::Search, shared::Shared, stat, unix_peers::unix_peers};
use crate::lsof::{
    arguments::{EndPoints, FdItem, FdSet, LsofOptions, Tasks},
    model::{Fd, ListedSocket, OpenFile, OpenFileKind, Process, SocketEnd, Transport, Twin, major, minor},
};

/// An end of something that has two.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum EndKey {
    Pipe(u64),
    Unix(u64),
    /// With the family: lsof joins no IPv6 socket with an IPv4 one.
    Internet(bool, SocketEnd, SocketEnd),
    /// By the device of the file system that they are on: each has numbers of its own.
    Controller(Option<u64>, u32),
    Terminal(Option<u64>, u32),
    Event(u32),
    /// By its device and inode: each IPC namespace has a file system of its own.
    Queue(u64, u64),
}

/// The kernel's number of the state of a TCP connection that is up.
const ESTABLISHED: u8 = 1;
/// Terminals of one major number.
const TERMINALS: u64 = 256;
/// The first and the last major number of terminals.
const PTS: std::ops::RangeInclusive<u64> = 136..=143;

fn key(file: &OpenFile, pid: u32, terminals: &Terminals) -> Option<EndKey> {
    if !matches!(file.fd, Fd::Number(_)) {
        return None;
    }
    match (file.kind, file.socket.as_deref()) {
        (_, Some(ListedSocket::Unix { .. })) => Some(EndKey::Unix(file.inode?)),
        // Datagrams have no one at the other end, and what is closing is no pair any more.
        (
            _,
            Some(ListedSocket::Internet {
                transport: Transport::Tcp,
                v6,
                local,
                foreign,
                state: ESTABLISHED,
                ..
            }),
        ) => Some(EndKey::Internet(*v6, *local, *foreign)),
        (OpenFileKind::Fifo, None) => Some(EndKey::Pipe(file.inode?)),
        (OpenFileKind::MessageQueue, None) => Some(EndKey::Queue(file.device?, file.inode?)),
        (OpenFileKind::Anonymous, None) => match file.twin? {
            Twin::Event(event) => Some(EndKey::Event(event)),
            Twin::Terminal(_) => None,
        },
        (OpenFileKind::Character, None) => {
            let device = file.rdev?;
            if let Some(Twin::Terminal(terminal)) = file.twin {
                return Some(EndKey::Controller(terminals.of(file, pid), terminal));
            }
            let at = PTS.contains(&major(device)).then(|| major(device) - PTS.start())?;
            let number = u32::try_from(at * TERMINALS + minor(device)).ok()?;
            Some(EndKey::Terminal(file.device, number))
        }
        _ => None,
    }
}

/// On which file system a terminal is whose controlling side is open.
#[derive(Debug, Default)]
struct Terminals {
    /// Those that have terminals that are open.
    file_systems: HashSet<u64>,
    /// What processes have mounted where terminals are looked for.
    of_processes: RefCell<HashMap<u32, Option<u64>>>,
}

impl Terminals {
    fn new(all: &[Process]) -> Self {
        let files = all.iter().flat_map(|process| &process.files);
        let terminals = files.filter(|file| file.rdev.is_some_and(|device| PTS.contains(&major(device))));
        Self { file_systems: terminals.filter_map(|file| file.device).collect(), ..Self::default() }
    }

    /// The file system's own `ptmx` is on it; of another one it is the process's /dev/pts (`fs/devpts/inode.c`, `devpts_mntget`).
    fn of(&self, file: &OpenFile, pid: u32) -> Option<u64> {
        let own = file.device.filter(|device| self.file_systems.contains(device));
        let mounted =
            || stat::follow(CWD, format!("/proc/{pid}/root/dev/pts"), false).ok().map(|stat| stat.device);
        own.or_else(|| *self.of_processes.borrow_mut().entry(pid).or_insert_with(mounted))
    }
}

/// The other end of an end.
fn other(key: EndKey, peers: &HashMap<u64, u64>) -> Option<EndKey> {
    Some(match key {
        EndKey::Pipe(_) | EndKey::Event(_) | EndKey::Queue(..) => key,
        EndKey::Unix(inode) => EndKey::Unix(*peers.get(&inode)?),
        EndKey::Internet(v6, local, foreign) => EndKey::Internet(v6, foreign, local),
        EndKey::Controller(on, terminal) => EndKey::Terminal(on, terminal),
        EndKey::Terminal(on, terminal) => EndKey::Controller(on, terminal),
    })
}

/// Who holds an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct EndHolder {
    /// Where the row is: its process and its place there.
    at: (usize, usize),
    pid: u32,
    fd: u32,
}

/// Adds to every row that has another end who holds that; with `+E` their rows too.
///
/// # Errors
/// When /proc cannot be read.
pub fn name_endpoints(listed: &mut Vec<Process>, options: &LsofOptions) -> rustix::io::Result<()> {
    if options.endpoints == EndPoints::None {
        return Ok(());
    }
    let everyone = LsofOptions {
        // Of threads those that have descriptors of their own, unless they are to be left out.
        tasks: if options.tasks == Tasks::Ignore { Tasks::Ignore } else { Tasks::Default },
        fds: Some(FdSet { exclude: false, items: vec![FdItem::Numbers(0, u32::MAX)] }),
        warnings: false,
        endpoints: options.endpoints,
        flags: options.flags,
        fields: options.fields.clone(),
        json: options.json,
        size_or_offset: options.size_or_offset,
        avoid_blocking: options.avoid_blocking,
        exempt: options.exempt.clone(),
        ..LsofOptions::default()
    };
    let nothing = Search::default();
    let all = gather(&Shared::new(&everyone, &nothing))?;
    let (peers, terminals) = (unix_peers(), Terminals::new(&all));
    // Names in JSON are whole.
    let width = options.command_width.filter(|_| options.json.is_none());
    let mut holders: HashMap<EndKey, Vec<EndHolder>> = HashMap::new();
    for (at, process) in all.iter().enumerate() {
        for (place, file) in process.files.iter().enumerate() {
            if let (Some(key), Fd::Number(fd)) = (key(file, process.pid, &terminals), file.fd) {
                holders.entry(key).or_default().push(EndHolder { at: (at, place), pid: process.pid, fd });
            }
        }
    }
    let mut wanted = HashSet::new();
    for process in listed.iter_mut() {
        let pid = process.pid;
        for file in &mut process.files {
            let key = key(file, pid, &terminals);
            wanted.extend(annotate(file, key, pid, &all, &holders, &peers, width));
        }
    }
    if options.endpoints == EndPoints::Listed {
        for (at, process) in all.iter().enumerate() {
            add(process, at, &wanted, listed, |file| {
                let key = key(file, process.pid, &terminals);
                annotate(file, key, process.pid, &all, &holders, &peers, width);
            });
        }
        listed.sort_by_key(|process| (process.pid, process.tid));
    }
    Ok(())
}

/// Names the holders of a file's other end, and says where their rows are.
fn annotate(
    file: &mut OpenFile,
    key: Option<EndKey>,
    pid: u32,
    all: &[Process],
    holders: &HashMap<EndKey, Vec<EndHolder>>,
    peers: &HashMap<u64, u64>,
    width: Option<usize>,
) -> Vec<(usize, usize)> {
    let Some(key) = key else { return Vec::new() };
    let Some(other) = other(key, peers) else { return Vec::new() };
    let itself = |holder: &&EndHolder| key == other && holder.pid == pid && file.fd == Fd::Number(holder.fd);
    let mut found: Vec<&EndHolder> = holders
        .get(&other)
        .map(|it| it.iter().filter(|holder| !itself(holder)).collect())
        .unwrap_or_default();
    // The order of lsof's lists.
    if matches!(key, EndKey::Unix(_) | EndKey::Internet(..)) {
        found.reverse();
    }
    let mut text = Vec::new();
    match (key, other) {
        (EndKey::Unix(_), EndKey::Unix(inode)) => text.extend_from_slice(format!("->INO={inode}").as_bytes()),
        (EndKey::Controller(_, terminal), _) if !found.is_empty() => {
            text.extend_from_slice(format!("->/dev/pts/{terminal}").as_bytes());
        }
        _ => {}
    }
    let mut named: Vec<(u32, u32)> = Vec::new();
    for holder in &found {
        // A copy of it in the table of another thread is not told from it here.
        if named.contains(&(holder.pid, holder.fd)) {
            continue;
        }
        named.push((holder.pid, holder.fd));
        let (at, place) = holder.at;
        let Some((process, file)) = all.get(at).and_then(|it| Some((it, it.files.get(place)?))) else {
            continue;
        };
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(format!("{},", holder.pid).as_bytes());
        let command = width.and_then(|width| process.command.get(..width));
        text.extend_from_slice(command.unwrap_or(&process.command));
        text.extend_from_slice(format!(",{}", holder.fd).as_bytes());
        text.push(file.access);
    }
    file.note = (!text.is_empty()).then(|| text.into());
    found.into_iter().map(|holder| holder.at).collect()
}

/// Lists the wanted rows of a process that are not listed yet.
fn add(
    process: &Process,
    at: usize,
    wanted: &HashSet<(usize, usize)>,
    listed: &mut Vec<Process>,
    mut annotate: impl FnMut(&mut OpenFile),
) {
    let rows = process.files.iter().enumerate().filter(|(place, _)| wanted.contains(&(at, *place)));
    let mut rows: Vec<OpenFile> = rows.map(|(_, file)| file.clone()).collect();
    if rows.is_empty() {
        return;
    }
    rows.iter_mut().for_each(&mut annotate);
    match listed.iter_mut().find(|it| it.pid == process.pid && it.tid == process.tid) {
        Some(before) => {
            rows.retain(|row| before.files.iter().all(|file| file.fd != row.fd));
            before.files.extend(rows);
            before.files.sort_by_key(|file| match file.fd {
                Fd::Number(number) => i64::from(number),
                _ => -1,
            });
        }
        None => listed.push(Process { files: rows, ..process.clone() }),
    }
}
