//! Which programs are at the hooks of an interface, whoever put them there, and what else a kernel has.

use std::fs;

use aya::{
    programs::{ProgramError, SchedClassifier, TcAttachType, loaded_programs},
    sys::SyscallError,
};
use flowtally_common::Direction;

use super::{attach::chain, btf::BTF};

/// A BPF program at a hook.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HookedProgram {
    /// The number that the kernel gave it.
    pub id: u32,
    /// The first 15 bytes of its name.
    pub name: String,
}

/// The programs at an interface's TCX hook, in the order in which they run; none on a kernel without that hook (before 6.6).
///
/// # Errors
/// In words, when this process may not ask (`CAP_NET_ADMIN`, `CAP_SYS_ADMIN`).
pub fn tcx_programs(interface: &str, direction: Direction) -> Result<Vec<HookedProgram>, String> {
    let direction = match direction {
        Direction::Ingress => TcAttachType::Ingress,
        Direction::Egress => TcAttachType::Egress,
    };
    match SchedClassifier::query_tcx(interface, direction) {
        Ok((_, programs)) => Ok(programs
            .iter()
            .map(|program| HookedProgram {
                id: program.id(),
                name: program.name_as_str().unwrap_or_default().to_owned(),
            })
            .collect()),
        Err(ProgramError::SyscallError(SyscallError { io_error, .. }))
            if io_error.raw_os_error() == Some(libc::EINVAL) =>
        {
            Ok(Vec::new())
        }
        Err(error) => Err(chain(&error)),
    }
}

/// The name of a loaded program by its number; `None` when it is gone or may not be seen.
#[must_use]
pub fn program_name(id: u32) -> Option<String> {
    let program = loaded_programs().filter_map(Result::ok).find(|program| program.id() == id)?;
    program.name_as_str().map(str::to_owned)
}

/// Whether the kernel has type information.
#[must_use]
pub fn has_type_information() -> bool {
    fs::metadata(BTF).is_ok()
}

/// Whether the kernel has BPF iterators over open files (Linux 5.8); `None` without type information, which names them.
#[must_use]
pub fn has_iterators() -> Option<bool> {
    const ITERATOR: &[u8] = b"\0bpf_iter_task_file\0";
    let types = fs::read(BTF).ok()?;
    Some(types.windows(ITERATOR.len()).any(|window| window == ITERATOR))
}
