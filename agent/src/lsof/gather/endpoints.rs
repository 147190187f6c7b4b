//! `-E`, `+E`: who holds the other end.

use hashbrown::{HashMap, HashSet};

use super::{Search, Shared, gather, unix_peers::unix_peers};
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
    Internet(bool, End, End),
    Controller(u32),
    Terminal(u32),
    Event(u32),
    Queue(u64),
}

/// The kernel's number of the state of a TCP connection that is up.
const ESTABLISHED: u8 = 1;
/// Terminals of one major number.
const TERMINALS: u64 = 256;
/// The first and the last major number of terminals.
const PTS: std::ops::RangeInclusive<u64> = 136..=143;

fn key(file: &File) -> Option<Key> {
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
        ) => Some(Key::Internet(*v6, *local, *foreign)),
        (Kind::Fifo, None) => Some(Key::Pipe(file.inode?)),
        (Kind::MessageQueue, None) => Some(Key::Queue(file.inode?)),
        (Kind::Anonymous, None) => match file.twin? {
            Twin::Event(event) => Some(Key::Event(event)),
            Twin::Terminal(_) => None,
        },
        (OpenFileKind::Character, None) => {
            let device = file.rdev?;
            if let Some(Twin::Terminal(terminal)) = file.twin {
                return Some(Key::Controller(terminal));
            }
            let at = PTS.contains(&major(device)).then(|| major(device) - PTS.start())?;
            u32::try_from(at * TERMINALS + minor(device)).ok().map(Key::Terminal)
        }
        _ => None,
    }
}

/// The other end of an end.
fn other(key: EndKey, peers: &HashMap<u64, u64>) -> Option<EndKey> {
    Some(match key {
        Key::Pipe(_) | Key::Event(_) | Key::Queue(_) => key,
        Key::Unix(inode) => Key::Unix(*peers.get(&inode)?),
        Key::Internet(v6, local, foreign) => Key::Internet(v6, foreign, local),
        Key::Controller(terminal) => Key::Terminal(terminal),
        Key::Terminal(terminal) => Key::Controller(terminal),
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
    let everyone = Options {
        tasks: Tasks::Ignore,
        fds: Some(FdSet { exclude: false, items: vec![FdItem::Numbers(0, u32::MAX)] }),
        warnings: false,
        endpoints: options.endpoints,
        flags: options.flags,
        size_or_offset: options.size_or_offset,
        avoid_blocking: options.avoid_blocking,
        exempt: options.exempt.clone(),
        ..LsofOptions::default()
    };
    let nothing = Search::default();
    let all = gather(&Shared::new(&everyone, &nothing))?;
    let peers = unix_peers();
    let mut holders: HashMap<Key, Vec<Holder>> = HashMap::new();
    for (at, process) in all.iter().enumerate() {
        for (place, file) in process.files.iter().enumerate() {
            if let (Some(key), Fd::Number(fd)) = (key(file), file.fd) {
                holders.entry(key).or_default().push(Holder { at: (at, place), pid: process.pid, fd });
            }
        }
    }
    let mut wanted = HashSet::new();
    for process in listed.iter_mut() {
        let pid = process.pid;
        for file in &mut process.files {
            wanted.extend(annotate(file, pid, &all, &holders, &peers));
        }
    }
    if options.endpoints == EndPoints::Listed {
        for (at, process) in all.iter().enumerate() {
            add(process, at, &wanted, listed, |file| {
                annotate(file, process.pid, &all, &holders, &peers);
            });
        }
        listed.sort_by_key(|process| (process.pid, process.tid));
    }
    Ok(())
}

/// Names the holders of a file's other end, and says where their rows are.
fn annotate(
    file: &mut File,
    pid: u32,
    all: &[Process],
    holders: &HashMap<EndKey, Vec<EndHolder>>,
    peers: &HashMap<u64, u64>,
) -> Vec<(usize, usize)> {
    let Some(key) = key(file) else { return Vec::new() };
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
        (Key::Unix(_), Key::Unix(inode)) => text.extend_from_slice(format!("->INO={inode}").as_bytes()),
        (Key::Controller(terminal), _) if !found.is_empty() => {
            text.extend_from_slice(format!("->/dev/pts/{terminal}").as_bytes());
        }
        _ => {}
    }
    for holder in &found {
        let (at, place) = holder.at;
        let Some((process, file)) = all.get(at).and_then(|it| Some((it, it.files.get(place)?))) else {
            continue;
        };
        if !text.is_empty() {
            text.push(b' ');
        }
        text.extend_from_slice(format!("{},", holder.pid).as_bytes());
        text.extend_from_slice(process.command.get(..COMMAND).unwrap_or(&process.command));
        text.extend_from_slice(format!(",{}", holder.fd).as_bytes());
        text.push(file.access);
    }
    file.peers = (!text.is_empty()).then(|| text.into());
    found.into_iter().map(|holder| holder.at).collect()
}

/// So much of a command's name is shown of a holder.
const COMMAND: usize = 9;

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
    match listed.iter_mut().find(|it| it.pid == process.pid && it.tid.is_none()) {
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
