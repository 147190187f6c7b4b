//! The screen of a log: what its keys mean, and what it says.

use super::fixtures::{Test, lines};
use crate::{
    flow::group::GroupBy,
    iftop::options::PairOrder,
    tui::{PressedKey, TimeKey, Wish},
};

fn replayed() -> Test {
    let mut test = Test::usual(3);
    test.display.replay(&[GroupBy::Flow, GroupBy::Process, GroupBy::Remote]);
    test
}

#[test]
fn keys_move_the_time_of_a_log_alone() {
    let keys = [
        (PressedKey::Char(' '), TimeKey::Pause),
        (PressedKey::Char('P'), TimeKey::Pause),
        (PressedKey::Left, TimeKey::Back),
        (PressedKey::Right, TimeKey::Forward),
        (PressedKey::Char('0'), TimeKey::Tenth(0)),
        (PressedKey::Char('9'), TimeKey::Tenth(9)),
        (PressedKey::Char('+'), TimeKey::Faster),
        (PressedKey::Char('-'), TimeKey::Slower),
    ];
    let (mut live, mut log) = (Test::usual(3), replayed());
    for (key, moves) in keys {
        assert_eq!(live.press(key), Wish::Nothing, "{key:?}");
        assert_eq!(log.press(key), Wish::Time(moves), "{key:?}");
    }
    assert!(live.display.options().paused && !log.display.options().paused);
    // On other pages too.
    log.press(PressedKey::Enter);
    assert_eq!(log.press(PressedKey::Right), Wish::Time(TimeKey::Forward));
}

#[test]
fn what_is_typed_is_text() {
    let mut log = replayed();
    log.keys("l10.77 0-1+");
    assert!(log.line(0).contains("10.77 0-1+"), "{}", log.line(0));
}

#[test]
fn what_other_keys_did_can_still_be_done() {
    let mut log = replayed();
    for order in [PairOrder::FortySeconds, PairOrder::TwoSeconds, PairOrder::TenSeconds] {
        log.keys("x");
        assert_eq!(log.display.options().sort, order);
    }
    for grouping in [GroupBy::Remote, GroupBy::Process, GroupBy::Flow] {
        log.keys("g");
        assert_eq!(log.display.grouping(), grouping);
    }
    assert_eq!(log.press(PressedKey::Char('F')), Wish::Nothing);
    assert!(log.line(0).contains("not in the log"));
    log.keys("c");
    assert!(log.line(0).contains("counts once"));
}

#[test]
fn the_time_is_the_last_thing_that_has_no_room() {
    let mut log = replayed();
    let time = "2026-11-29 03:00:00-03:00:10, 1/360, 10x, PAUSED";
    log.display.set_notes(vec![(time.to_owned(), false), ("gap 5m, 30 missing".to_owned(), true)]);
    let status = |log: &mut Test, width| lines(&log.draw(width, 24)).swap_remove(20);
    assert!(status(&mut log, 200).contains("va (tcx)"));
    assert!(status(&mut log, 80).contains("gap 5m, 30 missing"));
    let narrow = status(&mut log, 60);
    assert!(narrow.contains(time), "{narrow}");
}

#[test]
fn rows_that_are_no_flows_have_no_ends() {
    let mut log = replayed();
    log.display.set_rows_of(Some("process"));
    log.keys("gg");
    assert_eq!(log.display.grouping(), GroupBy::Process);
    assert!(!log.frame(100, 24).contains("flow"), "{}", log.frame(100, 24));
    log.press(PressedKey::Enter);
    let page = log.frame(100, 24);
    assert!(page.contains("rows of process, not of flows") && !page.contains("local because"), "{page}");
}

#[test]
fn what_passes_on_the_way_is_in_the_totals_of_groups() {
    let mut log = replayed();
    log.keys("g");
    // Rows that are forgotten on the way.
    for _ in 0..60 {
        log.second += 1;
        let now = log.now();
        log.ledger.close(now);
        log.display.pass(&log.ledger);
    }
    let memory = log.display.memory();
    assert!(memory.size() > 0);
    log.run(1, &super::fixtures::TRAFFIC[..1]);
    log.keys("T");
    let total = |log: &mut Test| log.list()[0].split_whitespace().rev().nth(3).map(str::to_owned);
    let all = total(&mut log);
    log.display.recall(&crate::tui::DisplayMemory::default());
    log.display.arrive(&log.ledger, false);
    let alone = total(&mut log);
    assert_ne!(all, alone);
    log.display.recall(&memory);
    log.display.arrive(&log.ledger, false);
    assert_eq!(total(&mut log), all);
}
