//! Which series there are, and how many.

use std::{fmt, str::FromStr, time::Duration};

/// What series are of, beside interfaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum MetricsBy {
    /// Processes.
    Process,
    /// Remote addresses.
    Remote,
    /// Protocols and ports of services.
    Port,
    /// Containers and systemd units.
    Container,
    /// Users.
    User,
}

impl MetricsBy {
    /// All there are.
    pub const ALL: [Self; 5] = [Self::Process, Self::Remote, Self::Port, Self::Container, Self::User];

    /// Its name, which is in the names of its metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Process => "process",
            Self::Remote => "remote",
            Self::Port => "port",
            Self::Container => "container",
            Self::User => "user",
        }
    }
}

impl fmt::Display for MetricsBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}

impl FromStr for MetricsBy {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        Self::ALL
            .into_iter()
            .find(|by| by.code() == word)
            .ok_or_else(|| format!("{word:?} is nothing that there are metrics of: use process, remote, port, container or user, or none"))
    }
}

/// Which series there are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MetricsSettings {
    /// What they are of; nothing: of interfaces alone.
    pub by: Vec<MetricsBy>,
    /// How many of each kind have amounts of their own at one time.
    pub top: usize,
    /// How long one stays that is not among the largest any more.
    pub retention: Duration,
}

impl Default for MetricsSettings {
    fn default() -> Self {
        Self { by: vec![MetricsBy::Process], top: 100, retention: Duration::from_hours(1) }
    }
}

impl MetricsSettings {
    const MOST: usize = 10_000;
    const SHORTEST: Duration = Duration::from_mins(1);
    const LONGEST: Duration = Duration::from_hours(30 * 24);
    /// Amounts of what has a name: sent and received, bytes and packets.
    const AMOUNTS: usize = 4;
    /// Series of an interface: counted, the kernel's and the residue by direction, four amounts of both directions, two states.
    const OF_INTERFACE: usize = 3 * Self::AMOUNTS + 4 * 2 + 2;

    /// Whether it makes sense.
    ///
    /// # Errors
    /// Says what would.
    pub fn check(&self) -> Result<(), String> {
        let Self { top, retention, .. } = self;
        if !(1..=Self::MOST).contains(top) {
            return Err(format!("{top} series of a kind: use 1 to {}", Self::MOST));
        }
        if !(Self::SHORTEST..=Self::LONGEST).contains(retention) {
            let given = humantime::format_duration(*retention);
            return Err(format!("{given} is no time to keep a series for: use 1m to 30d"));
        }
        Ok(())
    }

    /// Most series of all processes, remotes and so on, whatever the traffic.
    #[must_use]
    pub fn most_named(&self) -> usize {
        self.by.len() * self.top * Self::AMOUNTS
    }

    /// Series of each interface: its own amounts, and `other` and what is retired of each kind.
    #[must_use]
    pub fn of_interface(&self) -> usize {
        Self::OF_INTERFACE + self.by.len() * 2 * Self::AMOUNTS
    }
}
