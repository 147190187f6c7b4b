//! Runs both programs and compares.

use std::{
    collections::HashMap,
    fmt::Write as _,
    os::unix::process::CommandExt as _,
    path::{Path, PathBuf},
    process::Command,
};

use harness::{Lab, NOBODY, Outcome, agent};

use crate::normal;

/// The original.
const REFERENCE: &str = "/usr/bin/lsof";
/// What runs as a fixture.
const FIXTURE: &str = env!("CARGO_BIN_EXE_fixture");

/// How the output is compared.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Rows of columns, however many blanks are between them.
    Rows,
    /// Rows of columns, each blank of them.
    Exact,
    /// Fields for programs.
    Fields,
    /// There must be no output.
    Nothing,
    /// As an error is: the first message is compared, and no output.
    Fails,
    /// Text that is not a listing, byte for byte.
    Text,
}

/// One command.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    arguments: Arguments,
    how: How,
    user: Option<u32>,
    locale: &'static str,
    /// Whether there must be output.
    output: Output,
    /// Whether all messages are compared, and not only the first.
    messages: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Output {
    Some,
    None,
    Any,
}

#[derive(Clone, Debug)]
enum Arguments {
    /// Separated by blanks, with facts to be filled in.
    Line(String),
    /// As they are.
    Words(Vec<std::ffi::OsString>),
}

fn case(line: &str, how: How) -> Case {
    let output = match how {
        How::Nothing | How::Fails => Output::None,
        _ => Output::Some,
    };
    Case {
        arguments: Arguments::Line(line.to_owned()),
        how,
        user: None,
        locale: "C",
        output,
        messages: false,
    }
}

/// Rows must be equal, but for the number of blanks between columns. There must be some.
pub(crate) fn rows(line: &str) -> Case {
    case(line, How::Rows)
}

/// Rows must be equal to each blank, but for what leads up to the FD column.
pub(crate) fn exact(line: &str) -> Case {
    case(line, How::Exact)
}

/// Fields (`-F`) must be equal. There must be some.
pub(crate) fn fields(line: &str) -> Case {
    case(line, How::Fields)
}

/// Neither program may print anything.
pub(crate) fn nothing(line: &str) -> Case {
    case(line, How::Nothing)
}

/// Both programs must fail, with the same first message.
pub(crate) fn fails(line: &str) -> Case {
    case(line, How::Fails)
}

/// Text that is no listing must be the same to the byte.
pub(crate) fn text(line: &str) -> Case {
    case(line, How::Text)
}

impl Case {
    /// The same, done by nobody.
    pub(crate) fn by_nobody(mut self) -> Self {
        self.user = Some(NOBODY);
        self
    }

    /// The same, where UTF-8 is understood.
    pub(crate) fn utf8(mut self) -> Self {
        self.locale = "C.UTF-8";
        self
    }

    /// The same with arguments that no line can have.
    pub(crate) fn words(mut self, words: impl IntoIterator<Item = impl Into<std::ffi::OsString>>) -> Self {
        self.arguments = Arguments::Words(words.into_iter().map(Into::into).collect());
        self
    }

    /// Whether there is output is the original's affair.
    pub(crate) fn maybe_empty(mut self) -> Self {
        self.output = Output::Any;
        self
    }

    /// Every message must be the same, but for how each program says to be used.
    pub(crate) fn every_message(mut self) -> Self {
        self.messages = true;
        self
    }

    fn describe(&self, lab: &Lab) -> String {
        let words = self.list(lab);
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
        let user = self.user.map_or(String::new(), |user| format!(" as user {user}"));
        let line = match &self.arguments {
            Arguments::Line(line) => line.as_str(),
            Arguments::Words(_) => "",
        };
        format!("lsof {}   [{line}] {:?}, {}{user}", words.join(" "), self.how, self.locale)
    }

    fn list(&self, lab: &Lab) -> Vec<std::ffi::OsString> {
        match &self.arguments {
            Arguments::Line(line) => lab.fill(line).into_iter().map(Into::into).collect(),
            Arguments::Words(words) => words.clone(),
        }
    }

    fn run(&self, lab: &Lab, program: &Path) -> Outcome {
        let mut command = command(lab, program, self.user);
        command.args(self.list(lab)).env("LC_ALL", self.locale);
        lab.outcome(command)
    }
}

/// A new lab for the fixtures of these tests.
pub(crate) fn lab() -> Lab {
    Lab::new(Path::new(FIXTURE))
}

/// A lab with these fixtures.
pub(crate) fn lab_of(kinds: &[&str]) -> Lab {
    let mut lab = lab();
    for kind in kinds {
        lab.start(kind);
    }
    lab
}

/// The program under test through a link named `lsof`.
pub(crate) fn ours(lab: &Lab) -> PathBuf {
    let link = lab.folder().join("bin/lsof");
    if !link.exists() {
        std::fs::create_dir_all(lab.folder().join("bin")).expect("make a folder");
        std::os::unix::fs::symlink(agent::program(), &link).expect("make a link");
    }
    link
}

/// One of the programs, with nothing of the caller's environment that matters to it.
pub(crate) fn command(lab: &Lab, program: &Path, user: Option<u32>) -> Command {
    let mut command = Command::new(program);
    if let Some(user) = user {
        if program != Path::new(REFERENCE) {
            // The program may lie where nobody but its owner can go.
            std::fs::create_dir_all(lab.folder().join("public")).expect("make a folder");
            command = Command::new(lab.public_copy(agent::program(), "public/lsof"));
        }
        command.uid(user).gid(user);
    }
    command.env_clear();
    // Others than root have /proc alone.
    if user.is_none() {
        hand_on_way(&mut command);
    }
    command.env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", lab.folder()).env("TZ", "UTC");
    command.current_dir(lab.folder());
    command
}

/// Which way open files are to be read, where whoever runs the tests has said so.
pub(crate) fn hand_on_way(command: &mut Command) {
    const WAY: &str = "FLOWTALLY_TEST_FILES";
    command.envs(std::env::var_os(WAY).map(|way| (WAY, way)));
}

/// The original's command.
pub(crate) fn reference() -> PathBuf {
    assert!(
        Path::new(REFERENCE).exists(),
        "`{REFERENCE}` is missing: run `apt-get install --no-install-recommends lsof`"
    );
    PathBuf::from(REFERENCE)
}

/// What the program under test lists, line by line, where the original does not do as well.
pub(crate) fn listed(lab: &Lab, line: &str) -> Vec<String> {
    let mut command = command(lab, &ours(lab), None);
    command.args(lab.fill(line));
    let outcome = lab.outcome(command);
    String::from_utf8(outcome.stdout).expect("text").lines().map(str::to_owned).collect()
}

/// Runs each case with both programs, and fails with all differences there are.
pub(crate) fn compare(lab: &Lab, cases: &[Case]) {
    let (reference, ours) = (reference(), ours(lab));
    let mut failures = String::new();
    let mut count = 0;
    for case in cases {
        let expected = case.run(lab, &reference);
        let found = case.run(lab, &ours);
        // It would take too long to find out what else does not end.
        assert!(expected.status.is_some(), "the original does not end: {}", case.describe(lab));
        assert!(found.status.is_some(), "it does not end: {}\n{failures}", case.describe(lab));
        let differences = differences(case, &expected, &found);
        if !differences.is_empty() {
            count += 1;
            let _ = write!(failures, "\n=== {}\n{differences}", case.describe(lab));
        }
    }
    let all = cases.len();
    assert!(count == 0, "{count} of {all} commands differ (-: the original, +: flowtally)\n{failures}");
}

fn differences(case: &Case, expected: &Outcome, found: &Outcome) -> String {
    let mut text = String::new();
    if expected.status != found.status {
        let _ = writeln!(text, "exit status: -{:?} +{:?}", expected.status, found.status);
    }
    let (first, second) = (normal::message(&expected.stderr), normal::message(&found.stderr));
    if first != second {
        let _ = writeln!(text, "message:\n- {first}\n+ {second}");
    }
    if case.messages {
        text += &diff(&normal::messages(&expected.stderr), &normal::messages(&found.stderr));
    }
    if matches!(case.how, How::Fails) && expected.status == Some(0) {
        let _ = writeln!(text, "the original does not fail: the case is wrong");
    }
    let empty = expected.stdout.trim_ascii().is_empty();
    if (empty && case.output == Output::Some) || (!empty && case.output == Output::None) {
        let _ = writeln!(text, "the original prints {} bytes: the case is wrong", expected.stdout.len());
    }
    let lines = |outcome: &Outcome| match case.how {
        How::Rows | How::Nothing | How::Fails => normal::rows(&outcome.stdout),
        How::Exact => normal::exact(&outcome.stdout),
        How::Fields => normal::fields(&outcome.stdout),
        How::Text => normal::lines(&outcome.stdout),
    };
    text + &diff(&lines(expected), &lines(found))
}

/// What is to be taken from the one text and added to make the other of it.
pub(crate) fn diff(from: &[String], to: &[String]) -> String {
    const MOST: usize = 40;
    if from == to {
        return String::new();
    }
    let mut counts: HashMap<&String, i64> = HashMap::new();
    for line in to {
        *counts.entry(line).or_default() += 1;
    }
    let mut text = Vec::new();
    for line in from {
        let count = counts.entry(line).or_default();
        *count -= 1;
        if *count < 0 {
            text.push(format!("- {line}"));
        }
    }
    for line in to.iter().rev() {
        let count = counts.entry(line).or_default();
        if *count > 0 {
            *count -= 1;
            text.push(format!("+ {line}"));
        }
    }
    if text.is_empty() {
        let first = from.iter().zip(to).position(|(one, other)| one != other).unwrap_or(0);
        return format!(
            "the same lines in another order, from line {first} on:\n- {}\n+ {}\n",
            from.get(first).map_or("", String::as_str),
            to.get(first).map_or("", String::as_str)
        );
    }
    let more = text.len().saturating_sub(MOST);
    text.truncate(MOST);
    if more > 0 {
        text.push(format!("... and {more} more"));
    }
    text.join("\n") + "\n"
}
