//! What the machine must have, and how it gets it: apt for packages, cargo for programs, rustup for components.
//!
//! What is there already is left alone, whatever its version; every installation is announced.

use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell;
use crate::workspace::Workspace;

/// A Debian package, why it is needed, and a program, or a file by its path, that stands for it on machines that are not
/// Debian.
struct Package {
    name: &'static str,
    why: &'static str,
    program: Option<&'static str>,
}

/// A program from crates.io.
struct Program {
    name: &'static str,
    version: &'static str,
    why: &'static str,
    options: &'static [&'static str],
    environment: &'static [(&'static str, &'static str)],
}

const TESTS: &[Package] = &[
    Package { name: "iproute2", why: "network namespaces, veth pairs, tc filters", program: Some("tc") },
    Package {
        name: "ethtool",
        why: "offloads on and off, the counters of a driver",
        program: Some("ethtool"),
    },
    Package { name: "zstd", why: "closed files of the log", program: Some("zstd") },
    Package { name: "tmux", why: "terminals for the screen", program: Some("tmux") },
    Package { name: "tcpdump", why: "libpcap's own filters, to compare ours with", program: Some("tcpdump") },
    Package { name: "iftop", why: "the original, beside which the screen is tested", program: Some("iftop") },
    Package {
        name: "lsof",
        why: "the original, beside which `flowtally lsof` is tested",
        program: Some("lsof"),
    },
    Package { name: "util-linux", why: "namespaces with processes of their own", program: Some("unshare") },
    Package {
        name: "libcap2-bin",
        why: "a program with capabilities of its own (setcap)",
        program: Some("setcap"),
    },
    Package { name: "netbase", why: "names of services", program: Some("/etc/services") },
    Package { name: "socat", why: "the other end of a tun device", program: Some("socat") },
    Package { name: "zstd", why: "compressed files of the log, as others make them", program: Some("zstd") },
    Package {
        name: "bindfs",
        why: "a file system that is slow or hangs, under the log",
        program: Some("bindfs"),
    },
    Package { name: "btrfs-progs", why: "a quota that is for root too", program: Some("btrfs") },
    Package { name: "strace", why: "when the log is put on the disk", program: Some("strace") },
    Package {
        name: "python3-venv",
        why: "the programs beside which the log is read",
        program: Some("/usr/share/doc/python3-venv"),
    },
    Package { name: "nftables", why: "addresses that are translated (NAT)", program: Some("nft") },
    Package {
        name: "prometheus",
        why: "the one that scrapes the agent's metrics, and promtool, which checks them",
        program: Some("promtool"),
    },
    Package {
        name: "systemd",
        why: "systemd-analyze, which checks and rates the service's unit",
        program: Some("systemd-analyze"),
    },
];

const VM: &[Package] = &[
    Package {
        name: "qemu-system-x86",
        why: "the virtual machines with other kernels",
        program: Some("qemu-system-x86_64"),
    },
    Package { name: "xz-utils", why: "unpacks the modules of newer kernels", program: Some("xz") },
];

const BPF_COMPILER: &[Package] = &[
    Package { name: "rustc-web", why: "the compiler of the eBPF object", program: None },
    Package { name: "cargo-web", why: "the cargo that goes with it", program: None },
    Package { name: "libstd-rust-web-dev-bpf", why: "the core library for the BPF target", program: None },
    Package { name: "rust-web-clippy", why: "clippy for the BPF target", program: None },
    Package { name: "llvm-22-dev", why: "bpf-linker links to LLVM; llvm-strip", program: None },
];

const BPF_LINKER: Program = Program {
    name: "bpf-linker",
    version: "0.13.0",
    why: "links the eBPF object",
    // The default features bring an LLVM built by others, and would not use the one from apt.
    options: &["--locked", "--no-default-features", "--features", "llvm-22"],
    environment: &[("LLVM_PREFIX", "/usr/lib/llvm-22")],
};

const CARGO_DENY: Program = Program {
    name: "cargo-deny",
    version: "0.20.2",
    why: "checks licences, bans and sources of dependencies",
    options: &["--locked"],
    environment: &[],
};

/// Services that come with packages, and must not run: tests start and stop the programs themselves.
const UNWANTED: &[(&str, &str)] = &[("prometheus", "prometheus.service")];

/// What `cargo xtask test` needs beyond a Rust tool-chain and a C linker.
pub(crate) fn for_tests() -> Result<()> {
    packages(TESTS.iter().chain(VM))
}

/// Programs from `PyPI` that read the log beside flowtally, with their versions.
const READERS: &[&str] = &["duckdb==2.0.1", "chdb==4.4.0"];

/// A Python that has the [`READERS`], in the target folder.
pub(crate) fn readers(workspace: &Workspace) -> Result<PathBuf> {
    let folder = workspace.target().join("readers");
    let python = folder.join("bin/python");
    if shell::succeeds(Command::new(&python).args(["-c", "import duckdb, chdb"])) {
        return Ok(python);
    }
    println!("Installing {} with pip: they read the log beside flowtally", READERS.join(" and "));
    shell::run(Command::new("python3").args(["-m", "venv"]).arg(&folder))?;
    shell::run(Command::new(&python).args(["-m", "pip", "install", "--quiet"]).args(READERS))?;
    Ok(python)
}

/// What `cargo xtask ci` needs, the tests included.
pub(crate) fn for_ci() -> Result<()> {
    packages(BPF_COMPILER.iter().chain(TESTS).chain(VM))?;
    program(&BPF_LINKER)?;
    program(&CARGO_DENY)?;
    components()
}

fn packages<'a>(wanted: impl IntoIterator<Item = &'a Package>) -> Result<()> {
    let missing: Vec<_> = wanted.into_iter().filter(|package| !package.is_present()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<_> = missing.iter().map(|package| package.name).collect();
    if shell::find("apt-get").is_none() {
        bail!("missing, and there is no apt-get to install them with: {}", names.join(", "));
    }
    if !shell::is_root() {
        bail!("missing: run as root `apt-get install --no-install-recommends {}`", names.join(" "));
    }
    for package in &missing {
        println!("Installing {} with apt: {}", package.name, package.why);
    }
    for (_, service) in UNWANTED.iter().filter(|(package, _)| names.contains(package)) {
        mask(service)?;
    }
    update()?;
    shell::run(apt().args(["install", "--yes", "--no-install-recommends"]).args(names))
}

/// Keeps systemd from ever starting a service (systemctl(1), `mask`), also before the package is there.
fn mask(service: &str) -> Result<()> {
    let folder = Path::new("/etc/systemd/system");
    let link = folder.join(service);
    if folder.is_dir() && link.symlink_metadata().is_err() {
        println!("Masking {service}: nothing but the tests is to start it");
        symlink("/dev/null", &link).with_context(|| format!("cannot make {}", link.display()))?;
    }
    Ok(())
}

/// Lets apt know what packages there are now.
pub(crate) fn update() -> Result<()> {
    shell::run(apt().arg("update"))
}

pub(crate) fn apt() -> Command {
    let mut apt = Command::new("apt-get");
    apt.arg("--quiet").env("DEBIAN_FRONTEND", "noninteractive");
    apt
}

impl Package {
    fn is_present(&self) -> bool {
        if self.program.is_some_and(|program| shell::find(program).is_some()) {
            return true;
        }
        let mut query = Command::new("dpkg-query");
        query.args(["--show", "--showformat", "${db:Status-Status}", self.name]);
        // It fails for a package it never heard of, and "config-files" is a package that was removed.
        shell::output(&mut query).is_ok_and(|status| status == "installed")
    }
}

fn program(wanted: &Program) -> Result<()> {
    let Program { name, version, why, options, environment } = wanted;
    if let Some(path) = shell::find(name) {
        let present = shell::output(Command::new(&path).arg("--version"))
            .with_context(|| format!("{} does not start: remove it and try again", path.display()))?;
        if !present.split_whitespace().any(|word| word == *version) {
            println!("Using {present} as it is installed; CI uses {version}");
        }
        return Ok(());
    }
    println!("Installing {name} {version} with cargo: {why}");
    let mut install = Command::new("cargo");
    install.args(["install", name, "--version", version]).args(*options);
    install.envs(environment.iter().copied());
    shell::run(&mut install)
}

fn components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if shell::succeeds(Command::new("cargo").args([subcommand, "--version"])) {
            continue;
        }
        if shell::find("rustup").is_none() {
            bail!("`cargo {subcommand}` is missing, and there is no rustup to install {component} with");
        }
        println!("Installing {component} with rustup");
        shell::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}
