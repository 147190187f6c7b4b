//! The edges of what is exported all the time: the log's files, and metrics for whoever asks ([`scrape`]).
//!
//! `LogFold -> queue -> thread -> file`. One interval waits at most; the one who sends never does, and nothing is dropped: what finds no
//! room, and what cannot be written, is carried into the next record.

mod file;
mod folder;
mod queue;
mod recover;
pub mod scrape;
mod status;
#[cfg(test)]
mod tests;
mod thread;
mod upkeep;

use std::{
    fs, io,
    path::Path,
    sync::{Arc, Mutex, PoisonError, mpsc},
    thread::Builder,
    time::{Duration, SystemTime},
};

use self::queue::{FoldQueue, UpkeepEnd};
pub use self::{status::LogStatus, thread::LogThread, upkeep::UpkeepThread};
use crate::{
    flow::services::Services,
    log::{LogFold, LogIdentity, LogSettings, files::host_in_names},
};

/// Says something to whoever runs the agent.
type Say = Box<dyn Fn(&str) + Send>;

/// Who lets files be made, opened for writing, renamed and removed.
pub trait FileDoor {
    /// Runs `work` where that is allowed below `folder`.
    ///
    /// # Errors
    /// When it could not be run.
    fn below(&self, folder: &Path, work: &mut (dyn FnMut() + Send)) -> io::Result<()>;
}

/// Where that is allowed everywhere.
#[derive(Clone, Copy, Debug, Default)]
pub struct OpenDoor;

impl FileDoor for OpenDoor {
    fn below(&self, _folder: &Path, work: &mut (dyn FnMut() + Send)) -> io::Result<()> {
        work();
        Ok(())
    }
}

/// What says what time it is.
pub type LogClock = Arc<dyn Fn() -> SystemTime + Send + Sync>;

/// The side of the log that is sent to. Nothing here waits but [`LogWriter::stop`].
#[derive(Debug)]
pub struct LogWriter {
    queue: Arc<FoldQueue>,
    status: Arc<Mutex<LogStatus>>,
}

impl LogWriter {
    /// A log, with the two threads that it needs: [`LogThread::run`] writes, [`UpkeepThread::run`] compresses and removes. `say` gets what
    /// whoever runs the agent should know, once each: a sentence for standard error.
    #[must_use]
    pub fn new(
        settings: LogSettings,
        identity: LogIdentity,
        services: Services,
        say: impl Fn(&str) + Clone + Send + 'static,
    ) -> (Self, LogThread, UpkeepThread) {
        Self::with_clock(settings, identity, services, say, Arc::new(SystemTime::now))
    }

    /// The same by another clock.
    #[must_use]
    pub fn with_clock(
        settings: LogSettings,
        identity: LogIdentity,
        services: Services,
        say: impl Fn(&str) + Clone + Send + 'static,
        now: LogClock,
    ) -> (Self, LogThread, UpkeepThread) {
        let (queue, status) = (Arc::<FoldQueue>::default(), Arc::<Mutex<LogStatus>>::default());
        let (upkeep, work) = mpsc::channel();
        let looking_after = UpkeepThread {
            work,
            status: Arc::clone(&status),
            host: host_in_names(&identity.host),
            now: Arc::clone(&now),
            say: Box::new(say.clone()) as Say,
            end: UpkeepEnd(Arc::clone(&queue)),
        };
        let writing = LogThread {
            queue: Arc::clone(&queue),
            status: Arc::clone(&status),
            settings,
            identity,
            services,
            upkeep,
            now,
            say: Box::new(say),
            file: None,
            files: 0,
            previous: None,
            number: 0,
            is_ready: false,
            carried: None,
            is_failing: false,
            since_upkeep: 0,
        };
        (Self { queue, status }, writing, looking_after)
    }

    /// The same with both threads started, for whoever may write everywhere.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn start(
        settings: LogSettings,
        identity: LogIdentity,
        services: Services,
        say: impl Fn(&str) + Clone + Send + 'static,
    ) -> io::Result<Self> {
        let (writer, writing, looking_after) = Self::new(settings, identity, services, say);
        Builder::new().name("log-upkeep".to_owned()).spawn(move || looking_after.run(&OpenDoor))?;
        Builder::new().name("log".to_owned()).spawn(move || writing.run(&OpenDoor))?;
        Ok(writer)
    }

    /// Hands an interval over.
    ///
    /// # Errors
    /// With the interval, where another one waits: the next ticks are to be added to it, and it is sent again.
    pub fn try_send(&self, fold: Box<LogFold>) -> Result<(), Box<LogFold>> {
        self.queue.try_send(fold)
    }

    /// Other settings, or another capture filter: from the next interval on, in another file.
    pub fn set(&self, settings: LogSettings, filter: Option<String>) {
        self.queue.set(settings, filter);
    }

    /// Closes the file and begins another one: for logrotate.
    pub fn reopen(&self) {
        self.queue.reopen();
    }

    /// How it is doing.
    #[must_use]
    pub fn status(&self) -> LogStatus {
        let mut status = self.status.lock().unwrap_or_else(PoisonError::into_inner).clone();
        status.queue = self.queue.waiting() + status.carried;
        status
    }

    /// Writes the last interval, closes the file, and waits until closed files are compressed. The result is how it went; `None` where
    /// writing takes longer than `longest`. What is not compressed by then the next start compresses.
    #[must_use]
    pub fn stop(self, last: Option<Box<LogFold>>, longest: Duration) -> Option<LogStatus> {
        self.queue.stop(last);
        self.queue.wait_done(longest).then(|| self.status())
    }
}

/// What lines say of this host, with the id of a new run.
///
/// # Errors
/// When the kernel tells no boot id or has no random numbers.
pub fn identity(filter: Option<String>) -> io::Result<LogIdentity> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned();
    let mut random = [0_u8; 8];
    rustix::rand::getrandom(&mut random, rustix::rand::GetRandomFlags::empty())?;
    let run = format!("{:016x}", u64::from_ne_bytes(random));
    let host = rustix::system::uname().nodename().to_bytes().into();
    Ok(LogIdentity { host, boot, run, version: env!("CARGO_PKG_VERSION").to_owned(), filter })
}
