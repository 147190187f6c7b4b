//! The log as a reader of the measurement.

use std::{
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};

use super::orders::AgentOrders;
use crate::{
    agent::settings::AgentSettings,
    export::{FileDoor, LogStatus, LogWriter},
    host::sandbox::{Confined, FileWriter},
    log::{LogIdentity, LogIntervals, LogTick},
    meter::{Clocks, Closed, Reader},
    run::settings::services,
};

/// Adds ticks up, and hands intervals to the threads that write.
pub(super) struct LogReader {
    intervals: LogIntervals,
    writer: LogWriter,
    /// What is less than it could be, as it was last asked.
    degraded: Option<Vec<String>>,
}

/// Files are made and changed below their folder alone.
impl FileDoor for FileWriter {
    fn below(&self, folder: &Path, work: &mut (dyn FnMut() + Send)) -> std::io::Result<()> {
        Self::below(self, &[folder], work)
    }
}

impl LogReader {
    pub(super) fn start(
        orders: &AgentOrders,
        identity: &LogIdentity,
        confined: &Confined,
    ) -> anyhow::Result<Self> {
        let AgentOrders { settings, plan, .. } = orders;
        let identity = LogIdentity { filter: filter_text(orders), ..identity.clone() };
        let say = |line: &str| tell!("{line}");
        let (writer, writing, upkeep) = LogWriter::new(settings.log.clone(), identity, services(), say);
        confined
            .spawn_writer("log-upkeep", move |door| upkeep.run(door))
            .context("starting the thread that looks after the log's files")?;
        confined
            .spawn_writer("log", move |door| writing.run(door))
            .context("starting the thread that writes the log")?;
        let intervals = LogIntervals::new(settings.log.interval, plan.terms.tick, settings.log.max_flows);
        Ok(Self { intervals, writer, degraded: None })
    }

    /// Whether it is to be told what is less than it could be: the log says it once an interval.
    pub(super) fn asks_what_is_degraded(&self) -> bool {
        self.degraded.is_none() || self.compares()
    }

    /// What is less than it could be, from now on.
    pub(super) fn set_degraded(&mut self, degraded: Vec<String>) {
        self.degraded = Some(degraded);
    }

    /// Other settings and another capture filter, from the next interval on.
    pub(super) fn set(&mut self, settings: &AgentSettings, filter: Option<String>) {
        self.intervals.set(settings.log.interval, settings.log.max_flows);
        self.writer.set(settings.log.clone(), filter);
    }

    /// Begins another file.
    pub(super) fn reopen(&self) {
        self.writer.reopen();
    }

    pub(super) fn status(&self) -> LogStatus {
        self.writer.status()
    }

    /// Writes what is left.
    ///
    /// # Errors
    /// When that fails, or takes too long.
    pub(super) fn stop(mut self, longest: Duration) -> anyhow::Result<()> {
        let Some(status) = self.writer.stop(self.intervals.finish(), longest) else {
            bail!(
                "the last intervals of the log could not be written within {} s: the disk does not answer",
                longest.as_secs()
            );
        };
        match status.last_error.filter(|_| status.is_failing) {
            Some(error) => bail!("the last intervals of the log are lost: {error}"),
            None => Ok(()),
        }
    }
}

impl Reader for LogReader {
    fn compares(&self) -> bool {
        self.intervals.ends_at(SystemTime::now())
    }

    fn take(&mut self, closed: &Closed<'_>) -> anyhow::Result<()> {
        if let Some(interval) = closed.ledger.interval() {
            let Self { intervals, writer, degraded } = self;
            let Clocks { wall, mono, boot } = closed.ended;
            let degraded = degraded.as_deref().unwrap_or_default();
            intervals.tick(&interval, LogTick { wall, mono, boot }, degraded, |fold| writer.try_send(fold));
        }
        Ok(())
    }
}

/// The filter that is in place, as it was written.
pub(super) fn filter_text(orders: &AgentOrders) -> Option<String> {
    orders.plan.terms.filter.as_ref().map(|filter| filter.text().to_owned())
}
