//! What is listed: the classes of a search, what meets them, and what of the search was met.

mod found;
pub mod pattern;
mod process;
mod sockets;

use super::arguments::{FdItem, FdSet, LsofOptions, Tasks};
use super::model::Fd;

pub use found::{FoundItems, SearchItem};
pub use process::{About, process};
pub use sockets::{internet, may_meet, state_allows};

/// A set of classes of selection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SelectionClasses(u16);

impl SelectionClasses {
    /// None.
    pub const NONE: Self = Self(0);
    /// `-c`.
    pub const COMMAND: Self = Self(1);
    /// `-d`.
    pub const FD: Self = Self(1 << 1);
    /// `-i ADDRESS`.
    pub const ADDRESS: Self = Self(1 << 2);
    /// `-i`.
    pub const INTERNET: Self = Self(1 << 3);
    /// `-N`.
    pub const NFS: Self = Self(1 << 4);
    /// `-U`.
    pub const UNIX: Self = Self(1 << 5);
    /// `-g`.
    pub const GROUP: Self = Self(1 << 6);
    /// `-p`.
    pub const PID: Self = Self(1 << 7);
    /// `-u`.
    pub const USER: Self = Self(1 << 8);
    /// `-K`.
    pub const TASK: Self = Self(1 << 9);
    /// `+LN`.
    pub const LINKS: Self = Self(1 << 10);
    /// Names, `+d`, `+D`.
    pub const NAME: Self = Self(1 << 11);
    /// `-Z`.
    pub const CONTEXT: Self = Self(1 << 12);
    /// Those that all files of a process meet or miss together.
    pub const PROCESS: Self =
        Self(Self::COMMAND.0 | Self::GROUP.0 | Self::PID.0 | Self::USER.0 | Self::TASK.0 | Self::CONTEXT.0);
    /// Those that only sockets meet. A UNIX socket may also be met by its name.
    pub const SOCKET: Self = Self(Self::ADDRESS.0 | Self::INTERNET.0 | Self::UNIX.0);
    /// Those that need a file's stat.
    pub const STAT: Self = Self(Self::LINKS.0 | Self::NAME.0 | Self::NFS.0);

    /// The classes that a command line asks for.
    #[must_use]
    pub fn requested(options: &LsofOptions) -> Self {
        let given = [
            (Self::COMMAND, options.commands.iter().any(|it| !it.exclude) || !options.patterns.is_empty()),
            (Self::FD, options.fds.is_some()),
            (Self::ADDRESS, !options.addresses.is_empty()),
            (Self::INTERNET, options.internet.is_some()),
            (Self::NFS, options.nfs),
            (Self::UNIX, options.unix),
            (Self::GROUP, !options.groups.include.is_empty()),
            (Self::PID, !options.pids.include.is_empty()),
            (Self::USER, !options.users.is_empty()),
            (Self::TASK, options.tasks == Tasks::Select),
            (Self::LINKS, options.links_below.is_some()),
            (Self::NAME, !options.names.is_empty() || !options.directories.is_empty()),
            (Self::CONTEXT, options.contexts.as_ref().is_some_and(|list| !list.is_empty())),
        ];
        given.into_iter().filter(|(_, given)| *given).fold(Self::NONE, |all, (class, _)| all.with(class))
    }

    /// Whether a search for these may ask on which file system something is: one for sockets alone does not.
    #[must_use]
    pub const fn needs_mounts(self) -> bool {
        self.0 == 0 || self.0 & !Self::SOCKET.0 != 0
    }

    /// Both.
    #[must_use]
    pub const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// The classes of `self` that are not in `other`.
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Those in both.
    #[must_use]
    pub const fn common(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    /// Whether there are none.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// Whether any class of `other` is here.
    #[must_use]
    pub const fn any(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    /// Whether all classes of `other` are here.
    #[must_use]
    pub const fn all(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }
}

/// The classes asked for, and how they are joined.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectionRule {
    /// What was asked for; nothing for everything.
    pub requested: SelectionClasses,
    /// `-a`.
    pub and: bool,
}

impl SelectionRule {
    /// Of a command line.
    #[must_use]
    pub fn new(options: &LsofOptions) -> Self {
        Self { requested: SelectionClasses::requested(options), and: options.and }
    }

    /// Whether what meets the classes in `met` is listed.
    #[must_use]
    pub const fn selects(self, met: SelectionClasses) -> bool {
        if self.requested.is_empty() {
            true
        } else if self.and {
            met.all(self.requested)
        } else {
            met.any(self.requested)
        }
    }

    /// Whether what meets the classes in `met` would be listed if it met those in `open` too, of which nothing is known yet.
    #[must_use]
    pub const fn may_select(self, met: SelectionClasses, open: SelectionClasses) -> bool {
        self.selects(met.with(open))
    }
}

/// Whether a descriptor meets `-d`.
#[must_use]
pub fn fd(set: Option<&FdSet>, fd: Fd) -> bool {
    let Some(set) = set else { return false };
    let has = set.items.iter().any(|item| match (item, fd) {
        (FdItem::Numbers(from, to), Fd::Number(number)) => (*from..=*to).contains(&number),
        (FdItem::Name(name), fd) => fd.name().is_some_and(|other| other.as_bytes() == name),
        (FdItem::Numbers(..), _) => false,
    });
    has != set.exclude
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ored_or_anded() {
        let requested = SelectionClasses::PID.with(SelectionClasses::INTERNET);
        let or = SelectionRule { requested, and: false };
        let and = SelectionRule { requested, and: true };
        assert!(or.selects(SelectionClasses::PID) && !and.selects(SelectionClasses::PID));
        assert!(and.selects(requested) && !or.selects(SelectionClasses::UNIX));
        assert!(
            SelectionRule { requested: SelectionClasses::NONE, and: false }.selects(SelectionClasses::NONE)
        );
        assert!(
            and.may_select(SelectionClasses::PID, SelectionClasses::SOCKET)
                && !and.may_select(SelectionClasses::NONE, SelectionClasses::SOCKET)
        );
    }

    #[test]
    fn descriptors_are_in_a_set_or_not() {
        let items = vec![FdItem::Numbers(1, 3), FdItem::Name(b"cwd".to_vec())];
        let include = FdSet { exclude: false, items };
        let exclude = FdSet { exclude: true, items: include.items.clone() };
        for (held, met) in
            [(Fd::Number(2), true), (Fd::Cwd, true), (Fd::Number(4), false), (Fd::Memory, false)]
        {
            assert_eq!(fd(Some(&include), held), met);
            assert_eq!(fd(Some(&exclude), held), !met);
        }
        assert!(!fd(None, Fd::Cwd));
    }
}
