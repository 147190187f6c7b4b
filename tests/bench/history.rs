//! Reading the log back, beside three other ways to read it: all come to the same sums.

use std::{
    env,
    ffi::OsString,
    fs::{self, File},
    io::Read as _,
    path::{Path, PathBuf},
    process::Command,
};

use flowtally::log::{Compression, LogSettings};
use harness::agent;
use serde_json::Value;

use crate::{
    mix::{Logged, write_log},
    table::{Table, median, verdict},
};

/// The Python that has the modules `duckdb` and `chdb`: `cargo xtask bench` makes one.
const PYTHON: &str = "FLOWTALLY_READERS";
/// What the target is for.
const GIGABYTE: u64 = 1_000_000_000;
/// Seconds.
const TARGET: f64 = 6.0;

/// Bytes by remote address, sent and received together: a question that takes every row of flows.
const JQ: &str = "select(.record == \"flow\") | [.remote_address, .sent_bytes + .received_bytes] | @tsv";
/// Adds them up: an object that jq itself adds to is copied for each row.
const AWK: &str = r#"{ sum[$1] += $2 }
END { printf "{"; for (address in sum) { printf "%s\"%s\":%.0f", comma, address, sum[address]; comma = "," } print "}" }"#;

const DUCKDB: &str = "import duckdb, json, sys
duckdb.sql('set threads = 2')
rows = duckdb.sql(f\"\"\"select remote_address, sum(sent_bytes + received_bytes)::BIGINT
    from read_json('{sys.argv[1]}/*.jsonl*', format = 'newline_delimited', columns = {{record: 'VARCHAR', remote_address: 'VARCHAR',
        sent_bytes: 'BIGINT', received_bytes: 'BIGINT'}}) where record = 'flow' group by 1\"\"\").fetchall()
json.dump(dict(rows), open(sys.argv[2], 'w'))";

const CHDB: &str = "import chdb, json, sys
text = chdb.query(f\"\"\"select remote_address, toUInt64(sum(sent_bytes + received_bytes))
    from file('{sys.argv[1]}/*.jsonl*', JSONEachRow, 'record String, remote_address String, sent_bytes UInt64, received_bytes UInt64')
    where record = 'flow' group by 1 settings max_threads = 2, output_format_json_quote_64bit_integers = 0\"\"\", 'JSONCompactEachRow')
json.dump(dict(json.loads(line) for line in str(text).splitlines() if line), open(sys.argv[2], 'w'))";

/// A way to read the log.
struct Reader {
    name: &'static str,
    command: Vec<OsString>,
    /// How often it is measured: one takes most of a minute.
    rounds: usize,
    /// Where its answer is.
    answer: PathBuf,
}

/// What a run takes: seconds, seconds of processor time, and MB.
#[derive(Clone, Copy, Default)]
struct Taken {
    wall: f64,
    processor: f64,
    memory: f64,
}

/// Runs the measurements and prints them.
pub(crate) fn run(quick: bool) {
    let Some(python) = env::var_os(PYTHON) else {
        println!(
            "\nReading the log back: not measured, for {PYTHON} is not set; `cargo xtask bench` sets it"
        );
        return;
    };
    let folder = tempfile::tempdir().expect("a folder");
    let (log, rounds) = (folder.path().join("log"), if quick { 1 } else { 5 });
    let size = if quick { GIGABYTE / 10 } else { GIGABYTE };
    let compress = Compression::Zstd(Compression::ZSTD_LEVEL);
    let Logged { status, .. } =
        write_log(&log, compress, LogSettings::default().rotate_size, |status| status.bytes >= size);
    let files = names(&log);
    let packed: u64 = files.iter().map(|path| path.metadata().expect("its size").len()).sum();
    // Read once by all, so that nobody's run is the one that waits for the disk.
    for path in &files {
        let mut block = Vec::new();
        File::open(path).and_then(|mut file| file.read_to_end(&mut block)).expect("read a file of the log");
    }
    let readers = readers(folder.path(), &log, &python, rounds);
    let mut runs: Vec<Vec<Taken>> = readers.iter().map(|_| Vec::new()).collect();
    for round in 0..rounds {
        for (reader, runs) in readers.iter().zip(&mut runs).filter(|(reader, _)| round < reader.rounds) {
            runs.push(measure(&reader.command, &reader.answer));
        }
    }
    let sums: Vec<(&str, Vec<(String, u64)>)> =
        readers.iter().map(|reader| (reader.name, sums(&reader.answer))).collect();
    let [(_, ours), others @ ..] = &sums[..] else { panic!("no reader") };
    let total: u64 = ours.iter().map(|(_, bytes)| bytes).sum();
    for (name, theirs) in others {
        assert!(ours == theirs, "{name} comes to other sums: {} and {}", theirs.len(), ours.len());
    }
    let mut table = Table::new(["program", "wall, s", "target", "processor, s", "memory, MB"]);
    for (reader, runs) in readers.iter().zip(&runs) {
        let taken = middle(runs);
        let is_ours = reader.name.starts_with("flowtally");
        let target = if is_ours && !quick { verdict(taken.wall, TARGET, " s") } else { "-".to_owned() };
        table.row(cells(reader.name, taken, target));
    }
    table.print(&format!(
        "History: bytes by remote address, of {:.2} GB of JSON lines ({} files, {:.1} MB of zstd, {:.2} million rows); all come to the \
         same {} sums, {total} bytes",
        status.bytes as f64 / 1e9,
        files.len(),
        packed as f64 / 1e6,
        status.rows as f64 / 1e6,
        ours.len(),
    ));
    by_answer(&log, rounds);
}

/// Writes such a log, to try things on.
pub(crate) fn write(folder: &Path) {
    let Logged { status, .. } =
        write_log(folder, Compression::None, LogSettings::default().rotate_size, |status| {
            status.bytes >= GIGABYTE
        });
    println!("{} rows in {} bytes are in {}", status.rows, status.bytes, folder.display());
}

/// What memory is for: the answer, not the log.
fn by_answer(log: &Path, rounds: usize) {
    let files = names(log);
    let parts = [("the first file", &files[..1]), ("all of it", &files[..])];
    let mut table = Table::new(["question", "wall, s", "target", "processor, s", "memory, MB"]);
    for by in ["interface", "process", "port", "remote", "flow"] {
        for (what, files) in parts {
            let mut command = ours(&["--by", by, "--top", "10"]);
            command.extend(files.iter().map(|path| path.clone().into_os_string()));
            let runs: Vec<Taken> = (0..rounds).map(|_| measure(&command, Path::new("/dev/null"))).collect();
            table.row(cells(&format!("`--by {by}`, {what}"), middle(&runs), "-".to_owned()));
        }
    }
    table.print("History: memory by the answer");
}

fn cells(name: &str, taken: Taken, target: String) -> [String; 5] {
    let Taken { wall, processor, memory } = taken;
    [name.to_owned(), format!("{wall:.2}"), target, format!("{processor:.2}"), format!("{memory:.0}")]
}

fn middle(runs: &[Taken]) -> Taken {
    let of = |figure: fn(&Taken) -> f64| median(&runs.iter().map(figure).collect::<Vec<_>>());
    Taken { wall: of(|run| run.wall), processor: of(|run| run.processor), memory: of(|run| run.memory) }
}

/// The files, in the order of their names.
fn names(log: &Path) -> Vec<PathBuf> {
    let mut names: Vec<_> =
        fs::read_dir(log).expect("the log").map(|entry| entry.expect("an entry").path()).collect();
    names.sort();
    names
}

fn ours(arguments: &[&str]) -> Vec<OsString> {
    let mut command = vec![agent::program().as_os_str().to_owned(), "history".into()];
    command.extend(arguments.iter().map(OsString::from));
    command
}

fn readers(folder: &Path, log: &Path, python: &OsString, rounds: usize) -> [Reader; 4] {
    let answer = |name: &str| folder.join(name);
    let mut history = ours(&["--by", "remote", "--format", "json", "--output"]);
    history.extend([answer("flowtally").into_os_string(), log.as_os_str().to_owned()]);
    let module = |script: &str, name: &str| {
        let words: [OsString; 5] =
            [python.clone(), "-c".into(), script.into(), log.into(), answer(name).into_os_string()];
        words.to_vec()
    };
    let pipe = "zstd -dcq \"$1\"/*.zst | jq -r \"$2\" | awk -F '\\t' \"$3\" >\"$4\"";
    let jq: [OsString; 8] = [
        "sh".into(),
        "-c".into(),
        pipe.into(),
        "sh".into(),
        log.into(),
        JQ.into(),
        AWK.into(),
        answer("jq").into_os_string(),
    ];
    [
        Reader { name: "flowtally history", command: history, rounds, answer: answer("flowtally") },
        Reader { name: "DuckDB", command: module(DUCKDB, "duckdb"), rounds, answer: answer("duckdb") },
        Reader { name: "ClickHouse (chdb)", command: module(CHDB, "chdb"), rounds, answer: answer("chdb") },
        Reader { name: "zstd -dc, jq and awk", command: jq.to_vec(), rounds: 1, answer: answer("jq") },
    ]
}

/// Runs a program on two processors. A small process starts it: what a process had before it became the program counts as its own.
fn measure(program: &[OsString], answer: &Path) -> Taken {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.args(["fixture", "measure", "-", "taskset", "-c", "0,1"]).args(program);
    let output = command.output().expect("start a process to measure in");
    let text = String::from_utf8_lossy(&output.stdout);
    let last = text.lines().last().unwrap_or_default();
    let figures: Vec<f64> = last.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [wall, processor, memory, 0.0] = figures[..] else {
        panic!("{}: {text} {}", answer.display(), String::from_utf8_lossy(&output.stderr));
    };
    Taken { wall: wall / 1e9, processor: processor / 1e6, memory: memory / 1024.0 }
}

/// An answer as pairs of an address and bytes, in order.
fn sums(answer: &Path) -> Vec<(String, u64)> {
    let document: Value = serde_json::from_slice(&fs::read(answer).expect("an answer")).expect("JSON");
    let mut sums: Vec<(String, u64)> = match document.get("remote").and_then(Value::as_array) {
        Some(rows) => rows
            .iter()
            .map(|row| {
                let bytes = |name: &str| row[name].as_u64().expect("a number");
                let key = row["key"].as_str().expect("a key").to_owned();
                (key, bytes("sent_bytes") + bytes("received_bytes"))
            })
            .collect(),
        None => document
            .as_object()
            .expect("an object")
            .iter()
            .map(|(key, bytes)| (key.clone(), bytes.as_u64().expect("a number")))
            .collect(),
    };
    sums.sort();
    sums
}
