//! The scale, and the list below it with its bars.

use ratatui::style::Style;

use super::{
    Canvas, Scene, Theme,
    layout::{ARROW, Layout, RATE, lines},
};
use crate::{
    iftop::{number::AmountText, options::LineDisplay, pair::PairAmounts},
    tui::{list::ListEntry, scale::Scale, words::EntryWords},
};

/// Blanks between an end and its owner in one line.
const GAP: u16 = 2;
/// Columns that an owner is worth.
const LEAST: u16 = 6;

/// The labels and the ticks, or a plain rule.
pub(super) fn scale(canvas: &mut Canvas<'_>, layout: &Layout, scale: &Scale, scene: &Scene<'_>) {
    let (theme, width) = (scene.theme, canvas.size.width);
    match layout.scale {
        0 => {}
        1 => canvas.fill(0, theme.rule(), Style::new()),
        _ => {
            canvas.fill(1, theme.rule(), Style::new());
            for tick in scale.ticks() {
                canvas.text(tick.column, 1, theme.tick(), 1, Style::new());
                canvas.text(tick.label_column, 0, &tick.label, width, Style::new());
            }
            canvas.text(0, 1, theme.corner(), 1, Style::new());
        }
    }
}

/// The entries on the screen.
pub(super) fn list(canvas: &mut Canvas<'_>, layout: &Layout, scale: &Scale, scene: &Scene<'_>) {
    let screen = scene.screen;
    if scene.entries.is_empty() {
        if let Some(words) = nothing(scene) {
            canvas.text(1, layout.rows.start + 1, words, canvas.size.width.saturating_sub(1), Theme::FAINT);
        }
        return;
    }
    let cursor = screen.scroll.cursor.as_ref().map(|cursor| cursor.rank);
    let height = lines(screen.options.line_display);
    let ranks = screen.scroll.shown().0..;
    for ((rank, entry), line) in
        ranks.zip(&scene.entries).zip(layout.rows.clone().step_by(usize::from(height)))
    {
        if line + height > layout.rows.end {
            break;
        }
        row(canvas, layout, line, entry, scene);
        for (offset, (amounts, style)) in directions(entry, scene).into_iter().enumerate() {
            let line = line + u16::try_from(offset).unwrap_or(u16::MAX);
            if cursor == Some(rank) {
                canvas.style(line, u16::MAX, Theme::SELECTED);
            }
            if screen.options.show_bars {
                canvas.style(line, scale.bar(scene.bits(amounts.recent)), Theme::bar(style));
            }
        }
    }
}

/// Why there is nothing, where that is not for want of traffic.
fn nothing(scene: &Scene<'_>) -> Option<&'static str> {
    let screen = scene.screen;
    if screen.filter.is_some() {
        Some("Nothing matches the screen filter. Press l to change it.")
    } else {
        None
    }
}

/// What each line of an entry is about, and how that looks.
fn directions(entry: &ListEntry, scene: &Scene<'_>) -> Vec<(PairAmounts, Style)> {
    let theme = scene.theme;
    let (sent, received) = ((entry.sent, theme.sent()), (entry.received, theme.received()));
    match scene.screen.options.line_display {
        LineDisplay::TwoLine => vec![sent, received],
        LineDisplay::OneLineBoth => vec![(entry.sent.plus(entry.received), Style::new())],
        LineDisplay::OneLineSent => vec![sent],
        LineDisplay::OneLineReceived => vec![received],
    }
}

/// The text of an entry.
fn row(canvas: &mut Canvas<'_>, layout: &Layout, line: u16, entry: &Entry, scene: &Scene<'_>) {
    let options = &scene.screen.options;
    let host = layout.host(options.show_totals);
    let [left, right] = scene.words.ends(entry).map(|label| label.fit(usize::from(host)));
    canvas.text(0, line, &left, host, Style::new());
    canvas.text(host + ARROW, line, &right, host, Style::new());
    if let Some(owner) = Words::owner(entry) {
        let [left, _] = scene.words.ends(entry).map(|label| label.to_string());
        let used = match options.line_display {
            // There is nothing in the second line's column.
            LineDisplay::TwoLine => 0,
            _ => u16::try_from(left.chars().count()).unwrap_or(u16::MAX).saturating_add(GAP),
        };
        let line = if used == 0 { line + 1 } else { line };
        let room = host.saturating_sub(used);
        if room >= LEAST {
            canvas.text(used, line, &owner, room, Theme::FAINT);
        }
    }
    let arrows: &[&str] = match options.line_display {
        LineDisplay::TwoLine => &[" => ", " <= "],
        LineDisplay::OneLineBoth => &["<=> "],
        LineDisplay::OneLineSent => &[" => "],
        LineDisplay::OneLineReceived => &[" <= "],
    };
    for ((line, arrow), (amounts, style)) in (line..).zip(arrows).zip(directions(entry, scene)) {
        canvas.text(host, line, arrow, ARROW, style);
        if let Some(column) = layout.total().filter(|_| options.show_totals) {
            canvas.text(column, line, &Amount::total(amounts.bytes).column(), RATE, Style::new());
        }
        for (window, bytes) in (0..).zip(amounts.recent) {
            if let Some(column) = layout.rate(window) {
                canvas.text(column, line, &scene.rate(bytes, usize::from(window)), RATE, Style::new());
            }
        }
    }
}
