//! What an agent and a screen that is attached to it say to each other. Pure: bytes in, bytes out.
//!
//! The screen asks `attach PROTOCOL` in a line. The agent answers with a line of JSON, an [`AttachHeader`]; where that has no error,
//! frames follow until one of them goes: first the whole ledger, then at each end of an interval what the ledger was told since. A
//! screen that is too slow misses some of it, and gets the whole ledger again in their place.
//!
//! A frame is the length of its content (4 bytes, little-endian), its kind (a byte), the content, and the CRC-32 of kind and
//! content.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::{
    filter::Dictionary,
    flow::{
        event::Event,
        ledger::Ledger,
        services::Services,
        wire::{PROTOCOL, WireError, WireForm as _, WireReader, wire_struct},
    },
};

/// What the first line says it is.
pub const ATTACH_SCHEMA: &str = "flowtally.attach/1";
/// What the question begins with.
pub const ATTACH_QUESTION: &str = "attach";
/// Bytes before a frame's content.
pub const FRAME_HEAD: usize = 5;
/// Bytes behind it.
pub const FRAME_END: usize = 4;

/// The first line of the answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttachHeader {
    /// [`ATTACH_SCHEMA`].
    pub schema: String,
    /// The agent's version.
    pub version: String,
    /// The form of what follows: [`PROTOCOL`].
    pub protocol: u32,
    /// Why nothing follows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// What is beside a ledger or its events.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachFacts {
    /// How long the agent has been counting.
    pub elapsed: Duration,
    /// Why less than all owners can be found, a sentence each.
    pub owners_degraded: Vec<String>,
}

wire_struct!(AttachFacts { elapsed, owners_degraded });

/// What a frame has in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameKind {
    /// The whole ledger.
    Whole,
    /// What the ledger was told.
    Events,
}

/// What is wrong with what an agent says.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AttachError {
    /// The first line is none of an agent's.
    #[error("what answers is no agent of flowtally, or one from before --attach")]
    NoAgent,
    /// Its ledgers have another form.
    #[error(
        "the agent is flowtally {version} and speaks version {theirs} of the protocol, this is flowtally {own} with version {PROTOCOL}: \
         use the program that the agent was started from, or restart the agent",
        own = env!("CARGO_PKG_VERSION")
    )]
    Version {
        /// The agent's version.
        version: String,
        /// The protocol's.
        theirs: u32,
    },
    /// It says why not.
    #[error("{0}")]
    Refused(String),
    /// A frame was changed on its way.
    #[error("what the agent sent is damaged: its checksum is another one")]
    Damaged,
    /// The content of a frame is not what it should be.
    #[error("what the agent sent cannot be read: {0}")]
    Wire(#[from] WireError),
}

impl AttachHeader {
    /// That of this program.
    #[must_use]
    pub fn own(error: Option<String>) -> Self {
        let (schema, version) = (ATTACH_SCHEMA.to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        Self { schema, version, protocol: PROTOCOL, error }
    }

    /// The line, with its end.
    #[must_use]
    pub fn line(&self) -> String {
        serde_json::to_string(self).unwrap_or_default() + "\n"
    }

    /// Reads the line.
    ///
    /// # Errors
    /// When nothing that can be read follows it.
    pub fn read(line: &str) -> Result<Self, AttachError> {
        let header: Self = serde_json::from_str(line).map_err(|_| AttachError::NoAgent)?;
        if header.schema != ATTACH_SCHEMA {
            return Err(AttachError::NoAgent);
        }
        if header.protocol != PROTOCOL {
            return Err(AttachError::Version { version: header.version, theirs: header.protocol });
        }
        match header.error {
            Some(error) => Err(AttachError::Refused(error)),
            None => Ok(header),
        }
    }
}

/// Whether somebody who asks this can read what an agent of this program sends; else what to answer.
///
/// # Errors
/// With the line that says why not.
pub fn answerable(question: &str) -> Result<(), String> {
    let theirs = question.strip_prefix(ATTACH_QUESTION).unwrap_or_default().trim();
    if theirs.parse() == Ok(PROTOCOL) {
        return Ok(());
    }
    // Whoever has another version says so in the words that it has for it.
    let error = format!("this agent speaks version {PROTOCOL} of the protocol only");
    Err(AttachHeader::own(Some(error)).line())
}

/// A frame: what `content` appends after the facts.
#[must_use]
pub fn frame(kind: FrameKind, facts: &AttachFacts, content: &[u8]) -> Vec<u8> {
    let mut bytes = vec![0; 4];
    bytes.push(match kind {
        FrameKind::Whole => b'W',
        FrameKind::Events => b'E',
    });
    facts.put(&mut bytes);
    bytes.extend_from_slice(content);
    let length = u32::try_from(bytes.len() - FRAME_HEAD).unwrap_or(u32::MAX);
    bytes[..4].copy_from_slice(&length.to_le_bytes());
    let sum = crc32fast::hash(&bytes[4..]);
    bytes.extend_from_slice(&sum.to_le_bytes());
    bytes
}

/// The length of a frame's content.
#[must_use]
pub const fn content_length(head: [u8; FRAME_HEAD]) -> u32 {
    let [a, b, c, d, _] = head;
    u32::from_le_bytes([a, b, c, d])
}

/// A frame's kind, and its content as it was sent.
///
/// # Errors
/// When it was not sent so.
pub fn opened(head: [u8; FRAME_HEAD], rest: &[u8]) -> Result<(FrameKind, &[u8]), AttachError> {
    let (content, sum) = rest.split_last_chunk::<FRAME_END>().ok_or(AttachError::Damaged)?;
    let mut found = crc32fast::Hasher::new();
    found.update(&head[4..]);
    found.update(content);
    let is_whole = content.len() == content_length(head) as usize;
    if !is_whole || found.finalize() != u32::from_le_bytes(*sum) {
        return Err(AttachError::Damaged);
    }
    let kind = match head[4] {
        b'W' => FrameKind::Whole,
        b'E' => FrameKind::Events,
        _ => return Err(AttachError::Damaged),
    };
    Ok((kind, content))
}

/// Reads the content of [`FrameKind::Whole`].
///
/// # Errors
/// When it is no ledger.
pub fn whole(
    content: &[u8],
    services: Services,
    names: &Dictionary,
) -> Result<(AttachFacts, Ledger), AttachError> {
    let mut reader = WireReader::new(content, names);
    let facts = AttachFacts::take(&mut reader)?;
    Ok((facts, Ledger::restore(reader.rest(), services, names)?))
}

/// Reads the content of [`FrameKind::Events`], and tells what is in it.
///
/// # Errors
/// When it is something else; some of it may have been told.
pub fn events(
    content: &[u8],
    names: &Dictionary,
    mut tell: impl FnMut(Event),
) -> Result<AttachFacts, AttachError> {
    let mut reader = WireReader::new(content, names);
    let facts = AttachFacts::take(&mut reader)?;
    while let Some(event) = Event::read(&mut reader)? {
        tell(event);
    }
    Ok(facts)
}

#[cfg(test)]
mod tests {
    use proptest::{prelude::*, sample::Index};

    use super::*;

    fn facts() -> AttachFacts {
        AttachFacts { elapsed: Duration::from_millis(1500), owners_degraded: vec!["why".to_owned()] }
    }

    fn split(bytes: &[u8]) -> ([u8; FRAME_HEAD], &[u8]) {
        let (head, rest) = bytes.split_first_chunk().unwrap();
        (*head, rest)
    }

    #[test]
    fn a_frame_is_read_as_it_was_written() {
        let mut content = Vec::new();
        Event::Detach { index: 7 }.write(&mut content);
        Event::Close { end: Duration::from_secs(2), is_last: true }.write(&mut content);
        let bytes = frame(FrameKind::Events, &facts(), &content);
        let (head, rest) = split(&bytes);
        assert_eq!(content_length(head) as usize + FRAME_END, rest.len());
        let (kind, content) = opened(head, rest).unwrap();
        assert_eq!(kind, FrameKind::Events);
        let mut told = Vec::new();
        let found = events(content, &Dictionary::default(), |event| told.push(format!("{event:?}"))).unwrap();
        assert_eq!(found, facts());
        assert_eq!(told, ["Detach { index: 7 }", "Close { end: 2s, is_last: true }"]);
    }

    #[test]
    fn another_version_is_said_in_words() {
        assert_eq!(answerable(&format!("attach {PROTOCOL}")), Ok(()));
        for question in ["attach", "attach 999", "attach x", "attach 1 2"] {
            let line = answerable(question).unwrap_err();
            let error = AttachHeader::read(&line).unwrap_err();
            let wanted = format!("version {PROTOCOL} of the protocol only");
            assert!(error.to_string().contains(&wanted), "{error}");
        }
        let newer = AttachHeader { protocol: 999, version: "9.9".to_owned(), ..AttachHeader::own(None) };
        let said = AttachHeader::read(&newer.line()).unwrap_err().to_string();
        assert!(said.contains("flowtally 9.9") && said.contains("version 999"), "{said}");
        let full = AttachHeader::own(Some("no room".to_owned()));
        assert_eq!(AttachHeader::read(&full.line()), Err(AttachError::Refused("no room".to_owned())));
        for line in
            ["", "{}", "you asked: attach", r#"{"schema":"flowtally.status/1","version":"1","protocol":1}"#]
        {
            assert_eq!(AttachHeader::read(line), Err(AttachError::NoAgent), "{line}");
        }
        assert!(AttachHeader::read(&AttachHeader::own(None).line()).is_ok());
    }

    proptest! {
        #[test]
        fn a_changed_frame_is_refused(place: Index, bit in 0_u32..8, content in prop::collection::vec(any::<u8>(), 0..50)) {
            let mut bytes = frame(FrameKind::Whole, &facts(), &content);
            let place = place.index(bytes.len());
            bytes[place] ^= 1 << bit;
            let (head, rest) = split(&bytes);
            prop_assert_eq!(opened(head, rest).unwrap_err(), AttachError::Damaged);
        }
    }
}
