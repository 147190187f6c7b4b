//! Names that were chosen to do harm, in every format: text obeys none of them, and machines get each back to the byte.

use std::{collections::BTreeSet, sync::Arc};

use serde_json::Value;

use super::{
    fixtures::{ALL, context, flow, interface, owned, owner, traffic},
    print,
};
use crate::{
    documents::Schema,
    flow::{
        group::GroupBy,
        names::Names,
        row::{InterfaceId, RowKey},
        services::Services,
        snapshot::Snapshot,
    },
    format::hostile,
    model::{
        owner::{Attribution, Container, Netns, Owner, Reason, Runtime},
        protocol::Kind,
    },
    report::{ReportContext, ReportFormat, ReportRequest},
};

const PORT: u16 = 1000;

/// A row for each name, whose remote port is its number: its owner, its remote host, its interface and its service are called so, as
/// far as they can be.
fn all() -> (Snapshot, Names) {
    let hostile = hostile::names();
    let number = |row: &RowKey| usize::from(row.remote_port - PORT);
    let owner = |row: &RowKey| {
        let name = hostile[number(row)].clone();
        let owner = Owner {
            command: name.clone().into(),
            executable: Some(name.clone().into()),
            user: Some(name.clone().into()),
            uid: Some(row.remote_port.into()),
            container: Some(Container { runtime: Runtime::Docker, name: name.clone().into() }),
            netns: Some(Netns { inode: Some(row.remote_port.into()), name: name.into() }),
            ..owner(row.remote_port.into(), "")
        };
        Arc::new(Attribution { owners: vec![owner], reason: Reason::Created })
    };
    let mut names = Names::default();
    let mut services = Vec::new();
    let mut rows = Vec::new();
    for (number, name) in hostile.iter().enumerate() {
        let number = u16::try_from(number).unwrap();
        let address = format!("192.0.2.{number}");
        let mut key = flow(Kind::TCP, ("10.0.0.1", 60_000), (&address, PORT + number));
        key.interface = InterfaceId(number);
        names.hosts.insert(address.parse().unwrap(), name.clone().into());
        if is_word(name) {
            services.extend(
                [
                    name,
                    format!(
                        " {}/tcp
",
                        PORT + number
                    )
                    .as_bytes(),
                ]
                .concat(),
            );
        }
        rows.push((key, traffic((1000 + u64::from(number), 1), (0, 0))));
    }
    names.services = Services::parse(&services);
    let mut snapshot = owned(rows, &owner, &names.services);
    let interfaces = (0..).zip(&hostile).map(|(id, name)| interface(id, &String::from_utf8_lossy(name)));
    snapshot.interfaces = interfaces.collect();
    snapshot.interfaces[0].degraded = hostile::texts();
    snapshot.owners_degraded = hostile::texts();
    snapshot.filter = Some(hostile::texts().concat());
    (snapshot, names)
}

/// Whether /etc/services can have it.
fn is_word(name: &[u8]) -> bool {
    !name.is_empty() && !name.iter().any(|byte| byte.is_ascii_whitespace() || *byte == b'#')
}

fn written(format: ReportFormat, by: &[GroupBy], width: usize) -> String {
    let (snapshot, names) = all();
    let request = ReportRequest { format, by: by.to_vec(), top: Some(1000), ..ReportRequest::default() };
    print(&snapshot, &request, &ReportContext { resolve: true, width, ..context(&names) })
}

/// What each grouping by a name calls its groups.
fn expected(by: GroupBy) -> BTreeSet<Vec<u8>> {
    let service =
        |(port, name): (u16, Vec<u8>)| if is_word(&name) { name } else { format!("{port}/tcp").into() };
    let names = hostile::names().into_iter();
    match by {
        GroupBy::Process => (0..)
            .zip(names)
            .map(|(pid, name)| [&name[..], format!(" {}", PORT + pid).as_bytes()].concat())
            .collect(),
        GroupBy::Container => names.map(|name| [b"docker:", &name[..]].concat()).collect(),
        // One without a name has its number.
        GroupBy::Netns => {
            names.map(|name| if name.is_empty() { b"net:[1000]".to_vec() } else { name }).collect()
        }
        // One without a name is not known.
        GroupBy::Interface => names
            .map(|name| {
                if name.is_empty() {
                    b"?".to_vec()
                } else {
                    String::from_utf8_lossy(&name).into_owned().into()
                }
            })
            .collect(),
        GroupBy::Service => (PORT..).zip(names).map(service).collect(),
        _ => names.collect(),
    }
}

const NAMED: [GroupBy; 7] = [
    GroupBy::Process,
    GroupBy::Command,
    GroupBy::User,
    GroupBy::Container,
    GroupBy::Netns,
    GroupBy::Interface,
    GroupBy::Service,
];

#[test]
fn text_obeys_no_name() {
    for width in [20, 80, 100, 250] {
        hostile::assert_harmless(&written(ReportFormat::Text, &ALL, width));
    }
}

#[test]
fn csv_gives_every_name_back() {
    let rows = hostile::of_csv(&written(ReportFormat::Csv, &[GroupBy::Flow], 100));
    let column = |name: &str| rows[0].iter().position(|title| title == name.as_bytes()).unwrap();
    for row in &rows[1..] {
        let port: usize = String::from_utf8(row[column("remote_port")].clone()).unwrap().parse().unwrap();
        let name = &hostile::names()[port - usize::from(PORT)];
        for field in ["command", "executable", "user", "remote_name"] {
            assert_eq!(&row[column(field)], name, "{field}");
        }
        assert_eq!(row[column("container")], [b"docker:", &name[..]].concat());
    }
    assert_eq!(rows.len() - 1, hostile::names().len());
    for by in NAMED {
        let rows = hostile::of_csv(&written(ReportFormat::Csv, &[by], 100));
        assert_eq!(rows[0][1], b"key");
        let keys: BTreeSet<Vec<u8>> = rows[1..].iter().map(|row| row[1].clone()).collect();
        assert!(keys == expected(by), "{by}");
    }
}

#[test]
fn json_gives_every_name_back() {
    let text = written(ReportFormat::Json, &ALL, 100);
    hostile::assert_harmless(&text);
    let report: Value = serde_json::from_str(&text).unwrap();
    let flows = report["flows"].as_array().unwrap();
    assert_eq!(flows.len(), hostile::names().len());
    for row in flows {
        let port = usize::try_from(row["remote_port"].as_u64().unwrap()).unwrap();
        let name = &hostile::names()[port - usize::from(PORT)];
        for field in ["command", "executable", "user", "remote_name"] {
            assert_eq!(&hostile::of_json(row, field), name, "{field}");
        }
        assert_eq!(hostile::of_json(row, "container"), [b"docker:", &name[..]].concat());
    }
    for by in NAMED {
        let rows = report[by.to_string()].as_array().unwrap();
        let keys: BTreeSet<Vec<u8>> = rows.iter().map(|row| hostile::of_json(row, "key")).collect();
        assert!(keys == expected(by), "{by}");
    }
    let reasons: Vec<&str> =
        report["owners_degraded"].as_array().unwrap().iter().map(|reason| reason.as_str().unwrap()).collect();
    assert_eq!(reasons, hostile::texts());
    Schema::new(include_str!("../../../../docs/report.schema.json")).check(&report);
}

#[test]
fn several_owners_are_all_there() {
    let owners: Vec<Owner> = (0..)
        .zip(hostile::names())
        .map(|(pid, name)| Owner { command: name.into(), ..owner(pid, "") })
        .collect();
    let attribution = Arc::new(Attribution { owners, reason: Reason::Open });
    let row = (flow(Kind::TCP, ("10.0.0.1", 1), ("10.0.0.2", 2)), traffic((1, 1), (0, 0)));
    let snapshot = owned(vec![row], &|_| Arc::clone(&attribution), &Services::default());
    let request = ReportRequest { format: ReportFormat::Json, ..ReportRequest::default() };
    let names = Names::default();
    let report: Value = serde_json::from_str(&print(&snapshot, &request, &context(&names))).unwrap();
    let owners = report["flows"][0]["owners"].as_array().unwrap();
    let found: Vec<Vec<u8>> = owners.iter().map(|owner| hostile::of_json(owner, "command")).collect();
    assert_eq!(found, hostile::names());
}
