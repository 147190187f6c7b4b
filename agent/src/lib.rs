//! Counts every byte of a busy Linux host in the kernel, per flow.
//!
//! `kernel banks -> drain -> events -> ledger -> { snapshot -> { screen, text, report }, interval -> { log, metrics } }`. Data moves one way, and
//! nothing to the right of an arrow is known to anything on its left; [`run`] alone wires the parts.

pub mod agent;
pub mod attach;
pub mod cli;
pub mod config;
pub mod doctor;
#[cfg(test)]
mod documents;
pub mod etc;
pub mod export;
pub mod files;
pub mod filter;
pub mod flow;
pub mod format;
pub mod history;
pub mod host;
pub mod iftop;
pub mod inspect;
pub mod kernel;
pub mod log;
pub mod lsof;
pub mod meter;
pub mod metrics;
pub mod model;
pub mod mountinfo;
pub mod report;
pub mod run;
pub mod translate;
pub mod tui;
