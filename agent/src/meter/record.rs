//! What the ledger is told, kept for those who keep the same books elsewhere.

use super::{Books, Meter};
use crate::flow::{event::Event, ledger::Ledger};

/// Most bytes of events that are kept; whoever wants more needs the whole ledger again.
const MOST: usize = 64 << 20;

/// What was told since it was last taken.
#[derive(Debug, Default)]
pub(super) struct EventRecorder {
    bytes: Vec<u8>,
    /// Whether some found no room.
    overflowed: bool,
}

/// Events as bytes, in their order.
#[derive(Debug, PartialEq, Eq)]
pub enum Recorded {
    /// All that the ledger was told.
    All(Vec<u8>),
    /// It was too much.
    TooMuch,
}

impl EventRecorder {
    #[cold]
    fn record(&mut self, event: &Event) {
        if self.bytes.len() > MOST {
            self.overflowed = true;
        } else {
            event.write(&mut self.bytes);
        }
    }

    fn take(&mut self) -> Recorded {
        let bytes = std::mem::take(&mut self.bytes);
        if std::mem::take(&mut self.overflowed) { Recorded::TooMuch } else { Recorded::All(bytes) }
    }
}

/// Those who are told what happened.
pub(super) struct Told<'a> {
    pub(super) ledger: &'a mut Ledger,
    pub(super) recorder: Option<&'a mut EventRecorder>,
}

impl Told<'_> {
    /// Tells them what is made again for each of them: of the many records of an interval none is kept in memory for nobody.
    #[inline]
    pub(super) fn apply_made(&mut self, event: impl Fn() -> Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&event());
        }
        self.ledger.apply(event());
    }

    /// Tells them.
    pub(super) fn apply(&mut self, event: Event) {
        if let Some(recorder) = &mut self.recorder {
            recorder.record(&event);
        }
        self.ledger.apply(event);
    }
}

impl Books {
    /// Tells the ledger what happened, and whoever listens.
    pub(super) fn apply(&mut self, event: Event) {
        Told { ledger: &mut self.ledger, recorder: self.recorder.as_mut() }.apply(event);
    }
}

impl Meter {
    /// From now on, or no longer, what the ledger is told is kept for [`recorded`](Self::recorded).
    ///
    /// # Errors
    /// After a failed drain.
    pub fn record_events(&mut self, wanted: bool) -> anyhow::Result<()> {
        let books = self.books()?;
        if books.recorder.is_some() != wanted {
            books.recorder = wanted.then(EventRecorder::default);
        }
        Ok(())
    }

    /// What the ledger was told since this was last asked.
    ///
    /// # Errors
    /// After a failed drain.
    pub fn recorded(&mut self) -> anyhow::Result<Recorded> {
        let recorder = self.books()?.recorder.as_mut();
        Ok(recorder.map_or_else(|| Recorded::All(Vec::new()), EventRecorder::take))
    }

    /// The whole ledger as it is between two intervals, as bytes.
    ///
    /// # Errors
    /// After a failed drain.
    pub async fn saved(&mut self) -> anyhow::Result<Vec<u8>> {
        self.on_books(|books| {
            let mut bytes = Vec::new();
            books.ledger.save(&mut bytes);
            bytes
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_there_is_room_for_is_said() {
        let mut recorder = EventRecorder::default();
        assert_eq!(recorder.take(), Recorded::All(Vec::new()));
        let name = "x".repeat(MOST);
        recorder.record(&Event::Rename { index: 1, name });
        recorder.record(&Event::Detach { index: 1 });
        assert_eq!(recorder.take(), Recorded::TooMuch);
        recorder.record(&Event::Detach { index: 1 });
        assert_eq!(recorder.take(), Recorded::All(vec![4, 1]));
    }
}
