//! What the kernel tests are made of: network namespaces, traffic of known size, and the program under test.
//!
//! The program is a black box here: it is started as a user starts it, and only what it prints is looked at. Every
//! test makes its own namespaces, in which addresses and names of interfaces are the test's own, so that tests run side
//! by side. Nothing waits for a fixed time: see [`eventually`].
//!
//! A test that can't run fails; none is left out. [`Namespace::new`] says what is missing.
#![forbid(unsafe_code)]
#![expect(
    clippy::missing_panics_doc,
    reason = "a test ends by panicking: whatever goes wrong in here does so at once, with what was tried"
)]

pub mod agent;
pub mod alone;
pub mod books;
pub mod check;
pub mod crossroads;
pub mod fixture;
pub mod foreign;
pub mod frames;
pub mod lab;
pub mod logged;
pub mod namespace;
pub mod network;
pub mod raw;
pub mod refusal;
pub mod report;
pub mod screen;
pub mod sender;
pub mod terminal;
pub mod tun;
pub mod viewer;

use std::{
    env, thread,
    time::{Duration, Instant},
};

pub use agent::{Agent, Ended};
pub use alone::Alone;
pub use check::check;
pub use frames::Way;
pub use lab::{Lab, NOBODY, Outcome};
pub use logged::LoggedRecords;
pub use namespace::Namespace;
pub use network::{Host, NetPair};
pub use refusal::Refusal;
pub use report::{Amounts, Flow, Owner, Report};
pub use screen::Screen;
pub use sender::{Sender, Stream};
pub use terminal::Terminal;

/// Long enough for anything on a busy machine; only a failing test waits for it.
pub const PATIENCE: Duration = Duration::from_mins(1);

/// Seconds to wait in place of [`PATIENCE`]: where everything takes longer, as in an emulated machine.
const LONGER: &str = "FLOWTALLY_PATIENCE";

fn patience() -> Duration {
    let seconds = env::var(LONGER).ok().and_then(|seconds| seconds.parse().ok());
    seconds.map_or(PATIENCE, Duration::from_secs)
}

/// Asks again and again until there is an answer, and returns it. Panics when there is none in [`PATIENCE`], or as long as the
/// environment says.
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    const PAUSE: Duration = Duration::from_millis(2);
    let patience = patience();
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "waited {patience:?} in vain: {what}");
        thread::sleep(PAUSE);
    }
}
