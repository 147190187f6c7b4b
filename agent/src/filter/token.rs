//! From text to words and signs.

/// A word or a sign, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: Kind,
    /// As it was written.
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// A keyword, a name, a number or an address.
    Word,
    /// A word after a backslash: a name, even if it is spelled as a keyword. The text is without the backslash.
    Escaped,
    /// `(`
    Open,
    /// `)`
    Close,
    /// `/`
    Slash,
    /// `and`, `&&`
    And,
    /// `or`, `||`
    Or,
    /// `not`, `!`
    Not,
    /// A sign of arithmetic and comparison.
    Arithmetic,
    /// What no expression has.
    Foreign,
}

/// Splits a text. Any text can be split.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(first) = text[at..].chars().next() {
        if first.is_whitespace() {
            at += first.len_utf8();
            continue;
        }
        let rest = &text[at..];
        let (kind, length, skipped) = next(rest, first);
        tokens.push(Token { kind, text: &rest[skipped..length], at });
        at += length;
    }
    tokens
}

/// The kind of the token that a text begins with, its length, and how much of that is not part of its text.
fn next(rest: &str, first: char) -> (Kind, usize, usize) {
    let word = |from: &str| from.find(|c: char| !is_word(c)).unwrap_or(from.len());
    if is_word(first) && first != '-' {
        let length = word(rest);
        let kind = match &rest[..length] {
            "and" => Kind::And,
            "or" => Kind::Or,
            "not" => Kind::Not,
            _ => Kind::Word,
        };
        return (kind, length, 0);
    }
    for (sign, kind) in [
        ("&&", Kind::And),
        ("||", Kind::Or),
        ("!=", Kind::Arithmetic),
        ("!", Kind::Not),
        ("(", Kind::Open),
        (")", Kind::Close),
        ("/", Kind::Slash),
    ] {
        if rest.starts_with(sign) {
            return (kind, sign.len(), 0);
        }
    }
    match first {
        '\\' if word(&rest[1..]) > 0 => (Kind::Escaped, 1 + word(&rest[1..]), 1),
        '[' | ']' | '<' | '>' | '=' | '+' | '-' | '*' | '&' | '|' | '^' | '%' => (Kind::Arithmetic, 1, 0),
        other => (Kind::Foreign, other.len_utf8(), 0),
    }
}

/// What names, numbers and addresses are made of.
fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '.' | ':' | '_' | '-')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_and_signs() {
        let text = r"not src net 10.0.0.0/8&&!(ip6 host fd77::1||port ftp-data) or proto \tcp";
        let found: Vec<_> = tokens(text).into_iter().map(|token| (token.kind, token.text)).collect();
        let word = |text| (Kind::Word, text);
        let expected = [
            (Kind::Not, "not"),
            word("src"),
            word("net"),
            word("10.0.0.0"),
            (Kind::Slash, "/"),
            word("8"),
            (Kind::And, "&&"),
            (Kind::Not, "!"),
            (Kind::Open, "("),
            word("ip6"),
            word("host"),
            word("fd77::1"),
            (Kind::Or, "||"),
            word("port"),
            word("ftp-data"),
            (Kind::Close, ")"),
            (Kind::Or, "or"),
            word("proto"),
            (Kind::Escaped, "tcp"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn arithmetic_is_told_apart() {
        let kinds: Vec<_> = tokens("tcp[13] & 2 != 0").into_iter().map(|token| token.kind).collect();
        let (word, sign) = (Kind::Word, Kind::Arithmetic);
        assert_eq!(kinds, [word, sign, word, sign, sign, word, sign, word]);
        assert_eq!(tokens("\\ü, \\")[1].kind, Kind::Foreign);
    }

    proptest! {
        #[test]
        fn nothing_but_blanks_is_lost(text in "\\PC{0,60}") {
            let mut end = 0;
            for token in tokens(&text) {
                prop_assert!(text[end..token.at].chars().all(char::is_whitespace));
                end = token.at + token.text.len() + usize::from(token.kind == Kind::Escaped);
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
