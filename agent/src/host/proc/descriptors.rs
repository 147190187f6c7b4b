//! The numbers in a directory of /proc, with as few questions as can be.

use std::{ffi::CStr, mem::MaybeUninit};

use rustix::{
    fd::OwnedFd,
    fs::{RawDir, SeekFrom, readlinkat_raw, seek},
    io::{Errno, Result},
};

/// A buffer for directory entries.
#[derive(Debug)]
pub struct Descriptors {
    buffer: Box<[MaybeUninit<u8>]>,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self::new()
    }
}

impl Descriptors {
    /// With a buffer that is used again and again.
    #[must_use]
    pub fn new() -> Self {
        Self { buffer: vec![MaybeUninit::uninit(); 32 * 1024].into_boxed_slice() }
    }

    /// Hands every entry whose name is a number to `each`, in the order of the directory, until that says no.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&mut self, dir: &OwnedFd, mut each: impl FnMut(u32, &CStr) -> bool) -> Result<()> {
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

/// So many numbers may be free before a directory is listed.
const GAPS: u32 = 4;

impl Descriptors {
    /// Hands what the link of every number in a directory of descriptors says to `each`, in their order, until that says no.
    ///
    /// The numbers are asked for one after the other as long as few are free, since the kernel makes entries of a listed directory
    /// at the cost of another question each. The rest is listed, from there on.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn links(
        &mut self,
        dir: &OwnedFd,
        target: &mut [MaybeUninit<u8>],
        mut each: impl FnMut(u32, &CStr, Result<&[u8]>) -> bool,
    ) -> Result<()> {
        let mut gaps = 0;
        let mut next = 0;
        while gaps < GAPS {
            let name = DescriptorName::of(next);
            let entry = name.as_c_str();
            match readlinkat_raw(dir, entry, &mut *target) {
                Err(Errno::NOENT) => gaps += 1,
                answer => {
                    if !each(next, entry, answer.map(|(link, _)| &*link)) {
                        return Ok(());
                    }
                }
            }
            next += 1;
        }
        // The places of `.` and `..` are 0 and 1 (`fs/proc/fd.c`, `proc_readfd_common`).
        seek(dir, SeekFrom::Start(u64::from(next) + 2))?;
        self.list(dir, |number, entry| {
            if number < next {
                return true;
            }
            match readlinkat_raw(dir, entry, &mut *target) {
                Err(Errno::NOENT) => true,
                answer => each(number, entry, answer.map(|(link, _)| &*link)),
            }
        })
    }
}

/// A number as a name, made where it stands.
#[derive(Clone, Copy, Debug)]
pub struct DescriptorName {
    text: [u8; 11],
    from: usize,
}

impl DescriptorName {
    /// The digits of a number, with a NUL.
    #[must_use]
    pub fn of(number: u32) -> Self {
        let mut name = Self { text: [0; 11], from: 10 };
        let mut rest = number;
        while name.from > 0 {
            name.from -= 1;
            // A digit is below 10.
            name.text[name.from] = b'0' + u8::try_from(rest % 10).unwrap_or_default();
            rest /= 10;
            if rest == 0 {
                break;
            }
        }
        name
    }

    /// For system calls.
    #[must_use]
    pub fn as_c_str(&self) -> &CStr {
        CStr::from_bytes_until_nul(self.text.get(self.from..).unwrap_or_default()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use rustix::fs::{CWD, Mode, OFlags, openat};

    use super::*;

    #[test]
    fn links_are_found_behind_any_gap() {
        let file = std::fs::File::open("/dev/null").unwrap();
        // Numbers that nothing else in this process is given, far from each other.
        let high: Vec<_> =
            [700, 701, 950].iter().map(|at| rustix::io::fcntl_dupfd_cloexec(&file, *at).unwrap()).collect();
        let dir = openat(CWD, "/proc/self/fd", OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut found = Vec::new();
        let mut target = [MaybeUninit::uninit(); 64];
        let each = |number: u32, name: &CStr, link: Result<&[u8]>| {
            assert_eq!(name.to_str().unwrap(), number.to_string());
            if link == Ok(b"/dev/null") {
                found.push(number);
            }
            true
        };
        Descriptors::new().links(&dir, &mut target, each).unwrap();
        assert!(found.is_sorted());
        for file in &high {
            let number = u32::try_from(std::os::fd::AsRawFd::as_raw_fd(file)).unwrap();
            assert_eq!(found.iter().filter(|at| **at == number).count(), 1, "{number} in {found:?}");
        }
    }

    #[test]
    fn numbers_have_digits() {
        for number in [0, 9, 10, 12_345, u32::MAX] {
            assert_eq!(DescriptorName::of(number).as_c_str().to_str().unwrap(), number.to_string());
        }
    }
}
