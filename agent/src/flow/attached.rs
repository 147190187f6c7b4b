//! An interface as the ledger is told of it.

use flowtally_common::{Count, settings::Layer};

/// An interface as the ledger needs to know it.
#[derive(Clone, Debug)]
pub struct Attached {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// What its frames start with.
    pub layer: Layer,
    /// Whether it is a loopback device.
    pub loopback: bool,
    /// Its hooks, in words.
    pub hook: String,
    /// Why a better hook does not serve it.
    pub degraded: Vec<String>,
    /// Its own counters at the moment counting began, by [`Direction`](flowtally_common::Direction).
    pub counters: [Count; 2],
}
