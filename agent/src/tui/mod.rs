//! The live screen: what `iftop` shows, and more, as plain data.
//!
//! `books -> list -> frame`, with the state that keys change beside it. Like [`flow`](crate::flow) this does no input or
//! output, reads no clock and cannot fail: keys, the size, the time and the books are handed in, a buffer of cells and
//! wishes ([`Effect`]) come out. A terminal is the business of `run`.

mod departed;
mod detail;
mod display;
mod export;
mod filter;
mod frame;
mod list;
mod minutes;
mod press;
mod prompt;
mod residue;
mod scale;
mod screen;
mod words;

pub use self::{
    display::{Display, DisplayMemory, Wish},
    export::ExportFormat,
    frame::Theme,
    press::{PressedKey, TimeKey},
    screen::Candidate,
};

#[cfg(test)]
mod tests;
