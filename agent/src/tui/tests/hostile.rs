//! Names that were chosen to do harm: nothing on the screen obeys them, and the files that it writes give each back.

use std::{
    collections::BTreeSet,
    sync::Arc,
    time::{Duration, SystemTime},
};

use super::fixtures::{End, Test, UDP, VA};
use crate::{
    format::{Name, hostile, is_harmless},
    iftop::options::{IftopOptions, PortDisplay},
    model::owner::{Attribution, Container, Netns, Owner, ProcessId, Reason, Runtime},
    tui::{Candidate, ExportFormat, PressedKey, Wish},
};

const PORT: u16 = 1000;

fn address(number: u16) -> String {
    format!("10.78.{}.{}", number >> 8, number & 255)
}

/// A row for each name: its remote host and its owner are called so.
fn all() -> Test {
    let hostile = hostile::names();
    let mut test = Test::new(IftopOptions { port_display: PortDisplay::On, ..IftopOptions::default() });
    let addresses: Vec<String> = (0..).zip(&hostile).map(|(number, _)| address(number)).collect();
    let names = addresses.iter().zip(&hostile);
    test.display
        .names_mut()
        .hosts
        .extend(names.map(|(address, name)| (address.parse().unwrap(), Name::from(name.clone()))));
    let flows = (PORT..).zip(&addresses).map(|(port, address)| -> (End<'_>, End<'_>, u8, u64) {
        (("10.77.0.1", port), (address, 5000), UDP, 10_000 + u64::from(port))
    });
    let flows: Vec<_> = flows.collect();
    for _ in 0..3 {
        test.record(VA, &flows);
        for question in test.ledger.questions(usize::MAX, true) {
            let number = question.row.local_port - PORT;
            let name = || Name::from(hostile[usize::from(number)].clone());
            let owner = Owner {
                id: ProcessId { pid: number.into(), start: Some(1) },
                start_time: Some(SystemTime::UNIX_EPOCH),
                command: name(),
                executable: Some(name()),
                uid: Some(number.into()),
                user: Some(name()),
                container: Some(Container { runtime: Runtime::Lxc, name: name() }),
                netns: Some(Netns { inode: Some(number.into()), name: name() }),
            };
            let answer = Attribution { owners: vec![owner], reason: Reason::Created };
            test.ledger.attribute(&question.row, &Arc::new(answer));
        }
        test.close();
    }
    let ledger = &test.ledger;
    test.display.owners_found(ledger);
    test
}

#[track_caller]
fn check_at(test: &mut Test, width: u16, height: u16) {
    for cell in &test.draw(width, height).content {
        assert!(cell.symbol().chars().all(is_harmless), "{:?}", cell.symbol());
    }
}

#[track_caller]
fn check(test: &mut Test) {
    check_at(test, 100, 24);
}

#[test]
fn nothing_on_the_screen_obeys_a_name() {
    let mut test = all();
    let rows = u16::try_from(hostile::names().len()).unwrap();
    for keys in ["", "O", "t"] {
        test.keys(keys);
        check_at(&mut test, 160, 2 * rows + 6);
        check_at(&mut test, 30, 12);
    }
    // Every grouping, and the first page of each.
    for _ in 0..20 {
        test.keys("g");
        check_at(&mut test, 160, rows);
        test.press(PressedKey::Enter);
        check(&mut test);
        test.press(PressedKey::Esc);
    }
    // The page of every row.
    for _ in hostile::names() {
        test.press(PressedKey::Down);
        test.draw(80, 24);
        test.press(PressedKey::Enter);
        check(&mut test);
        test.press(PressedKey::Esc);
    }
    test.display.show_files(hostile::texts());
    check(&mut test);
    test.press(PressedKey::Esc);
    test.keys("?");
    check(&mut test);
    test.press(PressedKey::Esc);
    let candidates =
        hostile::texts().into_iter().map(|name| Candidate { about: name.clone(), name, chosen: true });
    test.display.choose(candidates.collect());
    check(&mut test);
    test.press(PressedKey::Esc);
    let reasons = hostile::texts();
    for text in hostile::texts() {
        let now = Duration::from_secs(test.second);
        test.display.set_owners_degraded(vec![text.clone()]);
        test.display.filter_installed(&text, now);
        test.display.say(text, now);
        check(&mut test);
    }
    test.display.set_owners_degraded(reasons);
    check(&mut test);
}

#[test]
fn what_is_typed_is_shown_safely() {
    let mut test = all();
    for prompt in ['l', '/', 'f', 'e'] {
        for text in hostile::texts().into_iter().filter(|text| text.len() < 100) {
            test.press(PressedKey::Char(prompt));
            test.press(PressedKey::Control('u'));
            for char in text.chars().filter(|char| *char != '\n') {
                assert_eq!(test.press(PressedKey::Char(char)), Wish::Nothing);
            }
            check(&mut test);
            // A filter may be refused, and a name not found: the message quotes it.
            test.press(PressedKey::Enter);
            check(&mut test);
            test.press(PressedKey::Esc);
        }
    }
}

fn written(test: &mut Test, format: ExportFormat) -> String {
    let mut out = Vec::new();
    test.display.write(&mut out, format, SystemTime::UNIX_EPOCH).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn files_give_every_name_back() {
    let mut test = all();
    test.keys("O");
    let join = |name: &Vec<u8>, after: &str| [&name[..], after.as_bytes()].concat();
    let expected: BTreeSet<(Vec<u8>, Vec<u8>)> = (0..)
        .zip(&hostile::names())
        .map(|(pid, name)| (join(name, ":5000"), join(name, &format!("/{pid}"))))
        .collect();
    let rows = hostile::of_csv(&written(&mut test, ExportFormat::Csv));
    assert_eq!((&rows[0][1][..], &rows[0][11][..]), (&b"destination"[..], &b"owner"[..]));
    let found: BTreeSet<_> = rows[1..].iter().map(|row| (row[1].clone(), row[11].clone())).collect();
    assert_eq!(found, expected);

    let json = written(&mut test, ExportFormat::Json);
    hostile::assert_harmless(&json);
    let document: serde_json::Value = serde_json::from_str(&json).unwrap();
    let rows = document["rows"].as_array().unwrap();
    let found: BTreeSet<_> = rows
        .iter()
        .map(|row| (hostile::of_json(row, "destination"), hostile::of_json(row, "owner")))
        .collect();
    assert_eq!(found, expected);
}
