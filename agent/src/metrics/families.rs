//! Which metrics there are.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;

use super::{
    page::{InterfaceAmounts, MetricsHealth, MetricsLog, MetricsPage, PageInterface, PageKind, PageSeries},
    settings::MetricsBy,
    subject,
    writer::{FamilyWriter, MetricFamily, SeriesLabels},
};
use crate::flow::interval::Difference;

/// Directions of an interface.
const DIRECTIONS: [&str; 2] = ["ingress", "egress"];
/// Directions of a conversation, as this host sees it.
const WAYS: [&str; 2] = ["sent", "received"];

/// What every amount is told in.
const UNITS: [&str; 2] = ["bytes", "packets"];

fn in_unit(count: Count, unit: &str) -> u64 {
    if unit == "bytes" { count.bytes } else { count.packets }
}

fn difference_in(difference: Difference, unit: &str) -> i64 {
    if unit == "bytes" { difference.bytes } else { difference.packets }
}

/// All of them.
pub(super) fn write(out: &mut FamilyWriter<'_>, page: &MetricsPage) -> fmt::Result {
    let MetricsPage { traffic, health } = page;
    of_interfaces(out, &traffic.interfaces)?;
    traffic.kinds.iter().try_for_each(|kind| of_kind(out, kind))?;
    of_agent(out, health)
}

type DirectionAmounts = fn(&InterfaceAmounts) -> [Count; 2];
type BothAmounts = fn(&InterfaceAmounts) -> Count;

const BY_DIRECTION: [(&str, &str, DirectionAmounts); 2] = [
    ("flowtally_interface", "Everything that was counted on the interface", |of| of.counted),
    (
        "flowtally_interface_kernel",
        "What the interface's own counters went up by, as far as they were read",
        |of| of.kernel,
    ),
];

const OF_BOTH: [(&str, &str, BothAmounts); 3] = [
    ("flowtally_interface_untracked", "Counted, but in no series, since the flow tables were full", |of| {
        of.untracked
    }),
    (
        "flowtally_interface_unparsed",
        "Counted, but in no series, since the frames could not be parsed",
        |of| of.unparsed,
    ),
    (
        "flowtally_interface_left_out",
        "Counted, but in no series, since a capture filter or a net filter leaves it out",
        |of| of.left_out,
    ),
];

fn of_interfaces(out: &mut FamilyWriter<'_>, interfaces: &[PageInterface]) -> fmt::Result {
    for (name, help, amounts) in BY_DIRECTION {
        for unit in UNITS {
            let series = interfaces.iter().flat_map(|interface| {
                let of = DIRECTIONS.into_iter().zip(amounts(&interface.amounts));
                of.map(|(direction, count)| (directed(interface, direction), in_unit(count, unit)))
            });
            out.counters(MetricFamily { name, unit, help: &told(help, unit) }, series)?;
        }
    }
    for (name, help, amount) in OF_BOTH {
        for unit in UNITS {
            let series = interfaces
                .iter()
                .map(|interface| (plain(interface), in_unit(amount(&interface.amounts), unit)));
            out.counters(MetricFamily { name, unit, help: &told(help, unit) }, series)?;
        }
    }
    for unit in UNITS {
        let family = MetricFamily {
            name: "flowtally_interface_repeated",
            unit,
            help: &told(
                "Counted here, and in the series of another interface that the same frames crossed",
                unit,
            ),
        };
        let series = interfaces
            .iter()
            .map(|interface| (plain(interface), difference_in(interface.amounts.repeated, unit)));
        out.gauges(family, series)?;
        let family = MetricFamily {
            name: "flowtally_interface_residue",
            unit,
            help: &told(
                "What the interface's own counters have beyond what was counted, when they were last read",
                unit,
            ),
        };
        let series = interfaces.iter().flat_map(|interface| {
            let of = DIRECTIONS.into_iter().zip(interface.amounts.residue);
            of.map(|(direction, residue)| (directed(interface, direction), difference_in(residue, unit)))
        });
        out.gauges(family, series)?;
    }
    let attached = interfaces.iter().map(|interface| (plain(interface), i64::from(interface.is_attached)));
    out.gauges(
        MetricFamily {
            name: "flowtally_interface_attached",
            unit: "",
            help: "Whether it is counted on now.",
        },
        attached,
    )?;
    let degraded = interfaces.iter().map(|interface| (plain(interface), i64::from(interface.is_degraded)));
    out.gauges(
        MetricFamily {
            name: "flowtally_interface_degraded",
            unit: "",
            help: "Whether a better hook does not serve it, or anything else is less than it could be.",
        },
        degraded,
    )
}

fn told(help: &str, unit: &str) -> String {
    format!("{help}, in {unit}.")
}

fn plain(interface: &PageInterface) -> SeriesLabels<'_> {
    vec![("interface", &interface.name)]
}

fn directed<'a>(interface: &'a PageInterface, direction: &'static str) -> SeriesLabels<'a> {
    vec![("interface", &interface.name), ("direction", direction)]
}

const fn whose(by: MetricsBy) -> &'static str {
    match by {
        MetricsBy::Process => "Traffic of processes",
        MetricsBy::Remote => "Traffic with remote addresses",
        MetricsBy::Port => "Traffic of services, by protocol and port",
        MetricsBy::Container => "Traffic of containers and systemd units",
        MetricsBy::User => "Traffic of users",
    }
}

fn of_kind(out: &mut FamilyWriter<'_>, PageKind { by, series, rests }: &PageKind) -> fmt::Result {
    let (name, whose) = (format!("flowtally_{by}"), whose(*by));
    for unit in UNITS {
        let named = series.iter().flat_map(|PageSeries { interface, labels, counts }| {
            WAYS.into_iter().zip(*counts).map(move |(way, count)| {
                let labels = labels.iter().map(|(key, value)| (*key, &**value));
                (way_labels(interface, way).chain(labels).collect(), in_unit(count, unit))
            })
        });
        let others = rests.iter().flat_map(|(interface, rest)| {
            WAYS.into_iter().zip(rest.other).map(move |(way, count)| {
                let labels = way_labels(interface, way).chain([subject::other(*by)]);
                (labels.collect(), in_unit(count, unit))
            })
        });
        let help = told(&format!("{whose}, the largest by name and the others in one"), unit);
        out.counters(MetricFamily { name: &name, unit, help: &help }, named.chain(others))?;
        let retired = rests.iter().flat_map(|(interface, rest)| {
            WAYS.into_iter()
                .zip(rest.retired)
                .map(move |(way, count)| (way_labels(interface, way).collect(), in_unit(count, unit)))
        });
        let family = MetricFamily {
            name: &format!("{name}_retired"),
            unit,
            help: &told(&format!("{whose} whose series are no longer here"), unit),
        };
        out.counters(family, retired)?;
    }
    Ok(())
}

fn way_labels<'a>(interface: &'a str, way: &'static str) -> impl Iterator<Item = (&'static str, &'a str)> {
    [("interface", interface), ("direction", way)].into_iter()
}

fn of_agent(out: &mut FamilyWriter<'_>, health: &MetricsHealth) -> fmt::Result {
    let family = |name, unit, help| MetricFamily { name, unit, help };
    let one = |value: u64| [(Vec::new(), value)].into_iter();
    let signed = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
    let MetricsHealth { version, started, ticks, late_ticks, tables, log, degraded, .. } = health;
    out.info(family("flowtally_build", "", "Which flowtally this is."), vec![("version", version)])?;
    out.histogram(
        family("flowtally_tick_duration", "seconds", "How long it took to take up what each second brought."),
        ticks,
    )?;
    out.counters(
        family("flowtally_late_ticks", "", "Seconds that took more than half as long again."),
        one(*late_ticks),
    )?;
    let used = tables.iter().map(|table| (vec![("table", table.name)], signed(table.used)));
    out.gauges(
        family("flowtally_table_entries", "", "Entries of a table, of the kernel's in the last second."),
        used,
    )?;
    let capacity = tables.iter().map(|table| (vec![("table", table.name)], signed(table.capacity)));
    out.gauges(family("flowtally_table_entries_limit", "", "Entries that fit into a table."), capacity)?;
    let features = degraded.iter().map(|(feature, is)| (vec![("feature", *feature)], i64::from(*is)));
    out.gauges(family("flowtally_degraded", "", "Whether a feature is less than it could be."), features)?;
    out.gauges(
        family("flowtally_screens", "", "Screens that look on."),
        [(Vec::new(), health.screens.into())].into_iter(),
    )?;
    if let Some(log) = log {
        of_log(out, log)?;
    }
    let started = started.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
    out.gauges(
        family("process_resident_memory", "bytes", "Memory of the agent."),
        [(Vec::new(), signed(health.memory_bytes))].into_iter(),
    )?;
    out.seconds(
        family("process_cpu", "seconds", "Processor time of the agent, in seconds."),
        health.processor_seconds,
    )?;
    out.gauge(
        family("process_start_time", "seconds", "When the agent began to count, in seconds since 1970."),
        started.as_secs_f64(),
    )
}

fn of_log(out: &mut FamilyWriter<'_>, log: &MetricsLog) -> fmt::Result {
    let MetricsLog { queue, intervals, rows, bytes, failures, is_failing } = *log;
    let gauges = [
        ("flowtally_log_queue", "intervals", "Intervals of the log that wait to be written.", queue),
        ("flowtally_log_failing", "", "Whether the log cannot be written.", u64::from(is_failing)),
    ];
    for (name, unit, help, value) in gauges {
        let value = i64::try_from(value).unwrap_or(i64::MAX);
        out.gauges(MetricFamily { name, unit, help }, [(Vec::new(), value)].into_iter())?;
    }
    let counters = [
        ("flowtally_log_intervals", "", "Intervals of the log that were written.", intervals),
        ("flowtally_log_rows", "", "Rows of the log that were written.", rows),
        ("flowtally_log_written", "bytes", "Bytes of the log that were written, before compression.", bytes),
        (
            "flowtally_log_write_errors",
            "",
            "How often an interval of the log could not be written.",
            failures,
        ),
    ];
    for (name, unit, help, value) in counters {
        out.counters(MetricFamily { name, unit, help }, [(Vec::new(), value)].into_iter())?;
    }
    Ok(())
}
