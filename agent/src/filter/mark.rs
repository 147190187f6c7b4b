//! Where in an expression something is wrong, shown.

use std::fmt;

use super::token::{TokenKind, tokens};

/// Most parts of an expression that are tried one after the other.
const MOST: usize = 256;
/// What libpcap says when words do not go together.
const SYNTAX: &str = "syntax error";
/// What may stand behind the beginning of an expression, so that it is a whole one.
const ENDS: [&str; 6] = ["", " 1", " 1.1.1.1", " tcp", " port 1", " 1:1"];

/// What is wrong with an expression, with all of it, and a mark.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MarkedError {
    /// What is wrong.
    pub message: String,
    /// The expression.
    pub text: String,
    /// Where, in characters from 1, if that is known.
    pub column: Option<usize>,
}

impl MarkedError {
    /// In one line: the mark stands in the expression.
    #[must_use]
    pub fn line(&self) -> String {
        let Some(column) = self.column else { return format!("{}: {}", self.message, self.plain()) };
        let before: String = self.plain().chars().take(column - 1).collect();
        let after: String = self.plain().chars().skip(column - 1).collect();
        format!("{}: {before}>>>{after}", self.message)
    }

    /// The expression in one line.
    fn plain(&self) -> String {
        self.text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
    }
}

impl fmt::Display for MarkedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n  {}", self.message, self.plain())?;
        match self.column {
            Some(column) => write!(f, "\n  {}^", " ".repeat(column - 1)),
            None => Ok(()),
        }
    }
}

/// Where what libpcap has refused begins, in characters from 1: it does not say so itself. `refusal` is what it says of other
/// expressions, if it refuses them.
pub fn column_of(text: &str, message: &str, refusal: impl Fn(&str) -> Option<String>) -> Option<usize> {
    let tokens = tokens(text);
    let end = |count: usize| tokens.get(count).map_or(text.len(), |token| token.at);
    let place = |count: usize| tokens.get(count).map_or(text.trim_end().len(), |token| token.at);
    let column = |at: usize| Some(text.get(..at)?.chars().count() + 1);
    if message.contains(SYNTAX) {
        // Of an expression that can go on, every beginning can.
        let can_go_on = |count: usize| {
            let beginning = text.get(..end(count)).unwrap_or(text).trim_end();
            let closing = closing(beginning);
            ENDS.iter().any(|more| {
                ["", " = 1"].iter().any(|test| {
                    let whole = format!("{beginning}{more}{closing}{test}");
                    refusal(&whole).is_none_or(|error| !error.contains(SYNTAX))
                })
            })
        };
        let (mut good, mut bad) = (0, tokens.len() + 1);
        while bad - good > 1 {
            let middle = good.midpoint(bad);
            if can_go_on(middle) {
                good = middle;
            } else {
                bad = middle;
            }
        }
        return column(place(bad - 1));
    }
    let tried = 1..tokens.len().min(MOST);
    let first = tried.into_iter().find(|count| {
        let beginning = text.get(..end(*count)).unwrap_or(text);
        refusal(&format!("{beginning}{}", closing(beginning))).as_deref() == Some(message)
    });
    // What is told only of a whole expression may still name a word of it.
    let named = || {
        let named = |text: &str| message.contains(&format!("'{text}'"));
        tokens.iter().position(|token| named(token.text)).map(|at| at + 1)
    };
    column(place(first.or_else(named)? - 1))
}

/// What closes all brackets and parentheses that are open at the end of a text.
fn closing(text: &str) -> String {
    let mut open = Vec::new();
    for token in tokens(text) {
        match (token.kind, token.text) {
            (TokenKind::Open, _) => open.push(')'),
            (_, "[") => open.push(']'),
            (TokenKind::Close, _) | (_, "]") => drop(open.pop()),
            _ => {}
        }
    }
    open.iter().rev().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Takes `a`, `b` and `not`, parentheses around them, and `and` between them.
    fn refusal(text: &str) -> Option<String> {
        let text = text.replace(" = 1", "").replace(['(', ')'], " ");
        let words: Vec<_> = text.split_whitespace().collect();
        let is_value = |word: &&str| ["a", "b", "1", "tcp"].contains(word);
        if let Some(word) = words.iter().find(|word| word.starts_with('x')) {
            return Some(format!("unknown '{word}'"));
        }
        let ends = words.last().is_some_and(&is_value);
        let pairs = words.windows(2).all(|pair| !(is_value(&pair[0]) && is_value(&pair[1])));
        (!ends || !pairs).then(|| "syntax error".to_owned())
    }

    fn marked(text: &str) -> String {
        let message = refusal(text).unwrap();
        let column = column_of(text, &message, refusal);
        MarkedError { message, text: text.to_owned(), column }.line()
    }

    #[test]
    fn a_mark_stands_where_no_expression_goes_on() {
        assert_eq!(marked("a and b a and b"), "syntax error: a and b >>>a and b");
        assert_eq!(marked("(a and (b b"), "syntax error: (a and (b >>>b");
        assert_eq!(marked("a and"), "syntax error: a and>>>");
    }

    #[test]
    fn a_mark_stands_at_what_is_not_known() {
        assert_eq!(marked("a and xyz and b"), "unknown 'xyz': a and >>>xyz and b");
        assert_eq!(marked("a and xyz"), "unknown 'xyz': a and >>>xyz");
    }

    #[test]
    fn a_mark_is_below_its_place() {
        let error = MarkedError { message: "no".to_owned(), text: "a\tb".to_owned(), column: Some(3) };
        assert_eq!(error.to_string(), "no\n  a b\n    ^");
    }
}
