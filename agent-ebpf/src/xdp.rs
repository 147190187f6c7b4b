//! The XDP programs: ingress on request. They see frames before GRO, one by one.

use aya_ebpf::{bindings::xdp_action::XDP_PASS, bindings::xdp_md, macros::xdp, programs::XdpContext};
use flowtally_common::{Count, Direction, settings::Layer};
use flowtally_ebpf::{
    linear::Linear,
    parse::{self, Outside},
};

use crate::account::{Rare, account, epoch, log_rare};

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
    // SAFETY: a packet's data lies between the two as long as the program runs and does not change it.
    let linear = unsafe { Linear::new(md.data as usize, md.data_end as usize) };
    let length = linear.length();
    match parse::fast(&linear, layer, length) {
        Some(packet) => {
            let count = Count { bytes: u64::from(length), packets: 1 };
            account(ctx, &packet, md.ingress_ifindex, Direction::Ingress, count);
        }
        None => any_frame(ctx, layer),
    }
    XDP_PASS
}

#[inline(never)]
fn any_frame(ctx: *mut xdp_md, layer: Layer) {
    // SAFETY: the context is valid as long as the program runs.
    let md = unsafe { &*ctx };
    // SAFETY: a packet's data lies between the two as long as the program runs and does not change it.
    let linear = unsafe { Linear::new(md.data as usize, md.data_end as usize) };
    let length = linear.length();
    let packet = parse::full(&linear, &Outside { layer, length, offloaded_tag: None });
    let count = Count { bytes: u64::from(length), packets: 1 };
    account(ctx, &packet, md.ingress_ifindex, Direction::Ingress, count);
    if packet.is_unparsed() {
        log_rare(Rare::Unparsed, md.ingress_ifindex, epoch());
    }
}
