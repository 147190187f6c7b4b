//! flowtally.
pub mod flow;
pub mod iftop;
