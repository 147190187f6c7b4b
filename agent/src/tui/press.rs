//! What keys do: `(state, key) -> (state, effect)`.

use std::time::Duration;

use super::{
    filter::ScreenFilter,
    list::{EntryKey, Grouping},
    prompt::{Prompt, Purpose, Typed},
    screen::{Lines, Page, Picker, Screen},
};
use crate::iftop::options::{LineDisplay, PortDisplay, Sort};

/// Entries that a notch of the mouse wheel scrolls.
const NOTCH: isize = 3;
/// What iftop says to keys that mean nothing, and to a resize.
const HINT: &str = "Press H or ? for help";

/// A key, or what else happens at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "keys are called what is on them")]
pub enum Key {
    Char(char),
    /// With the control key, in lower case.
    Control(char),
    Enter,
    Esc,
    Backspace,
    Delete,
    Left,
    Right,
    Up,
    Down,
    PageUp,
    PageDown,
    Home,
    End,
    /// A notch of the mouse wheel.
    WheelUp,
    WheelDown,
    /// The size has changed.
    Resize,
    /// Any other.
    Other,
}

/// What has to follow a key, besides drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Effect {
    /// Nothing.
    Nothing,
    /// The program ends.
    Quit,
    /// The program stops until it is continued.
    Suspend,
    /// Whatever is on the terminal is drawn anew.
    Repaint,
    /// Rows come together differently.
    Gather,
    /// What is listed keeps its place from now on.
    Freeze,
    /// The display stands still from now on, or no longer.
    Pause,
    /// This capture filter is wanted; none if it is empty.
    NetFilter(String),
    /// The next entry with this text is wanted.
    Search(String),
    /// The list is to be written to this file.
    Export(String),
    /// Totals and peaks begin again.
    ForgetTotals,
    /// The interfaces of the host are wanted, for the page that they are chosen on.
    ListInterfaces,
    /// These interfaces are to be shown.
    Show(Vec<String>),
    /// This entry is to be shown in full.
    Open(Option<EntryKey>),
    /// The files that this entry's owners have open are wanted.
    Files(Option<EntryKey>),
}

/// What a key does. `now` is the time since the start.
pub(super) fn press(screen: &mut Screen, key: Key, now: Duration) -> Effect {
    match key {
        Key::Control('c') => return Effect::Quit,
        Key::Control('z') => return Effect::Suspend,
        Key::Control('l') => return Effect::Repaint,
        Key::Resize => {
            screen.say(HINT, now);
            return Effect::Nothing;
        }
        _ => {}
    }
    if let Some(mut prompt) = screen.prompt.take() {
        return match prompt.press(key) {
            Typed::More => {
                screen.prompt = Some(prompt);
                Effect::Nothing
            }
            Typed::Cancelled => Effect::Nothing,
            Typed::Done(text) => typed(screen, prompt.purpose, text, now),
        };
    }
    let moved = match &mut screen.page {
        Page::List => return list_key(screen, key, now),
        Page::Interfaces(picker) => match picker_key(picker, key) {
            Picked::Moved => true,
            Picked::Close => {
                screen.page = Page::List;
                true
            }
            Picked::Show(names) if names.is_empty() => {
                screen.say("Choose at least one interface", now);
                true
            }
            Picked::Show(names) => {
                screen.page = Page::List;
                return Effect::Show(names);
            }
            Picked::Other => false,
        },
        Page::Files(of, _, lines) => match key {
            Key::Esc | Key::Enter | Key::Backspace => {
                screen.page = Page::Detail(of.clone(), Lines::default());
                true
            }
            _ => lines_key(lines, key),
        },
        Page::Help(lines) | Page::Detail(_, lines) => match key {
            Key::Esc | Key::Enter | Key::Backspace => {
                screen.page = Page::List;
                true
            }
            _ => lines_key(lines, key),
        },
    };
    if moved { Effect::Nothing } else { option_key(screen, key, now) }
}

/// Scrolls a text. Whether the key did.
fn lines_key(lines: &mut Lines, key: Key) -> bool {
    let page = isize::try_from(lines.room).unwrap_or(isize::MAX);
    lines.scroll(match key {
        Key::Up | Key::Char('k') => -1,
        Key::Down | Key::Char('j') => 1,
        Key::WheelUp => -NOTCH,
        Key::WheelDown => NOTCH,
        Key::PageUp => -page,
        Key::PageDown => page,
        Key::Home => isize::MIN,
        Key::End => isize::MAX,
        _ => return false,
    });
    true
}

/// What a key did on the page of the interfaces.
enum Picked {
    Moved,
    Close,
    Show(Vec<String>),
    Other,
}

fn picker_key(picker: &mut Picker, key: Key) -> Picked {
    match key {
        Key::Up | Key::WheelUp | Key::Char('k') => picker.step(-1),
        Key::Down | Key::WheelDown | Key::Char('j') => picker.step(1),
        Key::PageUp | Key::Home => picker.step(isize::MIN),
        Key::PageDown | Key::End => picker.step(isize::MAX),
        Key::Char(' ') => {
            if let Some(candidate) = picker.candidates.get_mut(picker.cursor) {
                candidate.chosen = !candidate.chosen;
            }
        }
        Key::Enter => return Picked::Show(picker.chosen()),
        Key::Esc | Key::Backspace | Key::Char('i') => return Picked::Close,
        _ => return Picked::Other,
    }
    Picked::Moved
}

/// A key while the list is on the screen.
fn list_key(screen: &mut Screen, key: Key, now: Duration) -> Effect {
    let scroll = &mut screen.scroll;
    let page = isize::try_from(scroll.visible.max(1)).unwrap_or(isize::MAX);
    match key {
        Key::Char('j') => scroll.scroll(1),
        Key::Char('k') => scroll.scroll(-1),
        Key::WheelDown => scroll.scroll(NOTCH),
        Key::WheelUp => scroll.scroll(-NOTCH),
        Key::Down => scroll.step(1),
        Key::Up => scroll.step(-1),
        Key::PageDown => scroll.step(page),
        Key::PageUp => scroll.step(-page),
        Key::Home => scroll.select(0),
        Key::End => scroll.select(usize::MAX),
        Key::Enter => {
            let selected = scroll.cursor.as_ref().and_then(|cursor| cursor.key.clone());
            return Effect::Open(selected);
        }
        Key::Esc if scroll.cursor.is_some() => scroll.cursor = None,
        _ => return option_key(screen, key, now),
    }
    Effect::Nothing
}

/// A key that does the same wherever it is pressed.
fn option_key(screen: &mut Screen, key: Key, now: Duration) -> Effect {
    let Key::Char(key) = key else {
        screen.say(HINT, now);
        return Effect::Nothing;
    };
    let options = &mut screen.options;
    let mut effect = Effect::Nothing;
    let message = match key {
        'q' => return Effect::Quit,
        'h' | '?' => {
            screen.page = match screen.page {
                Page::Help(_) => Page::List,
                _ => Page::Help(Lines::default()),
            };
            return Effect::Nothing;
        }
        'P' => {
            options.paused = !options.paused;
            if options.paused {
                screen.say_until_next("Display paused");
                return Effect::Pause;
            }
            effect = Effect::Pause;
            "Display unpaused"
        }
        'o' => {
            options.frozen = !options.frozen;
            if options.frozen {
                screen.say_until_next("Order frozen");
                return Effect::Freeze;
            }
            effect = Effect::Gather;
            "Order unfrozen"
        }
        'n' => toggle(&mut options.dns, "DNS resolution on", "DNS resolution off"),
        'N' => toggle(&mut options.port_resolution, "Port resolution on", "Port resolution off"),
        's' | 'd' | 'S' | 'D' | 'p' => {
            let message = regroup(options, key);
            leave_detail(screen);
            screen.say(message, now);
            return Effect::Gather;
        }
        't' => {
            use LineDisplay::{OneLineBoth, OneLineReceived, OneLineSent, TwoLine};
            let (next, message) = match options.line_display {
                TwoLine => (OneLineBoth, "One line per host"),
                OneLineBoth => (OneLineReceived, "Received traffic only"),
                OneLineReceived => (OneLineSent, "Sent traffic only"),
                OneLineSent => (TwoLine, "Two lines per host"),
            };
            options.line_display = next;
            message
        }
        'b' => toggle(&mut options.show_bars, "Bars on", "Bars off"),
        'B' => {
            // 2, 10, 40 seconds.
            const MESSAGES: [&str; 3] =
                ["Bars show 2s average", "Bars show 10s average", "Bars show 40s average"];
            screen.bars = (screen.bars + 1) % MESSAGES.len();
            MESSAGES[screen.bars]
        }
        'T' => toggle(&mut options.show_totals, "Show cumulative totals", "Hide cumulative totals"),
        'L' => toggle(&mut options.log_scale, "Logarithmic scale", "Linear scale"),
        '1' => sort(options, Sort::TwoSeconds, "Sort by col 1"),
        '2' => sort(options, Sort::TenSeconds, "Sort by col 2"),
        '3' => sort(options, Sort::FortySeconds, "Sort by col 3"),
        '<' => sort(options, Sort::Source, "Sort by source"),
        '>' => sort(options, Sort::Destination, "Sort by dest"),
        'l' => return ask(screen, Purpose::ScreenFilter),
        'f' => return ask(screen, Purpose::NetFilter),
        '/' => return ask(screen, Purpose::Search),
        'e' => return ask(screen, Purpose::Export),
        '!' => "Sorry, subshells have been disabled.",
        'g' => {
            let grouping = screen.grouping.next();
            group(screen, grouping, now);
            return Effect::Gather;
        }
        'O' => {
            effect = Effect::Gather;
            toggle(&mut screen.owners, "Show owners", "Hide owners")
        }
        'F' => {
            let selected = screen.scroll.cursor.as_ref().and_then(|cursor| cursor.key.clone());
            return Effect::Files(selected);
        }
        'i' => return Effect::ListInterfaces,
        'r' => {
            effect = Effect::ForgetTotals;
            "Totals and peaks start again"
        }
        _ => HINT,
    };
    screen.say(message, now);
    effect
}

/// Turns a switch over.
const fn toggle(switch: &mut bool, on: &'static str, off: &'static str) -> &'static str {
    *switch = !*switch;
    if *switch { on } else { off }
}

const fn sort(options: &mut crate::iftop::options::Options, by: Sort, message: &'static str) -> &'static str {
    options.sort = by;
    message
}

/// The keys that say what belongs together.
fn regroup(options: &mut crate::iftop::options::Options, key: char) -> &'static str {
    let shown = options.port_display;
    options.port_display = match key {
        's' => return toggle(&mut options.hide_source, "Hide source host", "Show source host"),
        'd' => return toggle(&mut options.hide_destination, "Hide dest host", "Show dest host"),
        'S' => shown.toggle_source(),
        'D' => shown.toggle_destination(),
        _ => shown.toggle(),
    };
    match options.port_display {
        PortDisplay::Off => "Port display OFF",
        PortDisplay::Source => "Port display SOURCE",
        PortDisplay::Destination => "Port display DEST",
        PortDisplay::On => "Port display ON",
    }
}

/// Brings rows together in another way.
fn group(screen: &mut Screen, by: Grouping, now: Duration) {
    screen.grouping = by;
    if !matches!(screen.page, Page::Help(_)) {
        screen.page = Page::List;
    }
    screen.scroll.reset();
    screen.say(format!("Group by {}", by.name()), now);
}

/// An entry that is shown in full may not exist any more.
fn leave_detail(screen: &mut Screen) {
    if matches!(screen.page, Page::Detail(..) | Page::Files(..)) {
        screen.page = Page::List;
    }
}

/// Begins a line of text, with what it was before.
fn ask(screen: &mut Screen, purpose: Purpose) -> Effect {
    let Screen { options, search, .. } = screen;
    let before = match purpose {
        Purpose::ScreenFilter => options.screen_filter.as_deref().unwrap_or_default(),
        Purpose::NetFilter => options.filter_code.as_deref().unwrap_or_default(),
        Purpose::Search => search,
        Purpose::Export => "",
    };
    screen.prompt = Some(Prompt::new(purpose, before));
    Effect::Nothing
}

/// A text has been typed.
fn typed(screen: &mut Screen, purpose: Purpose, text: String, now: Duration) -> Effect {
    match purpose {
        Purpose::ScreenFilter => {
            // A bad one removes the one before, as in iftop: what is listed never depends on text that can't be seen.
            (screen.filter, screen.options.screen_filter) = if text.is_empty() {
                (None, None)
            } else {
                match ScreenFilter::parse(&text) {
                    Ok(filter) => (Some(filter), Some(text)),
                    Err(error) => {
                        screen.say(error.to_string(), now);
                        (None, None)
                    }
                }
            };
            screen.scroll.first = 0;
            Effect::Nothing
        }
        Purpose::NetFilter => Effect::NetFilter(text.trim().to_owned()),
        Purpose::Search => {
            screen.search.clone_from(&text);
            if text.is_empty() { Effect::Nothing } else { Effect::Search(text) }
        }
        Purpose::Export if text.is_empty() => Effect::Nothing,
        Purpose::Export => Effect::Export(text),
    }
}

#[cfg(test)]
pub(super) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::iftop::options::Options;

    /// Any key, those of the help page most of all.
    pub(in crate::tui) fn any_key() -> impl Strategy<Value = Key> {
        prop_oneof![
            6 => prop::sample::select("hqPnNsdSDptbBTLjk123<>olf!/egirOF? ".chars().collect::<Vec<_>>()).prop_map(Key::Char),
            1 => any::<char>().prop_map(Key::Char),
            1 => prop::sample::select("acegluwhxz".chars().collect::<Vec<_>>()).prop_map(Key::Control),
            4 => prop::sample::select(vec![
                Key::Enter, Key::Esc, Key::Backspace, Key::Delete, Key::Left, Key::Right, Key::Up, Key::Down, Key::PageUp,
                Key::PageDown, Key::Home, Key::End, Key::WheelUp, Key::WheelDown, Key::Resize, Key::Other,
            ]),
        ]
    }

    const NOW: Duration = Duration::from_secs(100);

    fn screen() -> Screen {
        Screen::new(Options::default()).0
    }

    /// The message after each of some keys.
    fn messages(screen: &mut Screen, keys: &str) -> Vec<String> {
        let mut messages = Vec::new();
        for key in keys.chars() {
            press(screen, Key::Char(key), NOW);
            messages.push(screen.message.as_ref().map_or_else(String::new, |message| message.text.clone()));
        }
        messages
    }

    /// A key with two states: what it changes, and what it says each time.
    fn check(key: char, changed: &Options, effect: &Effect, said: [&str; 2]) {
        let mut screen = screen();
        for (options, text) in [(changed, said[0]), (&Options::default(), said[1])] {
            let happened = press(&mut screen, Key::Char(key), NOW);
            assert_eq!(screen.options, *options, "{key}");
            assert_eq!(screen.message.as_ref().unwrap().text, text);
            if text == said[1] {
                assert_eq!(happened, *effect, "{key}");
            }
        }
    }

    #[test]
    fn switches() {
        let with = |change: fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options
        };
        let none = Effect::Nothing;
        check('n', &with(|o| o.dns = false), &none, ["DNS resolution off", "DNS resolution on"]);
        check(
            'N',
            &with(|o| o.port_resolution = false),
            &none,
            ["Port resolution off", "Port resolution on"],
        );
        check('b', &with(|o| o.show_bars = false), &none, ["Bars off", "Bars on"]);
        check(
            'T',
            &with(|o| o.show_totals = true),
            &none,
            ["Show cumulative totals", "Hide cumulative totals"],
        );
        check('L', &with(|o| o.log_scale = true), &none, ["Logarithmic scale", "Linear scale"]);
        check('P', &with(|o| o.paused = true), &Effect::Pause, ["Display paused", "Display unpaused"]);
        check('o', &with(|o| o.frozen = true), &Effect::Gather, ["Order frozen", "Order unfrozen"]);
        let gather = Effect::Gather;
        check('s', &with(|o| o.hide_source = true), &gather, ["Hide source host", "Show source host"]);
        check('d', &with(|o| o.hide_destination = true), &gather, ["Hide dest host", "Show dest host"]);
        let ports = |port_display| Options { port_display, ..Options::default() };
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
                "Group by network namespace",
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
        assert_eq!(screen.options.sort, Sort::Destination);
    }

    #[test]
    fn keys_that_mean_nothing_say_so() {
        assert_eq!(messages(&mut screen(), "Hx"), [HINT, HINT]);
        assert_eq!(messages(&mut screen(), "!"), ["Sorry, subshells have been disabled."]);
        for key in [Key::Resize, Key::Other, Key::Esc, Key::Delete, Key::Control('x')] {
            let mut screen = screen();
            assert_eq!(press(&mut screen, key, NOW), Effect::Nothing);
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
            assert_eq!(press(&mut screen, Key::Control('c'), NOW), Effect::Quit);
            assert_eq!(press(&mut screen, Key::Control('z'), NOW), Effect::Suspend);
            assert_eq!(press(&mut screen, Key::Control('l'), NOW), Effect::Repaint);
        }
        assert_eq!(press(&mut screen(), Key::Char('q'), NOW), Effect::Quit);
    }

    #[test]
    fn help_comes_and_goes() {
        let mut screen = screen();
        for (key, page) in [('h', true), ('h', false), ('?', true), ('?', false), ('h', true)] {
            press(&mut screen, Key::Char(key), NOW);
            assert_eq!(matches!(screen.page, Page::Help(_)), page);
        }
        press(&mut screen, Key::Esc, NOW);
        assert_eq!(screen.page, Page::List);
    }

    #[test]
    fn keys_typed_into_a_line_do_nothing_else() {
        let mut screen = screen();
        messages(&mut screen, "lqPb");
        assert_eq!(screen.options, Options::default());
        press(&mut screen, Key::Enter, NOW);
        assert_eq!(screen.options.screen_filter.as_deref(), Some("qPb"));
        assert!(screen.prompt.is_none() && screen.filter.is_some());
        messages(&mut screen, "l");
        press(&mut screen, Key::Control('u'), NOW);
        press(&mut screen, Key::Enter, NOW);
        assert!(screen.filter.is_none() && screen.options.screen_filter.is_none());
    }

    #[test]
    fn texts_become_effects() {
        let typed = |keys: &str| {
            let mut screen = screen();
            messages(&mut screen, keys);
            press(&mut screen, Key::Enter, NOW)
        };
        assert_eq!(typed("f  tcp "), Effect::NetFilter("tcp".to_owned()));
        assert_eq!(typed("f"), Effect::NetFilter(String::new()));
        assert_eq!(typed("/ab"), Effect::Search("ab".to_owned()));
        assert_eq!(typed("/"), Effect::Nothing);
        assert_eq!(typed("ea.csv"), Effect::Export("a.csv".to_owned()));
        assert_eq!(typed("e"), Effect::Nothing);
    }

    #[test]
    fn pages_of_text_scroll_as_far_as_there_is_text() {
        let mut screen = screen();
        let mut first = |keys: &[Key]| {
            screen.page = Page::Help(Lines { first: 0, count: 30, room: 10 });
            for key in keys {
                press(&mut screen, *key, NOW);
            }
            let Page::Help(lines) = screen.page else { panic!("another page") };
            lines.first
        };
        assert_eq!(first(&[Key::Down, Key::Char('j')]), 2);
        assert_eq!(first(&[Key::PageDown, Key::Up]), 9);
        assert_eq!(first(&[Key::End]), 20);
        assert_eq!(first(&[Key::End, Key::PageUp, Key::Char('k')]), 9);
        assert_eq!(first(&[Key::End, Key::Home, Key::WheelDown]), 3);
        assert_eq!(first(&[Key::PageDown, Key::PageDown, Key::PageDown]), 20);
    }
}
