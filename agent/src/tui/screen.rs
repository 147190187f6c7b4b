//! The state of the screen: everything that keys change.

use std::time::Duration;

use ratatui::layout::Size;

use super::{
    filter::ScreenFilter,
    frame::Height,
    list::{EntryKey, Grouping, Scope},
    prompt::Prompt,
    scale::Automatic,
};
use crate::{
    flow::{group::GroupBy, row::Counting},
    iftop::{
        options::{IftopOptions, LineDisplay, PortDisplay},
        view::Surroundings,
    },
};

/// How long a message stays.
const MESSAGE: Duration = Duration::from_secs(2);
/// How long each character of it may be looked at, if that is longer: what is wrong with a filter takes some reading.
const READING: Duration = Duration::from_millis(50);
/// Index of the window that bars show at first: 10 seconds.
const FIRST_BARS: usize = 1;

/// The state of the screen.
#[derive(Clone, Debug)]
pub(super) struct ScreenState {
    /// What iftop has too.
    pub options: IftopOptions,
    /// What rows are brought together by.
    pub grouping: Grouping,
    /// What they can be brought together by.
    pub groupings: Vec<Grouping>,
    /// Whether a log is replayed, so that keys move the time.
    pub replay: bool,
    /// What rows are of, in the log's word, where they are not conversations: then there is nothing to say of ends.
    pub rows_of: Option<&'static str>,
    /// What is in the place of the list.
    pub page: ScreenPage,
    /// Which part of the list is on the screen.
    pub scroll: Scroll,
    /// The text that is being typed.
    pub prompt: Option<Prompt>,
    /// What was said last.
    pub message: Option<ShownMessage>,
    /// The automatic scale.
    pub scale: Automatic,
    /// How many lines entries take.
    pub height: Height,
    /// What `height` is for.
    height_for: Option<EndLayout>,
    /// Index of the window that bars show.
    pub bars: usize,
    /// What listed entries must match.
    pub filter: Option<ScreenFilter>,
    /// What was looked for last.
    pub search: String,
    /// Whether entries say whose they are.
    pub owners: bool,
    /// Which interfaces count a frame that crosses several.
    pub counting: Counting,
}

/// What decides how long ends are, and how much room they have; what is hidden can only make it more.
type EndLayout = (Size, Grouping, LineDisplay, PortDisplay, [bool; 3]);

/// What is in the place of the list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ScreenPage {
    /// The list itself.
    List,
    /// The keys.
    Help(ShownLines),
    /// Everything about one entry.
    Detail(EntryKey, ShownLines),
    /// The files that the owners of an entry have open.
    Files(EntryKey, Vec<String>, ShownLines),
    /// The interfaces to choose from.
    Interfaces(Picker),
}

/// Which lines of a longer text are on the screen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ShownLines {
    /// The first.
    pub first: usize,
    /// How many there are; known once they have been drawn.
    pub count: usize,
    /// How many there is room for.
    pub room: usize,
}

impl ShownLines {
    /// Moves by so many lines, as far as there are any.
    pub(super) fn scroll(&mut self, by: isize) {
        self.first = self.first.saturating_add_signed(by).min(self.count.saturating_sub(self.room));
    }

    /// Takes note of how much there is and how much is shown.
    pub(super) fn settle(&mut self, count: usize, room: usize) {
        (self.count, self.room) = (count, room);
        self.scroll(0);
    }
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ShownMessage {
    /// The text.
    pub text: String,
    /// Since when it has been there, as a time since the start; `None`: it stays until there is another.
    since: Option<Duration>,
}

impl ShownMessage {
    /// Whether it is still to be seen.
    #[must_use]
    pub(super) fn is_current(&self, now: Duration) -> bool {
        let characters = u32::try_from(self.text.chars().count()).unwrap_or(u32::MAX);
        let time = MESSAGE.max(READING.saturating_mul(characters));
        self.since.is_none_or(|since| now.saturating_sub(since) <= time)
    }
}

/// Interfaces to choose from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Picker {
    /// All of the host.
    pub candidates: Vec<Candidate>,
    /// The one that keys act on.
    pub cursor: usize,
    /// The first on the screen, and how many there is room for.
    pub first: usize,
}

/// An interface to choose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// Its name.
    pub name: String,
    /// What is known of it, in words.
    pub about: String,
    /// Whether it is chosen.
    pub chosen: bool,
}

impl Picker {
    /// Moves the cursor, as far as there are interfaces.
    pub(super) fn step(&mut self, by: isize) {
        let last = self.candidates.len().saturating_sub(1);
        self.cursor = self.cursor.saturating_add_signed(by).min(last);
    }

    /// Keeps the cursor on the screen.
    pub(super) fn settle(&mut self, room: usize) {
        self.step(0);
        let earliest = (self.cursor + 1).saturating_sub(room);
        self.first = self.first.clamp(earliest, self.cursor.max(earliest));
    }

    /// The names of those that are chosen.
    #[must_use]
    pub(super) fn chosen(&self) -> Vec<String> {
        self.candidates
            .iter()
            .filter(|candidate| candidate.chosen)
            .map(|candidate| candidate.name.clone())
            .collect()
    }
}

/// Which part of a list is on the screen, and which entry of it is selected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Scroll {
    /// Rank of the first entry on the screen.
    pub first: usize,
    /// How many entries there are.
    pub count: usize,
    /// How many there is room for.
    pub visible: usize,
    /// The selected entry.
    pub cursor: Option<Cursor>,
    /// Whether the screen goes where the cursor goes.
    follow: bool,
}

/// The selected entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    /// Its place in the order, as far as it is known.
    pub rank: usize,
    /// Which one it is; `None` until the list has been put in order.
    pub key: Option<EntryKey>,
}

impl Scroll {
    /// The entries on the screen: the first, and the one behind the last.
    #[must_use]
    pub(super) fn shown(&self) -> (usize, usize) {
        let first = self.first.min(self.count);
        (first, self.first.saturating_add(self.visible).min(self.count).max(first))
    }

    /// Moves the part that is shown.
    pub(super) fn scroll(&mut self, by: isize) {
        self.follow = false;
        self.first = self.first.saturating_add_signed(by).min(self.count.saturating_sub(self.visible));
    }

    /// Moves the selection; the first move selects what is at the edge of the screen.
    pub(super) fn step(&mut self, by: isize) {
        let (first, end) = self.shown();
        let rank = match &self.cursor {
            Some(cursor) => cursor.rank.saturating_add_signed(by),
            None if by < 0 => end.saturating_sub(1),
            None => first,
        };
        self.select(rank);
    }

    /// Selects the entry with a rank, or the last one.
    pub(super) fn select(&mut self, rank: usize) {
        self.follow = true;
        let last = self.count.checked_sub(1);
        self.cursor = last.map(|last| Cursor { rank: rank.min(last), key: None });
    }

    /// Goes back to the top, with nothing selected.
    pub(super) fn reset(&mut self) {
        *self = Self { count: self.count, visible: self.visible, ..Self::default() };
    }

    /// Takes note of how much there is, how much is shown, and where the selected entry is now. An entry that is gone
    /// leaves the selection where it was.
    pub(super) fn settle(&mut self, rank: Option<usize>, count: usize, visible: usize) {
        (self.count, self.visible) = (count, visible);
        if count == 0 {
            self.cursor = None;
        }
        if let Some(cursor) = &mut self.cursor {
            if rank.is_none() {
                cursor.key = None;
            }
            cursor.rank = rank.unwrap_or(cursor.rank).min(count - 1);
            if self.follow {
                let earliest = (cursor.rank + 1).saturating_sub(visible);
                self.first = self.first.clamp(earliest, cursor.rank.max(earliest));
            }
        }
        self.first = self.first.min(count.saturating_sub(visible));
    }

    /// The selected entry has been found.
    pub(super) fn found(&mut self, key: EntryKey) {
        if let Some(cursor) = &mut self.cursor {
            cursor.key = Some(key);
        }
    }
}

impl ScreenState {
    /// The screen at the start, and what is wrong with the options it got.
    #[must_use]
    pub(super) fn new(options: IftopOptions) -> (Self, Option<String>) {
        let filter = options.screen_filter.as_deref().map(ScreenFilter::parse).transpose();
        let complaint = filter.as_ref().err().map(ToString::to_string);
        let screen = Self {
            grouping: Grouping(GroupBy::Flow),
            groupings: Grouping::ALL.to_vec(),
            replay: false,
            rows_of: None,
            page: ScreenPage::List,
            scroll: Scroll::default(),
            prompt: None,
            message: None,
            scale: Automatic::default(),
            height: Height::default(),
            height_for: None,
            bars: FIRST_BARS,
            filter: filter.ok().flatten(),
            search: String::new(),
            owners: false,
            counting: Counting::Once,
            options,
        };
        (screen, complaint)
    }

    /// Lets entries be as low again as what is on the screen allows, if other things are shown than before. While it is the same
    /// they do not jump when a long end comes and goes.
    pub(super) fn settle_height(&mut self, size: Size) {
        let IftopOptions { line_display, port_display, dns, port_resolution, show_totals, .. } = self.options;
        let now = (size, self.grouping, line_display, port_display, [dns, port_resolution, show_totals]);
        if self.height_for != Some(now) {
            self.height_for = Some(now);
            self.height = Height::default();
        }
    }

    /// What decides how rows come together.
    pub(super) const fn scope<'a>(&'a self, around: &'a Surroundings<'a>) -> Scope<'a> {
        Scope {
            options: &self.options,
            grouping: self.grouping,
            around,
            owners: self.owners && self.has_owners(),
            counting: self.counting,
            of_flows: self.rows_of.is_none(),
        }
    }

    /// Whether rows have owners: in a log those of some kinds have none.
    #[must_use]
    pub(super) const fn has_owners(&self) -> bool {
        match self.rows_of {
            Some(rows) => !matches!(rows.as_bytes(), b"remote" | b"port" | b"interface"),
            None => true,
        }
    }

    /// Whether what is shown, or asked for, depends on owners.
    #[must_use]
    pub(super) const fn looks(&self) -> bool {
        let grouped = self.grouping.0.of_owner().is_some();
        self.owners || grouped || matches!(self.page, ScreenPage::Detail(..) | ScreenPage::Files(..))
    }

    /// Says something for a while.
    pub(super) fn say(&mut self, text: impl Into<String>, now: Duration) {
        self.message = Some(ShownMessage { text: text.into(), since: Some(now) });
    }

    /// Says something until there is something else to say.
    pub(super) fn say_until_next(&mut self, text: impl Into<String>) {
        self.message = Some(ShownMessage { text: text.into(), since: None });
    }

    /// Shows the list, from the top.
    pub(super) fn back_to_list(&mut self) {
        self.page = ScreenPage::List;
        self.scroll.reset();
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn scroll(count: usize, visible: usize) -> Scroll {
        let mut scroll = Scroll::default();
        scroll.settle(None, count, visible);
        scroll
    }

    #[test]
    fn scrolling_stops_at_both_ends() {
        let mut long = scroll(10, 4);
        long.scroll(3);
        assert_eq!(long.shown(), (3, 7));
        long.scroll(30);
        assert_eq!(long.shown(), (6, 10));
        long.scroll(-30);
        assert_eq!(long.shown(), (0, 4));
        let mut short = scroll(2, 4);
        short.scroll(1);
        assert_eq!(short.shown(), (0, 2));
    }

    #[test]
    fn the_selection_takes_the_screen_along_until_the_screen_is_scrolled() {
        let mut scroll = scroll(10, 4);
        let rank = |scroll: &Scroll| scroll.cursor.as_ref().map(|cursor| cursor.rank);
        scroll.step(1);
        assert_eq!(rank(&scroll), Some(0));
        scroll.step(5);
        scroll.settle(Some(5), 10, 4);
        assert_eq!((rank(&scroll), scroll.shown()), (Some(5), (2, 6)));
        scroll.settle(Some(9), 10, 4);
        assert_eq!((rank(&scroll), scroll.shown()), (Some(9), (6, 10)));
        scroll.scroll(-6);
        scroll.settle(Some(8), 10, 4);
        assert_eq!((rank(&scroll), scroll.shown()), (Some(8), (0, 4)));
        scroll.step(-1);
        scroll.settle(None, 10, 4);
        assert_eq!((rank(&scroll), scroll.shown()), (Some(7), (4, 8)));
        scroll.settle(None, 0, 4);
        assert_eq!((rank(&scroll), scroll.shown()), (None, (0, 0)));
    }

    proptest! {
        #[test]
        fn what_is_shown_is_there(moves in prop::collection::vec((0_u8..4, -30_isize..30, 0_usize..40, 0_usize..12), 0..40)) {
            let mut scroll = Scroll::default();
            for (what, by, count, visible) in moves {
                match what {
                    0 => scroll.scroll(by),
                    1 => scroll.step(by),
                    2 => scroll.select(by.unsigned_abs()),
                    _ => scroll.settle(Some(by.unsigned_abs()).filter(|rank| *rank < count), count, visible),
                }
                let (first, end) = scroll.shown();
                prop_assert!(first <= end && end <= scroll.count);
                prop_assert!(end - first <= scroll.visible);
                if let Some(cursor) = &scroll.cursor {
                    prop_assert!(cursor.rank < scroll.count);
                }
            }
        }
    }
}
