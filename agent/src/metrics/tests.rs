//! What holds of the books, whatever the traffic.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;
use proptest::prelude::*;

use super::{
    MetricsBooks, MetricsBy, MetricsFormat, MetricsHealth, MetricsLog, MetricsPage, MetricsSettings,
    MetricsTable, encode, tick_times,
};
use crate::{
    flow::{
        interval::{Difference, InterfaceInterval, RowInterval},
        row::{InterfaceId, RowKey},
        services::Services,
        snapshot::{InterfaceView, Reconciliation},
    },
    log::fixtures::{Seeded, nobody, owned, row_key},
    model::{
        owner::{Attribution, Reason},
        protocol::Kind,
    },
};

const SECOND: Duration = Duration::from_secs(1);

fn settings(by: &[MetricsBy], top: usize, retention: Duration) -> MetricsSettings {
    MetricsSettings { by: by.to_vec(), top, retention }
}

fn health() -> MetricsHealth {
    let ticks = tick_times();
    ticks.observe(0.003);
    MetricsHealth {
        version: "1.2.3".to_owned(),
        started: SystemTime::UNIX_EPOCH + Duration::from_millis(1_764_500_000_500),
        ticks,
        late_ticks: 1,
        tables: vec![MetricsTable { name: "rows", used: 3, capacity: 4_194_304 }],
        log: Some(MetricsLog { queue: 1, intervals: 2, rows: 3, bytes: 4, failures: 5, is_failing: true }),
        degraded: vec![("owners", true), ("log", false)],
        screens: 2,
        memory_bytes: 45 << 20,
        processor_seconds: 1.5,
    }
}

/// A page's samples: name and labels as they are written, and the value.
fn samples(text: &str) -> BTreeMap<String, String> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let mut all = BTreeMap::new();
    for line in lines {
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(all.insert(series.to_owned(), value.to_owned()).is_none(), "twice: {series}");
    }
    all
}

fn text(books: &MetricsBooks) -> String {
    encode(&Arc::new(books.page(health())), MetricsFormat::OpenMetrics).unwrap()
}

/// The sum of a metric's samples of an interface, by the beginning of its name.
fn sum(samples: &BTreeMap<String, String>, name: &str, interface: &str) -> i128 {
    let wanted = format!("interface=\"{interface}\"");
    let of = |(series, value): (&String, &String)| {
        let labels = series.strip_prefix(name)?.strip_prefix('{')?;
        labels
            .split(',')
            .any(|label| label.trim_end_matches('}') == wanted)
            .then(|| value.parse::<i128>().unwrap())
    };
    samples.iter().filter_map(of).sum()
}

/// Holds a page to all that it has to be.
fn check(samples: &BTreeMap<String, String>, kinds: &[MetricsBy], interfaces: &[String]) {
    for interface in interfaces {
        for unit in ["bytes", "packets"] {
            let of = |what: &str| sum(samples, &format!("flowtally_{what}"), interface);
            let counted = of(&format!("interface_{unit}_total"));
            let rest = of(&format!("interface_untracked_{unit}_total"))
                + of(&format!("interface_unparsed_{unit}_total"))
                + of(&format!("interface_left_out_{unit}_total"))
                + of(&format!("interface_repeated_{unit}"));
            for by in kinds {
                let named = of(&format!("{by}_{unit}_total")) + of(&format!("{by}_retired_{unit}_total"));
                assert_eq!(counted, named + rest, "{by} of {interface} in {unit}");
            }
        }
    }
}

/// A host whose interfaces come and go.
struct Host {
    random: Seeded,
    now: Duration,
    views: Vec<InterfaceView>,
    owners: Vec<Arc<Attribution>>,
}

impl Host {
    fn new(seed: u64, interfaces: u16) -> Self {
        let view = |id| InterfaceView {
            id: InterfaceId(id),
            name: format!("eth{id}"),
            index: u32::from(id) + 2,
            hook: "tcx".to_owned(),
            degraded: Vec::new(),
            ingress: Reconciliation::default(),
            egress: Reconciliation::default(),
        };
        let owners = (1..30).map(|pid| owned(pid, Reason::Open)).chain([nobody(Reason::Forwarded)]);
        Self {
            random: Seeded(seed),
            now: Duration::ZERO,
            views: (0..interfaces).map(view).collect(),
            owners: owners.collect(),
        }
    }

    fn count(&mut self) -> Count {
        let packets = self.random.below(50);
        Count { bytes: packets * (60 + self.random.below(1400)), packets }
    }

    fn tick(&mut self, books: &mut MetricsBooks) {
        self.now += SECOND;
        let mut rows: Vec<(RowKey, Arc<Attribution>, [Count; 2])> = Vec::new();
        for _ in 0..self.random.below(60) {
            let interface = u16::try_from(self.random.below(self.views.len() as u64)).unwrap();
            if self.views[usize::from(interface)].hook == "none" && self.random.below(10) > 0 {
                continue;
            }
            let mut key = row_key(interface, self.random.below(200));
            if self.random.below(20) == 0 {
                key.kind = Kind::Unparsed(1);
            }
            let owner = usize::try_from(self.random.below(self.owners.len() as u64)).unwrap();
            let counts = [self.count(), self.count()];
            rows.push((key, Arc::clone(&self.owners[owner]), counts));
        }
        let mut intervals = Vec::new();
        for place in 0..self.views.len() {
            if self.random.below(40) == 0 {
                let hook = &mut self.views[place].hook;
                *hook = if hook == "none" { "tcx" } else { "none" }.to_owned();
            }
            let is_there = self.views[place].hook != "none";
            let mut all = Count::default();
            let of_this = rows.iter().filter(|(key, ..)| usize::from(key.interface.0) == place);
            of_this.flat_map(|(.., counts)| counts).for_each(|count| all.add(*count));
            let amount = |host: &mut Self| if is_there { host.count() } else { Count::default() };
            let (untracked, left_out, kernel) = (amount(self), amount(self), amount(self));
            all.add(untracked);
            all.add(left_out);
            let mut below = |all: u64, most: u64| {
                let amount = self.random.below(most).cast_signed() - (most / 2).cast_signed();
                if is_there { amount.max(-all.cast_signed()) } else { 0 }
            };
            let repeated = Difference { bytes: below(all.bytes, 2000), packets: below(all.packets, 20) };
            let counted = Count {
                bytes: all.bytes.saturating_add_signed(repeated.bytes),
                packets: all.packets.saturating_add_signed(repeated.packets),
            };
            let ingress = Count { bytes: counted.bytes / 3, packets: counted.packets / 3 };
            let egress =
                Count { bytes: counted.bytes - ingress.bytes, packets: counted.packets - ingress.packets };
            intervals.push(InterfaceInterval {
                view: self.views[place].clone(),
                counted: [ingress, egress],
                kernel: [kernel, kernel],
                untracked,
                repeated,
                left_out,
                filtered: Default::default(),
            });
        }
        let views = rows.iter().map(|(key, owner, counts)| RowInterval { key, owner, counts: *counts });
        books.add(self.now, &intervals, views);
    }
}

fn names(page: &MetricsPage) -> Vec<String> {
    page.traffic.interfaces.iter().map(|interface| interface.name.clone()).collect()
}

/// A tick on one interface, with so many bytes from each process.
fn brought(books: &mut MetricsBooks, second: u64, of: &[(u32, u64)]) {
    let mut host = Host::new(0, 1);
    let rows: Vec<_> = of
        .iter()
        .map(|(pid, bytes)| {
            let counts = [Count { bytes: *bytes, packets: 1 }, Count::default()];
            (row_key(0, u64::from(*pid)), owned(*pid, Reason::Open), counts)
        })
        .collect();
    let bytes = of.iter().map(|(_, bytes)| bytes).sum();
    let interval = InterfaceInterval {
        view: host.views.remove(0),
        counted: [Count::default(), Count { bytes, packets: of.len() as u64 }],
        kernel: Default::default(),
        untracked: Count::default(),
        repeated: Difference::default(),
        left_out: Count::default(),
        filtered: Default::default(),
    };
    let views = rows.iter().map(|(key, owner, counts)| RowInterval { key, owner, counts: *counts });
    books.add(SECOND * u32::try_from(second).unwrap(), &[interval], views);
}

/// What was sent, by process, and of the others and the retired.
fn sent(books: &MetricsBooks) -> BTreeMap<String, u64> {
    let text = text(books);
    let all = samples(&text);
    let process = |(series, value): (&String, &String)| {
        let rest = series.strip_prefix("flowtally_process_")?;
        let (what, labels) = rest.split_once("bytes_total{interface=\"eth0\",direction=\"sent\"")?;
        let label = labels.rsplit('"').nth(1).filter(|label| !label.is_empty());
        Some((format!("{what}{}", label.unwrap_or_default()), value.parse().unwrap()))
    };
    all.iter().filter_map(process).filter(|(_, bytes)| *bytes > 0).collect()
}

fn amounts(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, bytes)| ((*name).to_owned(), *bytes)).collect()
}

#[test]
fn a_place_is_kept_for_the_retention_and_no_longer() {
    let mut books = MetricsBooks::new(settings(&[MetricsBy::Process], 2, SECOND * 10), Services::default());
    brought(&mut books, 1, &[(1, 100), (2, 300), (3, 200)]);
    assert_eq!(sent(&books), amounts(&[("2", 300), ("3", 200), ("other", 100)]));
    // Larger, but the places are taken, and those who have them are not among the largest for the last time.
    brought(&mut books, 2, &[(1, 1000), (4, 900), (2, 1), (3, 1)]);
    assert_eq!(sent(&books), amounts(&[("2", 301), ("3", 201), ("other", 2000)]));
    brought(&mut books, 11, &[(1, 1000), (3, 50)]);
    assert_eq!(sent(&books), amounts(&[("2", 301), ("3", 251), ("other", 3000)]));
    // Ten seconds after its last time one goes, and what it had stays beside the others.
    brought(&mut books, 12, &[(1, 1000)]);
    assert_eq!(sent(&books), amounts(&[("1", 1000), ("3", 251), ("other", 3000), ("retired_", 301)]));
    // It comes back as if it were new.
    brought(&mut books, 30, &[(2, 7)]);
    assert_eq!(sent(&books), amounts(&[("2", 7), ("other", 3000), ("retired_", 1552)]));
}

#[test]
fn fewer_places_and_new_kinds_lose_nothing() {
    let mut books = MetricsBooks::new(settings(&[], 3, SECOND * 60), Services::default());
    brought(&mut books, 1, &[(1, 100)]);
    books.set(settings(&[MetricsBy::Process], 3, SECOND * 60));
    assert_eq!(sent(&books), amounts(&[("retired_", 100)]));
    brought(&mut books, 2, &[(1, 10), (2, 20), (3, 30)]);
    brought(&mut books, 3, &[(2, 1), (3, 1)]);
    books.set(settings(&[MetricsBy::Process], 2, SECOND * 60));
    brought(&mut books, 4, &[(3, 1)]);
    assert_eq!(sent(&books), amounts(&[("2", 21), ("3", 32), ("retired_", 110)]));
}

#[test]
fn a_page_in_both_formats() {
    let mut books = MetricsBooks::new(settings(&[MetricsBy::Process], 2, SECOND * 60), Services::default());
    brought(&mut books, 1, &[(1, 100), (5, 300), (3, 50)]);
    let page = Arc::new(books.page(health()));
    insta::assert_snapshot!("open_metrics", encode(&page, MetricsFormat::OpenMetrics).unwrap());
    insta::assert_snapshot!("plain", encode(&page, MetricsFormat::Plain).unwrap());
    let prometheus = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
    assert_eq!(MetricsFormat::accepted(prometheus), MetricsFormat::OpenMetrics);
    assert_eq!(MetricsFormat::accepted("*/*"), MetricsFormat::Plain);
}

/// Every metric is in the documents, with its type, and there are no others.
#[test]
fn the_documents_have_every_metric() {
    let document = include_str!("../../../docs/metrics.md");
    let mut books = MetricsBooks::new(settings(&MetricsBy::ALL, 2, SECOND * 60), Services::default());
    brought(&mut books, 1, &[(1, 100)]);
    let text = encode(&Arc::new(books.page(health())), MetricsFormat::Plain).unwrap();
    let types = text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' '));
    let types: BTreeMap<_, _> = types.collect();
    let kinds = MetricsBy::ALL.map(MetricsBy::code);
    for (name, of) in &types {
        let written = kinds.iter().fold((*name).to_owned(), |name, kind| {
            name.replace(&format!("flowtally_{kind}_"), "flowtally_KIND_")
        });
        let row =
            document.lines().find(|line| line.starts_with(&format!("| `{written}` |"))).expect(&written);
        assert_eq!(row.split('|').nth(2).map(str::trim), Some(*of), "{row}");
    }
    for row in document.lines().filter_map(|line| line.strip_prefix("| `")) {
        let Some((name, _)) = row.split_once("` |").filter(|(name, _)| name.contains('_')) else { continue };
        let found = kinds.iter().any(|kind| types.contains_key(&*name.replace("KIND", kind)));
        assert!(found, "{name} is in the documents alone");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// The sum over a label is the interface's counter, no series is there twice, none goes down while it is shown, and there are never
    /// more than was said: also where settings change and interfaces come and go.
    #[test]
    fn sums_are_exact_and_series_are_bounded(
        seed: u64,
        interfaces in 1_u16..4,
        top in 1_usize..12,
        retention in 1_u64..20,
        changes in proptest::collection::vec((0_usize..5, 1_usize..12, 0_usize..4), 1..5),
    ) {
        let mut host = Host::new(seed, interfaces);
        let kinds = MetricsBy::ALL;
        let mut now = settings(&kinds, top, SECOND * u32::try_from(retention).unwrap());
        let mut books = MetricsBooks::new(now.clone(), Services::default());
        let mut before = BTreeMap::new();
        for (without, top, ticks) in changes {
            for _ in 0..ticks * 5 {
                host.tick(&mut books);
                let page = books.page(health());
                let text = text(&books);
                let all = samples(&text);
                check(&all, &now.by, &names(&page));
                prop_assert!(page.named() <= now.by.len() * now.top);
                prop_assert_eq!(books.places(), [page.named(), now.by.len() * now.top]);
                let of_traffic = all.keys().filter(|series| series.contains("interface=")).count();
                let most = now.most_named() + names(&page).len() * now.of_interface();
                prop_assert!(of_traffic <= most, "{of_traffic} of {most}");
                for (series, value) in all.iter().filter(|(series, _)| series.contains("_total{")) {
                    if let Some(was) = before.get(series) {
                        let [was, is] = [was, value].map(|value: &String| value.parse::<u64>().unwrap());
                        prop_assert!(is >= was, "{series} went down from {was} to {is}");
                    }
                }
                before = all;
            }
            let by = kinds.iter().enumerate().filter(|(place, _)| *place != without).map(|(_, by)| *by);
            now = settings(&by.collect::<Vec<_>>(), top, now.retention);
            books.set(now.clone());
            // A kind that goes may come back before anybody looks, and begins anew.
            before = samples(&text(&books));
        }
    }
}
