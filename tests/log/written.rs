//! How files are written: when the disk must have them, and whose they are.

use std::{
    env, fs,
    os::unix::fs::MetadataExt as _,
    path::Path,
    process::{Command, Stdio},
};

use flowtally::log::{Compression, LogFormat, LogSettings, SyncPolicy};

use crate::subject::{Subject, files, settings, told};

/// The folder that a child writes to, and when the disk must have it.
const FOLDER: &str = "FLOWTALLY_TEST_SYNCED_LOG";
const POLICY: &str = "FLOWTALLY_TEST_SYNC";
/// Intervals that it writes.
const INTERVALS: u64 = 7;

/// What the child does: a log of one file, closed at the end.
#[test]
#[ignore = "the child of another test"]
fn synced_child() {
    let Some(folder) = env::var_os(FOLDER) else { return };
    let sync = match &*env::var(POLICY).unwrap() {
        "never" => SyncPolicy::Never,
        "interval" => SyncPolicy::Interval,
        "close" => SyncPolicy::Close,
        other => panic!("{other}"),
    };
    let mut subject = Subject::new(&LogSettings { sync, ..settings(Path::new(&folder)) }, 20);
    while subject.writer.status().intervals < INTERVALS {
        subject.tick();
        subject.settle();
    }
    subject.stop();
}

#[test]
fn the_disk_has_what_was_written_when_the_setting_says() {
    for (policy, each, closed) in [("never", 0, 0), ("interval", INTERVALS, 1), ("close", 0, 1)] {
        let folder = tempfile::tempdir().unwrap();
        let (log, trace) = (folder.path().join("log"), folder.path().join("trace"));
        let status = Command::new("strace")
            .args(["-f", "-y", "-e", "trace=fsync,fdatasync", "-o"])
            .arg(&trace)
            .arg(env::current_exe().unwrap())
            .args(["--exact", "written::synced_child", "--ignored"])
            .env(FOLDER, &log)
            .env(POLICY, policy)
            .stdout(Stdio::null())
            .status()
            .expect("strace");
        assert!(status.success(), "{policy}");
        let trace = fs::read_to_string(&trace).unwrap();
        let calls = |call: &str| {
            trace.lines().filter(|line| line.contains(call) && line.contains(".jsonl>")).count() as u64
        };
        // The last interval, which is less than whole, is written at the end.
        let intervals = calls("fdatasync(");
        assert!(if each == 0 { intervals == 0 } else { intervals >= each }, "{policy}: {trace}");
        assert_eq!(calls("fsync("), closed, "{policy}: {trace}");
        assert!(told(&files(&log)).intervals >= INTERVALS);
    }
}

#[test]
fn files_have_the_group_that_is_set_compressed_too() {
    const GROUP: u32 = 34_567;
    for compress in [Compression::None, Compression::Zstd(1), Compression::Gzip(1)] {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("log");
        let settings = LogSettings { group: Some(GROUP), mode: 0o640, compress, ..settings(&folder) };
        let mut subject = Subject::new(&settings, 20);
        subject.tick_until("an interval", |status| status.intervals > 1);
        subject.stop();
        let [file] = &files(&folder)[..] else { panic!("one file") };
        let there = fs::metadata(file).unwrap();
        assert_eq!((there.gid(), there.mode() & 0o7777), (GROUP, 0o640), "{}", file.display());
        assert_eq!(file.extension().unwrap().to_str(), compress.extension().or(Some("jsonl")));
    }
}

#[test]
fn a_log_of_csv_says_what_one_of_json_lines_says() {
    let [json, csv] = [LogFormat::JsonLines, LogFormat::Csv].map(|format| {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let mut subject = Subject::new(&LogSettings { format, ..settings(&log) }, 60);
        for _ in 0..12 {
            subject.tick();
            subject.settle();
        }
        let (status, sent, said) = subject.stop();
        assert_eq!(said, "");
        let files = files(&log);
        assert!(files.iter().all(|file| file.extension().unwrap() == format.extension()));
        let told = told(&files);
        assert_eq!((told.bytes, told.intervals), (sent, status.intervals));
        sent
    });
    assert_eq!(json, csv);
}
