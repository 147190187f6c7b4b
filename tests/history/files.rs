//! What is read, and what is said of what is not.

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use harness::agent::program;
use serde_json::Value;
use tempfile::TempDir;

use crate::log::{Log, Packing, moment};

fn history(arguments: &[&str], files: &[&Path]) -> Output {
    let mut command = Command::new(program());
    command.arg("history").args(arguments).args(files).env("TZ", "UTC");
    command.output().unwrap()
}

pub(crate) fn json(arguments: &[&str], files: &[&Path]) -> Value {
    let output = history(&[arguments, &["--format", "json"]].concat(), files);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

fn total(document: &Value) -> [u64; 2] {
    ["sent_bytes", "received_bytes"].map(|name| document["total"][name].as_u64().unwrap())
}

fn rows(document: &Value, table: &str) -> [u64; 2] {
    let rows = document[table].as_array().unwrap();
    ["sent_bytes", "received_bytes"].map(|name| rows.iter().map(|row| row[name].as_u64().unwrap()).sum())
}

#[test]
fn every_table_adds_up_whichever_way_files_are_compressed() {
    for packing in [Packing::Plain, Packing::Zstandard, Packing::Gzip] {
        let log = Log::write(packing);
        let by = ["remote", "port", "process", "user", "command", "container", "interface", "flow"];
        let arguments: Vec<&str> = by.iter().flat_map(|by| ["--by", *by]).collect();
        let document = json(&arguments, &[log.folder.path()]);
        assert_eq!(total(&document), log.sum(0..18));
        for by in by {
            assert_eq!(rows(&document, if by == "flow" { "flows" } else { by }), log.sum(0..18), "by {by}");
        }
        assert_eq!(document["intervals"], 18);
        assert_eq!(document["gaps"].as_array().unwrap().len(), 0);
    }
}

#[test]
fn files_outside_of_the_time_are_not_opened() {
    let log = Log::write(Packing::Zstandard);
    // Whoever opens them fails.
    for outside in [0, 2] {
        fs::write(&log.files[outside], "no log at all\n").unwrap();
    }
    let document = json(&["--from", &moment(6), "--to", &moment(11), "--by", "port"], &[log.folder.path()]);
    assert_eq!(total(&document), log.sum(6..11));
    assert_eq!((document["files"].as_u64(), document["files_outside"].as_u64()), (Some(1), Some(2)));
    let output = history(&["--from", &moment(6)], &[log.folder.path()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(
        String::from_utf8_lossy(&output.stderr).contains("no line of CSV")
            || String::from_utf8_lossy(&output.stderr).contains("is not the log of flowtally agent")
    );
}

#[test]
fn an_edge_that_cuts_an_interval_is_said() {
    let log = Log::write(Packing::Plain);
    let arguments = ["--from", "2026-11-29T03:00:15Z", "--to", "2026-11-29T03:00:35Z", "--by", "process"];
    let document = json(&arguments, &[log.folder.path()]);
    assert_eq!(total(&document), log.sum(1..4));
    let text = history(&arguments, &[log.folder.path()]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(text.contains("5.000 s before --from"), "{text}");
    assert!(text.contains("5.000 s after --to"), "{text}");
}

#[test]
fn intervals_that_are_missing_or_torn_are_said() {
    let log = Log::write(Packing::Plain);
    let document = json(&["--by", "process"], &[&log.files[0], &log.files[2]]);
    assert_eq!(document["gaps"][0]["missing_intervals"], 6);
    assert_eq!(document["gaps"][0]["reason"], "missing");
    // As after a power cut: the file ends in the middle of a line.
    let text = fs::read_to_string(&log.files[2]).unwrap();
    fs::write(&log.files[2], &text[..text.len() * 3 / 4]).unwrap();
    let document = json(&["--by", "process"], &[log.folder.path()]);
    let intervals = usize::try_from(document["intervals"].as_u64().unwrap()).unwrap();
    assert!((12..18).contains(&intervals), "{intervals}");
    assert_eq!(total(&document), log.sum(0..intervals));
    assert!(
        document["notes"].to_string().contains("is left out, for it is not whole"),
        "{}",
        document["notes"]
    );
}

#[test]
fn rows_are_chosen_and_what_the_log_lacks_is_an_error() {
    let log = Log::write(Packing::Zstandard);
    let folder = log.folder.path();
    let all = json(&["--by", "port"], &[folder]);
    let https = json(&["--by", "port", "--port", "443"], &[folder]);
    let rest = json(&["--by", "port", "-f", "not port 443"], &[folder]);
    assert_eq!(total(&https)[0] + total(&rest)[0], total(&all)[0]);
    let user = json(&["--by", "process", "--user", "user1"], &[folder]);
    assert_eq!(total(&user), rows(&user, "process"));
    assert!(user["process"].as_array().unwrap().iter().all(|row| row["user"] == "user1"));
    let processes: Vec<String> = fs::read_to_string(unpacked(&log, 0))
        .unwrap()
        .lines()
        .filter(|line| !line.contains("\"flow\",\"host"))
        .map(str::to_owned)
        .collect();
    let alone = folder.join("processes.jsonl");
    fs::write(&alone, processes.join("\n").replace("[\"flow\",\"process\"]", "[\"process\"]") + "\n")
        .unwrap();
    let output = history(&["--by", "port"], &[&alone]);
    assert_eq!(output.status.code(), Some(1));
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(error.contains("--by port takes rows of port or flow, and it has rows of process"), "{error}");
    assert!(error.contains("--rows port"), "{error}");
}

fn unpacked(log: &Log, file: usize) -> std::path::PathBuf {
    let to = log.folder.path().join("unpacked");
    assert!(
        Command::new("zstd")
            .args(["--quiet", "-d", "-o"])
            .arg(&to)
            .arg(&log.files[file])
            .status()
            .unwrap()
            .success()
    );
    to
}

#[test]
fn a_timeline_has_all_that_the_log_has() {
    let log = Log::write(Packing::Gzip);
    let folder = log.folder.path();
    for arguments in
        [&["--timeline", "--step", "20s"][..], &["--timeline", "--step", "1m", "--by", "port", "--top", "1"]]
    {
        let document = json(arguments, &[folder]);
        assert_eq!(rows(&document, "points"), log.sum(0..18), "{arguments:?}");
    }
    let picture = history(&["--timeline", "--by", "port", "--format", "svg"], &[folder]);
    let picture = String::from_utf8(picture.stdout).unwrap();
    assert!(
        picture.starts_with("<svg xmlns=") && picture.ends_with("</svg>\n") && picture.contains("443/tcp"),
        "{picture}"
    );
    let chart = String::from_utf8(history(&["--timeline"], &[folder]).stdout).unwrap();
    assert!(chart.contains("┼──") && chart.contains('█') && chart.contains("03:00:00"), "{chart}");
}

#[test]
fn an_answer_goes_to_a_file_whole_or_not_at_all() {
    let log = Log::write(Packing::Zstandard);
    let folder = log.folder.path();
    let to = TempDir::new().unwrap();
    let path = to.path().join("answer.json");
    fs::write(&path, "what was there").unwrap();
    let output = |arguments: &[&str], files: &[&Path]| {
        history(&[arguments, &["--output", path.to_str().unwrap()]].concat(), files)
    };
    // A failed run leaves it as it was.
    let failed = output(&["--by", "port", "--interface", "eth0"], &[Path::new("/nonexistent/log")]);
    assert_eq!(failed.status.code(), Some(1));
    assert_eq!(fs::read(&path).unwrap(), b"what was there");
    for arguments in [
        &["--by", "port", "--format", "json"][..],
        &["--by", "remote"],
        &["--timeline", "--by", "port", "--format", "svg"],
    ] {
        let written = output(arguments, &[folder]);
        assert!(written.status.success() && written.stdout.is_empty(), "{written:?}");
        assert_eq!(fs::read(&path).unwrap(), history(arguments, &[folder]).stdout, "{arguments:?}");
    }
    assert_eq!(fs::read_dir(to.path()).unwrap().count(), 1, "nothing is left beside it");
    let standard = history(&["--by", "port", "--output", "-"], &[folder]);
    assert_eq!(standard.stdout, history(&["--by", "port"], &[folder]).stdout);
}

#[test]
fn what_cannot_be_written_is_found_before_anything_is_read() {
    let no_log = TempDir::new().unwrap();
    let file = no_log.path().join("flowtally-a-20261129T030000Z.jsonl");
    fs::write(&file, "no log at all\n").unwrap();
    for (path, why) in [("/nonexistent/answer", "No such file"), ("/proc", "is a folder")] {
        let output = history(&["--output", path], &[&file]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{error}");
        assert!(error.contains(path) && error.contains(why) && !error.contains("20261129"), "{error}");
    }
    // Wrong usage comes before that.
    assert_eq!(history(&["--output", "/nonexistent/answer", "--from", "never"], &[]).status.code(), Some(2));
}

#[test]
fn hosts_have_their_names_where_that_is_asked() {
    let name = fs::read_to_string("/etc/hosts").unwrap().lines().find_map(|line| {
        let mut words = line.split('#').next()?.split_whitespace();
        (words.next()? == "127.0.0.1").then(|| words.next().map(str::to_owned))?
    });
    let Some(name) = name else {
        eprintln!("not tested: this host's /etc/hosts has no name for 127.0.0.1");
        return;
    };
    let log = Log::write(Packing::Plain);
    for file in &log.files {
        // Whichever the remote end was, all of them are this one now, which takes no name server.
        let text = fs::read_to_string(file).unwrap();
        let text =
            (0..5).fold(text, |text, end| text.replace(&format!("\"192.0.2.{end}\""), "\"127.0.0.1\""));
        fs::write(file, text.replace("\"10.0.0.1\"", "\"127.0.0.1\"")).unwrap();
    }
    let folder = log.folder.path();
    let document = json(&["--by", "flow", "--by", "remote", "--by", "port", "--resolve"], &[folder]);
    for (row, names) in [
        ("/flows/0", [Value::from(&*name), Value::from(&*name)]),
        ("/remote/0", [Value::Null, Value::from(&*name)]),
        ("/port/0", [Value::Null, Value::Null]),
    ] {
        let row = document.pointer(row).unwrap();
        assert_eq!([&row["local_name"], &row["remote_name"]], [&names[0], &names[1]], "{row}");
    }
    assert_eq!(document["remote"][0]["key"], "127.0.0.1");
    let print = |arguments: &[&str]| String::from_utf8(history(arguments, &[folder]).stdout).unwrap();
    assert!(print(&["--by", "remote", "--resolve"]).contains(&name));
    let csv = print(&["--by", "remote", "--format", "csv", "--resolve"]);
    assert!(csv.lines().next().unwrap().contains(",peak_bps,local_name,remote_name,pid,"), "{csv}");
    assert!(
        csv.lines().all(|line| line.matches(',').count() == csv.lines().next().unwrap().matches(',').count())
    );
    assert!(!print(&["--by", "remote", "--format", "csv"]).contains("remote_name"));
}

/// Bytes of both ways.
fn both(row: &Value) -> u64 {
    row["sent_bytes"].as_u64().unwrap() + row["received_bytes"].as_u64().unwrap()
}

#[test]
fn several_hosts_are_read_together_and_told_apart() {
    let (log, other) = (Log::write(Packing::Zstandard), Log::write(Packing::Plain));
    let both_of = |range: std::ops::Range<usize>| log.sum(range).iter().sum::<u64>();
    for (at, file) in other.files.iter().enumerate() {
        let text = fs::read_to_string(file).unwrap().replace("\"host\":\"web\"", "\"host\":\"db\"");
        let name = file.file_name().unwrap().to_str().unwrap().replace("web", "db");
        // Of the second host the last file is not there.
        if at < 2 {
            fs::write(log.folder.path().join(name), text).unwrap();
        }
    }
    let folder = log.folder.path();
    let document = json(&["--by", "interface", "--by", "process", "--by", "flow"], &[folder]);
    let all = both_of(0..18) + both_of(0..12);
    assert_eq!(both(&document["total"]), all);
    assert_eq!(document["hosts"], serde_json::json!(["db", "web"]));
    assert_eq!((&document["intervals"], &document["seconds"]), (&30.into(), &180.0.into()));
    let by_interface: Vec<(&str, u64)> = document["interface"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| (row["key"].as_str().unwrap(), both(row)))
        .collect();
    assert_eq!(by_interface, [("web/eth0", both_of(0..18)), ("db/eth0", both_of(0..12))]);
    // Conversations of one host are never added to those of another one.
    let flows = document["flows"].as_array().unwrap();
    assert_eq!(flows.len(), 40);
    assert_eq!(flows.iter().map(both).sum::<u64>(), all);
    assert!(document["gaps"].as_array().unwrap().is_empty(), "{}", document["gaps"]);
    let counted: Vec<_> = document["interfaces"].as_array().unwrap().iter().map(|of| &of["name"]).collect();
    assert_eq!(counted, ["db/eth0", "web/eth0"]);

    let one = json(&["--by", "process", "--interface", "eth0", "--to", &moment(6)], &[folder]);
    assert_eq!(both(&one["total"]), 2 * both_of(0..6));
    let text = String::from_utf8(history(&["--by", "interface"], &[folder]).stdout).unwrap();
    assert!(text.starts_with("flowtally history: db, web from ") && text.contains("db/eth0"), "{text}");
    let points = json(&["--timeline", "--step", "1m", "--by", "interface"], &[folder]);
    assert_eq!(points["points"].as_array().unwrap().iter().map(both).sum::<u64>(), all);
}

/// As of a measurement: all of the expression, and a mark where it is wrong.
#[test]
fn what_is_wrong_in_a_filter_is_marked() {
    for (text, message, mark) in [
        (
            "tcp and (tcp[tcpflags] & (tcp-syn|tcp-fin) != 0)",
            "'tcp[tcpflags] & (tcp-syn|tcp-fin) != 0' cannot be answered: lengths and contents of single packets are not kept",
            10,
        ),
        ("port 80 (", "syntax error: expected 'and', 'or' or the end, found '('", 9),
    ] {
        let output = history(&["-f", text], &[]);
        let said = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(message), "{said}");
        assert!(said.contains(&format!("\n  {text}\n  {}^", " ".repeat(mark - 1))), "{said}");
    }
}
