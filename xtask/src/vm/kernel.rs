//! A kernel, as its package unpacks: the image, and the modules that the tests need.

use std::collections::{HashMap, HashSet};
use std::ffi::OsStr;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

/// Modules that the tests need. What these depend on, they say themselves.
const MODULES: [&str; 9] =
    ["veth", "tun", "vrf", "8021q", "bonding", "sch_ingress", "cls_bpf", "tcp_diag", "udp_diag"];

/// Major and minor number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Version(pub(super) u32, pub(super) u32);

/// A kernel that is unpacked.
pub(super) struct Kernel {
    /// As `uname -r` says it.
    pub(super) release: String,
    pub(super) image: PathBuf,
    modules: PathBuf,
}

impl Kernel {
    /// Finds it in a directory that packages were extracted to (`dpkg-deb --extract`).
    pub(super) fn in_dir(dir: &Path) -> Result<Self> {
        let find = || {
            const IMAGE: &str = "vmlinuz-";
            let image = only(&dir.join("boot"), IMAGE)?;
            let name = image.file_name().unwrap_or_default().to_string_lossy();
            let release = name.strip_prefix(IMAGE).unwrap_or_default().to_owned();
            let places = ["lib/modules", "usr/lib/modules"].map(|place| dir.join(place).join(&release));
            let modules = places.into_iter().find(|place| place.is_dir());
            let modules = modules.with_context(|| format!("no modules of {release}"))?;
            Ok(Self { release, image, modules })
        };
        let found: Result<Self> = find();
        found.with_context(|| {
            format!("{} is not what kernel packages extract to (boot/vmlinuz-*, lib/modules)", dir.display())
        })
    }

    pub(super) fn version(&self) -> Result<Version> {
        self.release.parse().with_context(|| format!("no version: {}", self.release))
    }

    /// The modules that are not built in: a name and the content of each, in the order in which they are loaded.
    pub(super) fn modules(&self) -> Result<Vec<(String, Vec<u8>)>> {
        let builtin = fs::read_to_string(self.modules.join("modules.builtin")).unwrap_or_default();
        let mut files = HashMap::new();
        find_modules(&self.modules.join("kernel"), &mut files)?;
        let mut order =
            LoadOrder { files, builtin: builtin.lines().map(module_name).collect(), modules: Vec::new() };
        for name in MODULES {
            order.add(name)?;
        }
        let numbered = |(at, (name, content))| (format!("{at:02}-{name}.ko"), content);
        Ok(order.modules.into_iter().enumerate().map(numbered).collect())
    }
}

/// Modules, each behind those that it depends on.
struct LoadOrder {
    /// Where they are, by name.
    files: HashMap<String, PathBuf>,
    /// Those that are part of the image.
    builtin: HashSet<String>,
    modules: Vec<(String, Vec<u8>)>,
}

impl LoadOrder {
    fn add(&mut self, name: &str) -> Result<()> {
        if self.builtin.contains(name) || self.modules.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        let content = content(self.files.get(name).with_context(|| format!("no module {name}.ko"))?)?;
        for needed in dependencies(&content) {
            self.add(&needed).with_context(|| format!("which the module {name} depends on"))?;
        }
        self.modules.push((name.to_owned(), content));
        Ok(())
    }
}

/// Finds every module below a directory.
fn find_modules(dir: &Path, found: &mut HashMap<String, PathBuf>) -> Result<()> {
    let entries = fs::read_dir(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    for entry in entries {
        let path = entry?.path();
        if path.is_dir() {
            find_modules(&path, found)?;
        } else if let Some(path) = path.to_str().filter(|path| path.contains(".ko")) {
            found.insert(module_name(path), path.into());
        }
    }
    Ok(())
}

/// A module's name from its file's; the kernel takes dashes for underscores.
fn module_name(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    file.split(".ko").next().unwrap_or_default().replace('-', "_")
}

/// The names of the modules that a module says it depends on (the field `depends` of its section `.modinfo`).
fn dependencies(module: &[u8]) -> Vec<String> {
    const FIELD: &[u8] = b"depends=";
    let field = module.split(|byte| *byte == 0).find_map(|text| text.strip_prefix(FIELD));
    let names = String::from_utf8_lossy(field.unwrap_or_default()).replace('-', "_");
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// The content of a module, which may be compressed: the machine's shell has nothing to unpack it with.
fn content(path: &Path) -> Result<Vec<u8>> {
    let program = match path.extension().and_then(OsStr::to_str) {
        Some("xz") => "xz",
        Some("zst") => "zstd",
        _ => return fs::read(path).with_context(|| format!("cannot read {}", path.display())),
    };
    let output = Command::new(program)
        .args(["--decompress", "--stdout"])
        .arg(path)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("cannot start {program}, which unpacks {}", path.display()))?;
    if !output.status.success() {
        bail!("{program} cannot unpack {} ({})", path.display(), output.status);
    }
    Ok(output.stdout)
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
    bail!("no {prefix}* in {}", dir.display())
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.0, self.1)
    }
}

impl std::str::FromStr for Version {
    type Err = anyhow::Error;

    /// Of a release such as `6.1.0-57-cloud-amd64`, or the two numbers alone.
    fn from_str(text: &str) -> Result<Self> {
        let mut numbers = text.split(|c: char| !c.is_ascii_digit()).map(str::parse);
        match (numbers.next(), numbers.next()) {
            (Some(Ok(major)), Some(Ok(minor))) => Ok(Self(major, minor)),
            _ => bail!("'{text}' is no version such as 6.1"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read_and_compared() {
        let version = |text: &str| text.parse::<Version>().unwrap();
        assert_eq!(version("6.12.117+deb12-cloud-amd64"), Version(6, 12));
        assert_eq!(version("5.10"), Version(5, 10));
        assert!(version("5.9") < version("5.10"));
        assert!(version("6.12") > version("6.6"));
        assert!("linux".parse::<Version>().is_err());
        assert!("6".parse::<Version>().is_err());
    }

    #[test]
    fn a_kernel_is_found_in_what_its_package_extracts_to() {
        let dir = tempfile::tempdir().unwrap();
        let place = |path: &str| dir.path().join(path);
        assert!(Kernel::in_dir(dir.path()).is_err());
        let modules = place("usr/lib/modules/6.1.0-1-x/kernel");
        fs::create_dir_all(modules.join("net")).unwrap();
        for name in MODULES.into_iter().chain(["inet_diag", "garp", "mrp"]) {
            let depends = match name {
                "8021q" => "mrp,garp",
                "tcp_diag" | "udp_diag" => "inet-diag",
                _ => "",
            };
            let content = format!("\u{7f}ELF\0license=GPL\0depends={depends}\0name={name}\0");
            let place =
                if name == "veth" { modules.join("veth.ko") } else { modules.join(format!("net/{name}.ko")) };
            fs::write(place, content).unwrap();
        }
        fs::create_dir_all(place("boot")).unwrap();
        fs::write(place("boot/vmlinuz-6.1.0-1-x"), "").unwrap();
        let kernel = Kernel::in_dir(dir.path()).unwrap();
        assert_eq!((kernel.release.as_str(), kernel.version().unwrap()), ("6.1.0-1-x", Version(6, 1)));
        let found = kernel.modules().unwrap();
        let names: Vec<_> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(
            names,
            [
                "00-veth.ko",
                "01-tun.ko",
                "02-vrf.ko",
                "03-mrp.ko",
                "04-garp.ko",
                "05-8021q.ko",
                "06-bonding.ko",
                "07-sch_ingress.ko",
                "08-cls_bpf.ko",
                "09-inet_diag.ko",
                "10-tcp_diag.ko",
                "11-udp_diag.ko"
            ]
        );
        assert!(found[0].1.ends_with(b"name=veth\0"), "{:?}", found[0].1);
        // One that is built in has no file.
        fs::remove_file(modules.join("net/garp.ko")).unwrap();
        let error = format!("{:#}", kernel.modules().unwrap_err());
        assert!(error.contains("8021q") && error.contains("garp.ko"), "{error}");
        fs::write(place("usr/lib/modules/6.1.0-1-x/modules.builtin"), "kernel/net/802/garp.ko\n").unwrap();
        assert_eq!(kernel.modules().unwrap().len(), names.len() - 1);
    }
}
