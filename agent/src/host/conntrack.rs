//! What the kernel makes of addresses on their way (NAT): its table of connections, by ctnetlink.
//!
//! Asked only where the table is in use: to ask loads the modules that answer.

use std::{
    fs,
    net::{Ipv4Addr, Ipv6Addr},
};

use rustix::{io::Result, net::netlink::NETFILTER};

use super::sockets::{Attributes, Connection};

/// Messages (`linux/netfilter/nfnetlink.h`, `nfnetlink_conntrack.h`): to get what is in the table.
const GET: u16 = 0x101;
/// Length of `struct nfgenmsg`.
const HEADER: usize = 4;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_V4: [u16; 2] = [1, 2];
const IP_V6: [u16; 2] = [3, 4];
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_PORTS: [u16; 2] = [2, 3];
const NESTED: u16 = 0x8000;
/// `linux/socket.h`
const AF_INET: u8 = 2;
const AF_INET6: u8 = 10;

/// From where to where, as one direction of a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Tuple {
    pub(super) protocol: u8,
    pub(super) source: (Ipv6Addr, u16),
    pub(super) destination: (Ipv6Addr, u16),
}

/// A connection: what its first packet was when it came, and what answers are when they come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Tracked {
    original: Tuple,
    reply: Tuple,
}

impl Tracked {
    /// Both of them.
    pub(super) const fn tuples(&self) -> [Tuple; 2] {
        [self.original, self.reply]
    }

    /// What a tuple is where it comes from and goes to, when it is one of this connection's and is translated on the way: the other
    /// direction's ends, turned round.
    pub(super) fn beyond(&self, tuple: Tuple) -> Option<Tuple> {
        let other = if tuple == self.reply {
            self.original
        } else if tuple == self.original {
            self.reply
        } else {
            return None;
        };
        let turned = other.turned();
        (turned != tuple).then_some(turned)
    }
}

impl Tuple {
    const fn turned(self) -> Self {
        Self { source: self.destination, destination: self.source, ..self }
    }
}

/// Whether the kernel keeps a table for this thread's namespace, and something is in it.
pub(super) fn is_in_use() -> bool {
    let count = fs::read("/proc/sys/net/netfilter/nf_conntrack_count");
    count.is_ok_and(|count| count.trim_ascii() != b"0")
}

/// Opens a connection to the table.
pub(super) fn open() -> Result<Connection> {
    Connection::open(Some(NETFILTER))
}

/// The connection that a tuple is of, whichever direction; an error where there is none, or this process may not ask
/// (`CAP_NET_ADMIN`).
pub(super) fn get(connection: &mut Connection, tuple: Tuple) -> Result<Option<Tracked>> {
    let mut found = None;
    connection.get(GET, &request(tuple), &mut |message| found = parse(message))?;
    Ok(found)
}

/// Hands every connection of the table to `each`.
pub(super) fn dump(connection: &mut Connection, each: &mut impl FnMut(Tracked)) -> Result<()> {
    connection.dump(GET, &[0; HEADER], &mut |message| {
        if let Some(tracked) = parse(message) {
            each(tracked);
        }
    })
}

fn request(tuple: Tuple) -> Vec<u8> {
    let is_v4 = tuple.source.0.to_ipv4_mapped().is_some();
    let address = |address: Ipv6Addr| match address.to_ipv4_mapped() {
        Some(v4) => v4.octets().to_vec(),
        None => address.octets().to_vec(),
    };
    let [source, destination] = if is_v4 { IP_V4 } else { IP_V6 };
    let addresses =
        [attribute(source, &address(tuple.source.0)), attribute(destination, &address(tuple.destination.0))]
            .concat();
    let [source, destination] = PROTOCOL_PORTS;
    let ports = [
        attribute(PROTOCOL_NUMBER, &[tuple.protocol]),
        attribute(source, &tuple.source.1.to_be_bytes()),
        attribute(destination, &tuple.destination.1.to_be_bytes()),
    ]
    .concat();
    let inner =
        [attribute(TUPLE_IP | NESTED, &addresses), attribute(TUPLE_PROTOCOL | NESTED, &ports)].concat();
    let family = if is_v4 { AF_INET } else { AF_INET6 };
    [vec![family, 0, 0, 0], attribute(TUPLE_ORIGINAL | NESTED, &inner)].concat()
}

fn attribute(kind: u16, content: &[u8]) -> Vec<u8> {
    let length = u16::try_from(4 + content.len()).unwrap_or_default();
    let mut bytes = [&length.to_ne_bytes()[..], &kind.to_ne_bytes(), content].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

fn parse(message: &[u8]) -> Option<Tracked> {
    let (mut original, mut reply) = (None, None);
    for (kind, content) in Attributes(message.get(HEADER..)?) {
        match kind {
            TUPLE_ORIGINAL => original = parse_tuple(content),
            TUPLE_REPLY => reply = parse_tuple(content),
            _ => {}
        }
    }
    Some(Tracked { original: original?, reply: reply? })
}

fn parse_tuple(content: &[u8]) -> Option<Tuple> {
    let address = |bytes: &[u8]| match bytes.len() {
        4 => Some(Ipv4Addr::from(*bytes.first_chunk::<4>()?).to_ipv6_mapped()),
        _ => Some(Ipv6Addr::from(*bytes.first_chunk::<16>()?)),
    };
    let (mut addresses, mut ports, mut protocol) = ([None; 2], [0; 2], None);
    for (kind, content) in Attributes(content) {
        for (part, content) in Attributes(content) {
            let at = |of: [u16; 2]| of.iter().position(|kind| *kind == part);
            match kind {
                TUPLE_IP => {
                    if let Some(place) = at(IP_V4).or(at(IP_V6)).and_then(|at| addresses.get_mut(at)) {
                        *place = address(content);
                    }
                }
                TUPLE_PROTOCOL if part == PROTOCOL_NUMBER => protocol = content.first().copied(),
                TUPLE_PROTOCOL => {
                    if let Some(place) = at(PROTOCOL_PORTS).and_then(|at| ports.get_mut(at)) {
                        *place = u16::from_be_bytes(*content.first_chunk()?);
                    }
                }
                _ => {}
            }
        }
    }
    let [source, destination] = addresses;
    Some(Tuple { protocol: protocol?, source: (source?, ports[0]), destination: (destination?, ports[1]) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tuple(source: (&str, u16), destination: (&str, u16)) -> Tuple {
        let address = |text: &str| match text.parse().unwrap() {
            std::net::IpAddr::V4(v4) => v4.to_ipv6_mapped(),
            std::net::IpAddr::V6(v6) => v6,
        };
        Tuple {
            protocol: 6,
            source: (address(source.0), source.1),
            destination: (address(destination.0), destination.1),
        }
    }

    #[test]
    fn what_is_asked_is_read_back() {
        for asked in [
            tuple(("10.0.0.1", 40_000), ("192.0.2.1", 443)),
            tuple(("fd00::1", 40_000), ("2001:db8::1", 443)),
        ] {
            let request = request(asked);
            let mut answer = request.clone();
            assert_eq!(parse(&request), None, "one direction is not enough");
            let reply = attribute(TUPLE_REPLY | NESTED, &request[HEADER + 4..]);
            answer.extend_from_slice(&reply);
            assert_eq!(parse(&answer), Some(Tracked { original: asked, reply: asked }));
            for length in 0..answer.len() {
                parse(&answer[..length]);
            }
        }
    }

    #[test]
    fn both_ways_of_translation_are_undone() {
        // Masqueraded: 10.77.0.1 asks, and the world sees 203.0.113.1.
        let masqueraded = Tracked {
            original: tuple(("10.77.0.1", 7000), ("192.0.2.1", 443)),
            reply: tuple(("192.0.2.1", 443), ("203.0.113.1", 20_000)),
        };
        let received = tuple(("192.0.2.1", 443), ("203.0.113.1", 20_000));
        assert_eq!(masqueraded.beyond(received), Some(tuple(("192.0.2.1", 443), ("10.77.0.1", 7000))));
        // A port that is forwarded into a container.
        let forwarded = Tracked {
            original: tuple(("198.51.100.7", 61_000), ("203.0.113.1", 8080)),
            reply: tuple(("10.77.0.1", 80), ("198.51.100.7", 61_000)),
        };
        let received = tuple(("198.51.100.7", 61_000), ("203.0.113.1", 8080));
        assert_eq!(forwarded.beyond(received), Some(tuple(("198.51.100.7", 61_000), ("10.77.0.1", 80))));
        // Without translation there is nothing beyond.
        let plain = Tracked { original: received, reply: received.turned() };
        assert_eq!(plain.beyond(received), None);
        assert_eq!(forwarded.beyond(received.turned()), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_a_connection_or_none(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            parse(&bytes);
        }
    }
}
