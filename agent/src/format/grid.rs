//! Aligned columns that fit a width, in as many lines for each row as that takes.

use std::{
    fmt::{Display, Write as _},
    io::{self, Write},
};

/// The width of what is no terminal: tables are as wide as they are, and nothing in them is cut.
pub const UNLIMITED: usize = usize::MAX;

/// Spaces between columns.
const GAP: usize = 2;

/// Spaces before every line of a row but the first, and before what is said below a row.
const INDENT: usize = 2;

/// What stands for the middle of a text that is too long.
const CUT: char = '…';

/// What happens to a column when the width does not do. The first that helps:
///
/// 1. columns that are [`Spare`](Self::Spare) go, the last one first;
/// 2. texts that may be cut are, as far as is good, and columns that are [`Late`](Self::Late) go, the last one first;
/// 3. rows take two lines, with the columns back that there is room for then;
/// 4. rows take as many lines as are needed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fit {
    /// It stays, and is never cut.
    Always,
    /// It stays, is never cut, and may run over the end of the line, as the last one. Its rows keep to one line.
    Over,
    /// Texts lose their middle: down to `good` characters while there is room on more lines, and down to `least` where a line
    /// has nothing else.
    Cut { good: usize, least: usize },
    /// It goes before another column has to be cut; the last one first.
    Spare,
    /// It goes before another column has to be cut below what is good; the last one first.
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
    /// Columns of the second line where a row takes two.
    second: Vec<usize>,
    text: String,
    /// Where each cell ends in `text`.
    ends: Vec<usize>,
    /// What is said below rows, by their numbers.
    notes: Vec<(usize, String)>,
}

/// One of the lines that each row takes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct GridLine {
    indent: usize,
    /// The columns and their widths.
    columns: Vec<(usize, usize)>,
}

impl Grid {
    /// A grid with a line of titles.
    pub(crate) fn new(columns: Vec<Column>) -> Self {
        let titles: Vec<_> = columns.iter().map(|column| column.title).collect();
        let mut grid =
            Self { columns, second: Vec::new(), text: String::new(), ends: Vec::new(), notes: Vec::new() };
        for title in titles {
            grid.cell(title);
        }
        grid
    }

    /// The same, with these columns in the second line of rows that take two.
    pub(crate) fn with_second_line(mut self, columns: impl IntoIterator<Item = usize>) -> Self {
        self.second.extend(columns);
        self
    }

    /// Adds the next cell, row by row.
    pub(crate) fn cell(&mut self, value: impl Display) {
        // A String takes everything: this fails only where a Display does, and no such one gets here.
        let written = write!(self.text, "{value}");
        debug_assert!(written.is_ok(), "a cell's text cannot fail");
        self.ends.push(self.text.len());
    }

    /// Says something below the row that was added last, in lines of its own.
    pub(crate) fn note(&mut self, text: String) {
        let row = (self.ends.len() / self.columns.len().max(1)).saturating_sub(1);
        self.notes.push((row, text));
    }

    /// Prints it in lines of at most `width` columns; only a text that is never cut and alone in its line may be longer.
    pub(crate) fn write(&self, out: &mut impl Write, width: usize) -> io::Result<()> {
        let parts = self.arrange(width);
        let mut line = String::new();
        let mut notes = self.notes.iter().peekable();
        for row in 0..self.ends.len() / self.columns.len().max(1) {
            for (number, GridLine { indent, columns }) in parts.iter().enumerate() {
                line.clear();
                line.extend(std::iter::repeat_n(' ', *indent));
                for (place, (at, width)) in columns.iter().enumerate() {
                    let gap = if place == 0 { 0 } else { GAP };
                    let text = self.get(row * self.columns.len() + at);
                    push(&mut line, text, self.columns[*at].align, gap, *width);
                }
                let line = line.trim_end();
                // Nothing to say in a further line: of peers, which have one end only.
                if number == 0 || !line.is_empty() {
                    writeln!(out, "{line}")?;
                }
            }
            while let Some((_, note)) = notes.next_if(|(of, _)| *of == row) {
                write_note(out, note, width)?;
            }
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

    /// Which columns are in which line.
    fn arrange(&self, width: usize) -> Vec<GridLine> {
        let natural = self.natural_widths();
        let columns = &self.columns;
        let all: Vec<usize> = (0..columns.len()).collect();
        if let Some(one) = fit(columns, &natural, &all, width) {
            return vec![GridLine { indent: 0, columns: one }];
        }
        if columns.last().is_some_and(|column| column.fit == Fit::Over) {
            return vec![GridLine { indent: 0, columns: lasting(columns, &natural, usize::MAX) }];
        }
        self.two(&natural, width).unwrap_or_else(|| self.as_many_as_needed(&natural, width))
    }

    /// As many lines for each row as are needed. Numbers at the end keep together where they can: then they have a line of their
    /// own, with those back that there is room for.
    fn as_many_as_needed(&self, natural: &[usize], width: usize) -> Vec<GridLine> {
        let lasting = lasting(&self.columns, natural, width);
        let numbers =
            self.columns.iter().rposition(|column| column.align == Align::Left).map_or(0, |last| last + 1);
        let (texts, last): (Vec<_>, Vec<_>) = lasting.iter().partition(|(column, _)| *column < numbers);
        let greedy = wrap(&lasting, width);
        let are_together =
            greedy.last().is_none_or(|part| last.iter().all(|column| part.columns.contains(column)));
        if are_together || texts.is_empty() {
            return greedy;
        }
        let all: Vec<_> = (numbers..self.columns.len()).collect();
        let Some(columns) = fit(&self.columns, natural, &all, width.saturating_sub(INDENT)) else {
            return greedy;
        };
        let mut parts = wrap(&texts, width);
        parts.push(GridLine { indent: INDENT, columns });
        parts
    }

    /// Two lines for each row, if that does. The second begins below the column before it where that costs no column.
    fn two(&self, natural: &[usize], width: usize) -> Option<Vec<GridLine>> {
        let before = self.second.first()?.checked_sub(1)?;
        let first: Vec<usize> =
            (0..self.columns.len()).filter(|column| !self.second.contains(column)).collect();
        let first = fit(&self.columns, natural, &first, width)?;
        let below = first.iter().take_while(|(column, _)| *column < before).map(|(_, width)| width + GAP);
        let indents = [below.sum::<usize>().max(INDENT), INDENT];
        let [below, indented] =
            indents.map(|indent| fit(&self.columns, natural, &self.second, width.saturating_sub(indent)));
        let indented = indented?;
        let second = match below {
            Some(below) if below.len() == indented.len() => GridLine { indent: indents[0], columns: below },
            _ => GridLine { indent: INDENT, columns: indented },
        };
        Some(vec![GridLine { indent: 0, columns: first }, second])
    }
}

/// Prints what is said below a row in lines of at most `width` columns, or of one word.
fn write_note(out: &mut impl Write, note: &str, width: usize) -> io::Result<()> {
    let mut line = String::new();
    for word in note.split(' ') {
        let is_first = line.is_empty();
        if !is_first && line.chars().count() + 1 + word.chars().count() > width {
            writeln!(out, "{line}")?;
            line.clear();
        }
        line.extend(std::iter::repeat_n(' ', if line.is_empty() { INDENT } else { 1 }));
        line.push_str(word);
    }
    writeln!(out, "{line}")
}

/// Columns of one line that fit, with their widths; `None` if nothing helps.
fn fit(columns: &[Column], natural: &[usize], wanted: &[usize], width: usize) -> Option<Vec<(usize, usize)>> {
    let mut line: Vec<(usize, usize)> = wanted.iter().map(|column| (*column, natural[*column])).collect();
    let good = |(column, width): (usize, usize)| match columns[column].fit {
        Fit::Cut { good, .. } => width.min(good.max(columns[column].title.chars().count())),
        _ => width,
    };
    let total = |line: &[(usize, usize)], of: &dyn Fn((usize, usize)) -> usize| {
        line.iter().map(|column| of(*column)).sum::<usize>() + GAP * line.len().saturating_sub(1)
    };
    let whole = |(_, width): (usize, usize)| width;
    let drop_last = |line: &mut Vec<(usize, usize)>, fit: Fit| {
        let last = line.iter().rposition(|(column, _)| columns[*column].fit == fit);
        last.map(|last| line.remove(last)).is_some()
    };

    while total(&line, &whole) > width && drop_last(&mut line, Fit::Spare) {}
    while total(&line, &good) > width && drop_last(&mut line, Fit::Late) {}
    if total(&line, &good) > width {
        return None;
    }
    // The widest gives way first, so that short texts stay whole beside long ones.
    while total(&line, &whole) > width {
        let loose = (0..line.len()).filter(|at| line[*at].1 > good(line[*at]));
        let widest = loose.max_by_key(|at| line[*at].1)?;
        line[widest].1 -= 1;
    }
    Some(line)
}

/// The columns that never go, each as wide as is good and no wider than the lines that it may stand in.
fn lasting(columns: &[Column], natural: &[usize], width: usize) -> Vec<(usize, usize)> {
    let stay = (0..columns.len()).filter(|at| !matches!(columns[*at].fit, Fit::Spare | Fit::Late));
    let widths = stay.map(|at| match columns[at].fit {
        Fit::Cut { good, least } => {
            let title = columns[at].title.chars().count();
            let room = width.saturating_sub(INDENT).max(least.max(title));
            (at, natural[at].min(good.max(title)).min(room))
        }
        _ => (at, natural[at]),
    });
    widths.collect()
}

/// Columns one after the other, in a new line where one does not fit any more.
fn wrap(columns: &[(usize, usize)], width: usize) -> Vec<GridLine> {
    let mut parts: Vec<GridLine> = Vec::new();
    let mut used = 0;
    for (column, wide) in columns.iter().copied() {
        match parts.last_mut() {
            Some(part) if used + GAP + wide <= width => {
                part.columns.push((column, wide));
                used += GAP + wide;
            }
            last => {
                let indent = if last.is_some() { INDENT } else { 0 };
                parts.push(GridLine { indent, columns: vec![(column, wide)] });
                used = indent + wide;
            }
        }
    }
    parts
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
        // The end of a name tells as much as the start.
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
    use proptest::prelude::*;

    use super::*;

    const fn column(title: &'static str, align: Align, fit: Fit) -> Column {
        Column { title, align, fit }
    }

    fn lines(grid: &Grid, width: usize) -> Vec<String> {
        let mut out = Vec::new();
        grid.write(&mut out, width).unwrap();
        String::from_utf8(out).unwrap().lines().map(str::to_owned).collect()
    }

    fn grid() -> Grid {
        let mut grid = Grid::new(vec![
            column("name", Align::Left, Fit::Cut { good: 8, least: 6 }),
            column("n", Align::Right, Fit::Always),
            column("late", Align::Right, Fit::Late),
            column("spare", Align::Right, Fit::Spare),
            column("more", Align::Right, Fit::Spare),
        ])
        .with_second_line(1..5);
        for row in [["a", "1", "2", "3", "4"], ["abcdefghijkl", "100", "200", "300", "400"]] {
            for cell in row {
                grid.cell(cell);
            }
        }
        grid
    }

    #[test]
    fn everything_shows_where_there_is_room() {
        let expected = [
            "name            n  late  spare  more",
            "a               1     2      3     4",
            "abcdefghijkl  100   200    300   400",
        ];
        assert_eq!(lines(&grid(), 36), expected);
        assert_eq!(lines(&grid(), usize::MAX), expected);
    }

    #[test]
    fn what_is_said_below_a_row_is_in_lines_of_its_own() {
        let mut grid = Grid::new(vec![Column { title: "n", align: Align::Left, fit: Fit::Always }]);
        grid.cell("1");
        grid.note("also crossed br0, eth0.5".to_owned());
        grid.cell("2");
        let print = |width| {
            let mut out = Vec::new();
            grid.write(&mut out, width).unwrap();
            String::from_utf8(out).unwrap()
        };
        assert_eq!(print(40), "n\n1\n  also crossed br0, eth0.5\n2\n");
        assert_eq!(print(19), "n\n1\n  also crossed br0,\n  eth0.5\n2\n");
        assert_eq!(print(0), "n\n1\n  also\n  crossed\n  br0,\n  eth0.5\n2\n");
    }

    #[test]
    fn the_last_spare_column_goes_first_then_texts_are_cut_then_late_columns_go() {
        let last = |width| lines(&grid(), width).pop().unwrap();
        assert_eq!(last(35), "abcdefghijkl  100   200    300");
        assert_eq!(last(29), "abcdefghijkl  100   200");
        assert_eq!(last(22), "abcde…hijkl  100   200");
        assert_eq!(last(19), "abcd…jkl  100   200");
        assert_eq!(last(18), "abcdefghijkl  100");
        assert_eq!(last(13), "abcd…jkl  100");
    }

    #[test]
    fn then_a_row_takes_two_lines_and_what_there_is_room_for_is_back() {
        assert_eq!(
            lines(&grid(), 12),
            ["name", "    n  late", "a", "    1     2", "abcdefghijkl", "  100   200"]
        );
        assert_eq!(lines(&grid(), 8)[4..], ["abcd…jkl", "  100"]);
        assert_eq!(lines(&grid(), 7)[4..], ["abc…kl", "  100"], "the least that a text is cut to");
        assert_eq!(lines(&grid(), 0)[4..], ["abc…kl", "  100"]);
    }

    #[test]
    fn numbers_keep_together_where_they_can() {
        let mut grid = Grid::new(vec![
            column("from", Align::Left, Fit::Always),
            column("to", Align::Left, Fit::Always),
            column("share", Align::Right, Fit::Late),
            column("bytes", Align::Right, Fit::Always),
            column("packets", Align::Right, Fit::Always),
        ])
        .with_second_line(1..5);
        for text in ["2001:db8:1111:2222::1", "192.0.2.22", "10 %", "12345", "1234567"] {
            grid.cell(text);
        }
        let rows = |width| lines(&grid, width).split_off(lines(&grid, width).len() / 2);
        assert_eq!(rows(28), ["2001:db8:1111:2222::1", "  192.0.2.22  12345  1234567"]);
        assert_eq!(rows(27), ["2001:db8:1111:2222::1", "  192.0.2.22", "   10 %  12345  1234567"]);
        assert_eq!(rows(15), ["2001:db8:1111:2222::1", "  192.0.2.22", "  12345", "  1234567"]);
    }

    #[test]
    fn the_second_line_begins_below_the_column_before_it_where_it_can() {
        let mut grid = Grid::new(vec![
            column("kind", Align::Left, Fit::Always),
            column("from", Align::Left, Fit::Always),
            column("to", Align::Left, Fit::Always),
            column("place", Align::Left, Fit::Always),
            column("n", Align::Right, Fit::Spare),
        ])
        .with_second_line([2, 4]);
        for row in [["tcp", "192.0.2.1:50000", "192.0.2.22:443", "eth0", "100"], ["arp", "", "", "eth0", ""]]
        {
            for cell in row {
                grid.cell(cell);
            }
        }
        let expected = [
            "kind  from             place",
            "      to                n",
            "tcp   192.0.2.1:50000  eth0",
            "      192.0.2.22:443  100",
            "arp                    eth0",
        ];
        assert_eq!(lines(&grid, 28), expected);
        assert_eq!(
            lines(&grid, 20)[4..],
            ["tcp", "  192.0.2.1:50000", "  192.0.2.22:443", "  eth0", "arp", "  eth0"]
        );
    }

    #[test]
    fn a_column_that_may_run_over_keeps_rows_to_one_line() {
        let mut grid =
            Grid::new(vec![column("n", Align::Right, Fit::Spare), column("path", Align::Left, Fit::Over)])
                .with_second_line([1]);
        grid.cell(1);
        grid.cell("/a/long/path");
        assert_eq!(lines(&grid, 5), ["path", "/a/long/path"]);
    }

    fn any_fit() -> impl Strategy<Value = Fit> {
        prop_oneof![
            3 => Just(Fit::Always),
            1 => (4..12_usize, 1..4_usize).prop_map(|(good, least)| Fit::Cut { good, least }),
            1 => Just(Fit::Spare),
            1 => Just(Fit::Late),
        ]
    }

    proptest! {
        #[test]
        fn what_is_never_cut_is_there_and_lines_fit(
            fits in prop::collection::vec(any_fit(), 1..8),
            texts in prop::collection::vec("[a-z]{0,30}", 1..40),
            second in prop::collection::btree_set(1..8_usize, 0..8),
            width in 0..80_usize,
        ) {
            let columns = fits.iter().map(|fit| column("t", Align::Left, *fit)).collect();
            let second = second.into_iter().filter(|column| *column < fits.len());
            let mut grid = Grid::new(columns).with_second_line(second);
            let rows: Vec<_> = texts.chunks_exact(fits.len()).collect();
            rows.iter().copied().flatten().for_each(|text| grid.cell(text));
            let lines = lines(&grid, width);
            for line in &lines {
                let alone = line.split_whitespace().count() <= 1;
                prop_assert!(line.chars().count() <= width || alone, "{:?}", line);
            }
            let printed = lines.iter().flat_map(|line| line.split_whitespace());
            let mut printed = printed.collect::<Vec<_>>();
            for (text, fit) in rows.iter().flat_map(|row| row.iter().zip(&fits)) {
                if *fit == Fit::Always && !text.is_empty() {
                    let at = printed.iter().position(|word| word == text);
                    prop_assert!(at.is_some(), "{} is not in {:?}", text, lines);
                    printed.remove(at.unwrap());
                }
            }
        }
    }
}
