//! The screen of a log: its time goes to and fro.

use super::{DepartedTotals, Detail, Display, Minutes, Residue};
use crate::{
    flow::{group::GroupBy, ledger::Ledger},
    tui::list::Grouping,
};

/// What a screen knows beside the books, for who takes these back to an earlier moment.
#[derive(Clone, Debug, Default)]
pub struct DisplayMemory {
    departed: DepartedTotals,
}

impl DisplayMemory {
    /// How much it is, in bytes, as far as that can be told.
    #[must_use]
    pub fn size(&self) -> usize {
        self.departed.size()
    }
}

impl Display {
    /// A log is replayed: keys move the time, and rows can be brought together in these ways alone, at first in the first of them.
    pub fn replay(&mut self, groupings: &[GroupBy]) {
        self.screen.replay = true;
        self.screen.groupings = Grouping::ALL.into_iter().filter(|by| groupings.contains(&by.0)).collect();
        if let Some(first) = groupings.first() {
            self.screen.grouping = Grouping(*first);
        }
    }

    /// What rows are of, in the log's word, where they are not conversations.
    pub const fn set_rows_of(&mut self, rows: Option<&'static str>) {
        self.screen.rows_of = rows;
    }

    /// What rows are brought together by.
    #[must_use]
    pub const fn grouping(&self) -> GroupBy {
        self.screen.grouping.0
    }

    /// What the screen knows beside the books.
    #[must_use]
    pub fn memory(&self) -> DisplayMemory {
        DisplayMemory { departed: self.departed.clone() }
    }

    /// The books are as they were when this was known.
    pub fn recall(&mut self, memory: &DisplayMemory) {
        self.departed = memory.departed.clone();
    }

    /// Shows what is in the books after some intervals have passed, or after they have gone back: then nothing that is remembered of single
    /// intervals holds.
    pub fn arrive(&mut self, ledger: &Ledger, is_next: bool) {
        if !is_next {
            self.minutes = Minutes::default();
            self.residue = Residue::default();
            if let Some(detail) = &mut self.detail {
                *detail = Detail::open(&detail.entry.key);
            }
        }
        self.refresh(ledger);
    }
}
