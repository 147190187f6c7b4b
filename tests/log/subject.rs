//! A log, the traffic for it, and what its files come to.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use flowtally::{
    export::{self, LogStatus, LogWriter},
    flow::{ledger::Ledger, services::Services},
    log::{Compression, LogIntervals, LogSettings, SyncPolicy},
};
use flowtally_common::{Count, Direction, FlowKey, SocketHint};
use harness::{
    books::{self, SECOND},
    eventually,
    frames::NEAR_V4,
};
use serde_json::Value;

const PATIENCE: Duration = Duration::from_mins(2);

/// A log that is written by this process.
pub(crate) struct Subject {
    ledger: Ledger,
    intervals: LogIntervals,
    pub(crate) writer: LogWriter,
    /// Seconds go by more quickly than they do.
    began: SystemTime,
    second: u32,
    flows: u32,
    /// All that was sent.
    pub(crate) bytes: u64,
    said: Arc<Mutex<Vec<String>>>,
    longest: Duration,
}

/// Settings of a log in a folder: an interval each second, so that each is written.
pub(crate) fn settings(folder: &Path) -> LogSettings {
    LogSettings {
        folder: folder.to_owned(),
        interval: SECOND,
        compress: Compression::None,
        sync: SyncPolicy::Interval,
        ..LogSettings::default()
    }
}

impl Subject {
    /// So many conversations in each interval.
    pub(crate) fn new(settings: &LogSettings, flows: u32) -> Self {
        let said = Arc::<Mutex<Vec<String>>>::default();
        let say = {
            let said = Arc::clone(&said);
            move |text: &str| said.lock().unwrap().push(text.to_owned())
        };
        let identity = export::identity(None).unwrap();
        let writer = LogWriter::start(settings.clone(), identity, Services::default(), say).unwrap();
        let intervals = LogIntervals::new(settings.interval, SECOND, settings.max_flows);
        Self {
            ledger: books::ledger("eth0", 2, |_| ()),
            intervals,
            writer,
            began: SystemTime::now(),
            second: 0,
            flows,
            bytes: 0,
            said,
            longest: Duration::ZERO,
        }
    }

    /// A second goes by.
    pub(crate) fn tick(&mut self) {
        self.second += 1;
        for flow in 0..self.flows {
            let bytes = u64::from(60 + (flow * 31 + self.second * 17) % 1400);
            self.bytes += bytes;
            self.ledger.record(&key(flow, self.second), Count { bytes, packets: 1 }, SocketHint::NONE);
        }
        self.ledger.close(SECOND * self.second);
        let now = books::tick(self.began, self.second);
        let began = std::time::Instant::now();
        self.intervals.tick(&self.ledger.interval().unwrap(), now, &[], |fold| self.writer.try_send(fold));
        self.longest = self.longest.max(began.elapsed());
    }

    /// Seconds go by until it is so.
    pub(crate) fn tick_until(&mut self, what: &str, condition: impl Fn(&LogStatus) -> bool) -> LogStatus {
        eventually(what, || {
            self.tick();
            let status = self.writer.status();
            condition(&status).then_some(status)
        })
    }

    pub(crate) fn settle(&self) -> LogStatus {
        eventually("nothing waits", || {
            let status = self.writer.status();
            (status.queue == 0).then_some(status)
        })
    }

    /// Ends it. The longest that a tick was held up is not for the disk to decide.
    pub(crate) fn stop(mut self) -> (LogStatus, u64, String) {
        let status = self.writer.stop(self.intervals.finish(), PATIENCE).expect("it stops");
        assert!(self.longest < Duration::from_millis(500), "a tick took {:?}", self.longest);
        let said = self.said.lock().unwrap().join("\n");
        (status, self.bytes, said)
    }
}

fn key(flow: u32, second: u32) -> FlowKey {
    let far = std::net::Ipv4Addr::from_bits(0x0b00_0000 + flow % 97 + second % 5);
    FlowKey {
        src: NEAR_V4.to_ipv6_mapped().octets(),
        dst: far.to_ipv6_mapped().octets(),
        src_port: u16::try_from(20_000 + flow % 40_000).unwrap().to_be_bytes(),
        dst_port: 443_u16.to_be_bytes(),
        ifindex: 2,
        protocol: 6,
        direction: Direction::Egress as u8,
        vlan: 0,
    }
}

/// What files say.
#[derive(Debug, Default)]
pub(crate) struct Told {
    pub(crate) bytes: u64,
    pub(crate) last: u64,
    pub(crate) most_carried: u64,
    pub(crate) intervals: u64,
}

/// In the order of their names.
pub(crate) fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}

/// The records of a file.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap();
    if file.extension().is_none_or(|ending| ending != "csv") {
        return text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    }
    let mut reader = csv::Reader::from_reader(text.as_bytes());
    let names = reader.headers().unwrap().clone();
    let mut lines: Vec<Value> = Vec::new();
    for record in reader.records() {
        let record = record.unwrap();
        let cells = names.iter().zip(&record).filter(|(_, cell)| !cell.is_empty());
        let value = |cell: &str| cell.parse::<u64>().map_or_else(|_| Value::from(cell), Value::from);
        let line: Value = cells.map(|(name, cell)| (name.to_owned(), value(cell))).collect();
        // What an interface counted is a line of its own.
        if line["record"] == "interval" && line.get("interface").is_some() {
            let interval = lines.iter_mut().rfind(|line| line["record"] == "interval").unwrap();
            let interfaces = interval
                .as_object_mut()
                .unwrap()
                .entry("interfaces")
                .or_insert_with(|| Value::Array(Vec::new()));
            interfaces.as_array_mut().unwrap().push(line);
        } else {
            lines.push(line);
        }
    }
    lines
}

/// Reads closed files: intervals without a gap, each of which adds up in flows and in processes.
pub(crate) fn told(files: &[PathBuf]) -> Told {
    let mut told = Told::default();
    for file in files {
        let lines = lines(file);
        assert_eq!(lines[0]["record"], "start");
        assert_eq!(lines[lines.len() - 1]["record"], "end", "{} is closed", file.display());
        let mut open: Option<(u64, [u64; 2])> = None;
        for line in &lines[1..] {
            let bytes = |line: &Value| {
                line["sent_bytes"].as_u64().unwrap() + line["received_bytes"].as_u64().unwrap()
            };
            let by = if line["record"] == "other" { &line["of"] } else { &line["record"] };
            match by.as_str().unwrap() {
                "interval" | "end" => {
                    if let Some((wanted, sums)) = open.take() {
                        assert_eq!([wanted; 2], sums, "{line}");
                        told.bytes += wanted;
                    }
                    if line["record"] == "interval" {
                        let (number, carried) =
                            (line["interval"].as_u64().unwrap(), line["carried"].as_u64().unwrap_or(0));
                        assert_eq!(number - carried, told.last + 1, "none is missing");
                        (told.last, told.most_carried) = (number, told.most_carried.max(carried));
                        told.intervals += 1;
                        open = Some((line["interfaces"][0]["counted_bytes"].as_u64().unwrap(), [0; 2]));
                    }
                }
                "flow" => open.as_mut().unwrap().1[0] += bytes(line),
                "process" => open.as_mut().unwrap().1[1] += bytes(line),
                other => panic!("{other}"),
            }
        }
    }
    told
}
