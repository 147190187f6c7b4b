//! Which file of a process is meant: what follows `--fd`.

use std::{fmt, str::FromStr};

/// A way to a file that a process holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handle {
    /// A file descriptor.
    Descriptor(u32),
    /// A file descriptor in a thread's own table: its number, and the thread.
    OfThread(u32, u32),
    /// What the process runs.
    Executable,
    /// What is mapped at an address; without one, the only deleted file that is mapped.
    Mapped(Option<u64>),
}

/// Text that is no handle.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandleError {
    /// Nothing that a process holds is called so.
    #[error(
        "use a descriptor's number (NUMBER@TID in a thread's own table), txt, mem, or mem:ADDRESS with an address of /proc/PID/maps"
    )]
    Unknown,
    /// A directory has no content to copy.
    #[error("cwd and rtd are directories, which have no content to copy")]
    Directory,
}

impl FromStr for Handle {
    type Err = HandleError;

    fn from_str(text: &str) -> Result<Self, HandleError> {
        match text {
            "txt" => return Ok(Self::Executable),
            "mem" | "DEL" => return Ok(Self::Mapped(None)),
            "cwd" | "rtd" => return Err(HandleError::Directory),
            _ => {}
        }
        if let Some(address) = text.strip_prefix("mem:") {
            // Addresses are pasted from /proc/PID/maps or a debugger: with the end of the range, or with 0x.
            let start = address.split_once('-').map_or(address, |(start, _)| start);
            let digits = start.strip_prefix("0x").unwrap_or(start);
            let hex = digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            return u64::from_str_radix(digits, 16)
                .ok()
                .filter(|_| hex)
                .map(|address| Self::Mapped(Some(address)))
                .ok_or(HandleError::Unknown);
        }
        let decimal = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u32>().ok().filter(|_| digits).ok_or(HandleError::Unknown)
        };
        // As lsof shows it, with a letter for what it is open to.
        let descriptor = |text: &str| decimal(text.strip_suffix(['r', 'w', 'u']).unwrap_or(text));
        match text.split_once('@') {
            Some((number, thread)) => Ok(Self::OfThread(descriptor(number)?, decimal(thread)?)),
            None => descriptor(text).map(Self::Descriptor),
        }
    }
}

impl fmt::Display for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Descriptor(number) => write!(f, "descriptor {number}"),
            Self::OfThread(number, thread) => write!(f, "descriptor {number} of thread {thread}"),
            Self::Executable => f.write_str("the executable"),
            Self::Mapped(Some(address)) => write!(f, "what is mapped at {address:x}"),
            Self::Mapped(None) => f.write_str("the deleted file that is mapped"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Handle, HandleError};

    #[test]
    fn handles_are_as_lists_show_them() {
        let parse = |text: &str| text.parse::<Handle>();
        assert_eq!(parse("9"), Ok(Handle::Descriptor(9)));
        assert_eq!(parse("9w"), Ok(Handle::Descriptor(9)));
        assert_eq!(parse("9@4711"), Ok(Handle::OfThread(9, 4711)));
        assert_eq!(parse("9u@4711"), Ok(Handle::OfThread(9, 4711)));
        assert_eq!(parse("txt"), Ok(Handle::Executable));
        assert_eq!(parse("mem"), Ok(Handle::Mapped(None)));
        assert_eq!(parse("DEL"), Ok(Handle::Mapped(None)));
        for text in ["mem:7f26b0a00000", "mem:0x7f26b0a00000", "mem:7f26b0a00000-7f26b0a21000"] {
            assert_eq!(parse(text), Ok(Handle::Mapped(Some(0x7f26_b0a0_0000))), "{text}");
        }
        assert_eq!(parse("cwd"), Err(HandleError::Directory));
        for text in
            ["", "-1", "+1", "w", "mem:", "mem:x", "mem:+1", "9x", "4294967296", "9@", "@7", "9@7@7", "9@+7"]
        {
            assert_eq!(parse(text), Err(HandleError::Unknown), "{text}");
        }
    }
}
