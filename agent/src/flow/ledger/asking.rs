//! Asking whose rows are, and being told.

use std::sync::Arc;

use flowtally_common::SocketHint;

use super::{Ledger, refuse};
use crate::{
    flow::{question::OwnerQuestion, row::RowKey},
    model::owner::Attribution,
};

impl Ledger {
    /// Brings what has been recorded so far into the rows: who is told of a row need not have asked for it here.
    pub(super) fn flush(&mut self) {
        let Self { rows, interfaces, .. } = self;
        rows.flush(|amount| refuse(interfaces, &amount));
    }

    /// At most so many rows whose owner is wanted, as they are with what the open interval has brought so far; with `again`
    /// also those that have been asked about before, to no avail. To be answered with [`attribute`](Self::attribute) before the
    /// interval is closed.
    pub fn questions(&mut self, most: usize, again: bool) -> Vec<OwnerQuestion> {
        self.flush();
        let Self { rows, interfaces, terms, .. } = self;
        let numbers = rows.wanted(most, again);
        let question = |number: &u32| {
            let (key, traffic) = rows.get(*number);
            let pending = rows.pending_of(*number);
            let attached = &interfaces[usize::from(key.interface.0)].attached;
            OwnerQuestion {
                row: *key,
                ifindex: attached.index,
                local_is_own: terms.orientation.is_own(key.local) || attached.loopback,
                socket: rows.ownership.hint(*number),
                seen: [
                    traffic.sent.packets + pending[0].packets > 0,
                    traffic.received.packets + pending[1].packets > 0,
                ],
            }
        };
        numbers.iter().map(question).collect()
    }

    /// The sockets that a row was seen with in the open interval beside the one in its question: some of them may be sockets
    /// of the kernel, which answers for connections that are over.
    #[must_use]
    pub fn rivals(&self, row: &RowKey) -> &[SocketHint] {
        self.rows.number(row).map(|number| self.rows.ownership.rivals(number)).unwrap_or_default()
    }

    /// Of the sockets that a row was seen with, the one to ask about: the newest that a process is known to have had, where the one in
    /// the question is of no process. `None` where it stays with that one.
    #[must_use]
    pub fn choice(
        &self,
        question: &OwnerQuestion,
        has_owner: impl Fn(SocketHint) -> bool,
    ) -> Option<SocketHint> {
        let rivals = self.rivals(&question.row);
        if rivals.is_empty() || has_owner(question.socket) {
            return None;
        }
        rivals.iter().rev().copied().find(|socket| has_owner(*socket))
    }

    /// This socket is the row's own, of those it was seen with.
    pub fn choose(&mut self, row: &RowKey, socket: SocketHint) {
        self.flush();
        if let Some(number) = self.rows.number(row) {
            self.rows.ownership.choose(number, socket);
        }
    }

    /// The owners of all rows that are not idle are wanted again: they are known better now, or may be others.
    pub fn ask_again(&mut self) {
        self.rows.ask_again();
    }

    /// A row is found to be somebody's, with all that it has come to. Where it had an owner and its traffic comes from another
    /// socket now, which is another owner's, that begins with the open interval, in a row of its own; and so it does where that
    /// owner has a row of this conversation from before, which then goes on. Without traffic in the open interval nothing changes
    /// hands yet.
    pub fn attribute(&mut self, row: &RowKey, attribution: &Arc<Attribution>) {
        self.flush();
        if let Some(number) = self.rows.number(row) {
            self.rows.attribute(number, attribution);
        }
    }
}
