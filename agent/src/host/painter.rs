//! Who a process is: what it runs, whose it is and what it runs in.

use rustix::io::{Errno, Result};

use super::{netns::Namespaces, owners::processes::Processes, proc::ProcessDir};
use crate::model::owner::Owner;

/// Draws processes; of one that was drawn before, it knows what does not change.
#[derive(Debug)]
pub struct Painter {
    processes: Processes,
    namespaces: Namespaces,
}

impl Painter {
    /// With the names of network namespaces.
    #[must_use]
    pub fn new(namespaces: Namespaces) -> Self {
        Self { processes: Processes::new(), namespaces }
    }

    /// The process.
    ///
    /// # Errors
    /// When it is gone.
    pub fn paint(&mut self, process: &ProcessDir) -> Result<Owner> {
        let start = process.stat()?.start;
        self.processes.begin();
        let owner = self.processes.living(process.pid(), u64::MAX, &self.namespaces);
        // The directory is the process; its number may be another one's by now.
        owner.filter(|owner| owner.id.start == Some(start)).ok_or(Errno::SRCH)
    }
}
