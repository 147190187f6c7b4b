//! The kernel programs: they count every frame of an interface, per flow, note who owns which socket, and change nothing.
#![cfg_attr(target_arch = "bpf", no_std, no_main)]
// `core::sync::atomic` has no read-modify-write operations for the BPF target; the instructions exist.
#![cfg_attr(target_arch = "bpf", feature(core_intrinsics))]
#![cfg_attr(target_arch = "bpf", expect(internal_features, reason = "see the line above"))]
#![cfg_attr(
    target_arch = "bpf",
    expect(
        clippy::inline_always,
        clippy::cast_possible_truncation,
        clippy::needless_pass_by_value,
        clippy::no_mangle_with_rust_abi,
        reason = "what LLVM does not inline is a call for each packet; fields of the context are words that hold less; \
                  aya hands contexts over by value; functions have names for the verifier, who knows one way to call them"
    )
)]

#[cfg(target_arch = "bpf")]
mod account;
#[cfg(target_arch = "bpf")]
mod hint;
#[cfg(target_arch = "bpf")]
mod judged;
#[cfg(target_arch = "bpf")]
mod maps;
#[cfg(target_arch = "bpf")]
mod owner;
#[cfg(target_arch = "bpf")]
mod slot;
#[cfg(target_arch = "bpf")]
mod tc;
#[cfg(target_arch = "bpf")]
mod xdp;

/// The licence the kernel asks for: some helpers are for GPL-compatible programs only.
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
