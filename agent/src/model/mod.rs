//! Pure: what is known of this host and its traffic, as plain values that every other part may speak of: owners of traffic,
//! files that are held, processes, kinds of frames.
//!
//! Whoever reads the host makes them, whoever prints takes them, and neither knows the other. No input or output, no clock.

pub mod handle;
pub mod held;
pub mod hook;
pub mod owner;
pub mod portrait;
pub mod protocol;
