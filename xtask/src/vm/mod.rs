//! `cargo xtask vm`: the tests of old kernels, in a virtual machine that runs one.
//!
//! Linux 6.1 is the kernel of Debian 12, and the last one with long-term support that has no TCX: there everybody is
//! served by clsact. The machine has nothing in it but the program, the test programs and what these call; the test
//! programs say what is wrong, as anywhere else. It is emulated, so that it runs where virtualization does not nest.

mod apt;
mod debian;
mod initramfs;
mod kernel;
mod machine;

use std::env::consts::ARCH;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;

use self::initramfs::Initramfs;
use self::machine::Machine;
use crate::test::TestArgs;
use crate::workspace::Workspace;
use crate::{install, shell, test};

/// The test programs that are run in the machine: one made for it, one that is run on every kernel.
const TESTS: [&str; 3] = ["vm", "notes", "testrun"];

/// What the tests call.
const TOOLS: [&str; 4] = ["ip", "tc", "ethtool", "socat"];

/// Numbers of CPUs, and the tests that are run with so many, all where no name is given. With one CPU the kernel takes a
/// short cut where the drain of the tables waits for programs that are running.
const MACHINES: [(u32, Option<&str>); 2] = [(2, None), (1, Some("flips"))];

const INIT: &str = include_str!("init.sh");

pub(crate) fn run(workspace: &Workspace, args: &TestArgs) -> Result<()> {
    install::for_tests()?;
    boot(workspace, &test::build_program(workspace, None)?, args, None)
}

/// Runs the tests in machines of every kind. The test programs embed `object`, as `program` does.
pub(crate) fn boot(
    workspace: &Workspace,
    program: &Path,
    args: &TestArgs,
    object: Option<&Path>,
) -> Result<()> {
    if ARCH != "x86_64" {
        bail!("the virtual machine is an x86-64 one, and runs what is built here: this is {ARCH}");
    }
    let dir = workspace.target().join("vm");
    let debian = debian::get(&dir)?;
    let tests = build_tests(workspace, object)?;
    let image = dir.join("initramfs.cpio");
    fs::write(&image, contents(&debian, program, &tests)?.finish())
        .with_context(|| format!("cannot write {}", image.display()))?;
    for (cpus, tests) in MACHINES {
        println!("Linux 6.1 on {cpus} emulated {}", if cpus == 1 { "CPU" } else { "CPUs" });
        Machine { kernel: &debian.kernel, initramfs: &image, cpus }.run(&args.list(tests))?;
    }
    Ok(())
}

fn contents(debian: &debian::Files, program: &Path, tests: &[PathBuf]) -> Result<Initramfs> {
    let mut files = Initramfs::new();
    files.add("init", INIT.as_bytes().to_vec());
    files.copy("bin/busybox", &debian.busybox)?;
    for module in &debian.modules {
        files.copy_into("modules", module)?;
    }
    files.program("bin/flowtally", program)?;
    for tool in TOOLS {
        let path = shell::find(tool).with_context(|| format!("no program {tool}"))?;
        files.program(&format!("bin/{tool}"), &path)?;
    }
    for (name, test) in TESTS.iter().zip(tests) {
        files.program(&format!("tests/{name}"), test)?;
    }
    Ok(files)
}

/// Builds the test programs; returns where they are, in the order of [`TESTS`].
fn build_tests(workspace: &Workspace, object: Option<&Path>) -> Result<Vec<PathBuf>> {
    let mut build = workspace.cargo();
    build.args(["test", "--no-run", "--message-format", "json-render-diagnostics"]);
    build.args(["--package", "flowtally-tests"]);
    for name in TESTS {
        build.args(["--test", name]);
    }
    let messages = shell::output(test::embedding(&mut build, object))?;
    let artifacts: Vec<Value> =
        messages.lines().filter_map(|message| serde_json::from_str(message).ok()).collect();
    let executable = |name: &str| {
        let of_name = artifacts.iter().filter(|artifact| artifact["target"]["name"] == name);
        of_name.filter_map(|artifact| artifact["executable"].as_str()).next_back().map(PathBuf::from)
    };
    TESTS.iter().map(|name| executable(name).with_context(|| format!("cargo built no test {name}"))).collect()
}

/// The libraries that a program is linked to, the dynamic linker among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let text = shell::output(Command::new("ldd").arg(program))?;
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
