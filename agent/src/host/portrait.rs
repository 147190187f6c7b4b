//! One process: what it is called, what it runs, whose it is, since when, who started it, and what it has open in short.

use std::{cmp::Reverse, collections::BTreeMap};

use rustix::{
    fs::{FileType, fstat},
    io::Result,
};

use super::{
    held,
    painter::Painter,
    proc::{ProcessDir, Tables, Views},
};
use crate::{
    format::Name,
    model::{
        held::{Access, DELETED},
        portrait::{OpenFiles, OpenLog, Parent, Portrait},
    },
};

impl Painter {
    /// The process with its command line, its parents and its open files.
    ///
    /// # Errors
    /// When it is gone.
    pub fn portray(&mut self, process: &ProcessDir) -> Result<Portrait> {
        let views = process.views(&mut Tables::new());
        Ok(Portrait {
            owner: self.paint(process)?,
            arguments: arguments(views.whole()),
            parents: parents(process),
            files: files(process, &views).ok(),
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
    words.filter(|_| end > 0).map(Name::from).collect()
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
        parents.push(Parent { pid: child.parent, command: stat.command.clone().into() });
        child = stat;
    }
    parents
}

/// What it has open, in short.
fn files(process: &ProcessDir, views: &Views<'_>) -> Result<OpenFiles> {
    let mut counts: BTreeMap<&'static str, usize> = BTreeMap::new();
    let mut files = OpenFiles::default();
    for table in views.tables() {
        let mut open = Vec::new();
        table.descriptors(|number, link| open.push((number, link.to_vec())))?;
        for (number, link) in open {
            let (kind, size) = kind(table, number, &link);
            *counts.entry(kind).or_default() += 1;
            // A thread that made itself a table of its own has copies of what was open before.
            let is_new = || table.by_thread().is_none() || files.logs.iter().all(|log| log.path != link);
            let is_log =
                kind == REGULAR && is_log(&link) && held::access(table, number) == Access::Write && is_new();
            if let Some(size) = size.filter(|_| is_log) {
                files.logs.push(OpenLog { fd: number, path: link, size });
            }
        }
    }
    files.counts = counts.into_iter().collect();
    files.counts.sort_by_key(|(_, count)| Reverse(*count));
    files.held = held::of(process)?;
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
    use crate::host::netns::Namespaces;

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
            files.held.sightings.iter().any(|seen| seen.path == gone.as_os_str().as_encoded_bytes()),
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
