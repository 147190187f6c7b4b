//! What iftop does not have: groups, a row in full, interfaces, search, export, the wheel, the status.

use std::fs;

use harness::{
    Screen, Sender,
    screen::{Row, amount, is_near},
};
use serde_json::Value;

use crate::{
    cast::{self, PARTS},
    session::{Program, Session, USUAL, each},
};

/// The session that most of these tests begin with: everything is listed.
fn start(arguments: &str) -> Session {
    let session = Session::start(cast::pair(), Program::Flowtally, arguments, USUAL);
    session.wait_for_rows("the list", |rows| (!rows.is_empty()).then_some(()));
    session
}

/// The rule above the totals.
fn status(screen: &Screen) -> String {
    screen.line(screen.height() - 4)
}

fn wait_for_status(session: &Session, words: &[&str]) {
    session.wait(&format!("{words:?} in the status"), |screen| {
        let status = status(screen);
        words.iter().all(|word| status.contains(word)).then_some(())
    });
}

#[test]
fn the_status_says_what_is_shown_and_how() {
    let session = start("-n -P");
    wait_for_status(&session, &["near", "tcx", "sort 10s", "filter none"]);
    let plain = status(&session.screen());
    assert!(!plain.contains("PAUSED") && !plain.contains("FROZEN"), "{plain}");
    for (key, words) in [
        ("1", &["sort 2s"][..]),
        (">", &["sort destination"]),
        ("P", &["PAUSED"]),
        ("o", &["PAUSED", "FROZEN"]),
    ] {
        session.press(key);
        wait_for_status(&session, words);
    }
    for (key, word) in [("P", "PAUSED"), ("o", "FROZEN")] {
        session.press(key);
        session.wait(&format!("no {word}"), |screen| (!status(screen).contains(word)).then_some(()));
    }
}

/// The status of narrow screens says what matters most.
#[test]
fn the_status_fits_every_width() {
    each(&[(40, 24), (60, 24)], |size| {
        let session = Session::start(cast::pair(), Program::Flowtally, "-n", *size);
        session.press("P");
        wait_for_status(&session, &["near", "PAUSED"]);
        assert!(session.screen().width() <= usize::from(size.0));
    });
}

#[test]
fn groups_follow_each_other_and_add_up() {
    let session = start("-n -N -P");
    let [sent, received] = cast::total();
    for (name, has) in [
        ("remote", "10.77.0.20"),
        ("local", "10.77.0.1"),
        ("port", "5001"),
        ("protocol", "icmp"),
        ("interface", "near"),
        ("subnet", "10.77.0.0/24"),
    ] {
        session.press("g");
        session.wait(&format!("groups of {name}"), |screen| {
            let rows = screen.rows();
            let is_there =
                rows.iter().any(|row| [&row.left, &row.right].iter().any(|label| label.contains(has)));
            let sum = |direction: usize| -> f64 {
                rows.iter().skip(direction).step_by(2).map(|row| amount(&row.rates[1])).sum()
            };
            let near = |sum: f64, bytes: f64| (sum - bytes * 8.0).abs() <= bytes * 8.0 * 0.05;
            // A port is that of either end, so those add up to more.
            let adds_up = name == "port" || near(sum(0), sent) && near(sum(1), received);
            (status(screen).contains(name) && is_there && adds_up).then_some(())
        });
    }
    for owners in ["process", "command", "user", "container", "netns"] {
        session.press("g");
        wait_for_status(&session, &[owners]);
    }
    session.press("g");
    session.wait_for_rows("flows", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
}

#[test]
fn enter_shows_a_row_in_full() {
    let session = start("-n -N -P");
    session.key("Down");
    session.key("Down");
    session.key("Enter");
    let [left, right] = PARTS[1].labels();
    let screen = session.wait("everything about the second row", |screen| {
        let text = screen.text();
        let is_there = [&left, &right].iter().all(|label| text.contains(label.as_str()));
        (is_there && screen.rows().is_empty()).then(|| screen.clone())
    });
    let text = screen.text().to_lowercase();
    for word in ["peak", "packets", "mean", "total"] {
        assert!(text.contains(word), "no {word}\n{screen}");
    }
    assert!(text.contains("500"), "no mean size of packets\n{screen}");
    assert!(screen.totals().is_some(), "{screen}");
    session.key("Escape");
    session.wait_for_rows("the list again", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
}

#[test]
fn interfaces_are_chosen() {
    let session = start("-n -P");
    session.press("i");
    session.wait("the interfaces", |screen| {
        let text = screen.text();
        (text.contains("near") && text.contains("lo") && screen.rows().is_empty()).then_some(())
    });
    session.key("Escape");
    session.wait_for_rows("the list", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
    // Both, then one alone.
    session.press("i");
    session.wait("the interfaces", |screen| screen.rows().is_empty().then_some(()));
    // The first is the loopback interface; the other one is chosen already.
    session.press(" ");
    session.key("Enter");
    wait_for_status(&session, &["lo", "near"]);
    session.wait_for_rows("both", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
    session.press("i");
    session.wait("the interfaces", |screen| screen.rows().is_empty().then_some(()));
    session.key("Down");
    session.press(" ");
    session.key("Enter");
    session.wait("the loopback interface alone", |screen| {
        (!status(screen).contains("near") && screen.totals()?.cumulative[2] == "0B").then_some(())
    });
}

#[test]
fn search_selects_what_it_finds() {
    let session = start("-n -P");
    session.press("/");
    session.enter("DOMAIN");
    let is_selected = |screen: &Screen, row: &Row| screen.cells(row.line)[0].look.bold;
    session.wait("the selected row", |screen| {
        let rows = screen.rows();
        let selected: Vec<_> = rows.iter().filter(|row| is_selected(screen, row)).collect();
        (selected.len() == 2 && selected[0].right.ends_with(":domain")).then_some(())
    });
    session.press("/");
    session.key("C-u");
    session.enter("nowhere");
    session.wait("what is not there", |screen| {
        screen.message().filter(|said| said.contains("nowhere")).map(|_| ())
    });
}

/// The numbers of the file are those that were sent.
#[test]
fn the_list_is_written_to_a_file() {
    let session = start("-n -N -P");
    session.wait_for_rows("everything", |rows| (rows.len() == 2 * PARTS.len()).then_some(()));
    for name in ["list.json", "list.csv"] {
        session.press("e");
        session.key("C-u");
        session.enter(name);
        session.wait("what was written", |screen| {
            screen.message().filter(|said| said.contains(name)).map(|_| ())
        });
    }
    let read = |name: &str| fs::read_to_string(session.home().join(name)).unwrap();
    let json: Value = serde_json::from_str(&read("list.json")).unwrap();
    let csv = read("list.csv");
    let text = json.to_string();
    for part in PARTS {
        for (address, port) in [part.near, part.far] {
            assert!(text.contains(&address.to_string()) && csv.contains(&address.to_string()), "{part:?}");
            assert!(text.contains(&port.to_string()) && csv.contains(&port.to_string()), "{part:?}");
        }
    }
    assert_eq!(csv.lines().count(), PARTS.len() + 1, "{csv}");
    // What is there is not written over.
    session.press("e");
    session.key("C-u");
    session.enter("list.json");
    session.wait("a refusal", |screen| {
        screen.message().filter(|said| said.to_lowercase().contains("not written")).map(|_| ())
    });
    assert_eq!(read("list.json").parse::<Value>().unwrap(), json);
}

#[test]
fn totals_and_peaks_start_again() {
    let session = start("-n -P -B");
    session
        .wait("a lot in all", |screen| (amount(&screen.totals()?.cumulative[2]) > 600_000.0).then_some(()));
    session.press("r");
    session.wait("less in all", |screen| (amount(&screen.totals()?.cumulative[2]) < 400_000.0).then_some(()));
}

#[test]
fn the_wheel_and_the_cursor_scroll() {
    // Room for one pair, so that each move is seen.
    let session = Session::start(cast::pair(), Program::Flowtally, "-n -N -P", (100, 8));
    let place = |what: &str, place: usize| {
        let label = &PARTS[place].labels()[1];
        session.wait_for_rows(what, |rows| (rows.first()?.right == *label).then_some(()));
    };
    let wheel = |button: u8| session.press(&format!("\x1b[<{button};10;4M"));
    place("the first", 0);
    wheel(65);
    place("three on", 3);
    wheel(64);
    place("three back", 0);
    session.key("End");
    place("the last", PARTS.len() - 1);
    session.key("Up");
    place("the last but one", PARTS.len() - 2);
    session.key("Home");
    place("the first", 0);
    session.key("PageDown");
    place("the second", 1);
}

/// The selection is a row's, not a place's.
#[test]
fn the_selection_follows_its_row() {
    let pair = harness::NetPair::new();
    let slow = crate::order::flow(1, 40);
    let _slow = Sender::start(&pair, vec![slow.stream()]);
    let session = Session::start(&pair, Program::Flowtally, "-n -N -P", USUAL);
    session.wait_for_rows("a row", |rows| (rows.len() == 2).then_some(()));
    session.key("Down");
    let selected = |screen: &Screen| {
        let rows = screen.rows();
        rows.into_iter().find(|row| !row.right.is_empty() && screen.cells(row.line)[0].look.bold)
    };
    session.wait("a selection", |screen| selected(screen).map(|_| ()));
    let _fast = Sender::start(&pair, vec![crate::order::flow(2, 400).stream()]);
    session.wait("the faster one on top", |screen| {
        let rows = screen.rows();
        let on_top =
            rows.len() == 4 && rows[0].right == "10.77.0.2:2" && is_near(&rows[2].rates[0], 160_000.0, 0.1);
        on_top.then_some(())
    });
    let screen = session.screen();
    assert_eq!(selected(&screen).map(|row| row.right), Some("10.77.0.2:1".to_owned()), "{screen}");
}
