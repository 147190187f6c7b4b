//! Whatever happens: processes that end while they are read, very many files, file systems that hang.

use std::{fs, os::unix::fs::symlink, process::Command};

use harness::{Lab, Outcome};

use crate::compare::{self, compare, exact, fields, lab, lab_of, nothing, ours, rows};

/// What the program under test does, which must end.
fn run(lab: &Lab, line: &str) -> Outcome {
    let mut command = compare::command(lab, &ours(lab), None);
    command.args(lab.fill(line)).env("LC_ALL", "C");
    let outcome = lab.outcome(command);
    let message = String::from_utf8_lossy(&outcome.stderr);
    assert!(outcome.status.is_some(), "lsof {line} does not end");
    assert!(!message.contains("panicked"), "lsof {line}: {message}");
    outcome
}

/// A process that is gone is no error, and no row.
#[test]
fn processes_that_end_while_they_are_read() {
    const ROUNDS: usize = 15;
    let lab = lab_of(&["churn", "files", "threads"]);
    for _ in 0..ROUNDS {
        for line in ["-nP", "-nP -F", "-K", "-u root", "-a -c true -d txt,cwd,0 -Q", "-t", "-nP -E", "+L1 -Q"]
        {
            let Outcome { status, stdout, stderr } = run(&lab, line);
            let (text, message) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
            assert_eq!(status, Some(0), "lsof {line}: {message}");
            assert_eq!(message, "", "lsof {line}");
            for wrong in ["No such process", "No such file", "(readlink:", "(stat:", "(opendir:", "NOFD"] {
                let row = text.lines().find(|row| row.contains(wrong));
                assert_eq!(row, None, "lsof {line}");
            }
        }
    }
}

#[test]
fn very_many_descriptors() {
    let mut lab = lab_of(&["lock"]);
    lab.start_with("many", &["100000"]);
    let count: u32 = lab.fact("many.last").parse().expect("a number");
    assert!(count > 15_100, "the limit of open files is too low: run `ulimit -Hn 200000` first");
    compare(
        &lab,
        &[
            exact("-p {many.pid}"),
            exact("-a -p {many.pid} -d {many.last}"),
            exact("-a -p {many.pid} -d 9990-10010"),
            fields("-a -p {many.pid} -d 15000-15100 -Fftn"),
            rows("-t {dir}/many-3"),
            rows("{dir}/many-3"),
            fields("-F0 -p {many.pid}"),
        ],
    );
}

/// With few descriptors of its own.
#[test]
fn few_descriptors_for_itself() {
    let lab = lab_of(&["files", "net"]);
    let program = ours(&lab);
    for line in ["-nP", "-nP -p {files.pid}", "-nP -i", "+D {dir}"] {
        let expected = run(&lab, line);
        let mut command = Command::new("prlimit");
        command.arg("--nofile=20:20").arg(&program).args(lab.fill(line)).env_clear().env("LC_ALL", "C");
        command.current_dir(lab.folder());
        let found = lab.outcome(command);
        assert_eq!(found.status, expected.status, "lsof {line}: {}", String::from_utf8_lossy(&found.stderr));
        let rows = |outcome: &Outcome| crate::normal::rows(&outcome.stdout);
        assert_eq!(compare::diff(&rows(&expected), &rows(&found)), "", "lsof {line}");
    }
}

/// Nobody reads any more, or nothing can be written.
#[test]
fn output_that_goes_nowhere() {
    let lab = lab_of(&["files"]);
    let program = ours(&lab).display().to_string();
    for (script, status) in
        [("$0 -nP | head -n 1", Some(0)), ("$0 -nP >/dev/full; true", Some(0)), ("$0 -nP >&-; true", Some(0))]
    {
        let mut command = Command::new("sh");
        command.args(["-c", script, &program]);
        let outcome = lab.outcome(command);
        let message = String::from_utf8_lossy(&outcome.stderr);
        assert_eq!(outcome.status, status, "{script}: {message}");
        assert!(!message.contains("panicked"), "{script}: {message}");
    }
}

/// The original goes round in circles here until a path is too long, on each of them.
#[test]
fn links_that_lead_back() {
    let lab = lab_of(&["files"]);
    let tree = lab.folder().join("tree");
    fs::create_dir_all(tree.join("inner")).expect("make folders");
    fs::hard_link(lab.folder().join("plain.txt"), tree.join("inner/hard")).expect("make a link");
    symlink(".", tree.join("loop")).expect("make a link");
    symlink("..", tree.join("inner/up")).expect("make a link");
    for line in ["-x l +D {dir}/tree", "-x +D {dir}/tree", "-xl +d {dir}/tree"] {
        let outcome = run(&lab, line);
        let found = String::from_utf8_lossy(&outcome.stdout).contains("plain.txt")
            || String::from_utf8_lossy(&outcome.stdout).contains("hard");
        assert_eq!(found, line.contains("+D"), "lsof {line}: {}", String::from_utf8_lossy(&outcome.stdout));
    }
}

/// A file system whose server does not answer, as a network mount that hangs.
#[test]
fn a_mount_that_hangs() {
    let mut lab = lab();
    lab.start("files");
    lab.start("hang");
    for line in [
        "-S 2 {dir}/hung",
        "-S 2 -p {hang.pid}",
        "-S 2 -nP",
        "-S 2 +D {dir}",
        "-S 2 +D {dir}/hung",
        "-S 2 +d {dir}/hung",
        "-S 2 -x f +D {dir}",
        "-b -p {hang.pid}",
        "-b -nP",
        "-b -w -nP",
        "-b -w {dir}/hung",
        "-b -S 2 -nP -i",
        "-O -b -p {files.pid}",
        "-S 2 -p {files.pid}",
        "-S 2 {dir}/plain.txt",
        "-p {files.pid}",
    ] {
        run(&lab, line);
    }
    // What does not hang is listed all the same.
    for line in ["-S 2 -p {files.pid}", "-b -w -p {files.pid}"] {
        let outcome = run(&lab, line);
        let text = String::from_utf8_lossy(&outcome.stdout);
        assert!(text.contains("plain.txt"), "lsof {line}: {text}");
        assert_eq!(outcome.status, Some(0), "lsof {line}");
    }
}

#[test]
fn wherever_it_stands() {
    let lab = lab_of(&["gone"]);
    // No working directory, no environment at all, no /dev, an unknown locale.
    let program = ours(&lab);
    let expected = run(&lab, "-a -p {gone.pid} -d cwd,0");
    let mut command = Command::new(&program);
    command.args(lab.fill("-a -p {gone.pid} -d cwd,0")).env_clear().env("LC_ALL", "xx_XX.nosuch");
    assert_eq!(lab.outcome(command).stdout, expected.stdout, "in an unknown locale");
    let mut command = Command::new("sh");
    let line = lab.fill("-a -p {gone.pid} -d cwd,0").join(" ");
    command.args(["-c", &format!("mkdir away && cd away && rmdir ../away && LC_ALL=C exec $0 {line}")]);
    command.arg(&program).current_dir(lab.folder());
    assert_eq!(lab.outcome(command).stdout, expected.stdout, "in a folder that is gone");
    compare(&lab, &[nothing("-p 999999999"), nothing("-g 2147483647"), rows("-p {gone.pid}")]);
}
