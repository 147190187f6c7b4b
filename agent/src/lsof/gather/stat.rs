//! What statx(2) says of a file, without ever waiting for a server: what a network file system remembers is enough for a
//! first answer.

use rustix::{
    fd::AsFd,
    fs::{AtFlags, Statx, StatxFlags, statx},
    io::Result,
};

use crate::{
    host::opened::RecordedStat,
    lsof::model::{OpenFile, OpenFileKind, device},
};

/// What a listing needs of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FileStat {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) mode: u16,
    pub(super) links: u32,
    pub(super) size: u64,
    pub(super) rdev: u64,
}

impl From<RecordedStat> for FileStat {
    fn from(stat: RecordedStat) -> Self {
        let number = |(major, minor): (u32, u32)| device(u64::from(major), u64::from(minor));
        Self {
            device: number(stat.device),
            inode: stat.inode,
            mode: stat.mode,
            links: stat.links,
            size: stat.size,
            rdev: number(stat.rdev),
        }
    }
}

const TYPE: u16 = 0o170_000;

impl From<Statx> for FileStat {
    fn from(statx: Statx) -> Self {
        Self {
            device: device(u64::from(statx.stx_dev_major), u64::from(statx.stx_dev_minor)),
            inode: statx.stx_ino,
            mode: statx.stx_mode,
            links: statx.stx_nlink,
            size: statx.stx_size,
            rdev: device(u64::from(statx.stx_rdev_major), u64::from(statx.stx_rdev_minor)),
        }
    }
}

/// Asks about a file below `dir`, in the end of its links. With `sync` a server may be asked.
pub(super) fn follow(dir: impl AsFd, path: impl rustix::path::Arg, sync: bool) -> Result<FileStat> {
    let flags = if sync { AtFlags::empty() } else { AtFlags::STATX_DONT_SYNC };
    statx(dir, path, flags | AtFlags::NO_AUTOMOUNT, StatxFlags::BASIC_STATS).map(FileStat::from)
}

/// Asks about a link, or whatever has that name.
pub(super) fn entry(dir: impl AsFd, path: impl rustix::path::Arg) -> Result<FileStat> {
    let flags = AtFlags::SYMLINK_NOFOLLOW | AtFlags::STATX_DONT_SYNC | AtFlags::NO_AUTOMOUNT;
    statx(dir, path, flags, StatxFlags::BASIC_STATS).map(FileStat::from)
}

/// The access letter, from the permissions that /proc/PID/fd gives a link.
pub(super) const fn access(mode: u16) -> u8 {
    match mode & 0o600 {
        0o400 => b'r',
        0o200 => b'w',
        _ => b'u',
    }
}

/// The access letter, from the flags of open(2): what is opened as a path alone is open for neither, which is shown as both.
pub(super) const fn access_of_flags(flags: u32) -> u8 {
    const O_PATH: u32 = 0o10_000_000;
    match flags & (O_PATH | 0o3) {
        0 => b'r',
        1 => b'w',
        _ => b'u',
    }
}

impl FileStat {
    /// The type bits.
    pub(super) const fn kind_bits(&self) -> u16 {
        self.mode & TYPE
    }

    /// Whether it is a directory.
    pub(super) const fn is_dir(&self) -> bool {
        self.kind_bits() == 0o040_000
    }

    /// Whether it is a symbolic link.
    pub(super) const fn is_link(&self) -> bool {
        self.kind_bits() == 0o120_000
    }

    /// Whether it is a UNIX socket in a file system.
    pub(super) const fn is_socket(&self) -> bool {
        self.kind_bits() == 0o140_000
    }

    /// Whether it is a block device.
    pub(super) const fn is_block(&self) -> bool {
        self.kind_bits() == 0o060_000
    }

    /// Writes into a row what is known now.
    pub(super) fn fill(&self, file: &mut OpenFile) {
        file.device = Some(self.device);
        file.inode = Some(self.inode);
        file.links = Some(self.links);
        file.kind = match self.kind_bits() {
            0o100_000 => OpenFileKind::Regular,
            0o040_000 => OpenFileKind::Directory,
            0o020_000 => OpenFileKind::Character,
            0o060_000 => OpenFileKind::Block,
            0o010_000 => OpenFileKind::Fifo,
            0o120_000 => OpenFileKind::Link,
            0o140_000 => OpenFileKind::Socket,
            0 => OpenFileKind::Anonymous,
            other => OpenFileKind::Other(other >> 12),
        };
        match file.kind {
            OpenFileKind::Character | OpenFileKind::Block => file.rdev = Some(self.rdev),
            OpenFileKind::Fifo | OpenFileKind::Socket => {}
            _ => file.size = Some(self.size),
        }
    }
}
