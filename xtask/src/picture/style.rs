//! Styled text in terminal cells: what the picture is drawn from.
//!
//! Every character is one cell wide; wide and combining characters are not catered for.

/// A colour as terminals know it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Colour {
    /// What the terminal uses unless told otherwise.
    #[default]
    Default,
    /// One of the palette's 256.
    Indexed(u8),
    /// Red, green, blue.
    Rgb(u8, u8, u8),
}

/// How a cell looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "terminals switch each by itself")]
pub(super) struct Style {
    pub(super) foreground: Colour,
    pub(super) background: Colour,
    pub(super) bold: bool,
    /// Fainter than usual.
    pub(super) dim: bool,
    pub(super) underline: bool,
    /// Foreground and background change places.
    pub(super) reverse: bool,
}

/// Neighbouring cells that look the same.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Run {
    pub(super) text: String,
    pub(super) style: Style,
}

/// A line of the screen, from its first cell.
pub(super) type Line = Vec<Run>;
