//! Sizes of the kernel's tables.

use flowtally_common::{flow, settings};

/// Memory that the first level may take, in bytes, over all possible CPUs and both banks.
const SLOT_MEMORY: u64 = 64 << 20;
/// Host memory for each flow that the second level may hold, in bytes. Both banks take 128 bytes of it, a 128th of the
/// memory; the third level takes as much again for each bank, but only when it is needed.
const MEMORY_PER_FLOW: u64 = 16 << 10;
/// Slots in a bucket of the second level.
pub(super) const BUCKET: u32 = 4;
const _: () = assert!(BUCKET as usize == flow::BUCKET);
/// Fewest flows of the second level by default.
const MIN_DEFAULT_SPILL: u32 = 16_384;

/// Host memory for each socket whose owner is noted, in bytes: the notes take a thousandth of it.
const MEMORY_PER_NOTE: u64 = 128 << 10;

/// Sizes of the kernel's tables.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Capacity {
    /// First-level slots per CPU and bank, a power of two; not 0.
    pub slots: u32,
    /// Flows in each bank of the second level, and in each of the third, which takes what the second has no place for; not
    /// 0.
    pub flows: u32,
    /// Sockets whose owners are noted in the kernel, as it happens; with 0 none are, and nothing is attached for it.
    pub notes: u32,
}

impl Capacity {
    /// What fits a host with this many possible CPUs and this much memory in bytes.
    #[must_use]
    pub fn for_host(cpus: usize, memory: u64) -> Self {
        let slot = size_of::<flowtally_common::Slot>() as u64;
        let per_cpu = SLOT_MEMORY / (2 * slot * cpus.max(1) as u64);
        let slots =
            u32::try_from(per_cpu).unwrap_or(u32::MAX).clamp(settings::MIN_SLOTS, settings::DEFAULT_SLOTS);
        let flows = u32::try_from(memory / MEMORY_PER_FLOW).unwrap_or(u32::MAX);
        let notes = u32::try_from(memory / MEMORY_PER_NOTE).unwrap_or(u32::MAX);
        Self {
            slots: if slots.is_power_of_two() { slots } else { slots.next_power_of_two() / 2 },
            flows: flows.clamp(MIN_DEFAULT_SPILL, settings::DEFAULT_SPILL),
            notes: notes.clamp(settings::MIN_NOTES, settings::MAX_NOTES),
        }
    }

    /// The memory that tables of this capacity take on a host with so many possible CPUs.
    #[must_use]
    pub fn memory(self, cpus: usize) -> TableMemory {
        let slot = size_of::<flowtally_common::Slot>() as u64;
        let hint = size_of::<flowtally_common::SocketHint>() as u64;
        // An array has a place for each slot, and beside it one for its socket.
        let array = |slots: u64| slots * (slot + hint);
        let first = array(cpus as u64 * 2 * u64::from(self.slots));
        let second = array((2 << self.bucket_bits()) * u64::from(BUCKET));
        let flow = size_of::<flowtally_common::FlowKey>() + size_of::<flowtally_common::Count>();
        let note = size_of::<u64>() + size_of::<flowtally_common::SocketNote>();
        let bound = size_of::<u64>() + size_of::<flowtally_common::BoundKey>();
        let sockets = if self.notes > 0 { settings::MAX_BOUND } else { 1 };
        let notes = hash(self.notes.max(1), note) + 2 * hash(sockets, bound);
        let at_start = first + second + notes + 2 * buckets(self.flows);
        TableMemory { at_start, at_most: at_start + 2 * elements(self.flows, flow) }
    }

    /// Binary logarithm of the pairs per CPU and bank.
    pub(super) const fn pair_bits(self) -> u32 {
        (self.slots / 2).ilog2()
    }

    /// Binary logarithm of the second level's buckets per bank: as many slots as `flows`, rounded down, but a whole word
    /// of the bitmap at least.
    pub(super) const fn bucket_bits(self) -> u32 {
        let bits = ((self.flows / 4) | 1).ilog2();
        if bits < 6 { 6 } else { bits }
    }
}

/// What the kernel's tables take, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TableMemory {
    /// From the start.
    pub at_start: u64,
    /// When the third level, which takes memory as it is needed, is full.
    pub at_most: u64,
}

/// A hash table of the kernel with all its elements (`kernel/bpf/hashtab.c`).
fn hash(entries: u32, bytes: usize) -> u64 {
    buckets(entries) + elements(entries, bytes)
}

/// The heads of a hash table's lists.
fn buckets(entries: u32) -> u64 {
    const HEAD: u64 = 16;
    u64::from(entries.next_power_of_two()) * HEAD
}

/// The elements of a hash table, with keys and values of so many bytes together.
fn elements(entries: u32, bytes: usize) -> u64 {
    const HEADER: usize = 48;
    u64::from(entries) * (HEADER + bytes.next_multiple_of(8)) as u64
}

#[cfg(test)]
mod tests {
    use super::{Capacity, TableMemory};

    #[test]
    fn memory_follows_capacity() {
        let capacity = Capacity { slots: 1024, flows: 16_384, notes: 0 };
        // 72 bytes for each of 4,096 slots and 32,768 places; 16 for each head, and 108 rounded up to 112 for each flow of the third level.
        let at_start = 72 * (4096 + 32_768) + 2 * 16 * 16_384 + (16 + 120) + 2 * (16 + 88);
        let at_most = at_start + 2 * 16_384 * 112;
        assert_eq!(capacity.memory(2), TableMemory { at_start, at_most });
        let with_notes = Capacity { notes: 65_536, ..capacity };
        let more = 65_536 * (16 + 120) + 2 * 32_768 * (16 + 88) - (16 + 120) - 2 * (16 + 88);
        assert_eq!(with_notes.memory(2).at_start, at_start + more);
    }

    #[test]
    fn capacity_follows_cpus_and_memory() {
        let gib = 1 << 30;
        assert_eq!(
            Capacity::for_host(2, 24 * gib),
            Capacity { slots: 32_768, flows: 1 << 20, notes: 196_608 }
        );
        assert_eq!(
            Capacity::for_host(32, 8 * gib),
            Capacity { slots: 16_384, flows: 1 << 19, notes: 65_536 }
        );
        assert_eq!(Capacity::for_host(48, 8 * gib).slots, 8192);
        assert_eq!(Capacity::for_host(4096, gib), Capacity { slots: 1024, flows: 1 << 16, notes: 65_536 });
        assert_eq!(Capacity::for_host(0, 0), Capacity { slots: 32_768, flows: 16_384, notes: 65_536 });
    }
}
