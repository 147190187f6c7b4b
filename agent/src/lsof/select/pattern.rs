//! `-c /RE/[bix]`: POSIX regular expressions, in the words of the regex crate.

use regex::bytes::{Regex, RegexBuilder};

use crate::lsof::arguments::text;

/// A regular expression for names of commands.
#[derive(Clone, Debug)]
pub struct Pattern {
    /// What stands between the slashes.
    pub source: String,
    regex: Regex,
}

impl Pattern {
    /// Reads `/RE/` with its modifiers: `b` basic, `i` case does not matter, `x` extended (as without one).
    ///
    /// # Errors
    /// lsof's message.
    pub(in crate::lsof) fn parse(value: &[u8]) -> Result<Self, String> {
        let whole = text(value);
        let inside = value.strip_prefix(b"/").unwrap_or(value);
        let Some(end) = inside.iter().rposition(|byte| *byte == b'/') else {
            return Err(format!("regexp doesn't end with '/': {whole}"));
        };
        let (mut basic, mut extended, mut any_case) = (false, false, false);
        for modifier in &inside[end + 1..] {
            let (flag, name) = match modifier {
                b'b' => (&mut basic, 'b'),
                b'x' => (&mut extended, 'x'),
                b'i' => (&mut any_case, 'i'),
                _ => return Err(format!("invalid regexp modifier: {}", text(&[*modifier]))),
            };
            if std::mem::replace(flag, true) {
                return Err(format!("{name} regexp modifier already used: {whole}"));
            }
        }
        if basic && extended {
            return Err(format!("b and x regexp modifiers conflict: {whole}"));
        }
        let source = text(&inside[..end]);
        let regex = translate(&source, !basic).and_then(|translated| {
            // A name may be cut within a character, so that bytes must do.
            RegexBuilder::new(&translated)
                .case_insensitive(any_case)
                .unicode(false)
                .dot_matches_new_line(true)
                .build()
                .map_err(|_| "Invalid regular expression")
        });
        match regex {
            Ok(regex) => Ok(Self { source, regex }),
            // The expression is shown as names are.
            Err(why) => Err(format!("regexp error: {}: {why}", whole.replace('\\', "\\\\"))),
        }
    }

    /// Whether a name has a part that matches.
    #[must_use]
    pub fn matches(&self, command: &[u8]) -> bool {
        self.regex.is_match(command)
    }
}

/// A POSIX expression (regex(7)) in the syntax of the regex crate, or regcomp(3)'s word for what is wrong.
fn translate(source: &str, extended: bool) -> Result<String, &'static str> {
    let mut out = String::with_capacity(source.len() + 8);
    let mut chars = source.chars().peekable();
    let mut depth = 0usize;
    // Where nothing can be repeated: at the beginning, after ( and |.
    let mut start = true;
    while let Some(c) = chars.next() {
        let was_start = std::mem::replace(&mut start, false);
        match c {
            '[' => bracket(&mut chars, &mut out)?,
            '\\' => match chars.next() {
                None => return Err("Trailing backslash"),
                Some('(') if !extended => {
                    depth += 1;
                    start = true;
                    out.push('(');
                }
                Some(')') if !extended => {
                    depth = depth.checked_sub(1).ok_or("Unmatched ) or \\)")?;
                    out.push(')');
                }
                Some('|') if !extended => {
                    start = true;
                    out.push('|');
                }
                Some(c @ ('+' | '?')) if !extended => out.push(c),
                Some('{') if !extended => interval(&mut chars, &mut out, false)?,
                Some('<') => out.push_str("\\b{start}"),
                Some('>') => out.push_str("\\b{end}"),
                Some(c @ ('w' | 'W' | 's' | 'S' | 'b' | 'B')) => {
                    out.push('\\');
                    out.push(c);
                }
                Some(c) => literal(c, &mut out),
            },
            '(' if extended => {
                depth += 1;
                start = true;
                out.push('(');
            }
            ')' if extended && depth > 0 => {
                depth -= 1;
                out.push(')');
            }
            '|' if extended => {
                start = true;
                out.push('|');
            }
            '*' if was_start => {
                if extended {
                    return Err("Invalid preceding regular expression");
                }
                out.push_str("\\*");
            }
            '+' | '?' if extended => {
                if was_start {
                    return Err("Invalid preceding regular expression");
                }
                out.push(c);
            }
            '{' if extended && chars.peek().is_some_and(char::is_ascii_digit) => {
                if was_start {
                    return Err("Invalid preceding regular expression");
                }
                interval(&mut chars, &mut out, true)?;
            }
            '^' if extended || was_start => {
                start = true;
                out.push('^');
            }
            '$' if extended || ends(&chars) => out.push('$'),
            '.' => out.push('.'),
            // A repetition of a repetition means something else to the crate (`a*?`, `a**`).
            '*' => repeat(&mut out),
            c => literal(c, &mut out),
        }
    }
    if depth > 0 {
        return Err("Unmatched ( or \\(");
    }
    Ok(out)
}

/// Whether an expression, or its group, ends here: only there `$` is an anchor in the basic syntax.
fn ends(rest: &std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    let mut rest = rest.clone();
    match rest.next() {
        None => true,
        Some('\\') => matches!(rest.next(), Some(')' | '|')),
        Some(_) => false,
    }
}

fn repeat(out: &mut String) {
    if !out.ends_with('*') || out.ends_with("\\*") {
        out.push('*');
    }
}

fn literal(c: char, out: &mut String) {
    let mut buffer = [0; 4];
    // Without Unicode the crate takes no literal beyond ASCII: its bytes, then.
    if c.is_ascii() {
        out.push_str(&regex::escape(c.encode_utf8(&mut buffer)));
    } else {
        use std::fmt::Write as _;
        out.push_str("(?:");
        for byte in c.encode_utf8(&mut buffer).bytes() {
            // A String takes what is written.
            let _ = write!(out, "\\x{byte:02x}");
        }
        out.push(')');
    }
}

/// A bracket expression, from behind its `[`: within, a backslash is itself and a `]` that comes first too.
fn bracket(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
) -> Result<(), &'static str> {
    const UNMATCHED: &str = "Unmatched [, [^, [:, [., or [=";
    out.push('[');
    if chars.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    if chars.peek().is_none() {
        return Err("Invalid regular expression");
    }
    loop {
        match chars.next().ok_or(UNMATCHED)? {
            ']' if !first => {
                out.push(']');
                return Ok(());
            }
            '[' if matches!(chars.peek(), Some(':' | '.' | '=')) => {
                let kind = chars.next().ok_or(UNMATCHED)?;
                let mut name = String::new();
                loop {
                    let c = chars.next().ok_or(UNMATCHED)?;
                    if c == kind && chars.next_if_eq(&']').is_some() {
                        break;
                    }
                    name.push(c);
                }
                if kind == ':' {
                    out.push_str("[:");
                    out.push_str(&name);
                    out.push_str(":]");
                } else {
                    name.chars().for_each(|c| in_brackets(c, out));
                }
            }
            '-' if !first && chars.peek().is_some_and(|next| *next != ']') => out.push('-'),
            c => in_brackets(c, out),
        }
        first = false;
    }
}

fn in_brackets(c: char, out: &mut String) {
    if c.is_ascii() {
        if c.is_ascii_punctuation() {
            out.push('\\');
        }
        out.push(c);
    } else {
        use std::fmt::Write as _;
        let mut buffer = [0; 4];
        for byte in c.encode_utf8(&mut buffer).bytes() {
            // A String takes what is written.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
}

/// `{2,3}`, from behind its brace.
fn interval(
    chars: &mut std::iter::Peekable<std::str::Chars<'_>>,
    out: &mut String,
    extended: bool,
) -> Result<(), &'static str> {
    const UNMATCHED: &str = "Unmatched \\{";
    out.push('{');
    loop {
        match chars.next().ok_or(UNMATCHED)? {
            '}' if extended => break,
            '\\' if !extended && chars.next_if_eq(&'}').is_some() => break,
            c @ ('0'..='9' | ',') => out.push(c),
            _ => return Err("Invalid content of \\{\\}"),
        }
    }
    out.push('}');
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, command: &str) -> bool {
        Pattern::parse(pattern.as_bytes())
            .unwrap_or_else(|error| panic!("{error}"))
            .matches(command.as_bytes())
    }

    #[test]
    fn extended_expressions() {
        for (pattern, command) in [
            ("/^kfx(file|net)$/", "kfxnet"),
            ("/[[:digit:]]+x/x", "ab12x"),
            ("/a{2,3}b/", "aab"),
            ("/KFX/i", "kfxfile"),
            ("/[]a-]+$/", "x]-a"),
            (r"/[\]/", r"a\b"),
            (r"/\./", "a.b"),
            ("/é/", "xéy"),
            ("/a**/", "b"),
            ("/a/b/", "a/b"),
            ("/x{/", "x{"),
        ] {
            assert!(matches(pattern, command), "{pattern} {command}");
        }
        assert!(!matches(r"/^a\.b$/", "axb"));
        assert!(!matches("/[^a]/", "aaa"));
    }

    #[test]
    fn basic_expressions() {
        for (pattern, command) in [
            (r"/^\(ab\)*c$/b", "ababc"),
            ("/a+b/b", "a+b"),
            ("/*a/b", "*a"),
            ("/a|b/b", "a|b"),
            (r"/a\{2\}/b", "aa"),
            ("/a$b/b", "a$b"),
            (r"/(x)/b", "(x)"),
        ] {
            assert!(matches(pattern, command), "{pattern} {command}");
        }
        assert!(!matches("/a|b/b", "a"));
    }

    #[test]
    fn messages_are_those_of_regcomp() {
        for (pattern, message) in [
            ("/x", "regexp doesn't end with '/': /x"),
            ("/x/q", "invalid regexp modifier: q"),
            ("/x/bx", "b and x regexp modifiers conflict: /x/bx"),
            ("/(/", "regexp error: /(/: Unmatched ( or \\("),
            ("/[a/", "regexp error: /[a/: Unmatched [, [^, [:, [., or [="),
            ("/*a/", "regexp error: /*a/: Invalid preceding regular expression"),
            ("/a\\/", "regexp error: /a\\\\/: Trailing backslash"),
            ("/a{1/", "regexp error: /a{1/: Unmatched \\{"),
        ] {
            assert_eq!(Pattern::parse(pattern.as_bytes()).unwrap_err(), message);
        }
    }

    proptest! {
        #[test]
        fn any_expression_is_read(source in "\\PC{0,30}", modifiers in "[bix]{0,2}", command in "\\PC{0,15}") {
            let pattern = format!("/{source}/{modifiers}");
            if let Ok(pattern) = Pattern::parse(pattern.as_bytes()) {
                let _ = pattern.matches(command.as_bytes());
            }
        }
    }
}
