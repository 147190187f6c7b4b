//! Whose traffic it is: the owners in reports and on the screen, against processes that say who they are and whom they talk to.
//! Needs root: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod short_lived;
mod told;
mod workers;
