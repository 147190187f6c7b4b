//! The line on a terminal that says how far something is: each text takes the place of the one before.

use std::{
    fmt,
    io::{self, IsTerminal as _, Write as _},
};

/// The line, where standard error is a terminal; elsewhere nothing is written.
#[derive(Clone, Copy)]
pub(super) struct ProgressLine {
    is_terminal: bool,
}

impl ProgressLine {
    pub(super) fn new() -> Self {
        Self { is_terminal: io::stderr().is_terminal() }
    }

    pub(super) fn show(self, text: fmt::Arguments<'_>) {
        if self.is_terminal {
            drop(io::stderr().write_all(format!("\r\x1b[Kflowtally: {text}").as_bytes()));
        }
    }

    pub(super) fn clear(self) {
        if self.is_terminal {
            drop(io::stderr().write_all(b"\r\x1b[K"));
        }
    }
}
