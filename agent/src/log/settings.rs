//! What is written, where, and for how long.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use super::{error::LogSettingsError, granularity::Granularity};

/// What is written, where, and for how long.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogSettings {
    /// The folder, made if it is not there.
    pub folder: PathBuf,
    /// What a line looks like.
    pub format: LogFormat,
    /// Which rows an interval has, each once.
    pub granularities: Vec<Granularity>,
    /// Rows of each granularity in an interval, those with the most bytes; `None`: all of them.
    pub top: Option<usize>,
    /// How long an interval is: 1 s to 1 h, ends at its multiples on the wall clock.
    pub interval: Duration,
    /// What becomes of a closed file.
    pub compress: Compression,
    /// Most bytes of a file before it is compressed; `None`: no limit.
    pub rotate_size: Option<u64>,
    /// A file is closed at multiples of this on the wall clock (UTC); `None`: never for this.
    pub rotate_every: Option<Duration>,
    /// Most files, the one that is written among them; `None`: no limit.
    pub keep_files: Option<usize>,
    /// How long a file is kept after its last line; `None`: no limit.
    pub keep_age: Option<Duration>,
    /// Most bytes of all files as they are on the disk; `None`: no limit.
    pub keep_size: Option<u64>,
    /// Permission bits of a file.
    pub mode: u32,
    /// Numeric group of a file; `None`: that of the process.
    pub group: Option<u32>,
    /// When the disk itself must have what was written.
    pub sync: SyncPolicy,
    /// Most conversations of an interval that are kept apart; the rest is in `other`.
    pub max_flows: usize,
}

impl Default for LogSettings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            folder: PathBuf::from("/var/log/flowtally"),
            format: LogFormat::JsonLines,
            granularities: vec![Granularity::Flow, Granularity::Process],
            top: None,
            interval: Duration::from_secs(10),
            compress: Compression::Zstd(Compression::ZSTD_LEVEL),
            rotate_size: Some(128 << 20),
            rotate_every: Some(DAY),
            keep_files: None,
            keep_age: Some(DAY * 7),
            keep_size: Some(5_000_000_000),
            mode: 0o640,
            group: None,
            sync: SyncPolicy::Close,
            max_flows: 1 << 19,
        }
    }
}

impl LogSettings {
    /// Shortest and longest interval.
    pub const INTERVALS: [Duration; 2] = [Duration::from_secs(1), Duration::from_hours(1)];

    /// Whether all of it can be.
    ///
    /// # Errors
    /// With the first setting that cannot.
    pub fn check(&self) -> Result<(), LogSettingsError> {
        let range = |what, found: &dyn fmt::Debug, use_instead| {
            Err(LogSettingsError::Range { what, found: format!("{found:?}"), use_instead })
        };
        let [shortest, longest] = Self::INTERVALS;
        if !(shortest..=longest).contains(&self.interval) || self.interval.subsec_nanos() != 0 {
            return range("the interval of the log", &self.interval, "1s to 1h, in whole seconds");
        }
        if self.granularities.is_empty() {
            return range(
                "the list of rows of the log",
                &0,
                "at least one of flow, process, remote, port, container, user, interface",
            );
        }
        if self.max_flows == 0 {
            return range("the number of flows of the log", &self.max_flows, "at least 1");
        }
        if self.rotate_size.is_some_and(|size| size < Self::SMALLEST_FILE) {
            return range(
                "the size of a file of the log",
                &self.rotate_size.unwrap_or_default(),
                "at least 64 KB",
            );
        }
        if self.rotate_every.is_some_and(|every| every < self.interval) {
            return range(
                "the time of a file of the log",
                &self.rotate_every.unwrap_or_default(),
                "at least the interval",
            );
        }
        match self.compress {
            Compression::Gzip(level) if !(1..=9).contains(&level) => {
                range("the level of gzip", &level, "1 to 9")
            }
            Compression::Zstd(level) if !(1..=19).contains(&level) => {
                range("the level of zstd", &level, "1 to 19")
            }
            _ => Ok(()),
        }
    }

    /// 64 KB, as the documents say it.
    const SMALLEST_FILE: u64 = 64_000;
}

/// What a line looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum LogFormat {
    /// A JSON object on each line.
    #[default]
    JsonLines,
    /// Comma-separated values, below a line of names.
    Csv,
}

impl LogFormat {
    /// Behind the point of a file's name.
    #[must_use]
    pub const fn extension(self) -> &'static str {
        match self {
            Self::JsonLines => "jsonl",
            Self::Csv => "csv",
        }
    }
}

impl fmt::Display for LogFormat {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.extension())
    }
}

impl FromStr for LogFormat {
    type Err = LogSettingsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "jsonl" => Ok(Self::JsonLines),
            "csv" => Ok(Self::Csv),
            _ => Err(LogSettingsError::Word {
                word: word.to_owned(),
                what: "format of the log",
                use_instead: "jsonl or csv",
            }),
        }
    }
}

/// What becomes of a closed file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// It stays as it is.
    None,
    /// gzip, at a level of 1 to 9.
    Gzip(u8),
    /// Zstandard, at a level of 1 to 19.
    Zstd(u8),
}

impl Compression {
    /// Of gzip, where none is named.
    pub const GZIP_LEVEL: u8 = 6;
    /// Of Zstandard, where none is named.
    pub const ZSTD_LEVEL: u8 = 11;

    /// What it adds to a file's name.
    #[must_use]
    pub const fn extension(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Gzip(_) => Some("gz"),
            Self::Zstd(_) => Some("zst"),
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::None => f.pad("none"),
            Self::Gzip(level) => write!(f, "gzip:{level}"),
            Self::Zstd(level) => write!(f, "zstd:{level}"),
        }
    }
}

/// `none`, `gzip`, `zstd`, the latter two also with a level: `zstd:9`.
impl FromStr for Compression {
    type Err = LogSettingsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        let error = || LogSettingsError::Word {
            word: word.to_owned(),
            what: "compression of the log",
            use_instead: "none, gzip or zstd, or one of these with a level: gzip:1 to gzip:9, zstd:1 to zstd:19",
        };
        let (name, level) = match word.split_once(':') {
            Some((name, level)) => (name, Some(level.parse::<u8>().map_err(|_| error())?)),
            None => (word, None),
        };
        match (name, level) {
            ("none", None) => Ok(Self::None),
            ("gzip", level @ (None | Some(1..=9))) => Ok(Self::Gzip(level.unwrap_or(Self::GZIP_LEVEL))),
            ("zstd", level @ (None | Some(1..=19))) => Ok(Self::Zstd(level.unwrap_or(Self::ZSTD_LEVEL))),
            _ => Err(error()),
        }
    }
}

/// When the disk itself must have what was written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SyncPolicy {
    /// When the kernel likes.
    Never,
    /// After each interval.
    Interval,
    /// When a file is closed.
    #[default]
    Close,
}

impl fmt::Display for SyncPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Never => "never",
            Self::Interval => "interval",
            Self::Close => "close",
        })
    }
}

impl FromStr for SyncPolicy {
    type Err = LogSettingsError;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "never" => Ok(Self::Never),
            "interval" => Ok(Self::Interval),
            "close" => Ok(Self::Close),
            _ => Err(LogSettingsError::Word {
                word: word.to_owned(),
                what: "time to sync the log",
                use_instead: "never, interval or close",
            }),
        }
    }
}
