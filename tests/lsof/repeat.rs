//! Again and again: `-r` and `+r`.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::Stdio,
    sync::mpsc,
    thread,
};

use harness::{Lab, PATIENCE};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::{
    compare::{self, compare, diff, fails, fields, lab_of, nothing, ours, reference, rows},
    normal,
};

#[test]
fn cycles_that_end_by_themselves() {
    let lab = lab_of(&["lock"]);
    compare(
        &lab,
        &[
            rows("-r1c2m== -p {lock.pid}"),
            rows("-r1c1m---- -p {lock.pid}").maybe_empty(),
            rows("+r1c2m== -p {lock.pid}"),
            fields("-r1c2m== -Fpf -p {lock.pid}"),
            rows("-r1c2m==%Y== -p {lock.pid}"),
            rows("-r1c2m==%% -p {lock.pid}"),
            nothing("+r -p 999999"),
            nothing("+r1 -c nosuch"),
            nothing("+r1 -i :65000"),
            nothing("+r1m== -p 999999"),
            fails("-r0 -y"),
            fails("-r1q -p {lock.pid}"),
        ],
    );
}

#[test]
fn until_interrupted() {
    let lab = lab_of(&["lock", "threads"]);
    for (line, marker) in [
        ("-r1 -p {lock.pid}", "======="),
        ("-r 1 -p {lock.pid}", "======="),
        ("+r1 -p {lock.pid}", "======="),
        ("-r1 -p 999999", "======="),
        ("-r1m--%Y-- -p {lock.pid}", "--2"),
        ("-r1 -Fpf -p {lock.pid}", "m"),
        ("-r1 -F0pf -p {lock.pid}", "m"),
        ("-r1 -t -p {lock.pid}", "======="),
        ("-ar1 -p {lock.pid} -d cwd", "======="),
    ] {
        let cycles = |program: &Path| cycles(&lab, program, line, marker);
        let (expected, found) = (cycles(&reference()), cycles(&ours(&lab)));
        let difference = diff(&normal::exact(&expected), &normal::exact(&found));
        assert!(difference.is_empty(), "lsof {line}\n{difference}");
    }
}

/// What is printed up to the second line that begins with `marker`; then it is interrupted.
fn cycles(lab: &Lab, program: &Path, line: &str, marker: &str) -> Vec<u8> {
    const CYCLES: usize = 2;
    let mut command = compare::command(lab, program, None);
    command.args(lab.fill(line)).env("LC_ALL", "C").stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = lab.enter(|| command.spawn()).expect("start it");
    let pid = Pid::from_raw(child.id().cast_signed());
    let end = end_in_time(pid);
    let output = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut text = Vec::new();
    let mut left = CYCLES;
    for line in output.split(b'\n') {
        let line = line.expect("read what it prints");
        left -= usize::from(line.starts_with(marker.as_bytes()));
        text.extend(line);
        text.push(b'\n');
        if left == 0 {
            break;
        }
    }
    // If it has ended, it is not waited for yet: the signal meets no other process.
    kill(pid, Signal::SIGINT).expect("interrupt it");
    child.wait().expect("wait for it");
    drop(end);
    let all = String::from_utf8_lossy(&text);
    assert!(left == 0, "{} {line}: no {CYCLES} lines {marker:?}: {all}", program.display());
    text
}

/// Kills a process that has not ended in [`PATIENCE`]. What is returned is to be dropped when it has.
fn end_in_time(pid: Pid) -> mpsc::Sender<()> {
    let (end, ended) = mpsc::channel::<()>();
    thread::spawn(move || {
        if ended.recv_timeout(PATIENCE) == Err(mpsc::RecvTimeoutError::Timeout) {
            let _ = kill(pid, Signal::SIGKILL);
        }
    });
    end
}

/// `+r` ends when there is nothing to list any more, well if there ever was.
#[test]
fn until_there_is_nothing() {
    let outcome = |program: fn(&Lab) -> std::path::PathBuf| {
        let mut lab = lab_of(&["lock"]);
        let mut command = compare::command(&lab, &program(&lab), None);
        command.args(lab.fill("+r1 -p {lock.pid}")).env("LC_ALL", "C");
        let mut child =
            lab.enter(|| command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()).expect("start it");
        let end = end_in_time(Pid::from_raw(child.id().cast_signed()));
        let mut output = BufReader::new(child.stdout.take().expect("a pipe"));
        let mut text = String::new();
        while !text.contains("=======") {
            assert!(output.read_line(&mut text).expect("read what it prints") > 0, "it ends: {text}");
        }
        lab.end("lock");
        let rest: Vec<_> = output.lines().map(|line| line.expect("read what it prints")).collect();
        let code = child.wait().expect("wait for it").code();
        drop(end);
        (code, rest)
    };
    let (expected, found) = (outcome(|_| reference()), outcome(ours));
    assert_eq!(expected.0, Some(0), "the original's exit status");
    assert_eq!(expected.0, found.0, "exit status");
    // How many cycles there were before the process ended is a matter of time.
    let last = |rest: &[String]| rest.last().is_none_or(|line| line.starts_with("==="));
    assert_eq!(last(&expected.1), last(&found.1), "the last line: -{:?} +{:?}", expected.1, found.1);
}
