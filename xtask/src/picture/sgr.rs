//! What a program prints, with its escape sequences, as styled text.
//!
//! Of the escape sequences only SGR (`ESC [ … m`, ECMA-48 8.3.117) has a meaning here; all others are left out, as are
//! control characters. Text that moves the cursor comes out wrong: let a terminal multiplexer capture the screen first.

use std::iter::Peekable;
use std::str::Chars;

use super::style::{Colour, Line, Run, Style};

/// Lines of styled text. A style lasts until it is changed, beyond the end of a line too.
pub(super) fn parse(text: &str) -> Vec<Line> {
    let mut style = Style::default();
    text.lines()
        .map(|line| {
            let mut runs = Line::new();
            let mut chars = line.chars().peekable();
            while let Some(c) = chars.next() {
                if c == '\x1b' {
                    if let Some(parameters) = escape(&mut chars) {
                        apply(&parameters, &mut style);
                    }
                } else if !c.is_control() {
                    push(&mut runs, c, style);
                }
            }
            runs
        })
        .collect()
}

fn push(runs: &mut Line, c: char, style: Style) {
    match runs.last_mut() {
        Some(run) if run.style == style => run.text.push(c),
        _ => runs.push(Run { text: c.into(), style }),
    }
}

/// Reads one sequence to its end, and returns the parameters if it is SGR.
fn escape(chars: &mut Peekable<Chars<'_>>) -> Option<String> {
    match chars.next()? {
        '[' => {
            let mut parameters = String::new();
            loop {
                match chars.next()? {
                    'm' => return Some(parameters),
                    '@'..='~' => return None,
                    c => parameters.push(c),
                }
            }
        }
        // An operating system command, such as a window's title: ends with BEL or with ESC \.
        ']' => {
            while let Some(c) = chars.next() {
                if c == '\x07' || c == '\x1b' && chars.next_if_eq(&'\\').is_some() {
                    break;
                }
            }
            None
        }
        // Such as the choice of a character set, `ESC ( B`: intermediate bytes, then a final one.
        ' '..='/' => {
            while chars.next_if(|c| (' '..='/').contains(c)).is_some() {}
            chars.next();
            None
        }
        _ => None,
    }
}

/// Changes the style as the parameters say; those without a meaning here change nothing.
fn apply(parameters: &str, style: &mut Style) {
    // An absent parameter is 0. A private sequence (`ESC [ > 4 m`) has parameters that are no numbers.
    let numbers: Option<Vec<u8>> = parameters
        .split(';')
        .map(|number| if number.is_empty() { Some(0) } else { number.parse().ok() })
        .collect();
    let mut numbers = numbers.unwrap_or_default().into_iter();
    while let Some(number) = numbers.next() {
        match number {
            0 => *style = Style::default(),
            1 => style.bold = true,
            2 => style.dim = true,
            22 => (style.bold, style.dim) = (false, false),
            4 => style.underline = true,
            24 => style.underline = false,
            7 => style.reverse = true,
            27 => style.reverse = false,
            30..=37 => style.foreground = Colour::Indexed(number - 30),
            90..=97 => style.foreground = Colour::Indexed(number - 90 + 8),
            39 => style.foreground = Colour::Default,
            40..=47 => style.background = Colour::Indexed(number - 40),
            100..=107 => style.background = Colour::Indexed(number - 100 + 8),
            49 => style.background = Colour::Default,
            38 | 48 => {
                // What follows an unfinished colour cannot be told from its components.
                let Some(colour) = extended(&mut numbers) else { return };
                if number == 38 {
                    style.foreground = colour;
                } else {
                    style.background = colour;
                }
            }
            _ => {}
        }
    }
}

/// The colour after 38 and 48: `5;INDEX` or `2;RED;GREEN;BLUE`.
fn extended(numbers: &mut impl Iterator<Item = u8>) -> Option<Colour> {
    match numbers.next()? {
        5 => Some(Colour::Indexed(numbers.next()?)),
        2 => Some(Colour::Rgb(numbers.next()?, numbers.next()?, numbers.next()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: Style = Style {
        foreground: Colour::Default,
        background: Colour::Default,
        bold: false,
        dim: false,
        underline: false,
        reverse: false,
    };

    fn run(text: &str, style: Style) -> Run {
        Run { text: text.to_owned(), style }
    }

    fn style_after(sequence: &str) -> Style {
        parse(&format!("{sequence}x"))[0][0].style
    }

    #[test]
    fn plain_text_is_one_run_a_line() {
        assert_eq!(parse("a  b\n\nc\r\n"), [vec![run("a  b", PLAIN)], vec![], vec![run("c", PLAIN)]]);
    }

    #[test]
    fn a_style_lasts_until_it_is_changed() {
        let bold = Style { bold: true, ..PLAIN };
        assert_eq!(
            parse("a\x1b[1mb\nc\x1b[md"),
            [vec![run("a", PLAIN), run("b", bold)], vec![run("c", bold), run("d", PLAIN)]]
        );
    }

    #[test]
    fn colours_of_every_kind() {
        let fg = |foreground| Style { foreground, ..PLAIN };
        let bg = |background| Style { background, ..PLAIN };
        for (sequence, style) in [
            ("\x1b[32m", fg(Colour::Indexed(2))),
            ("\x1b[97m", fg(Colour::Indexed(15))),
            ("\x1b[38;5;208m", fg(Colour::Indexed(208))),
            ("\x1b[38;2;1;22;255m", fg(Colour::Rgb(1, 22, 255))),
            ("\x1b[32;39m", PLAIN),
            ("\x1b[44m", bg(Colour::Indexed(4))),
            ("\x1b[100m", bg(Colour::Indexed(8))),
            ("\x1b[48;5;17m", bg(Colour::Indexed(17))),
            ("\x1b[48;2;9;8;7m", bg(Colour::Rgb(9, 8, 7))),
            ("\x1b[44;49m", PLAIN),
        ] {
            assert_eq!(style_after(sequence), style, "{sequence:?}");
        }
    }

    #[test]
    fn one_sequence_sets_several_attributes() {
        let style = Style {
            foreground: Colour::Indexed(208),
            background: Colour::Indexed(1),
            bold: true,
            dim: true,
            underline: true,
            reverse: true,
        };
        assert_eq!(style_after("\x1b[1;2;38;5;208;7;4;41m"), style);
        assert_eq!(style_after("\x1b[1;2;4;7m\x1b[22;24;27m"), PLAIN);
    }

    #[test]
    fn what_has_no_meaning_here_leaves_no_trace() {
        for noise in [
            "\x1b[2J",
            "\x1b[?25l",
            "\x1b[3m",
            "\x1b[>4m",
            "\x1b[300m",
            "\x1b[38;5m",
            "\x1b[38;9;1m",
            "\x1b]0;title\x07",
            "\x1b]0;title\x1b\\",
            "\x1b(B",
            "\x1b=",
            "\x07",
            "\x0f",
        ] {
            assert_eq!(parse(&format!("a{noise}b")), [vec![run("ab", PLAIN)]], "{noise:?}");
        }
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        for unfinished in ["\x1b", "\x1b[", "\x1b[31", "\x1b]0;title", "\x1b("] {
            assert_eq!(parse(&format!("a{unfinished}\nb")), [vec![run("a", PLAIN)], vec![run("b", PLAIN)]]);
        }
    }
}
