//! The last place before a terminal: whatever was forgotten on the way here commands nothing.

use std::{
    borrow::Cow,
    fmt::Write as _,
    io::{self, Write},
};

use super::is_harmless;

/// A writer of text, which may hold line feeds, and of nothing else that is not [harmless](is_harmless): that is written as its
/// escape. Backslashes stay as they are, for what was made safe before has its own: of a name that passes here as it is the text
/// is safe, but [`unescape`](super::unescape) does not give back the name.
///
/// What is written at a time is whole characters, as `write!` has it.
#[derive(Debug)]
pub struct Guard<W> {
    out: W,
    /// Whether characters are escaped byte by byte, as lsof does, and a zero is a separator.
    bytes: bool,
}

impl<W: Write> Guard<W> {
    /// In front of a writer.
    pub const fn new(out: W) -> Self {
        Self { out, bytes: false }
    }

    /// With lsof's escape of a character: each of its bytes as `\xHH`. Zeros pass, which end lsof's fields.
    pub const fn like_lsof(out: W) -> Self {
        Self { out, bytes: true }
    }

    fn passes(&self, char: char) -> bool {
        char == '\n' || char == '\0' && self.bytes || is_harmless(char)
    }

    fn escape(&mut self, char: char) -> io::Result<()> {
        if char.is_ascii() || self.bytes {
            return char.encode_utf8(&mut [0; 4]).bytes().try_for_each(|byte| self.byte(byte));
        }
        write!(self.out, "\\u{{{:x}}}", u32::from(char))
    }

    fn byte(&mut self, byte: u8) -> io::Result<()> {
        write!(self.out, "\\x{byte:02x}")
    }
}

impl<W: Write> Write for Guard<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        for chunk in bytes.utf8_chunks() {
            let mut rest = chunk.valid();
            while let Some((at, char)) = rest.char_indices().find(|(_, char)| !self.passes(*char)) {
                self.out.write_all(&rest.as_bytes()[..at])?;
                self.escape(char)?;
                rest = &rest[at + char.len_utf8()..];
            }
            self.out.write_all(rest.as_bytes())?;
            chunk.invalid().iter().try_for_each(|byte| self.byte(*byte))?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

/// A text of one line as a [`Guard`] would write it; a line feed is escaped too.
#[must_use]
pub fn guarded(text: &str) -> Cow<'_, str> {
    if text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len());
    for char in text.chars() {
        // A String takes everything.
        let _ = match char {
            _ if is_harmless(char) => safe.write_char(char),
            '\0'..='\x7f' => write!(safe, "\\x{:02x}", u32::from(char)),
            _ => write!(safe, "\\u{{{:x}}}", u32::from(char)),
        };
    }
    Cow::Owned(safe)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::format::Safe;

    fn written(guard: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        guard(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn lines_stay_and_commands_do_not() {
        let hostile = "a\\ \x1b[2J\r\t\u{202e}é\n\0";
        let text = written(|out| write!(Guard::new(out), "{hostile}").unwrap());
        assert_eq!(text, "a\\ \\x1b[2J\\x0d\\x09\\u{202e}é\n\\x00");
        let text = written(|out| write!(Guard::like_lsof(out), "{hostile}").unwrap());
        assert_eq!(text, "a\\ \\x1b[2J\\x0d\\x09\\xe2\\x80\\xaeé\n\0");
        assert_eq!(guarded(hostile), "a\\ \\x1b[2J\\x0d\\x09\\u{202e}é\\x0a\\x00");
        assert_eq!(written(|out| Guard::new(out).write_all(b"a\xffb").unwrap()), "a\\xffb");
    }

    proptest! {
        #[test]
        fn nothing_harmful_passes(bytes in prop::collection::vec(any::<u8>(), 0..40), text: String) {
            for bytes in [&bytes[..], text.as_bytes()] {
                let text = written(|out| Guard::new(out).write_all(bytes).unwrap());
                prop_assert!(text.chars().all(|char| char == '\n' || is_harmless(char)));
                let text = written(|out| Guard::like_lsof(out).write_all(bytes).unwrap());
                prop_assert!(text.chars().all(|char| matches!(char, '\n' | '\0') || is_harmless(char)));
            }
            prop_assert!(guarded(&text).chars().all(is_harmless));
        }

        #[test]
        fn what_was_made_safe_passes_unchanged(bytes in prop::collection::vec(any::<u8>(), 0..40)) {
            let safe = Safe::new(&bytes).to_string();
            prop_assert_eq!(&written(|out| write!(Guard::new(out), "{safe}").unwrap()), &safe);
            prop_assert_eq!(guarded(&safe), safe.as_str());
        }
    }
}
