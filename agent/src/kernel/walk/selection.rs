//! What of the kernel's tables is wanted. Pure.

use flowtally_common::walk::{SET_BITS, WalkSelection, WalkSet, place, want};

/// Which kinds of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FileKinds {
    /// All.
    #[default]
    All,
    /// Sockets alone.
    Sockets,
    /// Whatever is no socket.
    NoSockets,
}

/// Which open files are wanted, and what of each. Of a file whose file system answers stat(2) by itself ([`WalkedInode::exact`] is
/// false) the kernel cannot say whether it is wanted by its inode, its device or its links: it is handed over.
///
/// [`WalkedInode::exact`]: super::WalkedInode::exact
#[derive(Clone, Copy, Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "a set, whose members have names")]
pub struct FileSelection<'a> {
    /// One process alone, with all its threads' tables; `None` for all.
    pub process: Option<u32>,
    /// Sockets, or everything else.
    pub kind: FileKinds,
    /// The first and the last descriptor; `None` for all.
    pub descriptors: Option<(u32, u32)>,
    /// Only files without a link left.
    pub unlinked: bool,
    /// Only files whose inode number is in the set, or looks like one that is.
    pub inodes: Option<&'a IdSet>,
    /// Only files of the file system with this device: its major and its minor number.
    pub device: Option<(u32, u32)>,
    /// Of sockets only those of the Internet families with a port, of whichever end, in the set. Goes before `inodes`.
    pub ports: Option<&'a IdSet>,
    /// What the link in /proc says.
    pub path: bool,
    /// Whether it is closed on exec(2).
    pub close_on_exec: bool,
    /// What sockets are.
    pub socket: bool,
    /// The kernel's address of each socket, as it prints it.
    pub socket_address: bool,
    /// Of sockets only those of the Internet families.
    pub internet: bool,
    /// Whether anybody has a lock on it.
    pub locks: bool,
}

/// Which mappings of files are wanted. As of open files.
#[derive(Clone, Copy, Debug, Default)]
pub struct MappingSelection<'a> {
    /// One process alone; `None` for all.
    pub process: Option<u32>,
    /// Only files without a link left.
    pub unlinked: bool,
    /// Only files whose inode number is in the set, or looks like one that is.
    pub inodes: Option<&'a IdSet>,
    /// Only files of the file system with this device.
    pub device: Option<(u32, u32)>,
    /// What the link in /proc says.
    pub path: bool,
    /// Of mappings of one file that follow each other only the first.
    pub distinct: bool,
}

/// Which tasks are wanted.
#[derive(Clone, Copy, Debug, Default)]
pub struct TaskSelection {
    /// One process alone; `None` for all.
    pub process: Option<u32>,
    /// Threads that are not the first, too.
    pub threads: bool,
}

/// Numbers, of inodes or ports, that the kernel looks for: ports exactly, large numbers with others that cannot be told from them, one in
/// a hundred where there are a few hundred.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdSet(Box<WalkSet>);

impl Default for IdSet {
    fn default() -> Self {
        Self(Box::new(WalkSet([0; (SET_BITS / 64) as usize])))
    }
}

impl IdSet {
    /// Adds a number.
    pub fn insert(&mut self, number: u64) {
        let place = place(number);
        if let Ok(word) = usize::try_from(place / 64)
            && let Some(word) = self.0.0.get_mut(word)
        {
            *word |= 1 << (place % 64);
        }
    }

    /// Whether it has a number, or one that cannot be told from it.
    #[must_use]
    pub fn has(&self, number: u64) -> bool {
        let place = place(number);
        let word = usize::try_from(place / 64).ok().and_then(|word| self.0.0.get(word));
        word.is_some_and(|word| word >> (place % 64) & 1 == 1)
    }
}

impl FromIterator<u64> for IdSet {
    fn from_iter<I: IntoIterator<Item = u64>>(numbers: I) -> Self {
        let mut set = Self::default();
        numbers.into_iter().for_each(|number| set.insert(number));
        set
    }
}

/// A device's number as the kernel has it (`include/linux/kdev_t.h`).
const fn device((major, minor): (u32, u32)) -> u32 {
    major << 20 | minor & 0xf_ffff
}

/// Bits that are set where a condition holds.
fn bits(conditions: &[(bool, u32)]) -> u32 {
    conditions.iter().filter(|(holds, _)| *holds).fold(0, |all, (_, bit)| all | bit)
}

impl FileSelection<'_> {
    pub(super) fn words(&self) -> WalkSelection {
        let (first, last) = self.descriptors.unwrap_or((0, u32::MAX));
        WalkSelection {
            descriptors: [first, last],
            process: self.process.unwrap_or(0),
            device: self.device.map_or(0, device),
            ..WalkSelection::default()
        }
    }

    /// What a program is loaded with: [`want`].
    pub(super) fn want(&self) -> u32 {
        bits(&[
            (self.kind != FileKinds::NoSockets, want::SOCKETS),
            (self.kind != FileKinds::Sockets, want::FILES),
            (self.unlinked, want::UNLINKED),
            (self.inodes.is_some() && self.ports.is_none(), want::INODES),
            (self.ports.is_some(), want::PORTS),
            (self.path, want::PATH),
            (self.close_on_exec, want::CLOSE_ON_EXEC),
            (self.socket || self.socket_address, want::SOCKET),
            (self.socket_address, want::ADDRESS),
            (self.internet, want::INTERNET),
            (self.locks, want::LOCKS),
        ])
    }

    pub(super) fn set(&self) -> Option<&WalkSet> {
        self.ports.or(self.inodes).map(|set| &*set.0)
    }
}

impl MappingSelection<'_> {
    pub(super) fn words(&self) -> WalkSelection {
        WalkSelection {
            process: self.process.unwrap_or(0),
            device: self.device.map_or(0, device),
            ..WalkSelection::default()
        }
    }

    pub(super) fn want(&self) -> u32 {
        bits(&[
            (self.unlinked, want::UNLINKED),
            (self.inodes.is_some(), want::INODES),
            (self.path, want::PATH),
            (self.distinct, want::DISTINCT),
        ])
    }

    pub(super) fn set(&self) -> Option<&WalkSet> {
        self.inodes.map(|set| &*set.0)
    }
}

impl TaskSelection {
    pub(super) fn words(&self) -> WalkSelection {
        WalkSelection { process: self.process.unwrap_or(0), ..WalkSelection::default() }
    }

    pub(super) fn want(&self) -> u32 {
        bits(&[(self.threads, want::THREADS)])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn nothing_said_is_everything() {
        let all = FileSelection::default();
        let words = all.words();
        assert_eq!(all.want(), want::SOCKETS | want::FILES);
        assert_eq!((words.descriptors, words.process, words.device), ([0, u32::MAX], 0, 0));
        let some = FileSelection { device: Some((8, 1)), socket_address: true, ..all };
        assert_eq!((some.words().device, some.want() & want::SOCKET), (8 << 20 | 1, want::SOCKET));
    }

    proptest! {
        #[test]
        fn a_set_has_what_was_put_in(numbers in prop::collection::vec(any::<u64>(), 0..50), other: u16) {
            let set: IdSet = numbers.iter().copied().collect();
            prop_assert!(numbers.iter().all(|number| set.has(*number)));
            let ports: IdSet = [u64::from(other)].into_iter().collect();
            prop_assert!((0..=u16::MAX).all(|port| ports.has(port.into()) == (port == other)));
        }
    }
}
