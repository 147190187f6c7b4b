//! The one escape of text and CSV, and the way back.
//!
//! | in the name | in the text |
//! | --- | --- |
//! | `\` | `\\` |
//! | a control character below U+0080 (C0, DEL) | `\xHH`, two hexadecimal digits |
//! | a byte that is not part of UTF-8 | `\xHH` |
//! | any other character that is not [harmless](is_harmless) | `\u{H}`, one to six hexadecimal digits |
//!
//! In a cell also the character that would begin a formula: `\x3d` for `=`.

use std::{
    borrow::Cow,
    ffi::OsStr,
    fmt::{self, Write},
    os::unix::ffi::OsStrExt,
};

/// A name as text that is safe to show. From its text [`unescape`] makes the name again.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Safe<'a>(&'a [u8]);

impl<'a> Safe<'a> {
    /// The text of a name.
    #[must_use]
    pub fn new<T: AsRef<[u8]> + ?Sized>(name: &'a T) -> Self {
        Self(name.as_ref())
    }

    /// The text of a path or a word of the command line.
    #[must_use]
    pub fn os<T: AsRef<OsStr> + ?Sized>(name: &'a T) -> Self {
        Self(name.as_ref().as_bytes())
    }

    /// The text, copied only if anything had to be escaped.
    #[must_use]
    pub fn text(self) -> Cow<'a, str> {
        match std::str::from_utf8(self.0) {
            Ok(text) if text.chars().all(is_plain) => Cow::Borrowed(text),
            _ => Cow::Owned(self.to_string()),
        }
    }
}

impl fmt::Display for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |out| escape(self.0, EscapedFor::Text, out))
    }
}

/// As text in quotes.
impl fmt::Debug for Safe<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{self}\"")
    }
}

/// A name as the text of a CSV cell, before CSV's own quotes. [`unescape`] makes the name again.
///
/// A formula begins with `=`, `+`, `-` or `@` (the full-width forms are taken for them), at the beginning of the cell, and after a
/// semicolon for whoever opens the file with that between the cells. What is a number is no name: it is written as it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CsvCell<'a>(&'a [u8]);

impl<'a> CsvCell<'a> {
    /// The text of a name.
    #[must_use]
    pub fn new<T: AsRef<[u8]> + ?Sized>(name: &'a T) -> Self {
        Self(name.as_ref())
    }
}

impl fmt::Display for CsvCell<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        padded(f, |out| escape(self.0, EscapedFor::Cell, out))
    }
}

/// Where a name is written to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum EscapedFor {
    Text,
    Cell,
}

/// Width and precision count the characters of the escaped text.
fn padded(f: &mut fmt::Formatter<'_>, write: impl FnOnce(&mut dyn Write) -> fmt::Result) -> fmt::Result {
    if f.width().is_none() && f.precision().is_none() {
        return write(f);
    }
    let mut text = String::new();
    write(&mut text)?;
    f.pad(&text)
}

fn escape(name: &[u8], place: EscapedFor, out: &mut dyn Write) -> fmt::Result {
    let mut begins = true;
    for chunk in name.utf8_chunks() {
        let text = chunk.valid();
        let mut written = 0;
        for (at, char) in text.char_indices() {
            let formula = place == EscapedFor::Cell && begins && begins_formula(char);
            begins = char == ';';
            if is_plain(char) && !formula {
                continue;
            }
            out.write_str(&text[written..at])?;
            written = at + char.len_utf8();
            match char {
                '\\' => out.write_str("\\\\")?,
                '\0'..='\x7f' => write!(out, "\\x{:02x}", u32::from(char))?,
                _ => write!(out, "\\u{{{:x}}}", u32::from(char))?,
            }
        }
        out.write_str(&text[written..])?;
        for byte in chunk.invalid() {
            begins = false;
            write!(out, "\\x{byte:02x}")?;
        }
    }
    Ok(())
}

/// Whether a character stands for itself.
const fn is_plain(char: char) -> bool {
    char != '\\' && is_harmless(char)
}

const fn begins_formula(char: char) -> bool {
    matches!(char, '=' | '+' | '-' | '@' | '\u{ff1d}' | '\u{ff0b}' | '\u{ff0d}' | '\u{ff20}')
}

/// Whether a terminal shows a character as it is, in its place and in the order of the text.
#[must_use]
pub const fn is_harmless(char: char) -> bool {
    // Blanks that do not look like what they are, separators of lines and paragraphs (Unicode's categories Zs, Zl and Zp), what turns
    // the direction round, joins, parts or marks (Cf), and what has no width (Default_Ignorable_Code_Point).
    let unseen = matches!(char,
        '\u{a0}' | '\u{ad}' | '\u{34f}' | '\u{600}'..='\u{605}' | '\u{61c}' | '\u{6dd}' | '\u{70f}' | '\u{890}'
        | '\u{891}' | '\u{8e2}' | '\u{115f}' | '\u{1160}' | '\u{1680}' | '\u{17b4}' | '\u{17b5}'
        | '\u{180b}'..='\u{180f}' | '\u{2000}'..='\u{200f}' | '\u{2028}'..='\u{202f}' | '\u{205f}'..='\u{206f}'
        | '\u{3000}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}' | '\u{fff0}'..='\u{fffb}'
        | '\u{110bd}' | '\u{110cd}' | '\u{13430}'..='\u{1343f}' | '\u{1bca0}'..='\u{1bca3}'
        | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}');
    !(matches!(char, '\0'..='\u{1f}' | '\u{7f}'..='\u{9f}') || unseen)
}

/// The name that [`Safe`] or [`CsvCell`] made this text of; nothing if they made it of none.
#[must_use]
pub fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut name = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        name.extend_from_slice(plain.as_bytes());
        rest = if let Some(after) = escaped.strip_prefix('\\') {
            name.push(b'\\');
            after
        } else if let Some((digits, after)) =
            escaped.strip_prefix('x').and_then(|text| text.split_at_checked(2))
        {
            name.push(u8::try_from(hexadecimal(digits)?).ok()?);
            after
        } else {
            let (digits, after) = escaped.strip_prefix("u{")?.split_once('}')?;
            let char = char::from_u32(hexadecimal(digits)?)?;
            name.extend_from_slice(char.encode_utf8(&mut [0; 4]).as_bytes());
            after
        };
    }
    name.extend_from_slice(rest.as_bytes());
    Some(name)
}

fn hexadecimal(digits: &str) -> Option<u32> {
    // The standard library's parser takes a sign.
    let digits = digits.bytes().all(|digit| digit.is_ascii_hexdigit()).then_some(digits)?;
    u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() <= 6)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[track_caller]
    fn check(name: &[u8], text: &str, cell: &str) {
        assert_eq!(Safe::new(name).to_string(), text);
        assert_eq!(Safe::new(name).text(), text);
        assert_eq!(CsvCell::new(name).to_string(), cell);
        assert_eq!(unescape(text).unwrap(), name);
        assert_eq!(unescape(cell).unwrap(), name);
    }

    #[test]
    fn harmless_names_are_left_alone() {
        for name in ["", "curl", "sd-pam (1)", "naïve 文 🦀", "a=b+c-d@e", "\"quoted\", 'too'", "<b>&amp;"]
        {
            check(name.as_bytes(), name, name);
        }
        assert!(matches!(Safe::new("curl").text(), Cow::Borrowed("curl")));
    }

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        let same = |name: &[u8], text: &str| check(name, text, text);
        same(b"\x1b[2J\x07\r\n\t\x7f", "\\x1b[2J\\x07\\x0d\\x0a\\x09\\x7f");
        same("\u{9b}31m".as_bytes(), "\\u{9b}31m");
        same("a\u{202e}gpj.exe".as_bytes(), "a\\u{202e}gpj.exe");
        same(
            "\u{2028}\u{2066}\u{200b}\u{feff}\u{e0041}".as_bytes(),
            "\\u{2028}\\u{2066}\\u{200b}\\u{feff}\\u{e0041}",
        );
        same(b"\xff\xc3", "\\xff\\xc3");
        // A surrogate and an overlong form are not UTF-8.
        same(b"\xed\xa0\x80\xc0\xaf", "\\xed\\xa0\\x80\\xc0\\xaf");
    }

    #[test]
    fn text_that_looks_escaped_is_told_from_an_escape() {
        check(b"\\x1b", "\\\\x1b", "\\\\x1b");
        check(b"\\u{202e}\\", "\\\\u{202e}\\\\", "\\\\u{202e}\\\\");
    }

    #[test]
    fn no_cell_begins_a_formula() {
        check(b"=cmd|'/C calc'!A0", "=cmd|'/C calc'!A0", "\\x3dcmd|'/C calc'!A0");
        check(b"+1", "+1", "\\x2b1");
        check(b"-1", "-1", "\\x2d1");
        check(b"@x", "@x", "\\x40x");
        check("＝1".as_bytes(), "＝1", "\\u{ff1d}1");
        check(b"\t=1", "\\x09=1", "\\x09=1");
        check(b"a;=1;;-", "a;=1;;-", "a;\\x3d1;;\\x2d");
        check(b"==", "==", "\\x3d=");
    }

    #[test]
    fn a_width_counts_what_is_shown() {
        assert_eq!(
            format!("{:<6}|{:>5}|{:.3}", Safe::new("\n"), CsvCell::new("=x"), Safe::new("abcd")),
            "\\x0a  |\\x3dx|abc"
        );
    }

    #[test]
    fn what_nobody_wrote_is_no_name() {
        for text in [
            "\\",
            "\\n",
            "\\x",
            "\\x1",
            "\\xg0",
            "\\x+1",
            "\\u202e",
            "\\u{}",
            "\\u{d800}",
            "\\u{1234567}",
            "\\u{1",
        ] {
            assert_eq!(unescape(text), None, "{text}");
        }
    }

    /// Bytes, of which many are special.
    fn names() -> impl Strategy<Value = Vec<u8>> {
        let special = prop::sample::select(vec![
            '\\', '=', ';', '-', '\x1b', '\u{202e}', '\u{9b}', 'x', 'u', '{', '}', '1', 'é',
        ]);
        let text = prop::collection::vec(prop_oneof![special, any::<char>()], 0..20);
        let text = text.prop_map(|chars| chars.into_iter().collect::<String>().into_bytes());
        prop_oneof![text, prop::collection::vec(any::<u8>(), 0..40)]
    }

    proptest! {
        #[test]
        fn every_name_comes_back(name in names()) {
            let (text, cell) = (Safe::new(&name).to_string(), CsvCell::new(&name).to_string());
            prop_assert_eq!(unescape(&text), Some(name.clone()));
            prop_assert_eq!(unescape(&cell), Some(name.clone()));
            prop_assert!(text.chars().chain(cell.chars()).all(is_harmless));
            prop_assert!(!cell.split(';').any(|part| part.starts_with(begins_formula)));
            prop_assert_eq!(Safe::new(&name).text(), text);
        }

        #[test]
        fn text_that_comes_back_is_never_made_up(text in "[\\\\xu{}0-9a-f\u{202e}=]{0,12}") {
            if let Some(name) = unescape(&text) {
                prop_assert_eq!(unescape(&Safe::new(&name).to_string()), Some(name));
            }
        }
    }
}
