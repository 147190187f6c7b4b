//! The rows of a process, or of one of its threads.

use std::{ffi::CStr, mem::MaybeUninit};

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, openat, readlinkat_raw},
    io::Errno,
};

use super::{
    held::{DescriptorFolder, FileRowSource, HeldDescriptor},
    paths::PathStats,
    read::{read_small, text},
    shared::Shared,
    stat::{self, FileStat},
};
use crate::{
    host::{
        opened::{LinkText, RecordedStat, RecordedTable},
        proc::{DescriptorName, Descriptors, FdInfo, Tables, has_threads, inode_in},
    },
    lsof::{
        arguments::Tasks,
        model::{Fd, OpenFile, OpenFileKind, Twin, major, minor},
        select::{self, SearchItem, SelectionClasses},
    },
};

/// Longest target of a link that /proc hands out (`PATH_MAX`).
const PATH_MAX: usize = 4096;

/// What a thread of the listing needs to make rows.
pub(super) struct FileRows<'a> {
    pub(super) shared: &'a Shared<'a>,
    pub(super) paths: PathStats,
    descriptors: Descriptors,
    /// What is told of the descriptors of the process or thread that was asked about last.
    infos: Option<((u32, Option<u32>), OwnedFd)>,
    pub(super) buffer: Vec<u8>,
}

/// What becomes of a row.
pub(super) enum Verdict {
    /// It is listed; complete it.
    Listed(Option<usize>),
    /// It is not.
    Dropped,
}

/// Classes that nothing is known of before a descriptor's link has been read.
const OPEN: SelectionClasses = SelectionClasses::SOCKET.with(SelectionClasses::STAT);

impl<'a> FileRows<'a> {
    pub(super) fn new(shared: &'a Shared<'a>) -> Self {
        Self {
            shared,
            paths: PathStats::default(),
            descriptors: Descriptors::new(),
            infos: None,
            buffer: Vec::new(),
        }
    }

    /// Whether a process holds a socket that may be listed, in whichever of its threads' tables.
    pub(super) fn holds_socket(
        &mut self,
        proc: &OwnedFd,
        pid: u32,
        tables: &mut Tables,
    ) -> rustix::io::Result<bool> {
        if self.shared.sockets().is_empty() {
            return Ok(false);
        }
        if self.has_socket(proc, &format!("{pid}/fd"))? {
            return Ok(true);
        }
        if self.shared.options.tasks == Tasks::Ignore {
            return Ok(false);
        }
        let dir = openat(proc, pid.to_string(), DIRECTORY, Mode::empty())?;
        let threads = if has_threads(&dir) { tables.further(pid, &dir) } else { Vec::new() };
        Ok(threads.iter().any(|tid| self.has_socket(&dir, &format!("task/{tid}/fd")).unwrap_or(false)))
    }

    fn has_socket(&mut self, dir: &OwnedFd, name: &str) -> rustix::io::Result<bool> {
        let sockets = self.shared.sockets();
        let Ok(fds) = openat(dir, name, DIRECTORY, Mode::empty()) else {
            // The rows say why, if they are listed at all.
            return Ok(false);
        };
        let mut target = [MaybeUninit::<u8>::uninit(); 64];
        let mut found = false;
        self.descriptors.links(&fds, &mut target, |_, _, link| match link {
            Ok(link) => {
                found = socket_inode(link).is_some_and(|inode| sockets.get(inode).is_some());
                !found
            }
            // Another user's: nothing of it can be known.
            Err(error) => !matches!(error, Errno::ACCESS | Errno::PERM),
        })?;
        Ok(found)
    }

    /// The listed rows of a process or thread that meets `met`.
    pub(super) fn of(&mut self, source: &FileRowSource<'_>, met: SelectionClasses) -> Vec<OpenFile> {
        let mut files = Vec::new();
        let only_sockets = self.shared.only_sockets();
        if !only_sockets {
            self.link(source, Fd::Cwd, "cwd", None, met, &mut files);
            self.link(source, Fd::Root, "root", None, met, &mut files);
            let mapped = source.mappings.and_then(|mappings| {
                let record = mappings.records.iter().find(|record| record.executable)?;
                Some((mappings.path(record), record.stat))
            });
            let executable = self.link(source, Fd::Text, "exe", mapped, met, &mut files);
            if self.enough(&files) {
                return files;
            }
            if self.may_list(Fd::Memory, met) || self.may_list(Fd::Deleted, met) {
                self.maps(source, executable, met, &mut files);
            }
        }
        if !self.enough(&files) {
            self.fds(source, met, &mut files);
        }
        files
    }

    /// The listed rows of the descriptors of a process or thread that meets `met`.
    pub(super) fn descriptors_of(
        &mut self,
        source: &FileRowSource<'_>,
        met: SelectionClasses,
    ) -> Vec<OpenFile> {
        let mut files = Vec::new();
        self.fds(source, met, &mut files);
        files
    }

    /// Whether one row is as good as all: a process is listed by its number alone.
    pub(super) fn enough(&self, files: &[OpenFile]) -> bool {
        !self.shared.needs.columns && !files.is_empty() && self.shared.search.items().is_empty()
    }

    /// Whether a descriptor may be listed, before anything is read of it.
    pub(super) fn may_list(&self, fd: Fd, met: SelectionClasses) -> bool {
        self.shared.rule.may_select(self.with_fd(fd, met), OPEN)
    }

    pub(super) fn with_fd(&self, fd: Fd, met: SelectionClasses) -> SelectionClasses {
        if select::fd(self.shared.options.fds.as_ref(), fd) { met.with(SelectionClasses::FD) } else { met }
    }

    /// A row that says what could not be read, and why; none without warnings.
    fn error_row(
        &self,
        (fd, kind): (Fd, OpenFileKind),
        path: &[u8],
        failure: Option<(&str, Errno)>,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        if self.shared.options.warnings && self.shared.rule.selects(self.with_fd(fd, met)) {
            let mut file = OpenFile::new(fd, kind);
            file.name = path.into();
            let note = |(what, error)| format!("({what}: {})", text(error));
            file.note = failure.map(note).map(|note| note.into_bytes().into());
            files.push(file);
        }
    }

    /// The working directory, the root or the executable, as far as it is `known` what the link and stat(2) say. What the executable
    /// is, is also needed to leave it out of the maps.
    fn link(
        &mut self,
        source: &FileRowSource<'_>,
        fd: Fd,
        name: &str,
        known: Option<(&[u8], Option<RecordedStat>)>,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) -> Option<(u64, u64)> {
        if !self.may_list(fd, met) && fd != Fd::Text {
            return None;
        }
        let may_list = self.may_list(fd, met);
        let mut target = [MaybeUninit::<u8>::uninit(); PATH_MAX];
        let read = match known {
            Some((path, _)) => Ok(path),
            None => readlinkat_raw(source.dir, name, &mut target[..]).map(|(path, _)| &*path),
        };
        let path = match read {
            Ok(path) => path,
            Err(Errno::NOENT) if fd == Fd::Text => {
                // A thread of the kernel has no executable.
                if may_list {
                    self.error_row(
                        (fd, OpenFileKind::Unknown),
                        source.path(name).as_bytes(),
                        None,
                        met,
                        files,
                    );
                }
                return None;
            }
            Err(error) => {
                if may_list && !matches!(error, Errno::NOENT | Errno::SRCH) {
                    let path = source.path(name);
                    let failure = Some(("readlink", error));
                    self.error_row((fd, OpenFileKind::Unknown), path.as_bytes(), failure, met, files);
                }
                return None;
            }
        };
        let mut file = OpenFile::new(fd, OpenFileKind::Unknown);
        if self.shared.is_exempt(path) {
            if may_list && self.shared.rule.selects(self.with_fd(fd, met)) {
                file.kind = OpenFileKind::Exempt;
                self.shared.name_exempt(path, &mut file);
                files.push(file);
            }
            return None;
        }
        let asked = match known.and_then(|(_, stat)| stat) {
            Some(stat) => Ok(stat.into()),
            None => self.shared.stat_below(source.dir, name, path),
        };
        let stat: FileStat = match asked {
            Ok(stat) => stat,
            Err(error) => {
                if may_list && !matches!(error, Errno::NOENT | Errno::SRCH) {
                    self.error_row((fd, OpenFileKind::Unknown), path, Some(("stat", error)), met, files);
                }
                return None;
            }
        };
        if may_list && let Verdict::Listed(item) = self.judge(&stat, path, self.with_fd(fd, met)) {
            stat.fill(&mut file);
            file.name = self.name(path, item);
            files.push(file);
        }
        Some((stat.device, stat.inode))
    }

    /// Whether a file is listed, once its stat is known.
    pub(super) fn judge(&self, stat: &FileStat, path: &[u8], mut met: SelectionClasses) -> Verdict {
        let shared = self.shared;
        let requested = shared.rule.requested;
        let mut item = None;
        // A socket is known by its address alone.
        if stat.is_socket() {
            return if shared.rule.selects(met) { Verdict::Listed(None) } else { Verdict::Dropped };
        }
        if requested.any(SelectionClasses::LINKS)
            && shared.options.links_below.is_some_and(|below| u64::from(stat.links) < below)
        {
            met = met.with(SelectionClasses::LINKS);
        }
        if requested.any(SelectionClasses::NFS) && shared.is_nfs(stat.device, path) {
            shared.found.note(SearchItem::Nfs);
            met = met.with(SelectionClasses::NFS);
        }
        if requested.any(SelectionClasses::NAME) {
            item = shared.search.file(stat.device, stat.inode);
            if let Some(item) = item {
                shared.found.note(SearchItem::Name(item));
                met = met.with(SelectionClasses::NAME);
            }
            if let Some(item) = shared.search.file_system(stat.device) {
                shared.found.note(SearchItem::Name(item));
                met = met.with(SelectionClasses::NAME);
            }
        }
        if shared.rule.selects(met) { Verdict::Listed(item) } else { Verdict::Dropped }
    }

    /// The name of a row: that which was searched for, else its own.
    pub(super) fn name(&self, path: &[u8], item: Option<usize>) -> Box<[u8]> {
        match item {
            _ if !self.shared.needs.columns => Box::default(),
            Some(item) => self.shared.search.shown(item).into(),
            None => path.into(),
        }
    }

    fn fds(&mut self, source: &FileRowSource<'_>, met: SelectionClasses, files: &mut Vec<OpenFile>) {
        if let Some(table) = source.table {
            self.recorded(source, table, met, files);
            return;
        }
        let fds = match openat(source.dir, "fd", DIRECTORY, Mode::empty()) {
            Ok(fds) => fds,
            Err(Errno::NOENT | Errno::SRCH) => return,
            Err(error) => {
                if self.may_list(Fd::None, met) {
                    let (path, failure) = (source.path("fd"), Some(("opendir", error)));
                    self.error_row((Fd::None, OpenFileKind::Blank), path.as_bytes(), failure, met, files);
                }
                return;
            }
        };
        let mut target = [MaybeUninit::<u8>::uninit(); PATH_MAX];
        let mut descriptors = std::mem::take(&mut self.descriptors);
        let folder = DescriptorFolder::opened(source.dir, fds);
        let Ok(fds) = folder.get() else { return };
        let result = descriptors.links(fds, &mut target, |number, entry, link| {
            let fd = Fd::Number(number);
            if !self.may_list(fd, met) {
                return true;
            }
            let met = self.with_fd(fd, met);
            match link {
                Ok(link) => {
                    let held = HeldDescriptor { source, fds: &folder, entry, fd, record: None };
                    self.descriptor(&held, link, met, files);
                }
                Err(Errno::NOENT | Errno::SRCH) => {}
                Err(error) => {
                    let path = source.path(&format!("fd/{number}"));
                    let failure = Some(("readlink", error));
                    self.error_row((fd, OpenFileKind::Unknown), path.as_bytes(), failure, met, files);
                }
            }
            !self.enough(files)
        });
        self.descriptors = descriptors;
        // A process that ends takes the rest of its descriptors with it.
        let _ = result;
    }

    /// The rows of descriptors of which records tell.
    fn recorded(
        &mut self,
        source: &FileRowSource<'_>,
        table: &RecordedTable,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let folder = DescriptorFolder::new(source.dir);
        for record in &table.records {
            let fd = Fd::Number(record.fd);
            if !self.may_list(fd, met) {
                continue;
            }
            let met = self.with_fd(fd, met);
            let name = DescriptorName::of(record.fd);
            let held =
                HeldDescriptor { source, fds: &folder, entry: name.as_c_str(), fd, record: Some(record) };
            match table.link(record) {
                LinkText::Text(link) => self.descriptor(&held, link, met, files),
                LinkText::Socket(inode) => self.socket(&held, inode, met, files),
                LinkText::Pipe(inode) => self.pipe(&held, inode, met, files),
                LinkText::Unknown => {
                    let mut target = [MaybeUninit::<u8>::uninit(); PATH_MAX];
                    let read = folder.get().and_then(|fds| readlinkat_raw(fds, held.entry, &mut target[..]));
                    match read {
                        Ok((link, _)) => self.descriptor(&held, link, met, files),
                        Err(Errno::NOENT | Errno::SRCH) => {}
                        Err(error) => {
                            let path = source.path(&format!("fd/{}", record.fd));
                            let failure = Some(("readlink", error));
                            self.error_row((fd, OpenFileKind::Unknown), path.as_bytes(), failure, met, files);
                        }
                    }
                }
            }
            if self.enough(files) {
                break;
            }
        }
    }

    fn descriptor(
        &mut self,
        held: &HeldDescriptor<'_>,
        link: &[u8],
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let fd = held.fd;
        if let Some(inode) = socket_inode(link) {
            self.socket(held, inode, met, files);
            return;
        }
        if let Some(inode) = inode_in(link, "pipe") {
            self.pipe(held, inode, met, files);
            return;
        }
        if let Some(name) = link.strip_prefix(b"anon_inode:") {
            self.anonymous(held, name, met, files);
            return;
        }
        let requested = self.shared.rule.requested;
        // Nothing that a socket alone meets is open any more.
        if !self.shared.rule.may_select(met, SelectionClasses::STAT.common(requested)) {
            return;
        }
        let mut file = OpenFile::new(fd, OpenFileKind::Unknown);
        if self.shared.is_exempt(link) {
            if self.shared.rule.selects(met) {
                file.kind = OpenFileKind::Exempt;
                self.shared.name_exempt(link, &mut file);
                // Neither is asked of the file system.
                let needs = self.shared.needs;
                if needs.flags || needs.offsets {
                    let info = self.told(held);
                    file.flags = info.flags.filter(|_| needs.flags);
                    file.offset = info.position.filter(|_| needs.offsets);
                }
                files.push(file);
            }
            return;
        }
        // A process that is listed by its number alone is not examined further.
        if !self.shared.needs.columns
            && self.shared.rule.selects(met)
            && !requested.any(SelectionClasses::NAME)
        {
            files.push(file);
            return;
        }
        let stat = match held.stat(self.shared, link) {
            Ok(stat) => stat,
            Err(error) => {
                if !matches!(error, Errno::NOENT | Errno::SRCH) {
                    self.error_row((fd, OpenFileKind::Unknown), link, Some(("stat", error)), met, files);
                }
                return;
            }
        };
        let Verdict::Listed(item) = self.judge(&stat, link, met) else { return };
        stat.fill(&mut file);
        if file.kind == OpenFileKind::Regular && self.shared.is_queue(&stat) {
            file.kind = OpenFileKind::MessageQueue;
        }
        file.name = self.name(shown(link), item);
        if file.kind == OpenFileKind::Socket {
            // A name in the file system that nothing can be read of: opened as a path alone.
            file.links = None;
            file.name = self.nameless();
        }
        self.complete(held, &mut file);
        files.push(file);
    }

    /// The mode, the lock, and of the descriptor's information what is printed.
    pub(super) fn complete(&mut self, held: &HeldDescriptor<'_>, file: &mut OpenFile) {
        let needs = self.shared.needs;
        // The flags say it, too.
        let info = needs.flags.then(|| self.told(held));
        if let Some(flags) = info.as_ref().and_then(|info| info.flags)
            && file.access == b' '
        {
            file.access = stat::access_of_flags(flags);
        }
        if needs.access && file.access == b' ' {
            file.access = held.access();
        }
        if needs.locks
            && !held.record.is_some_and(|record| record.unlocked)
            && matches!(
                file.kind,
                OpenFileKind::Regular
                    | OpenFileKind::Directory
                    | OpenFileKind::Character
                    | OpenFileKind::Block
                    | OpenFileKind::Fifo
            )
            && let (Some(device), Some(inode)) = (file.device, file.inode)
        {
            file.lock = self.shared.lock(held.source.pid, device, inode);
        }
        let controls =
            needs.peers && file.rdev.is_some_and(|device| (major(device), minor(device)) == (5, 2));
        let offset = if file.size.is_some() { needs.offsets } else { needs.columns && has_offset(file) };
        if offset || needs.flags || controls {
            let info = match info {
                _ if controls => self.info(held.source, held.entry),
                Some(info) => info,
                None => self.told(held),
            };
            file.twin = info.tty.filter(|_| controls).map(Twin::Terminal).or(file.twin);
            file.flags = info.flags.filter(|_| needs.flags);
            file.offset = info.position.filter(|_| offset).or(file.offset);
        }
        // Where no offset can be, it is 0.
        if file.size.is_none() && file.offset.is_none() {
            file.offset = Some(0);
        }
    }

    /// What is told of flags and the position, by the record where that has both.
    fn told(&mut self, held: &HeldDescriptor<'_>) -> FdInfo {
        match held.record {
            Some(record) if record.flags.is_some() || !self.shared.needs.flags => {
                FdInfo { position: record.position, flags: record.flags, ..FdInfo::default() }
            }
            _ => self.info(held.source, held.entry),
        }
    }

    pub(super) fn info(&mut self, source: &FileRowSource<'_>, entry: &CStr) -> FdInfo {
        // Of many descriptors the directory is looked up once.
        let key = (source.pid, source.tid);
        if self.infos.as_ref().is_none_or(|(of, _)| *of != key) {
            let dir = openat(source.dir, "fdinfo", DIRECTORY, Mode::empty());
            self.infos = dir.ok().map(|dir| (key, dir));
        }
        let Some((_, dir)) = &self.infos else { return FdInfo::default() };
        match read_small(dir, entry, &mut self.buffer) {
            Ok(()) => FdInfo::parse(&self.buffer),
            Err(_) => FdInfo::default(),
        }
    }
}

const DIRECTORY: OFlags = OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::CLOEXEC);

/// The part of a link that is shown: of `net:[4026531840]`, which is no path, what it is.
fn shown(link: &[u8]) -> &[u8] {
    let end = if link.first() == Some(&b'/') { None } else { link.windows(2).position(|pair| pair == b":[") };
    link.get(..end.unwrap_or(link.len())).unwrap_or(link)
}

/// Whether a device may be anywhere but at its beginning: the null device and terminals never are.
fn has_offset(file: &OpenFile) -> bool {
    let Some(device) = file.rdev else { return false };
    match (file.kind, major(device)) {
        (OpenFileKind::Character, 1) => !matches!(minor(device), 3 | 5 | 7..=9),
        (OpenFileKind::Character, 4 | 5 | 136..=143) => false,
        _ => true,
    }
}

/// The inode of a socket, from what its descriptor's link says.
fn socket_inode(link: &[u8]) -> Option<u64> {
    inode_in(link, "socket")
}
