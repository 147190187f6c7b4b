//! Aligned columns that fit a width.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

/// Spaces between columns.
const GAP: usize = 2;

/// What stands for the middle of a text that is too long.
const CUT: char = '…';

/// What happens to a column when the width does not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It stays as it is.
    Always,
    /// Texts lose their middle: down to `good` characters while other columns may go instead, and down to `least`
    /// when none is left that may.
    Cut { good: usize, least: usize },
    /// It goes before another column would have to be cut; the last one first.
    Spare,
    /// It goes before another column would have to be cut below what is good; the last one first.
    Late,
}

/// Where a column's texts begin.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Align {
    Left,
    Right,
}

/// One column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    pub title: &'static str,
    pub align: Align,
    pub fit: Fit,
}

/// Rows of texts. All texts are in one buffer, for a table may have a million rows.
#[derive(Debug)]
pub(crate) struct Grid {
    columns: Vec<Column>,
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
}

impl Grid {
    /// A grid with a line of titles.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
        let mut grid = Self { columns, text: String::new(), ends: Vec::new() };
        for title in titles {
            grid.cell(title);
        }
        grid
    }

    /// Adds the next cell, row by row.
    pub(crate) fn cell(&mut self, value: impl Display) {
        // A String takes everything: this fails only where a Display does, and no such one gets here.
        let written = write!(self.text, "{value}");
        debug_assert!(written.is_ok(), "a cell's text cannot fail");
        self.ends.push(self.text.len());
    }

    /// Prints it in at most `width` columns, or as few as it takes.
    pub(crate) fn write(&self, out: &mut impl Write, width: usize) -> io::Result<()> {
        let widths = fit(&self.columns, self.natural_widths(), width);
        let mut line = String::new();
        for row in 0..self.ends.len() / self.columns.len().max(1) {
            line.clear();
            for (at, (column, width)) in self.columns.iter().zip(&widths).enumerate() {
                let Some(width) = width else { continue };
                let gap = if line.is_empty() && at == 0 { 0 } else { GAP };
                push(&mut line, self.get(row * self.columns.len() + at), column.align, gap, *width);
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }

    fn get(&self, at: usize) -> &str {
        let start = if at == 0 { 0 } else { self.ends[at - 1] };
        &self.text[start..self.ends[at]]
    }

    /// The longest text of each column, in characters.
    fn natural_widths(&self) -> Vec<usize> {
        let mut widths = vec![0; self.columns.len()];
        for at in 0..self.ends.len() {
            let width = &mut widths[at % self.columns.len()];
            *width = (*width).max(self.get(at).chars().count());
        }
        widths
    }
}

/// The widths of columns that fit; `None` for a column that has to go.
fn fit(columns: &[Column], natural: Vec<usize>, width: usize) -> Vec<Option<usize>> {
    let mut widths: Vec<_> = natural.into_iter().map(Some).collect();
    let limit = |column: &Column, width: usize, of: fn(usize, usize) -> usize| match column.fit {
        Fit::Cut { good, least } => width.min(of(good, least).max(column.title.len())),
        _ => width,
    };
    let good = |column: &Column, width| limit(column, width, |good, _| good);
    let least = |column: &Column, width| limit(column, width, |_, least| least);
    let total = |widths: &[Option<usize>]| {
        let shown = widths.iter().flatten();
        shown.clone().sum::<usize>() + GAP * shown.count().saturating_sub(1)
    };
    let total_good = |widths: &[Option<usize>]| {
        let cut = columns.iter().zip(widths).map(|(column, width)| width.map(|width| good(column, width)));
        total(&cut.collect::<Vec<_>>())
    };
    let drop_last = |widths: &mut [Option<usize>], fit: Fit| {
        let dropped =
            columns.iter().zip(widths).rfind(|(column, width)| column.fit == fit && width.is_some());
        dropped.map(|(_, width)| *width = None).is_some()
    };

    while total(&widths) > width && drop_last(&mut widths, Fit::Spare) {}
    while total_good(&widths) > width && drop_last(&mut widths, Fit::Late) {}
    // The widest gives way first, so that short texts stay whole beside long ones.
    while total(&widths) > width {
        let loose = columns.iter().zip(&mut widths).filter_map(|(column, width)| {
            let width = width.as_mut()?;
            (*width > least(column, *width)).then_some(width)
        });
        let Some(widest) = loose.max() else { break };
        *widest -= 1;
    }
    widths
}

/// Adds a text to a line.
fn push(line: &mut String, text: &str, align: Align, gap: usize, width: usize) {
    let spaces = |line: &mut String, count: usize| line.extend(std::iter::repeat_n(' ', count));
    let length = text.chars().count();
    let room = width.saturating_sub(length);
    spaces(line, gap + if align == Align::Right { room } else { 0 });
    if length <= width {
        line.push_str(text);
    } else {
        // The end of an address with its port tells as much as the start.
        let kept = width.saturating_sub(1);
        line.extend(text.chars().take(kept.div_ceil(2)));
        line.push(CUT);
        line.extend(text.chars().skip(length - kept / 2));
    }
    if align == Align::Left {
        spaces(line, room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(width: usize) -> String {
        let column = |title, align, fit| Column { title, align, fit };
        let mut grid = Grid::new(vec![
            column("name", Align::Left, Fit::Cut { good: 8, least: 6 }),
            column("n", Align::Right, Fit::Always),
            column("spare", Align::Right, Fit::Spare),
            column("late", Align::Right, Fit::Late),
        ]);
        for row in [["a", "1", "2", "3"], ["abcdefghijkl", "100", "200", "300"]] {
            for cell in row {
                grid.cell(cell);
            }
        }
        let mut out = Vec::new();
        grid.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn everything_shows_where_there_is_room() {
        let expected = "\
name            n  spare  late
a               1      2     3
abcdefghijkl  100    200   300
";
        assert_eq!(print(30), expected);
    }

    #[test]
    fn spare_columns_go_first_then_texts_are_cut_then_late_columns_go() {
        let last = |width| print(width).lines().last().map(str::to_owned).unwrap();
        assert_eq!(last(29), "abcdefghijkl  100   300");
        assert_eq!(last(20), "abcd…ijkl  100   300");
        assert_eq!(last(19), "abcd…jkl  100   300");
        assert_eq!(last(18), "abcdefghijkl  100");
        assert_eq!(last(12), "abc…jkl  100");
        assert_eq!(last(1), "abc…kl  100");
    }
}
