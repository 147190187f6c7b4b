//! Whose traffic it is: the owners in reports and on the screen, against processes that say who they are and whom they talk to.
//! Needs root: `cargo xtask test` runs it.
#![forbid(unsafe_code)]
#![expect(clippy::unwrap_used, reason = "a test reports by panicking")]

mod cgroups;
mod containers;
mod fallback;
mod gateway;
mod groupings;
mod hooks;
mod hostile;
mod memory;
mod names;
mod nat;
mod no_btf;
mod nobody;
mod partners;
mod pid_namespace;

mod privileges;
mod reuse;
mod screen;
mod shared;
mod short_lived;
mod sockets;
mod threads;
mod told;
mod without;
mod workers;
