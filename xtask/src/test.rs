//! `cargo xtask test`: every test, those in the kernel too.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, bail};
use clap::Args;

use crate::workspace::Workspace;
use crate::{install, shell, vm};

/// Tells the kernel tests which `flowtally` to run.
pub(crate) const PROGRAM: &str = "FLOWTALLY_BIN";
/// Tells the build script of `agent` which object to embed instead of the committed one.
const OBJECT: &str = "FLOWTALLY_OBJECT";

/// Tells the tests of the log which Python has the other programs that read it.
pub(crate) const READERS: &str = "FLOWTALLY_READERS";

/// The packages whose tests need neither root nor anything installed.
const PLAIN: &[&str] = &["flowtally", "flowtally-common", "flowtally-ebpf", "xtask"];

/// The test programs of the package that needs root which are about the kernel.
const IN_KERNEL: &[&str] =
    &["agent", "files", "filters", "kernel", "log", "notes", "owners", "sandbox", "testrun", "walk"];

/// The test program that compares with the original lsof: it is about processes and files, no kernel object.
const LISTING: &str = "lsof";

/// `cargo test` leaves out what needs a program that not everybody has. Here it has been installed.
const INSTALLED: &[&str] = &["--include-ignored"];

#[derive(Args, Default)]
pub(crate) struct TestArgs {
    /// Run only the tests whose name contains this
    #[arg(long, value_name = "NAME")]
    filter: Option<String>,
    /// What the test programs are given, such as --nocapture
    #[arg(last = true)]
    arguments: Vec<String>,
}

pub(crate) fn run(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    // Before the minutes of building, not after them.
    require_root("the kernel tests make network namespaces and load programs into the kernel", "test")?;
    install::for_tests()?;

    let program = build_program(workspace, None)?;
    let mut plain = workspace.cargo();
    plain.args(["test", "--no-fail-fast"]);
    for package in PLAIN {
        plain.args(["--package", package]);
    }
    let failures: Vec<_> = [
        ("unit tests", shell::run(with_arguments(&mut plain, args, INSTALLED))),
        ("kernel tests", run_in_kernel(workspace, &program, args, None)),
        ("tests of lsof", run_beside_lsof(workspace, &program, args)),
        ("tests of the log read back", run_beside_readers(workspace, &program, args)),
        ("tests of the screen", run_on_terminals(workspace, &program, args)),
        ("tests of other kernels", vm::boot_all(workspace, &program, args, None)),
    ]
    .into_iter()
    .filter_map(|(suite, result)| result.err().map(|error| format!("{suite}: {error:#}")))
    .collect();
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    Ok(())
}

/// The kernel tests alone, on a program that embeds the given object.
pub(crate) fn kernel(workspace: &Workspace, object: &Path) -> Result<()> {
    require_root("the kernel tests load the fresh object into the kernel", "ebpf --check")?;
    install::for_tests()?;
    let args = TestArgs::default();
    let program = build_program(workspace, Some(object))?;
    run_in_kernel(workspace, &program, &args, Some(object))?;
    vm::boot_all(workspace, &program, &args, Some(object))
}

/// Builds the program as users do, and returns where it is.
pub(crate) fn build_program(workspace: &Workspace, object: Option<&Path>) -> Result<PathBuf> {
    let mut build = workspace.cargo();
    build.args(["build", "--release", "--package", "flowtally"]);
    shell::run(embedding(&mut build, object))?;
    Ok(workspace.target().join("release/flowtally"))
}

pub(crate) fn require_root(why: &str, command: &str) -> Result<()> {
    if !shell::is_root() {
        bail!(
            "{why}: run `sudo env HOME=\"$HOME\" PATH=\"$PATH\" cargo xtask {command}`\n\
             (`cargo test` runs the tests that need no root)"
        );
    }
    Ok(())
}

fn run_in_kernel(
    workspace: &Workspace,
    program: &Path,
    args: &TestArgs,
    object: Option<&Path>,
) -> Result<()> {
    let mut tests = workspace.cargo();
    tests.args(["test", "--no-fail-fast", "--package", "flowtally-tests"]).env(PROGRAM, program);
    for target in IN_KERNEL {
        tests.args(["--test", target]);
    }
    shell::run(with_arguments(embedding(&mut tests, object), args, &[]))
}

fn run_beside_lsof(workspace: &Workspace, program: &Path, args: &TestArgs) -> Result<()> {
    let mut tests = workspace.cargo();
    tests
        .args(["test", "--no-fail-fast", "--package", "flowtally-tests", "--test", LISTING])
        .env(PROGRAM, program);
    shell::run(with_arguments(embedding(&mut tests, None), args, &[]))
}

/// What the log says is what other programs read in it.
fn run_beside_readers(workspace: &Workspace, program: &Path, args: &TestArgs) -> Result<()> {
    let mut tests = workspace.cargo();
    tests
        .args(["test", "--no-fail-fast", "--package", "flowtally-tests", "--test", "history"])
        .env(PROGRAM, program)
        .env(READERS, install::readers(workspace)?);
    shell::run(with_arguments(embedding(&mut tests, None), args, INSTALLED))
}

/// Most of these tests wait for seconds to pass on the screens of a few programs: more of them than there are CPUs can do so
/// at the same time.
fn run_on_terminals(workspace: &Workspace, program: &Path, args: &TestArgs) -> Result<()> {
    const AT_ONCE: &str = "10";
    let mut tests = workspace.cargo();
    tests
        .args(["test", "--no-fail-fast", "--package", "flowtally-tests", "--test", "screen"])
        .env(PROGRAM, program)
        .env("RUST_TEST_THREADS", AT_ONCE);
    shell::run(with_arguments(embedding(&mut tests, None), args, &[]))
}

pub(crate) fn embedding<'a>(command: &'a mut Command, object: Option<&Path>) -> &'a mut Command {
    match object {
        Some(object) => command.env(OBJECT, object),
        // Left over in somebody's shell, it would put another object under test than the committed one.
        None => command.env_remove(OBJECT),
    }
}

fn with_arguments<'a>(command: &'a mut Command, args: &TestArgs, more: &[&str]) -> &'a mut Command {
    command.args(&args.filter).arg("--").args(more).args(&args.arguments)
}

impl TestArgs {
    /// As a test program takes them; `default` is the filter when there is none.
    pub(crate) fn list<'a>(&'a self, default: Option<&'a str>) -> Vec<&'a str> {
        let filter = self.filter.as_deref().or(default);
        filter.into_iter().chain(self.arguments.iter().map(String::as_str)).collect()
    }

    /// Whether somebody has said which tests to run.
    pub(crate) fn choose(&self) -> bool {
        self.filter.is_some() || !self.arguments.is_empty()
    }
}
