//! A slot and its key, as the words that they are compared and written by.

/// A slot: six words of key and epoch, then bytes and packets.
pub(crate) type Words = [u64; 8];
/// The first six words of a slot.
pub(crate) type Key = [u64; 6];
