//! What is grouped by owners adds up, in every format, and is as the schema says.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::UdpSocket,
};

use harness::{
    Agent, Amounts, Ended, NetPair, Report,
    frames::{FAR_V4, NEAR_V4},
};
use nix::sys::signal::Signal;
use serde_json::Value;

use crate::{cgroups::Cgroup, told::nothing_is_unknown, workers::Worker};

const SCHEMA: &str = include_str!("../../docs/report.schema.json");
/// What rows are grouped by, and the field that the rows of a group have in common.
const GROUPINGS: [(&str, &str); 5] = [
    ("process", "pid"),
    ("command", "command"),
    ("user", "user"),
    ("container", "container"),
    ("netns", "netns"),
];
/// What an owner is made of, in every format.
const FIELDS: [&str; 9] =
    ["pid", "start_time", "command", "executable", "user", "uid", "container", "netns", "owner_reason"];

fn end(agent: Agent) -> Ended {
    agent.signal(Signal::SIGINT);
    let ended = agent.wait();
    assert!(ended.status.success(), "{}", ended.stderr);
    ended
}

/// Two commands of two users in two cgroups, one command that runs twice, and what is nobody's.
fn traffic(pair: &NetPair, cgroup: &str) {
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    let to = far.local_addr().unwrap();
    for (steps, sent) in [
        (format!("name=twin cgroup={cgroup}"), 100),
        ("name=twin".to_owned(), 200),
        ("name=single uid=65534".to_owned(), 400),
        (format!("name=single cgroup={cgroup} uid=65534"), 800),
    ] {
        let steps = format!("{steps} udp={NEAR_V4}:0 to={to} send={sent}");
        Worker::start(&pair.near.namespace, &steps).end();
    }
    far.send_to(&[0; 300], (NEAR_V4, 9)).unwrap();
}

/// Starts a measurement in each format, lets there be traffic, and ends them.
fn measure() -> [Ended; 3] {
    let mut cgroup = Cgroup::new();
    let path = cgroup.make("system.slice/some.service");
    let pair = NetPair::new();
    let by = GROUPINGS.map(|(by, _)| by).join(" --by ");
    let agents = ["json", "csv", "text"].map(|format| {
        let arguments = format!("report -i near --seconds 3600 --format {format} --by {by} --by flow");
        let mut agent = Agent::start(&pair.near.namespace, &arguments);
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    traffic(&pair, &path);
    agents.map(end)
}

fn amounts(row: &Value) -> Amounts {
    serde_json::from_value(row.clone()).unwrap()
}

fn sum<'a>(rows: impl IntoIterator<Item = &'a Value>) -> Amounts {
    rows.into_iter().map(amounts).fold(Amounts::default(), |sum, row| sum + row)
}

#[test]
fn groups_add_up_and_are_as_the_schema_says() {
    let [json, csv, text] = measure();
    let report = Report::parse(&json.stdout);
    nothing_is_unknown(&report);
    let document: Value = serde_json::from_slice(&json.stdout).unwrap();

    let schema = serde_json::from_str(SCHEMA).unwrap();
    let validator = jsonschema::draft202012::new(&schema).unwrap();
    let errors: Vec<_> =
        validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(errors.is_empty(), "{errors:#?}");

    let rows = |by: &str| document[by].as_array().unwrap_or_else(|| panic!("no {by}: {document:#}"));
    let flows = rows("flows");
    for row in flows {
        for field in FIELDS {
            assert!(row.get(field).is_some(), "no {field}: {row:#}");
        }
    }
    assert_eq!(sum(flows), report.total);
    // What the rows have in common, by the value of that field.
    let fold = |rows: &[Value], field: &str| {
        let mut folded: BTreeMap<String, Amounts> = BTreeMap::new();
        for row in rows {
            *folded.entry(row[field].to_string()).or_default() += amounts(row);
        }
        folded
    };
    let nobody = flows.iter().filter(|row| row["pid"].is_null());
    let reasons = nobody.map(|row| row["owner_reason"].to_string()).collect::<BTreeSet<_>>().len();
    for (by, field) in GROUPINGS {
        let groups = rows(by);
        assert_eq!(sum(groups), report.total, "{by}: {groups:#?}");
        assert_eq!(fold(groups, field), fold(flows, field), "{by}: {groups:#?}");
        let keys: Vec<_> = groups.iter().map(|row| row["key"].as_str().unwrap()).collect();
        assert!(keys.iter().all(|key| !key.is_empty()), "{by}: {keys:?}");
        // Two processes of each command, two users, one unit and the root; and nobody for each of some reasons.
        let owners = match by {
            "process" => 4,
            "netns" => 1,
            _ => 2,
        };
        assert_eq!(keys.len(), owners + reasons, "{by}: {keys:?}");
    }
    assert_eq!(fold(flows, "user")["\"nobody\""].sent_bytes, 400 + 800 + 2 * 42);

    check_csv(&String::from_utf8(csv.stdout).unwrap(), &document);

    let text = String::from_utf8(text.stdout).unwrap();
    for word in ["twin", "single", "nobody", "some.service", "no socket"] {
        assert!(text.contains(word), "no {word}: {text}");
    }
}

/// The same fields with the same values as in the other format, but for rates.
fn check_csv(csv: &str, json: &Value) {
    let mut lines = csv.lines().map(|line| line.split(',').collect::<Vec<_>>());
    let header = lines.next().unwrap();
    for field in FIELDS {
        assert!(header.contains(&field), "no {field}: {header:?}");
    }
    let column = |name: &str| header.iter().position(|field| *field == name).unwrap();
    let compared = ["protocol", "local_port", "remote_port", "sent_bytes", "received_bytes"];
    let compared: Vec<_> = compared
        .into_iter()
        .chain(["command", "user", "uid", "container", "netns", "owner_reason"])
        .collect();
    let mut from_csv: Vec<Vec<String>> = lines
        .filter(|line| line[column("by")] == "flow")
        .map(|line| compared.iter().map(|name| line[column(name)].to_owned()).collect())
        .collect();
    let plain = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let flows = json["flows"].as_array().unwrap();
    let mut from_json: Vec<Vec<String>> =
        flows.iter().map(|row| compared.iter().map(|name| plain(&row[name])).collect()).collect();
    from_csv.sort();
    from_json.sort();
    assert_eq!(from_csv, from_json, "{csv}");
}
