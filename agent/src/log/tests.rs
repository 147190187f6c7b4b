//! What was handed in is what the lines say: in any order of ticks, bounds, failures and clocks.

use proptest::prelude::*;

use super::{
    clock::Leap,
    fixtures::{SECOND, Sums, World, identity},
    *,
};
use crate::{documents::Schema, flow::services::Services};

fn settings(granularities: &[Granularity], top: Option<usize>) -> LogSettings {
    LogSettings { granularities: granularities.to_vec(), top, ..LogSettings::default() }
}

fn add(sums: &mut Sums, block: &LogBlock) {
    let text = std::str::from_utf8(&block.text).unwrap();
    let lines: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect(line)).collect();
    assert_eq!((block.lines, block.rows), (lines.len() as u64, lines.len() as u64 - 1));
    sums.add_interval(&lines[0], &lines[1..]);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn every_granularity_adds_up(
        seed: u64,
        top in prop::option::of(0_usize..20),
        max_flows in prop::sample::select(vec![1_usize, 7, 50, 10_000]),
        length in 1_u64..12,
        interfaces in 1_u16..4,
        refusals: u64,
    ) {
        let mut world = World::new(seed, interfaces, 60);
        let mut intervals = LogIntervals::new(SECOND * u32::try_from(length).unwrap(), SECOND, max_flows);
        let (identity, settings) = (identity(), settings(&Granularity::ALL, top));
        let encoder = LogEncoder { identity: &identity, settings: &settings };
        let services = Services::parse("https 443/tcp\n");
        let (mut sums, mut number, mut refusals) = (Sums::default(), 0, refusals);
        let mut carried: Option<Box<LogFold>> = None;
        let mut write = |fold: Box<LogFold>, sums: &mut Sums| {
            number += fold.carried() + 1;
            add(sums, &encoder.interval(number, &fold, &services));
        };
        for _ in 0..40 {
            world.tick(&mut intervals, &mut |fold| {
                let luck = refusals & 3;
                refusals = refusals.rotate_right(2);
                match luck {
                    // The queue is full.
                    0 => return Err(fold),
                    // The disk is.
                    1 => match &mut carried {
                        Some(carried) => carried.merge(*fold),
                        None => carried = Some(fold),
                    },
                    _ => {
                        let fold = match carried.take() {
                            Some(mut carried) => {
                                carried.merge(*fold);
                                carried
                            }
                            None => fold,
                        };
                        write(fold, &mut sums);
                    }
                }
                Ok(())
            });
        }
        let rest = match (carried, intervals.finish()) {
            (Some(mut carried), Some(last)) => {
                carried.merge(*last);
                Some(carried)
            }
            (carried, last) => carried.or(last),
        };
        if let Some(rest) = rest {
            write(rest, &mut sums);
        }
        sums.check(&world);
        prop_assert!((sums.seconds - 40.0).abs() < 0.5, "{}", sums.seconds);
    }
}

/// Every kind of line is as the schema has it: nothing is missing but what may be, and nothing is there that is not described.
#[test]
fn lines_are_as_the_schema_has_them() {
    let schema = Schema::new(include_str!("../../../docs/log.schema.json"));
    let mut identity = identity();
    identity.host = b"web\xff".as_slice().into();
    identity.filter = Some("tcp".to_owned());
    let mut world = World::new(7, 2, 60);
    let mut intervals = LogIntervals::new(SECOND * 20, SECOND, 100);
    let mut folds = Vec::new();
    let mut send = |fold| {
        folds.push(fold);
        Ok(())
    };
    world.tick(&mut intervals, &mut send);
    // Suspended, and the clock set.
    world.clock.boot += SECOND * 60;
    for _ in 0..30 {
        world.tick(&mut intervals, &mut send);
    }
    folds.extend(intervals.finish());
    let last = folds.pop().unwrap();
    folds.last_mut().unwrap().merge(*last);
    let settings = settings(&Granularity::ALL, Some(20));
    let encoder = LogEncoder { identity: &identity, settings: &settings };
    let start = LogStart { time: world.clock.wall, file: 1, interval: 1, previous: Some("before") };
    let end = LogEnd {
        time: world.clock.wall,
        interval: 3,
        lines: 9,
        rows: 8,
        crc32: 7,
        torn_bytes: 6,
        reason: EndReason::Recovered,
    };
    let mut text = encoder.start(&start).text;
    for fold in &folds {
        text.extend(encoder.interval(3, fold, &Services::default()).text);
    }
    text.extend(encoder.end(&end));
    let optional = |record: &str, place: &str, field: &str| match (record, field) {
        (_, "host_hex" | "command_hex" | "interface_hex")
        | ("start", "top" | "filter" | "previous")
        | ("end", "torn_bytes") => true,
        ("interval", "carried" | "gap_seconds" | "clock_step_seconds") => place.is_empty(),
        ("flow", "protocol" | "local_port" | "remote_port" | "owner_reason")
        | ("port", "protocol")
        | ("other", "of" | "count") => false,
        ("flow" | "process" | "remote" | "port" | "container" | "user", _) => {
            !["schema", "record", "host", "boot", "run", "interval", "interface"].contains(&field)
                && !field.starts_with("sent_")
                && !field.starts_with("received_")
        }
        _ => false,
    };
    let mut seen: std::collections::BTreeMap<String, std::collections::BTreeSet<String>> =
        std::collections::BTreeMap::default();
    for line in std::str::from_utf8(&text).unwrap().lines() {
        let line: serde_json::Value = serde_json::from_str(line).unwrap();
        schema.check(&line);
        let record = line["record"].as_str().unwrap().to_owned();
        let fields = seen.entry(record.clone()).or_default();
        // What was looked at once need not be again.
        let before = fields.len();
        fields.extend(line.as_object().unwrap().keys().cloned());
        if fields.len() > before {
            schema
                .check_fields(&line, &["", "/interfaces/0"], |place, field| optional(&record, place, field));
        }
    }
    let described: serde_json::Value =
        serde_json::from_str(include_str!("../../../docs/log.schema.json")).unwrap();
    for (record, fields) in seen {
        let all = described["$defs"][&record]["properties"].as_object().unwrap();
        let missing: Vec<_> = all
            .keys()
            .filter(|field| {
                !fields.contains(*field) && !field.ends_with("_hex") && *field != "clock_step_seconds"
            })
            .filter(|field| !(record == "process" && *field == "owner_count"))
            .collect();
        assert!(missing.is_empty(), "{record} never has {missing:?}");
    }
}

/// An owner that is found late has what his conversation brought before.
#[test]
fn an_owner_that_is_found_late_takes_along_what_came_earlier() {
    use crate::{flow::interval::RowInterval, model::owner::Reason};
    use fixtures::{nobody, owned, row_key};
    use flowtally_common::Count;

    let key = row_key(0, 1);
    let counts = [Count { bytes: 100, packets: 1 }, Count { bytes: 10, packets: 1 }];
    let mut fold = LogFold::new(std::time::SystemTime::UNIX_EPOCH, Leap::default(), 10, 0);
    let (unknown, first, second) =
        (nobody(Reason::NotLooked), owned(1, Reason::Listener), owned(2, Reason::Accepted));
    let better = owned(1, Reason::Accepted);
    for owner in [&unknown, &unknown, &first, &second, &better] {
        fold.add_rows([RowInterval { key: &key, owner, counts }].into_iter());
    }
    let found: Vec<_> = fold
        .flows
        .iter()
        .map(|flow| (flow.owner.owners[0].id.pid, flow.owner.reason, flow.counts[0].bytes))
        .collect();
    assert_eq!(found, [(1, Reason::Accepted, 400), (2, Reason::Accepted, 100)]);
}

/// Where one ends the next one begins, though the wall clock is slewed: no moment is in two of them, and none in none.
#[test]
fn intervals_lie_one_behind_the_other() {
    let mut world = World::new(5, 1, 12);
    let mut intervals = LogIntervals::new(SECOND * 3, SECOND, 100);
    let (identity, settings) = (identity(), settings(&[Granularity::Interface], None));
    let encoder = LogEncoder { identity: &identity, settings: &settings };
    let mut folds = Vec::new();
    for second in 0..30_u64 {
        world.clock.wall = world.clock.wall + SECOND / 20 * u32::from(second.is_multiple_of(2)) - SECOND / 30;
        world.tick(&mut intervals, &mut |fold| {
            folds.push(fold);
            Ok(())
        });
    }
    folds.extend(intervals.finish());
    let ends: Vec<[serde_json::Value; 2]> = folds
        .iter()
        .map(|fold| {
            let block = encoder.interval(1, fold, &Services::default());
            let line = block.text.split(|byte| *byte == b'\n').next().unwrap();
            let line: serde_json::Value = serde_json::from_slice(line).unwrap();
            [line["start"].clone(), line["end"].clone()]
        })
        .collect();
    assert!(ends.len() >= 10, "{ends:?}");
    for pair in ends.windows(2) {
        assert_eq!(pair[0][1], pair[1][0], "{ends:?}");
    }
}

/// 10,000 intervals, faults from a seed: everything is told once, in memory that does not grow.
#[test]
fn months_go_by_and_nothing_is_lost() {
    let mut world = World::new(3, 2, 12);
    let mut intervals = LogIntervals::new(SECOND, SECOND, 9);
    let (identity, settings) = (identity(), settings(&[Granularity::Flow, Granularity::Process], Some(8)));
    let encoder = LogEncoder { identity: &identity, settings: &settings };
    let services = Services::default();
    let (mut sums, mut number, mut luck) = (Sums::default(), 0, fixtures::Seeded(9));
    let mut carried: Option<Box<LogFold>> = None;
    let mut most = 0;
    for second in 0..10_000 {
        match luck.below(50) {
            0 => world.clock.boot += SECOND * 3600,
            1 => world.clock.wall += SECOND * 7200,
            2 => world.clock.wall -= SECOND * 3600,
            _ => {}
        }
        // Outages of a hundred seconds.
        let is_out = second / 100 % 3 == 1;
        world.tick(&mut intervals, &mut |fold| {
            if luck.below(5) == 0 {
                return Err(fold);
            }
            let mut fold = fold;
            if let Some(mut before) = carried.take() {
                before.merge(*fold);
                fold = before;
            }
            most = most.max(fold.flows());
            if is_out {
                carried = Some(fold);
            } else {
                number += fold.carried() + 1;
                add(&mut sums, &encoder.interval(number, &fold, &services));
            }
            Ok(())
        });
    }
    for fold in carried.into_iter().chain(intervals.finish()) {
        number += fold.carried() + 1;
        add(&mut sums, &encoder.interval(number, &fold, &services));
    }
    sums.check(&world);
    assert!((sums.seconds - 10_000.0).abs() < 0.5, "{}", sums.seconds);
    assert!(most <= 9, "{most}");
}

/// Monotonic time stands still while a host sleeps, the time since boot and the wall clock go on.
#[test]
fn a_host_that_sleeps_ends_the_interval_and_the_next_one_says_for_how_long() {
    const ASLEEP: u32 = 3600;
    let mut world = World::new(5, 1, 6);
    let mut intervals = LogIntervals::new(SECOND * 10, SECOND, 100);
    let (identity, settings) = (identity(), settings(&[Granularity::Flow], None));
    let encoder = LogEncoder { identity: &identity, settings: &settings };
    let mut folds = Vec::new();
    for second in 0..40 {
        if second == 14 {
            world.clock.wall += SECOND * ASLEEP;
            world.clock.boot += SECOND * ASLEEP;
        }
        world.tick(&mut intervals, &mut |fold| {
            folds.push(fold);
            Ok(())
        });
    }
    folds.extend(intervals.finish());
    let (mut sums, mut lines) = (Sums::default(), Vec::new());
    for (number, fold) in (1..).zip(&folds) {
        let block = encoder.interval(number, fold, &Services::default());
        let first = block.text.split(|byte| *byte == b'\n').next().unwrap();
        lines.push(serde_json::from_slice::<serde_json::Value>(first).unwrap());
        add(&mut sums, &block);
    }
    sums.check(&world);
    assert!((sums.seconds - 40.0).abs() < 0.01, "what was slept is not what was counted: {}", sums.seconds);
    let gaps: Vec<f64> = lines.iter().filter_map(|line| line["gap_seconds"].as_f64()).collect();
    assert_eq!(gaps, [f64::from(ASLEEP)]);
    assert!(lines.iter().all(|line| line.get("clock_step_seconds").is_none()), "nobody set the clock");
    let moment = |line: &serde_json::Value, name: &str| {
        humantime::parse_rfc3339(line[name].as_str().unwrap()).unwrap()
    };
    let [before, after] = lines.windows(2).find(|pair| pair[1].get("gap_seconds").is_some()).unwrap() else {
        panic!("an interval before it");
    };
    assert_eq!(moment(after, "start").duration_since(moment(before, "end")).unwrap(), SECOND * ASLEEP);
}
