//! One flow in one direction, as the kernel counts it.

use core::mem::{align_of, offset_of, size_of};

/// `FlowKey::protocol` of what is not an IP packet: frames named by their `EtherType`, and frames that
/// could not be parsed. IANA reserves the number (Assigned Internet Protocol Numbers, 255).
///
/// Real IP packets with protocol 255 have both ports 0, which neither of those two have.
pub const PROTOCOL_NOT_IP: u8 = 255;

/// [`FlowKey::dst_port`] of a later fragment of an ICMP or `ICMPv6` packet, whose type and code are in the first: no code
/// is as large. With 0 it would look like an echo reply.
pub const ICMP_LATER_FRAGMENT: u16 = 0xff00;

/// Bits of [`FlowKey::vlan`] that hold the VLAN id (IEEE 802.1Q).
pub const VLAN_ID_MASK: u16 = 0x0fff;

/// Where in [`FlowKey::vlan`] the number of VLAN tags starts.
pub const VLAN_TAGS_SHIFT: u32 = 12;

/// Length of a VLAN tag in a frame, in bytes (IEEE 802.1Q).
pub const VLAN_TAG_LENGTH: u32 = 4;

/// Length of an Ethernet header without tags, in bytes (IEEE 802.3).
pub const ETHERNET_HEADER_LENGTH: u32 = 14;

/// Which way a frame crosses an interface, seen from this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(u8)]
pub enum Direction {
    /// Received by the interface.
    Ingress = 0,
    /// Sent by the interface.
    Egress = 1,
}

impl Direction {
    /// Both directions, in the order of their numbers.
    pub const BOTH: [Self; 2] = [Self::Ingress, Self::Egress];

    /// The direction a [`FlowKey::direction`] stands for.
    #[must_use]
    pub const fn from_raw(raw: u8) -> Self {
        if raw == Self::Egress as u8 { Self::Egress } else { Self::Ingress }
    }
}

/// Identity of a flow: the five-tuple, the interface, the direction and the VLAN.
///
/// It is the first 44 bytes of a [`Slot`] and the key of the third level.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct FlowKey {
    /// Source address; IPv4 as v4-mapped IPv6 (RFC 4291, 2.5.5.2).
    pub src: [u8; 16],
    /// Destination address, as `src`.
    pub dst: [u8; 16],
    /// Source port in network order. ICMP: the type. Frames that are not IP: the `EtherType`, or 0 when they
    /// could not be parsed. Other protocols and later fragments: 0.
    pub src_port: [u8; 2],
    /// Destination port in network order. ICMP: the code, or [`ICMP_LATER_FRAGMENT`]. Unparsed frames: an [`Unparsed`] reason.
    pub dst_port: [u8; 2],
    /// The interface's index.
    pub ifindex: u32,
    /// IP protocol (the last one of an IPv6 extension-header chain), or [`PROTOCOL_NOT_IP`].
    pub protocol: u8,
    /// A [`Direction`].
    pub direction: u8,
    /// Bits 0-11: id of the innermost VLAN, 0 without one. Bits 12-15: how many tags the frame carries, in band
    /// and offloaded alike, so that its layer-2 header length is known exactly.
    pub vlan: u16,
}

/// Why a frame could not be parsed: [`FlowKey::dst_port`] of an unparsed row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Unparsed {
    /// The frame ends before its headers, or before the end its IP header announces.
    Truncated = 1,
    /// A header contradicts itself or the one before it.
    Malformed = 2,
    /// More VLAN tags or IPv6 extension headers than the parser follows.
    TooDeep = 3,
}

/// One flow of one interval: exactly one cache line.
#[derive(Clone, Copy, Debug, Default)]
#[repr(C, align(64))]
pub struct Slot {
    /// Whose traffic this is.
    pub key: FlowKey,
    /// The interval the slot belongs to; any other than the one being read means that the slot is free.
    pub epoch: u32,
    /// Layer-2 frame bytes.
    pub bytes: u64,
    /// Frames on the wire.
    pub packets: u64,
}

/// Slots that a key is looked for in together: one element of an array.
#[derive(Clone, Copy, Debug)]
#[repr(C, align(64))]
pub struct Slots<const N: usize>(pub [Slot; N]);

/// The two slots that a key may live in: one element of the first-level array.
pub type Pair = Slots<2>;

/// Slots in a [`Bucket`].
pub const BUCKET: usize = 4;

/// Slots that are next to each other in the second level: one element of its array.
pub type Bucket = Slots<BUCKET>;

const _: () = {
    assert!(size_of::<FlowKey>() == 44 && align_of::<FlowKey>() == 4);
    assert!(offset_of!(FlowKey, src_port) == 32 && offset_of!(FlowKey, ifindex) == 36);
    assert!(offset_of!(FlowKey, protocol) == 40 && offset_of!(FlowKey, vlan) == 42);
    assert!(size_of::<Slot>() == 64 && align_of::<Slot>() == 64);
    assert!(
        offset_of!(Slot, epoch) == 44 && offset_of!(Slot, bytes) == 48 && offset_of!(Slot, packets) == 56
    );
    assert!(size_of::<Pair>() == 128 && size_of::<Bucket>() == 256);
};
