//! Whose rows are: asked before an interval is closed, on the thread that drains.

use std::time::Instant;

use flowtally_common::SocketHint;

use super::{Books, Meter, record::Told};
use crate::{flow::event::Event, host::owners::Look};

/// Most owners that are asked for at once, unless it is for the last time: closing an interval must not take long.
const ASKED: usize = 1 << 16;
/// Intervals after which all owners are asked for again while somebody looks: sockets are handed on.
const AGAIN: u64 = 10;

impl Books {
    /// Asks for the owners of rows.
    pub(super) fn ask(&mut self, look: Look) {
        let Self { ledger, owners: Some(owners), kernel, recorder } = self else { return };
        if look == Look::Yes && ledger.closed() % AGAIN == AGAIN - 1 {
            ledger.ask_again();
        }
        let most = if look == Look::Final { usize::MAX } else { ASKED };
        let mut questions = ledger.questions(most, look != Look::No);
        let notes = kernel.owner_notes().for_questions(questions.len());
        for question in &mut questions {
            let has_note = |socket: SocketHint| notes.note(socket.cookie()).is_some();
            if let Some(socket) = ledger.choice(question, has_note) {
                question.socket = socket;
                let event = Event::Socket { row: question.row, socket };
                Told { ledger, recorder: recorder.as_mut() }.apply(event);
            }
        }
        let answers = owners.answer(&questions, &mut |cookie| notes.note(cookie), look, Instant::now());
        for (question, answer) in questions.iter().zip(answers) {
            if let Some(attribution) = answer {
                let event = Event::Answer { row: question.row, attribution };
                Told { ledger, recorder: recorder.as_mut() }.apply(event);
            }
        }
    }
}

impl Meter {
    /// Somebody begins or ceases to look at owners. Who begins has them at once, as far as they can be found.
    ///
    /// # Errors
    /// After a failed drain.
    pub async fn look(&mut self, looking: bool) -> anyhow::Result<()> {
        if std::mem::replace(&mut self.looking, looking) || !looking {
            return Ok(());
        }
        self.on_books(|books| {
            // What was found from notes alone is found better now.
            books.ledger.ask_again();
            books.ask(Look::Yes);
        })
        .await
    }

    /// Whether somebody looks at owners.
    #[must_use]
    pub const fn looks(&self) -> bool {
        self.looking
    }

    /// Why less than all owners can be found, a sentence each.
    ///
    /// # Errors
    /// After a failed drain.
    pub fn owners_degraded(&mut self) -> anyhow::Result<Vec<String>> {
        let Books { kernel, owners: Some(owners), .. } = self.books()? else { return Ok(Vec::new()) };
        let mut degraded: Vec<_> = kernel.owner_notes().unnoted().iter().map(ToString::to_string).collect();
        degraded.extend(owners.degraded());
        Ok(degraded)
    }

    pub(super) const fn look_now(&self) -> Look {
        if self.looking { Look::Yes } else { Look::No }
    }
}
