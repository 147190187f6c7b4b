//! Processes and files with names that were chosen to do harm: no text obeys one, and every machine format gives each back.

use std::{
    collections::BTreeMap,
    ffi::OsStr,
    fmt::Write as _,
    fs::{self, File},
    net::UdpSocket,
    os::unix::ffi::OsStrExt as _,
    path::PathBuf,
    process::{self, Command},
};

use harness::{
    Agent, NetPair, PATIENCE,
    agent::program,
    frames::{FAR_V4, NEAR_V4},
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::workers::Worker;

const PORT: u16 = 7000;

/// Names that prctl(2) takes: 15 bytes at most, of which it may have cut the last.
fn names() -> Vec<Vec<u8>> {
    let texts = [
        "\x1b[31mred",
        "\x1b]0;x\x07",
        "\x1bc",
        "bell\x07",
        "over\rwrite",
        "two\nlines",
        "a\tb",
        "\x7f",
        "\u{9b}2J",
        "\u{202e}gpj.exe",
        "\u{2028}",
        "zero\u{200b}width",
        "\u{feff}bom",
        "=cmd|'/C x'!A0",
        "+1",
        "-1",
        "@x",
        "\t=1",
        "＝1",
        "q\"u,o;t'e",
        "a;=1",
        "back\\slash",
        "\\x1b",
        "\\u{202e}",
        "<b>&amp;",
        " blank ",
        "größe",
    ];
    let cut = "cut in a char é".as_bytes()[..15].to_vec();
    let bytes = [b"\xff".to_vec(), b"=\xfe\\".to_vec(), b"\x1b[2J\xc3".to_vec(), cut];
    texts.iter().map(|text| text.as_bytes().to_vec()).chain(bytes).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The way back that docs/formats.md describes.
fn unescape(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(char) = rest.chars().next() {
        rest = &rest[char.len_utf8()..];
        if char != '\\' {
            bytes.extend(char.to_string().bytes());
        } else if let Some(after) = rest.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else if let Some(after) = rest.strip_prefix('x') {
            bytes.push(u8::from_str_radix(&after[..2], 16).unwrap());
            rest = &after[2..];
        } else {
            let (digits, after) = rest.strip_prefix("u{").unwrap().split_once('}').unwrap();
            bytes.extend(
                char::from_u32(u32::from_str_radix(digits, 16).unwrap()).unwrap().to_string().bytes(),
            );
            rest = after;
        }
    }
    bytes
}

/// The name under a key of JSON.
fn name_in(object: &Value, key: &str) -> Vec<u8> {
    let text = object[key].as_str().unwrap_or_else(|| panic!("no {key}: {object}"));
    match object.get(format!("{key}_hex")) {
        None => text.as_bytes().to_vec(),
        Some(digits) => {
            assert_eq!(hex(&unescape(text)), digits.as_str().unwrap());
            unescape(text)
        }
    }
}

#[track_caller]
fn assert_harmless(text: &str) {
    let is_harm = |char: &char| {
        char.is_control() && *char != '\n'
            || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
    };
    assert_eq!(text.chars().find(is_harm), None, "{}", text.escape_debug());
}

#[test]
fn reports_and_pages_obey_no_process_and_name_each() {
    let pair = NetPair::new();
    let near = &pair.near.namespace;
    let far = pair.far.namespace.enter(|| UdpSocket::bind((FAR_V4, 0)).unwrap());
    far.set_read_timeout(Some(PATIENCE)).unwrap();
    let to = far.local_addr().unwrap();
    let agents = ["json", "csv", "text"].map(|format| {
        let by = "--by flow --by command --by process";
        let mut agent = Agent::start(near, &format!("report -i near --seconds 3600 --format {format} {by}"));
        agent.wait_for("flowtally: measuring on ");
        agent
    });
    let workers: Vec<Worker> = (PORT..)
        .zip(names())
        .map(|(port, name)| {
            let steps = format!("name-hex={} udp={NEAR_V4}:{port} to={to} send=100 wait", hex(&name));
            let worker = Worker::start(near, &steps);
            far.recv(&mut [0; 100]).unwrap();
            worker
        })
        .collect();

    // Pages and lists of those that live, while they are measured.
    for (worker, name) in workers.iter().zip(names()) {
        let pid = worker.pid();
        let page = |format| {
            let page = Agent::start(near, &format!("inspect {pid} --seconds 0 --format {format}")).wait();
            assert!(page.status.success(), "{}", page.stderr);
            String::from_utf8(page.stdout).unwrap()
        };
        assert_harmless(&page("text"));
        let json: Value = serde_json::from_str(&page("json")).unwrap();
        assert_eq!(name_in(&json["owners"][0]["process"], "command"), name);
        let list = Agent::start(near, &format!("lsof -nP -p {pid}")).wait();
        assert_harmless(&String::from_utf8(list.stdout).unwrap());
    }

    let [json, csv, text] = agents.map(|agent| {
        agent.signal(Signal::SIGINT);
        let ended = agent.wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        assert_harmless(&ended.stderr);
        String::from_utf8(ended.stdout).unwrap()
    });
    workers.into_iter().for_each(Worker::dismiss);
    let expected: BTreeMap<u16, Vec<u8>> = (PORT..).zip(names()).collect();
    let mut commands: Vec<Vec<u8>> = names();
    commands.sort();

    assert_harmless(&text);
    assert_harmless(&json);
    let report: Value = serde_json::from_str(&json).unwrap();
    let port = |row: &Value| row["local_port"].as_u64().and_then(|port| u16::try_from(port).ok());
    let flows = report["flows"].as_array().unwrap().iter();
    let found: BTreeMap<u16, Vec<u8>> = flows
        .filter_map(|row| port(row).filter(|port| *port >= PORT).map(|port| (port, name_in(row, "command"))))
        .filter(|(port, _)| expected.contains_key(port))
        .collect();
    assert_eq!(found, expected);
    let groups = report["command"].as_array().unwrap().iter();
    let mut keys: Vec<_> =
        groups.map(|row| name_in(row, "key")).filter(|key| commands.binary_search(key).is_ok()).collect();
    keys.sort();
    assert_eq!(keys, commands);

    assert_harmless(&csv);
    let mut reader = csv::Reader::from_reader(csv.as_bytes());
    let header = reader.headers().unwrap().clone();
    let column = |name: &str| header.iter().position(|title| title == name).unwrap();
    let [by, key, port, command] = ["by", "key", "local_port", "command"].map(column);
    let (mut found, mut keys, mut lines) = (BTreeMap::new(), Vec::new(), 1);
    for row in reader.records() {
        let row = row.unwrap();
        lines += 1;
        assert!(!row.iter().any(|cell| cell.starts_with(['=', '+', '-', '@', '＝'])), "a formula: {row:?}");
        match row[port].parse().ok().filter(|port| expected.contains_key(port)) {
            Some(port) => drop(found.insert(port, unescape(&row[command]))),
            None if &row[by] == "command" => keys.push(unescape(&row[key])),
            None => {}
        }
    }
    assert_eq!(lines, csv.lines().count(), "a row is a line");
    assert_eq!(found, expected);
    keys.retain(|key| commands.binary_search(key).is_ok());
    keys.sort();
    assert_eq!(keys, commands);
}

#[test]
fn lists_of_files_obey_no_file_and_name_each() {
    let folder = TempDir::with_prefix("flowtally-test-").unwrap();
    let pair = NetPair::new();
    let namespace = &pair.near.namespace;
    let held: Vec<(PathBuf, File)> = names()
        .into_iter()
        .filter(|name| !name.contains(&b'/'))
        .map(|name| {
            let path = folder.path().join(OsStr::from_bytes(&[b"f", &name[..]].concat()));
            let file = File::create(&path).unwrap();
            (path, file)
        })
        .collect();
    let pid = process::id();
    // Into a pipe lsof writes what the original does; on a terminal, which script(1) has, nothing that commands it.
    let mut script = Command::new("script");
    script
        .args(["-qec", &format!("{} lsof -nP -p {pid}", program().display()), "/dev/null"])
        .env("LC_ALL", "C.UTF-8");
    let shown = script.output().expect("script(1) runs: install bsdutils");
    let shown = String::from_utf8(shown.stdout).unwrap().replace("\r\n", "\n");
    assert_harmless(&shown);
    assert!(shown.contains("/f\\xe2\\x80\\xaegpj.exe"), "{shown}");
    for (path, _) in &held {
        fs::remove_file(path).unwrap();
    }

    let deleted = |format| {
        let ended = Agent::start(namespace, &format!("deleted --format {format}")).wait();
        assert!(ended.status.success(), "{}", ended.stderr);
        String::from_utf8(ended.stdout).unwrap()
    };
    assert_harmless(&deleted("text"));
    let json = deleted("json");
    assert_harmless(&json);
    let document: Value = serde_json::from_str(&json).unwrap();
    let paths: Vec<Vec<u8>> =
        document["files"].as_array().unwrap().iter().map(|file| name_in(file, "path")).collect();
    for (path, _) in &held {
        assert!(paths.iter().any(|found| found == path.as_os_str().as_bytes()), "{}", path.display());
    }
}

#[test]
fn messages_quote_safely() {
    let pair = NetPair::new();
    let word = "x\x1b[2J\n\u{202e}\u{7}";
    let with = |arguments: &[&str]| {
        let mut command = Command::new(program());
        command.args(arguments);
        let ended = Agent::start_command(&pair.near.namespace, command).wait();
        assert!(!ended.status.success());
        assert!(!ended.stderr.is_empty(), "{arguments:?} fails without a word");
        assert_harmless(&ended.stderr);
        assert!(ended.stderr.contains("x\\x1b[2J\\x0a\\u{202e}\\x07"), "{}", ended.stderr);
    };
    let path = &format!("/nonexistent/{word}/x");
    with(&[word]);
    with(&["report", &format!("--{word}")]);
    with(&["report", "--by", word]);
    with(&["report", "-F", word]);
    with(&["report", "-i", &format!("{word}]")]);
    with(&["report", "-i", "near", "--output", path]);
    with(&["report", "--config", path]);
    with(&["inspect", word]);
    with(&["inspect", &format!("10.0.0.1:{word}")]);
    let pid = &process::id().to_string();
    with(&["recover", "--pid", pid, "--fd", "txt", "--output", path]);
}
