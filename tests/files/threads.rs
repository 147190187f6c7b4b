//! What only a thread has: a table of descriptors beside the first thread's, or of a process whose first thread has ended.

use std::{fs, path::Path, process::Output};

use harness::Alone;
use serde_json::{Value, json};

use crate::holders::{NOBODY, Place, copy, find, said};

/// So long is what the fixture has removed.
const LENGTH: usize = 100_000;
const KINDS: [&str; 2] = ["apart", "headless"];

fn start(kind: &str) -> Alone {
    Alone::start(Path::new(env!("CARGO_BIN_EXE_fixture")), kind)
}

/// Fails unless a document is as its schema has it.
fn is_valid(document: &Value, schema: &str) {
    let schema: Value = serde_json::from_str(schema).unwrap();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let wrong: Vec<_> = validator.iter_errors(document).map(|error| error.to_string()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// How a file is held, in the document of `flowtally deleted`: the only process, and its holds.
fn holds(file: &Value) -> (&Value, &Value) {
    let [holder] = &file["holders"].as_array().unwrap()[..] else { panic!("{file:#}") };
    (&holder["pid"], &holder["holds"])
}

#[test]
fn deleted_files_in_tables_of_threads_are_found_and_count() {
    let place = Place::new();
    for kind in KINDS {
        let fixture = start(kind);
        let thread = fixture.number("thread");
        let handle = format!("{}@{thread}", fixture.fact("file"));
        let document = place.deleted(0, &["--by", "process"]);
        is_valid(&document, include_str!("../../docs/deleted.schema.json"));
        let file = find(&document, Path::new(fixture.fact("gone")))
            .unwrap_or_else(|| panic!("{kind}: {document:#}"));
        assert_eq!(file["size_bytes"], LENGTH);
        let hold = json!([{"fd": handle, "thread": thread, "access": "write"}]);
        assert_eq!(holds(file), (&json!(fixture.number("pid")), &hold), "{kind}");

        let of = |process: &&Value| process["pid"] == fixture.number("pid");
        let process = document["processes"].as_array().unwrap().iter().find(of).unwrap();
        assert!(
            process["disk_bytes"].as_u64().unwrap() >= file["held_bytes"].as_u64().unwrap(),
            "{process:#}"
        );
        assert_eq!(process["command"], format!("fx-{kind}"));
        assert_eq!(process["executable"], env!("CARGO_BIN_EXE_fixture"), "{process:#}");
        let sum: u64 = document["files"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|file| file["storage"] == "disk")
            .filter_map(|file| file["held_bytes"].as_u64())
            .sum();
        assert_eq!(document["disk_bytes"], sum);

        let text = String::from_utf8(place.run(0, ["deleted"]).stdout).unwrap();
        let line = text.lines().find(|line| line.contains(fixture.fact("gone"))).unwrap();
        assert!(line.contains(&handle), "{line}");
        if kind == "apart" {
            let lost = fixture.folder().join("apart-lost");
            let folder = find(&document, &lost).expect("a thread's working directory");
            let hold = json!([{"fd": "cwd", "access": "read"}]);
            assert_eq!(holds(folder), (&json!(fixture.number("pid")), &hold));
        }
    }
}

#[test]
fn they_are_copied_by_what_the_list_says_by_the_thread_and_by_the_process() {
    let place = Place::new();
    let recover = |pid: u32, handle: &str, name: &str| -> Output {
        let (pid, output) = (pid.to_string(), place.path(name));
        place.run(0, ["recover", "--pid", &pid, "--fd", handle, "--output", output.to_str().unwrap()])
    };
    for kind in KINDS {
        let fixture = start(kind);
        let (pid, thread, file) = (fixture.number("pid"), fixture.number("thread"), fixture.fact("file"));
        for (at, (pid, handle)) in
            [(pid, format!("{file}@{thread}")), (thread, file.to_owned()), (pid, file.to_owned())]
                .iter()
                .enumerate()
        {
            let name = format!("{kind}-{at}");
            let ended = recover(*pid, handle, &name);
            assert!(ended.status.success(), "{kind} {handle}: {}", said(&ended));
            assert_eq!(fs::read(place.path(&name)).unwrap(), vec![b'g'; LENGTH]);
            // The fixture itself may write to it, and is named with the handle that says where.
            assert!(said(&ended).contains(&format!("fd {file}@{thread})")), "{}", said(&ended));
        }
        let runs = format!("{kind}-txt");
        let ended = recover(pid, "txt", &runs);
        assert!(ended.status.success(), "{}", said(&ended));
        let original = fs::read(env!("CARGO_BIN_EXE_fixture")).unwrap();
        assert!(fs::read(place.path(&runs)).unwrap() == original, "the executable differs");

        let ended = recover(pid, &format!("{file}@1"), "never");
        assert!(said(&ended).contains("does not have"), "no thread of it: {}", said(&ended));
        let ended = recover(thread, "9999", "never");
        assert!(said(&ended).contains("does not have"), "{}", said(&ended));
    }
}

#[test]
fn their_sockets_have_an_owner_on_the_page() {
    let place = Place::new();
    for kind in KINDS {
        let fixture = start(kind);
        let (pid, thread) = (fixture.number("pid"), fixture.number("thread"));
        let (port, listener) = (format!(":{}", fixture.fact("port")), fixture.number("listener"));
        let page = |format: &str| {
            let ended = place.run(0, ["inspect", &port, "--seconds", "0", "--format", format]);
            assert!(ended.status.success(), "{kind}: {}", said(&ended));
            ended.stdout
        };
        let document: Value = serde_json::from_slice(&page("json")).unwrap();
        is_valid(&document, include_str!("../../docs/inspect.schema.json"));
        let [owner] = &document["owners"].as_array().unwrap()[..] else { panic!("{document:#}") };
        assert_eq!((&owner["pid"], &document["unowned"]), (&json!(pid), &json!([])), "{document:#}");
        let process = &owner["process"];
        assert_eq!(process["executable"], env!("CARGO_BIN_EXE_fixture"));
        assert_eq!(process["arguments"][1], "fixture", "{process:#}");
        let [socket] = &owner["sockets"].as_array().unwrap()[..] else { panic!("{owner:#}") };
        // The number is there twice: the listener was made known to another thread under another one.
        assert!(socket["fds"].as_array().unwrap().contains(&json!(listener)), "{socket:#}");
        assert!(socket["threads"].as_array().unwrap().contains(&json!({"fd": listener, "thread": thread})));
        let gone = fixture.fact("gone");
        let deleted = owner["files"]["deleted"].as_array().unwrap();
        let deleted = deleted.iter().find(|file| file["path"] == gone).unwrap_or_else(|| panic!("{owner:#}"));
        assert_eq!(deleted["fd"], format!("{}@{thread}", fixture.fact("file")));
        let text = String::from_utf8(page("text")).unwrap();
        assert!(text.contains(&format!("{listener}@{thread}")), "{text}");
    }
}

#[test]
fn to_its_own_user_a_first_thread_that_has_ended_hides_nothing() {
    let place = Place::new();
    let program = place.path("fixture");
    copy(Path::new(env!("CARGO_BIN_EXE_fixture")), &program);
    for kind in KINDS {
        let fixture = Alone::start_user(&program, kind, NOBODY);
        let document = place.deleted(NOBODY, &[]);
        let file = find(&document, Path::new(fixture.fact("gone")))
            .unwrap_or_else(|| panic!("{kind}: {document:#}"));
        assert_eq!(holds(file).0, &json!(fixture.number("pid")));
        let ended = place.run(
            NOBODY,
            ["inspect", &format!(":{}", fixture.fact("port")), "--seconds", "0", "--format", "json"],
        );
        let page: Value =
            serde_json::from_slice(&ended.stdout).unwrap_or_else(|_| panic!("{}", said(&ended)));
        assert_eq!(page["owners"][0]["pid"], fixture.number("pid"), "{page:#}");
    }
}
