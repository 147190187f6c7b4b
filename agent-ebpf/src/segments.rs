//! What a GSO or GRO super-packet is on the wire.

use flowtally_common::Count;

use crate::parse::{Frame, Packet};

const UDP: u8 = 17;
const UDP_HEADER_LENGTH: u32 = 8;
/// Offset of the byte whose upper half is the TCP header's length in words (RFC 9293, 3.1).
const TCP_LENGTH_AT: u32 = 12;
/// Length of the TCP header without options, in words.
const TCP_MIN_WORDS: u32 = 5;
/// `gso_size` of segments that the stack keeps apart as fragments of their own (`linux/skbuff.h`).
const GSO_BY_FRAGS: u32 = 0xffff;

/// Segmentation as the socket buffer announces it (`linux/skbuff.h`, `struct skb_shared_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// Payload bytes of every segment but the last; 0 when the frame is no super-packet.
    pub size: u32,
    /// Segments; 0 where whoever made the super-packet left them to be computed (some kernels on receive, and
    /// `virtio_net_hdr_to_skb` for virtual machines and tap devices).
    pub segments: u32,
}

/// Length of the headers that every segment of a super-packet repeats, in bytes; `None` where they are not known
/// (anything but TCP and UDP, and TCP that says its header is shorter than any).
///
/// A socket buffer does not show a program whether TCP is inside a tunnel over UDP, so those headers count as
/// payload: packets are exact when the buffer has their number, bytes lack the inner headers of all but one.
#[inline(always)]
pub fn headers<F: Frame>(frame: &F, packet: &Packet) -> Option<u32> {
    if packet.transport == 0 {
        None
    } else if packet.protocol == UDP {
        Some(packet.transport + UDP_HEADER_LENGTH)
    } else {
        let words = u32::from(frame.read::<u8>(packet.transport + TCP_LENGTH_AT)? >> 4);
        (words >= TCP_MIN_WORDS).then_some(packet.transport + words * 4)
    }
}

/// Frames and frame bytes that a super-packet of `length` bytes becomes on the wire. `jumbo` of its header bytes
/// are not sent. Without known `headers`, or with such as are longer than the super-packet, the packets are right
/// and the bytes are the super-packet's own.
#[inline(always)]
#[must_use]
pub fn on_wire(length: u32, headers: Option<u32>, jumbo: u32, segmentation: Segmentation) -> Count {
    let size = segmentation.size;
    if size == 0 {
        return Count { bytes: u64::from(length), packets: 1 };
    }
    let headers = headers.filter(|headers| *headers <= length);
    let segments = match (segmentation.segments, headers) {
        (0, Some(headers)) if headers < length && size != GSO_BY_FRAGS => (length - headers).div_ceil(size),
        (0, _) => 1,
        (segments, _) => segments,
    };
    let repeated = headers.unwrap_or(jumbo).saturating_sub(jumbo);
    // No overflow: below 2^32 segments of below 2^32 bytes.
    Count {
        bytes: u64::from(length.saturating_sub(jumbo)) + u64::from(segments - 1) * u64::from(repeated),
        packets: u64::from(segments),
    }
}
