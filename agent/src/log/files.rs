//! Names of the log's files, when one is full, and which ones go. Decisions over plain data.

use std::{
    cmp::Ordering,
    fmt::Write as _,
    time::{Duration, SystemTime},
};

use super::{
    clock::milliseconds,
    settings::{LogFormat, LogSettings},
};
use crate::format::Name;

const PREFIX: &str = "flowtally-";
/// Behind the name of a file that is not complete.
pub(crate) const PARTIAL: &str = ".tmp";
/// Longest host name in a file's name: Linux allows 64 bytes of the former, 255 of the latter.
const MOST_HOST: usize = 128;

/// A file's name: `flowtally-HOST-20261129T140000Z.jsonl.zst`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct LogFileName {
    /// The host, as file names have it.
    pub(crate) host: String,
    /// A second that nothing in it is before, since 1970: that in which its first interval began.
    pub(crate) begun: u64,
    /// Which of several of that second, from 1.
    pub(crate) number: u32,
    pub(crate) format: LogFormat,
    /// `gz`, `zst`, or none.
    pub(crate) compressed: Option<&'static str>,
}

impl LogFileName {
    /// The name of a file whose first interval begins at `first`.
    pub(crate) fn new(host: &Name, first: SystemTime, format: LogFormat) -> Self {
        Self { host: host_in_names(host), begun: second(first), number: 1, format, compressed: None }
    }

    /// Whether it says that nothing of a moment is in the file.
    pub(crate) fn is_after(&self, moment: SystemTime) -> bool {
        second(moment) < self.begun
    }

    /// The name that is in a text; `None` for any other file.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (stem, extensions) =
            text.strip_prefix(PREFIX)?.split_at_checked(text.rfind('Z')?.checked_sub(PREFIX.len())?)?;
        let (host, moment) = stem.rsplit_once('-')?;
        let (number, extensions) = extensions.strip_prefix('Z')?.split_once('.')?;
        let number = match number.strip_prefix('_') {
            Some(number) => number.parse().ok().filter(|number| *number > 1)?,
            None if number.is_empty() => 1,
            None => return None,
        };
        let (format, compressed) = match extensions.split_once('.') {
            Some((format, "gz")) => (format, Some("gz")),
            Some((format, "zst")) => (format, Some("zst")),
            Some(_) => return None,
            None => (extensions, None),
        };
        let name = Self {
            host: host.to_owned(),
            begun: read_moment(moment)?,
            number,
            format: format.parse().ok()?,
            compressed,
        };
        // There is one way to write a name.
        (name.to_string() == text).then_some(name)
    }

    /// The same with another ending.
    pub(crate) fn with_compressed(&self, compressed: Option<&'static str>) -> Self {
        Self { compressed, ..self.clone() }
    }

    /// The order in which files were begun.
    pub(crate) fn order(&self, other: &Self) -> Ordering {
        (self.begun, self.number).cmp(&(other.begun, other.number))
    }
}

impl std::fmt::Display for LogFileName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { host, begun, number, format, compressed } = self;
        write!(f, "{PREFIX}{host}-{}", write_moment(*begun))?;
        if *number > 1 {
            // Behind a point in the order of names, which an underscore is and a hyphen is not.
            write!(f, "_{number}")?;
        }
        write!(f, ".{}", format.extension())?;
        compressed.map_or(Ok(()), |compressed| write!(f, ".{compressed}"))
    }
}

/// A host's name without what a file's name should not have.
pub(crate) fn host_in_names(host: &Name) -> String {
    let plain = |byte: &u8| match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' => char::from(*byte),
        _ => '_',
    };
    let name: String = host.as_bytes().iter().take(MOST_HOST).map(plain).collect();
    if name.is_empty() { "unknown".to_owned() } else { name }
}

/// The second that a moment is in, since 1970.
fn second(moment: SystemTime) -> u64 {
    u64::try_from(milliseconds(moment).div_euclid(1000)).unwrap_or(0)
}

/// `20261129T140000Z`.
fn write_moment(seconds: u64) -> String {
    let moment = SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds));
    let text = super::record::rfc3339(moment.unwrap_or(SystemTime::UNIX_EPOCH));
    let mut compact = String::new();
    for char in text.chars().take_while(|char| *char != '.').filter(|char| !matches!(char, '-' | ':')) {
        // A String refuses nothing.
        let _ = compact.write_char(char);
    }
    compact + "Z"
}

/// The same without its `Z`, read.
fn read_moment(text: &str) -> Option<u64> {
    let digits = |from: usize, until: usize| {
        text.get(from..until).filter(|part| part.bytes().all(|b| b.is_ascii_digit()))
    };
    let (year, month, day) = (digits(0, 4)?, digits(4, 6)?, digits(6, 8)?);
    let (hour, minute, second) = (digits(9, 11)?, digits(11, 13)?, digits(13, 15)?);
    if text.len() != 15 || text.get(8..9) != Some("T") {
        return None;
    }
    let text = format!("{year}-{month}-{day}T{hour}:{minute}:{second}Z");
    let moment = humantime::parse_rfc3339(&text).ok()?;
    moment.duration_since(SystemTime::UNIX_EPOCH).ok().map(|since| since.as_secs())
}

/// Whether a file of so many bytes, begun then, is to be closed before `more` bytes are added.
pub(crate) fn is_full(
    settings: &LogSettings,
    size: u64,
    more: u64,
    begun: SystemTime,
    now: SystemTime,
) -> bool {
    let LogSettings { rotate_size, rotate_every, .. } = settings;
    let too_large = rotate_size.is_some_and(|most| size.saturating_add(more) > most);
    let too_old = rotate_every.is_some_and(|every| {
        let every = i64::try_from(every.as_millis()).unwrap_or(i64::MAX).max(1);
        let slot = |moment| milliseconds(moment).div_euclid(every);
        // A clock that is set back does not make files.
        slot(now) > slot(begun)
    });
    too_large || too_old
}

/// A file as the folder has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KeptFile {
    pub(crate) name: LogFileName,
    pub(crate) size: u64,
    /// When it was last written to.
    pub(crate) modified: SystemTime,
}

/// Which of the files go, the oldest first. The one with the name `current` stays.
pub(crate) fn expired<'a>(
    settings: &LogSettings,
    files: &'a [KeptFile],
    current: Option<&LogFileName>,
    now: SystemTime,
) -> Vec<&'a LogFileName> {
    let LogSettings { keep_files, keep_age, keep_size, .. } = settings;
    let mut files: Vec<&KeptFile> = files.iter().collect();
    files.sort_by(|one, other| one.name.order(&other.name));
    let (mut count, mut size) =
        (files.len(), files.iter().fold(0, |sum: u64, file| sum.saturating_add(file.size)));
    let mut gone = Vec::new();
    for file in files {
        if Some(&file.name) == current {
            continue;
        }
        let is_old =
            keep_age.is_some_and(|most| now.duration_since(file.modified).is_ok_and(|age| age > most));
        let are_many = keep_files.is_some_and(|most| count > most);
        let are_large = keep_size.is_some_and(|most| size > most);
        if is_old || are_many || are_large {
            count -= 1;
            size -= file.size;
            gone.push(&file.name);
        }
    }
    gone
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
    }

    #[test]
    fn a_name_says_the_host_and_the_time() {
        let name = LogFileName::new(&"web-1.example".into(), at(1_795_960_800), LogFormat::JsonLines);
        assert_eq!(name.to_string(), "flowtally-web-1.example-20261129T140000Z.jsonl");
        let second = LogFileName { number: 2, compressed: Some("zst"), ..name.clone() };
        assert_eq!(second.to_string(), "flowtally-web-1.example-20261129T140000Z_2.jsonl.zst");
        assert!(name.to_string() < second.to_string());
        for other in [
            "flowtally-a-20261129T140000Z_1.jsonl",
            "flowtally-a-20261129T140000Z.jsonl.zst.tmp",
            "flowtally-a-20261329T140000Z.jsonl",
            "flowtally-a-20261129T140000.jsonl",
            "flowtally-20261129T140000Z.jsonl",
            "flowtally-a-20261129T140000Z.txt",
            "other",
            "Z",
            "flowtally-Z",
        ] {
            assert_eq!(LogFileName::parse(other), None, "{other}");
        }
        assert_eq!(host_in_names(&"a/b\u{e9}".into()), "a_b__");
    }

    fn settings(change: impl FnOnce(&mut LogSettings)) -> LogSettings {
        let mut settings = LogSettings {
            rotate_size: None,
            rotate_every: None,
            keep_age: None,
            keep_files: None,
            keep_size: None,
            ..LogSettings::default()
        };
        change(&mut settings);
        settings
    }

    #[test]
    fn a_file_is_closed_at_multiples_of_its_time() {
        let hourly = settings(|settings| settings.rotate_every = Some(Duration::from_hours(1)));
        assert!(!is_full(&hourly, 0, 1 << 40, at(3600), at(7199)));
        assert!(is_full(&hourly, 0, 0, at(7199), at(7200)));
        assert!(!is_full(&hourly, 0, 0, at(7200), at(3000)), "the clock was set back");
        let small = settings(|settings| settings.rotate_size = Some(100));
        assert!(!is_full(&small, 60, 40, at(0), at(1 << 30)));
        assert!(is_full(&small, 61, 40, at(0), at(0)));
    }

    prop_compose! {
        fn file()(begun in 0_u64..2_000_000_000, number in 1_u32..4, size in 0_u64..1000, age in 0_u64..1000) -> KeptFile {
            let name = LogFileName { host: "h".to_owned(), begun, number, format: LogFormat::JsonLines, compressed: None };
            KeptFile { name, size, modified: at(3_000_000_000 - age) }
        }
    }

    proptest! {
        #[test]
        fn every_name_comes_back(host: Vec<u8>, begun in 0_u64..253_402_300_800, number in 1_u32..100, csv: bool, ending in 0..3_usize) {
            let format = if csv { LogFormat::Csv } else { LogFormat::JsonLines };
            let name = LogFileName {
                number,
                compressed: [None, Some("gz"), Some("zst")][ending],
                ..LogFileName::new(&host.into(), at(begun), format)
            };
            prop_assert_eq!(LogFileName::parse(&name.to_string()), Some(name));
        }

        #[test]
        fn no_text_is_too_strange_for_a_name(text: String) {
            let _ = LogFileName::parse(&text);
            let _ = LogFileName::parse(&format!("flowtally-{text}Z.jsonl"));
        }

        #[test]
        fn what_is_kept_is_within_the_limits_and_newest(
            files in prop::collection::vec(file(), 0..20),
            most in prop::option::of(0_usize..10),
            size in prop::option::of(0_u64..5000),
            age in prop::option::of(0_u64..1000),
        ) {
            let settings = settings(|settings| {
                settings.keep_files = most;
                settings.keep_size = size;
                settings.keep_age = age.map(Duration::from_secs);
            });
            let mut names: Vec<_> = files.iter().map(|file| file.name.to_string()).collect();
            names.sort();
            names.dedup();
            prop_assume!(names.len() == files.len());
            let current = files.iter().map(|file| &file.name).max_by(|one, other| one.order(other));
            let now = at(3_000_000_000);
            let gone = expired(&settings, &files, current, now);
            prop_assert!(current.is_none_or(|current| !gone.contains(&current)));
            let kept: Vec<_> = files.iter().filter(|file| !gone.contains(&&file.name)).collect();
            let others: Vec<_> = kept.iter().filter(|file| Some(&file.name) != current).collect();
            if !others.is_empty() {
                prop_assert!(most.is_none_or(|most| kept.len() <= most));
                prop_assert!(size.is_none_or(|most| kept.iter().map(|file| file.size).sum::<u64>() <= most));
            }
            let is_old = |file: &KeptFile| age.is_some_and(|age| file.modified + Duration::from_secs(age) < now);
            prop_assert!(others.iter().all(|file| !is_old(file)));
            // Of those that are not too old, the older ones go first.
            for name in gone {
                let file = files.iter().find(|file| file.name == *name).unwrap();
                prop_assert!(is_old(file) || others.iter().all(|kept| kept.name.order(name) == Ordering::Greater));
            }
        }
    }
}
