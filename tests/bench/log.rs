//! What logging costs: adding a tick up, writing an interval, and the room that a million rows take.

use std::fs;

use flowtally::{
    export,
    flow::services::Services,
    log::{Compression, LogEncoder, LogFold, LogIntervals, LogSettings},
};
use flowtally_common::{Count, SocketHint};
use harness::books::SECOND;

use crate::{
    mix::{IFINDEX, Logged, Mix, at, ledger, own, processes, write_log},
    table::{Table, median, verdict},
    tick::timed,
    traffic,
};

/// Runs the measurements and prints them.
pub(crate) fn run(quick: bool) {
    let mut table = Table::new(["log", "figure", "target"]);
    let mut row = |what: &str, figure: f64, target: f64, unit: &str| {
        let verdict = if target.is_finite() { verdict(figure, target, unit) } else { "-".to_owned() };
        table.row([what.to_owned(), format!("{figure:.2}"), verdict]);
    };
    row("a tick of 10,000 flows added up, ms", fold(10_000, quick), 1.0, " ms");
    let [one, two] = write(100_000, quick);
    row("an interval of 100,000 flows and their processes, ms", one, 150.0, " ms");
    row("the same with all seven granularities, ms", two, f64::INFINITY, " ms");
    let rows = if quick { 100_000 } else { 1_000_000 };
    for compress in [Compression::Zstd(Compression::ZSTD_LEVEL), Compression::Gzip(Compression::GZIP_LEVEL)] {
        let Size { rows, plain, packed, seconds } = size(rows, compress);
        let target = if matches!(compress, Compression::Zstd(_)) { 12.0 } else { f64::INFINITY };
        row(&format!("a million rows of a web server's day, {compress}, MB"), packed / rows, target, " MB");
        row("the same before that, MB", plain / rows, f64::INFINITY, " MB");
        row("compressing them, s", seconds / rows, f64::INFINITY, " s");
    }
    table.print("Log: processor time of the thread that does it");
}

/// Milliseconds that a tick takes.
fn fold(flows: u32, quick: bool) -> f64 {
    let mut ledger = ledger();
    let processes = processes();
    let mut intervals = LogIntervals::new(SECOND * 10, SECOND, 1 << 19);
    let mut figures = Vec::new();
    for second in 1..=if quick { 12 } else { 45 } {
        for flow in 0..flows {
            ledger.record(&traffic::key(flow, IFINDEX), Count { bytes: 60, packets: 1 }, SocketHint::NONE);
        }
        own(&mut ledger, &processes);
        ledger.close(SECOND * second);
        let view = ledger.interval().expect("an interval");
        let (time, ()) = timed(|| intervals.tick(&view, at(second), &[], |_| Ok(())));
        figures.push(time);
    }
    median(&figures)
}

/// One interval of so many flows.
fn one(flows: u32) -> LogFold {
    let mut ledger = ledger();
    let processes = processes();
    let mut mix = Mix::new();
    let mut intervals = LogIntervals::new(SECOND, SECOND, 1 << 19);
    for flow in 0..flows {
        let count = mix.count();
        ledger.record(&traffic::key(flow, IFINDEX), count, SocketHint::NONE);
    }
    own(&mut ledger, &processes);
    ledger.close(SECOND);
    let mut fold = None;
    intervals.tick(&ledger.interval().expect("an interval"), at(1), &[], |complete| {
        fold = Some(*complete);
        Ok(())
    });
    fold.expect("a complete interval")
}

/// Milliseconds that writing an interval takes: flows and processes, and all there is.
fn write(flows: u32, quick: bool) -> [f64; 2] {
    let fold = one(flows);
    let identity = export::identity(None).expect("this host's identity");
    let some = LogSettings::default();
    let all =
        LogSettings { granularities: flowtally::log::Granularity::ALL.to_vec(), ..LogSettings::default() };
    [some, all].map(|settings| {
        let mut file = tempfile::tempfile().expect("a file");
        let figures: Vec<f64> = (0..if quick { 3 } else { 15 })
            .map(|_| {
                let (time, ()) = timed(|| {
                    let encoder = LogEncoder { identity: &identity, settings: &settings };
                    let block = encoder.interval(1, &fold, &Services::default());
                    assert!(block.rows > u64::from(flows));
                    std::io::Write::write_all(&mut file, &block.text).expect("write the lines");
                });
                file.set_len(0).expect("empty the file");
                time
            })
            .collect();
        median(&figures)
    })
}

/// What a log takes, in bytes.
struct Size {
    /// Millions.
    rows: f64,
    plain: f64,
    packed: f64,
    /// Processor time of the thread that compresses.
    seconds: f64,
}

/// Writes so many rows of the mix, and compresses them as the agent does.
fn size(rows: u64, compress: Compression) -> Size {
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    let rotate_size = LogSettings::default().rotate_size;
    let Logged { status, compressing } = write_log(&log, compress, rotate_size, |status| status.rows >= rows);
    let packed = fs::read_dir(log).expect("the folder").map(|entry| {
        let entry = entry.expect("an entry");
        let name = entry.file_name().to_string_lossy().into_owned();
        assert!(name.ends_with("zst") || name.ends_with("gz"), "{name} is not compressed");
        entry.metadata().expect("its size").len()
    });
    let packed: u64 = packed.sum();
    Size {
        rows: status.rows as f64 / 1e6,
        plain: status.bytes as f64 / 1e6,
        packed: packed as f64 / 1e6,
        seconds: compressing / 1e3,
    }
}
