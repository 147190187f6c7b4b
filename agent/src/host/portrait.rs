//! One process: what it is called, what it runs, whose it is, since when, who started it, and what it has open in short.

use std::{cmp::Reverse, collections::BTreeMap};

use rustix::{
    fs::{FileType, fstat},
    io::{Errno, Result},
};

use super::{held, netns::Namespaces, owners::processes::Processes, proc::ProcessDir};
use crate::{
    files::{Access, DELETED, Deleted, Storage},
    flow::owner::Owner,
    inspect::{DeletedFile, Files, LogFile, Parent, Portrait},
};

/// Draws processes; of one that was drawn before, it knows what does not change.
#[derive(Debug)]
pub struct Painter {
    processes: Processes,
    namespaces: Namespaces,
}

impl Painter {
    /// With the names of network namespaces.
    #[must_use]
    pub fn new(namespaces: Namespaces) -> Self {
        Self { processes: Processes::new(), namespaces }
    }

    /// The process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn paint(&mut self, process: &ProcessDir) -> Result<Owner> {
        let start = process.stat()?.start;
        self.processes.begin();
        let owner = self.processes.living(process.pid(), u64::MAX, &self.namespaces);
        // The directory is the process; its number may be another one's by now.
        owner.filter(|owner| owner.id.start == Some(start)).ok_or(Errno::SRCH)
    }

    /// The process with its command line, its parents and its open files.
    ///
    /// # Errors
    /// When it is gone.
    pub fn portray(&mut self, process: &ProcessDir) -> Result<Portrait> {
        Ok(Portrait {
            owner: self.paint(process)?,
            arguments: arguments(process),
            parents: parents(process),
            files: files(process).ok(),
        })
    }
}

/// Its command line. A process that writes its own title there (nginx, postgres) leaves one word, and zeros behind it.
fn arguments(process: &ProcessDir) -> Vec<Name> {
    let mut line = Vec::new();
    if process.read("cmdline", &mut line).is_err() {
        return Vec::new();
    }
    let end = line.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    let words = line.get(..end).unwrap_or_default().split(|byte| *byte == 0);
    words.filter(|_| end > 0).map(|word| String::from_utf8_lossy(word).into_owned()).collect()
}

/// Its parent, that one's parent, and so on. One that began after its child is not the parent, but has its PID.
fn parents(process: &ProcessDir) -> Vec<Parent> {
    /// More than any shell in a shell in a container; a loop, which PIDs that are used again could make, ends here.
    const MOST: usize = 32;
    let mut parents = Vec::new();
    let Ok(mut child) = process.stat() else { return parents };
    while child.parent != 0 && parents.len() < MOST {
        let stat = ProcessDir::open(child.parent).and_then(|process| process.stat());
        let Ok(stat) = stat else { break };
        if stat.start > child.start {
            break;
        }
        let command = String::from_utf8_lossy(&stat.command).into_owned();
        parents.push(Parent { pid: child.parent, command });
        child = stat;
    }
    parents
}

/// What it has open, in short.
fn files(process: &ProcessDir) -> Result<Files> {
    let mut open = Vec::new();
    process.descriptors(|number, link| open.push((number, link.to_vec())))?;
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut files = Files::default();
    for (number, link) in open {
        let (kind, size) = kind(process, number, &link);
        *counts.entry(kind).or_default() += 1;
        let is_log = kind == REGULAR && is_log(&link) && held::access(process, number) == Access::Write;
        if let Some(size) = size.filter(|_| is_log) {
            files.logs.push(LogFile { fd: number, path: link, size });
        }
    }
    files.counts = counts.into_iter().collect();
    files.counts.sort_by_key(|(_, count)| Reverse(*count));
    let deleted = Deleted::new(held::of(process)?);
    files.deleted = deleted
        .files
        .iter()
        .filter_map(|file| {
            // What is open is the shortest way to it, and the last.
            let hold = file.holders.first()?.holds.last()?;
            Some(DeletedFile {
                fd: hold.how.to_string(),
                path: file.path.clone(),
                in_memory: file.storage == Storage::Memory,
                held: file.sizes.map(|(_, held)| held),
            })
        })
        .collect();
    files.deleted.sort_by_key(|file| Reverse(file.held));
    Ok(files)
}

const REGULAR: &str = "file";

/// What a descriptor is of, and the length of a regular file.
fn kind(process: &ProcessDir, number: u32, link: &[u8]) -> (&'static str, Option<u64>) {
    match link {
        [b's', b'o', b'c', b'k', b'e', b't', b':', ..] => ("socket", None),
        [b'p', b'i', b'p', b'e', b':', ..] => ("pipe", None),
        b"anon_inode:[eventpoll]" => ("epoll", None),
        b"anon_inode:[eventfd]" => ("eventfd", None),
        [b'/', ..] => {
            let Ok(stat) = held::hold(process, &format!("fd/{number}")).and_then(fstat) else {
                return ("other", None);
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::RegularFile => (REGULAR, u64::try_from(stat.st_size).ok()),
                FileType::Directory => ("folder", None),
                FileType::CharacterDevice | FileType::BlockDevice => ("device", None),
                FileType::Fifo => ("pipe", None),
                _ => ("other", None),
            }
        }
        _ => ("other", None),
    }
}

/// Whether a file that has a name is a log, by that: below /var/log, `x.log`, or `x.log.1`.
fn is_log(path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let named = name.ends_with(b".log") || name.windows(5).any(|part| part == b".log.");
    !path.ends_with(DELETED) && (named || path.starts_with(b"/var/log/"))
}

#[cfg(test)]
mod tests {
    use std::{
        fs::{self, File},
        time::Duration,
    };

    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_portrait_of_this_process() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("service.log");
        let log = File::create(&path).unwrap();
        let read_only = File::open(&path).unwrap();
        let gone = folder.path().join("gone");
        let deleted = File::create(&gone).unwrap();
        fs::remove_file(&gone).unwrap();
        let process = ProcessDir::open(std::process::id()).unwrap();
        let portrait = Painter::new(Namespaces::default()).portray(&process).unwrap();
        assert_eq!(portrait.owner.id.pid, std::process::id());
        assert_eq!(portrait.arguments, std::env::args().map(Name::from).collect::<Vec<_>>());
        assert_eq!(portrait.parents.first().unwrap().pid, std::os::unix::process::parent_id());
        let age = portrait.owner.start_time.unwrap().elapsed();
        assert!(age.is_ok_and(|age| age < Duration::from_hours(24)));
        let files = portrait.files.unwrap();
        let logs = files.logs.iter().filter(|log| log.path == path.as_os_str().as_encoded_bytes());
        assert_eq!(logs.count(), 1, "{files:?}");
        assert!(
            files.deleted.iter().any(|file| file.path == gone.as_os_str().as_encoded_bytes()),
            "{files:?}"
        );
        assert!(files.counts.iter().any(|(kind, count)| *kind == REGULAR && *count >= 3), "{files:?}");
        drop((log, read_only, deleted));
    }

    #[test]
    fn logs_are_known_by_their_names() {
        for (path, log) in [
            ("/srv/app/error.log", true),
            ("/srv/app/error.log.1", true),
            ("/var/log/syslog", true),
            ("/srv/catalog", false),
            ("/srv/app.logs/x", false),
            ("/srv/app/error.log (deleted)", false),
        ] {
            assert_eq!(is_log(path.as_bytes()), log, "{path}");
        }
    }
}
