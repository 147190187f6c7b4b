//! The machine's file system: an archive in memory, as `Documentation/driver-api/early-userspace/buffer-format.rst` of
//! the kernel describes it. Written here, because `cpio` archives what is in the file system, and making device nodes
//! there needs root.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::path::Path;

use anyhow::{Context, Result};

use super::libraries;

const DIRECTORY: u32 = 0o040_755;
const EXECUTABLE: u32 = 0o100_755;
const CHARACTER_DEVICE: u32 = 0o020_600;

/// Major and minor number of `/dev/console`, without which process 1 can't say a word.
const CONSOLE: (u32, u32) = (5, 1);

pub(super) struct Initramfs {
    /// By path without a leading slash; the order puts directories before what is in them.
    entries: BTreeMap<String, Entry>,
}

struct Entry {
    mode: u32,
    device: (u32, u32),
    content: Vec<u8>,
}

impl Initramfs {
    pub(super) fn new() -> Self {
        let mut files = Self { entries: BTreeMap::new() };
        files.insert("dev/console", Entry { mode: CHARACTER_DEVICE, device: CONSOLE, content: Vec::new() });
        files
    }

    /// Adds a file, which may be executed.
    pub(super) fn add(&mut self, path: &str, content: Vec<u8>) {
        self.insert(path, Entry { mode: EXECUTABLE, device: (0, 0), content });
    }

    /// Adds a file of this machine.
    pub(super) fn copy(&mut self, path: &str, from: &Path) -> Result<()> {
        let content = fs::read(from).with_context(|| format!("cannot read {}", from.display()))?;
        self.add(path, content);
        Ok(())
    }

    /// Adds a program of this machine and the libraries it is linked to, which stay where they are.
    pub(super) fn program(&mut self, path: &str, from: &Path) -> Result<()> {
        for library in libraries(from)? {
            let place = library.to_str().context("a library's path is not UTF-8")?.trim_start_matches('/');
            if !self.entries.contains_key(place) {
                self.copy(place, &library)?;
            }
        }
        self.copy(path, from)
    }

    fn insert(&mut self, path: &str, entry: Entry) {
        for (end, _) in path.match_indices('/') {
            self.entries.entry(path[..end].to_owned()).or_insert_with(|| Entry {
                mode: DIRECTORY,
                device: (0, 0),
                content: Vec::new(),
            });
        }
        self.entries.insert(path.to_owned(), entry);
    }

    /// The archive.
    pub(super) fn finish(self) -> Vec<u8> {
        let mut archive = Vec::new();
        for (number, (path, entry)) in (1..).zip(&self.entries) {
            append(&mut archive, number, path, entry);
        }
        let end = Entry { mode: 0, device: (0, 0), content: Vec::new() };
        append(&mut archive, 0, "TRAILER!!!", &end);
        archive
    }
}

fn append(archive: &mut Vec<u8>, number: usize, path: &str, entry: &Entry) {
    let (major, minor) = entry.device;
    let (mode, size, name) = (entry.mode, entry.content.len(), path.len() + 1);
    // Owner and group, links, time; size; device, the node's device; length of the name; checksum.
    let written = write!(
        archive,
        "070701{number:08x}{mode:08x}{0:08x}{0:08x}{1:08x}{0:08x}{size:08x}{0:08x}{0:08x}{major:08x}{minor:08x}\
         {name:08x}{0:08x}{path}\0",
        0, 1
    );
    written.expect("writing to memory");
    pad(archive);
    archive.extend_from_slice(&entry.content);
    pad(archive);
}

/// Headers and contents begin at multiples of four bytes.
fn pad(archive: &mut Vec<u8>) {
    archive.resize(archive.len().next_multiple_of(4), 0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_archive_has_every_directory_before_its_files() {
        let mut files = Initramfs::new();
        files.add("bin/a", b"content".to_vec());
        files.add("bin-b", Vec::new());
        let archive = files.finish();
        assert_eq!(archive.len() % 4, 0);
        let text = String::from_utf8(archive).unwrap();
        let names: Vec<_> =
            text.split("070701").skip(1).map(|entry| entry[104..].split('\0').next().unwrap()).collect();
        assert_eq!(names, ["bin", "bin-b", "bin/a", "dev", "dev/console", "TRAILER!!!"]);
        let console = text.split("070701").nth(5).unwrap();
        assert_eq!(&console[..16], "0000000500002180");
        assert_eq!(&console[72..104], "00000005000000010000000c00000000");
        assert!(text.contains("bin/a\0content\0"));
    }
}
