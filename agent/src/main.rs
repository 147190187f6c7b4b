//! `flowtally`: see the library.

use std::process::ExitCode;

fn main() -> ExitCode {
    flowtally::run::main()
}
