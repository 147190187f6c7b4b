//! `cargo xtask ci`: what CI runs, in the order in which it fails soonest.

use std::time::Instant;

use anyhow::{Context, Result};

use crate::test::TestArgs;
use crate::workspace::Workspace;
use crate::{ebpf, shell, test, tidy};

type Step = fn(&Workspace) -> Result<()>;

const STEPS: &[(&str, Step)] = &[
    ("fmt", |workspace| shell::run(workspace.cargo().args(["fmt", "--all", "--check"]))),
    ("tidy", tidy::run),
    ("deny", |workspace| {
        // Not the advisories: their database is fetched from the network, and what it says changes by the day.
        let mut deny = workspace.cargo();
        deny.args(["deny", "--locked", "check"]);
        // An exception that nothing needs any more is to be deleted, not to wait for something to hide.
        for stale in ["unmatched-skip", "unnecessary-skip", "license-exception-not-encountered"] {
            deny.args(["--deny", stale]);
        }
        shell::run(deny.args(["licenses", "bans", "sources"]))
    }),
    ("clippy, host", |workspace| {
        let mut clippy = workspace.cargo();
        clippy.args(["clippy", "--locked", "--workspace", "--all-targets", "--", "--deny", "warnings"]);
        shell::run(&mut clippy)
    }),
    ("clippy, BPF", ebpf::clippy),
    ("ebpf --check", ebpf::check),
    ("test", |workspace| test::run(workspace, &TestArgs::default())),
];

pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let mut times = Vec::new();
    for (name, step) in STEPS {
        println!("\n==> {name}");
        let start = Instant::now();
        step(workspace).with_context(|| format!("step `{name}`"))?;
        times.push(format!("{name} {} s", start.elapsed().as_secs()));
    }
    println!("\nAll passed: {}", times.join(", "));
    Ok(())
}
