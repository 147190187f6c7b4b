//! How often the host may be read: so that reading it costs a fixed share of a processor, however large the host is.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};

/// How much longer than a reading the time between two is at least, so that it is well below 2 % of a core.
const SHARE: u32 = 64;

/// When the host may be read next.
#[derive(Debug, Default)]
pub(super) struct Budget {
    next: Option<Instant>,
}

impl Budget {
    /// Whether it may be read now.
    pub(super) fn allows(&self, now: Instant) -> bool {
        self.next.is_none_or(|next| now >= next)
    }

    /// Takes note of what a reading cost.
    pub(super) fn spend(&mut self, now: Instant, cost: Duration) {
        self.next = Some(now + cost * SHARE);
    }
}

/// Processor time of this process so far, all threads: what else the machine does is no cost of a reading.
pub(super) fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reading_is_paid_for_before_the_next() {
        let start = Instant::now();
        let mut budget = Budget::default();
        assert!(budget.allows(start));
        budget.spend(start, Duration::from_millis(20));
        assert!(!budget.allows(start + Duration::from_millis(1279)));
        assert!(budget.allows(start + Duration::from_millis(1280)));
    }
}
