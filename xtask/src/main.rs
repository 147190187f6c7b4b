//! What the project does beside `cargo build`: the eBPF object, the kernel tests, the checks of CI.
//!
//! Run as `cargo xtask <COMMAND>`; one module a command.
#![forbid(unsafe_code)]

mod bench;
mod ci;
mod demo;
mod ebpf;
mod install;
mod picture;
mod shell;
mod stage;
mod test;
mod tidy;
mod vm;
mod workspace;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

use workspace::Workspace;

#[derive(Parser)]
#[command(name = "cargo xtask", bin_name = "cargo xtask", about, disable_help_subcommand = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Build the eBPF object that `agent` embeds, or check the committed one
    Ebpf(ebpf::EbpfArgs),
    /// Install what the tests need, then run every test, those in the kernel too (root)
    Test(test::TestArgs),
    /// Run the tests of other kernels, in virtual machines that run them
    Vm(vm::VmArgs),
    /// Run the benchmarks (root)
    Bench(bench::BenchArgs),
    /// Open the screen on traffic made for it (root)
    Demo(demo::DemoArgs),
    /// Draw the README's pictures, of traffic made for them (root)
    Picture(picture::PictureArgs),
    /// Play a part in that traffic
    #[command(hide = true)]
    Stage(stage::StageArgs),
    /// Check the rules of the source tree that no compiler knows
    Tidy,
    /// Install what `ci` needs (root)
    Setup,
    /// Run what CI runs: fmt, clippy, cargo deny, tidy, `ebpf --check`, test
    Ci,
}

fn main() -> ExitCode {
    match run(Cli::parse().command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Not returned from `main`: with RUST_BACKTRACE set, a screen of frames would hide the remedy.
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(command: Command) -> Result<()> {
    let workspace = Workspace::find()?;
    match command {
        Command::Ebpf(args) => ebpf::run(&workspace, &args),
        Command::Test(args) => test::run(&workspace, &args),
        Command::Vm(args) => vm::run(&workspace, &args),
        Command::Bench(args) => bench::run(&workspace, &args),
        Command::Demo(args) => demo::run(&workspace, &args),
        Command::Stage(args) => stage::play(&args),
        Command::Picture(args) => picture::run(&workspace, &args),
        Command::Tidy => tidy::run(&workspace),
        Command::Setup => install::for_ci(),
        Command::Ci => ci::run(&workspace),
    }
}
