//! `cargo xtask ebpf`: the committed eBPF object, and what keeps it honest.
//!
//! Users have stable Rust and nothing else, so `agent` embeds an object that is in the repository. Beside it lies
//! a record of what it was built from and with; `--check` rebuilds it and compares.

mod provenance;
mod toolchain;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::provenance::Provenance;
use self::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{shell, test};

/// The committed objects: the two that `agent` embeds, and what the benchmarks compare with.
const OBJECTS: [&str; 3] =
    ["agent/object/flowtally.bpf.o", "agent/object/iterators.bpf.o", "tests/bench/baselines.bpf.o"];
/// The programs they are built from.
const PROGRAMS: [&str; 3] = ["flowtally-ebpf", "iterators", "baselines"];
const RECORD: &str = "agent/object/provenance.toml";

#[derive(Args)]
pub(crate) struct EbpfArgs {
    /// Write nothing: rebuild, and fail unless the committed object is what its sources give
    #[arg(long)]
    check: bool,
}

pub(crate) fn run(workspace: &Workspace, args: &EbpfArgs) -> Result<()> {
    if args.check { check(workspace) } else { rebuild(workspace) }
}

fn rebuild(workspace: &Workspace) -> Result<()> {
    let toolchain = Toolchain::find()?;
    let fresh = toolchain.build(workspace, PROGRAMS)?;
    let mut objects = BTreeMap::new();
    for (path, fresh) in OBJECTS.into_iter().zip(&fresh) {
        let object = read(fresh)?;
        write(workspace, path, &object)?;
        let hash = provenance::sha256(&object);
        println!("{path}: {} bytes, sha256 {hash}", object.len());
        objects.insert(path.to_owned(), hash);
    }
    let record =
        Provenance { objects, toolchain: toolchain.versions()?, sources: provenance::sources(workspace)? };
    write(workspace, RECORD, record.to_toml().as_bytes())
}

/// Fails when a committed object is not what its sources give.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let path = workspace.path(RECORD);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let record = Provenance::from_toml(&text).with_context(|| format!("cannot parse {RECORD}"))?;

    let changed = provenance::differences(&record.sources, &provenance::sources(workspace)?);
    if !changed.is_empty() {
        bail!(
            "the committed objects are not built from these sources: run `cargo xtask ebpf` and commit {}\n{}",
            OBJECTS.join(", "),
            changed.join("\n")
        );
    }
    for path in OBJECTS {
        if record.objects.get(path) != Some(&provenance::sha256(&read(&workspace.path(path))?)) {
            bail!("{path} is not the object that {RECORD} describes: run `cargo xtask ebpf` and commit both");
        }
    }

    let toolchain = Toolchain::find()?;
    let fresh = toolchain.build(workspace, PROGRAMS)?;
    let differences = provenance::differences(&record.toolchain, &toolchain.versions()?);
    if differences.is_empty() {
        for (path, fresh) in OBJECTS.into_iter().zip(&fresh) {
            if read(fresh)? != read(&workspace.path(path))? {
                bail!(
                    "the same sources and the same tool-chain give another object than {path}: compare it with {}",
                    fresh.display()
                );
            }
            println!("{path}: identical to the byte when rebuilt");
        }
        return Ok(());
    }
    println!("The tool-chain is not the recorded one, so objects cannot be compared:");
    for difference in differences {
        println!("{difference}");
    }
    println!("Running the kernel tests on the fresh object instead.");
    let [object, ..] = &fresh;
    test::kernel(workspace, object)
}

/// Clippy for the kernel programs, which the host's clippy sees only the parser of.
pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    shell::run(&mut Toolchain::find()?.clippy(workspace)?)
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).with_context(|| format!("cannot read {}", path.display()))
}

fn write(workspace: &Workspace, relative: &str, content: &[u8]) -> Result<()> {
    let path = workspace.path(relative);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
}
