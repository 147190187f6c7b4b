//! /proc/PID/maps, line by line.

/// A mapped file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Whether what is written to it goes to the file.
    pub writes: bool,
    /// The device's numbers, major and minor. Not always what stat(2) says: Btrfs and overlays differ.
    pub device: (u64, u64),
    /// The inode; 0 for what is no file.
    pub inode: u64,
    /// The path as it is printed, `\012` for a newline, perhaps with ` (deleted)`; empty for what has none.
    pub path: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// Reads a line (`proc_pid_maps(5)`).
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let (addresses, rest) = word(line)?;
        let (rights, rest) = word(rest)?;
        let (_offset, rest) = word(rest)?;
        let (device, rest) = word(rest)?;
        let (inode, rest) = word(rest)?;
        let colon = device.iter().position(|byte| *byte == b':')?;
        let dash = addresses.iter().position(|byte| *byte == b'-')?;
        let hex = |digits: &[u8]| u64::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok();
        Some(Self {
            start: hex(&addresses[..dash])?,
            end: hex(&addresses[dash + 1..])?,
            writes: matches!(rights, [_, b'w', _, b's', ..]),
            device: (hex(&device[..colon])?, hex(&device[colon + 1..])?),
            inode: std::str::from_utf8(inode).ok()?.parse().ok()?,
            path: rest.trim_ascii_start(),
        })
    }
}

/// A word, and what follows the blank after it.
fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let end = text.iter().position(|byte| *byte == b' ').unwrap_or(text.len());
    (end > 0).then(|| (&text[..end], text.get(end + 1..).unwrap_or_default()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read() {
        let line = b"7f0c5c000000-7f0c5c021000 r-xp 00000000 fe:00 326279                     /usr/lib/x y.so (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.start, mapping.end), (0x7f0c_5c00_0000, 0x7f0c_5c02_1000));
        assert!(!mapping.writes, "private");
        let shared = Mapping::parse(b"1000-2000 rw-s 00000000 fe:00 7 /tmp/x").unwrap();
        assert!(shared.writes);
        assert_eq!((mapping.device, mapping.inode), ((0xfe, 0), 326_279));
        assert_eq!(mapping.path, b"/usr/lib/x y.so (deleted)");
        let none = Mapping::parse(b"7ffd0-7ffd1 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((none.inode, none.path), (0, &b""[..]));
        assert_eq!(Mapping::parse(b"7ffd0-7ffd1 rw-p"), None);
        assert_eq!(Mapping::parse(b""), None);
    }
}
