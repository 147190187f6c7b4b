//! Settings of the log that cannot be.

use thiserror::Error;

use crate::format::Safe;

/// A setting of the log that cannot be.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LogSettingsError {
    /// A word that is none of those that there are.
    #[error("'{}' is no {what}: use {use_instead}", Safe::new(.word))]
    Word {
        /// The word.
        word: String,
        /// What it should be.
        what: &'static str,
        /// Those that there are.
        use_instead: &'static str,
    },
    /// A number outside its range.
    #[error("{what} is {found}: use {use_instead}")]
    Range {
        /// Which setting.
        what: &'static str,
        /// What it is.
        found: String,
        /// What it may be.
        use_instead: &'static str,
    },
}
