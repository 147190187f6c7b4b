//! The kernel's arrays in this process's memory.

use std::{io, marker::PhantomData, os::fd::AsFd as _};

use aya::{
    Ebpf,
    maps::{Map, MapData},
};
use flowtally_common::{Count, FlowKey, Slot, SocketHint, flow::Slots};
use memmap2::{MmapOptions, MmapRaw};

use super::error::KernelError;

pub(super) fn take_map(ebpf: &mut Ebpf, name: &'static str) -> Result<Map, KernelError> {
    ebpf.take_map(name).ok_or_else(|| {
        KernelError::explain("opening the kernel object", &io::Error::other(format!("it has no map {name}")))
    })
}

/// Takes a map out of the object: an array or a hash map.
pub(super) fn take(ebpf: &mut Ebpf, name: &'static str) -> Result<MapData, KernelError> {
    match take_map(ebpf, name)? {
        Map::Array(data) | Map::HashMap(data) | Map::LruHashMap(data) => Ok(data),
        _ => Err(KernelError::explain(
            "opening the kernel object",
            &io::Error::other(format!("map {name} is of another type")),
        )),
    }
}

/// The flows of an epoch in an element.
pub(super) fn hand_out<const N: usize>(
    Slots(slots): &Slots<N>,
    hints: &[SocketHint; N],
    epoch: u32,
    flows: &mut impl FnMut(&FlowKey, Count, SocketHint),
) {
    for (Slot { key, epoch: of, bytes, packets }, hint) in slots.iter().zip(hints) {
        if *of == epoch {
            flows(key, Count { bytes: *bytes, packets: *packets }, *hint);
        }
    }
}

/// An array map in this process's memory, element by element. The map itself stays open: programs are loaded later, and
/// refer to it by its file descriptor.
pub(super) struct Mapped<T> {
    memory: MmapRaw,
    count: usize,
    _map: MapData,
    _element: PhantomData<*mut T>,
}

// SAFETY: the memory belongs to this value alone on this side; what the kernel writes there is read as the methods of
// `Banks` say, whichever thread they run on.
unsafe impl<T> Send for Mapped<T> {}

impl<T> Mapped<T> {
    /// Maps `count` elements, each as large as the map's.
    pub(super) fn open(ebpf: &mut Ebpf, name: &'static str, count: usize) -> Result<Self, KernelError> {
        let map = take(ebpf, name)?;
        let memory = MmapOptions::new()
            .len(count * size_of::<T>())
            .map_raw(&map.fd().as_fd())
            .map_err(|error| KernelError::explain("mapping the flow tables into memory", &error))?;
        Ok(Self { memory, count, _map: map, _element: PhantomData })
    }

    /// The element at `index`, which must be one of them.
    pub(super) fn at(&self, index: usize) -> *mut T {
        assert!(index < self.count, "element {index} of {}", self.count);
        // SAFETY: the mapping is `count` elements long.
        unsafe { self.memory.as_mut_ptr().cast::<T>().add(index) }
    }
}
