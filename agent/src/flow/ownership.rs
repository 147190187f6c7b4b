//! Which socket each row was seen with, whose the row is said to be, and whose owner is wanted.

use std::sync::Arc;

use flowtally_common::SocketHint;
use hashbrown::HashMap;

use super::{
    accounts::bits,
    attributions::{Attributions, NOT_LOOKED},
    group::GroupBy,
    row::{RowKey, Traffic},
    wire::{WireError, WireForm, WireReader, check, wire_struct},
};
use crate::model::owner::{Attribution, Reason};

/// By the number of the row.
pub(crate) struct Ownership {
    hints: Vec<SocketHint>,
    numbers: Vec<u32>,
    /// Rows whose owner is wanted.
    wanted: Bits,
    /// Those of them that nobody has been asked about in their present state.
    fresh: Bits,
    /// Rows with an answer, whose traffic came from another socket since.
    switched: Bits,
    /// Rows that get another answer once they have traffic again: the connection may be accepted by then, or another owner has
    /// its socket.
    provisional: Bits,
    pub(crate) attributions: Attributions,
    /// Rows whose key leads to another row now, because another owner took it over.
    retired: HashMap<RowKey, Vec<u32>>,
    /// A bit for each of those.
    is_retired: Bits,
    /// The other sockets that rows were seen with in the open interval, of those with several: the first is the one before.
    rivals: HashMap<u32, Vec<SocketHint>>,
    /// Where to go on asking, as a word of `wanted`.
    next: usize,
}

/// A bit for each row.
#[derive(Default)]
struct Bits(Vec<u64>);

impl Bits {
    fn set(&mut self, number: u32) {
        let word = number as usize / 64;
        if self.0.len() <= word {
            self.0.resize(word + 1, 0);
        }
        self.0[word] |= 1 << (number % 64);
    }

    fn clear(&mut self, number: u32) {
        if let Some(word) = self.0.get_mut(number as usize / 64) {
            *word &= !(1 << (number % 64));
        }
    }

    fn has(&self, number: u32) -> bool {
        self.0.get(number as usize / 64).is_some_and(|word| word & 1 << (number % 64) != 0)
    }
}

impl Ownership {
    pub(crate) fn new(groups: &[GroupBy]) -> Self {
        Self {
            hints: Vec::new(),
            numbers: Vec::new(),
            wanted: Bits::default(),
            fresh: Bits::default(),
            switched: Bits::default(),
            provisional: Bits::default(),
            attributions: Attributions::new(groups),
            retired: HashMap::new(),
            is_retired: Bits::default(),
            rivals: HashMap::new(),
            next: 0,
        }
    }

    /// A row is there that was not.
    pub(crate) fn open(&mut self, row: u32) {
        self.room(row);
        self.attributions.take_again(NOT_LOOKED);
        self.wanted.set(row);
        self.fresh.set(row);
    }

    fn room(&mut self, row: u32) {
        if self.hints.len() <= row as usize {
            self.hints.resize(row as usize + 1, SocketHint::NONE);
            self.numbers.resize(row as usize + 1, NOT_LOOKED);
        }
    }

    /// A row was seen with a socket.
    #[inline]
    pub(crate) fn seen(&mut self, row: u32, hint: SocketHint) {
        let known = self.hints[row as usize];
        let better = known.or_better(hint);
        if better != known {
            self.hints[row as usize] = better;
            if known.is_exact() {
                self.rivals.entry(row).or_default().push(known);
                if self.numbers[row as usize] != NOT_LOOKED {
                    self.switched.set(row);
                }
            }
            self.wanted.set(row);
            self.fresh.set(row);
        }
    }

    /// The other sockets that a row was seen with in the open interval. Not all are its own: what the kernel answers for a
    /// connection that is over comes from a socket of the kernel.
    pub(crate) fn rivals(&self, row: u32) -> &[SocketHint] {
        self.rivals.get(&row).map(Vec::as_slice).unwrap_or_default()
    }

    /// This one of the sockets is the row's own.
    pub(crate) fn choose(&mut self, row: u32, socket: SocketHint) {
        if self.rivals(row).first() == Some(&socket) {
            self.switched.clear(row);
        }
        self.hints[row as usize] = socket;
    }

    /// The interval is closed.
    pub(crate) fn close_interval(&mut self) {
        self.rivals.clear();
    }

    /// The socket that a row was seen with.
    pub(crate) fn hint(&self, row: u32) -> SocketHint {
        self.hints[row as usize]
    }

    /// Whose a row is.
    pub(crate) fn of(&self, row: u32) -> &Arc<Attribution> {
        self.attributions.get(self.numbers[row as usize])
    }

    /// The number of a row's attribution.
    pub(crate) fn number(&self, row: u32) -> u32 {
        self.numbers[row as usize]
    }

    /// At most so many rows whose owner is wanted; with `again` also those that were asked about before without an answer.
    pub(crate) fn wanted(&mut self, most: usize, again: bool) -> Vec<u32> {
        let Self { wanted, fresh, next, .. } = self;
        let from = if again { wanted } else { &mut *fresh };
        let words = from.0.len();
        let mut rows = Vec::new();
        for step in 0..words {
            let word = (*next + step) % words;
            // Words are taken whole.
            if rows.len() + 64 > most {
                *next = word;
                break;
            }
            let first = u32::try_from(word * 64).unwrap_or(u32::MAX);
            rows.extend(bits(from.0[word]).map(|bit| first + bit));
        }
        for row in &rows {
            fresh.clear(*row);
        }
        rows
    }

    /// Whether a row that is answered now with `attribution` has another owner than before: whatever was counted before this
    /// interval is the former owner's.
    pub(crate) fn changes_hands(&self, row: u32, attribution: &Attribution) -> bool {
        self.switched.has(row) && !self.of(row).is_same_owner(attribution)
    }

    /// Nothing is wanted of a row for now.
    fn settle(&mut self, row: u32) {
        for bits in [&mut self.wanted, &mut self.fresh, &mut self.switched, &mut self.provisional] {
            bits.clear(row);
        }
    }

    /// An answer to this row is wanted again, unless it is retired: whose it was stands, and the socket that its conversation
    /// has now is its successor's.
    pub(crate) fn ask_again(&mut self, row: u32) {
        if !self.is_retired.has(row) {
            self.wanted.set(row);
        }
    }

    /// Whether the answer to this row may have become a better one since.
    pub(crate) fn is_provisional(&self, row: u32) -> bool {
        self.provisional.has(row)
    }

    /// A row is found to be somebody's.
    pub(crate) fn answer(&mut self, row: u32, attribution: &Arc<Attribution>) {
        self.settle(row);
        if attribution.reason == Reason::Listener && self.hint(row).is_exact() {
            self.provisional.set(row);
        }
        if let Some(number) = self.attributions.take(attribution) {
            self.attributions.release(std::mem::replace(&mut self.numbers[row as usize], number));
        }
    }

    /// A row's socket is another owner's, who has nothing to take over yet: asked again when there is.
    pub(crate) fn postpone(&mut self, row: u32) {
        self.settle(row);
        self.switched.set(row);
        self.provisional.set(row);
    }

    /// A row that was retired, of this key and owner.
    pub(crate) fn former(&self, key: &RowKey, owner: &Attribution) -> Option<u32> {
        let rows = self.retired.get(key)?;
        rows.iter().copied().find(|row| self.of(*row).is_same_owner(owner))
    }

    /// Another row, `to`, takes over from `row`: new, or a former one.
    pub(crate) fn hand_over(&mut self, key: &RowKey, row: u32, to: u32) {
        self.settle(row);
        self.room(to);
        self.hints[to as usize] = self.hints[row as usize];
        let rows = self.retired.entry(*key).or_default();
        rows.retain(|former| *former != to);
        rows.push(row);
        self.is_retired.clear(to);
        self.is_retired.set(row);
    }

    /// A row is gone. The result is whose it was.
    pub(crate) fn close(&mut self, row: u32, key: &RowKey, traffic: &Traffic) -> Arc<Attribution> {
        self.settle(row);
        self.hints[row as usize] = SocketHint::NONE;
        let number = std::mem::replace(&mut self.numbers[row as usize], NOT_LOOKED);
        self.is_retired.clear(row);
        if let Some(rows) = self.retired.get_mut(key) {
            rows.retain(|former| *former != row);
            if rows.is_empty() {
                self.retired.remove(key);
            }
        }
        let attribution = Arc::clone(self.attributions.get(number));
        self.attributions.groups.depart(number, traffic);
        self.attributions.release(number);
        attribution
    }
}

impl Ownership {
    /// Makes anew what did not travel, if what did can be gone on with for so many rows.
    pub(crate) fn mend(&mut self, rows: usize) -> Result<(), WireError> {
        let Self { hints, numbers, attributions, retired, .. } = self;
        check(hints.len() == numbers.len() && hints.len() >= rows, "owners of rows")?;
        check(retired.values().flatten().all(|row| (*row as usize) < rows), "former owners of rows")?;
        attributions.mend(numbers)
    }
}

impl WireForm for Bits {
    fn put(&self, to: &mut Vec<u8>) {
        self.0.put(to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        Vec::take(from).map(Self)
    }
}

wire_struct!(Ownership {
    hints,
    numbers,
    wanted,
    fresh,
    switched,
    provisional,
    attributions,
    retired,
    is_retired,
    rivals,
    next
});
