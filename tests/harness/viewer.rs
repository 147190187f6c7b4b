//! A screen of the program under test, which is asked what it shows by having it written to a file.

use std::{cell::Cell, fs, ops::Deref};

use serde_json::Value;

use crate::{Terminal, eventually};

/// A screen in a terminal.
#[derive(Debug)]
pub struct Viewer {
    terminal: Terminal,
    exports: Cell<u32>,
}

impl Deref for Viewer {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl Viewer {
    /// Starts a screen in a terminal with a command line, and returns when it is there.
    #[must_use]
    pub fn start(terminal: Terminal, line: &str) -> Self {
        terminal.enter(line);
        terminal.wait("the screen", |screen| screen.totals().map(drop));
        Self { terminal, exports: Cell::new(0) }
    }

    /// Waits until the status says something.
    pub fn status(&self, text: &str) {
        self.wait(&format!("'{text}' in the status"), |screen| {
            screen.line(screen.height() - 4).contains(text).then_some(())
        });
    }

    /// What it shows, as it writes it to a file.
    #[must_use]
    pub fn exported(&self) -> Value {
        let number = self.exports.replace(self.exports.get() + 1);
        let name = format!("export-{number}.json");
        self.press("e");
        // There may be a name from before in the prompt.
        self.key("C-u");
        self.press(&name);
        self.key("Enter");
        let file = self.home().join(name);
        eventually("the list is written", || serde_json::from_slice(&fs::read(&file).ok()?).ok())
    }

    /// Bytes sent and received up to the interval that is shown.
    #[must_use]
    pub fn total(&self) -> [u64; 2] {
        both_ways(&self.exported()["total"])
    }

    /// Bytes sent and received in the rows of the list, by what stands left or right.
    #[must_use]
    pub fn rows(&self) -> Vec<(String, [u64; 2])> {
        let exported = self.exported();
        let rows = exported["rows"].as_array().expect("a list of rows").iter();
        let title = |row: &Value| {
            let ends = ["source", "destination"].map(|end| row[end].as_str().unwrap_or_default().to_owned());
            ends.join(" ").trim().to_owned()
        };
        let mut rows: Vec<_> = rows.map(|row| (title(row), both_ways(row))).collect();
        rows.sort();
        rows
    }
}

/// Bytes sent and received of a row or a total.
fn both_ways(of: &Value) -> [u64; 2] {
    ["sent_bytes", "received_bytes"].map(|name| of[name].as_u64().expect("a number of bytes"))
}
