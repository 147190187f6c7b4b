//! Traffic at a constant rate.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rustix::process::setpriority_process;

use crate::{NetPair, Way, raw::RawSocket};

/// Frames that are sent again and again.
#[derive(Clone, Debug)]
pub struct Stream {
    /// From which end.
    pub way: Way,
    /// What.
    pub frame: Vec<u8>,
    /// How often.
    pub per_second: u32,
}

/// Sends streams until it is stopped or goes.
#[derive(Debug)]
pub struct Sender {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<Vec<u64>>>,
}

impl Sender {
    /// Begins at once.
    #[must_use]
    pub fn start(pair: &NetPair, streams: Vec<Stream>) -> Self {
        /// The best priority of those that are shared.
        const FIRST: i32 = -20;
        /// Between two looks at the clock: far shorter than any interval over which rates are measured.
        const STEP: Duration = Duration::from_millis(4);
        let sockets = [&pair.near, &pair.far].map(|host| RawSocket::open(&host.namespace, host.interface));
        let stop = Arc::new(AtomicBool::new(false));
        let stopped = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            // A rate is constant only if the sender is not kept waiting by the tests that run beside it.
            setpriority_process(None, FIRST).expect("go before others");
            let [near, far] = sockets;
            let begun = Instant::now();
            let mut sent = vec![0_u64; streams.len()];
            while !stopped.load(Ordering::Relaxed) {
                let milliseconds = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
                for (stream, sent) in streams.iter().zip(&mut sent) {
                    let due = milliseconds * u64::from(stream.per_second) / 1000;
                    let socket = match stream.way {
                        Way::Sent => &near,
                        Way::Received => &far,
                    };
                    while *sent < due {
                        socket.send(&stream.frame);
                        *sent += 1;
                    }
                }
                thread::sleep(STEP);
            }
            sent
        });
        Self { stop, thread: Some(thread) }
    }

    /// Stops, and returns how many frames of each stream were sent.
    #[must_use]
    pub fn stop(mut self) -> Vec<u64> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.take().expect("it is stopped once").join().expect("the thread that sends")
    }
}

impl Drop for Sender {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}
