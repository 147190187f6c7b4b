//! The tables of /proc/net, as whole texts: which socket an inode is.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::lsof::model::{ListedSocket, OpenFileKind, SocketEnd, Transport};

/// A table of sockets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SocketTable {
    Inet(Transport, bool),
    Unix,
    Netlink,
    Packet,
    Raw,
    Raw6,
    Icmp,
}

/// All tables, with their names in /proc/net.
pub(super) const TABLES: [(SocketTable, &str); 12] = [
    (SocketTable::Inet(Transport::Tcp, false), "tcp"),
    (SocketTable::Inet(Transport::Tcp, true), "tcp6"),
    (SocketTable::Inet(Transport::Udp, false), "udp"),
    (SocketTable::Inet(Transport::Udp, true), "udp6"),
    (SocketTable::Inet(Transport::UdpLite, false), "udplite"),
    (SocketTable::Inet(Transport::UdpLite, true), "udplite6"),
    (SocketTable::Unix, "unix"),
    (SocketTable::Netlink, "netlink"),
    (SocketTable::Packet, "packet"),
    (SocketTable::Raw, "raw"),
    (SocketTable::Raw6, "raw6"),
    (SocketTable::Icmp, "icmp"),
];

impl SocketTable {
    /// The TYPE of its sockets.
    pub(super) const fn kind(self) -> OpenFileKind {
        match self {
            Self::Inet(_, false) => OpenFileKind::Ipv4,
            Self::Inet(_, true) => OpenFileKind::Ipv6,
            Self::Unix => OpenFileKind::Unix,
            Self::Netlink => OpenFileKind::Netlink,
            Self::Packet => OpenFileKind::Packet,
            Self::Raw => OpenFileKind::Raw,
            Self::Raw6 => OpenFileKind::Raw6,
            Self::Icmp => OpenFileKind::Icmp,
        }
    }

    /// Reads a line: the inode and the socket. `None` for titles, for what is not understood, and for what has no inode or none that
    /// is wanted.
    pub(super) fn parse(self, line: &[u8], wanted: impl Fn(u64) -> bool) -> Option<(u64, ListedSocket)> {
        let (inode, socket) = match self {
            Self::Inet(transport, v6) => inet(line, transport, v6)?,
            Self::Unix => unix(line, &wanted)?,
            Self::Netlink => netlink(line)?,
            Self::Packet => packet(line)?,
            Self::Raw | Self::Raw6 | Self::Icmp => raw(line, self == Self::Icmp)?,
        };
        (inode != 0 && wanted(inode)).then_some((inode, socket))
    }
}

fn words(line: &[u8]) -> impl Iterator<Item = &str> {
    line.split(u8::is_ascii_whitespace)
        .filter(|word| !word.is_empty())
        .map(|word| std::str::from_utf8(word).unwrap_or_default())
}

fn hex(digits: &str) -> Option<u64> {
    u64::from_str_radix(digits, 16).ok()
}

/// An end as the kernel prints it: the address as 32-bit numbers in the host's order, a colon, the port.
fn end(text: &str) -> Option<SocketEnd> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let number = |at: usize| {
        address.get(at..at + 8).and_then(|digits| u32::from_str_radix(digits, 16).ok()).map(u32::to_ne_bytes)
    };
    let address = match address.len() {
        8 => IpAddr::V4(Ipv4Addr::from(number(0)?)),
        32 => {
            let mut octets = [0u8; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&number(at * 8)?);
            }
            IpAddr::V6(Ipv6Addr::from(octets)).to_canonical()
        }
        _ => return None,
    };
    Some(SocketEnd { address, port })
}

fn inet(line: &[u8], transport: Transport, v6: bool) -> Option<(u64, ListedSocket)> {
    let mut words = words(line).skip(1);
    let (local, foreign) = (end(words.next()?)?, end(words.next()?)?);
    let state = u8::from_str_radix(words.next()?, 16).ok()?;
    let (send, receive) = words.next()?.split_once(':')?;
    let inode = words.nth(4)?.parse().ok()?;
    let socket = ListedSocket::Internet {
        transport,
        v6,
        local,
        foreign,
        state,
        send_queue: hex(send)?,
        receive_queue: hex(receive)?,
    };
    Some((inode, socket))
}

fn unix(line: &[u8], wanted: impl Fn(u64) -> bool) -> Option<(u64, ListedSocket)> {
    // SO_ACCEPTCON of include/linux/net.h.
    const LISTENS: u64 = 1 << 16;
    let mut rest = line;
    let mut fields = [""; 7];
    for field in &mut fields {
        rest = rest.trim_ascii_start();
        let length = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        *field = std::str::from_utf8(&rest[..length]).ok()?;
        rest = &rest[length..];
    }
    let [address, _, _, flags, kind, state, inode] = fields;
    let inode = inode.parse().ok()?;
    if !wanted(inode) {
        return None;
    }
    let address = address.strip_suffix(':')?;
    let socket = ListedSocket::Unix {
        address: format!("0x{address}").into_bytes().into(),
        kind: u16::try_from(hex(kind)?).ok()?,
        state: u8::try_from(hex(state)?).ok()?,
        listens: hex(flags)? & LISTENS != 0,
        path: rest.strip_prefix(b" ").unwrap_or_default().into(),
    };
    Some((inode, socket))
}

fn other(text: impl Into<Vec<u8>>) -> ListedSocket {
    ListedSocket::Other { protocol: None, inode_is_device: false, text: text.into().into() }
}

fn netlink(line: &[u8]) -> Option<(u64, ListedSocket)> {
    let words: Vec<&str> = words(line).collect();
    let number: u32 = words.get(1)?.parse().ok()?;
    let inode = words.get(9)?.parse().ok()?;
    let name = match number {
        0 => "ROUTE",
        1 => "UNUSED",
        2 => "USERSOCK",
        3 => "FIREWALL",
        4 => "INET_DIAG",
        5 => "NFLOG",
        6 => "XFRM",
        7 => "SELINUX",
        8 => "ISCSI",
        9 => "AUDIT",
        10 => "FIB_LOOKUP",
        11 => "CONNECTOR",
        12 => "NETFILTER",
        13 => "IP6_FW",
        14 => "DNRTMSG",
        15 => "KOBJECT_UEVENT",
        16 => "GENERIC",
        18 => "SCSITRANSPORT",
        19 => "ECRYPTFS",
        20 => "RDMA",
        21 => "CRYPTO",
        22 => "SMC",
        _ => return Some((inode, other(format!("unknown protocol: {number}")))),
    };
    Some((inode, other(name)))
}

fn packet(line: &[u8]) -> Option<(u64, ListedSocket)> {
    let words: Vec<&str> = words(line).collect();
    let kind: u16 = words.get(2)?.parse().ok()?;
    let protocol = hex(words.get(3)?)?;
    let inode = words.get(8)?.parse().ok()?;
    let text = match kind {
        1 => "type=SOCK_STREAM".to_owned(),
        2 => "type=SOCK_DGRAM".to_owned(),
        3 => "type=SOCK_RAW".to_owned(),
        4 => "type=SOCK_RDM".to_owned(),
        5 => "type=SOCK_SEQPACKET".to_owned(),
        10 => "type=SOCK_PACKET".to_owned(),
        other => format!("type={other}"),
    };
    let protocol = ethernet(protocol).map_or_else(|| protocol.to_string(), str::to_owned);
    Some((
        inode,
        ListedSocket::Other {
            protocol: Some(protocol.into_bytes().into()),
            inode_is_device: true,
            text: text.into_bytes().into(),
        },
    ))
}

/// lsof's names of the protocols in an Ethernet header (`linux/if_ether.h`), of seven characters at most.
fn ethernet(protocol: u64) -> Option<&'static str> {
    Some(match protocol {
        0x0060 => "LOOP",
        0x0200 => "PUP",
        0x0800 => "IP",
        0x0805 => "X25",
        0x0806 => "ARP",
        0x08ff => "BPQ",
        0x0a00 => "I3EPUP",
        0x0a01 => "I3EPUPA",
        0x6000 => "DEC",
        0x6001 => "DNA_DL",
        0x6002 => "DNA_RC",
        0x6003 => "DNA_RT",
        0x6004 => "LAT",
        0x6005 => "DIAG",
        0x6006 => "CUST",
        0x6007 => "SCA",
        0x8035 => "RARP",
        0x809b => "ATALK",
        0x80f3 => "AARP",
        0x8100 => "8021Q",
        0x8137 => "IPX",
        0x86dd => "IPV6",
        0x8863 => "PPP_DIS",
        0x8864 => "PPP_SES",
        0x8847 => "MPLS_UC",
        0x8848 => "MPLS_MC",
        0x884c => "ATMMPOA",
        0x8884 => "ATMFATE",
        0x0001 => "802.3",
        0x0002 => "AX25",
        0x0003 => "ALL",
        0x0004 | 0x0011 => "802.2",
        0x0005 => "SNAP",
        0x0006 => "DDCMP",
        0x0007 => "WAN_PPP",
        0x0008 => "PPP MP",
        0x0009 => "LCLTALK",
        0x0010 => "PPPTALK",
        0x0015 => "MOBITEX",
        0x0016 => "CONTROL",
        0x0017 => "IRDA",
        0x0018 => "ECONET",
        0x0019 => "HDLC",
        _ => return None,
    })
}

fn raw(line: &[u8], icmp: bool) -> Option<(u64, ListedSocket)> {
    let mut words = words(line).skip(1);
    let (local, foreign, state) = (words.next()?, words.next()?, words.next()?);
    end(local)?;
    let inode = words.nth(5)?.parse().ok()?;
    let state = if icmp { String::new() } else { format!(" st={state}") };
    Some((inode, other(format!("{local}->{foreign}{state}"))))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_tcp_line() {
        let line = b"   0: 0100007F:BAF9 00000000:0000 0A 00000002:00000005 00:00000000 00000000     0        0 190108 1 0 100 0 0 10 0";
        let (inode, socket) = SocketTable::Inet(Transport::Tcp, false).parse(line, |_| true).unwrap();
        assert_eq!(inode, 190_108);
        let ListedSocket::Internet { local, foreign, state, send_queue, receive_queue, .. } = socket else {
            panic!()
        };
        assert_eq!(local, SocketEnd { address: Ipv4Addr::LOCALHOST.into(), port: 47865 });
        assert!(!foreign.is_set());
        assert_eq!((state, send_queue, receive_queue), (10, 2, 5));
    }

    #[test]
    fn mapped_addresses_are_ipv4() {
        let line = b"   1: 0000000000000000FFFF00000100007F:D9F3 0000000000000000FFFF00000100007F:8174 01 00000000:00000000 00:00000000 00000000 0 0 190113 1 0 20 4 0 10 -1";
        let (_, socket) = SocketTable::Inet(Transport::Tcp, true).parse(line, |_| true).unwrap();
        let ListedSocket::Internet { v6: true, local, .. } = socket else { panic!() };
        assert_eq!(local.address, IpAddr::V4(Ipv4Addr::LOCALHOST));
    }

    #[test]
    fn a_unix_path_may_hold_anything() {
        let line = b"00000000fdf9540a: 00000002 00000000 00010000 0001 01 190120 /tmp/a b  \xff";
        let (inode, socket) = SocketTable::Unix.parse(line, |_| true).unwrap();
        assert_eq!(inode, 190_120);
        let ListedSocket::Unix { address, kind: 1, listens: true, path, .. } = socket else { panic!() };
        assert_eq!((&*address, &*path), (&b"0x00000000fdf9540a"[..], &b"/tmp/a b  \xff"[..]));
        assert!(
            SocketTable::Unix
                .parse(b"Num       RefCount Protocol Flags    Type St Inode Path", |_| true)
                .is_none()
        );
    }

    #[test]
    fn others_say_what_they_are() {
        let text =
            |table: SocketTable, line: &[u8]| match table.parse(line, |_| true).map(|(_, socket)| socket) {
                Some(ListedSocket::Other { text, protocol, .. }) => {
                    let text = String::from_utf8(text.into()).unwrap();
                    (text, protocol.map(|it| String::from_utf8(it.into()).unwrap()))
                }
                _ => panic!(),
            };
        let netlink =
            b"00000000fddfa74d 0   1234       00000000 0        0        0     2        0        190126  ";
        assert_eq!(text(SocketTable::Netlink, netlink), ("ROUTE".to_owned(), None));
        let packet = b"00000000c9c1759f 3      3    0003   0     1 0      0      190129";
        assert_eq!(text(SocketTable::Packet, packet), ("type=SOCK_RAW".to_owned(), Some("ALL".to_owned())));
        let raw = b"    1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 190127 2 0 0";
        assert_eq!(text(SocketTable::Raw, raw).0, "00000000:0001->00000000:0000 st=07");
        assert_eq!(text(SocketTable::Icmp, raw).0, "00000000:0001->00000000:0000");
    }

    proptest! {
        #[test]
        fn any_line_is_read(line in prop::collection::vec(any::<u8>(), 0..120)) {
            for (table, _) in TABLES {
                table.parse(&line, |_| true);
            }
        }
    }
}
