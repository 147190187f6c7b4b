//! /proc/PID/stat, as a whole line.

/// What /proc/PID/stat says of a process (proc(5)).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProcessStat {
    /// The kernel's name of it, any bytes.
    pub command: Vec<u8>,
    /// `R`, `S`, `D`, `Z`...
    pub state: u8,
    /// Its parent.
    pub parent: u32,
    /// Its process group.
    pub group: u32,
    /// How many threads it has.
    pub threads: u32,
    /// When it started, in clock ticks (hundredths of a second) since boot.
    pub start: u64,
}

/// Where fields are, counted from the state, which is field 3 of proc(5).
const PARENT: usize = 1;
const GROUP: usize = 2;
const THREADS: usize = 17;
const START: usize = 19;

impl ProcessStat {
    /// Whether what it is about has ended: a zombie. Of a process it is its first thread; others may go on.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        matches!(self.state, b'Z' | b'X')
    }

    /// Reads the line. The name stands in parentheses and may hold any byte, parentheses too: it ends at the last one.
    #[must_use]
    pub fn parse(line: &[u8]) -> Option<Self> {
        let open = line.iter().position(|byte| *byte == b'(')?;
        let close = line.iter().rposition(|byte| *byte == b')')?;
        let command = line.get(open + 1..close)?.to_vec();
        let rest = std::str::from_utf8(line.get(close + 1..)?).ok()?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().take(START + 1).collect();
        Some(Self {
            command,
            state: *fields.first()?.as_bytes().first()?,
            parent: fields.get(PARENT)?.parse().ok()?,
            group: fields.get(GROUP)?.parse().ok()?,
            threads: fields.get(THREADS)?.parse().ok()?,
            start: fields.get(START)?.parse().ok()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::ProcessStat;

    #[test]
    fn a_name_may_hold_anything() {
        let line = b"4242 (a) R (\xff 1) S 17 4240 4240 0 -1 4194560 111 0 0 0 1 2 0 0 20 0 1 0 987654 12 3";
        let stat = ProcessStat::parse(line).unwrap();
        assert_eq!(stat.command, b"a) R (\xff 1");
        assert_eq!((stat.state, stat.parent, stat.group, stat.start), (b'S', 17, 4240, 987_654));
        assert_eq!(stat.threads, 1);
        assert_eq!(ProcessStat::parse(b""), None);
        assert_eq!(ProcessStat::parse(b"1 (x) S 1 2"), None);
        assert_eq!(ProcessStat::parse(b"1 )x( S 1 2"), None);
    }
}
