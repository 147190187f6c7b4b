//! The packet parser of the kernel programs, as a library that host tests and the fuzzer can run.
//!
//! The programs themselves are in `main.rs`, which builds for the BPF target only.
#![no_std]
#![expect(
    clippy::inline_always,
    reason = "what LLVM does not inline is a call for each packet, and costs more to verify"
)]

#[cfg(any(test, feature = "frames"))]
extern crate std;

#[cfg(any(test, feature = "frames"))]
pub mod frames;
pub mod linear;
pub mod parse;
#[cfg(any(test, feature = "frames"))]
pub mod properties;
pub mod segments;
#[cfg(test)]
mod tests;
