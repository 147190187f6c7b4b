//! The two languages of filters, on the same traffic: what libpcap says of a frame, and what `flowtally` says of the flow that it makes of
//! it. They may differ in what the table of docs/filters.md says, and in nothing else. Needs libpcap, and root for `vlan`, which libpcap
//! compiles for a live capture.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod compared;
mod differences;
#[path = "../testrun/expressions.rs"]
#[expect(dead_code, reason = "the kernel programs are tested on devices without a link layer too")]
mod expressions;
mod traffic;
