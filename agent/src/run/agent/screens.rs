//! The screens that are attached: each keeps the same books, and none is waited for.

use bytes::Bytes;

use super::Agent;
use crate::{
    attach::{self, AttachFacts, AttachHeader, FrameKind, answerable},
    host::control::{Feed, Reply, feed},
    meter::{Meter, Recorded},
};

/// Most screens at one time.
const AT_ONCE: usize = 4;
/// Most bytes that wait for one screen. A slower one misses what finds no room, and gets the whole ledger again later.
const WAITING: usize = 64 << 20;

/// The screens that look on.
#[derive(Default)]
pub(super) struct AttachedScreens {
    screens: Vec<AttachedScreen>,
}

struct AttachedScreen {
    feed: Feed,
    /// Whether it has missed something.
    is_behind: bool,
}

impl AttachedScreens {
    /// How many there are.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.screens.iter().filter(|screen| !screen.feed.is_gone()).count()).unwrap_or(u32::MAX)
    }

    /// Hands out what happened since the last time.
    fn hand_out(&mut self, facts: &AttachFacts, recorded: Recorded) {
        self.screens.retain(|screen| !screen.feed.is_gone());
        let frame = match recorded {
            Recorded::All(events) => Some(Bytes::from(attach::frame(FrameKind::Events, facts, &events))),
            Recorded::TooMuch => None,
        };
        for screen in self.screens.iter_mut().filter(|screen| !screen.is_behind) {
            screen.is_behind = !frame.as_ref().is_some_and(|frame| screen.feed.send(frame.clone(), WAITING));
        }
    }

    /// Those that missed something and have read what they got.
    fn catching_up(&mut self) -> impl Iterator<Item = &mut AttachedScreen> {
        self.screens.iter_mut().filter(|screen| screen.is_behind && screen.feed.is_idle())
    }

    /// The interval is closed.
    pub(super) async fn closed(&mut self, meter: &mut Meter) -> anyhow::Result<()> {
        if self.screens.is_empty() {
            return Ok(());
        }
        let facts = facts(meter)?;
        self.hand_out(&facts, meter.recorded()?);
        if self.catching_up().next().is_some() {
            let whole = Bytes::from(attach::frame(FrameKind::Whole, &facts, &meter.saved().await?));
            for screen in self.catching_up() {
                screen.is_behind = !screen.feed.send(whole.clone(), WAITING);
            }
        }
        meter.record_events(!self.screens.is_empty())
    }

    /// One more screen, with everything as it is now.
    async fn add(&mut self, meter: &mut Meter) -> anyhow::Result<Reply> {
        self.screens.retain(|screen| !screen.feed.is_gone());
        if self.screens.len() >= AT_ONCE {
            let error =
                format!("{AT_ONCE} screens are attached already, which is all that there may be: end one");
            return Ok(Reply::Text(AttachHeader::own(Some(error)).line()));
        }
        // Between two intervals too something may have happened, which is in the whole ledger and is not to come once more.
        let facts = facts(meter)?;
        self.hand_out(&facts, meter.recorded()?);
        meter.record_events(true)?;
        let whole = Bytes::from(attach::frame(FrameKind::Whole, &facts, &meter.saved().await?));
        let (feed, receiver) = feed();
        let is_behind = !feed.send(whole, WAITING);
        self.screens.push(AttachedScreen { feed, is_behind });
        Ok(Reply::Feed(AttachHeader::own(None).line(), receiver))
    }

    /// Hands out the last interval, and waits until those that read have it.
    pub(super) async fn end(mut self, recorded: Recorded) {
        self.hand_out(&AttachFacts::default(), recorded);
        for screen in self.screens {
            screen.feed.end().await;
        }
    }
}

fn facts(meter: &mut Meter) -> anyhow::Result<AttachFacts> {
    Ok(AttachFacts { elapsed: meter.started().elapsed(), owners_degraded: meter.owners_degraded()? })
}

impl Agent {
    /// Answers `attach`.
    pub(super) async fn attach(&mut self, question: &str) -> anyhow::Result<Reply> {
        match answerable(question) {
            Ok(()) => self.screens.add(&mut self.meter).await,
            Err(line) => Ok(Reply::Text(line)),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    fn screens(count: usize) -> (AttachedScreens, Vec<crate::host::control::FeedReceiver>) {
        let (feeds, receivers): (Vec<_>, Vec<_>) = (0..count).map(|_| feed()).unzip();
        let screens = feeds.into_iter().map(|feed| AttachedScreen { feed, is_behind: false }).collect();
        (AttachedScreens { screens }, receivers)
    }

    #[test]
    fn who_missed_something_gets_nothing_until_it_can_have_all() {
        let (mut screens, receivers) = screens(2);
        let facts = AttachFacts { elapsed: Duration::from_secs(1), owners_degraded: Vec::new() };
        // The first one alone still has something to read.
        assert!(screens.screens[0].feed.send(Bytes::from(vec![0; WAITING]), WAITING));
        screens.hand_out(&facts, Recorded::All(vec![1]));
        let behind = |screens: &AttachedScreens| -> Vec<bool> {
            screens.screens.iter().map(|screen| screen.is_behind).collect()
        };
        assert_eq!(behind(&screens), [true, false]);
        assert_eq!(screens.catching_up().count(), 0, "not before it has read what it got");
        screens.hand_out(&facts, Recorded::TooMuch);
        assert_eq!(behind(&screens), [true, true]);
        assert_eq!(screens.count(), 2);
        drop(receivers);
        assert_eq!(screens.count(), 0);
        screens.hand_out(&facts, Recorded::All(Vec::new()));
        assert!(screens.screens.is_empty());
    }

    #[test]
    fn who_read_everything_catches_up() {
        let (mut screens, _receivers) = screens(1);
        screens.hand_out(&AttachFacts::default(), Recorded::TooMuch);
        assert_eq!(screens.catching_up().count(), 1);
    }
}
