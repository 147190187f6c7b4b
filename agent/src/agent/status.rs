//! How the agent is doing: a document that it hands out over its socket, and the page that people read.

use std::fmt::{self, Write as _};

use serde::{Deserialize, Serialize};

use crate::format::{
    Safe,
    numbers::{Rate, Size, Units, rate_unit},
};

/// Which document this is, and the version of its fields.
pub const STATUS_SCHEMA: &str = "flowtally.status/1";

/// How the agent is doing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentStatus {
    /// [`STATUS_SCHEMA`].
    pub schema: String,
    /// flowtally's version.
    pub version: String,
    /// The agent's process.
    pub pid: u32,
    /// The host's name.
    pub host: String,
    /// The kernel's boot id.
    pub boot: String,
    /// The run's id, as in the log.
    pub run: String,
    /// When it began to count, RFC 3339.
    pub started: String,
    /// Seconds since then.
    pub uptime_seconds: f64,
    /// Files that the configuration was read from.
    pub configuration: Vec<String>,
    /// The capture filter.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filter: Option<String>,
    /// Every interface that is or was counted on.
    pub interfaces: Vec<InterfaceStatus>,
    /// The tables and how full they are.
    pub tables: Vec<TableStatus>,
    /// Intervals of a second, and how many of them came late.
    pub ticks: u64,
    /// See above.
    pub late_ticks: u64,
    /// The longest that closing one of them took, in milliseconds.
    pub longest_tick_ms: f64,
    /// Whatever is written or sent elsewhere.
    pub exporters: Vec<ExporterStatus>,
    /// Metrics for whoever asks, where there are any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metrics: Option<MetricsStatus>,
    /// Screens that look on.
    pub attached: u32,
    /// Memory of the process, in bytes.
    pub memory_bytes: u64,
    /// Processor time of the process since it began, in seconds.
    pub processor_seconds: f64,
    /// What it gave up, by name: `on`, `off`, or `degraded` with a reason in `degraded`.
    pub sandbox: Vec<(String, String)>,
    /// What is less than it could be, a sentence each.
    pub degraded: Vec<String>,
}

/// An interface. Amounts are since counting began, both directions.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct InterfaceStatus {
    /// Its name.
    pub name: String,
    /// Its index.
    pub index: u32,
    /// The hooks that serve it.
    pub hook: String,
    /// Why a better one does not.
    pub degraded: Vec<String>,
    /// Bits per second in the last ten seconds.
    pub received_bps_10s: u64,
    /// The same, sent.
    pub sent_bps_10s: u64,
    /// Everything that was counted.
    pub counted_bytes: u64,
    /// The same in packets.
    pub counted_packets: u64,
    /// What the interface's own counters went up by, when they were last read.
    pub kernel_bytes: u64,
    /// The same in packets.
    pub kernel_packets: u64,
    /// Counted, but in no row.
    pub untracked_bytes: u64,
    /// The same in packets.
    pub untracked_packets: u64,
    /// Counted, but not parsed.
    pub unparsed_bytes: u64,
    /// The same in packets.
    pub unparsed_packets: u64,
    /// Counted, but not matched by the capture filter.
    pub filtered_bytes: u64,
    /// The same in packets.
    pub filtered_packets: u64,
    /// What the counters have beyond what was counted, when they were last read; may be negative.
    pub residue_bytes: i64,
    /// The same in packets.
    pub residue_packets: i64,
}

/// A table.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct TableStatus {
    /// Which.
    pub name: String,
    /// How many entries it has: of the kernel's tables, in the last second.
    pub used: u64,
    /// How many fit.
    pub capacity: u64,
}

/// Something that is written or sent elsewhere.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExporterStatus {
    /// What: `log`.
    pub name: String,
    /// Where to: a file.
    pub target: String,
    /// Intervals that wait.
    pub queue: u64,
    /// Intervals that could not be written so far, and are carried into the next record.
    pub carried: u64,
    /// Intervals written.
    pub intervals: u64,
    /// Rows written.
    pub rows: u64,
    /// Bytes written, before compression.
    pub bytes: u64,
    /// How often writing failed.
    pub failures: u64,
    /// Whether it fails at the moment.
    pub is_failing: bool,
    /// When it last worked, RFC 3339.
    pub last_success: Option<String>,
    /// Why it last failed.
    pub last_error: Option<String>,
    /// When that was, RFC 3339.
    pub last_failure: Option<String>,
}

/// Metrics for whoever asks.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct MetricsStatus {
    /// Where it listens.
    pub address: String,
    /// How many processes, remotes and so on have metrics of their own.
    pub named: u64,
    /// How often they were handed out.
    pub scrapes: u64,
    /// How often somebody asked who may not.
    pub refused: u64,
    /// How often a connection could not be accepted, took too long or broke.
    pub failures: u64,
    /// When they were last handed out, RFC 3339.
    pub last_scrape: Option<String>,
    /// What went wrong the last time.
    pub last_error: Option<String>,
    /// When that was, RFC 3339.
    pub last_failure: Option<String>,
}

impl AgentStatus {
    /// Whether anything is less than it could be.
    #[must_use]
    pub fn is_degraded(&self) -> bool {
        let exporter = self.exporters.iter().any(|exporter| exporter.is_failing);
        let interface = self.interfaces.iter().any(|interface| !interface.degraded.is_empty());
        exporter || interface || !self.degraded.is_empty()
    }

    /// The page.
    ///
    /// # Errors
    /// None of its own: those of the text that it is added to.
    pub fn page(&self) -> Result<String, fmt::Error> {
        let mut page = String::new();
        let out = &mut page;
        writeln!(
            out,
            "flowtally {} on {}, process {}",
            Safe::new(&self.version),
            Safe::new(&self.host),
            self.pid
        )?;
        writeln!(
            out,
            "counting for {} since {}; run {}",
            span(self.uptime_seconds),
            Safe::new(&self.started),
            Safe::new(&self.run)
        )?;
        if !self.configuration.is_empty() {
            let files: Vec<_> = self.configuration.iter().map(|file| Safe::new(file).to_string()).collect();
            writeln!(out, "configuration: {}", files.join(", "))?;
        }
        if let Some(filter) = &self.filter {
            writeln!(out, "filter: {}", Safe::new(filter))?;
        }
        writeln!(
            out,
            "memory {}, processor {:.1} s ({:.2} % of a core), {} ticks, {} late, the longest {:.1} ms",
            Size(self.memory_bytes),
            self.processor_seconds,
            100.0 * self.processor_seconds / self.uptime_seconds.max(1.0),
            self.ticks,
            self.late_ticks,
            self.longest_tick_ms
        )?;
        if self.attached > 0 {
            writeln!(out, "screens that look on: {}", self.attached)?;
        }
        self.interfaces_page(out)?;
        writeln!(out, "\ntables")?;
        for TableStatus { name, used, capacity } in &self.tables {
            let share = 100.0 * *used as f64 / (*capacity).max(1) as f64;
            writeln!(out, "  {:<24} {used:>10} of {capacity:>10}  {share:>5.1} %", Safe::new(name))?;
        }
        for exporter in &self.exporters {
            exporter.page(out)?;
        }
        if let Some(metrics) = &self.metrics {
            metrics.page(out)?;
        }
        if !self.sandbox.is_empty() {
            let parts: Vec<_> = self.sandbox.iter().map(|(name, state)| format!("{name} {state}")).collect();
            writeln!(out, "\nsandbox: {}", Safe::new(&parts.join(", ")))?;
        }
        if !self.is_degraded() {
            writeln!(out, "\nnothing is degraded")?;
        } else if !self.degraded.is_empty() {
            writeln!(out, "\ndegraded")?;
            self.degraded.iter().try_for_each(|reason| writeln!(out, "  {}", Safe::new(reason)))?;
        }
        Ok(page)
    }

    fn interfaces_page(&self, out: &mut String) -> fmt::Result {
        writeln!(out, "\ninterfaces")?;
        for interface in &self.interfaces {
            let InterfaceStatus { name, hook, received_bps_10s, sent_bps_10s, .. } = interface;
            writeln!(
                out,
                "  {} ({}): in {}, out {} in the last 10 s",
                Safe::new(name),
                Safe::new(hook),
                rate(*received_bps_10s),
                rate(*sent_bps_10s)
            )?;
            writeln!(
                out,
                "    counted {} bytes in {} packets, residue {} bytes in {} packets",
                interface.counted_bytes,
                interface.counted_packets,
                interface.residue_bytes,
                interface.residue_packets
            )?;
            if interface.untracked_packets + interface.unparsed_packets > 0 {
                writeln!(
                    out,
                    "    untracked {} bytes in {} packets, unparsed {} bytes in {} packets",
                    interface.untracked_bytes,
                    interface.untracked_packets,
                    interface.unparsed_bytes,
                    interface.unparsed_packets
                )?;
            }
            for reason in &interface.degraded {
                writeln!(out, "    {}", Safe::new(reason))?;
            }
        }
        Ok(())
    }
}

impl ExporterStatus {
    fn page(&self, out: &mut String) -> fmt::Result {
        let Self { name, target, queue, carried, intervals, rows, bytes, failures, .. } = self;
        let target = if target.is_empty() { "no file at the moment" } else { target };
        writeln!(out, "\n{}: {}", Safe::new(name), Safe::new(target))?;
        writeln!(out, "  {intervals} intervals, {rows} rows, {} written; {queue} wait", Size(*bytes))?;
        if let Some(moment) = &self.last_success {
            writeln!(out, "  last written {}", Safe::new(moment))?;
        }
        if self.is_failing {
            writeln!(out, "  FAILING: {carried} intervals are carried into the next record")?;
        }
        if let Some(error) = &self.last_error {
            let moment = self.last_failure.as_deref().unwrap_or("not known when");
            writeln!(out, "  {failures} failures, the last {}: {}", Safe::new(moment), Safe::new(error))?;
        }
        Ok(())
    }
}

impl MetricsStatus {
    fn page(&self, out: &mut String) -> fmt::Result {
        let Self { address, named, scrapes, refused, failures, .. } = self;
        writeln!(out, "\nmetrics: http://{}/metrics", Safe::new(address))?;
        writeln!(
            out,
            "  {named} with metrics of their own; asked for {scrapes} times, refused {refused} times"
        )?;
        if let Some(moment) = &self.last_scrape {
            writeln!(out, "  last asked for {}", Safe::new(moment))?;
        }
        if let Some(error) = &self.last_error {
            let moment = self.last_failure.as_deref().unwrap_or("not known when");
            writeln!(out, "  {failures} failures, the last {}: {}", Safe::new(moment), Safe::new(error))?;
        }
        Ok(())
    }
}

/// A time in the two largest units.
fn span(seconds: f64) -> impl fmt::Display {
    const UNITS: [(u64, &str); 4] = [(86_400, "d"), (3_600, "h"), (60, "min"), (1, "s")];
    fmt::from_fn(move |f| {
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "a time since the start, in seconds"
        )]
        let whole = seconds as u64;
        let first = UNITS.iter().position(|(unit, _)| whole >= *unit).unwrap_or(UNITS.len() - 1);
        write!(f, "{} {}", whole / UNITS[first].0, UNITS[first].1)?;
        match UNITS.get(first + 1) {
            Some((unit, name)) => write!(f, " {} {name}", whole % UNITS[first].0 / unit),
            None => Ok(()),
        }
    })
}

/// Bits per second with their unit.
fn rate(bps: u64) -> impl fmt::Display {
    fmt::from_fn(move |f| write!(f, "{}{}", Rate(bps as f64 / 8.0, Units::Bits), rate_unit(Units::Bits)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::documents::Schema;

    const SCHEMA: &str = include_str!("../../../docs/status.schema.json");

    fn status() -> AgentStatus {
        AgentStatus {
            schema: STATUS_SCHEMA.to_owned(),
            version: "1.2.3".to_owned(),
            pid: 812,
            host: "web1".to_owned(),
            run: "0011223344556677".to_owned(),
            started: "2026-11-29T03:00:00.000Z".to_owned(),
            uptime_seconds: 93_784.5,
            configuration: vec!["/etc/flowtally/config.toml".to_owned()],
            interfaces: vec![InterfaceStatus {
                name: "eth0\x1b[2J".to_owned(),
                hook: "tcx".to_owned(),
                received_bps_10s: 1_234_567,
                sent_bps_10s: 999,
                counted_bytes: 1_000,
                counted_packets: 10,
                residue_bytes: -3,
                untracked_packets: 1,
                ..InterfaceStatus::default()
            }],
            tables: vec![TableStatus { name: "flows, first level".to_owned(), used: 512, capacity: 16_384 }],
            ticks: 93_784,
            exporters: vec![ExporterStatus {
                name: "log".to_owned(),
                target: "/var/log/flowtally/x.jsonl".to_owned(),
                carried: 7,
                failures: 7,
                is_failing: true,
                last_error: Some("no space left".to_owned()),
                ..ExporterStatus::default()
            }],
            metrics: Some(MetricsStatus {
                address: "127.0.0.1:9925".to_owned(),
                named: 101,
                scrapes: 12,
                refused: 2,
                failures: 1,
                last_scrape: Some("2026-11-29T03:00:10.000Z".to_owned()),
                last_error: Some("answering 127.0.0.1:4711: it took longer than 10 s".to_owned()),
                last_failure: Some("2026-11-29T03:00:05.000Z".to_owned()),
            }),
            memory_bytes: 45 << 20,
            processor_seconds: 12.0,
            sandbox: vec![("seccomp".to_owned(), "on".to_owned())],
            ..AgentStatus::default()
        }
    }

    #[test]
    fn the_page() {
        let page = status().page().unwrap();
        assert!(!page.contains('\x1b'), "{page}");
        insta::assert_snapshot!(page);
    }

    #[test]
    fn what_fails_is_degraded() {
        assert!(status().is_degraded());
        let mut well = status();
        well.exporters.clear();
        assert!(!well.is_degraded());
        well.degraded.push("owners: BTF is missing".to_owned());
        assert!(well.is_degraded());
    }

    /// Whoever asks may be older or newer than the agent.
    #[test]
    fn a_document_reads_back() {
        let text = serde_json::to_string(&status()).unwrap();
        assert_eq!(serde_json::from_str::<AgentStatus>(&text).unwrap(), status());
        let more = text.replacen('{', "{\"something_new\":1,", 1);
        assert_eq!(serde_json::from_str::<AgentStatus>(&more).unwrap(), status());
    }
    #[test]
    fn the_schema_describes_every_field() {
        let schema = Schema::new(SCHEMA);
        let mut status = status();
        status.filter = Some("not port 22".to_owned());
        let document = serde_json::to_value(&status).unwrap();
        schema.check(&document);
        let places = ["", "/interfaces/0", "/tables/0", "/exporters/0", "/metrics"];
        schema.check_fields(&document, &places, |place, field| {
            place.is_empty() && matches!(field, "filter" | "metrics")
        });
        schema.check(
            &serde_json::to_value(AgentStatus {
                filter: None,
                metrics: None,
                exporters: Vec::new(),
                ..status
            })
            .unwrap(),
        );
    }
}
