//! Whose traffic it is, on the screen.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::fixtures::{TCP, Test, UDP, VA, numbers};
use crate::{
    iftop::options::PortDisplay,
    model::owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
    tui::{ExportFormat, PressedKey, Wish, tests::fixtures::TRAFFIC},
};

macro_rules! check {
    ($frame:expr) => {
        insta::with_settings!({ prepend_module_to_snapshot => false, omit_expression => true }, {
            insta::assert_snapshot!($frame);
        })
    };
}

fn owner(pid: u32, command: &str) -> Owner {
    Owner {
        id: ProcessId { pid, start: Some(100) },
        start_time: Some(SystemTime::UNIX_EPOCH + Duration::from_hours(492_315)),
        command: command.into(),
        executable: Some(format!("/usr/bin/{command}").into()),
        uid: Some(1000),
        user: Some("alice".into()),
        container: (pid == 812).then(|| Container { runtime: Runtime::Docker, name: "0123456789ab".into() }),
        netns: Some(Netns { inode: Some(4_026_531_840), name: "host".into() }),
    }
}

/// Answers what is asked: by the local port.
fn find(test: &mut Test) {
    for question in test.ledger.questions(usize::MAX, true) {
        let of = |owners: &[Owner], reason| Attribution { owners: owners.to_vec(), reason };
        let attribution = match question.row.local_port {
            40_001 => of(&[owner(812, "curl")], Reason::Connected),
            40_002 => of(&[owner(813, "nginx"), owner(814, "nginx")], Reason::Open),
            40_003 => of(&[owner(900, "evil\x1b[2J")], Reason::Created),
            6001 => of(&[], Reason::NoSocket),
            _ => continue,
        };
        test.ledger.attribute(&question.row, &Arc::new(attribution));
    }
}

/// The usual screen, with owners known.
fn usual() -> Test {
    let mut test =
        Test::new(crate::iftop::options::IftopOptions { port_display: PortDisplay::On, ..numbers() });
    for _ in 0..45 {
        test.record(VA, &TRAFFIC);
        find(&mut test);
        test.close();
    }
    test
}

#[test]
fn owners_stand_below_the_local_end() {
    let mut test = usual();
    assert!(!test.display.looks());
    let without = test.frame(80, 24);
    test.keys("O");
    assert!(test.display.looks());
    let with = test.frame(80, 24);
    test.keys("O");
    test.second += 60;
    let after = test.frame(80, 24).lines().skip(1).map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(after, without.lines().skip(1).collect::<Vec<_>>(), "nothing else has changed");
    check!(with);
}

#[test]
fn owners_stand_beside_the_local_end_of_one_line() {
    let mut test = usual();
    test.keys("Ot");
    let wide = test.frame(100, 12);
    let narrow = test.frame(60, 12);
    check!(format!("{wide}\n\n{narrow}"));
}

#[test]
fn groups_by_owner() {
    let mut test = usual();
    let mut frames = Vec::new();
    test.keys("ggggggg");
    for _ in 0..5 {
        assert!(test.display.looks());
        test.second += 60;
        frames.push(test.frame(100, 16).lines().skip(2).take(11).collect::<Vec<_>>().join("\n"));
        test.keys("g");
    }
    assert!(!test.display.looks());
    check!(frames.join("\n\n"));
}

#[test]
fn a_row_page_says_whose_it_is() {
    let mut test = usual();
    test.frame(80, 24);
    test.press(PressedKey::Down);
    test.press(PressedKey::Down);
    test.frame(80, 24);
    test.press(PressedKey::Enter);
    assert!(test.display.looks());
    test.display.set_owners_degraded(vec!["cgroup v2 is not mounted: no notes are taken".to_owned()]);
    check!(test.frame(80, 32));
}

#[test]
fn open_files_of_a_rows_owners() {
    let mut test = usual();
    test.frame(80, 24);
    assert_eq!(test.press(PressedKey::Char('F')), Wish::Files);
    let owners: Vec<u32> = test.display.owners().iter().map(|owner| owner.id.pid).collect();
    assert_eq!(owners, [812], "the first row's");
    test.display.show_files(vec!["curl 812: 1 open file".to_owned(), "  3  /tmp/a\x1b[2J".to_owned()]);
    let files = test.list();
    assert_eq!(files[..2], ["curl 812: 1 open file", "  3  /tmp/a\\x1b[2J"]);
    test.press(PressedKey::Esc);
    assert!(test.list()[0].contains("10.77.0.1:40001 <=> 10.77.0.2:5001"), "back to the row");
    test.press(PressedKey::Esc);
    assert_eq!(test.ends().len(), 5);
}

#[test]
fn what_is_found_later_moves_and_departs_with_its_owner() {
    let mut test = Test::new(numbers());
    let flow = (("10.77.0.1", 40_001), ("10.77.0.2", 5001), TCP, 1_000);
    test.run(1, &[flow]);
    test.keys("ggggggg");
    assert!(test.list()[0].starts_with("not looked up yet"));
    find(&mut test);
    let ledger = &test.ledger;
    test.display.owners_found(ledger);
    assert!(test.list()[0].starts_with("curl 812"), "{:?}", test.list());
    // The row goes; the process goes on in another one.
    for second in 0..45 {
        test.record(VA, &[(("10.77.0.1", 40_001), ("10.77.0.2", 5002), TCP, 1_000)]);
        find(&mut test);
        test.close();
        assert_eq!(test.list().len(), 2, "one process, in second {second}");
    }
    test.keys("T");
    assert!(test.list()[0].contains("44.9KB"), "46,000 bytes: {:?}", test.list());
}

#[test]
fn search_filter_and_file_know_owners() {
    let mut test = usual();
    test.keys("O");
    test.keys("lnginx\n");
    assert_eq!(test.ends(), ["10.77.0.1:40002 10.77.0.20:5002"]);
    let mut out = Vec::new();
    test.display.write(&mut out, ExportFormat::Csv, SystemTime::UNIX_EPOCH).unwrap();
    let file = String::from_utf8(out).unwrap();
    assert!(file.lines().nth(1).unwrap().ends_with(",nginx/813 +1"), "{file}");
    test.keys("l");
    test.press(PressedKey::Control('u'));
    test.keys("\n/curl\n");
    let found = test.display.screen.scroll.cursor.as_ref().map(|cursor| cursor.rank);
    assert_eq!(found, Some(0));
    test.run(1, &[(TRAFFIC[0].0, TRAFFIC[0].1, UDP, 1)]);
}

#[test]
fn the_rule_says_what_owners_lack_while_somebody_looks() {
    let mut test = usual();
    let reasons = vec!["owners: 3 network namespaces cannot be entered (EPERM): read otherwise".to_owned()];
    test.display.set_owners_degraded(reasons);
    assert!(!test.line(20).contains("owners"));
    test.keys("O");
    assert!(test.line(20).contains(" owners: 3 network namespaces cannot be entered "), "{}", test.line(20));
}
