//! bpf(2) for programs that walk: aya loads such programs too, but reads all of the kernel's type information for it.

use std::{
    io,
    os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd},
};

use aya_obj::generated::bpf_insn;

use crate::kernel::sys::{Element, MapCreate, bpf};

/// Commands and constants of `linux/bpf.h`.
const BPF_MAP_CREATE: libc::c_long = 0;
const BPF_MAP_UPDATE_ELEM: libc::c_long = 2;
const BPF_PROG_LOAD: libc::c_long = 5;
const BPF_MAP_FREEZE: libc::c_long = 22;
const BPF_LINK_CREATE: libc::c_long = 28;
const BPF_ITER_CREATE: libc::c_long = 33;
const BPF_MAP_TYPE_ARRAY: u32 = 2;
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;
/// Programs may read the map, not write it.
const BPF_F_RDONLY_PROG: u32 = 1 << 7;

#[repr(C)]
#[derive(Default)]
struct ProgramLoad {
    program_type: u32,
    instruction_count: u32,
    instructions: u64,
    licence: u64,
    log_level: u32,
    log_size: u32,
    log: u64,
    kernel_version: u32,
    flags: u32,
    name: [u8; 16],
    interface: u32,
    attach_type: u32,
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
struct LinkCreate {
    program: u32,
    target: u32,
    attach_type: u32,
    flags: u32,
    info: u64,
    info_length: u32,
    padding: u32,
}

/// `bpf_iter_link_info.task`.
#[repr(C)]
#[derive(Default)]
struct TaskInfo {
    tid: u32,
    pid: u32,
    pid_fd: u32,
    padding: u32,
}

#[repr(C)]
#[derive(Default)]
struct MapOrLink {
    first: u32,
    second: u32,
}

fn number(fd: BorrowedFd<'_>) -> u32 {
    fd.as_raw_fd().unsigned_abs()
}

/// Takes over the descriptor that a call has returned.
fn owned(fd: libc::c_long) -> io::Result<OwnedFd> {
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the call returned a new file descriptor that nothing else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// An array of one element. What programs only read is constant for the verifier, once it is frozen.
pub(super) fn create_array(size: u32, read_only: bool) -> io::Result<OwnedFd> {
    let mut attributes = MapCreate {
        map_type: BPF_MAP_TYPE_ARRAY,
        key_size: 4,
        value_size: size,
        max_entries: 1,
        map_flags: if read_only { BPF_F_RDONLY_PROG } else { 0 },
        ..MapCreate::default()
    };
    // SAFETY: these are the attributes of map creation, and hold no addresses.
    owned(unsafe { bpf(BPF_MAP_CREATE, &mut attributes) }?)
}

/// Writes the element of an array. `value` must be as long as it.
///
/// # Safety
/// The map's element is no longer than `value`.
pub(super) unsafe fn write_element(map: BorrowedFd<'_>, value: &[u8]) -> io::Result<()> {
    let key = 0_u32;
    let mut attributes = Element {
        map_fd: number(map),
        key: (&raw const key).addr() as u64,
        value_or_next: value.as_ptr().addr() as u64,
        ..Element::default()
    };
    // SAFETY: the key is of the map's size, the value too by the caller's word, and both outlive the call.
    unsafe { bpf(BPF_MAP_UPDATE_ELEM, &mut attributes) }.map(drop)
}

/// From now on nobody writes the map.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = MapOrLink { first: number(map), second: 0 };
    // SAFETY: the attributes hold no addresses.
    unsafe { bpf(BPF_MAP_FREEZE, &mut attributes) }.map(drop)
}

/// Loads a program that runs for each object that the function with this number in the kernel's type information stands for. What the
/// verifier says goes to `log`, if that is not empty.
pub(super) fn load(
    name: &str,
    function: u32,
    instructions: &[bpf_insn],
    licence: &std::ffi::CStr,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let mut attributes = ProgramLoad {
        program_type: BPF_PROG_TYPE_TRACING,
        instruction_count: u32::try_from(instructions.len()).map_err(io::Error::other)?,
        instructions: instructions.as_ptr().addr() as u64,
        licence: licence.as_ptr().addr() as u64,
        attach_type: BPF_TRACE_ITER,
        attach_function: function,
        ..ProgramLoad::default()
    };
    for (to, from) in attributes.name.iter_mut().take(15).zip(name.bytes()) {
        *to = from;
    }
    if !log.is_empty() {
        attributes.log_level = 1;
        attributes.log_size = u32::try_from(log.len()).map_err(io::Error::other)?;
        attributes.log = log.as_mut_ptr().addr() as u64;
    }
    // SAFETY: instructions, licence and log are as long as said, and outlive the call.
    owned(unsafe { bpf(BPF_PROG_LOAD, &mut attributes) }?)
}

/// Binds a loaded program to what it walks: of one process alone, where the kernel can (Linux 6.1).
pub(super) fn link(program: BorrowedFd<'_>, process: Option<u32>) -> io::Result<OwnedFd> {
    let info = TaskInfo { pid: process.unwrap_or(0), ..TaskInfo::default() };
    let mut attributes =
        LinkCreate { program: number(program), attach_type: BPF_TRACE_ITER, ..LinkCreate::default() };
    if process.is_some() {
        attributes.info = (&raw const info).addr() as u64;
        attributes.info_length = u32::try_from(size_of::<TaskInfo>()).map_err(io::Error::other)?;
    }
    // SAFETY: the information is as long as said, and outlives the call.
    owned(unsafe { bpf(BPF_LINK_CREATE, &mut attributes) }?)
}

/// What is read to walk.
pub(super) fn iterate(link: &OwnedFd) -> io::Result<OwnedFd> {
    let mut attributes = MapOrLink { first: number(link.as_fd()), second: 0 };
    // SAFETY: the attributes hold no addresses.
    owned(unsafe { bpf(BPF_ITER_CREATE, &mut attributes) }?)
}
