//! What keys do: `(state, key) -> (state, effect)`.

use std::time::Duration;

use super::{
    filter::ScreenFilter,
    list::{EntryKey, Grouping},
    prompt::{Prompt, Purpose, Typed},
    screen::{Picker, ScreenPage, ScreenState, ShownLines},
};
use crate::{
    flow::row::Counting,
    iftop::options::{LineDisplay, PairOrder, PortDisplay},
};

/// Entries that a notch of the mouse wheel scrolls.
const NOTCH: isize = 3;
/// What iftop says to keys that mean nothing, and to a resize.
const HINT: &str = "Press H or ? for help";

/// A key, or what else happens at a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "keys are called what is on them")]
pub enum PressedKey {
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

/// A key that moves the time of a log that is replayed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TimeKey {
    /// Stop, or go on.
    Pause,
    /// One interval back.
    Back,
    /// One interval on.
    Forward,
    /// To a tenth of the time covered, 0 to 9.
    Tenth(u8),
    /// Go on faster.
    Faster,
    /// Go on slower.
    Slower,
}

/// What has to follow a key, besides drawing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScreenEffect {
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
    /// Frames that cross several interfaces count differently.
    Count,
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
    /// The time of the log is to move.
    Time(TimeKey),
}

/// What a key does. `now` is the time since the start.
pub(super) fn press(screen: &mut ScreenState, key: PressedKey, now: Duration) -> ScreenEffect {
    match key {
        PressedKey::Control('c') => return ScreenEffect::Quit,
        PressedKey::Control('z') => return ScreenEffect::Suspend,
        PressedKey::Control('l') => return ScreenEffect::Repaint,
        PressedKey::Resize => {
            screen.say(HINT, now);
            return ScreenEffect::Nothing;
        }
        _ => {}
    }
    if let Some(mut prompt) = screen.prompt.take() {
        return match prompt.press(key) {
            Typed::More => {
                screen.prompt = Some(prompt);
                ScreenEffect::Nothing
            }
            Typed::Cancelled => ScreenEffect::Nothing,
            Typed::Done(text) => typed(screen, prompt.purpose, text, now),
        };
    }
    if let Some(effect) = screen.replay.then(|| replay_key(screen, key, now)).flatten() {
        return effect;
    }
    let moved = match &mut screen.page {
        ScreenPage::List => return list_key(screen, key, now),
        ScreenPage::Interfaces(picker) => match picker_key(picker, key) {
            Picked::Moved => true,
            Picked::Close => {
                screen.page = ScreenPage::List;
                true
            }
            Picked::Show(names) if names.is_empty() => {
                screen.say("Choose at least one interface", now);
                true
            }
            Picked::Show(names) => {
                screen.page = ScreenPage::List;
                return ScreenEffect::Show(names);
            }
            Picked::Other => false,
        },
        ScreenPage::Files(of, _, lines) => match key {
            PressedKey::Esc | PressedKey::Enter | PressedKey::Backspace => {
                screen.page = ScreenPage::Detail(of.clone(), ShownLines::default());
                true
            }
            _ => lines_key(lines, key),
        },
        ScreenPage::Help(lines) | ScreenPage::Detail(_, lines) => match key {
            PressedKey::Esc | PressedKey::Enter | PressedKey::Backspace => {
                screen.page = ScreenPage::List;
                true
            }
            _ => lines_key(lines, key),
        },
    };
    if moved { ScreenEffect::Nothing } else { option_key(screen, key, now) }
}

/// A key that has another meaning where a log is replayed.
fn replay_key(screen: &mut ScreenState, key: PressedKey, now: Duration) -> Option<ScreenEffect> {
    let chooses = matches!(screen.page, ScreenPage::Interfaces(_));
    Some(ScreenEffect::Time(match key {
        PressedKey::Char(' ') if chooses => return None,
        PressedKey::Char(' ' | 'P') => TimeKey::Pause,
        PressedKey::Left => TimeKey::Back,
        PressedKey::Right => TimeKey::Forward,
        PressedKey::Char(digit @ '0'..='9') => {
            TimeKey::Tenth(u8::try_from(digit).map_or(0, |digit| digit - b'0'))
        }
        PressedKey::Char('+') => TimeKey::Faster,
        PressedKey::Char('-') => TimeKey::Slower,
        PressedKey::Char('x') => {
            let (next, message) = match screen.options.sort {
                PairOrder::TwoSeconds => (PairOrder::TenSeconds, "Sort by col 2"),
                PairOrder::TenSeconds => (PairOrder::FortySeconds, "Sort by col 3"),
                _ => (PairOrder::TwoSeconds, "Sort by col 1"),
            };
            screen.options.sort = next;
            screen.say(message, now);
            return Some(ScreenEffect::Nothing);
        }
        PressedKey::Char('c') => {
            screen.say(
                "In a log a frame counts once: on the interface nearest to where it entered or left",
                now,
            );
            return Some(ScreenEffect::Nothing);
        }
        PressedKey::Char('F') => {
            screen.say(
                "Open files are those of now, and not in the log: `flowtally inspect PID` shows them",
                now,
            );
            return Some(ScreenEffect::Nothing);
        }
        _ => return None,
    }))
}

/// Scrolls a text. Whether the key did.
fn lines_key(lines: &mut ShownLines, key: PressedKey) -> bool {
    let page = isize::try_from(lines.room).unwrap_or(isize::MAX);
    lines.scroll(match key {
        PressedKey::Up | PressedKey::Char('k') => -1,
        PressedKey::Down | PressedKey::Char('j') => 1,
        PressedKey::WheelUp => -NOTCH,
        PressedKey::WheelDown => NOTCH,
        PressedKey::PageUp => -page,
        PressedKey::PageDown => page,
        PressedKey::Home => isize::MIN,
        PressedKey::End => isize::MAX,
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

fn picker_key(picker: &mut Picker, key: PressedKey) -> Picked {
    match key {
        PressedKey::Up | PressedKey::WheelUp | PressedKey::Char('k') => picker.step(-1),
        PressedKey::Down | PressedKey::WheelDown | PressedKey::Char('j') => picker.step(1),
        PressedKey::PageUp | PressedKey::Home => picker.step(isize::MIN),
        PressedKey::PageDown | PressedKey::End => picker.step(isize::MAX),
        PressedKey::Char(' ') => {
            if let Some(candidate) = picker.candidates.get_mut(picker.cursor) {
                candidate.chosen = !candidate.chosen;
            }
        }
        PressedKey::Enter => return Picked::Show(picker.chosen()),
        PressedKey::Esc | PressedKey::Backspace | PressedKey::Char('i') => return Picked::Close,
        _ => return Picked::Other,
    }
    Picked::Moved
}

/// A key while the list is on the screen.
fn list_key(screen: &mut ScreenState, key: PressedKey, now: Duration) -> ScreenEffect {
    let scroll = &mut screen.scroll;
    let page = isize::try_from(scroll.visible.max(1)).unwrap_or(isize::MAX);
    match key {
        PressedKey::Char('j') => scroll.scroll(1),
        PressedKey::Char('k') => scroll.scroll(-1),
        PressedKey::WheelDown => scroll.scroll(NOTCH),
        PressedKey::WheelUp => scroll.scroll(-NOTCH),
        PressedKey::Down => scroll.step(1),
        PressedKey::Up => scroll.step(-1),
        PressedKey::PageDown => scroll.step(page),
        PressedKey::PageUp => scroll.step(-page),
        PressedKey::Home => scroll.select(0),
        PressedKey::End => scroll.select(usize::MAX),
        PressedKey::Enter => {
            let selected = scroll.cursor.as_ref().and_then(|cursor| cursor.key.clone());
            return ScreenEffect::Open(selected);
        }
        PressedKey::Esc if scroll.cursor.is_some() => scroll.cursor = None,
        _ => return option_key(screen, key, now),
    }
    ScreenEffect::Nothing
}

/// A key that does the same wherever it is pressed.
fn option_key(screen: &mut ScreenState, key: PressedKey, now: Duration) -> ScreenEffect {
    let PressedKey::Char(key) = key else {
        screen.say(HINT, now);
        return ScreenEffect::Nothing;
    };
    let options = &mut screen.options;
    let mut effect = ScreenEffect::Nothing;
    let message = match key {
        'q' => return ScreenEffect::Quit,
        'h' | '?' => {
            screen.page = match screen.page {
                ScreenPage::Help(_) => ScreenPage::List,
                _ => ScreenPage::Help(ShownLines::default()),
            };
            return ScreenEffect::Nothing;
        }
        'P' => {
            options.paused = !options.paused;
            if options.paused {
                screen.say_until_next("Display paused");
                return ScreenEffect::Pause;
            }
            effect = ScreenEffect::Pause;
            "Display unpaused"
        }
        'o' => {
            options.frozen = !options.frozen;
            if options.frozen {
                screen.say_until_next("Order frozen");
                return ScreenEffect::Freeze;
            }
            effect = ScreenEffect::Gather;
            "Order unfrozen"
        }
        'n' => toggle(&mut options.dns, "DNS resolution on", "DNS resolution off"),
        'N' => toggle(&mut options.port_resolution, "Port resolution on", "Port resolution off"),
        's' | 'd' | 'S' | 'D' | 'p' => {
            let message = regroup(options, key);
            leave_detail(screen);
            screen.say(message, now);
            return ScreenEffect::Gather;
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
        '1' => sort(options, PairOrder::TwoSeconds, "Sort by col 1"),
        '2' => sort(options, PairOrder::TenSeconds, "Sort by col 2"),
        '3' => sort(options, PairOrder::FortySeconds, "Sort by col 3"),
        '<' => sort(options, PairOrder::Source, "Sort by source"),
        '>' => sort(options, PairOrder::Destination, "Sort by dest"),
        'l' => return ask(screen, Purpose::ScreenFilter),
        'f' => return ask(screen, Purpose::NetFilter),
        '/' => return ask(screen, Purpose::Search),
        'e' => return ask(screen, Purpose::Export),
        '!' => "Sorry, subshells have been disabled.",
        'g' => {
            let grouping = screen.grouping.next(&screen.groupings);
            group(screen, grouping, now);
            return ScreenEffect::Gather;
        }
        'O' => {
            effect = ScreenEffect::Gather;
            toggle(&mut screen.owners, "Show owners", "Hide owners")
        }
        'F' => {
            let selected = screen.scroll.cursor.as_ref().and_then(|cursor| cursor.key.clone());
            return ScreenEffect::Files(selected);
        }
        'c' => {
            effect = ScreenEffect::Count;
            recount(&mut screen.counting)
        }
        'i' => return ScreenEffect::ListInterfaces,
        'r' => {
            effect = ScreenEffect::ForgetTotals;
            "Totals and peaks start again"
        }
        _ => HINT,
    };
    screen.say(message, now);
    effect
}

/// Lets frames that cross several interfaces count in the other way.
const fn recount(counting: &mut Counting) -> &'static str {
    match counting {
        Counting::Once => {
            *counting = Counting::PerInterface;
            "Each interface counts what crosses it"
        }
        Counting::PerInterface => {
            *counting = Counting::Once;
            "What crosses several interfaces counts once"
        }
    }
}

/// Turns a switch over.
const fn toggle(switch: &mut bool, on: &'static str, off: &'static str) -> &'static str {
    *switch = !*switch;
    if *switch { on } else { off }
}

const fn sort(
    options: &mut crate::iftop::options::IftopOptions,
    by: PairOrder,
    message: &'static str,
) -> &'static str {
    options.sort = by;
    message
}

/// The keys that say what belongs together.
fn regroup(options: &mut crate::iftop::options::IftopOptions, key: char) -> &'static str {
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
fn group(screen: &mut ScreenState, by: Grouping, now: Duration) {
    screen.grouping = by;
    if !matches!(screen.page, ScreenPage::Help(_)) {
        screen.page = ScreenPage::List;
    }
    screen.scroll.reset();
    screen.say(format!("Group by {}", by.name()), now);
}

/// An entry that is shown in full may not exist any more.
fn leave_detail(screen: &mut ScreenState) {
    if matches!(screen.page, ScreenPage::Detail(..) | ScreenPage::Files(..)) {
        screen.page = ScreenPage::List;
    }
}

/// Begins a line of text, with what it was before.
fn ask(screen: &mut ScreenState, purpose: Purpose) -> ScreenEffect {
    let ScreenState { options, search, .. } = screen;
    let before = match purpose {
        Purpose::ScreenFilter => options.screen_filter.as_deref().unwrap_or_default(),
        Purpose::NetFilter => options.filter_code.as_deref().unwrap_or_default(),
        Purpose::Search => search,
        Purpose::Export => "",
    };
    screen.prompt = Some(Prompt::new(purpose, before));
    ScreenEffect::Nothing
}

/// A text has been typed.
fn typed(screen: &mut ScreenState, purpose: Purpose, text: String, now: Duration) -> ScreenEffect {
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
            ScreenEffect::Nothing
        }
        Purpose::NetFilter => ScreenEffect::NetFilter(text.trim().to_owned()),
        Purpose::Search => {
            screen.search.clone_from(&text);
            if text.is_empty() { ScreenEffect::Nothing } else { ScreenEffect::Search(text) }
        }
        Purpose::Export if text.is_empty() => ScreenEffect::Nothing,
        Purpose::Export => ScreenEffect::Export(text),
    }
}

#[cfg(test)]
pub(super) mod tests;
