//! The second level seen from here: large, and nearly empty most of the time. It is not kept in this process's memory, which would
//! count as all of it: few elements are read one by one, many through a window that is closed again.

use std::{
    io,
    mem::MaybeUninit,
    os::fd::{AsFd as _, AsRawFd as _},
};

use aya::{Ebpf, maps::MapData};
use flowtally_common::{
    Count, FlowKey, SocketHint,
    flow::{BUCKET, Slots},
    settings,
};
use memmap2::{MmapOptions, MmapRaw};

use super::{
    error::KernelError,
    mapped::{Mapped, hand_out, take},
    sys,
};

/// Elements up to which each is read by itself, with two calls of half a microsecond to a whole one; a window of a large bank costs one to
/// two milliseconds, whatever is in it, and is memory of the process as long as it is open. 4,096 were tried, and cost more.
const FEW: u32 = 1024;

type BucketSlots = Slots<BUCKET>;
type BucketHints = [SocketHint; BUCKET];

/// The second level: an array of buckets for each bank, with an array of the flows' sockets beside it, and a bitmap of the buckets that
/// were used.
pub(super) struct SharedLevel {
    elements: MapData,
    hints: MapData,
    used: Mapped<u64>,
    bits: u32,
}

impl SharedLevel {
    /// Opens it, with `1 << bits` buckets in each bank.
    pub(super) fn open(ebpf: &mut Ebpf, bits: u32) -> Result<Self, KernelError> {
        Ok(Self {
            elements: take(ebpf, settings::SHARED)?,
            hints: take(ebpf, settings::SHARED_HINTS)?,
            used: Mapped::open(ebpf, settings::SHARED_USED, (2 << bits) / 64)?,
            bits,
        })
    }

    /// Reads a bank's slots of an epoch, guided by the bitmap, and clears that.
    ///
    /// # Errors
    /// When the kernel refuses to read an array.
    ///
    /// # Safety
    /// No program may be writing the bank.
    pub(super) unsafe fn take(
        &mut self,
        bank: usize,
        epoch: u32,
        flows: &mut impl FnMut(&FlowKey, Count, SocketHint),
    ) -> io::Result<()> {
        let buckets = 1_usize << self.bits;
        let first = bank * buckets;
        let words = first / 64..(first + buckets) / 64;
        // SAFETY: words of the map, which no program writes now.
        let used = words.clone().map(|word| unsafe { self.used.at(word).read() }.count_ones()).sum::<u32>();
        if used == 0 {
            return Ok(());
        }
        let window = if used > FEW { self.window(first, buckets).ok() } else { None };
        for word in words {
            let place = self.used.at(word);
            // SAFETY: as above.
            let mut bits = unsafe { place.read() };
            while bits != 0 {
                let index = word * 64 + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(window) = &window {
                    // SAFETY: a bucket of the window, which no program writes now.
                    let (slots, hints) = unsafe { window.at(index - first) };
                    hand_out(slots, hints, epoch, flows);
                } else {
                    let (slots, hints) = self.copy(index)?;
                    hand_out(&slots, &hints, epoch, flows);
                }
            }
            // Cleared when it has been taken: what could not be read is not lost with the error.
            // SAFETY: as above.
            unsafe { place.write(0) };
        }
        Ok(())
    }

    /// A bucket, and its flows' sockets.
    fn copy(&self, index: usize) -> io::Result<(BucketSlots, BucketHints)> {
        let index = u32::try_from(index).map_err(io::Error::other)?;
        let mut slots = MaybeUninit::<BucketSlots>::uninit();
        let mut hints = MaybeUninit::<BucketHints>::uninit();
        // SAFETY: the arrays' values are of these types and sizes.
        unsafe {
            sys::copy_element(self.elements.fd().as_fd(), index, &mut slots)?;
            sys::copy_element(self.hints.fd().as_fd(), index, &mut hints)?;
        }
        // SAFETY: the kernel has written both, and they are numbers.
        Ok(unsafe { (slots.assume_init(), hints.assume_init()) })
    }

    /// A bank in this process's memory.
    fn window(&self, first: usize, buckets: usize) -> io::Result<BankWindow> {
        Ok(BankWindow {
            elements: ArrayWindow::open(
                &self.elements,
                first * size_of::<BucketSlots>(),
                buckets * size_of::<BucketSlots>(),
            )?,
            hints: ArrayWindow::open(
                &self.hints,
                first * size_of::<BucketHints>(),
                buckets * size_of::<BucketHints>(),
            )?,
        })
    }
}

struct BankWindow {
    elements: ArrayWindow,
    hints: ArrayWindow,
}

impl BankWindow {
    /// A bucket, and its flows' sockets.
    ///
    /// # Safety
    /// There must be such a bucket in the window, which no program writes while it is looked at.
    #[expect(
        clippy::cast_ptr_alignment,
        reason = "both arrays begin with a page, and banks at multiples of their elements' size"
    )]
    unsafe fn at(&self, bucket: usize) -> (&BucketSlots, &BucketHints) {
        // SAFETY: the caller's.
        unsafe {
            (
                &*self.elements.start().cast::<BucketSlots>().add(bucket),
                &*self.hints.start().cast::<BucketHints>().add(bucket),
            )
        }
    }
}

/// A part of an array map in this process's memory, until it is dropped.
struct ArrayWindow {
    memory: MmapRaw,
    /// Bytes before the part: memory is mapped by the page.
    before: usize,
}

impl ArrayWindow {
    fn open(map: &MapData, from: usize, length: usize) -> io::Result<Self> {
        /// More than any page: the offset of a mapping must be a multiple of one.
        const PAGE: usize = 1 << 16;
        let before = from % PAGE;
        let memory = MmapOptions::new()
            .offset((from - before) as u64)
            .len(before + length)
            .map_raw(map.fd().as_fd().as_raw_fd())?;
        Ok(Self { memory, before })
    }

    fn start(&self) -> *const u8 {
        self.memory.as_ptr().wrapping_add(self.before)
    }
}
