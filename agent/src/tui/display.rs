//! The screen as a whole: the state, what it shows, and what of it stands still.
//!
//! Whoever owns the books calls [`tick`](Display::tick) when an interval has been closed, [`press`](Display::press) for each
//! key and [`draw`](Display::draw) after either.

mod replay;

use std::{
    collections::HashSet,
    io::{self, Write},
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::{Duration, SystemTime},
};

use ratatui::{
    buffer::Buffer,
    layout::{Position, Size},
};

use super::{
    departed::DepartedTotals,
    detail::Detail,
    export::{self, ExportFormat, Heading},
    frame::{EntryPlaces, Height, Layout, Scene, Theme, bits},
    list::{EntryKey, EntryList, Scope},
    minutes::Minutes,
    press::{PressedKey, ScreenEffect, TimeKey, press},
    residue::Residue,
    screen::{Candidate, Picker, ScreenPage, ScreenState, ShownLines},
    words::EntryWords,
};
use crate::{
    flow::{
        ledger::Ledger,
        names::Names,
        row::{Counting, InterfaceId, RowKey, RowView, Traffic},
        snapshot::Snapshot,
    },
    format::Safe,
    iftop::{
        options::{IftopOptions, LineDisplay, PairOrder},
        pair::PairAddress,
        view::{self, Surroundings},
    },
    model::owner::{Attribution, Owner},
};

pub use self::replay::DisplayMemory;

/// Addresses that are handed out at once for looking their names up.
const MOST_HOSTS: usize = 256;

/// The screen and everything behind it, but for the books.
pub struct Display {
    pub(super) screen: ScreenState,
    pub(super) theme: Theme,
    pub(super) list: EntryList,
    /// The interfaces that are shown; `None`: all.
    shown: Option<HashSet<InterfaceId>>,
    names: Names,
    loopback: HashSet<InterfaceId>,
    broadcast: HashSet<Ipv4Addr>,
    /// What is shown: in a pause it stands still.
    overview: Snapshot,
    /// Everything as it is now.
    live: Snapshot,
    /// The rows at the beginning of the pause, and how many intervals had been closed then.
    held: Option<HeldDisplay>,
    /// What groups got from rows that are gone.
    departed: DepartedTotals,
    minutes: Minutes,
    residue: Residue,
    detail: Option<Detail>,
    /// Why less than all owners can be found.
    owners_degraded: Vec<String>,
    /// What is said of where the counts come from, and of each whether it is bad news.
    notes: Vec<(String, bool)>,
    size: Size,
}

struct HeldDisplay {
    rows: Vec<(RowKey, Traffic, Arc<Attribution>)>,
    departed: DepartedTotals,
    closed: u64,
}

impl HeldDisplay {
    fn rows(&self) -> impl Iterator<Item = RowView<'_>> {
        self.rows.iter().map(|(key, traffic, owner)| RowView { key, traffic, owner })
    }
}

/// What a key asks of the outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing.
    Nothing,
    /// The program ends.
    Quit,
    /// The program stops until it is continued.
    Suspend,
    /// Whatever is on the terminal is drawn anew.
    Repaint,
    /// Another capture filter; none if it is empty. To be answered with [`Display::filter_installed`] or
    /// [`Display::say`].
    NetFilter(String),
    /// The list in this file, with [`Display::write`].
    Export(String, ExportFormat),
    /// The host's interfaces, for [`Display::choose`].
    ListInterfaces,
    /// These interfaces, with [`Display::show`].
    Show(Vec<String>),
    /// The files that [`Display::owners`] have open, for [`Display::show_files`].
    Files,
    /// The time of the log that is replayed is to move.
    Time(TimeKey),
}

impl Display {
    /// The screen at the start.
    #[must_use]
    pub fn new(options: IftopOptions, theme: Theme, names: Names) -> Self {
        let (mut screen, complaint) = ScreenState::new(options);
        if let Some(complaint) = complaint {
            screen.say(complaint, Duration::ZERO);
        }
        Self {
            screen,
            theme,
            list: EntryList::default(),
            shown: None,
            names,
            loopback: HashSet::new(),
            broadcast: HashSet::new(),
            overview: Snapshot::default(),
            live: Snapshot::default(),
            held: None,
            departed: DepartedTotals::default(),
            minutes: Minutes::default(),
            residue: Residue::default(),
            detail: None,
            owners_degraded: Vec::new(),
            notes: Vec::new(),
            size: Size::default(),
        }
    }

    /// Which interfaces count a frame that crosses several, until a key changes it.
    pub const fn count(&mut self, counting: Counting) {
        self.screen.counting = counting;
    }

    /// What the user has set.
    #[must_use]
    pub const fn options(&self) -> &IftopOptions {
        &self.screen.options
    }

    /// Says something for a while. `now` is the time since the start, as everywhere.
    pub fn say(&mut self, text: impl Into<String>, now: Duration) {
        self.screen.say(text, now);
    }

    /// Takes the broadcast addresses of the networks that the host is in.
    pub fn set_broadcasts(&mut self, broadcasts: &HashSet<Ipv4Addr>) {
        if self.broadcast != *broadcasts {
            self.broadcast.clone_from(broadcasts);
        }
    }

    /// The names that are shown, for whoever looks them up.
    pub const fn names_mut(&mut self) -> &mut Names {
        &mut self.names
    }

    /// An interval has been closed.
    pub fn tick(&mut self, ledger: &Ledger) {
        self.pass(ledger);
        self.refresh(ledger);
    }

    /// Shows what is in the books now.
    fn refresh(&mut self, ledger: &Ledger) {
        self.live = ledger.overview(|id| is_shown(self.shown.as_ref(), id), self.counting());
        if !self.notes.is_empty() {
            self.screen.options.filter_code.clone_from(&self.live.filter);
        }
        if self.held.is_none() {
            self.overview = self.live.clone();
            self.gather(ledger);
            self.arrange();
            let opened = self.detail.as_ref().map(|detail| &detail.entry);
            let entries = self.list.shown(&self.screen.scroll);
            self.minutes.take(self.live.elapsed, self.live.window_seconds[1], entries.chain(opened));
        }
    }

    /// The interfaces' own counters have been read in the interval that was closed last.
    pub fn counters_read(&mut self) {
        let seconds = self.live.window_seconds[0].max(1.0);
        let recent = self.live.total.sent.recent[0].saturating_add(self.live.total.received.recent[0]);
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "rates are positive and far below 2^64"
        )]
        let per_second = (recent as f64 / seconds) as u64;
        self.residue.read(&self.live.interfaces, per_second);
    }

    /// Takes a key.
    pub fn press(&mut self, key: PressedKey, ledger: &mut Ledger, now: Duration) -> Wish {
        let before = self.screen.grouping;
        let effect = press(&mut self.screen, key, now);
        match effect {
            ScreenEffect::Nothing => {}
            ScreenEffect::Quit => return Wish::Quit,
            ScreenEffect::Suspend => return Wish::Suspend,
            ScreenEffect::Repaint => return Wish::Repaint,
            ScreenEffect::Gather => {
                if before != self.screen.grouping || self.screen.options.frozen {
                    self.list.thaw();
                }
                self.gather(ledger);
            }
            ScreenEffect::Freeze => self.arrange(),
            ScreenEffect::Pause => self.pause(ledger),
            ScreenEffect::Count => self.count_differently(ledger),
            ScreenEffect::NetFilter(text) => return Wish::NetFilter(text),
            ScreenEffect::Search(text) => self.search(&text, now),
            ScreenEffect::Export(name) => match ExportFormat::of(&name) {
                Some(format) => return Wish::Export(name, format),
                None => self.screen.say("Give the file a name that ends in .json or .csv", now),
            },
            ScreenEffect::ForgetTotals => self.forget_totals(ledger),
            ScreenEffect::ListInterfaces => return Wish::ListInterfaces,
            ScreenEffect::Show(names) => return Wish::Show(names),
            ScreenEffect::Open(key) => self.open(key, ledger),
            ScreenEffect::Files(key) => {
                if self.detail.is_none() {
                    self.open(key, ledger);
                }
                if self.detail.is_some() {
                    return Wish::Files;
                }
            }
            ScreenEffect::Time(key) => return Wish::Time(key),
        }
        if !matches!(self.screen.page, ScreenPage::Detail(..) | ScreenPage::Files(..)) {
            self.detail = None;
        }
        Wish::Nothing
    }

    /// Whether what is shown depends on whose traffic it is: then somebody has to look.
    #[must_use]
    pub const fn looks(&self) -> bool {
        self.screen.looks()
    }

    /// Owners have been found beside the intervals.
    pub fn owners_found(&mut self, ledger: &Ledger) {
        if self.held.is_none() {
            self.gather(ledger);
        }
    }

    /// Takes note of why less than all owners can be found, a sentence each.
    pub fn set_owners_degraded(&mut self, reasons: Vec<String>) {
        self.owners_degraded = reasons;
    }

    /// Says all the time where the counts come from, if they are not this program's own, and of each sentence whether it is bad news. The
    /// capture filter is the ledger's then.
    pub fn set_notes(&mut self, notes: Vec<(String, bool)>) {
        self.notes = notes;
    }

    /// An interval has been closed, on the way to another one.
    pub fn pass(&mut self, ledger: &Ledger) {
        self.loopback = ledger.loopbacks();
        let Self { screen, names, loopback, broadcast, departed, .. } = self;
        let around = Surroundings { names, loopback, broadcast };
        departed.take(ledger, &screen.scope(&around), screen.replay);
    }

    /// The owners of the entry that is shown in full, each once.
    #[must_use]
    pub fn owners(&self) -> Vec<Owner> {
        let attributions = self.detail.iter().flat_map(|detail| &detail.facts.owners);
        let mut owners: Vec<Owner> = Vec::new();
        for owner in attributions.flat_map(|attribution| &attribution.owners) {
            if owners.iter().all(|known| known.id != owner.id) {
                owners.push(owner.clone());
            }
        }
        owners
    }

    /// Shows the files that owners have open, a line each.
    pub fn show_files(&mut self, lines: Vec<String>) {
        if let Some(detail) = &self.detail {
            self.screen.page = ScreenPage::Files(detail.entry.key.clone(), lines, ShownLines::default());
        }
    }

    /// Stands still, or goes on with what is now.
    fn pause(&mut self, ledger: &Ledger) {
        if self.screen.options.paused {
            let rows = ledger
                .rows(self.counting())
                .map(|row| (*row.key, *row.traffic, Arc::clone(row.owner)))
                .collect();
            let departed = self.departed.clone();
            self.held = Some(HeldDisplay { rows, departed, closed: ledger.closed() });
        } else {
            self.held = None;
            self.refresh(ledger);
        }
    }

    /// Which interfaces count a frame that crosses several: of some interfaces each shows its own.
    const fn counting(&self) -> Counting {
        if self.shown.is_some() { Counting::PerInterface } else { self.screen.counting }
    }

    /// Shows what frames come to that count on each interface they cross, or once again. A pause ends: what stands still was
    /// counted in the other way.
    fn count_differently(&mut self, ledger: &Ledger) {
        self.screen.options.paused = false;
        self.held = None;
        if let Some(detail) = &mut self.detail {
            *detail = Detail::open(&detail.entry.key);
        }
        self.refresh(ledger);
    }

    fn forget_totals(&mut self, ledger: &mut Ledger) {
        ledger.forget_totals();
        if let Some(held) = &mut self.held {
            for (_, traffic, _) in &mut held.rows {
                traffic.forget_totals();
            }
            held.departed.forget();
            self.overview.total.forget_totals();
            self.overview.recent_peak = crate::flow::snapshot::RecentPeak::default();
        }
        self.departed.forget();
        if let Some(detail) = &mut self.detail {
            detail.forget_totals();
        }
        self.screen.scale = super::scale::Automatic::default();
        self.screen.height = Height::default();
        self.refresh(ledger);
        self.gather(ledger);
    }

    /// Shows an entry in full: the selected one, or the first.
    fn open(&mut self, key: Option<EntryKey>, ledger: &Ledger) {
        self.arrange();
        // Keys that come together are taken without a frame in between: what is selected may only be known now.
        let selected = self.screen.scroll.cursor.as_ref().and_then(|cursor| cursor.key.clone());
        let first = self.list.shown(&self.screen.scroll).next().map(|entry| entry.key.clone());
        if let Some(key) = key.or(selected).or(first) {
            self.detail = Some(Detail::open(&key));
            self.screen.page = ScreenPage::Detail(key, ShownLines::default());
            self.update_detail(ledger);
        }
    }

    fn search(&mut self, text: &str, now: Duration) {
        let wanted = text.to_lowercase();
        self.arrange();
        let Self { screen, names, live, list, .. } = self;
        let words = EntryWords { options: &screen.options, names, interfaces: &live.interfaces };
        let after = screen.scroll.cursor.as_ref().map(|cursor| cursor.rank);
        let found = list.search(&screen.options, after, |entry| {
            let contains = |text: String| text.to_lowercase().contains(&wanted);
            words.ends(entry).iter().any(|end| contains(end.to_string()))
                || EntryWords::owner(entry).is_some_and(|owner| contains(owner.to_string()))
        });
        match found {
            Some(rank) => {
                screen.page = ScreenPage::List;
                screen.scroll.select(rank);
            }
            None => screen.say(format!("Not found: {}", Safe::new(text)), now),
        }
    }

    /// Another capture filter is in force.
    pub fn filter_installed(&mut self, text: &str, now: Duration) {
        self.screen.options.filter_code = (!text.is_empty()).then(|| text.to_owned());
        self.screen.say("Installed new filter", now);
    }

    /// Shows the page on which interfaces are chosen.
    pub fn choose(&mut self, candidates: Vec<Candidate>) {
        self.screen.page = ScreenPage::Interfaces(Picker { candidates, ..Picker::default() });
        self.detail = None;
    }

    /// Whether an interface is shown.
    #[must_use]
    pub fn shows(&self, interface: InterfaceId) -> bool {
        is_shown(self.shown.as_ref(), interface)
    }

    /// Shows these interfaces only, exactly: list, totals and peaks; `None` for all.
    pub fn show(&mut self, interfaces: Option<HashSet<InterfaceId>>, ledger: &Ledger) {
        self.shown = interfaces;
        self.loopback = ledger.loopbacks();
        // A pause ends: what stands still are the interfaces that were shown.
        self.screen.options.paused = false;
        self.held = None;
        self.list.thaw();
        self.screen.back_to_list();
        self.refresh(ledger);
    }

    /// Writes the list as it is on the screen, with what does not fit on it.
    ///
    /// # Errors
    /// Those of `out`.
    pub fn write(&mut self, out: impl Write, format: ExportFormat, written: SystemTime) -> io::Result<usize> {
        self.arrange();
        let Self { screen, names, list, overview, residue, .. } = self;
        let heading = Heading {
            written,
            grouping: screen.grouping.name(),
            overview,
            totals: view::totals(overview),
            residue,
            words: EntryWords { options: &screen.options, names, interfaces: &overview.interfaces },
        };
        let entries = list.all(&screen.options);
        export::write(out, format, &heading, entries)?;
        Ok(screen.scroll.count)
    }

    /// The addresses on the screen whose names are wanted. Where the list depends on names it is more than those on the
    /// screen.
    #[must_use]
    pub fn hosts(&self) -> Vec<IpAddr> {
        let options = &self.screen.options;
        if !options.dns {
            return Vec::new();
        }
        let all = self.screen.filter.is_some()
            || matches!(options.sort, PairOrder::Source | PairOrder::Destination);
        let more = all.then(|| self.list.any()).into_iter().flatten();
        let keys = self.list.shown(&self.screen.scroll).chain(more).map(|entry| &entry.key);
        let opened = self.detail.iter().map(|detail| &detail.entry.key);
        let addresses = keys.chain(opened).flat_map(|key| match key {
            EntryKey::Pair(pair) => [pair.left.address, pair.right.address].map(|address| match address {
                PairAddress::Shown(address) => Some(address),
                PairAddress::HiddenV4 | PairAddress::HiddenV6 => None,
            }),
            EntryKey::Left(group) | EntryKey::Right(group) => match group {
                crate::flow::group::GroupKey::Address(address) => [*address, None],
                _ => [None, None],
            },
        });
        addresses.flatten().take(MOST_HOSTS).collect()
    }

    /// Brings the rows together anew.
    fn gather(&mut self, ledger: &Ledger) {
        let counting = self.counting();
        let Self { screen, list, names, loopback, broadcast, held, shown, departed, .. } = self;
        let around = Surroundings { names, loopback, broadcast };
        let scope = screen.scope(&around);
        let is_shown = |interface| is_shown(shown.as_ref(), interface);
        let of_shown = |row: &RowView<'_>| is_shown(row.key.interface);
        if let Some(held) = held {
            let rows = held.rows().filter(of_shown);
            list.gather(rows, held.departed.of(scope.grouping, counting, is_shown), &scope);
        } else {
            let departed = departed.of(scope.grouping, counting, is_shown);
            list.gather(ledger.rows(counting).filter(of_shown), departed, &scope);
        }
        self.update_detail(ledger);
    }

    /// Takes up what has happened to the entry that is shown in full.
    fn update_detail(&mut self, ledger: &Ledger) {
        let counting = self.counting();
        let Self { screen, list, names, loopback, broadcast, held, shown, departed, detail, .. } = self;
        let Some(detail) = detail else { return };
        let around = Surroundings { names, loopback, broadcast };
        let scope = Scope { counting, ..screen.scope(&around) };
        let is_shown = |interface| is_shown(shown.as_ref(), interface);
        let of_shown = |row: &RowView<'_>| is_shown(row.key.interface);
        let entry = list.get(&detail.entry.key).cloned();
        if let Some(held) = held {
            let rows = held.rows().filter(of_shown);
            let departed = held.departed.of(scope.grouping, counting, is_shown);
            detail.update(ledger, rows, departed, entry, &scope, held.closed);
        } else {
            let departed = departed.of(scope.grouping, counting, is_shown);
            let (rows, closed) = (ledger.rows(counting).filter(of_shown), ledger.closed());
            detail.update(ledger, rows, departed, entry, &scope, closed);
        }
    }

    /// Takes note of the terminal's size.
    pub fn resize(&mut self, size: Size) {
        self.size = size;
    }

    /// Decides what is on the screen.
    fn arrange(&mut self) {
        let layout = Layout::new(self.size, self.screen.options.show_bars);
        self.screen.settle_height(self.size);
        let Self { screen, names, live, list, theme, .. } = self;
        let ScreenState { options, filter, scroll, height, .. } = screen;
        let words = EntryWords { options, names, interfaces: &live.interfaces };
        let places = EntryPlaces { layout: &layout, options, mark: theme.cut() };
        loop {
            list.arrange(&words, filter.as_ref(), scroll, layout.visible(height.lines(options.line_display)));
            let shown = list.shown(scroll).map(|entry| places.height(&words.ends(entry)));
            let needed = shown.fold(*height, Height::max);
            if needed == *height {
                break;
            }
            // It only grows, and less is on the screen then.
            *height = needed;
        }
        if let ScreenPage::Interfaces(picker) = &mut screen.page {
            picker.settle(layout.rows.len().saturating_sub(1));
        }
        let text = self.scene(Duration::ZERO).text(self.size).len();
        if let ScreenPage::Help(lines) | ScreenPage::Detail(_, lines) | ScreenPage::Files(_, _, lines) =
            &mut self.screen.page
        {
            lines.settle(text, layout.rows.len());
        }
        self.fit_scale();
    }

    /// Lets the scale grow with the bars on the screen.
    fn fit_scale(&mut self) {
        if !self.screen.options.show_bars {
            return;
        }
        let bars = self.screen.bars;
        let display = self.screen.options.line_display;
        let totals = view::totals(&self.overview);
        let rows = self.list.shown(&self.screen.scroll).flat_map(|entry| match display {
            LineDisplay::TwoLine => [Some(entry.sent), Some(entry.received)],
            LineDisplay::OneLineBoth => [Some(entry.sent.plus(entry.received)), None],
            LineDisplay::OneLineSent => [Some(entry.sent), None],
            LineDisplay::OneLineReceived => [Some(entry.received), None],
        });
        let drawn = rows.flatten().chain([totals.sent, totals.received]);
        let longest = drawn.map(|amounts| bits(amounts.recent, bars, &self.overview)).fold(0.0, f64::max);
        self.screen.scale.fit(longest);
    }

    /// Draws everything, after [`Display::resize`] with the buffer's size. The result is the place of the terminal's cursor,
    /// if it is to be seen.
    pub fn draw(&mut self, buffer: &mut Buffer, now: Duration) -> Option<Position> {
        self.size = buffer.area.as_size();
        self.arrange();
        self.scene(now).draw(buffer)
    }

    fn scene(&self, now: Duration) -> Scene<'_> {
        Scene {
            screen: &self.screen,
            theme: self.theme,
            entries: self.list.shown(&self.screen.scroll).collect(),
            overview: &self.overview,
            live: &self.live,
            residue: &self.residue,
            detail: self.detail.as_ref(),
            minutes: &self.minutes,
            owners_degraded: &self.owners_degraded,
            notes: &self.notes,
            words: EntryWords {
                options: &self.screen.options,
                names: &self.names,
                interfaces: &self.live.interfaces,
            },
            now,
        }
    }
}

fn is_shown(shown: Option<&HashSet<InterfaceId>>, interface: InterfaceId) -> bool {
    shown.is_none_or(|shown| shown.contains(&interface))
}
