//! `cargo xtask vm`: the tests of other kernels than this machine's, in a virtual machine that runs one.
//!
//! Linux 6.1 is the kernel of Debian 12, and the last one with long-term support that has no TCX: there everybody is
//! served by clsact. 6.12 is the first with long-term support that has it. On 5.10, the oldest in Debian's archive, the
//! programs cannot run, and have to say so. `--kernel DIR` runs any other: what its packages extract to.
//!
//! The machine has nothing in it but the program, the test programs and what these call; the test programs say what is
//! wrong, as anywhere else. It is emulated, so that it runs where virtualization does not nest.

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
use clap::Args;
use serde_json::Value;

use self::initramfs::Initramfs;
use self::kernel::{Kernel, Version};
use self::machine::Machine;
use crate::test::TestArgs;
use crate::workspace::Workspace;
use crate::{install, shell, test};

/// The test programs that are run in the machine: one made for it, and those that are run on every kernel.
const TESTS: [&str; 4] = [VM, "notes", "testrun", "walk"];
const VM: &str = "vm";

/// What the tests call; tcpdump for the library that filters are compiled by.
const TOOLS: [&str; 6] = ["ip", "tc", "ss", "ethtool", "socat", "tcpdump"];

/// The oldest kernel that the programs run on, and the first that has TCX.
const OLDEST: Version = Version(5, 15);
const FIRST_WITH_TCX: Version = Version(6, 6);

/// Tests that are for kernels of one age alone, by the modules that they are in.
const TOO_OLD: &str = "too_old::";
const WITHOUT_TCX: &str = "without_tcx::";
const WITH_TCX: &str = "with_tcx::";
/// What compares filters with libpcap's in some million runs: too many for an emulated machine. A dozen filters are in another module.
const FILTERS: &str = "filters::";
/// What mounts a file system by FUSE, a module that the machine has not.
const HUNG: &str = "hung::";

const INIT: &str = include_str!("init.sh");

#[derive(Args)]
pub(crate) struct VmArgs {
    /// Run this kernel alone: 5.10, 6.1 or 6.12, which Debian has, or a directory that a kernel's packages were extracted to
    #[arg(long, value_name = "VERSION|DIR")]
    kernel: Option<String>,
    /// Test this flowtally in place of a release build
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    #[command(flatten)]
    tests: TestArgs,
}

pub(crate) fn run(workspace: &Workspace, args: &VmArgs) -> Result<()> {
    install::for_tests()?;
    let program = args.program.clone().map_or_else(|| test::build_program(workspace, None), Ok)?;
    let kernels = match &args.kernel {
        Some(name) => vec![named(&dir(workspace), name)?],
        None => all(&dir(workspace))?,
    };
    boot(workspace, &program, &args.tests, None, &kernels)
}

/// Runs the tests on every kernel that Debian has. The test programs embed `object`, as `program` does.
pub(crate) fn boot_all(
    workspace: &Workspace,
    program: &Path,
    args: &TestArgs,
    object: Option<&Path>,
) -> Result<()> {
    let mut kernels = all(&dir(workspace))?;
    // Emulation takes minutes for each. What 6.12 has, this machine's kernel has too: `cargo xtask vm` runs it.
    kernels.retain(|kernel| kernel.version().is_ok_and(|version| version < Version(6, 12)));
    boot(workspace, program, args, object, &kernels)
}

fn dir(workspace: &Workspace) -> PathBuf {
    workspace.target().join("vm")
}

/// The kernel that somebody names.
fn named(dir: &Path, name: &str) -> Result<Kernel> {
    if Path::new(name).is_dir() {
        return Kernel::in_dir(Path::new(name));
    }
    let line =
        name.parse().ok().and_then(|version| debian::LINES.into_iter().find(|line| line.version == version));
    let Some(line) = line else {
        let lines = debian::LINES.map(|line| line.version.to_string()).join(", ");
        bail!("'{name}' is neither a directory nor a kernel that Debian has: {lines}");
    };
    Kernel::in_dir(&debian::kernel(dir, line)?)
}

/// Those that Debian has. One that its archive has dropped is left out with a word; every other must be had.
fn all(dir: &Path) -> Result<Vec<Kernel>> {
    let mut kernels = Vec::new();
    for line in debian::LINES {
        match debian::kernel(dir, line) {
            Ok(unpacked) => kernels.push(Kernel::in_dir(&unpacked)?),
            Err(error) if line.may_be_gone => {
                println!("Linux {} is left out, its tests are NOT run: {error:#}", line.version);
            }
            Err(error) => return Err(error),
        }
    }
    Ok(kernels)
}

/// Runs the tests in machines of every kind.
fn boot(
    workspace: &Workspace,
    program: &Path,
    args: &TestArgs,
    object: Option<&Path>,
    kernels: &[Kernel],
) -> Result<()> {
    if ARCH != "x86_64" {
        bail!("the virtual machine is an x86-64 one, and runs what is built here: this is {ARCH}");
    }
    let dir = dir(workspace);
    let busybox = debian::busybox(&dir)?;
    let tests = build_tests(workspace, object)?;
    let tests = TESTS.iter().zip(&tests).map(|(name, test)| Ok((*name, stripped(&dir, name, test)?)));
    let tests = tests.collect::<Result<Vec<_>>>()?;
    let program = stripped(&dir, "flowtally", program)?;
    let image = dir.join("initramfs.cpio");
    let mut failures = Vec::new();
    let mut ran = 0;
    for kernel in kernels {
        for Kind { cpus, programs, default, others } in kinds(kernel.version()?) {
            let tests = tests.iter().filter(|(name, _)| programs.contains(name));
            fs::write(&image, contents(kernel, &busybox, &program, tests)?.finish())
                .with_context(|| format!("cannot write {}", image.display()))?;
            println!(
                "Linux {} on {cpus} emulated {}",
                kernel.release,
                if *cpus == 1 { "CPU" } else { "CPUs" }
            );
            let skipped = others.iter().flat_map(|module| ["--skip", module]);
            let list: Vec<_> = args.list(*default).into_iter().chain(skipped).collect();
            let machine = Machine { kernel: &kernel.image, initramfs: &image, cpus: *cpus };
            // Who picks tests means those that there are, on whatever kernel.
            let required = if args.choose() { &[] } else { *programs };
            match machine.run(&list, required) {
                Ok(passed) => ran += passed,
                Err(error) => failures.push(format!("Linux {} ({cpus} CPUs): {error:#}", kernel.release)),
            }
        }
    }
    if !failures.is_empty() {
        bail!("{}", failures.join("\n"));
    }
    if ran == 0 {
        bail!("no test was run on any kernel: is there one of this name?");
    }
    Ok(())
}

/// A machine that the tests are run in.
struct Kind {
    cpus: u32,
    /// The test programs that have tests for it.
    programs: &'static [&'static str],
    /// The tests that are run where no name is given; all without.
    default: Option<&'static str>,
    /// Those that are for other kernels, or for none in a machine.
    others: &'static [&'static str],
}

/// With one CPU the kernel takes a short cut where the drain of the tables waits for programs that are running.
fn kinds(version: Version) -> &'static [Kind] {
    if version < OLDEST {
        &[Kind {
            cpus: 2,
            programs: &[VM],
            default: Some(TOO_OLD),
            others: &[WITHOUT_TCX, WITH_TCX, FILTERS, HUNG],
        }]
    } else if version < FIRST_WITH_TCX {
        const OTHERS: &[&str] = &[TOO_OLD, WITH_TCX, FILTERS, HUNG];
        &[
            Kind { cpus: 2, programs: &TESTS, default: None, others: OTHERS },
            Kind { cpus: 1, programs: &[VM, "testrun"], default: Some("flips"), others: OTHERS },
        ]
    } else {
        &[Kind { cpus: 2, programs: &TESTS, default: None, others: &[TOO_OLD, WITHOUT_TCX, FILTERS, HUNG] }]
    }
}

fn contents<'a>(
    kernel: &Kernel,
    busybox: &Path,
    program: &Path,
    tests: impl Iterator<Item = &'a (&'a str, PathBuf)>,
) -> Result<Initramfs> {
    let mut files = Initramfs::new();
    files.add("init", INIT.as_bytes().to_vec());
    files.copy("bin/busybox", busybox)?;
    for (name, content) in kernel.modules()? {
        files.add(&format!("modules/{name}"), content);
    }
    files.program("bin/flowtally", program)?;
    for tool in TOOLS {
        let path = shell::find(tool).with_context(|| format!("no program {tool}"))?;
        files.program(&format!("bin/{tool}"), &path)?;
    }
    for (name, test) in tests {
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

/// A copy of a program without what debuggers read. With it, test programs are two hundred megabytes each, and the kernel gives the files
/// half of the machine's memory.
fn stripped(dir: &Path, name: &str, program: &Path) -> Result<PathBuf> {
    let dir = dir.join("stripped");
    fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;
    let copy = dir.join(name);
    shell::run(Command::new("strip").arg("-o").arg(&copy).arg(program)).with_context(|| {
        format!("making {} small with strip, of Debian's package binutils", program.display())
    })?;
    Ok(copy)
}

/// The libraries that a program is linked to, the dynamic linker among them.
fn libraries(program: &Path) -> Result<Vec<PathBuf>> {
    let text = shell::output(Command::new("ldd").arg(program))?;
    Ok(text.split_whitespace().filter(|word| word.starts_with('/')).map(PathBuf::from).collect())
}
