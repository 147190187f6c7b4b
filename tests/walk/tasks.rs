//! Tasks and mappings, beside /proc.

use std::{
    collections::BTreeSet, fs, ops::ControlFlow, os::unix::fs::MetadataExt as _, process::Command, thread,
};

use flowtally::kernel::walk::{MappingSelection, TaskSelection, WalkedLink};

use super::open;

#[test]
fn a_task_is_as_proc_has_it() {
    let child = Command::new("/bin/sleep").arg("1000").spawn().unwrap();
    let pid = child.id();
    // When it is sleep(1), and no copy of this process any more.
    while fs::read(format!("/proc/{pid}/comm")).unwrap() != b"sleep\n" {
        thread::yield_now();
    }
    let mut found = None;
    open()
        .tasks(&TaskSelection { process: Some(pid), threads: false }, |task| {
            assert!(found.replace(*task).is_none());
            ControlFlow::Continue(())
        })
        .unwrap();
    let task = found.unwrap();
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let fields: Vec<_> = text.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let number = |index: usize| fields[index].parse::<u64>().unwrap();
    assert_eq!((task.pid, task.tid, task.command()), (pid, pid, &b"sleep"[..]));
    assert_eq!((u64::from(task.parent), u64::from(task.group)), (number(1), number(2)));
    assert_eq!(task.threads.map(u64::from), Some(number(17)));
    assert_eq!(task.start / 10_000_000, number(19), "in the hundredths of seconds of /proc");
    assert_eq!(task.uid, fs::metadata(format!("/proc/{pid}")).unwrap().uid());
    assert!(task.has_memory && !task.ended && task.table != 0);
    let link = fs::read_link(format!("/proc/{pid}/ns/net")).unwrap();
    assert_eq!(link.to_str().unwrap(), format!("net:[{}]", task.namespace));
    let mut child = child;
    child.kill().unwrap();
    // Until somebody waits for it, it has ended and is there.
    while !fs::read_to_string(format!("/proc/{pid}/stat")).unwrap().contains(") Z ") {
        thread::yield_now();
    }
    let mut ended = None;
    open()
        .tasks(&TaskSelection { process: Some(pid), threads: false }, |task| {
            ended = Some((task.ended, task.has_memory, task.table));
            ControlFlow::Continue(())
        })
        .unwrap();
    assert_eq!(ended, Some((true, false, 0)));
    child.wait().unwrap();
}

#[test]
fn every_process_is_a_task() {
    let mut found = BTreeSet::new();
    open()
        .tasks(&TaskSelection::default(), |task| {
            assert_eq!(task.pid, task.tid);
            assert!(found.insert(task.pid));
            ControlFlow::Continue(())
        })
        .unwrap();
    for pid in [std::process::id(), std::os::unix::process::parent_id()] {
        assert!(found.contains(&pid), "{pid}");
    }
}

#[test]
fn mappings_are_as_proc_has_them() {
    let mut found = BTreeSet::new();
    let selection =
        MappingSelection { process: Some(std::process::id()), path: true, ..MappingSelection::default() };
    open()
        .mappings(&selection, |mapping| {
            let WalkedLink::Path(path) = mapping.link else { panic!("{mapping:?}") };
            found.insert((
                mapping.start,
                mapping.end,
                (mapping.writes, mapping.executes, mapping.shared),
                (mapping.file.device, mapping.file.inode),
                path.to_vec(),
            ));
            ControlFlow::Continue(())
        })
        .unwrap();
    let text = fs::read_to_string("/proc/self/maps").unwrap();
    let mut compared = 0;
    for line in text.lines().filter(|line| line.ends_with(".so.6") || line.contains("/walk-")) {
        let fields: Vec<_> = line.split_whitespace().collect();
        let (start, end) = fields[0].split_once('-').unwrap();
        let hexadecimal = |text: &str| u64::from_str_radix(text, 16).unwrap();
        let (major, minor) = fields[3].split_once(':').unwrap();
        let device = [major, minor].map(|it| u32::from_str_radix(it, 16).unwrap());
        let may = |letter: char| fields[1].contains(letter);
        let mapping = (
            hexadecimal(start),
            hexadecimal(end),
            (may('w'), may('x'), may('s')),
            ((device[0], device[1]), fields[4].parse().unwrap()),
            fields[5].as_bytes().to_vec(),
        );
        assert!(found.contains(&mapping), "{line}");
        compared += 1;
    }
    assert!(compared >= 4, "{text}");
}
