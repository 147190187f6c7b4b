//! A program that is running in a terminal.

use std::{ops::Deref, panic, thread};

use harness::{NetPair, Screen, Terminal, terminal::Size};

/// What a screen has unless a test wants another size.
pub(crate) const USUAL: Size = (100, 24);

/// Which program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Program {
    /// The one under test.
    Flowtally,
    /// The same under iftop's name.
    Iftop,
    /// iftop.
    Original,
}

impl Program {
    const fn name(self) -> &'static str {
        match self {
            Self::Flowtally => "flowtally",
            Self::Iftop => "iftop",
            Self::Original => "original",
        }
    }

    /// How far from what was sent a rate may be: iftop's 2 s slots begin when they happen to, and packets reach it up to
    /// a second late.
    pub(crate) const fn tolerance(self) -> f64 {
        match self {
            Self::Flowtally | Self::Iftop => 0.05,
            Self::Original => 0.25,
        }
    }
}

/// A program in a terminal.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) program: Program,
    terminal: Terminal,
}

impl Deref for Session {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl Session {
    /// Starts it on the near host's interface, and returns when its screen is there.
    pub(crate) fn start(pair: &NetPair, program: Program, arguments: &str, size: Size) -> Self {
        let terminal = Terminal::open(&pair.near.namespace, size);
        Self::start_in(terminal, pair, program, arguments)
    }

    /// The same in a terminal that is there.
    pub(crate) fn start_in(terminal: Terminal, pair: &NetPair, program: Program, arguments: &str) -> Self {
        let session = Self { program, terminal };
        session.enter(&format!("{} -i {} {arguments}", program.name(), pair.near.interface));
        session.wait_until_drawn();
        session
    }

    /// Waits until there is a screen.
    pub(crate) fn wait_until_drawn(&self) {
        self.wait("the screen", |screen| {
            // In the terminal's other screen there is nothing that was there before.
            // The original's totals overlap on narrow screens, beyond recognition.
            let is_drawn = screen.totals().is_some()
                || self.program == Program::Original && screen.is_rule(screen.height().saturating_sub(4));
            (is_drawn && self.state().alternate).then_some(())
        });
    }

    /// Waits until nothing covers the scale.
    pub(crate) fn wait_for_silence(&self) -> Screen {
        self.wait("no message", |screen| screen.message().is_none().then(|| screen.clone()))
    }

    /// Presses a key and waits for what is said then.
    pub(crate) fn press_and_hear(&self, key: &str, message: &str) {
        self.press(key);
        self.wait(&format!("'{message}' after {key}"), |screen| {
            (screen.message().as_deref() == Some(message)).then_some(())
        });
    }

    /// Waits until rows come to what is wanted.
    pub(crate) fn wait_for_rows<T>(
        &self,
        what: &str,
        mut look: impl FnMut(&[harness::screen::Row]) -> Option<T>,
    ) -> T {
        self.wait(what, |screen| look(&screen.rows()))
    }
}

/// Does something with the program under test and with the original, at the same time.
pub(crate) fn both<T: Send>(check: impl Fn(Program) -> T + Sync) -> Vec<T> {
    each(&[Program::Flowtally, Program::Original], |program| check(*program))
}

/// Does something with each of several things, at the same time.
pub(crate) fn each<S: Sync, T: Send>(subjects: &[S], check: impl Fn(&S) -> T + Sync) -> Vec<T> {
    thread::scope(|scope| {
        let check = &check;
        let running: Vec<_> = subjects.iter().map(|subject| scope.spawn(move || check(subject))).collect();
        let ended =
            running.into_iter().map(|one| one.join().unwrap_or_else(|payload| panic::resume_unwind(payload)));
        ended.collect()
    })
}
