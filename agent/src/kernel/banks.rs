//! The kernel's tables seen from here: the flip, and the drain of the retired bank.
//!
//! Exact by construction: after the epoch has moved on and every program that was running has ended, nobody writes the
//! retired bank, so what is read is that interval's traffic, whole and once.

use std::{
    io,
    os::fd::AsFd,
    sync::atomic::{AtomicU32, Ordering},
    thread,
    time::Duration,
};

use aya::{
    Ebpf,
    maps::{MapData, MapError, PerCpuHashMap, PerCpuValues},
};
use flowtally_common::{Count, Direction, FlowKey, Health, HealthKey, SocketHint, flow::Slots, settings};

use super::{
    capacity::Capacity,
    error::KernelError,
    mapped::{Mapped, hand_out, take, take_map},
    shared::SharedLevel,
    sys,
};

/// Words of the control block.
const EPOCH: usize = 0;
const SPILLED: usize = 1;
const CONTROL_WORDS: usize = 3;

/// The maps of the first level: slots, hints, used.
const FIRST: [&str; 3] = [settings::SLOTS, settings::HINTS, settings::USED];

/// [`HealthKey`] and [`Health`] as aya passes them.
type HealthMap = PerCpuHashMap<MapData, [u8; 8], [u64; 8]>;

/// The maps of a loaded object.
pub(super) struct Banks {
    control: Mapped<ControlWord>,
    first: Level<2>,
    second: SharedLevel,
    spill: [MapData; 2],
    health: HealthMap,
    cpus: usize,
    epoch: u32,
}

impl Banks {
    /// Maps the tables of `ebpf` into this process and starts the first epoch.
    pub(super) fn open(ebpf: &mut Ebpf, capacity: Capacity, cpus: usize) -> Result<Self, KernelError> {
        let banks = Self {
            control: Mapped::open(ebpf, settings::CONTROL, CONTROL_WORDS)?,
            first: Level::open(ebpf, FIRST, capacity.pair_bits(), cpus * 2)?,
            second: SharedLevel::open(ebpf, capacity.bucket_bits())?,
            spill: [take(ebpf, settings::SPILL[0])?, take(ebpf, settings::SPILL[1])?],
            health: HealthMap::try_from(take_map(ebpf, settings::HEALTH)?)
                .map_err(|error| KernelError::explain("opening the map HEALTH", &error))?,
            cpus,
            // Slots start out as epoch 0, which must not be a current one.
            epoch: 1,
        };
        banks.control_word(EPOCH).store(banks.epoch, Ordering::Release);
        Ok(banks)
    }

    fn control_word(&self, index: usize) -> &AtomicU32 {
        // SAFETY: the element lives as long as `self`, and every access to it here is atomic.
        unsafe { &(*self.control.at(index)).0 }
    }

    /// Makes room for an interface's amounts beside the flows.
    pub(super) fn add_interface(&mut self, ifindex: u32) -> Result<(), KernelError> {
        for key in health_keys(ifindex) {
            self.insert_zeros(key)
                .map_err(|error| KernelError::explain("making room for an interface's counters", &error))?;
        }
        Ok(())
    }

    /// Makes or clears an interface's amounts. The kernel's stock of such memory may be used up, which it fills again in the background.
    fn insert_zeros(&mut self, key: HealthKey) -> Result<(), MapError> {
        const ATTEMPTS: usize = 100;
        const BETWEEN: Duration = Duration::from_millis(1);
        let is_short = |result: &Result<(), MapError>| {
            matches!(result, Err(MapError::SyscallError(error))
                if error.io_error.raw_os_error() == Some(libc::ENOMEM))
        };
        let mut insert = || {
            let zeros = PerCpuValues::try_from(vec![[0; 8]; self.cpus]).map_err(MapError::from)?;
            self.health.insert(health_key(key), zeros, 0)
        };
        let mut result = insert();
        for _ in 1..ATTEMPTS {
            if !is_short(&result) {
                break;
            }
            thread::sleep(BETWEEN);
            result = insert();
        }
        result
    }

    /// Forgets an interface's amounts. That it is unknown is no fault: it is gone either way.
    pub(super) fn remove_interface(&mut self, ifindex: u32) {
        for key in health_keys(ifindex) {
            drop(self.health.remove(&health_key(key)));
        }
    }

    /// The epoch that frames are counted in.
    pub(super) const fn epoch(&self) -> u32 {
        self.epoch
    }

    /// Starts a new epoch: from now on frames are counted in the other bank.
    pub(super) fn flip(&mut self) -> Retired {
        let retired = Retired { epoch: self.epoch };
        // Never 0, which every slot starts as; the step from MAX to 2 keeps the banks alternating.
        self.epoch = if self.epoch == u32::MAX { 2 } else { self.epoch + 1 };
        self.control_word(EPOCH).store(self.epoch, Ordering::SeqCst);
        retired
    }

    /// Waits until no program writes the retired bank, then takes everything in it.
    pub(super) fn drain(
        &mut self,
        retired: &Retired,
        interfaces: impl Iterator<Item = u32>,
        sink: &mut impl FnMut(Drained<'_>),
    ) -> Result<Fill, KernelError> {
        let failed = |doing| move |error: io::Error| KernelError::explain(doing, &error);
        sys::wait_for_programs().map_err(failed("waiting for the running programs"))?;
        let bank = (retired.epoch & 1) as usize;
        let mut fill = Fill::default();
        // SAFETY: nobody writes this bank now.
        unsafe {
            for cpu in 0..self.cpus {
                let mut taken = 0;
                self.first.take(cpu * 2 + bank, retired.epoch, &mut |key, count, hint| {
                    taken += 1;
                    sink(Drained::Flow(key, count, hint));
                });
                fill.first = fill.first.max(taken);
            }
            let taken = self.second.take(bank, retired.epoch, &mut |key, count, hint| {
                fill.second += 1;
                sink(Drained::Flow(key, count, hint));
            });
            taken.map_err(failed("reading the second level"))?;
        }
        let spilled = self.control_word(SPILLED + bank);
        if spilled.load(Ordering::Acquire) != 0 {
            spilled.store(0, Ordering::Relaxed);
            let mut flows = |key: &FlowKey, count| {
                fill.third += 1;
                sink(Drained::Flow(key, count, SocketHint::NONE));
            };
            sys::take_all(self.spill[bank].fd().as_fd(), &mut flows)
                .map_err(failed("reading the third level"))?;
        }
        for ifindex in interfaces {
            for direction in Direction::BOTH {
                let key = HealthKey {
                    ifindex,
                    direction: direction as u8,
                    bank: u8::try_from(bank).unwrap_or(0),
                    padding: [0; 2],
                };
                if let Some(amounts) = self.take_health(key)? {
                    sink(Drained::Health(key, &amounts));
                }
            }
        }
        Ok(fill)
    }

    fn take_health(&mut self, key: HealthKey) -> Result<Option<Health>, KernelError> {
        let per_cpu = match self.health.get(&health_key(key), 0) {
            Ok(per_cpu) => per_cpu,
            Err(MapError::KeyNotFound) => return Ok(None),
            Err(error) => return Err(KernelError::explain("reading an interface's counters", &error)),
        };
        let mut sum = Health::default();
        for [untracked_bytes, untracked_packets, gso_bytes, gso_packets, tag_bytes, tag_packets, rest @ ..] in
            per_cpu.iter()
        {
            let [filtered_bytes, filtered_packets] = rest;
            sum.add(&Health {
                untracked: Count { bytes: *untracked_bytes, packets: *untracked_packets },
                gso_extra: Count { bytes: *gso_bytes, packets: *gso_packets },
                offloaded_tags: Count { bytes: *tag_bytes, packets: *tag_packets },
                filtered: Count { bytes: *filtered_bytes, packets: *filtered_packets },
            });
        }
        if sum == Health::default() {
            return Ok(None);
        }
        self.insert_zeros(key)
            .map_err(|error| KernelError::explain("clearing an interface's counters", &error))?;
        Ok(Some(sum))
    }
}

/// An array of slots, `N` an element, in regions of `1 << bits` elements, with an array of the flows' sockets beside it, and a
/// bitmap of the elements that were used.
struct Level<const N: usize> {
    elements: Mapped<Slots<N>>,
    hints: Mapped<[SocketHint; N]>,
    used: Mapped<u64>,
    bits: u32,
}

impl<const N: usize> Level<N> {
    fn open(
        ebpf: &mut Ebpf,
        [elements, hints, used]: [&'static str; 3],
        bits: u32,
        regions: usize,
    ) -> Result<Self, KernelError> {
        let count = regions << bits;
        Ok(Self {
            elements: Mapped::open(ebpf, elements, count)?,
            hints: Mapped::open(ebpf, hints, count)?,
            used: Mapped::open(ebpf, used, count / 64)?,
            bits,
        })
    }

    /// Reads a region's slots of an epoch, guided by the bitmap, and clears that.
    ///
    /// # Safety
    /// No program may be writing the region.
    unsafe fn take(
        &mut self,
        region: usize,
        epoch: u32,
        flows: &mut impl FnMut(&FlowKey, Count, SocketHint),
    ) {
        let words = (1_usize << self.bits) / 64;
        for word in region * words..(region + 1) * words {
            let used = self.used.at(word);
            // SAFETY: a word of the map, which no program writes now.
            let mut bits = unsafe { used.read() };
            if bits == 0 {
                continue;
            }
            // SAFETY: as above.
            unsafe { used.write(0) };
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                // SAFETY: an element of the map, which no program writes now.
                let slots = unsafe { &*self.elements.at(index) };
                // SAFETY: as above.
                let hints = unsafe { &*self.hints.at(index) };
                hand_out(slots, hints, epoch, flows);
            }
        }
    }
}

/// An element of the control block: array maps pad their elements to eight bytes.
#[repr(C, align(8))]
struct ControlWord(AtomicU32);

/// An epoch that no new frame is counted in.
#[derive(Debug)]
pub struct Retired {
    epoch: u32,
}

/// How many flows an epoch had in each level of the tables.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fill {
    /// On the CPU with the most, of [`Capacity::slots`].
    pub first: u64,
    /// Of [`Capacity::flows`], rounded down to a power of two.
    pub second: u64,
    /// Of [`Capacity::flows`].
    pub third: u64,
}

/// Something counted in a retired epoch.
#[derive(Debug)]
pub enum Drained<'a> {
    /// Of a flow, and the socket it was seen with when it was first seen in the epoch; there may be more of it, with another
    /// socket or none.
    Flow(&'a FlowKey, Count, SocketHint),
    /// Of an interface and direction, beside the flows.
    Health(HealthKey, &'a Health),
}

fn health_keys(ifindex: u32) -> impl Iterator<Item = HealthKey> {
    Direction::BOTH.into_iter().flat_map(move |direction| {
        [0, 1].map(|bank| HealthKey { ifindex, direction: direction as u8, bank, padding: [0; 2] })
    })
}

fn health_key(key: HealthKey) -> [u8; 8] {
    let mut bytes = [0; 8];
    bytes[..4].copy_from_slice(&key.ifindex.to_ne_bytes());
    bytes[4] = key.direction;
    bytes[5] = key.bank;
    bytes
}
