//! Names in JSON: `"key": "the true name"` whenever it is UTF-8. Of any other, which JSON has no string for, the key has its
//! [`Safe`] text, and `key_hex` beside it the exact bytes in hexadecimal; that key is there in this case only.
//!
//! [`to_writer`] writes what no reader of JSON can tell from the character itself: `\u202e` for what would turn round the text of
//! a terminal that the document is shown on.

use std::{
    fmt,
    io::{self, Write},
};

use serde::{Serialize, Serializer, ser::SerializeMap};
use serde_json::ser::{CompactFormatter, Formatter};

use super::{Safe, is_harmless};

/// A name as the value of a key: itself, or if it is not UTF-8 its [`Safe`] text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JsonName<'a>(pub &'a [u8]);

impl Serialize for JsonName<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match std::str::from_utf8(self.0) {
            Ok(name) => serializer.serialize_str(name),
            Err(_) => serializer.collect_str(&Safe::new(self.0)),
        }
    }
}

/// The bytes of a name that is not UTF-8, as the value of the companion key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hex<'a>(&'a [u8]);

impl<'a> Hex<'a> {
    /// Nothing for a name that is UTF-8.
    #[must_use]
    pub fn of(name: &'a [u8]) -> Option<Self> {
        std::str::from_utf8(name).is_err().then_some(Self(name))
    }
}

impl fmt::Display for Hex<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl Serialize for Hex<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// Writes the key of a name, and the companion key if it is needed.
///
/// # Errors
/// Those of the map.
pub fn entry<M: SerializeMap>(map: &mut M, key: &str, name: &[u8]) -> Result<(), M::Error> {
    map.serialize_entry(key, &JsonName(name))?;
    match Hex::of(name) {
        Some(hex) => map.serialize_entry(&format!("{key}_hex"), &hex),
        None => Ok(()),
    }
}

/// One or two keys for a name within a derived structure: `#[serde(flatten)] command: Named("command", bytes)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Named<'a>(pub &'static str, pub &'a [u8]);

impl Serialize for Named<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        entry(&mut map, self.0, self.1)?;
        map.end()
    }
}

/// The same of a name that may be not known, which is `null`: `#[serde(flatten)] user: Entry("user", name)`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedOrNull<N>(pub &'static str, pub Option<N>);

impl<N: AsRef<[u8]>> Serialize for NamedOrNull<N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        match &self.1 {
            Some(name) => entry(&mut map, self.0, name.as_ref())?,
            None => map.serialize_entry(self.0, &())?,
        }
        map.end()
    }
}

/// Names in a row, none of them `null`: an array of strings, and if any of them is not UTF-8, in the companion key an array of all in
/// hexadecimal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NamedList<'a, N>(pub &'static str, pub &'a [N]);

impl<N: AsRef<[u8]>> Serialize for NamedList<'_, N> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(key, names) = self;
        let mut map = serializer.serialize_map(None)?;
        let texts: Vec<JsonName<'_>> = names.iter().map(|name| JsonName(name.as_ref())).collect();
        map.serialize_entry(key, &texts)?;
        if names.iter().any(|name| Hex::of(name.as_ref()).is_some()) {
            let bytes: Vec<Hex<'_>> = names.iter().map(|name| Hex(name.as_ref())).collect();
            map.serialize_entry(&format!("{key}_hex"), &bytes)?;
        }
        map.end()
    }
}

/// Writes a value as compact JSON.
///
/// # Errors
/// Those of the writer and of the value's own serialization.
pub fn to_writer<T: Serialize + ?Sized>(out: impl Write, value: &T) -> serde_json::Result<()> {
    value.serialize(&mut serde_json::Serializer::with_formatter(out, Escaping(CompactFormatter)))
}

/// Formats as another does, with an escape for each character that is not harmless.
#[derive(Clone, Debug)]
struct Escaping<F>(F);

impl<F: Formatter> Formatter for Escaping<F> {
    fn write_string_fragment<W: Write + ?Sized>(&mut self, out: &mut W, fragment: &str) -> io::Result<()> {
        let mut written = 0;
        for (at, char) in fragment.char_indices().filter(|(_, char)| !is_harmless(*char)) {
            self.0.write_string_fragment(out, &fragment[written..at])?;
            written = at + char.len_utf8();
            for unit in char.encode_utf16(&mut [0; 2]) {
                write!(out, "\\u{unit:04x}")?;
            }
        }
        self.0.write_string_fragment(out, &fragment[written..])
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;
    use crate::format::unescape;

    fn json(value: &impl Serialize) -> String {
        let mut out = Vec::new();
        to_writer(&mut out, value).unwrap();
        String::from_utf8(out).unwrap()
    }

    /// The name that a reader finds.
    fn read(json: &str) -> Vec<u8> {
        let value: Value = serde_json::from_str(json).unwrap();
        let name = value["command"].as_str().unwrap();
        let Some(hex) = value.get("command_hex") else { return name.into() };
        let hex = hex.as_str().unwrap();
        let bytes: Vec<u8> =
            (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap()).collect();
        assert_eq!(unescape(name).unwrap(), bytes);
        bytes
    }

    #[test]
    fn a_name_is_itself() {
        assert_eq!(json(&Named("command", b"a\\b\"\n\x0b")), r#"{"command":"a\\b\"\n\u000b"}"#);
        assert_eq!(json(&Named("command", "é=1".as_bytes())), r#"{"command":"é=1"}"#);
        let turning = "\u{202e}\u{7f}\u{9b}\u{e0041}";
        assert_eq!(
            json(&Named("command", turning.as_bytes())),
            r#"{"command":"\u202e\u007f\u009b\udb40\udc41"}"#
        );
    }

    #[test]
    fn bytes_have_a_key_of_their_own() {
        assert_eq!(json(&Named("command", b"a\\\xff")), r#"{"command":"a\\\\\\xff","command_hex":"615cff"}"#);
    }

    #[test]
    fn a_derived_structure_has_the_same_keys() {
        #[derive(Serialize)]
        struct Process<'a> {
            pid: u32,
            #[serde(flatten)]
            command: Named<'a>,
        }
        let of = |name| json(&Process { pid: 1, command: Named("command", name) });
        assert_eq!(of(b"x"), r#"{"pid":1,"command":"x"}"#);
        assert_eq!(of(b"\x80"), r#"{"pid":1,"command":"\\x80","command_hex":"80"}"#);
        assert_eq!(json(&NamedOrNull("user", Some("\n"))), r#"{"user":"\n"}"#);
        assert_eq!(json(&NamedOrNull::<&str>("user", None)), r#"{"user":null}"#);
    }

    #[test]
    fn words_have_one_key_and_their_bytes_another() {
        assert_eq!(json(&NamedList("arguments", &["a", "\\"])), r#"{"arguments":["a","\\"]}"#);
        let names: [&[u8]; 2] = [b"\\", b"\xff"];
        let expected = r#"{"arguments":["\\","\\xff"],"arguments_hex":["5c","ff"]}"#;
        assert_eq!(json(&NamedList("arguments", &names)), expected);
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in prop::collection::vec(any::<u8>(), 0..40), text: String) {
            for name in [&name[..], text.as_bytes()] {
                let json = json(&Named("command", name));
                prop_assert_eq!(read(&json), name);
                prop_assert!(json.chars().all(is_harmless));
            }
        }
    }
}
