//! The folder of the log: what of this host is in it.

use std::{fs, io, path::Path};

use crate::log::files::{KeptFile, LogFileName, PARTIAL};

/// The files of a host in a folder.
pub(super) fn list(folder: &Path, host: &str) -> io::Result<Vec<KeptFile>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let Some(name) = entry.file_name().to_str().and_then(LogFileName::parse) else { continue };
        if name.host != host {
            continue;
        }
        // What was removed meanwhile is not there.
        let Ok(metadata) = entry.metadata() else { continue };
        if metadata.is_file() {
            files.push(KeptFile { name, size: metadata.len(), modified: metadata.modified()? });
        }
    }
    Ok(files)
}

/// Removes what was being compressed when an earlier run was killed.
pub(super) fn remove_partial(folder: &Path, host: &str) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let name = entry?.file_name();
        let Some(text) = name.to_str() else { continue };
        let of = text.strip_suffix(PARTIAL).and_then(LogFileName::parse);
        if of.is_some_and(|of| of.host == host) {
            fs::remove_file(folder.join(&name))?;
        }
    }
    Ok(())
}
