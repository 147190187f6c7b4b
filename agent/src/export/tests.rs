//! The log on real files: what was sent is what they say, whatever is done to them meanwhile.

use std::{
    fs,
    io::Read as _,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::*;
use crate::log::{
    Compression, Granularity, LogFormat, LogIntervals,
    files::LogFileName,
    fixtures::{BEGIN, SECOND, Sums, World, identity},
};

/// Longest wait for a thread.
const PATIENCE: Duration = Duration::from_mins(1);

/// A log under test, and the traffic for it.
struct Subject {
    /// Goes with everything in it.
    _folder: TempDir,
    settings: LogSettings,
    intervals: LogIntervals,
    world: World,
    /// The world's time, in milliseconds since 1970.
    clock: Arc<AtomicU64>,
    said: Arc<Mutex<Vec<String>>>,
    writer: Option<LogWriter>,
}

impl Subject {
    fn new(change: impl FnOnce(&mut LogSettings)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let mut settings = LogSettings {
            folder: folder.path().join("log"),
            interval: SECOND * 5,
            granularities: Granularity::ALL.to_vec(),
            compress: Compression::None,
            ..LogSettings::default()
        };
        change(&mut settings);
        let intervals = LogIntervals::new(settings.interval, SECOND, settings.max_flows);
        let said = Arc::default();
        let mut subject = Self {
            clock: Arc::new(AtomicU64::new(u64::try_from(BEGIN.as_millis()).unwrap())),
            _folder: folder,
            settings,
            intervals,
            world: World::new(1, 2, 40),
            said,
            writer: None,
        };
        subject.start();
        subject
    }

    fn start(&mut self) {
        let said = Arc::clone(&self.said);
        let say = move |text: &str| said.lock().unwrap().push(text.to_owned());
        let clock = Arc::clone(&self.clock);
        let now = move || SystemTime::UNIX_EPOCH + Duration::from_millis(clock.load(Ordering::Relaxed));
        let (writer, writing, upkeep) =
            LogWriter::with_clock(self.settings.clone(), identity(), Services::default(), say, Arc::new(now));
        thread::spawn(move || upkeep.run(&OpenDoor));
        thread::spawn(move || writing.run(&OpenDoor));
        self.writer = Some(writer);
    }

    fn writer(&self) -> &LogWriter {
        self.writer.as_ref().unwrap()
    }

    /// So many seconds go by.
    fn run(&mut self, seconds: u32) {
        for _ in 0..seconds {
            let writer = self.writer.as_ref().unwrap();
            self.world.tick(&mut self.intervals, &mut |fold| writer.try_send(fold));
            let now = self.world.clock.wall.duration_since(SystemTime::UNIX_EPOCH).unwrap();
            self.clock.store(u64::try_from(now.as_millis()).unwrap(), Ordering::Relaxed);
        }
    }

    /// Waits until nothing waits to be written.
    fn settle(&self) -> LogStatus {
        self.wait("everything is written", |status| status.queue == 0)
    }

    fn wait(&self, what: &str, condition: impl Fn(&LogStatus) -> bool) -> LogStatus {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let status = self.writer().status();
            if condition(&status) {
                return status;
            }
            assert!(Instant::now() < deadline, "not so: {what}: {status:?}");
            thread::sleep(Duration::from_millis(5));
        }
    }

    fn stop(&mut self) -> LogStatus {
        let last = self.intervals.finish();
        self.writer.take().unwrap().stop(last, PATIENCE).expect("it stops")
    }

    fn files(&self) -> Vec<PathBuf> {
        files(&self.settings.folder)
    }

    fn wait_compressed(&self) {
        let is_done =
            |file: &PathBuf| file.extension().is_some_and(|ending| ending == "zst" || ending == "gz");
        eventually("every file is compressed", || self.files().iter().all(is_done));
    }

    fn said(&self) -> String {
        self.said.lock().unwrap().join("\n")
    }

    /// What all files come to.
    fn sums(&self) -> Sums {
        let mut sums = Sums::default();
        for file in self.files() {
            sums.add_file(&read(&file), true);
        }
        sums
    }
}

/// What a program of the system makes of a file.
fn printed(program: &str, file: &Path) -> String {
    let output = Command::new(program).arg("-dc").arg(file).output().unwrap();
    assert!(output.status.success(), "{program}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// In the order of their names.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

fn read(file: &Path) -> String {
    let mut text = String::new();
    let raw = fs::File::open(file).unwrap();
    match file.extension().and_then(|ending| ending.to_str()) {
        Some("zst") => zstd::Decoder::new(raw).unwrap().read_to_string(&mut text).unwrap(),
        Some("gz") => flate2::read::GzDecoder::new(raw).read_to_string(&mut text).unwrap(),
        _ => (&raw).read_to_string(&mut text).unwrap(),
    };
    text
}

#[test]
fn what_was_sent_is_in_closed_files() {
    let mut subject = Subject::new(|settings| settings.mode = 0o604);
    subject.run(23);
    let status = subject.stop();
    assert_eq!(status.last_error, None);
    let sums = subject.sums();
    sums.check(&subject.world);
    assert_eq!(
        (status.rows, status.intervals, status.last_interval),
        (sums.rows, sums.intervals, sums.intervals)
    );
    let [file] = &subject.files()[..] else { panic!("one file") };
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o7777, 0o604);
    let name = LogFileName::parse(file.file_name().unwrap().to_str().unwrap()).unwrap();
    assert_eq!((&*name.host, name.format), ("web-1", LogFormat::JsonLines));
    assert_eq!(subject.said(), "");
}

#[test]
fn full_files_are_compressed_and_a_reader_of_the_system_takes_them() {
    for (compress, program) in [(Compression::Zstd(3), "zstd"), (Compression::Gzip(6), "gzip")] {
        let mut subject = Subject::new(|settings| {
            settings.compress = compress;
            settings.rotate_size = Some(64 * 1024);
        });
        for _ in 0..30 {
            subject.run(5);
            subject.settle();
        }
        let status = subject.stop();
        // The end waited for them.
        assert_eq!(status.compressed_files, subject.files().len() as u64);
        subject.wait_compressed();
        assert!(subject.files().len() > 2);
        subject.sums().check(&subject.world);
        for file in subject.files() {
            assert_eq!(printed(program, &file), read(&file));
        }
        assert_eq!(subject.said(), "");
    }
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "not so: {what}");
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn numbers_go_on_across_runs() {
    for compress in [Compression::None, Compression::Zstd(1)] {
        let mut subject = Subject::new(|settings| settings.compress = compress);
        for run in 0..3 {
            if run > 0 {
                subject.start();
            }
            subject.run(12);
            subject.stop();
            if compress != Compression::None {
                subject.wait_compressed();
            }
        }
        // Files of one second are told apart by their numbers.
        let sums = subject.sums();
        sums.check(&subject.world);
        assert_eq!(sums.intervals, sums.last_interval);
        assert_eq!(subject.files().len(), 3);
        assert_eq!(subject.said(), "");
    }
}

/// Numbers of intervals are one run's after the other: the second waits until the folder is free, and then has all that it counted.
#[test]
fn two_do_not_write_in_one_folder() {
    let mut first = Subject::new(|settings| settings.compress = Compression::Zstd(1));
    first.run(5);
    first.settle();
    let folder = first.settings.folder.clone();
    let mut second = Subject::new(|settings| settings.folder = folder);
    second.run(5);
    second.wait("it cannot write", |status| status.is_failing && status.carried == 1);
    assert!(second.said().contains("another agent writes to it"), "{}", second.said());
    first.run(5);
    assert_eq!(first.stop().last_error, None);
    second.run(5);
    second.stop();
    let sums = second.sums();
    assert_eq!((sums.intervals, sums.last_interval), (4, 4));
    let mut counted = first.world.counted;
    counted.add(second.world.counted);
    assert_eq!(sums.counted, counted);
}

#[test]
fn a_file_or_folder_that_is_taken_away_is_made_again() {
    let mut subject = Subject::new(|_| ());
    subject.run(5);
    subject.settle();
    // Renamed, as logrotate does it without telling.
    let [first] = &subject.files()[..] else { panic!("one file") };
    let away = subject.settings.folder.with_extension("1");
    fs::rename(first, &away).unwrap();
    subject.run(5);
    subject.settle();
    let mut sums = Sums::default();
    sums.add_file(&read(&away), true);
    assert_eq!((subject.files().len(), sums.intervals), (1, 1));
    // The whole folder.
    let folder = subject.settings.folder.clone();
    let moved = folder.with_extension("moved");
    fs::rename(&folder, &moved).unwrap();
    subject.run(5);
    subject.settle();
    for file in files(&moved).into_iter().chain(subject.files()) {
        sums.add_file(&read(&file), file.starts_with(&moved));
    }
    assert_eq!(sums.intervals, 3);
    // Removed: what was in it is gone, and no more than that.
    fs::remove_dir_all(&folder).unwrap();
    subject.run(5);
    subject.settle();
    subject.stop();
    let text = read(&subject.files()[0]);
    assert!(
        text.lines().nth(1).unwrap().contains(r#""record":"interval""#) && text.contains(r#""interval":4,"#)
    );
    assert_eq!(subject.said(), "");
}

#[test]
fn a_file_that_is_emptied_begins_again() {
    let mut subject = Subject::new(|_| ());
    subject.run(5);
    subject.settle();
    let [file] = &subject.files()[..] else { panic!("one file") };
    // What logrotate's copytruncate does.
    let copy = file.with_extension("1");
    fs::copy(file, &copy).unwrap();
    fs::File::options().write(true).open(file).unwrap().set_len(0).unwrap();
    subject.run(10);
    subject.stop();
    let mut sums = Sums::default();
    sums.add_file(&read(&copy), false);
    sums.add_file(&read(file), true);
    sums.check(&subject.world);
    assert_eq!(subject.files().len(), 2);
}

#[test]
fn what_somebody_else_writes_is_left_to_him() {
    let mut subject = Subject::new(|_| ());
    subject.run(5);
    subject.settle();
    let [file] = &subject.files()[..] else { panic!("one file") };
    let before = read(file);
    fs::write(file, before.clone() + "mine\n").unwrap();
    subject.run(5);
    subject.stop();
    assert!(read(file) == before.clone() + "mine\n");
    let mut sums = Sums::default();
    sums.add_file(&before, false);
    sums.add_file(&read(&subject.files()[1]), true);
    sums.check(&subject.world);
    assert!(subject.said().contains("somebody else wrote to"));
}

#[test]
fn a_file_is_closed_when_another_one_is_asked_for() {
    let mut subject = Subject::new(|_| ());
    subject.run(5);
    subject.settle();
    subject.writer().reopen();
    subject.run(5);
    subject.settle();
    let other = LogSettings {
        granularities: vec![Granularity::User],
        format: LogFormat::JsonLines,
        ..subject.settings.clone()
    };
    subject.writer().set(other, Some("tcp".to_owned()));
    subject.run(5);
    subject.stop();
    assert_eq!(subject.files().len(), 3);
    let last = read(&subject.files()[2]);
    assert!(last.starts_with(r#"{"schema":"flowtally.log/1","record":"start""#));
    assert!(last.contains(r#""granularities":["user"]"#) && last.contains(r#""filter":"tcp""#));
    assert!(last.contains(&format!(r#""previous":"{}""#, subject.files()[1].file_name().unwrap().display())));
    let mut sums = Sums::default();
    subject.files().iter().for_each(|file| sums.add_file(&read(file), true));
    assert_eq!((sums.intervals, sums.counted), (3, subject.world.counted));
}

/// Moments in names, of the files in their order, beside the first moment that is in each.
fn begins(subject: &Subject) -> Vec<(u64, u64)> {
    let of = |file: &PathBuf| {
        let name = LogFileName::parse(file.file_name().unwrap().to_str().unwrap()).unwrap();
        let first = read(file)
            .lines()
            .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
            .filter_map(|line| humantime::parse_rfc3339(line["start"].as_str()?).ok())
            .map(|start| start.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs())
            .min();
        (name.begun, first.unwrap())
    };
    subject.files().iter().map(of).collect()
}

#[test]
fn nothing_in_a_file_is_before_the_moment_in_its_name() {
    let mut subject = Subject::new(|settings| settings.rotate_size = Some(64 * 1024));
    for step in 0..24_u32 {
        match step {
            // Another file is asked for in the middle of an interval.
            4 => {
                subject.run(3);
                subject.writer().reopen();
                subject.wait("another file is there", |status| status.file_bytes < 2000);
                subject.run(2);
            }
            // The clock is set back behind the beginning of the file that is written.
            8 => subject.world.clock.wall -= SECOND * 7200,
            _ => subject.run(5),
        }
        subject.settle();
    }
    subject.stop();
    let begins = begins(&subject);
    assert!(begins.len() > 5, "{begins:?}");
    for (named, first) in &begins {
        assert_eq!(named, first, "{begins:?}");
    }
    assert!(begins.is_sorted());
    // By the clock as it was set the last ones are first.
    let mut texts: Vec<String> = subject.files().iter().map(|file| read(file)).collect();
    let number = |text: &String| {
        let line: serde_json::Value = serde_json::from_str(text.lines().next().unwrap()).unwrap();
        line["interval"].as_u64().unwrap()
    };
    assert!(!texts.is_sorted_by_key(number));
    texts.sort_by_key(number);
    let mut sums = Sums::default();
    for text in &texts {
        sums.add_file(text, true);
    }
    sums.check(&subject.world);
    assert_eq!(subject.said(), "");
}

#[test]
fn files_that_are_too_many_go() {
    let mut subject = Subject::new(|settings| {
        settings.rotate_size = Some(64 * 1024);
        settings.keep_files = Some(3);
        settings.compress = Compression::Zstd(1);
    });
    for _ in 0..60 {
        subject.run(5);
        subject.settle();
    }
    let status = subject.stop();
    assert!(subject.files().len() <= 3);
    assert!(status.rows > 0);
    let newest = subject.files().pop().unwrap();
    assert!(read(&newest).contains(r#""reason":"stopped""#));
}

/// Cut anywhere, as a kill or a crash may leave it, a file is whole again, and what it says adds up.
#[test]
fn a_file_that_is_cut_anywhere_adds_up_again() {
    let mut subject = Subject::new(|_| ());
    subject.run(13);
    subject.stop();
    let [file] = &subject.files()[..] else { panic!("one file") };
    let whole = fs::read(file).unwrap();
    let end = whole[..whole.len() - 1].iter().rposition(|byte| *byte == b'\n').unwrap() + 1;
    let mut cuts: Vec<usize> =
        (0..150).map(|_| usize::try_from(subject.world.random.below(end as u64)).unwrap()).collect();
    cuts.extend([0, 1, end - 1, end]);
    let record =
        |text: &[u8]| text.windows(20).filter(|bytes| bytes.starts_with(b"\"record\":\"interval\"")).count();
    for cut in cuts {
        fs::write(file, &whole[..cut]).unwrap();
        subject.start();
        subject.wait("a file is there", |status| status.file.is_some());
        let number = {
            let mut sums = Sums::default();
            let left: Vec<_> = subject.files().into_iter().filter(|other| other == file).collect();
            if let [file] = &left[..] {
                sums.add_file(&read(file), true);
                assert!(sums.intervals >= record(&whole[..cut]) as u64 - 1);
            }
            sums.last_interval
        };
        subject.world.clock.wall += SECOND * 100;
        subject.intervals = LogIntervals::new(subject.settings.interval, SECOND, 100);
        subject.run(1);
        let status = subject.stop();
        assert_eq!(status.last_interval, number + 1, "cut at {cut}");
        assert_eq!(status.last_error, None);
        for other in subject.files() {
            fs::remove_file(other).unwrap();
        }
    }
    assert!(subject.said().contains("of a torn last line were cut off"));
}
