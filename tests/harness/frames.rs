//! Frames, byte by byte, from functions that can be nested like the headers they write.
//!
//! Checksums are 0: they are not the business of a program that counts, and a packet with a wrong one reaches no socket
//! and evokes no answer. Ethernet addresses are those of no interface, for the same reason.

use std::net::{Ipv4Addr, Ipv6Addr};

/// The near end's addresses, where the program under test runs.
pub const NEAR_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 1);
/// The near end's IPv6 address.
pub const NEAR_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 1);
/// The far end's address.
pub const FAR_V4: Ipv4Addr = Ipv4Addr::new(10, 77, 0, 2);
/// The far end's IPv6 address.
pub const FAR_V6: Ipv6Addr = Ipv6Addr::new(0xfd77, 0, 0, 0, 0, 0, 0, 2);
/// The near end's port.
pub const NEAR_PORT: u16 = 40_001;
/// The far end's port.
pub const FAR_PORT: u16 = 5001;

const NEAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x11];
const FAR_MAC: [u8; 6] = [2, 0, 0, 0, 0, 0x12];

/// `EtherType` of IPv4.
pub const IPV4: u16 = 0x0800;
/// `EtherType` of IPv6.
pub const IPV6: u16 = 0x86dd;
/// `EtherType` of an IEEE 802.1Q tag.
pub const DOT1Q: u16 = 0x8100;
/// `EtherType` of an IEEE 802.1ad tag.
pub const DOT1AD: u16 = 0x88a8;

/// Protocol numbers (IANA, Assigned Internet Protocol Numbers).
pub mod protocol {
    /// IPv6 hop-by-hop options.
    pub const HOP_BY_HOP: u8 = 0;
    /// Internet Control Message Protocol.
    pub const ICMP: u8 = 1;
    /// Internet Group Management Protocol.
    pub const IGMP: u8 = 2;
    /// Transmission Control Protocol.
    pub const TCP: u8 = 6;
    /// User Datagram Protocol.
    pub const UDP: u8 = 17;
    /// Datagram Congestion Control Protocol.
    pub const DCCP: u8 = 33;
    /// IPv6 routing header.
    pub const ROUTING: u8 = 43;
    /// IPv6 fragment header.
    pub const FRAGMENT: u8 = 44;
    /// Generic Routing Encapsulation.
    pub const GRE: u8 = 47;
    /// Encapsulating Security Payload.
    pub const ESP: u8 = 50;
    /// Authentication Header.
    pub const AH: u8 = 51;
    /// ICMP for IPv6.
    pub const ICMPV6: u8 = 58;
    /// No next header.
    pub const NO_NEXT: u8 = 59;
    /// IPv6 destination options.
    pub const DESTINATION: u8 = 60;
    /// Stream Control Transmission Protocol.
    pub const SCTP: u8 = 132;
    /// Lightweight UDP.
    pub const UDP_LITE: u8 = 136;
}

/// Which end a frame comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// The near one: the program under test sees it on egress.
    Sent,
    /// The far one: the program under test sees it on ingress.
    Received,
}

impl Way {
    /// Source and destination.
    pub fn ends<T>(self, near: T, far: T) -> (T, T) {
        match self {
            Self::Sent => (near, far),
            Self::Received => (far, near),
        }
    }
}

/// An Ethernet frame.
#[must_use]
pub fn ethernet(way: Way, kind: u16, payload: &[u8]) -> Vec<u8> {
    tagged(way, &[], kind, payload)
}

/// An Ethernet frame with VLAN tags, each an `EtherType` and an id, outermost first.
#[must_use]
pub fn tagged(way: Way, tags: &[(u16, u16)], kind: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = way.ends(NEAR_MAC, FAR_MAC);
    let mut frame = [destination, source].concat();
    for (tag, id) in tags {
        frame.extend(tag.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(kind.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet.
#[must_use]
pub fn ipv4(way: Way, protocol: u8, payload: &[u8]) -> Vec<u8> {
    ipv4_with(way, protocol, &[], 0, payload)
}

/// An IPv4 packet with options (of a multiple of four bytes) and a fragment field: offset in units of eight bytes,
/// [`MORE_FRAGMENTS`].
#[must_use]
pub fn ipv4_with(way: Way, protocol: u8, options: &[u8], fragment: u16, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = way.ends(NEAR_V4, FAR_V4);
    ipv4_between(source, destination, protocol, options, fragment, payload)
}

/// The more-fragments bit of IPv4's fragment field (RFC 791, 3.1).
pub const MORE_FRAGMENTS: u16 = 0x2000;

/// An IPv4 packet between any two addresses.
#[must_use]
pub fn ipv4_between(
    source: Ipv4Addr,
    destination: Ipv4Addr,
    protocol: u8,
    options: &[u8],
    fragment: u16,
    payload: &[u8],
) -> Vec<u8> {
    assert_eq!(options.len() % 4, 0, "options fill whole words");
    let header = 20 + options.len();
    let mut packet = vec![0x40 | byte(header / 4), 0];
    packet.extend(u16_from(header + payload.len()).to_be_bytes());
    packet.extend([0x12, 0x34]);
    packet.extend(fragment.to_be_bytes());
    packet.extend([64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(options);
    packet.extend(payload);
    packet
}

/// An IPv6 packet.
#[must_use]
pub fn ipv6(way: Way, next: u8, payload: &[u8]) -> Vec<u8> {
    let (source, destination) = way.ends(NEAR_V6, FAR_V6);
    ipv6_between(source, destination, next, payload)
}

/// An IPv6 packet between any two addresses.
#[must_use]
pub fn ipv6_between(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend(u16_from(payload.len()).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// A hop-by-hop, routing or destination options header of `8 + 8 * more` bytes (RFC 8200, 4.3 to 4.6).
#[must_use]
pub fn extension(next: u8, more: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, more];
    header.resize(8 + 8 * usize::from(more), 0);
    header.extend(payload);
    header
}

/// A fragment header (RFC 8200, 4.5); the offset is in units of eight bytes.
#[must_use]
pub fn fragment(next: u8, offset: u16, more: bool, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 0];
    header.extend((offset << 3 | u16::from(more)).to_be_bytes());
    header.extend([0, 0, 0x56, 0x78]);
    header.extend(payload);
    header
}

/// An authentication header with a 12-byte check value (RFC 4302, 2).
#[must_use]
pub fn authentication(next: u8, payload: &[u8]) -> Vec<u8> {
    let mut header = vec![next, 4];
    header.resize(24, 0);
    header.extend(payload);
    header
}

/// A UDP datagram with `length` bytes of payload.
#[must_use]
pub fn udp(way: Way, length: usize) -> Vec<u8> {
    let mut datagram = ports(way, 8 + length);
    datagram[4..6].copy_from_slice(&u16_from(8 + length).to_be_bytes());
    datagram
}

/// A TCP segment without options, with `length` bytes of payload.
#[must_use]
pub fn tcp(way: Way, length: usize) -> Vec<u8> {
    let mut segment = ports(way, 20 + length);
    segment[12] = 5 << 4;
    segment[13] = 0x10;
    segment
}

/// `length` bytes that start with the two ports, as TCP, UDP, UDP-Lite, SCTP and DCCP all do.
#[must_use]
pub fn ports(way: Way, length: usize) -> Vec<u8> {
    let (source, destination) = way.ends(NEAR_PORT, FAR_PORT);
    let mut bytes = [source.to_be_bytes(), destination.to_be_bytes()].concat();
    bytes.resize(length, 0);
    bytes
}

/// `length` bytes that would be ports if they were read as such.
#[must_use]
pub fn opaque(length: usize) -> Vec<u8> {
    (0x41..=0x5a).cycle().take(length).collect()
}

/// An ICMP or `ICMPv6` message of `length` bytes.
#[must_use]
pub fn icmp(kind: u8, code: u8, length: usize) -> Vec<u8> {
    let mut message = vec![kind, code];
    message.resize(length, 0);
    message
}

fn byte(number: usize) -> u8 {
    u8::try_from(number).expect("fits a byte")
}

fn u16_from(number: usize) -> u16 {
    u16::try_from(number).expect("fits a 16-bit length field")
}
