//! The kernel and the shell of the virtual machine: Debian's packages, unpacked and not installed, and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::{install, shell};

/// The kernel's package is named after its build, which changes with each security update.
const KERNEL_PREFIX: &str = "linux-image-6.1.0-";
/// For virtual machines, without drivers for hardware; and as it was built, without a signature for Secure Boot.
const KERNEL_SUFFIX: &str = "-cloud-amd64-unsigned";
const SHELL: &str = "busybox-static";

/// The kernel's modules that the tests need.
const MODULES: [&str; 4] =
    ["drivers/net/veth", "drivers/net/tun", "net/sched/sch_ingress", "net/sched/cls_bpf"];

/// What is taken from the packages.
pub(super) struct Files {
    pub(super) kernel: PathBuf,
    pub(super) modules: Vec<PathBuf>,
    pub(super) busybox: PathBuf,
}

/// Finds the files in `dir`, or gets them there.
pub(super) fn get(dir: &Path) -> Result<Files> {
    let unpacked = dir.join("debian");
    if !unpacked.is_dir() {
        // Under its name only when it is complete: an interrupted attempt is not to be found next time.
        let incomplete = dir.join("incomplete");
        if incomplete.exists() {
            fs::remove_dir_all(&incomplete)
                .with_context(|| format!("cannot remove {}", incomplete.display()))?;
        }
        download(&incomplete)?;
        fs::rename(&incomplete, &unpacked)
            .with_context(|| format!("cannot rename {}", incomplete.display()))?;
    }
    find(&unpacked)
        .with_context(|| format!("remove {} and try again: it is not what it should be", unpacked.display()))
}

fn find(unpacked: &Path) -> Result<Files> {
    let kernel = only(&unpacked.join("boot"), "vmlinuz-6.1.")?;
    let modules = only(&unpacked.join("lib/modules"), "6.1.")?.join("kernel");
    Ok(Files {
        kernel,
        modules: MODULES.iter().map(|name| modules.join(name).with_extension("ko")).collect(),
        busybox: unpacked.join("bin/busybox"),
    })
}

/// The entry of a directory whose name starts like this.
fn only(dir: &Path, prefix: &str) -> Result<PathBuf> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.file_name().to_string_lossy().starts_with(prefix) {
            return Ok(entry.path());
        }
    }
    bail!("no {prefix}... in {}", dir.display())
}

fn download(into: &Path) -> Result<()> {
    for program in ["apt-get", "apt-cache", "dpkg-deb"] {
        if shell::find(program).is_none() {
            bail!(
                "the virtual machine's kernel is a Debian package, and there is no {program} to get it with"
            );
        }
    }
    // Without root, what apt knew last may do.
    if shell::is_root() {
        install::update()?;
    }
    let names = shell::output(Command::new("apt-cache").args(["pkgnames", KERNEL_PREFIX]))?;
    let kernel = newest(&names).with_context(|| {
        format!(
            "apt knows no package {KERNEL_PREFIX}*{KERNEL_SUFFIX}: it is in Debian 12 (bookworm), \
             after `apt-get update`"
        )
    })?;
    println!("Downloading {kernel} and {SHELL} with apt, for a virtual machine: they are not installed");
    fs::create_dir_all(into).with_context(|| format!("cannot make {}", into.display()))?;
    shell::run(install::apt().current_dir(into).args(["download", kernel, SHELL]))?;
    for prefix in [kernel, SHELL] {
        let package = only(into, &format!("{prefix}_"))?;
        shell::run(Command::new("dpkg-deb").arg("--extract").arg(&package).arg(into))?;
        fs::remove_file(&package).with_context(|| format!("cannot remove {}", package.display()))?;
    }
    Ok(())
}

/// The kernel's package with the highest build number.
fn newest(names: &str) -> Option<&str> {
    let build = |name: &str| -> Option<u32> {
        name.strip_prefix(KERNEL_PREFIX)?.strip_suffix(KERNEL_SUFFIX)?.parse().ok()
    };
    names.lines().filter(|name| build(name).is_some()).max_by_key(|name| build(name))
}

#[cfg(test)]
mod tests {
    use super::newest;

    #[test]
    fn builds_are_compared_as_numbers() {
        let names = "linux-image-6.1.0-9-cloud-amd64-unsigned\nlinux-image-6.1.0-56-cloud-amd64-unsigned\n\
                     linux-image-6.1.0-57-cloud-amd64\nlinux-image-6.1.0-58-cloud-arm64-unsigned\n\
                     linux-image-6.1.0-60-cloud-amd64-dbg";
        assert_eq!(newest(names), Some("linux-image-6.1.0-56-cloud-amd64-unsigned"));
        assert_eq!(newest("linux-image-6.1.0-56-amd64"), None);
    }
}
