//! Sockets as /proc/net prints them: for kernels without `sock_diag` for a protocol, and where it is refused. No cookies there.

use std::net::{Ipv4Addr, Ipv6Addr};

use super::{InternetSocket, SocketClass, State, protocol};

/// One file of /proc/net.
#[derive(Debug)]
pub(super) struct ProcNetFile {
    /// Its name.
    pub(super) file: &'static str,
    class: SocketClass,
    protocol: u8,
    is_v6: bool,
}

/// The files of both families.
const fn tables(files: [&'static str; 2], class: SocketClass, protocols: [u8; 2]) -> [ProcNetFile; 2] {
    [
        ProcNetFile { file: files[0], class, protocol: protocols[0], is_v6: false },
        ProcNetFile { file: files[1], class, protocol: protocols[1], is_v6: true },
    ]
}

pub(super) const TCP: [ProcNetFile; 2] = tables(["tcp", "tcp6"], SocketClass::Transport, [protocol::TCP; 2]);
pub(super) const UDP: [ProcNetFile; 2] = tables(["udp", "udp6"], SocketClass::Transport, [protocol::UDP; 2]);
pub(super) const UDPLITE: [ProcNetFile; 2] =
    tables(["udplite", "udplite6"], SocketClass::Transport, [protocol::UDPLITE; 2]);
/// The protocol stands where others have the local port.
pub(super) const RAW: [ProcNetFile; 2] = tables(["raw", "raw6"], SocketClass::Raw, [0; 2]);
pub(super) const PING: [ProcNetFile; 2] =
    tables(["icmp", "icmp6"], SocketClass::Ping, [protocol::ICMP, protocol::ICMPV6]);

/// Reads a table; lines that are none of its are left out, as its heading is.
pub(super) fn parse<'a>(table: &'a ProcNetFile, text: &'a [u8]) -> impl Iterator<Item = InternetSocket> + 'a {
    text.split(|byte| *byte == b'\n').filter_map(|line| parse_line(table, std::str::from_utf8(line).ok()?))
}

/// `sl local_address rem_address st tx_queue:rx_queue tr:when retrnsmt uid timeout inode ...` (`Documentation/networking/proc_net_tcp.rst`).
fn parse_line(table: &ProcNetFile, line: &str) -> Option<InternetSocket> {
    let mut fields = line.split_ascii_whitespace();
    let (local, local_port) = end(fields.nth(1)?)?;
    let (remote, remote_port) = end(fields.next()?)?;
    let state = State::from_raw(u8::from_str_radix(fields.next()?, 16).ok()?);
    let (send_queue, receive_queue) = fields.next()?.split_once(':')?;
    let uid = fields.nth(2)?.parse().ok()?;
    let inode = fields.nth(1)?.parse().ok()?;
    let is_raw = table.class == SocketClass::Raw;
    Some(InternetSocket {
        class: table.class,
        protocol: if is_raw { u8::try_from(local_port).ok()? } else { table.protocol },
        is_v6: table.is_v6,
        v6_only: false,
        state,
        local,
        remote,
        local_port: if is_raw { 0 } else { local_port },
        remote_port: if is_raw { 0 } else { remote_port },
        interface: 0,
        cookie: 0,
        inode,
        uid,
        receive_queue: u32::from_str_radix(receive_queue, 16).ok()?,
        send_queue: u32::from_str_radix(send_queue, 16).ok()?,
    })
}

/// An address and a port: words in this machine's order, of which the kernel prints the numbers.
fn end(text: &str) -> Option<(Ipv6Addr, u16)> {
    let (address, port) = text.split_once(':')?;
    let word =
        |at: usize| u32::from_str_radix(address.get(at * 8..at * 8 + 8)?, 16).ok().map(u32::to_ne_bytes);
    let address = match address.len() {
        8 => Ipv4Addr::from(word(0)?).to_ipv6_mapped(),
        32 => {
            let mut octets = [0; 16];
            for (at, part) in octets.chunks_exact_mut(4).enumerate() {
                part.copy_from_slice(&word(at)?);
            }
            Ipv6Addr::from(octets)
        }
        _ => return None,
    };
    Some((address, u16::from_str_radix(port, 16).ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const HEADING: &str =
        "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n";

    fn read(table: &ProcNetFile, lines: &str) -> Vec<String> {
        let text = format!("{HEADING}{lines}");
        parse(table, text.as_bytes())
            .map(|socket| {
                let InternetSocket { protocol, state, uid, inode, receive_queue, send_queue, .. } = socket;
                let (local, remote) = (socket.local_end(), socket.remote_end());
                format!("{protocol} {local} {remote} {state:?} {uid} {inode} {receive_queue} {send_queue}")
            })
            .collect()
    }

    #[test]
    #[cfg(target_endian = "little")]
    fn tables_are_read() {
        let tcp = "   0: 0100007F:1F90 0200007F:C350 01 0000000A:00000005 00:00000000 00000000  1000        0 54321 1 0000000000000000 20 4 30 10 -1\n";
        assert_eq!(read(&TCP[0], tcp), ["6 127.0.0.1:8080 127.0.0.2:50000 Established 1000 54321 5 10"]);
        let tcp6 = "   1: 00000000000000000000000001000000:0016 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 9 1 0 100 0 0 10 0\n";
        assert_eq!(read(&TCP[1], tcp6), ["6 [::1]:22 [::]:0 Listen 0 9 0 0"]);
        let raw = "    1: 00000000:0001 00000000:0000 07 00000000:00000000 00:00000000 00000000     0        0 77 2 0000000000000000 0\n";
        assert_eq!(read(&RAW[0], raw), ["1 0.0.0.0:0 0.0.0.0:0 Close 0 77 0 0"]);
        assert_eq!(read(&PING[0], raw), ["1 0.0.0.0:1 0.0.0.0:0 Close 0 77 0 0"]);
        assert_eq!(read(&TCP[0], "garbage\n  0: 0100007F:1F90\n"), [""; 0]);
    }

    proptest! {
        #[test]
        fn any_text_is_read_to_its_end(text in prop::collection::vec(any::<u8>(), 0..300), line in "[ 0-9A-F:]{0,200}") {
            prop_assert!(parse(&TCP[0], &text).count() <= text.len());
            let _ = parse_line(&RAW[1], &line);
        }
    }
}
