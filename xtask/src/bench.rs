//! `cargo xtask bench`: the benchmarks, against an optimized build.

use anyhow::Result;
use clap::Args;

use crate::workspace::Workspace;
use crate::{install, shell, test};

#[derive(Args)]
pub(crate) struct BenchArgs {
    /// What the benchmark program is given
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &BenchArgs) -> Result<()> {
    test::require_root("the benchmarks load programs into the kernel", "bench")?;
    let program = test::build_program(workspace, None)?;
    // DuckDB and ClickHouse are large: only who reads the log beside them needs them.
    let words: Vec<&str> = args.arguments.iter().flat_map(|argument| argument.split('=')).collect();
    let part = words.iter().skip_while(|word| **word != "--only").nth(1);
    let readers = match part {
        None | Some(&"history") => Some(install::readers(workspace)?),
        Some(_) => None,
    };
    shell::run(
        workspace
            .cargo()
            .args(["run", "--release", "--package", "flowtally-tests", "--bin", "bench", "--"])
            .args(&args.arguments)
            .env(test::PROGRAM, program)
            .envs(readers.map(|python| (test::READERS, python))),
    )
}
