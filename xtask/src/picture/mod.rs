//! `cargo xtask picture`: the README's picture, drawn from what the real program prints about real traffic.
//!
//! Three processes: this one builds the program and draws; the near end of a cable, in a network namespace of its own,
//! runs the program; the far end, in another, is the rest of the world. The ends are this program again (`--end`),
//! started by unshare(1). The namespaces have no names: they, their interfaces and their addresses are gone with the
//! processes in them, however those come to an end.

mod ends;
mod network;
mod pace;
mod palette;
mod ping;
mod sgr;
mod style;
mod svg;
mod traffic;

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Args, ValueEnum};

use crate::workspace::Workspace;
use crate::{shell, test};

/// Where the picture goes, in the checkout.
const PICTURE: &str = "docs/report.svg";
/// The command line in the picture: tables of a size for the README, and time enough for the rate over two seconds to
/// differ from the one over all of them.
const COMMAND: &[&str] = &["flowtally", "report", "-i", network::INTERFACE, "--seconds", "6", "--top", "7"];
/// The picture ends before this line: what follows is about the measurement, not about the traffic.
const CUT: &str = "Counted beside";

#[derive(Args)]
pub(crate) struct PictureArgs {
    /// The flowtally to run, in place of one built from this checkout
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Be one end of the cable; nothing but `picture` itself has a use for it
    #[arg(long, value_name = "END", hide = true)]
    end: Option<End>,
}

/// An end of the cable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum End {
    /// The host on which flowtally counts.
    Near,
    /// The hosts it talks to, all on one interface.
    Far,
}

pub(crate) fn run(workspace: &Workspace, args: &PictureArgs) -> Result<()> {
    match (args.end, &args.program) {
        (Some(End::Near), Some(program)) => ends::near(program, &COMMAND[1..]),
        (Some(End::Near), None) => bail!("the near end needs a program to run: --program FILE"),
        (Some(End::Far), _) => ends::far(),
        (None, program) => draw(workspace, program.clone()),
    }
}

fn draw(workspace: &Workspace, program: Option<PathBuf>) -> Result<()> {
    test::require_root("the picture needs network namespaces and a program in the kernel", "picture")?;
    for (tool, package) in [("ip", "iproute2"), ("unshare", "util-linux")] {
        if shell::find(tool).is_none() {
            bail!("`{tool}` is missing: install {package}");
        }
    }
    let program = program.map_or_else(|| test::build_program(workspace, None), Ok)?;
    let report = ends::report(&program)?;
    let lines = sgr::parse(shown(&report)?);
    let picture = workspace.path(PICTURE);
    fs::write(&picture, svg::svg(&COMMAND.join(" "), &lines))
        .with_context(|| format!("cannot write {}", picture.display()))?;
    println!("{PICTURE}: {} lines", lines.len());
    Ok(())
}

/// The part of the report that the picture shows.
fn shown(report: &str) -> Result<&str> {
    let end = report.find(CUT).with_context(|| format!("no line `{CUT}…` in the report:\n{report}"))?;
    Ok(report[..end].trim_end())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_picture_ends_with_the_last_table() {
        assert_eq!(shown("a\n\nFlows\nb\n\nCounted beside the kernel's\nc\n").unwrap(), "a\n\nFlows\nb");
        assert!(shown("a\n").is_err());
    }
}
