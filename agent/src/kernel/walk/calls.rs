//! bpf(2) for programs that walk: aya loads such programs too, but reads all of the kernel's type information for it.

use std::{
    ffi::CStr,
    io,
    os::fd::{AsFd as _, BorrowedFd, OwnedFd},
};

use aya_obj::generated::bpf_insn;

use crate::kernel::sys::{
    BPF_ITER_CREATE, BPF_LINK_CREATE, BPF_MAP_FREEZE, NewProgram, bpf, fd_number, load_program, owned,
};

/// Kind of program, and what it is attached to (`linux/bpf.h`).
const BPF_PROG_TYPE_TRACING: u32 = 26;
const BPF_TRACE_ITER: u32 = 28;

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

/// From now on nobody writes the map.
pub(super) fn freeze(map: BorrowedFd<'_>) -> io::Result<()> {
    let mut attributes = MapOrLink { first: fd_number(map), second: 0 };
    // SAFETY: the attributes hold no addresses.
    unsafe { bpf(BPF_MAP_FREEZE, &mut attributes) }.map(drop)
}

/// Loads a program that runs for each object that the function with this number in the kernel's type information stands for. What the
/// verifier says goes to `log`, if that is not empty.
pub(super) fn load(
    name: &str,
    function: u32,
    instructions: &[bpf_insn],
    licence: &CStr,
    log: &mut [u8],
) -> io::Result<OwnedFd> {
    let program = NewProgram {
        kind: BPF_PROG_TYPE_TRACING,
        attach: BPF_TRACE_ITER,
        function,
        name,
        licence,
        instructions,
    };
    load_program(&program, log)
}

/// Binds a loaded program to what it walks: of one process alone, where the kernel can (Linux 6.1).
pub(super) fn link(program: BorrowedFd<'_>, process: Option<u32>) -> io::Result<OwnedFd> {
    let info = TaskInfo { pid: process.unwrap_or(0), ..TaskInfo::default() };
    let mut attributes =
        LinkCreate { program: fd_number(program), attach_type: BPF_TRACE_ITER, ..LinkCreate::default() };
    if process.is_some() {
        attributes.info = (&raw const info).addr() as u64;
        attributes.info_length = u32::try_from(size_of::<TaskInfo>()).map_err(io::Error::other)?;
    }
    // SAFETY: the information is as long as said, and outlives the call, which returns a new descriptor.
    unsafe { owned(bpf(BPF_LINK_CREATE, &mut attributes)?) }
}

/// What is read to walk.
pub(super) fn iterate(link: &OwnedFd) -> io::Result<OwnedFd> {
    let mut attributes = MapOrLink { first: fd_number(link.as_fd()), second: 0 };
    // SAFETY: the attributes hold no addresses; the call returns a new descriptor.
    unsafe { owned(bpf(BPF_ITER_CREATE, &mut attributes)?) }
}
