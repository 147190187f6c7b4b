//! What the rows of the log are.

use std::{fmt, str::FromStr};

use super::error::LogSettingsError;
use crate::flow::group::OwnerPart;

/// What the rows of an interval are. In this order the ones before are coarser than the ones after, where both have the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// Interfaces.
    Interface,
    /// Users.
    User,
    /// Containers and systemd units.
    Container,
    /// Protocols and ports of services.
    Port,
    /// Remote addresses.
    Remote,
    /// Processes, or the processes that share a socket.
    Process,
    /// Conversations.
    Flow,
}

impl Granularity {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Flow, Self::Process, Self::Remote, Self::Port, Self::Container, Self::User, Self::Interface];

    /// The same in their order, for looking for what is enough.
    pub const COARSEST_FIRST: [Self; 7] =
        [Self::Interface, Self::User, Self::Container, Self::Port, Self::Remote, Self::Process, Self::Flow];

    /// Its name: what `record` says in a row.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Flow => "flow",
            Self::Process => "process",
            Self::Remote => "remote",
            Self::Port => "port",
            Self::Container => "container",
            Self::User => "user",
            Self::Interface => "interface",
        }
    }

    /// The one of this name.
    #[must_use]
    pub fn of_code(code: &[u8]) -> Option<Self> {
        Self::ALL.into_iter().find(|granularity| granularity.code().as_bytes() == code)
    }

    /// Which part of an owner it is by, if it is by owner.
    pub(super) const fn of_owner(self) -> Option<OwnerPart> {
        match self {
            Self::Process => Some(OwnerPart::Process),
            Self::Container => Some(OwnerPart::Container),
            Self::User => Some(OwnerPart::User),
            _ => None,
        }
    }
}

impl fmt::Display for Granularity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for Granularity {
    type Err = LogSettingsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|granularity| granularity.code() == word).ok_or_else(|| {
            LogSettingsError::Word {
                word: word.to_owned(),
                what: "kind of row of the log",
                use_instead: "flow, process, remote, port, container, user or interface",
            }
        })
    }
}
