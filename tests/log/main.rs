//! The log where the disk is full, slow, read-only or taken away, and where the one who writes is killed: the sum of all that the files
//! say is what was sent.
//!
//! Needs root, for mounts in namespaces of the tests' own: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod disk;
mod kill;
mod subject;
mod written;
