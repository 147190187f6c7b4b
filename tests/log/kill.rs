//! A process that writes a log and is killed in the middle of it.

use std::{
    env, fs,
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Command, Stdio},
};

use flowtally::log::{LogFormat, LogSettings};
use harness::agent::program;
use serde_json::Value;

use crate::subject::{Subject, files, settings, told};

/// The folder that a child writes to.
const FOLDER: &str = "FLOWTALLY_TEST_LOG";

/// What lines look like there.
const FORMAT: &str = "FLOWTALLY_TEST_LOG_FORMAT";

/// Its settings, in the child and beside it.
fn settings_of(folder: &Path, format: LogFormat) -> LogSettings {
    LogSettings { format, ..settings(folder) }
}

/// What the child does: it says how many intervals are written, until it is killed.
#[test]
#[ignore = "the child of another test"]
fn child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let format = env::var(FORMAT).unwrap().parse().unwrap();
    let mut subject = Subject::new(&settings_of(Path::new(&folder), format), 400);
    loop {
        subject.tick();
        println!("written {}", subject.writer.status().last_interval);
    }
}

#[test]
fn a_kill_costs_what_was_not_written_yet_and_no_more() {
    for format in [LogFormat::JsonLines, LogFormat::Csv] {
        kill_in(format);
    }
}

fn kill_in(format: LogFormat) {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("log");
    let mut numbers = Vec::new();
    for round in 1..=6_u64 {
        let mut child = Command::new(env::current_exe().unwrap())
            .args(["--exact", "kill::child", "--ignored", "--nocapture"])
            .env(FOLDER, &folder)
            .env(FORMAT, format.to_string())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let wanted = numbers.last().copied().unwrap_or(0) + 3 * round;
        let written = lines.find_map(|line| {
            let number: u64 = line.unwrap().strip_prefix("written ")?.parse().ok()?;
            (number > wanted).then_some(number)
        });
        child.kill().unwrap();
        child.wait().unwrap();
        numbers.push(written.expect("the child writes"));
    }
    // The next start closes what the last one left.
    let mut subject = Subject::new(&settings_of(&folder, format), 1);
    subject.tick_until("an interval", |status| status.intervals > 0);
    let (status, ..) = subject.stop();
    assert_eq!(status.recovered_files, 1);
    let files = files(&folder);
    assert_eq!(files.len(), 7);
    let told = told(&files);
    assert!(told.last > *numbers.last().unwrap(), "what was said to be written is there");
    // What was recovered is read back as a whole.
    let document = history(&folder);
    let total = &document["total"];
    let bytes = total["sent_bytes"].as_u64().unwrap() + total["received_bytes"].as_u64().unwrap();
    assert_eq!(
        (bytes, &document["intervals"]),
        (told.bytes, &told.intervals.into()),
        "{}",
        document["notes"]
    );
}

/// A line that a crash tore, with the interval that it was in.
#[test]
fn a_torn_line_is_cut_off_and_its_interval_adds_up() {
    for format in [LogFormat::JsonLines, LogFormat::Csv] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let mut subject = Subject::new(&settings_of(&folder, format), 40);
        subject.tick_until("intervals", |status| status.intervals > 3);
        let (_, sent, _) = subject.stop();
        let [file] = &files(&folder)[..] else { panic!("one file") };
        let text = fs::read(file).unwrap();
        // The last line says that the file is closed; what is torn is the row before it.
        let ends: Vec<usize> =
            text.iter().enumerate().filter_map(|(at, byte)| (*byte == b'\n').then_some(at)).collect();
        let torn = ends[ends.len() - 3] + 20;
        fs::File::options().write(true).open(file).unwrap().set_len(torn as u64).unwrap();
        let mut subject = Subject::new(&settings_of(&folder, format), 1);
        subject.tick_until("an interval", |status| status.intervals > 0);
        let (status, more, said) = subject.stop();
        assert_eq!((status.recovered_files, status.torn_bytes), (1, 19), "{said}");
        assert!(
            said.contains("19 bytes of a torn last line were cut off") && said.contains("in `other`"),
            "{said}"
        );
        assert_eq!(told(&files(&folder)).bytes, sent + more, "{format}");
        let document = history(&folder);
        let row = &document["total"];
        assert_eq!(
            row["sent_bytes"].as_u64().unwrap() + row["received_bytes"].as_u64().unwrap(),
            sent + more
        );
        let other =
            document["process"].as_array().unwrap().iter().find(|row| row.get("other").is_some()).unwrap();
        assert!(other["sent_bytes"].as_u64().unwrap() > 0, "{other}");
    }
}

/// What the program makes of a log.
fn history(folder: &Path) -> Value {
    let output = Command::new(program())
        .args(["history", "--by", "process", "--format", "json"])
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}
