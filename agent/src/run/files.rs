//! The files that owners of traffic have open, as lines for the screen.

use crate::{flow::owner::Owner, host::proc::ProcessDir};

/// What each owner has open, a line each; or why that cannot be told. May block.
pub(super) fn of(owners: &[Owner]) -> Vec<String> {
    let mut lines = Vec::new();
    for owner in owners {
        let mut files = Vec::new();
        let read = open(owner).and_then(|process| {
            process.descriptors(|fd, target| {
                files.push(format!("{fd:>8}  {}", String::from_utf8_lossy(target)));
            })
        });
        let name = format!("{} {}", owner.command, owner.id.pid);
        match read {
            Ok(()) => lines.push(format!("{name}: {} open files", files.len())),
            Err(error) => lines.push(format!("{name}: {error}")),
        }
        lines.extend(files);
    }
    lines
}

/// The process, if it is still the same: its PID may have been used again.
fn open(owner: &Owner) -> rustix::io::Result<ProcessDir> {
    let process = ProcessDir::open(owner.id.pid)?;
    let start = process.stat()?.start;
    if owner.id.start.is_some_and(|known| known != start) {
        return Err(rustix::io::Errno::SRCH);
    }
    Ok(process)
}
