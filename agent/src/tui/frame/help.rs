//! The page of the keys.

use ratatui::text::{Line, Span};

use super::Theme;

/// Columns of a key, and of everything about it.
const KEY: usize = 10;
const COLUMN: usize = 39;

/// Keys under a heading.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

const SECTIONS: &[Section] = &[
    (
        "Hosts",
        &[
            ("n", "names of hosts"),
            ("s d", "hide source, destination"),
            ("t", "one or two lines, direction"),
            ("g", "group: hosts, owners, ..."),
            ("O F", "owners; their open files"),
        ],
    ),
    ("Ports", &[("N", "names of services"), ("S D", "source, destination port"), ("p", "both ports")]),
    ("Order", &[("1 2 3", "by 2s, 10s, 40s rate"), ("< >", "by source, destination"), ("o", "freeze")]),
    (
        "Display",
        &[
            ("P", "pause"),
            ("b B", "bars, their average"),
            ("T", "cumulative column"),
            ("L", "logarithmic scale"),
            ("r", "reset totals, peaks, scale"),
            ("^L", "draw again"),
        ],
    ),
    ("Find", &[("l", "screen filter (regexp)"), ("f", "net filter"), ("i", "interfaces"), ("/", "search")]),
    (
        "Move",
        &[
            ("j k wheel", "scroll"),
            ("arrows", "select, also Home, PgUp ..."),
            ("Enter Esc", "open a row, go back"),
            ("e", "write the list to a file"),
            ("h ? q", "help, quit"),
        ],
    ),
];

/// The page, in as many columns as it takes to fit, and as there is room for.
pub(super) fn lines(width: u16, height: usize) -> Vec<Line<'static>> {
    let total: usize = SECTIONS.iter().map(|(_, keys)| keys.len() + 1).sum();
    let most = (usize::from(width) / COLUMN).max(1);
    let lowest =
        |columns: usize| (1..=total).find(|height| arrange(*height).len() <= columns).unwrap_or(total);
    let columns = (1..most).find(|columns| lowest(*columns) <= height).unwrap_or(most);
    let columns = arrange(lowest(columns));
    let count = columns.iter().map(Vec::len).max().unwrap_or(0);
    (0..count)
        .map(|line| {
            let cells = columns.iter().map(|column| column.get(line).copied().unwrap_or_default());
            Line::from(cells.flat_map(cell).collect::<Vec<_>>())
        })
        .collect()
}

/// A heading, or a key and what it does.
#[derive(Clone, Copy, Default)]
struct HelpCell {
    heading: &'static str,
    key: &'static str,
    text: &'static str,
}

/// The sections in columns of at most this height; a section is not broken, unless it is higher than that.
fn arrange(height: usize) -> Vec<Vec<Cell>> {
    let mut columns: Vec<Vec<Cell>> = vec![Vec::new()];
    for (heading, keys) in SECTIONS {
        let section = std::iter::once(Cell { heading, ..Cell::default() })
            .chain(keys.iter().map(|(key, text)| Cell { key, text, ..Cell::default() }));
        match columns.last_mut() {
            Some(column) if column.is_empty() || column.len() + keys.len() < height => column.extend(section),
            _ => columns.push(section.collect()),
        }
    }
    columns
}

fn cell(cell: HelpCell) -> [Span<'static>; 3] {
    let HelpCell { heading, key, text } = cell;
    if heading.is_empty() {
        let text = format!("{text:<width$}", width = COLUMN - KEY - 1);
        [Span::raw(" "), Span::styled(format!("{key:<KEY$}"), Theme::STRONG), Span::raw(text)]
    } else {
        [Span::styled(format!("{heading:<COLUMN$}"), Theme::STRONG), Span::raw(""), Span::raw("")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_key_has_room() {
        for (heading, keys) in SECTIONS {
            assert!(heading.len() < COLUMN);
            for (key, text) in keys {
                assert!(key.len() < KEY && text.len() < COLUMN - KEY - 1, "{key} {text}");
            }
        }
    }

    #[test]
    fn it_fits_an_ordinary_screen() {
        assert!(lines(80, 18).len() <= 18);
        assert!(lines(300, 94).len() <= 32);
        assert_eq!(lines(60, 18).len(), lines(0, 0).len());
    }
}
