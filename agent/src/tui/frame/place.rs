//! Where the two ends of an entry stand, and which amounts have room beside them.
//!
//! Side by side is as iftop has it. An address or a port is never cut: where the ends have no room side by side, columns of
//! amounts go from the left on (the total, then the averages from the shortest on, the last one never) if an entry has one
//! line; then the ends stand one below the other, as in iftop's text mode. An end that has no room beside one average has its
//! amounts in a further line. Names have as much room as an address, and lose their middle beyond that.
//!
//! Each entry has its place by itself, so that nothing else moves when one comes or goes. Only how many lines all
//! entries take is one thing for all, and like the scale it never shrinks while the same things are shown.

use super::layout::{ARROW, Layout};
use crate::iftop::{
    label::Label,
    options::{IftopOptions, LineDisplay},
};

/// Columns of an address with its port in brackets: so many a name may have.
const ADDRESS: usize = 47;
/// Columns of a name beside another one in the same line.
const NAME: usize = 16;
/// Columns that an owner gets, where that costs no more than a column, and that it is worth.
const OWNER: usize = 16;
const LEAST: usize = 6;
/// Blanks between an end and its owner.
const GAP: usize = 2;

/// How many lines entries take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::tui) struct Height {
    /// Whether ends of entries of one line are one below the other.
    below: bool,
    /// Lines of an end.
    each: u16,
}

impl Default for Height {
    fn default() -> Self {
        Self { below: false, each: 1 }
    }
}

impl Height {
    /// What is enough for both.
    pub(in crate::tui) fn max(self, other: Self) -> Self {
        Self { below: self.below || other.below, each: self.each.max(other.each) }
    }

    /// Lines of an entry.
    pub(in crate::tui) const fn lines(self, display: LineDisplay) -> u16 {
        match display {
            LineDisplay::TwoLine => 2 * self.each,
            _ if self.below => 2 * self.each,
            _ => 1,
        }
    }
}

/// The place of an entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct EntryPlace {
    /// Pieces of each end from left to right, with line and column of each.
    pub(super) pieces: Vec<(u16, u16, String)>,
    /// The lines and the column of the arrows: of both ends, or of the only line.
    pub(super) arrows: [(u16, u16); 2],
    /// The first column in which amounts may be.
    pub(super) amounts: u16,
    /// Line and column for the owner, and how many columns there are, if there are enough.
    pub(super) owner: Option<(u16, u16, u16)>,
    /// How many lines it needs.
    pub(super) height: Height,
}

/// What decides where entries stand.
#[derive(Clone, Copy, Debug)]
pub(in crate::tui) struct EntryPlaces<'a> {
    pub(in crate::tui) layout: &'a Layout,
    pub(in crate::tui) options: &'a IftopOptions,
    /// What stands for the middle of a name that is too long.
    pub(in crate::tui) mark: &'static str,
}

impl EntryPlaces<'_> {
    /// How many lines an entry needs.
    pub(in crate::tui) fn height(&self, ends: &[Label; 2]) -> Height {
        self.place(ends, 0, Height::default()).height
    }

    /// Where an entry stands on a screen whose entries have this height; `owner` is the length of the owner's text.
    pub(super) fn place(&self, ends: &[Label; 2], owner: usize, height: Height) -> EntryPlace {
        let host = usize::from(self.layout.host(self.options.show_totals));
        if self.options.cut_ends {
            return self.as_iftop(ends, host);
        }
        let one_line = self.options.line_display != LineDisplay::TwoLine;
        let beside = if one_line {
            (!height.below).then(|| self.in_one_line(ends, host)).flatten()
        } else {
            ends.iter().all(|end| end.columns() <= host).then(|| self.beside(ends, host, self.first()))
        };
        beside.unwrap_or_else(|| self.below(ends, owner))
    }

    /// Columns where amounts begin, from left to right.
    fn columns(&self) -> impl Iterator<Item = usize> {
        let total = self.layout.total().filter(|_| self.options.show_totals);
        total.into_iter().chain((0..3).filter_map(|window| self.layout.rate(window))).map(usize::from)
    }

    fn first(&self) -> usize {
        self.columns().next().unwrap_or(0)
    }

    /// The column of the average that stays; 0 if the screen does not reach.
    fn last(&self) -> usize {
        self.columns().last().unwrap_or(0)
    }

    /// Blanks between an end and the arrow behind it that has none itself.
    fn blank(&self) -> usize {
        usize::from(self.options.line_display == LineDisplay::OneLineBoth)
    }

    fn as_iftop(&self, ends: &[Label; 2], host: usize) -> EntryPlace {
        let [left, right] = ends.each_ref().map(|end| end.fit(host));
        self.side_by_side([left, right], ends, host, self.first())
    }

    /// Both ends beside each other, the arrow at a column and amounts from one on.
    fn beside(&self, ends: &[Label; 2], arrow: usize, amounts: usize) -> EntryPlace {
        let right = amounts.saturating_sub(arrow + usize::from(ARROW));
        let texts = [ends[0].shorten(arrow, self.mark), ends[1].shorten(right, self.mark)];
        self.side_by_side(texts, ends, arrow, amounts)
    }

    fn side_by_side(
        &self,
        [left, right]: [String; 2],
        ends: &[Label; 2],
        arrow: usize,
        amounts: usize,
    ) -> EntryPlace {
        let (at, second) = (column(arrow), u16::from(self.options.line_display == LineDisplay::TwoLine));
        let used = if second == 0 { ends[0].columns() + GAP } else { 0 };
        EntryPlace {
            pieces: vec![(0, 0, left), (0, at.saturating_add(ARROW), right)],
            arrows: [(0, at), (second, at)],
            amounts: column(amounts),
            // There is nothing in the second line's column.
            owner: owner_at(second, used, arrow.saturating_sub(self.blank())),
            height: Height::default(),
        }
    }

    /// In one line, with as many amounts as there is room for.
    fn in_one_line(&self, ends: &[Label; 2], host: usize) -> Option<EntryPlace> {
        let arrow_columns = usize::from(ARROW);
        let [left, right] = ends.each_ref().map(|end| {
            if end.is_exact() { end.columns() } else { end.columns().min(host.max(NAME + end.port_len())) }
        });
        let left = left + self.blank();
        let room = self.last().checked_sub(arrow_columns)?;
        if left + right > room {
            return None;
        }
        let arrow = left.max(host.min(room - right));
        let used = arrow + arrow_columns + right;
        let amounts = self.columns().find(|column| *column >= used)?;
        Some(self.beside(ends, arrow, amounts))
    }

    /// One below the other.
    fn below(&self, ends: &[Label; 2], owner: usize) -> EntryPlace {
        let width = usize::from(self.layout.width());
        let arrow_columns = usize::from(ARROW);
        // A name has the room beside all amounts, or as much as an address.
        let free = self.first().saturating_sub(arrow_columns);
        let last = self.last().saturating_sub(arrow_columns + self.blank());
        let room = free.max(ADDRESS).min(last);
        let [left, right] = ends.each_ref().map(|end| {
            if end.is_exact() {
                end.pieces(width, last)
            } else {
                vec![end.shorten(room, self.mark).trim_end().to_owned()]
            }
        });
        let length = |pieces: &[String]| pieces.last().map_or(0, |piece| piece.chars().count());
        let used = length(&left).max(length(&right)) + self.blank();
        let beside = |used: usize| self.columns().find(|column| used + arrow_columns <= *column);
        let own = length(&left) + if length(&left) > 0 { GAP } else { 0 };
        let amounts = beside(used).unwrap_or(used + arrow_columns);
        // An owner takes the place of the total and of the shortest average, but of no more.
        let ten = self.layout.rate(1).map_or(0, usize::from);
        let room_for_owner = |wanted: usize| beside(used.max(own + wanted)).filter(|column| *column <= ten);
        let amounts = (owner > 0)
            .then(|| room_for_owner(owner.min(OWNER)).or_else(|| room_for_owner(LEAST)))
            .flatten()
            .unwrap_or(amounts);
        let arrow = amounts - arrow_columns;
        let [left_lines, right_lines] = [&left, &right].map(|pieces| column(pieces.len()));
        let pieces = (0..).zip(left.into_iter().chain(right)).map(|(line, piece)| (line, 0, piece));
        EntryPlace {
            pieces: pieces.collect(),
            arrows: [(left_lines - 1, column(arrow)), (left_lines + right_lines - 1, column(arrow))],
            amounts: column(amounts),
            owner: owner_at(left_lines - 1, own, arrow.saturating_sub(self.blank())),
            height: Height { below: true, each: left_lines.max(right_lines) },
        }
    }
}

/// Where an owner is between two columns of a line, if that is worth it.
fn owner_at(line: u16, from: usize, to: usize) -> Option<(u16, u16, u16)> {
    let room = to.saturating_sub(from);
    (room >= LEAST).then(|| (line, column(from), column(room)))
}

/// A number of columns or lines, none of which is beyond what a screen can have.
fn column(number: usize) -> u16 {
    u16::try_from(number).unwrap_or(u16::MAX)
}
