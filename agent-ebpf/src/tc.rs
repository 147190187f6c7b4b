//! The TC programs, for TCX and clsact alike.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_skb_load_bytes, macros::classifier, programs::TcContext};
use core::mem::MaybeUninit;
use flowtally_common::{Count, Direction, flow::VLAN_TAG_LENGTH, settings::Layer};
use flowtally_ebpf::{
    linear::Linear,
    parse::{self, Frame, Outside, Packet, Wire},
    segments::{self, Segmentation},
};

use crate::account::{Rare, account, epoch, health, log_rare};

/// `TCX_NEXT` and `TC_ACT_UNSPEC`: no verdict, the next program or filter goes on.
const NEXT: i32 = -1;

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
}

/// What is to be counted.
struct Frames {
    packet: Packet,
    count: Count,
}

/// Counts a frame. What nearly every frame is stays in this function; the rest is out of line.
#[inline(always)]
fn count(skb: *mut __sk_buff, direction: Direction, layer: Layer) -> i32 {
    // SAFETY: the context is valid as long as the program runs.
    let skb_ref = unsafe { &*skb };
    let Frames { packet, count } = fast(skb_ref, layer).unwrap_or_else(|| {
        let mut frames = MaybeUninit::uninit();
        any_frame(skb, direction, layer, &mut frames);
        // SAFETY: the function has written it.
        unsafe { frames.assume_init() }
    });
    account(skb, &packet, skb_ref.ifindex, direction, count);
    NEXT
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

/// Reads any frame: super-packets, VLAN tags, IPv4 options, IPv6 extension headers, fragments, other protocols, frames
/// that are not IP or not whole, and headers outside the linear part.
#[inline(never)]
fn any_frame(skb: *mut __sk_buff, direction: Direction, layer: Layer, frames: &mut MaybeUninit<Frames>) {
    // SAFETY: the context is valid as long as the program runs.
    let skb_ref = unsafe { &*skb };
    let offloaded_tag = (skb_ref.vlan_present != 0).then_some(skb_ref.vlan_tci as u16);
    let outside = Outside { layer, length: skb_ref.len, offloaded_tag };
    let frame = Anywhere(skb);
    let packet = parse::full(&frame, &outside);
    let mut count = Count { bytes: u64::from(outside.length), packets: 1 };
    let epoch = epoch();
    if skb_ref.gso_size != 0 {
        let segmentation = Segmentation { size: skb_ref.gso_size, segments: skb_ref.gso_segs };
        let headers = segments::headers(&frame, &packet);
        let wire = segments::on_wire(outside.length, headers, packet.jumbo, segmentation);
        health(skb_ref.ifindex, direction as u8, u64::from(epoch), |health| {
            health.gso_extra.bytes =
                health.gso_extra.bytes.wrapping_add(wire.bytes).wrapping_sub(count.bytes);
            health.gso_extra.packets += wire.packets - 1;
        });
        count = wire;
    }
    if offloaded_tag.is_some() {
        let tag = u64::from(VLAN_TAG_LENGTH);
        let repeated = tag * (count.packets - 1);
        health(skb_ref.ifindex, direction as u8, u64::from(epoch), |health| {
            health.offloaded_tags.add(Count { bytes: tag, packets: count.packets });
            health.gso_extra.bytes += repeated;
        });
        count.bytes += tag + repeated;
    }
    if packet.is_unparsed() {
        log_rare(Rare::Unparsed, skb_ref.ifindex, epoch);
    }
    frames.write(Frames { packet, count });
}
