//! What keys do to the screen as a whole. What each says is checked beside [`press`](super::super::press).

use std::collections::HashSet;

use super::fixtures::{ICMP, LO, TCP, TRAFFIC, Test, UDP, interface, numbers};
use crate::{
    flow::row::InterfaceId,
    iftop::options::{IftopOptions, PairOrder, PortDisplay},
    tui::{ExportFormat, PressedKey, Wish},
};

#[test]
fn ports_off_make_one_row_of_all_protocols() {
    let mut test = Test::new(IftopOptions { port_display: PortDisplay::On, ..numbers() });
    let pair = ["10.77.0.1", "10.77.0.2"];
    let flow = |port, protocol, bytes| ((pair[0], port), (pair[1], 443), protocol, bytes);
    test.run(40, &[flow(1, TCP, 1000), flow(2, UDP, 2000), flow(8, ICMP, 4000)]);
    assert_eq!(test.list().len(), 6);
    test.keys("p");
    let list = test.list();
    assert_eq!(list.len(), 2);
    assert!(list[0].ends_with("54.7Kb  54.7Kb  54.7Kb"), "{}", list[0]);
}

#[test]
fn columns_decide_the_order() {
    let mut test = Test::new(numbers());
    let stopped = (("10.77.0.1", 1), ("10.77.0.2", 1), UDP, 5000);
    let steady = (("10.77.0.1", 1), ("10.77.0.3", 1), UDP, 1000);
    test.run(10, &[stopped, steady]);
    test.run(8, &[steady]);
    let mut order = |key: &str| {
        test.keys(key);
        test.ends()
    };
    let (stopped, steady) = ("10.77.0.1 10.77.0.2", "10.77.0.1 10.77.0.3");
    assert_eq!(order("1"), [steady, stopped]);
    assert_eq!(order("2"), [stopped, steady]);
    assert_eq!(order("3"), [stopped, steady]);
}

#[test]
fn hosts_are_in_the_order_of_their_text() {
    let mut test = Test::new(numbers());
    let to = |host| (("10.77.0.1", 1), (host, 1), UDP, 1000);
    test.run(3, &[to("10.77.0.2"), to("10.77.0.20"), to("10.77.0.10")]);
    test.keys(">");
    assert_eq!(test.ends(), ["10.77.0.1 10.77.0.10", "10.77.0.1 10.77.0.2", "10.77.0.1 10.77.0.20"]);
    test.display.names_mut().hosts.extend([("10.77.0.20".parse().unwrap(), "a.example".into())]);
    test.keys("n");
    assert_eq!(test.ends()[2], "10.77.0.1 a.example");
    assert_eq!(test.display.options().sort, PairOrder::Destination);
}

#[test]
fn a_frozen_order_keeps_places_and_lists_nothing_new() {
    let mut test = Test::usual(10);
    let before = test.ends();
    test.keys("o");
    test.frame(100, 24);
    let bigger = (("10.77.0.1", 9), ("10.77.0.9", 9), TCP, 1_000_000);
    test.run(45, &[TRAFFIC[4], bigger]);
    assert_eq!(test.ends(), before);
    assert!(test.list()[0].ends_with("0b      0b      0b"));
    assert!(test.line(21).contains("7.63Mb"), "{}", test.line(21));
    test.keys("o");
    assert_eq!(test.ends(), ["10.77.0.1:9 10.77.0.9:9", "10.77.0.1:6001 10.77.0.2:50001"]);
}

#[test]
fn a_frozen_order_is_found_anew_when_rows_come_together_differently() {
    let mut test = Test::usual(10);
    test.keys("o");
    test.frame(100, 24);
    test.keys("p");
    assert_eq!(test.ends().len(), 3);
}

#[test]
fn a_pause_stops_all_but_the_sums() {
    let mut test = Test::usual(45);
    let (list, totals) = (test.list(), test.line(21));
    test.keys("P");
    test.run(6, &[(TRAFFIC[0].0, TRAFFIC[0].1, UDP, 1_000_000)]);
    assert_eq!(test.list(), list);
    let paused = test.line(21);
    assert_eq!(paused[30..], totals[30..]);
    assert_eq!((&totals[22..30], &paused[22..30]), (" 6.27MB ", " 12.0MB "));
    // What is shown can still be turned about.
    test.keys("t");
    assert_eq!(test.list().len(), list.len() / 2);
    test.keys("gg");
    assert_eq!(test.list().len(), 2);
    test.keys("gggggggggg");
    test.keys("P");
    assert!(test.list()[0].contains("4.88Mb"), "{:?}", test.list());
}

#[test]
fn the_screen_filter_matches_either_end_and_leaves_totals_alone() {
    let mut test = Test::usual(45);
    let totals = test.line(23);
    let mut filtered = |text: &str| {
        test.keys("l");
        test.press(PressedKey::Control('u'));
        test.keys(text);
        test.keys("\n");
        let ends: Vec<String> = test.ends();
        let first = test.line(0);
        test.second += 3;
        (ends.len(), first.starts_with(" Invalid regexp "), test.line(23) == totals)
    };
    assert_eq!(filtered("0\\.20:"), (1, false, true));
    assert_eq!(filtered("DOMAIN"), (1, false, true));
    assert_eq!(filtered("^\\["), (1, false, true));
    assert_eq!(filtered(":6001"), (1, false, true));
    assert_eq!(filtered("(("), (5, true, true));
    assert_eq!(filtered("5001"), (1, false, true));
    assert_eq!(filtered(""), (5, false, true));
    test.keys("l5001\n");
    test.keys("l");
    test.keys("zzz");
    test.press(PressedKey::Esc);
    assert_eq!(test.ends().len(), 1);
    assert!(test.line(20).contains(" only 5001 "), "{}", test.line(20));
}

#[test]
fn a_screen_filter_of_the_options_is_in_force_at_once() {
    let filter = |text: &str| IftopOptions { screen_filter: Some(text.to_owned()), ..numbers() };
    let mut test = Test::new(filter("0\\.20"));
    test.run(3, &TRAFFIC);
    assert_eq!(test.ends(), ["10.77.0.1 10.77.0.20"]);
    let mut test = Test::new(filter("(("));
    assert!(test.line(0).starts_with(" Invalid regexp "));
    test.run(3, &TRAFFIC);
    assert_eq!(test.ends().len(), 3);
}

/// More rows than any screen has, of different sizes.
fn long_list() -> Test {
    let mut test = Test::new(numbers());
    let hosts: Vec<String> = (10..60).map(|last| format!("10.77.0.{last}")).collect();
    let flows: Vec<_> = hosts
        .iter()
        .zip(1..)
        .map(|(host, n)| (("10.77.0.1", 1), (host.as_str(), 1), UDP, 10_000 - 100 * n))
        .collect();
    test.run(3, &flows);
    test
}

#[test]
fn scrolling_stops_at_the_end_of_the_list() {
    let mut test = long_list();
    assert_eq!(test.ends().first().unwrap(), "10.77.0.1 10.77.0.10");
    test.keys("jj");
    assert_eq!(test.ends().first().unwrap(), "10.77.0.1 10.77.0.12");
    test.keys("k");
    test.press(PressedKey::WheelDown);
    assert_eq!(test.ends().first().unwrap(), "10.77.0.1 10.77.0.14");
    test.keys(&"j".repeat(100));
    assert_eq!(test.ends().last().unwrap(), "10.77.0.1 10.77.0.59");
    assert_eq!(test.ends().len(), 9);
    test.keys(&"k".repeat(100));
    assert_eq!(test.ends().first().unwrap(), "10.77.0.1 10.77.0.10");
}

/// The entry that is underlined.
fn selected(test: &mut Test) -> Option<String> {
    use ratatui::style::Modifier;
    let line = (2..20).find(|line| test.style(0, *line).add_modifier.contains(Modifier::UNDERLINED))?;
    Some(test.line(usize::from(line)).split_whitespace().nth(2).unwrap().to_owned())
}

#[test]
fn the_selection_follows_its_row() {
    let mut test = long_list();
    assert_eq!(selected(&mut test), None);
    let mut after = |key| {
        test.press(key);
        selected(&mut test)
    };
    assert_eq!(after(PressedKey::Down).as_deref(), Some("10.77.0.10"));
    assert_eq!(after(PressedKey::Down).as_deref(), Some("10.77.0.11"));
    assert_eq!(after(PressedKey::PageDown).as_deref(), Some("10.77.0.20"));
    assert_eq!(after(PressedKey::End).as_deref(), Some("10.77.0.59"));
    assert_eq!(after(PressedKey::Home).as_deref(), Some("10.77.0.10"));
    assert_eq!(after(PressedKey::Up).as_deref(), Some("10.77.0.10"));
    // Others grow: the selected row goes down, and the screen with it.
    let flows: Vec<String> = (40..60).map(|last| format!("10.77.0.{last}")).collect();
    let flows: Vec<_> =
        flows.iter().map(|host| (("10.77.0.1", 1), (host.as_str(), 1), UDP, 100_000)).collect();
    test.run(1, &flows);
    assert_eq!(selected(&mut test).as_deref(), Some("10.77.0.10"));
    assert_eq!(test.ends().last().unwrap(), "10.77.0.1 10.77.0.10");
    // It ends: the selection stays where it was.
    test.run(41, &flows);
    assert!(selected(&mut test).is_some());
    test.press(PressedKey::Esc);
    assert_eq!(selected(&mut test), None);
}

#[test]
fn searching_goes_from_match_to_match() {
    let mut test = long_list();
    test.keys("/0.5\n");
    assert_eq!(selected(&mut test).as_deref(), Some("10.77.0.50"));
    test.keys("/\n");
    assert_eq!(selected(&mut test).as_deref(), Some("10.77.0.51"));
    test.press(PressedKey::End);
    test.keys("/\n");
    assert_eq!(selected(&mut test).as_deref(), Some("10.77.0.50"));
    test.keys("/zzz\n");
    assert!(test.line(0).starts_with(" Not found: 0.5zzz "));
}

#[test]
fn totals_and_peaks_start_again() {
    let mut test = Test::usual(45);
    test.keys("T");
    test.keys("r");
    assert_eq!(test.line(21)[16..46].split_whitespace().collect::<Vec<_>>(), ["cum:", "0B", "peak:", "0b"]);
    assert!(test.line(0).contains("again"));
    assert!(test.list()[0].contains(" 0B "), "{}", test.list()[0]);
    test.run(2, &TRAFFIC);
    assert_eq!(
        test.line(21)[16..46].split_whitespace().collect::<Vec<_>>(),
        ["cum:", "285KB", "peak:", "1.11Mb"]
    );
    assert!(test.list()[0].contains(" 195KB "), "{}", test.list()[0]);
    // The averages have gone on.
    assert!(test.line(21).ends_with("1.11Mb  1.11Mb  1.11Mb"));
}

#[test]
fn only_the_interfaces_that_are_chosen_are_shown() {
    let mut test = Test::usual(0);
    test.ledger.attach(interface("wg0", 3, false));
    for _ in 0..45 {
        test.record(3, &[(("10.77.0.1", 1), ("192.0.2.1", 443), TCP, 8000)]);
        test.run(1, &TRAFFIC);
    }
    assert_eq!(test.ends().len(), 6);
    assert!(test.line(20).contains(" va, wg0 (tcx) "));
    let all = test.line(23);
    test.display.show(Some(HashSet::from([InterfaceId(1)])), &test.ledger);
    assert_eq!(test.ends(), ["10.77.0.1:1 192.0.2.1:https"]);
    assert_eq!(
        test.line(23).split_whitespace().collect::<Vec<_>>(),
        ["TOTAL:", "352KB", "62.5Kb", "62.5Kb", "62.5Kb", "62.5Kb"]
    );
    assert!(test.line(20).contains(" wg0 (tcx) "));
    test.display.show(None, &test.ledger);
    assert_eq!(test.line(23), all);
}

#[test]
fn choosing_interfaces() {
    let mut test = Test::usual(3);
    assert_eq!(test.press(PressedKey::Char('i')), Wish::ListInterfaces);
    let candidate =
        |name: &str, chosen| crate::tui::Candidate { name: name.to_owned(), about: String::new(), chosen };
    test.display.choose(vec![candidate("lo", false), candidate("va", true)]);
    test.keys(" ");
    assert_eq!(test.press(PressedKey::Enter), Wish::Show(vec!["lo".to_owned(), "va".to_owned()]));
    test.display.choose(vec![candidate("lo", false), candidate("va", true)]);
    test.press(PressedKey::Down);
    test.keys(" \n");
    assert!(test.line(0).starts_with(" Choose at least one interface "));
    test.press(PressedKey::Esc);
    assert_eq!(test.ends().len(), 5);
}

#[test]
fn files_are_wanted_by_their_suffix() {
    let mut test = Test::usual(3);
    test.keys("ea.json");
    assert_eq!(test.press(PressedKey::Enter), Wish::Export("a.json".to_owned(), ExportFormat::Json));
    test.keys("e/tmp/B.CSV");
    assert_eq!(test.press(PressedKey::Enter), Wish::Export("/tmp/B.CSV".to_owned(), ExportFormat::Csv));
    test.keys("elist.txt\n");
    assert!(test.line(0).starts_with(" Give the file a name that ends in .json or .csv "));
}

#[test]
fn keys_without_a_frame_in_between_act_on_what_they_selected() {
    let mut test = Test::usual(3);
    test.frame(100, 24);
    let second = test.line(4).split_whitespace().next().unwrap().to_owned();
    for key in [PressedKey::Down, PressedKey::Down, PressedKey::Enter] {
        test.press(key);
    }
    assert!(test.line(2).starts_with(&format!("{second} <=> ")), "{}", test.line(2));
}

#[test]
fn a_page_about_a_row_ends_when_rows_come_together_differently() {
    let mut test = Test::usual(3);
    test.frame(100, 24);
    for key in ["p", "s", "g"] {
        test.press(PressedKey::Enter);
        assert!(test.line(2).contains(" <=> "), "{key}");
        test.keys(key);
        assert!(!test.line(2).contains(" <=> "), "{key}");
    }
}

#[test]
fn a_capture_filter_is_a_wish() {
    let mut test = Test::usual(3);
    test.keys("f port 53 ");
    assert_eq!(test.press(PressedKey::Enter), Wish::NetFilter("port 53".to_owned()));
    test.display.filter_installed("port 53", test.now());
    assert!(test.line(0).starts_with(" Installed new filter "));
    assert!(test.line(20).contains(" filter port 53 "));
    test.keys("f");
    assert!(test.line(0).starts_with("Net filter> port 53"));
}

#[test]
fn loopback_can_be_looked_at_alone() {
    let mut test = Test::usual(0);
    test.ledger.attach(interface("lo", LO, true));
    for _ in 0..5 {
        test.record(
            LO,
            &[
                (("127.0.0.1", 1), ("127.0.0.1", 2), TCP, 1000),
                (("127.0.0.1", 2), ("127.0.0.1", 1), TCP, 1000),
            ],
        );
        test.run(1, &TRAFFIC);
    }
    test.display.show(Some(HashSet::from([InterfaceId(1)])), &test.ledger);
    assert_eq!(test.line(22).split_whitespace().collect::<Vec<_>>(), ["RX:", "0B", "0b", "0b", "0b", "0b"]);
    assert_eq!(test.line(21).split_whitespace().nth(2), Some("9.77KB"));
}

#[test]
fn groups_keep_what_they_got_from_rows_that_are_gone() {
    let mut test = Test::usual(0);
    test.ledger.attach(interface("wg0", 3, false));
    test.keys("Tg");
    // A new connection every second, on two interfaces, and one that stays.
    for port in 1..=100 {
        let flow = |port| (("10.77.0.1", port), ("192.0.2.1", 443), TCP, 10_000);
        test.record(3, &[flow(port)]);
        test.run(1, &[flow(port), (("10.77.0.1", 60_000), ("192.0.2.9", 443), TCP, 1000)]);
    }
    assert!(test.ledger.len() < 100);
    assert!(test.list()[0].contains(" 1.91MB "), "{}", test.list()[0]);
    assert!(test.list()[2].contains(" 97.7KB "), "{}", test.list()[2]);
    test.keys("ggg");
    assert!(test.list()[0].contains(" 2.00MB "), "{}", test.list()[0]);
    test.press(PressedKey::Enter);
    assert!(test.line(13).contains("2,100,000"), "{}", test.line(13));
    test.press(PressedKey::Esc);
    test.display.show(Some(HashSet::from([InterfaceId(1)])), &test.ledger);
    assert!(test.list()[0].contains(" 977KB "), "{}", test.list()[0]);
    test.display.show(None, &test.ledger);
    // What departs in a pause is not counted twice.
    test.keys("P");
    test.run(50, &[(("10.77.0.1", 60_000), ("192.0.2.9", 443), TCP, 1000)]);
    assert!(test.list()[0].contains(" 2.00MB "), "{}", test.list()[0]);
    test.keys("P");
    assert!(test.list()[0].contains(" 2.05MB "), "{}", test.list()[0]);
    test.keys("r");
    test.run(1, &[(("10.77.0.1", 60_000), ("192.0.2.9", 443), TCP, 1000)]);
    assert!(test.list()[0].contains("1000B") || test.list()[0].contains("0.98KB"), "{}", test.list()[0]);
}

/// A bridge and its port: counted once, and with a key on each.
#[test]
fn what_crosses_several_interfaces_counts_once_until_a_key_is_pressed() {
    use crate::flow::topology::Link;
    let mut test = Test::new(numbers());
    test.ledger.attach(interface("br0", 3, false));
    let link = |index, kind: Option<&str>, master| Link {
        index,
        kind: kind.map(str::to_owned),
        master,
        ..Link::default()
    };
    test.ledger.set_links(vec![link(2, None, Some(3)), link(3, Some("bridge"), None)]);
    let flow = (("10.77.0.1", 1), ("10.77.0.2", 443), TCP, 1000);
    let second = |test: &mut Test| {
        test.record(3, &[flow]);
        test.run(1, &[flow]);
    };
    for _ in 0..5 {
        second(&mut test);
    }
    let cumulative = |test: &mut Test| test.line(21).split_whitespace().nth(2).unwrap().to_owned();
    assert_eq!(cumulative(&mut test), "4.88KB");
    assert!(test.list()[0].contains("7.81Kb"), "{}", test.list()[0]);
    test.press(PressedKey::Enter);
    let page = |test: &mut Test| test.frame(100, 40);
    let shown = page(&mut test);
    assert!(shown.contains("also crossed br0, and is counted once"), "{shown}");
    test.press(PressedKey::Esc);
    test.keys("c");
    assert!(test.line(0).contains("Each interface counts what crosses it"), "{}", test.line(0));
    assert_eq!(cumulative(&mut test), "9.77KB");
    assert!(test.list()[0].contains("15.6Kb"), "{}", test.list()[0]);
    let shown = page(&mut test);
    assert!(shown.contains("per interface"), "{shown}");
    test.keys("c");
    assert_eq!(cumulative(&mut test), "4.88KB");
    // Of some interfaces each shows its own.
    let ids = HashSet::from([InterfaceId(1)]);
    test.display.show(Some(ids), &test.ledger);
    second(&mut test);
    assert_eq!(cumulative(&mut test), "5.86KB");
}
