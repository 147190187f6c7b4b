//! The rows of an interval by granularity, made of its conversations.

use std::{cmp::Ordering, collections::BTreeMap, net::IpAddr, sync::Arc};

use flowtally_common::Count;
use hashbrown::HashMap;

use super::{
    fold::{FoldedFlow, FoldedInterface, LogFold, add_both},
    granularity::Granularity,
};
use crate::{
    flow::{
        group::{OwnerKey, OwnerPart},
        row::{InterfaceId, RowKey},
        services::Services,
    },
    model::{
        owner::{Attribution, Common},
        protocol::Kind,
    },
};

/// A row of an interval.
#[derive(Debug)]
pub(super) struct LogRow<'a> {
    /// The place of its interface in [`LogTables::interfaces`].
    pub(super) interface: usize,
    pub(super) subject: Subject<'a>,
    /// Sent and received.
    pub(super) counts: [Count; 2],
}

/// What a row is of.
#[derive(Debug)]
pub(super) enum Subject<'a> {
    /// A conversation, and the number of its attribution.
    Flow(&'a RowKey, usize),
    /// An owner, or why there is none; and what its attributions have in common.
    Owner(OwnerKey, Box<Common>),
    /// An address; `None` for frames that are not IP.
    Remote(Option<IpAddr>),
    /// A service's port; `None` where the protocol has none.
    Port(Kind, Option<u16>),
    /// The interface itself.
    Interface,
}

/// What of a granularity is in no row.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct LogRest {
    /// How many rows it stands for, at least.
    pub(super) rows: u64,
    pub(super) counts: [Count; 2],
}

/// The rows of one granularity.
#[derive(Debug)]
pub(super) struct LogTable<'a> {
    pub(super) by: Granularity,
    pub(super) rows: Vec<LogRow<'a>>,
    /// By interface, of those that have a rest.
    pub(super) rest: Vec<(usize, LogRest)>,
}

/// An interval, ready to be written.
#[derive(Debug)]
pub(super) struct LogTables<'a> {
    /// One for each name, in the order of the names.
    pub(super) interfaces: Vec<FoldedInterface>,
    /// Whose the conversations are, by number.
    pub(super) attributions: Vec<&'a Arc<Attribution>>,
    pub(super) tables: Vec<LogTable<'a>>,
}

/// A conversation beside the numbers of its interface and its attribution.
struct Numbered<'a> {
    flow: &'a FoldedFlow,
    interface: usize,
    attribution: usize,
}

impl<'a> LogTables<'a> {
    /// The rows of these granularities, of each the `top` with the most bytes.
    pub(super) fn new(
        fold: &'a LogFold,
        by: &[Granularity],
        top: Option<usize>,
        services: &Services,
    ) -> Self {
        let (interfaces, places) = named(&fold.interfaces);
        let mut numbers: HashMap<*const Attribution, usize> = HashMap::new();
        let mut attributions: Vec<&Arc<Attribution>> = Vec::new();
        let number = |flow: &'a FoldedFlow| {
            let InterfaceId(id) = flow.key.interface;
            let attribution = *numbers.entry(Arc::as_ptr(&flow.owner)).or_insert_with(|| {
                attributions.push(&flow.owner);
                attributions.len() - 1
            });
            Numbered { flow, interface: places[usize::from(id)], attribution }
        };
        let mut flows: Vec<Numbered<'a>> = fold.flows.iter().map(number).collect();
        by_process(&mut flows, &mut attributions);
        let table = |by: &Granularity| {
            let mut rows = match by {
                Granularity::Flow => conversations(&flows),
                Granularity::Remote => remotes(&flows),
                Granularity::Port => ports(&flows, services),
                Granularity::Interface => of_interfaces(&interfaces),
                Granularity::Process | Granularity::Container | Granularity::User => {
                    let part = by.of_owner().unwrap_or(OwnerPart::Process);
                    owners(&flows, part, &attributions)
                }
            };
            let mut rest: BTreeMap<usize, LogRest> = BTreeMap::new();
            if *by != Granularity::Interface {
                let beyond = interfaces.iter().enumerate().filter(|(_, interface)| interface.beyond_rows > 0);
                rest.extend(beyond.map(|(place, interface)| {
                    (place, LogRest { rows: interface.beyond_rows, counts: interface.beyond })
                }));
            }
            if let Some(top) = top.filter(|top| *top < rows.len()) {
                if let Some(last) = top.checked_sub(1) {
                    rows.select_nth_unstable_by(last, most_first);
                }
                for row in rows.drain(top..) {
                    let rest = rest.entry(row.interface).or_default();
                    rest.rows += 1;
                    add_both(&mut rest.counts, row.counts);
                }
            }
            rows.sort_unstable_by(in_order);
            LogTable { by: *by, rows, rest: rest.into_iter().collect() }
        };
        let tables = by.iter().map(table).collect();
        Self { interfaces, attributions, tables }
    }
}

/// Numbers attributions in the order of their processes, so that lines which say the same of an owner are beside each other.
fn by_process<'a>(flows: &mut [Numbered<'a>], attributions: &mut Vec<&'a Arc<Attribution>>) {
    let owners = attributions.iter().map(|attribution| OwnerKey::new(OwnerPart::Process, attribution));
    let mut order: Vec<(OwnerKey, usize)> = owners.zip(0..).collect();
    order.sort_unstable();
    let mut places = vec![0; order.len()];
    for (place, (_, number)) in order.iter().enumerate() {
        places[*number] = place;
    }
    *attributions = order.iter().map(|(_, number)| attributions[*number]).collect();
    for flow in flows {
        flow.attribution = places[flow.attribution];
    }
}

/// The interfaces by name, and by id the place of each among them: a name is used again.
fn named(folded: &[Option<FoldedInterface>]) -> (Vec<FoldedInterface>, Vec<usize>) {
    let mut by_name: BTreeMap<&str, FoldedInterface> = BTreeMap::new();
    for interface in folded.iter().flatten() {
        match by_name.get_mut(&*interface.name) {
            Some(other) if interface.hook == "none" => other.add(interface),
            Some(other) => {
                let mut sum = interface.clone();
                sum.add(other);
                *other = sum;
            }
            None => drop(by_name.insert(&interface.name, interface.clone())),
        }
    }
    let of = |interface: &Option<FoldedInterface>| {
        let name = interface.as_ref().map_or("", |interface| &interface.name);
        by_name.keys().position(|other| *other == name).unwrap_or(0)
    };
    let places = folded.iter().map(of).collect();
    (by_name.into_values().collect(), places)
}

fn conversations<'a>(flows: &[Numbered<'a>]) -> Vec<LogRow<'a>> {
    let row = |Numbered { flow, interface, attribution }: &Numbered<'a>| LogRow {
        interface: *interface,
        subject: Subject::Flow(&flow.key, *attribution),
        counts: flow.counts,
    };
    flows.iter().map(row).collect()
}

fn remotes<'a>(flows: &[Numbered<'a>]) -> Vec<LogRow<'a>> {
    let mut sums: HashMap<(usize, Option<IpAddr>), [Count; 2]> = HashMap::new();
    for Numbered { flow, interface, .. } in flows {
        add_both(sums.entry((*interface, flow.key.remote_address())).or_default(), flow.counts);
    }
    let row =
        |((interface, address), counts)| LogRow { interface, subject: Subject::Remote(address), counts };
    sums.into_iter().map(row).collect()
}

fn ports<'a>(flows: &[Numbered<'a>], services: &Services) -> Vec<LogRow<'a>> {
    let mut sums: HashMap<(usize, Kind, Option<u16>), [Count; 2]> = HashMap::new();
    for Numbered { flow, interface, .. } in flows {
        let port = services.service_port(&flow.key);
        add_both(sums.entry((*interface, flow.key.kind, port)).or_default(), flow.counts);
    }
    let row =
        |((interface, kind, port), counts)| LogRow { interface, subject: Subject::Port(kind, port), counts };
    sums.into_iter().map(row).collect()
}

fn of_interfaces<'a>(interfaces: &[FoldedInterface]) -> Vec<LogRow<'a>> {
    let rows =
        interfaces.iter().enumerate().filter(|(_, interface)| !interface.rows.iter().all(Count::is_zero));
    let row = |(place, interface): (usize, &FoldedInterface)| LogRow {
        interface: place,
        subject: Subject::Interface,
        counts: interface.rows,
    };
    rows.map(row).collect()
}

fn owners<'a>(
    flows: &[Numbered<'a>],
    part: OwnerPart,
    attributions: &[&Arc<Attribution>],
) -> Vec<LogRow<'a>> {
    // Attributions are few: the conversations are gone through with numbers alone.
    let mut by_attribution: HashMap<(usize, usize), [Count; 2]> = HashMap::new();
    for Numbered { flow, interface, attribution } in flows {
        add_both(by_attribution.entry((*interface, *attribution)).or_default(), flow.counts);
    }
    let mut sums: HashMap<(usize, OwnerKey), (Common, [Count; 2])> = HashMap::new();
    for ((interface, attribution), counts) in by_attribution {
        let attribution = attributions[attribution];
        let common = attribution.common();
        match sums.entry((interface, OwnerKey::new(part, attribution))) {
            hashbrown::hash_map::Entry::Occupied(mut sum) => {
                let (known, sum) = sum.get_mut();
                known.meet(&common);
                add_both(sum, counts);
            }
            hashbrown::hash_map::Entry::Vacant(sum) => drop(sum.insert((common, counts))),
        }
    }
    let row = |((interface, key), (common, counts))| LogRow {
        interface,
        subject: Subject::Owner(key, Box::new(common)),
        counts,
    };
    sums.into_iter().map(row).collect()
}

/// Those that brought more first; of equals the one that is first in order.
fn most_first(one: &LogRow<'_>, other: &LogRow<'_>) -> Ordering {
    let bytes = |row: &LogRow<'_>| row.counts[0].bytes.saturating_add(row.counts[1].bytes);
    bytes(other).cmp(&bytes(one)).then_with(|| in_order(one, other))
}

/// The order of lines: the same from interval to interval, for what is like what was a while ago takes little room.
fn in_order(one: &LogRow<'_>, other: &LogRow<'_>) -> Ordering {
    one.interface.cmp(&other.interface).then_with(|| match (&one.subject, &other.subject) {
        (Subject::Flow(one, first), Subject::Flow(other, second)) => first.cmp(second).then(one.cmp(other)),
        (Subject::Owner(one, _), Subject::Owner(other, _)) => one.cmp(other),
        (Subject::Remote(one), Subject::Remote(other)) => one.cmp(other),
        (Subject::Port(one, first), Subject::Port(other, second)) => (one, first).cmp(&(other, second)),
        _ => Ordering::Equal,
    })
}
