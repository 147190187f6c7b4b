//! Names of files, which may hold any byte but 0.

use std::fmt;

/// What the kernel adds to the name of a file that has none any more (`fs/d_path.c`).
pub const DELETED: &[u8] = b" (deleted)";

/// Digits.
const HEX: [&str; 16] = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9", "a", "b", "c", "d", "e", "f"];

/// A file's name to print. Bytes that are not UTF-8 become `\xNN`; in text for people, so does what could move the cursor
/// or hide anything.
#[derive(Clone, Copy, Debug)]
pub struct Name<'a>(pub &'a [u8]);

impl Name<'_> {
    /// For machines: everything that is UTF-8 stays as it is.
    #[must_use]
    pub fn verbatim(self) -> String {
        self.print(|_| true)
    }

    fn print(self, harmless: impl Fn(char) -> bool) -> String {
        let mut text = String::with_capacity(self.0.len());
        let escape = |text: &mut String, byte: u8| {
            text.extend(["\\x", HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]]);
        };
        for chunk in self.0.utf8_chunks() {
            for char in chunk.valid().chars() {
                if harmless(char) {
                    text.push(char);
                } else {
                    char.encode_utf8(&mut [0; 4]).bytes().for_each(|byte| escape(&mut text, byte));
                }
            }
            chunk.invalid().iter().for_each(|byte| escape(&mut text, *byte));
        }
        text
    }
}

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.print(|char| char == ' ' || char.is_ascii_graphic() || char.is_alphanumeric()))
    }
}

#[cfg(test)]
mod tests {
    use super::Name;

    #[test]
    fn a_name_moves_no_cursor_and_loses_no_byte() {
        assert_eq!(Name("/var/log/ä b.log".as_bytes()).to_string(), "/var/log/ä b.log");
        assert_eq!(Name(b"/tmp/\x1b[2J\n\xff").to_string(), "/tmp/\\x1b[2J\\x0a\\xff");
        assert_eq!(Name(b"/tmp/a\nb\xff\\").verbatim(), "/tmp/a\nb\\xff\\");
        assert_eq!(Name("\u{202e}".as_bytes()).to_string(), "\\xe2\\x80\\xae");
    }
}
