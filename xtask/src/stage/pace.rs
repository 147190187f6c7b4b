//! How much to send by when.

use std::f64::consts::TAU;
use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at the clock: short beside the second over which rates are measured, and long enough for what
/// falls due to fill packets.
const STEP: Duration = Duration::from_millis(40);
/// What was not sent for longer than this is not made up for: a process that was stopped for an hour would flood the rest.
const LATEST: Duration = Duration::from_secs(1);
/// How much more and less than usual there is in a tide, as a part of what is usual.
const TIDE: f64 = 0.3;

/// Hands out an amount that grows with time, until it ends.
pub(super) struct Pace {
    begun: Instant,
    lasts: Option<Duration>,
    per_second: f64,
    tide: Option<Duration>,
    given: f64,
}

impl Pace {
    /// So many a second, for a while or for ever, evenly or in tides.
    pub(super) fn new(per_second: u32, lasts: Option<Duration>, tide: Option<Duration>) -> Self {
        Self { begun: Instant::now(), lasts, per_second: per_second.into(), tide, given: 0.0 }
    }

    /// What is due in all after so much time.
    fn due_after(&self, elapsed: Duration) -> f64 {
        let seconds = elapsed.as_secs_f64();
        let more = self.tide.map_or(0.0, |tide| {
            // What a rate of 1 + TIDE sin(TAU t / tide) adds up to.
            let turn = tide.as_secs_f64() / TAU;
            TIDE * turn * (1.0 - (seconds / turn).cos())
        });
        self.per_second * (seconds + more)
    }

    /// What has become due since the last time.
    fn falling_due(&mut self, elapsed: Duration) -> f64 {
        let all = self.due_after(elapsed);
        let due = (all - self.given).floor();
        if due < 1.0 {
            return 0.0;
        }
        self.given += due;
        due.min((self.per_second * LATEST.as_secs_f64()).max(1.0))
    }
}

impl Iterator for Pace {
    type Item = usize;

    /// Waits until one or more are due.
    fn next(&mut self) -> Option<usize> {
        loop {
            // Always, not only when nothing is due: at a high rate something is due at once, a few bytes at a time.
            thread::sleep(STEP);
            let elapsed = self.begun.elapsed();
            if self.lasts.is_some_and(|lasts| elapsed >= lasts) {
                return None;
            }
            let due = self.falling_due(elapsed);
            if due >= 1.0 {
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, positive, and no more than a second's worth"
                )]
                return Some(due as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ENDLESS: Option<Duration> = None;

    #[test]
    fn a_pace_gives_what_its_time_allows() {
        let begun = Instant::now();
        let mut pace = Pace::new(1000, ENDLESS, None);
        for _ in 0..2 {
            assert!(pace.next().is_some_and(|due| due >= 20));
        }
        assert!(pace.given <= begun.elapsed().as_secs_f64() * 1000.0);
    }

    #[test]
    fn a_pace_ends() {
        assert_eq!(Pace::new(1000, Some(Duration::ZERO), None).next(), None);
        assert_eq!(Pace::new(0, Some(Duration::from_millis(1)), None).next(), None);
    }

    #[test]
    fn a_tide_goes_up_and_down_and_is_even_over_all_of_it() {
        let period = Duration::from_secs(8);
        let pace = Pace::new(1000, ENDLESS, Some(period));
        let after = |eighths: u32| pace.due_after(period / 8 * eighths);
        let within = |from, to| (after(to) - after(from)) / f64::from(to - from);
        assert!(within(0, 4) > 1150.0, "{}", within(0, 4));
        assert!(within(4, 8) < 850.0, "{}", within(4, 8));
        assert!((after(8) - 8000.0).abs() < 1e-6, "{}", after(8));
        for eighths in 0..32 {
            assert!(after(eighths + 1) > after(eighths));
        }
    }

    #[test]
    fn what_was_missed_in_a_long_stop_is_not_sent_at_once() {
        let mut pace = Pace::new(1000, ENDLESS, None);
        assert!((pace.falling_due(Duration::from_hours(1)) - 1000.0).abs() < f64::EPSILON);
        assert!((pace.falling_due(Duration::from_hours(1) + Duration::from_millis(100)) - 100.0).abs() < 1.0);
    }
}
