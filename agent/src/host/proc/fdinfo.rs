//! /proc/PID/fdinfo/FD, as a whole text.

/// What /proc/PID/fdinfo/FD says (`proc_pid_fdinfo(5)`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FdInfo {
    /// Where the next byte is read or written.
    pub position: Option<u64>,
    /// The flags of open(2).
    pub flags: Option<u32>,
    /// The number of an eventfd.
    pub eventfd: Option<u32>,
    /// The descriptors that an epoll instance watches.
    pub watched: Vec<u32>,
    /// The process of a pidfd; negative when it is gone.
    pub pid: Option<i64>,
    /// The number of a terminal, for its controlling side.
    pub tty: Option<u32>,
}

impl FdInfo {
    /// Reads the text; what is not known is passed over.
    #[must_use]
    pub fn parse(text: &[u8]) -> Self {
        let mut info = Self::default();
        for line in text.split(|byte| *byte == b'\n') {
            let Some(line) = std::str::from_utf8(line).ok() else { continue };
            let Some((key, value)) = line.split_once(':') else { continue };
            let first = value.split_ascii_whitespace().next().unwrap_or_default();
            match key {
                "pos" => info.position = first.parse().ok(),
                "flags" => info.flags = u32::from_str_radix(first, 8).ok(),
                "eventfd-id" => info.eventfd = first.parse().ok(),
                "tfd" => info.watched.extend(first.parse::<u32>().ok()),
                "Pid" => info.pid = first.parse().ok(),
                "tty-index" => info.tty = first.parse().ok(),
                _ => {}
            }
        }
        info
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_that_is_known_is_read() {
        let text = b"pos:\t4096\nflags:\t02100002\nmnt_id:\t15\nino:\t1038\ntfd:        3 events:       1 data: 3  pos:0\n\
                     tfd:       12 events:       1 data: 3  pos:0\n";
        let info = FdInfo::parse(text);
        assert_eq!((info.position, info.flags), (Some(4096), Some(0o2_100_002)));
        assert_eq!(info.watched, [3, 12]);
        let info = FdInfo::parse(
            b"pos:\t0\nflags:\t02\neventfd-count:               0\neventfd-id: 7\nPid:\t-1\ntty-index:\t4\n",
        );
        assert_eq!((info.eventfd, info.pid, info.tty), (Some(7), Some(-1), Some(4)));
        assert_eq!(FdInfo::parse(b"\xff:\n:\npos"), FdInfo::default());
    }
}
