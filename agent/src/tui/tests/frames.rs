//! What the screen looks like.

use std::collections::HashSet;

use flowtally_common::{Count, Direction, Health, HealthKey, flow::PROTOCOL_NOT_IP};
use insta::assert_snapshot;
use ratatui::{
    layout::Position,
    style::{Color, Modifier},
};

use super::fixtures::{ICMP, LO, TCP, TRAFFIC, Test, UDP, VA, interface, lines, numbers};
use crate::{
    flow::row::InterfaceId,
    iftop::options::{IftopOptions, LineDisplay, PortDisplay},
    tui::{Candidate, PressedKey},
};

/// Names the snapshot after the test that asks for it.
macro_rules! check {
    ($frame:expr) => {
        insta::with_settings!({prepend_module_to_snapshot => false, omit_expression => true}, {
            assert_snapshot!($frame)
        })
    };
}

#[test]
fn two_lines() {
    check!(Test::usual(45).frame(100, 24));
}

#[test]
fn one_line_for_both() {
    let mut test = Test::usual(45);
    test.display.say("", test.now());
    test.keys("t");
    test.second += 3;
    check!(test.frame(100, 14));
}

#[test]
fn one_line_received() {
    let mut test = Test::usual(45);
    test.keys("tt");
    check!(test.frame(100, 14));
}

#[test]
fn one_line_sent() {
    let mut test = Test::usual(45);
    test.keys("ttt");
    check!(test.frame(100, 14));
}

#[test]
fn totals_of_rows() {
    let mut test = Test::usual(45);
    test.keys("T");
    check!(test.frame(100, 16));
}

#[test]
fn bytes_per_second() {
    let mut test = Test::new(IftopOptions { use_bytes: true, port_display: PortDisplay::On, ..numbers() });
    test.run(45, &TRAFFIC);
    check!(test.frame(100, 16));
}

#[test]
fn without_bars() {
    let mut test = Test::usual(45);
    test.keys("b");
    test.second += 3;
    check!(test.frame(100, 16));
    assert_eq!(test.bars(100, 16), [0; 16]);
}

#[test]
fn logarithmic_scale() {
    let mut test = Test::usual(45);
    test.keys("L");
    test.second += 3;
    check!(test.frame(100, 16));
}

#[test]
fn nothing_at_all() {
    let mut test = Test::new(numbers());
    test.close();
    check!(test.frame(80, 10));
}

#[test]
fn hidden_source_with_and_without_ports() {
    let mut test = Test::usual(45);
    test.keys("s");
    let with = test.list().join("\n");
    test.keys("p");
    let without = test.list().join("\n");
    check!(format!("{with}\n\n{without}"));
}

#[test]
fn help() {
    let mut test = Test::usual(45);
    test.keys("h");
    check!(test.frame(80, 24));
}

#[test]
fn help_on_a_narrow_screen() {
    let mut test = Test::usual(45);
    test.keys("?");
    test.frame(60, 16);
    test.press(PressedKey::PageDown);
    test.press(PressedKey::Down);
    check!(test.frame(60, 16));
}

#[test]
fn everything_about_one_row() {
    let mut test = Test::usual(30);
    test.frame(80, 24);
    test.run(95, &[TRAFFIC[0], (("10.77.0.2", 5001), ("10.77.0.1", 40_001), UDP, 30_000)]);
    test.run(5, &[TRAFFIC[0]]);
    test.frame(80, 24);
    test.press(PressedKey::Enter);
    test.run(7, &[(TRAFFIC[0].0, TRAFFIC[0].1, UDP, 300_000)]);
    check!(test.frame(80, 24));
}

#[test]
fn everything_about_a_group() {
    let mut test = Test::usual(30);
    test.keys("g");
    test.frame(100, 24);
    test.press(PressedKey::Down);
    test.frame(100, 24);
    test.press(PressedKey::Enter);
    check!(test.frame(60, 24));
}

#[test]
fn interfaces_to_choose_from() {
    let mut test = Test::usual(10);
    let candidate = |name: &str, about: &str, chosen| Candidate {
        name: name.to_owned(),
        about: about.to_owned(),
        chosen,
    };
    test.display.choose(vec![
        candidate("lo", "up, not counted so far", false),
        candidate("va", "up, tcx", true),
        candidate(
            "wireguard0",
            "down, clsact: tcx needs Linux 6.6 or newer, and this is Linux 6.1.0, so clsact serves in its place",
            false,
        ),
    ]);
    test.press(PressedKey::Down);
    test.press(PressedKey::Down);
    test.keys(" ");
    check!(test.frame(80, 12));
}

#[test]
fn a_line_is_typed() {
    let mut test = Test::usual(10);
    test.keys("l");
    test.keys("10\\.77");
    check!(test.frame(80, 12));
    let mut buffer = test.draw(80, 12);
    assert_eq!(test.display.draw(&mut buffer, test.now()), Some(Position::new(21, 0)));
    test.press(PressedKey::Left);
    assert_eq!(test.display.draw(&mut buffer, test.now()), Some(Position::new(20, 0)));
    test.press(PressedKey::Esc);
    assert_eq!(test.display.draw(&mut buffer, test.now()), None);
}

#[test]
fn sixty_columns() {
    check!(Test::usual(45).frame(60, 16));
}

#[test]
fn eighty_columns() {
    check!(Test::usual(45).frame(80, 24));
}

#[test]
fn forty_columns_and_eight_lines() {
    check!(Test::usual(45).frame(40, 8));
}

#[test]
fn a_wide_screen() {
    let mut test = Test::usual(45);
    test.keys("T");
    test.second += 3;
    let frame = test.frame(300, 100);
    let filled: Vec<&str> = frame.lines().filter(|line| !line.is_empty()).collect();
    check!(filled.join("\n"));
}

#[test]
fn frozen_and_paused() {
    let mut test = Test::usual(10);
    test.frame(100, 16);
    test.keys("o");
    // The fifth stops, and something bigger than all of them begins.
    let bigger = (("10.77.0.1", 40_005), ("10.77.0.3", 443), TCP, 500_000);
    test.run(42, &[TRAFFIC[0], TRAFFIC[1], TRAFFIC[2], TRAFFIC[3], bigger]);
    let frozen = test.frame(100, 16);
    test.keys("P");
    test.run(10, &[bigger]);
    let paused = test.frame(100, 16);
    check!(format!("{frozen}\n\n{paused}"));
}

#[test]
fn what_is_not_as_it_should_be() {
    let mut test = Test::usual(5);
    let mut degraded = interface("wg0", 3, false);
    degraded.hook = "clsact".to_owned();
    degraded.degraded.push("tcx needs Linux 6.6".to_owned());
    test.ledger.attach(degraded);
    let count = |bytes, packets| Count { bytes, packets };
    test.ledger.record_health(
        HealthKey { ifindex: VA, direction: Direction::Egress as u8, ..HealthKey::default() },
        &Health { untracked: count(123_456, 100), ..Health::default() },
    );
    let mut unparsed = super::fixtures::key(VA, TRAFFIC[0], Direction::Ingress);
    (unparsed.protocol, unparsed.src_port, unparsed.dst_port) = (PROTOCOL_NOT_IP, [0, 0], [0, 1]);
    test.ledger.record(&unparsed, count(60, 3), flowtally_common::SocketHint::NONE);
    for _ in 0..3 {
        test.second += 9;
        test.run(1, &TRAFFIC);
        test.ledger.read_counters(VA, [count(900_000, 900); 2]);
        test.close();
        test.display.counters_read();
    }
    check!(format!("{}\n{}", test.frame(160, 10), test.frame(80, 10)));
    assert_eq!(test.style(2, 20).fg, Some(Color::Reset));
    let line = lines(&test.draw(160, 24)).swap_remove(20);
    let column = line.chars().position(|char| char == 'u').unwrap();
    let style = test.draw(160, 24)[(u16::try_from(column).unwrap(), 20)].style();
    assert_eq!(style.fg, Some(Color::LightRed));
}

#[test]
fn bars_stand_behind_the_text_and_show_the_chosen_average() {
    let mut test = Test::new(IftopOptions { max_bandwidth: Some(1 << 20), ..numbers() });
    // 281 Kbit/s.
    test.run(45, &[(("10.77.0.1", 1), ("10.77.0.2", 2), UDP, 281 * 128)]);
    let mut expected = [0; 24];
    (expected[2], expected[21]) = (28, 28);
    assert_eq!(test.bars(100, 24), expected);
    test.run(5, &[]);
    // Half of the last ten seconds, an eighth of the last forty less, none of the last two.
    assert_eq!(test.bars(100, 24)[2], 14);
    let mut after = |key: &str| {
        test.keys(key);
        test.second += 3;
        test.bars(100, 24)[2]
    };
    assert_eq!([after("B"), after("B"), after("B")], [25, 0, 14]);
    assert_eq!(test.line(2).split_whitespace().last(), Some("246Kb"));
}

#[test]
fn bars_follow_the_directions_that_are_shown() {
    let mut test = Test::new(IftopOptions { max_bandwidth: Some(800_000), ..numbers() });
    let there = (("10.77.0.1", 1), ("10.77.0.2", 2), UDP, 20_000);
    let back = (("10.77.0.2", 2), ("10.77.0.1", 1), UDP, 50_000);
    test.run(40, &[there, back]);
    assert_eq!(test.bars(100, 24)[2..4], [21, 51]);
    assert_eq!(test.bars(100, 24)[20..], [0, 21, 51, 0]);
    test.keys("t");
    assert_eq!(test.bars(100, 24)[2..4], [71, 0]);
    test.keys("t");
    assert_eq!(test.bars(100, 24)[2..4], [51, 0]);
    test.keys("t");
    assert_eq!(test.bars(100, 24)[2..4], [21, 0]);
}

#[test]
fn the_automatic_scale_follows_what_is_on_the_screen_and_never_shrinks() {
    let mut test = Test::new(numbers());
    let mut after = |kilobits: u64| {
        test.run(2, &[(("10.77.0.1", 1), ("10.77.0.2", 2), UDP, kilobits * 125)]);
        test.keys("BB");
        test.second += 3;
        let top = test.line(0).split_whitespace().last().unwrap().to_owned();
        test.keys("B");
        top
    };
    let steps = [50, 90, 480, 5_000, 50_000, 500_000, 5_000_000, 50_000_000, 300_000_000, 0].map(&mut after);
    assert_eq!(
        steps,
        ["62.5Kb", "125Kb", "977Kb", "9.54Mb", "95.4Mb", "954Mb", "9.31Gb", "93.1Gb", "373Gb", "373Gb"]
    );
}

#[test]
fn numbers_at_hundreds_of_gigabits_keep_their_columns() {
    let mut test = Test::new(IftopOptions { show_totals: true, ..numbers() });
    // 400 Gbit/s for a minute are 3 TB.
    let flow = (("10.77.0.1", 1), ("10.77.0.2", 2), TCP, 50_000_000_000);
    test.run(60, &[flow]);
    check!(test.frame(100, 10));
}

#[test]
fn each_direction_has_its_colour_and_none_with_no_color() {
    let mut test = Test::usual(10);
    let arrow = |test: &mut Test, line| test.style(37, line).fg;
    assert_eq!((arrow(&mut test, 2), arrow(&mut test, 3)), (Some(Color::LightBlue), Some(Color::Magenta)));
    test.display.theme.colour = false;
    let buffer = test.draw(100, 24);
    assert!(buffer.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    assert!(test.style(0, 2).add_modifier.contains(Modifier::REVERSED));
}

#[test]
fn without_unicode_lines_are_ascii() {
    let mut test = Test::usual(10);
    test.display.theme.ascii = true;
    test.frame(80, 24);
    test.press(PressedKey::Enter);
    assert!(test.frame(80, 24).is_ascii());
}

#[test]
fn loopback_is_all_sent() {
    let mut test = Test::new(IftopOptions { port_display: PortDisplay::On, ..numbers() });
    test.ledger = super::fixtures::ledger(None);
    test.ledger.attach(interface("lo", LO, true));
    let there = (("127.0.0.1", 40_000), ("127.0.0.1", 443), TCP, 1000);
    let back = (("127.0.0.1", 443), ("127.0.0.1", 40_000), TCP, 9000);
    test.run_on(LO, 40, &[there, back]);
    test.display.show(Some(HashSet::from([InterfaceId(1)])), &test.ledger);
    let ports = test.frame(100, 10);
    test.keys("p");
    let hosts = test.frame(100, 10);
    test.keys("gggg");
    let protocols = test.frame(100, 10);
    check!(format!("{ports}\n\n{hosts}\n\n{protocols}"));
}

#[test]
fn groups() {
    let mut test = Test::usual(5);
    test.run(40, &[&TRAFFIC[..], &[(("10.77.0.1", 8), ("10.77.0.20", 0), ICMP, 500)]].concat());
    let mut frames = Vec::new();
    for _ in 0..8 {
        test.keys("g");
        test.second += 3;
        let status = test.line(20);
        frames.push(format!("{}\n{}", status.trim_end_matches('─'), test.list().join("\n")));
    }
    check!(frames.join("\n\n"));
}

#[test]
fn line_modes_of_the_options() {
    let mut test = Test::new(IftopOptions { line_display: LineDisplay::OneLineSent, ..numbers() });
    test.run(3, &TRAFFIC);
    assert_eq!(test.list().len(), 3);
}
