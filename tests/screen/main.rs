//! The live screen in a real terminal, on traffic of known size. Needs root: `cargo xtask test` runs it.
//!
//! What iftop shows too is held against it: tests with [`both`](session::both) run the same on the program under test and on
//! the original, which proves the test. Sessions mostly wait, and many of them do so at the same time.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod amounts;
mod beyond;
mod cast;
mod compare;
mod hosts;
mod keys;
mod layout;
mod order;
mod replay;
mod session;
mod terminal;
