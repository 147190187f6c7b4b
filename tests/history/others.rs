//! The log read by programs that know nothing of it: they come to the same sums.

use std::{env, process::Command};

use serde_json::Value;

use crate::{
    files::json,
    log::{Log, Packing},
};

/// The Python that has the modules `duckdb` and `chdb`: `cargo xtask test` makes one.
const PYTHON: &str = "FLOWTALLY_READERS";

/// What a program of Python prints, as JSON.
fn python(script: &str, argument: &str) -> Value {
    let python = env::var(PYTHON)
        .expect("FLOWTALLY_READERS is a Python with duckdb and chdb: `cargo xtask test` sets it");
    let output = Command::new(python).args(["-c", script, argument]).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// By port, as pairs of the key and all bytes.
fn ours(log: &Log) -> Value {
    let document = json(&["--by", "port"], &[log.folder.path()]);
    let mut pairs: Vec<(u64, u64)> = document["port"]
        .as_array()
        .unwrap()
        .iter()
        .map(|row| {
            (
                row["port"].as_u64().unwrap(),
                row["sent_bytes"].as_u64().unwrap() + row["received_bytes"].as_u64().unwrap(),
            )
        })
        .collect();
    pairs.sort_unstable();
    serde_json::to_value(pairs).unwrap()
}

#[test]
#[ignore = "needs DuckDB (PyPI duckdb), which `cargo xtask test` installs"]
fn duckdb_comes_to_the_same_sums() {
    const SCRIPT: &str = "import duckdb, json, sys
rows = duckdb.sql(f\"\"\"select remote_port, sum(sent_bytes + received_bytes)::BIGINT
    from read_json('{sys.argv[1]}/*.jsonl.gz', format = 'newline_delimited', union_by_name = true)
    where record = 'flow' group by 1 order by 1\"\"\").fetchall()
print(json.dumps([list(row) for row in rows]))";
    let log = Log::write(Packing::Gzip);
    assert_eq!(python(SCRIPT, &log.folder.path().to_string_lossy()), ours(&log));
}

#[test]
#[ignore = "needs ClickHouse's in-process engine (PyPI chdb), which `cargo xtask test` installs"]
fn clickhouse_comes_to_the_same_sums() {
    const SCRIPT: &str = "import chdb, json, sys
rows = chdb.query(f\"\"\"select remote_port, toUInt64(sum(sent_bytes + received_bytes))
    from file('{sys.argv[1]}/*.jsonl.zst', JSONEachRow)
    where record = 'flow' group by 1 order by 1 settings output_format_json_quote_64bit_integers = 0\"\"\", 'JSONCompactEachRow')
print(json.dumps([json.loads(line) for line in str(rows).splitlines() if line]))";
    let log = Log::write(Packing::Zstandard);
    assert_eq!(python(SCRIPT, &log.folder.path().to_string_lossy()), ours(&log));
}
