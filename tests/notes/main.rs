//! Who owns a socket, and which socket a flow has, as the kernel notes it: real sockets in network namespaces.
//! Needs root and cgroup v2: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod hints;
mod owners;
mod subject;
