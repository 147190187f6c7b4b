//! From a frame to the flow it belongs to.
//!
//! Generic over where the bytes come from, so that the same code runs in the kernel (packet memory, or
//! `bpf_skb_load_bytes` where that memory is not contiguous) and on literal frames in tests. There are two
//! entries: [`fast`] takes what nearly all traffic is, in a handful of instructions, and says `None` for the
//! rest; [`full`] takes everything. Where `fast` answers, `full` answers the same.

use flowtally_common::flow::{
    ETHERNET_HEADER_LENGTH, ICMP_LATER_FRAGMENT, PROTOCOL_NOT_IP, Unparsed, VLAN_ID_MASK, VLAN_TAG_LENGTH,
    VLAN_TAGS_SHIFT,
};
use flowtally_common::settings::Layer;

/// VLAN tags followed in one frame, in band; more is an unparsed frame.
pub const MAX_TAGS: u32 = 4;
/// IPv6 extension headers followed in one packet; more is an unparsed frame.
pub const MAX_EXTENSION_HEADERS: u32 = 8;

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_IPV6: u16 = 0x86dd;
/// IEEE 802.1Q, 802.1ad, and the number QinQ used before 802.1ad.
const ETHERTYPE_TAGS: [u16; 3] = [0x8100, 0x88a8, 0x9100];
/// Lower values of the type field are a length, and an IEEE 802.2 header follows (802.3, 3.2.6).
const ETHERTYPE_MIN: u16 = 0x0600;
/// How Linux numbers frames with an 802.2 header (`linux/if_ether.h`, `ETH_P_802_2`).
const ETHERTYPE_802_2: u16 = 0x0004;

const ICMP: u8 = 1;
const TCP: u8 = 6;
const UDP: u8 = 17;
const DCCP: u8 = 33;
const ICMPV6: u8 = 58;
const SCTP: u8 = 132;
const UDP_LITE: u8 = 136;

// IPv6 extension headers (RFC 8200, 4): the ones that say where the next header is.
const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const AUTHENTICATION: u8 = 51;
const DESTINATION_OPTIONS: u8 = 60;

/// One tag in the key's VLAN field.
const ONE_TAG: u16 = 1 << VLAN_TAGS_SHIFT;

const IPV4_HEADER_LENGTH: u32 = 20;
const IPV6_HEADER_LENGTH: u32 = 40;
/// Source and destination port, all that is read of a transport header.
const PORTS_LENGTH: u32 = 4;
/// IPv4's offset field: don't-fragment may be set, more-fragments and the offset not (RFC 791, 3.1).
const IPV4_FRAGMENTED: u16 = 0x3fff;
const IPV4_OFFSET: u16 = 0x1fff;
/// What a 16-bit length field cannot say; above, Linux leaves it 0 ("BIG TCP").
const MAX_IP_LENGTH: u32 = 0xffff;
/// The hop-by-hop header that Linux puts into IPv6 BIG TCP super-packets and takes out again before the wire
/// (`net/ipv6.h`, `struct hop_jumbo_hdr`).
const JUMBO_HEADER_LENGTH: u32 = 8;
/// What it starts with: TCP is next, no further 8 bytes, a jumbo payload option of 4 bytes (RFC 2675, 2). Linux
/// recognises its header by the same (`ipv6_has_hopopt_jumbo`); any other one goes on the wire.
const JUMBO_HEADER: u32 = u32::from_ne_bytes([TCP, 0, 0xc2, 4]);

/// A type that any bytes are a valid value of.
///
/// # Safety
/// No padding, and every bit pattern must be valid.
pub unsafe trait Wire: Copy {}

// SAFETY: integers and arrays of bytes have no padding and no invalid values.
unsafe impl Wire for u8 {}
// SAFETY: as above.
unsafe impl Wire for u16 {}
// SAFETY: as above.
unsafe impl Wire for u32 {}
// SAFETY: as above.
unsafe impl<const N: usize> Wire for [u8; N] {}

/// Where a frame's bytes come from.
///
/// The parts of [`full`] that it reaches in many ways are methods too: in the kernel each is a function of its own, which the verifier goes
/// through once and not for each way there.
pub trait Frame: Sized {
    /// The value at byte `at` of the frame, or `None` if it does not lie in the frame wholly.
    fn read<T: Wire>(&self, at: u32) -> Option<T>;

    /// [`ipv4`] of this frame.
    ///
    /// # Errors
    /// Why the frame can't be parsed.
    #[inline(always)]
    fn ipv4(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        ipv4(self, network, length, packet)
    }

    /// [`ipv6`] of this frame.
    ///
    /// # Errors
    /// As above.
    #[inline(always)]
    fn ipv6(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        ipv6(self, network, length, packet)
    }

    /// [`transport`] of this frame.
    ///
    /// # Errors
    /// As above.
    #[inline(always)]
    fn transport(&self, at: u32, end: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        transport(self, at, end, packet)
    }
}

/// A result as a number: all that a function which the verifier goes through by itself may return.
#[inline(always)]
#[must_use]
pub fn to_number(result: Result<(), Unparsed>) -> u32 {
    match result {
        Ok(()) => 0,
        Err(reason) => reason as u32,
    }
}

/// The other way round.
///
/// # Errors
/// Where it stands for one.
#[inline(always)]
pub const fn from_number(number: u32) -> Result<(), Unparsed> {
    match number {
        0 => Ok(()),
        1 => Err(Unparsed::Truncated),
        2 => Err(Unparsed::Malformed),
        _ => Err(Unparsed::TooDeep),
    }
}

impl Frame for &[u8] {
    fn read<T: Wire>(&self, at: u32) -> Option<T> {
        let at = usize::try_from(at).ok()?;
        let bytes = self.get(at..at.checked_add(size_of::<T>())?)?;
        // SAFETY: `bytes` is as long as T, T takes any bytes, and the read needs no alignment.
        Some(unsafe { bytes.as_ptr().cast::<T>().read_unaligned() })
    }
}

/// IPv4 without options (RFC 791), and the ports behind it.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Ipv4AndPorts {
    ip: Ipv4,
    ports: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Ipv4 {
    version_length: u8,
    service: u8,
    total_length: u16,
    id: u16,
    fragment: u16,
    hops: u8,
    protocol: u8,
    checksum: u16,
    src: u32,
    dst: u32,
}

/// IPv6 without extension headers (RFC 8200), and the ports behind it.
#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Ipv6AndPorts {
    ip: Ipv6,
    ports: u32,
}

#[derive(Clone, Copy)]
#[repr(C, packed)]
struct Ipv6 {
    version: u8,
    class_label: [u8; 3],
    payload_length: u16,
    next: u8,
    hops: u8,
    src: [u64; 2],
    dst: [u64; 2],
}

// SAFETY: packed structures of integers: no padding, no invalid values.
unsafe impl Wire for Ipv4AndPorts {}
// SAFETY: as above.
unsafe impl Wire for Ipv4 {}
// SAFETY: as above.
unsafe impl Wire for Ipv6AndPorts {}
// SAFETY: as above.
unsafe impl Wire for Ipv6 {}

/// What a frame is, apart from where and when it was seen. Addresses and ports are words of memory in the order
/// of the wire, as the first-level slot holds them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Packet {
    /// Source address, IPv4 as v4-mapped.
    pub src: [u64; 2],
    /// Destination address, as `src`.
    pub dst: [u64; 2],
    /// The key's two port fields.
    pub ports: u32,
    /// The key's protocol field.
    pub protocol: u8,
    /// The key's VLAN field.
    pub vlan: u16,
    /// Offset of the TCP or UDP header, 0 where there is none in this frame.
    pub transport: u32,
    /// Bytes of an IPv6 BIG TCP header that are in the frame here but not on the wire.
    pub jumbo: u32,
}

impl Packet {
    /// Whether the frame could not be parsed.
    #[inline(always)]
    #[must_use]
    pub fn is_unparsed(&self) -> bool {
        // An `EtherType` or an 802.2 header is never 0.
        self.protocol == PROTOCOL_NOT_IP && self.ports.trailing_zeros() >= 16 && self.ports != 0
    }
}

/// What is known of a frame without looking into it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside {
    /// What the frame starts with.
    pub layer: Layer,
    /// Its length, in bytes.
    pub length: u32,
    /// The tag control information of a VLAN tag that is not in the frame's data.
    pub offloaded_tag: Option<u16>,
}

/// An IPv4 address as the words of a v4-mapped IPv6 address.
#[inline(always)]
const fn mapped(address: u32) -> [u64; 2] {
    [0, 0xffff_0000 | (address as u64) << 32]
}

/// The key's two port fields from two numbers in host order.
#[inline(always)]
const fn ports(src: u16, dst: u16) -> u32 {
    src.to_be() as u32 | (dst.to_be() as u32) << 16
}

/// Parses unfragmented TCP and UDP over IPv4 without options or IPv6 without extension headers, without VLAN
/// tags in band; `None` is anything else, and is for [`full`].
#[inline(always)]
pub fn fast<F: Frame>(frame: &F, layer: Layer, length: u32) -> Option<Packet> {
    let (network, ipv4) = match layer {
        Layer::Ethernet => match frame.read::<u16>(ETHERNET_HEADER_LENGTH - 2)? {
            kind if kind == ETHERTYPE_IPV4.to_be() => (ETHERNET_HEADER_LENGTH, true),
            kind if kind == ETHERTYPE_IPV6.to_be() => (ETHERNET_HEADER_LENGTH, false),
            _ => return None,
        },
        Layer::Ip => match version(frame)? {
            4 => (0, true),
            6 => (0, false),
            _ => return None,
        },
    };
    if ipv4 {
        let Ipv4AndPorts { ip, ports } = frame.read::<Ipv4AndPorts>(network)?;
        let total = u32::from(u16::from_be(ip.total_length));
        if ip.version_length != 0x45
            || ip.fragment & IPV4_FRAGMENTED.to_be() != 0
            || (ip.protocol != TCP && ip.protocol != UDP)
            || total < IPV4_HEADER_LENGTH + PORTS_LENGTH
            || network + total > length
        {
            return None;
        }
        let transport = network + IPV4_HEADER_LENGTH;
        let (src, dst) = (mapped(ip.src), mapped(ip.dst));
        Some(Packet { src, dst, ports, protocol: ip.protocol, vlan: 0, transport, jumbo: 0 })
    } else {
        let Ipv6AndPorts { ip, ports } = frame.read::<Ipv6AndPorts>(network)?;
        let payload = u32::from(u16::from_be(ip.payload_length));
        if ip.version >> 4 != 6
            || (ip.next != TCP && ip.next != UDP)
            || payload < PORTS_LENGTH
            || network + IPV6_HEADER_LENGTH + payload > length
        {
            return None;
        }
        let transport = network + IPV6_HEADER_LENGTH;
        Some(Packet { src: ip.src, dst: ip.dst, ports, protocol: ip.next, vlan: 0, transport, jumbo: 0 })
    }
}

/// The IP version of a frame that starts with an IP header.
///
/// Two bytes are read for it: of one byte at offset 0 the compiler makes the check `data >= data_end`, from which
/// the verifier learns nothing (`find_good_pkt_pointers` in `kernel/bpf/verifier.c`), and refuses the program.
#[inline(always)]
fn version<F: Frame>(frame: &F) -> Option<u8> {
    frame.read::<[u8; 2]>(0).map(|[version, _]| version >> 4)
}

/// Parses any frame. What cannot be parsed is an unparsed row with its reason, so that it is counted too.
#[inline(always)]
pub fn full<F: Frame>(frame: &F, outside: &Outside) -> Packet {
    let mut packet = Packet::default();
    full_into(frame, outside, &mut packet);
    packet
}

/// The same, into `packet`, whatever is in it.
#[inline(always)]
pub fn full_into<F: Frame>(frame: &F, outside: &Outside, packet: &mut Packet) {
    if let Err(reason) = layers(frame, outside, packet) {
        *packet = not_ip(0, reason as u16);
    }
}

#[inline(always)]
fn layers<F: Frame>(frame: &F, outside: &Outside, packet: &mut Packet) -> Result<(), Unparsed> {
    // A tag can come beside a packet without a link layer too: VLAN devices may sit on tun devices.
    let vlan = match outside.offloaded_tag {
        Some(control) => control & VLAN_ID_MASK | ONE_TAG,
        None => 0,
    };
    match outside.layer {
        Layer::Ethernet => ethernet(frame, outside.length, vlan, packet),
        Layer::Ip => {
            match version(frame).ok_or(Unparsed::Truncated)? {
                4 => frame.ipv4(0, outside.length, packet)?,
                6 => frame.ipv6(0, outside.length, packet)?,
                _ => return Err(Unparsed::Malformed),
            }
            packet.vlan = vlan;
            Ok(())
        }
    }
}

/// An Ethernet frame; `vlan` is that field of the key without the tags in band.
#[inline(always)]
fn ethernet<F: Frame>(frame: &F, length: u32, mut vlan: u16, packet: &mut Packet) -> Result<(), Unparsed> {
    let mut network = ETHERNET_HEADER_LENGTH;
    let mut kind = read_be16(frame, network - 2)?;
    for _ in 0..MAX_TAGS {
        if !ETHERTYPE_TAGS.contains(&kind) {
            break;
        }
        let id = read_be16(frame, network)? & VLAN_ID_MASK;
        vlan = ((vlan & !VLAN_ID_MASK) + ONE_TAG) | id;
        kind = read_be16(frame, network + 2)?;
        network += VLAN_TAG_LENGTH;
    }
    match kind {
        ETHERTYPE_IPV4 => frame.ipv4(network, length, packet)?,
        ETHERTYPE_IPV6 => frame.ipv6(network, length, packet)?,
        kind if ETHERTYPE_TAGS.contains(&kind) => return Err(Unparsed::TooDeep),
        kind if kind < ETHERTYPE_MIN => {
            let service = frame.read::<u8>(network).ok_or(Unparsed::Truncated)?;
            *packet = not_ip(ETHERTYPE_802_2, u16::from(service));
        }
        kind => *packet = not_ip(kind, 0),
    }
    packet.vlan = vlan;
    Ok(())
}

#[inline(always)]
fn not_ip(kind: u16, service: u16) -> Packet {
    Packet { ports: ports(kind, service), protocol: PROTOCOL_NOT_IP, ..Packet::default() }
}

/// An IPv4 packet at `network` of a frame of `length` bytes, into `packet`, whatever is in it.
///
/// # Errors
/// Why it can't be parsed.
#[inline(always)]
pub fn ipv4<F: Frame>(frame: &F, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
    let ip = frame.read::<Ipv4>(network).ok_or(Unparsed::Truncated)?;
    let header = u32::from(ip.version_length & 0x0f) * 4;
    if ip.version_length >> 4 != 4 || header < IPV4_HEADER_LENGTH {
        return Err(Unparsed::Malformed);
    }
    let available = length.saturating_sub(network);
    let total = match u32::from(u16::from_be(ip.total_length)) {
        0 if available > MAX_IP_LENGTH => available,
        total => total,
    };
    if total < header {
        return Err(Unparsed::Malformed);
    }
    if total > available {
        return Err(Unparsed::Truncated);
    }
    *packet = Packet { src: mapped(ip.src), dst: mapped(ip.dst), protocol: ip.protocol, ..Packet::default() };
    if u16::from_be(ip.fragment) & IPV4_OFFSET == 0 {
        frame.transport(network + header, network + total, packet)
    } else {
        later_fragment(packet);
        Ok(())
    }
}

/// An IPv6 packet at `network` of a frame of `length` bytes, into `packet`, whatever is in it.
///
/// # Errors
/// Why it can't be parsed.
#[inline(always)]
pub fn ipv6<F: Frame>(frame: &F, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
    let ip = frame.read::<Ipv6>(network).ok_or(Unparsed::Truncated)?;
    if ip.version >> 4 != 6 {
        return Err(Unparsed::Malformed);
    }
    let mut at = network + IPV6_HEADER_LENGTH;
    let available = length.saturating_sub(at);
    *packet = Packet { src: ip.src, dst: ip.dst, ..Packet::default() };
    let mut next = ip.next;
    let end = match u32::from(u16::from_be(ip.payload_length)) {
        0 if available > MAX_IP_LENGTH => {
            if next == HOP_BY_HOP && frame.read::<u32>(at) == Some(JUMBO_HEADER) {
                packet.jumbo = JUMBO_HEADER_LENGTH;
            }
            length
        }
        payload if payload > available => return Err(Unparsed::Truncated),
        payload => at + payload,
    };
    for _ in 0..MAX_EXTENSION_HEADERS {
        let unit = match next {
            HOP_BY_HOP | ROUTING | DESTINATION_OPTIONS => 8,
            AUTHENTICATION => 4,
            FRAGMENT => 0,
            _ => break,
        };
        let [following, count, offset_high, offset_low] =
            frame.read::<[u8; 4]>(at).filter(|_| at + 8 <= end).ok_or(Unparsed::Truncated)?;
        next = following;
        at += match unit {
            8 => (u32::from(count) + 1) * 8,
            4 => (u32::from(count) + 2) * 4,
            _ => {
                if u16::from_be_bytes([offset_high, offset_low]) >> 3 != 0 {
                    packet.protocol = next;
                    later_fragment(packet);
                    return Ok(());
                }
                8
            }
        };
    }
    if matches!(next, HOP_BY_HOP | ROUTING | FRAGMENT | AUTHENTICATION | DESTINATION_OPTIONS) {
        return Err(Unparsed::TooDeep);
    }
    packet.protocol = next;
    frame.transport(at, end, packet)
}

/// Completes the packet of a fragment that is not the first, and has no transport header.
#[inline(always)]
fn later_fragment(packet: &mut Packet) {
    if packet.protocol == ICMP || packet.protocol == ICMPV6 {
        packet.ports = ports(0, ICMP_LATER_FRAGMENT);
    }
}

/// Completes `packet` with what the transport header of its protocol at `at` says; the IP packet ends at `end`.
///
/// # Errors
/// When the header is not there wholly.
#[inline(always)]
pub fn transport<F: Frame>(frame: &F, at: u32, end: u32, packet: &mut Packet) -> Result<(), Unparsed> {
    let protocol = packet.protocol;
    if at > end {
        return Err(Unparsed::Truncated);
    }
    match protocol {
        TCP | UDP | UDP_LITE | SCTP | DCCP => {
            if at + PORTS_LENGTH > end {
                return Err(Unparsed::Truncated);
            }
            packet.ports = frame.read::<u32>(at).ok_or(Unparsed::Truncated)?;
            if protocol == TCP || protocol == UDP {
                packet.transport = at;
            }
        }
        ICMP | ICMPV6 => {
            if at + 2 > end {
                return Err(Unparsed::Truncated);
            }
            let [kind, code] = frame.read::<[u8; 2]>(at).ok_or(Unparsed::Truncated)?;
            packet.ports = ports(u16::from(kind), u16::from(code));
        }
        _ => {}
    }
    Ok(())
}

#[inline(always)]
fn read_be16<F: Frame>(frame: &F, at: u32) -> Result<u16, Unparsed> {
    frame.read::<u16>(at).map(u16::from_be).ok_or(Unparsed::Truncated)
}
