//! A frame: what the screen looks like, from the list, the state and the size alone.
//!
//! ```text
//! line 0      labels of the scale, and over them the prompt or the message
//! line 1      the scale
//! line 2..    the list, or what is in its place
//! LINES - 4   a rule with the status
//! LINES - 3   TX, RX, TOTAL
//! ```

mod help;
mod layout;
mod page;
mod place;
mod rows;
mod status;
mod theme;
mod totals;

use std::time::Duration;

use ratatui::{
    buffer::Buffer,
    layout::{Position, Rect, Size},
    style::Style,
    text::{Line, Span},
};

pub use self::theme::Theme;
pub(super) use self::{
    layout::Layout,
    place::{EntryPlaces, Height},
};
use super::{
    detail::Detail,
    list::ListEntry,
    minutes::Minutes,
    residue::Residue,
    scale::Scale,
    screen::{ScreenPage, ScreenState},
    words::EntryWords,
};
use crate::{
    flow::snapshot::Snapshot,
    format::guarded,
    iftop::number::{AmountText, Unit},
};

/// Everything that a frame is made of.
pub(super) struct Scene<'a> {
    pub(super) screen: &'a ScreenState,
    pub(super) theme: Theme,
    /// The part of the list that is on the screen.
    pub(super) entries: Vec<&'a ListEntry>,
    /// Rates and peaks, as they are shown; in a pause they stand still.
    pub(super) overview: &'a Snapshot,
    /// Everything as it is now.
    pub(super) live: &'a Snapshot,
    pub(super) residue: &'a Residue,
    pub(super) detail: Option<&'a Detail>,
    pub(super) minutes: &'a Minutes,
    pub(super) owners_degraded: &'a [String],
    pub(super) notes: &'a [(String, bool)],
    pub(super) words: EntryWords<'a>,
    pub(super) now: Duration,
}

impl Scene<'_> {
    /// Draws the frame. The result is the place of the terminal's cursor, if it is to be seen.
    pub(super) fn draw(&self, buffer: &mut Buffer) -> Option<Position> {
        let area = buffer.area;
        let layout = self.layout(area.as_size());
        let mut canvas = Canvas { buffer, origin: area.as_position(), size: area.as_size() };
        let scale = Scale::new(&self.screen.options, self.screen.scale, area.width);
        rows::scale(&mut canvas, &layout, &scale, self);
        match &self.screen.page {
            ScreenPage::List => rows::list(&mut canvas, &layout, &scale, self),
            ScreenPage::Interfaces(picker) => page::interfaces(&mut canvas, &layout, picker, self),
            ScreenPage::Help(lines) | ScreenPage::Detail(_, lines) | ScreenPage::Files(_, _, lines) => {
                page::text(&mut canvas, &layout, &self.text(area.as_size()), *lines);
            }
        }
        status::rule(&mut canvas, &layout, self);
        totals::draw(&mut canvas, &layout, &scale, self);
        self.top_line(&mut canvas)
    }

    fn layout(&self, size: Size) -> Layout {
        Layout::new(size, self.screen.options.show_bars)
    }

    /// The lines of the page, if it is one that is text.
    pub(super) fn text(&self, size: Size) -> Vec<Line<'static>> {
        let layout = self.layout(size);
        match &self.screen.page {
            ScreenPage::Help(_) => help::lines(size.width, layout.rows.len(), self.screen.replay),
            ScreenPage::Detail(..) => {
                self.detail.map_or_else(Vec::new, |detail| page::detail(detail, size.width, self))
            }
            ScreenPage::Files(_, files, _) => page::folded(page::files(files), size.width),
            ScreenPage::List | ScreenPage::Interfaces(_) => Vec::new(),
        }
    }

    /// What covers the scale: the line that is being typed, or what was said last.
    fn top_line(&self, canvas: &mut Canvas<'_>) -> Option<Position> {
        let width = canvas.size.width;
        if let Some(prompt) = &self.screen.prompt {
            let label = prompt.purpose.label();
            let from = u16::try_from(label.len()).unwrap_or(u16::MAX).min(width);
            let (text, cursor) = prompt.visible(usize::from(width - from));
            canvas.clear(0);
            canvas.text(0, 0, label, width, Style::new());
            canvas.text(from, 0, &text, width - from, Style::new());
            let column = from.saturating_add(u16::try_from(cursor).unwrap_or(u16::MAX));
            return (canvas.size.height > 0 && width > 0)
                .then(|| Position::new(canvas.origin.x + column.min(width - 1), canvas.origin.y));
        }
        let message = self.screen.message.as_ref().filter(|message| message.is_current(self.now));
        if let Some(message) = message {
            for (line, text) in (0..).zip(wrap(&message.text, usize::from(width).saturating_sub(2))) {
                canvas.text(0, line, &format!(" {text} "), width, Theme::MESSAGE);
            }
        }
        None
    }

    /// A rate as a column of the screen.
    fn rate(&self, bytes: u64, window: usize) -> String {
        AmountText::rate(bytes, self.overview.window_seconds[window], self.unit()).column()
    }

    const fn unit(&self) -> Unit {
        self.screen.options.rate_unit()
    }

    /// A window's bytes as bits per second: what bars show.
    fn bits(&self, recent: [u64; 3]) -> f64 {
        bits(recent, self.screen.bars, self.overview)
    }
}

/// The bits per second of a window.
pub(super) fn bits(recent: [u64; 3], window: usize, overview: &Snapshot) -> f64 {
    let seconds = overview.window_seconds[window];
    if seconds > 0.0 { recent[window] as f64 * 8.0 / seconds } else { 0.0 }
}

/// A text in lines of at most so many characters, broken at blanks where there are any.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let width = width.max(1);
    let (mut lines, mut line, mut length) = (Vec::new(), String::new(), 0);
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let word: Vec<char> = word.chars().collect();
        for (number, piece) in word.chunks(width).enumerate() {
            if length > 0 && (number > 0 || length + 1 + piece.len() > width) {
                lines.push(std::mem::take(&mut line));
                length = 0;
            } else if length > 0 {
                line.push(' ');
                length += 1;
            }
            line.extend(piece);
            length += piece.len();
        }
    }
    if length > 0 {
        lines.push(line);
    }
    lines
}

/// A buffer that can be drawn on anywhere: what is outside is not drawn.
struct Canvas<'a> {
    buffer: &'a mut Buffer,
    origin: Position,
    size: Size,
}

impl Canvas<'_> {
    /// The part of it above a line.
    fn above(&mut self, line: u16) -> Canvas<'_> {
        let size = Size { height: self.size.height.min(line), ..self.size };
        Canvas { buffer: self.buffer, origin: self.origin, size }
    }

    /// Writes text into at most `width` columns.
    fn text(&mut self, column: u16, line: u16, text: &str, width: u16, style: Style) {
        if column < self.size.width && line < self.size.height {
            let width = width.min(self.size.width - column);
            let (x, y) = (self.origin.x + column, self.origin.y + line);
            self.buffer.set_stringn(x, y, guarded(text), usize::from(width), style);
        }
    }

    /// Writes a line of styled text.
    fn line(&mut self, column: u16, line: u16, text: &Line<'_>) {
        if column < self.size.width && line < self.size.height {
            let (x, y) = (self.origin.x + column, self.origin.y + line);
            let spans = text.spans.iter().map(|span| Span::styled(guarded(&span.content), span.style));
            let text = Line { spans: spans.collect(), ..*text };
            self.buffer.set_line(x, y, &text, self.size.width - column);
        }
    }

    /// Puts a style over the first columns of a line.
    fn style(&mut self, line: u16, columns: u16, style: Style) {
        if line < self.size.height {
            let width = columns.min(self.size.width);
            self.buffer.set_style(Rect::new(self.origin.x, self.origin.y + line, width, 1), style);
        }
    }

    /// Fills a line.
    fn fill(&mut self, line: u16, with: &str, style: Style) {
        for column in 0..self.size.width {
            self.text(column, line, with, 1, style);
        }
    }

    /// Empties a line.
    fn clear(&mut self, line: u16) {
        if line < self.size.height {
            let area = Rect::new(self.origin.x, self.origin.y + line, self.size.width, 1);
            for position in area.positions() {
                if let Some(cell) = self.buffer.cell_mut(position) {
                    cell.reset();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_are_broken_at_blanks() {
        assert_eq!(wrap("Display paused", 80), ["Display paused"]);
        assert_eq!(wrap("Display paused", 10), ["Display", "paused"]);
        assert_eq!(wrap("a verylongword b", 4), ["a", "very", "long", "word", "b"]);
        assert_eq!(wrap("", 4), Vec::<String>::new());
    }

    proptest! {
        #[test]
        fn every_word_is_there_and_fits(text in "[a-zé ]{0,60}", width in 0_usize..20) {
            let lines = wrap(&text, width);
            prop_assert!(lines.iter().all(|line| line.chars().count() <= width.max(1)));
            prop_assert_eq!(lines.concat().replace(' ', ""), text.replace(' ', ""));
        }
    }
}
