//! Adds a frame to its flow: the first level inline, everything else out of line.

use aya_ebpf::{bindings::BPF_NOEXIST, helpers::bpf_get_smp_processor_id};
use core::intrinsics::{AtomicOrdering, atomic_xadd, atomic_xchg};
use flowtally_common::{Count, Direction, FlowKey, Health, HealthKey};
use flowtally_ebpf::parse::Packet;

use crate::maps::{CONTROL, HASH_SEED, HEALTH, LOGGED, PAIR_BITS, SLOTS, SPILL_EVEN, SPILL_ODD, USED};

/// A slot as the words it is compared and written by: six of key and epoch, then bytes and packets.
type Words = [u64; 8];
/// The first six words of a slot.
type Key = [u64; 6];

const BYTES: usize = 6;
const PACKETS: usize = 7;
const EPOCH_SHIFT: u32 = 32;

/// What is rare enough to log, as an index into `LOGGED`.
#[derive(Clone, Copy)]
pub(crate) enum Rare {
    Untracked = 0,
    Unparsed = 1,
}

/// The interval that frames are counted in now.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    // SAFETY: an element of the control block, which user space changes with one aligned store.
    CONTROL.get_ptr(0).map_or(0, |epoch| unsafe { epoch.read_volatile() })
}

/// Counts one frame of `packet`'s flow.
#[inline(always)]
pub(crate) fn account(packet: &Packet, ifindex: u32, direction: Direction, count: Count) {
    let epoch = epoch();
    let key: Key = [
        packet.src[0],
        packet.src[1],
        packet.dst[0],
        packet.dst[1],
        u64::from(packet.ports) | u64::from(ifindex) << 32,
        u64::from(packet.protocol)
            | (direction as u64) << 8
            | u64::from(packet.vlan) << 16
            | u64::from(epoch) << EPOCH_SHIFT,
    ];
    let bits = PAIR_BITS.load() & 31;
    // SAFETY: the helper has no preconditions.
    let region = unsafe { bpf_get_smp_processor_id() } << 1 | epoch & 1;
    let pair = (region << bits) + (hash(&key) >> (64 - bits)) as u32;
    let Some(slots) = SLOTS.get_ptr_mut(pair) else { return };
    let slots = slots.cast::<Words>();
    // SAFETY: an element is two slots, and this CPU's slots have no other writer.
    unsafe {
        if same(slots, &key) {
            add(slots, count);
        } else if same(slots.add(1), &key) {
            add(slots.add(1), count);
        } else {
            miss(&key, pair, count.bytes, count.packets);
        }
    }
}

/// Multiply-shift over the key's words with random odd multipliers, then one mixing step: the upper bits choose
/// the pair. The epoch is left out, so that a flow finds the same pair in every interval.
#[inline(always)]
fn hash(key: &Key) -> u64 {
    let [a, b, c, d] = HASH_SEED.load();
    let ends = key[1].wrapping_mul(a).wrapping_add(key[3].wrapping_mul(b));
    // Both are constant for IPv4 and cost nothing there.
    let prefixes =
        key[0].rotate_left(29).wrapping_mul(b).wrapping_add(key[2].rotate_left(29).wrapping_mul(a));
    let rest = key[4].wrapping_mul(c).wrapping_add((key[5] & 0xffff_ffff).wrapping_mul(d));
    let sum = ends.wrapping_add(prefixes).wrapping_add(rest);
    (sum ^ sum >> 32).wrapping_mul(c)
}

/// Whether the slot holds `key` in this epoch.
#[inline(always)]
unsafe fn same(slot: *const Words, key: &Key) -> bool {
    // SAFETY: the caller passes a slot of the array.
    let slot = unsafe { &*slot };
    let mut difference = 0;
    let mut word = 0;
    while word < key.len() {
        difference |= slot[word] ^ key[word];
        word += 1;
    }
    difference == 0
}

#[inline(always)]
unsafe fn add(slot: *mut Words, count: Count) {
    // SAFETY: the caller passes a slot of the array that no other program writes.
    let slot = unsafe { &mut *slot };
    slot[BYTES] += count.bytes;
    slot[PACKETS] += count.packets;
}

/// Gives `key` a slot of its pair: a free one, else the one with fewer packets, whose flow moves to the second
/// level.
#[inline(never)]
fn miss(key: &Key, pair: u32, bytes: u64, packets: u64) {
    let Some(slots) = SLOTS.get_ptr_mut(pair) else { return };
    let slots = slots.cast::<Words>();
    let epoch = key[5] >> EPOCH_SHIFT;
    // SAFETY: an element is two slots, and this CPU's slots have no other writer.
    unsafe {
        let (first, second) = (slots, slots.add(1));
        let slot = if (*first)[5] >> EPOCH_SHIFT != epoch {
            if let Some(used) = USED.get_ptr_mut(pair >> 6) {
                *used |= 1 << (pair & 63);
            }
            first
        } else if (*second)[5] >> EPOCH_SHIFT != epoch {
            second
        } else {
            let victim = if (*first)[PACKETS] <= (*second)[PACKETS] { first } else { second };
            spill(victim);
            victim
        };
        let slot = &mut *slot;
        let mut word = 0;
        while word < key.len() {
            slot[word] = key[word];
            word += 1;
        }
        slot[BYTES] = bytes;
        slot[PACKETS] = packets;
    }
}

/// Moves a slot's amounts to the second level, or to `untracked` when that is full.
///
/// # Safety
/// `slot` is a slot of the array that no other program writes.
#[inline(always)]
unsafe fn spill(slot: *const Words) {
    // SAFETY: a slot starts with its key.
    let (key, words) = unsafe { (&*slot.cast::<FlowKey>(), &*slot) };
    let count = Count { bytes: words[BYTES], packets: words[PACKETS] };
    let level = if words[5] >> EPOCH_SHIFT & 1 == 0 { &SPILL_EVEN } else { &SPILL_ODD };
    if let Some(value) = level.get_ptr_mut(key) {
        // SAFETY: an element of this bank stays until the drain, which waits until no program uses the bank.
        unsafe { add_shared(value, count) };
        return;
    }
    if let Some(spilled) = CONTROL.get_ptr_mut(1 + (words[5] >> EPOCH_SHIFT & 1) as u32) {
        // SAFETY: an aligned word that programs only ever set to 1.
        unsafe { spilled.write_volatile(1) };
    }
    if level.insert(key, count, u64::from(BPF_NOEXIST)).is_err() {
        // Full, or another CPU was first.
        if let Some(value) = level.get_ptr_mut(key) {
            // SAFETY: as above.
            unsafe { add_shared(value, count) };
        } else {
            let epoch = words[5] >> EPOCH_SHIFT;
            health(key.ifindex, key.direction, epoch, |health| health.untracked.add(count));
            log_rare(Rare::Untracked, key.ifindex, epoch as u32);
        }
    }
}

/// # Safety
/// `value` must be valid.
#[inline(always)]
unsafe fn add_shared(value: *mut Count, count: Count) {
    // SAFETY: the fields are aligned, and every writer is atomic.
    unsafe {
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*value).bytes, count.bytes);
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*value).packets, count.packets);
    }
}

/// Adds to an interface's amounts beside the flows. Without an entry there is nothing to add to: user space
/// makes the entries before it attaches.
#[inline(always)]
pub(crate) fn health(ifindex: u32, direction: u8, epoch: u64, change: impl FnOnce(&mut Health)) {
    let key = HealthKey { ifindex, direction, bank: (epoch & 1) as u8, padding: [0; 2] };
    if let Some(health) = HEALTH.get_ptr_mut(key) {
        // SAFETY: a per-CPU element has one writer at a time, for the reason given at `SLOTS`.
        change(unsafe { &mut *health });
    }
}

/// Logs a rare event, the first time in an epoch.
#[inline(never)]
pub(crate) fn log_rare(rare: Rare, ifindex: u32, epoch: u32) {
    let Some(logged) = LOGGED.get_ptr_mut(rare as u32) else { return };
    // SAFETY: an aligned word of a map with no other kind of access.
    if unsafe { atomic_xchg::<u32, { AtomicOrdering::Relaxed }>(logged, epoch) } == epoch {
        return;
    }
    match rare {
        Rare::Untracked => {
            aya_log_ebpf::warn!(
                (),
                "interface {}, epoch {}: flow table full, bytes go to untracked",
                ifindex,
                epoch
            );
        }
        Rare::Unparsed => {
            aya_log_ebpf::warn!((), "interface {}, epoch {}: a frame that can't be parsed", ifindex, epoch);
        }
    }
}
