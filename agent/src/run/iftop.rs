//! The program in iftop's place, called through a link of that name: its command line, its configuration file, its exit
//! statuses.

use std::{ffi::OsString, process::ExitCode};

use anyhow::Context as _;

use super::{Called, end, in_runtime, live, settings, stdout};
use crate::iftop::arguments::{self, Stop, USAGE};

/// Runs it; the exit code is 0, or 1 for whatever went wrong.
pub(super) fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(Stop::Help) => {
            return end(stdout::print(USAGE).context("printing the help"), Called::Iftop);
        }
        Err(stop) => {
            say!("{stop}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let result = in_runtime(async { live(settings::iftop_settings(arguments)?).await });
    end(result, Called::Iftop)
}
