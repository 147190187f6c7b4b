//! Where a screen has its books from: a measurement of its own, or the one of an agent that runs.

use std::{
    collections::HashSet,
    net::Ipv4Addr,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};

use super::{
    replay::{ReplayNews, ReplaySource},
    settings::{dictionary, services},
};
use crate::{
    attach::{self, AttachFacts, FrameKind},
    filter::{Dictionary, Filter},
    flow::{event::Event, ledger::Ledger},
    format::Safe,
    host::{
        agent::{AgentConnection, AgentFrame},
        interfaces::Interface,
    },
    meter::{Happened, Meter},
    tui::{Display, TimeKey},
};

/// Intervals between two readings of the interfaces' own counters.
const COMPARE: u64 = 10;

/// What a screen shows.
pub(super) enum ScreenSource {
    /// A measurement of its own.
    Measured(Box<Meter>),
    /// A copy of an agent's books, which is told what they are told.
    Attached(Box<AttachedSource>),
    /// A log of an agent, whose time the screen's keys move.
    Replayed(Box<ReplaySource>),
}

/// What a source waited for.
pub(super) enum SourceEvent {
    Measured(Happened),
    Attached(Result<AgentFrame, String>),
    /// There is something to be read.
    Replayed,
}

/// What has become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceNews {
    /// Nothing that is to be seen.
    Nothing,
    /// An interval is closed.
    Closed {
        /// Whether the interfaces' own counters were read in it.
        compared: bool,
    },
    /// Some intervals were missed, and the whole books have been read again.
    CaughtUp,
    /// There will be no more.
    Ended,
    /// The time of a log moves, and is not yet where it is to be.
    Moving,
    /// The time of a log has moved.
    Moved {
        /// Whether by one interval, onward.
        is_next: bool,
    },
}

/// An agent's books.
pub(super) struct AttachedSource {
    connection: AgentConnection,
    path: PathBuf,
    ledger: Ledger,
    names: Dictionary,
    /// When the agent began to count, on the clock of this process.
    started: Instant,
    broadcasts: HashSet<Ipv4Addr>,
    owners_degraded: Vec<String>,
    /// Why there will be no more.
    ended: Option<String>,
}

impl AttachedSource {
    /// Attaches to the agent at `path`, and reads what it has counted so far.
    pub(super) async fn open(path: &Path) -> anyhow::Result<Self> {
        let mut connection = AgentConnection::open(path).await?;
        let names = dictionary();
        let attaching = || format!("attaching to the agent at {}", Safe::os(path));
        let frame = connection.next().await.map_err(anyhow::Error::msg).with_context(attaching)?;
        if frame.kind != FrameKind::Whole {
            bail!("{}: it did not begin with all of its books", attaching());
        }
        let (facts, ledger) = attach::whole(frame.content()?, services(), &names).with_context(attaching)?;
        let mut source = Self {
            connection,
            path: path.to_owned(),
            ledger,
            names,
            started: Instant::now(),
            broadcasts: HashSet::new(),
            owners_degraded: Vec::new(),
            ended: None,
        };
        source.note(facts);
        Ok(source)
    }

    fn note(&mut self, AttachFacts { elapsed, owners_degraded }: AttachFacts) {
        let now = Instant::now();
        self.started = now.checked_sub(elapsed).unwrap_or(now);
        self.owners_degraded = owners_degraded;
        self.broadcasts = self.ledger.orientation().broadcasts().collect();
    }

    fn take(&mut self, frame: Result<AgentFrame, String>) -> SourceNews {
        match frame.and_then(|frame| self.read(&frame).map_err(|error| format!("{error:#}"))) {
            Ok(news) => news,
            Err(why) => {
                self.ended = Some(why);
                SourceNews::Ended
            }
        }
    }

    fn read(&mut self, frame: &AgentFrame) -> anyhow::Result<SourceNews> {
        let content = frame.content()?;
        if frame.kind == FrameKind::Whole {
            let (facts, ledger) = attach::whole(content, services(), &self.names)?;
            self.ledger = ledger;
            self.note(facts);
            return Ok(SourceNews::CaughtUp);
        }
        let (mut closed, mut compared) = (false, false);
        let Self { ledger, names, .. } = self;
        let facts = attach::events(content, names, |event| {
            closed |= matches!(event, Event::Close { .. });
            compared |= matches!(event, Event::Counters { .. });
            ledger.apply(event);
        })?;
        if facts != AttachFacts::default() {
            self.note(facts);
        }
        Ok(if closed { SourceNews::Closed { compared } } else { SourceNews::Nothing })
    }
}

impl ScreenSource {
    /// Tells a display what kind of books these are.
    pub(super) fn prepare(&self, display: &mut Display) {
        if let Self::Replayed(source) = self {
            source.prepare(display);
        }
    }

    /// The books, as they stood when the last interval was closed.
    pub(super) fn ledger(&mut self) -> anyhow::Result<&mut Ledger> {
        match self {
            Self::Measured(meter) => meter.ledger(),
            Self::Attached(source) => Ok(&mut source.ledger),
            Self::Replayed(source) => Ok(source.ledger()),
        }
    }

    /// How long it has been counting.
    pub(super) fn elapsed(&self) -> Duration {
        match self {
            Self::Measured(meter) => meter.started(),
            Self::Attached(source) => source.started,
            Self::Replayed(source) => source.started(),
        }
        .elapsed()
    }

    /// Waits until something happens. May be dropped while it waits; what it returns must be handed to [`take`](Self::take),
    /// which must not be dropped half way.
    pub(super) async fn wait(&mut self) -> SourceEvent {
        match self {
            Self::Measured(meter) => SourceEvent::Measured(meter.wait().await),
            // What has ended is looked at for as long as somebody likes.
            Self::Attached(source) if source.ended.is_some() => std::future::pending().await,
            Self::Attached(source) => SourceEvent::Attached(source.connection.next().await),
            Self::Replayed(source) => {
                source.wait().await;
                SourceEvent::Replayed
            }
        }
    }

    /// Takes up what has happened. The display is told of each interval on the way to another time of a log.
    pub(super) async fn take(
        &mut self,
        event: SourceEvent,
        display: &mut Display,
    ) -> anyhow::Result<SourceNews> {
        match (self, event) {
            (Self::Measured(meter), SourceEvent::Measured(happened)) => {
                if !meter.is_tick(happened).await? {
                    return Ok(SourceNews::Nothing);
                }
                let compared = meter.ledger()?.closed() % COMPARE == COMPARE - 1;
                meter.close(compared).await?;
                Ok(SourceNews::Closed { compared })
            }
            (Self::Attached(source), SourceEvent::Attached(frame)) => Ok(source.take(frame)),
            (Self::Replayed(source), SourceEvent::Replayed) => Ok(match source.go(display)? {
                ReplayNews::Nothing => SourceNews::Nothing,
                ReplayNews::Moving => SourceNews::Moving,
                ReplayNews::Moved { is_next } => SourceNews::Moved { is_next },
            }),
            _ => Ok(SourceNews::Nothing),
        }
    }

    /// Broadcast addresses of the networks that the host is in.
    pub(super) fn broadcasts(&self) -> &HashSet<Ipv4Addr> {
        match self {
            Self::Measured(meter) => meter.broadcasts(),
            Self::Attached(source) => &source.broadcasts,
            Self::Replayed(source) => source.broadcasts(),
        }
    }

    /// Whether somebody looks at owners. An agent always does, and a log has what it saw.
    pub(super) fn looks(&self) -> bool {
        match self {
            Self::Measured(meter) => meter.looks(),
            Self::Attached(_) | Self::Replayed(_) => true,
        }
    }

    /// Somebody begins or ceases to look at owners. Whether there is anything new.
    pub(super) async fn look(&mut self, looking: bool) -> anyhow::Result<bool> {
        match self {
            Self::Measured(meter) if meter.looks() != looking => meter.look(looking).await.map(|()| true),
            _ => Ok(false),
        }
    }

    /// Why less than all owners can be found, a sentence each.
    pub(super) fn owners_degraded(&mut self) -> anyhow::Result<Vec<String>> {
        match self {
            Self::Measured(meter) => meter.owners_degraded(),
            Self::Attached(source) => Ok(source.owners_degraded.clone()),
            Self::Replayed(source) => Ok(source.owners_degraded()),
        }
    }

    /// Counts only what matches from now on.
    ///
    /// # Errors
    /// In words, where that is not for this screen to say.
    pub(super) fn set_filter(&mut self, filter: Option<Filter>) -> anyhow::Result<()> {
        match self {
            Self::Measured(meter) => meter.set_filter(filter),
            Self::Attached(_) => bail!(
                "The capture filter is the agent's (filter-code in its configuration, then SIGHUP); l shows less on this screen"
            ),
            Self::Replayed(_) => {
                bail!(
                    "A log has what was counted; l shows less on this screen, and `flowtally history -f` asks the log"
                )
            }
        }
    }

    /// Every interface that can be shown.
    pub(super) async fn host_interfaces(&self) -> anyhow::Result<Option<Vec<Interface>>> {
        match self {
            Self::Measured(meter) => meter.host_interfaces().await.map(Some),
            Self::Attached(_) | Self::Replayed(_) => Ok(None),
        }
    }

    /// Counts on one more interface from now on.
    ///
    /// # Errors
    /// When that is not possible.
    pub(super) async fn add(&mut self, name: &str) -> anyhow::Result<()> {
        match self {
            Self::Measured(meter) => meter.add(name).await,
            Self::Attached(_) | Self::Replayed(_) => Ok(()),
        }
    }

    /// Moves the time of a log.
    pub(super) fn press(&mut self, key: TimeKey) {
        if let Self::Replayed(source) = self {
            source.press(key);
        }
    }

    /// Rows are brought together in another way: of a log that takes other rows. Whether it does.
    pub(super) fn regroup(&mut self, display: &mut Display) -> bool {
        match self {
            Self::Replayed(source) => source.regroup(display),
            _ => false,
        }
    }

    /// What the screen is to say of it all the time, and whether it is bad news.
    pub(super) fn notes(&self) -> Vec<(String, bool)> {
        match self {
            Self::Measured(_) => Vec::new(),
            Self::Attached(source) => vec![match &source.ended {
                None => ("attached to the agent, frames".to_owned(), false),
                Some(_) => ("AGENT GONE, nothing new".to_owned(), true),
            }],
            Self::Replayed(source) => source.notes(),
        }
    }

    /// What happened to it, for once.
    pub(super) fn message(&self) -> Option<String> {
        match self {
            Self::Measured(_) => None,
            Self::Attached(source) => Some(match &source.ended {
                None => format!(
                    "Attached to the agent at {} (flowtally {}); amounts are frames as on the wire",
                    Safe::os(&source.path),
                    Safe::new(&source.connection.header.version)
                ),
                Some(why) => format!(
                    "The agent at {} sends no more: {}. What is shown is what it had counted; q ends",
                    Safe::os(&source.path),
                    Safe::new(why)
                ),
            }),
            Self::Replayed(source) => Some(source.message()),
        }
    }

    /// Ends the measurement in good order, where it is this screen's own.
    pub(super) async fn finish(self) -> anyhow::Result<()> {
        match self {
            Self::Measured(meter) => meter.finish().await.map(drop),
            Self::Attached(_) | Self::Replayed(_) => Ok(()),
        }
    }
}
