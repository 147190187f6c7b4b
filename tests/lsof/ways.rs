//! Open files are read from the kernel's own tables or from /proc: both ways must print the same, to the byte.

use std::{collections::BTreeSet, fmt::Write as _};

use harness::{Lab, NOBODY, Outcome};
use proptest::{
    prelude::{Strategy as _, prop},
    test_runner::{Config, TestRunner},
};

use crate::{
    compare::{self, diff, lab, lab_of, ours},
    host::make_tree,
    normal,
};

/// What open files are read by.
const WAYS: [&str; 2] = ["proc", "iterators"];

/// What the program does one way. That this kernel, and whoever runs the test, allow both is no condition of the test: it fails.
fn by(lab: &Lab, way: &str, line: &str, user: Option<u32>) -> Outcome {
    let mut command = compare::command(lab, &ours(lab), user);
    command.args(lab.fill(line)).env("LC_ALL", "C").env("FLOWTALLY_TEST_FILES", way);
    let outcome = lab.outcome(command);
    let message = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.is_some(), "lsof {line} does not end by {way}: {message}");
    for wrong in ["FLOWTALLY_TEST_FILES", "panicked", "Operation not supported"] {
        assert!(!message.contains(wrong), "lsof {line} by {way}: {message}");
    }
    outcome
}

/// Lines without those about the program itself, whose number is another each time: so is the width of columns with it.
fn lines(line: &str, outcome: &Outcome) -> Vec<String> {
    if line.contains("-E") || line.contains("+E") {
        // It is at the other end of a pipe that it has from whoever runs the test, too.
        let others = |row: String| {
            row.split(' ').filter(|word| !word.contains(",lsof,")).collect::<Vec<_>>().join(" ")
        };
        return normal::rows(&outcome.stdout).into_iter().map(others).collect();
    }
    if line.contains("-F") {
        normal::fields(&outcome.stdout)
    } else if line.contains("-p ") || line.contains("-c fx") {
        normal::exact(&outcome.stdout)
    } else {
        normal::rows(&outcome.stdout)
    }
}

fn same(lab: &Lab, line: &str) -> String {
    let [proc, walk] = WAYS.map(|way| by(lab, way, line, None));
    let messages = |outcome: &Outcome| normal::lines(&outcome.stderr);
    let mut text = diff(&lines(line, &proc), &lines(line, &walk)) + &diff(&messages(&proc), &messages(&walk));
    if proc.status != walk.status {
        writeln!(text, "exit status: -{:?} +{:?}", proc.status, walk.status).expect("a string takes it");
    }
    if text.is_empty() { text } else { format!("=== lsof {line} (-: proc, +: iterators)\n{text}") }
}

fn all_same(lab: &Lab, lines: &[&str]) {
    let differences: String = lines.iter().map(|line| same(lab, line)).collect();
    assert_eq!(differences, "");
}

#[test]
fn both_ways_print_the_same() {
    let mut lab = lab_of(&[
        "files", "odd", "hostile", "net", "blanks", "lock", "threads", "apart", "headless", "peer",
        "relative", "gone", "chroot", "zombie",
    ]);
    lab.start_user("hidden", "hidden", NOBODY);
    all_same(
        &lab,
        &[
            "",
            "-nP",
            "-nP -F",
            "-F0",
            "-J -c fx",
            "+fg",
            "+fG -o",
            "-o -nP",
            "-s",
            "-K",
            "-K i",
            "-i",
            "-i udplite",
            "-a -i -c fx-net",
            "-nP -i",
            "-nP -i tcp -s TCP:LISTEN",
            "-nP -i -s TCP:^LISTEN",
            "-nP -i :{net.tcp4-port}",
            "-V -i :1",
            "-U",
            "-nP -U -i",
            "-X",
            "-t -c fx",
            "-t -i",
            "-t -U",
            "-p {net.pid}",
            "-nP -p {net.pid} -F",
            "-nP -p {net.pid},{peer.pid} -T qs",
            "-p {files.pid}",
            "-p {apart.pid}",
            "-a -p {net.pid} -i",
            "-a -c fx -i",
            "-a -c fx -U -F",
            "-c fx",
            "-u root",
            "-u nobody",
            "-d 0-5",
            "-a -c fx -d 3-9",
            "-d ^mem,txt",
            "-E -c fx",
            "+E -p {peer.pid}",
            "-E",
            "{dir}/plain.txt",
            "-t {dir}/plain.txt",
            "/dev/null",
            "+D {dir}",
            "+d {dir}",
            "-a -i {dir}/plain.txt -V",
            "-a -U {dir}",
            "/",
            "+f /",
            "+L1",
            "-N",
            "-e /dev -c fx",
            "-g -R -c fx",
            "-b -c fx",
        ],
    );
}

/// As often as processes and descriptors come and go, what is there all the time is the same.
#[test]
fn what_stays_is_the_same_on_a_host_that_changes() {
    let mut lab = lab_of(&["churn", "files", "net", "lock", "threads", "apart", "peer"]);
    make_tree(lab.folder());
    lab.start_with("crowd", &["40", "host", "20"]);
    let steady: BTreeSet<String> = ["files", "net", "lock", "threads", "apart", "peer"]
        .iter()
        .map(|kind| lab.fact(&format!("{kind}.pid")).to_owned())
        .collect();
    let words = [
        "-nP", "-F", "+fg", "-o", "-K", "-i", "-U", "-u root", "-E", "-d 0-20", "-c fx", "-X", "-T qs", "-g",
    ];
    let line = prop::sample::subsequence(words.to_vec(), 0..5).prop_map(|words| words.join(" "));
    let mut runner = TestRunner::new(Config { cases: 24, failure_persistence: None, ..Config::default() });
    let result = runner.run(&line, |line| {
        let [proc, walk] = WAYS.map(|way| {
            let outcome = by(&lab, way, &line, None);
            if line.contains("-F") {
                of_steady_fields(&outcome.stdout, &steady)
            } else {
                let is_steady = |row: &String| row.split(' ').nth(1).is_some_and(|pid| steady.contains(pid));
                normal::rows(&outcome.stdout).into_iter().filter(is_steady).collect()
            }
        });
        proptest::prop_assert_eq!(diff(&proc, &walk), "", "lsof {}", line);
        Ok(())
    });
    assert!(result.is_ok(), "{result:?}");
}

/// The fields of these processes.
fn of_steady_fields(text: &[u8], steady: &BTreeSet<String>) -> Vec<String> {
    let mut is_steady = false;
    let mut kept = Vec::new();
    for field in normal::fields(text) {
        if let Some(pid) = field.strip_prefix('p') {
            is_steady = steady.contains(pid.trim_end_matches("\\n"));
        }
        if is_steady {
            kept.push(field);
        }
    }
    kept
}

/// No path is walked, and no server asked that does not answer.
#[test]
fn a_mount_that_hangs_holds_up_neither() {
    let mut lab = lab();
    lab.start("files");
    lab.start("hang");
    for line in
        ["-S 2 -nP", "-S 2 -nP -i", "-b -w -nP", "-S 2 {dir}/plain.txt", "-S 2 {dir}/hung", "-S 2 +D {dir}"]
    {
        for way in WAYS {
            by(&lab, way, line, None);
        }
    }
    all_same(&lab, &["-S 2 -p {files.pid}", "-S 2 {dir}/plain.txt", "-b -w -nP"]);
}

#[test]
fn a_user_is_not_shown_more() {
    let lab = lab_of(&["files"]);
    let mut command = compare::command(&lab, &ours(&lab), Some(NOBODY));
    command.args(["-nP"]).env("FLOWTALLY_TEST_FILES", "iterators");
    let outcome = lab.outcome(command);
    let message = String::from_utf8_lossy(&outcome.stderr);
    assert_eq!(outcome.status, Some(1), "{message}");
    assert!(message.contains("are not walked: this process has no CAP_"), "{message}");
}
