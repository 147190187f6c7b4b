//! Mapped files: a row for each that /proc/PID/maps names, in the order in which they appear.

use rustix::{fs::CWD, io::Result};

use super::{
    held::FileRowSource,
    read::{read_into, text},
    rows::{FileRows, Verdict},
    stat::{self, FileStat},
};
use crate::{
    host::{
        opened::RecordedMappings,
        proc::{Mapping, unescape},
    },
    lsof::{
        model::{Fd, OpenFile, OpenFileKind, device, major, minor},
        select::SelectionClasses,
    },
};

/// What follows the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

impl FileRows<'_> {
    /// Adds the rows of mapped files, without the executable.
    pub(super) fn maps(
        &mut self,
        source: &FileRowSource<'_>,
        executable: Option<(u64, u64)>,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        if let Some(mappings) = source.mappings {
            self.recorded_maps(source, mappings, executable, met, files);
            return;
        }
        let mut text = std::mem::take(&mut self.buffer);
        if read_into(source.dir, "maps", &mut text).is_ok() {
            let mut seen: Vec<(u64, u64)> = Vec::new();
            for line in text.split(|byte| *byte == b'\n') {
                let Some(mapping) = Mapping::parse(line) else { continue };
                let id = (device(mapping.device.0, mapping.device.1), mapping.inode);
                if mapping.path.is_empty() || id == (0, 0) || Some(id) == executable || seen.contains(&id) {
                    continue;
                }
                seen.push(id);
                let addresses = (mapping.start, mapping.end);
                self.mapping(source, (addresses, &unescape(mapping.path)), id, met, files);
                if self.enough(files) {
                    break;
                }
            }
        }
        self.buffer = text;
    }

    /// As [`maps`](Self::maps), of what records tell.
    fn recorded_maps(
        &mut self,
        source: &FileRowSource<'_>,
        mappings: &RecordedMappings,
        executable: Option<(u64, u64)>,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let mut seen: Vec<(u64, u64)> = Vec::new();
        for record in &mappings.records {
            let id = (device(record.device.0.into(), record.device.1.into()), record.inode);
            let path = mappings.path(record);
            if path.is_empty() || id == (0, 0) || Some(id) == executable || seen.contains(&id) {
                continue;
            }
            seen.push(id);
            self.mapping(source, (record.addresses, path), id, met, files);
            if self.enough(files) {
                break;
            }
        }
    }

    fn mapping(
        &mut self,
        source: &FileRowSource<'_>,
        (addresses, path): ((u64, u64), &[u8]),
        (device, inode): (u64, u64),
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let shared = self.shared;
        let deleted = path.strip_suffix(DELETED);
        if shared.is_exempt(path) {
            let (fd, path) = deleted.map_or((Fd::Memory, path), |name| (Fd::Deleted, name));
            if self.may_list(fd, met) && shared.rule.selects(self.with_fd(fd, met)) {
                let mut file = OpenFile::new(fd, OpenFileKind::Exempt);
                (file.device, file.inode) = (Some(device), Some(inode));
                shared.name_exempt(path, &mut file);
                files.push(file);
            }
            return;
        }
        let stat = self.paths.of(path, || shared.stat_path(CWD, path));
        let is_it = stat.is_ok_and(|stat| (stat.device, stat.inode) == (device, inode));
        if let (false, Some(name)) = (is_it, deleted) {
            self.deleted(device, inode, name, met, files);
            return;
        }
        if !self.may_list(Fd::Memory, met) {
            return;
        }
        let met = self.with_fd(Fd::Memory, met);
        let mut file = OpenFile::new(Fd::Memory, OpenFileKind::Regular);
        let elsewhere = if is_it { None } else { self.elsewhere(source, addresses) };
        let known = match stat {
            Ok(stat) if is_it => stat,
            _ => elsewhere.unwrap_or(unnamed(device, inode)),
        };
        let Verdict::Listed(item) = self.judge(&known, path, met) else { return };
        if is_it || elsewhere.is_some() {
            known.fill(&mut file);
            file.name = self.name(path, item);
        } else {
            (file.device, file.inode) = (Some(device), Some(inode));
            file.name = path.into();
            file.note = shared.options.warnings.then(|| stranger(stat, device, inode).into_bytes().into());
        }
        files.push(file);
    }

    /// A mapped file of another mount namespace, where its path means something else here, or nothing: through the mapping.
    fn elsewhere(&self, source: &FileRowSource<'_>, (start, end): (u64, u64)) -> Option<FileStat> {
        let number = source.tid.unwrap_or(source.pid);
        let namespace = |of: &str| std::fs::read_link(format!("/proc/{of}/ns/mnt")).ok();
        let own = self.shared.mount_namespace.get_or_init(|| namespace("self"));
        if namespace(&number.to_string())? == *own.as_ref()? {
            return None;
        }
        let file = format!("/proc/{number}/map_files/{start:x}-{end:x}");
        stat::follow(CWD, file, false).ok()
    }

    fn deleted(
        &mut self,
        device: u64,
        inode: u64,
        name: &[u8],
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        if !self.may_list(Fd::Deleted, met) {
            return;
        }
        let met = self.with_fd(Fd::Deleted, met);
        let stat = unnamed(device, inode);
        let Verdict::Listed(item) = self.judge(&stat, name, met) else { return };
        let mut file = OpenFile::new(Fd::Deleted, OpenFileKind::Regular);
        (file.device, file.inode) = (Some(device), Some(inode));
        file.name = self.name(name, item);
        files.push(file);
    }
}

/// What is known of a mapped file that its path does not lead to. How many names it has nobody says: it is no file with few of
/// them.
const fn unnamed(device: u64, inode: u64) -> FileStat {
    FileStat { device, inode, mode: 0o100_000, links: u32::MAX, size: 0, rdev: 0 }
}

/// Why the path of a mapped file is not that file: no other can be found there, or in what the other differs.
fn stranger(stat: Result<FileStat>, device: u64, inode: u64) -> String {
    let stat = match stat {
        Ok(stat) => stat,
        Err(error) => return format!("(stat: {})", text(error)),
    };
    let differences = [
        (stat.device != device).then(|| format!("dev={},{}", major(stat.device), minor(stat.device))),
        (stat.inode != inode).then(|| format!("inode={}", stat.inode)),
    ];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    format!("(path {})", differences.join(", "))
}
