//! Which record is shown at a time. The clock is handed in: `now` is any time that only goes on.

use std::time::Duration;

use super::index::{IndexedRecord, LogIndex};

/// Twice as fast so many times at most, and half as fast.
const FASTEST: i32 = 16;
const SLOWEST: i32 = -6;

/// How far the time shown may be behind the pace and catch up.
const MOST_BEHIND: Duration = Duration::from_secs(1);

/// What moves the time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlayerKey {
    /// Stop, or go on.
    Pause,
    /// One record on, and stop.
    Forward,
    /// One record back, and stop.
    Back,
    /// To a tenth of the time covered, 0 to 9.
    Tenth(u8),
    /// Twice as fast.
    Faster,
    /// Half as fast.
    Slower,
}

/// Where a replay is, and where it goes.
#[derive(Clone, Debug)]
pub struct Player {
    /// How many records are to be shown: the last of them is the one on the screen. There is always one.
    target: usize,
    /// How often the pace was doubled.
    doubled: i32,
    paused: bool,
    /// When the next record is due.
    due: Duration,
    /// How long a record usually is, in milliseconds: at first one takes a second.
    usual: u64,
}

impl Player {
    /// Shows the first record, and goes on from there.
    #[must_use]
    pub fn new(index: &LogIndex, now: Duration) -> Self {
        let mut lengths: Vec<u64> = index.records.iter().map(|record| record.counted.max(1)).collect();
        let middle = lengths.len() / 2;
        let usual = if lengths.is_empty() { 1000 } else { *lengths.select_nth_unstable(middle).1 };
        let mut player = Self { target: 1, doubled: 0, paused: false, due: Duration::ZERO, usual };
        player.begin(index, now);
        player
    }

    /// The record on the screen is there from now on.
    fn begin(&mut self, index: &LogIndex, now: Duration) {
        self.due = now + self.takes(index, self.target);
    }

    /// How long it takes from the record at a position to the next one.
    fn takes(&self, index: &LogIndex, position: usize) -> Duration {
        let length = index.records.get(position).map_or(Duration::ZERO, IndexedRecord::length_of_time);
        length.div_f64(self.pace())
    }

    /// How many seconds of the log go by in one.
    #[must_use]
    pub fn pace(&self) -> f64 {
        self.usual as f64 / 1000.0 * 2_f64.powi(self.doubled)
    }

    /// How many records are to be shown.
    #[must_use]
    pub const fn target(&self) -> usize {
        self.target
    }

    /// Whether time stands still, though there is more.
    #[must_use]
    pub const fn is_paused(&self) -> bool {
        self.paused
    }

    /// Whether there is nothing after what is shown.
    #[must_use]
    pub fn is_at_end(&self, index: &LogIndex) -> bool {
        self.target >= index.len()
    }

    /// When there is something to do next, if nobody presses a key.
    #[must_use]
    pub fn due(&self, index: &LogIndex) -> Option<Duration> {
        (!self.paused && !self.is_at_end(index)).then_some(self.due)
    }

    /// Time has gone on. The result is whether there is another record to be shown. Whoever was away (stopped) does not miss much.
    pub fn advance(&mut self, index: &LogIndex, now: Duration) -> bool {
        let before = self.target;
        self.due = self.due.max(now.saturating_sub(MOST_BEHIND));
        while self.due(index).is_some_and(|due| due <= now) {
            self.target += 1;
            self.due += self.takes(index, self.target);
        }
        self.target != before
    }

    /// What is to be shown is shown now: whoever was slower than the pace does not hurry after it.
    pub fn shown(&mut self, now: Duration) {
        self.due = self.due.max(now);
    }

    /// Stops: what comes next cannot be read.
    pub const fn stop_at(&mut self, position: usize) {
        self.target = position;
        self.paused = true;
    }

    /// Takes a key.
    pub fn press(&mut self, key: PlayerKey, index: &LogIndex, now: Duration) {
        match key {
            PlayerKey::Pause => self.paused = !self.paused,
            PlayerKey::Forward => {
                self.target = (self.target + 1).min(index.len());
                self.paused = true;
            }
            PlayerKey::Back => {
                self.target = self.target.saturating_sub(1).max(1);
                self.paused = true;
            }
            PlayerKey::Tenth(tenth) => self.target = index.at_tenth(tenth),
            PlayerKey::Faster => self.doubled = (self.doubled + 1).min(FASTEST),
            PlayerKey::Slower => self.doubled = (self.doubled - 1).max(SLOWEST),
        }
        self.begin(index, now);
    }
}
