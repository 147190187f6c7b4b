//! Maps and load-time values, and how kernel memory is read.

use aya_ebpf::{
    Global,
    helpers::generated::{bpf_probe_read_kernel, bpf_seq_write},
    macros::map,
    maps::Array,
};
use core::{ffi::c_void, mem::MaybeUninit};
use flowtally_common::walk::{
    LONGEST_PATH, SET_BITS, UNKNOWN, WalkLayout, WalkRecord, WalkSelection, WalkSet, place,
};

/// Where fields are. User space writes it before it loads the programs, so that the verifier knows each as a constant.
#[unsafe(no_mangle)]
pub(crate) static LAYOUT: Global<WalkLayout> = Global::new(WalkLayout::NONE);

/// What is wanted, as bits. User space writes it before it loads a program, as the layout.
#[unsafe(no_mangle)]
static WANT: Global<u32> = Global::new(0);

/// Which of that: written before each walk.
#[map]
pub(crate) static SELECTION: Array<WalkSelection> = Array::with_max_entries(1, 0);

/// The numbers that are wanted.
#[map]
static SET: Array<WalkSet> = Array::with_max_entries(1, 0);

/// A record that is being written. A walk has the programs for itself, so there is one.
#[map]
static SCRATCH: Array<Scratch> = Array::with_max_entries(1, 0);

/// Bytes of [`Scratch`]: a power of two, so that a length that is masked fits.
const ROOM: usize = 2 * LONGEST_PATH;

/// A record, and what follows it.
#[repr(C)]
pub(crate) struct Scratch {
    pub(crate) record: WalkRecord,
    pub(crate) text: [u8; ROOM - size_of::<WalkRecord>()],
}

const _: () = assert!(size_of::<Scratch>() == ROOM);

/// A length that is below a power of two. The verifier of Linux 6.1 loses what comparisons say of a number in two registers, and LLVM
/// leaves out a mask that it thinks needless: so it goes through memory.
#[inline(always)]
pub(crate) fn below<const LIMIT: u64>(length: u32) -> u32 {
    const { assert!(LIMIT.is_power_of_two()) };
    let length = u64::from(length);
    // SAFETY: a number of this function's own.
    let length = unsafe { (&raw const length).read_volatile() };
    (length & (LIMIT - 1)) as u32
}

/// A pointer into the kernel's memory that the verifier knows the type of, or a plain address.
pub(crate) type Address = *const u8;

/// The offset of a field, as a number that the verifier knows.
macro_rules! at {
    ($field:ident) => {
        crate::memory::offset_at(core::mem::offset_of!(flowtally_common::walk::WalkLayout, $field))
    };
}
pub(crate) use at;

/// A number of the layout, by its place there.
#[inline(always)]
pub(crate) fn offset_at(place: usize) -> u32 {
    // SAFETY: a number of a static; volatile, for user space puts another one there.
    unsafe { (&raw const LAYOUT).cast::<u8>().add(place).cast::<u32>().read_volatile() }
}

/// Whether any of the [`want`](flowtally_common::walk::want) bits is set, which the verifier knows.
#[inline(always)]
pub(crate) fn wants(bits: u32) -> bool {
    // SAFETY: a number of a static; volatile, for user space puts another one there.
    let want = unsafe { (&raw const WANT).cast::<u32>().read_volatile() };
    want & bits != 0
}

/// A field behind a pointer that the verifier knows the type of: where that leads nowhere, the kernel reads 0.
#[inline(always)]
pub(crate) fn field<T: Copy>(base: Address, offset: u32) -> T {
    // SAFETY: the verifier lets nothing through that is no field of that size; the kernel catches a fault.
    unsafe { base.wrapping_add(offset as usize).cast::<T>().read_volatile() }
}

/// A value at any address; 0 where there is none.
#[inline(always)]
pub(crate) fn read<T: Copy>(base: Address, offset: u32) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the helper checks the address, and writes the whole value or zeros; integers may have any bits.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            base.wrapping_add(offset as usize).cast::<c_void>(),
        );
        value.assume_init()
    }
}

/// A value at any address; `None` if the kernel has no such field.
#[inline(always)]
pub(crate) fn read_known<T: Copy>(base: Address, offset: u32) -> Option<T> {
    if offset == UNKNOWN { None } else { Some(read(base, offset)) }
}

/// One argument of the program. The context holds nothing but words.
#[inline(always)]
pub(crate) fn argument(ctx: *const u64, index: usize) -> Address {
    // SAFETY: the context has as many, which the verifier checks.
    unsafe { ctx.add(index).cast::<Address>().read_volatile() }
}

#[inline(always)]
pub(crate) fn selection() -> Option<*mut WalkSelection> {
    SELECTION.get_ptr_mut(0)
}

#[inline(always)]
pub(crate) fn scratch() -> Option<*mut Scratch> {
    SCRATCH.get_ptr_mut(0)
}

/// Whether the set has a number, or one that cannot be told from it.
#[inline(always)]
pub(crate) fn is_in_set(number: u64) -> bool {
    let Some(set) = SET.get_ptr(0) else { return false };
    let place = place(number) & (SET_BITS - 1);
    // SAFETY: an aligned word of the map, within its bounds.
    let word = unsafe { set.cast::<u64>().add((place >> 6) as usize).read() };
    word >> (place & 63) & 1 == 1
}

/// Hands over the record in the scratch, with what follows it; as [`write`].
#[inline(always)]
pub(crate) fn write_scratch(meta: Address, scratch: *mut Scratch, length: u32) -> bool {
    let length = (length + 7) & !7;
    // SAFETY: an element of the map, of which a walk is the only user.
    unsafe { (*scratch).record.length = length };
    write(meta, scratch.cast_const().cast(), below::<{ ROOM as u64 }>(length))
}

/// Hands a record over, and returns whether there was room. Where there is none the kernel asks for it again when what is there has been
/// read.
#[inline(always)]
pub(crate) fn write(meta: Address, record: *const c_void, length: u32) -> bool {
    let seq: Address = field(meta, at!(meta_seq));
    // SAFETY: the verifier checks that so much may be read.
    unsafe { bpf_seq_write(seq.cast_mut().cast(), record, length) == 0 }
}
