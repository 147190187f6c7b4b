//! `cargo xtask ebpf`: the committed eBPF object, and what keeps it honest.
//!
//! Users have stable Rust and nothing else, so `agent` embeds an object that is in the repository. Beside it lies
//! a record of what it was built from and with; `--check` rebuilds it and compares.

mod provenance;
mod toolchain;

use std::fs;

use anyhow::{Context, Result, bail};
use clap::Args;

use self::provenance::Provenance;
use self::toolchain::Toolchain;
use crate::workspace::Workspace;
use crate::{shell, test};

const OBJECT: &str = "agent/object/flowtally.bpf.o";
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
    let fresh = toolchain.build(workspace)?;
    let object = fs::read(&fresh).with_context(|| format!("cannot read {}", fresh.display()))?;
    let record = Provenance {
        object: provenance::sha256(&object),
        toolchain: toolchain.versions()?,
        sources: provenance::sources(workspace)?,
    };
    write(workspace, OBJECT, &object)?;
    write(workspace, RECORD, record.to_toml().as_bytes())?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), record.object);
    Ok(())
}

/// Fails when the committed object is not what its sources give.
pub(crate) fn check(workspace: &Workspace) -> Result<()> {
    let path = workspace.path(RECORD);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    let record = Provenance::from_toml(&text).with_context(|| format!("cannot parse {RECORD}"))?;

    let changed = provenance::differences(&record.sources, &provenance::sources(workspace)?);
    if !changed.is_empty() {
        bail!(
            "{OBJECT} is not built from these sources: run `cargo xtask ebpf` and commit {}\n{}",
            "agent/object",
            changed.join("\n")
        );
    }
    let path = workspace.path(OBJECT);
    let committed = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
    if provenance::sha256(&committed) != record.object {
        bail!("{OBJECT} is not the object that {RECORD} describes: run `cargo xtask ebpf` and commit both");
    }

    let toolchain = Toolchain::find()?;
    let fresh = toolchain.build(workspace)?;
    let differences = provenance::differences(&record.toolchain, &toolchain.versions()?);
    if differences.is_empty() {
        let rebuilt = fs::read(&fresh).with_context(|| format!("cannot read {}", fresh.display()))?;
        if rebuilt != committed {
            bail!(
                "the same sources and the same tool-chain give another object than {OBJECT}: compare it with {}",
                fresh.display()
            );
        }
        println!("{OBJECT}: identical to the byte when rebuilt");
        return Ok(());
    }
    println!("The tool-chain is not the recorded one, so objects cannot be compared:");
    for difference in differences {
        println!("{difference}");
    }
    println!("Running the kernel tests on the fresh object instead.");
    test::kernel(workspace, &fresh)
}

/// Clippy for the kernel programs, which the host's clippy sees only the parser of.
pub(crate) fn clippy(workspace: &Workspace) -> Result<()> {
    shell::run(&mut Toolchain::find()?.clippy(workspace)?)
}

fn write(workspace: &Workspace, relative: &str, content: &[u8]) -> Result<()> {
    let path = workspace.path(relative);
    if let Some(dir) = path.parent() {
        fs::create_dir_all(dir).with_context(|| format!("cannot create {}", dir.display()))?;
    }
    fs::write(&path, content).with_context(|| format!("cannot write {}", path.display()))
}
