//! What a GSO or GRO super-packet is on the wire.

use flowtally_common::Count;

use crate::parse::{Frame, Packet};

const UDP: u8 = 17;
const UDP_HEADER_LENGTH: u32 = 8;
/// Offset of the byte whose upper half is the TCP header's length in words (RFC 9293, 3.1).
const TCP_LENGTH_AT: u32 = 12;
/// `gso_size` of segments that the stack keeps apart as fragments of their own (`linux/skbuff.h`).
const GSO_BY_FRAGS: u32 = 0xffff;

/// Segmentation as the socket buffer announces it (`linux/skbuff.h`, `struct skb_shared_info`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Segmentation {
    /// Payload bytes of every segment but the last; 0 when the frame is no super-packet.
    pub size: u32,
    /// Segments; 0 where the sender of the super-packet left it to be computed (kernels before 6.0 on receive,
    /// virtual machines, tap devices).
    pub segments: u32,
}

/// Length of the headers that every segment of a super-packet repeats, in bytes; `None` where they are not known
/// (anything but TCP and UDP).
#[inline(always)]
pub fn headers<F: Frame>(frame: &F, packet: &Packet) -> Option<u32> {
    if packet.transport == 0 {
        None
    } else if packet.protocol == UDP {
        Some(packet.transport + UDP_HEADER_LENGTH)
    } else {
        let words = frame.read::<u8>(packet.transport + TCP_LENGTH_AT)? >> 4;
        Some(packet.transport + u32::from(words) * 4)
    }
}

/// Frames and frame bytes that a super-packet of `length` bytes becomes on the wire. `jumbo` of its header bytes
/// are not sent. Without known `headers` the packets are right and the bytes are the super-packet's own.
#[inline(always)]
#[must_use]
pub fn on_wire(length: u32, headers: Option<u32>, jumbo: u32, segmentation: Segmentation) -> Count {
    let size = segmentation.size;
    let payload = length.saturating_sub(headers.unwrap_or(0));
    let segments = if size == 0 {
        1
    } else if segmentation.segments != 0 {
        segmentation.segments
    } else if headers.is_none() || size == GSO_BY_FRAGS || payload == 0 {
        1
    } else {
        payload.div_ceil(size)
    };
    let repeated = headers.unwrap_or(jumbo).saturating_sub(jumbo);
    Count {
        bytes: u64::from(length.saturating_sub(jumbo)) + u64::from(segments - 1) * u64::from(repeated),
        packets: u64::from(segments),
    }
}
