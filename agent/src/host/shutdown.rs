//! When to stop.

use std::{io, pin::pin};

use thiserror::Error;
use tokio::signal::unix::{Signal, SignalKind, signal};

use crate::kernel::process;

/// What a shell makes of a process ended by SIGINT: 128 and the signal's number.
const INTERRUPTED: i32 = 130;

/// The process was asked to stop before there was anything to show for it.
#[derive(Clone, Copy, Debug, Error)]
#[error("ended by signal {signal}")]
pub struct Stopped {
    signal: i32,
}

impl Stopped {
    /// Ends the process as the signal would have done, whatever other threads are at.
    pub fn end(self) -> ! {
        process::end_by(self.signal)
    }
}

/// What asks a process to stop in good order; a service reads its configuration again on the last of these.
const REQUESTS: [SignalKind; 3] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];

/// Until [`Shutdown::listen`] a request ends the process by itself, from now on.
pub fn end_at_once() {
    process::obey(&REQUESTS.map(|kind| kind.as_raw_value()));
}

/// Resolves when the user or the system asks the process to stop; a second request ends it at once.
pub struct Shutdown {
    signals: [Signal; 2],
    hangup: Option<Signal>,
}

impl Shutdown {
    /// From now on SIGINT, SIGTERM and SIGHUP are requests to stop in good order.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen() -> io::Result<Self> {
        let [interrupt, terminate, hangup] = REQUESTS.map(signal);
        Ok(Self { signals: [interrupt?, terminate?], hangup: Some(hangup?) })
    }

    /// The same of SIGINT and SIGTERM; the result has SIGHUP, which means something else.
    ///
    /// # Errors
    /// When a handler cannot be installed.
    pub fn listen_but_for_hangup() -> io::Result<(Self, Signal)> {
        let [interrupt, terminate, hangup] = REQUESTS.map(signal);
        Ok((Self { signals: [interrupt?, terminate?], hangup: None }, hangup?))
    }

    /// Waits for a request to stop.
    pub async fn requested(&mut self) {
        let _ = self.request().await;
    }

    async fn request(&mut self) -> Stopped {
        let Self { signals: [interrupt, terminate], hangup } = self;
        let hangup = async {
            match hangup {
                Some(signal) => signal.recv().await,
                None => std::future::pending().await,
            }
        };
        let kind = tokio::select! {
            _ = interrupt.recv() => SignalKind::interrupt(),
            _ = terminate.recv() => SignalKind::terminate(),
            _ = hangup => SignalKind::hangup(),
        };
        Stopped { signal: kind.as_raw_value() }
    }

    /// Does what can be given up at any moment, unless or until a request comes.
    ///
    /// # Errors
    /// The request.
    pub async fn unless_requested<T>(&mut self, work: impl Future<Output = T>) -> Result<T, Stopped> {
        let work = pin!(work);
        tokio::select! {
            biased;
            stopped = self.request() => Err(stopped),
            done = work => Ok(done),
        }
    }

    /// Whether no request has come so far.
    ///
    /// # Errors
    /// The request that has.
    pub async fn check(&mut self) -> Result<(), Stopped> {
        // Signals are taken up where the runtime has a look at what is ready.
        tokio::task::yield_now().await;
        self.unless_requested(std::future::ready(())).await
    }

    /// From now on the next request ends the process: what is going on is taking too long for the user.
    pub fn next_is_final(mut self) {
        tokio::spawn(async move {
            self.requested().await;
            std::process::exit(INTERRUPTED);
        });
    }
}
