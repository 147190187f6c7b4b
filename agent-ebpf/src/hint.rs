//! Which socket a frame belongs to, as far as the frame shows. Asked only when a flow takes a slot.

use aya_ebpf::{
    bindings::{__sk_buff, bpf_fib_lookup, bpf_sock, xdp_md},
    helpers::generated::{bpf_fib_lookup as fib_lookup, bpf_get_socket_cookie, bpf_sk_fullsock},
};
use core::{ffi::c_void, mem::MaybeUninit};
use flowtally_common::{Direction, SocketHint};

use crate::{
    maps::{NETNS, NOTES},
    owner::{MAPPED, find},
    slot::Key,
};

/// `linux/socket.h`
const AF_INET: u32 = 2;
const AF_INET6: u32 = 10;
/// `linux/net.h`
const SOCK_RAW: u32 = 3;
/// `linux/in.h`
const TCP: u32 = 6;
const UDP: u32 = 17;
/// `linux/bpf.h`: the route ends here; or this interface forwards nothing.
const NOT_FORWARDED: [i64; 2] = [4, 5];

/// What the look-up of a route is told and tells, in bytes.
const ROUTE_LENGTH: i32 = 64;
const _: () = assert!(size_of::<bpf_fib_lookup>() == 64);

/// The context of a program.
pub(crate) trait Context: Copy {
    /// The context, for helpers that take any.
    fn pointer(self) -> *mut c_void;
    /// Cookie of the socket that sent the frame; 0 for none.
    fn sender(self, key: &Key) -> u64;
}

impl Context for *mut __sk_buff {
    #[inline(always)]
    fn pointer(self) -> *mut c_void {
        self.cast()
    }

    #[inline(always)]
    fn sender(self, key: &Key) -> u64 {
        // SAFETY: the context is valid as long as the program runs. Volatile, for the kernel's verifier knows the pointer
        // by where it was read.
        let socket: *mut bpf_sock = unsafe { (&raw const (*self).__bindgen_anon_2.sk).read_volatile() };
        if socket.is_null() {
            return 0;
        }
        let raw = match sends(socket, key) {
            Sends::No => return 0,
            Sends::Yes => false,
            Sends::Raw => true,
        };
        // SAFETY: the helper takes this kind of context.
        let cookie = unsafe { bpf_get_socket_cookie(self.cast()) };
        // The kernel answers for ports without a socket through a raw one of its own, which is never noted.
        if raw && NOTES.get_ptr(cookie).is_none() { 0 } else { cookie }
    }
}

impl Context for *mut xdp_md {
    #[inline(always)]
    fn pointer(self) -> *mut c_void {
        self.cast()
    }

    /// There is no socket yet.
    #[inline(always)]
    fn sender(self, _: &Key) -> u64 {
        0
    }
}

/// What a frame's socket is to the frame.
#[derive(Clone, Copy)]
enum Sends {
    No,
    Yes,
    /// It is a raw socket, which may send anything.
    Raw,
}

/// Whether a frame that has this socket is the socket's own, and not that of a tunnel around it, whose frames keep the
/// socket of what they carry.
#[inline(always)]
fn sends(socket: *mut bpf_sock, key: &Key) -> Sends {
    // SAFETY: not null, so a socket for as long as the program runs; these fields every kind of socket has.
    let (family, port) = unsafe {
        ((&raw const (*socket).family).read_volatile(), (&raw const (*socket).src_port).read_volatile())
    };
    if family != AF_INET && family != AF_INET6 {
        return Sends::Yes;
    }
    // SAFETY: not null.
    let full = unsafe { bpf_sk_fullsock(socket) };
    // Half-made and half-closed connections are not whole sockets.
    let (kind, protocol) = if full.is_null() {
        (0, TCP)
    } else {
        // SAFETY: a whole socket.
        unsafe { ((&raw const (*full).type_).read_volatile(), (&raw const (*full).protocol).read_volatile()) }
    };
    if kind == SOCK_RAW {
        return Sends::Raw;
    }
    let ports = key[4] as u32;
    let own = ports == 0 || u32::from(u16::from_be(ports as u16)) == port;
    if u64::from(protocol) == key[5] & 0xff && (own || protocol != TCP && protocol != UDP) {
        Sends::Yes
    } else {
        Sends::No
    }
}

/// The [`SocketHint`] of a frame.
#[inline(always)]
pub(crate) fn hint<C: Context>(context: C, key: *const Key) -> u64 {
    // SAFETY: null, or a key of the caller's.
    let Some(key) = (unsafe { key.as_ref() }) else { return 0 };
    if key[5] >> 8 & 1 == Direction::Ingress as u64 {
        let cookie = receiver(context.pointer(), key);
        if cookie != 0 {
            return cookie | SocketHint::BOUND;
        }
    }
    context.sender(key)
}

/// Cookie of the socket of this namespace that is bound to where the frame goes, if here is where it goes.
#[inline(always)]
fn receiver(context: *mut c_void, key: &Key) -> u64 {
    let netns = NETNS.load();
    let protocol = key[5] as u8;
    if netns == 0 || u32::from(protocol) != TCP && u32::from(protocol) != UDP {
        return 0;
    }
    let mut words = [netns, key[2], key[3], key[4] >> 16 & 0xffff | u64::from(protocol) << 16];
    let exact = find(&words);
    if exact != 0 {
        return exact;
    }
    // SAFETY: two of the four words.
    unsafe { clear(words.as_mut_ptr().add(1).cast::<[u64; 2]>()) };
    let any = find(&words);
    if any != 0 && (to_many(key) || ends_here(context, key)) { any } else { 0 }
}

fn is_v4(high: u64, low: u64) -> bool {
    high == 0 && low & 0xffff_ffff == MAPPED
}

/// Whether the destination is a multicast or the broadcast address.
#[inline(always)]
fn to_many(key: &Key) -> bool {
    let address = key[3] >> 32;
    if is_v4(key[2], key[3]) {
        address & 0xf0 == 0xe0 || address == 0xffff_ffff
    } else {
        key[2] & 0xff == 0xff
    }
}

/// Writes zeros. Volatile, or calls of `memset` come of it: kernels before 6.9 count each call as 32 bytes of stack at least, and
/// the chain of calls up to here has none left of its 512.
///
/// # Safety
/// The words must be writable.
#[inline(always)]
unsafe fn clear<const COUNT: usize>(words: *mut [u64; COUNT]) {
    let mut word = 0;
    while word < COUNT {
        // SAFETY: the caller's.
        unsafe { words.cast::<u64>().add(word).write_volatile(0) };
        word += 1;
    }
}

/// Whether the route to the destination ends at this host: what is forwarded is no socket's, whatever its port.
#[inline(always)]
fn ends_here(context: *mut c_void, key: &Key) -> bool {
    let mut route = MaybeUninit::<[u64; ROUTE_LENGTH as usize / 8]>::uninit();
    // SAFETY: memory of this function's own.
    unsafe { clear(route.as_mut_ptr()) };
    // SAFETY: all zeros is a value of it, and the helper is told its length.
    let answer = unsafe {
        let route = &mut *route.as_mut_ptr().cast::<bpf_fib_lookup>();
        route.ifindex = (key[4] >> 32) as u32;
        if is_v4(key[2], key[3]) {
            route.family = AF_INET as u8;
            route.__bindgen_anon_3.ipv4_src = (key[1] >> 32) as u32;
            route.__bindgen_anon_4.ipv4_dst = (key[3] >> 32) as u32;
        } else {
            route.family = AF_INET6 as u8;
            let halves = |word: u64| [word as u32, (word >> 32) as u32];
            let ([a, b], [c, d]) = (halves(key[0]), halves(key[1]));
            route.__bindgen_anon_3.ipv6_src = [a, b, c, d];
            let ([a, b], [c, d]) = (halves(key[2]), halves(key[3]));
            route.__bindgen_anon_4.ipv6_dst = [a, b, c, d];
        }
        fib_lookup(context, route, ROUTE_LENGTH, 0)
    };
    answer < 0 || answer == NOT_FORWARDED[0] || answer == NOT_FORWARDED[1]
}
