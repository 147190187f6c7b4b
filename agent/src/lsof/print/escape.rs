//! Names as printable text: whatever a file or a process is called, a row stays one row.

use std::io::{self, Write};

/// How bytes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Charset {
    /// Printable UTF-8 is shown as it is; else every byte beyond ASCII is escaped.
    pub utf8: bool,
}

/// Writes a name. With `blank`, a blank is not printable.
///
/// # Errors
/// Those of the writer.
pub fn write(name: &[u8], blank: bool, charset: Charset, out: &mut dyn Write) -> io::Result<()> {
    let plain = |byte: &u8| matches!(byte, 0x20..=0x7e) && *byte != b'\\' && !(blank && *byte == b' ');
    let mut rest = name;
    while !rest.is_empty() {
        let length = rest.iter().position(|byte| !plain(byte)).unwrap_or(rest.len());
        let (text, after) = rest.split_at(length);
        out.write_all(text)?;
        rest = after;
        if let Some((&first, _)) = rest.split_first() {
            let length = if charset.utf8 { printable(rest) } else { 0 };
            if length > 0 {
                out.write_all(rest.get(..length).unwrap_or_default())?;
            } else {
                escape(first, out)?;
            }
            rest = rest.get(length.max(1)..).unwrap_or_default();
        }
    }
    Ok(())
}

/// A name within a message.
#[must_use]
pub fn text(name: &[u8], charset: Charset) -> String {
    let mut text = Vec::with_capacity(name.len());
    // A vector takes all that is written.
    let _ = write(name, false, charset, &mut text);
    String::from_utf8_lossy(&text).into_owned()
}

fn escape(byte: u8, out: &mut dyn Write) -> io::Result<()> {
    match byte {
        b'\\' => out.write_all(b"\\\\"),
        0x08 => out.write_all(b"\\b"),
        0x0c => out.write_all(b"\\f"),
        b'\n' => out.write_all(b"\\n"),
        b'\r' => out.write_all(b"\\r"),
        b'\t' => out.write_all(b"\\t"),
        0..0x20 => out.write_all(&[b'^', byte + 0x40]),
        _ => write!(out, "\\x{byte:02x}"),
    }
}

/// How many bytes the multibyte character at the beginning has, if there is one that can be printed.
fn printable(bytes: &[u8]) -> usize {
    let length = match bytes.first() {
        Some(0xc2..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(0xf0..=0xf4) => 4,
        _ => return 0,
    };
    let character = bytes.get(..length).and_then(|bytes| std::str::from_utf8(bytes).ok());
    match character.and_then(|text| text.chars().next()) {
        Some(c) if !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}') => length,
        _ => 0,
    }
}

/// The first characters of a command, escaped, as COMMAND and TASKCMD show them: an escape is shown whole or not at all. The
/// kernel cuts names at any byte, so that none beyond ASCII is shown as it is, whatever the locale.
#[must_use]
pub fn command(name: &[u8], width: Option<usize>) -> Vec<u8> {
    let mut text = Vec::with_capacity(name.len());
    for byte in name {
        let from = text.len();
        // A vector takes all that is written.
        let _ = write(&[*byte], true, Charset { utf8: false }, &mut text);
        if width.is_some_and(|width| text.len() > width) {
            text.truncate(from);
            break;
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const C: Charset = Charset { utf8: false };
    const UTF8: Charset = Charset { utf8: true };

    fn shown(name: &[u8], charset: Charset) -> String {
        let mut out = Vec::new();
        write(name, false, charset, &mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn names_are_escaped_for_the_locale() {
        assert_eq!(shown(b"odd\tn\\l\n\x01 \x08\x0c\r", C), "odd\\tn\\\\l\\n^A \\b\\f\\r");
        assert_eq!(shown("é文".as_bytes(), C), "\\xc3\\xa9\\xe6\\x96\\x87");
        assert_eq!(shown("é文".as_bytes(), UTF8), "é文");
        assert_eq!(shown(b"\xe9 \x7f\xc2\x85", UTF8), "\\xe9 \\x7f\\xc2\\x85");
        assert_eq!(shown(b"\xf0\x9f", UTF8), "\\xf0\\x9f");
    }

    #[test]
    fn commands_are_cut_between_escapes() {
        let shown = |name: &str, width| String::from_utf8(command(name.as_bytes(), width)).unwrap();
        assert_eq!(shown("kfx long name!X", Some(9)), "kfx\\x20lo");
        assert_eq!(shown("kfx long name!X", None), "kfx\\x20long\\x20name!X");
        assert_eq!(shown("1234567 9", Some(9)), "1234567");
        assert_eq!(shown("short", Some(9)), "short");
        assert_eq!(shown("fifté", Some(9)), "fift\\xc3");
    }

    proptest! {
        #[test]
        fn every_name_is_one_line(name in prop::collection::vec(any::<u8>(), 0..40), utf8: bool) {
            let text = shown(&name, Charset { utf8 });
            prop_assert!(text.chars().all(|c| !c.is_control()));
        }
    }
}
