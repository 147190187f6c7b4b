//! Moments as every output writes them.

use std::time::{Duration, SystemTime};

/// Last second that RFC 3339 can write: 9999-12-31T23:59:59Z.
const LAST_SECOND: Duration = Duration::from_secs(253_402_300_799);

/// A moment as RFC 3339 text in UTC to the second, or the nearest that such a text can say.
pub(crate) fn rfc3339(moment: SystemTime) -> String {
    let earliest = SystemTime::UNIX_EPOCH;
    humantime::format_rfc3339_seconds(moment.clamp(earliest, earliest + LAST_SECOND)).to_string()
}

/// The same to the millisecond.
pub(crate) fn rfc3339_millis(moment: SystemTime) -> String {
    let earliest = SystemTime::UNIX_EPOCH;
    humantime::format_rfc3339_millis(moment.clamp(earliest, earliest + LAST_SECOND)).to_string()
}
