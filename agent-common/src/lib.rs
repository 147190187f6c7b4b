//! What the kernel programs and user space agree on: layouts, names and reserved values.
//!
//! Everything here is integers and byte arrays with explicit padding, `#[repr(C)]`, the same on both sides.
//! A change to any layout changes the committed object as well: run `cargo xtask ebpf` in the same commit.
#![no_std]
#![forbid(unsafe_code)]

// The key is compared and hashed as little-endian words in the kernel.
#[cfg(not(target_endian = "little"))]
compile_error!("flowtally supports little-endian hosts: its kernel object is built for bpfel");

pub mod flow;
pub mod health;
pub mod owner;
pub mod settings;
pub mod walk;

pub use flow::{Direction, FlowKey, Slot};
pub use health::{Count, Health, HealthKey};
pub use owner::{BoundKey, Occasion, SocketHint, SocketNote};
