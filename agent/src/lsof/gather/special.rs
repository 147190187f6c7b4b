//! Rows of what is no path: pipes, anonymous inodes, sockets. Most of what is printed of them is in the link's text, so that
//! the kernel is asked for little else.

use std::ffi::CStr;

use super::{
    held::{FileRowSource, HeldDescriptor},
    rows::{FileRows, Verdict},
    sockets::protocol_of,
    stat::FileStat,
};
use crate::lsof::{
    model::{ListedSocket, OpenFile, OpenFileKind, Twin},
    select::{self, SearchItem, SelectionClasses},
};

impl FileRows<'_> {
    pub(super) fn pipe(
        &mut self,
        held: &HeldDescriptor<'_>,
        inode: u64,
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let shared = self.shared;
        let mut file = OpenFile::new(held.fd, OpenFileKind::Fifo);
        file.inode = Some(inode);
        file.links = Some(1);
        let requested = shared.rule.requested;
        let may_be_named = requested.any(SelectionClasses::NAME);
        if shared.needs.columns || may_be_named {
            // All pipes are on one file system.
            let device = shared.pipe_device.get().copied().or_else(|| {
                let device = held.follow().ok()?.device;
                Some(*shared.pipe_device.get_or_init(|| device))
            });
            file.device = device;
        }
        let stat =
            FileStat { device: file.device.unwrap_or(u64::MAX), inode, mode: 0, links: 1, size: 0, rdev: 0 };
        let Verdict::Listed(item) = self.judge(&stat, b"", met) else { return };
        file.name = self.name(b"pipe", item);
        self.complete(held, &mut file);
        files.push(file);
    }

    pub(super) fn anonymous(
        &mut self,
        held: &HeldDescriptor<'_>,
        name: &[u8],
        met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let HeldDescriptor { source, entry, fd, record, .. } = *held;
        let shared = self.shared;
        // These share one inode, and are always open in one mode (fs/eventfd.c, fs/eventpoll.c, fs/timerfd.c, ...).
        let access = match name {
            b"[eventfd]" | b"[eventpoll]" | b"[timerfd]" | b"[signalfd]" => b'u',
            b"inotify" => b'r',
            _ => b' ',
        };
        let known = shared.anonymous.get().copied().filter(|_| access != b' ');
        let (device, inode) = match known {
            Some(known) => known,
            None if !shared.needs.columns && !shared.rule.requested.any(SelectionClasses::STAT) => (0, 0),
            None => {
                let Ok(stat) = held.follow() else { return };
                let id = (stat.device, stat.inode);
                if access == b' ' { id } else { *shared.anonymous.get_or_init(|| id) }
            }
        };
        let stat = FileStat { device, inode, mode: 0, links: 1, size: 0, rdev: 0 };
        let Verdict::Listed(item) = self.judge(&stat, b"", met) else { return };
        let mut file = OpenFile::new(fd, OpenFileKind::Anonymous);
        stat.fill(&mut file);
        file.access = access;
        if shared.needs.columns {
            let told = match name {
                b"[eventfd]" => {
                    let known = record.and_then(|record| record.event);
                    let event = known.or_else(|| self.info(source, entry).eventfd);
                    file.twin = event.map(Twin::Event);
                    event.map(|event| format!("[eventfd:{event}]"))
                }
                b"[eventpoll]" if record.is_some_and(|record| record.idle) => None,
                b"[eventpoll]" => watched(&self.info(source, entry).watched),
                // Of a process that has ended the kernel says -1.
                b"[pidfd]" => {
                    self.info(source, entry).pid.filter(|pid| *pid != -1).map(|pid| format!("[pidfd:{pid}]"))
                }
                _ => None,
            };
            file.name = match told {
                Some(told) if item.is_none() => told.into_bytes().into(),
                _ => self.name(name, item),
            };
        }
        self.complete(held, &mut file);
        files.push(file);
    }

    pub(super) fn socket(
        &mut self,
        held: &HeldDescriptor<'_>,
        inode: u64,
        mut met: SelectionClasses,
        files: &mut Vec<OpenFile>,
    ) {
        let HeldDescriptor { source, entry, fd, record, .. } = *held;
        let shared = self.shared;
        let requested = shared.rule.requested;
        let known = shared.socket(inode, record.and_then(|record| record.socket.as_deref()));
        let mut file = OpenFile::new(fd, OpenFileKind::Socket);
        // A socket is always open for both.
        file.access = b'u';
        file.inode = Some(inode);
        if let Some((kind, socket)) = known.as_deref() {
            if !select::state_allows(&shared.options.states, socket, &shared.found) {
                return;
            }
            file.kind = *kind;
            met = met.with(select::internet(shared.options, socket, &shared.found));
            if let ListedSocket::Unix { path, .. } = socket {
                if requested.any(SelectionClasses::UNIX) {
                    met = met.with(SelectionClasses::UNIX);
                }
                if shared.search.has_sockets()
                    && let Some(item) = shared.searched_socket(inode, path)
                {
                    shared.found.note(SearchItem::Name(item));
                    met = met.with(SelectionClasses::NAME);
                    file.name = shared.search.shown(item).into();
                }
            }
        }
        if !shared.rule.selects(met) {
            return;
        }
        if shared.needs.columns {
            if let Some(known) = known {
                file.socket = Some(Box::new(known.into_owned().1));
            } else {
                // All sockets are on one file system.
                let device = shared.socket_device.get().copied().or_else(|| {
                    let device = held.follow().ok()?.device;
                    Some(*shared.socket_device.get_or_init(|| device))
                });
                file.device = device;
                file.name = self.unidentified(source, entry);
            }
        }
        self.complete(held, &mut file);
        files.push(file);
    }

    /// The name of a socket of which nothing is known.
    pub(super) fn nameless(&self) -> Box<[u8]> {
        let text = if self.shared.options.no_tcp_udp {
            "can't identify protocol (-X specified)"
        } else {
            "can't identify protocol"
        };
        text.as_bytes().into()
    }

    /// What the kernel calls the protocol of a socket that no table has.
    fn unidentified(&self, source: &FileRowSource<'_>, entry: &CStr) -> Box<[u8]> {
        let path = source.path(&format!("fd/{}", entry.to_string_lossy()));
        let name = protocol_of(&path);
        if self.shared.options.no_tcp_udp || name.is_empty() {
            return self.nameless();
        }
        [&b"protocol: "[..], &name].concat().into()
    }
}

/// What an epoll instance watches, as its name: in order, of the first 32.
fn watched(descriptors: &[u32]) -> Option<String> {
    const MOST: usize = 32;
    if descriptors.is_empty() {
        return None;
    }
    let mut first: Vec<u32> = descriptors.iter().copied().take(MOST).collect();
    first.sort_unstable();
    let shown: Vec<String> = first.iter().map(u32::to_string).collect();
    let more = if descriptors.len() > MOST { "..." } else { "" };
    Some(format!("[eventpoll:{}{more}]", shown.join(",")))
}
