//! Which red, green and blue the terminal of the picture shows for a colour.

use super::style::{Colour, Style};

/// Behind everything.
pub(super) const BACKGROUND: &str = "#0d1117";
/// Text that has no colour of its own.
pub(super) const FOREGROUND: &str = "#d1d7e0";

/// The first sixteen, which terminals choose for themselves: readable on the background.
const NAMED: [&str; 16] = [
    "#484f58", "#ff7b72", "#3fb950", "#d29922", "#58a6ff", "#bc8cff", "#39c5cf", "#b1bac4", //
    "#6e7681", "#ffa198", "#56d364", "#e3b341", "#79c0ff", "#d2a8ff", "#56d4dd", "#f0f6fc",
];

/// The text's colour.
pub(super) fn ink(style: Style) -> String {
    if style.reverse { hex(style.background, BACKGROUND) } else { hex(style.foreground, FOREGROUND) }
}

/// The colour behind the text, where it is not the background of everything.
pub(super) fn paper(style: Style) -> Option<String> {
    let paper =
        if style.reverse { hex(style.foreground, FOREGROUND) } else { hex(style.background, BACKGROUND) };
    (paper != BACKGROUND).then_some(paper)
}

fn hex(colour: Colour, default: &str) -> String {
    /// The six intensities of the colour cube (xterm's `256colres.pl`).
    const LEVELS: [u8; 6] = [0, 95, 135, 175, 215, 255];
    let rgb = |[red, green, blue]: [u8; 3]| format!("#{red:02x}{green:02x}{blue:02x}");
    match colour {
        Colour::Default => default.to_owned(),
        Colour::Indexed(index @ 0..16) => NAMED[usize::from(index)].to_owned(),
        Colour::Indexed(index @ 16..232) => {
            let index = usize::from(index - 16);
            rgb([index / 36, index / 6 % 6, index % 6].map(|level| LEVELS[level]))
        }
        Colour::Indexed(index @ 232..) => rgb([8 + 10 * (index - 232); 3]),
        Colour::Rgb(red, green, blue) => rgb([red, green, blue]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fg(foreground: Colour) -> Style {
        Style { foreground, ..Style::default() }
    }

    #[test]
    fn the_palette_is_the_one_of_xterm_beyond_the_first_sixteen() {
        for (index, expected) in [
            (16, "#000000"),
            (21, "#0000ff"),
            (208, "#ff8700"),
            (231, "#ffffff"),
            (232, "#080808"),
            (255, "#eeeeee"),
        ] {
            assert_eq!(ink(fg(Colour::Indexed(index))), expected, "{index}");
        }
        assert_eq!(ink(fg(Colour::Indexed(9))), NAMED[9]);
        assert_eq!(ink(fg(Colour::Rgb(1, 22, 255))), "#0116ff");
    }

    #[test]
    fn reverse_changes_ink_and_paper() {
        let plain = Style::default();
        assert_eq!((ink(plain).as_str(), paper(plain)), (FOREGROUND, None));
        let reverse = Style { reverse: true, ..plain };
        assert_eq!((ink(reverse).as_str(), paper(reverse).as_deref()), (BACKGROUND, Some(FOREGROUND)));
        let red = Style { reverse: true, ..fg(Colour::Indexed(1)) };
        assert_eq!((ink(red).as_str(), paper(red).as_deref()), (BACKGROUND, Some(NAMED[1])));
    }
}
