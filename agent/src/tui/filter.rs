//! The screen filter: a POSIX extended regular expression, without regard to case.
//!
//! The `regex` crate searches; its own language is another one, so the expression is translated (regex(7), and where that
//! leaves things open, what glibc does). References to groups cannot be had: they are refused.

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// Memory that a compiled expression may take, in bytes.
const SIZE_LIMIT: usize = 1 << 20;

/// The classes of characters that POSIX names.
const CLASSES: [&str; 12] = [
    "alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper",
    "xdigit",
];

/// A compiled expression.
#[derive(Clone, Debug)]
pub(super) struct ScreenFilter(Regex);

/// The text is no expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("Invalid regexp")]
pub(super) struct InvalidRegexp;

impl ScreenFilter {
    /// Compiles an expression.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn parse(text: &str) -> Result<Self, InvalidRegexp> {
        let pattern = Translator { rest: text.chars().collect(), ..Translator::default() }.run()?;
        let regex = RegexBuilder::new(&pattern).case_insensitive(true).size_limit(SIZE_LIMIT).build();
        regex.map(Self).map_err(|_| InvalidRegexp)
    }

    /// Whether it matches anywhere in a text.
    #[must_use]
    pub(super) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// From one language to the other.
#[derive(Default)]
struct Translator {
    rest: std::collections::VecDeque<char>,
    out: String,
    /// Where the last thing that can be repeated starts in `out`, and whether it already is.
    last: Option<(usize, bool)>,
    /// Where the groups that are open start.
    open: Vec<usize>,
}

impl Translator {
    fn run(mut self) -> Result<String, InvalidRegexp> {
        while let Some(char) = self.rest.pop_front() {
            let start = self.out.len();
            match char {
                '(' => {
                    self.open.push(start);
                    // No group is ever asked for.
                    self.out.push_str("(?:");
                    self.last = None;
                }
                ')' => match self.open.pop() {
                    Some(start) => {
                        self.out.push(')');
                        self.last = Some((start, false));
                    }
                    None => self.literal(')'),
                },
                '|' | '^' => {
                    self.out.push(char);
                    self.last = None;
                }
                '$' => {
                    self.out.push('$');
                    self.last = Some((start, false));
                }
                '*' | '+' | '?' => self.repeat(&char.to_string())?,
                '{' => {
                    let interval = self.interval()?;
                    self.repeat(&interval)?;
                }
                '.' => {
                    self.out.push('.');
                    self.last = Some((start, false));
                }
                '[' => {
                    let class = self.class()?;
                    self.out.push_str(&class);
                    self.last = Some((start, false));
                }
                '\\' => self.escape()?,
                char => self.literal(char),
            }
        }
        if self.open.is_empty() { Ok(self.out) } else { Err(InvalidRegexp) }
    }

    fn literal(&mut self, char: char) {
        self.last = Some((self.out.len(), false));
        push_escaped(&mut self.out, char);
    }

    /// Repeats what came last. What is repeated already becomes a group, for `+?` would mean something else.
    fn repeat(&mut self, operator: &str) -> Result<(), InvalidRegexp> {
        let (start, repeated) = self.last.ok_or(InvalidRegexp)?;
        if repeated {
            self.out.insert_str(start, "(?:");
            self.out.push(')');
        }
        self.out.push_str(operator);
        self.last = Some((start, true));
        Ok(())
    }

    /// `{2}`, `{2,}`, `{2,5}` or `{,5}`, after its first character.
    fn interval(&mut self) -> Result<String, InvalidRegexp> {
        /// POSIX's `RE_DUP_MAX`: no more can be asked for.
        const MOST: u16 = 255;
        let end = self.rest.iter().position(|char| *char == '}').ok_or(InvalidRegexp)?;
        let text: String = self.rest.drain(..=end).take(end).collect();
        let number =
            |text: &str| text.parse::<u16>().ok().filter(|number| *number <= MOST).ok_or(InvalidRegexp);
        let (from, to) = match text.split_once(',') {
            None => (number(&text)?, Some(number(&text)?)),
            Some(("", to)) => (0, Some(number(to)?)),
            Some((from, "")) => (number(from)?, None),
            Some((from, to)) => (number(from)?, Some(number(to)?)),
        };
        match to {
            None => Ok(format!("{{{from},}}")),
            Some(to) if from <= to => Ok(format!("{{{from},{to}}}")),
            Some(_) => Err(InvalidRegexp),
        }
    }

    /// What follows a backslash.
    fn escape(&mut self) -> Result<(), InvalidRegexp> {
        let start = self.out.len();
        match self.rest.pop_front().ok_or(InvalidRegexp)? {
            '1'..='9' => return Err(InvalidRegexp),
            // GNU's, and the crate's.
            char @ ('w' | 'W' | 's' | 'S' | 'b' | 'B') => {
                self.out.push('\\');
                self.out.push(char);
                self.last = Some((start, false));
            }
            '<' => self.out.push_str(r"\b{start}"),
            '>' => self.out.push_str(r"\b{end}"),
            '`' => self.out.push_str(r"\A"),
            '\'' => self.out.push_str(r"\z"),
            char => self.literal(char),
        }
        Ok(())
    }

    /// A set of characters, after its first bracket.
    fn class(&mut self) -> Result<String, InvalidRegexp> {
        let mut class = "[".to_owned();
        if self.rest.front() == Some(&'^') {
            self.rest.pop_front();
            class.push('^');
        }
        let mut first = true;
        loop {
            let char = self.rest.pop_front().ok_or(InvalidRegexp)?;
            match char {
                ']' if !first => break,
                '[' if self.rest.front() == Some(&':') => {
                    self.rest.pop_front();
                    let name = self.until(':')?;
                    if !CLASSES.contains(&name.as_str()) {
                        return Err(InvalidRegexp);
                    }
                    class.push_str("[:");
                    class.push_str(&name);
                    class.push_str(":]");
                }
                char => {
                    let from = self.element(char)?;
                    push_escaped(&mut class, from);
                    let is_range =
                        self.rest.front() == Some(&'-') && self.rest.get(1).is_some_and(|end| *end != ']');
                    if is_range {
                        self.rest.pop_front();
                        let end = self.rest.pop_front().ok_or(InvalidRegexp)?;
                        let to = self.element(end)?;
                        if from > to {
                            return Err(InvalidRegexp);
                        }
                        class.push('-');
                        push_escaped(&mut class, to);
                    }
                }
            }
            first = false;
        }
        class.push(']');
        Ok(class)
    }

    /// A character of a set, also as `[.x.]` or `[=x=]`.
    fn element(&mut self, char: char) -> Result<char, InvalidRegexp> {
        match self.rest.front() {
            Some(mark @ ('.' | '=')) if char == '[' => {
                let mark = *mark;
                self.rest.pop_front();
                let name = self.until(mark)?;
                let mut chars = name.chars();
                match (chars.next(), chars.next()) {
                    (Some(only), None) => Ok(only),
                    _ => Err(InvalidRegexp),
                }
            }
            _ => Ok(char),
        }
    }

    /// The text up to a mark and a closing bracket, which are taken too.
    fn until(&mut self, mark: char) -> Result<String, InvalidRegexp> {
        let mut text = String::new();
        loop {
            let char = self.rest.pop_front().ok_or(InvalidRegexp)?;
            if char == mark && self.rest.front() == Some(&']') {
                self.rest.pop_front();
                return Ok(text);
            }
            text.push(char);
        }
    }
}

/// A character that stands for itself, in a set and outside. Letters and digits must not be escaped, and everything else in
/// ASCII may be.
fn push_escaped(out: &mut String, char: char) {
    if char.is_ascii_punctuation() {
        out.push('\\');
    }
    out.push(char);
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(expression: &str, matching: &[&str], others: &[&str]) {
        let filter = ScreenFilter::parse(expression).unwrap_or_else(|_| panic!("{expression} is refused"));
        for text in matching {
            assert!(filter.matches(text), "{expression} does not match {text}");
        }
        for text in others {
            assert!(!filter.matches(text), "{expression} matches {text}");
        }
    }

    #[test]
    fn expressions_are_searched_without_regard_to_case() {
        check("DOMAIN", &["10.77.0.1:domain"], &["10.77.0.1:53"]);
        check(r"0\.20:", &["10.77.0.20:5002"], &["10.77.0.2:5001", "10.77.0020:1"]);
        check("^10.77", &["10.77.0.1", "10x77"], &["210.77.0.1"]);
        check("(ssh|https)$", &["[fd77::2]:ssh", "a:HTTPS"], &["https.example.com"]);
        check("", &["anything", ""], &[]);
    }

    #[test]
    fn the_language_is_that_of_posix() {
        check("a)", &["(a)"], &["a"]);
        check(r"\d", &["d"], &["7"]);
        check("[[:digit:]]{3}", &["a123"], &["a12"]);
        check("[]x]", &["]", "x"], &["[", "y"]);
        check("[^]x]", &["y"], &["]", "x"]);
        check(r"[\d]", &[r"\", "d"], &["7"]);
        check("[a&&b]", &["&"], &["c"]);
        check("[[.-.]]", &["-"], &["x"]);
        check("[[=a=]b]", &["a", "b"], &["c"]);
        check("[0-9-]", &["-", "4"], &["a"]);
        check("^xa+?y", &["xy", "xay"], &["xaxy"]);
        check("^a{,2}$", &["", "a", "aa"], &["aaa"]);
        check("^(ab){2,}$", &["abab", "ababab"], &["ab"]);
        check(r"\<com\>", &["a.com", "com"], &["telecom"]);
        check("a||b", &["x"], &[]);
        check("()", &["x"], &[]);
        check("a#b c~&-", &["a#b c~&-"], &["a"]);
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "((",
            "(",
            "a(b",
            "[",
            "[a",
            "[[:digit",
            "[[:nonsense:]]",
            "*a",
            "+",
            "?",
            "a|*b",
            "(*a)",
            "^*",
            "a{",
            "a{x}",
            "a{3,2}",
            "a{256}",
            "{1}",
            r"a\",
            r"(a)\1",
            "(?i)a",
            "[z-a]",
            "[[.ab.]]",
        ] {
            assert_eq!(ScreenFilter::parse(text).err(), Some(InvalidRegexp), "{text}");
        }
        assert_eq!(InvalidRegexp.to_string(), "Invalid regexp");
    }

    #[test]
    fn an_expression_that_would_take_all_memory_is_refused() {
        assert!(ScreenFilter::parse("((((a{255}){255}){255}){255})").is_err());
    }

    proptest! {
        #[test]
        fn any_text_is_compiled_or_refused(text in "[a-c()\\[\\]{},0-9*+?|^$.\\\\:=-]{0,16}|\\PC{0,16}", on in "\\PC{0,20}") {
            if let Ok(filter) = ScreenFilter::parse(&text) {
                let _ = filter.matches(&on);
            }
        }

        #[test]
        fn plain_text_finds_itself(text in "[a-zA-Z0-9 :/_-]{1,12}", before in "[a-z.]{0,5}") {
            let found = ScreenFilter::parse(&text).map(|filter| filter.matches(&format!("{before}{}", text.to_uppercase())));
            prop_assert_eq!(found, Ok(true));
        }
    }
}
