//! What a ledger is told is what the log says, in whatever order its records are gone through.

use std::{collections::BTreeMap, fmt::Write as _, time::Duration};

use proptest::prelude::*;

use super::{
    super::moment::Period,
    books::{BesideBooks, BooksLimits, ReplayBooks},
    index::{FileIndexing, FoundRecords, IndexError, LogIndex},
    player::{Player, PlayerKey},
    record::{KnownOwners, RecordReading, ReplayedRecord},
};
use crate::{
    filter::Dictionary,
    flow::{ledger::Ledger, row::Counting, services::Services},
    log::Granularity,
};

const LIMITS: BooksLimits = BooksLimits { spacing: 5, size: 1 << 20, rows: 1 << 20 };

/// A row of a test's log.
#[derive(Clone, Debug)]
struct TestRow {
    flow: u16,
    pid: u32,
    sent: u64,
    received: u64,
}

/// An interval of a test's log.
#[derive(Clone, Debug)]
struct TestInterval {
    rows: Vec<TestRow>,
    /// In seconds.
    length: u64,
    /// Intervals that are missing before it.
    missing: u64,
    other: u64,
    untracked: u64,
    unparsed: u64,
}

fn at(second: u64) -> String {
    let at = jiff::Timestamp::from_second(1_800_000_000 + i64::try_from(second).unwrap()).unwrap();
    at.strftime("%Y-%m-%dT%H:%M:%S.000Z").to_string()
}

fn common(record: &str, number: u64) -> String {
    format!(
        "{{\"schema\":\"flowtally.log/1\",\"record\":\"{record}\",\"host\":\"web\",\"boot\":\"b\",\"run\":\"r\",\"interval\":{number}"
    )
}

/// The text of a log in which a missing interval took ten seconds, with rows of flows and of processes.
fn text(intervals: &[TestInterval]) -> String {
    let mut text = common("start", 1) + ",\"granularities\":[\"flow\",\"process\"],\"seconds\":10}\n";
    let (mut number, mut second) = (0, 0);
    for TestInterval { rows, length, missing, other, untracked, unparsed } in intervals {
        number += missing + 1;
        second += missing * 10;
        let mut processes: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
        for row in rows {
            let sum = processes.entry(row.pid).or_default();
            *sum = [sum[0] + row.sent, sum[1] + row.received];
        }
        let sum = [0, 1].map(|way| processes.values().map(|sum| sum[way]).sum::<u64>());
        let counted = sum[0] + sum[1] + other + untracked + unparsed;
        let others = if *other > 0 { 2 } else { 0 };
        let _ = writeln!(
            text,
            "{},\"start\":\"{}\",\"end\":\"{}\",\"seconds\":{length}.000,\"row_counts\":{{\"flow\":{},\"process\":{}{}}},\"late_ticks\":1,\
             \"interfaces\":[{{\"name\":\"eth0\",\"index\":2,\"hook\":\"tcx\",\"sent_bytes\":{},\"sent_packets\":1,\
             \"received_bytes\":{},\"received_packets\":1,\"counted_bytes\":{counted},\"ingress_bytes\":{},\"egress_bytes\":{},\
             \"untracked_bytes\":{untracked},\"unparsed_bytes\":{unparsed}}}]}}",
            common("interval", number),
            at(second),
            at(second + length),
            rows.len(),
            processes.len(),
            if others > 0 { ",\"other\":2" } else { "" },
            sum[0] + other,
            sum[1],
            sum[1] + untracked,
            sum[0] + other + unparsed,
        );
        let owner = |pid: u32| format!("\"command\":\"w{pid}\",\"pid\":{pid},\"owner_reason\":\"open\"");
        for TestRow { flow, pid, sent, received } in rows {
            let _ = writeln!(
                text,
                "{},\"interface\":\"eth0\",{},\"protocol\":\"tcp\",\"local_address\":\"10.0.0.1\",\"local_port\":{flow},\
                 \"remote_address\":\"192.0.2.1\",\"remote_port\":443,\"sent_bytes\":{sent},\"sent_packets\":1,\
                 \"received_bytes\":{received},\"received_packets\":2}}",
                common("flow", number),
                owner(*pid),
            );
        }
        for (pid, [sent, received]) in processes {
            let _ = writeln!(
                text,
                "{},\"interface\":\"eth0\",{},\"sent_bytes\":{sent},\"sent_packets\":1,\"received_bytes\":{received},\
                 \"received_packets\":2}}",
                common("process", number),
                owner(pid),
            );
        }
        if others > 0 {
            for of in ["flow", "process"] {
                let _ = writeln!(
                    text,
                    "{},\"of\":\"{of}\",\"interface\":\"eth0\",\"count\":3,\"sent_bytes\":{other},\"sent_packets\":1,\
                     \"received_bytes\":0,\"received_packets\":0}}",
                    common("other", number),
                );
            }
        }
        second += length;
    }
    text
}

fn found(text: &str, period: &Period, place: usize) -> FoundRecords {
    let mut indexing = FileIndexing::new(period, place);
    indexing.lines(text.as_bytes()).unwrap();
    indexing.finish()
}

fn index(text: &str) -> LogIndex {
    LogIndex::new(vec![found(text, &Period::default(), 0)]).unwrap()
}

/// What was told beside the books.
#[derive(Clone, Debug, Default, PartialEq)]
struct Told(usize);

impl BesideBooks for Told {
    fn size(&self) -> usize {
        100
    }
}

/// A log that is replayed.
struct Replayed {
    text: String,
    index: LogIndex,
    books: ReplayBooks<Told>,
    told: Told,
    owners: KnownOwners,
    rows: Granularity,
}

impl Replayed {
    fn new(text: String, rows: Granularity, limits: BooksLimits) -> Self {
        let index = index(&text);
        let books = ReplayBooks::new(limits, Services::default(), Dictionary::default());
        Self { text, index, books, told: Told::default(), owners: KnownOwners::default(), rows }
    }

    fn read(&mut self, place: usize) -> Result<ReplayedRecord, String> {
        let record = self.index.records[place];
        let begin = usize::try_from(record.offset).unwrap();
        let mut reading = RecordReading::new(&self.index.files[0], self.rows, &mut self.owners);
        reading.lines(&self.text.as_bytes()[begin..begin + usize::try_from(record.length).unwrap()]);
        reading.finish()
    }

    fn go(&mut self, target: usize) {
        if let Some(told) = self.books.turn_to(target).unwrap() {
            self.told = told;
        }
        while self.books.position() < target {
            let place = self.books.position();
            let (at, record) = (self.index.records[place], self.read(place));
            self.books.next(&at, record.ok(), |_| ());
            self.told.0 += 1;
            let told = self.told.clone();
            self.books.keep(|| told);
        }
    }

    fn ledger(&mut self) -> &Ledger {
        self.books.ledger()
    }
}

fn interval() -> impl Strategy<Value = TestInterval> {
    let row = (0_u16..6, 1_u32..4, 0_u64..100_000, 0_u64..100_000)
        .prop_map(|(flow, pid, sent, received)| TestRow { flow, pid, sent, received });
    let amount = || prop_oneof![4 => Just(0), 1 => 1_u64..1000];
    let rows = prop::collection::vec(row, 0..8).prop_map(|mut rows: Vec<TestRow>| {
        // A conversation of an owner has one row.
        rows.sort_by_key(|row| (row.flow, row.pid));
        rows.dedup_by_key(|row| (row.flow, row.pid));
        rows
    });
    (
        rows,
        prop_oneof![3 => Just(10), 1 => 1_u64..3700],
        prop_oneof![6 => Just(0), 1 => 1_u64..400],
        amount(),
        amount(),
        amount(),
    )
        .prop_map(|(rows, length, missing, other, untracked, unparsed)| TestInterval {
            rows,
            length,
            missing,
            other,
            untracked,
            unparsed,
        })
}

/// What all intervals brought: everything, and by process.
fn sums(intervals: &[TestInterval]) -> (u64, BTreeMap<u32, [u64; 2]>) {
    let (mut all, mut processes) = (0, BTreeMap::new());
    for TestInterval { rows, other, untracked, unparsed, .. } in intervals {
        all += other + untracked + unparsed;
        for TestRow { pid, sent, received, .. } in rows {
            all += sent + received;
            let sum: &mut [u64; 2] = processes.entry(*pid).or_default();
            *sum = [sum[0] + sent, sum[1] + received];
        }
    }
    (all, processes)
}

/// What the last interval brought each process, as the shortest window has it.
fn last(ledger: &Ledger) -> BTreeMap<u32, [u64; 2]> {
    let mut processes: BTreeMap<u32, [u64; 2]> = BTreeMap::new();
    for row in ledger.rows(Counting::Once) {
        let recent = [row.traffic.sent.recent[0], row.traffic.received.recent[0]];
        let Some(owner) = row.owner.owners.first().filter(|_| recent != [0, 0]) else { continue };
        let sum = processes.entry(owner.id.pid).or_default();
        *sum = [sum[0] + recent[0], sum[1] + recent[1]];
    }
    processes
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// On and back, step by step and in jumps, with books that are kept and without: everywhere the total is the sum of all records so
    /// far, and the shortest window is the last of them.
    #[test]
    fn totals_are_the_sums_of_the_log_in_every_order(
        intervals in prop::collection::vec(interval(), 1..20),
        moves in prop::collection::vec(any::<prop::sample::Index>(), 1..20),
        size in prop_oneof![Just(0_usize), Just(4000), Just(1 << 20)],
        of_processes: bool,
    ) {
        let rows = if of_processes { Granularity::Process } else { Granularity::Flow };
        let mut replayed = Replayed::new(text(&intervals), rows, BooksLimits { size, ..LIMITS });
        prop_assert_eq!(replayed.index.len(), intervals.len());
        for step in moves {
            let target = step.index(intervals.len()) + 1;
            replayed.go(target);
            prop_assert!(replayed.books.size() <= size.max(1 << 16));
            prop_assert_eq!(replayed.told.0, target);
            let (all, _) = sums(&intervals[..target]);
            let late = target as u64;
            let (_, of_last) = sums(&intervals[target - 1..target]);
            let of_last: BTreeMap<_, _> = of_last.into_iter().filter(|(_, sum)| *sum != [0, 0]).collect();
            let newest = &intervals[target - 1];
            let ledger = replayed.ledger();
            prop_assert_eq!(ledger.total().bytes(), all);
            // What is shorter than the window may not be alone in it.
            if newest.length >= 4 {
                prop_assert_eq!(last(ledger), of_last);
            }
            let overview = ledger.overview(|_| true, Counting::Once);
            prop_assert_eq!(overview.late_ticks, late);
            let [interface] = &overview.interfaces[..] else { panic!() };
            prop_assert_eq!(interface.ingress.counted.bytes + interface.egress.counted.bytes, all);
            let untracked: u64 = intervals[..target].iter().map(|interval| interval.untracked).sum();
            prop_assert_eq!(interface.ingress.untracked.bytes + interface.egress.untracked.bytes, untracked);
        }
    }

    /// No key takes the player anywhere but to a record, and time alone takes it to the last one.
    #[test]
    fn a_player_is_always_at_a_record(
        intervals in prop::collection::vec(interval(), 1..20),
        keys in prop::collection::vec((0_u8..15, 0_u64..100_000), 0..40),
    ) {
        let index = index(&text(&intervals));
        let mut now = Duration::ZERO;
        let mut player = Player::new(&index, now);
        for (key, later) in keys {
            now += Duration::from_millis(later);
            player.advance(&index, now);
            let before = player.target();
            let key = match key {
                10 => PlayerKey::Pause,
                11 => PlayerKey::Back,
                12 => PlayerKey::Forward,
                13 => PlayerKey::Faster,
                14 => PlayerKey::Slower,
                tenth => PlayerKey::Tenth(tenth),
            };
            player.press(key, &index, now);
            prop_assert!((1..=index.len()).contains(&player.target()));
            match key {
                PlayerKey::Back => prop_assert_eq!(player.target(), (before - 1).max(1)),
                PlayerKey::Forward => prop_assert_eq!(player.target(), (before + 1).min(index.len())),
                PlayerKey::Tenth(tenth) => {
                    let covered = index.records.last().unwrap().over * u64::from(tenth) / 10;
                    let record = index.record(player.target()).unwrap();
                    prop_assert!(record.over > covered);
                    let earlier = index.record(player.target() - 1);
                    prop_assert!(earlier.is_none_or(|earlier| earlier.over <= covered));
                }
                _ => prop_assert_eq!(player.target(), before),
            }
            prop_assert!(player.pace() > 0.0);
        }
        if player.is_paused() {
            player.press(PlayerKey::Pause, &index, now);
        }
        let mut steps = 0;
        while let Some(due) = player.due(&index) {
            prop_assert!(player.advance(&index, due));
            steps += 1;
        }
        prop_assert!(player.is_at_end(&index) && steps <= index.len());
    }
}

fn plain(bytes: u64) -> TestInterval {
    let rows = vec![TestRow { flow: 1, pid: 7, sent: bytes, received: 0 }];
    TestInterval { rows, length: 10, missing: 0, other: 0, untracked: 0, unparsed: 0 }
}

#[test]
fn averages_are_of_whole_records() {
    let intervals: Vec<_> = [1000, 2000, 3000, 4000, 5000, 6000].map(plain).into();
    let mut replayed = Replayed::new(text(&intervals), Granularity::Flow, LIMITS);
    replayed.go(6);
    let ledger = replayed.ledger();
    let overview = ledger.overview(|_| true, Counting::Once);
    assert_eq!(overview.window_seconds.map(Duration::from_secs_f64), [10, 10, 40].map(Duration::from_secs));
    let row = ledger.rows(Counting::Once).next().unwrap();
    assert_eq!(row.traffic.sent.recent, [6000, 6000, 3000 + 4000 + 5000 + 6000]);
    // The rate of the best record, not of any second in it.
    assert_eq!((row.traffic.peak, overview.recent_peak.total), (600, 600));
}

#[test]
fn what_is_not_known_is_a_gap_and_no_traffic() {
    let mut intervals: Vec<_> = [1000, 2000].map(plain).into();
    intervals[1].missing = 30;
    let mut replayed = Replayed::new(text(&intervals), Granularity::Flow, LIMITS);
    let [first, second] = replayed.index.records[..] else { panic!() };
    assert_eq!((first.gap, second.gap, second.missing, second.over), (0, 300_000, 30, 320_000));
    replayed.go(2);
    let overview = replayed.ledger().overview(|_| true, Counting::Once);
    assert_eq!((overview.elapsed, overview.total.bytes()), (Duration::from_secs(320), 3000));
    let row = replayed.ledger().rows(Counting::Once).next().unwrap();
    // The row is forgotten in the gap, as on any screen.
    assert_eq!((row.traffic.sent.bytes, row.traffic.sent.recent[0]), (2000, 2000));
}

#[test]
fn a_record_that_is_not_whole_does_not_count() {
    let intervals: Vec<_> = [1000, 2000, 4000].map(plain).into();
    let text = text(&intervals);
    // The second interval has lost its row of a flow.
    let lines: Vec<&str> = text.lines().collect();
    let lost = lines.iter().position(|line| {
        line.contains("\"sent_bytes\":2000,\"sent_packets\":1,\"received_bytes\":0,\"received_packets\":2")
    });
    let left = lines.iter().enumerate().filter(|(at, _)| Some(*at) != lost);
    let text = left.fold(String::new(), |text, (_, line)| text + line + "\n");
    let mut replayed = Replayed::new(text, Granularity::Flow, LIMITS);
    assert_eq!(replayed.read(1), Err("0 of 1 rows of flow are there".to_owned()));
    replayed.go(3);
    assert_eq!(replayed.ledger().total().bytes(), 5000);
}

#[test]
fn totals_that_were_forgotten_are_not_kept() {
    let intervals: Vec<_> = (1..30).map(|number| plain(number * 10)).collect();
    let mut replayed = Replayed::new(text(&intervals), Granularity::Flow, LIMITS);
    replayed.go(10);
    replayed.books.ledger().forget_totals();
    replayed.go(29);
    assert_eq!(replayed.ledger().total().bytes(), (11..30).map(|number| number * 10).sum::<u64>());
    replayed.go(28);
    assert_eq!(replayed.ledger().total().bytes(), sums(&intervals[..28]).0);
}

#[test]
fn files_are_put_in_order_and_hosts_are_kept_apart() {
    let first = text(&[plain(1000)]);
    let second =
        first.replace("\"interval\":1", "\"interval\":2").replace(&at(10), &at(20)).replace(&at(0), &at(10));
    let files = |texts: [&str; 2]| {
        let found = texts.iter().enumerate().map(|(place, text)| found(text, &Period::default(), place));
        LogIndex::new(found.collect())
    };
    let index = files([&second, &first]).unwrap();
    assert_eq!(index.records.iter().map(|record| record.number).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(index.records[1].gap, 0);
    assert_eq!(index.files[index.records[0].file as usize].place, 1);
    assert_eq!(files([&first, &first]).unwrap_err(), IndexError::Twice(1));
    let elsewhere = second.replace("\"web\"", "\"db\"");
    assert_eq!(
        files([&first, &elsewhere]).unwrap_err(),
        IndexError::Hosts(vec!["web".to_owned(), "db".to_owned()])
    );
    assert_eq!(LogIndex::new(Vec::new()).unwrap_err(), IndexError::Empty);
}

#[test]
fn only_records_of_the_time_are_there() {
    let intervals: Vec<_> = (1..10).map(plain).collect();
    let moment = |second| Some(at(second).parse().unwrap());
    let period = Period { from: moment(20), to: moment(50) };
    let index = LogIndex::new(vec![found(&text(&intervals), &period, 0)]).unwrap();
    assert_eq!(index.records.iter().map(|record| record.number).collect::<Vec<_>>(), [3, 4, 5]);
}

#[test]
fn owners_of_one_conversation_have_a_row_each() {
    let both = |first, second| {
        let row = |pid, sent| TestRow { flow: 1, pid, sent, received: 0 };
        TestInterval { rows: vec![row(7, first), row(8, second)], ..plain(0) }
    };
    let mut replayed = Replayed::new(text(&[both(100, 20), both(3000, 400)]), Granularity::Flow, LIMITS);
    replayed.go(2);
    let mut owned: Vec<_> = replayed
        .ledger()
        .rows(Counting::Once)
        .map(|row| (row.owner.owners[0].id.pid, row.traffic.sent.bytes))
        .collect();
    owned.sort_unstable();
    assert_eq!(owned, [(7, 3100), (8, 420)]);
    assert_eq!(replayed.ledger().total().sent.packets, 4);
}
