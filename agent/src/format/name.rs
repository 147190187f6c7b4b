//! A name that is kept as it is, to the byte, and that text cannot get to see in any other than its safe form.

use std::{borrow::Cow, ffi::OsStr, fmt, os::unix::ffi::OsStrExt};

use super::Safe;

/// A name that others chose. Its text (`{}`) is [`Safe`]; machines get [the bytes](Self::as_bytes), by
/// [`json::entry`](super::json::entry) or [`Cell`](super::Cell).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Name(Box<[u8]>);

impl Name {
    /// The name itself.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The name as it is safe to show.
    #[must_use]
    pub fn safe(&self) -> Safe<'_> {
        Safe::new(self)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.safe().fmt(f)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.safe().fmt(f)
    }
}

impl AsRef<[u8]> for Name {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&[u8]> for Name {
    fn from(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }
}

impl From<Vec<u8>> for Name {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<&str> for Name {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl From<String> for Name {
    fn from(text: String) -> Self {
        text.into_bytes().into()
    }
}

impl From<&OsStr> for Name {
    fn from(text: &OsStr) -> Self {
        text.as_bytes().into()
    }
}

impl From<Cow<'_, [u8]>> for Name {
    fn from(bytes: Cow<'_, [u8]>) -> Self {
        bytes.into_owned().into()
    }
}

impl PartialEq<str> for Name {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Name {
    fn eq(&self, other: &&str) -> bool {
        self == *other
    }
}
