//! The texts of NAME, NODE, DEVICE and SIZE/OFF, the same in every form of output.

use std::{
    borrow::Cow,
    io::{self, Write},
    net::IpAddr,
};

use super::{Charset, escape};
use crate::lsof::{
    arguments::{LsofOptions, SizeOrOffset},
    model::{ListedSocket, OpenFile, OpenFileKind, SocketEnd, Transport, major, minor, tcp_state},
};

/// Names of hosts and ports, if they are wanted.
pub trait EndNames {
    /// The name of an address.
    fn host(&self, address: IpAddr) -> Option<String>;
    /// The name of a port.
    fn port(&self, port: u16, transport: Transport) -> Option<String>;
}

/// Numbers for all.
#[derive(Clone, Copy, Debug)]
pub struct Numeric;

impl EndNames for Numeric {
    fn host(&self, _: IpAddr) -> Option<String> {
        None
    }

    fn port(&self, _: u16, _: Transport) -> Option<String> {
        None
    }
}

/// The TYPE column.
#[must_use]
pub(super) fn kind(file: &OpenFile) -> Cow<'static, str> {
    Cow::Borrowed(match file.kind {
        OpenFileKind::Blank => "",
        OpenFileKind::Unknown => "unknown",
        OpenFileKind::Exempt => {
            return format!("UNKN{}", file.fd.name().unwrap_or("fd").to_ascii_lowercase()).into();
        }
        OpenFileKind::Regular => "REG",
        OpenFileKind::Directory => "DIR",
        OpenFileKind::Character => "CHR",
        OpenFileKind::Block => "BLK",
        OpenFileKind::Fifo => "FIFO",
        OpenFileKind::Link => "LINK",
        OpenFileKind::Anonymous => "a_inode",
        OpenFileKind::Unix => "unix",
        OpenFileKind::Ipv4 => "IPv4",
        OpenFileKind::Ipv6 => "IPv6",
        OpenFileKind::Socket => "sock",
        OpenFileKind::Netlink => "netlink",
        OpenFileKind::Packet => "pack",
        OpenFileKind::Raw => "raw",
        OpenFileKind::Raw6 => "raw6",
        OpenFileKind::Icmp => "icmp",
        OpenFileKind::Ax25 => "ax25",
        OpenFileKind::Ipx => "ipx",
        OpenFileKind::Sctp => "sctp",
        OpenFileKind::MessageQueue => "PSXMQ",
        OpenFileKind::Other(bits) => return format!("{bits:04o}").into(),
    })
}

/// The text in place of a device number, for what has none: the inode of a socket, the kernel's address of a UNIX socket.
#[must_use]
pub(super) fn device_text(file: &OpenFile) -> Option<Cow<'_, str>> {
    if file.kind == OpenFileKind::Exempt && file.device.is_none() {
        return Some(Cow::Borrowed("UNKNOWN"));
    }
    match file.socket.as_deref()? {
        ListedSocket::Unix { address, .. } => Some(String::from_utf8_lossy(address)),
        ListedSocket::Internet { .. } | ListedSocket::Other { inode_is_device: true, .. } => {
            file.inode.map(|inode| Cow::Owned(inode.to_string()))
        }
        ListedSocket::Other { .. } => Some(Cow::Borrowed("")),
    }
}

/// The DEVICE column.
#[must_use]
pub(super) fn device(file: &OpenFile) -> Cow<'_, str> {
    if let Some(text) = device_text(file) {
        return text;
    }
    match file.rdev.or(file.device) {
        Some(device) => format!("{},{}", major(device), minor(device)).into(),
        None => Cow::Borrowed(""),
    }
}

/// The protocol of a socket, as NODE and the field P show it.
#[must_use]
pub(super) fn protocol(file: &OpenFile) -> Option<Cow<'_, str>> {
    match file.socket.as_deref()? {
        ListedSocket::Internet { transport, .. } => Some(Cow::Borrowed(transport.name())),
        ListedSocket::Other { protocol, .. } => protocol.as_deref().map(String::from_utf8_lossy),
        ListedSocket::Unix { .. } => None,
    }
}

/// The inode, where it is not told otherwise.
#[must_use]
pub(super) fn inode(file: &OpenFile) -> Option<u64> {
    match file.socket.as_deref() {
        Some(ListedSocket::Internet { .. } | ListedSocket::Other { inode_is_device: true, .. }) => None,
        _ => file.inode,
    }
}

/// What stands under SIZE/OFF.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ListedAmount {
    /// Bytes of the whole.
    Size(u64),
    /// Bytes from the beginning.
    Offset(u64),
}

/// What stands under SIZE/OFF.
#[must_use]
pub(super) fn amount(file: &OpenFile, options: &LsofOptions) -> Option<ListedAmount> {
    let size = file.size.map(ListedAmount::Size);
    let offset = file.offset.map(ListedAmount::Offset);
    match options.size_or_offset {
        SizeOrOffset::Either => size.or(offset),
        SizeOrOffset::Size => size,
        SizeOrOffset::Offset => offset,
    }
}

/// An offset: decimal up to so many digits, then hexadecimal; 0 digits for no end of them.
#[must_use]
pub(super) fn offset(offset: u64, digits: usize) -> String {
    let decimal = offset.to_string();
    if digits > 0 && decimal.len() > digits { format!("{offset:#x}") } else { format!("0t{decimal}") }
}

/// A size for people: 1024 to the next unit, one decimal.
#[must_use]
pub(super) fn human(size: u64) -> String {
    const UNITS: [&str; 7] = ["B", "K", "M", "G", "T", "P", "E"];
    if size < 1024 {
        return format!("{size}B");
    }
    let mut unit = 0;
    let mut value = size as f64;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1}{}", UNITS[unit])
}

fn end(
    end: SocketEnd,
    transport: Transport,
    names: &dyn EndNames,
    text: &Texts<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    match names.host(end.address).filter(|_| !end.address.is_unspecified()) {
        Some(name) => text(name.as_bytes(), out)?,
        None if end.address.is_unspecified() => out.write_all(b"*")?,
        None => match end.address {
            IpAddr::V4(address) => write!(out, "{address}")?,
            IpAddr::V6(address) => write!(out, "[{address}]")?,
        },
    }
    out.write_all(b":")?;
    match names.port(end.port, transport).filter(|_| end.port != 0) {
        Some(name) => text(name.as_bytes(), out),
        None if end.port == 0 => out.write_all(b"*"),
        None => write!(out, "{}", end.port),
    }
}

/// The name and its note: what the field n shows.
///
/// # Errors
/// Those of the writer.
pub(super) fn name(
    file: &OpenFile,
    names: &dyn EndNames,
    charset: Charset,
    out: &mut dyn Write,
) -> io::Result<()> {
    let text = |text: &[u8], out: &mut dyn Write| escape::write(text, false, charset, out);
    proper(file, names, &text, out)?;
    if let Some(note) = &file.note {
        if !matches!(
            file.socket.as_deref(),
            None | Some(ListedSocket::Internet { .. } | ListedSocket::Unix { .. })
        ) {
            return Ok(());
        }
        out.write_all(b" ")?;
        text(note, out)?;
    }
    Ok(())
}

/// The name without its note, each byte as it is.
#[must_use]
pub(super) fn true_name(file: &OpenFile, names: &dyn EndNames) -> Vec<u8> {
    let mut name = Vec::new();
    // A vector takes all that is written.
    let _ = proper(file, names, &|text, out| out.write_all(text), &mut name);
    name
}

/// How a text that others chose is written.
type Texts<'a> = dyn Fn(&[u8], &mut dyn Write) -> io::Result<()> + 'a;

fn proper(file: &OpenFile, names: &dyn EndNames, text: &Texts<'_>, out: &mut dyn Write) -> io::Result<()> {
    match file.socket.as_deref() {
        Some(ListedSocket::Internet { transport, local, foreign, .. }) => {
            end(*local, *transport, names, text, out)?;
            if foreign.is_set() {
                out.write_all(b"->")?;
                end(*foreign, *transport, names, text, out)?;
            }
        }
        Some(ListedSocket::Unix { kind, path, .. }) => {
            // A name that was searched for is shown as it was given, the rest as it is bound.
            let path = if file.name.is_empty() { path } else { &file.name };
            text(path, out)?;
            if !path.is_empty() {
                out.write_all(b" ")?;
            }
            write!(out, "type={}", unix_kind(*kind))?;
        }
        Some(ListedSocket::Other { text: this, .. }) => text(this, out)?,
        None => text(&file.name, out)?,
    }
    Ok(())
}

fn unix_kind(kind: u16) -> Cow<'static, str> {
    Cow::Borrowed(match kind {
        1 => "STREAM",
        2 => "DGRAM",
        3 => "RAW",
        4 => "RDM",
        5 => "SEQPACKET",
        10 => "PACKET",
        other => return format!("UNKNOWN({other})").into(),
    })
}

/// The state of a UNIX socket.
#[must_use]
pub(super) fn unix_state(state: u8, listens: bool) -> &'static str {
    match state {
        0 => "UNALLOCATED",
        _ if listens => "LISTEN",
        1 => "UNCONNECTED",
        2 => "CONNECTING",
        3 => "CONNECTED",
        4 => "DISCONNECTING",
        _ => "UNKNOWN",
    }
}

/// What is known of a socket beside its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct SocketInfo {
    /// The name of its state.
    pub(super) state: Option<Cow<'static, str>>,
    /// Bytes to read, and bytes to send.
    pub(super) queues: Option<(u64, u64)>,
}

/// What is known of a socket beside its name.
#[must_use]
pub(super) fn socket_info(socket: &ListedSocket) -> SocketInfo {
    match socket {
        ListedSocket::Internet { transport, state, send_queue, receive_queue, .. } => SocketInfo {
            state: (*transport == Transport::Tcp).then(|| {
                tcp_state(*state).map_or_else(|| format!("UNKNOWN_TCP_STATE_{state}").into(), Cow::Borrowed)
            }),
            queues: Some((*receive_queue, *send_queue)),
        },
        ListedSocket::Unix { state, listens, .. } => {
            SocketInfo { state: Some(Cow::Borrowed(unix_state(*state, *listens))), queues: None }
        }
        ListedSocket::Other { .. } => SocketInfo::default(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_turn_hexadecimal() {
        assert_eq!(offset(11, 8), "0t11");
        assert_eq!(offset(12_345_678, 8), "0t12345678");
        assert_eq!(offset(123_456_789, 8), "0x75bcd15");
        assert_eq!(offset(5_000_000_000, 0), "0t5000000000");
    }

    #[test]
    fn sizes_for_people() {
        for (size, text) in [(0, "0B"), (72, "72B"), (1024, "1.0K"), (1_265_648, "1.2M"), (8 << 30, "8.0G")] {
            assert_eq!(human(size), text);
        }
        assert_eq!(human(u64::MAX), "16.0E");
    }
}
