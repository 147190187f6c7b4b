//! What the agent is told to do: one list of keys, which are the flags of `flowtally agent` and the keys of `[agent]` in the configuration.

use std::{collections::BTreeMap, fmt, net::SocketAddr, path::PathBuf, str::FromStr, time::Duration};

use crate::{
    log::{Granularity, LogSettings},
    metrics::{MetricsBy, MetricsSettings},
};

/// Where the socket of the agent is, unless `$RUNTIME_DIRECTORY` says otherwise.
pub const RUNTIME_FOLDER: &str = "/run/flowtally";
/// The name of the socket in that folder.
pub const SOCKET_NAME: &str = "agent.sock";

/// A setting of the agent. Its value is text, from the command line or a file, and is read in one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AgentKey {
    /// The folder of the log.
    Log,
    /// Whether there is no log.
    NoLog,
    /// How long an interval of the log is.
    Interval,
    /// Which rows an interval has.
    Rows,
    /// How many rows of each kind.
    Top,
    /// What a line of the log looks like.
    LogFormat,
    /// What becomes of a closed file.
    Compress,
    /// Most bytes of a file.
    RotateSize,
    /// How long one file is written.
    RotateTime,
    /// Most files.
    KeepFiles,
    /// How long a file is kept.
    KeepAge,
    /// Most bytes of all files.
    KeepSize,
    /// Permission bits of a file.
    FileMode,
    /// Group of a file.
    FileGroup,
    /// When the disk must have what was written.
    Sync,
    /// Most flows of an interval that are kept apart.
    MaxLogFlows,
    /// Whether to find out whose traffic it is.
    Owners,
    /// Whether the agent gives up what it does not need.
    Sandbox,
    /// Where it can be asked.
    Socket,
    /// At which address Prometheus is answered.
    Metrics,
    /// What there are metrics of, beside interfaces.
    MetricsBy,
    /// How many series of each kind.
    MetricsTop,
    /// How long a series stays.
    MetricsRetention,
    /// Who may ask for metrics.
    MetricsTokenFile,
}

/// What a key is for, which does not depend on its value.
#[derive(Clone, Copy, Debug)]
pub struct KeyFacts {
    /// Its name: `--NAME` on the command line, `NAME` in the configuration.
    pub name: &'static str,
    /// Whether it can change while the agent runs.
    pub changes: bool,
}

impl AgentKey {
    /// All of them, in the order of the documents.
    pub const ALL: [Self; 24] = [
        Self::Log,
        Self::NoLog,
        Self::Interval,
        Self::Rows,
        Self::Top,
        Self::LogFormat,
        Self::Compress,
        Self::RotateSize,
        Self::RotateTime,
        Self::KeepFiles,
        Self::KeepAge,
        Self::KeepSize,
        Self::FileMode,
        Self::FileGroup,
        Self::Sync,
        Self::MaxLogFlows,
        Self::Owners,
        Self::Sandbox,
        Self::Socket,
        Self::Metrics,
        Self::MetricsBy,
        Self::MetricsTop,
        Self::MetricsRetention,
        Self::MetricsTokenFile,
    ];

    /// What it is for.
    #[must_use]
    pub const fn facts(self) -> KeyFacts {
        let (name, changes) = match self {
            // The sandbox lets files be written below one folder.
            Self::Log => ("log", false),
            Self::NoLog => ("no-log", false),
            Self::Interval => ("interval", true),
            Self::Rows => ("rows", true),
            Self::Top => ("top", true),
            Self::LogFormat => ("log-format", true),
            Self::Compress => ("compress", true),
            Self::RotateSize => ("rotate-size", true),
            Self::RotateTime => ("rotate-time", true),
            Self::KeepFiles => ("keep-files", true),
            Self::KeepAge => ("keep-age", true),
            Self::KeepSize => ("keep-size", true),
            Self::FileMode => ("file-mode", true),
            // To give a file to a group takes a right that is dropped where no group is named at the start.
            Self::FileGroup => ("file-group", false),
            Self::Sync => ("sync", true),
            Self::MaxLogFlows => ("max-log-flows", true),
            Self::Owners => ("owners", false),
            Self::Sandbox => ("sandbox", false),
            Self::Socket => ("socket", false),
            // Who listens at a port below 1024 needs a right that is dropped.
            Self::Metrics => ("metrics", false),
            Self::MetricsBy => ("metrics-by", true),
            Self::MetricsTop => ("metrics-top", true),
            Self::MetricsRetention => ("metrics-retention", true),
            Self::MetricsTokenFile => ("metrics-token-file", true),
        };
        KeyFacts { name, changes }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        self.facts().name
    }

    /// The key of a name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|key| key.name() == name)
    }
}

/// Keys and what they are set to, as text.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentWords(BTreeMap<AgentKey, String>);

impl AgentWords {
    /// Sets a key, if the text makes sense for it.
    ///
    /// # Errors
    /// Says what is wrong, and what would be right.
    pub fn set(&mut self, key: AgentKey, text: &str) -> Result<(), String> {
        let mut alone = AgentSettings::default();
        alone.apply(key, text)?;
        alone.metrics.check()?;
        // How long a file is written is compared with the interval, which may be said elsewhere.
        let log = LogSettings { rotate_every: None, ..alone.log };
        log.check().map_err(|error| error.to_string())?;
        self.0.insert(key, text.to_owned());
        Ok(())
    }

    /// These, and those of `other` where there is none here. Whoever says where the log is wants one, whatever a file says.
    #[must_use]
    pub fn or(mut self, other: Self) -> Self {
        let (here, no_log) = (self.0.contains_key(&AgentKey::Log), self.0.contains_key(&AgentKey::NoLog));
        for (key, text) in other.0 {
            if key == AgentKey::NoLog && here && !no_log {
                continue;
            }
            self.0.entry(key).or_insert(text);
        }
        self
    }

    /// Whether a key is set.
    #[must_use]
    pub fn has(&self, key: AgentKey) -> bool {
        self.0.contains_key(&key)
    }

    /// The settings that they make, from those of a host of this environment.
    ///
    /// # Errors
    /// Says which two do not go together.
    pub fn settings(&self, environment: &AgentEnvironment) -> Result<AgentSettings, AgentConflict> {
        let mut settings = AgentSettings::for_environment(environment);
        for (key, text) in &self.0 {
            settings.apply(*key, text).map_err(|message| AgentConflict { key: *key, message })?;
        }
        let LogSettings { interval, rotate_every, .. } = settings.log;
        if settings.has_log && rotate_every.is_some_and(|every| every < interval) {
            let key = if self.has(AgentKey::RotateTime) { AgentKey::RotateTime } else { AgentKey::Interval };
            let message = format!(
                "a file cannot be shorter than an interval: rotate-time is {} and interval is {}",
                settings.value(AgentKey::RotateTime),
                settings.value(AgentKey::Interval)
            );
            return Err(AgentConflict { key, message });
        }
        Ok(settings)
    }
}

/// Two settings that do not go together.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", key.name())]
pub struct AgentConflict {
    /// One of the two, which somebody has set.
    pub key: AgentKey,
    /// Why they do not.
    pub message: String,
}

/// What the environment says: systemd names the folders of a unit.
#[derive(Clone, Debug, Default)]
pub struct AgentEnvironment {
    /// `$LOGS_DIRECTORY` (systemd.exec(5)): its first folder.
    pub logs: Option<PathBuf>,
    /// `$RUNTIME_DIRECTORY`.
    pub runtime: Option<PathBuf>,
}

/// What the agent is to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AgentSettings {
    /// Whether there is a log.
    pub has_log: bool,
    /// The log; its group is a name or a number still.
    pub log: LogSettings,
    /// Group of a file: a name or a number.
    pub group: Option<String>,
    /// Whether to find out whose traffic it is.
    pub owners: bool,
    /// Whether the agent gives up what it does not need.
    pub sandbox: bool,
    /// Where it can be asked.
    pub socket: PathBuf,
    /// At which address Prometheus is answered, if it is.
    pub metrics_address: Option<SocketAddr>,
    /// What it is told.
    pub metrics: MetricsSettings,
    /// The file with what whoever asks for metrics has to know.
    pub metrics_token: Option<PathBuf>,
}

impl Default for AgentSettings {
    fn default() -> Self {
        Self::for_environment(&AgentEnvironment::default())
    }
}

impl AgentSettings {
    fn for_environment(environment: &AgentEnvironment) -> Self {
        let mut log = LogSettings::default();
        if let Some(folder) = &environment.logs {
            log.folder.clone_from(folder);
        }
        let runtime = environment.runtime.clone().unwrap_or_else(|| RUNTIME_FOLDER.into());
        Self {
            has_log: true,
            log,
            group: None,
            owners: true,
            sandbox: true,
            socket: runtime.join(SOCKET_NAME),
            metrics_address: None,
            metrics: MetricsSettings::default(),
            metrics_token: None,
        }
    }

    fn apply(&mut self, key: AgentKey, text: &str) -> Result<(), String> {
        let log = &mut self.log;
        match key {
            AgentKey::Log => log.folder = path(text)?,
            AgentKey::NoLog => self.has_log = !boolean(text)?,
            AgentKey::Interval => log.interval = duration(text)?,
            AgentKey::Rows => log.granularities = granularities(text)?,
            AgentKey::Top => log.top = Some(number(text)?).filter(|rows| *rows > 0),
            AgentKey::LogFormat => log.format = parsed(text)?,
            AgentKey::Compress => log.compress = parsed(text)?,
            AgentKey::RotateSize => log.rotate_size = limit(text, size)?,
            AgentKey::RotateTime => log.rotate_every = limit(text, duration)?,
            AgentKey::KeepFiles => log.keep_files = limit(text, number)?,
            AgentKey::KeepAge => log.keep_age = limit(text, duration)?,
            AgentKey::KeepSize => log.keep_size = limit(text, size)?,
            AgentKey::FileMode => log.mode = mode(text)?,
            AgentKey::FileGroup => self.group = Some(text.to_owned()).filter(|group| !group.is_empty()),
            AgentKey::Sync => log.sync = parsed(text)?,
            AgentKey::MaxLogFlows => log.max_flows = number(text)?,
            AgentKey::Owners => self.owners = boolean(text)?,
            AgentKey::Sandbox => self.sandbox = boolean(text)?,
            AgentKey::Socket => self.socket = path(text)?,
            AgentKey::Metrics => self.metrics_address = limit(text, address)?,
            AgentKey::MetricsBy => self.metrics.by = metrics_by(text)?,
            AgentKey::MetricsTop => self.metrics.top = number(text)?,
            AgentKey::MetricsRetention => self.metrics.retention = duration(text)?,
            AgentKey::MetricsTokenFile => self.metrics_token = limit(text, path)?,
        }
        Ok(())
    }

    /// A key's value, as it would be written.
    #[must_use]
    pub fn value(&self, key: AgentKey) -> String {
        let Self { has_log, log, group, owners, sandbox, socket, metrics_address, metrics, metrics_token } =
            self;
        let time = |limit: Option<Duration>| {
            limit.map_or_else(none, |limit| humantime::format_duration(limit).to_string())
        };
        let bytes = |limit: Option<u64>| limit.map_or_else(none, size_text);
        match key {
            AgentKey::Log => log.folder.display().to_string(),
            AgentKey::NoLog => (!has_log).to_string(),
            AgentKey::Interval => time(Some(log.interval)),
            AgentKey::Rows => {
                let names: Vec<_> = log.granularities.iter().map(ToString::to_string).collect();
                names.join(",")
            }
            AgentKey::Top => log.top.unwrap_or(0).to_string(),
            AgentKey::LogFormat => log.format.to_string(),
            AgentKey::Compress => log.compress.to_string(),
            AgentKey::RotateSize => bytes(log.rotate_size),
            AgentKey::RotateTime => time(log.rotate_every),
            AgentKey::KeepFiles => log.keep_files.map_or_else(none, |files| files.to_string()),
            AgentKey::KeepAge => time(log.keep_age),
            AgentKey::KeepSize => bytes(log.keep_size),
            AgentKey::FileMode => format!("0{:03o}", log.mode),
            AgentKey::FileGroup => group.clone().unwrap_or_default(),
            AgentKey::Sync => log.sync.to_string(),
            AgentKey::MaxLogFlows => log.max_flows.to_string(),
            AgentKey::Owners => owners.to_string(),
            AgentKey::Sandbox => sandbox.to_string(),
            AgentKey::Socket => socket.display().to_string(),
            AgentKey::Metrics => metrics_address.map_or_else(none, |address| address.to_string()),
            AgentKey::MetricsBy if metrics.by.is_empty() => none(),
            AgentKey::MetricsBy => {
                let names: Vec<_> = metrics.by.iter().map(ToString::to_string).collect();
                names.join(",")
            }
            AgentKey::MetricsTop => metrics.top.to_string(),
            AgentKey::MetricsRetention => time(Some(metrics.retention)),
            AgentKey::MetricsTokenFile => {
                metrics_token.as_ref().map_or_else(none, |path| path.display().to_string())
            }
        }
    }

    /// The settings that take the place of these while the agent runs, and the keys that cannot change and stay as they are.
    #[must_use]
    pub fn changed_to(&self, new: &Self) -> (Self, Vec<AgentKey>) {
        let stays = |key: &AgentKey| !key.facts().changes && self.value(*key) != new.value(*key);
        let left = AgentKey::ALL.into_iter().filter(stays).collect();
        let log = LogSettings { folder: self.log.folder.clone(), group: self.log.group, ..new.log.clone() };
        let (metrics, metrics_token) = (new.metrics.clone(), new.metrics_token.clone());
        (Self { log, metrics, metrics_token, ..self.clone() }, left)
    }
}

/// What a limit is called that there is none of.
const NONE: &str = "none";

fn none() -> String {
    NONE.to_owned()
}

fn limit<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Option<T>, String> {
    if text == NONE { Ok(None) } else { parse(text).map(Some).map_err(|error| format!("{error}; or {NONE}")) }
}

fn parsed<T: FromStr<Err: fmt::Display>>(text: &str) -> Result<T, String> {
    text.parse().map_err(|error: T::Err| error.to_string())
}

fn boolean(text: &str) -> Result<bool, String> {
    text.parse().map_err(|_| format!("{text:?} is neither true nor false"))
}

fn path(text: &str) -> Result<PathBuf, String> {
    let path = PathBuf::from(text);
    if path.is_absolute() { Ok(path) } else { Err(format!("{text:?} is no absolute path: it begins with /")) }
}

/// An address and a port.
fn address(text: &str) -> Result<SocketAddr, String> {
    text.parse().map_err(|_| {
        format!("{text:?} is no address with a port: use such as 127.0.0.1:9925, [::1]:9925 or 0.0.0.0:9925")
    })
}

fn metrics_by(text: &str) -> Result<Vec<MetricsBy>, String> {
    let mut all = Vec::new();
    if !matches!(text, "" | NONE) {
        for word in text.split(',').map(str::trim) {
            let by = word.parse()?;
            if !all.contains(&by) {
                all.push(by);
            }
        }
    }
    Ok(all)
}

fn number(text: &str) -> Result<usize, String> {
    text.parse().map_err(|_| format!("{text:?} is no whole number from 0"))
}

/// A time such as `10s`, `1h 30m`, `7d`.
fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text)
        .map_err(|error| format!("{text:?} is no time such as 10s, 5m, 1h or 7d: {error}"))
}

/// Units of sizes: decimal ones as disks are sold, binary ones as memory is.
const SIZES: [(&str, u64); 9] = [
    ("KiB", 1 << 10),
    ("MiB", 1 << 20),
    ("GiB", 1 << 30),
    ("KB", 1_000),
    ("MB", 1_000_000),
    ("GB", 1_000_000_000),
    ("K", 1 << 10),
    ("M", 1 << 20),
    ("G", 1 << 30),
];

/// Bytes, or such as `64M` (MiB), `5GB`.
fn size(text: &str) -> Result<u64, String> {
    let error = || format!("{text:?} is no size: use bytes, or such as 64M, 256MiB, 5GB");
    let (digits, unit) = match SIZES.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))) {
        Some((digits, unit)) => (digits, unit),
        None => (text, 1),
    };
    digits.trim().parse::<u64>().ok().and_then(|number| number.checked_mul(unit)).ok_or_else(error)
}

/// In the largest unit that it is a multiple of.
fn size_text(bytes: u64) -> String {
    let fits = |(_, unit): &&(&str, u64)| bytes > 0 && bytes.is_multiple_of(*unit);
    match SIZES[..6].iter().filter(fits).max_by_key(|(_, unit)| *unit) {
        Some((name, unit)) => format!("{}{name}", bytes / unit),
        None => bytes.to_string(),
    }
}

/// Permission bits in octal.
fn mode(text: &str) -> Result<u32, String> {
    u32::from_str_radix(text, 8)
        .ok()
        .filter(|mode| mode & !0o777 == 0 && mode & 0o600 == 0o600)
        .ok_or_else(|| format!("{text:?} is no mode that lets its owner read and write: use such as 0640"))
}

fn granularities(text: &str) -> Result<Vec<Granularity>, String> {
    let mut all = Vec::new();
    for word in text.split(',').map(str::trim) {
        let granularity = parsed(word)?;
        if !all.contains(&granularity) {
            all.push(granularity);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(pairs: &[(AgentKey, &str)]) -> AgentWords {
        let mut words = AgentWords::default();
        for (key, text) in pairs {
            words.set(*key, text).unwrap();
        }
        words
    }

    fn settings(pairs: &[(AgentKey, &str)]) -> AgentSettings {
        words(pairs).settings(&AgentEnvironment::default()).unwrap()
    }

    #[test]
    fn every_value_reads_back_what_it_says() {
        let settings = settings(&[
            (AgentKey::Log, "/srv/log"),
            (AgentKey::Interval, "1m"),
            (AgentKey::Rows, "process, remote,process"),
            (AgentKey::Top, "50"),
            (AgentKey::LogFormat, "csv"),
            (AgentKey::Compress, "gzip:9"),
            (AgentKey::RotateSize, "64M"),
            (AgentKey::RotateTime, "1h"),
            (AgentKey::KeepFiles, "12"),
            (AgentKey::KeepAge, "30d"),
            (AgentKey::KeepSize, "5GB"),
            (AgentKey::FileMode, "0600"),
            (AgentKey::FileGroup, "adm"),
            (AgentKey::Sync, "interval"),
            (AgentKey::MaxLogFlows, "1000"),
            (AgentKey::Owners, "false"),
            (AgentKey::Sandbox, "false"),
            (AgentKey::Socket, "/run/x.sock"),
            (AgentKey::Metrics, "[::1]:9925"),
            (AgentKey::MetricsBy, "user, port,user"),
            (AgentKey::MetricsTop, "7"),
            (AgentKey::MetricsRetention, "2h"),
            (AgentKey::MetricsTokenFile, "/etc/flowtally/token"),
        ]);
        assert_eq!(settings.log.granularities, [Granularity::Process, Granularity::Remote]);
        for settings in [settings, AgentSettings::default()] {
            let mut again = AgentSettings::default();
            for key in AgentKey::ALL {
                again.apply(key, &settings.value(key)).unwrap();
            }
            assert_eq!(again, settings);
        }
    }

    #[test]
    fn what_makes_no_sense_is_refused_with_what_would() {
        let refused = |key, text| AgentWords::default().set(key, text).unwrap_err();
        for (key, text, word) in [
            (AgentKey::Log, "log", "absolute"),
            (AgentKey::Interval, "ten", "10s"),
            (AgentKey::Interval, "500ms", "1s to 1h"),
            (AgentKey::Interval, "2h", "1s to 1h"),
            (AgentKey::Rows, "flow,prozess", "process"),
            (AgentKey::LogFormat, "xml", "jsonl"),
            (AgentKey::Compress, "lzma", "zstd"),
            (AgentKey::RotateSize, "many", "64M"),
            (AgentKey::RotateSize, "63KB", "64 KB"),
            (AgentKey::KeepSize, "", "none"),
            (AgentKey::KeepAge, "-1d", "7d"),
            (AgentKey::FileMode, "0999", "0640"),
            (AgentKey::FileMode, "0040", "0640"),
            (AgentKey::Owners, "perhaps", "true"),
            (AgentKey::MaxLogFlows, "0", "1"),
            (AgentKey::Top, "-1", "whole number"),
            (AgentKey::Metrics, "9925", "127.0.0.1:9925"),
            (AgentKey::Metrics, "localhost:9925", "or none"),
            (AgentKey::MetricsBy, "process,flow", "remote"),
            (AgentKey::MetricsTop, "0", "1 to 10000"),
            (AgentKey::MetricsRetention, "59s", "1m to 30d"),
            (AgentKey::MetricsTokenFile, "token", "absolute"),
        ] {
            let message = refused(key, text);
            assert!(message.contains(word), "{key:?} {text:?}: {message}");
        }
        let tight = words(&[(AgentKey::Interval, "1h"), (AgentKey::RotateTime, "10m")]);
        let conflict = tight.settings(&AgentEnvironment::default()).unwrap_err();
        assert_eq!(conflict.key, AgentKey::RotateTime);
        assert!(conflict.to_string().contains("interval is 1h"), "{conflict}");
        let small = settings(&[(AgentKey::MaxLogFlows, "20"), (AgentKey::RotateSize, "64KB")]);
        assert_eq!(small.value(AgentKey::RotateSize), "64KB");
    }

    #[test]
    fn a_unit_of_systemd_has_its_own_folders() {
        let environment = AgentEnvironment {
            logs: Some("/var/log/private/flowtally".into()),
            runtime: Some("/run/x".into()),
        };
        let settings = AgentWords::default().settings(&environment).unwrap();
        assert_eq!(settings.value(AgentKey::Log), "/var/log/private/flowtally");
        assert_eq!(settings.value(AgentKey::Socket), "/run/x/agent.sock");
    }

    #[test]
    fn who_names_a_folder_wants_a_log() {
        let file = words(&[(AgentKey::NoLog, "true"), (AgentKey::Interval, "1m")]);
        let typed = words(&[(AgentKey::Log, "/srv")]);
        let both = typed.or(file.clone()).settings(&AgentEnvironment::default()).unwrap();
        assert!(both.has_log && both.log.interval == Duration::from_mins(1));
        assert!(!AgentWords::default().or(file).settings(&AgentEnvironment::default()).unwrap().has_log);
    }

    #[test]
    fn what_cannot_change_stays_and_is_named() {
        let old = settings(&[(AgentKey::Log, "/a"), (AgentKey::Top, "5")]);
        let new = settings(&[
            (AgentKey::Log, "/b"),
            (AgentKey::Top, "7"),
            (AgentKey::Sandbox, "false"),
            (AgentKey::Metrics, "127.0.0.1:9925"),
            (AgentKey::MetricsTop, "9"),
        ]);
        let (settings, left) = old.changed_to(&new);
        assert_eq!(left, [AgentKey::Log, AgentKey::Sandbox, AgentKey::Metrics]);
        assert_eq!((settings.metrics_address, settings.metrics.top), (None, 9));
        assert_eq!(
            (settings.value(AgentKey::Log), settings.value(AgentKey::Top)),
            ("/a".to_owned(), "7".to_owned())
        );
        assert_eq!(old.changed_to(&old).1, []);
    }

    #[test]
    fn every_key_has_a_name_of_its_own() {
        for key in AgentKey::ALL {
            assert_eq!(AgentKey::named(key.name()), Some(key));
        }
    }
    #[test]
    fn every_key_is_in_the_documents() {
        let page = include_str!("../../../docs/agent.md");
        let example = include_str!("../../../docs/config.toml");
        for key in AgentKey::ALL {
            let name = key.name();
            let row = page.lines().find(|line| line.starts_with(&format!("| `{name}` |"))).expect(name);
            let word = if key.facts().changes { "| changes |" } else { "| restart |" };
            assert!(row.ends_with(word), "{row}");
            assert!(
                example.contains(&format!("\n{name} = ")) || example.contains(&format!("\n#{name} = ")),
                "{name}"
            );
        }
    }
}
