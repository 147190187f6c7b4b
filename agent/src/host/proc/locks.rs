//! /proc/locks.

/// A lock on a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lock {
    /// Who asked for it.
    pub pid: u32,
    /// The device's numbers, major and minor.
    pub device: (u64, u64),
    /// The inode.
    pub inode: u64,
    /// Whether it is for writing.
    pub write: bool,
    /// Whether it is on all of the file.
    pub whole: bool,
}

impl Lock {
    /// Reads a line (`proc_locks(5)`). Who waits for a lock holds none, and an open file description's lock is no process's.
    #[must_use]
    pub fn parse(line: &str) -> Option<Self> {
        let mut words = line.split_ascii_whitespace();
        words.next()?;
        let kind = words.next()?;
        if kind == "->" {
            return None;
        }
        words.next()?;
        let write = match words.next()? {
            "WRITE" | "RW" => true,
            "READ" => false,
            _ => return None,
        };
        let pid = words.next()?.parse().ok()?;
        let mut place = words.next()?.split(':');
        let mut hex = || u64::from_str_radix(place.next()?, 16).ok();
        let device = (hex()?, hex()?);
        let inode = place.next()?.parse().ok()?;
        let whole = words.next()? == "0" && words.next()? == "EOF";
        Some(Self { pid, device, inode, write, whole })
    }

    /// lsof's letter of it.
    #[must_use]
    pub const fn letter(&self) -> u8 {
        match (self.write, self.whole) {
            (true, true) => b'W',
            (true, false) => b'w',
            (false, true) => b'R',
            (false, false) => b'r',
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn locks_have_letters() {
        for (line, letter) in [
            ("1: POSIX  ADVISORY  WRITE 17809 fe:00:10043489 0 EOF", Some(b'W')),
            ("2: FLOCK  ADVISORY  READ 17809 fe:00:10043489 0 EOF", Some(b'R')),
            ("3: POSIX  ADVISORY  READ 17809 fe:00:10043492 10 19", Some(b'r')),
            ("4: POSIX  ADVISORY  WRITE 17809 fe:00:10043492 0 9", Some(b'w')),
            ("4: -> POSIX  ADVISORY  WRITE 1 fe:00:10043492 0 9", None),
            ("5: OFDLCK ADVISORY  READ -1 fe:00:10043496 0 EOF", None),
            ("", None),
        ] {
            assert_eq!(Lock::parse(line).map(|lock| lock.letter()), letter, "{line}");
        }
        assert_eq!(Lock::parse("1: POSIX ADVISORY WRITE 7 fe:1f:9 0 EOF").unwrap().device, (0xfe, 0x1f));
    }
}
