//! The pure core: rows, windows, groups, snapshots. No input or output, no clock (`now` is an argument), and
//! nothing in it can fail while it runs.

pub mod group;
pub mod names;
pub mod protocol;
pub mod row;
pub mod services;
pub mod snapshot;
