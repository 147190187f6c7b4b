//! The host as it is, where processes come and go; and one with many of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::{Path, PathBuf},
    process::Command,
};

use harness::{PATIENCE, agent, lab::outcome};

use crate::{
    compare::{compare, diff, exact, fields, lab, reference, rows},
    normal,
};

/// What each process has: descriptors with their type, device and inode.
type Listing = BTreeMap<String, BTreeSet<String>>;

/// How often the two are compared before a process that differs each time is a failure. Others change while they are read.
const ATTEMPTS: usize = 6;

#[test]
fn all_processes_of_this_host() {
    let folder = tempfile::tempdir().expect("make a temporary folder");
    let ours = folder.path().join("lsof");
    std::os::unix::fs::symlink(agent::program(), &ours).expect("make a link");
    let mut suspects: Option<BTreeMap<String, String>> = None;
    for _ in 0..ATTEMPTS {
        let before = listing(&reference());
        let found = listing(&ours);
        let after = listing(&reference());
        let differing = differing(&before, &found, &after);
        let left: BTreeMap<_, _> = match suspects.take() {
            None => differing,
            Some(old) => differing.into_iter().filter(|(pid, _)| old.contains_key(pid)).collect(),
        };
        if left.is_empty() {
            return;
        }
        suspects = Some(left);
    }
    let all: Vec<_> =
        suspects.into_iter().flatten().map(|(pid, text)| format!("process {pid}:\n{text}")).collect();
    panic!("{} processes differ each time\n{}", all.len(), all.join("\n"));
}

/// Processes that are the same before and after, and different in between.
fn differing(before: &Listing, found: &Listing, after: &Listing) -> BTreeMap<String, String> {
    let none = BTreeSet::new();
    let lines = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>();
    before
        .iter()
        .filter(|(pid, files)| after.get(*pid) == Some(files))
        .map(|(pid, files)| (pid.clone(), diff(&lines(files), &lines(found.get(pid).unwrap_or(&none)))))
        .filter(|(_, text)| !text.is_empty())
        .collect()
}

fn listing(program: &PathBuf) -> Listing {
    let mut command = Command::new(program);
    command.args(["-nP", "-K", "i", "-FpcftDdi"]).env("LC_ALL", "C");
    let outcome = outcome(command, PATIENCE);
    assert!(outcome.status.is_some(), "{} -nP does not end", program.display());
    let mut processes = Listing::new();
    let (mut pid, mut file) = (String::new(), String::new());
    for line in normal::fields(&outcome.stdout) {
        match line.split_at_checked(1) {
            Some(("p", number)) => number.clone_into(&mut pid),
            Some(("f", _)) => {
                file.clone_from(&line);
                processes.entry(pid.clone()).or_default().insert(file.clone());
            }
            Some(("t" | "D" | "d" | "i", _)) => {
                // One of them: rows of the same name, such as those of mapped files, are told apart by what follows.
                let files = processes.entry(pid.clone()).or_default();
                files.remove(&file);
                file = format!("{file} {line}");
                files.insert(file.clone());
            }
            _ => {}
        }
    }
    assert!(processes.len() > 1, "{} lists {} processes", program.display(), processes.len());
    processes
}

#[test]
fn a_host_with_many_processes() {
    let mut lab = lab();
    make_tree(lab.folder());
    lab.start_with("crowd", &["300", "host", "20"]);
    lab.start("threads");
    compare(
        &lab,
        &[
            rows("-nP"),
            exact("-nP -i"),
            exact("-nP -i :{crowd.child7-port}"),
            exact("-nP -p {crowd.child7}"),
            exact("-t -c fx-host"),
            fields("-F -nP"),
            rows("-U"),
            rows("-u root"),
            rows("+D {dir}/tree"),
            rows("{dir}/tree/7/3"),
            rows("/dev/null"),
            rows("-E -nP -p {crowd.child7}"),
        ],
    );
}

/// The files that processes of the kind `host` open.
pub(crate) fn make_tree(folder: &Path) {
    for part in 0..50 {
        let part = folder.join(format!("tree/{part}"));
        std::fs::create_dir_all(&part).expect("make a folder");
        for file in 0..100 {
            std::fs::write(part.join(file.to_string()), "").expect("write a file");
        }
    }
}
