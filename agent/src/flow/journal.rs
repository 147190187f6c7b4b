//! Who got how many bytes in one interval, in few bytes: the longest window holds forty of them.
//!
//! An entry is a string of variable-length numbers: the distance from the last account with two bits that say which ways
//! follow, then the bytes of those. Most take three or four bytes.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::wire::{WireError, WireForm, WireReader, put_bytes, take_bytes};

/// What an account got in the interval.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct JournalEntry {
    pub(super) number: u32,
    pub(super) sent: u64,
    pub(super) received: u64,
}

/// A finished journal.
#[derive(Clone, Debug)]
pub(super) struct Journal(Bytes);

/// A journal that is being written; its memory is used again for the next.
#[derive(Clone, Debug, Default)]
pub(super) struct JournalWriter {
    bytes: BytesMut,
    last: u32,
}

const SENT: u64 = 1;
const RECEIVED: u64 = 2;

impl JournalWriter {
    /// Appends an entry, of a higher account than the last one; none if there are no bytes in it.
    pub(super) fn write(&mut self, entry: JournalEntry) {
        let mut header = u64::from(entry.number - self.last) << 2;
        if entry.sent != 0 {
            header |= SENT;
        }
        if entry.received != 0 {
            header |= RECEIVED;
        }
        if header & (SENT | RECEIVED) == 0 {
            return;
        }
        self.last = entry.number;
        self.number(header);
        for bytes in [entry.sent, entry.received] {
            if bytes != 0 {
                self.number(bytes);
            }
        }
    }

    /// Appends a number, seven bits a byte, the lowest first (LEB128).
    fn number(&mut self, mut number: u64) {
        loop {
            let [low, ..] = number.to_le_bytes();
            number >>= 7;
            if number == 0 {
                self.bytes.put_u8(low);
                return;
            }
            self.bytes.put_u8(low | 0x80);
        }
    }

    /// Ends the journal, and begins a new one.
    pub(super) fn finish(&mut self) -> Journal {
        let journal = Journal(Bytes::copy_from_slice(&self.bytes));
        self.bytes.clear();
        self.last = 0;
        journal
    }
}

impl Journal {
    /// The entries, in the order of their accounts.
    pub(super) fn entries(&self) -> Entries<'_> {
        Entries { bytes: &self.0, last: 0 }
    }

    /// Whether it is a whole journal of so many accounts.
    pub(super) fn is_of(&self, accounts: usize) -> bool {
        let mut entries = self.entries();
        entries.by_ref().all(|entry| (entry.number as usize) < accounts) && entries.bytes.is_empty()
    }
}

/// The entries of a journal.
#[derive(Clone, Debug)]
pub(super) struct Entries<'a> {
    bytes: &'a [u8],
    last: u32,
}

impl Entries<'_> {
    fn number(&mut self) -> Option<u64> {
        let (mut number, mut shift) = (0, 0);
        loop {
            let byte = self.bytes.try_get_u8().ok()?;
            number |= u64::from(byte & 0x7f).checked_shl(shift)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
            shift += 7;
        }
    }
}

impl Iterator for Entries<'_> {
    type Item = JournalEntry;

    fn next(&mut self) -> Option<JournalEntry> {
        let header = self.number()?;
        self.last = self.last.checked_add(u32::try_from(header >> 2).ok()?)?;
        let sent = if header & SENT == 0 { 0 } else { self.number()? };
        let received = if header & RECEIVED == 0 { 0 } else { self.number()? };
        Some(JournalEntry { number: self.last, sent, received })
    }
}

impl WireForm for Journal {
    fn put(&self, to: &mut Vec<u8>) {
        put_bytes(&self.0, to);
    }

    fn take(from: &mut WireReader<'_>) -> Result<Self, WireError> {
        take_bytes(from).map(|bytes| Self(Bytes::copy_from_slice(bytes)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn entries_survive(amounts in prop::collection::btree_map(any::<u32>(), (any::<u64>(), any::<u64>()), 0..20)) {
            let mut writer = JournalWriter::default();
            for _ in 0..2 {
                for (number, (sent, received)) in &amounts {
                    writer.write(JournalEntry { number: *number, sent: *sent, received: *received });
                }
                let read: Vec<_> = writer.finish().entries().collect();
                let written: Vec<_> = amounts
                    .iter()
                    .map(|(number, (sent, received))| JournalEntry { number: *number, sent: *sent, received: *received })
                    .filter(|entry| entry.sent != 0 || entry.received != 0)
                    .collect();
                prop_assert_eq!(read, written);
            }
        }
    }

    #[test]
    fn extremes_survive() {
        let mut writer = JournalWriter::default();
        let entries = [
            JournalEntry { number: 0, sent: 1, received: 0 },
            JournalEntry { number: 1, sent: 0, received: u64::MAX },
            JournalEntry { number: u32::MAX, sent: u64::MAX, received: 127 },
        ];
        for entry in entries {
            writer.write(entry);
        }
        assert!(writer.finish().entries().eq(entries));
    }
}
