//! Adds a frame to its flow: the first level inline, everything else out of line.
//!
//! A flow that is in its slot costs two additions and no call. The rest is a function for each step: `miss` takes a slot or
//! makes way for the flow, `share` asks the second level, `overflow` the third, and what finds no room there is `untracked`.
//! A slot's and a key's words are in `slot`.
//!
//! Each of these functions is global: the verifier goes through it once, with arguments of which it knows the types alone, and not anew
//! for each call and whatever it knows there. So they take pointers that may be null for all that it knows, and return numbers.

use aya_ebpf::{
    bindings::BPF_NOEXIST,
    helpers::{bpf_get_prandom_u32, bpf_get_smp_processor_id},
};
use core::{
    intrinsics::{AtomicOrdering, atomic_cxchg, atomic_or, atomic_xadd, atomic_xchg},
    mem::MaybeUninit,
};
use flowtally_common::{Count, Direction, FlowKey, Health, HealthKey, flow::BUCKET};
use flowtally_ebpf::parse::Packet;

use crate::{
    maps::{
        BUCKET_BITS, CONTROL, HASH_SEED, HEALTH, HINTS, LOGGED, PAIR_BITS, SHARED, SHARED_HINTS, SHARED_USED,
        SLOTS, SPILL_EVEN, SPILL_ODD, USED,
    },
    slot::{Key, Words},
};

const BYTES: usize = 6;
const PACKETS: usize = 7;
const EPOCH_SHIFT: u32 = 32;
/// Buckets of the second level that a key may live in, one behind the other.
const BUCKETS: u32 = 4;
/// How seldom a frame that finds its pair full takes a slot.
const EVICT_ONE_IN: u32 = 8;
/// What [`share`] says when all buckets that the key may live in are full.
const FULL: u32 = u32::MAX;
/// What it says when the flow was there already.
const JOINED: u32 = u32::MAX - 1;
/// Set in the direction's byte, of which the direction needs one bit, while a slot of the second level is being filled.
const CLAIMED: u64 = 0x80 << 8;

/// What is rare enough to log, as an index into `LOGGED`.
#[derive(Clone, Copy)]
pub(crate) enum Rare {
    Untracked = 0,
    Unparsed = 1,
}

/// What becomes of a frame without a slot, by the kind of a program's context: global functions are no generic ones.
pub(crate) trait MissFunctions: Copy {
    /// [`miss`] as a global function.
    fn miss(self, key: &Key, hash: u64, bytes: u64, packets: u64) -> u32;
    /// [`hint`](crate::hint::hint) as a global function.
    fn hint(self, key: &Key) -> u64;
}

/// What is to be counted.
pub(crate) struct Frames {
    pub(crate) packet: Packet,
    pub(crate) count: Count,
}

impl Frames {
    /// What a function that is verified by itself has written there.
    #[inline(always)]
    pub(crate) fn filled(fill: impl FnOnce(*mut Self) -> u32) -> Self {
        const WORDS: usize = size_of::<Frames>() / 8;
        const { assert!(size_of::<Self>() == 8 * WORDS) };
        let mut frames = MaybeUninit::<Self>::uninit();
        let mut word = 0;
        while word < WORDS {
            // SAFETY: memory of this function's own. Volatile, for kernels before 6.3 want all of it written before the call.
            unsafe { frames.as_mut_ptr().cast::<u64>().add(word).write_volatile(0) };
            word += 1;
        }
        fill(frames.as_mut_ptr());
        // SAFETY: the function has written it; and all zeros is a value too.
        unsafe { frames.assume_init() }
    }
}

/// In place of an epoch, of which none has more than 32 bits: the current one.
pub(crate) const NOW: u64 = u64::MAX;

/// The interval that frames are counted in now.
#[inline(always)]
pub(crate) fn epoch() -> u32 {
    // SAFETY: an element of the control block, which user space changes with one aligned store.
    CONTROL.get_ptr(0).map_or(0, |epoch| unsafe { epoch.read_volatile() })
}

/// Counts frames of one flow.
#[inline(always)]
pub(crate) fn account<C: MissFunctions>(context: C, frames: &Frames, ifindex: u32, direction: Direction) {
    account_in(context, frames, ifindex, direction, epoch());
}

/// The same in an epoch that was current when the frame came.
#[inline(always)]
pub(crate) fn account_in<C: MissFunctions>(
    context: C,
    frames: &Frames,
    ifindex: u32,
    direction: Direction,
    epoch: u32,
) {
    let Frames { packet, count } = frames;
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
    let hash = hash(&key);
    let pair = pair(hash, epoch);
    let Some(slots) = SLOTS.get_ptr_mut(pair) else { return };
    let slots = slots.cast::<Words>();
    // SAFETY: an element is two slots, and this CPU's slots have no other writer.
    unsafe {
        if same(slots, &key) {
            add(slots, *count);
        } else if same(slots.add(1), &key) {
            add(slots.add(1), *count);
        } else if context.miss(&key, hash, count.bytes, count.packets) == 0 {
            // Logged from here, for the stack of a chain of calls is short; from the key, which is on it anyway.
            log_rare(Rare::Untracked, (key[4] >> 32) as u32, (key[5] >> EPOCH_SHIFT) as u32);
        }
    }
}

/// The pair of this CPU's slots that a flow with this hash is looked for in.
#[inline(always)]
fn pair(hash: u64, epoch: u32) -> u32 {
    let bits = PAIR_BITS.load() & 31;
    // SAFETY: the helper has no preconditions.
    let region = unsafe { bpf_get_smp_processor_id() } << 1 | epoch & 1;
    (region << bits) + (hash >> (64 - bits)) as u32
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

/// Gives `key` a free slot of its pair. Without one the frame goes to the second level; or now and then, by chance, the
/// pair's flow with fewer packets does and leaves its slot: so flows with many packets end up in the first level, and
/// those with few seldom cost more than the addition in the second. 0 when something became untracked.
#[inline(always)]
pub(crate) fn miss<C: MissFunctions>(
    context: C,
    key: *const Key,
    hash: u64,
    bytes: u64,
    packets: u64,
) -> u32 {
    // SAFETY: null, or a key of the caller's.
    let Some(key) = (unsafe { key.as_ref() }) else { return 1 };
    let pair = pair(hash, (key[5] >> EPOCH_SHIFT) as u32);
    let Some(slots) = SLOTS.get_ptr_mut(pair) else { return 1 };
    let slots = slots.cast::<Words>();
    let epoch = key[5] >> EPOCH_SHIFT;
    // SAFETY: an element is two slots, and this CPU's slots have no other writer.
    unsafe {
        let (first, second) = (slots, slots.add(1));
        let mut tracked = 1;
        // Where the flow's socket is noted: in which level, and at which slot.
        let (own, at) = if (*first)[5] >> EPOCH_SHIFT != epoch {
            if let Some(used) = USED.get_ptr_mut(pair >> 6) {
                *used |= 1 << (pair & 63);
            }
            (true, pair << 1)
        } else if (*second)[5] >> EPOCH_SHIFT != epoch {
            (true, pair << 1 | 1)
        } else if !bpf_get_prandom_u32().is_multiple_of(EVICT_ONE_IN) {
            match share(key, hash, bytes, packets) {
                FULL => return overflow(key, bytes, packets),
                JOINED => return 1,
                claimed => (false, claimed),
            }
        } else {
            let place = u32::from((*first)[PACKETS] > (*second)[PACKETS]);
            let victim = slots.add(place as usize);
            let loser = &*victim.cast::<Key>();
            let (bytes, packets) = ((*victim)[BYTES], (*victim)[PACKETS]);
            match share(loser, self::hash(loser), bytes, packets) {
                FULL => tracked = overflow(loser, bytes, packets),
                JOINED => {}
                claimed => note(false, claimed, HINTS.get(pair << 1 | place).map_or(0, |hint| *hint)),
            }
            (true, pair << 1 | place)
        };
        if own {
            let slot = &mut *slots.add((at & 1) as usize);
            let mut word = 0;
            while word < key.len() {
                slot[word] = key[word];
                word += 1;
            }
            slot[BYTES] = bytes;
            slot[PACKETS] = packets;
        }
        // One call for all ways here.
        note(own, at, context.hint(key));
        tracked
    }
}

/// Notes a flow's socket beside its slot, which nobody else takes in this epoch; it is read in the next.
#[inline(always)]
fn note(own: bool, at: u32, hint: u64) {
    let hints = if own { &HINTS } else { &SHARED_HINTS };
    if let Some(noted) = hints.get_ptr_mut(at) {
        // SAFETY: a word of the map.
        unsafe { *noted = hint };
    }
}

/// Adds to the second level. Returns [`FULL`], [`JOINED`], or the number of the slot that the flow took.
///
/// Several CPUs write here. A slot belongs to whoever exchanges the last word of a free one for its own with `CLAIMED`;
/// it is complete when that mark is gone. A CPU that meets a claimed slot takes the next one, even if both hold the same
/// flow: a drain may hand out a flow in several parts.
#[unsafe(no_mangle)]
#[inline(never)]
fn share(key: *const Key, hash: u64, bytes: u64, packets: u64) -> u32 {
    // SAFETY: null, or a key of the caller's.
    let Some(key) = (unsafe { key.as_ref() }) else { return FULL };
    let epoch = key[5] >> EPOCH_SHIFT;
    let bits = BUCKET_BITS.load() & 31;
    let home = (hash >> (64 - bits)) as u32;
    let mask = (1 << bits) - 1;
    let region = (epoch as u32 & 1) << bits;
    let mut step = 0;
    while step < BUCKETS {
        let bucket = region + ((home + step) & mask);
        let Some(slots) = SHARED.get_ptr_mut(bucket) else { return FULL };
        let mut place = 0;
        while place < BUCKET {
            // SAFETY: an element is that many slots.
            let slot = unsafe { slots.cast::<Words>().add(place) };
            // SAFETY: an aligned word of the slot, which others change with atomic instructions.
            let last = unsafe { (&raw const (*slot)[5]).read_volatile() };
            if last == key[5] {
                // SAFETY: a complete slot, whose key nobody changes in this epoch.
                if unsafe { join(slot, key, bytes, packets) } {
                    return JOINED;
                }
            } else if last >> EPOCH_SHIFT != epoch {
                // SAFETY: as the word was read.
                if unsafe { claim(slot, last, key, bytes, packets) } {
                    if place == 0 {
                        mark_used(bucket);
                    }
                    return bucket * BUCKET as u32 + place as u32;
                }
            }
            place += 1;
        }
        step += 1;
    }
    FULL
}

/// Adds to a slot if its key is `key`.
///
/// # Safety
/// `slot` must be a slot that is complete in this epoch.
#[inline(always)]
unsafe fn join(slot: *mut Words, key: &Key, bytes: u64, packets: u64) -> bool {
    // SAFETY: the caller's; every writer of the amounts is atomic.
    unsafe {
        if !same_words(slot, key) {
            return false;
        }
        atomic_xadd::<u64, u64, { AtomicOrdering::SeqCst }>(&raw mut (*slot)[PACKETS], packets);
        // The key may have been read before the word that says it is complete, and be that of an earlier epoch. Past the
        // atomic addition, which orders memory, it is what it is.
        if !same_words(slot, key) {
            atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(
                &raw mut (*slot)[PACKETS],
                packets.wrapping_neg(),
            );
            return false;
        }
        atomic_xadd::<u64, u64, { AtomicOrdering::Relaxed }>(&raw mut (*slot)[BYTES], bytes);
        true
    }
}

/// Takes a free slot, whose last word is `free`, and fills it; `false` when another CPU was first.
///
/// # Safety
/// `slot` must be a slot.
#[inline(always)]
unsafe fn claim(slot: *mut Words, free: u64, key: &Key, bytes: u64, packets: u64) -> bool {
    // SAFETY: the caller's; a claimed slot has one writer.
    unsafe {
        let last = &raw mut (*slot)[5];
        let (_, claimed) = atomic_cxchg::<u64, { AtomicOrdering::SeqCst }, { AtomicOrdering::SeqCst }>(
            last,
            free,
            key[5] | CLAIMED,
        );
        if claimed {
            let mut word = 0;
            while word < 5 {
                (&raw mut (*slot)[word]).write_volatile((&raw const key[word]).read_volatile());
                word += 1;
            }
            (&raw mut (*slot)[BYTES]).write_volatile(bytes);
            (&raw mut (*slot)[PACKETS]).write_volatile(packets);
            atomic_xchg::<u64, { AtomicOrdering::SeqCst }>(last, key[5]);
        }
        claimed
    }
}

/// Whether the first five words of the slot are `key`'s.
#[inline(always)]
unsafe fn same_words(slot: *const Words, key: &Key) -> bool {
    let mut word = 0;
    while word < 5 {
        // SAFETY: the caller passes a slot; another CPU may be writing it. The key is read as volatile so that its words
        // are not kept on the stack, of which a chain of calls has 512 bytes.
        let differ =
            unsafe { (&raw const (*slot)[word]).read_volatile() != (&raw const key[word]).read_volatile() };
        if differ {
            return false;
        }
        word += 1;
    }
    true
}

#[inline(always)]
fn mark_used(bucket: u32) {
    if let Some(used) = SHARED_USED.get_ptr_mut(bucket >> 6) {
        // SAFETY: an aligned word that programs only add bits to, atomically.
        unsafe { atomic_or::<u64, u64, { AtomicOrdering::Relaxed }>(used, 1 << (bucket & 63)) };
    }
}

/// Adds to the third level; or to `untracked` when that is full, and returns 0.
#[unsafe(no_mangle)]
#[inline(never)]
fn overflow(key: *const Key, bytes: u64, packets: u64) -> u32 {
    // SAFETY: null, or a key of the caller's.
    let Some(key) = (unsafe { key.as_ref() }) else { return 1 };
    let count = Count { bytes, packets };
    let epoch = key[5] >> EPOCH_SHIFT;
    let bank = epoch & 1;
    let level = if bank == 0 { &SPILL_EVEN } else { &SPILL_ODD };
    // On this function's own stack: kernels before 6.2 take no key of a map from what a global function is passed.
    let words = copy(key);
    // SAFETY: a slot starts with its key, and so do these words.
    let flow = unsafe { &*(&raw const words).cast::<FlowKey>() };
    if let Some(value) = level.get_ptr_mut(flow) {
        // SAFETY: an element of this bank stays until the drain, which waits until no program uses the bank.
        unsafe { add_shared(value, count) };
        return 1;
    }
    if let Some(spilled) = CONTROL.get_ptr_mut(1 + bank as u32) {
        // SAFETY: an aligned word that programs only ever set to 1.
        unsafe { spilled.write_volatile(1) };
    }
    if level.insert(flow, count, u64::from(BPF_NOEXIST)).is_err() {
        // Full, or another CPU was first.
        let Some(value) = level.get_ptr_mut(flow) else {
            health(flow.ifindex, flow.direction, epoch, |health| health.untracked.add(count));
            return 0;
        };
        // SAFETY: as above.
        unsafe { add_shared(value, count) };
    }
    1
}

/// Word by word, and volatile: not by a call of `memcpy`, which takes stack.
#[inline(always)]
fn copy(key: &Key) -> Key {
    let mut copy = MaybeUninit::<Key>::uninit();
    let mut word = 0;
    while word < key.len() {
        // SAFETY: memory of the caller's own, as long as a key.
        unsafe { copy.as_mut_ptr().cast::<u64>().add(word).write_volatile(key[word]) };
        word += 1;
    }
    // SAFETY: all of it is written.
    unsafe { copy.assume_init() }
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
#[inline(always)]
pub(crate) fn log_rare(rare: Rare, ifindex: u32, epoch: u32) {
    log(rare as u32, ifindex, epoch);
}

/// The same of a [`Rare`] as a number. Always 0, for such a function has to return a number.
#[unsafe(no_mangle)]
#[inline(never)]
fn log(rare: u32, ifindex: u32, epoch: u32) -> u32 {
    let Some(logged) = LOGGED.get_ptr_mut(rare) else { return 0 };
    // SAFETY: an aligned word of a map with no other kind of access.
    if unsafe { atomic_xchg::<u32, { AtomicOrdering::Relaxed }>(logged, epoch) } == epoch {
        return 0;
    }
    if rare == Rare::Untracked as u32 {
        aya_log_ebpf::warn!(
            (),
            "interface {}, epoch {}: flow table full, bytes go to untracked",
            ifindex,
            epoch
        );
    } else {
        aya_log_ebpf::warn!((), "interface {}, epoch {}: a frame that can't be parsed", ifindex, epoch);
    }
    0
}
