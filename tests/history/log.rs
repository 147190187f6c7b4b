//! Logs whose sums are known, in the format of docs/log.md.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::{Value, json};
use tempfile::TempDir;

/// Seconds of an interval.
const INTERVAL: u64 = 10;

/// A folder with a log: three files of six intervals each, from 2026-11-29T03:00:00Z on.
pub(crate) struct Log {
    pub(crate) folder: TempDir,
    pub(crate) files: Vec<PathBuf>,
    /// What was sent and received, by interval.
    pub(crate) sums: Vec<[u64; 2]>,
}

/// How files are compressed.
#[derive(Clone, Copy)]
pub(crate) enum Packing {
    Plain,
    Zstandard,
    Gzip,
}

impl Log {
    /// Writes one.
    pub(crate) fn write(packing: Packing) -> Self {
        let folder = TempDir::new().unwrap();
        let mut sums = Vec::new();
        let mut files = Vec::new();
        for file in 0..3 {
            let first = file * 6;
            let path = folder.path().join(format!("flowtally-web-{}.jsonl", compact(first)));
            let lines: Vec<String> = lines(first, &mut sums).iter().map(ToString::to_string).collect();
            fs::write(&path, lines.join("\n") + "\n").unwrap();
            files.push(packed(&path, packing));
        }
        Self { folder, files, sums }
    }

    /// What was sent and received in these intervals.
    pub(crate) fn sum(&self, intervals: std::ops::Range<usize>) -> [u64; 2] {
        self.sums[intervals].iter().fold([0, 0], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
    }
}

fn packed(path: &Path, packing: Packing) -> PathBuf {
    let (program, ending) = match packing {
        Packing::Plain => return path.to_owned(),
        Packing::Zstandard => ("zstd", "zst"),
        Packing::Gzip => ("gzip", "gz"),
    };
    let mut command = Command::new(program);
    if program == "zstd" {
        command.args(["--rm", "--quiet"]);
    }
    assert!(command.arg(path).status().unwrap().success(), "{program} {}", path.display());
    path.with_extension(format!("jsonl.{ending}"))
}

/// The moment at which an interval begins.
pub(crate) fn moment(interval: u64) -> String {
    let second = interval * INTERVAL;
    format!("2026-11-29T03:{:02}:{:02}.000Z", second / 60, second % 60)
}

fn compact(interval: u64) -> String {
    let moment = moment(interval);
    moment.replace(['-', ':'], "").replace(".000", "")
}

fn line(record: &str, interval: u64, fields: Value) -> Value {
    let mut line = json!({
        "schema": "flowtally.log/1", "record": record, "host": "web", "boot": "b-1", "run": "r-1", "interval": interval,
    });
    let Value::Object(fields) = fields else { panic!("{fields}") };
    line.as_object_mut().unwrap().extend(fields);
    line
}

/// Six intervals. The amounts are different for each row, so that a row that is missing or there twice shows in every sum.
fn lines(first: u64, sums: &mut Vec<[u64; 2]>) -> Vec<Value> {
    let mut lines =
        vec![line("start", first + 1, json!({"granularities": ["flow", "process"], "seconds": INTERVAL}))];
    for interval in first..first + 6 {
        let number = interval + 1;
        let mut rows = Vec::new();
        let mut sum = [0, 0];
        for flow in 0..20_u64 {
            let [sent, received] = [number * 1_000_003 + flow * 97, number * 7 + flow * flow];
            sum = [sum[0] + sent, sum[1] + received];
            let amounts = json!({
                "sent_bytes": sent, "sent_packets": flow + 1, "received_bytes": received, "received_packets": 1,
            });
            let owner = json!({
                "command": format!("worker{}", flow % 4), "pid": 800 + flow, "start_time": "2026-11-28T03:00:00.000Z",
                "executable": "/usr/bin/worker", "user": format!("user{}", flow % 3), "uid": 1000 + flow % 3,
                "container": "web.service", "netns": "host", "owner_reason": "connected",
            });
            let ends = json!({
                "protocol": "tcp", "local_address": "10.0.0.1", "local_port": 40_000 + flow,
                "remote_address": format!("192.0.2.{}", flow % 5), "remote_port": if flow % 2 == 0 { 443 } else { 5432 },
            });
            for (record, parts) in
                [("flow", vec![&owner, &ends, &amounts]), ("process", vec![&owner, &amounts])]
            {
                let mut fields = json!({"interface": "eth0"});
                for part in parts {
                    fields.as_object_mut().unwrap().extend(part.as_object().unwrap().clone());
                }
                rows.push(line(record, number, fields));
            }
        }
        sums.push(sum);
        lines.push(line("interval", number, json!({
            "start": moment(interval), "end": moment(interval + 1), "seconds": INTERVAL,
            "row_counts": {"flow": 20, "process": 20}, "late_ticks": 0, "degraded": [],
            "interfaces": [{
                "name": "eth0", "index": 2, "hook": "tcx", "degraded": [],
                "sent_bytes": sum[0], "sent_packets": 210, "received_bytes": sum[1], "received_packets": 20,
                "counted_bytes": sum[0] + sum[1], "counted_packets": 230,
            }],
        })));
        lines.extend(rows);
    }
    let before = lines.len();
    lines.push(line(
        "end",
        first + 6,
        json!({"time": moment(first + 6), "lines": before, "rows": before - 7, "reason": "rotated"}),
    ));
    lines
}
