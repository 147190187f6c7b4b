//! A terminal window as SVG: text stays text, and every cell is where a terminal would have it.
//!
//! Shown as an image, the file gets no fonts but the viewer's own, and those differ in width by a tenth. So each piece
//! of text says how long it is, and viewers fit it to that; columns align in those that do not, too, because blanks
//! are kept.

use std::fmt::Write as _;

use super::palette::{BACKGROUND, FOREGROUND, ink, paper};
use super::style::{Line, Style};

/// A cell, in pixels: six tenths of the size of the font, as in most monospace fonts, and room between lines.
const CELL_WIDTH: f64 = 8.4;
const CELL_HEIGHT: f64 = 19.0;
const FONT_SIZE: f64 = 14.0;
/// From the top of a cell to the line that letters stand on.
const BASELINE: f64 = 14.0;
/// The title bar's height.
const BAR: f64 = 36.0;
/// Between the window's edge and the cells.
const PADDING: f64 = 16.0;
/// What the buttons of the title bar take from its width on either side, in cells.
const BUTTONS: usize = 9;

/// One family for each system, then what every viewer has.
const FONTS: &str =
    "ui-monospace, SFMono-Regular, Menlo, Consolas, 'DejaVu Sans Mono', 'Liberation Mono', monospace";

type Cell = (char, Style);

/// Draws the lines in a window of their size, with the title in its bar.
pub(super) fn svg(title: &str, lines: &[Line]) -> String {
    let rows: Vec<Vec<Cell>> = lines.iter().map(cells).collect();
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0).max(title.chars().count() + 2 * BUTTONS);
    let width = 2.0 * PADDING + columns as f64 * CELL_WIDTH;
    let height = BAR + 2.0 * PADDING + rows.len() as f64 * CELL_HEIGHT;

    let mut svg = String::new();
    window(&mut svg, title, width, height);
    for (row, cells) in rows.iter().enumerate() {
        background(&mut svg, row, cells);
    }
    for (row, cells) in rows.iter().enumerate() {
        text(&mut svg, row, cells);
    }
    svg.push_str("</g>\n</svg>\n");
    svg
}

fn cells(line: &Line) -> Vec<Cell> {
    line.iter().flat_map(|run| run.text.chars().map(|c| (c, run.style))).collect()
}

/// Everything but the cells; ends inside the group that has the font.
fn window(svg: &mut String, title: &str, width: f64, height: f64) {
    let title = escaped(title);
    // The frame is half inside the picture's edge, and has a grey that is seen on white and on black.
    let (inner_width, inner_height) = (width - 1.0, height - 1.0);
    let middle = BAR / 2.0;
    put(
        svg,
        format_args!(
            r##"<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0}" height="{height:.0}" viewBox="0 0 {width:.0} {height:.0}" role="img">
<title>{title}</title>
<rect x=".5" y=".5" width="{inner_width:.0}" height="{inner_height:.0}" rx="8" fill="{BACKGROUND}"/>
<path d="M.5 {BAR}V8.5a8 8 0 0 1 8-8H{bar_right:.0}a8 8 0 0 1 8 8V{BAR}z" fill="#21262d"/>
<rect x=".5" y=".5" width="{inner_width:.0}" height="{inner_height:.0}" rx="8" fill="none" stroke="#484f58"/>
<circle cx="20" cy="{middle}" r="6" fill="#ff5f57"/>
<circle cx="40" cy="{middle}" r="6" fill="#febc2e"/>
<circle cx="60" cy="{middle}" r="6" fill="#28c840"/>
<g font-family="{FONTS}" font-size="{FONT_SIZE}" fill="{FOREGROUND}" xml:space="preserve">
<text x="{centre:.1}" y="{title_baseline:.1}" text-anchor="middle" fill="#9198a1">{title}</text>
"##,
            bar_right = width - 8.5,
            centre = width / 2.0,
            title_baseline = middle + 5.0,
        ),
    );
}

/// Rectangles behind the cells that have a background of their own.
fn background(svg: &mut String, row: usize, cells: &[Cell]) {
    let mut column = 0;
    for stretch in cells.chunk_by(|a, b| paper(a.1) == paper(b.1)) {
        if let Some(fill) = paper(stretch[0].1) {
            let (x, y, width) = (x(column), y(row), length(stretch));
            put(
                svg,
                format_args!(
                    "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{CELL_HEIGHT}\" \
                     fill=\"{fill}\" shape-rendering=\"crispEdges\"/>\n"
                ),
            );
        }
        column += stretch.len();
    }
}

/// The characters, in pieces that are placed each by itself.
///
/// ASCII is of one font. Other characters may come from another one that is wider: pieces of their own, they move
/// nothing that follows.
fn text(svg: &mut String, row: usize, cells: &[Cell]) {
    let mut column = 0;
    for piece in cells.chunk_by(|a, b| a.0.is_ascii() == b.0.is_ascii()) {
        let blanks = piece.iter().take_while(|cell| cell.0 == ' ').count();
        let end = piece.iter().rposition(|cell| cell.0 != ' ').map_or(blanks, |last| last + 1);
        let seen = &piece[blanks..end];
        if !seen.is_empty() {
            // `textLength` on the whole piece: Firefox ignores it on a tspan.
            let (x, y, length) = (x(column + blanks), y(row) + BASELINE, length(seen));
            put(
                svg,
                format_args!(
                    "<text x=\"{x:.1}\" y=\"{y:.1}\" textLength=\"{length:.1}\" lengthAdjust=\"spacingAndGlyphs\">"
                ),
            );
            for run in seen.chunk_by(|a, b| looks_alike(a.1, b.1)) {
                span(svg, run);
            }
            svg.push_str("</text>\n");
        }
        column += piece.len();
    }
}

/// Characters of one look.
fn span(svg: &mut String, run: &[Cell]) {
    let style = run[0].1;
    let fill = ink(style);
    svg.push_str("<tspan");
    if fill != FOREGROUND {
        put(svg, format_args!(" fill=\"{fill}\""));
    }
    if style.bold {
        svg.push_str(" font-weight=\"bold\"");
    }
    if style.dim {
        svg.push_str(" fill-opacity=\"0.6\"");
    }
    if style.underline {
        svg.push_str(" text-decoration=\"underline\"");
    }
    let text: String = run.iter().map(|cell| cell.0).collect();
    put(svg, format_args!(">{}</tspan>", escaped(&text)));
}

fn looks_alike(a: Style, b: Style) -> bool {
    let look = |style: Style| (style.bold, style.dim, style.underline, ink(style));
    a == b || look(a) == look(b)
}

fn x(column: usize) -> f64 {
    PADDING + column as f64 * CELL_WIDTH
}

fn y(row: usize) -> f64 {
    BAR + PADDING + row as f64 * CELL_HEIGHT
}

fn length(cells: &[Cell]) -> f64 {
    cells.len() as f64 * CELL_WIDTH
}

fn put(svg: &mut String, text: std::fmt::Arguments<'_>) {
    svg.write_fmt(text).expect("a string takes what it is given");
}

/// Text as XML has it. What XML 1.0 cannot have at all (section 2.2, `Char`) is shown as not readable.
fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => escaped.push_str("&amp;"),
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '\u{0}'..' ' | '\u{fffe}' | '\u{ffff}' => escaped.push('\u{fffd}'),
            c => escaped.push(c),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use super::super::sgr;
    use super::*;

    /// The lines of the picture that draw cells.
    fn drawn(text: &str) -> Vec<String> {
        let svg = svg("title", &sgr::parse(text));
        let body = svg.split_once(">title</text>\n").unwrap().1;
        body.lines().take_while(|line| *line != "</g>").map(str::to_owned).collect()
    }

    #[test]
    fn a_line_is_one_text_with_its_blanks() {
        assert_eq!(
            drawn("ab   c  "),
            [
                r#"<text x="16.0" y="66.0" textLength="50.4" lengthAdjust="spacingAndGlyphs"><tspan>ab   c</tspan></text>"#
            ]
        );
    }

    #[test]
    fn a_piece_begins_at_its_cell() {
        assert_eq!(
            drawn("\n  b"),
            [
                r#"<text x="32.8" y="85.0" textLength="8.4" lengthAdjust="spacingAndGlyphs"><tspan>b</tspan></text>"#
            ]
        );
    }

    #[test]
    fn a_run_of_one_look_is_one_span() {
        assert_eq!(
            drawn("a\x1b[1mb \x1b[22;31mcd"),
            ["<text x=\"16.0\" y=\"66.0\" textLength=\"42.0\" lengthAdjust=\"spacingAndGlyphs\">\
             <tspan>a</tspan><tspan font-weight=\"bold\">b </tspan><tspan fill=\"#ff7b72\">cd</tspan></text>"]
        );
    }

    #[test]
    fn faint_and_underlined_text_looks_it() {
        let lines = drawn("\x1b[2ma\x1b[22;4mb\x1b[24mc");
        assert!(lines[0].contains(r#"<tspan fill-opacity="0.6">a</tspan>"#), "{lines:?}");
        assert!(
            lines[0].contains(r#"<tspan text-decoration="underline">b</tspan><tspan>c</tspan>"#),
            "{lines:?}"
        );
    }

    #[test]
    fn characters_of_other_fonts_move_nothing_that_follows() {
        let lines = drawn("2001:db8\u{2026}6  x");
        let starts: Vec<_> = lines.iter().map(|line| line.split('"').nth(1).unwrap()).collect();
        assert_eq!(starts, ["16.0", "83.2", "91.6"]);
    }

    #[test]
    fn backgrounds_lie_under_all_text() {
        let lines = drawn("a\x1b[44m  \x1b[32mb\x1b[m");
        assert_eq!(
            lines[0],
            r##"<rect x="24.4" y="52.0" width="25.2" height="19" fill="#58a6ff" shape-rendering="crispEdges"/>"##
        );
        assert!(lines[1].starts_with("<text"), "{lines:?}");
    }

    #[test]
    fn nothing_in_the_text_is_markup() {
        let svg = svg("a && b < c", &sgr::parse("<script>\"&amp;\"</script>"));
        assert!(svg.contains("a &amp;&amp; b &lt; c"), "{svg}");
        assert!(svg.contains("&lt;script&gt;\"&amp;amp;\"&lt;/script&gt;"), "{svg}");
        assert!(!svg.contains("<script"), "{svg}");
    }

    #[test]
    fn characters_that_xml_forbids_are_replaced() {
        assert_eq!(escaped("a\0b\u{ffff}c"), "a\u{fffd}b\u{fffd}c");
    }

    #[test]
    fn the_window_fits_its_lines_and_its_title() {
        let size = |title: &str, text: &str| {
            let svg = svg(title, &sgr::parse(text));
            let numbers: Vec<_> = svg.split('"').skip(3).step_by(2).take(2).map(str::to_owned).collect();
            numbers.join("x")
        };
        assert_eq!(size("", &"x".repeat(100)), "872x87");
        assert_eq!(size("", "a\nb\nc"), "183x125");
        assert_eq!(size(&"t".repeat(100), ""), "1023x68");
    }
}
