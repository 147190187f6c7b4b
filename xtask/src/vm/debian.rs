//! The kernels and the shell of the virtual machine: Debian's packages, unpacked and not installed, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::apt::Apt;
use super::kernel::Version;
use crate::{install, shell};

/// A line of kernels that Debian has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) version: Version,
    /// The release whose kernel it is, for a machine whose own sources do not have it.
    release: &'static str,
    /// Whether it may be missing: archives drop a release that is out of support.
    pub(super) may_be_gone: bool,
}

/// The oldest kernel that Debian's archive has, for what is said where the programs cannot run; the last one with
/// long-term support that has no TCX; and the first that has it.
pub(super) const LINES: [Line; 3] = [
    Line { version: Version(5, 10), release: "bullseye", may_be_gone: true },
    Line { version: Version(6, 1), release: "bookworm", may_be_gone: false },
    Line { version: Version(6, 12), release: "trixie", may_be_gone: false },
];

/// The package of the shell.
const SHELL: &str = "busybox-static";
/// For virtual machines, without drivers for hardware.
const FLAVOUR: &str = "-cloud-amd64";
/// As it was built, without a signature for Secure Boot.
const UNSIGNED: &str = "-unsigned";

/// An archive may list what it does not hand out any more: so many builds of a line are tried.
const TRIES: usize = 4;

/// Where a kernel's package is unpacked, in `dir`; gets it there if need be.
pub(super) fn kernel(dir: &Path, line: Line) -> Result<PathBuf> {
    let Version(major, minor) = line.version;
    unpacked(&dir.join(format!("linux-{major}.{minor}")), |into| {
        let own = Apt::of_this_machine()?;
        let prefix = format!("linux-image-{major}.{minor}.");
        let from = |apt: &Apt| -> Result<()> {
            let names = apt.names(&prefix)?;
            let found = newest_first(&names, &prefix);
            if found.is_empty() {
                bail!("no package {prefix}*{FLAVOUR}{UNSIGNED}");
            }
            let mut refusals = Vec::new();
            for package in found.iter().take(TRIES) {
                match unpack(apt, package, into) {
                    Ok(()) => return Ok(()),
                    Err(error) => refusals.push(format!("{error:#}")),
                }
            }
            bail!("{}", refusals.join("; "))
        };
        let Err(here) = from(&own) else { return Ok(()) };
        let release = Apt::of_release(&beside(into, "apt"), line.release).with_context(|| {
            format!("this machine's sources: {here:#}; Debian's release {}", line.release)
        })?;
        from(&release).with_context(|| format!("this machine's sources: {here:#}; release {}", line.release))
    })
    .with_context(|| format!("getting Linux {} with apt", line.version))
}

/// The shell, in `dir`; gets it there if need be.
pub(super) fn busybox(dir: &Path) -> Result<PathBuf> {
    let unpacked = unpacked(&dir.join("busybox"), |into| unpack(&Apt::of_this_machine()?, SHELL, into))?;
    let places = ["bin/busybox", "usr/bin/busybox"].map(|place| unpacked.join(place));
    places.into_iter().find(|place| place.is_file()).with_context(|| {
        format!("no busybox in {}: remove it and try again, it is not what it should be", unpacked.display())
    })
}

/// The directory, filled by `fill` unless it was before. It has its name only when it is complete: an interrupted attempt is
/// not to be found next time.
fn unpacked(place: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<PathBuf> {
    if place.is_dir() {
        return Ok(place.to_owned());
    }
    let incomplete = beside(place, "incomplete");
    if incomplete.exists() {
        fs::remove_dir_all(&incomplete).with_context(|| format!("cannot remove {}", incomplete.display()))?;
    }
    fs::create_dir_all(&incomplete).with_context(|| format!("cannot make {}", incomplete.display()))?;
    fill(&incomplete)?;
    fs::rename(&incomplete, place).with_context(|| format!("cannot rename {}", incomplete.display()))?;
    Ok(place.to_owned())
}

/// A path with another ending; not `with_extension`, for a version has a dot.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut path = path.as_os_str().to_owned();
    path.push(".");
    path.push(ending);
    path.into()
}

fn unpack(apt: &Apt, package: &str, into: &Path) -> Result<()> {
    println!("Downloading {package} with apt, for a virtual machine: it is not installed");
    let file = apt.download(package, into)?;
    shell::run(Command::new("dpkg-deb").arg("--extract").arg(&file).arg(into))?;
    fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))
}

/// The kernels' packages among these, the newest build first.
fn newest_first<'a>(names: &'a str, prefix: &str) -> Vec<&'a str> {
    let build = |name: &str| -> Option<Vec<u32>> {
        let build = name.strip_prefix(prefix)?.strip_suffix(UNSIGNED)?.strip_suffix(FLAVOUR)?;
        // Patch level, build, and what is rebuilt for an older release: all numbers in the order of their weight.
        let numbers = build.split(|c: char| !c.is_ascii_digit()).filter(|number| !number.is_empty());
        numbers.map(|number| number.parse().ok()).collect()
    };
    let mut found: Vec<_> = names.lines().filter_map(|name| Some((build(name)?, name))).collect();
    found.sort_unstable_by(|one, other| other.cmp(one));
    found.into_iter().map(|(_, name)| name).collect()
}

/// What must be there to get packages with.
pub(super) fn require_tools() -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if shell::find(program).is_none() {
            bail!(
                "the virtual machine's kernel is a Debian package, and there is no {program} to get it with: unpack one \
                 yourself, and name the directory with --kernel"
            );
        }
    }
    // Without root, what apt knew last may do.
    if shell::is_root() {
        install::update()?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::newest_first;

    #[test]
    fn builds_are_compared_as_numbers() {
        let names = "linux-image-6.1.0-9-cloud-amd64-unsigned\nlinux-image-6.1.0-56-cloud-amd64-unsigned\n\
                     linux-image-6.1.0-57-cloud-amd64\nlinux-image-6.1.0-58-cloud-arm64-unsigned\n\
                     linux-image-6.1.0-60-cloud-amd64-dbg\nlinux-image-6.12.1+deb12-cloud-amd64-unsigned";
        assert_eq!(
            newest_first(names, "linux-image-6.1."),
            ["linux-image-6.1.0-56-cloud-amd64-unsigned", "linux-image-6.1.0-9-cloud-amd64-unsigned"]
        );
        assert!(newest_first("linux-image-6.1.0-56-amd64", "linux-image-6.1.").is_empty());
        let names = "linux-image-6.12.90+deb13.1-cloud-amd64-unsigned\n\
                     linux-image-6.12.100+deb13-cloud-amd64-unsigned\n\
                     linux-image-6.12.90+deb13-cloud-amd64-unsigned";
        assert_eq!(
            newest_first(names, "linux-image-6.12."),
            ["100+deb13", "90+deb13.1", "90+deb13"]
                .map(|build| format!("linux-image-6.12.{build}-cloud-amd64-unsigned"))
        );
    }
}
