//! A line of text that is being typed.

use super::press::PressedKey;
use crate::format::guarded;

/// What the text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A regular expression that what is listed must match.
    ScreenFilter,
    /// The capture filter.
    NetFilter,
    /// Text to look for in the list.
    Search,
    /// The name of a file to write to.
    Export,
}

impl Purpose {
    /// What stands in front of the text.
    #[must_use]
    pub(super) const fn label(self) -> &'static str {
        match self {
            Self::ScreenFilter => "Screen filter> ",
            Self::NetFilter => "Net filter> ",
            Self::Search => "Search> ",
            Self::Export => "Write to (.json, .csv)> ",
        }
    }
}

/// The line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prompt {
    /// What it is for.
    pub purpose: Purpose,
    text: Vec<char>,
    /// Where the next character goes, from 0 to the length of the text.
    cursor: usize,
}

/// What a key did to the line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Typed {
    /// It goes on.
    More,
    /// The text is finished.
    Done(String),
    /// Nothing is wanted.
    Cancelled,
}

impl Prompt {
    /// A line that already has some text, with the cursor behind it.
    #[must_use]
    pub(super) fn new(purpose: Purpose, text: &str) -> Self {
        let text: Vec<char> = text.chars().collect();
        Self { purpose, cursor: text.len(), text }
    }

    /// Takes a key; those that mean nothing here do nothing.
    pub(super) fn press(&mut self, key: PressedKey) -> Typed {
        match key {
            PressedKey::Enter => return Typed::Done(self.text.iter().collect()),
            PressedKey::Esc | PressedKey::Control('g') => return Typed::Cancelled,
            PressedKey::Left => self.cursor = self.cursor.saturating_sub(1),
            PressedKey::Right => self.cursor = (self.cursor + 1).min(self.text.len()),
            PressedKey::Home | PressedKey::Control('a') => self.cursor = 0,
            PressedKey::End | PressedKey::Control('e') => self.cursor = self.text.len(),
            PressedKey::Backspace | PressedKey::Control('h') => {
                if let Some(before) = self.cursor.checked_sub(1) {
                    self.text.remove(before);
                    self.cursor = before;
                }
            }
            PressedKey::Delete if self.cursor < self.text.len() => {
                self.text.remove(self.cursor);
            }
            PressedKey::Control('u') => {
                self.text.clear();
                self.cursor = 0;
            }
            PressedKey::Control('w') => {
                let start = self.start_of_word();
                self.text.drain(start..self.cursor);
                self.cursor = start;
            }
            PressedKey::Char(char) if !char.is_control() => {
                self.text.insert(self.cursor, char);
                self.cursor += 1;
            }
            _ => {}
        }
        Typed::More
    }

    /// Where the word that ends at the cursor begins, with the blanks behind it.
    fn start_of_word(&self) -> usize {
        let before = &self.text[..self.cursor];
        let end = before.iter().rposition(|char| !char.is_whitespace()).map_or(0, |last| last + 1);
        before[..end].iter().rposition(|char| char.is_whitespace()).map_or(0, |blank| blank + 1)
    }

    /// The part of the text that is shown in so many columns, and the cursor's column in it: of a text that is too long,
    /// the end up to the cursor.
    #[must_use]
    pub(super) fn visible(&self, columns: usize) -> (String, usize) {
        let shown = |text: &[char]| guarded(&text.iter().collect::<String>()).into_owned();
        let (before, after) = self.text.split_at(self.cursor);
        let before = shown(before);
        let cursor = before.chars().count();
        let first = cursor.saturating_sub(columns.saturating_sub(1));
        let text = before + &shown(after);
        (text.chars().skip(first).take(columns).collect(), cursor - first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What is left after some keys: the text with `|` at the cursor.
    fn typed(before: &str, keys: &[PressedKey]) -> String {
        let mut prompt = Prompt::new(Purpose::Search, before);
        for key in keys {
            assert_eq!(prompt.press(*key), Typed::More);
        }
        let (left, right) = prompt.text.split_at(prompt.cursor);
        format!("{}|{}", left.iter().collect::<String>(), right.iter().collect::<String>())
    }

    #[test]
    fn keys_edit() {
        use PressedKey::{Backspace, Char, Control, Delete, End, Home, Left, Right};
        assert_eq!(typed("port 53", &[]), "port 53|");
        assert_eq!(typed("port 53", &[Left, Left, Char('x')]), "port x|53");
        assert_eq!(typed("port 53", &[Home, Delete, Right]), "o|rt 53");
        assert_eq!(typed("port 53", &[Control('a'), Char('>'), Control('e'), Char('<')]), ">port 53<|");
        assert_eq!(typed("port 53", &[Home, End, Backspace]), "port 5|");
        assert_eq!(typed("port 53", &[Control('h'), Delete]), "port 5|");
        assert_eq!(typed("port 53", &[Control('u'), Backspace, Delete]), "|");
        assert_eq!(typed("host a and  b  ", &[Control('w')]), "host a and  |");
        assert_eq!(typed("host a", &[Left, Left, Control('w'), Control('w')]), "| a");
        assert_eq!(typed("é", &[Backspace, Char('ü'), PressedKey::Up, Char('\t')]), "ü|");
    }

    #[test]
    fn enter_accepts_and_escape_does_not() {
        let mut prompt = Prompt::new(Purpose::NetFilter, "tcp");
        assert_eq!(prompt.press(PressedKey::Enter), Typed::Done("tcp".to_owned()));
        assert_eq!(prompt.press(PressedKey::Esc), Typed::Cancelled);
        assert_eq!(prompt.press(PressedKey::Control('g')), Typed::Cancelled);
    }

    #[test]
    fn a_long_text_shows_where_the_cursor_is() {
        let mut prompt = Prompt::new(Purpose::Search, "0123456789");
        assert_eq!(prompt.visible(20), ("0123456789".to_owned(), 10));
        assert_eq!(prompt.visible(5), ("6789".to_owned(), 4));
        assert_eq!(prompt.visible(0), (String::new(), 0));
        prompt.press(PressedKey::Home);
        assert_eq!(prompt.visible(5), ("01234".to_owned(), 0));
    }

    #[test]
    fn what_is_pasted_commands_nothing() {
        let prompt = Prompt::new(Purpose::Export, "a\u{202e}b");
        assert_eq!(prompt.visible(20), ("a\\u{202e}b".to_owned(), 10));
        assert_eq!(prompt.visible(4), ("2e}b".get(1..).unwrap().to_owned(), 3));
    }

    proptest! {
        #[test]
        fn no_keys_break_it(text in "\\PC{0,12}", keys in prop::collection::vec(super::super::press::tests::any_key(), 0..40), columns in 0_usize..20) {
            let mut prompt = Prompt::new(Purpose::Search, &text);
            for key in keys {
                prompt.press(key);
                prop_assert!(prompt.cursor <= prompt.text.len());
                let (visible, cursor) = prompt.visible(columns);
                prop_assert!(visible.chars().count() <= columns && cursor <= columns.saturating_sub(1));
            }
        }
    }
}
