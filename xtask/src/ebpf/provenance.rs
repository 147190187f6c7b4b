//! The record beside the committed object: what it was built from, and with what.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use sha2::{Digest, Sha256};
use toml::{Table, Value};

use crate::shell;
use crate::workspace::Workspace;

const HEADER: &str =
    "# Written by `cargo xtask ebpf`, checked by `cargo xtask ebpf --check`. Do not edit.\n\n";

/// The packages whose every file decides the object.
const PACKAGES: &[&str] = &["agent-common", "agent-ebpf"];

/// Where an object comes from.
#[derive(Debug, PartialEq)]
pub(crate) struct Provenance {
    /// SHA-256 of each object, by path.
    pub(crate) objects: BTreeMap<String, String>,
    /// Versions, by program.
    pub(crate) toolchain: BTreeMap<String, String>,
    /// SHA-256 of each source, by path or description.
    pub(crate) sources: BTreeMap<String, String>,
}

impl Provenance {
    pub(crate) fn to_toml(&self) -> String {
        let table = |entries: &BTreeMap<String, String>| {
            Value::Table(
                entries.iter().map(|(key, value)| (key.clone(), Value::from(value.as_str()))).collect(),
            )
        };
        let mut document = Table::new();
        document.insert("objects".to_owned(), table(&self.objects));
        document.insert("sources".to_owned(), table(&self.sources));
        document.insert("toolchain".to_owned(), table(&self.toolchain));
        format!("{HEADER}{document}")
    }

    pub(crate) fn from_toml(text: &str) -> Result<Self> {
        let document: Table = text.parse()?;
        let section = |name: &str| -> Result<BTreeMap<String, String>> {
            let table = document.get(name).and_then(Value::as_table);
            let table = table.with_context(|| format!("[{name}] is missing"))?;
            let entry = |(key, value): (&String, &Value)| {
                let value = value.as_str().with_context(|| format!("{name}.{key} is not a string"))?;
                Ok((key.clone(), value.to_owned()))
            };
            table.iter().map(entry).collect()
        };
        Ok(Self {
            objects: section("objects")?,
            toolchain: section("toolchain")?,
            sources: section("sources")?,
        })
    }
}

/// One line for each entry that was added, removed or changed.
pub(crate) fn differences(
    recorded: &BTreeMap<String, String>,
    present: &BTreeMap<String, String>,
) -> Vec<String> {
    let names: BTreeSet<_> = recorded.keys().chain(present.keys()).collect();
    let show = |value: Option<&String>| value.map_or("nothing", String::as_str).to_owned();
    names
        .into_iter()
        .filter(|name| recorded.get(*name) != present.get(*name))
        .map(|name| {
            format!("  {name}: recorded {}, now {}", show(recorded.get(name)), show(present.get(name)))
        })
        .collect()
}

pub(crate) fn sha256(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(64);
    for byte in Sha256::digest(bytes) {
        let _ = write!(text, "{byte:02x}");
    }
    text
}

/// The hash of everything in the repository that decides the object.
pub(crate) fn sources(workspace: &Workspace) -> Result<BTreeMap<String, String>> {
    let mut files = Vec::new();
    for package in PACKAGES {
        files.push(format!("{package}/Cargo.toml"));
        if workspace.path(&format!("{package}/build.rs")).is_file() {
            files.push(format!("{package}/build.rs"));
        }
        list(workspace.root(), &format!("{package}/src"), &mut files)?;
    }
    let mut sources = BTreeMap::new();
    for file in files {
        let path = workspace.path(&file);
        let content = fs::read(&path).with_context(|| format!("cannot read {}", path.display()))?;
        sources.insert(file, sha256(&content));
    }

    let manifests = PACKAGES.iter().map(|package| parse(workspace, &format!("{package}/Cargo.toml")));
    let manifests = manifests.collect::<Result<Vec<_>>>()?;
    let settings = settings(&parse(workspace, "Cargo.toml")?, &manifests);
    sources.insert("Cargo.toml: what decides the object".to_owned(), sha256(settings.to_string().as_bytes()));

    let locked = locked(&parse(workspace, "Cargo.lock")?, &resolved(workspace)?)?;
    sources.insert("Cargo.lock: what the object is built from".to_owned(), sha256(locked.as_bytes()));
    Ok(sources)
}

fn list(root: &Path, relative: &str, files: &mut Vec<String>) -> Result<()> {
    let dir = root.join(relative);
    for entry in fs::read_dir(&dir).with_context(|| format!("cannot read {}", dir.display()))? {
        let entry = entry?;
        let name = entry.file_name();
        let path = format!(
            "{relative}/{}",
            name.to_str().with_context(|| format!("not UTF-8: {}", name.display()))?
        );
        if entry.file_type()?.is_dir() {
            list(root, &path, files)?;
        } else {
            files.push(path);
        }
    }
    Ok(())
}

fn parse(workspace: &Workspace, file: &str) -> Result<Table> {
    let path = workspace.path(file);
    let text = fs::read_to_string(&path).with_context(|| format!("cannot read {}", path.display()))?;
    text.parse().with_context(|| format!("cannot parse {}", path.display()))
}

/// The part of the root manifest that decides the object: a new dependency of user space is no reason to rebuild.
fn settings(root: &Table, manifests: &[Table]) -> Table {
    let mut settings = Table::new();
    let mut keep = |path: &[&str]| {
        if let Some(value) = lookup(root, path) {
            settings.insert(path.join("."), value.clone());
        }
    };
    keep(&["workspace", "resolver"]);
    for key in ["version", "edition", "rust-version"] {
        keep(&["workspace", "package", key]);
    }
    keep(&["profile", "release"]);
    let used: BTreeSet<_> = manifests.iter().flat_map(dependencies).collect();
    for name in used {
        keep(&["workspace", "dependencies", &name]);
    }
    settings
}

fn lookup<'a>(table: &'a Table, path: &[&str]) -> Option<&'a Value> {
    let (first, rest) = path.split_first()?;
    let value = table.get(*first)?;
    if rest.is_empty() { Some(value) } else { lookup(value.as_table()?, rest) }
}

/// The names of a manifest's dependencies, less those of its tests.
fn dependencies(manifest: &Table) -> BTreeSet<String> {
    let of_targets = manifest.get("target").and_then(Value::as_table).into_iter().flat_map(Table::values);
    [manifest]
        .into_iter()
        .chain(of_targets.filter_map(Value::as_table))
        .flat_map(|table| ["dependencies", "build-dependencies"].map(|kind| table.get(kind)))
        .flatten()
        .filter_map(Value::as_table)
        .flat_map(|table| table.keys().cloned())
        .collect()
}

/// The packages the object is built from: name and version.
///
/// Asked of cargo rather than followed through the lock file, where a package also has the dependencies that only
/// user space turns on. What build scripts use is left out: user space shares it, none of it gets into the object,
/// and where the tool-chain is the recorded one the comparison of objects would tell.
fn resolved(workspace: &Workspace) -> Result<BTreeSet<(String, String)>> {
    let mut tree = workspace.cargo();
    tree.args(["tree", "--locked", "--package", "flowtally-ebpf", "--target", "bpfel-unknown-none"]);
    tree.args(["--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    shell::output(&mut tree)?
        .lines()
        .map(|line| {
            let mut words = line.split_whitespace();
            let (name, version) =
                words.next().zip(words.next()).context("cargo tree printed an empty line")?;
            let version = version.strip_prefix('v').with_context(|| format!("no version in `{line}`"))?;
            Ok((name.to_owned(), version.to_owned()))
        })
        .collect()
}

fn locked(lock: &Table, wanted: &BTreeSet<(String, String)>) -> Result<String> {
    let packages = lock.get("package").and_then(Value::as_array).context("Cargo.lock has no packages")?;
    let mut text = String::new();
    for (name, version) in wanted {
        let field = |package: &Value, key: &str| package.get(key).and_then(Value::as_str).map(str::to_owned);
        let package = packages
            .iter()
            .find(|package| {
                field(package, "name").as_ref() == Some(name)
                    && field(package, "version").as_ref() == Some(version)
            })
            .with_context(|| format!("Cargo.lock has no {name} {version}"))?;
        let [source, checksum] = ["source", "checksum"].map(|key| field(package, key).unwrap_or_default());
        let _ = writeln!(text, "{name} {version} {source} {checksum}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(entries: &[(&str, &str)]) -> BTreeMap<String, String> {
        entries.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn a_record_reads_back_as_it_was_written() {
        let record = Provenance {
            objects: BTreeMap::from([("a/b.o".to_owned(), "ab12".to_owned())]),
            toolchain: map(&[("rustc", "rustc 1.96.0 (ac68faa20 2026-05-25)")]),
            sources: map(&[("agent-ebpf/src/main.rs", "cd"), ("Cargo.lock: a \"quoted\" part", "ef")]),
        };
        assert_eq!(Provenance::from_toml(&record.to_toml()).unwrap(), record);
        assert!(Provenance::from_toml("[objects]\n").is_err());
    }

    #[test]
    fn differences_name_what_came_went_and_changed() {
        let lines = differences(
            &map(&[("a", "1"), ("b", "2"), ("c", "3")]),
            &map(&[("b", "4"), ("c", "3"), ("d", "5")]),
        );
        assert_eq!(
            lines,
            ["  a: recorded 1, now nothing", "  b: recorded 2, now 4", "  d: recorded nothing, now 5"]
        );
    }

    #[test]
    fn the_hash_is_the_one_sha256sum_prints() {
        assert_eq!(sha256(b"abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }

    #[test]
    fn only_what_the_kernel_programs_use_of_the_root_manifest_counts() {
        let kernel: Table =
            "[target.'cfg(target_arch = \"bpf\")'.dependencies]\naya-ebpf = { workspace = true }\n\
                             [dev-dependencies]\nproptest = { workspace = true }\n"
                .parse()
                .unwrap();
        let root = |tokio: &str, proptest: &str, aya: &str, lto: &str| -> String {
            let text = format!(
                "[workspace.dependencies]\ntokio = '{tokio}'\nproptest = '{proptest}'\naya-ebpf = '{aya}'\n\
                 [profile.release]\nlto = '{lto}'\n"
            );
            settings(&text.parse().unwrap(), std::slice::from_ref(&kernel)).to_string()
        };
        let before = root("1", "1", "1", "thin");
        assert_eq!(before, root("2", "2", "1", "thin"));
        assert_ne!(before, root("1", "1", "2", "thin"));
        assert_ne!(before, root("1", "1", "1", "fat"));
    }

    #[test]
    fn the_lock_file_counts_as_far_as_it_is_used() {
        let lock = |other: &str| -> Table {
            format!(
                "[[package]]\nname = 'a'\nversion = '1.0.0'\nchecksum = 'x'\n\
                 [[package]]\nname = 'b'\nversion = '{other}'\n"
            )
            .parse()
            .unwrap()
        };
        let wanted = BTreeSet::from([("a".to_owned(), "1.0.0".to_owned())]);
        assert_eq!(locked(&lock("1.0.0"), &wanted).unwrap(), locked(&lock("2.0.0"), &wanted).unwrap());
        let missing = BTreeSet::from([("b".to_owned(), "9.9.9".to_owned())]);
        assert_eq!(locked(&lock("1.0.0"), &missing).unwrap_err().to_string(), "Cargo.lock has no b 9.9.9");
    }
}
