//! The packet parser of the kernel programs, as a library that host tests and the fuzzer can run.
//!
//! The programs themselves are in `main.rs`, which builds for the BPF target only.
#![no_std]

pub mod linear;
pub mod parse;
pub mod segments;
