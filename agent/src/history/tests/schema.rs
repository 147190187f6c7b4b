//! docs/history.schema.json and docs/timeline.schema.json against what is written.

use serde_json::Value;

use super::*;
use crate::{
    documents::Schema,
    flow::names::Names,
    history::{
        HistoryFormat,
        timeline::{TimelineOptions, write_timeline},
        write_tables,
    },
    report::ReportContext,
};

const TABLES: &str = include_str!("../../../../docs/history.schema.json");
const TIMELINE: &str = include_str!("../../../../docs/timeline.schema.json");

/// What a log with everything that can be said is: several hosts, gaps, names that are not UTF-8, conversations in no row.
fn files() -> [String; 3] {
    let intervals = [vec![(1, 10, 20), (3, 100, 0), (2, 5, 5)], vec![(4, 7, 0), (8, 1, 1)], vec![]];
    let strange =
        |file: String| file.replace("\"command\":\"p1\"", "\"command\":\"\\\\xff\",\"command_hex\":\"ff\"");
    let elsewhere = |file: String| file.replace("\"host\":\"web\"", "\"host\":\"db\"");
    [
        strange(log(&intervals[..1], 1)),
        // Numbers 2 and 3 are missing.
        log(&intervals[1..], 4).replace("\"run\":\"r\"", "\"run\":\"s\""),
        elsewhere(log(&intervals, 1)),
    ]
}

fn question(period: Period) -> LogQuestion {
    LogQuestion { by: groupings(), step: Some(20_000), period, ..LogQuestion::default() }
}

fn request(top: Option<usize>) -> ReportRequest {
    ReportRequest { by: groupings(), top, format: ReportFormat::Json, ..ReportRequest::default() }
}

fn names() -> Names {
    let hosts = [("192.0.2.1".parse().unwrap(), "peer.example".into())].into_iter().collect();
    Names { hosts, ..Names::default() }
}

fn context(names: &Names, resolve: bool) -> ReportContext<'_> {
    ReportContext { started: std::time::SystemTime::UNIX_EPOCH, names, resolve, width: 80 }
}

fn tables(question: &LogQuestion, top: Option<usize>, resolve: bool, files: &[String]) -> Value {
    let (mut out, names) = (Vec::new(), names());
    let answer = answer(question, files);
    let context = context(&names, resolve);
    write_tables(&mut out, HistoryFormat::Json, &answer, &request(top), &context, &TimeZone::UTC).unwrap();
    serde_json::from_slice(&out).unwrap()
}

fn timeline(
    question: &LogQuestion,
    by: Option<GroupBy>,
    files: &[String],
    format: HistoryFormat,
    resolve: bool,
) -> String {
    let (mut out, names) = (Vec::new(), names());
    let answer = answer(question, files);
    let options = TimelineOptions { step: 20_000, fit: false, offset: 0, by };
    let context = context(&names, resolve);
    write_timeline(&mut out, format, &answer, &options, &request(Some(2)), &context, &TimeZone::UTC).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn tables_are_valid() {
    let schema = Schema::new(TABLES);
    let everything = question(Period::default());
    for resolve in [false, true] {
        for top in [None, Some(2)] {
            let document = tables(&everything, top, resolve, &files());
            schema.check(&document);
            assert_eq!(document["hosts"], serde_json::json!(["db", "web"]));
            assert_eq!(document["gaps"][0]["missing_intervals"], 2);
            assert_eq!(document["command"].to_string().contains("\"key_hex\":\"ff\""), top.is_none());
            assert_eq!(document["flows"][0].get("remote_name").is_some(), resolve);
        }
    }
    let at = |text: &str| Some(text.parse().unwrap());
    let nothing = Period { from: at("2020-01-01T00:00:00Z"), to: at("2020-01-01T01:00:00.5Z") };
    let document = tables(&question(nothing), None, false, &files());
    schema.check(&document);
    assert_eq!((&document["start"], &document["intervals"]), (&Value::Null, &Value::from(0)));
}

#[test]
fn timelines_are_valid() {
    let schema = Schema::new(TIMELINE);
    for by in [None, Some("flow"), Some("command"), Some("remote")] {
        let by: Option<GroupBy> = by.map(|by| by.parse().unwrap());
        let question =
            LogQuestion { by: vec![by.unwrap_or(GroupBy::Process)], ..question(Period::default()) };
        let document = timeline(&question, by, &files(), HistoryFormat::Json, true);
        let document: Value = serde_json::from_str(&document).unwrap();
        schema.check(&document);
        assert!(document["points"].as_array().unwrap().len() > 1);
        assert_eq!(document["by"], by.map_or(Value::Null, |by| by.to_string().into()));
    }
}

#[test]
fn the_schemas_refuse_what_is_no_answer() {
    let optional = |place: &str, field: &str| {
        // Only what is not UTF-8 has bytes beside its text.
        field.ends_with("_hex")
            || place.is_empty() && (field == "flows" || groupings().iter().any(|by| by.to_string() == field))
    };
    let everything = question(Period::default());
    let (schema, document) = (Schema::new(TABLES), tables(&everything, None, false, &files()));
    let other = format!("/port/{}", document["port"].as_array().unwrap().len() - 1);
    assert_eq!(document.pointer(&other).unwrap()["other"], true);
    let places = ["", "/flows/0", "/port/0", "/remote/0", "/total", "/interfaces/0", "/gaps/0", &other];
    schema.check_fields(&document, &places, optional);

    let by = "port".parse().unwrap();
    let question = LogQuestion { by: vec![by], ..everything };
    let document = timeline(&question, Some(by), &files(), HistoryFormat::Json, false);
    let document = serde_json::from_str(&document).unwrap();
    Schema::new(TIMELINE).check_fields(&document, &["", "/points/0", "/interfaces/0"], optional);
}

#[test]
fn people_see_names_of_hosts_and_programs_addresses() {
    let by: GroupBy = "remote".parse().unwrap();
    let question = LogQuestion { by: vec![by], ..question(Period::default()) };
    let drawn = |format, resolve| timeline(&question, Some(by), &files(), format, resolve);
    for format in [HistoryFormat::Text, HistoryFormat::Svg] {
        let [numbers, names] = [false, true].map(|resolve| drawn(format, resolve));
        assert!(numbers.contains("192.0.2.1") && !numbers.contains("peer.example"), "{numbers}");
        assert!(!names.contains("192.0.2.1 ") && names.contains("peer.example"), "{names}");
    }
    for format in [HistoryFormat::Json, HistoryFormat::Csv] {
        assert_eq!(drawn(format, false), drawn(format, true));
    }
}
