//! Where a command's output goes, before anything is done for it.

use std::{
    ffi::OsStr,
    io::{self, ErrorKind, Write},
    path::Path,
    time::Duration,
};

use anyhow::Context as _;
use tokio::time::sleep;

use super::{stdout, terminal_width};
use crate::{
    format::{Safe, grid::UNLIMITED},
    host::{
        output::{Existing, OutputTarget, PUBLIC},
        shutdown::Shutdown,
    },
};

/// Between two looks whether somebody reads a FIFO.
const LOOK: Duration = Duration::from_millis(50);

/// Why a FIFO has not got all that it was to get.
pub(super) const READER_GONE: &str = "what reads it went away before all was written";

/// What stands for standard output, as for other programs. A file of this name is `./-`.
const STANDARD: &str = "-";

/// Whether a name stands for standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == OsStr::new(STANDARD)
}

/// The file that a report goes to; `None` for standard output, which can be written.
pub(super) async fn of_report(
    path: Option<&Path>,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Option<OutputTarget>> {
    let Some(path) = path.filter(|path| !is_standard(path)) else {
        stdout::check()?;
        return Ok(None);
    };
    let target = OutputTarget::prepare(path, Existing::Replace, PUBLIC)?;
    with_reader(target, path, shutdown).await.map(Some)
}

/// Columns that lines may take: as many as the terminal has. A file may be read anywhere.
pub(super) fn width(target: Option<&OutputTarget>) -> usize {
    terminal_width().filter(|_| target.is_none()).unwrap_or(UNLIMITED)
}

/// Writes `what` to where it goes.
pub(super) fn write(
    what: &str,
    target: Option<OutputTarget>,
    content: impl FnOnce(&mut dyn Write) -> io::Result<()>,
) -> anyhow::Result<()> {
    let Some(target) = target else {
        return content(&mut stdout::open()?).with_context(|| format!("writing {what}"));
    };
    let mut file = target.begin()?;
    let path = Safe::os(file.path()).to_string();
    content(&mut file).map_err(gone).with_context(|| format!("writing {what} to {path}"))?;
    Ok(file.finish()?)
}

/// What a FIFO's reader leaves unread is not there for anybody: other than in a pipe, whose reader may have seen enough, that is a failure.
fn gone(error: io::Error) -> io::Error {
    match error.kind() {
        ErrorKind::BrokenPipe => io::Error::other(READER_GONE),
        _ => error,
    }
}

/// Waits for a FIFO's reader, as a shell does, but says so.
pub(super) async fn with_reader(
    mut target: OutputTarget,
    path: &Path,
    shutdown: &mut Shutdown,
) -> anyhow::Result<OutputTarget> {
    if target.waits_for_reader() {
        tell!("{} is a FIFO: waiting until something reads it", Safe::os(path));
    }
    while target.waits_for_reader() {
        // Nothing is measured and nothing written yet: it ends as a signal ends a start.
        shutdown.unless_requested(sleep(LOOK)).await?;
        target.look_for_reader()?;
    }
    Ok(target)
}
