//! Programs that are made of instructions here, and not of the object: filters, and nothing else.

use std::{
    io,
    os::fd::{AsFd as _, AsRawFd as _, OwnedFd},
};

use super::{error::KernelError, process::Undisturbed, sys};
use crate::translate::{FilterHook, MachineInstruction};

/// `BPF_PROG_TYPE_SCHED_CLS`, `BPF_PROG_TYPE_XDP`; what aya says of those that it loads, for programs that call one another must
/// agree: nothing, `BPF_XDP`.
const TC: (u32, u32) = (3, 0);
const XDP: (u32, u32) = (6, 37);
/// How often loading is tried where the verifier is interrupted.
const ATTEMPTS: usize = 10;

/// A filter's program, loaded. Dropping it unloads it, unless another program calls it.
#[derive(Debug)]
pub struct FilterProgram {
    descriptor: OwnedFd,
}

impl FilterProgram {
    /// Loads a program for a hook.
    ///
    /// # Errors
    /// When the kernel refuses it: [`KernelError::FilterTooComplex`] where its verifier gives up.
    pub fn load(hook: FilterHook, instructions: &[MachineInstruction]) -> Result<Self, KernelError> {
        let (kind, attach) = match hook {
            FilterHook::Received | FilterHook::Sent => TC,
            FilterHook::Xdp => XDP,
        };
        let code: Vec<[u8; 8]> = instructions.iter().map(|instruction| instruction.bytes()).collect();
        let program = sys::NewProgram {
            kind,
            attach,
            function: 0,
            name: "flowtally_filter",
            licence: c"Dual MIT/GPL",
            instructions: &code,
        };
        let _undisturbed = Undisturbed::begin();
        let mut loaded = sys::load_program(&program, &mut []);
        for _ in 1..ATTEMPTS {
            if !matches!(&loaded, Err(error) if error.kind() == io::ErrorKind::WouldBlock) {
                break;
            }
            loaded = sys::load_program(&program, &mut []);
        }
        let descriptor = loaded.map_err(|error| match error.raw_os_error() {
            // Too many instructions to follow; too many ways that are still to be followed.
            Some(libc::E2BIG | libc::EFAULT) => KernelError::FilterTooComplex { instructions: code.len() },
            Some(libc::EACCES | libc::EINVAL) => {
                // Once more, for what the verifier says of it.
                let mut log = vec![0; 1 << 20];
                drop(sys::load_program(&program, &mut log));
                let text = log.split(|byte| *byte == 0).next().unwrap_or_default();
                let text = String::from_utf8_lossy(text).into_owned();
                KernelError::explain("loading the filter", &io::Error::other(format!("{error}: {text}")))
            }
            _ => KernelError::explain("loading the filter", &error),
        })?;
        Ok(Self { descriptor })
    }

    /// Runs it on a frame (`BPF_PROG_TEST_RUN`), `repeat` times: what it returns, and the nanoseconds that each run took.
    ///
    /// # Errors
    /// When the kernel refuses the frame: most are too short.
    pub fn run(&self, frame: &[u8], repeat: u32) -> io::Result<(u32, u32)> {
        sys::test_run(self.descriptor.as_fd(), frame, repeat)
    }

    /// The number of its descriptor.
    pub(super) fn number(&self) -> i32 {
        self.descriptor.as_raw_fd()
    }
}
