//! When an interval of the log ends: at multiples of its length on the wall clock, and where a clock jumped.

use std::time::{Duration, SystemTime};

/// Clocks that differ by less than this went on together: they are read one after the other, and the wall clock is slewed.
const TOLERANCE: Duration = Duration::from_millis(500);

/// The clocks at the end of a tick.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LogTick {
    /// The wall clock.
    pub wall: SystemTime,
    /// `CLOCK_MONOTONIC`, which stands still while the host is suspended.
    pub mono: Duration,
    /// `CLOCK_BOOTTIME`, which goes on.
    pub boot: Duration,
}

/// What was between two ticks beside the time that was measured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Leap {
    /// How long the host was suspended.
    pub(super) gap: Duration,
    /// How far the wall clock was set, in milliseconds.
    pub(super) step_ms: i64,
}

impl LogTick {
    /// What was between the tick before and this one.
    pub(super) fn leap(&self, before: &Self) -> Leap {
        let passed = self.boot.saturating_sub(before.boot);
        let gap = passed.saturating_sub(self.mono.saturating_sub(before.mono));
        let step_ms = milliseconds(self.wall) - milliseconds(before.wall) - whole_milliseconds(passed);
        Leap {
            gap: if gap < TOLERANCE { Duration::ZERO } else { gap },
            step_ms: if step_ms.unsigned_abs() < whole_milliseconds(TOLERANCE).unsigned_abs() {
                0
            } else {
                step_ms
            },
        }
    }
}

impl Leap {
    pub(super) fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// Whether an interval that began at `start` ends with the tick at `now`: whether that is the one nearest to a multiple of
/// `length`, or behind it.
pub(super) fn is_over(start: SystemTime, now: SystemTime, length: Duration, tick: Duration) -> bool {
    // A tick is as long as the interval, or longer: each is one.
    if length <= tick {
        return true;
    }
    let half = whole_milliseconds(tick / 2);
    let slot = |moment| (milliseconds(moment) + half).div_euclid(whole_milliseconds(length).max(1));
    slot(now) != slot(start)
}

/// Since 1970, negative before.
pub(super) fn milliseconds(moment: SystemTime) -> i64 {
    match moment.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => whole_milliseconds(since),
        Err(before) => -whole_milliseconds(before.duration()),
    }
}

fn whole_milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX / 4)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn at(milliseconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(milliseconds)
    }

    #[test]
    fn the_tick_nearest_to_a_multiple_ends_an_interval() {
        let over = |start, now| is_over(at(start), at(now), SECOND * 10, SECOND);
        assert!(!over(0, 9_400));
        assert!(over(0, 9_998), "a tick comes a little early");
        assert!(!over(9_998, 10_990), "that one began the next");
        assert!(!over(10_400, 19_400));
        assert!(over(10_400, 20_400));
        assert!(over(10_400, 47_000), "behind several");
        assert!(is_over(at(10_400), at(11_399), SECOND, SECOND), "each tick is an interval");
    }

    #[test]
    fn a_suspended_host_and_a_clock_that_was_set_are_told_apart() {
        let before = LogTick { wall: at(1_000_000), mono: SECOND * 100, boot: SECOND * 200 };
        let after = |wall, mono, boot| LogTick { wall: at(wall), mono: SECOND * mono, boot: SECOND * boot };
        assert!(after(1_001_300, 101, 201).leap(&before).is_none(), "slewed");
        assert_eq!(after(1_061_000, 101, 261).leap(&before), Leap { gap: SECOND * 60, step_ms: 0 });
        assert_eq!(
            after(4_601_000, 101, 201).leap(&before),
            Leap { gap: Duration::ZERO, step_ms: 3_600_000 }
        );
        assert_eq!(after(401_000, 101, 201).leap(&before).step_ms, -600_000);
        assert_eq!(after(1_001_000, 101, 261).leap(&before), Leap { gap: SECOND * 60, step_ms: -60_000 });
    }
}
