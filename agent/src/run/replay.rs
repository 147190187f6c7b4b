//! A log as the books of a screen: its records are told to a ledger one after the other, as far as keys and the clock say.
//!
//! Going back takes the books from before and goes on from there. What is kept for that is bounded, and nothing else of the log is in
//! memory but what was read last.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use jiff::{Timestamp, tz::TimeZone};

use super::{
    progress::ProgressLine,
    settings::{ReplayOrders, dictionary, services},
};
use crate::{
    flow::{group::GroupBy, ledger::Ledger},
    format::Safe,
    history::{
        place::choose,
        question::says,
        replay::{
            books::{BesideBooks, BooksLimits, ReplayBooks},
            index::IndexedRecord,
            player::{Player, PlayerKey},
        },
    },
    host::logs::{self, records::LogRecords},
    log::Granularity,
    meter::MAX_ROWS,
    tui::{Display, DisplayMemory, TimeKey},
};

/// How long records are read without looking for keys.
const SLICE: Duration = Duration::from_millis(40);
/// A log that is gone through faster needs no words.
const SILENT: Duration = Duration::from_millis(500);
/// Books are kept every so many rows, which are read again in a moment.
const LIMITS: BooksLimits = BooksLimits { spacing: 50_000, size: 96 << 20, rows: MAX_ROWS };
/// The groupings of a screen.
const GROUPINGS: [GroupBy; 12] = [
    GroupBy::Flow,
    GroupBy::Process,
    GroupBy::Remote,
    GroupBy::Port,
    GroupBy::Container,
    GroupBy::User,
    GroupBy::Local,
    GroupBy::Protocol,
    GroupBy::Interface,
    GroupBy::Subnet { v4: 24, v6: 64 },
    GroupBy::Command,
    GroupBy::Netns,
];

/// A log.
pub(super) struct ReplaySource {
    records: LogRecords,
    books: ReplayBooks<DisplayMemory>,
    player: Player,
    /// The granularity that is read.
    rows: Granularity,
    /// Where the way that is under way began, and whether books were taken from before.
    began_at: Option<(usize, bool)>,
    shown: ShownRecord,
    /// Why there is nothing more to be read.
    broken: Option<String>,
    started: Instant,
    broadcasts: HashSet<Ipv4Addr>,
    zone: TimeZone,
}

impl BesideBooks for DisplayMemory {
    fn size(&self) -> usize {
        Self::size(self)
    }
}

/// What has become of the time of a log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplayNews {
    /// Nothing.
    Nothing,
    /// It moves, and is not yet where it is to be.
    Moving,
    /// It has moved.
    Moved {
        /// Whether by one interval, onward.
        is_next: bool,
    },
}

/// What is to be said of the record on the screen.
#[derive(Default)]
struct ShownRecord {
    /// Why it does not count.
    left_out: Option<String>,
    /// Bytes that are in no row of their own.
    beyond: u64,
    degraded: Vec<String>,
}

impl ReplaySource {
    /// Finds the records of a log.
    pub(super) fn open(orders: &ReplayOrders) -> anyhow::Result<Self> {
        let chosen = choose(logs::list(&orders.paths)?, &orders.period);
        for path in &chosen.twice {
            tell!("{} is left out: it is there without compression as well", Safe::os(path));
        }
        let (progress, began) = (ProgressLine::new(), Instant::now());
        let found = LogRecords::find(chosen, &orders.period, |read, files| {
            if began.elapsed() >= SILENT {
                progress.show(format_args!("{read} of {files} files of the log are read; Ctrl-C to stop"));
            }
        });
        progress.clear();
        let records = found.with_context(|| {
            let paths: Vec<String> = orders.paths.iter().map(|path| Safe::os(path).to_string()).collect();
            format!("replaying {}", paths.join(", "))
        })?;
        let has = &records.index.has;
        let rows = Granularity::COARSEST_FIRST
            .into_iter()
            .rev()
            .find(|rows| has.contains(rows))
            .unwrap_or(Granularity::Flow);
        Ok(Self {
            books: ReplayBooks::new(LIMITS, services(), dictionary()),
            player: Player::new(&records.index, Duration::ZERO),
            records,
            rows,
            began_at: None,
            shown: ShownRecord::default(),
            broken: None,
            started: Instant::now(),
            broadcasts: HashSet::new(),
            zone: TimeZone::system(),
        })
    }

    pub(super) const fn ledger(&mut self) -> &mut Ledger {
        self.books.ledger()
    }

    pub(super) const fn started(&self) -> Instant {
        self.started
    }

    pub(super) const fn broadcasts(&self) -> &HashSet<Ipv4Addr> {
        &self.broadcasts
    }

    /// Why less than all owners are in the record, a sentence each.
    pub(super) fn owners_degraded(&self) -> Vec<String> {
        self.shown.degraded.iter().filter(|sentence| sentence.starts_with("owner")).cloned().collect()
    }

    /// The rows that a grouping is made of, if the log has them: the finest there are.
    fn rows_for(&self, by: GroupBy) -> Option<Granularity> {
        let has = &self.records.index.has;
        Granularity::COARSEST_FIRST.into_iter().rev().find(|rows| has.contains(rows) && says(*rows, by))
    }

    /// Tells a display what can be shown.
    pub(super) fn prepare(&self, display: &mut Display) {
        // What the finest rows are of comes first.
        let of_rows = |by: &GroupBy| self.rows_for(*by) == Some(self.rows);
        let (mut first, rest): (Vec<GroupBy>, Vec<GroupBy>) =
            GROUPINGS.into_iter().filter(|by| self.rows_for(*by).is_some()).partition(of_rows);
        first.extend(rest);
        display.replay(&first);
        display.set_rows_of(self.rows_of());
    }

    /// What rows are of, where they are not flows.
    const fn rows_of(&self) -> Option<&'static str> {
        match self.rows {
            Granularity::Flow => None,
            rows => Some(rows.code()),
        }
    }

    /// Takes the rows that the grouping of a display is made of. Whether they are others than before.
    pub(super) fn regroup(&mut self, display: &mut Display) -> bool {
        let Some(rows) = self.rows_for(display.grouping()).filter(|rows| *rows != self.rows) else {
            return false;
        };
        self.rows = rows;
        self.books.begin_again();
        display.recall(&DisplayMemory::default());
        display.set_rows_of(self.rows_of());
        true
    }

    /// Waits until there is something to be read.
    pub(super) async fn wait(&self) {
        if self.books.position() != self.player.target() {
            return;
        }
        match self.player.due(&self.records.index) {
            Some(due) => tokio::time::sleep_until((self.started + due).into()).await,
            None => std::future::pending().await,
        }
    }

    /// Takes a key.
    pub(super) fn press(&mut self, key: TimeKey) {
        let key = match key {
            TimeKey::Pause => PlayerKey::Pause,
            TimeKey::Back => PlayerKey::Back,
            TimeKey::Forward => PlayerKey::Forward,
            TimeKey::Tenth(tenth) => PlayerKey::Tenth(tenth),
            TimeKey::Faster => PlayerKey::Faster,
            TimeKey::Slower => PlayerKey::Slower,
        };
        self.player.press(key, &self.records.index, self.started.elapsed());
        self.broken = None;
    }

    /// Goes on towards the record that is to be shown, for a moment.
    pub(super) fn go(&mut self, display: &mut Display) -> anyhow::Result<ReplayNews> {
        if self.books.position() == self.player.target()
            && !self.player.advance(&self.records.index, self.started.elapsed())
        {
            return Ok(ReplayNews::Nothing);
        }
        let target = self.player.target();
        let began = self.books.position();
        let memory = self.books.turn_to(target).context("going to another time of the log")?;
        if let Some(memory) = &memory {
            display.recall(memory);
        }
        let taken = memory.is_some();
        let (from, was_taken) = *self.began_at.get_or_insert((began, false));
        self.began_at = Some((from, was_taken || taken));
        let until = Instant::now() + SLICE;
        while self.books.position() < target {
            if let Err(error) = self.next(display) {
                self.broken = Some(error);
                self.player.stop_at(self.books.position());
                break;
            }
            if self.books.position() < target && Instant::now() >= until {
                return Ok(ReplayNews::Moving);
            }
        }
        let (from, was_taken) = self.began_at.take().unwrap_or((began, taken));
        self.player.shown(self.started.elapsed());
        Ok(ReplayNews::Moved { is_next: !was_taken && self.books.position() == from + 1 })
    }

    /// Tells the books of the next record.
    fn next(&mut self, display: &mut Display) -> Result<(), String> {
        let place = self.books.position();
        let read = self.records.read(place, self.rows).map_err(|error| error.to_string())?;
        let Some(at) = self.records.index.records.get(place) else { return Ok(()) };
        self.shown = ShownRecord::default();
        match &read {
            Ok(read) => {
                self.shown.beyond = read.beyond_rows();
                self.shown.degraded = read.degraded().to_vec();
            }
            Err(why) => self.shown.left_out = Some(why.clone()),
        }
        self.books.next(at, read.ok(), |ledger| display.pass(ledger));
        self.books.keep(|| display.memory());
        Ok(())
    }

    fn record(&self) -> Option<&IndexedRecord> {
        self.records.index.record(self.books.position())
    }

    /// What the screen is to say all the time.
    pub(super) fn notes(&self) -> Vec<(String, bool)> {
        let (index, player) = (&self.records.index, &self.player);
        let mut notes = Vec::new();
        let pace = player.pace();
        let pace =
            if pace < 10.0 { format!("{}", (pace * 100.0).round() / 100.0) } else { format!("{pace:.0}") };
        let state = if player.target() != self.books.position() {
            ", reading"
        } else if player.is_at_end(index) {
            ", END"
        } else if player.is_paused() {
            ", PAUSED"
        } else {
            ""
        };
        let time = self.record().map_or_else(String::new, |record| self.time(record));
        notes.push((format!("{time}, {}/{}, {pace}x{state}", self.books.position(), index.len()), false));
        if let Some(why) = &self.broken {
            notes.push((format!("CANNOT READ: {}", Safe::new(why)), true));
        }
        let Some(record) = self.record() else { return notes };
        let missing = match record.missing {
            0 => None,
            missing => Some(format!("{missing} missing")),
        };
        let gap = (record.gap > 0).then(|| format!("gap {}", length(record.gap)));
        let before: Vec<String> = gap.into_iter().chain(missing).collect();
        if !before.is_empty() {
            notes.push((before.join(", "), true));
        }
        if let Some(why) = &self.shown.left_out {
            notes.push((format!("LEFT OUT, not whole: {}", Safe::new(why)), true));
        }
        if self.shown.beyond > 0 {
            let amount = crate::iftop::number::AmountText::total(self.shown.beyond);
            notes.push((format!("in no row {amount}"), false));
        }
        notes
    }

    /// `2026-11-29 03:00:00-03:00:10`, of the local time zone.
    fn time(&self, record: &IndexedRecord) -> String {
        let at = |ms, format| match Timestamp::from_millisecond(ms) {
            Ok(moment) => moment.to_zoned_datetime(self.zone.clone()).strftime(format).to_string(),
            Err(_) => "?".to_owned(),
        };
        format!("{}-{}", at(record.start, "%Y-%m-%d %H:%M:%S"), at(record.end, "%H:%M:%S"))
    }

    /// What is said at first.
    pub(super) fn message(&self) -> String {
        let index = &self.records.index;
        let rows = if self.rows_of().is_some() {
            let has: Vec<&str> = index.has.iter().map(|rows| rows.code()).collect();
            format!("The log has rows of {}, not of flows. ", has.join(", "))
        } else {
            String::new()
        };
        format!(
            "{rows}{} intervals of {}: space stops the time, Left and Right step, h lists all keys",
            index.len(),
            index.host
        )
    }
}

/// A length of time in milliseconds, for people.
fn length(ms: u64) -> String {
    // Of a long time the seconds are no matter.
    let ms = if ms >= 60_000 { ms / 1000 * 1000 } else { ms };
    humantime::format_duration(Duration::from_millis(ms)).to_string()
}
