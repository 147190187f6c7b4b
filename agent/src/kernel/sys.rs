//! The system calls that aya has no safe form of.

use std::{
    ffi::CStr,
    io,
    mem::MaybeUninit,
    os::{
        fd::{AsFd as _, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
        unix::net::UnixDatagram,
    },
};

use flowtally_common::{Count, FlowKey, SocketNote};

/// bpf(2) commands and constants, `linux/bpf.h`.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_LOOKUP_ELEM: libc::c_long = 1;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_MAP_DELETE_ELEM: libc::c_long = 3;
const BPF_MAP_GET_NEXT_KEY: libc::c_long = 4;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_PROG_TEST_RUN: libc::c_long = 10;
pub(super) const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_MAP_LOOKUP_BATCH: libc::c_long = 24;
const BPF_MAP_LOOKUP_AND_DELETE_BATCH: libc::c_long = 25;
pub(super) const BPF_LINK_CREATE: libc::c_long = 28;
pub(super) const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_MAP_TYPE_ARRAY_OF_MAPS: u32 = 12;
/// Programs may read the map, not write it.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;
/// membarrier(2), `linux/membarrier.h`.
const MEMBARRIER_CMD_GLOBAL: libc::c_long = 1;

/// Elements asked for in one batch: 240 KB of buffers, a few hundred calls for a million flows.
const BATCH: usize = 4096;

#[repr(C)]
#[derive(Default)]
struct MapCreate {
    map_type: u32,
    key_size: u32,
    value_size: u32,
    max_entries: u32,
    map_flags: u32,
    inner_map_fd: u32,
}

/// A program that is to be loaded, as `linux/bpf.h` numbers what it is and where it is attached.
pub(super) struct NewProgram<'a, Instruction> {
    /// The kind of program.
    pub(super) kind: u32,
    /// Where it is attached, of kinds that ask when they are loaded.
    pub(super) attach: u32,
    /// Number of the kernel's function that it is attached to, in the type information; 0 without one.
    pub(super) function: u32,
    /// What the kernel calls it: the first 15 bytes.
    pub(super) name: &'a str,
    pub(super) licence: &'a CStr,
    /// Of eight bytes each.
    pub(super) instructions: &'a [Instruction],
}

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    kind: u32,
    count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach: u32,
    btf: u32,
    function_info_size: u32,
    function_info: u64,
    function_info_count: u32,
    line_info_size: u32,
    line_info: u64,
    line_info_count: u32,
    attach_function: u32,
    attach_program: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct FilterRun {
    program: u32,
    returned: u32,
    input_size: u32,
    output_size: u32,
    input: u64,
    output: u64,
    repeat: u32,
    duration: u32,
}

#[repr(C)]
#[derive(Default)]
struct Element {
    map_fd: u32,
    padding: u32,
    key: u64,
    value_or_next: u64,
    flags: u64,
}

#[repr(C)]
#[derive(Default)]
struct Batch {
    from: u64,
    to: u64,
    keys: u64,
    values: u64,
    count: u32,
    map_fd: u32,
    element_flags: u64,
    flags: u64,
}

pub(super) fn fd_number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Takes over the descriptor that a call has returned.
///
/// # Safety
/// `fd` is a new descriptor that nothing else owns.
pub(super) unsafe fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: by the caller's word.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

fn create_map(mut attributes: MapCreate) -> io::Result<OwnedFd> {
    // SAFETY: these are the attributes of map creation, and hold no addresses; the call returns a new descriptor.
    unsafe { owned(bpf(BPF_MAP_CREATE, &mut attributes)?) }
}

/// An array of one element of so many bytes. What programs only read is constant for the verifier, once it is frozen.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn create_array(size: u32, read_only: bool) -> io::Result<OwnedFd> {
    create_map(MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        map_flags: if read_only { BPF_F_RDONLY_PROG } else { 0 },
        ..MapCreate::default()
    })
}

/// Calls bpf(2).
///
/// # Safety
/// `attributes` must be what `command` takes, and the addresses in it must be valid for what the kernel reads and
/// writes there.
pub(super) unsafe fn bpf<T>(command: libc::c_long, attributes: &mut T) -> io::Result<libc::c_long> {
    // SAFETY: the caller vouches for the attributes; their length goes along.
    let status = unsafe { libc::syscall(libc::SYS_bpf, command, &raw mut *attributes, size_of::<T>()) };
    if status < 0 { Err(io::Error::last_os_error()) } else { Ok(status) }
}

/// Waits until every BPF program that was running has ended.
///
/// membarrier(2)'s global command is an RCU grace period, but none with a single CPU (`kernel/sched/membarrier.c`), where a
/// program of a `PREEMPT_RT` kernel may have been preempted. There, and where the kernel refuses it (`nohz_full`, seccomp),
/// an update of a map of maps waits for the same (`maybe_wait_bpf_programs`).
///
/// # Errors
/// When both are refused.
pub(super) fn wait_for_programs() -> io::Result<()> {
    // SAFETY: the call takes an integer.
    let several_cpus = unsafe { libc::sysconf(libc::_SC_NPROCESSORS_ONLN) } > 1;
    // SAFETY: the call takes three integers.
    let barrier = || unsafe { libc::syscall(libc::SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) };
    if several_cpus && barrier() == 0 { Ok(()) } else { wait_by_map_of_maps() }
}

fn wait_by_map_of_maps() -> io::Result<()> {
    let create = |map_type, inner: Option<&OwnedFd>| {
        create_map(MapCreate {
            map_type,
            key_size: 4,
            value_size: 4,
            max_entries: 1,
            inner_map_fd: inner.map_or(0, |inner| fd_number(inner.as_fd())),
            ..MapCreate::default()
        })
    };
    let inner = create(BPF_MAP_TYPE_ARRAY, None)?;
    let outer = create(BPF_MAP_TYPE_ARRAY_OF_MAPS, Some(&inner))?;
    // SAFETY: keys and values of a map of maps are four bytes each.
    unsafe { set_element(outer.as_fd(), 0, inner.as_raw_fd()) }
}

/// Copies a value of an array map.
///
/// # Errors
/// When the kernel refuses.
///
/// # Safety
/// The map's values must be of type `T`, and of its size.
pub(super) unsafe fn copy_element<T>(
    map: BorrowedFd<'_>,
    index: u32,
    value: &mut MaybeUninit<T>,
) -> io::Result<()> {
    let mut attributes = Element {
        map_fd: fd_number(map),
        key: (&raw const index).addr() as u64,
        value_or_next: value.as_mut_ptr().addr() as u64,
        ..Element::default()
    };
    // SAFETY: the index is four bytes, the value as long as the caller says, and both outlive the call.
    unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut attributes) }.map(drop)
}

/// Sets an element of an array whose values are descriptors, or one of four bytes.
///
/// # Errors
/// When the kernel refuses.
///
/// # Safety
/// The map's keys and values must have four bytes each.
pub(super) unsafe fn set_element(map: BorrowedFd<'_>, index: u32, value: i32) -> io::Result<()> {
    // SAFETY: by the caller's word.
    unsafe { write_element(map, index, &value.to_ne_bytes()) }
}

/// Writes an element of an array.
///
/// # Errors
/// When the kernel refuses.
///
/// # Safety
/// The map's keys have four bytes, and its elements are no longer than `value`.
pub(super) unsafe fn write_element(map: BorrowedFd<'_>, index: u32, value: &[u8]) -> io::Result<()> {
    let mut attributes = Element {
        map_fd: fd_number(map),
        key: (&raw const index).addr() as u64,
        value_or_next: value.as_ptr().addr() as u64,
        ..Element::default()
    };
    // SAFETY: key and value are as long as the caller says, and outlive the call.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
}

/// Loads a program. With room for a log the verifier's is written there, ended by a zero.
///
/// # Errors
/// When the kernel refuses it.
pub(super) fn load_program<I>(program: &NewProgram<'_, I>, log: &mut [u8]) -> io::Result<OwnedFd> {
    const { assert!(size_of::<I>() == 8) };
    let too_long = |_| io::Error::from_raw_os_error(libc::E2BIG);
    let mut attributes = ProgramLoad {
        kind: program.kind,
        count: u32::try_from(program.instructions.len()).map_err(too_long)?,
        instructions: program.instructions.as_ptr().addr() as u64,
        licence: program.licence.as_ptr().addr() as u64,
        log_level: u32::from(!log.is_empty()),
        log_size: u32::try_from(log.len()).map_err(too_long)?,
        log: if log.is_empty() { 0 } else { log.as_mut_ptr().addr() as u64 },
        attach: program.attach,
        attach_function: program.function,
        ..ProgramLoad::default()
    };
    for (to, from) in attributes.name.iter_mut().take(15).zip(program.name.bytes()) {
        *to = from;
    }
    // SAFETY: instructions, licence and log are as long as said, and outlive the call, which returns a new descriptor.
    unsafe { owned(bpf(BPF_PROG_LOAD, &mut attributes)?) }
}

/// Runs a program on a frame: what it returned, and the nanoseconds of a run.
///
/// # Errors
/// When the kernel refuses the frame.
pub(super) fn test_run(program: BorrowedFd<'_>, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
    let mut attributes = FilterRun {
        program: fd_number(program),
        input_size: u32::try_from(frame.len()).map_err(io::Error::other)?,
        input: frame.as_ptr().addr() as u64,
        repeat,
        ..FilterRun::default()
    };
    // SAFETY: the frame is as long as said, is read alone, and outlives the call.
    unsafe { bpf(BPF_PROG_TEST_RUN, &mut attributes) }?;
    Ok((attributes.returned, attributes.duration))
}

/// Takes every element out of a third-level map and hands it to `each`.
///
/// # Errors
/// When the kernel refuses to read the map.
pub(super) fn take_all(map: BorrowedFd<'_>, each: &mut impl FnMut(&FlowKey, Count)) -> io::Result<()> {
    let mut go_on = |key: &FlowKey, count| {
        each(key, count);
        true
    };
    // SAFETY: the third level's keys and values are of these types.
    match unsafe { batches(map, BPF_MAP_LOOKUP_AND_DELETE_BATCH, &mut go_on) } {
        Err(error) if error.raw_os_error() == Some(libc::EINVAL) => take_one_by_one(map, each),
        result => result,
    }
}

/// Hands notes to `each`, with the cookies of their sockets, until it does not want more. What is noted meanwhile may be missing, or come
/// twice.
///
/// # Errors
/// When the kernel refuses to read the map, or cannot in batches (before 5.6).
pub(super) fn read_notes(
    map: BorrowedFd<'_>,
    each: &mut impl FnMut(&u64, SocketNote) -> bool,
) -> io::Result<()> {
    // SAFETY: the map's keys are eight bytes and its values `SocketNote`s.
    unsafe { batches(map, BPF_MAP_LOOKUP_BATCH, each) }
}

/// Reads a hash map from its beginning, to its end or until `each` does not want more.
///
/// # Safety
/// The map's keys and values must be of these types, of which any bits are one.
unsafe fn batches<K: Copy + Default, V: Copy + Default>(
    map: BorrowedFd<'_>,
    command: libc::c_long,
    each: &mut impl FnMut(&K, V) -> bool,
) -> io::Result<()> {
    let mut keys = vec![K::default(); BATCH];
    let mut values = vec![V::default(); BATCH];
    let (mut from, mut to) = (0_u32, 0_u32);
    let mut started = false;
    loop {
        let mut attributes = Batch {
            from: if started { (&raw const from).addr() as u64 } else { 0 },
            to: (&raw mut to).addr() as u64,
            keys: keys.as_mut_ptr().addr() as u64,
            values: values.as_mut_ptr().addr() as u64,
            count: u32::try_from(keys.len()).unwrap_or(u32::MAX),
            map_fd: fd_number(map),
            ..Batch::default()
        };
        // SAFETY: the buffers hold `count` keys and values of the map's sizes, the batch positions of a hash map are
        // four bytes (`kernel/bpf/hashtab.c`), and all outlive the call.
        let result = unsafe { bpf(command, &mut attributes) };
        let ended = match result {
            Ok(_) => false,
            Err(error) => match error.raw_os_error() {
                Some(libc::ENOENT) => true,
                // A bucket holds more than fits: nothing was taken from it.
                Some(libc::ENOSPC) if attributes.count == 0 => {
                    keys.resize(keys.len() * 2, K::default());
                    values.resize(values.len() * 2, V::default());
                    continue;
                }
                Some(libc::ENOSPC) => false,
                _ => return Err(error),
            },
        };
        for (key, value) in keys.iter().zip(&values).take(attributes.count as usize) {
            if !each(key, *value) {
                return Ok(());
            }
        }
        if ended {
            return Ok(());
        }
        (from, started) = (to, true);
    }
}

/// For kernels without batches (before 5.6). Nobody else writes the map meanwhile, so look-up and deletion may be two
/// calls.
fn take_one_by_one(map: BorrowedFd<'_>, each: &mut impl FnMut(&FlowKey, Count)) -> io::Result<()> {
    let mut key = FlowKey::default();
    let mut value = Count::default();
    loop {
        let map_fd = fd_number(map);
        let key_at = (&raw mut key).addr() as u64;
        let mut next = Element { map_fd, value_or_next: key_at, ..Element::default() };
        // SAFETY: without a key to start from the kernel writes the map's first key, 44 bytes, to `key`.
        match unsafe { bpf(BPF_MAP_GET_NEXT_KEY, &mut next) } {
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(()),
            result => result?,
        };
        let value_at = (&raw mut value).addr() as u64;
        let mut element = Element { map_fd, key: key_at, value_or_next: value_at, ..Element::default() };
        // SAFETY: key and value are of the map's sizes and outlive the call.
        unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut element) }?;
        each(&key, value);
        let mut element = Element { map_fd, key: key_at, ..Element::default() };
        // SAFETY: as above.
        unsafe { bpf(BPF_MAP_DELETE_ELEM, &mut element) }?;
    }
}

/// Reads the note on a socket into `note`; `false` when there is none.
///
/// # Errors
/// When the kernel refuses to read the map.
pub(super) fn look_up_note(map: BorrowedFd<'_>, cookie: u64, note: &mut SocketNote) -> io::Result<bool> {
    let mut element = Element {
        map_fd: fd_number(map),
        key: (&raw const cookie).addr() as u64,
        value_or_next: (&raw mut *note).addr() as u64,
        ..Element::default()
    };
    // SAFETY: the map's keys are eight bytes and its values `SocketNote`s, of which any bits are one; both outlive the call.
    match unsafe { bpf(BPF_MAP_LOOKUP_ELEM, &mut element) } {
        Ok(_) => Ok(true),
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => Ok(false),
        Err(error) => Err(error),
    }
}

/// Cookie of this thread's network namespace (`SO_NETNS_COOKIE`, Linux 5.14).
///
/// # Errors
/// On kernels that do not tell.
pub(super) fn netns_cookie() -> io::Result<u64> {
    const SO_NETNS_COOKIE: libc::c_int = 71;
    let socket = UnixDatagram::unbound()?;
    let mut cookie = 0_u64;
    let mut length = libc::socklen_t::try_from(size_of::<u64>()).map_err(io::Error::other)?;
    // SAFETY: the buffer is as long as said, and both outlive the call.
    let status = unsafe {
        libc::getsockopt(
            socket.as_raw_fd(),
            libc::SOL_SOCKET,
            SO_NETNS_COOKIE,
            (&raw mut cookie).cast(),
            &raw mut length,
        )
    };
    if status == 0 { Ok(cookie) } else { Err(io::Error::last_os_error()) }
}

/// Lets this process lock as much memory as it needs: kernels before 5.11 account BPF maps as locked memory. Where
/// that is refused, creating the maps says so.
pub(super) fn unlimit_locked_memory() {
    let limit = libc::rlimit { rlim_cur: libc::RLIM_INFINITY, rlim_max: libc::RLIM_INFINITY };
    // SAFETY: the structure is read only.
    unsafe { libc::setrlimit(libc::RLIMIT_MEMLOCK, &raw const limit) };
}
