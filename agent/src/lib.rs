//! flowtally.
pub mod flow;
pub mod host;
pub mod kernel;
pub mod run;
