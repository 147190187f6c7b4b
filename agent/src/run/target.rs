//! Where a command's output goes, before anything is done for it.

use crate::host::shutdown::Shutdown;
use std::{ffi::OsStr, path::Path, time::Duration};

use tokio::time::sleep;

use crate::format::Safe;
use crate::host::output::{Existing, OutputTarget, PUBLIC};

/// Between two looks whether somebody reads a FIFO.
const LOOK: Duration = Duration::from_millis(50);

/// What stands for standard output, as for other programs. A file of this name is `./-`.
const STANDARD: &str = "-";

/// Whether a name stands for standard output.
pub(super) fn is_standard(path: &Path) -> bool {
    path.as_os_str() == OsStr::new(STANDARD)
}

/// The file that a report goes to; `None` for standard output.
pub(super) async fn of_report(
    path: Option<&Path>,
    shutdown: &mut Shutdown,
) -> anyhow::Result<Option<OutputTarget>> {
    match path.filter(|path| !is_standard(path)) {
        Some(path) => with_reader(OutputTarget::prepare(path, Existing::Replace, PUBLIC)?, path, shutdown)
            .await
            .map(Some),
        None => Ok(None),
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
