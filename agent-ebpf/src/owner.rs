//! Who owns a socket: noted in the process that makes, binds, connects, accepts or closes it.
//!
//! Attached at the root of cgroup v2, beside other programs. Every program lets the call go on as it was.

use aya_ebpf::{
    EbpfContext as _,
    bindings::{BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB, bpf_sock, bpf_sock_ops},
    helpers::{
        bpf_get_current_cgroup_id, bpf_get_current_comm, bpf_get_current_pid_tgid, bpf_get_current_task,
        bpf_get_current_uid_gid, bpf_get_netns_cookie, bpf_get_socket_cookie, bpf_ktime_get_boot_ns,
        generated::bpf_probe_read_kernel,
    },
    macros::{cgroup_sock, cgroup_sock_addr, sock_ops},
    programs::{SockAddrContext, SockContext, SockOpsContext},
};
use core::{ffi::c_void, mem::MaybeUninit};
use flowtally_common::{Occasion, SocketNote, owner::BoundKey};

use crate::{
    maps::{BINDINGS, BOUND, NOTES, TASK},
    socket::{self, ANY_IPV4},
};

/// The call goes on.
const ALLOW: i32 = 1;
/// `AF_INET`
const INET: u32 = 2;

#[cgroup_sock(sock_create)]
pub(crate) fn flowtally_sock_create(ctx: SockContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Created as u8);
    ALLOW
}

#[cgroup_sock(sock_release)]
pub(crate) fn flowtally_sock_release(ctx: SockContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Closed as u8);
    // SAFETY: the context is valid as long as the program runs.
    let cookie = unsafe { bpf_get_socket_cookie(ctx.as_ptr()) };
    // SAFETY: elements are allocated once for all; one that is used again meanwhile only makes the look-up below fail.
    if let Some(key) = unsafe { BINDINGS.get(&cookie) } {
        let key = *key;
        // SAFETY: as above, of an aligned word.
        if unsafe { BOUND.get(&key) } == Some(&cookie) {
            // Whether it was still there does not matter.
            let _ = BOUND.remove(&key);
        }
        let _ = BINDINGS.remove(&cookie);
    }
    ALLOW
}

#[cgroup_sock(post_bind4)]
pub(crate) fn flowtally_post_bind4(ctx: SockContext) -> i32 {
    // SAFETY: the context is valid as long as the program runs.
    let address = unsafe { ANY_IPV4 | u64::from((*ctx.sock).src_ip4) << 32 };
    bind(ctx.sock, [0, address])
}

#[cgroup_sock(post_bind6)]
pub(crate) fn flowtally_post_bind6(ctx: SockContext) -> i32 {
    // SAFETY: the context is valid as long as the program runs. The words are read one by one, as the kernel demands.
    let words = unsafe {
        let at = &raw const (*ctx.sock).src_ip6;
        let at = at.cast::<u32>();
        [at.read_volatile(), at.add(1).read_volatile(), at.add(2).read_volatile(), at.add(3).read_volatile()]
    };
    bind(ctx.sock, [pair(words[0], words[1]), pair(words[2], words[3])])
}

#[cgroup_sock_addr(connect4)]
pub(crate) fn flowtally_connect4(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Connected as u8);
    ALLOW
}

#[cgroup_sock_addr(connect6)]
pub(crate) fn flowtally_connect6(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Connected as u8);
    ALLOW
}

/// accept(2) asks for the name of the peer in the process that accepts, when it is to be told (`__sys_accept4_file`).
#[cgroup_sock_addr(getpeername4)]
pub(crate) fn flowtally_getpeername4(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Accepted as u8);
    ALLOW
}

#[cgroup_sock_addr(getpeername6)]
pub(crate) fn flowtally_getpeername6(ctx: SockAddrContext) -> i32 {
    note(ctx.as_ptr(), Occasion::Accepted as u8);
    ALLOW
}

/// Gives a connection that came in to the listener's process, until it is known who accepted it.
#[sock_ops]
pub(crate) fn flowtally_sock_ops(ctx: SockOpsContext) -> u32 {
    if ctx.op() == BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB {
        inherit(ctx.ops);
    }
    1
}

const fn pair(low: u32, high: u32) -> u64 {
    low as u64 | (high as u64) << 32
}

/// Remembers what a socket is bound to.
#[inline(always)]
fn bind(sock: *mut bpf_sock, address: [u64; 2]) -> i32 {
    note(sock.cast(), Occasion::Bound as u8);
    // SAFETY: the context is valid as long as the program runs.
    let (cookie, words) = unsafe {
        let port = u64::from(((*sock).src_port as u16).to_be());
        let place = port | u64::from((*sock).protocol as u8) << 16;
        (
            bpf_get_socket_cookie(sock.cast()),
            [bpf_get_netns_cookie(sock.cast()), address[0], address[1], place],
        )
    };
    // SAFETY: a key is these four words, and has no other bytes.
    let key = unsafe { &*(&raw const words).cast::<BoundKey>() };
    // Tables that evict are never full.
    let _ = BOUND.insert(key, cookie, 0);
    let _ = BINDINGS.insert(cookie, key, 0);
    ALLOW
}

/// Notes that the current process did something to a socket, if that says more of its owner than what is noted.
#[inline(never)]
fn note(ctx: *mut c_void, occasion: u8) {
    // SAFETY: every context that this is called with is one that has a socket.
    let (cookie, netns) = unsafe { (bpf_get_socket_cookie(ctx), bpf_get_netns_cookie(ctx)) };
    let (created, bound, connected, accepted, closed) = (
        Occasion::Created as u8,
        Occasion::Bound as u8,
        Occasion::Connected as u8,
        Occasion::Accepted as u8,
        Occasion::Closed as u8,
    );
    // SAFETY: the helper has no preconditions.
    let tgid = (bpf_get_current_pid_tgid() >> 32) as u32;
    let mut occasion = occasion;
    // SAFETY: elements are allocated once for all: one that is used again meanwhile is read as another socket's, and a socket
    // that has been idle for as long as that is one that /proc knows.
    if let Some(known) = unsafe { NOTES.get(&cookie) } {
        let same = known.tgid == tgid;
        let made = known.occasion == created || known.occasion == bound || known.occasion == connected;
        if occasion == bound && same && known.occasion == connected {
            return;
        }
        if occasion == accepted && made {
            // getpeername(2) of a socket that was connected from here.
            return;
        }
        if occasion == closed {
            if same {
                // Its user and its name may be others by now; how it came to the socket stays.
                occasion = known.occasion;
            } else if made {
                // Whoever is last to close a socket that others inherited need not be who used it.
                return;
            }
        }
    }
    if tgid == 0 {
        return;
    }
    let mut value = SocketNote {
        start_time: 0,
        // SAFETY: the helpers have no preconditions.
        noted: unsafe { bpf_ktime_get_boot_ns() },
        // SAFETY: as above.
        cgroup: unsafe { bpf_get_current_cgroup_id() },
        netns,
        tgid,
        uid: bpf_get_current_uid_gid() as u32,
        command: [0; 16],
        occasion,
        padding: [0; 7],
    };
    let offsets = TASK.load();
    if offsets.group_leader != 0 {
        // SAFETY: the helper reads any address, or fails and zeroes what it was to fill.
        unsafe {
            let task = bpf_get_current_task();
            let leader = peek::<u64>(task + u64::from(offsets.group_leader));
            value.start_time = peek(leader + u64::from(offsets.start_boottime));
            value.command = peek(leader + u64::from(offsets.comm));
            let cred = peek::<u64>(task + u64::from(offsets.cred));
            value.uid = peek(cred + u64::from(offsets.euid));
        }
    } else if let Ok(command) = bpf_get_current_comm() {
        value.command = command;
    }
    // A table that evicts is never full.
    let _ = NOTES.insert(cookie, value, 0);
}

/// Reads kernel memory; zeros where there is nothing to read.
///
/// # Safety
/// `T` must be valid for any bytes.
#[inline(always)]
unsafe fn peek<T>(address: u64) -> T {
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: the helper writes the whole value: what it reads, or zeros.
    unsafe {
        bpf_probe_read_kernel(value.as_mut_ptr().cast(), size_of::<T>() as u32, address as *const c_void);
        value.assume_init()
    }
}

/// Notes the owner of the listener as the one of a connection that came to it.
#[inline(always)]
fn inherit(ops: *mut bpf_sock_ops) {
    // SAFETY: the context is valid as long as the program runs, and has a socket.
    let (cookie, netns) = unsafe { (bpf_get_socket_cookie(ops.cast()), bpf_get_netns_cookie(ops.cast())) };
    // SAFETY: elements are allocated once for all, and nothing of it is read.
    if unsafe { NOTES.get(&cookie) }.is_some() {
        return;
    }
    // SAFETY: as above; the words are read one by one, as the kernel demands.
    let (address, port) = unsafe {
        let address = if (*ops).family == INET {
            [0, ANY_IPV4 | u64::from((*ops).local_ip4) << 32]
        } else {
            let at = (&raw const (*ops).local_ip6).cast::<u32>();
            [
                pair(at.read_volatile(), at.add(1).read_volatile()),
                pair(at.add(2).read_volatile(), at.add(3).read_volatile()),
            ]
        };
        (address, ((*ops).local_port as u16).to_be())
    };
    const TCP: u64 = 6;
    let Some(listener) = socket::bound(netns, address, u64::from(port) | TCP << 16) else { return };
    // SAFETY: as above: at worst the note is another socket's, and is put right when the connection is accepted or closed.
    let Some(owner) = (unsafe { NOTES.get(&listener) }) else { return };
    let mut owner = *owner;
    owner.occasion = Occasion::Listened as u8;
    let _ = NOTES.insert(cookie, owner, 0);
}
