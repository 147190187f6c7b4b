//! What `--check` prints: every setting as it will be, and what the agent will take.

use std::{
    fmt::{self, Write as _},
    time::Duration,
};

use super::settings::{AgentKey, AgentSettings};
use crate::format::Safe;

/// Bytes of a row of the log, before compression and after: what a mix of flows and processes of a busy host takes (docs/log.md).
const ROW: [u64; 2] = [550, 18];
const DAY: Duration = Duration::from_hours(24);

/// What is known of the host and the measurement.
#[derive(Clone, Debug, Default)]
pub struct CheckFacts {
    /// What is measured: a setting's name and its value each.
    pub measured: Vec<(&'static str, String)>,
    /// Memory of tables, in bytes, each with a name.
    pub memory: Vec<(&'static str, u64)>,
}

/// The page.
///
/// # Errors
/// None of its own: those of the text that it is added to.
pub fn page(settings: &AgentSettings, facts: &CheckFacts) -> Result<String, fmt::Error> {
    let mut page = String::new();
    let out = &mut page;
    writeln!(out, "[capture]")?;
    for (name, value) in &facts.measured {
        writeln!(out, "{name} = {}", Safe::new(value))?;
    }
    writeln!(out, "\n[agent]")?;
    for key in AgentKey::ALL {
        writeln!(out, "{} = {}", key.name(), Safe::new(&settings.value(key)))?;
    }
    writeln!(out, "\nmemory of the kernel's tables")?;
    for (name, bytes) in &facts.memory {
        writeln!(out, "  {name:<32} {:>8.1} MiB", *bytes as f64 / f64::from(1 << 20))?;
    }
    if settings.has_log {
        disk(out, settings)?;
    }
    if settings.metrics_address.is_some() {
        series(out, settings)?;
    }
    Ok(page)
}

/// What the log takes a day, for a few numbers of rows: how many there are depends on the host's traffic.
fn disk(out: &mut String, settings: &AgentSettings) -> fmt::Result {
    let log = &settings.log;
    let intervals = DAY.as_secs() / log.interval.as_secs().max(1);
    let kinds = log.granularities.len() as u64;
    writeln!(out, "\ndisk a day, about {} bytes a row and {} compressed", ROW[0], ROW[1])?;
    let most = log.top.map_or(log.max_flows as u64, |top| top as u64 * kinds);
    let mut cases = vec![100, 1_000, 10_000];
    cases.retain(|rows| *rows < most);
    if log.top.is_some() {
        cases.push(most);
    }
    for rows in cases {
        let bytes = ROW.map(|row| rows * row * intervals);
        let bound = if rows == most { " (the most that 'top' lets through)" } else { "" };
        writeln!(
            out,
            "  {rows:>8} rows an interval: {:>10.1} MB, {:>8.1} MB compressed{bound}",
            bytes[0] as f64 / 1e6,
            bytes[1] as f64 / 1e6
        )?;
    }
    match log.keep_size {
        Some(size) => writeln!(out, "never more than {:.1} GB in all (keep-size)", size as f64 / 1e9),
        None => writeln!(out, "without a bound in all: keep-size is none"),
    }
}

/// How many series Prometheus gets at most.
fn series(out: &mut String, settings: &AgentSettings) -> fmt::Result {
    let metrics = &settings.metrics;
    writeln!(out, "\nseries for Prometheus, whatever the traffic")?;
    writeln!(out, "  {:>8} at most of what has a name (metrics-by, metrics-top)", metrics.most_named())?;
    writeln!(out, "  {:>8} of each interface", metrics.of_interface())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metrics::MetricsBy;

    #[test]
    fn the_page() {
        let facts = CheckFacts {
            measured: vec![("interfaces", "eth0, wlan0".to_owned()), ("filter-code", String::new())],
            memory: vec![("first level", 4 << 20), ("second level", 16 << 20)],
        };
        insta::assert_snapshot!(page(&AgentSettings::default(), &facts).unwrap());
        let mut settings =
            AgentSettings { metrics_address: "[::1]:9925".parse().ok(), ..AgentSettings::default() };
        settings.metrics.by = MetricsBy::ALL.to_vec();
        let page = page(&settings, &facts).unwrap();
        assert!(
            page.contains("\nmetrics = [::1]:9925\nmetrics-by = process,remote,port,container,user\n"),
            "{page}"
        );
        assert!(page.contains("    2000 at most") && page.contains("      62 of each interface"), "{page}");
    }
}
