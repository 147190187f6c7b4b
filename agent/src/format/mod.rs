//! Names that others chose, made safe for each kind of output. Processes name themselves, files, interfaces and containers are
//! called what their makers like, and host names come from whoever runs the reverse zone: a name may hold anything but a zero.
//!
//! - Text, on a terminal or not: [`Safe`], where nothing can move the cursor, colour, hide or turn round what is beside it.
//! - Cells of CSV: [`CsvCell`], the same escape, and no cell that a spreadsheet takes for a formula.
//! - JSON: [`json`], the true name.
//!
//! [`unescape`] gives back the bytes of the first two. A [`Name`] is kept to the byte and shown safely. Where text leaves the
//! program, a [`Guard`] lets nothing pass that commands a terminal. Pure: no input or output but the writer's.
//!
//! And what tables for people are made of: amounts and shares ([`numbers`]), moments, aligned columns ([`grid`]).

mod escape;
pub mod grid;
mod guard;
#[cfg(test)]
pub(crate) mod hostile;
pub mod json;
pub(crate) mod moment;
mod name;
pub mod numbers;

pub use escape::{CsvCell, Safe, is_harmless, unescape};
pub use guard::{Guard, guarded};
pub use name::Name;
