//! Counting behind a filter. Where there is one, the entry is attached in place of what counts: it calls the filter, whose program user
//! space makes; that notes the epoch and its verdict for this CPU, and calls what counts.

use aya_ebpf::{
    bindings::xdp_action::XDP_PASS,
    helpers::bpf_get_smp_processor_id,
    macros::{classifier, xdp},
    programs::{TcContext, XdpContext},
};
use flowtally_common::{
    Count, Direction,
    settings::{Layer, TC_PLACES, XDP_PLACES, tc_place, xdp_place},
};

use crate::{
    account::{Frames, MissFunctions, account_in, epoch, health},
    maps::{FILTERED_TC, FILTERED_XDP, JUDGED},
    tc, xdp,
};

/// What a filter has said of the frame at hand.
struct FilterVerdict {
    /// The epoch that it was judged in, and counts in.
    epoch: u32,
    matches: bool,
}

impl FilterVerdict {
    #[inline(always)]
    fn of_this_cpu() -> Option<Self> {
        // SAFETY: the helper has no preconditions.
        let judged = JUDGED.get(unsafe { bpf_get_smp_processor_id() })?;
        Some(Self { epoch: judged[0], matches: judged[1] != 0 })
    }

    /// Counts a frame in its flow, or beside the flows.
    #[inline(always)]
    fn count<C: MissFunctions>(&self, context: C, frames: &Frames, ifindex: u32, direction: Direction) {
        if self.matches {
            account_in(context, frames, ifindex, direction, self.epoch);
        } else {
            health(ifindex, direction as u8, u64::from(self.epoch), |health| {
                health.filtered.bytes += frames.count.bytes;
                health.filtered.packets += frames.count.packets;
            });
        }
    }
}

/// Counts a frame that no filter could be asked about: user space sees to it that there is one, but a frame in no count would make the
/// others doubtful. As the hook sees it, for the reading of super-packets and tags is a function, and before Linux 6.0 some machines have no
/// tail calls in programs with functions.
#[inline(always)]
fn unjudged(length: u32, ifindex: u32, direction: Direction) {
    health(ifindex, direction as u8, u64::from(epoch()), |health| {
        health.untracked.add(Count { bytes: u64::from(length), packets: 1 });
    });
}

macro_rules! tc_programs {
    ($($entry:ident, $judged:ident, $direction:ident, $layer:ident;)*) => {$(
        #[classifier]
        pub(crate) fn $entry(ctx: TcContext) -> i32 {
            const PLACE: u32 = tc_place(Direction::$direction, Layer::$layer);
            // SAFETY: what is called is of this kind.
            unsafe { FILTERED_TC.tail_call(&ctx, PLACE) };
            // SAFETY: the context is valid as long as the program runs.
            let skb = unsafe { &*ctx.skb.skb };
            unjudged(skb.len, skb.ifindex, Direction::$direction);
            tc::NEXT
        }

        #[classifier]
        pub(crate) fn $judged(ctx: TcContext) -> i32 {
            let skb = ctx.skb.skb;
            if let Some(verdict) = FilterVerdict::of_this_cpu() {
                let frames = tc::frames(skb, Direction::$direction, Layer::$layer, verdict.epoch.into());
                // SAFETY: the context is valid as long as the program runs.
                verdict.count(skb, &frames, unsafe { (*skb).ifindex }, Direction::$direction);
            }
            tc::NEXT
        }
    )*};
}

macro_rules! xdp_programs {
    ($($entry:ident, $judged:ident, $layer:ident;)*) => {$(
        #[xdp]
        pub(crate) fn $entry(ctx: XdpContext) -> u32 {
            const PLACE: u32 = xdp_place(Layer::$layer);
            // SAFETY: what is called is of this kind.
            unsafe { FILTERED_XDP.tail_call(&ctx, PLACE) };
            // SAFETY: the context is valid as long as the program runs.
            let md = unsafe { &*ctx.ctx };
            unjudged(xdp::linear(md).length(), md.ingress_ifindex, Direction::Ingress);
            XDP_PASS
        }

        #[xdp]
        pub(crate) fn $judged(ctx: XdpContext) -> u32 {
            let md = ctx.ctx;
            if let Some(verdict) = FilterVerdict::of_this_cpu() {
                let frames = xdp::frames(md, Layer::$layer);
                // SAFETY: the context is valid as long as the program runs.
                verdict.count(md, &frames, unsafe { (*md).ingress_ifindex }, Direction::Ingress);
            }
            XDP_PASS
        }
    )*};
}

const _: () = assert!(TC_PLACES == 4 && XDP_PLACES == 2);

tc_programs! {
    flowtally_filtered_ingress_ethernet, flowtally_judged_ingress_ethernet, Ingress, Ethernet;
    flowtally_filtered_ingress_ip, flowtally_judged_ingress_ip, Ingress, Ip;
    flowtally_filtered_egress_ethernet, flowtally_judged_egress_ethernet, Egress, Ethernet;
    flowtally_filtered_egress_ip, flowtally_judged_egress_ip, Egress, Ip;
}

xdp_programs! {
    flowtally_filtered_xdp_ethernet, flowtally_judged_xdp_ethernet, Ethernet;
    flowtally_filtered_xdp_ip, flowtally_judged_xdp_ip, Ip;
}
