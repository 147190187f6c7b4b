//! Side by side with the original: both programs on the same interface at the same time, in the same mode, must show the
//! same texts in the same columns, and numbers that are near.

use std::{
    ops::Range,
    thread,
    time::{Duration, Instant},
};

use harness::{PATIENCE, Screen, screen::amount, terminal::Size};

use crate::{
    cast,
    session::{Session, USUAL, both},
};

/// How far a number may be from the original's, which has slots that begin when they happen to.
const TOLERANCE: f64 = 0.25;

/// Keys that lead to a mode, from that before.
type Mode = (&'static str, &'static str);

#[test]
fn displays_of_rows_are_alike() {
    const MODES: [Mode; 8] = [
        ("", "at the start"),
        ("N", "services as numbers"),
        ("T", "the column of totals"),
        ("t", "one line for both"),
        ("t", "received"),
        ("t", "sent"),
        ("T", "no totals"),
        ("tb", "two lines, no bars"),
    ];
    compare("-n -P -m 10M", USUAL, &MODES);
}

#[test]
fn groups_of_rows_are_alike() {
    const MODES: [Mode; 10] = [
        ("", "no ports"),
        ("S", "source ports"),
        ("s", "source ports and no sources"),
        ("d", "source ports and no hosts"),
        ("s", "source ports and no destinations"),
        ("D", "both ports and no destinations"),
        ("S", "destination ports and no destinations"),
        ("sp", "no hosts, no ports"),
        ("d", "destinations only"),
        ("s", "hosts"),
    ];
    compare("-n -m 10M", USUAL, &MODES);
}

#[test]
fn units_and_scales_are_alike() {
    const MODES: [Mode; 6] = [
        ("", "bytes"),
        ("L", "the logarithmic scale"),
        ("p", "ports"),
        ("B", "bars of 40 s"),
        ("t", "one line"),
        ("L", "the linear scale"),
    ];
    compare("-n -B -m 10M", (200, 24), &MODES);
}

#[test]
fn boundaries_are_alike() {
    const MODES: [Mode; 3] = [("", "with boundaries"), ("T", "the column of totals"), ("tL", "one line")];
    compare("-n -P -F 10.77.0.0/255.255.255.252 -G fd77::1/128 -m 10M", (80, 24), &MODES);
}

/// Leads both programs through the modes.
fn compare(arguments: &str, size: Size, modes: &[Mode]) {
    /// Between two looks at both screens.
    const PAUSE: Duration = Duration::from_millis(50);
    let sessions = both(|program| Session::start(cast::pair(), program, arguments, size));
    let mut has_totals = false;
    for (keys, mode) in modes {
        has_totals ^= keys.contains('T');
        for session in &sessions {
            session.press(keys);
        }
        let deadline = Instant::now() + PATIENCE;
        loop {
            let [ours, theirs] = [0, 1].map(|one: usize| sessions[one].screen());
            let Some(found) = difference(&ours, &theirs, has_totals) else { break };
            assert!(
                Instant::now() < deadline,
                "{arguments}, {mode}: {found}\nours\n{ours}\ntheirs\n{theirs}"
            );
            thread::sleep(PAUSE);
        }
    }
}

/// What is not alike, in words.
fn difference(ours: &Screen, theirs: &Screen, has_totals: bool) -> Option<String> {
    if ours.message().is_some() || theirs.message().is_some() {
        return Some("a message covers the scale".to_owned());
    }
    let status = ours.height() - 4;
    // What was transferred in all depends on when each program was started.
    let beside_rates = ours.width() - 32..ours.width() - 24;
    for line in 0..ours.height() {
        // The rule has the status in it, which the original does not have.
        if line == status {
            if !(ours.is_rule(line) && theirs.is_rule(line)) {
                return Some("no rule above the totals".to_owned());
            }
            continue;
        }
        let free = match line {
            _ if line > status => 22..47,
            _ if has_totals => beside_rates.clone(),
            _ => 0..0,
        };
        let (our_line, their_line) = (drawn_as_letters(&ours.line(line)), theirs.line(line));
        let (our_words, their_words) = (words(&our_line), words(&their_line));
        let alike = our_words.len() == their_words.len()
            && our_words.iter().zip(&their_words).all(|(our, their)| our.is_like(their, &free));
        if !alike {
            return Some(format!("line {line}: {our_line:?} is not {their_line:?}"));
        }
        let (our_bar, their_bar) = (ours.bar(line), theirs.bar(line));
        if our_bar.abs_diff(their_bar) > 1 + their_bar / 4 {
            return Some(format!("line {line}: a bar of {our_bar} cells is not one of {their_bar}"));
        }
    }
    None
}

/// Lines are letters where they cannot be shown.
fn drawn_as_letters(line: &str) -> String {
    line.chars()
        .map(|char| match char {
            '─' => 'q',
            '└' => 'm',
            '┴' => 'v',
            char => char,
        })
        .collect()
}

/// Text between blanks, and where it begins and ends.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Word {
    text: String,
    begin: usize,
    end: usize,
}

fn words(line: &str) -> Vec<Word> {
    let mut words: Vec<Word> = Vec::new();
    for (column, char) in line.chars().enumerate() {
        if char == ' ' {
            continue;
        }
        match words.last_mut() {
            Some(word) if word.end == column => {
                word.text.push(char);
                word.end += 1;
            }
            _ => words.push(Word { text: char.to_string(), begin: column, end: column + 1 }),
        }
    }
    words
}

impl Word {
    /// Text is the same and in the same place. An amount may be another, and with that begin elsewhere; in the columns
    /// that are free, any other.
    fn is_like(&self, other: &Self, free: &Range<usize>) -> bool {
        if self == other {
            return true;
        }
        if ![self, other].iter().all(|word| is_amount(&word.text)) {
            return false;
        }
        // Units have one or two letters, so a value near 0b ends elsewhere.
        let aligned = self.end.abs_diff(other.end) <= 1;
        let [ours, theirs] = [self, other].map(|word| amount(&word.text));
        aligned && (free.contains(&self.begin) || (ours - theirs).abs() <= theirs * TOLERANCE)
    }
}

fn is_amount(text: &str) -> bool {
    let digits = text.trim_end_matches(|char: char| char.is_ascii_alphabetic());
    digits.parse::<f64>().is_ok() && ["b", "B"].iter().any(|unit| text.ends_with(unit))
}
