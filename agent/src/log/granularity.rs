//! What the rows of the log are.

use std::{fmt, str::FromStr};

use super::error::LogSettingsError;
use crate::flow::group::OwnerPart;

/// What the rows of an interval are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Granularity {
    /// Conversations.
    Flow,
    /// Processes, or the processes that share a socket.
    Process,
    /// Remote addresses.
    Remote,
    /// Protocols and ports of services.
    Port,
    /// Containers and systemd units.
    Container,
    /// Users.
    User,
    /// Interfaces.
    Interface,
}

impl Granularity {
    /// All there are.
    pub const ALL: [Self; 7] =
        [Self::Flow, Self::Process, Self::Remote, Self::Port, Self::Container, Self::User, Self::Interface];

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
