//! Colours: few, of those that every terminal has, and such that they can be read on black and on white. Everything that
//! they say is said without them too.

use ratatui::style::{Color, Modifier, Style};

/// What the terminal can show.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Theme {
    /// Colours are wanted (<https://no-color.org>).
    pub colour: bool,
    /// Only ASCII can be shown.
    pub ascii: bool,
}

const SENT: Color = Color::LightBlue;
const RECEIVED: Color = Color::Magenta;
const TROUBLE: Color = Color::LightRed;

impl Theme {
    /// What is said at the top.
    pub(super) const MESSAGE: Style = Style::new().add_modifier(Modifier::REVERSED);
    /// What stands out.
    pub(super) const STRONG: Style = Style::new().add_modifier(Modifier::BOLD);
    /// What is selected. Reverse video means a bar.
    pub(super) const SELECTED: Style =
        Style::new().add_modifier(Modifier::BOLD).add_modifier(Modifier::UNDERLINED);
    /// What is of less interest.
    pub(super) const FAINT: Style = Style::new().add_modifier(Modifier::DIM);

    const fn with(self, colour: Color) -> Style {
        if self.colour { Style::new().fg(colour) } else { Style::new() }
    }

    /// What goes from left to right.
    pub(super) const fn sent(self) -> Style {
        self.with(SENT)
    }

    /// What goes from right to left.
    pub(super) const fn received(self) -> Style {
        self.with(RECEIVED)
    }

    /// What is not as it should be.
    pub(super) const fn trouble(self) -> Style {
        self.with(TROUBLE).add_modifier(Modifier::BOLD)
    }

    /// A bar of what the style stands for.
    pub(super) const fn bar(style: Style) -> Style {
        style.add_modifier(Modifier::REVERSED)
    }

    /// What stands for the middle of a name that is too long.
    pub(in crate::tui) const fn cut(self) -> &'static str {
        if self.ascii { "..." } else { "…" }
    }

    /// A horizontal line.
    pub(super) const fn rule(self) -> &'static str {
        if self.ascii { "-" } else { "─" }
    }

    /// Where the scale begins.
    pub(super) const fn corner(self) -> &'static str {
        if self.ascii { "`" } else { "└" }
    }

    /// A tick of the scale.
    pub(super) const fn tick(self) -> &'static str {
        if self.ascii { "+" } else { "┴" }
    }

    /// A small bar: so many eighths of full height.
    pub(super) fn spark(self, eighths: usize) -> &'static str {
        const ASCII: [&str; 9] = [" ", ".", ":", "-", "=", "+", "*", "#", "@"];
        const BLOCKS: [&str; 9] = [" ", "▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"];
        let marks = if self.ascii { ASCII } else { BLOCKS };
        marks[eighths.min(marks.len() - 1)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What terminals make of the named colours: xterm, then the Linux console.
    fn rgb(colour: Color) -> [[u8; 3]; 2] {
        match colour {
            Color::LightBlue => [[92, 92, 255], [85, 85, 255]],
            Color::Magenta => [[205, 0, 205], [170, 0, 170]],
            Color::LightRed => [[255, 0, 0], [255, 85, 85]],
            other => panic!("{other} has not been looked at"),
        }
    }

    /// WCAG 2, relative luminance.
    fn luminance(rgb: [u8; 3]) -> f64 {
        let [red, green, blue] = rgb.map(|part| {
            let part = f64::from(part) / 255.0;
            if part <= 0.040_45 { part / 12.92 } else { ((part + 0.055) / 1.055).powf(2.4) }
        });
        0.2126 * red + 0.7152 * green + 0.0722 * blue
    }

    #[test]
    fn colours_can_be_read_on_black_and_on_white() {
        for colour in [SENT, RECEIVED, TROUBLE] {
            for rgb in rgb(colour) {
                let luminance = luminance(rgb) + 0.05;
                let (on_black, on_white) = (luminance / 0.05, 1.05 / luminance);
                // WCAG's least for large or bold text.
                assert!(on_black >= 3.0 && on_white >= 3.0, "{colour}: {on_black:.1} and {on_white:.1}");
            }
        }
    }

    #[test]
    fn without_colour_there_is_none() {
        let plain = Theme::default();
        for style in [plain.sent(), plain.received(), plain.trouble(), Theme::SELECTED, Theme::MESSAGE] {
            assert_eq!((style.fg, style.bg), (None, None));
        }
    }
}
