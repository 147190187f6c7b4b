//! Counters for Prometheus: what has been counted since the agent began, as a bounded number of series.
//!
//! `ticks -> MetricsBooks -> MetricsPage -> text`. Pure: whoever is asked for a page is the business of [`export`](crate::export). Each metric
//! is described in docs/metrics.md. Of every interface, in bytes and in packets:
//!
//! `counted = series + other + retired + untracked + unparsed + repeated + left out`, for each kind of series by itself.

mod books;
mod encode;
mod families;
mod page;
mod series;
mod settings;
mod subject;
#[cfg(test)]
mod tests;
mod writer;

pub use self::{
    books::MetricsBooks,
    encode::{MetricsFormat, encode},
    page::{MetricsHealth, MetricsLog, MetricsPage, MetricsTable, tick_times},
    settings::{MetricsBy, MetricsSettings},
};
