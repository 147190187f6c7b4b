//! The books: every tick is added to them, and they are read whenever somebody asks.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use flowtally_common::Count;
use hashbrown::HashMap;

use super::{
    page::{
        InterfaceAmounts, MetricsHealth, MetricsPage, MetricsTraffic, PageInterface, PageKind, PageSeries,
    },
    series::{InterfaceNumber, SeriesBook, SeriesCounts, add_both},
    settings::{MetricsBy, MetricsSettings},
    subject::{MetricSubject, interface_label},
};
use crate::{
    flow::{
        interval::{Difference, InterfaceInterval, RowInterval},
        ledger::IntervalView,
        row::InterfaceId,
        services::Services,
        snapshot::{InterfaceView, Reconciliation},
    },
    model::{owner::Attribution, protocol::Kind},
};

/// What was brought by owner: interfaces and attributions are few, conversations are many.
type ByAttribution = HashMap<(InterfaceNumber, *const Attribution), (Arc<Attribution>, SeriesCounts)>;
/// What was brought by what a kind of series is of.
type BySubject = HashMap<(InterfaceNumber, MetricSubject), SeriesCounts>;

/// All counters since the agent began.
#[derive(Debug)]
pub struct MetricsBooks {
    settings: MetricsSettings,
    services: Services,
    interfaces: BTreeMap<InterfaceNumber, InterfaceBook>,
    by_name: HashMap<String, InterfaceNumber>,
    next: InterfaceNumber,
    kinds: Vec<(MetricsBy, SeriesBook)>,
    late_ticks: u64,
}

#[derive(Debug)]
struct InterfaceBook {
    name: String,
    amounts: InterfaceAmounts,
    is_attached: bool,
    is_degraded: bool,
    /// When it was last attached or brought something.
    seen: Duration,
}

impl MetricsBooks {
    /// Nothing yet.
    #[must_use]
    pub fn new(settings: MetricsSettings, services: Services) -> Self {
        let mut books = Self {
            settings: MetricsSettings { by: Vec::new(), ..settings.clone() },
            services,
            interfaces: BTreeMap::new(),
            by_name: HashMap::new(),
            next: 0,
            kinds: Vec::new(),
            late_ticks: 0,
        };
        books.set(settings);
        books
    }

    /// Other settings, from the next tick on. A kind that is new begins with all that there has been as `retired`.
    pub fn set(&mut self, settings: MetricsSettings) {
        let Self { interfaces, kinds, .. } = self;
        kinds.retain(|(by, _)| settings.by.contains(by));
        for by in &settings.by {
            if kinds.iter().all(|(known, _)| known != by) {
                let before = interfaces.iter().map(|(number, book)| (*number, book.amounts.rows));
                kinds.push((*by, SeriesBook::new(before)));
            }
        }
        kinds.sort_unstable_by_key(|(by, _)| *by);
        self.settings = settings;
    }

    /// Adds the tick that has just been closed.
    pub fn tick(&mut self, interval: &IntervalView<'_>) {
        self.late_ticks += u64::from(interval.is_late());
        self.add(interval.end(), &interval.interfaces(), interval.rows());
    }

    /// How many intervals came late.
    #[must_use]
    pub const fn late_ticks(&self) -> u64 {
        self.late_ticks
    }

    /// How many have amounts of their own, and how many may.
    #[must_use]
    pub fn places(&self) -> [usize; 2] {
        [self.kinds.iter().map(|(_, kind)| kind.len()).sum(), self.kinds.len() * self.settings.top]
    }

    pub(super) fn add<'a>(
        &mut self,
        now: Duration,
        interfaces: &[InterfaceInterval],
        rows: impl Iterator<Item = RowInterval<'a>>,
    ) {
        let mut numbers = self.take_interfaces(now, interfaces);
        let mut by_attribution = ByAttribution::new();
        let mut others: Vec<BySubject> = self.kinds.iter().map(|_| BySubject::new()).collect();
        let has_owners = self.kinds.iter().any(|(by, _)| is_by_owner(*by));
        for RowInterval { key, owner, counts } in rows {
            if counts.iter().all(Count::is_zero) {
                continue;
            }
            let Some(number) = self.number_of(now, key.interface, interfaces, &mut numbers) else { continue };
            let Some(book) = self.interfaces.get_mut(&number) else { continue };
            book.seen = now;
            if matches!(key.kind, Kind::Unparsed(_)) {
                for count in counts {
                    book.amounts.unparsed.add(count);
                }
                continue;
            }
            add_both(&mut book.amounts.rows, counts);
            if has_owners {
                let sum = by_attribution.entry((number, Arc::as_ptr(owner)));
                let (_, sum) = sum.or_insert_with(|| (Arc::clone(owner), SeriesCounts::default()));
                add_both(sum, counts);
            }
            for ((by, _), sums) in self.kinds.iter().zip(&mut others) {
                let subject = match by {
                    MetricsBy::Remote => MetricSubject::Remote(key.remote_address()),
                    MetricsBy::Port => MetricSubject::Port(key.kind, self.services.service_port(key)),
                    MetricsBy::Process | MetricsBy::Container | MetricsBy::User => continue,
                };
                add_both(sums.entry((number, subject)).or_default(), counts);
            }
        }
        let MetricsSettings { top, retention, .. } = self.settings;
        for ((by, book), mut brought) in self.kinds.iter_mut().zip(others) {
            for ((number, _), (owner, counts)) in &by_attribution {
                if let Some(subject) = MetricSubject::of_owner(*by, owner) {
                    add_both(brought.entry((*number, subject)).or_default(), *counts);
                }
            }
            book.add(now, brought, top, retention);
        }
        self.forget_interfaces(now);
    }

    /// Adds what the interfaces got. The result is their numbers by id, of those that are there or got something.
    fn take_interfaces(
        &mut self,
        now: Duration,
        intervals: &[InterfaceInterval],
    ) -> HashMap<InterfaceId, InterfaceNumber> {
        for book in self.interfaces.values_mut() {
            book.is_attached = false;
        }
        let mut numbers = HashMap::new();
        for interval in intervals {
            let InterfaceInterval { view, counted, kernel, untracked, repeated, left_out, .. } = interval;
            let is_attached = view.hook != "none";
            if !is_attached && is_nothing(interval) {
                // An interface that is gone for long is in no book.
                continue;
            }
            let number = self.open(now, &view.name);
            numbers.insert(view.id, number);
            let Some(book) = self.interfaces.get_mut(&number) else { continue };
            book.seen = now;
            book.is_attached |= is_attached;
            book.is_degraded = !view.degraded.is_empty();
            let amounts = &mut book.amounts;
            add_both(&mut amounts.counted, *counted);
            add_both(&mut amounts.kernel, *kernel);
            amounts.untracked.add(*untracked);
            amounts.left_out.add(*left_out);
            amounts.repeated.bytes = amounts.repeated.bytes.saturating_add(repeated.bytes);
            amounts.repeated.packets = amounts.repeated.packets.saturating_add(repeated.packets);
            amounts.residue = residues(view);
        }
        numbers
    }

    /// The number of an interface that a row came to.
    fn number_of(
        &mut self,
        now: Duration,
        id: InterfaceId,
        intervals: &[InterfaceInterval],
        numbers: &mut HashMap<InterfaceId, InterfaceNumber>,
    ) -> Option<InterfaceNumber> {
        if let Some(number) = numbers.get(&id) {
            return Some(*number);
        }
        // It is gone, and something that was put off came late.
        let interval = intervals.iter().find(|interval| interval.view.id == id)?;
        let number = self.open(now, &interval.view.name);
        numbers.insert(id, number);
        Some(number)
    }

    /// The number of an interface, which is new or known.
    fn open(&mut self, now: Duration, name: &str) -> InterfaceNumber {
        if let Some(number) = self.by_name.get(name) {
            return *number;
        }
        let number = self.next;
        self.next += 1;
        let book = InterfaceBook {
            name: name.to_owned(),
            amounts: InterfaceAmounts::default(),
            is_attached: false,
            is_degraded: false,
            seen: now,
        };
        self.interfaces.insert(number, book);
        self.by_name.insert(name.to_owned(), number);
        for (_, kind) in &mut self.kinds {
            kind.open(number);
        }
        number
    }

    /// An interface that is gone for longer than the retention is not told of any more. If it comes back its counters begin anew.
    fn forget_interfaces(&mut self, now: Duration) {
        let retention = self.settings.retention;
        let is_over = |book: &InterfaceBook| !book.is_attached && now.saturating_sub(book.seen) > retention;
        let over: Vec<_> =
            self.interfaces.iter().filter(|(_, book)| is_over(book)).map(|(number, _)| *number).collect();
        for number in over {
            if let Some(book) = self.interfaces.remove(&number) {
                self.by_name.remove(&book.name);
            }
            for (_, kind) in &mut self.kinds {
                kind.forget(number);
            }
        }
    }

    /// All of it, as it is now.
    #[must_use]
    pub fn page(&self, health: MetricsHealth) -> MetricsPage {
        MetricsPage { traffic: self.traffic(), health }
    }

    pub(super) fn traffic(&self) -> MetricsTraffic {
        let name = |number: InterfaceNumber| {
            self.interfaces.get(&number).map(|book| interface_label(&book.name)).unwrap_or_default()
        };
        let mut interfaces: Vec<_> = self.interfaces.values().map(InterfaceBook::shown).collect();
        interfaces.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let kind = |(by, book): &(MetricsBy, SeriesBook)| {
            let shown = book.shown().map(|(number, subject, counts)| PageSeries {
                interface: name(number),
                labels: subject.labels(),
                counts,
            });
            let mut series: Vec<_> = shown.collect();
            series.sort_unstable_by(|one, other| {
                (&one.interface, &one.labels).cmp(&(&other.interface, &other.labels))
            });
            let rests = book.rests().map(|(number, rest)| (name(number), rest)).collect();
            PageKind { by: *by, series, rests }
        };
        MetricsTraffic { interfaces, kinds: self.kinds.iter().map(kind).collect() }
    }
}

impl InterfaceBook {
    fn shown(&self) -> PageInterface {
        let Self { name, amounts, is_attached, is_degraded, .. } = self;
        PageInterface {
            name: interface_label(name),
            amounts: *amounts,
            is_attached: *is_attached,
            is_degraded: *is_degraded,
        }
    }
}

const fn is_by_owner(by: MetricsBy) -> bool {
    matches!(by, MetricsBy::Process | MetricsBy::Container | MetricsBy::User)
}

fn is_nothing(interval: &InterfaceInterval) -> bool {
    let InterfaceInterval { counted, kernel, untracked, repeated, left_out, .. } = interval;
    counted.iter().chain(kernel).chain([untracked, left_out]).all(Count::is_zero)
        && *repeated == Difference::default()
}

/// What the kernel's counters have beyond what was counted, by direction.
fn residues(view: &InterfaceView) -> [Difference; 2] {
    [&view.ingress, &view.egress].map(|Reconciliation { residue_bytes, residue_packets, .. }| Difference {
        bytes: *residue_bytes,
        packets: *residue_packets,
    })
}
