//! How the agent is doing, put together from all that knows.

use std::{
    process,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use super::{
    Agent,
    log::filter_text,
    metrics::MetricsReader,
    own::{processor_time, resident},
};
use crate::{
    agent::status::{
        AgentStatus, ExporterStatus, InterfaceStatus, MetricsStatus, STATUS_SCHEMA, TableStatus,
    },
    export::{self, LogStatus, scrape::ScrapeStatus},
    flow::{ledger::Ledger, row::Counting},
    format::{Safe, moment::rfc3339_millis},
    host::sandbox::{Protection, SandboxState},
    log::LogIdentity,
    meter::MAX_ROWS,
};

/// What is known of the agent itself.
pub(super) struct AgentFacts {
    pub(super) identity: LogIdentity,
    pub(super) sandbox: SandboxState,
    pub(super) started: SystemTime,
    files: Vec<String>,
    ticks: u64,
    longest: Duration,
}

impl AgentFacts {
    pub(super) fn new(sandbox: SandboxState) -> anyhow::Result<Self> {
        let identity = export::identity(None).context("finding out which host, boot and run this is")?;
        // It has not begun yet.
        let (started, longest) = (SystemTime::now(), Duration::ZERO);
        Ok(Self { identity, sandbox, started, files: Vec::new(), ticks: 0, longest })
    }

    /// Counting began so long ago.
    pub(super) fn began(&mut self, ago: Duration) {
        self.started = SystemTime::now().checked_sub(ago).unwrap_or(SystemTime::UNIX_EPOCH);
    }

    /// The files that the configuration was read from.
    pub(super) fn set_files(&mut self, files: &[String]) {
        self.files = files.to_vec();
    }

    /// An interval was closed, which took so long.
    pub(super) fn closed(&mut self, took: Duration) {
        self.ticks += 1;
        self.longest = self.longest.max(took);
    }
}

impl Agent {
    /// The document, with a line feed.
    pub(super) fn status_text(&mut self) -> anyhow::Result<String> {
        let status = self.status()?;
        Ok(serde_json::to_string(&status).context("writing the status")? + "\n")
    }

    fn status(&mut self) -> anyhow::Result<AgentStatus> {
        let mut degraded = self.meter.owners_degraded()?;
        degraded.extend(self.facts.sandbox.degraded());
        degraded
            .extend(self.manager.error().map(|error| format!("the service manager is not told: {error}")));
        let (capacity, fill) = self.meter.tables();
        let table = |name: &str, used, capacity: u64| TableStatus { name: name.to_owned(), used, capacity };
        let AgentFacts { identity, started, files, ticks, longest, sandbox } = &self.facts;
        let mut status = AgentStatus {
            schema: STATUS_SCHEMA.to_owned(),
            version: identity.version.clone(),
            pid: process::id(),
            host: Safe::new(&identity.host).to_string(),
            boot: identity.boot.clone(),
            run: identity.run.clone(),
            started: rfc3339_millis(*started),
            uptime_seconds: self.meter.started().elapsed().as_secs_f64(),
            configuration: files.clone(),
            filter: filter_text(&self.orders),
            tables: vec![
                table("flows, fullest CPU", fill.first, capacity.slots.into()),
                table("flows, second level", fill.second, capacity.flows.into()),
                table("flows, third level", fill.third, capacity.flows.into()),
            ],
            ticks: *ticks,
            longest_tick_ms: longest.as_secs_f64() * 1e3,
            exporters: self.log.iter().map(|log| exporter(&log.status())).collect(),
            metrics: self.metrics.as_ref().map(metrics),
            memory_bytes: resident(),
            processor_seconds: processor_time().as_secs_f64(),
            sandbox: sandbox_states(sandbox),
            attached: self.screens.count(),
            degraded,
            ..AgentStatus::default()
        };
        let ledger = self.meter.ledger()?;
        status.tables.push(table("rows", ledger.len() as u64, MAX_ROWS as u64));
        add_interfaces(&mut status, ledger);
        let failing = status.exporters.iter().filter(|exporter| exporter.is_failing);
        let failing: Vec<_> = failing.filter_map(|exporter| exporter.last_error.clone()).collect();
        status.degraded.extend(failing);
        Ok(status)
    }
}

fn add_interfaces(status: &mut AgentStatus, ledger: &Ledger) {
    for view in ledger.overview(|_| true, Counting::PerInterface).interfaces {
        let of_interface = ledger.overview(|id| id == view.id, Counting::PerInterface);
        let bps = |bytes: u64| {
            let seconds = of_interface.window_seconds[1];
            #[expect(
                clippy::cast_possible_truncation,
                clippy::cast_sign_loss,
                reason = "a rate is not below 0"
            )]
            let bps = if seconds > 0.0 { (bytes as f64 * 8.0 / seconds).round() as u64 } else { 0 };
            bps
        };
        let (ingress, egress) = (&view.ingress, &view.egress);
        status.late_ticks = of_interface.late_ticks;
        status.interfaces.push(InterfaceStatus {
            name: Safe::new(&view.name).to_string(),
            index: view.index,
            hook: view.hook.clone(),
            degraded: view.degraded.clone(),
            received_bps_10s: bps(of_interface.total.received.recent[1]),
            sent_bps_10s: bps(of_interface.total.sent.recent[1]),
            counted_bytes: ingress.counted.bytes + egress.counted.bytes,
            counted_packets: ingress.counted.packets + egress.counted.packets,
            kernel_bytes: ingress.kernel.bytes + egress.kernel.bytes,
            kernel_packets: ingress.kernel.packets + egress.kernel.packets,
            untracked_bytes: ingress.untracked.bytes + egress.untracked.bytes,
            untracked_packets: ingress.untracked.packets + egress.untracked.packets,
            unparsed_bytes: ingress.unparsed.bytes + egress.unparsed.bytes,
            unparsed_packets: ingress.unparsed.packets + egress.unparsed.packets,
            filtered_bytes: ingress.filtered.bytes + egress.filtered.bytes,
            filtered_packets: ingress.filtered.packets + egress.filtered.packets,
            residue_bytes: ingress.residue_bytes + egress.residue_bytes,
            residue_packets: ingress.residue_packets + egress.residue_packets,
        });
    }
}

fn exporter(log: &LogStatus) -> ExporterStatus {
    ExporterStatus {
        name: "log".to_owned(),
        target: log.file.as_ref().map(|file| Safe::os(file).to_string()).unwrap_or_default(),
        queue: log.queue,
        carried: log.carried,
        intervals: log.intervals,
        rows: log.rows,
        bytes: log.bytes,
        failures: log.failures,
        is_failing: log.is_failing,
        last_success: log.last_success.map(rfc3339_millis),
        last_error: log.last_error.clone().or_else(|| log.upkeep_error.clone()),
        last_failure: log.last_failure.map(rfc3339_millis),
    }
}

fn metrics(metrics: &MetricsReader) -> MetricsStatus {
    let ScrapeStatus { scrapes, refused, failures, last_scrape, last_error, last_failure } =
        metrics.server().status();
    MetricsStatus {
        address: metrics.server().address().to_string(),
        named: metrics.named(),
        scrapes,
        refused,
        failures,
        last_scrape: last_scrape.map(rfc3339_millis),
        last_error: last_error.map(|error| Safe::new(&error).to_string()),
        last_failure: last_failure.map(rfc3339_millis),
    }
}

fn sandbox_states(
    SandboxState { capabilities, landlock, seccomp, .. }: &SandboxState,
) -> Vec<(String, String)> {
    let state = |protection: &Protection| match protection {
        Protection::On => "on",
        Protection::Off => "off",
        Protection::Degraded(_) => "degraded",
    };
    [("capabilities", capabilities), ("landlock", landlock), ("seccomp", seccomp)]
        .map(|(name, protection)| (name.to_owned(), state(protection).to_owned()))
        .to_vec()
}
