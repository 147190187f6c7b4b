//! /etc/hosts, read again when it has changed.

use std::{
    collections::HashMap,
    fs,
    net::IpAddr,
    path::PathBuf,
    time::{Duration, Instant, SystemTime},
};

use crate::{etc, format::Name};

/// How often the file is looked at.
const INTERVAL: Duration = Duration::from_secs(5);

/// The file, and what it said.
pub(super) struct HostsFile {
    path: PathBuf,
    names: HashMap<IpAddr, Name>,
    modified: Option<SystemTime>,
    looked: Option<Instant>,
}

impl HostsFile {
    /// The system's own.
    pub(super) fn system() -> Self {
        Self::at(PathBuf::from("/etc/hosts"))
    }

    /// Any file of that form.
    pub(super) fn at(path: PathBuf) -> Self {
        Self { path, names: HashMap::new(), modified: None, looked: None }
    }

    /// Reads the file if that has not been done, or if it is another than before; whether it was read.
    pub(super) fn refresh(&mut self, now: Instant) -> bool {
        if self.looked.is_some_and(|looked| now.saturating_duration_since(looked) < INTERVAL) {
            return false;
        }
        let first = self.looked.is_none();
        self.looked = Some(now);
        let modified = fs::metadata(&self.path).and_then(|metadata| metadata.modified()).ok();
        if modified == self.modified && !first {
            return false;
        }
        self.modified = modified;
        // Without the file there are no names in it.
        let text = fs::read(&self.path).unwrap_or_default();
        self.names = names(&text);
        true
    }

    /// The name of an address.
    pub(super) fn name(&self, address: IpAddr) -> Option<&Name> {
        self.names.get(&address)
    }
}

/// As libc reads the file: the first line of an address counts, and of it the first name.
fn names(text: &[u8]) -> HashMap<IpAddr, Name> {
    let mut names = HashMap::new();
    for host in etc::hosts(text) {
        if let Some(name) = host.names.first() {
            names.entry(host.address).or_insert_with(|| (*name).into());
        }
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_line_and_the_first_name_count() {
        let names =
            names(b"127.0.0.1 localhost\n127.0.0.1 runner\n10.0.0.1 me.example.com me\n::1 localhost loop\n");
        let name = |address: &str| names.get(&address.parse().unwrap()).map(ToString::to_string);
        assert_eq!(name("127.0.0.1").as_deref(), Some("localhost"));
        assert_eq!(name("10.0.0.1").as_deref(), Some("me.example.com"));
        assert_eq!(name("::1").as_deref(), Some("localhost"));
        assert_eq!(name("10.0.0.2"), None);
    }

    #[test]
    fn a_changed_file_is_read_again_and_a_missing_one_is_empty() {
        let path = std::env::temp_dir().join(format!("flowtally-hosts-{}", std::process::id()));
        let address: IpAddr = "10.0.0.1".parse().unwrap();
        let start = Instant::now();
        let mut file = HostsFile::at(path.clone());
        assert!(file.refresh(start));
        assert_eq!(file.name(address), None);
        fs::write(&path, "10.0.0.1 one\n").unwrap();
        assert!(!file.refresh(start + INTERVAL / 2), "too early to look");
        assert!(file.refresh(start + INTERVAL));
        assert_eq!(file.name(address), Some(&Name::from("one")));
        assert!(!file.refresh(start + INTERVAL * 2), "it is the same");
        fs::remove_file(&path).unwrap();
        assert!(file.refresh(start + INTERVAL * 3));
        assert_eq!(file.name(address), None);
    }
}
