//! The books of a replay: a ledger that is told one record after the other, and goes back by taking the books from before.
//!
//! What is kept for that is bounded: books that are kept get further apart as there are more of them.

use std::time::Duration;

use super::{
    index::IndexedRecord,
    record::{ReplayedRecord, step},
};
use crate::{
    filter::{Dictionary, Filter},
    flow::{
        event::Event,
        ledger::{Ledger, Measure, Retention, Terms},
        orient::Orientation,
        row::{Counting, Traffic},
        services::Services,
        wire::WireError,
    },
};

/// What somebody knows beside the books, and knows no more when these go back.
pub trait BesideBooks: Clone + Default {
    /// How much it is, in bytes.
    fn size(&self) -> usize;
}

/// How much is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BooksLimits {
    /// Rows between two of the books that are kept, at first.
    pub spacing: u64,
    /// What all of them may take, in bytes.
    pub size: usize,
    /// Rows that a ledger has at most.
    pub rows: usize,
}

/// The books.
pub struct ReplayBooks<M> {
    ledger: Ledger,
    /// How many records the ledger has been told of.
    position: usize,
    kept: Vec<KeptBooks<M>>,
    limits: BooksLimits,
    /// Rows that were read since there were books that are kept.
    rows_since: u64,
    /// The total after the last record, to see whether somebody began again with it.
    total: Traffic,
    /// Whether totals are those of the log.
    is_complete: bool,
    services: Services,
    names: Dictionary,
}

/// The books as they stood after so many records, and what was known beside them.
struct KeptBooks<M> {
    position: usize,
    ledger: Vec<u8>,
    beside: M,
}

impl<M: BesideBooks> ReplayBooks<M> {
    /// The books before the first record. `names` are those that capture filters are read with.
    #[must_use]
    pub fn new(limits: BooksLimits, services: Services, names: Dictionary) -> Self {
        Self {
            ledger: empty(limits.rows, &services),
            position: 0,
            kept: Vec::new(),
            limits,
            rows_since: 0,
            total: Traffic::default(),
            is_complete: true,
            services,
            names,
        }
    }

    /// The ledger.
    pub const fn ledger(&mut self) -> &mut Ledger {
        &mut self.ledger
    }

    /// How many records it has been told of.
    #[must_use]
    pub const fn position(&self) -> usize {
        self.position
    }

    /// Begins again, with nothing kept.
    pub fn begin_again(&mut self) {
        self.kept.clear();
        self.begin();
    }

    fn begin(&mut self) {
        self.ledger = empty(self.limits.rows, &self.services);
        (self.position, self.rows_since) = (0, 0);
        (self.total, self.is_complete) = (Traffic::default(), true);
    }

    /// Takes the books from which the way to a record is shortest, where that is not on from here. The result is what was known beside
    /// them then.
    ///
    /// # Errors
    /// Never, as long as nobody changes what is kept.
    pub fn turn_to(&mut self, target: usize) -> Result<Option<M>, WireError> {
        let best =
            self.kept.iter().filter(|books| books.position <= target).max_by_key(|books| books.position);
        match best {
            Some(books) if self.position > target || books.position > self.position => {
                self.ledger = Ledger::restore(&books.ledger, self.services.clone(), &self.names)?;
                (self.position, self.rows_since) = (books.position, 0);
                (self.total, self.is_complete) = (*self.ledger.total(), true);
                Ok(Some(books.beside.clone()))
            }
            None if self.position > target => {
                self.begin();
                Ok(Some(M::default()))
            }
            _ => Ok(None),
        }
    }

    /// Tells the ledger of the next record, or that it does not count; `closed` is called after each interval that is closed.
    pub fn next(&mut self, at: &IndexedRecord, record: Option<ReplayedRecord>, closed: impl FnMut(&Ledger)) {
        self.is_complete &= *self.ledger.total() == self.total;
        self.rows_since += 1 + record.as_ref().map_or(0, |record| record.rows() as u64);
        let names = &self.names;
        let tell = |ledger: &mut Ledger| {
            let Some(record) = record else { return };
            if ledger.filter_text() != record.filter() {
                // One that this version does not understand is no less in the log.
                let filter = record.filter().and_then(|text| Filter::parse(text, names).ok().flatten());
                ledger.apply(Event::Filter(filter.map(Box::new)));
            }
            record.apply(ledger);
        };
        step(&mut self.ledger, at, tell, closed);
        self.total = *self.ledger.total();
        self.position += 1;
    }

    /// Keeps the books as they are, if it is time to; `beside` is what is known beside them.
    pub fn keep(&mut self, beside: impl FnOnce() -> M) {
        let is_known = self.kept.iter().any(|books| books.position == self.position);
        if self.rows_since < self.limits.spacing || !self.is_complete || is_known {
            return;
        }
        self.rows_since = 0;
        let mut ledger = Vec::new();
        self.ledger.save(&mut ledger);
        self.kept.push(KeptBooks { position: self.position, ledger, beside: beside() });
        self.kept.sort_by_key(|books| books.position);
        while self.size() > self.limits.size {
            // Every other one is enough from now on.
            self.limits.spacing = self.limits.spacing.saturating_mul(2);
            let mut place = 0;
            self.kept.retain(|_| {
                place += 1;
                place % 2 == 0
            });
        }
    }

    /// What is kept, in bytes.
    #[must_use]
    pub fn size(&self) -> usize {
        self.kept.iter().map(|books| books.ledger.len() + books.beside.size()).sum()
    }
}

/// The books before the first record.
fn empty(max_rows: usize, services: &Services) -> Ledger {
    Ledger::new(Terms {
        measure: Measure::Frames,
        // What a log has counts once already.
        counting: Counting::PerInterface,
        retention: Retention::Live,
        groups: Vec::new(),
        intervals: false,
        max_rows,
        orientation: Orientation::default(),
        filter: None,
        services: services.clone(),
        // An interval of a log is as long as it is.
        tick: Duration::ZERO,
    })
}
