//! The program in iftop's place, called through a link of that name: its command line, its configuration file, its exit
//! statuses.

use std::{
    ffi::OsString,
    io::{self, Write as _},
    process::ExitCode,
};

use super::{Called, end, in_runtime, live, settings};
use crate::iftop::arguments::{self, Stop, USAGE};

/// Runs it; the exit code is 0, or 1 for whatever went wrong.
pub(super) fn main(words: impl IntoIterator<Item = OsString>) -> ExitCode {
    let arguments = match arguments::parse(words) {
        Ok(arguments) => arguments,
        Err(Stop::Help) => {
            // A reader that went away is no failure.
            drop(io::stdout().write_all(USAGE.as_bytes()));
            return ExitCode::SUCCESS;
        }
        Err(stop) => {
            say!("{stop}\n{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    let result =
        settings::iftop_settings(arguments).and_then(|(options, plan)| in_runtime(live(options, plan)));
    end(result, Called::Iftop)
}
