//! The log of `flowtally agent` as a reader finds it, and the sums that hold in it.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use serde_json::Value;

/// Every record of a folder, in the order in which they were written.
#[derive(Debug)]
pub struct LoggedRecords {
    /// A line each.
    pub records: Vec<Value>,
}

/// Bytes and packets.
pub type LoggedSum = [i64; 2];

impl LoggedRecords {
    /// Reads the files of a folder, closed ones and the one that is written.
    #[must_use]
    pub fn read(folder: &Path) -> Self {
        let mut names: Vec<_> = fs::read_dir(folder)
            .unwrap_or_else(|error| panic!("read {}: {error}", folder.display()))
            .map(|entry| entry.expect("an entry of the log's folder").file_name())
            .map(|name| name.into_string().expect("a name in ASCII"))
            .collect();
        names.sort();
        // A file that is being compressed has both names.
        let closed: Vec<_> =
            names.iter().filter_map(|name| name.strip_suffix(".zst")).map(str::to_owned).collect();
        names.retain(|name| name.strip_suffix(".tmp").is_none() && !closed.contains(name));
        let mut records = Vec::new();
        for name in names {
            let path = folder.join(&name);
            let text = if name.strip_suffix(".zst").is_some() {
                let output =
                    Command::new("zstd").arg("-dc").arg(&path).output().expect("zstd: install it with apt");
                assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
                String::from_utf8(output.stdout).expect("lines of UTF-8")
            } else {
                fs::read_to_string(&path).expect("a file of the log")
            };
            records.extend(text.lines().map(|line| serde_json::from_str::<Value>(line).expect(line)));
        }
        Self { records }
    }

    /// Records of a kind.
    pub fn of(&self, record: &str) -> impl Iterator<Item = &Value> {
        self.records.iter().filter(move |value| value["record"] == record)
    }

    /// In every interval, for every interface and granularity, the parts come to what was counted. The result is all that was counted
    /// on an interface.
    #[must_use]
    pub fn add_up(&self, interface: &str) -> LoggedSum {
        let mut total = LoggedSum::default();
        let mut granularities = Vec::new();
        let (mut open, mut before): (Option<&Value>, Option<&Value>) = (None, None);
        let mut rows: BTreeMap<(String, String), LoggedSum> = BTreeMap::new();
        let mut numbers = Vec::new();
        for record in &self.records {
            match record["record"].as_str().expect("a word") {
                "start" => {
                    granularities = record["granularities"]
                        .as_array()
                        .expect("a list")
                        .iter()
                        .map(|name| name.as_str().expect("a word"))
                        .collect();
                }
                "interval" => {
                    settle(open.take(), &rows, &granularities);
                    rows.clear();
                    numbers.push(
                        record["interval"].as_i64().expect("a number")
                            - record["carried"].as_i64().unwrap_or(0),
                    );
                    numbers.push(record["interval"].as_i64().expect("a number"));
                    for found in record["interfaces"].as_array().expect("a list") {
                        if found["name"] == interface {
                            add(&mut total, amounts(found, "counted_"));
                        }
                    }
                    if let Some(before) = before.replace(record)
                        && before["run"] == record["run"]
                        && record["clock_step_seconds"].is_null()
                    {
                        assert_eq!(before["end"], record["start"], "one lies behind the other");
                    }
                    open = Some(record);
                }
                "end" => settle(open.take(), &rows, &granularities),
                kind => {
                    let of = if kind == "other" { record["of"].as_str().expect("a word") } else { kind };
                    let key = (of.to_owned(), record["interface"].as_str().expect("a word").to_owned());
                    let sum = rows.entry(key).or_default();
                    add(sum, amounts(record, "sent_"));
                    add(sum, amounts(record, "received_"));
                }
            }
        }
        settle(open, &rows, &granularities);
        for pair in numbers.chunks(2).collect::<Vec<_>>().windows(2) {
            assert_eq!(pair[1][0], pair[0][1] + 1, "no interval is missing: {numbers:?}");
        }
        total
    }
}

fn settle(interval: Option<&Value>, rows: &BTreeMap<(String, String), LoggedSum>, granularities: &[&str]) {
    let Some(interval) = interval else { return };
    for interface in interval["interfaces"].as_array().expect("a list") {
        let name = interface["name"].as_str().expect("a word");
        for granularity in granularities {
            let key = ((*granularity).to_owned(), name.to_owned());
            let mut parts = rows.get(&key).copied().unwrap_or_default();
            for part in ["untracked_", "unparsed_", "repeated_", "left_out_"] {
                add(&mut parts, amounts(interface, part));
            }
            assert_eq!(parts, amounts(interface, "counted_"), "{granularity} on {name}: {interval}");
            // An agent has no net boundary: what is left out did not match the filter.
            let mut filtered = amounts(interface, "filtered_ingress_");
            add(&mut filtered, amounts(interface, "filtered_egress_"));
            assert_eq!(filtered, amounts(interface, "filtered_"), "{interval}");
            assert_eq!(filtered, amounts(interface, "left_out_"), "{interval}");
        }
    }
}

/// Bytes and packets whose names begin so.
#[must_use]
pub fn amounts(record: &Value, prefix: &str) -> LoggedSum {
    ["bytes", "packets"].map(|unit| {
        let name = format!("{prefix}{unit}");
        record[&name].as_i64().unwrap_or_else(|| panic!("no {name} in {record}"))
    })
}

/// Adds to a sum.
pub fn add(sum: &mut LoggedSum, more: LoggedSum) {
    sum.iter_mut().zip(more).for_each(|(sum, more)| *sum += more);
}
