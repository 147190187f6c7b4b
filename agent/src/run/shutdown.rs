//! When to stop.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a shell makes of a process ended by SIGINT: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// Resolves when the user or the system asks the process to stop; a second request ends it at once.
pub(super) struct Shutdown {
    signals: [Signal; 3],
}

impl Shutdown {
    /// From now on SIGINT, SIGTERM and SIGHUP are requests to stop in good order.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub(super) fn listen() -> io::Result<Self> {
        let on = |kind: SignalKind| signal(kind);
        Ok(Self {
            signals: [on(SignalKind::interrupt())?, on(SignalKind::terminate())?, on(SignalKind::hangup())?],
        })
    }

    /// Waits for a request to stop.
    pub(super) async fn requested(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.signals;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }

    /// From now on the next request ends the process: what is going on is taking too long for the user.
    pub(super) fn next_is_final(mut self) {
        tokio::spawn(async move {
            self.requested().await;
            std::process::exit(INTERRUPTED);
        });
    }
}
