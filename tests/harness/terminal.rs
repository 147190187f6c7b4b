//! A terminal with nobody before it: tmux draws what a program writes, and says what every cell looks like.
//!
//! A client in tmux's control mode keeps the terminal: what is wanted is written to it line by line, and when it goes,
//! with this process or before, so does the server with everything that runs in the terminal.

use std::{
    env, fs,
    io::{BufRead as _, BufReader, Write as _},
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Child, ChildStdin, ChildStdout, Command, Stdio},
    sync::{
        Mutex,
        mpsc::{Receiver, channel},
    },
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use crate::{Namespace, PATIENCE, agent::program, namespace::require, screen::Screen};

/// Columns and lines of a terminal.
pub type Size = (u16, u16);

/// What a shell in a terminal says when it waits for a command.
pub const PROMPT: &str = "ready> ";

/// Settings of the server. A lone escape character is the Escape key at once.
const SETTINGS: &str = "
set-option -s exit-unattached on
set-option -s escape-time 0
set-option -g default-terminal tmux-256color
set-option -g status off
";

/// A terminal with a shell in it.
#[derive(Debug)]
pub struct Terminal {
    client: Child,
    /// Commands and their answers, one pair at a time.
    line: Mutex<Line>,
    /// The user's home, where there is nothing but what a test puts there.
    home: TempDir,
}

#[derive(Debug)]
struct Line {
    commands: ChildStdin,
    answers: Receiver<Result<Vec<String>, String>>,
}

/// What a terminal is like, apart from what is on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct State {
    /// It shows the screen of a program, not the one that scrolls.
    pub alternate: bool,
    /// The cursor can be seen.
    pub cursor: bool,
    /// A program wants to know of the mouse.
    pub mouse: bool,
}

impl Terminal {
    /// Opens a terminal in a namespace. `flowtally` is the program under test there, `iftop` is the same by another name,
    /// and `original` is iftop itself, if it is installed.
    #[must_use]
    pub fn open(namespace: &Namespace, size: Size) -> Self {
        require("tmux", "tmux");
        let home = TempDir::with_prefix("flowtally-test-").expect("make a temporary folder");
        let (settings, bin) = (home.path().join(".settings"), home.path().join("bin"));
        fs::write(&settings, SETTINGS).expect("write the settings of tmux");
        fs::create_dir(&bin).expect("make a folder for programs");
        let link = |to: &Path, name| symlink(to, bin.join(name)).expect("link to a program");
        link(&absolute(program()), "flowtally");
        link(&absolute(program()), "iftop");
        let search = search_path();
        if let Some(original) = search.iter().map(|folder| folder.join("iftop")).find(|file| file.is_file()) {
            link(&original, "original");
        }
        let path = [vec![bin], search].concat();

        let (columns, lines) = size;
        let mut command = Command::new("tmux");
        command
            .args(["-u", "-C", "-f"])
            .arg(settings)
            .arg("-S")
            .arg(home.path().join(".socket"))
            // Not told later: tmux 3.3 answers nothing any more if there is output by then that nobody wants.
            .args(["new-session", "-f", "no-output", "-x", &columns.to_string(), "-y", &lines.to_string()])
            .arg("exec /bin/sh")
            .env("HOME", home.path())
            .env("PATH", env::join_paths(path).expect("join folders"))
            .env("PS1", PROMPT)
            .env("LC_ALL", "C.UTF-8")
            .env("SHELL", "/bin/sh")
            .current_dir(home.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit());
        for name in ["TMUX", "ENV", "NO_COLOR", "XDG_CONFIG_HOME", "LINES", "COLUMNS"] {
            command.env_remove(name);
        }
        let mut client = namespace.enter(|| command.spawn()).expect("start tmux");
        let commands = client.stdin.take().expect("its standard input");
        let output = client.stdout.take().expect("its standard output");
        let (sender, answers) = channel();
        thread::spawn(move || {
            for answer in Answers::new(output) {
                if sender.send(answer).is_err() {
                    break;
                }
            }
        });
        // The first answer is to the command that the client was started with.
        answers.recv_timeout(PATIENCE).expect("tmux starts").expect("tmux makes a session");
        let terminal = Self { client, line: Mutex::new(Line { commands, answers }), home };
        terminal.resize(size);
        terminal.wait("a prompt", |screen| screen.text().ends_with(PROMPT.trim_end()).then_some(()));
        terminal
    }

    /// The user's home.
    #[must_use]
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// Types a line, and Enter.
    pub fn enter(&self, line: &str) {
        self.press(line);
        self.key("Enter");
    }

    /// Presses keys that stand for characters.
    pub fn press(&self, keys: &str) {
        self.tell(&format!("send-keys -l -- {}", quoted(keys)));
    }

    /// Presses a key by its name: `C-c`, `Enter`, `Escape`, `Up`, `PageDown` (tmux(1), KEY BINDINGS).
    pub fn key(&self, name: &str) {
        self.tell(&format!("send-keys {name}"));
    }

    /// Lets the terminal have another size.
    pub fn resize(&self, (columns, lines): Size) {
        self.tell(&format!("refresh-client -C {columns}x{lines}"));
    }

    /// What is on it.
    #[must_use]
    pub fn screen(&self) -> Screen {
        Screen::parse(&self.tell("capture-pane -p -e -N"))
    }

    /// What it is like.
    #[must_use]
    pub fn state(&self) -> State {
        let flags = self.ask("#{alternate_on}#{cursor_flag}#{mouse_any_flag}");
        let flag = |place| flags.as_bytes().get(place) == Some(&b'1');
        State { alternate: flag(0), cursor: flag(1), mouse: flag(2) }
    }

    /// The process in it.
    #[must_use]
    pub fn shell(&self) -> i32 {
        self.ask("#{pane_pid}").parse().expect("a process id")
    }

    /// What tmux makes of a format (tmux(1), FORMATS).
    fn ask(&self, format: &str) -> String {
        self.tell(&format!("display-message -p {}", quoted(format))).concat()
    }

    /// Looks at the screen again and again until there is an answer, and returns it.
    pub fn wait<T>(&self, what: &str, mut look: impl FnMut(&Screen) -> Option<T>) -> T {
        const PAUSE: Duration = Duration::from_millis(25);
        let deadline = Instant::now() + PATIENCE;
        loop {
            let screen = self.screen();
            if let Some(answer) = look(&screen) {
                return answer;
            }
            assert!(Instant::now() < deadline, "waited {PATIENCE:?} in vain: {what}\n{screen}");
            thread::sleep(PAUSE);
        }
    }

    /// Waits until the screen has this text.
    pub fn wait_for(&self, text: &str) {
        self.wait(text, |screen| screen.text().contains(text).then_some(()));
    }

    /// Gives tmux a command, and returns what it prints.
    fn tell(&self, command: &str) -> Vec<String> {
        let mut line = self.line.lock().expect("nobody panics with the line in hand");
        writeln!(line.commands, "{command}").expect("tell tmux");
        let answer = line.answers.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("no answer to {command}"));
        answer.unwrap_or_else(|error| panic!("{command}: {error}"))
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // The server ends by itself when its only client is gone; what runs in it is told that its terminal is, too.
        drop(self.client.kill());
        drop(self.client.wait());
    }
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Where programs are: root's too, which not everybody's path has.
fn search_path() -> Vec<PathBuf> {
    let mut path: Vec<_> = env::split_paths(&env::var_os("PATH").unwrap_or_default()).collect();
    path.extend(["/usr/sbin", "/sbin"].map(PathBuf::from));
    path
}

/// A word as tmux takes it (tmux(1), PARSING SYNTAX).
fn quoted(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

/// The answers among the lines that a client in control mode prints (tmux(1), CONTROL MODE).
struct Answers {
    lines: std::io::Lines<BufReader<ChildStdout>>,
}

impl Answers {
    fn new(output: ChildStdout) -> Self {
        Self { lines: BufReader::new(output).lines() }
    }
}

impl Iterator for Answers {
    type Item = Result<Vec<String>, String>;

    fn next(&mut self) -> Option<Self::Item> {
        let id = loop {
            // Everything between answers is news, of which there is none that matters.
            if let Some(id) = self.lines.next()?.ok()?.strip_prefix("%begin ") {
                break id.to_owned();
            }
        };
        let mut answer = Vec::new();
        loop {
            let line = self.lines.next()?.ok()?;
            if line.strip_prefix("%end ") == Some(&id) {
                return Some(Ok(answer));
            }
            if line.strip_prefix("%error ") == Some(&id) {
                return Some(Err(answer.join("\n")));
            }
            answer.push(line);
        }
    }
}
