//! `flowtally history` on logs whose sums are known, compressed and rotated; and the same logs read by others: `DuckDB` and `ClickHouse`.
//!
//! `cargo xtask test` installs those two and runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod files;
mod log;
mod others;
