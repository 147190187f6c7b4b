//! What is asked for: a port, a process, a command or an address.

use std::{
    fmt,
    net::{IpAddr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use crate::format::Safe;

/// Longest name that the kernel keeps of a process (`TASK_COMM_LEN` less the zero at its end).
const COMMAND: usize = 15;

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InspectTarget {
    /// Sockets with this port at either end.
    Port(u16),
    /// A process.
    Pid(u32),
    /// Processes that the kernel calls so.
    Command(String),
    /// Sockets with this address at either end, and this port, if there is one.
    Address(IpAddr, Option<u16>),
}

/// Text that asks for nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TargetError {
    /// Nothing at all.
    #[error("use :PORT, a PID, a command's name, or ADDRESS[:PORT]")]
    Empty,
    /// A port that is none.
    #[error("'{name}' is no port: use a number from 1 to 65535", name = Safe::new(.0))]
    Port(String),
    /// A number that no process has.
    #[error("'{name}' is no PID: use a number from 1 to 4194304, or :PORT for a port", name = Safe::new(.0))]
    Pid(String),
    /// Text that looks like an address, and is none.
    #[error("'{name}' is no address: use such as 10.0.0.5, 10.0.0.5:443, fe80::1 or [fe80::1]:443", name = Safe::new(.0))]
    Address(String),
}

impl FromStr for InspectTarget {
    type Err = TargetError;

    fn from_str(text: &str) -> Result<Self, TargetError> {
        if text.is_empty() {
            return Err(TargetError::Empty);
        }
        let port = |text: &str| {
            let digits = text.bytes().all(|byte| byte.is_ascii_digit());
            text.parse::<u16>()
                .ok()
                .filter(|port| digits && *port > 0)
                .ok_or_else(|| TargetError::Port(text.to_owned()))
        };
        // `::1` begins with a colon, too.
        if let Ok(address) = text.parse::<IpAddr>() {
            return Ok(Self::Address(address.to_canonical(), None));
        }
        if let Some(number) = text.strip_prefix(':') {
            return if number.contains(':') {
                Err(TargetError::Address(text.to_owned()))
            } else {
                Ok(Self::Port(port(number)?))
            };
        }
        if text.bytes().all(|byte| byte.is_ascii_digit()) {
            /// `PID_MAX_LIMIT` of 64-bit kernels (`include/linux/threads.h`).
            const LAST: u32 = 1 << 22;
            let pid = text.parse().ok().filter(|pid| (1..=LAST).contains(pid));
            return pid.map(Self::Pid).ok_or_else(|| TargetError::Pid(text.to_owned()));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let wrong = || TargetError::Address(text.to_owned());
            let (address, rest) = rest.split_once(']').ok_or_else(wrong)?;
            let address = zoneless(address).parse::<Ipv6Addr>().map_err(|_| wrong())?;
            let port = match rest {
                "" => None,
                _ => Some(port(rest.strip_prefix(':').ok_or_else(wrong)?)?),
            };
            return Ok(Self::Address(IpAddr::V6(address).to_canonical(), port));
        }
        if let Ok(address) = zoneless(text).parse::<Ipv6Addr>() {
            return Ok(Self::Address(IpAddr::V6(address).to_canonical(), None));
        }
        if let Some((address, number)) = text.split_once(':')
            && let Ok(address) = address.parse()
        {
            return Ok(Self::Address(address, Some(port(number)?)));
        }
        let number = |byte: u8| byte.is_ascii_digit() || byte == b'.' || byte == b':';
        let hex = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
        let looks_v6 = text.matches(':').count() > 1 && text.bytes().all(hex);
        if text.bytes().all(number) || looks_v6 {
            return Err(TargetError::Address(text.to_owned()));
        }
        Ok(Self::Command(text.to_owned()))
    }
}

/// An address without the interface it is of: sockets are found on all of them.
fn zoneless(text: &str) -> &str {
    text.split_once('%').map_or(text, |(address, _)| address)
}

impl InspectTarget {
    /// Whether a conversation has what is asked for at either end. A process and a command are no matter of ends.
    #[must_use]
    pub fn is_at(&self, local: SocketAddr, remote: Option<SocketAddr>) -> bool {
        let ends = || [Some(local), remote].into_iter().flatten();
        match self {
            Self::Port(port) => ends().any(|end| end.port() == *port),
            Self::Address(address, port) => {
                ends().any(|end| end.ip() == *address && port.is_none_or(|port| end.port() == port))
            }
            Self::Pid(_) | Self::Command(_) => false,
        }
    }

    /// Whether a process of this name is asked for: by the whole name as the kernel keeps it, cut to 15 bytes.
    #[must_use]
    pub fn is_called(&self, command: &[u8]) -> bool {
        match self {
            Self::Command(name) => name.as_bytes().get(..COMMAND).unwrap_or(name.as_bytes()) == command,
            _ => false,
        }
    }

    /// Whether a name begins with the one that is asked for: what is meant where no name equals it.
    #[must_use]
    pub fn begins(&self, command: &[u8]) -> bool {
        matches!(self, Self::Command(name) if command.starts_with(name.as_bytes()))
    }
}

impl fmt::Display for InspectTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Port(port) => write!(f, ":{port}"),
            Self::Pid(pid) => write!(f, "{pid}"),
            Self::Command(name) => f.write_str(name),
            Self::Address(address, Some(port)) => SocketAddr::new(*address, *port).fmt(f),
            Self::Address(address, None) => address.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<InspectTarget, TargetError> {
        text.parse()
    }

    #[test]
    fn targets_are_told_apart_by_how_they_look() {
        let address = |text: &str| text.parse::<IpAddr>().unwrap();
        for (text, target) in [
            (":443", InspectTarget::Port(443)),
            ("443", InspectTarget::Pid(443)),
            ("10.0.0.5", InspectTarget::Address(address("10.0.0.5"), None)),
            ("10.0.0.5:53", InspectTarget::Address(address("10.0.0.5"), Some(53))),
            ("[::1]:53", InspectTarget::Address(address("::1"), Some(53))),
            ("[::1]", InspectTarget::Address(address("::1"), None)),
            ("::1", InspectTarget::Address(address("::1"), None)),
            ("::", InspectTarget::Address(address("::"), None)),
            ("fe80::1", InspectTarget::Address(address("fe80::1"), None)),
            ("fe80::1%eth0", InspectTarget::Address(address("fe80::1"), None)),
            ("[fe80::1%eth0]:22", InspectTarget::Address(address("fe80::1"), Some(22))),
            ("::ffff:10.0.0.5", InspectTarget::Address(address("10.0.0.5"), None)),
            ("nginx", InspectTarget::Command("nginx".to_owned())),
            ("kworker/0:1", InspectTarget::Command("kworker/0:1".to_owned())),
            ("tmux: server", InspectTarget::Command("tmux: server".to_owned())),
            ("7z", InspectTarget::Command("7z".to_owned())),
            ("cafe", InspectTarget::Command("cafe".to_owned())),
        ] {
            assert_eq!(parse(text), Ok(target), "{text}");
        }
    }

    #[test]
    fn nonsense_is_refused_with_what_is_right() {
        for (text, word) in [
            ("", ":PORT"),
            (":", "no port"),
            (":0", "no port"),
            (":65536", "no port"),
            (":https", "no port"),
            (":+1", "no port"),
            ("0", ":PORT for a port"),
            ("99999999999", "no PID"),
            ("10.0.0.5:0", "no port"),
            ("10.0.0.5:99999", "no port"),
            ("10.0.0", "no address"),
            ("10.0.0.256", "no address"),
            ("1.2.3.4.5", "no address"),
            ("[::1", "no address"),
            ("[::1]53", "no address"),
            ("[10.0.0.5]:53", "no address"),
            ("::1::2", "no address"),
            (":::", "no address"),
            ("fe80:1", "no address"),
        ] {
            match parse(text) {
                Err(error) => assert!(error.to_string().contains(word), "{text}: {error}"),
                // With one colon it may be a name.
                Ok(target) => {
                    assert_eq!((text, target), ("fe80:1", InspectTarget::Command("fe80:1".to_owned())));
                }
            }
        }
    }

    #[test]
    fn names_are_compared_as_the_kernel_cuts_them() {
        let target = parse("a-very-long-program-name").unwrap();
        assert!(target.is_called(b"a-very-long-pro"));
        assert!(!target.is_called(b"a-very-long-prog"));
        assert!(parse("ngi").unwrap().begins(b"nginx"));
        assert!(!parse("ngi").unwrap().is_called(b"nginx"));
        assert!(!parse(":1").unwrap().begins(b":1"));
    }

    #[test]
    fn either_end_counts() {
        let end = |text: &str| text.parse::<SocketAddr>().unwrap();
        let (local, remote) = (end("10.0.0.5:443"), end("192.0.2.7:51000"));
        for (text, is_at) in [
            (":443", true),
            (":51000", true),
            (":80", false),
            ("10.0.0.5", true),
            ("192.0.2.7", true),
            ("192.0.2.7:443", false),
            ("192.0.2.7:51000", true),
            ("443", false),
            ("nginx", false),
        ] {
            assert_eq!(parse(text).unwrap().is_at(local, Some(remote)), is_at, "{text}");
        }
        assert!(parse(":443").unwrap().is_at(local, None));
    }
}
