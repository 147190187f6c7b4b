//! What the benchmarks compare the kernel programs with: a program that does nothing, and flow tables as everybody
//! else has them. They share the product's parser, so that the difference is the accounting alone.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        clippy::needless_pass_by_value,
        reason = "what LLVM does not inline is a call for each packet; aya hands contexts over by value"
    )
)]

/// The package builds on the host too, so that one clippy run sees all of it; there is nothing to run there.
#[cfg(not(target_arch = "bpf"))]
fn main() {}

#[cfg(target_arch = "bpf")]
mod programs {
    use aya_ebpf::{
        bindings::BPF_NOEXIST,
        macros::{classifier, map},
        maps::{LruPerCpuHashMap, PerCpuHashMap},
        programs::TcContext,
    };
    use flowtally_common::{Count, settings::Layer};
    use flowtally_ebpf::{linear::Linear, parse};

    /// `TCX_NEXT`.
    const NEXT: i32 = -1;
    /// Preallocated, as is the default, and large enough that nothing is refused.
    const FLOWS: u32 = 1 << 20;

    /// A flow as such tables have it: no VLAN, no direction, no interval.
    #[repr(C)]
    struct Key {
        src: [u64; 2],
        dst: [u64; 2],
        ports: u32,
        ifindex: u32,
    }

    const _: () = assert!(size_of::<Key>() == 40);

    #[map]
    static PLAIN: PerCpuHashMap<Key, Count> = PerCpuHashMap::with_max_entries(FLOWS, 0);

    #[map]
    static LRU: LruPerCpuHashMap<Key, Count> = LruPerCpuHashMap::with_max_entries(FLOWS, 0);

    #[classifier]
    fn bench_empty(_: TcContext) -> i32 {
        NEXT
    }

    #[classifier]
    fn bench_plain(ctx: TcContext) -> i32 {
        if let Some((key, length)) = parse(&ctx) {
            match PLAIN.get_ptr_mut(&key) {
                // SAFETY: a per-CPU element of a TC program has one writer at a time.
                Some(value) => unsafe { add(value, length) },
                None => drop(PLAIN.insert(&key, Count { bytes: length, packets: 1 }, u64::from(BPF_NOEXIST))),
            }
        }
        NEXT
    }

    #[classifier]
    fn bench_lru(ctx: TcContext) -> i32 {
        if let Some((key, length)) = parse(&ctx) {
            match LRU.get_ptr_mut(&key) {
                // SAFETY: as above.
                Some(value) => unsafe { add(value, length) },
                None => drop(LRU.insert(&key, Count { bytes: length, packets: 1 }, u64::from(BPF_NOEXIST))),
            }
        }
        NEXT
    }

    #[inline(always)]
    fn parse(ctx: &TcContext) -> Option<(Key, u64)> {
        // SAFETY: the context is valid as long as the program runs.
        let skb = unsafe { &*ctx.skb.skb };
        // SAFETY: a packet's data lies between the two as long as the program runs and does not change it.
        let linear = unsafe { Linear::new(skb.data as usize, skb.data_end as usize) };
        let packet = parse::fast(&linear, Layer::Ethernet, skb.len)?;
        let key = Key { src: packet.src, dst: packet.dst, ports: packet.ports, ifindex: skb.ifindex };
        Some((key, u64::from(skb.len)))
    }

    /// # Safety
    /// `value` must be valid and without another writer.
    #[inline(always)]
    unsafe fn add(value: *mut Count, length: u64) {
        // SAFETY: the caller vouches for it.
        let value = unsafe { &mut *value };
        value.bytes += length;
        value.packets += 1;
    }

    /// Never reached: the verifier refuses a program that could panic.
    #[panic_handler]
    fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
        loop {}
    }

    #[unsafe(link_section = "license")]
    #[unsafe(no_mangle)]
    static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
}
