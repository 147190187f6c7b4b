//! flowtally.
pub mod flow;
