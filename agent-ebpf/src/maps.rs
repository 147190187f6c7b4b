//! Every map and load-time value. The sizes here are placeholders: user space sets them at load.

use aya_ebpf::{
    Global,
    macros::map,
    maps::{Array, HashMap, LruHashMap, PerCpuHashMap, ProgramArray},
};
use flowtally_common::{
    BoundKey, Count, FlowKey, Health, HealthKey, SocketNote,
    flow::{Bucket, Pair},
    settings,
};

/// `linux/bpf.h`
const BPF_F_MMAPABLE: u32 = 1 << 10;
/// `linux/bpf.h`: memory is taken when a flow needs it, not for the whole capacity at load.
const BPF_F_NO_PREALLOC: u32 = 1;

/// First level. A region of `1 << PAIR_BITS` pairs for each CPU and bank.
///
/// A region has one writer at a time: programs of one CPU run with bottom halves disabled (`__dev_queue_xmit`,
/// `__netif_receive_skb` and the XDP callers all see to that), so none interrupts another.
#[map]
pub(crate) static SLOTS: Array<Pair> = Array::with_max_entries(2 << 9, BPF_F_MMAPABLE);

/// A bit for each pair of `SLOTS`: used in the epoch that last wrote it.
#[map]
pub(crate) static USED: Array<u64> = Array::with_max_entries((2 << 9) / 64, BPF_F_MMAPABLE);

/// A [`SocketHint`](flowtally_common::SocketHint) for each slot of `SLOTS`: the flow's socket. Apart from the slots, which are
/// a cache line each and written for every frame; this is written when a flow takes its slot.
#[map]
pub(crate) static HINTS: Array<u64> = Array::with_max_entries(2 << 10, BPF_F_MMAPABLE);

/// Second level: what found no room in its CPU's slots. A region of `1 << BUCKET_BITS` buckets for each bank.
#[map]
pub(crate) static SHARED: Array<Bucket> = Array::with_max_entries(2 << 6, BPF_F_MMAPABLE);

/// A bit for each bucket of `SHARED`, as `USED`.
#[map]
pub(crate) static SHARED_USED: Array<u64> = Array::with_max_entries((2 << 6) / 64, BPF_F_MMAPABLE);

/// As `HINTS`, for each slot of `SHARED`. Written by whoever claimed the slot.
#[map]
pub(crate) static SHARED_HINTS: Array<u64> = Array::with_max_entries(2 << 8, BPF_F_MMAPABLE);

/// Element 0 is the current epoch, which user space moves on. Elements 1 and 2 tell user space whether the third
/// level's even and odd bank hold anything.
#[map]
pub(crate) static CONTROL: Array<u32> = Array::with_max_entries(3, BPF_F_MMAPABLE);

/// Third level, even epochs: what found no room in its buckets either.
#[map]
pub(crate) static SPILL_EVEN: HashMap<FlowKey, Count> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);

/// Third level, odd epochs.
#[map]
pub(crate) static SPILL_ODD: HashMap<FlowKey, Count> = HashMap::with_max_entries(1024, BPF_F_NO_PREALLOC);

/// User space makes an interface's entries before it attaches; the programs only add to them. Made beforehand they would cost a start 18 ms,
/// a call of the kernel's allocator for each.
#[map]
pub(crate) static HEALTH: PerCpuHashMap<HealthKey, Health> =
    PerCpuHashMap::with_max_entries(4 * settings::MAX_INTERFACES, BPF_F_NO_PREALLOC);

/// By place ([`settings::tc_place`]) the filter that an entry calls, and behind those the program that the filter calls.
#[map]
pub(crate) static FILTERED_TC: ProgramArray = ProgramArray::with_max_entries(2 * settings::TC_PLACES, 0);

/// The same for XDP ([`settings::xdp_place`]).
#[map]
pub(crate) static FILTERED_XDP: ProgramArray = ProgramArray::with_max_entries(2 * settings::XDP_PLACES, 0);

/// For each CPU what its filter has said of the frame at hand: the epoch, and whether it matches. A cache line each. Written and
/// read by programs of one CPU, of which none interrupts another, as with `SLOTS`.
#[map]
pub(crate) static JUDGED: Array<[u32; 16]> = Array::with_max_entries(1, 0);

/// By kind of rare event, the epoch whose log line is already written.
#[map]
pub(crate) static LOGGED: Array<u32> = Array::with_max_entries(2, 0);

/// Who owns a socket, by its cookie. Outlives socket and process until others need the room.
#[map]
pub(crate) static NOTES: LruHashMap<u64, SocketNote> = LruHashMap::with_max_entries(1, 0);

/// Cookie of the socket that is bound to an address and port.
#[map]
pub(crate) static BOUND: LruHashMap<BoundKey, u64> = LruHashMap::with_max_entries(1, 0);

/// What a socket is bound to, by its cookie: when it is closed its address can't be read any more.
#[map]
pub(crate) static BINDINGS: LruHashMap<u64, BoundKey> = LruHashMap::with_max_entries(1, 0);

/// Where in the running kernel's structures the owner programs find what helpers do not tell: `task_struct`'s
/// `group_leader`, `start_boottime`, `comm` and `cred`, and `cred`'s `euid`, in bytes. All 0 where that is not known; then
/// the verifier removes the code.
#[unsafe(no_mangle)]
pub(crate) static TASK: Global<[u32; 5]> = Global::new([0; 5]);

/// Cookie of the network namespace whose interfaces are counted; 0 when sockets are not looked for by their port.
#[unsafe(no_mangle)]
pub(crate) static NETNS: Global<u64> = Global::new(0);

/// Binary logarithm of the pairs in a region.
#[unsafe(no_mangle)]
pub(crate) static PAIR_BITS: Global<u32> = Global::new(9);

/// Binary logarithm of the buckets in a bank.
#[unsafe(no_mangle)]
pub(crate) static BUCKET_BITS: Global<u32> = Global::new(6);

/// Odd multipliers of the hash, random for each load.
#[unsafe(no_mangle)]
pub(crate) static HASH_SEED: Global<[u64; 4]> = Global::new([1, 3, 5, 7]);
