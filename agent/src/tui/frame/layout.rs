//! Which line is for what, and which column.

use std::ops::Range;

use ratatui::layout::Size;

/// Lines of the totals and the rule above them.
const BOTTOM: u16 = 4;
/// Columns of a rate.
pub(super) const RATE: u16 = 8;
/// Columns of the three rates.
const RATES: u16 = 3 * RATE;
/// Columns of an arrow.
pub(super) const ARROW: u16 = 4;
/// Most columns of a host.
const MOST: u16 = 256;
/// Lines of an entry with both directions, where its ends have room.
const SHORT: u16 = 2;

/// The lines.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::tui) struct Layout {
    /// Whether there is a scale with labels, a plain rule, or neither.
    pub(super) scale: u16,
    /// The lines between the scale and the rule.
    pub(in crate::tui) rows: Range<u16>,
    /// The rule with the status.
    pub(super) rule: Option<u16>,
    /// TX, RX and TOTAL.
    pub(super) totals: [Option<u16>; 3],
    width: u16,
}

impl Layout {
    /// The layout of a screen. Where there is not room for everything the totals stay longest.
    pub(in crate::tui) fn new(size: Size, show_bars: bool) -> Self {
        let Size { width, height } = size;
        let scale = if show_bars { 2 } else { 1 };
        let scale = if height >= BOTTOM + scale { scale } else { 0 };
        let rule = height.checked_sub(BOTTOM);
        Self {
            scale,
            rows: scale..rule.unwrap_or(0).max(scale),
            rule,
            totals: [3, 2, 1].map(|from_bottom| height.checked_sub(from_bottom)),
            width,
        }
    }

    /// How many entries of so many lines there is room for; one that is too long shows as far as there is.
    pub(in crate::tui) fn visible(&self, lines: u16) -> usize {
        let fit = self.rows.len() / usize::from(lines.max(1));
        let is_long = lines > SHORT && self.rows.len() >= usize::from(SHORT);
        if is_long { fit.max(1) } else { fit }
    }

    /// Columns of the screen.
    pub(super) const fn width(&self) -> u16 {
        self.width
    }

    /// Columns of each host.
    pub(super) fn host(&self, show_totals: bool) -> u16 {
        let less = if show_totals { RATE / 2 } else { 0 };
        (self.width.saturating_sub(RATES + ARROW) / 2).saturating_sub(less).min(MOST)
    }

    /// Column of a rate; `None` where the screen does not reach.
    pub(super) const fn rate(&self, window: u16) -> Option<u16> {
        (self.width + window * RATE).checked_sub(RATES)
    }

    /// Column of the total.
    pub(super) const fn total(&self) -> Option<u16> {
        self.width.checked_sub(RATES + RATE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(width: u16, height: u16) -> Layout {
        Layout::new(Size { width, height }, true)
    }

    #[test]
    fn lines_and_columns_are_iftops() {
        let usual = layout(80, 24);
        assert_eq!((usual.rows.clone(), usual.rule, usual.totals), (2..20, Some(20), [21, 22, 23].map(Some)));
        assert_eq!(usual.visible(2), 9);
        assert_eq!(usual.visible(1), 18);
        let without = Layout::new(Size { width: 80, height: 24 }, false);
        assert_eq!(without.rows, 1..20);
        assert_eq!(without.visible(2), 9);
        assert_eq!(layout(40, 8).visible(2), 1);
        assert_eq!((layout(40, 8).visible(4), layout(40, 7).visible(4), layout(40, 7).visible(2)), (1, 0, 0));
        let wide = layout(100, 24);
        assert_eq!((wide.host(false), wide.host(true)), (36, 32));
        assert_eq!([0, 1, 2].map(|window| wide.rate(window)), [76, 84, 92].map(Some));
        assert_eq!(wide.total(), Some(68));
        assert_eq!(layout(61, 24).host(false), 16);
        assert_eq!(layout(2000, 24).host(false), 256);
    }

    #[test]
    fn a_small_screen_shows_what_fits() {
        assert_eq!(layout(5, 1).totals, [None, None, Some(0)]);
        assert_eq!(layout(5, 1).rows, 0..0);
        assert_eq!(layout(5, 5).scale, 0);
        assert_eq!(layout(5, 6).rows, 2..2);
        assert_eq!([0, 1, 2].map(|window| layout(10, 6).rate(window)), [None, None, Some(2)]);
        assert_eq!(layout(10, 6).host(true), 0);
        assert_eq!(layout(0, 0).totals, [None; 3]);
    }
}
