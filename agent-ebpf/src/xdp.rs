//! The XDP programs: ingress on request. They see frames before GRO, one by one.

use aya_ebpf::{bindings::xdp_action::XDP_PASS, bindings::xdp_md, macros::xdp, programs::XdpContext};
use flowtally_common::{Count, Direction, flow::Unparsed, settings::Layer};
use flowtally_ebpf::{
    linear::Linear,
    parse::{self, Frame, Outside, Packet, Wire, from_number, to_number},
};

use crate::{
    account::{Frames, MissFunctions, Rare, account, epoch, log_rare, miss},
    hint::hint,
    slot::Key,
};

#[xdp]
pub(crate) fn flowtally_xdp_ethernet(ctx: XdpContext) -> u32 {
    count(ctx.ctx, Layer::Ethernet)
}

#[xdp]
pub(crate) fn flowtally_xdp_ip(ctx: XdpContext) -> u32 {
    count(ctx.ctx, Layer::Ip)
}

#[inline(always)]
fn count(ctx: *mut xdp_md, layer: Layer) -> u32 {
    // SAFETY: the context is valid as long as the program runs.
    let md = unsafe { &*ctx };
    account(ctx, &frames(ctx, layer), md.ingress_ifindex, Direction::Ingress);
    XDP_PASS
}

/// What is to be counted.
#[inline(always)]
pub(crate) fn frames(ctx: *mut xdp_md, layer: Layer) -> Frames {
    // SAFETY: the context is valid as long as the program runs.
    let md = unsafe { &*ctx };
    let linear = linear(md);
    let length = linear.length();
    match parse::fast(&linear, layer, length) {
        Some(packet) => Frames { packet, count: Count { bytes: u64::from(length), packets: 1 } },
        None => Frames::filled(|frames| match layer {
            Layer::Ethernet => any_xdp_ethernet(ctx, frames),
            Layer::Ip => any_xdp_ip(ctx, frames),
        }),
    }
}

/// [`any_frame`] of a frame that starts with an Ethernet header, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn any_xdp_ethernet(ctx: *mut xdp_md, frames: *mut Frames) -> u32 {
    any_frame(ctx, Layer::Ethernet, frames)
}

/// The same of a frame that starts with an IP header.
#[unsafe(no_mangle)]
#[inline(never)]
fn any_xdp_ip(ctx: *mut xdp_md, frames: *mut Frames) -> u32 {
    any_frame(ctx, Layer::Ip, frames)
}

/// Reads any frame. Always 0, for such a function has to return a number.
#[inline(always)]
fn any_frame(ctx: *mut xdp_md, layer: Layer, frames: *mut Frames) -> u32 {
    if frames.is_null() {
        return 0;
    }
    // SAFETY: the context is valid as long as the program runs.
    let md = unsafe { &*ctx };
    // SAFETY: not null, so the caller's, which is as long, and plain numbers.
    let Frames { packet, count } = unsafe { &mut *frames };
    let frame = Whole::new(ctx);
    let length = frame.linear.length();
    parse::full_into(&frame, &Outside { layer, length, offloaded_tag: None }, packet);
    *count = Count { bytes: u64::from(length), packets: 1 };
    if packet.is_unparsed() {
        log_rare(Rare::Unparsed, md.ingress_ifindex, epoch());
    }
    0
}

/// A frame in one piece of memory.
struct Whole {
    ctx: *mut xdp_md,
    linear: Linear,
}

impl Whole {
    #[inline(always)]
    fn new(ctx: *mut xdp_md) -> Self {
        // SAFETY: the context is valid as long as the program runs.
        Self { ctx, linear: linear(unsafe { &*ctx }) }
    }
}

impl Frame for Whole {
    #[inline(always)]
    fn read<T: Wire>(&self, at: u32) -> Option<T> {
        self.linear.read(at)
    }

    #[inline(always)]
    fn ipv4(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(ipv4_xdp(self.ctx, network, length, packet))
    }

    #[inline(always)]
    fn ipv6(&self, network: u32, length: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(ipv6_xdp(self.ctx, network, length, packet))
    }

    #[inline(always)]
    fn transport(&self, at: u32, end: u32, packet: &mut Packet) -> Result<(), Unparsed> {
        from_number(transport_xdp(self.ctx, at, end, packet))
    }
}

/// An IPv4 packet of a frame, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn ipv4_xdp(ctx: *mut xdp_md, network: u32, length: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::ipv4(&Whole::new(ctx), network, length, packet)))
}

/// An IPv6 packet, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn ipv6_xdp(ctx: *mut xdp_md, network: u32, length: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::ipv6(&Whole::new(ctx), network, length, packet)))
}

/// A transport header, as a function that is verified by itself.
#[unsafe(no_mangle)]
#[inline(never)]
fn transport_xdp(ctx: *mut xdp_md, at: u32, end: u32, packet: *mut Packet) -> u32 {
    // SAFETY: null, or the caller's.
    unsafe { packet.as_mut() }
        .map_or(0, |packet| to_number(parse::transport(&Whole::new(ctx), at, end, packet)))
}

#[inline(always)]
pub(crate) fn linear(md: &xdp_md) -> Linear {
    // SAFETY: a packet's data lies between the two as long as the program runs and does not change it.
    unsafe { Linear::new(md.data as usize, md.data_end as usize) }
}

impl MissFunctions for *mut xdp_md {
    #[inline(always)]
    fn miss(self, key: &Key, hash: u64, bytes: u64, packets: u64) -> u32 {
        miss_xdp(self, key, hash, bytes, packets)
    }

    #[inline(always)]
    fn hint(self, key: &Key) -> u64 {
        hint_xdp(self, key)
    }
}

#[unsafe(no_mangle)]
#[inline(never)]
fn miss_xdp(ctx: *mut xdp_md, key: *const Key, hash: u64, bytes: u64, packets: u64) -> u32 {
    miss(ctx, key, hash, bytes, packets)
}

#[unsafe(no_mangle)]
#[inline(never)]
fn hint_xdp(ctx: *mut xdp_md, key: *const Key) -> u64 {
    hint(ctx, key)
}
