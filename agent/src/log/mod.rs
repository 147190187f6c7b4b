//! The log: what every interval brought, as lines for files.
//!
//! `ticks -> LogIntervals -> LogFold -> tables -> lines`. Pure: what the clocks say is handed in, and nothing is written here; files are
//! the business of [`export`](crate::export). The format is described in docs/log.md.

mod clock;
mod error;
pub(crate) mod files;
#[cfg(test)]
pub(crate) mod fixtures;
mod fold;
mod granularity;
mod intervals;
mod line;
mod record;
mod settings;
mod table;
pub(crate) mod tail;
#[cfg(test)]
mod tests;

pub(crate) use self::record::{EndReason, LogEnd, LogStart, end_line};
pub use self::{
    clock::LogTick,
    error::LogSettingsError,
    fold::LogFold,
    granularity::Granularity,
    intervals::LogIntervals,
    record::{LOG_SCHEMA, LogBlock, LogEncoder, LogIdentity},
    settings::{Compression, LogFormat, LogSettings, SyncPolicy},
};
