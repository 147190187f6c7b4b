//! The report's picture: tables of a size for the README.

use std::io::{BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::Stdio;
use std::thread;

use anyhow::{Context, Result, bail, ensure};

use crate::stage::{INTERFACE, Stage};

/// Time enough for the rate over two seconds to differ from the one over all of them.
pub(super) const COMMAND: &[&str] = &["flowtally", "report", "-i", INTERFACE, "--seconds", "6", "--top", "7"];
/// What flowtally says when its programs are in place.
const MEASURING: &str = "flowtally: measuring on ";
/// The picture ends before this line: what follows is about the measurement, not about the traffic.
const CUT: &str = "Counted beside";

/// What the report says about traffic that begins with the measurement.
pub(super) fn text(program: &Path, arguments: &[&str]) -> Result<String> {
    let mut stage = Stage::set()?;
    let mut flowtally = stage
        .command(program)?
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let mut stdout = flowtally.stdout.take().context("no standard output")?;
    let report = thread::spawn(move || {
        let mut report = String::new();
        stdout.read_to_string(&mut report).map(|_| report)
    });
    let said = flowtally.stderr.take().context("no standard error")?;
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what flowtally says")?;
        eprintln!("{line}");
        if line.starts_with(MEASURING) {
            stage.begin()?;
        }
    }
    let status = flowtally.wait().context("cannot wait for flowtally")?;
    ensure!(status.success(), "flowtally failed ({status})");
    let Ok(report) = report.join() else { bail!("reading the report failed") };
    let report = report.context("cannot read the report")?;
    stage.end()?;
    shown(&report).map(str::to_owned)
}

/// The part of the report that the picture shows.
fn shown(report: &str) -> Result<&str> {
    let end = report.find(CUT).with_context(|| format!("no line `{CUT}…` in the report:\n{report}"))?;
    Ok(report[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_ends_with_the_last_table() {
        assert_eq!(shown("a\n\nFlows\nb\n\nCounted beside the kernel's\nc\n").unwrap(), "a\n\nFlows\nb");
        assert!(shown("a\n").is_err());
    }
}
