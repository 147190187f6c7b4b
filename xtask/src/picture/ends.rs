//! The processes at both ends of the cable, and what they tell each other.
//!
//! Each holds the standard input of the one it started, and each ends when its own is closed: when one of them is killed,
//! so are those after it.

use std::io::{self, BufRead as _, BufReader, Read as _, Write as _};
use std::path::Path;
use std::process::{self, Child, ChildStdin, ChildStdout, Command, Stdio};
use std::{env, thread};

use anyhow::{Context, Result, bail, ensure};

use super::{End, network, traffic};

/// What flowtally says when its programs are in place.
const MEASURING: &str = "flowtally: measuring on ";

/// What the far end is told, and then answers, one word a line.
const CONFIGURE: &str = "configure";
const TALK: &str = "talk";

/// Starts the near end, and returns what it prints: the report.
pub(super) fn report(program: &Path) -> Result<String> {
    let mut near = Process::start(End::Near, Some(program))?;
    let mut report = String::new();
    near.output.read_to_string(&mut report).context("cannot read the report")?;
    near.finish()?;
    Ok(report)
}

/// Runs the program on generated traffic; its report goes to our standard output.
pub(super) fn near(program: &Path, arguments: &[&str]) -> Result<()> {
    thread::spawn(|| {
        // Whoever wanted the report is gone.
        drop(io::copy(&mut io::stdin(), &mut io::sink()));
        process::exit(1);
    });
    let mut far = Process::start(End::Far, None)?;
    far.hear(network::READY)?;
    network::join(far.child.id())?;
    far.ask(CONFIGURE)?;
    network::configure(End::Near, &traffic::talks())?;
    traffic::answer(End::Near)?;

    let mut flowtally = Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {}", program.display()))?;
    let said = flowtally.stderr.take().context("no standard error")?;
    for line in BufReader::new(said).lines() {
        let line = line.context("cannot read what flowtally says")?;
        eprintln!("{line}");
        if line.starts_with(MEASURING) {
            far.ask(TALK)?;
            traffic::begin(End::Near);
        }
    }
    let status = flowtally.wait().context("cannot wait for flowtally")?;
    ensure!(status.success(), "flowtally failed ({status})");
    far.finish()
}

/// Does what the near end asks for, until that has no more wishes.
pub(super) fn far() -> Result<()> {
    println!("{}", network::READY);
    for word in io::stdin().lines() {
        let word = word.context("cannot read what the near end asks for")?;
        match word.as_str() {
            CONFIGURE => {
                network::configure(End::Far, &traffic::talks())?;
                traffic::answer(End::Far)?;
            }
            TALK => traffic::begin(End::Far),
            _ => bail!("the near end asks for something unknown: {word}"),
        }
        println!("{word}");
    }
    Ok(())
}

/// This program again, in a network namespace of its own.
struct Process {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Process {
    fn start(end: End, program: Option<&Path>) -> Result<Self> {
        let itself = env::current_exe().context("cannot tell where this program is")?;
        let mut command = Command::new("unshare");
        // unshare(1) becomes the program it runs: its process id is ours to use, and its streams are ours.
        command.args(["--net", "--"]).arg(itself).args(["picture", "--end"]);
        command.arg(match end {
            End::Near => "near",
            End::Far => "far",
        });
        if let Some(program) = program {
            command.arg("--program").arg(program);
        }
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start unshare (util-linux)")?;
        let input = child.stdin.take().context("no standard input")?;
        let output = BufReader::new(child.stdout.take().context("no standard output")?);
        Ok(Self { child, input, output })
    }

    /// Waits until it has said this.
    fn hear(&mut self, word: &str) -> Result<()> {
        let mut line = String::new();
        self.output.read_line(&mut line).context("cannot hear the far end")?;
        ensure!(line.trim_end() == word, "the far end failed");
        Ok(())
    }

    /// Waits until it has done this.
    fn ask(&mut self, word: &str) -> Result<()> {
        writeln!(self.input, "{word}").context("cannot tell the far end")?;
        self.hear(word)
    }

    /// Lets it end, and fails if it failed.
    fn finish(mut self) -> Result<()> {
        drop(self.input);
        let status = self.child.wait().context("cannot wait for the other end")?;
        ensure!(status.success(), "the other end of the cable failed ({status})");
        Ok(())
    }
}
