//! Which files of a log are worth opening: a name says the host and a second that nothing in the file is before, and a file ends where
//! the next one of its host begins.

use std::path::PathBuf;

use jiff::Timestamp;

use super::moment::Period;
use crate::log::{LogFormat, files::LogFileName};

/// How a file is compressed, by its name.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Packing {
    /// Not at all.
    #[default]
    Plain,
    /// Zstandard (RFC 8878).
    Zstandard,
    /// gzip (RFC 1952).
    Gzip,
}

/// What a name says.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LogPlace {
    /// The host, as names of files have it.
    pub host: String,
    /// A second that nothing in the file is before: that in which its first interval began.
    pub begun: Timestamp,
    /// Which of several files of that second.
    pub number: u32,
    /// Whether its lines are CSV.
    pub csv: bool,
    /// How it is compressed.
    pub packing: Packing,
}

impl LogPlace {
    /// Reads a name, without its folders. Nothing for one that the agent does not give.
    #[must_use]
    pub fn parse(name: &str) -> Option<Self> {
        let LogFileName { host, begun, number, format, compressed } = LogFileName::parse(name)?;
        let packing = match compressed {
            None => Packing::Plain,
            Some("gz") => Packing::Gzip,
            Some(_) => Packing::Zstandard,
        };
        let begun = Timestamp::from_second(i64::try_from(begun).ok()?).ok()?;
        Some(Self { host, begun, number, csv: format == LogFormat::Csv, packing })
    }

    /// The same file, whichever way it is compressed.
    fn is_same(&self, other: &Self) -> bool {
        Self { packing: other.packing, ..self.clone() } == *other
    }
}

/// A file of a log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FoundLogFile {
    /// Where it is.
    pub path: PathBuf,
    /// What its name says, where it is the agent's.
    pub place: Option<LogPlace>,
}

/// Which files to open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Those that may have something of the time, by host and time.
    pub files: Vec<FoundLogFile>,
    /// How many there are beside them.
    pub outside: usize,
    /// Compressed files that are there without compression as well: a compression that was not finished.
    pub twice: Vec<PathBuf>,
}

/// Chooses the files that may have something of a time. One whose name says nothing is opened.
#[must_use]
pub fn choose(mut files: Vec<FoundLogFile>, period: &Period) -> Chosen {
    files.sort_by(|one, other| (&one.place, &one.path).cmp(&(&other.place, &other.path)));
    files.dedup_by(|one, other| one.path == other.path);
    let mut chosen = Chosen::default();
    // The uncompressed one of two is the whole one, and before the other in order.
    files.dedup_by(|again, first| {
        let same_folder = again.path.parent() == first.path.parent();
        let is_same = same_folder
            && again
                .place
                .as_ref()
                .zip(first.place.as_ref())
                .is_some_and(|(again, first)| again.is_same(first));
        if is_same {
            chosen.twice.push(again.path.clone());
        }
        is_same
    });
    for (at, file) in files.iter().enumerate() {
        let is_outside = file.place.as_ref().is_some_and(|place| {
            let next = files[at + 1..].iter().filter_map(|next| next.place.as_ref());
            let next = next
                .filter(|next| next.host == place.host)
                .map(|next| next.begun)
                .find(|begun| *begun > place.begun);
            period.to.is_some_and(|to| place.begun >= to)
                || period.from.zip(next).is_some_and(|(from, next)| next <= from)
        });
        if is_outside {
            chosen.outside += 1;
        } else {
            chosen.files.push(file.clone());
        }
    }
    chosen
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place(name: &str) -> Option<LogPlace> {
        LogPlace::parse(name)
    }

    fn file(name: &str) -> FoundLogFile {
        FoundLogFile { path: name.into(), place: place(name) }
    }

    #[test]
    fn a_name_says_host_and_time() {
        let place = place("flowtally-web-1.example-20261129T140000Z.jsonl.zst").unwrap();
        assert_eq!(place.host, "web-1.example");
        assert_eq!(place.begun.to_string(), "2026-11-29T14:00:00Z");
        assert_eq!((place.number, place.csv, place.packing), (1, false, Packing::Zstandard));
        for (name, number) in
            [("flowtally-Z-20261129T140000Z_2.csv", 2), ("flowtally-a-20261129T140000Z_3.csv.gz", 3)]
        {
            let place = LogPlace::parse(name).unwrap();
            assert_eq!((place.number, place.csv), (number, true));
        }
        for name in [
            "",
            "flowtally-20261129T140000Z.jsonl",
            "flowtally-a-20261329T140000Z.jsonl",
            "flowtally-a-20261129T140000Z.txt",
            "other.jsonl",
            "flowtally-a-20261129T140000Z.jsonl.zst.tmp",
            "flowtally-Z.jsonl",
        ] {
            assert_eq!(self::place(name), None, "{name}");
        }
    }

    #[test]
    fn files_outside_of_the_time_are_not_chosen() {
        let names = [
            "a-20261129T010000Z",
            "a-20261129T020000Z",
            "a-20261129T030000Z",
            "a-20261129T040000Z",
            "b-20261129T000000Z",
        ];
        let files = || {
            names
                .map(|name| file(&format!("flowtally-{name}.jsonl")))
                .into_iter()
                .rev()
                .chain([file("mine.jsonl")])
                .collect()
        };
        let chosen = |from: Option<&str>, to: Option<&str>| {
            let at = |text: &str| format!("2026-11-29T{text}Z").parse().unwrap();
            let period = Period { from: from.map(at), to: to.map(at) };
            let chosen = choose(files(), &period);
            assert_eq!(chosen.files.len() + chosen.outside, 6);
            let name = |file: &FoundLogFile| {
                file.place.as_ref().map_or("mine".to_owned(), |place| {
                    format!("{}{}", place.host, place.begun.strftime("%H"))
                })
            };
            chosen.files.iter().map(name).collect::<Vec<_>>().join(" ")
        };
        assert_eq!(chosen(None, None), "mine a01 a02 a03 a04 b00");
        assert_eq!(chosen(Some("02:30:00"), Some("03:00:00")), "mine a02 b00");
        assert_eq!(chosen(Some("02:00:00"), Some("03:00:01")), "mine a02 a03 b00");
        assert_eq!(chosen(Some("05:00:00"), None), "mine a04 b00");
        assert_eq!(chosen(None, Some("00:30:00")), "mine b00");
    }

    #[test]
    fn of_a_file_that_is_there_twice_the_whole_one_is_read() {
        let names = ["flowtally-a-20261129T010000Z.jsonl.zst", "flowtally-a-20261129T010000Z.jsonl"];
        let chosen = choose(names.map(file).into(), &Period::default());
        assert_eq!(chosen.files, [file(names[1])]);
        assert_eq!(chosen.twice, [PathBuf::from(names[0])]);
    }
}
