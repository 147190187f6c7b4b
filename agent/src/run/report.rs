//! `flowtally report`.

use std::{
    collections::HashSet,
    net::IpAddr,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;

use super::{
    announce,
    progress::ProgressLine,
    settings::{report_plan, services},
    target, tell_where_files_are_from,
};
use crate::{
    cli::ReportArgs,
    flow::{
        group::{GroupBy, GroupKey},
        names::Names,
        snapshot::Snapshot,
    },
    host::{names::Resolver, shutdown::Shutdown},
    meter::{Closed, Meter, Reader},
    report::{self, ReportContext, ReportRequest},
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
    let mut shutdown = Shutdown::listen().context("listening for signals")?;
    // An unwritable target must be found before minutes of measuring, not after.
    let target = target::of_report(args.output.as_deref(), &mut shutdown).await?;
    let resolver = args.resolve.then(|| resolver(true));
    let mut meter = Meter::start(plan, &mut shutdown).await?;
    meter.look(true).await?;
    let started = SystemTime::now();
    announce(&meter);
    let mut progress = ReportProgress { line: ProgressLine::new(), seconds: args.seconds };
    let length = Duration::from_secs(args.seconds);
    let measured = meter.run_for(length, shutdown, &mut [&mut progress]).await;
    progress.line.clear();
    measured?;
    let snapshot = meter.finish().await?;
    if args.capture.verbose {
        tell_where_files_are_from();
    }
    let mut names = Names { services: services(), ..Names::default() };
    if let Some(mut resolver) = resolver {
        look_up(&mut resolver, &mut names, &snapshot, &request).await;
    }
    let context = ReportContext {
        started,
        names: &names,
        resolve: args.resolve,
        width: target::width(target.as_ref()),
    };
    target::write("the report", target, |out| report::write(out, &snapshot, &request, &context))
}

/// A CSV file is one table, and that is the flows.
fn default_groupings(format: report::ReportFormat) -> Vec<GroupBy> {
    match format {
        report::ReportFormat::Csv => vec![GroupBy::Flow],
        report::ReportFormat::Text | report::ReportFormat::Json => report::default_groupings(),
    }
}

/// What looks names up. Where they are wanted it is said if that cannot be done.
pub(super) fn resolver(are_wanted: bool) -> Resolver {
    let resolver = Resolver::from_system();
    if let Some(reason) = resolver.unavailable().filter(|_| are_wanted) {
        tell!("host names are those of /etc/hosts alone: {reason}");
    }
    resolver
}

/// Looks up the names of the addresses that are printed.
pub(super) async fn look_up(
    resolver: &mut Resolver,
    names: &mut Names,
    snapshot: &Snapshot,
    request: &ReportRequest,
) {
    resolver.complete(names, addresses(snapshot, request), RESOLVE).await;
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
struct ReportProgress {
    line: ProgressLine,
    seconds: u64,
}

impl Reader for ReportProgress {
    fn take(&mut self, closed: &Closed<'_>) -> anyhow::Result<()> {
        let seen = closed.ledger.total();
        self.line.show(format_args!(
            "{:.0} of {} s, {} packets, {:.1} MB; Ctrl-C to end now",
            closed.started.elapsed().as_secs_f64(),
            self.seconds,
            seen.packets(),
            seen.bytes() as f64 / 1e6,
        ));
        Ok(())
    }
}
