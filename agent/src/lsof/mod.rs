//! lsof: which process has which file open, in the form of lsof 4.95.
//!
//! `arguments` says what was asked, `select` what of it a process or a file meets, `gather` reads /proc for it and `print`
//! writes it. All but `gather` are pure.

pub mod arguments;
pub mod gather;
pub mod model;
pub mod print;
pub mod select;
