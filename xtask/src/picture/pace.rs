//! How much to send by when.

use std::thread;
use std::time::{Duration, Instant};

/// Between two looks at the clock: short beside the second over which rates are measured, and long enough for what
/// falls due to fill packets.
const STEP: Duration = Duration::from_millis(40);

/// Hands out an amount that grows evenly with time, until it ends.
pub(super) struct Pace {
    begun: Instant,
    lasts: Duration,
    per_second: f64,
    given: f64,
}

impl Pace {
    pub(super) fn new(per_second: u32, lasts: Duration) -> Self {
        Self { begun: Instant::now(), lasts, per_second: per_second.into(), given: 0.0 }
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
            if elapsed >= self.lasts {
                return None;
            }
            let due = (elapsed.as_secs_f64() * self.per_second - self.given).floor();
            if due >= 1.0 {
                self.given += due;
                #[expect(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "whole, positive, and no more than one run's worth of traffic"
                )]
                return Some(due as usize);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pace_gives_what_its_time_allows() {
        let begun = Instant::now();
        let mut pace = Pace::new(1000, Duration::from_hours(1));
        for _ in 0..2 {
            assert!(pace.next().is_some_and(|due| due >= 20));
        }
        assert!(pace.given <= begun.elapsed().as_secs_f64() * 1000.0);
    }

    #[test]
    fn a_pace_ends() {
        assert_eq!(Pace::new(1000, Duration::ZERO).next(), None);
        assert_eq!(Pace::new(0, Duration::from_millis(1)).next(), None);
    }
}
