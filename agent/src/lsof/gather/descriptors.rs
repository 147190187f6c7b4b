//! The numbers in a directory of /proc, with as few questions as can be.

use std::{ffi::CStr, mem::MaybeUninit};

use rustix::{fd::OwnedFd, fs::RawDir, io::Result};

/// A buffer for directory entries.
pub(super) struct Descriptors {
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Descriptors {
    pub(super) fn new() -> Self {
        Self { buffer: vec![MaybeUninit::uninit(); 32 * 1024].into_boxed_slice() }
    }

    /// Hands every entry whose name is a number to `each`, in the order of the directory, until that says no.
    pub(super) fn list(&mut self, dir: &OwnedFd, mut each: impl FnMut(u32, &CStr) -> bool) -> Result<()> {
        let mut entries = RawDir::new(dir, &mut self.buffer);
        while let Some(entry) = entries.next() {
            let entry = entry?;
            let name = entry.file_name();
            let Some(number) = name.to_str().ok().and_then(|name| name.parse().ok()) else { continue };
            if !each(number, name) {
                break;
            }
        }
        Ok(())
    }
}
