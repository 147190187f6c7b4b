//! Names that were chosen to do harm, for the tests of every output, and how a reader gets them back.

use serde_json::Value;

use super::{is_harmless, unescape};

const TEXTS: &[&str] = &[
    "",
    " ",
    "plain",
    "two words",
    " blank before",
    "blank after ",
    "naïve",
    "日本語",
    "🦀",
    "=1+1",
    "=cmd|'/C calc'!A0",
    "=HYPERLINK(\"http://x\",\"y\")",
    "+1",
    "+cmd",
    "-1",
    "-2+3+cmd|' /C calc'!A0",
    "@SUM(1)",
    "@x",
    "＝1",
    "＋1",
    "－1",
    "＠x",
    "\t=1",
    "\r=1",
    "\n=1",
    " =1",
    "a;=1",
    ";-1",
    ",=1",
    "\"=1\"",
    "'=1",
    "\x1b[2J",
    "\x1b[31mred\x1b[0m",
    "\x1b]0;title\x07",
    "\x1b]52;c;ZXZpbA==\x07",
    "\x1bP$q\x1b\\",
    "\x1bc",
    "\x07",
    "\x08\x08\x08over",
    "bell\x07bell",
    "\r",
    "over\rwritten",
    "\n",
    "two\nlines",
    "crlf\r\n",
    "\t",
    "a\tb",
    "\x0b\x0c",
    "\x01\x02\x03",
    "\x1f",
    "\x7f",
    "\u{80}",
    "\u{85}",
    "\u{9b}2J",
    "\u{9d}0;x\u{9c}",
    "\u{a0}",
    "\u{ad}",
    "\u{61c}",
    "\u{200b}",
    "zero\u{200b}width",
    "\u{200d}",
    "\u{200e}left",
    "\u{200f}right",
    "\u{2028}",
    "\u{2029}",
    "\u{202a}x",
    "\u{202b}x",
    "\u{202c}",
    "\u{202d}x",
    "\u{202e}gpj.exe",
    "txt.\u{202e}gpj",
    "\u{2060}",
    "\u{2066}x\u{2069}",
    "\u{2067}x",
    "\u{2068}x",
    "\u{3000}",
    "\u{feff}bom",
    "\u{feff}=1",
    "\u{fe0f}",
    "\u{fffd}",
    "\u{e0041}\u{e007f}",
    "\u{10ffff}",
    "e\u{301}",
    "\\",
    "\\\\",
    "\\x1b",
    "\\u{202e}",
    "\\n",
    "\\x3d1",
    "a\\",
    "C:\\x",
    "^[",
    "%s%n",
    "$(reboot)",
    "`reboot`",
    "; rm -rf /",
    "| cat",
    "../../etc/passwd",
    "<script>alert(1)</script>",
    "&lt;b&gt;",
    "a,b",
    "\"",
    "\"\"",
    "'",
    "null",
    "{\"a\":1}",
    "[1]",
    "0x10",
    "1e9",
    "TRUE",
    "#comment",
    "a=b",
];

/// A hundred names and some, each once: commands to terminals, formulas, escapes that are none, bytes that are not UTF-8, nothing.
pub(crate) fn names() -> Vec<Vec<u8>> {
    let bytes: [&[u8]; 14] = [
        b"\xff",
        b"\xfe\xff",
        b"\x80",
        b"\xc3",
        b"fifteen bytes\xc3\xa9".split_at(14).0,
        b"\xe6\x97",
        b"\xf0\x9f\xa6",
        b"\xc0\xaf",
        b"\xed\xa0\x80",
        b"\xf8\x88\x80\x80\x80",
        b"=\xff",
        b"\xff=1",
        b"\x1b[2J\xff\\",
        b"\\xff\xff",
    ];
    let long = [b"x".repeat(5000), "\u{202e}".repeat(300).into_bytes(), b"\xff".repeat(300)];
    let texts = TEXTS.iter().map(|text| text.as_bytes().to_vec());
    texts.chain(bytes.map(<[u8]>::to_vec)).chain(long).collect()
}

/// Those that are text.
pub(crate) fn texts() -> Vec<String> {
    names().into_iter().filter_map(|name| String::from_utf8(name).ok()).collect()
}

/// The name that a reader of JSON finds under a key.
#[track_caller]
pub(crate) fn of_json(object: &Value, key: &str) -> Vec<u8> {
    let text = object[key].as_str().unwrap_or_else(|| panic!("no text {key} in {object}"));
    let Some(hex) = object.get(format!("{key}_hex")) else { return text.as_bytes().to_vec() };
    let bytes = of_hex(hex.as_str().unwrap());
    assert_eq!(unescape(text).unwrap(), bytes);
    assert!(String::from_utf8(bytes.clone()).is_err(), "{key}_hex of what is text: {object}");
    bytes
}

/// Bytes from hexadecimal digits.
pub(crate) fn of_hex(digits: &str) -> Vec<u8> {
    assert!(digits.len().is_multiple_of(2));
    (0..digits.len()).step_by(2).map(|at| u8::from_str_radix(&digits[at..at + 2], 16).unwrap()).collect()
}

/// Lines of text that no terminal obeys.
#[track_caller]
pub(crate) fn assert_harmless(text: &str) {
    let harm = text.chars().find(|char| *char != '\n' && !is_harmless(*char));
    assert_eq!(harm, None, "{}", text.escape_debug());
}

/// The cells of a CSV file as a reader finds them, the header first, where every line is a row and no cell a formula.
#[track_caller]
pub(crate) fn of_csv(text: &str) -> Vec<Vec<Vec<u8>>> {
    assert_harmless(text);
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    let rows: Vec<Vec<Vec<u8>>> = reader
        .records()
        .map(|record| {
            let cell = |cell: &str| {
                let formula = cell
                    .split(';')
                    .any(|part| part.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']));
                assert!(!formula, "{cell}");
                unescape(cell).unwrap()
            };
            record.unwrap().iter().map(cell).collect()
        })
        .collect();
    assert_eq!(rows.len(), text.lines().count());
    rows
}

#[test]
fn there_are_a_hundred() {
    let names = names();
    assert!(names.len() > 100, "{}", names.len());
    let different: std::collections::BTreeSet<_> = names.iter().collect();
    assert_eq!(different.len(), names.len());
}
