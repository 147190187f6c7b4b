//! Which process owns which socket, noted where sockets are made, bound, connected, accepted and closed.
//!
//! These programs sit at the root of cgroup v2 and see every socket call of IPv4 and IPv6 in every network namespace. Each
//! lets the call go on. Sockets that the kernel makes for itself never come here.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, BPF_SOCK_OPS_TCP_LISTEN_CB, bpf_sock_ops},
    helpers::{
        bpf_get_current_pid_tgid, bpf_get_current_uid_gid,
        generated::{
            bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_task, bpf_get_netns_cookie,
            bpf_get_socket_cookie, bpf_ktime_get_boot_ns, bpf_probe_read_kernel, bpf_probe_read_kernel_str,
        },
    },
    macros::{cgroup_sock, cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockContext, SockOpsContext},
};
use core::{ffi::c_void, mem::MaybeUninit};
use flowtally_common::{BoundKey, Occasion, SocketNote};

use crate::maps::{BINDINGS, BOUND, NOTES, TASK};

/// The call goes on.
const ALLOW: i32 = 1;
/// `linux/socket.h`
const AF_INET: u32 = 2;
/// `linux/in.h`
const TCP: u32 = 6;
/// The first half of an address's second word when it is v4-mapped (RFC 4291, 2.5.5.2).
pub(crate) const MAPPED: u64 = 0xffff_0000;

/// What a socket is bound to, as words: [`BoundKey`] in memory.
pub(crate) type BoundWords = [u64; 4];

#[cgroup_sock(sock_create)]
pub(crate) fn flowtally_sock_create(ctx: SockContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Created);
    ALLOW
}

#[cgroup_sock(post_bind4)]
pub(crate) fn flowtally_post_bind4(ctx: SockContext) -> i32 {
    // SAFETY: the context is valid as long as the program runs.
    let (address, port, protocol) =
        unsafe { ((*ctx.sock).src_ip4, (*ctx.sock).src_port, (*ctx.sock).protocol) };
    let cookie = note(ctx.as_ptr(), Occasion::Bound);
    bind(ctx.as_ptr(), [0, mapped(address)], port, protocol, cookie);
    ALLOW
}

#[cgroup_sock(post_bind6)]
pub(crate) fn flowtally_post_bind6(ctx: SockContext) -> i32 {
    // SAFETY: the context is valid as long as the program runs; its fields are read in their own width.
    let (address, port, protocol) = unsafe {
        let address = &raw const (*ctx.sock).src_ip6;
        (words(address), (*ctx.sock).src_port, (*ctx.sock).protocol)
    };
    let cookie = note(ctx.as_ptr(), Occasion::Bound);
    bind(ctx.as_ptr(), address, port, protocol, cookie);
    ALLOW
}

#[cgroup_sock_addr(connect4)]
pub(crate) fn flowtally_connect4(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Connected);
    ALLOW
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn flowtally_connect6(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Connected);
    ALLOW
}

/// `getpeername(2)`, and `accept(2)` when it is asked for the peer's address.
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn flowtally_getpeername4(ctx: SockAddrContext) -> i32 {
    accepted(ctx.as_ptr());
    ALLOW
}

#[cgroup_sock_addr(getpeername6)]
pub(crate) fn flowtally_getpeername6(ctx: SockAddrContext) -> i32 {
    accepted(ctx.as_ptr());
    ALLOW
}

#[cgroup_sock(sock_release)]
pub(crate) fn flowtally_sock_release(ctx: SockContext) -> i32 {
    closed(ctx.as_ptr());
    ALLOW
}

#[sock_ops]
pub(crate) fn flowtally_sock_ops(ctx: SockOpsContext) -> u32 {
    match ctx.op() {
        BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB => arrived(ctx.ops),
        // Where a listener was not bound before, the kernel has chosen a port for it just now.
        BPF_SOCK_OPS_TCP_LISTEN_CB => {
            let words = local(ctx.ops);
            // SAFETY: the helper takes any context of this kind.
            let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
            put(&words, cookie);
        }
        _ => {}
    }
    ALLOW as u32
}

/// Notes the running process as the owner of the context's socket; returns the socket's cookie.
#[inline(always)]
fn note(ctx: *mut c_void, occasion: Occasion) -> u64 {
    // SAFETY: the helper takes any context of this program's kind.
    let cookie = unsafe { bpf_get_socket_cookie(ctx) };
    let note = current(ctx, occasion);
    // Refused only where memory is so short that a note matters least.
    let _ = NOTES.insert(cookie, note, 0);
    cookie
}

/// Notes who accepted a connection. A process that asks for the peer of a socket that it made or connected itself is told
/// nothing new by that.
#[inline(always)]
fn accepted(ctx: *mut c_void) {
    // SAFETY: the helper takes any context of this program's kind.
    let cookie = unsafe { bpf_get_socket_cookie(ctx) };
    if let Some(old) = NOTES.get_ptr(cookie) {
        // SAFETY: an element of the map, whose memory stays valid while the program runs.
        let occasion = unsafe { (*old).occasion };
        if occasion != Occasion::Listened as u8 && occasion != Occasion::Accepted as u8 {
            return;
        }
    }
    let note = current(ctx, Occasion::Accepted);
    let _ = NOTES.insert(cookie, note, 0);
}

/// The last of all who had the socket open closes it. Of a connection that was accepted it is the one who served it;
/// of any other, the owner as it is now: with the name and the user that it took since.
#[inline(always)]
fn closed(ctx: *mut c_void) {
    // SAFETY: the helper takes any context of this program's kind.
    let cookie = unsafe { bpf_get_socket_cookie(ctx) };
    unbind(cookie);
    let mut note = current(ctx, Occasion::Closed);
    if let Some(old) = NOTES.get_ptr(cookie) {
        // SAFETY: an element of the map, whose memory stays valid while the program runs.
        let old = unsafe { &*old };
        if old.occasion != Occasion::Listened as u8 {
            if old.tgid == note.tgid && old.start_time == note.start_time {
                if old.uid == note.uid && old.command == note.command && old.cgroup == note.cgroup {
                    return;
                }
                note.occasion = old.occasion;
            } else if old.occasion != Occasion::Accepted as u8 {
                return;
            }
        }
    }
    let _ = NOTES.insert(cookie, note, 0);
}

/// A connection has reached a listener. Until somebody is seen to accept it, it is the listener's.
#[inline(always)]
fn arrived(ops: *mut bpf_sock_ops) {
    // SAFETY: the helper takes any context of this kind.
    let cookie = unsafe { bpf_get_socket_cookie(ops.cast()) };
    if NOTES.get_ptr(cookie).is_some() {
        return;
    }
    let mut words = local(ops);
    let mut listener = find(&words);
    if listener == 0 {
        [words[1], words[2]] = [0, 0];
        listener = find(&words);
    }
    let Some(note) = NOTES.get_ptr(listener) else { return };
    // SAFETY: an element of the map, whose memory stays valid while the program runs.
    let mut note = unsafe { *note };
    note.occasion = Occasion::Listened as u8;
    let _ = NOTES.insert(cookie, note, 0);
}

/// The running process, as far as the kernel tells.
#[inline(always)]
fn current(ctx: *mut c_void, occasion: Occasion) -> SocketNote {
    let mut note = SocketNote {
        start_time: 0,
        // SAFETY: the helpers take nothing, or any context of this program's kind.
        noted: unsafe { bpf_ktime_get_boot_ns() },
        // SAFETY: as above.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        // SAFETY: as above.
        netns: unsafe { bpf_get_netns_cookie(ctx) },
        tgid: (bpf_get_current_pid_tgid() >> 32) as u32,
        uid: bpf_get_current_uid_gid() as u32,
        command: [0; 16],
        occasion: occasion as u8,
        padding: [0; 7],
    };
    let [leader_at, start_at, command_at, cred_at, euid_at] = TASK.load();
    let command = note.command.as_mut_ptr().cast();
    if leader_at == 0 {
        // SAFETY: the buffer is as long as said.
        unsafe { bpf_get_current_comm(command, size_of_val(&note.command) as u32) };
        return note;
    }
    // SAFETY: the helper takes nothing. What it returns is read by a helper that checks every address.
    let task = unsafe { bpf_get_current_task() };
    let leader: u64 = read(task, leader_at);
    note.start_time = read(leader, start_at);
    // SAFETY: the buffer is as long as said; the helper checks the address.
    unsafe {
        bpf_probe_read_kernel_str(
            command,
            size_of_val(&note.command) as u32,
            (leader + u64::from(command_at)) as *const c_void,
        );
    }
    if cred_at != 0 {
        let cred: u64 = read(task, cred_at);
        note.uid = read(cred, euid_at);
    }
    note
}

/// A number in the kernel's memory; 0 where there is none.
#[inline(always)]
fn read<T: Copy + Default>(base: u64, at: u32) -> T {
    let mut value = MaybeUninit::<T>::zeroed();
    // SAFETY: the helper checks the address, and writes the whole value or zeros; integers may have any bits.
    unsafe {
        bpf_probe_read_kernel(
            value.as_mut_ptr().cast(),
            size_of::<T>() as u32,
            (base + u64::from(at)) as *const c_void,
        );
        value.assume_init()
    }
}

#[inline(always)]
fn bind(ctx: *mut c_void, address: [u64; 2], port: u32, protocol: u32, cookie: u64) {
    // SAFETY: the helper takes any context of this program's kind.
    let netns = unsafe { bpf_get_netns_cookie(ctx) };
    put(&bound_words(netns, address, port, protocol), cookie);
}

/// Notes what a socket is bound to, and forgets what it was bound to before.
#[inline(always)]
fn put(words: &BoundWords, cookie: u64) {
    unbind(cookie);
    let key = bound_key(words);
    if BOUND.insert(key, cookie, 0).is_ok() {
        let _ = BINDINGS.insert(cookie, key, 0);
    }
}

/// Forgets what a socket was bound to; where another is bound to the same by now, that stays.
#[inline(always)]
fn unbind(cookie: u64) {
    let Some(key) = BINDINGS.get_ptr(cookie) else { return };
    // SAFETY: an element of the map, whose memory stays valid while the program runs.
    let key = unsafe { *key };
    let _ = BINDINGS.remove(cookie);
    // SAFETY: `BoundKey` is four words without holes.
    if find(unsafe { &*(&raw const key).cast::<BoundWords>() }) == cookie {
        let _ = BOUND.remove(key);
    }
}

/// The cookie of the socket that is bound there; 0 for none.
#[inline(always)]
pub(crate) fn find(words: &BoundWords) -> u64 {
    // SAFETY: an aligned word of the map, whose memory stays valid while the program runs.
    BOUND.get_ptr(bound_key(words)).map_or(0, |cookie| unsafe { *cookie })
}

#[inline(always)]
fn bound_key(words: &BoundWords) -> &BoundKey {
    // SAFETY: `BoundKey` is four words without holes, and any bits are valid in it.
    unsafe { &*(&raw const *words).cast() }
}

/// `port` in host order.
#[inline(always)]
fn bound_words(netns: u64, address: [u64; 2], port: u32, protocol: u32) -> BoundWords {
    let [high, low] = if address == [0, MAPPED] { [0, 0] } else { address };
    [netns, high, low, u64::from((port as u16).to_be()) | u64::from(protocol & 0xff) << 16]
}

/// Second word of the v4-mapped form of an address in network order.
#[inline(always)]
fn mapped(address: u32) -> u64 {
    MAPPED | u64::from(address) << 32
}

/// An address of a context as words.
///
/// # Safety
/// `address` must be readable, in parts of four bytes.
#[inline(always)]
unsafe fn words(address: *const [u32; 4]) -> [u64; 2] {
    let part = |index| {
        // SAFETY: the caller's. Volatile, for parts must not be read together.
        u64::from(unsafe { address.cast::<u32>().add(index).read_volatile() })
    };
    [part(0) | part(1) << 32, part(2) | part(3) << 32]
}

/// What a TCP socket is bound to.
#[inline(always)]
fn local(ops: *mut bpf_sock_ops) -> BoundWords {
    // SAFETY: the context is valid as long as the program runs.
    let (family, port) = unsafe { ((*ops).family, (*ops).local_port) };
    let address = if family == AF_INET {
        // SAFETY: as above.
        [0, mapped(unsafe { (*ops).local_ip4 })]
    } else {
        // SAFETY: as above.
        unsafe { words(&raw const (*ops).local_ip6) }
    };
    // SAFETY: the helper takes any context of this kind.
    let netns = unsafe { bpf_get_netns_cookie(ops.cast()) };
    bound_words(netns, address, port, TCP)
}
