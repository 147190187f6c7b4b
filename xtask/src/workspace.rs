//! Where the checkout and its build output are.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

/// The checkout that `cargo xtask` was run in.
pub(crate) struct Workspace {
    root: PathBuf,
}

impl Workspace {
    /// Asks cargo, not the compiler: with a target directory that several checkouts share, a path compiled in
    /// could be another checkout's.
    pub(crate) fn find() -> Result<Self> {
        let manifest =
            env::var_os("CARGO_MANIFEST_DIR").context("run it as `cargo xtask`, not by its path")?;
        let root = Path::new(&manifest).parent().context("xtask is not in a workspace")?;
        let root = root.canonicalize().with_context(|| format!("no such directory: {}", root.display()))?;
        Ok(Self { root })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.root.join(relative)
    }

    pub(crate) fn target(&self) -> PathBuf {
        env::var_os("CARGO_TARGET_DIR").map_or_else(|| self.path("target"), |dir| self.root.join(dir))
    }

    /// The cargo that runs this program, at work in the root of the checkout.
    pub(crate) fn cargo(&self) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.current_dir(&self.root);
        // Set by the cargo that runs us, for us: a build script that reads it would see the wrong package.
        cargo.env_remove("CARGO_MANIFEST_DIR");
        cargo
    }
}
