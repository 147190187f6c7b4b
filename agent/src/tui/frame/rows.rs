//! The scale, and the list below it with its bars.

use ratatui::style::Style;

use super::{
    Canvas, Scene, Theme,
    layout::{ARROW, Layout, RATE},
    place::EntryPlaces,
};
use crate::{
    iftop::{number::AmountText, options::LineDisplay, pair::PairAmounts},
    tui::{list::ListEntry, scale::Scale, words::EntryWords},
};

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
    let height = screen.height.lines(screen.options.line_display);
    let ranks = screen.scroll.shown().0..;
    for ((rank, entry), line) in
        ranks.zip(&scene.entries).zip(layout.rows.clone().step_by(usize::from(height)))
    {
        let mut canvas = canvas.above(layout.rows.end);
        let lines = row(&mut canvas, layout, line, entry, scene);
        if cursor == Some(rank) {
            (line..line + height).for_each(|line| canvas.style(line, u16::MAX, Theme::SELECTED));
        }
        for (line, (amounts, style)) in lines.into_iter().zip(directions(entry, scene)) {
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

/// The text of an entry. The result are the lines of its amounts.
fn row(
    canvas: &mut Canvas<'_>,
    layout: &Layout,
    line: u16,
    entry: &ListEntry,
    scene: &Scene<'_>,
) -> [u16; 2] {
    let options = &scene.screen.options;
    let owner = EntryWords::owner(entry).map(|owner| owner.to_string());
    let places = EntryPlaces { layout, options, mark: scene.theme.cut() };
    let length = owner.as_ref().map_or(0, |owner| owner.chars().count());
    let place = places.place(&scene.words.ends(entry), length, scene.screen.height);
    for (below, column, text) in &place.pieces {
        canvas.text(*column, line + below, text, u16::MAX, Style::new());
    }
    if let (Some(owner), Some((below, column, room))) = (owner, place.owner) {
        canvas.text(column, line + below, &owner, room, Theme::FAINT);
    }
    let arrows: &[&str] = match options.line_display {
        LineDisplay::TwoLine => &[" => ", " <= "],
        LineDisplay::OneLineBoth => &["<=> "],
        LineDisplay::OneLineSent => &[" => "],
        LineDisplay::OneLineReceived => &[" <= "],
    };
    for (((below, column), arrow), (amounts, style)) in
        place.arrows.into_iter().zip(arrows).zip(directions(entry, scene))
    {
        let line = line + below;
        canvas.text(column, line, arrow, ARROW, style);
        let has_room = |column: &u16| *column >= place.amounts;
        if let Some(column) = layout.total().filter(|_| options.show_totals).filter(has_room) {
            canvas.text(column, line, &AmountText::total(amounts.bytes).column(), RATE, Style::new());
        }
        for (window, bytes) in (0..).zip(amounts.recent) {
            if let Some(column) = layout.rate(window).filter(has_room) {
                canvas.text(column, line, &scene.rate(bytes, usize::from(window)), RATE, Style::new());
            }
        }
    }
    place.arrows.map(|(below, _)| line + below)
}
