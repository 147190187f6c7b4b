//! Literal frames and what each of them is, for the tests of the parser, for the fuzzer's first inputs, and for
//! the tests that put the same frames through the kernel programs.
//!
//! Addresses are those kept for documentation (RFC 5737, RFC 3849). What is expected is written down from the
//! standards, byte by byte; nothing of the parser is used to make it.

mod broken;
mod ipv4;
mod ipv6;
mod link;
mod super_packets;

use flowtally_common::{
    Count,
    flow::{PROTOCOL_NOT_IP, Unparsed, VLAN_TAGS_SHIFT},
    settings::Layer,
};
use std::{string::String, vec::Vec};

use crate::{
    parse::{Outside, Packet},
    properties::length_of,
    segments::Segmentation,
};

/// A frame, what is known of it without looking into it, and what must be found.
#[derive(Clone, Debug)]
pub struct Case {
    /// What the frame shows; unique.
    pub name: &'static str,
    /// What the frame starts with.
    pub layer: Layer,
    /// The tag control information of a VLAN tag that is not in `bytes`.
    pub offloaded_tag: Option<u16>,
    /// The socket buffer's segmentation; size 0 for all but super-packets.
    pub segmentation: Segmentation,
    /// The frame.
    pub bytes: Vec<u8>,
    /// How many of `bytes` the flow rests on: the whole IP packet, or a frame's headers if it is not IP. Cut
    /// shorter, the frame must be an unparsed one; what is behind is padding or somebody else's payload.
    pub needed: usize,
    /// The packet that `full` must find, and the key that the kernel programs must count.
    pub expected: Packet,
    /// Frames on the wire and their bytes, an offloaded tag's included.
    pub count: Count,
}

impl Case {
    /// What is known of the frame without looking into it.
    #[must_use]
    pub fn outside(&self) -> Outside {
        Outside { layer: self.layer, length: length_of(&self.bytes), offloaded_tag: self.offloaded_tag }
    }

    fn new(layer: Layer, name: &'static str, expected: Packet, parts: &[&str]) -> Self {
        let bytes = hex(parts);
        Self {
            name,
            layer,
            offloaded_tag: None,
            segmentation: Segmentation::default(),
            needed: bytes.len(),
            count: Count { bytes: bytes.len() as u64, packets: 1 },
            bytes,
            expected,
        }
    }

    fn ethernet(name: &'static str, expected: Packet, parts: &[&str]) -> Self {
        Self::new(Layer::Ethernet, name, expected, parts)
    }

    fn ip(name: &'static str, expected: Packet, parts: &[&str]) -> Self {
        Self::new(Layer::Ip, name, expected, parts)
    }

    /// The flow rests on the first `needed` bytes.
    fn needs(self, needed: usize) -> Self {
        Self { needed, ..self }
    }

    /// The frame has a tag that is not in its bytes.
    fn tagged(mut self, control: u16) -> Self {
        self.offloaded_tag = Some(control);
        self.count.bytes += 4 * self.count.packets;
        self
    }

    /// More bytes of payload, which the IP header already speaks of. They look like nothing, least of all a port.
    fn payload(mut self, length: usize) -> Self {
        self.bytes.resize(self.bytes.len() + length, 0xa5);
        self.needed = self.bytes.len();
        self.count.bytes += length as u64;
        self
    }

    /// A super-packet of `size` bytes a segment, which is `packets` frames of `bytes` together on the wire.
    fn segmented(self, size: u32, segments: u32, packets: u64, bytes: u64) -> Self {
        Self { segmentation: Segmentation { size, segments }, count: Count { bytes, packets }, ..self }
    }
}

/// Every case.
#[must_use]
pub fn all() -> Vec<Case> {
    [link::cases(), ipv4::cases(), ipv6::cases(), broken::cases(), super_packets::cases()].concat()
}

// What most frames share. Ethernet: destination and source, no type.
const MACS: &str = "02 00 00 00 00 02  02 00 00 00 00 01";
/// 192.0.2.1 to 198.51.100.2.
const V4: &str = "c0 00 02 01  c6 33 64 02";
/// `2001:db8::1` to `2001:db8::2`.
const V6: &str = "2001 0db8 0000 0000 0000 0000 0000 0001  2001 0db8 0000 0000 0000 0000 0000 0002";
/// Ports 12345 and 443, and 16 bytes more: 20 altogether.
const TCP: &str = "3039 01bb  00000001 00000002  50 10 ffff  0000 0000";
/// Ports 12345 and 53, and no payload: 8 bytes.
const UDP: &str = "3039 0035  0008 0000";

const TCP_PORTS: [u16; 2] = [12345, 443];
const UDP_PORTS: [u16; 2] = [12345, 53];
const NO_PORTS: [u16; 2] = [0, 0];

/// What [`V4`] with a protocol and ports is, the TCP or UDP header being at `transport`.
fn v4(protocol: u8, ports: [u16; 2], transport: u32) -> Packet {
    let src = words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 192, 0, 2, 1]);
    let dst = words([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 198, 51, 100, 2]);
    Packet { src, dst, ports: word(ports), protocol, transport, ..Packet::default() }
}

/// What [`V6`] with a protocol and ports is, the TCP or UDP header being at `transport`.
fn v6(protocol: u8, ports: [u16; 2], transport: u32) -> Packet {
    let src = words([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    let dst = words([0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);
    Packet { src, dst, ports: word(ports), protocol, transport, ..Packet::default() }
}

/// A frame that is not IP.
fn not_ip(kind: u16, service: u16) -> Packet {
    Packet { ports: word([kind, service]), protocol: PROTOCOL_NOT_IP, ..Packet::default() }
}

/// A frame that cannot be parsed.
fn unparsed(reason: Unparsed) -> Packet {
    not_ip(0, reason as u16)
}

/// `packet` in a VLAN.
fn in_vlan(packet: Packet, tags: u16, id: u16) -> Packet {
    Packet { vlan: tags << VLAN_TAGS_SHIFT | id, ..packet }
}

fn words(address: [u8; 16]) -> [u64; 2] {
    let (halves, _) = address.as_chunks::<8>();
    [u64::from_ne_bytes(halves[0]), u64::from_ne_bytes(halves[1])]
}

fn word([src, dst]: [u16; 2]) -> u32 {
    let ([a, b], [c, d]) = (src.to_be_bytes(), dst.to_be_bytes());
    u32::from_ne_bytes([a, b, c, d])
}

/// Bytes from hexadecimal digits, white space between them being of no matter.
fn hex(parts: &[&str]) -> Vec<u8> {
    let digits: Vec<char> =
        parts.iter().flat_map(|part| part.chars()).filter(|digit| !digit.is_whitespace()).collect();
    let (pairs, rest) = digits.as_chunks::<2>();
    assert!(rest.is_empty(), "an odd number of digits: {parts:?}");
    let byte =
        |pair: &[char; 2]| u8::from_str_radix(&String::from_iter(pair), 16).expect("two hexadecimal digits");
    pairs.iter().map(byte).collect()
}
