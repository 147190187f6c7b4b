//! The three lines at the bottom: TX, RX and TOTAL.

use ratatui::style::Style;

use super::{
    Canvas, Scene, Theme,
    layout::{Layout, RATE},
};
use crate::{
    iftop::{number::AmountText, view},
    tui::scale::Scale,
};

/// Columns of the words and of the values after them.
const CUMULATIVE: (u16, u16) = (16, 22);
const PEAK: (u16, u16) = (32, 39);

/// Draws them. What does not fit beside the rates is left out: first the word before them, then the peak, then the total.
pub(super) fn draw(canvas: &mut Canvas<'_>, layout: &Layout, scale: &Scale, scene: &Scene<'_>) {
    let shown = view::totals(scene.overview);
    let now = view::totals(scene.live);
    let directions = [
        ("TX:", shown.sent, now.sent.bytes, shown.peak.sent, Some(scene.theme.sent())),
        ("RX:", shown.received, now.received.bytes, shown.peak.received, Some(scene.theme.received())),
        (
            "TOTAL:",
            shown.sent.plus(shown.received),
            now.sent.bytes.saturating_add(now.received.bytes),
            shown.peak.total,
            None,
        ),
    ];
    let rates = layout.rate(0).unwrap_or(0);
    for (number, (line, (name, amounts, bytes, peak, bar))) in
        layout.totals.into_iter().zip(directions).enumerate()
    {
        let Some(line) = line else { continue };
        let first = number == 0;
        canvas.text(0, line, name, canvas.size.width, Style::new());
        let mut value = |(word_column, column): (u16, u16), word, value: &str| {
            if column + RATE <= rates {
                if first {
                    canvas.text(word_column, line, word, RATE, Style::new());
                }
                canvas.text(column, line, value, RATE, Style::new());
            }
        };
        value(CUMULATIVE, "cum:", &AmountText::total(bytes).column());
        value(PEAK, "peak:", &AmountText::rate(peak, 1.0, scene.unit()).column());
        if let Some(column) = layout.total().filter(|column| first && *column >= PEAK.1 + RATE) {
            canvas.text(column, line, "rates:", RATE, Style::new());
        }
        for (window, bytes) in (0..).zip(amounts.recent) {
            if let Some(column) = layout.rate(window) {
                canvas.text(column, line, &scene.rate(bytes, usize::from(window)), RATE, Style::new());
            }
        }
        if let Some(style) = bar.filter(|_| scene.screen.options.show_bars) {
            canvas.style(line, scale.bar(scene.bits(amounts.recent)), Theme::bar(style));
        }
    }
}
