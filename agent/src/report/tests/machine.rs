//! JSON and CSV: fields, values and errors.

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};

use flowtally_common::Count;
use serde_json::{Value, json};

use super::{
    csv,
    fixtures::{ALL, busy, busy_with_owners, context, crossed, names, owned, owner, troubled},
    json, print,
};
use crate::{
    flow::{
        group::{GroupBy, GroupKey},
        row::{Counting, InterfaceId},
        snapshot::{Reconciliation, Snapshot},
    },
    format::unescape,
    model::owner::{Attribution, Reason},
    report::{ReportContext, ReportFormat, ReportRequest, write},
};

const FIELDS: &str = "interface,protocol,vlan,local_address,local_port,remote_address,remote_port,sent_bytes,\
                      sent_packets,received_bytes,received_packets,sent_bps_2s,sent_bps_10s,sent_bps_40s,\
                      received_bps_2s,received_bps_10s,received_bps_40s,peak_sent_bps,peak_received_bps,peak_bps";

const OWNER: &str = "pid,start_time,command,executable,user,uid,container,netns,owner_reason,owner_count";

fn by(by: &[GroupBy]) -> ReportRequest {
    ReportRequest { by: by.to_vec(), ..ReportRequest::default() }
}

#[test]
fn a_flow_is_flat_and_in_order() {
    let request = ReportRequest { format: ReportFormat::Json, top: Some(1), ..by(&[]) };
    let names = names();
    let report = print(&busy(), &request, &context(&names));
    let expected = r#""flows":[{"interface":"eth0","protocol":"tcp","vlan":0,"local_address":"10.0.0.5","local_port":51234,"remote_address":"192.0.2.10","remote_port":443,"sent_bytes":52428800,"sent_packets":600000,"received_bytes":1610612736,"received_packets":1234567,"sent_bps_2s":52428800,"sent_bps_10s":20971520,"sent_bps_40s":20971520,"received_bps_2s":1610612736,"received_bps_10s":644245094,"received_bps_40s":644245094,"peak_sent_bps":52428800,"peak_received_bps":1610612736,"peak_bps":1663041536,"pid":null,"start_time":null,"command":null,"executable":null,"user":null,"uid":null,"container":null,"netns":null,"owner_reason":null,"owner_count":null,"owners":null,"crossings":[]}]}"#;
    assert!(report.trim_end().ends_with(expected), "{report}");
    assert!(report.starts_with(
        r#"{"schema":"flowtally.report/1","started":"2026-03-01T03:00:00Z","seconds":20.0,"interfaces":[{"name":"eth0","index":2,"hook":"tcx","degraded":[],"ingress":{"counted_bytes":0,"#
    ));
}

/// A socket that several processes have open has several names, and a name may have a comma in it.
#[test]
fn each_name_in_a_key_of_csv_is_the_true_one() {
    let commands = ["a, b", "=1,2", ",", "x\\x2c", "plain", ";=,"];
    let owners: Vec<_> = commands.iter().zip(812..).map(|(command, pid)| owner(pid, command)).collect();
    let attribution = Arc::new(Attribution { owners, reason: Reason::Open });
    let snapshot = owned(busy().rows, &|_| Arc::clone(&attribution), &names().services);
    let request = ReportRequest { format: ReportFormat::Csv, ..by(&[GroupBy::Command]) };
    let names = names();
    let text = print(&snapshot, &request, &context(&names));
    let record = ::csv::Reader::from_reader(text.as_bytes()).into_records().next().unwrap().unwrap();
    assert!(!record[1].contains("=1") && !record[1].contains(";="), "{}", &record[1]);
    let undone: Vec<_> = record[1].split(", ").map(|name| unescape(name).unwrap()).collect();
    assert_eq!(undone, commands.map(|command| command.as_bytes().to_vec()));
}

#[test]
fn frames_without_addresses_have_none() {
    let report = json(&busy(), &by(&[GroupBy::Remote]), &names());
    let find = |array: &str, field: &str, value: &str| {
        let rows = report[array].as_array().unwrap();
        rows.iter().find(|row| row[field] == value).cloned().unwrap()
    };
    assert_eq!(find("flows", "protocol", "arp")["local_address"], Value::Null);
    assert_eq!(find("flows", "protocol", "unparsed")["received_packets"], 3);
    assert_eq!(find("flows", "protocol", "icmp")["local_port"], 8);
    assert_eq!(find("remote", "key", "not IP")["remote_address"], Value::Null);
    assert_eq!(find("remote", "key", "192.0.2.10")["remote_address"], "192.0.2.10");
    assert_eq!(find("remote", "key", "192.0.2.10")["protocol"], Value::Null);
}

#[test]
fn groups_have_keys() {
    let report = json(&busy(), &by(&ALL), &names());
    let keys = |array: &str| {
        let rows = report[array].as_array().unwrap();
        let mut keys: Vec<_> = rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()).collect();
        keys.sort_unstable();
        keys
    };
    assert_eq!(
        keys("port"),
        ["22/tcp", "443/tcp", "53/udp", "arp", "gre", "icmp", "icmpv6", "udp", "unparsed (truncated)"]
    );
    assert_eq!(
        keys("service"),
        ["arp", "domain", "gre", "https", "icmp", "icmpv6", "ssh", "udp", "unparsed"]
    );
    assert_eq!(keys("interface"), ["eth0", "wg0"]);
    assert!(keys("host").contains(&"10.0.0.5 192.0.2.10".to_owned()));
    assert!(keys("subnet").contains(&"192.0.2.0/24".to_owned()));
    assert!(keys("subnet").contains(&"2001:db8:aaaa:bbbb::/64".to_owned()));
    assert!(keys("local").contains(&"not IP".to_owned()));

    let first = |array: &str| report[array][0].clone();
    assert_eq!(first("port")["port"], 443);
    assert_eq!(first("port")["protocol"], "tcp");
    assert_eq!(first("local")["local_address"], "10.0.0.5");
    assert_eq!(first("host")["local_address"], "10.0.0.5");
    assert_eq!(first("host")["remote_address"], "192.0.2.10");
    assert_eq!(first("interface")["interface"], "eth0");
    assert_eq!(first("protocol")["protocol"], "tcp");
}

#[test]
fn owners_have_fields() {
    let owners = [GroupBy::Process, GroupBy::Command, GroupBy::User, GroupBy::Container, GroupBy::Netns];
    let report = json(&busy_with_owners(), &by(&owners), &names());
    let fields = |row: &Value| {
        let names = OWNER.split(',').map(|name| (name.to_owned(), row[name].clone()));
        Value::Object(names.collect())
    };
    let curl = json!({
        "pid": 812, "start_time": "2026-03-01T03:00:01.812Z", "command": "curl", "executable": "/usr/bin/curl",
        "user": "alice", "uid": 1000, "container": "docker:0123456789ab", "netns": "host",
        "owner_reason": "connected", "owner_count": 1,
    });
    assert_eq!(fields(&report["flows"][0]), curl);
    assert_eq!(report["flows"][0]["owners"], Value::Null);
    assert_eq!(fields(&report["process"][0]), curl);
    assert_eq!(report["process"][0]["key"], "curl 812");

    // Of several the first, and all of them.
    for row in [&report["flows"][1], &report["process"][1]] {
        assert_eq!((&row["pid"], &row["owner_count"]), (&json!(813), &json!(2)));
        assert_eq!((&row["owners"][1]["pid"], &row["owners"][1]["uid"]), (&json!(814), &json!(0)));
    }

    // What a group has in common: two processes have one command.
    let row = &report["command"][0];
    assert_eq!((&row["key"], &row["pid"], &row["start_time"]), (&json!("curl"), &Value::Null, &Value::Null));
    assert_eq!((&row["executable"], &row["user"]), (&json!("/usr/bin/curl"), &json!("alice")));
    assert_eq!((&row["owner_reason"], &row["owner_count"]), (&Value::Null, &Value::Null));

    let nobody = report["process"].as_array().unwrap().iter().find(|row| row["key"] == "forwarded").unwrap();
    assert_eq!((&nobody["owner_reason"], &nobody["owner_count"]), (&json!("forwarded"), &json!(0)));
    assert_eq!(nobody["pid"], Value::Null);
    // A group by anything else does not say.
    assert_eq!(
        json(&busy_with_owners(), &by(&[GroupBy::Port]), &names())["port"][0]["owner_reason"],
        Value::Null
    );
}

#[test]
fn two_prefixes_of_subnet_share_one_array() {
    let mut snapshot = busy();
    let wide = GroupBy::Subnet { v4: 8, v6: 32 };
    let key = GroupKey::Subnet(Some(("192.0.0.0".parse().unwrap(), 8)));
    snapshot.groups.push((wide, vec![(key, snapshot.rows[0].1)]));
    let request = by(&[GroupBy::Subnet { v4: 24, v6: 64 }, GroupBy::Local, wide]);
    let report = json(&snapshot, &request, &names());
    let rows = report["subnet"].as_array().unwrap();
    assert_eq!(rows[0]["key"], "192.0.2.0/24");
    assert_eq!(rows.last().unwrap()["key"], "192.0.0.0/8");
}

#[test]
fn names_are_fields_only_when_asked() {
    let names = names();
    let request = ReportRequest { format: ReportFormat::Json, ..by(&[GroupBy::Remote]) };
    let asked = ReportContext { resolve: true, ..context(&names) };
    let report: Value = serde_json::from_str(&print(&busy(), &request, &asked)).unwrap();
    for array in ["flows", "remote"] {
        assert_eq!(report[array][0]["remote_name"], "cdn.example.net");
        assert_eq!(report[array][0]["local_name"], Value::Null);
    }
    let report = json(&busy(), &request, &names);
    assert_eq!(report["flows"][0].get("remote_name"), None);

    let report = print(&busy(), &ReportRequest { format: ReportFormat::Csv, ..by(&[]) }, &asked);
    assert_eq!(report.lines().next().unwrap(), format!("{FIELDS},local_name,remote_name,{OWNER}"));
    assert!(report.lines().nth(1).unwrap().contains(",,cdn.example.net,"));
}

#[test]
fn interfaces_say_what_they_know() {
    let report = json(&troubled(), &by(&[]), &names());
    let eth0 = &report["interfaces"][0];
    assert_eq!(eth0["hook"], "clsact");
    assert_eq!(eth0["degraded"], json!(["TCX needs Linux 6.6 and this is 6.1."]));
    assert_eq!(eth0["ingress"]["residue_bytes"], 1_514);
    assert_eq!(eth0["ingress"]["untracked_packets"], 2_000);
    assert_eq!(eth0["egress"]["follows"], "super-packets");
    assert_eq!(eth0["egress"]["gso_extra_packets"], 1_099_813);
    assert_eq!(report["late_ticks"], 2);
    assert_eq!(report["outside_boundary_bytes"], 4_096);
    assert!(report["filter"].is_null());
    assert_eq!(report["filtered_out_packets"], 10);
    assert_eq!(report["total"]["sent_packets"], 1_120_814);
}

#[test]
fn crossings_are_beside_the_interfaces_and_in_flows() {
    let report = json(&crossed(), &by(&[GroupBy::Protocol]), &names());
    let sent = |bytes: u64, packets: u64| (json!(bytes), json!(packets));
    let of = |crossing: &Value| (crossing["sent_bytes"].clone(), crossing["sent_packets"].clone());
    assert_eq!(report["counting"], "once");
    assert_eq!(report["crossings"][0]["interface"], "br0");
    assert_eq!(of(&report["crossings"][0]), sent(52_428_800 + 734_003_200, 600_000 + 520_000));
    assert_eq!(report["flows"][0]["crossings"].as_array().unwrap().len(), 1);
    let second = &report["flows"][1]["crossings"];
    assert_eq!((&second[0]["interface"], &second[1]["interface"]), (&json!("br0"), &json!("veth1")));
    assert_eq!(
        (of(&second[1]), &second[1]["received_packets"]),
        (sent(734_003_200, 520_000), &json!(180_000))
    );
    assert_eq!(report["flows"][2]["crossings"], json!([]));
    assert_eq!(report["protocol"][0].get("crossings"), None);
    assert_eq!((&report["one_sided_bytes"], &report["one_sided_packets"]), (&json!(64_000), &json!(800)));
    assert_eq!(report["tunnels"], json!([{"interface": "wg0", "bytes": 1_400, "packets": 1}]));
    let each = Snapshot { counting: Counting::PerInterface, ..busy() };
    assert_eq!(json(&each, &by(&[]), &names())["counting"], "per-interface");
}

#[test]
fn a_filter_is_named() {
    let snapshot = Snapshot { filter: Some("port 53".to_owned()), ..busy() };
    assert_eq!(json(&snapshot, &by(&[]), &names())["filter"], "port 53");
}

#[test]
fn csv_of_flows_has_the_flat_columns() {
    for request in [by(&[]), by(&[GroupBy::Flow])] {
        let lines = csv(&busy(), &request, &names());
        assert_eq!(lines[0].join(","), format!("{FIELDS},{OWNER}"));
        assert_eq!(lines.len(), 1 + busy().rows.len());
    }
}

#[test]
fn csv_of_groups_is_stacked() {
    let lines = csv(&busy(), &by(&[GroupBy::Protocol, GroupBy::Flow]), &names());
    assert_eq!(lines[0].join(","), format!("by,key,{FIELDS},{OWNER}"));
    assert_eq!(lines[1][..4], ["protocol", "tcp", "", "tcp"]);
    let flows: Vec<_> = lines.iter().filter(|line| line[0] == "flow").collect();
    assert_eq!(flows.len(), busy().rows.len());
    assert_eq!(flows[0][1..4], ["", "eth0", "tcp"]);
}

/// Every frame that was counted is in one of the parts, also on an interface that no row is of.
#[test]
fn csv_of_interfaces_has_what_they_counted() {
    let count = |bytes, packets| Count { bytes, packets };
    let mut snapshot = busy();
    snapshot.interfaces[0].egress.filtered = count(600, 10);
    snapshot.interfaces[0].ingress.filtered = count(60, 1);
    let mut silent = snapshot.interfaces[0].clone();
    silent.id = InterfaceId(9);
    silent.name = "silent0".to_owned();
    silent.ingress =
        Reconciliation { counted: count(70, 2), filtered: count(70, 2), ..Reconciliation::default() };
    silent.egress = Reconciliation::default();
    snapshot.interfaces.push(silent);
    let lines = csv(&snapshot, &by(&[GroupBy::Interface, GroupBy::Protocol]), &names());
    let cell = |key: &str, name: &str| {
        let column = lines[0].iter().position(|column| column == name).unwrap();
        lines.iter().find(|line| line[1] == key).unwrap()[column].clone()
    };
    assert_eq!(cell("eth0", "filtered_bytes"), "660");
    assert_eq!(
        (cell("eth0", "filtered_ingress_packets"), cell("eth0", "filtered_egress_packets")),
        ("1".to_owned(), "10".to_owned())
    );
    assert_eq!(
        (cell("silent0", "sent_bytes"), cell("silent0", "counted_bytes")),
        ("0".to_owned(), "70".to_owned())
    );
    assert_eq!(
        (cell("silent0", "filtered_bytes"), cell("tcp", "filtered_bytes")),
        ("70".to_owned(), String::new())
    );
}

#[test]
fn a_clock_that_is_wrong_does_not_cost_the_report() {
    let names = names();
    let started = |started| {
        let request = ReportRequest { format: ReportFormat::Json, ..by(&[]) };
        let report = print(&busy(), &request, &ReportContext { started, ..context(&names) });
        serde_json::from_str::<Value>(&report).unwrap()["started"].clone()
    };
    let epoch = SystemTime::UNIX_EPOCH;
    assert_eq!(started(epoch - Duration::from_hours(1)), "1970-01-01T00:00:00Z");
    assert_eq!(started(epoch + Duration::from_secs(1 << 40)), "9999-12-31T23:59:59Z");
}

/// A pipe whose reader has gone.
struct Broken;

impl Write for Broken {
    fn write(&mut self, _: &[u8]) -> io::Result<usize> {
        Err(io::ErrorKind::BrokenPipe.into())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_broken_pipe_stays_one() {
    let mut snapshot = busy();
    // More than any buffer holds, so that the error arrives in the middle as well.
    let row = snapshot.rows[0];
    snapshot.rows.resize(5_000, row);
    for format in [ReportFormat::Text, ReportFormat::Json, ReportFormat::Csv] {
        for top in [Some(1), Some(5_000)] {
            let request = ReportRequest { top, format, ..by(&[GroupBy::Flow]) };
            let names = names();
            let error = write(Broken, &snapshot, &request, &context(&names)).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::BrokenPipe, "{format:?}, {top:?}");
        }
    }
}
