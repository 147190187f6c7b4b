//! The letters of a command line and their values. Options begin with `-` or `+`, several letters share one prefix, a value
//! is the rest of the word or the next word, and what an option does not use of its value may be letters again.

/// The words of a command line, and how far they are read.
#[derive(Default)]
pub(super) struct Scanner {
    words: Vec<Vec<u8>>,
    /// The word that is read.
    word: usize,
    /// Where in the word the next letter is; 0 before its prefix.
    at: usize,
    prefix: u8,
}

/// What is next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Letter {
    /// Whether the word began with `+`.
    pub(super) plus: bool,
    /// The letter.
    pub(super) letter: u8,
}

impl Scanner {
    pub(super) fn new(words: Vec<Vec<u8>>) -> Self {
        Self { words, word: 0, at: 0, prefix: b'-' }
    }

    /// The next letter; none when only names are left.
    pub(super) fn letter(&mut self) -> Option<Letter> {
        let mut word = self.words.get(self.word)?;
        if self.at > 0 && self.at >= word.len() {
            self.word += 1;
            self.at = 0;
            word = self.words.get(self.word)?;
        }
        if self.at == 0 {
            match word.as_slice() {
                b"--" | b"++" => {
                    self.word += 1;
                    return None;
                }
                [prefix @ (b'-' | b'+'), _, ..] => {
                    self.prefix = *prefix;
                    self.at = 1;
                }
                _ => return None,
            }
        }
        let letter = *word.get(self.at)?;
        self.at += 1;
        Some(Letter { plus: self.prefix == b'+', letter })
    }

    /// The value of an option that must have one: whatever comes next.
    pub(super) fn value(&mut self) -> Option<Vec<u8>> {
        if let Some(rest) = self.attached() {
            self.word += 1;
            self.at = 0;
            return Some(rest);
        }
        let next = self.words.get(self.word + usize::from(self.at > 0)).cloned()?;
        self.word += 1 + usize::from(self.at > 0);
        self.at = 0;
        Some(next)
    }

    /// The value of an option that may have one: what begins with a prefix is another option.
    pub(super) fn optional(&mut self) -> Option<Vec<u8>> {
        self.optional_if(|_| true)
    }

    /// The same, if the value is acceptable; else it is left for what comes after.
    pub(super) fn optional_if(&mut self, accept: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let good = |value: &[u8]| !matches!(value.first(), Some(b'-' | b'+')) && accept(value);
        if let Some(rest) = self.attached() {
            return if good(&rest) { self.value() } else { None };
        }
        let next = self.words.get(self.word + usize::from(self.at > 0))?;
        if good(next) { self.value() } else { None }
    }

    /// Leading digits of an optional value; what follows them is read as letters. `None` when there are none.
    pub(super) fn digits(&mut self) -> Option<u64> {
        let starts = |value: &[u8]| value.first().is_some_and(u8::is_ascii_digit);
        if self.attached().is_none() {
            let next = self.words.get(self.word + usize::from(self.at > 0))?;
            if !starts(next) {
                return None;
            }
            self.word += usize::from(self.at > 0);
            self.at = 0;
        }
        let word = self.words.get(self.word)?;
        let digits: Vec<u8> = word.get(self.at..)?.iter().copied().take_while(u8::is_ascii_digit).collect();
        if digits.is_empty() {
            return None;
        }
        self.at += digits.len();
        let number = std::str::from_utf8(&digits).ok()?.parse().unwrap_or(u64::MAX);
        Some(number)
    }

    /// The rest of the word that is read, if there is any and it begins with `first`.
    pub(super) fn rest_if(&mut self, first: u8) -> Option<Vec<u8>> {
        let rest = self.attached()?;
        if rest.first() == Some(&first) { self.value() } else { None }
    }

    fn attached(&self) -> Option<Vec<u8>> {
        let word = self.words.get(self.word)?;
        let rest = word.get(self.at..)?;
        (self.at > 0 && !rest.is_empty()).then(|| rest.to_vec())
    }

    /// The words that no option took.
    pub(super) fn names(mut self) -> Vec<Vec<u8>> {
        let from = self.word.min(self.words.len());
        self.words.split_off(from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanner(words: &[&str]) -> Scanner {
        Scanner::new(words.iter().map(|word| word.as_bytes().to_vec()).collect())
    }

    fn next(scanner: &mut Scanner) -> Option<(bool, char)> {
        scanner.letter().map(|letter| (letter.plus, char::from(letter.letter)))
    }

    #[test]
    fn letters_share_a_prefix() {
        let mut words = scanner(&["-aP", "+c", "7", "x", "-n"]);
        assert_eq!(next(&mut words), Some((false, 'a')));
        assert_eq!(next(&mut words), Some((false, 'P')));
        assert_eq!(next(&mut words), Some((true, 'c')));
        assert_eq!(words.value().as_deref(), Some(&b"7"[..]));
        assert_eq!(next(&mut words), None);
        assert_eq!(words.names(), [b"x".to_vec(), b"-n".to_vec()]);
    }

    #[test]
    fn an_optional_value_is_no_option() {
        let mut words = scanner(&["-i", "-F", "name", "-itcp"]);
        assert_eq!(next(&mut words), Some((false, 'i')));
        assert_eq!(words.optional(), None);
        assert_eq!(next(&mut words), Some((false, 'F')));
        assert_eq!(words.optional().as_deref(), Some(&b"name"[..]));
        assert_eq!(next(&mut words), Some((false, 'i')));
        assert_eq!(words.optional().as_deref(), Some(&b"tcp"[..]));
        assert_eq!(next(&mut words), None);
    }

    #[test]
    fn digits_hand_the_rest_back() {
        let mut words = scanner(&["-oo10", "-r", "5m==", "-S"]);
        assert_eq!(next(&mut words), Some((false, 'o')));
        assert_eq!(words.digits(), None);
        assert_eq!(next(&mut words), Some((false, 'o')));
        assert_eq!(words.digits(), Some(10));
        assert_eq!(next(&mut words), Some((false, 'r')));
        assert_eq!(words.digits(), Some(5));
        assert_eq!(words.rest_if(b'm').as_deref(), Some(&b"m=="[..]));
        assert_eq!(next(&mut words), Some((false, 'S')));
        assert_eq!(words.digits(), None);
        assert_eq!(next(&mut words), None);
    }

    #[test]
    fn a_prefix_alone_and_two_of_them_end_the_options() {
        for (first, left) in [("--", 1), ("++", 1), ("-", 2), ("+", 2), ("", 2)] {
            let mut words = scanner(&[first, "-p"]);
            assert_eq!(next(&mut words), None, "{first}");
            assert_eq!(words.names().len(), left, "{first}");
        }
    }
}
