//! Whole logs, read back: whatever is asked, rows and what is in none add up to what the log says that interfaces counted.

mod schema;

use std::fmt::Write as _;

use flowtally_common::Count;
use jiff::{Timestamp, tz::TimeZone};
use proptest::prelude::*;

use super::{
    HistoryFormat,
    answer::LogAnswer,
    moment::Period,
    question::{LogQuestion, NamePattern, RowSelection},
    reading::{GoOn, LogReading},
    tally::LogTally,
    write_tables,
};
use crate::{
    flow::group::GroupBy,
    log::Granularity,
    report::{ReportContext, ReportFormat, ReportRequest},
};

/// A conversation of an interval: a number that says who, and what it sent and received.
type Row = (u8, u16, u16);

const COMMON: &str = "\"host\":\"web\",\"boot\":\"b\",\"run\":\"r\"";

fn amounts([sent, received]: [u64; 2]) -> String {
    format!("\"sent_bytes\":{sent},\"sent_packets\":1,\"received_bytes\":{received},\"received_packets\":1")
}

/// A file with these intervals of ten seconds. Every third conversation is in `other`, and processes are rows of their own.
fn log(intervals: &[Vec<Row>], first: u64) -> String {
    let mut text = format!(
        "{{\"schema\":\"flowtally.log/1\",\"record\":\"start\",{COMMON},\"interval\":{first},\"granularities\":[\"flow\",\"process\"]}}\n"
    );
    for (at, rows) in intervals.iter().enumerate() {
        let number = first + at as u64;
        let moment =
            |second: u64| Timestamp::from_second(1_795_921_200 + i64::try_from(second).unwrap()).unwrap();
        let line = |record: &str, rest: &str| {
            format!(
                "{{\"schema\":\"flowtally.log/1\",\"record\":\"{record}\",{COMMON},\"interval\":{number},{rest}}}\n"
            )
        };
        let owner = |who: u8| {
            format!(
                "\"pid\":{},\"command\":\"p{}\",\"uid\":{},\"owner_reason\":\"open\"",
                who % 7,
                who % 5,
                who % 3
            )
        };
        let (mut flows, mut processes) = (String::new(), String::new());
        let (mut flow_rows, mut other) = (0, [0; 2]);
        let mut all = [Count::default(); 2];
        for (who, sent, received) in rows {
            let bytes = [u64::from(*sent), u64::from(*received)];
            all.iter_mut().zip(bytes).for_each(|(count, bytes)| count.add(Count { bytes, packets: 1 }));
            let interface = if who % 2 == 0 { "eth0" } else { "wg0" };
            if who % 3 == 0 {
                other.iter_mut().zip(bytes).for_each(|(sum, bytes)| *sum += bytes);
            } else {
                flow_rows += 1;
                flows += &line(
                    "flow",
                    &format!(
                        "\"interface\":\"{interface}\",{},\"protocol\":\"tcp\",\"local_address\":\"10.0.0.{}\",\"local_port\":{},\
                     \"remote_address\":\"192.0.2.{}\",\"remote_port\":443,{}",
                        owner(*who),
                        who % 4,
                        40_000 + u16::from(*who),
                        who % 11,
                        amounts(bytes),
                    ),
                );
            }
            processes += &line(
                "process",
                &format!("\"interface\":\"{interface}\",{},{}", owner(*who), amounts(bytes)),
            );
        }
        let counts = format!("\"flow\":{flow_rows},\"process\":{},\"other\":1", rows.len());
        text += &line(
            "interval",
            &format!(
                "\"start\":\"{}\",\"end\":\"{}\",\"seconds\":10,\"row_counts\":{{{counts}}},\"interfaces\":[{{\"name\":\"eth0\",\
             \"counted_bytes\":{},\"counted_packets\":{}}}]",
                moment(number * 10),
                moment(number * 10 + 10),
                all[0].bytes + all[1].bytes,
                all[0].packets + all[1].packets,
            ),
        );
        text += &flows;
        text += &processes;
        text +=
            &line("other", &format!("\"of\":\"flow\",\"interface\":\"eth0\",\"count\":1,{}", amounts(other)));
    }
    text
}

/// The same as CSV, in the columns of all lines together.
fn as_csv(json: &str) -> String {
    const COLUMNS: [&str; 27] = [
        "schema",
        "record",
        "host",
        "boot",
        "run",
        "interval",
        "granularities",
        "start",
        "end",
        "seconds",
        "row_counts",
        "of",
        "interface",
        "pid",
        "command",
        "uid",
        "owner_reason",
        "protocol",
        "local_address",
        "local_port",
        "remote_address",
        "remote_port",
        "count",
        "sent_bytes",
        "sent_packets",
        "received_bytes",
        "received_packets",
    ];
    let mut text = COLUMNS.join(",") + "\n";
    for line in json.lines() {
        let object: serde_json::Map<String, serde_json::Value> = serde_json::from_str(line).unwrap();
        let cells = COLUMNS.map(|column| match object.get(column) {
            None => String::new(),
            Some(serde_json::Value::String(text)) => text.clone(),
            Some(serde_json::Value::Array(words)) => {
                words.iter().map(|word| word.as_str().unwrap()).collect::<Vec<_>>().join(" ")
            }
            Some(serde_json::Value::Object(counts)) => {
                counts.iter().map(|(word, count)| format!("{word}={count}")).collect::<Vec<_>>().join(" ")
            }
            Some(other) => other.to_string(),
        });
        let _ = writeln!(text, "{}", cells.join(","));
    }
    text
}

fn read(question: &LogQuestion, files: &[String]) -> LogTally {
    let mut tally = LogTally::new(question);
    for (number, file) in files.iter().enumerate() {
        let mut part = LogTally::new(question);
        let mut reading = LogReading::new(question, &mut part, &format!("file {number}"));
        let end = file.rfind('\n').map_or(0, |end| end + 1);
        if reading.lines(&file.as_bytes()[..end]).unwrap() == GoOn::Yes {
            reading.rest(&file.as_bytes()[end..]).unwrap();
        }
        reading.finish();
        tally.merge(part);
    }
    tally
}

fn answer(question: &LogQuestion, files: &[String]) -> LogAnswer {
    LogAnswer::new(read(question, files), question, 0, &TimeZone::UTC).unwrap()
}

fn bytes(intervals: &[Vec<Row>]) -> u64 {
    intervals.iter().flatten().map(|(_, sent, received)| u64::from(*sent) + u64::from(*received)).sum()
}

fn groupings() -> Vec<GroupBy> {
    let names = "flow local remote host port service protocol interface process command user container netns subnet/25";
    names.split(' ').map(|name| name.parse().unwrap()).collect()
}

fn rows() -> impl Strategy<Value = Vec<Vec<Row>>> {
    prop::collection::vec(prop::collection::vec((0_u8..40, 1_u16.., 0_u16..), 0..12), 1..8)
}

proptest! {
    #[test]
    fn every_grouping_adds_up_to_the_log(intervals in rows(), cut in 0_usize..8, csv: bool) {
        let cut = cut.min(intervals.len());
        let mut files = vec![log(&intervals[..cut], 1), log(&intervals[cut..], 1 + cut as u64)];
        if csv {
            files = files.iter().map(|file| as_csv(file)).collect();
        }
        let question = LogQuestion { by: groupings(), step: Some(20_000), ..LogQuestion::default() };
        let answer = answer(&question, &files);
        let request = ReportRequest { by: groupings(), format: ReportFormat::Json, ..ReportRequest::default() };
        prop_assert_eq!(answer.snapshot.total.bytes(), bytes(&intervals));
        for table in answer.tables(&request) {
            let rows: u64 = table.rows.iter().map(|row| row.traffic.bytes()).sum();
            let other = table.other.map_or(0, |other| other.traffic.bytes());
            prop_assert_eq!(rows + other, bytes(&intervals), "by {}", table.by);
        }
        let steps: u64 = answer.total_steps.iter().map(|(_, [sent, received])| sent.bytes + received.bytes).sum();
        prop_assert_eq!(steps, bytes(&intervals));
        prop_assert!(answer.gaps.is_empty(), "{:?}", answer.gaps);
        prop_assert_eq!(answer.intervals, intervals.len() as u64);
    }

    #[test]
    fn times_that_meet_share_all_intervals_out(intervals in rows(), at in 0_u64..80) {
        let files = [log(&intervals, 0)];
        let at = Timestamp::from_second(1_795_921_200 + i64::try_from(at / 10 * 10).unwrap()).unwrap();
        let sum = |period| {
            let question = LogQuestion { by: vec![GroupBy::Process], period, ..LogQuestion::default() };
            answer(&question, &files).snapshot.total.bytes()
        };
        let before = sum(Period { from: None, to: Some(at) });
        prop_assert_eq!(before + sum(Period { from: Some(at), to: None }), bytes(&intervals));
    }

    #[test]
    fn what_is_torn_off_is_left_out_and_said(intervals in rows(), at in 0.0_f64..1.0, csv: bool) {
        let whole = log(&intervals, 1);
        let whole = if csv { as_csv(&whole) } else { whole };
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a place in a short text")]
        let at = (whole.len() as f64 * at) as usize;
        let first = whole.lines().take(2).map(|line| line.len() + 1).sum::<usize>();
        let torn = whole[..at.max(first)].to_owned();
        let question = LogQuestion { by: vec![GroupBy::Process, GroupBy::Remote], ..LogQuestion::default() };
        let answer = answer(&question, &[torn]);
        let counted = usize::try_from(answer.intervals).unwrap();
        prop_assert_eq!(answer.snapshot.total.bytes(), bytes(&intervals[..counted]));
        let is_whole = counted == intervals.len();
        prop_assert!(is_whole || counted + 1 >= intervals.len() || !answer.notes.is_empty() || at < whole.len());
    }
}

#[test]
fn an_interval_that_is_not_whole_is_a_gap() {
    let intervals = vec![vec![(1, 10, 20)], vec![(2, 30, 40), (4, 1, 1)], vec![(5, 50, 60)]];
    let whole = log(&intervals, 1);
    let torn: String =
        whole.lines().filter(|line| !line.contains("\"pid\":4")).flat_map(|line| [line, "\n"]).collect();
    let question = LogQuestion { by: vec![GroupBy::Process], ..LogQuestion::default() };
    let answer = answer(&question, &[torn]);
    assert_eq!((answer.intervals, answer.snapshot.total.bytes()), (2, 140));
    assert_eq!((answer.gaps.len(), answer.gaps[0].missing), (1, 1));
    assert!(
        answer
            .notes
            .iter()
            .any(|note| note.contains("interval 2") && note.contains("1 of 2 rows of process are there")),
        "{:?}",
        answer.notes
    );
}

/// A file of an agent that had this filter, whose interface left out so much of each interval.
fn filtered(file: &str, filter: &str, [ingress, egress]: [u64; 2]) -> String {
    let text = file.replace("\"granularities\"", &format!("\"filter\":\"{filter}\",\"granularities\""));
    let all = ingress + egress;
    text.replace(
        "{\"name\":\"eth0\"",
        &format!(
            "{{\"filtered_bytes\":{all},\"filtered_packets\":3,\"filtered_ingress_bytes\":{ingress},\"filtered_ingress_packets\":1,\
             \"filtered_egress_bytes\":{egress},\"filtered_egress_packets\":2,\"left_out_bytes\":{all},\"left_out_packets\":3,\"name\":\"eth0\""
        ),
    )
}

fn written_as(format: HistoryFormat, answer: &LogAnswer, by: GroupBy) -> String {
    let names = crate::flow::names::Names::default();
    let started = std::time::SystemTime::UNIX_EPOCH;
    let context = ReportContext { started, names: &names, resolve: false, width: 200 };
    let request = ReportRequest { by: vec![by], ..ReportRequest::default() };
    let mut out = Vec::new();
    write_tables(&mut out, format, answer, &request, &context, &TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn what_a_filter_left_out_is_told_and_where_it_changed() {
    let intervals = [vec![(2, 10, 20)], vec![(2, 1, 2)], vec![(2, 3, 4)]];
    let files = [
        filtered(&log(&intervals[..2], 1), "udp", [10, 200]),
        filtered(&log(&intervals[2..], 3), "tcp", [1000, 1]),
    ];
    let question = LogQuestion { by: vec![GroupBy::Interface], ..LogQuestion::default() };
    let one = answer(&question, &files[..1]);
    let note = "Filter: the agent counted only what matches 'udp' (--filter). 420 bytes in 6 packets did not match and are in no row.";
    assert!(one.notes.iter().any(|found| found == note), "{:?}", one.notes);

    let both = answer(&question, &files);
    let note = "Filter: the agent's filter (--filter) changed in this time. It counted what matches 'tcp' in 1 interval, what \
                matches 'udp' in 2 intervals. 1421 bytes in 9 packets did not match and are in no row.";
    assert!(both.notes.iter().any(|found| found == note), "{:?}", both.notes);
    let text = written_as(HistoryFormat::Text, &both, GroupBy::Interface);
    assert!(text.contains("In no row of eth0: 1.39 KiB in 9 packets filtered."), "{text}");
    let json: serde_json::Value =
        serde_json::from_str(&written_as(HistoryFormat::Json, &both, GroupBy::Interface)).unwrap();
    let of = |name: &str| json["interfaces"][0][name].as_u64().unwrap();
    assert_eq!(
        (of("filtered_ingress_bytes"), of("filtered_egress_bytes"), of("filtered_bytes")),
        (1020, 401, 1421)
    );
    let csv = written_as(HistoryFormat::Csv, &both, GroupBy::Interface);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let record = reader.records().next().unwrap().unwrap();
    let cell = |name: &str| &record[header.iter().position(|column| column == name).unwrap()];
    assert_eq!((cell("key"), cell("filtered_bytes"), cell("filtered_egress_packets")), ("eth0", "1421", "6"));

    // Intervals without a filter are said too.
    let rest = [log(&intervals[..2], 1), filtered(&log(&intervals[2..], 3), "tcp", [1, 0])];
    let notes = answer(&question, &rest).notes;
    assert!(
        notes
            .iter()
            .any(|note| note
                .contains("It counted everything in 2 intervals, what matches 'tcp' in 1 interval.")),
        "{notes:?}"
    );
    assert_eq!(answer(&question, &[log(&intervals, 1)]).notes, Vec::<String>::new());
}

/// An interface that no row is of has a line of CSV, for what was filtered there.
#[test]
fn interfaces_without_rows_are_in_the_csv() {
    let files = [filtered(&log(&[vec![]], 1), "udp", [10, 200])];
    let question = LogQuestion { by: vec![GroupBy::Interface], ..LogQuestion::default() };
    let csv = written_as(HistoryFormat::Csv, &answer(&question, &files), GroupBy::Interface);
    let lines: Vec<&str> = csv.lines().collect();
    assert!(
        lines.len() == 2
            && lines[1].starts_with("interface,eth0,eth0,")
            && lines[1].ends_with(",210,3,10,1,200,2"),
        "{csv}"
    );
}

#[test]
fn the_same_interval_twice_is_an_error() {
    let file = log(&[vec![(1, 10, 20)]], 1);
    let question = LogQuestion { by: vec![GroupBy::Process], ..LogQuestion::default() };
    let error =
        LogAnswer::new(read(&question, &[file.clone(), file]), &question, 0, &TimeZone::UTC).unwrap_err();
    assert_eq!(
        error.to_string(),
        "interval 1 of host web is in file 0 and in file 1: name each file once, and no copies of it"
    );
}

#[test]
fn what_is_in_no_row_is_not_of_a_selection() {
    let files = [log(&[vec![(1, 10, 20), (3, 100, 0), (2, 5, 5)]], 1)];
    let users = vec![NamePattern::parse("--user", "2").unwrap()];
    let select = RowSelection { users, ..RowSelection::default() };
    let question = LogQuestion { by: vec![GroupBy::Remote], select, ..LogQuestion::default() };
    let answer = answer(&question, &files);
    assert_eq!(answer.snapshot.total.bytes(), 10);
    assert!(
        answer.notes.iter().any(|note| note.starts_with("Other: 100 bytes sent and 0 received")),
        "{:?}",
        answer.notes
    );
    assert_eq!(question.source(GroupBy::Remote, &[Granularity::Flow]).unwrap().rows, Granularity::Flow);
}
