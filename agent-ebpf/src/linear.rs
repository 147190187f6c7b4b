//! The part of a frame that packet pointers reach.

use crate::parse::{Frame, Wire};

/// Bytes from `data` to `end`, which the verifier knows as a packet's.
pub struct Linear {
    data: usize,
    end: usize,
}

/// The verifier wants the offset into a packet bounded; no header is further in.
const MAX_OFFSET: u32 = 0x7fff;

impl Linear {
    /// A frame by its first byte and the one behind its last.
    ///
    /// # Safety
    /// Everything from `data` to `end` must be readable as long as the value lives.
    #[inline(always)]
    #[must_use]
    pub const unsafe fn new(data: usize, end: usize) -> Self {
        Self { data, end }
    }

    /// Its length, in bytes.
    #[inline(always)]
    #[must_use]
    #[expect(clippy::cast_possible_truncation, reason = "no packet is longer than 4 GB")]
    pub const fn length(&self) -> u32 {
        (self.end - self.data) as u32
    }
}

impl Frame for Linear {
    #[inline(always)]
    fn read<T: Wire>(&self, at: u32) -> Option<T> {
        if at > MAX_OFFSET {
            return None;
        }
        let from = self.data + at as usize;
        if from + size_of::<T>() > self.end {
            return None;
        }
        // SAFETY: the bytes lie before the packet's end, T takes any bytes, and the read needs no alignment.
        Some(unsafe { (from as *const T).read_unaligned() })
    }
}
