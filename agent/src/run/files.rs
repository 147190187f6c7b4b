//! The files that owners of traffic have open, as lines for the screen.

use super::{lsof, security};
use crate::{host::proc::ProcessDir, model::owner::Owner};

/// What owners have open, as lsof lists it; or why that cannot be told. May block.
pub(super) fn of(owners: &[Owner]) -> Vec<String> {
    // This thread's, until all is read.
    let _confined = match security::confined() {
        Ok(confined) => confined,
        Err(error) => return vec![format!("Reading open files: {error}")],
    };
    let (mut pids, mut lines) = (Vec::new(), Vec::new());
    for owner in owners {
        match still_there(owner) {
            Ok(()) => pids.push(owner.id.pid),
            Err(error) => lines.push(format!("{} {}: {error}", owner.command, owner.id.pid)),
        }
    }
    if pids.is_empty() {
        return lines;
    }
    match lsof::of_processes(&pids) {
        Ok(files) => lines.extend(files.into_iter().chain(security::hint())),
        Err(error) => lines.push(format!("Reading open files: {error}")),
    }
    lines
}

/// Whether it is still the same process: its PID may have been used again.
fn still_there(owner: &Owner) -> rustix::io::Result<()> {
    let start = ProcessDir::open(owner.id.pid)?.stat()?.start;
    if owner.id.start.is_some_and(|known| known != start) {
        return Err(rustix::io::Errno::SRCH);
    }
    Ok(())
}
