//! Files that processes hold: `flowtally deleted`, `flowtally recover` and `flowtally inspect`, against processes of the test's own.
//!
//! Needs root, for other users' processes and for file systems of its own: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod deleted;
mod holders;
mod inspect;
mod recover;
mod rights;
mod threads;
