//! Mapped files: a row for each that /proc/PID/maps names, in the order in which they appear.

use hashbrown::HashMap;
use rustix::{fs::CWD, io::Result};

use super::{
    process::read_into,
    rows::{Rows, Source, Verdict},
    search,
    stat::Stat,
};
use crate::{
    host::proc::{Mapping, unescape},
    lsof::{
        model::{Fd, OpenFile, OpenFileKind, device, major, minor},
        select::SelectionClasses,
    },
};

/// What the paths of libraries were found to be: all processes map the same ones.
#[derive(Default)]
pub(super) struct PathStats {
    known: HashMap<Vec<u8>, Result<Stat>>,
}

/// How many paths are remembered, so that memory has a bound.
const MOST: usize = 4096;

/// What follows the path of a file that has no name any more.
const DELETED: &[u8] = b" (deleted)";

impl PathStats {
    fn of(&mut self, path: &[u8], look: impl FnOnce() -> Result<Stat>) -> Result<Stat> {
        if let Some(known) = self.known.get(path) {
            return *known;
        }
        let stat = look();
        if self.known.len() < MOST {
            self.known.insert(path.to_vec(), stat);
        }
        stat
    }
}

impl Rows<'_> {
    /// Adds the rows of mapped files, without the executable.
    pub(super) fn maps(
        &mut self,
        source: &FileRowSource<'_>,
        executable: Option<(u64, u64)>,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
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
                self.mapping(id, mapping.path, met, files);
                if self.enough(files) {
                    break;
                }
            }
        }
        self.buffer = text;
    }

    fn mapping(&mut self, (device, inode): (u64, u64), printed: &[u8], met: Class, files: &mut Vec<File>) {
        let shared = self.shared;
        let path = unescape(printed);
        let deleted = path.strip_suffix(DELETED);
        if shared.is_exempt(&path) {
            let (fd, path) = deleted.map_or((Fd::Memory, &path[..]), |name| (Fd::Deleted, name));
            if self.may_list(fd, met) && shared.rule.selects(self.with_fd(fd, met)) {
                let mut file = OpenFile::new(fd, OpenFileKind::Exempt);
                (file.device, file.inode) = (Some(device), Some(inode));
                file.name = shared.exempt_name(path);
                files.push(file);
            }
            return;
        }
        let stat = self.paths.of(&path, || shared.stat_path(CWD, &path));
        let is_it = stat.is_ok_and(|stat| (stat.device, stat.inode) == (device, inode));
        if let (false, Some(name)) = (is_it, deleted) {
            self.deleted(device, inode, name, met, files);
            return;
        }
        if !self.may_list(Fd::Memory, met) {
            return;
        }
        let met = self.with_fd(Fd::Memory, met);
        let mut file = File::new(Fd::Memory, Kind::Regular);
        let known = match stat {
            Ok(stat) if is_it => stat,
            _ => unnamed(device, inode),
        };
        let Verdict::Listed(item) = self.judge(&known, &path, met) else { return };
        if is_it {
            known.fill(&mut file);
            file.name = self.name(&path, item);
        } else {
            (file.device, file.inode) = (Some(device), Some(inode));
            file.name = if shared.options.warnings {
                [&path[..], stranger(stat, device, inode).as_bytes()].concat().into()
            } else {
                path.into()
            };
        }
        files.push(file);
    }

    fn deleted(&mut self, device: u64, inode: u64, name: &[u8], met: Class, files: &mut Vec<File>) {
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
        Err(error) => return format!(" (stat: {})", search::text(error)),
    };
    let differences = [
        (stat.device != device).then(|| format!("dev={},{}", major(stat.device), minor(stat.device))),
        (stat.inode != inode).then(|| format!("inode={}", stat.inode)),
    ];
    let differences: Vec<String> = differences.into_iter().flatten().collect();
    format!("(path {})", differences.join(", "))
}
