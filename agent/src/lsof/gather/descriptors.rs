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

/// A number as a name, made where it stands.
#[derive(Default)]
pub(super) struct Decimal([u8; 11]);

impl Decimal {
    /// The digits of a number, with a NUL.
    pub(super) fn text(&mut self, number: u32) -> &CStr {
        let mut at = self.0.len() - 1;
        let mut rest = number;
        loop {
            at -= 1;
            // A digit is below 10.
            self.0[at] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            if rest == 0 || at == 0 {
                break;
            }
        }
        CStr::from_bytes_until_nul(&self.0[at..]).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_digits() {
        let mut decimal = Decimal::default();
        for number in [0, 9, 10, 12_345, u32::MAX] {
            assert_eq!(decimal.text(number).to_str().unwrap(), number.to_string());
        }
    }
}
