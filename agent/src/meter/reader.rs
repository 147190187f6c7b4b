//! Who takes up intervals, and the loop that closes them.

use std::time::{Duration, Instant, SystemTime};

use rustix::time::{ClockId, clock_gettime};

use super::{Meter, Recorded};
use crate::{flow::ledger::Ledger, host::shutdown::Shutdown};

/// What the clocks say at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// The wall clock.
    pub wall: SystemTime,
    /// `CLOCK_MONOTONIC`, which stands still while the host is suspended.
    pub mono: Duration,
    /// `CLOCK_BOOTTIME`, which goes on.
    pub boot: Duration,
}

impl Clocks {
    pub(super) fn now() -> Self {
        let clock = |id| {
            let now = clock_gettime(id);
            Duration::new(u64::try_from(now.tv_sec).unwrap_or(0), u32::try_from(now.tv_nsec).unwrap_or(0))
        };
        Self { wall: SystemTime::now(), mono: clock(ClockId::Monotonic), boot: clock(ClockId::Boottime) }
    }
}

/// A closed interval, for those who take it up.
#[derive(Clone, Copy)]
pub struct Closed<'a> {
    /// The books, with [`Ledger::interval`] where the plan's terms keep it.
    pub ledger: &'a Ledger,
    /// When counting began.
    pub started: Instant,
    /// The clocks where the interval ended.
    pub ended: Clocks,
}

/// Takes up every interval when it is closed, between two ticks. The next one is open already and nothing is lost meanwhile, but a
/// reader never waits: what writes or sends has a queue of its own with a bound, and what finds no room in it is kept by the reader
/// and handed on with the next interval.
pub trait Reader {
    /// Whether the interfaces' own counters should be read where the open interval ends.
    fn compares(&self) -> bool {
        false
    }

    /// Takes up the interval that was just closed.
    ///
    /// # Errors
    /// Those that end the measurement.
    fn take(&mut self, closed: &Closed<'_>) -> anyhow::Result<()>;
}

impl Meter {
    /// Closes the open interval, and hands it to everybody.
    ///
    /// # Errors
    /// When the kernel refuses to be read, and those of the readers.
    pub async fn close_for(&mut self, readers: &mut [&mut dyn Reader]) -> anyhow::Result<()> {
        self.close(readers.iter().any(|reader| reader.compares())).await?;
        let closed = Closed { started: self.started, ended: self.ended, ledger: &self.books()?.ledger };
        readers.iter_mut().try_for_each(|reader| reader.take(&closed))
    }

    /// Closes the last interval as [`finish`](Self::finish) does, and hands it to everybody. The result is what was recorded of it.
    ///
    /// # Errors
    /// When the kernel refuses to be read, and those of the readers.
    pub async fn finish_for(mut self, readers: &mut [&mut dyn Reader]) -> anyhow::Result<Recorded> {
        self.close_last().await?;
        let closed = Closed { started: self.started, ended: self.ended, ledger: &self.books()?.ledger };
        readers.iter_mut().try_for_each(|reader| reader.take(&closed))?;
        self.recorded()
    }

    /// Counts for so long from when counting began, or until the user ends it; from then on a signal ends the process at once.
    ///
    /// # Errors
    /// When the kernel refuses to be read, and those of the readers.
    pub async fn run_for(
        &mut self,
        length: Duration,
        mut shutdown: Shutdown,
        readers: &mut [&mut dyn Reader],
    ) -> anyhow::Result<()> {
        let end = tokio::time::sleep_until((self.started() + length).into());
        tokio::pin!(end);
        loop {
            let happened = tokio::select! {
                biased;
                () = shutdown.requested() => break,
                () = &mut end => break,
                happened = self.wait() => happened,
            };
            if self.is_tick(happened).await? {
                self.close_for(readers).await?;
            }
        }
        shutdown.next_is_final();
        Ok(())
    }
}
