//! apt, with the machine's own sources or with those of another release of Debian, from the same archive.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{install, shell};

/// The keys of Debian's archive (package debian-archive-keyring), older releases' among them.
const KEYRING: &str = "/usr/share/keyrings/debian-archive-keyring.gpg";

/// What apt is told with each call, so that it uses these sources and changes nothing of the machine.
pub(super) struct Apt {
    options: Vec<String>,
}

impl Apt {
    /// With the sources that the machine has.
    pub(super) fn of_this_machine() -> Result<Self> {
        super::debian::require_tools()?;
        Ok(Self { options: Vec::new() })
    }

    /// With those of another release alone, which `dir` is for.
    pub(super) fn of_release(dir: &Path, release: &str) -> Result<Self> {
        let archive = archive()?;
        let place = |name: &str| dir.join(name);
        for name in ["lists/partial", "archives/partial", "parts"] {
            let place = place(name);
            fs::create_dir_all(&place).with_context(|| format!("cannot make {}", place.display()))?;
        }
        let list = place("sources.list");
        let line = format!("deb [signed-by={KEYRING} arch=amd64] {archive} {release} main\n");
        fs::write(&list, line).with_context(|| format!("cannot write {}", list.display()))?;
        let options = [
            ("Dir::Etc::SourceList", list),
            ("Dir::Etc::SourceParts", place("parts")),
            ("Dir::State::Lists", place("lists")),
            ("Dir::Cache", dir.to_owned()),
            ("Dir::Cache::Archives", place("archives")),
        ];
        let mut options: Vec<_> =
            options.iter().map(|(name, path)| format!("{name}={}", path.display())).collect();
        // What users browse, and descriptions in their language: several times as long as the list of packages.
        options.push("Acquire::IndexTargets::deb::DEP-11::DefaultEnabled=false".to_owned());
        options.push("Acquire::Languages=none".to_owned());
        // A release that is out of support says until when its lists were to be trusted.
        options.push("Acquire::Check-Valid-Until=false".to_owned());
        let apt = Self { options };
        shell::run(apt.configured(install::apt()).args(["update", "--error-on=any"]))?;
        Ok(apt)
    }

    /// The names of the packages that begin so, one a line.
    pub(super) fn names(&self, prefix: &str) -> Result<String> {
        shell::output(self.configured(Command::new("apt-cache")).args(["pkgnames", prefix]))
    }

    /// Puts a package's file into a directory.
    pub(super) fn download(&self, package: &str, into: &Path) -> Result<PathBuf> {
        shell::run(self.configured(install::apt()).current_dir(into).args(["download", package]))?;
        let prefix = format!("{package}_");
        let entries = fs::read_dir(into).with_context(|| format!("cannot read {}", into.display()))?;
        for entry in entries {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&prefix) {
                return Ok(entry.path());
            }
        }
        bail!("apt-get left no {prefix}*.deb in {}", into.display())
    }

    fn configured(&self, mut command: Command) -> Command {
        for option in &self.options {
            command.args(["--option", option]);
        }
        command
    }
}

/// Where this machine has Debian's packages from: other releases are beside its own.
fn archive() -> Result<String> {
    let targets = shell::output(Command::new("apt-get").args([
        "indextargets",
        "--format",
        "$(ORIGIN)|$(LABEL)|$(REPO_URI)",
        "Created-By: Packages",
    ]))?;
    let debian = targets.lines().find_map(|target| target.strip_prefix("Debian|Debian|"));
    debian.map(str::to_owned).context("this machine's apt has no source of Debian's packages")
}
