//! From the measurement to a thread that writes: at most one interval waits, and nobody waits for room.

use std::{
    sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use crate::log::{LogFold, LogSettings};

/// What both sides know.
#[derive(Debug, Default)]
pub(super) struct FoldQueue {
    state: Mutex<QueueState>,
    /// Something came, or the thread is done.
    changed: Condvar,
}

#[expect(
    clippy::struct_excessive_bools,
    reason = "each is set and looked at on its own: they are no states of one thing"
)]
#[derive(Debug, Default)]
struct QueueState {
    fold: Option<Box<LogFold>>,
    settings: Option<Resettled>,
    reopen: bool,
    stop: bool,
    /// The thread has taken an interval, and has not come back for more.
    is_busy: bool,
    /// The thread has ended.
    is_done: bool,
    /// So has the one that looks after closed files.
    is_upkeep_done: bool,
}

/// Other settings.
#[derive(Debug)]
pub(super) struct Resettled {
    pub(super) settings: LogSettings,
    /// The capture filter that is in place.
    pub(super) filter: Option<String>,
}

/// What a thread has to do now.
#[derive(Debug)]
pub(super) struct LogWork {
    pub(super) fold: Option<Box<LogFold>>,
    pub(super) settings: Option<Resettled>,
    pub(super) reopen: bool,
    pub(super) stop: bool,
}

impl FoldQueue {
    /// A thread that panicked cannot have left half of anything here.
    fn state(&self) -> MutexGuard<'_, QueueState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts an interval in, or gives it back where another one waits or nobody is there.
    pub(super) fn try_send(&self, fold: Box<LogFold>) -> Result<(), Box<LogFold>> {
        let mut state = self.state();
        if state.fold.is_some() || state.is_done || state.stop {
            return Err(fold);
        }
        state.fold = Some(fold);
        self.changed.notify_all();
        Ok(())
    }

    /// How many intervals wait, or are being written.
    pub(super) fn waiting(&self) -> u64 {
        let state = self.state();
        u64::from(state.fold.is_some()) + u64::from(state.is_busy)
    }

    pub(super) fn set(&self, settings: LogSettings, filter: Option<String>) {
        self.state().settings = Some(Resettled { settings, filter });
        self.changed.notify_all();
    }

    pub(super) fn reopen(&self) {
        self.state().reopen = true;
        self.changed.notify_all();
    }

    /// The last interval, behind the one that waits.
    pub(super) fn stop(&self, last: Option<Box<LogFold>>) {
        let mut state = self.state();
        state.stop = true;
        state.fold = match (state.fold.take(), last) {
            (Some(mut waiting), Some(last)) => {
                waiting.merge(*last);
                Some(waiting)
            }
            (waiting, last) => waiting.or(last),
        };
        self.changed.notify_all();
    }

    /// Waits for something to do.
    pub(super) fn work(&self) -> LogWork {
        let idle = |state: &mut QueueState| {
            state.fold.is_none() && state.settings.is_none() && !state.reopen && !state.stop
        };
        let mut state = self.state();
        state.is_busy = false;
        let mut state = self.changed.wait_while(state, idle).unwrap_or_else(PoisonError::into_inner);
        state.is_busy = state.fold.is_some();
        LogWork {
            fold: state.fold.take(),
            settings: state.settings.take(),
            reopen: std::mem::take(&mut state.reopen),
            stop: state.stop,
        }
    }

    /// The thread ends.
    pub(super) fn done(&self) {
        let mut state = self.state();
        (state.is_done, state.is_busy) = (true, false);
        drop(state);
        self.changed.notify_all();
    }

    /// Waits for the end of both threads, but not longer; false where the one that writes goes on even then.
    pub(super) fn wait_done(&self, longest: Duration) -> bool {
        let works = |state: &mut QueueState| !(state.is_done && state.is_upkeep_done);
        let waited = self.changed.wait_timeout_while(self.state(), longest, works);
        let (state, _) = waited.unwrap_or_else(PoisonError::into_inner);
        state.is_done
    }
}

/// Says that the thread which looks after closed files has ended, however it ended: when it is dropped.
#[derive(Debug)]
pub(super) struct UpkeepEnd(pub(super) Arc<FoldQueue>);

impl Drop for UpkeepEnd {
    fn drop(&mut self) {
        self.0.state().is_upkeep_done = true;
        self.0.changed.notify_all();
    }
}
