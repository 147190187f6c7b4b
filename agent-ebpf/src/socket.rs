//! Which socket a flow belongs to: asked for when the flow takes a slot, never while it hits one.

use aya_ebpf::{bindings::__sk_buff, helpers::bpf_get_socket_cookie};
use flowtally_common::{Direction, SocketHint, owner::BoundKey};

use crate::{
    account::Key,
    maps::{BOUND, NETNS},
};

/// The second word of `::ffff:0.0.0.0`: any address of IPv4.
pub(crate) const ANY_IPV4: u64 = 0xffff_0000;
/// The second word's lower half in any v4-mapped address.
const MAPPED: u64 = 0xffff_ffff;

/// The socket of a frame in a socket buffer: the one that it was sent from (through a veth pair the buffer keeps it, so that a
/// container's frames are seen with their sockets on the host's side, coming in), else the one that is bound to where it goes.
#[inline(never)]
pub(crate) fn of_buffer(skb: *mut __sk_buff, key: &Key, direction: Direction) -> u64 {
    // SAFETY: the context is valid as long as the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(skb.cast()) };
    if cookie != 0 || direction == Direction::Egress { cookie } else { bound_to(key) }
}

/// The socket that is bound to the destination of a flow in the interfaces' own network namespace.
#[inline(never)]
pub(crate) fn bound_to(key: &Key) -> u64 {
    let port = (key[4] >> 16) & 0xffff;
    if port == 0 {
        return 0;
    }
    let place = port | (key[5] & 0xff) << 16;
    bound(NETNS.load(), [key[2], key[3]], place).map_or(0, |cookie| cookie | SocketHint::BOUND)
}

/// The socket bound to an address or to any; `place` is the last word of a [`BoundKey`].
#[inline(always)]
pub(crate) fn bound(netns: u64, address: [u64; 2], place: u64) -> Option<u64> {
    let exact = [netns, address[0], address[1], place];
    if let Some(cookie) = find(&exact) {
        return Some(cookie);
    }
    if address[0] == 0
        && address[1] & MAPPED == ANY_IPV4
        && let Some(cookie) = find(&[netns, 0, ANY_IPV4, place])
    {
        return Some(cookie);
    }
    find(&[netns, 0, 0, place])
}

#[inline(always)]
fn find(words: &[u64; 4]) -> Option<u64> {
    // SAFETY: a key is these four words, and has no other bytes.
    let key = unsafe { &*(&raw const *words).cast::<BoundKey>() };
    // SAFETY: elements are allocated once for all, and a value is one aligned word.
    unsafe { BOUND.get(key) }.copied()
}
