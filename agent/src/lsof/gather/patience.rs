//! What is not waited for longer than a time.

use std::{sync::mpsc, thread, time::Duration};

/// Does what may never end on a thread that is left alone when it takes too long.
pub(super) fn patiently<T: Send + 'static>(
    patience: Duration,
    ask: impl FnOnce() -> T + Send + 'static,
) -> Option<T> {
    let (answer, answered) = mpsc::channel();
    let asked = thread::Builder::new().spawn(move || {
        // Nobody waits any more: then nobody needs it.
        drop(answer.send(ask()));
    });
    asked.ok()?;
    answered.recv_timeout(patience).ok()
}
