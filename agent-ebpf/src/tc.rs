//! The TC programs, for TCX and clsact alike.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_load_bytes, macros::classifier, programs::TcContext};
use core::mem::MaybeUninit;
use flowtally_common::{
    Count, Direction,
    flow::{Unparsed, VLAN_TAG_LENGTH},
    settings::Layer,
};
use flowtally_ebpf::{
    linear::Linear,
    parse::{self, Frame, Outside, Packet, Wire, from_number, to_number},
    segments::{self, Segmentation},
};

use crate::{
    account::{self, Frames, MissFunctions, NOW, Rare, account, health, log_rare, miss},
    hint::hint,
    slot::Key,
};

/// `TCX_NEXT` and `TC_ACT_UNSPEC`: no verdict, the next program or filter goes on.
pub(crate) const NEXT: i32 = -1;

#[classifier]
pub(crate) fn flowtally_ingress_ethernet(ctx: TcContext) -> i32 {
    count(ctx.skb.skb, Direction::Ingress, Layer::Ethernet)
}

#[classifier]
pub(crate) fn flowtally_ingress_ip(ctx: TcContext) -> i32 {
    count(ctx.skb.skb, Direction::Ingress, Layer::Ip)
}

#[classifier]
pub(crate) fn flowtally_egress_ethernet(ctx: TcContext) -> i32 {
    count(ctx.skb.skb, Direction::Egress, Layer::Ethernet)
}

#[classifier]
pub(crate) fn flowtally_egress_ip(ctx: TcContext) -> i32 {
    count(ctx.skb.skb, Direction::Egress, Layer::Ip)
}

/// A frame in a socket buffer, wherever its bytes are.
struct Anywhere(*mut __sk_buff);

impl Frame for Anywhere {
    #[inline(always)]
    fn read<T: Wire>(&self, at: u32) -> Option<T> {
        let mut value = MaybeUninit::<T>::uninit();
        // SAFETY: the helper writes the whole value or fails.
        unsafe {
            let status =
                bpf_skb_load_bytes(self.0.cast(), at, value.as_mut_ptr().cast(), size_of::<T>() as u32);
            (status == 0).then(|| value.assume_init())
        }
    }

    #[inline(always)]
    fn ipv4(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(ipv4_skb(self.0, network, length, packet))
    }

    #[inline(always)]
    fn ipv6(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(ipv6_skb(self.0, network, length, packet))
    }

    #[inline(always)]
    fn transport(&self, at: u32, end: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(transport_skb(self.0, at, end, packet))
    }
}

/// An IPv4 packet of a frame, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn ipv4_skb(skb: *mut __sk_buff, network: u32, length: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::ipv4(&Anywhere(skb), network, length, packet)))
}

/// An IPv6 packet, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn ipv6_skb(skb: *mut __sk_buff, network: u32, length: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::ipv6(&Anywhere(skb), network, length, packet)))
}

/// A transport header, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn transport_skb(skb: *mut __sk_buff, at: u32, end: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::transport(&Anywhere(skb), at, end, packet)))
}

/// Counts a frame. What nearly every frame is stays in this function; the rest is out of line.
#[inline(always)]
fn count(skb: *mut __sk_buff, direction: Direction, layer: Layer) -> i32 {
    // SAFETY: the context is valid as long as the program runs.
    let skb_ref = unsafe { &*skb };
    account(skb, &frames(skb, direction, layer, NOW), skb_ref.ifindex, direction);
    NEXT
}

/// What is to be counted in an epoch, or [`NOW`]. What is counted beside the flow is counted at once.
#[inline(always)]
pub(crate) fn frames(skb: *mut __sk_buff, direction: Direction, layer: Layer, epoch: u64) -> Frames {
    // SAFETY: the context is valid as long as the program runs.
    fast(unsafe { &*skb }, layer).unwrap_or_else(|| {
        Frames::filled(|frames| match layer {
            Layer::Ethernet => any_skb_ethernet(skb, direction as u32, frames, epoch),
            Layer::Ip => any_skb_ip(skb, direction as u32, frames, epoch),
        })
    })
}

#[inline(always)]
fn fast(skb: &__sk_buff, layer: Layer) -> Option<Frames> {
    if skb.gso_size | skb.vlan_present != 0 {
        return None;
    }
    // SAFETY: a packet's data lies between the two as long as the program runs and does not change it.
    let linear = unsafe { Linear::new(skb.data as usize, skb.data_end as usize) };
    let packet = parse::fast(&linear, layer, skb.len)?;
    Some(Frames { packet, count: Count { bytes: u64::from(skb.len), packets: 1 } })
}

/// [`any_frame`] of a frame that starts with an Ethernet header, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn any_skb_ethernet(skb: *mut __sk_buff, direction: u32, frames: *mut Frames, epoch: u64) -> u32 {
    any_frame(skb, direction as u8, Layer::Ethernet, frames, epoch)
}

/// The same of a frame that starts with an IP header.
#[unsafe(no_mangle)]
#[inline(never)]
fn any_skb_ip(skb: *mut __sk_buff, direction: u32, frames: *mut Frames, epoch: u64) -> u32 {
    any_frame(skb, direction as u8, Layer::Ip, frames, epoch)
}

/// Reads any frame: super-packets, VLAN tags, IPv4 options, IPv6 extension headers, fragments, other protocols, frames
/// that are not IP or not whole, and headers outside the linear part. Always 0, for such a function has to return a number.
#[inline(always)]
fn any_frame(skb: *mut __sk_buff, direction: u8, layer: Layer, frames: *mut Frames, epoch: u64) -> u32 {
    if frames.is_null() {
        return 0;
    }
    // SAFETY: the context is valid as long as the program runs.
    let skb_ref = unsafe { &*skb };
    let offloaded_tag = (skb_ref.vlan_present != 0).then_some(skb_ref.vlan_tci as u16);
    let outside = Outside { layer, length: skb_ref.len, offloaded_tag };
    let frame = Anywhere(skb);
    // SAFETY: not null, so the caller's, which is as long, and plain numbers.
    let frames = unsafe { &mut *frames };
    let packet = &mut frames.packet;
    parse::full_into(&frame, &outside, packet);
    let mut count = Count { bytes: u64::from(outside.length), packets: 1 };
    // A constant from where there is no filter: there, asking costs nothing where a frame is as nearly all are.
    let epoch = if epoch == NOW { account::epoch() } else { epoch as u32 };
    if skb_ref.gso_size != 0 {
        let segmentation = Segmentation { size: skb_ref.gso_size, segments: skb_ref.gso_segs };
        let headers = segments::headers(&frame, packet);
        let wire = segments::on_wire(outside.length, headers, packet.jumbo, segmentation);
        health(skb_ref.ifindex, direction, u64::from(epoch), |health| {
            health.gso_extra.bytes =
                health.gso_extra.bytes.wrapping_add(wire.bytes).wrapping_sub(count.bytes);
            health.gso_extra.packets += wire.packets - 1;
        });
        count = wire;
    }
    if offloaded_tag.is_some() {
        let tag = u64::from(VLAN_TAG_LENGTH);
        let repeated = tag * (count.packets - 1);
        health(skb_ref.ifindex, direction, u64::from(epoch), |health| {
            health.offloaded_tags.add(Count { bytes: tag, packets: count.packets });
            health.gso_extra.bytes += repeated;
        });
        count.bytes += tag + repeated;
    }
    if packet.is_unparsed() {
        log_rare(Rare::Unparsed, skb_ref.ifindex, epoch);
    }
    frames.count = count;
    0
}

impl MissFunctions for *mut __sk_buff {
    #[inline(always)]
    fn miss(self, key: &Key, hash: u64, bytes: u64, packets: u64) -> u32 {
        miss_skb(self, key, hash, bytes, packets)
    }

    #[inline(always)]
    fn hint(self, key: &Key) -> u64 {
        hint_skb(self, key)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
fn miss_skb(skb: *mut __sk_buff, key: *const Key, hash: u64, bytes: u64, packets: u64) -> u32 {
    miss(skb, key, hash, bytes, packets)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hint_skb(skb: *mut __sk_buff, key: *const Key) -> u64 {
    hint(skb, key)
}
