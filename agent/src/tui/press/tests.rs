//! What keys do to the state.

use proptest::prelude::*;

use super::*;
use crate::iftop::options::IftopOptions;

/// Any key, those of the help page most of all.
pub(in crate::tui) fn any_key() -> impl Strategy<Value = PressedKey> {
    prop_oneof![
        6 => prop::sample::select("hqPnNsdSDptbBTLjk123<>olf!/egirOF? ".chars().collect::<Vec<_>>()).prop_map(PressedKey::Char),
        1 => any::<char>().prop_map(PressedKey::Char),
        1 => prop::sample::select("acegluwhxz".chars().collect::<Vec<_>>()).prop_map(PressedKey::Control),
        4 => prop::sample::select(vec![
            PressedKey::Enter, PressedKey::Esc, PressedKey::Backspace, PressedKey::Delete, PressedKey::Left, PressedKey::Right, PressedKey::Up, PressedKey::Down, PressedKey::PageUp,
            PressedKey::PageDown, PressedKey::Home, PressedKey::End, PressedKey::WheelUp, PressedKey::WheelDown, PressedKey::Resize, PressedKey::Other,
        ]),
    ]
}

const NOW: Duration = Duration::from_secs(100);

fn screen() -> ScreenState {
    ScreenState::new(IftopOptions::default()).0
}

/// The message after each of some keys.
fn messages(screen: &mut ScreenState, keys: &str) -> Vec<String> {
    let mut messages = Vec::new();
    for key in keys.chars() {
        press(screen, PressedKey::Char(key), NOW);
        messages.push(screen.message.as_ref().map_or_else(String::new, |message| message.text.clone()));
    }
    messages
}

/// A key with two states: what it changes, and what it says each time.
fn check(key: char, changed: &IftopOptions, effect: &ScreenEffect, said: [&str; 2]) {
    let mut screen = screen();
    for (options, text) in [(changed, said[0]), (&IftopOptions::default(), said[1])] {
        let happened = press(&mut screen, PressedKey::Char(key), NOW);
        assert_eq!(screen.options, *options, "{key}");
        assert_eq!(screen.message.as_ref().unwrap().text, text);
        if text == said[1] {
            assert_eq!(happened, *effect, "{key}");
        }
    }
}

#[test]
fn switches() {
    let with = |change: fn(&mut IftopOptions)| {
        let mut options = IftopOptions::default();
        change(&mut options);
        options
    };
    let none = ScreenEffect::Nothing;
    check('n', &with(|o| o.dns = false), &none, ["DNS resolution off", "DNS resolution on"]);
    check('N', &with(|o| o.port_resolution = false), &none, ["Port resolution off", "Port resolution on"]);
    check('b', &with(|o| o.show_bars = false), &none, ["Bars off", "Bars on"]);
    check('T', &with(|o| o.show_totals = true), &none, ["Show cumulative totals", "Hide cumulative totals"]);
    check('L', &with(|o| o.log_scale = true), &none, ["Logarithmic scale", "Linear scale"]);
    check('P', &with(|o| o.paused = true), &ScreenEffect::Pause, ["Display paused", "Display unpaused"]);
    check('o', &with(|o| o.frozen = true), &ScreenEffect::Gather, ["Order frozen", "Order unfrozen"]);
    let gather = ScreenEffect::Gather;
    check('s', &with(|o| o.hide_source = true), &gather, ["Hide source host", "Show source host"]);
    check('d', &with(|o| o.hide_destination = true), &gather, ["Hide dest host", "Show dest host"]);
    let ports = |port_display| IftopOptions { port_display, ..IftopOptions::default() };
    check('p', &ports(PortDisplay::On), &gather, ["Port display ON", "Port display OFF"]);
    check('S', &ports(PortDisplay::Source), &gather, ["Port display SOURCE", "Port display OFF"]);
    check('D', &ports(PortDisplay::Destination), &gather, ["Port display DEST", "Port display OFF"]);
}

#[test]
fn ports_of_both_sides_go_together() {
    assert_eq!(
        messages(&mut screen(), "SDSD"),
        ["Port display SOURCE", "Port display ON", "Port display DEST", "Port display OFF"]
    );
    assert_eq!(messages(&mut screen(), "Sp"), ["Port display SOURCE", "Port display OFF"]);
    assert_eq!(messages(&mut screen(), "Dp"), ["Port display DEST", "Port display OFF"]);
}

#[test]
fn cycles() {
    assert_eq!(
        messages(&mut screen(), "tttt"),
        ["One line per host", "Received traffic only", "Sent traffic only", "Two lines per host"]
    );
    assert_eq!(
        messages(&mut screen(), "BBB"),
        ["Bars show 40s average", "Bars show 2s average", "Bars show 10s average"]
    );
    assert_eq!(
        messages(&mut screen(), "gggggggggggg"),
        [
            "Group by remote host",
            "Group by local host",
            "Group by port",
            "Group by protocol",
            "Group by interface",
            "Group by remote subnet",
            "Group by process",
            "Group by command",
            "Group by user",
            "Group by container",
            "Group by netns",
            "Group by flow",
        ]
    );
}

#[test]
fn orders() {
    let mut screen = screen();
    assert_eq!(
        messages(&mut screen, "132<>"),
        ["Sort by col 1", "Sort by col 3", "Sort by col 2", "Sort by source", "Sort by dest"]
    );
    assert_eq!(screen.options.sort, PairOrder::Destination);
}

#[test]
fn keys_that_mean_nothing_say_so() {
    assert_eq!(messages(&mut screen(), "Hx"), [HINT, HINT]);
    assert_eq!(messages(&mut screen(), "!"), ["Sorry, subshells have been disabled."]);
    for key in
        [PressedKey::Resize, PressedKey::Other, PressedKey::Esc, PressedKey::Delete, PressedKey::Control('x')]
    {
        let mut screen = screen();
        assert_eq!(press(&mut screen, key, NOW), ScreenEffect::Nothing);
        assert_eq!(screen.message.unwrap().text, HINT, "{key:?}");
    }
}

#[test]
fn messages_go_after_two_seconds_but_two_stay() {
    let stays = |keys: &str, seconds: f64| {
        let mut screen = screen();
        messages(&mut screen, keys);
        screen.message.unwrap().is_current(NOW + Duration::from_secs_f64(seconds))
    };
    assert!(stays("b", 2.0) && !stays("b", 2.1));
    assert!(stays("P", 1e6) && stays("o", 1e6));
    assert!(!stays("PP", 2.1) && !stays("oo", 2.1) && !stays("Pb", 2.1));
}

#[test]
fn what_ends_or_stops_the_program_does_so_everywhere() {
    for before in ["", "h", "l", "e"] {
        let mut screen = screen();
        messages(&mut screen, before);
        assert_eq!(press(&mut screen, PressedKey::Control('c'), NOW), ScreenEffect::Quit);
        assert_eq!(press(&mut screen, PressedKey::Control('z'), NOW), ScreenEffect::Suspend);
        assert_eq!(press(&mut screen, PressedKey::Control('l'), NOW), ScreenEffect::Repaint);
    }
    assert_eq!(press(&mut screen(), PressedKey::Char('q'), NOW), ScreenEffect::Quit);
}

#[test]
fn help_comes_and_goes() {
    let mut screen = screen();
    for (key, page) in [('h', true), ('h', false), ('?', true), ('?', false), ('h', true)] {
        press(&mut screen, PressedKey::Char(key), NOW);
        assert_eq!(matches!(screen.page, ScreenPage::Help(_)), page);
    }
    press(&mut screen, PressedKey::Esc, NOW);
    assert_eq!(screen.page, ScreenPage::List);
}

#[test]
fn keys_typed_into_a_line_do_nothing_else() {
    let mut screen = screen();
    messages(&mut screen, "lqPb");
    assert_eq!(screen.options, IftopOptions::default());
    press(&mut screen, PressedKey::Enter, NOW);
    assert_eq!(screen.options.screen_filter.as_deref(), Some("qPb"));
    assert!(screen.prompt.is_none() && screen.filter.is_some());
    messages(&mut screen, "l");
    press(&mut screen, PressedKey::Control('u'), NOW);
    press(&mut screen, PressedKey::Enter, NOW);
    assert!(screen.filter.is_none() && screen.options.screen_filter.is_none());
}

#[test]
fn texts_become_effects() {
    let typed = |keys: &str| {
        let mut screen = screen();
        messages(&mut screen, keys);
        press(&mut screen, PressedKey::Enter, NOW)
    };
    assert_eq!(typed("f  tcp "), ScreenEffect::NetFilter("tcp".to_owned()));
    assert_eq!(typed("f"), ScreenEffect::NetFilter(String::new()));
    assert_eq!(typed("/ab"), ScreenEffect::Search("ab".to_owned()));
    assert_eq!(typed("/"), ScreenEffect::Nothing);
    assert_eq!(typed("ea.csv"), ScreenEffect::Export("a.csv".to_owned()));
    assert_eq!(typed("e"), ScreenEffect::Nothing);
}

#[test]
fn pages_of_text_scroll_as_far_as_there_is_text() {
    let mut screen = screen();
    let mut first = |keys: &[PressedKey]| {
        screen.page = ScreenPage::Help(ShownLines { first: 0, count: 30, room: 10 });
        for key in keys {
            press(&mut screen, *key, NOW);
        }
        let ScreenPage::Help(lines) = screen.page else { panic!("another page") };
        lines.first
    };
    assert_eq!(first(&[PressedKey::Down, PressedKey::Char('j')]), 2);
    assert_eq!(first(&[PressedKey::PageDown, PressedKey::Up]), 9);
    assert_eq!(first(&[PressedKey::End]), 20);
    assert_eq!(first(&[PressedKey::End, PressedKey::PageUp, PressedKey::Char('k')]), 9);
    assert_eq!(first(&[PressedKey::End, PressedKey::Home, PressedKey::WheelDown]), 3);
    assert_eq!(first(&[PressedKey::PageDown, PressedKey::PageDown, PressedKey::PageDown]), 20);
}
