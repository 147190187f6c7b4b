//! What iftop shows and how it is told to: options, configuration file, the list of pairs, text mode and its keys.
//! Like [`flow`](crate::flow) it does no input or output, reads no clock and cannot fail while it runs.
//!
//! Facts about iftop were taken from its manual and from runs of iftop 1.0pre4; where it is known to be wrong, the
//! comment at that place says what is done instead.

pub mod arguments;
pub mod config;
pub mod directive;
pub mod keys;
pub mod label;
pub mod number;
pub mod options;
pub(crate) mod order;
pub mod pair;
pub mod resolve;
pub mod text;
pub mod view;
