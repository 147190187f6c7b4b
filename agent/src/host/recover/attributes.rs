//! What a copy takes over from its source beside the content.

use std::os::unix::fs::MetadataExt as _;

use rustix::{
    fs::{Mode, Stat, Timestamps, fchmod, fchown, fstatvfs, ftruncate, futimens},
    io::Errno,
    process::{Gid, Uid, geteuid},
};

use super::RecoverError;
use crate::{format::Safe, host::output::Output};

/// Set-user-id, set-group-id: only for the owner that the file had.
const SET_ID: u32 = 0o6000;
/// All bits of a mode that chmod(2) takes.
const BITS: u32 = 0o7777;

/// Fails when the file system has less room than that.
pub(super) fn check_space(output: &Output, needed: u64) -> Result<(), RecoverError> {
    let about = fstatvfs(output.file());
    let about = about.map_err(|error| failed(output, "asking for the free space of", error))?;
    let blocks = if geteuid().is_root() { about.f_bfree } else { about.f_bavail };
    let free = blocks.saturating_mul(about.f_frsize);
    // A tmpfs without a limit says that it has no blocks at all.
    if about.f_blocks > 0 && needed > free {
        return Err(RecoverError::NoSpace { needed, free, output: output.path().to_owned() });
    }
    Ok(())
}

/// Everything that is not written is a hole.
pub(super) fn set_length(output: &Output, size: u64) -> Result<(), RecoverError> {
    ftruncate(output.file(), size).map_err(|error| failed(output, "setting the length of", error))
}

/// Gives it the owner and group of the source; false where that is not permitted and they are not the same anyway.
pub(super) fn give_to(output: &Output, source: &Stat) -> bool {
    let (uid, gid) = (Uid::from_raw(source.st_uid), Gid::from_raw(source.st_gid));
    let same = |about: std::fs::Metadata| (about.uid(), about.gid()) == (source.st_uid, source.st_gid);
    fchown(output.file(), Some(uid), Some(gid)).is_ok() || output.file().metadata().is_ok_and(same)
}

/// Gives it the mode of the source; without its owner, nothing that makes others run as the owner.
pub(super) fn set_mode(output: &Output, source: &Stat, owned: bool) -> Result<(), RecoverError> {
    let bits = source.st_mode & if owned { BITS } else { BITS & !SET_ID };
    fchmod(output.file(), Mode::from_raw_mode(bits))
        .map_err(|error| failed(output, "setting the mode of", error))
}

pub(super) fn set_times(output: &Output, times: &Timestamps) -> Result<(), RecoverError> {
    futimens(output.file(), times).map_err(|error| failed(output, "setting the times of", error))
}

pub(super) fn failed(output: &Output, doing: &str, error: Errno) -> RecoverError {
    RecoverError::system(format_args!("{doing} {}", Safe::os(output.path())))(error)
}
