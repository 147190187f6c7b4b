//! The log as a screen replays it: where its records are ([`index`]), what one of them tells a ledger ([`record`]), which of them is
//! shown at a time ([`player`]), and how the books go there and back ([`books`]).
//!
//! A record counts as a whole or not at all, as everywhere in [`history`](super). It is one interval of the ledger, as long as it was.

pub mod books;
pub mod index;
pub mod player;
pub mod record;

#[cfg(test)]
mod tests;
