//! `-J` and `-j`: what lsof 4.99.7 prints. The one of Debian 12 has no such options: what the newer one printed of these fixtures is
//! written down here.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    fs,
    os::unix::{ffi::OsStrExt as _, fs::MetadataExt as _},
};

use harness::{Lab, Outcome, fixture::hostile};
use serde_json::{Map, Value};

use crate::compare::{self, compare, fields, lab_of, ours};

type Object = Map<String, Value>;
type Keys = BTreeSet<String>;

fn run(lab: &Lab, line: &str, locale: &str) -> Outcome {
    let mut command = compare::command(lab, &ours(lab), None);
    command.args(lab.fill(line)).env("LC_ALL", locale);
    lab.outcome(command)
}

/// The lines of output, as text. It must be UTF-8, as all JSON is.
fn lines(outcome: &Outcome) -> Vec<&str> {
    let text = std::str::from_utf8(&outcome.stdout).expect("JSON is UTF-8");
    // Other ends of lines are no ends here.
    text.split_terminator('\n').collect()
}

fn parse(line: &str) -> Object {
    serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"))
}

/// The processes of the one document that is printed.
fn processes(lab: &Lab, line: &str) -> Vec<Object> {
    let outcome = run(lab, line, "C");
    let [document] = lines(&outcome)[..] else {
        panic!("lsof {line}: {}", String::from_utf8_lossy(&outcome.stdout))
    };
    let mut document = parse(document);
    assert_eq!(document.remove("lsof_version"), Some("4.99.7".into()), "the version whose form it is");
    let Some(Value::Array(processes)) = document.remove("processes") else { panic!("lsof {line}") };
    assert!(document.is_empty(), "{document:?}");
    processes.into_iter().map(object).collect()
}

fn object(value: Value) -> Object {
    match value {
        Value::Object(object) => object,
        other => panic!("no object: {other}"),
    }
}

/// Takes the files out of a process.
fn files(process: &mut Object) -> Vec<Object> {
    match process.remove("files") {
        Some(Value::Array(files)) => files.into_iter().map(object).collect(),
        other => panic!("no files: {other:?}"),
    }
}

/// The rows of `-j`.
fn rows(lab: &Lab, line: &str) -> Vec<Object> {
    lines(&run(lab, line, "C")).into_iter().map(parse).collect()
}

/// The keys; those of an object in an object behind its own.
fn keys(object: &Object) -> Keys {
    let key = |(key, value): (&String, &Value)| match value {
        Value::Object(inner) => {
            format!("{key}{{{}}}", inner.keys().map(String::as_str).collect::<Vec<_>>().join(","))
        }
        _ => key.clone(),
    };
    object.iter().map(key).collect()
}

/// Keys as they are written down here. In what order they come is known to the tests of the module that writes them.
fn these(keys: &str) -> Keys {
    keys.split_whitespace().map(str::to_owned).collect()
}

/// Every key and what its value must be.
fn check_types(object: &Object) {
    for (key, value) in object {
        let good = match key.as_str() {
            "pid" | "tid" | "pgid" | "ppid" | "uid" | "nlink" | "recv_queue" | "send_queue" => value.is_u64(),
            "task_cmd" | "command" | "login" | "fd" | "type" | "device" | "protocol" | "flags" | "name"
            | "state" => value.as_str().is_some_and(|text| !text.is_empty()),
            "access" => matches!(value.as_str(), Some("r" | "w" | "u")),
            "lock" => matches!(value.as_str(), Some("r" | "R" | "w" | "W")),
            "size" | "offset" | "inode" => {
                value.as_str().is_some_and(|text| text.parse::<u64>().is_ok_and(|it| it.to_string() == text))
            }
            "device_number" | "raw_device" => value
                .as_str()
                .and_then(|text| text.strip_prefix("0x"))
                .is_some_and(|digits| u64::from_str_radix(digits, 16).is_ok()),
            "tcp_info" => value.as_object().is_some_and(|inner| {
                check_types(inner);
                true
            }),
            _ => false,
        };
        assert!(good, "{key}: {value}");
    }
}

const FILE: &str = "fd access type device_number size offset inode nlink flags name";
const LOCKED: &str = "fd access lock type device_number size offset inode nlink flags name";
const DEVICE: &str = "fd access type device_number offset inode nlink flags name";
const TCP: &str = "fd access type device offset protocol flags name tcp_info{recv_queue,send_queue,state}";
const UDP: &str = "fd access type device offset protocol flags name tcp_info{recv_queue,send_queue}";
const UNIX: &str = "fd access type device offset inode flags name tcp_info{state}";
const PACKET: &str = "fd access type device offset protocol flags name";
const OTHER: &str = "fd access type offset inode flags name";
const UNKNOWN: &str = "fd access type device_number offset inode flags name";

/// What lsof 4.99.7 printed of files of all kinds. What is more here is the name of an Internet socket and the state of a UNIX socket.
const SHAPES: [(&str, &str, &[&str]); 15] = [
    (
        FILE,
        "files",
        &[
            "plain",
            "append",
            "direct",
            "dsync",
            "far",
            "flags",
            "folder",
            "gone",
            "high",
            "huge",
            "link",
            "path",
            "rw",
            "proc",
            "memfd",
            "namespace",
            "epoll",
            "eventfd",
            "signalfd",
            "timerfd",
            "pidfd",
            "queue",
        ],
    ),
    (DEVICE, "files", &["null", "zero", "full", "block", "fifo", "ptmx", "pts", "write"]),
    // Nothing is left of flags that are none.
    ("fd access type device_number size offset inode nlink name", "files", &["inotify"]),
    ("fd access type device_number offset inode nlink name", "files", &["read"]),
    (UNKNOWN, "files", &["socket-path"]),
    (UNIX, "files", &["named"]),
    (
        LOCKED,
        "lock",
        &[
            "write-all",
            "read-all",
            "write-part",
            "read-part",
            "write-rest",
            "flock-exclusive",
            "flock-shared",
        ],
    ),
    (FILE, "lock", &["open-write", "open-read"]),
    (
        TCP,
        "net",
        &[
            "tcp4",
            "tcp4-any",
            "tcp6",
            "tcp6-any",
            "pair4-client",
            "pair6-server",
            "mapped-client",
            "half-client",
            "unread-server",
            "udp4-client",
            "udp6-client",
        ],
    ),
    (UDP, "net", &["udp4", "udp4-any", "udp6", "udp6-any"]),
    (
        UNIX,
        "net",
        &[
            "unix-listener",
            "unix-client",
            "unix-abstract",
            "unix-dgram",
            "unix-pair-one",
            "unix-seqpackets-one",
            "unix-unbound",
        ],
    ),
    (PACKET, "net", &["packet-all", "packet-none"]),
    (OTHER, "net", &["raw-icmp", "raw-any", "raw6", "netlink-0", "netlink-16"]),
    (UNKNOWN, "net", &["tcp4-unbound", "tcp4-bound", "udp6-unbound", "reset", "netlink-unbound"]),
    (FILE, "peer", &["event", "queue"]),
];

#[test]
fn keys_and_their_types_for_every_kind_of_file() {
    let lab = lab_of(&["files", "lock", "net", "peer"]);
    let mut checked = 0;
    for name in ["files", "lock", "net", "peer"] {
        let [mut process] =
            <[Object; 1]>::try_from(processes(&lab, &format!("-J -nP -p {{{name}.pid}}"))).unwrap();
        let files = files(&mut process);
        assert_eq!(keys(&process), these("pid pgid ppid command uid login"));
        check_types(&process);
        for file in &files {
            check_types(file);
            if matches!(file["fd"].as_str(), Some("cwd" | "rtd" | "txt" | "mem")) {
                assert_eq!(keys(file), these("fd type device_number size inode nlink name"), "{file:?}");
            }
        }
        for (shape, _, facts) in SHAPES.iter().filter(|(_, of, _)| *of == name) {
            for fact in *facts {
                let number = lab.fact(&format!("{name}.{fact}"));
                // What this kernel has not: none of the files kept has that number.
                if number == "0" {
                    continue;
                }
                let file = files.iter().find(|file| file["fd"] == number);
                let file = file.unwrap_or_else(|| panic!("no {name}.{fact}"));
                assert_eq!(keys(file), these(shape), "{name}.{fact}: {file:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 70, "{checked} files");
}

#[test]
fn a_line_has_the_process_and_then_the_file() {
    let lab = lab_of(&["files", "net", "threads"]);
    let line = "-nP -K -p {files.pid},{net.pid},{threads.pid}";
    let mut expected = Vec::new();
    for mut process in processes(&lab, &format!("-J {line}")) {
        for mut file in files(&mut process) {
            let mut row = process.clone();
            row.append(&mut file);
            expected.push(row);
        }
    }
    let found = rows(&lab, &format!("-j {line}"));
    assert_eq!(expected, found);
    let tasks: Vec<_> = found.iter().filter(|row| row.contains_key("tid")).collect();
    assert!(!tasks.is_empty());
    for task in tasks {
        assert!(
            keys(task).is_superset(&these("pid tid task_cmd pgid ppid command uid login fd")),
            "{task:?}"
        );
        check_types(task);
    }
}

#[test]
fn fields_that_are_named() {
    let lab = lab_of(&["files", "net"]);
    let shape = |line: &str, fact: &str| {
        let rows = rows(&lab, &format!("-j -nP -p {{files.pid}},{{net.pid}} {line}"));
        let (of, _) = fact.split_once('.').expect("a fact of a fixture");
        let pid = lab.fact(&format!("{of}.pid"));
        let row =
            rows.iter().find(|row| row["pid"].as_u64() == pid.parse().ok() && row["fd"] == lab.fact(fact));
        let row = row.unwrap_or_else(|| panic!("{line}: {fact}"));
        (keys(row), row.clone())
    };
    let check = |line: &str, fact: &str, keys: &str| assert_eq!(shape(line, fact).0, these(keys), "{line}");
    check("-Ff", "files.null", "pid fd");
    check("-FfrD", "files.null", "pid fd device_number raw_device");
    assert_eq!(shape("-Ffr", "files.null").1["raw_device"], "0x103");
    check("-Ffr", "files.plain", "pid fd");
    check("-Ffs -Fo", "files.plain", "pid fd size offset");
    check("-FfgRcuL", "files.plain", "pid pgid ppid command uid login fd");
    check("-FfuL -l", "files.plain", "pid uid fd");
    for (line, flags) in [
        ("-FfG", "0x8401;0x0"),
        ("+fG", "0x8401;0x0"),
        ("-F", "0x8401;0x0"),
        ("-FfG +fg", "W,AP,LG"),
        ("+fg -FfG", "0x8401;0x0"),
        ("", "W,AP,LG"),
        ("+fg", "W,AP,LG"),
    ] {
        assert_eq!(shape(line, "files.append").1["flags"], flags, "{line}");
    }
    for (line, inner) in [
        ("", "recv_queue,send_queue,state"),
        ("-T", "recv_queue,send_queue,state"),
        ("-FfT", "recv_queue,send_queue,state"),
        ("-FfT -Tq", "recv_queue,send_queue"),
        ("-FfT -Ts", "state"),
        ("-FfT -T", ""),
    ] {
        let (keys, row) = shape(line, "net.pair4-client");
        assert!(keys.contains(&format!("tcp_info{{{inner}}}")), "{line}: {row:?}");
    }
    assert_eq!(shape("", "net.udp4-client").1["tcp_info"]["state"], "ESTABLISHED");
    let exempt = "pid pgid ppid command uid login fd type device offset flags name note";
    check("-e /", "files.far", exempt);
    assert_eq!(shape("-e /", "files.far").1["offset"], "5000000000");
    assert_eq!(shape("-H", "files.huge").1["size"], (8_u64 << 30).to_string());
    check("-Ffn", "net.udp4-client", "pid fd name");
}

/// The bytes that a reader finds: those of the companion key, where there is one.
fn bytes(object: &Object, key: &str) -> Vec<u8> {
    let text = object[key].as_str().unwrap_or_else(|| panic!("{key} of {object:?}"));
    match object.get(&format!("{key}_hex")) {
        None => text.as_bytes().to_vec(),
        Some(hex) => {
            let hex = hex.as_str().expect("hexadecimal digits");
            let bytes: Vec<u8> = (0..hex.len())
                .step_by(2)
                .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).expect("hexadecimal digits"))
                .collect();
            assert!(std::str::from_utf8(&bytes).is_err(), "{key} of {object:?} is a string of JSON");
            bytes
        }
    }
}

#[test]
fn a_name_leads_to_its_file() {
    let lab = lab_of(&["odd", "hostile"]);
    for (locale, line) in [("C", "-J"), ("C.UTF-8", "-J"), ("C", "-j"), ("C.UTF-8", "-j")] {
        let outcome = run(&lab, &format!("{line} -p {{odd.pid}},{{hostile.pid}}"), locale);
        let rows: Vec<Object> = if line == "-j" {
            lines(&outcome).into_iter().map(parse).collect()
        } else {
            let mut document = parse(lines(&outcome)[0]);
            let Some(Value::Array(all)) = document.remove("processes") else { panic!("{document:?}") };
            all.into_iter().flat_map(|process| files(&mut object(process))).collect()
        };
        let mut opened = BTreeSet::new();
        for row in rows.iter().filter(|row| row["type"] == "REG") {
            let name = bytes(row, "name");
            let path = OsStr::from_bytes(&name);
            let found = lab.enter(|| fs::metadata(path)).unwrap_or_else(|error| panic!("{path:?}: {error}"));
            assert_eq!(row["inode"], found.ino().to_string(), "{path:?}");
            opened.insert(name);
        }
        assert!(opened.len() > 290, "{locale} {line}: {} names", opened.len());
        let folder = lab.folder().join(hostile::FOLDER);
        for name in hostile::FILES {
            let path = folder.join(OsStr::from_bytes(name));
            assert!(opened.contains(path.as_os_str().as_bytes()), "{locale} {line}: {path:?}");
        }
    }
}

#[test]
fn names_of_processes_and_threads_are_theirs() {
    let lab = lab_of(&["hostile"]);
    let row =
        |line: &str| rows(&lab, line).into_iter().next().unwrap_or_else(|| panic!("lsof {line}: nothing"));
    let process = row("-j -a -p {hostile.pid} -d cwd");
    assert_eq!(bytes(&process, "command"), hostile::COMMAND);
    assert!(process.contains_key("command_hex"), "{process:?}");
    let tasks = rows(&lab, "-j -a -K -p {hostile.pid} -d cwd");
    let task = tasks
        .iter()
        .find(|row| row.get("tid").is_some_and(|id| id.as_u64() == lab.fact("hostile.task").parse().ok()));
    assert_eq!(bytes(task.unwrap_or_else(|| panic!("{tasks:?}")), "task_cmd"), hostile::TASK);
    // The name of the file stays what it is: who else holds it is no part of it.
    let shared = rows(&lab, "-j -E -p {hostile.pid}");
    let pipe = shared.iter().find(|row| row["fd"] == "0").unwrap_or_else(|| panic!("{shared:?}"));
    assert_eq!(pipe["name"], "pipe");
    // There, too, a name is whole.
    let own = shared
        .iter()
        .find(|row| row["fd"] == lab.fact("hostile.read"))
        .unwrap_or_else(|| panic!("{shared:?}"));
    let note = [lab.fact("hostile.pid").as_bytes(), b",", hostile::COMMAND, b","].concat();
    assert!(bytes(own, "note").windows(note.len()).any(|part| part == note), "{own:?}");
    // No terminal that shows it obeys it, whatever it is.
    let outcome = run(&lab, "-J -p {hostile.pid}", "C.UTF-8");
    let text = String::from_utf8(outcome.stdout).expect("UTF-8");
    assert!(!text.trim_end_matches('\n').chars().any(|c| c.is_control() || c == '\u{202e}'), "{text:?}");
}

#[test]
fn who_holds_the_other_end_is_a_note() {
    let lab = lab_of(&["peer"]);
    let found = rows(&lab, "-j +E -nP -p {peer.pid}");
    let row = |pid: &str, fact: &str| {
        let of =
            |row: &&Object| row["pid"].as_u64() == lab.fact(pid).parse().ok() && row["fd"] == lab.fact(fact);
        found.iter().find(of).unwrap_or_else(|| panic!("no {fact} of {pid}"))
    };
    let [pipe, event, unix, tcp] =
        ["peer.pipe", "peer.event", "peer.unix", "peer.tcp"].map(|fact| row("peer.pid", fact));
    let holder = |fact: &str| format!("{},fx-idle,{}", lab.fact("peer.peer"), lab.fact(fact));
    for (row, fact) in [
        (pipe, "peer.pipe-write"),
        (event, "peer.event-other"),
        (unix, "peer.unix-other"),
        (tcp, "peer.tcp-server"),
    ] {
        let note = row["note"].as_str().unwrap_or_default();
        assert!(note.contains(&holder(fact)), "{fact}: {row:?}");
        assert!(!row["name"].as_str().unwrap_or_default().contains("fx-idle"), "{row:?}");
    }
    assert_eq!(pipe["name"], "pipe");
    // Rows that are added have what all others have.
    for fact in ["peer.pipe-write", "peer.event-other", "peer.unix-other", "peer.tcp-server"] {
        let added = row("peer.peer", fact);
        assert!(added.contains_key("flags") && added.contains_key("offset"), "{fact}: {added:?}");
    }
    compare(
        &lab,
        &[
            fields("+E -F -nP -p {peer.pid}"),
            fields("+E -F0 -nP -p {peer.pid}"),
            fields("+E -FcfG -nP -p {peer.pid}"),
            fields("+E +fg -FcfG -nP -p {peer.pid}"),
            fields("+E -FcfG +fg -nP -p {peer.pid}"),
            fields("+E -FcfGl -o -nP -p {peer.pid}"),
            fields("+E -Fcfa -nP -a -p {peer.pid} -d {peer.pipe},{peer.unix},{peer.tcp},{peer.event}"),
        ],
    );
}

#[test]
fn nothing_is_an_empty_list() {
    const NOTHING: &str = "{\"lsof_version\":\"4.99.7\",\"processes\":[]}\n";
    let lab = lab_of(&["lock"]);
    for (line, status, text) in [
        ("-J -Q /nonexistent", 0, NOTHING),
        ("-j -Q /nonexistent", 0, ""),
        ("-J -Q -a -p {lock.pid} /nonexistent", 0, NOTHING),
        ("-J -Q -c nosuch", 0, NOTHING),
        ("-J -c nosuch", 1, NOTHING),
        ("-j -c nosuch", 1, ""),
        ("-J -i :1", 1, NOTHING),
        ("-J /nonexistent", 1, ""),
        ("-J +r1 -c nosuch", 1, NOTHING),
        ("-j +r1 -c nosuch", 1, "\n"),
    ] {
        let outcome = run(&lab, line, "C");
        assert_eq!(
            (outcome.status, String::from_utf8_lossy(&outcome.stdout).as_ref()),
            (Some(status), text),
            "lsof {line}"
        );
    }
    // What was not found is said where no reader of JSON stumbles over it.
    let outcome = run(&lab, "-J -V -c nosuch", "C");
    assert_eq!(String::from_utf8_lossy(&outcome.stdout), NOTHING);
    assert_eq!(String::from_utf8_lossy(&outcome.stderr), "lsof: command not located: nosuch\n");
}

/// A document a listing; or lines, and an empty one after each listing.
#[test]
fn listings_that_are_repeated() {
    let lab = lab_of(&["lock"]);
    for line in ["-J -r1c2 -p {lock.pid}", "-J -r1c2m== -p {lock.pid}", "-J +r1c2 -p {lock.pid} -F"] {
        let outcome = run(&lab, line, "C");
        assert_eq!(outcome.status, Some(0), "lsof {line}");
        let documents: Vec<_> = lines(&outcome).into_iter().map(parse).collect();
        assert_eq!(documents.len(), 2, "lsof {line}");
        assert!(
            documents
                .iter()
                .all(|it| it["processes"][0]["pid"].as_u64() == lab.fact("lock.pid").parse().ok())
        );
    }
    for line in ["-j -r1c2 -a -p {lock.pid} -d cwd,txt", "-j -Ff -r1c2m== -a -p {lock.pid} -d cwd,txt"] {
        let outcome = run(&lab, line, "C");
        let fds: Vec<_> = lines(&outcome)
            .into_iter()
            .map(|line| if line.is_empty() { Value::Null } else { parse(line)["fd"].clone() })
            .collect();
        let listing = [Value::from("cwd"), Value::from("txt"), Value::Null];
        assert_eq!(fds, [&listing[..], &listing[..]].concat(), "lsof {line}");
    }
}
