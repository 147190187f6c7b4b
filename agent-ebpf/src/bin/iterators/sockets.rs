//! What a socket is, read from the socket itself.

use aya_ebpf::helpers::generated::{bpf_probe_read_kernel, bpf_snprintf};
use core::ffi::c_void;
use flowtally_common::walk::{SocketRecord, UNKNOWN, fact, want};

use crate::memory::{Address, at, below, field, is_in_set, read, read_known, wants};

/// `linux/socket.h`
const AF_UNIX: u16 = 1;
const AF_INET: u16 = 2;
const AF_INET6: u16 = 10;
const AF_NETLINK: u16 = 16;
const AF_PACKET: u16 = 17;
/// `linux/in.h`
const TCP: u16 = 6;
const UDP: u16 = 17;
const UDPLITE: u16 = 136;
/// `net/tcp_states.h`
const TCP_LISTEN: u8 = 10;
const TCP_CLOSE: u8 = 7;
/// Longest name of a UNIX socket: `sockaddr_un.sun_path`.
const LONGEST_NAME: u32 = 108;
/// The family in front of it.
const FAMILY: u32 = 2;
/// First half of the third word of a v4-mapped address (RFC 4291, 2.5.5.2), in network order.
const MAPPED: u32 = 0xffff_0000;

/// How the kernel prints an address.
#[unsafe(no_mangle)]
static ADDRESS_FORMAT: [u8; 4] = *b"%pK\0";

/// Whether it is of a family that is wanted, with a port that is.
#[inline(always)]
pub(crate) fn is_wanted(sk: Address) -> bool {
    if !wants(want::INTERNET | want::PORTS) {
        return true;
    }
    let family: u16 = field(sk, at!(sk_family));
    if family != AF_INET && family != AF_INET6 {
        return false;
    }
    if !wants(want::PORTS) {
        return true;
    }
    let local: u16 = field(sk, at!(sk_num));
    let remote: u16 = field(sk, at!(sk_dport));
    is_in_set(u64::from(local)) || is_in_set(u64::from(remote.swap_bytes()))
}

/// Writes what a socket is, and returns the length of that.
#[inline(always)]
pub(crate) fn describe(sk: Address, place: *mut SocketRecord) -> u32 {
    // SAFETY: the caller's memory.
    let record = unsafe { &mut *place };
    let family: u16 = field(sk, at!(sk_family));
    let state: u8 = field(sk, at!(sk_state));
    let protocol: u16 = field(sk, at!(sk_protocol));
    let net: Address = field(sk, at!(sk_net));
    record.cookie = field(sk, at!(sk_cookie));
    record.peer = 0;
    record.local = [0; 4];
    record.remote = [0; 4];
    record.namespace = read(net, at!(net_inum));
    record.uid = read_known(sk, at!(sk_uid)).unwrap_or(UNKNOWN);
    record.interface = field(sk, at!(sk_interface));
    record.receive_queue = 0;
    record.send_queue = 0;
    record.number = UNKNOWN;
    record.local_port = 0;
    record.remote_port = 0;
    record.family = family;
    record.kind = field(sk, at!(sk_type));
    record.protocol = protocol;
    record.text = 0;
    record.state = state;
    record.facts = 0;
    record.padding = 0;
    if wants(want::ADDRESS) {
        let mut words = [sk as u64];
        // Sixteen digits, and a zero behind them.
        let mut text = [0_u64; 3];
        // SAFETY: the buffers are as long as said, and the format is of this object.
        unsafe {
            bpf_snprintf(
                text.as_mut_ptr().cast(),
                size_of_val(&text) as u32,
                (&raw const ADDRESS_FORMAT).cast(),
                words.as_mut_ptr(),
                size_of_val(&words) as u32,
            );
            record.address = text.as_ptr().cast::<[u8; 16]>().read();
        }
        record.facts |= fact::ADDRESS;
    }
    let complete = match family {
        AF_INET | AF_INET6 => internet(sk, family, protocol, state, record),
        AF_UNIX => return size_of::<SocketRecord>() as u32 + unix(sk, place),
        AF_NETLINK => number(record, read_known(sk, at!(netlink_portid))),
        AF_PACKET => {
            number(record, read_known::<u16>(sk, at!(packet_num)).map(|num| u32::from(num.swap_bytes())))
        }
        _ => None,
    };
    if complete.is_some() {
        record.facts |= fact::COMPLETE;
    }
    size_of::<SocketRecord>() as u32
}

#[inline(always)]
fn number(record: &mut SocketRecord, number: Option<u32>) -> Option<()> {
    record.number = number?;
    Some(())
}

/// `None` where the kernel has not all fields.
#[inline(always)]
fn internet(sk: Address, family: u16, protocol: u16, state: u8, record: &mut SocketRecord) -> Option<()> {
    let remote_port: u16 = field(sk, at!(sk_dport));
    record.local_port = field(sk, at!(sk_num));
    record.remote_port = remote_port.swap_bytes();
    if family == AF_INET {
        let (local, remote): (u32, u32) = (field(sk, at!(sk_rcv_saddr)), field(sk, at!(sk_daddr)));
        record.local = [0, 0, MAPPED, local];
        record.remote = [0, 0, MAPPED, remote];
    } else {
        record.local = read_known(sk, at!(sk_v6_rcv_saddr))?;
        record.remote = read_known(sk, at!(sk_v6_daddr))?;
    }
    if protocol == TCP && state == TCP_LISTEN {
        record.receive_queue = read_known(sk, at!(sk_ack_backlog))?;
        record.send_queue = read_known(sk, at!(sk_max_ack_backlog))?;
    } else if protocol == TCP && state != TCP_CLOSE {
        let next: u32 = read_known(sk, at!(tcp_rcv_nxt))?;
        let copied: u32 = read_known(sk, at!(tcp_copied))?;
        let write: u32 = read_known(sk, at!(tcp_write))?;
        let acknowledged: u32 = read_known(sk, at!(tcp_una))?;
        // What was read may be ahead while a segment is worked on.
        let waiting = next.wrapping_sub(copied);
        record.receive_queue = if waiting > i32::MAX as u32 { 0 } else { waiting };
        record.send_queue = write.wrapping_sub(acknowledged);
    } else if protocol != TCP {
        let received: u32 = read_known(sk, at!(sk_rmem_alloc))?;
        let sent: u32 = read_known(sk, at!(sk_wmem_alloc))?;
        let mut deficit = 0;
        if protocol == UDP || protocol == UDPLITE {
            deficit = read_known(sk, at!(udp_deficit))?;
        }
        record.receive_queue = received.wrapping_sub(deficit);
        record.send_queue = sent.wrapping_sub(1);
    }
    Some(())
}

/// Writes the name behind the record, and returns its length.
#[inline(always)]
fn unix(sk: Address, place: *mut SocketRecord) -> u32 {
    // SAFETY: the caller's memory.
    let record = unsafe { &mut *place };
    let (Some(address), Some(peer)) =
        (read_known::<Address>(sk, at!(unix_addr)), read_known::<Address>(sk, at!(unix_peer)))
    else {
        return 0;
    };
    let (to_socket, from_socket, inode) = (at!(sk_socket), at!(alloc_socket), at!(alloc_inode));
    if to_socket == UNKNOWN || from_socket == UNKNOWN || inode == UNKNOWN || at!(address_len) == UNKNOWN {
        return 0;
    }
    record.facts |= fact::COMPLETE;
    if !peer.is_null() {
        let socket: Address = read(peer, to_socket);
        // One that waits to be accepted has no inode yet.
        if !socket.is_null() {
            record.peer = read(socket, inode.wrapping_sub(from_socket) + at!(inode_ino));
        }
    }
    if address.is_null() {
        return 0;
    }
    let length: u32 = read(address, at!(address_len));
    let length = length.wrapping_sub(FAMILY);
    if length == 0 || length > LONGEST_NAME {
        return 0;
    }
    let name = address.wrapping_add(at!(address_name) as usize + FAMILY as usize).cast::<c_void>();
    // SAFETY: behind the record is room for as much; the helper checks the address.
    unsafe { bpf_probe_read_kernel(place.add(1).cast(), below::<128>(length), name) };
    record.text = length as u16;
    length
}
