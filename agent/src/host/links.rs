//! Every interface as rtnetlink(7) lists them, whatever it is called. A name or an alias may hold any byte, and a message with one
//! that is not UTF-8 is refused as a whole by those who decode it: the interface would not be there.

use netlink_packet_route::{
    RouteNetlinkMessage,
    link::{LinkAttribute, LinkMessage, LinkXdp},
};
use rtnetlink::packet_core::{NetlinkDeserializable as _, NetlinkHeader};
use rustix::io::Result;

use super::sockets::{Attributes, Connection};
use crate::format::Safe;

/// `linux/rtnetlink.h`.
const RTM_NEWLINK: u16 = 16;
const RTM_GETLINK: u16 = 18;
/// Length of `struct ifinfomsg`.
const HEADER: usize = 16;
/// `linux/if_link.h`.
const IFLA_IFNAME: u16 = 3;
/// What is taken of a message that cannot be decoded as a whole: the hardware address, the interfaces below and above, what kind it
/// is, the counters, the namespace of the peer.
const KEPT: [u16; 6] = [1, 5, 10, 18, 23, 37];

/// Asks the kernel. Of a name that is not UTF-8 the message has the [`Safe`] text.
pub(super) fn list() -> Result<Vec<LinkMessage>> {
    let mut links = Vec::new();
    Connection::open(None)?.dump(RTM_GETLINK, &[0; HEADER], &mut |message| {
        links.extend(decode(message).or_else(|| decode(&readable(message))));
    })?;
    Ok(links)
}

/// XDP programs: the index of the interface, and the program's number.
///
/// # Errors
/// When rtnetlink refuses.
pub fn xdp_programs() -> Result<Vec<(u32, u32)>> {
    let programs = |link: LinkMessage| {
        let mut numbers = Vec::new();
        for attribute in &link.attributes {
            let LinkAttribute::Xdp(properties) = attribute else { continue };
            // With one program the number is there, with one each for driver and stack theirs are, and perhaps that too.
            numbers.extend(properties.iter().filter_map(|property| match property {
                LinkXdp::ProgId(id)
                | LinkXdp::DrvProgId(id)
                | LinkXdp::SkbProgId(id)
                | LinkXdp::HwProgId(id) => Some(*id),
                _ => None,
            }));
        }
        numbers.sort_unstable();
        numbers.dedup();
        numbers.into_iter().map(move |id| (link.header.index, id))
    };
    Ok(list()?.into_iter().flat_map(programs).collect())
}

fn decode(message: &[u8]) -> Option<LinkMessage> {
    let mut header = NetlinkHeader::default();
    header.message_type = RTM_NEWLINK;
    match RouteNetlinkMessage::deserialize(&header, message) {
        Ok(RouteNetlinkMessage::NewLink(link)) => Some(link),
        _ => None,
    }
}

/// The message without what could not be decoded.
fn readable(message: &[u8]) -> Vec<u8> {
    let (header, attributes) = message.split_at_checked(HEADER).unwrap_or_default();
    let mut readable = header.to_vec();
    for (kind, content) in Attributes(attributes) {
        if kind == IFLA_IFNAME {
            let name = content.strip_suffix(b"\0").unwrap_or(content);
            let text =
                if str::from_utf8(name).is_ok() { name.to_vec() } else { Safe::new(name).to_string().into() };
            attribute(&mut readable, kind, &[&text[..], b"\0"].concat());
        } else if KEPT.contains(&kind) {
            attribute(&mut readable, kind, content);
        }
    }
    readable
}

fn attribute(message: &mut Vec<u8>, kind: u16, content: &[u8]) {
    const HEADER: usize = 4;
    // What is longer than its length can say came from no kernel.
    let Ok(length) = u16::try_from(HEADER + content.len()) else { return };
    message.extend_from_slice(&length.to_ne_bytes());
    message.extend_from_slice(&kind.to_ne_bytes());
    message.extend_from_slice(content);
    message.resize(message.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    const IFLA_IFALIAS: u16 = 20;

    fn message(name: &[u8], alias: &[u8]) -> Vec<u8> {
        let mut message = vec![0; HEADER];
        message[4..8].copy_from_slice(&7_u32.to_ne_bytes());
        attribute(&mut message, IFLA_IFNAME, name);
        attribute(&mut message, IFLA_IFALIAS, alias);
        attribute(&mut message, 1, &[2, 0, 0, 0, 0, 1]);
        message
    }

    fn name(link: &LinkMessage) -> &str {
        link.attributes
            .iter()
            .find_map(|attribute| match attribute {
                LinkAttribute::IfName(name) => Some(name.as_str()),
                _ => None,
            })
            .unwrap()
    }

    #[test]
    fn no_name_and_no_alias_hides_an_interface() {
        assert_eq!(name(&decode(&message(b"eth0\0", b"uplink\0")).unwrap()), "eth0");
        for (raw, alias, shown) in [
            (&b"eth0\0"[..], &b"\xff\0"[..], "eth0"),
            (b"b\\\xff\0", b"x\0", "b\\\\\\xff"),
            (b"\x1b[2J\0", b"\xfe\0", "\x1b[2J"),
        ] {
            let message = message(raw, alias);
            assert_eq!(decode(&message), None, "or this module is no longer needed");
            let link = decode(&readable(&message)).unwrap();
            assert_eq!((link.header.index, name(&link)), (7, shown));
            assert!(link.attributes.contains(&LinkAttribute::Address(vec![2, 0, 0, 0, 0, 1])));
        }
        assert_eq!(decode(&readable(b"short")), None);
    }

    #[test]
    fn the_loopback_interface_is_there() {
        assert!(list().unwrap().iter().any(|link| name(link) == "lo"));
    }
}
