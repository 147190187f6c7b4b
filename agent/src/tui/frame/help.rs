//! The page of the keys.

use ratatui::text::{Line, Span};

use super::Theme;

/// Columns of a key, and of everything about it.
const KEY: usize = 10;
const COLUMN: usize = 39;

/// Keys under a heading.
type Section = (&'static str, &'static [(&'static str, &'static str)]);

/// The keys, and those that move the time where a log is replayed.
fn sections(replay: bool) -> Vec<Section> {
    let time: Section = (
        "Time of the log",
        &[
            ("space P", "stop, go on"),
            ("Left", "one interval back"),
            ("Right", "one interval on"),
            ("0 to 9", "to a tenth of the log"),
            ("+ -", "faster, slower"),
        ],
    );
    let order: Section = if replay {
        ("Order", &[("x", "by 2s, 10s, 40s rate"), ("< >", "by source, destination"), ("o", "freeze")])
    } else {
        ("Order", &[("1 2 3", "by 2s, 10s, 40s rate"), ("< >", "by source, destination"), ("o", "freeze")])
    };
    let display: Section = if replay { ("Display", &DISPLAY[1..]) } else { ("Display", &DISPLAY) };
    let hosts: Section = if replay { ("Hosts", &HOSTS_OF_A_LOG) } else { ("Hosts", &HOSTS) };
    let find: Section = if replay {
        ("Find", &[("l", "screen filter (regexp)"), ("i", "interfaces"), ("/", "search")])
    } else {
        (
            "Find",
            &[
                ("l", "screen filter (regexp)"),
                ("f", "net filter"),
                ("i c", "interfaces; once or each"),
                ("/", "search"),
            ],
        )
    };
    let ports: Section =
        ("Ports", &[("N", "names of services"), ("S D", "source, destination port"), ("p", "both ports")]);
    let moving: Section = (
        "Move",
        &[
            ("j k wheel", "scroll"),
            ("arrows", "select, also Home, PgUp ..."),
            ("Enter Esc", "open a row, go back"),
            ("e", "write the list to a file"),
            ("h ? q", "help, quit"),
        ],
    );
    let moving_in_a_log: Section = (
        "Move",
        &[
            ("j k wheel", "scroll"),
            ("Up Down", "select, also Home, PgUp ..."),
            ("Enter Esc", "open a row, go back"),
            ("e", "write the list to a file"),
            ("h ? q", "help, quit"),
        ],
    );
    if replay {
        // In this order they fill two columns of an ordinary screen.
        vec![time, hosts, display, ports, order, find, moving_in_a_log]
    } else {
        vec![hosts, ports, order, display, find, moving]
    }
}

const HOSTS: [(&str, &str); 5] = [
    ("n", "names of hosts"),
    ("s d", "hide source, destination"),
    ("t", "one or two lines, direction"),
    ("g", "group: hosts, owners, ..."),
    ("O F", "owners; their open files"),
];

/// What is open now is not in a log.
const HOSTS_OF_A_LOG: [(&str, &str); 5] = [HOSTS[0], HOSTS[1], HOSTS[2], HOSTS[3], ("O", "owners")];

const DISPLAY: [(&str, &str); 6] = [
    ("P", "pause"),
    ("b B", "bars, their average"),
    ("T", "cumulative column"),
    ("L", "logarithmic scale"),
    ("r", "reset totals, peaks, scale"),
    ("^L", "draw again"),
];

/// The page, in as many columns as it takes to fit, and as there is room for.
pub(super) fn lines(width: u16, height: usize, replay: bool) -> Vec<Line<'static>> {
    let sections = sections(replay);
    let total: usize = sections.iter().map(|(_, keys)| keys.len() + 1).sum();
    let most = (usize::from(width) / COLUMN).max(1);
    let lowest = |columns: usize| {
        (1..=total).find(|height| arrange(&sections, *height).len() <= columns).unwrap_or(total)
    };
    let columns = (1..most).find(|columns| lowest(*columns) <= height).unwrap_or(most);
    let columns = arrange(&sections, lowest(columns));
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
fn arrange(sections: &[Section], height: usize) -> Vec<Vec<HelpCell>> {
    let mut columns: Vec<Vec<HelpCell>> = vec![Vec::new()];
    for (heading, keys) in sections {
        let section = std::iter::once(HelpCell { heading, ..HelpCell::default() })
            .chain(keys.iter().map(|(key, text)| HelpCell { key, text, ..HelpCell::default() }));
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
        for (heading, keys) in [false, true].into_iter().flat_map(sections) {
            assert!(heading.len() < COLUMN);
            for (key, text) in keys {
                assert!(key.len() < KEY && text.len() < COLUMN - KEY - 1, "{key} {text}");
            }
        }
    }

    #[test]
    fn it_fits_an_ordinary_screen() {
        for replay in [false, true] {
            assert!(lines(80, 18, replay).len() <= 18);
            assert!(lines(300, 94, replay).len() <= 32 + 6);
            assert_eq!(lines(60, 18, replay).len(), lines(0, 0, replay).len());
        }
    }
}
