//! The kernel programs on frames that no interface carries: `BPF_PROG_TEST_RUN` of the object that users run.
//! Needs root: `cargo xtask test` runs it.
//!
//! The parser has its own tests on the host, with the same frames; here they go through the verifier, the kernel's
//! compiler, the tables and the drain.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod expressions;
mod filters;
mod flips;
mod frames;
mod judged;
mod subject;
mod verifier;
