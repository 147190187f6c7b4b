//! What is on a terminal, and how iftop's layout is read from it.

use std::{fmt, ops::Range};

/// How wide a rate is.
const RATE: usize = 8;
/// How wide an arrow is.
const ARROW: usize = 4;
/// Lines at the bottom: a rule, TX, RX, TOTAL.
const BOTTOM: usize = 4;
/// Columns of the values that are no rates, at the bottom.
const CUMULATIVE: Range<usize> = 22..30;
const PEAK: Range<usize> = 39..47;

/// The cells of a terminal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Screen {
    lines: Vec<Vec<Cell>>,
}

/// A character, and how it looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// What it is.
    pub char: char,
    /// How it looks.
    pub look: Look,
}

/// How a character looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Look {
    /// Foreground and background change places.
    pub reverse: bool,
    /// Bold.
    pub bold: bool,
    /// It has a colour of its own, or its background has.
    pub coloured: bool,
}

/// A line of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// The line of the screen.
    pub line: usize,
    /// What stands left of the arrow.
    pub left: String,
    /// The arrow, with its blanks.
    pub arrow: String,
    /// What stands right of it.
    pub right: String,
    /// What was transferred in all, if that is shown.
    pub total: String,
    /// The average of 2, 10 and 40 seconds.
    pub rates: [String; 3],
}

/// The three lines at the bottom.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Totals {
    /// What was transferred in all: sent, received, both.
    pub cumulative: [String; 3],
    /// The highest of late.
    pub peak: [String; 3],
    /// The averages of 2, 10 and 40 seconds.
    pub rates: [[String; 3]; 3],
}

impl Screen {
    /// Reads what tmux captures with escape sequences: those for the looks of characters, nothing else.
    #[must_use]
    pub fn parse(lines: &[String]) -> Self {
        // How characters look lasts beyond the end of a line.
        let mut look = Look::default();
        let line = |line: &String| {
            let mut cells = Vec::new();
            let mut rest = line.chars();
            while let Some(char) = rest.next() {
                if char == '\x1b' {
                    let sequence: String =
                        rest.by_ref().take_while(|char| !char.is_ascii_alphabetic()).collect();
                    look.change(sequence.trim_start_matches('['));
                } else if !char.is_control() {
                    cells.push(Cell { char, look });
                }
            }
            cells
        };
        Self { lines: lines.iter().map(line).collect() }
    }

    /// How many lines there are.
    #[must_use]
    pub fn height(&self) -> usize {
        self.lines.len()
    }

    /// How many columns there are.
    #[must_use]
    pub fn width(&self) -> usize {
        self.lines.iter().map(Vec::len).max().unwrap_or(0)
    }

    /// Everything, without blanks at the ends of lines and empty lines at the end.
    #[must_use]
    pub fn text(&self) -> String {
        let lines: Vec<String> = (0..self.height()).map(|line| self.line(line)).collect();
        lines.join("\n").trim_end().to_owned()
    }

    /// A line, without blanks at its end.
    #[must_use]
    pub fn line(&self, line: usize) -> String {
        self.at(line, 0..self.width()).trim_end().to_owned()
    }

    /// The text in some columns of a line.
    #[must_use]
    pub fn at(&self, line: usize, columns: Range<usize>) -> String {
        let cells = self.lines.get(line).map_or(&[][..], Vec::as_slice);
        let from = columns.start.min(cells.len());
        cells[from..columns.end.clamp(from, cells.len())].iter().map(|cell| cell.char).collect()
    }

    /// The cells of a line.
    #[must_use]
    pub fn cells(&self, line: usize) -> &[Cell] {
        self.lines.get(line).map_or(&[], Vec::as_slice)
    }

    /// How long the bar at the beginning of a line is.
    #[must_use]
    pub fn bar(&self, line: usize) -> usize {
        self.cells(line).iter().take_while(|cell| cell.look.reverse).count()
    }

    /// What stands in reverse video at the top left.
    #[must_use]
    pub fn message(&self) -> Option<String> {
        let length = self.bar(0);
        (length > 0).then(|| self.at(0, 0..length).trim().to_owned())
    }

    /// The lines between the scale and the rule above the totals.
    fn list(&self) -> Range<usize> {
        // A rule with ticks is the second line of a scale.
        let first = if self.is_rule(1) { 2 } else { 1 };
        first..self.height().saturating_sub(BOTTOM).max(first)
    }

    /// Whether a line is drawn: with lines, or with the letters that stand for them where they cannot be shown.
    #[must_use]
    pub fn is_rule(&self, line: usize) -> bool {
        let text = self.line(line);
        ["──", "qqq", "└─", "mqq"].iter().any(|begin| text.starts_with(begin)) || text.starts_with("─ ")
    }

    /// Columns of a host.
    fn host(&self, with_totals: bool) -> usize {
        let width = self.width().saturating_sub(3 * RATE + ARROW) / 2;
        width.saturating_sub(if with_totals { ARROW } else { 0 }).min(256)
    }

    /// The lines of the list, in the layout of the specification.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        self.rows_with(false)
    }

    /// The same with the column of totals.
    #[must_use]
    pub fn rows_with_totals(&self) -> Vec<Row> {
        self.rows_with(true)
    }

    fn rows_with(&self, totals: bool) -> Vec<Row> {
        let (host, width) = (self.host(totals), self.width());
        let rates = width.saturating_sub(3 * RATE);
        let right = host + ARROW..(2 * host + ARROW).min(rates);
        self.list()
            .filter_map(|line| {
                let text = |columns| self.at(line, columns);
                let arrow = text(host..host + ARROW);
                let word = |columns| text(columns).trim().to_owned();
                ["=>", "<=", "<=>"].contains(&arrow.trim()).then(|| Row {
                    line,
                    left: word(0..host),
                    right: word(right.clone()),
                    total: if totals { word(rates.saturating_sub(RATE)..rates) } else { String::new() },
                    rates: [0, 1, 2].map(|n| word(rates + n * RATE..rates + (n + 1) * RATE)),
                    arrow,
                })
            })
            .collect()
    }

    /// The three lines at the bottom, if they are there.
    #[must_use]
    pub fn totals(&self) -> Option<Totals> {
        let first = self.height().checked_sub(BOTTOM - 1)?;
        let names = ["TX:", "RX:", "TOTAL:"];
        let lines = [0, 1, 2].map(|line| first + line);
        if !lines.iter().zip(names).all(|(line, name)| self.line(*line).starts_with(name)) {
            return None;
        }
        let rates = self.width() - 3 * RATE;
        let word = |line, columns: Range<usize>| self.at(line, columns).trim().to_owned();
        Some(Totals {
            cumulative: lines.map(|line| word(line, CUMULATIVE)),
            peak: lines.map(|line| word(line, PEAK)),
            rates: lines.map(|line| [0, 1, 2].map(|n| word(line, rates + n * RATE..rates + (n + 1) * RATE))),
        })
    }
}

impl fmt::Display for Screen {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let edge = "-".repeat(self.width());
        writeln!(out, "+{edge}+")?;
        for line in 0..self.height() {
            writeln!(out, "|{:<width$}| {line}", self.line(line), width = self.width())?;
            let marked: String =
                self.cells(line).iter().map(|cell| if cell.look.reverse { '^' } else { ' ' }).collect();
            if !marked.trim_end().is_empty() {
                writeln!(out, " {}", marked.trim_end())?;
            }
        }
        write!(out, "+{edge}+")
    }
}

impl Look {
    /// Applies the parameters of a sequence (ECMA-48, 8.3.117).
    fn change(&mut self, parameters: &str) {
        let mut numbers = parameters.split(';').map(|number| number.parse::<u8>().unwrap_or(0));
        while let Some(number) = numbers.next() {
            match number {
                0 => *self = Self::default(),
                1 => self.bold = true,
                22 => self.bold = false,
                7 => self.reverse = true,
                27 => self.reverse = false,
                30..=37 | 40..=47 | 90..=97 | 100..=107 => self.coloured = true,
                38 | 48 => {
                    self.coloured = true;
                    // What follows says which colour.
                    let more = if numbers.next() == Some(5) { 1 } else { 3 };
                    for _ in 0..more {
                        numbers.next();
                    }
                }
                39 | 49 => self.coloured = false,
                _ => {}
            }
        }
    }
}

/// An amount as it is printed, in bits or bytes: `1.95Kb` is 1996.8.
///
/// Its prefixes are multiples of 1024.
#[must_use]
pub fn amount(text: &str) -> f64 {
    let digits = text.trim().trim_end_matches(|char: char| char.is_ascii_alphabetic());
    let unit = &text.trim()[digits.len()..];
    let power = match unit {
        "b" | "B" => 0,
        "Kb" | "KB" => 1,
        "Mb" | "MB" => 2,
        "Gb" | "GB" => 3,
        _ => panic!("no amount: {text:?}"),
    };
    let number: f64 = digits.parse().unwrap_or_else(|_| panic!("no amount: {text:?}"));
    number * 1024_f64.powi(power)
}

/// Whether an amount as it is printed is near another, as a part of that.
#[must_use]
pub fn is_near(text: &str, expected: f64, tolerance: f64) -> bool {
    let ends_with_unit = text.ends_with('b') || text.ends_with('B');
    ends_with_unit && (amount(text) - expected).abs() <= expected.abs() * tolerance
}
