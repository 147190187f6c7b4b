//! What the original of Debian 12 cannot do, or does wrong: compared with what is written here.

use harness::{Lab, agent, fixture};
use serde_json::Value;

use crate::{
    compare::{self, lab_of, ours},
    normal,
};

/// Output, which must be of a command that ends well.
fn output(lab: &Lab, line: &str) -> String {
    let mut command = compare::command(lab, &ours(lab), None);
    command.args(lab.fill(line)).env("LC_ALL", "C");
    let outcome = lab.outcome(command);
    let message = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status, Some(0), "lsof {line}: {message}");
    String::from_utf8_lossy(&outcome.stdout).into_owned()
}

/// Both ways to call it are one program.
#[test]
fn as_a_subcommand() {
    let lab = lab_of(&["files", "lock"]);
    for line in ["-p {files.pid}", "-a -p {lock.pid} -d 3-9 -F0", "-t -c fx", "+L1 -a -c fx"] {
        let mut command = compare::command(&lab, agent::program(), None);
        command.arg("lsof").args(lab.fill(line)).env("LC_ALL", "C");
        let found = lab.outcome(command);
        let through_link = output(&lab, line);
        let rows = |text: &[u8]| normal::exact(text);
        assert_eq!(compare::diff(&rows(through_link.as_bytes()), &rows(&found.stdout)), "", "lsof {line}");
        assert_eq!(found.status, Some(0), "lsof {line}");
    }
    let mut command = compare::command(&lab, agent::program(), None);
    command.args(["lsof", "-p", "12x"]);
    let failed = lab.outcome(command);
    assert_eq!(failed.status, Some(1));
    let message = String::from_utf8_lossy(&failed.stderr);
    assert!(message.contains("illegal process ID: 12x"), "{message}");
}

/// `-r1c2`: the count is not taken again as a command.
#[test]
fn so_many_cycles() {
    let lab = lab_of(&["lock"]);
    for line in ["-r1c2 -p {lock.pid}", "-r1c2 -a -p {lock.pid} -d cwd"] {
        let text = output(&lab, line);
        let count = |what: &str| text.lines().filter(|row| row.starts_with(what)).count();
        assert_eq!((count("COMMAND"), count("=======")), (2, 2), "lsof {line}: {text}");
    }
}

#[test]
fn sizes_for_people() {
    let lab = lab_of(&["files"]);
    for (name, size) in [("plain", "72B"), ("huge", "8.0G"), ("gone", "1.0M"), ("out", "0B")] {
        let line = format!("-H -a -p {{files.pid}} -d {{files.{name}}}");
        let text = output(&lab, &line);
        let sizes: Vec<_> = text.lines().skip(1).filter_map(|row| row.split_whitespace().nth(6)).collect();
        assert_eq!(sizes, [size], "lsof {line}: {text}");
    }
}

/// `fd` stands for all numbers.
#[test]
fn all_numbers() {
    let lab = lab_of(&["files"]);
    let all = output(&lab, "-a -p {files.pid} -d ^cwd,^rtd,^txt,^mem");
    let numbers = output(&lab, "-a -p {files.pid} -d fd");
    assert_eq!(compare::diff(&normal::exact(all.as_bytes()), &normal::exact(numbers.as_bytes())), "");
    assert!(numbers.contains("plain.txt"), "{numbers}");
    let others = output(&lab, "-a -p {files.pid} -d ^fd");
    assert!(others.contains(" cwd ") && !others.contains("plain.txt"), "{others}");
}

#[test]
fn json() {
    let lab = lab_of(&["files", "net", "threads"]);
    let text = output(&lab, "-J -nP -p {files.pid},{net.pid}");
    let all: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
    assert!(all["lsof_version"].is_string(), "{}", all["lsof_version"]);
    let [files, net] = all["processes"].as_array().map_or(&[][..], Vec::as_slice) else { panic!("{text}") };
    for (process, name) in [(files, "files"), (net, "net")] {
        assert_eq!(process["pid"].to_string(), lab.fact(&format!("{name}.pid")));
        assert_eq!(process["pgid"].to_string(), lab.fact(&format!("{name}.pgid")));
        assert_eq!(process["ppid"].to_string(), lab.fact(&format!("{name}.ppid")));
        assert_eq!(process["command"], format!("fx-{name}"));
        assert_eq!((&process["uid"], &process["login"]), (&Value::from(0), &Value::from("root")));
    }
    let file = |process: &Value, fact: &str| {
        let found =
            process["files"].as_array().into_iter().flatten().find(|file| file["fd"] == lab.fact(fact));
        found.unwrap_or_else(|| panic!("no file {fact}: {process}")).clone()
    };
    let plain = file(files, "files.plain");
    assert_eq!(plain["access"], "r");
    assert_eq!(plain["type"], "REG");
    assert_eq!(plain["size"], "72");
    assert_eq!(plain["offset"], "11");
    // The file has a second name.
    assert_eq!(plain["nlink"], 2);
    assert!(plain["inode"].is_string() && plain["device_number"].is_string(), "{plain}");
    assert!(plain["name"].as_str().is_some_and(|name| name.ends_with("/plain.txt")), "{plain}");
    let listener = file(net, "net.tcp4");
    assert_eq!(listener["type"], "IPv4");
    assert_eq!(listener["protocol"], "TCP");
    assert_eq!(listener["tcp_info"]["state"], "LISTEN");
    assert_eq!(listener["name"], format!("127.0.0.1:{}", lab.fact("net.tcp4-port")));
    let connected = file(net, "net.pair4-client");
    let (own, other) = (lab.fact("net.pair4-port"), lab.fact("net.tcp4-port"));
    assert_eq!(connected["name"], format!("127.0.0.1:{own}->127.0.0.1:{other}"));
    assert_eq!(connected["tcp_info"]["state"], "ESTABLISHED");
    let tasks = output(&lab, "-J -a -K -p {threads.pid} -d cwd");
    let tasks: Value = serde_json::from_str(&tasks).unwrap_or_else(|error| panic!("{error}: {tasks}"));
    let ids: Vec<_> =
        tasks["processes"].as_array().into_iter().flatten().map(|task| task["tid"].to_string()).collect();
    assert!(ids.iter().any(|id| id == lab.fact("threads.worker")), "{tasks}");
}

#[test]
fn json_of_odd_names() {
    let lab = lab_of(&["odd"]);
    for locale in ["C", "C.UTF-8"] {
        let mut command = compare::command(&lab, &ours(&lab), None);
        command.args(lab.fill("-J -p {odd.pid}")).env("LC_ALL", locale);
        let text = lab.outcome(command).stdout;
        let all: Value = serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{locale}: {error}"));
        let files = all["processes"][0]["files"].as_array().map_or(0, Vec::len);
        assert!(files > 270, "{locale}: {files} files");
    }
}

#[test]
fn json_lines() {
    let lab = lab_of(&["files", "net"]);
    let text = output(&lab, "-j -nP -p {files.pid},{net.pid}");
    let lines: Vec<Value> = text
        .lines()
        .map(|line| serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}")))
        .collect();
    assert!(lines.len() > 1, "{text}");
    assert!(lines.iter().all(Value::is_object), "{text}");
    assert!(text.contains("plain.txt") && text.contains(lab.fact("net.tcp4-port")), "{text}");
}

#[test]
fn formats_that_exclude_each_other() {
    let lab = lab_of(&["files"]);
    for line in ["-J -j", "-J -t", "-j -t"] {
        let mut command = compare::command(&lab, &ours(&lab), None);
        command.args(lab.fill(line)).args(lab.fill("-p {files.pid}"));
        let outcome = lab.outcome(command);
        assert_eq!(outcome.status, Some(1), "lsof {line}");
        assert_eq!(String::from_utf8_lossy(&outcome.stdout), "", "lsof {line}");
        assert!(!outcome.stderr.is_empty(), "lsof {line}");
    }
}

/// The original takes the name of a UNIX socket to end at its first blank.
#[test]
fn blanks_in_names_of_sockets() {
    let lab = lab_of(&["blanks"]);
    let text = output(&lab, "-a -U -p {blanks.pid}");
    assert!(text.contains("/two words.sock type=STREAM (LISTEN)"), "{text}");
    // In /proc/net/unix, a zero byte is an @.
    assert!(text.contains("@kfx two@words ^A type=STREAM (LISTEN)"), "{text}");
    let mut command = compare::command(&lab, &ours(&lab), None);
    command.arg("-t").arg(lab.folder().join("two words.sock"));
    let found = lab.outcome(command);
    assert_eq!(String::from_utf8_lossy(&found.stdout).trim(), lab.fact("blanks.pid"), "by its name");
}

/// The original looks at memory here that it has not filled: sometimes it has found whom nobody saw.
#[test]
fn a_user_without_processes() {
    let lab = lab_of(&["files"]);
    for (line, status, text) in [
        ("-u daemon", 1, ""),
        ("-u daemon -V", 1, "lsof: login name (UID 1) not located: daemon\n"),
        ("-u daemon -Q", 0, ""),
    ] {
        let mut command = compare::command(&lab, &ours(&lab), None);
        command.args(lab.fill(line)).env("LC_ALL", "C");
        let outcome = lab.outcome(command);
        assert_eq!(
            (outcome.status, String::from_utf8_lossy(&outcome.stdout).as_ref()),
            (Some(status), text),
            "{line}"
        );
    }
}

/// As one gets back a file that was deleted while a program had it open.
#[test]
fn recover_a_deleted_file() {
    let lab = lab_of(&["files"]);
    let text = output(&lab, "-a +L1 -p {files.pid} -Fpfn");
    let mut found = None;
    let (mut pid, mut number) = ("", "");
    for line in text.lines() {
        match line.split_at(1) {
            ("p", value) => pid = value,
            ("f", value) => number = value,
            ("n", name) if name.ends_with("/gone.log (deleted)") => found = Some((pid, number)),
            _ => {}
        }
    }
    let (pid, number) = found.unwrap_or_else(|| panic!("no deleted file: {text}"));
    let path = format!("/proc/{pid}/fd/{number}");
    let content = lab.enter(|| std::fs::read(&path)).expect("read a deleted file");
    assert!(content == fixture::deleted(), "{path} has other content");
}
