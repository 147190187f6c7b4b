//! `flowtally report`.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, IsTerminal as _, Write},
    net::IpAddr,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use super::{
    announce,
    meter::Meter,
    settings::{report_plan, services},
    shutdown::Shutdown,
    terminal_width,
};
use crate::{
    cli::ReportArgs,
    flow::{
        group::{GroupBy, GroupKey},
        names::Names,
        snapshot::Snapshot,
    },
    host::names::Resolver,
    report::{self, Context, DEFAULT_WIDTH, Request},
};

/// How long looking up names may take, all together.
const RESOLVE: Duration = Duration::from_secs(3);

/// Measures, then prints.
pub(super) async fn report(args: ReportArgs) -> anyhow::Result<()> {
    let request = ReportRequest {
        by: if args.by.is_empty() { default_groupings(args.format) } else { args.by },
        top: args.top,
        sort: args.sort,
        direction: args.direction,
        units: args.units,
        format: args.format,
    };
    let groups = request.by.iter().copied().filter(|by| *by != GroupBy::Flow).collect();
    let plan = report_plan(&args.capture, groups)?;
    // An unwritable target must be found before minutes of measuring, not after.
    let output = args.output.as_deref().map(create).transpose()?;
    let resolver = args.resolve.then(Resolver::from_system);
    if let Some(reason) = resolver.as_ref().and_then(Resolver::unavailable) {
        say!("flowtally: host names are those of /etc/hosts alone: {reason}");
    }
    let shutdown = Shutdown::listen().context("listening for signals")?;
    let mut meter = Meter::start(plan).await?;
    meter.look(true).await?;
    let started = SystemTime::now();
    announce(&meter);
    let progress = Progress { terminal: io::stderr().is_terminal(), seconds: args.seconds };
    let length = Duration::from_secs(args.seconds);
    let measured = meter.run_for(length, shutdown, |meter| progress.show(meter)).await;
    progress.clear();
    measured?;
    let snapshot = meter.finish().await?;
    let mut names = Names { services: services(), ..Names::default() };
    if let Some(mut resolver) = resolver {
        resolver.complete(&mut names, addresses(&snapshot, &request), RESOLVE).await;
    }
    let width = terminal_width().unwrap_or(DEFAULT_WIDTH);
    let context = Context { started, names: &names, resolve: args.resolve, width };
    match output {
        Some((file, path)) => report::write(file, &snapshot, &request, &context)
            .with_context(|| format!("writing the report to {path}")),
        None => {
            report::write(io::stdout().lock(), &snapshot, &request, &context).context("writing the report")
        }
    }
}

/// A CSV file is one table, and that is the flows.
fn default_groupings(format: report::ReportFormat) -> Vec<GroupBy> {
    match format {
        report::ReportFormat::Csv => vec![GroupBy::Flow],
        report::ReportFormat::Text | report::ReportFormat::Json => report::default_groupings(),
    }
}

fn create(path: &Path) -> anyhow::Result<(File, String)> {
    let name = path.display().to_string();
    let file = File::create(path).with_context(|| format!("creating the output file {name}"))?;
    Ok((file, name))
}

/// The addresses that the report prints.
fn addresses(snapshot: &Snapshot, request: &ReportRequest) -> HashSet<IpAddr> {
    let mut addresses = HashSet::new();
    for table in report::tables(snapshot, request) {
        for row in &table.rows {
            match &row.key {
                report::TableKey::Flow(key) => {
                    addresses.extend(key.local_address().into_iter().chain(key.remote_address()));
                }
                report::TableKey::Group(GroupKey::Address(address)) => addresses.extend(address.iter()),
                report::TableKey::Group(GroupKey::Pair(pair)) => {
                    addresses.extend(pair.iter().flat_map(|(local, remote)| [*local, *remote]));
                }
                report::TableKey::Group(_) => {}
            }
        }
    }
    addresses
}

/// The line on a terminal that says how far the measurement is.
struct Progress {
    terminal: bool,
    seconds: u64,
}

impl Progress {
    fn show(&self, meter: &mut Meter) -> anyhow::Result<()> {
        if self.terminal {
            let seen = meter.total()?;
            let line = format!(
                "\r\x1b[Kflowtally: {:.0} of {} s, {} packets, {:.1} MB; Ctrl-C to end now",
                meter.started().elapsed().as_secs_f64(),
                self.seconds,
                seen.packets(),
                seen.bytes() as f64 / 1e6,
            );
            drop(io::stderr().write_all(line.as_bytes()));
        }
        Ok(())
    }
}

    fn clear(&self) {
        if self.terminal {
            drop(io::stderr().write_all(b"\r\x1b[K"));
        }
    }
}
