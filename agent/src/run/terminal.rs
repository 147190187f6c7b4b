//! The terminal: what it can do, taking it and giving it back.

use std::{
    env,
    io::{self, BufWriter, IsTerminal as _, Stdout, Write, stdout},
    panic,
    path::Path,
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use anyhow::Context as _;
use crossterm::{
    cursor::{Hide, Show},
    event::{Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers, MouseEventKind},
    execute, queue,
    style::Print,
    terminal::{
        Clear, ClearType, EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode,
    },
};
use ratatui::{Terminal, backend::CrosstermBackend};
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
};

use super::Usage;
use crate::{
    host::rights,
    tui::{Display, PressedKey, Theme},
};

/// Reports presses and the wheel (1000) in a form that has no bounds (1006), and no movement: a program that wakes up
/// whenever the mouse moves is not idle.
const MOUSE_ON: &str = "\x1b[?1000h\x1b[?1006h";
const MOUSE_OFF: &str = "\x1b[?1006l\x1b[?1000l";

/// Terminals that can be written on anywhere, by how their names begin. Others must be known to the system.
const FAMILIES: [&str; 24] = [
    "xterm",
    "screen",
    "tmux",
    "rxvt",
    "linux",
    "vt1",
    "vt2",
    "vt3",
    "vt4",
    "vt5",
    "ansi",
    "konsole",
    "gnome",
    "vte",
    "alacritty",
    "foot",
    "kitty",
    "wezterm",
    "ghostty",
    "contour",
    "mintty",
    "putty",
    "st-",
    "Eterm",
];
/// Those of them that came before the colours that are asked for by number.
const SIMPLE: [&str; 6] = ["vt1", "vt2", "vt3", "vt4", "vt5", "ansi"];
/// Names that stand for no terminal in particular, or for one that writes line after line.
const NO_SCREEN: [&str; 6] = ["", "dumb", "unknown", "network", "dialup", "su"];

/// Whether the terminal is ours. A panic may happen anywhere, and must not leave it like that.
static TAKEN: AtomicBool = AtomicBool::new(false);

/// Whether there is a terminal that a screen can be drawn on.
///
/// # Errors
/// When there is none; the text says what to do.
pub(super) fn check() -> anyhow::Result<()> {
    let remedy = "'flowtally -t' prints reports as text";
    if !stdout().is_terminal() {
        return Err(
            Usage(format!("the screen needs a terminal, and standard output is none: {remedy}")).into()
        );
    }
    let term = env::var("TERM").unwrap_or_default();
    if !can_be_drawn_on(&term, is_described) {
        let problem = if term.is_empty() {
            "TERM is not set, so what the terminal can do is not known".to_owned()
        } else {
            format!("nothing is known of a terminal called '{term}' (TERM) that a screen could be drawn with")
        };
        return Err(Usage(format!("{problem}: set TERM, or use text: {remedy}")).into());
    }
    Ok(())
}

fn can_be_drawn_on(term: &str, is_described: impl Fn(&str) -> bool) -> bool {
    !NO_SCREEN.contains(&term)
        && (FAMILIES.iter().any(|family| term.starts_with(family)) || is_described(term))
}

/// Whether the system describes a terminal of this name (terminfo(5)).
fn is_described(term: &str) -> bool {
    let Some(first) = term.chars().next().filter(|_| !term.contains('/')) else { return false };
    // The environment names folders.
    let Ok(_as_user) = rights::as_user() else { return false };
    let home = env::var_os("HOME").map(|home| Path::new(&home).join(".terminfo"));
    let own = env::var_os("TERMINFO").map(Into::into);
    let system = ["/etc/terminfo", "/lib/terminfo", "/usr/lib/terminfo", "/usr/share/terminfo"];
    let folders = own.into_iter().chain(home).chain(system.map(Into::into));
    folders.into_iter().any(|folder| folder.join(first.to_string()).join(term).is_file())
}

/// What the environment says of colours and characters.
pub(super) fn theme() -> Theme {
    let set = |name: &str| env::var(name).ok().filter(|value| !value.is_empty());
    // Of these the first that is set counts (locale(7)). Where none is, today's terminals understand UTF-8.
    let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
    let utf8 = locale.is_none_or(|locale| {
        let locale = locale.to_ascii_lowercase();
        locale.contains("utf-8") || locale.contains("utf8")
    });
    // What stands for a colour means something else to these.
    let simple = set("TERM").is_some_and(|term| SIMPLE.iter().any(|family| term.starts_with(family)));
    Theme { colour: set("NO_COLOR").is_none() && !simple, ascii: !utf8 }
}

/// The terminal while it is ours: given back when this is dropped, and in a panic.
pub(super) struct TerminalScreen {
    terminal: Terminal<CrosstermBackend<BufWriter<Stdout>>>,
}

impl TerminalScreen {
    /// Takes the terminal.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub(super) fn take() -> anyhow::Result<Self> {
        restore_in_a_panic();
        let terminal = Terminal::new(CrosstermBackend::new(BufWriter::new(stdout())))
            .context("asking for the terminal's size")?;
        let mut screen = Self { terminal };
        screen.retake()?;
        Ok(screen)
    }

    /// Takes the terminal again, whatever state it is in.
    ///
    /// # Errors
    /// When it cannot be set up.
    pub(super) fn retake(&mut self) -> anyhow::Result<()> {
        TAKEN.store(true, Ordering::SeqCst);
        enable_raw_mode().context("switching the terminal to single keys")?;
        execute!(stdout(), EnterAlternateScreen, Print(MOUSE_ON), Hide, Clear(ClearType::All))
            .context("switching to the terminal's other screen")?;
        self.repaint()
    }

    /// Gives the terminal back.
    #[expect(clippy::unused_self, reason = "what is not taken cannot be given back")]
    pub(super) fn give_back(&mut self) {
        restore();
    }

    /// Lets the next frame be drawn as a whole.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn repaint(&mut self) -> anyhow::Result<()> {
        // Not `Terminal::clear`, which asks the terminal for the cursor's place, and waits for an answer that the reader of
        // keys gets.
        let size = self.terminal.size().context("asking for the terminal's size")?;
        self.terminal.resize(size.into()).context("clearing the terminal")
    }

    /// Draws a frame.
    ///
    /// # Errors
    /// When the terminal is gone.
    pub(super) fn draw(&mut self, display: &mut Display, now: Duration) -> anyhow::Result<()> {
        let draw = |frame: &mut ratatui::Frame<'_>| {
            if let Some(cursor) = display.draw(frame.buffer_mut(), now) {
                frame.set_cursor_position(cursor);
            }
        };
        self.terminal.draw(draw).context("writing to the terminal")?;
        // A frame that is like the one before writes nothing, and finds nothing out.
        if is_hung_up() {
            return Err(io::Error::from(Errno::IO)).context("writing to the terminal");
        }
        Ok(())
    }
}

impl Drop for TerminalScreen {
    fn drop(&mut self) {
        restore();
    }
}

/// Gives the terminal back if it was taken. It may be gone, and then there is nobody to tell.
fn restore() {
    if TAKEN.swap(false, Ordering::SeqCst) {
        let mut out = stdout();
        let _ = queue!(out, Print(MOUSE_OFF), LeaveAlternateScreen, Show);
        let _ = out.flush();
        let _ = disable_raw_mode();
    }
}

/// From now on a panic gives the terminal back before it is told of.
fn restore_in_a_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let before = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            restore();
            before(info);
        }));
    });
}

/// Whether nobody is at the other end of the terminal any more (`POLLHUP` of poll(2)).
fn is_hung_up() -> bool {
    let out = stdout();
    let mut polled = [PollFd::new(&out, PollFlags::empty())];
    let answered = poll(&mut polled, Some(&Timespec::default())).is_ok();
    answered && polled[0].revents().intersects(PollFlags::HUP | PollFlags::ERR)
}

/// The error is that of a terminal that is gone: its window was closed.
pub(super) fn is_gone(error: &anyhow::Error) -> bool {
    let gone = |error: &io::Error| {
        matches!(error.kind(), io::ErrorKind::BrokenPipe)
            || error.raw_os_error() == Some(Errno::IO.raw_os_error())
    };
    error.chain().any(|cause| cause.downcast_ref::<io::Error>().is_some_and(gone))
}

/// What happened, as far as it means anything to the screen.
pub(super) fn key(event: &Event) -> Option<PressedKey> {
    match event {
        Event::Key(KeyEvent { kind: KeyEventKind::Release, .. }) => None,
        Event::Key(KeyEvent { code, modifiers, .. }) => Some(match code {
            KeyCode::Char(char) if modifiers.contains(KeyModifiers::CONTROL) => {
                PressedKey::Control(char.to_ascii_lowercase())
            }
            KeyCode::Char(_) if modifiers.contains(KeyModifiers::ALT) => PressedKey::Other,
            KeyCode::Char(char) => PressedKey::Char(*char),
            KeyCode::Enter => PressedKey::Enter,
            KeyCode::Esc => PressedKey::Esc,
            KeyCode::Backspace => PressedKey::Backspace,
            KeyCode::Delete => PressedKey::Delete,
            KeyCode::Left => PressedKey::Left,
            KeyCode::Right => PressedKey::Right,
            KeyCode::Up => PressedKey::Up,
            KeyCode::Down => PressedKey::Down,
            KeyCode::PageUp => PressedKey::PageUp,
            KeyCode::PageDown => PressedKey::PageDown,
            KeyCode::Home => PressedKey::Home,
            KeyCode::End => PressedKey::End,
            _ => PressedKey::Other,
        }),
        Event::Mouse(mouse) => match mouse.kind {
            MouseEventKind::ScrollUp => Some(PressedKey::WheelUp),
            MouseEventKind::ScrollDown => Some(PressedKey::WheelDown),
            _ => None,
        },
        Event::Resize(..) => Some(PressedKey::Resize),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals() {
        for term in ["xterm", "xterm-256color", "tmux-256color", "screen", "linux", "rxvt-unicode", "vt100"] {
            assert!(can_be_drawn_on(term, |_| false), "{term}");
        }
        for term in ["", "dumb", "unknown"] {
            assert!(!can_be_drawn_on(term, |_| true), "{term}");
        }
        assert!(can_be_drawn_on("sun", |term| term == "sun"));
        assert!(!can_be_drawn_on("nonsense", |_| false));
        assert!(!is_described("../../etc/passwd"));
    }

    #[test]
    fn keys() {
        let pressed = |code, modifiers| key(&Event::Key(KeyEvent::new(code, modifiers)));
        let none = KeyModifiers::NONE;
        assert_eq!(pressed(KeyCode::Char('P'), KeyModifiers::SHIFT), Some(PressedKey::Char('P')));
        assert_eq!(pressed(KeyCode::Char('L'), KeyModifiers::CONTROL), Some(PressedKey::Control('l')));
        assert_eq!(pressed(KeyCode::Char('x'), KeyModifiers::ALT), Some(PressedKey::Other));
        assert_eq!(pressed(KeyCode::F(1), none), Some(PressedKey::Other));
        assert_eq!(pressed(KeyCode::PageDown, none), Some(PressedKey::PageDown));
        assert_eq!(key(&Event::Resize(80, 24)), Some(PressedKey::Resize));
        assert_eq!(key(&Event::FocusGained), None);
    }
}
