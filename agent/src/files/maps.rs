//! Lines of /proc/PID/maps (proc(5)).

/// One mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping<'a> {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
    /// Whether what is written to it goes to the file.
    pub writes: bool,
    /// Major and minor number of the file system's device. Not always what stat(2) says: Btrfs and overlays differ.
    pub device: (u32, u32),
    /// Inode number, 0 without a file.
    pub inode: u64,
    /// What is mapped, a line feed as `\012`; empty for memory of its own.
    pub path: &'a [u8],
}

impl<'a> Mapping<'a> {
    /// Reads a line, without its line feed.
    #[must_use]
    pub fn parse(line: &'a [u8]) -> Option<Self> {
        let mut rest = line;
        let mut word = || {
            let start = rest.iter().position(|byte| *byte != b' ').unwrap_or(rest.len());
            let end = rest[start..].iter().position(|byte| *byte == b' ').map_or(rest.len(), |at| start + at);
            let word = str::from_utf8(&rest[start..end]).ok();
            rest = &rest[end..];
            word
        };
        let (start, end) = word()?.split_once('-')?;
        let rights = word()?.as_bytes();
        let _offset = word()?;
        let (major, minor) = word()?.split_once(':')?;
        let inode = word()?.parse().ok()?;
        Some(Self {
            start: u64::from_str_radix(start, 16).ok()?,
            end: u64::from_str_radix(end, 16).ok()?,
            writes: rights.get(1) == Some(&b'w') && rights.get(3) == Some(&b's'),
            device: (u32::from_str_radix(major, 16).ok()?, u32::from_str_radix(minor, 16).ok()?),
            inode,
            // The name is padded on its left alone: blanks at its end are its own.
            path: rest.trim_ascii_start(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::Mapping;

    #[test]
    fn lines_of_maps() {
        let line = b"7f26b0a00000-7f26b0a21000 rw-s 00003000 fe:00 1037   /tmp/a b (deleted)";
        let mapping = Mapping::parse(line).unwrap();
        assert_eq!((mapping.start, mapping.end), (0x7f26_b0a0_0000, 0x7f26_b0a2_1000));
        assert_eq!((mapping.device, mapping.inode), ((0xfe, 0), 1037));
        assert!(mapping.writes);
        assert_eq!(mapping.path, b"/tmp/a b (deleted)");

        let private = Mapping::parse(b"400000-401000 rw-p 00000000 08:01 5 /bin/x").unwrap();
        assert!(!private.writes);
        let anonymous = Mapping::parse(b"7ffd000-7ffe000 rw-p 00000000 00:00 0 ").unwrap();
        assert_eq!((anonymous.inode, anonymous.path), (0, &b""[..]));
        assert_eq!(Mapping::parse(b""), None);
        assert_eq!(Mapping::parse(b"x-y rw-p 0 0:0 0"), None);
    }
}
