//! Programs that the kernel runs for each file that is open or mapped, for each socket and each task, when user space reads the
//! iterator: what was asked for is written as records (`flowtally_common::walk`). They change nothing.
//!
//! An object of its own, for who lists files must not pay for the programs that count.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        clippy::cast_possible_truncation,
        clippy::cast_possible_wrap,
        clippy::cast_ptr_alignment,
        clippy::cast_sign_loss,
        reason = "what the verifier is to see through is no call; sizes are of a few thousand bytes at most; records begin at \
                  multiples of eight bytes of a map's element"
    )
)]

#[cfg(target_arch = "bpf")]
mod files;
#[cfg(target_arch = "bpf")]
mod memory;
#[cfg(target_arch = "bpf")]
mod sockets;
#[cfg(target_arch = "bpf")]
mod tasks;

/// The licence the kernel asks for: paths and kernel memory are for GPL-compatible programs only.
#[cfg(target_arch = "bpf")]
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";

/// Never reached: the verifier refuses a program that could panic.
#[cfg(target_arch = "bpf")]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    loop {}
}

/// The package builds on the host too, so that one clippy run sees all of it; there is nothing to run there.
#[cfg(not(target_arch = "bpf"))]
fn main() {}
