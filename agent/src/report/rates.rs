//! Amounts and rates of one direction or both, in whole numbers that cannot overflow.

use std::time::Duration;

use super::request::ReportDirection;
use crate::flow::row::{Lane, Traffic};

/// Bits in a byte.
const BITS: u64 = 8;

/// What went the ways that a report is about.
pub(crate) fn lane(traffic: &Traffic, direction: ReportDirection) -> Lane {
    match direction {
        ReportDirection::Sent => traffic.sent,
        ReportDirection::Received => traffic.received,
        ReportDirection::Both => traffic.both(),
    }
}

/// Bytes per second; 0 before any time has passed.
pub(crate) fn per_second(bytes: u64, seconds: f64) -> f64 {
    if seconds > 0.0 { bytes as f64 / seconds } else { 0.0 }
}

/// Bytes per second over a measured time; 0 before any has passed.
pub(crate) fn average(bytes: u64, elapsed: Duration) -> f64 {
    per_second(bytes, elapsed.as_secs_f64())
}

/// Whole bits per second of the bytes of a window.
pub(crate) fn window_bps(bytes: u64, seconds: f64) -> u64 {
    whole(per_second(bytes, seconds) * BITS as f64)
}

/// Bits per second from whole bytes per second.
pub(crate) const fn bps(bytes_per_second: u64) -> u64 {
    bytes_per_second.saturating_mul(BITS)
}

/// The nearest whole number.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rounded before; what is out of range saturates, and no amount is below 0"
)]
fn whole(value: f64) -> u64 {
    value.round() as u64
}
