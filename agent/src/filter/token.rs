//! From text to words and signs.

/// A word or a sign, and where it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'a> {
    /// What it is.
    pub(super) kind: TokenKind,
    /// As it was written.
    pub(super) text: &'a str,
    /// Where it begins, in bytes.
    pub(super) at: usize,
}

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
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
fn next(rest: &str, first: char) -> (TokenKind, usize, usize) {
    let word = |from: &str| from.find(|c: char| !is_word(c)).unwrap_or(from.len());
    if is_word(first) && first != '-' {
        let length = word(rest);
        let kind = match &rest[..length] {
            "and" => TokenKind::And,
            "or" => TokenKind::Or,
            "not" => TokenKind::Not,
            _ => TokenKind::Word,
        };
        return (kind, length, 0);
    }
    for (sign, kind) in [
        ("&&", TokenKind::And),
        ("||", TokenKind::Or),
        ("!=", TokenKind::Arithmetic),
        ("!", TokenKind::Not),
        ("(", TokenKind::Open),
        (")", TokenKind::Close),
        ("/", TokenKind::Slash),
    ] {
        if rest.starts_with(sign) {
            return (kind, sign.len(), 0);
        }
    }
    match first {
        '\\' if word(&rest[1..]) > 0 => (TokenKind::Escaped, 1 + word(&rest[1..]), 1),
        '[' | ']' | '<' | '>' | '=' | '+' | '-' | '*' | '&' | '|' | '^' | '%' => {
            (TokenKind::Arithmetic, 1, 0)
        }
        other => (TokenKind::Foreign, other.len_utf8(), 0),
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
        let word = |text| (TokenKind::Word, text);
        let expected = [
            (TokenKind::Not, "not"),
            word("src"),
            word("net"),
            word("10.0.0.0"),
            (TokenKind::Slash, "/"),
            word("8"),
            (TokenKind::And, "&&"),
            (TokenKind::Not, "!"),
            (TokenKind::Open, "("),
            word("ip6"),
            word("host"),
            word("fd77::1"),
            (TokenKind::Or, "||"),
            word("port"),
            word("ftp-data"),
            (TokenKind::Close, ")"),
            (TokenKind::Or, "or"),
            word("proto"),
            (TokenKind::Escaped, "tcp"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn arithmetic_is_told_apart() {
        let kinds: Vec<_> = tokens("tcp[13] & 2 != 0").into_iter().map(|token| token.kind).collect();
        let (word, sign) = (TokenKind::Word, TokenKind::Arithmetic);
        assert_eq!(kinds, [word, sign, word, sign, sign, word, sign, word]);
        assert_eq!(tokens("\\ü, \\")[1].kind, TokenKind::Foreign);
    }

    proptest! {
        #[test]
        fn nothing_but_blanks_is_lost(text in "\\PC{0,60}") {
            let mut end = 0;
            for token in tokens(&text) {
                prop_assert!(text[end..token.at].chars().all(char::is_whitespace));
                end = token.at + token.text.len() + usize::from(token.kind == TokenKind::Escaped);
            }
            prop_assert!(text[end..].trim().is_empty());
        }
    }
}
