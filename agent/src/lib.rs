//! flowtally.
pub mod flow;
pub mod report;
