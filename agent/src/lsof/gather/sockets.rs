//! The sockets of this network namespace, read once and when first asked for.

use std::{
    fs::File,
    io::{BufRead as _, BufReader},
    net::{IpAddr, Ipv6Addr},
    thread,
};

use hashbrown::{HashMap, HashSet};
use rustix::{
    io::{Errno, Result},
    net::netlink::SOCK_DIAG,
};

use super::net::{SocketTable, TABLES};
use crate::{
    host::{
        opened::{self, RecordedSocket, UnixRecord, WantedRecords},
        proc::{ProcessDir, Tables, inode_in},
        sockets::{Connection, InternetSocket, State, protocol},
    },
    lsof::model::{ListedSocket, OpenFileKind, SocketEnd, Transport},
};

/// Sockets by inode: those that the kernel is asked for, and those of its texts.
#[derive(Debug, Default)]
pub(super) struct ProcSockets([ByInode; 2]);

/// A socket with its type.
pub(super) type SocketRow = (OpenFileKind, ListedSocket);

type ByInode = HashMap<u64, SocketRow>;

impl ProcSockets {
    /// Reads the tables that are wanted, or only what of them is `held`. Tables that this kernel does not have are empty. What
    /// `keep` refuses is left out, and what has no end with a port in `ports` may be.
    pub(super) fn read(
        wanted: impl Fn(SocketTable) -> bool,
        held: Option<&HeldSockets>,
        ports: Option<(u16, u16)>,
        keep: impl Fn(u64, &ListedSocket) -> bool + Sync,
    ) -> Self {
        let tables = TABLES.into_iter().filter(|(table, _)| wanted(*table));
        let tables = tables.filter(|(table, _)| held.is_none_or(|held| held.in_table(*table) != Some(0)));
        let (asked, texts): (Vec<_>, Vec<_>) = tables
            .partition(|(table, _)| matches!(table, SocketTable::Inet(Transport::Tcp | Transport::Udp, _)));
        let read = |tables: &[(SocketTable, &str)]| read_tables(tables, held, ports, &keep);
        // The kernel takes its time for each alike.
        if asked.is_empty() || texts.iter().all(|(table, _)| *table != SocketTable::Unix) {
            return Self([read(&asked), read(&texts)]);
        }
        thread::scope(|scope| {
            let texts = scope.spawn(|| read(&texts));
            Self([read(&asked), texts.join().unwrap_or_default()])
        })
    }

    /// What processes hold, told by the sockets themselves and not by the tables; `None` where that is not to be had, or not worth it.
    pub(super) fn walk(
        pids: &[u32],
        held: &HeldSockets,
        wanted: &impl Fn(SocketTable) -> bool,
        keep: &(impl Fn(u64, &ListedSocket) -> bool + Sync),
    ) -> Option<Self> {
        let is_walked = |table| {
            matches!(table, SocketTable::Unix | SocketTable::Inet(Transport::Tcp | Transport::Udp, _))
        };
        let is_wanted = |table| wanted(table) && held.in_table(table) != Some(0);
        if !TABLES.iter().any(|(table, _)| is_walked(*table) && is_wanted(*table)) {
            return None;
        }
        let mut tables = opened::of_many_sockets()?;
        let records =
            WantedRecords { only_sockets: true, sockets: true, unix: true, ..WantedRecords::default() };
        let mut sockets = ByInode::new();
        let mut told = HashSet::new();
        for pid in pids {
            let apart = tables.tables(&records, Some(*pid), |table| {
                for record in table.records {
                    // What /proc does not show is not shown.
                    if !held.inodes.contains(&record.inode) {
                        continue;
                    }
                    let row = match record.socket.as_deref() {
                        Some(RecordedSocket::Internet(socket)) => internet(socket),
                        Some(RecordedSocket::Unix(socket)) => unix(socket),
                        Some(RecordedSocket::Unlisted | RecordedSocket::Other) => {
                            told.insert(record.inode);
                            continue;
                        }
                        Some(RecordedSocket::Unknown) | None => continue,
                    };
                    told.insert(record.inode);
                    let is_wanted = TABLES.iter().any(|(table, _)| table.kind() == row.0 && wanted(*table));
                    if is_wanted && keep(record.inode, &row.1) {
                        sockets.insert(record.inode, row);
                    }
                }
            });
            // A thread with a table of its own, or the walk has come to no end.
            if !apart.is_ok_and(|apart| apart.is_empty()) {
                return None;
            }
        }
        // Of one that is not told, or was opened meanwhile, the tables are to say.
        if !held.inodes.is_subset(&told) {
            return None;
        }
        let others = Self::read(|table| !is_walked(table) && wanted(table), Some(held), None, keep);
        let [asked, texts] = others.0;
        sockets.extend(asked);
        Some(Self([sockets, texts]))
    }

    /// The socket of an inode.
    pub(super) fn get(&self, inode: u64) -> Option<&SocketRow> {
        self.0.iter().find_map(|sockets| sockets.get(&inode))
    }

    /// Whether there are none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.iter().all(HashMap::is_empty)
    }
}

fn read_tables(
    tables: &[(SocketTable, &str)],
    held: Option<&HeldSockets>,
    ports: Option<(u16, u16)>,
    keep: &impl Fn(u64, &ListedSocket) -> bool,
) -> ByInode {
    let mut by_inode = HashMap::new();
    let mut diag = None;
    let is_wanted = |inode| held.is_none_or(|held| held.inodes.contains(&inode));
    for (table, name) in tables {
        let all = held.and_then(|held| held.in_table(*table)).map(|count| by_inode.len() + count);
        let mut take = |inode: u64, socket: ListedSocket| {
            if is_wanted(inode) && keep(inode, &socket) {
                by_inode.insert(inode, (table.kind(), socket));
            }
            all != Some(by_inode.len())
        };
        if let SocketTable::Inet(transport, v6) = table
            && ask(&mut diag, *transport, *v6, ports, &mut take).is_ok()
        {
            continue;
        }
        read_text(*table, name, &is_wanted, &mut take);
    }
    by_inode
}

/// Asks the kernel for what is in a table: a text of it takes several times as long to make, and that of UDP grows with the
/// square of the sockets. An error where it does not answer.
fn ask(
    diag: &mut Option<Connection>,
    transport: Transport,
    v6: bool,
    ports: Option<(u16, u16)>,
    take: &mut impl FnMut(u64, ListedSocket) -> bool,
) -> Result<()> {
    let number = match transport {
        Transport::Tcp => protocol::TCP,
        Transport::Udp => protocol::UDP,
        // Hardly ever are there any, and to ask may load a module.
        Transport::UdpLite => return Err(Errno::OPNOTSUPP),
    };
    let connection = match diag {
        Some(connection) => connection,
        None => diag.insert(Connection::open(Some(SOCK_DIAG))?),
    };
    InternetSocket::each(connection, number, v6, ports, |socket| {
        if socket.inode != 0 {
            take(socket.inode, row(transport, v6, &socket));
        }
    })
}

fn row(transport: Transport, v6: bool, socket: &InternetSocket) -> ListedSocket {
    let end = |address: Ipv6Addr, port| SocketEnd { address: IpAddr::V6(address).to_canonical(), port };
    let listens = socket.state == State::Listen;
    ListedSocket::Internet {
        transport,
        v6,
        local: end(socket.local, socket.local_port),
        foreign: end(socket.remote, socket.remote_port),
        state: socket.state as u8,
        // Of a listener the kernel says here how many may wait.
        send_queue: if listens { 0 } else { socket.send_queue.into() },
        receive_queue: socket.receive_queue.into(),
    }
}

/// What a record says of a TCP or UDP socket, as its table would.
pub(super) fn internet(socket: &InternetSocket) -> SocketRow {
    let (transport, v6) =
        (if socket.protocol == protocol::TCP { Transport::Tcp } else { Transport::Udp }, socket.is_v6);
    (SocketTable::Inet(transport, v6).kind(), row(transport, v6, socket))
}

/// What a record says of a UNIX socket, as /proc/net/unix would.
pub(super) fn unix(socket: &UnixRecord) -> SocketRow {
    let row = ListedSocket::Unix {
        address: [&b"0x"[..], &socket.address].concat().into(),
        kind: socket.kind,
        state: socket.state,
        listens: socket.listens,
        path: socket.path.clone(),
    };
    (SocketTable::Unix.kind(), row)
}

/// Reads a table as a text, until `take` has enough.
fn read_text(
    table: SocketTable,
    name: &str,
    wanted: &impl Fn(u64) -> bool,
    take: &mut impl FnMut(u64, ListedSocket) -> bool,
) {
    let Ok(file) = File::open(format!("/proc/net/{name}")) else { return };
    let mut reader = BufReader::with_capacity(32 * 1024, file);
    let mut line = Vec::new();
    loop {
        line.clear();
        if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            break;
        }
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        if let Some((inode, socket)) = table.parse(text, wanted)
            && !take(inode, socket)
        {
            break;
        }
    }
}

/// The sockets that processes hold: their inodes, and the protocols that the kernel says they are of.
#[derive(Debug, Default)]
pub(super) struct HeldSockets {
    pub(super) inodes: HashSet<u64>,
    /// How many there are of each.
    protocols: HashMap<Vec<u8>, usize>,
}

impl HeldSockets {
    /// Of some processes.
    pub(super) fn by(pids: &[u32]) -> Self {
        let mut held = Self::default();
        let mut tables = Tables::new();
        for process in pids.iter().filter_map(|pid| ProcessDir::open(*pid).ok()) {
            for table in process.views(&mut tables).tables() {
                let number = table.by_thread().unwrap_or(table.pid());
                // One that cannot be read has no sockets to name.
                let _ = table.descriptors(|fd, link| {
                    if let Some(inode) = inode_in(link, "socket")
                        && held.inodes.insert(inode)
                    {
                        let protocol = protocol_of(&format!("/proc/{number}/fd/{fd}"));
                        *held.protocols.entry(protocol).or_default() += 1;
                    }
                });
            }
        }
        held
    }

    /// How many of them are in a table at most; `None` if that is not known.
    fn in_table(&self, table: SocketTable) -> Option<usize> {
        let mut count = 0;
        for (name, of) in &self.protocols {
            if tables(name)?.contains(&table) {
                count += of;
            }
        }
        Some(count)
    }
}

/// What the kernel calls the protocol of a socket; nothing when it does not say.
pub(super) fn protocol_of(path: &str) -> Vec<u8> {
    let mut value = [0u8; 64];
    let length = rustix::fs::getxattr(path, "system.sockprotoname", &mut value[..]);
    let name = length.ok().and_then(|length| value.get(..length)).unwrap_or_default();
    name.strip_suffix(b"\0").unwrap_or(name).to_vec()
}

/// The tables in which sockets of a protocol are; `None` if that is not known.
fn tables(protocol: &[u8]) -> Option<&'static [SocketTable]> {
    use Transport::{Tcp, Udp, UdpLite};
    Some(match protocol {
        b"TCP" | b"MPTCP" => &[SocketTable::Inet(Tcp, false)],
        b"TCPv6" | b"MPTCPv6" => &[SocketTable::Inet(Tcp, true)],
        b"UDP" => &[SocketTable::Inet(Udp, false)],
        b"UDPv6" => &[SocketTable::Inet(Udp, true)],
        b"UDP-Lite" => &[SocketTable::Inet(UdpLite, false)],
        b"UDPLITEv6" => &[SocketTable::Inet(UdpLite, true)],
        b"UNIX" | b"UNIX-STREAM" => &[SocketTable::Unix],
        b"NETLINK" => &[SocketTable::Netlink],
        b"PACKET" => &[SocketTable::Packet],
        b"RAW" => &[SocketTable::Raw],
        b"RAWv6" => &[SocketTable::Raw6],
        b"PING" => &[SocketTable::Icmp],
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::{net::UdpSocket, os::unix::net::UnixStream};

    use super::*;

    #[test]
    fn of_a_process_no_more_is_read_than_it_holds() {
        let _udp = UdpSocket::bind("127.0.0.1:0").unwrap();
        let (one, _other) = UnixStream::pair().unwrap();
        let held = HeldSockets::by(&[std::process::id()]);
        assert_ne!(held.in_table(SocketTable::Unix), Some(0));
        assert_ne!(held.in_table(SocketTable::Inet(Transport::Udp, false)), Some(0));
        let sockets = ProcSockets::read(|_| true, Some(&held), None, |_, _| true);
        let inode = rustix::fs::fstat(&one).unwrap().st_ino;
        assert!(matches!(sockets.get(inode), Some((OpenFileKind::Unix, _))));
        assert!(sockets.0.iter().map(HashMap::len).sum::<usize>() <= held.inodes.len());
    }
}
