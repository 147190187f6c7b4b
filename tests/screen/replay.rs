//! A log on the screen: keys move its time, and wherever it is the sums are those of the log.

use std::{
    fmt::Write as _,
    fs,
    ops::Range,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{
    Agent, NetPair, Terminal, Way,
    agent::program,
    eventually,
    frames::{IPV4, ethernet, ipv4, protocol::UDP, udp},
    viewer::Viewer,
};
use nix::sys::signal::Signal;
use serde_json::Value;
use tempfile::TempDir;

use crate::session::{USUAL, each};

/// Seconds of an interval.
const INTERVAL: u64 = 10;
/// Intervals of the log that tests make.
const INTERVALS: u64 = 20;
/// Intervals that are missing before this one.
const MISSING: Range<u64> = 10..16;

/// Opens a log, and stops the time at the first interval.
fn open(pair: &NetPair, arguments: &str) -> Viewer {
    let terminal = Terminal::open(&pair.near.namespace, USUAL);
    let replayed = Viewer::start(terminal, &format!("TZ=UTC flowtally -n -N --replay {arguments}"));
    // The time stops there, whatever it was.
    replayed.key("Right");
    replayed.press("0");
    replayed.status(", 1/");
    replayed
}

/// The moment at which an interval begins.
fn moment(number: u64) -> String {
    let second = (number - 1) * INTERVAL;
    format!("2026-11-29T03:{:02}:{:02}.000Z", second / 60, second % 60)
}

/// What a flow sent and received in an interval: different for each.
fn amounts(number: u64, flow: u64) -> [u64; 2] {
    [number * 1_000_003 + flow * 97, number * 7 + flow * flow]
}

/// The numbers of the intervals in the log.
fn numbers() -> Vec<u64> {
    (1..=INTERVALS).filter(|number| !MISSING.contains(number)).collect()
}

/// What the first so many intervals of the log brought.
fn sum(intervals: usize) -> [u64; 2] {
    let flows = numbers()
        .into_iter()
        .take(intervals)
        .flat_map(|number| (0..4).map(move |flow| amounts(number, flow)));
    flows.fold([0; 2], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
}

/// Writes a log of four flows of two processes into a folder, in two files: the first one compressed.
fn log(folder: &Path, rows: &[&str]) -> [PathBuf; 2] {
    let (first, second): (Vec<u64>, Vec<u64>) = numbers().into_iter().partition(|number| *number < 8);
    let [first, second] = [first, second].map(|numbers| {
        let begun = moment(numbers[0]).replace(['-', ':'], "").replace(".000", "");
        let path = folder.join(format!("flowtally-web-{begun}.jsonl"));
        fs::write(&path, text(&numbers, rows)).unwrap();
        path
    });
    assert!(Command::new("zstd").args(["--rm", "--quiet"]).arg(&first).status().unwrap().success());
    [first.with_extension("jsonl.zst"), second]
}

fn text(numbers: &[u64], rows: &[&str]) -> String {
    let line = |record: &str, number: u64, fields: &str| {
        format!(
            r#"{{"schema":"flowtally.log/1","record":"{record}","host":"web","boot":"b","run":"r","interval":{number},{fields}}}"#
        )
    };
    let words: Vec<String> = rows.iter().map(|rows| format!("\"{rows}\"")).collect();
    let mut text =
        line("start", numbers[0], &format!(r#""granularities":[{}],"seconds":{INTERVAL}"#, words.join(",")));
    text.push('\n');
    for number in numbers {
        let [sent, received] = (0..4)
            .map(|flow| amounts(*number, flow))
            .fold([0; 2], |sum, more| [sum[0] + more[0], sum[1] + more[1]]);
        let counts: Vec<String> = rows
            .iter()
            .map(|rows| format!("\"{rows}\":{}", if *rows == "process" { 2 } else { 4 }))
            .collect();
        let fields = format!(
            r#""start":"{}","end":"{}","seconds":{INTERVAL},"row_counts":{{{}}},"late_ticks":0,"degraded":[],"interfaces":[{{"name":"eth0","index":2,"hook":"tcx","degraded":[],"sent_bytes":{sent},"sent_packets":4,"received_bytes":{received},"received_packets":4,"counted_bytes":{},"counted_packets":8,"ingress_bytes":{received},"egress_bytes":{sent}}}]"#,
            moment(*number),
            moment(number + 1),
            counts.join(","),
            sent + received,
        );
        let _ = writeln!(text, "{}", line("interval", *number, &fields));
        let owner = |process: u64| {
            format!(
                r#""command":"worker{process}","pid":{},"owner_reason":"connected","user":"alice","uid":1000"#,
                800 + process
            )
        };
        let counted = |[sent, received]: [u64; 2]| {
            format!(
                r#""sent_bytes":{sent},"sent_packets":1,"received_bytes":{received},"received_packets":1"#
            )
        };
        for rows in rows {
            for flow in 0..if *rows == "process" { 2 } else { 4 } {
                let fields = match *rows {
                    "process" => {
                        let [one, other] = [flow, flow + 2].map(|flow| amounts(*number, flow));
                        format!("{},{}", owner(flow), counted([one[0] + other[0], one[1] + other[1]]))
                    }
                    "remote" => {
                        format!(r#""remote_address":"192.0.2.{flow}",{}"#, counted(amounts(*number, flow)))
                    }
                    _ => format!(
                        r#"{},"protocol":"tcp","local_address":"10.0.0.1","local_port":{},"remote_address":"192.0.2.{flow}","remote_port":443,{}"#,
                        owner(flow % 2),
                        40_000 + flow,
                        counted(amounts(*number, flow)),
                    ),
                };
                let _ = writeln!(text, "{}", line(rows, *number, &format!(r#""interface":"eth0",{fields}"#)));
            }
        }
    }
    text
}

#[test]
fn keys_move_the_time_of_a_log_and_totals_are_its_sums() {
    let (pair, folder) = (NetPair::new(), TempDir::new().unwrap());
    log(folder.path(), &["flow", "process"]);
    let screen = open(&pair, &folder.path().display().to_string());
    let records = numbers().len();
    assert_eq!(screen.total(), sum(1));
    screen.status("2026-11-29 03:00:00-03:00:10, 1/14, 10x, PAUSED");
    for shown in 2..=4 {
        screen.key("Right");
        screen.status(&format!(", {shown}/14"));
        assert_eq!(screen.total(), sum(shown));
    }
    screen.key("Left");
    screen.status(", 3/14");
    assert_eq!(screen.total(), sum(3));
    // 200 s are covered, with the gap: at 90 s it begins.
    screen.press("9");
    screen.status(", 13/14");
    assert_eq!(screen.total(), sum(13));
    screen.press("5");
    screen.status(", 10/14");
    screen.status("gap 1m, 6 missing");
    assert_eq!(screen.total(), sum(10));
    screen.key("Left");
    screen.status(", 9/14");
    assert_eq!(screen.total(), sum(9));
    // Windows are whole intervals.
    let exported = screen.exported();
    assert_eq!(exported["window_seconds"], serde_json::json!([10.0, 10.0, 40.0]));
    let bits = |name: &str| exported["total"][name].as_f64().unwrap();
    let last = sum(9)[0] - sum(8)[0];
    assert!((bits("sent_bps_2s") - last as f64 * 8.0 / 10.0).abs() < 1.0, "{exported}");
    // It goes on by itself, to the end.
    screen.press("++++ ");
    screen.status(", 14/14");
    screen.status("END");
    assert_eq!(screen.total(), sum(records));
    screen.press("q");
}

#[test]
fn everything_else_is_the_same_screen() {
    let (pair, folder) = (NetPair::new(), TempDir::new().unwrap());
    log(folder.path(), &["flow"]);
    let screen = open(&pair, &folder.path().display().to_string());
    screen.key("Right");
    screen.status(", 2/14");
    let of = |flows: &[u64]| {
        let amounts = flows.iter().flat_map(|flow| [1, 2].map(|number| amounts(number, *flow)));
        amounts.fold([0; 2], |sum, more| [sum[0] + more[0], sum[1] + more[1]])
    };
    screen.press("p");
    let rows = screen.rows();
    assert_eq!(rows.len(), 4);
    assert_eq!(rows[1], ("10.0.0.1:40001 192.0.2.1:443".to_owned(), of(&[1])));
    // A filter, a search, an order; digits are text where text is typed.
    screen.press("l40002");
    screen.key("Enter");
    assert_eq!(screen.rows().len(), 1);
    screen.press("l");
    screen.key("C-u");
    screen.key("Enter");
    screen.press("x");
    screen.status("sort 40s");
    screen.status(", 2/14");
    // By process, and a row's page.
    screen.press("ggggggg");
    screen.status("by process");
    assert_eq!(screen.rows()[1], ("worker1 801 2 flows".to_owned(), of(&[1, 3])));
    screen.key("Enter");
    screen.wait_for("worker1  pid 801  user alice (1000)");
    screen.key("Left");
    screen.status(", 1/14");
    screen.wait_for("worker1  pid 801  user alice (1000)");
    screen.key("Escape");
    // Together with the next key it would be another one.
    screen.wait("the list", |screen| (!screen.text().contains("pid 801")).then_some(()));
    for (key, text) in [("F", "not in the log"), ("c", "counts once"), ("h", "to a tenth of the log")] {
        screen.press(key);
        screen.wait_for(text);
    }
}

#[test]
fn a_log_of_the_agent_is_replayed_to_the_byte() {
    each(&["jsonl", "csv"], |format| {
        let (pair, folder) = (NetPair::new(), TempDir::new().unwrap());
        let mut command = Command::new(program());
        let (log, socket) = (folder.path().join("log"), folder.path().join("agent.sock"));
        command.args([
            "agent",
            "-i",
            "near",
            "--interval",
            "1s",
            "--rotate-size",
            "64KiB",
            "--log-format",
            format,
        ]);
        command.arg("--log").arg(&log).arg("--socket").arg(&socket);
        let mut agent = Agent::start_command(&pair.near.namespace, command);
        agent.wait_for("flowtally: measuring on ");
        let mut expected = [0_u64; 2];
        for count in [30, 5, 7] {
            let frames =
                |way, count: usize| vec![ethernet(way, IPV4, &ipv4(way, UDP, &udp(way, 500))); count];
            let (sent, received) = (frames(Way::Sent, count), frames(Way::Received, 2 * count));
            pair.near.send(&sent);
            pair.far.send(&received);
            let bytes = |frames: &[Vec<u8>]| frames.iter().map(|frame| frame.len() as u64).sum::<u64>();
            expected = [expected[0] + bytes(&sent), expected[1] + bytes(&received)];
            eventually("the interval is logged", || {
                let mut counted = Command::new(program());
                counted.args(["agent", "status", "--format", "json", "--socket"]).arg(&socket);
                let status: Value = serde_json::from_slice(&counted.output().ok()?.stdout).ok()?;
                (status["interfaces"][0]["counted_bytes"] == expected[0] + expected[1]).then_some(())
            });
        }
        agent.signal(Signal::SIGTERM);
        assert!(agent.wait().status.success());
        let screen = open(&pair, &log.display().to_string());
        screen.press("9++++ ");
        screen.status("END");
        assert_eq!(screen.total(), expected, "{format}");
        screen.press("O");
        let owner = screen.exported()["rows"][0]["owner"].as_str().map(str::to_owned);
        assert!(owner.as_ref().is_some_and(|owner| owner != "not looked up yet"), "{owner:?}");
    });
}

#[test]
fn a_log_without_flows_has_its_own_groupings_alone() {
    let (pair, folder) = (NetPair::new(), TempDir::new().unwrap());
    log(folder.path(), &["process", "remote"]);
    let screen = open(&pair, &folder.path().display().to_string());
    screen.status("by process (process rows)");
    assert_eq!(screen.total(), sum(1));
    let rows = screen.rows();
    assert_eq!(
        rows.iter().map(|(title, _)| title.as_str()).collect::<Vec<_>>(),
        ["worker0 800", "worker1 801"]
    );
    // The other groupings: each of the finest rows that answer it, and back.
    for by in
        ["command", "user", "container", "netns", "remote host", "interface", "remote subnet", "process"]
    {
        screen.press("g");
        screen.status(&format!("by {by}"));
        eventually("the rows of this grouping are there", || {
            let all = |sum: [u64; 2], more: &(String, [u64; 2])| [sum[0] + more.1[0], sum[1] + more.1[1]];
            let rows = screen.rows().iter().fold([0; 2], all);
            (rows == sum(1) && screen.total() == sum(1)).then_some(())
        });
    }
}

#[test]
fn what_does_not_go_together_is_said_before_there_is_a_screen() {
    let (pair, folder) = (NetPair::new(), TempDir::new().unwrap());
    let [_, file] = log(folder.path(), &["flow"]);
    let folder = folder.path().display();
    let cases = [
        (format!("-i near --replay {folder}"), 2, "-i and --replay do not go together"),
        (format!("-f 'port 53' --replay {folder}"), 2, "-f and --replay do not go together"),
        (format!("--attach --replay {folder}"), 2, "cannot be used with"),
        (format!("-t --replay {folder}"), 2, "flowtally history"),
        ("--from 03:00".to_owned(), 2, "--replay"),
        (format!("--replay {folder} --from nonsense"), 2, "is no time"),
        (format!("--replay {folder} --from 2026-11-30T00:00:00Z"), 1, "no interval of this time"),
        ("--replay /nowhere".to_owned(), 1, "/nowhere"),
        ("--replay /etc/passwd".to_owned(), 1, "is not the log of flowtally agent"),
        (format!("--replay {0} {0}/../nowhere", file.display()), 1, "nowhere"),
    ];
    let terminal = Terminal::open(&pair.near.namespace, USUAL);
    for (arguments, status, message) in cases {
        terminal.enter("clear");
        terminal.enter(&format!("flowtally {arguments}; echo status $?"));
        terminal.wait(&format!("{message} after {arguments}"), |screen| {
            let text = screen.text().replace('\n', "");
            (text.contains(message) && text.contains(&format!("status {status}"))).then_some(())
        });
        assert!(!terminal.state().alternate);
    }
}
