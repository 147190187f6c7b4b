//! A host with traffic, for whoever has none: the README's pictures are taken on it, and `demo` opens the screen on it.
//!
//! Three kinds of processes, all of them this program again. The near end of a cable, in a network namespace of its own,
//! is the host: it starts one process for each of its programs, which have names as such programs have. The far end, in
//! another namespace, is the rest of the world. The namespaces have no names, and there is no way out of them: they, their
//! interfaces and their addresses are gone with the processes in them. Each process ends when the one that started it does,
//! however that comes to an end.

mod inside;
mod network;
mod pace;
mod ping;
mod process;
mod script;
mod traffic;

use std::ffi::OsString;
use std::io;
use std::io::Read as _;
use std::path::Path;
use std::process::{ChildStderr, Command};
use std::thread::{self, JoinHandle};

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};

pub(crate) use self::network::INTERFACE;
use self::process::Process;
use crate::shell;

/// What the stage is made with, and the Debian packages they come in.
const TOOLS: [(&str, &str); 2] = [("ip", "iproute2"), ("unshare", "util-linux")];

/// What the processes tell each other, one word a line; each is answered with itself when it is done.
const READY: &str = "ready";
const CONFIGURE: &str = "configure";
const TALK: &str = "talk";

/// An end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The host on which flowtally counts.
    Near,
    /// The hosts it talks to, all on one interface.
    Far,
}

#[derive(Args)]
pub(crate) struct StageArgs {
    #[command(subcommand)]
    part: Part,
}

/// What a process on the stage is for.
#[derive(Subcommand)]
enum Part {
    /// Be the host
    Near,
    /// Be one of the host's programs
    Actor { name: String },
    /// Be the rest of the world
    Far,
    /// Become a program in the host's namespace
    Inside {
        host: u32,
        starter: u32,
        #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true)]
        command: Vec<OsString>,
    },
}

/// Plays a part; nothing but [`Stage`] has a use for it.
pub(crate) fn play(args: &StageArgs) -> Result<()> {
    match &args.part {
        Part::Near => near(),
        Part::Actor { name } => actor(name),
        Part::Far => far(),
        Part::Inside { host, starter, command } => inside::run(*host, *starter, command),
    }
}

/// The host and the world around it. Gone when the value goes.
pub(crate) struct Stage {
    near: Process,
    /// What the processes complain about: what is on the terminal is not to be disturbed.
    complaints: JoinHandle<String>,
}

impl Stage {
    /// Makes both namespaces and the cable, and starts everything that answers. Nothing is said yet.
    pub(crate) fn set() -> Result<Self> {
        for (tool, package) in TOOLS {
            if shell::find(tool).is_none() {
                bail!("`{tool}` is missing: install {package}");
            }
        }
        let (near, stderr) = Process::near()?;
        let complaints = thread::spawn(move || read_all(stderr));
        let mut stage = Self { near, complaints };
        match stage.near.hear(READY) {
            Ok(()) => Ok(stage),
            Err(error) => Err(stage.end().err().unwrap_or(error)),
        }
    }

    /// Lets the traffic begin.
    pub(crate) fn begin(&mut self) -> Result<()> {
        self.near.ask(TALK)
    }

    /// A command that will run on the host. It is told to end when this process ends.
    pub(crate) fn command(&self, program: &Path) -> Result<Command> {
        inside::command(self.near.id(), program)
    }

    /// Takes everything away, and fails if something went wrong on the stage.
    pub(crate) fn end(self) -> Result<()> {
        let result = self.near.finish();
        let complaints = self.complaints.join().unwrap_or_default();
        match result {
            Err(error) if complaints.is_empty() => Err(error),
            Err(_) => bail!("the traffic failed: {}", complaints.trim_end()),
            Ok(()) => {
                eprint!("{complaints}");
                Ok(())
            }
        }
    }
}

fn read_all(mut stderr: ChildStderr) -> String {
    let mut text = Vec::new();
    // What cannot be read is no loss: these are complaints.
    drop(stderr.read_to_end(&mut text));
    String::from_utf8_lossy(&text).into_owned()
}

/// The host: makes the network, starts the world and the programs, and does as it is told until it is told nothing more.
fn near() -> Result<()> {
    let mut far = Process::far()?;
    far.hear(READY)?;
    network::join(far.id())?;
    far.ask(CONFIGURE)?;
    network::configure(End::Near, &script::talks())?;
    let mut others = vec![far];
    for name in script::programs() {
        let mut actor = Process::actor(name)?;
        actor.hear(READY)?;
        others.push(actor);
    }
    obey(|word| match word {
        TALK => others.iter_mut().try_for_each(|other| other.ask(TALK)),
        _ => unknown(word),
    })?;
    // All at once: whoever is left would complain of those that are gone.
    others.iter_mut().for_each(Process::let_go);
    others.into_iter().try_for_each(Process::finish)
}

/// A program of the host.
fn actor(name: &str) -> Result<()> {
    process::be_called(name)?;
    let part: Vec<_> = script::talks().into_iter().filter(|talk| talk.program == name).collect();
    traffic::answer(End::Near, &part)?;
    obey(|word| match word {
        TALK => {
            traffic::begin(End::Near, &part);
            Ok(())
        }
        _ => unknown(word),
    })
}

/// The world.
fn far() -> Result<()> {
    let talks = script::talks();
    obey(|word| match word {
        CONFIGURE => {
            network::configure(End::Far, &talks)?;
            traffic::answer(End::Far, &talks)
        }
        TALK => {
            traffic::begin(End::Far, &talks);
            Ok(())
        }
        _ => unknown(word),
    })
}

/// Does what it is told, word by word, until there is nobody any more to tell it something.
fn obey(mut act: impl FnMut(&str) -> Result<()>) -> Result<()> {
    println!("{READY}");
    for word in io::stdin().lines() {
        let word = word.context("cannot read what is wanted")?;
        act(&word)?;
        println!("{word}");
    }
    Ok(())
}

fn unknown(word: &str) -> Result<()> {
    bail!("something unknown is wanted: {word}")
}
