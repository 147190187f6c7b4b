//! `cargo xtask picture`: the README's pictures, drawn from what the real program prints about real traffic.

mod palette;
mod report;
mod screen;
mod sgr;
mod style;
mod svg;

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::test;
use crate::workspace::Workspace;

#[derive(Args)]
pub(crate) struct PictureArgs {
    /// The pictures to draw [default: all]
    #[arg(value_name = "PICTURE")]
    pictures: Vec<Picture>,
    /// The flowtally to run, in place of one built from this checkout
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
}

/// A picture.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Picture {
    /// The report
    Report,
    /// The live screen
    Screen,
}

impl Picture {
    /// Where it goes, in the checkout.
    const fn file(self) -> &'static str {
        match self {
            Self::Report => "docs/report.svg",
            Self::Screen => "docs/screen.svg",
        }
    }

    /// The command line in it: the name of the program, and what it is given.
    const fn command(self) -> &'static [&'static str] {
        match self {
            Self::Report => report::COMMAND,
            Self::Screen => screen::COMMAND,
        }
    }

    /// What the program shows, with its escape sequences.
    fn text(self, program: &Path) -> Result<String> {
        let arguments = &self.command()[1..];
        match self {
            Self::Report => report::text(program, arguments),
            Self::Screen => screen::text(program, arguments),
        }
    }
}

pub(crate) fn run(workspace: &Workspace, args: &PictureArgs) -> Result<()> {
    test::require_root("the pictures need network namespaces and a program in the kernel", "picture")?;
    let program = args.program.clone().map_or_else(|| test::build_program(workspace, None), Ok)?;
    let pictures = if args.pictures.is_empty() { Picture::value_variants() } else { &args.pictures };
    for picture in pictures {
        let lines = sgr::parse(&picture.text(&program)?);
        let file = workspace.path(picture.file());
        fs::write(&file, svg::svg(&picture.command().join(" "), &lines))
            .with_context(|| format!("cannot write {}", file.display()))?;
        println!("{}: {} lines", picture.file(), lines.len());
    }
    Ok(())
}
