//! The compilers that can build for the BPF target, and how they are run.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, anyhow, bail};

use crate::shell;
use crate::workspace::Workspace;

const TARGET: &str = "bpfel-unknown-none";
const PACKAGE: &str = "flowtally-ebpf";

/// Debian's LLVM of the same version as its rustc, which bpf-linker links to.
const LLVM: &str = "/usr/lib/llvm-22/bin";

const FLAGS: &[&str] = &[
    "-Ctarget-cpu=v3",
    // Headers lie where they lie in a packet: without it every field is read byte by byte.
    "-Ctarget-feature=+allows-misaligned-mem-access",
    "-Clink-arg=--btf",
    "-Cdebuginfo=2",
    // aya-ebpf asks for the machine that builds, for the register layout of programs that read registers. Ours
    // do not, and the object must not depend on it.
    "--cfg=bpf_target_arch=\"x86_64\"",
];

/// A Rust compiler with a `core` library for the BPF target, and the linker.
pub(crate) struct Toolchain {
    /// Where `bin/rustc`, `bin/cargo` and `lib/rustlib` are.
    sysroot: PathBuf,
    core: Core,
    linker: PathBuf,
    strip: Strip,
}

enum Core {
    /// Compiled already, as Debian has it.
    Installed,
    /// To be compiled from rust-src, which only a nightly cargo does.
    FromSource,
}

enum Strip {
    /// llvm-strip.
    Llvm(PathBuf),
    /// rust-objcopy, which every rustup tool-chain has.
    Rust(PathBuf),
}

impl Toolchain {
    pub(crate) fn find() -> Result<Self> {
        let (sysroot, core) = compiler()?;
        let linker = shell::find("bpf-linker").with_context(|| {
            format!(
                "bpf-linker is missing: install llvm-22-dev, then run `LLVM_PREFIX=/usr/lib/llvm-22 cargo install \
                 bpf-linker --version 0.13.0 --locked --no-default-features --features llvm-22` ({SETUP})"
            )
        })?;
        let strip = strip(&sysroot)?;
        Ok(Self { sysroot, core, linker, strip })
    }

    /// What decides the object beside its sources.
    pub(crate) fn versions(&self) -> Result<BTreeMap<String, String>> {
        let rustc = shell::output(Command::new(self.program("rustc")).arg("-Vv"))?;
        let field = |name: &str| {
            let value = rustc.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "));
            value.map(str::to_owned).with_context(|| format!("rustc -Vv does not say its {name}"))
        };
        let release = rustc.lines().next().unwrap_or_default().to_owned();
        Ok(BTreeMap::from([
            ("rustc".to_owned(), release),
            ("rustc-host".to_owned(), field("host")?),
            ("rustc-llvm".to_owned(), field("LLVM version")?),
            ("bpf-linker".to_owned(), shell::output(Command::new(&self.linker).arg("--version"))?),
            ("llvm".to_owned(), self.strip.version()?),
        ]))
    }

    /// Builds the objects of these programs, and returns where they are: stripped of debug information, with their BTF.
    pub(crate) fn build<const N: usize>(
        &self,
        workspace: &Workspace,
        programs: [&str; N],
    ) -> Result<[PathBuf; N]> {
        // The names of the directories to remap are known once the sources are there.
        shell::run(self.cargo(workspace).args(["fetch", "--locked"]))?;
        let target = workspace.target().join("ebpf");
        // Cargo does not see that the linker is another one than last time.
        let mut clean = self.cargo(workspace);
        clean.args(["clean", "--quiet", "--release", "--target", TARGET, "--package", PACKAGE]);
        shell::run(clean.arg("--target-dir").arg(&target))?;
        let mut build = self.cargo(workspace);
        build.arg("build");
        self.select(&mut build, workspace, &target)?;
        shell::run(&mut build)?;

        let dir = target.join(TARGET).join("release");
        let objects = programs.map(|program| dir.join(program).with_extension("bpf.o"));
        for (program, object) in programs.iter().zip(&objects) {
            shell::run(&mut self.strip.command(&dir.join(program), object))?;
        }
        Ok(objects)
    }

    /// Clippy with the same settings.
    ///
    /// Not `cargo clippy`: cargo looks for the subcommand in its own `bin` first, where rustup has put the clippy
    /// of the default tool-chain, which has no `core` for this target.
    pub(crate) fn clippy(&self, workspace: &Workspace) -> Result<Command> {
        let program = self.program("cargo-clippy");
        if !program.is_file() {
            let package = match self.core {
                Core::Installed => "install Debian's rust-web-clippy",
                Core::FromSource => "run `rustup component add clippy --toolchain nightly`",
            };
            bail!("{} is missing: {package} ({SETUP})", program.display());
        }
        let mut clippy = Command::new(program);
        clippy.arg("clippy").env("CARGO", self.program("cargo"));
        self.prepare(&mut clippy, workspace);
        self.select(&mut clippy, workspace, &workspace.target().join("ebpf"))?;
        clippy.args(["--", "--deny", "warnings"]);
        Ok(clippy)
    }

    fn program(&self, name: &str) -> PathBuf {
        self.sysroot.join("bin").join(name)
    }

    fn cargo(&self, workspace: &Workspace) -> Command {
        let mut cargo = Command::new(self.program("cargo"));
        self.prepare(&mut cargo, workspace);
        cargo
    }

    /// An environment that holds nothing of the cargo, or of the settings, that this program was started with.
    fn prepare(&self, command: &mut Command, workspace: &Workspace) {
        for (name, _) in std::env::vars_os() {
            if name.to_str().is_some_and(decides_builds) {
                command.env_remove(name);
            }
        }
        command.current_dir(workspace.root()).env("RUSTC", self.program("rustc"));
        // aya-ebpf needs an unstable feature, which a nightly compiler has without asking.
        if matches!(self.core, Core::Installed) {
            command.env("RUSTC_BOOTSTRAP", "1");
        }
    }

    fn select(&self, command: &mut Command, workspace: &Workspace, target: &Path) -> Result<()> {
        if matches!(self.core, Core::FromSource) {
            command.args(["-Z", "build-std=core"]);
        }
        command
            .args(["--locked", "--release", "--target", TARGET, "--package", PACKAGE, "--bins"])
            .arg("--target-dir")
            .arg(target)
            .env("CARGO_TARGET_BPFEL_UNKNOWN_NONE_LINKER", &self.linker)
            .env("CARGO_ENCODED_RUSTFLAGS", self.flags(workspace)?);
        Ok(())
    }

    /// Panic messages, log records and BTF hold paths of sources: remapped, the object is the same wherever the
    /// checkout, cargo's home and the compiler lie.
    fn flags(&self, workspace: &Workspace) -> Result<OsString> {
        let mut remapped = vec![(workspace.root().to_owned(), "/flowtally")];
        let registry =
            shell::cargo_home().context("neither CARGO_HOME nor HOME is set")?.join("registry/src");
        // One directory a registry, with a hash in its name that depends on the version of cargo.
        for entry in fs::read_dir(&registry).with_context(|| format!("cannot read {}", registry.display()))? {
            remapped.push((entry?.path(), "/cargo"));
        }
        remapped.sort();
        remapped.push((self.sysroot.join("lib/rustlib/src/rust"), "/rustc"));

        let mut flags = OsString::from(FLAGS.join("\x1f"));
        for (from, to) in remapped {
            flags.push("\x1f--remap-path-prefix=");
            flags.push(from);
            flags.push("=");
            flags.push(to);
        }
        Ok(flags)
    }
}

const SETUP: &str = "`cargo xtask setup` installs what is missing on Debian";

/// Debian's compiler first: the committed object is built with it, and it needs no nightly.
fn compiler() -> Result<(PathBuf, Core)> {
    let debian = PathBuf::from("/usr");
    if debian.join("lib/rustlib").join(TARGET).join("lib").is_dir() && debian.join("bin/cargo").is_file() {
        return Ok((debian, Core::Installed));
    }
    nightly().map(|sysroot| (sysroot, Core::FromSource)).map_err(|error| {
        anyhow!(
            "no Rust compiler that can build for {TARGET}. Install one of:\n\
             - on Debian: apt-get install --no-install-recommends rustc-web cargo-web libstd-rust-web-dev-bpf \
             rust-web-clippy llvm-22-dev ({SETUP})\n\
             - elsewhere: rustup toolchain install nightly --component rust-src,clippy ({error:#})"
        )
    })
}

fn nightly() -> Result<PathBuf> {
    let rustup = shell::find("rustup").context("rustup is missing")?;
    let mut query = Command::new(rustup);
    query.args(["run", "nightly", "rustc", "--print", "sysroot"]);
    let sysroot = PathBuf::from(shell::output(&mut query).context("rustup has no nightly tool-chain")?);
    if !sysroot.join("lib/rustlib/src/rust/library/core").is_dir() {
        bail!("the nightly tool-chain has no rust-src component");
    }
    Ok(sysroot)
}

fn strip(sysroot: &Path) -> Result<Strip> {
    let llvm = Path::new(LLVM).join("llvm-strip");
    if llvm.is_file() {
        return Ok(Strip::Llvm(llvm));
    }
    let host_tools = fs::read_dir(sysroot.join("lib/rustlib")).into_iter().flatten().flatten();
    host_tools
        .map(|target| target.path().join("bin/rust-objcopy"))
        .find(|tool| tool.is_file())
        .map(Strip::Rust)
        .or_else(|| shell::find("llvm-strip").map(Strip::Llvm))
        .with_context(|| format!("llvm-strip is missing: install llvm-22 ({SETUP})"))
}

impl Strip {
    fn version(&self) -> Result<String> {
        let (Self::Llvm(program) | Self::Rust(program)) = self;
        let text = shell::output(Command::new(program).arg("--version"))?;
        let version =
            text.lines().find_map(|line| line.split_once("LLVM version ")).map(|(_, version)| version);
        version.map(str::to_owned).with_context(|| format!("{} does not say its version", program.display()))
    }

    fn command(&self, from: &Path, to: &Path) -> Command {
        match self {
            Self::Llvm(program) => {
                let mut strip = Command::new(program);
                strip.arg("--strip-debug").arg("-o").arg(to).arg(from);
                strip
            }
            Self::Rust(program) => {
                let mut strip = Command::new(program);
                strip.arg("--strip-debug").arg(from).arg(to);
                strip
            }
        }
    }
}

/// Whether a variable would change what cargo and rustc do: set by rustup or by the cargo that runs us, or by a
/// developer for the host's builds.
fn decides_builds(name: &str) -> bool {
    let kept = ["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_TERM_", "CARGO_REGISTR", "RUSTUP_HOME"];
    let ours = ["CARGO", "RUST", "AYA_", "LD_LIBRARY_PATH"];
    ours.iter().any(|prefix| name.starts_with(prefix)) && !kept.iter().any(|prefix| name.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_of_the_caller_does_not_reach_the_object() {
        for name in
            ["CARGO", "CARGO_BUILD_RUSTFLAGS", "CARGO_PROFILE_RELEASE_LTO", "RUSTFLAGS", "RUSTUP_TOOLCHAIN"]
        {
            assert!(decides_builds(name), "{name}");
        }
        for name in ["CARGO_HOME", "CARGO_NET_OFFLINE", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL", "HOME", "PATH"]
        {
            assert!(!decides_builds(name), "{name}");
        }
    }
}
