//! The live screen's picture, taken of a terminal: tmux knows what every cell of it looks like.

use std::path::{Path, PathBuf};
use std::process::{self, Child, Command};
use std::thread;
use std::time::{Duration, Instant};
use std::{env, fs};

use anyhow::{Context, Result, bail, ensure};

use super::sgr;
use crate::shell;
use crate::stage::Stage;

/// Ports are what tells most of the traffic apart; there are no names to look up.
pub(super) const COMMAND: &[&str] = &["flowtally", "-n", "-P"];
/// Columns and lines: as many as the README has room for.
const SIZE: (&str, &str) = ("110", "34");
/// Between two looks at the screen.
const PAUSE: Duration = Duration::from_millis(100);
/// For how long the screen is looked at, and for how long a terminal is waited for, before all is given up.
const PATIENCE: Duration = Duration::from_mins(1);

/// The screen when the averages over its three times have become three different ones.
pub(super) fn text(program: &Path, arguments: &[&str]) -> Result<String> {
    if shell::find("tmux").is_none() {
        bail!("`tmux` is missing: install tmux");
    }
    let mut stage = Stage::set()?;
    stage.begin()?;
    let terminal = Terminal::open(&stage, program, arguments)?;
    let deadline = Instant::now() + PATIENCE;
    let screen = loop {
        let screen = terminal.capture()?;
        if is_full(&screen) {
            break screen;
        }
        ensure!(Instant::now() < deadline, "the screen did not come to what it should:\n{screen}");
        thread::sleep(PAUSE);
    };
    drop(terminal);
    stage.end()?;
    Ok(screen)
}

/// Whether the screen shows what it is for: more rows than there is room for, under a scale that no message covers, and
/// traffic of more than ten seconds.
fn is_full(screen: &str) -> bool {
    let lines = sgr::parse(screen);
    let text: Vec<String> =
        lines.iter().map(|line| line.iter().map(|run| run.text.as_str()).collect()).collect();
    let Some(total) = text.iter().find(|line| line.starts_with("TOTAL:")) else { return false };
    // Until the program has run for ten seconds, its averages over 10 and over 40 are both those since the start.
    let rates: Vec<&str> = total.split_whitespace().rev().take(2).collect();
    let averages_differ = rates.len() == 2 && rates[0] != rates[1];
    let is_covered = lines.first().is_some_and(|line| line.iter().any(|run| run.style.reverse));
    // The scale's two lines, and the rule and the three totals at the bottom.
    let rows = &text[2.min(text.len())..text.len().saturating_sub(4)];
    averages_differ && !is_covered && rows.iter().all(|row| row.contains("=>") || row.contains("<="))
}

/// A terminal on the stage's host, in which a program runs. Closed when the value goes.
struct Terminal {
    server: Child,
    socket: PathBuf,
}

impl Terminal {
    fn open(stage: &Stage, program: &Path, arguments: &[&str]) -> Result<Self> {
        let socket = env::temp_dir().join(format!("flowtally-picture-{}", process::id()));
        // In the foreground, so that it ends when this process does, and the program with it. Without the user's
        // settings; with characters beyond ASCII whatever the user's locale.
        let server = stage
            .command(Path::new("tmux"))?
            .args(["-D", "-f", "/dev/null", "-S"])
            .arg(&socket)
            .env("LC_ALL", "C.UTF-8")
            .spawn()
            .context("cannot start tmux")?;
        let terminal = Self { server, socket };
        let deadline = Instant::now() + PATIENCE;
        let (columns, lines) = SIZE;
        let mut open = terminal.tmux();
        open.args(["set-option", "-g", "default-terminal", "tmux-256color", ";"]);
        open.args(["set-option", "-g", "status", "off", ";"]);
        open.args(["new-session", "-d", "-x", columns, "-y", lines, "--"]).arg(program).args(arguments);
        // The server needs a moment before it listens.
        while let Err(error) = shell::output(&mut open) {
            if Instant::now() > deadline {
                return Err(error);
            }
            thread::sleep(PAUSE);
        }
        Ok(terminal)
    }

    /// What is on the screen, with the sequences that make it look as it does.
    fn capture(&self) -> Result<String> {
        shell::output(self.tmux().args(["capture-pane", "-p", "-e"]))
    }

    /// A client that starts no server of its own.
    fn tmux(&self) -> Command {
        let mut tmux = Command::new("tmux");
        tmux.args(["-N", "-u", "-S"]).arg(&self.socket);
        tmux
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whether it can be asked to or not, it ends.
        if !shell::succeeds(self.tmux().arg("kill-server")) {
            drop(self.server.kill());
        }
        drop(self.server.wait());
        drop(fs::remove_file(&self.socket));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(top: &str, rows: &[&str], ten: &str, forty: &str) -> String {
        let bottom = format!("----\nTX: 1 2 3\nRX: 1 2 3\nTOTAL: cum: 5MB peak: 1Mb 9Mb {ten} {forty}");
        format!("{top}\n----\n{}\n{bottom}", rows.join("\n"))
    }

    #[test]
    fn the_screen_is_full_when_all_that_is_on_it_has_come() {
        let rows = ["a => b 1Kb 2Kb 3Kb", "  <=   1Kb 2Kb 3Kb"];
        assert!(is_full(&screen("19.1Mb", &rows, "8Mb", "7Mb")));
        assert!(!is_full(&screen("19.1Mb", &rows, "8Mb", "8Mb")), "no ten seconds yet");
        assert!(!is_full(&screen("19.1Mb", &[rows[0], ""], "8Mb", "7Mb")), "too few rows");
        assert!(!is_full(&screen("\x1b[7m Listening \x1b[m", &rows, "8Mb", "7Mb")), "a message");
        assert!(!is_full(""));
        assert!(!is_full("flowtally: no such interface\n"));
    }
}
