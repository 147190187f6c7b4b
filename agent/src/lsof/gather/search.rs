//! The names that are searched for, as devices and inodes: what a file is called where it is open does not matter.

use std::{
    ffi::OsStr,
    os::unix::ffi::{OsStrExt as _, OsStringExt as _},
    path::Path,
    time::Duration,
};

use hashbrown::HashMap;
use rustix::{fs::CWD, io::Errno};

use super::{
    avoided::{self, AssumedMount, NO_DEVICE, avoiding, examines_none},
    directory,
    mounts::Mounts,
    patience::patiently,
    read::text,
    stat::{self, FileStat},
    supplement::Supplement,
};
use crate::{
    host::opened::IdSet,
    lsof::{
        arguments::{Exempt, LsofOptions, NameKind},
        model::device,
        print::escape::{self, Charset},
        select::SelectionClasses,
    },
};

/// Why a name cannot be searched for.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum SearchError {
    /// A file that cannot be examined; the rest is searched for.
    #[error("status error on {name}: {why}")]
    Status {
        /// As given.
        name: String,
        /// The system's word for it.
        why: String,
    },
    /// Nothing: what is said on the way.
    #[error("{0}")]
    Note(String),
    /// Not what `-e` or `+e` says it is.
    #[error("\"-e {0}\" is not a mounted file system.")]
    NotMounted(String),
    /// Not what `+f` says it is.
    #[error("not a file system: {0}")]
    NotFileSystem(String),
    /// `+d` of something else.
    #[error("WARNING: not a directory: {0}")]
    NotDirectory(String),
    /// A directory whose server does not answer; what was found before is searched for.
    #[error("WARNING: can't opendir({0}): Connection timed out")]
    Hung(String),
    /// `+d` of what cannot be examined.
    #[error("WARNING: can't stat({name}): {why}")]
    Directory {
        /// As given.
        name: String,
        /// The system's word for it.
        why: String,
    },
}

impl SearchError {
    /// Whether it is about a name that was given by itself.
    #[must_use]
    pub const fn is_name(&self) -> bool {
        matches!(self, Self::Status { .. } | Self::NotFileSystem(_))
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_note(&self) -> bool {
        matches!(self, Self::Note(_))
    }

    /// Whether it is not said without warnings (`-w`).
    #[must_use]
    pub const fn is_warning(&self) -> bool {
        matches!(self, Self::NotDirectory(_) | Self::Directory { .. })
    }

    /// Whether the short usage follows.
    #[must_use]
    pub const fn is_usage(&self) -> bool {
        matches!(self, Self::NotDirectory(_) | Self::Directory { .. } | Self::NotMounted(_))
    }
}

/// What is searched for.
#[derive(Debug, Default)]
pub struct Search {
    /// What each item is called where it is missed, and whether it is a file system.
    items: Vec<(Vec<u8>, bool)>,
    /// What is shown of an item where it is met, where that is not what it is called: there may be very many items.
    shown: HashMap<usize, Vec<u8>>,
    files: HashMap<(u64, u64), usize>,
    file_systems: Vec<(u64, usize)>,
    sockets: HashMap<Vec<u8>, usize>,
    /// The files of UNIX sockets, by device and the lower half of the inode's number, which is all that the kernel tells of it.
    socket_files: HashMap<(u64, u32), usize>,
    /// What `-b` leaves to be known of the mounts, once that was asked for.
    assumed: Option<Vec<AssumedMount>>,
}

impl Search {
    /// Resolves the names of a command line. What is wrong with them, and what `-b` keeps from being known, is in the order in which it
    /// is met.
    #[must_use]
    pub fn new(options: &LsofOptions, charset: Charset) -> (Self, Vec<SearchError>) {
        let mut search = Self::default();
        let mut errors = Vec::new();
        let mounts = Mounts::default();
        let mut exempt = options.exempt.iter().peekable();
        for (at, directory) in options.directories.iter().enumerate() {
            while let Some(exempt) = exempt.next_if(|exempt| exempt.after <= at) {
                note_exempt(exempt, options, charset, &mut errors);
            }
            if directory.avoid_blocking && options.warnings {
                errors.push(SearchError::Note(avoiding("readlink", &directory.path, charset)));
                errors.push(SearchError::Note(avoiding("stat", trimmed(&directory.path), charset)));
            }
            if let Err(error) = search.directory(directory, options, &mounts, charset) {
                errors.push(error);
            }
        }
        exempt.for_each(|exempt| note_exempt(exempt, options, charset, &mut errors));
        if !options.exempt.is_empty() {
            let known = search.assume(options, &mounts, charset, &mut errors);
            // Where no mount is known none is said to be missing.
            let missing =
                options.exempt.iter().rev().filter(|exempt| {
                    !known.is_empty() && known.iter().all(|(mount, _)| *mount != exempt.path)
                });
            let missing: Vec<_> = missing.map(|exempt| escape::text(&exempt.path, charset)).collect();
            errors.extend(missing.into_iter().map(SearchError::NotMounted));
        }
        if errors.iter().any(SearchError::is_usage) {
            return (search, errors);
        }
        for name in &options.names {
            if let Err(error) = search.name(name, options, &mounts, charset, &mut errors) {
                errors.push(error);
            }
        }
        if examines_none(options) && SelectionClasses::requested(options).needs_mounts() {
            search.assume(options, &mounts, charset, &mut errors);
        }
        (search, errors)
    }

    /// The mounts as far as they are known. They are gone through once.
    fn assume(
        &mut self,
        options: &LsofOptions,
        mounts: &Mounts,
        charset: Charset,
        notes: &mut Vec<SearchError>,
    ) -> &[AssumedMount] {
        self.assumed.get_or_insert_with(|| {
            let mut said = Vec::new();
            let known = avoided::mounts(options, mounts, charset, &mut said);
            notes.extend(said.into_iter().map(SearchError::Note));
            known
        })
    }

    /// What each item is called where it is missed, and whether it is a file system.
    #[must_use]
    pub fn items(&self) -> &[(Vec<u8>, bool)] {
        &self.items
    }

    /// The item that a file is, by its device and inode.
    pub(super) fn file(&self, device: u64, inode: u64) -> Option<usize> {
        self.files.get(&(device, inode)).copied()
    }

    /// The file system that a device is: of several names the last.
    pub(super) fn file_system(&self, device: u64) -> Option<usize> {
        self.file_systems.iter().rev().find(|(of, _)| *of == device).map(|(_, item)| *item)
    }

    /// The item that a UNIX socket's path is.
    pub(super) fn socket(&self, path: &[u8]) -> Option<usize> {
        self.sockets.get(path).copied()
    }

    /// The item that the file of a UNIX socket is.
    pub(super) fn socket_file(&self, device: u64, inode: u32) -> Option<usize> {
        self.socket_files.get(&(device, inode)).copied()
    }

    /// The inode numbers of all that is searched for; `None` where whole file systems are.
    pub(super) fn inodes(&self) -> Option<IdSet> {
        self.file_systems.is_empty().then(|| self.files.keys().map(|(_, inode)| *inode).collect())
    }

    /// Whether any UNIX socket is searched for.
    pub(super) fn has_sockets(&self) -> bool {
        !self.sockets.is_empty()
    }

    /// What is shown of an item.
    pub(super) fn shown(&self, item: usize) -> &[u8] {
        let called = || self.items.get(item).map(|(called, _)| called);
        self.shown.get(&item).or_else(called).map(Vec::as_slice).unwrap_or_default()
    }

    fn add(&mut self, path: Vec<u8>, stat: &FileStat) {
        let item = self.items.len();
        self.files.insert((stat.device, stat.inode), item);
        if stat.is_socket() {
            self.sockets.insert(path.clone(), item);
            self.socket_files.insert((stat.device, lower_half(stat.inode)), item);
        }
        self.items.push((path, false));
    }

    fn name(
        &mut self,
        name: &[u8],
        options: &LsofOptions,
        mounts: &Mounts,
        charset: Charset,
        notes: &mut Vec<SearchError>,
    ) -> Result<(), SearchError> {
        if name.is_empty() {
            return Err(SearchError::Status { name: String::new(), why: text(Errno::NOENT) });
        }
        if options.avoid_blocking {
            return self.unexamined(name, options, mounts, charset, notes);
        }
        let path = resolve(name, mounts);
        if options.name_kind != NameKind::File {
            let sys = stat::follow(CWD, path.as_slice(), false);
            let block = sys.as_ref().ok().filter(|stat| stat.is_block()).map(|stat| stat.rdev);
            let mounted: Vec<_> = mounts
                .all()
                .iter()
                .filter(|mount| {
                    mount.path == path
                        || block.is_some_and(|rdev| device(mount.device.0, mount.device.1) == rdev)
                        || block.is_some() && mount.source == path
                })
                .collect();
            // Where several are mounted at one place only the last can be seen.
            let mounted: Vec<_> =
                if block.is_none() { mounted.into_iter().next_back().into_iter().collect() } else { mounted };
            if !mounted.is_empty() {
                for mount in mounted {
                    // Some file systems show another device than they are mounted with.
                    let shown = || {
                        stat::follow(CWD, mount.path.as_slice(), false)
                            .map_or(device(mount.device.0, mount.device.1), |stat| stat.device)
                    };
                    let exempt = options.exempt.iter().rev().find(|exempt| exempt.path == mount.path);
                    let device = exempt.map_or_else(shown, |exempt| exempt.device.unwrap_or(NO_DEVICE));
                    self.file_systems.push((device, self.items.len()));
                    self.shown.insert(self.items.len(), mount.path.clone());
                    self.items.push((path.clone(), true));
                }
                return Ok(());
            }
            if options.name_kind == NameKind::FileSystem {
                return Err(SearchError::NotFileSystem(escape::text(name, charset)));
            }
        }
        match look(&path, false, options.timeout, mounts) {
            Ok(stat) => {
                self.add(path, &stat);
                Ok(())
            }
            Err(error) => {
                let name = escape::text(&path, charset);
                Err(SearchError::Status { name, why: text(error) })
            }
        }
    }

    /// A name that nothing may be asked about: a file system whose device is known, or nothing.
    fn unexamined(
        &mut self,
        name: &[u8],
        options: &LsofOptions,
        mounts: &Mounts,
        charset: Charset,
        notes: &mut Vec<SearchError>,
    ) -> Result<(), SearchError> {
        if options.warnings {
            notes.push(SearchError::Note(avoiding("readlink", name, charset)));
        }
        let path = trimmed(name).to_vec();
        let known = self.assume(options, mounts, charset, notes);
        let device = known.iter().rev().find(|(mount, _)| *mount == path).map(|(_, device)| *device);
        if let Some(device) = device.filter(|_| options.name_kind != NameKind::File) {
            self.file_systems.push((device, self.items.len()));
            self.items.push((path, true));
            return Ok(());
        }
        if options.name_kind == NameKind::FileSystem {
            return Err(SearchError::NotFileSystem(escape::text(name, charset)));
        }
        if options.warnings {
            notes.push(SearchError::Note(avoiding("stat", &path, charset)));
        }
        Err(SearchError::Status { name: escape::text(&path, charset), why: text(Errno::AGAIN) })
    }

    fn directory(
        &mut self,
        asked: &crate::lsof::arguments::Directory,
        options: &LsofOptions,
        mounts: &Mounts,
        charset: Charset,
    ) -> Result<(), SearchError> {
        let name = escape::text(&asked.path, charset);
        let path = if asked.avoid_blocking { asked.path.clone() } else { resolve(&asked.path, mounts) };
        let stat = look(&path, asked.avoid_blocking, options.timeout, mounts)
            .map_err(|error| SearchError::Directory { name: name.clone(), why: text(error) })?;
        if !stat.is_dir() {
            return Err(SearchError::NotDirectory(name));
        }
        self.add(path.clone(), &stat);
        let cross = directory::Cross { mounts: asked.cross_mounts, links: asked.cross_links };
        let patience = |path: &[u8]| mounts.is_remote(path).then_some(options.timeout);
        let hung = directory::walk(&path, &stat, asked.deep, cross, &patience, &mut |path, stat| {
            self.add(path, stat);
        });
        match hung {
            None => Ok(()),
            Some(path) => Err(SearchError::Hung(escape::text(&path, charset))),
        }
    }
}

/// Where what must not be touched is mounted: a link to that serves as well, unless it must not be read.
pub fn resolve_exempt(options: &mut LsofOptions) {
    if options.exempt.is_empty() {
        return;
    }
    let mounts = Mounts::default();
    // What is wrong with it is said where the mounts are gone through.
    let read = |file: &Vec<u8>| Supplement::read(file, Charset { utf8: false }).0;
    let supplement = options.mount_supplement.as_ref().map(read).unwrap_or_default();
    for exempt in &mut options.exempt {
        let reads = exempt.readlink && !exempt.avoid_blocking;
        exempt.path = if reads { resolve(&exempt.path, &mounts) } else { trimmed(&exempt.path).to_vec() };
        exempt.device = supplement.device(&exempt.path);
    }
}

/// That a link on the way to what must not be touched was not read.
fn note_exempt(exempt: &Exempt, options: &LsofOptions, charset: Charset, notes: &mut Vec<SearchError>) {
    if options.warnings && exempt.readlink && exempt.avoid_blocking {
        notes.push(SearchError::Note(avoiding("readlink", &exempt.given, charset)));
    }
}

/// Asks about a path, unless that may block and must not; on a remote file system no longer than that.
fn look(path: &[u8], avoid: bool, patience: Duration, mounts: &Mounts) -> rustix::io::Result<FileStat> {
    if avoid {
        return Err(Errno::AGAIN);
    }
    if !mounts.is_remote(&absolute(path)) {
        return stat::follow(CWD, path, true);
    }
    let path = path.to_vec();
    patiently(patience, move || stat::follow(CWD, path.as_slice(), true)).unwrap_or(Err(Errno::TIMEDOUT))
}

/// A path without symbolic links and without slashes at its end, otherwise as given.
fn resolve(name: &[u8], mounts: &Mounts) -> Vec<u8> {
    // More links than the kernel would follow.
    const MAX_LINKS: usize = 40;
    let name = trimmed(name);
    let mut links = 0;
    let mut done: Vec<u8> = if name.first() == Some(&b'/') { b"/".to_vec() } else { Vec::new() };
    let mut rest: Vec<Vec<u8>> = pieces(name);
    rest.reverse();
    while let Some(piece) = rest.pop() {
        let before = done.clone();
        push(&mut done, &piece);
        let Ok(target) = std::fs::read_link(Path::new(OsStr::from_bytes(&done))) else { continue };
        let target = target.into_os_string().into_vec();
        let absolute = target.first() == Some(&b'/');
        links += 1;
        // A link of /proc that leads to no path is what it is.
        if links > MAX_LINKS || (!absolute && mounts.is_processes(&done)) {
            continue;
        }
        done = if absolute { b"/".to_vec() } else { before };
        rest.extend(pieces(&target).into_iter().rev());
    }
    // Without a link on the way nothing changes, not even two slashes in a row.
    if links == 0 { name.to_vec() } else { done }
}

const fn lower_half(number: u64) -> u32 {
    (number & 0xffff_ffff) as u32
}

fn absolute(path: &[u8]) -> Vec<u8> {
    if path.first() == Some(&b'/') {
        return path.to_vec();
    }
    let mut whole = std::env::current_dir().map(|dir| dir.into_os_string().into_vec()).unwrap_or_default();
    push(&mut whole, path);
    whole
}

fn push(path: &mut Vec<u8>, piece: &[u8]) {
    if !path.is_empty() && path.last() != Some(&b'/') {
        path.push(b'/');
    }
    path.extend_from_slice(piece);
}

fn pieces(path: &[u8]) -> Vec<Vec<u8>> {
    path.split(|byte| *byte == b'/').filter(|piece| !piece.is_empty()).map(<[u8]>::to_vec).collect()
}

fn trimmed(mut path: &[u8]) -> &[u8] {
    while let [rest @ .., b'/'] = path
        && !rest.is_empty()
    {
        path = rest;
    }
    path
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_resolved_and_nothing_else() {
        let dir = std::env::temp_dir().join(format!("flowtally-lsof-resolve-{}", std::process::id()));
        std::fs::create_dir_all(dir.join("real")).unwrap();
        let link = dir.join("link");
        drop(std::fs::remove_file(&link));
        std::os::unix::fs::symlink("real", &link).unwrap();
        let of = |path: String| String::from_utf8(resolve(path.as_bytes(), &Mounts::default())).unwrap();
        let dir_text = dir.display().to_string();
        assert_eq!(of(format!("{dir_text}/link/x/")), format!("{dir_text}/real/x"));
        assert_eq!(of(format!("{dir_text}//real/.")), format!("{dir_text}//real/."));
        assert_eq!(of("a/../b//".to_owned()), "a/../b");
        assert_eq!(of("/".to_owned()), "/");
        std::fs::remove_dir_all(&dir).unwrap();
    }
}
