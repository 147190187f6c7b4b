//! `flowtally lsof` and the original, side by side, on a host of its own with very many processes and open files.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use harness::{Lab, agent};

use crate::table::{Table, median};

const REFERENCE: &str = "/usr/bin/lsof";

/// The original takes minutes on a busy machine.
const LONGEST: Duration = Duration::from_mins(10);

/// How big the host is, and how often each command runs.
struct Size {
    processes: u32,
    descriptors: u32,
    tree: u32,
    rounds: usize,
}

const FULL: Size = Size { processes: 2_000, descriptors: 100, tree: 50_000, rounds: 3 };
const QUICK: Size = Size { processes: 300, descriptors: 100, tree: 5_000, rounds: 2 };

/// What both do, and how many times as fast as the original it is to be.
const COMMANDS: [(&str, &str, f64); 9] = [
    ("one port", "-n -P -i :{crowd.child50-port}", 30.0),
    ("one process", "-p {crowd.child50}", 20.0),
    ("everything", "-n -P", 15.0),
    ("everything, for programs", "-n -P -F", 15.0),
    ("all Internet sockets", "-n -P -i", 25.0),
    ("process IDs of a user", "-t -u root", 5.0),
    ("files of a user", "-u root", 5.0),
    ("a file", "{dir}/tree/7/7", 15.0),
    ("a large tree", "+D {dir}/large", 15.0),
];

/// One run: milliseconds, and what was its own at most.
#[derive(Clone, Copy)]
struct Run {
    wall: f64,
    processor: f64,
    megabytes: f64,
}

pub(crate) fn run(quick: bool) {
    if !Path::new(REFERENCE).exists() {
        println!("\nlsof: `{REFERENCE}` is missing: run `apt-get install --no-install-recommends lsof`");
        return;
    }
    let size = if quick { QUICK } else { FULL };
    let program = env::current_exe().expect("the path of this program");
    let mut lab = Lab::new(&program);
    make_files(lab.folder(), size.tree);
    lab.start_with("crowd", &[&size.processes.to_string(), "host", &size.descriptors.to_string()]);
    let ours = lab.folder().join("lsof");
    std::os::unix::fs::symlink(agent::program(), &ours).expect("make a link");
    let mut table = Table::new([
        "what",
        "lsof, ms",
        "flowtally, ms",
        "ratio",
        "target",
        "ratio of processor time",
        "memory of lsof",
        "of flowtally",
        "target",
    ]);
    for (what, line, target) in COMMANDS {
        let line = lab.fill(line);
        let mut runs = [Vec::new(), Vec::new()];
        for _ in 0..size.rounds {
            for (runs, subject) in runs.iter_mut().zip([Path::new(REFERENCE), &ours]) {
                runs.push(measure(&lab, &program, subject, &line));
            }
        }
        let [theirs, own] = runs.map(|runs| Run {
            wall: median(&each(&runs, |run| run.wall)),
            processor: median(&each(&runs, |run| run.processor)),
            megabytes: median(&each(&runs, |run| run.megabytes)),
        });
        let ratio = theirs.wall / own.wall;
        let met = |met| if met { "met" } else { "missed" };
        table.row([
            format!("{what}: `{}`", line.join(" ").replace(&*lab.folder().to_string_lossy(), "")),
            format!("{:.1}", theirs.wall),
            format!("{:.1}", own.wall),
            format!("{ratio:.1}"),
            format!(">= {target}: {}", met(ratio >= target)),
            format!("{:.1}", theirs.processor / own.processor),
            format!("{:.1} MB", theirs.megabytes),
            format!("{:.1} MB", own.megabytes),
            met(own.megabytes <= theirs.megabytes).to_owned(),
        ]);
    }
    table.print(&format!(
        "lsof: {} processes with {} descriptors each, a tree of {} files; medians of {} runs in turn",
        size.processes, size.descriptors, size.tree, size.rounds
    ));
}

/// Runs a program in the lab. The child that does so is small: what a process had before it became the program counts as its own.
fn measure(lab: &Lab, program: &PathBuf, subject: &Path, line: &[String]) -> Run {
    let mut command = Command::new(program);
    command.args(["fixture", "measure"]).arg(lab.folder()).arg(subject).args(line).env("LC_ALL", "C");
    let outcome = lab.outcome_within(command, LONGEST);
    let text = String::from_utf8_lossy(&outcome.stdout);
    let figures: Vec<f64> = text
        .lines()
        .last()
        .unwrap_or_default()
        .split_whitespace()
        .filter_map(|word| word.parse().ok())
        .collect();
    let [wall, processor, memory, _] = figures[..] else {
        panic!("{} {}: {text}", subject.display(), line.join(" "));
    };
    Run { wall: wall / 1e6, processor: processor / 1e3, megabytes: memory / 1024.0 }
}

fn each(runs: &[Run], figure: impl Fn(&Run) -> f64) -> Vec<f64> {
    runs.iter().map(figure).collect()
}

fn make_files(folder: &Path, large: u32) {
    const PART: u32 = 100;
    let make = |part: PathBuf, files: u32| {
        fs::create_dir_all(&part).expect("make a folder");
        for file in 0..files {
            fs::write(part.join(file.to_string()), "").expect("write a file");
        }
    };
    for part in 0..50 {
        make(folder.join(format!("tree/{part}")), PART);
    }
    for part in 0..large / PART {
        make(folder.join(format!("large/{}/{part}", part % 10)), PART);
    }
}
