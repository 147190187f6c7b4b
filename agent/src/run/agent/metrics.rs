//! Metrics as a reader of the measurement.

use std::time::Duration;

use anyhow::Context as _;
use prometheus_client::metrics::histogram::Histogram;

use super::{
    Agent,
    own::{processor_time, resident},
};
use crate::{
    agent::settings::AgentSettings,
    export::{
        LogStatus,
        scrape::{AccessError, ScrapeAccess, ScrapeListener, ScrapeServer},
    },
    host::sandbox::{Protection, SandboxState},
    meter::{Closed, MAX_ROWS, Reader},
    metrics::{MetricsBooks, MetricsHealth, MetricsLog, MetricsTable, tick_times},
    run::settings::services,
};

/// How many ticks go by between two readings of the interfaces' own counters.
const COMPARED_EVERY: u32 = 10;

/// Listens before anything is measured, for whoever sends metrics away.
pub(super) struct MetricsDoor {
    listener: ScrapeListener,
    access: ScrapeAccess,
}

impl MetricsDoor {
    /// Nothing where there are no metrics.
    ///
    /// # Errors
    /// When it cannot listen there, or the token cannot be read.
    pub(super) fn open(settings: &AgentSettings) -> anyhow::Result<Option<Self>> {
        let Some(address) = settings.metrics_address else { return Ok(None) };
        let access = access(settings)?;
        Ok(Some(Self { listener: ScrapeListener::bind(address)?, access }))
    }
}

fn access(settings: &AgentSettings) -> Result<ScrapeAccess, AccessError> {
    settings.metrics_token.as_deref().map_or(Ok(ScrapeAccess::everybody()), ScrapeAccess::read)
}

/// Adds ticks up, and hands them to the thread that answers.
pub(super) struct MetricsReader {
    books: MetricsBooks,
    server: ScrapeServer,
    ticks: Histogram,
    /// How many ticks ago the interfaces' own counters were read.
    uncompared: u32,
    /// Whether less than all owners can be found, as it was last asked.
    owners_degraded: bool,
}

impl MetricsReader {
    /// Begins to answer.
    pub(super) fn start(door: MetricsDoor, settings: &AgentSettings) -> anyhow::Result<Self> {
        let MetricsDoor { listener, access } = door;
        let address = listener.address();
        tell!("Prometheus is answered at http://{address}/metrics");
        if settings.metrics_token.is_none() && !address.ip().is_loopback() {
            tell!(
                "whoever can reach {address} can see what this host sends and receives: metrics-token-file asks for a token"
            );
        }
        let server = listener.serve(access).context("starting the thread that answers Prometheus")?;
        Ok(Self {
            books: MetricsBooks::new(settings.metrics.clone(), services()),
            server,
            ticks: tick_times(),
            uncompared: COMPARED_EVERY,
            owners_degraded: false,
        })
    }

    /// Other settings, from the next tick on.
    pub(super) fn set(&mut self, settings: &AgentSettings) {
        self.books.set(settings.metrics.clone());
        match access(settings) {
            Ok(access) => self.server.set_access(access),
            Err(error) => tell!("who may ask for metrics is left as it was: {error}"),
        }
    }

    /// Whether it is to be told what is less than it could be.
    pub(super) fn asks_what_is_degraded(&self) -> bool {
        self.compares()
    }

    /// Whether less than all owners can be found, from now on.
    pub(super) const fn set_owners_degraded(&mut self, is: bool) {
        self.owners_degraded = is;
    }

    pub(super) const fn server(&self) -> &ScrapeServer {
        &self.server
    }

    /// How many have amounts of their own.
    pub(super) fn named(&self) -> u64 {
        self.books.places()[0] as u64
    }
}

impl Reader for MetricsReader {
    fn compares(&self) -> bool {
        self.uncompared + 1 >= COMPARED_EVERY
    }

    fn take(&mut self, closed: &Closed<'_>) -> anyhow::Result<()> {
        self.uncompared = if self.compares() { 0 } else { self.uncompared + 1 };
        if let Some(interval) = closed.ledger.interval() {
            self.books.tick(&interval);
        }
        Ok(())
    }
}

impl Agent {
    /// Hands over what has been counted, after a tick that took so long.
    pub(super) fn tell_metrics(&mut self, took: Duration) -> anyhow::Result<()> {
        let Some(metrics) = &self.metrics else { return Ok(()) };
        metrics.ticks.observe(took.as_secs_f64());
        let rows = self.meter.ledger()?.len() as u64;
        let (capacity, fill) = self.meter.tables();
        let table = |name, used, capacity| MetricsTable { name, used, capacity };
        let [series, places] = metrics.books.places().map(|places| places as u64);
        let log = self.log.as_ref().map(|log| {
            let LogStatus { queue, intervals, rows, bytes, failures, is_failing, .. } = log.status();
            MetricsLog { queue, intervals, rows, bytes, failures, is_failing }
        });
        let SandboxState { capabilities, landlock, seccomp, .. } = &self.facts.sandbox;
        let is_degraded = |part: &Protection| matches!(part, Protection::Degraded(_));
        let health = MetricsHealth {
            version: self.facts.identity.version.clone(),
            started: self.facts.started,
            ticks: metrics.ticks.clone(),
            late_ticks: metrics.books.late_ticks(),
            tables: vec![
                table("first_level_fullest_cpu", fill.first, capacity.slots.into()),
                table("second_level", fill.second, capacity.flows.into()),
                table("third_level", fill.third, capacity.flows.into()),
                table("rows", rows, MAX_ROWS as u64),
                table("series", series, places),
            ],
            log,
            degraded: vec![
                ("owners", metrics.owners_degraded),
                ("capabilities", is_degraded(capabilities)),
                ("landlock", is_degraded(landlock)),
                ("seccomp", is_degraded(seccomp)),
                ("service_manager", self.manager.error().is_some()),
                ("log", log.is_some_and(|log| log.is_failing)),
            ],
            screens: self.screens.count(),
            memory_bytes: resident(),
            processor_seconds: processor_time().as_secs_f64(),
        };
        metrics.server.hand_over(metrics.books.page(health));
        Ok(())
    }
}
