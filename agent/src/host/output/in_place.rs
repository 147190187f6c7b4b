//! Writing over a file that cannot be replaced. What fails is undone: only a kill, or the machine's end, in this moment leaves a part.

use std::fs::File;

use rustix::{
    fs::{FallocateFlags, MemfdFlags, fallocate, fstat, ftruncate, memfd_create},
    io::{Errno, Result, pread, pwrite},
    process::{Resource, getrlimit},
};

use super::staged::{flush, readable, sync};

/// What is copied at a time.
const CHUNK: usize = 1 << 20;

/// Makes what `new` has the content of `former`, and nothing else.
///
/// # Errors
/// When the system refuses; then the former content is there again, unless that is refused too, or it may not be read.
pub(super) fn write(new: &File, former: &File) -> Result<()> {
    let (length, before) = (length(new)?, length(former)?);
    // More than that would end the process with SIGXFSZ.
    if getrlimit(Resource::Fsize).current.is_some_and(|most| length > most) {
        return Err(Errno::FBIG);
    }
    if let Err(error) = reserve(former, before, length) {
        ftruncate(former, before)?;
        return Err(error);
    }
    let saved = save(former, length.min(before));
    let written = copy(new, former, length)
        // The rest of the former content goes last: until here it can all be had back.
        .and_then(|()| sync(former))
        .and_then(|()| if length < before { ftruncate(former, length) } else { Ok(()) })
        .and_then(|()| sync(former))
        .and_then(|()| flush(former));
    if written.is_err() {
        if let Ok(saved) = saved {
            copy(&saved, former, length.min(before))?;
        }
        ftruncate(former, before)?;
        sync(former)?;
    }
    written
}

fn length(file: &File) -> Result<u64> {
    fstat(file).map(|stat| u64::try_from(stat.st_size).unwrap_or(0))
}

/// Takes the space that a longer content needs, while nothing is written over yet.
fn reserve(file: &File, before: u64, length: u64) -> Result<()> {
    if length <= before {
        return Ok(());
    }
    match fallocate(file, FallocateFlags::KEEP_SIZE, before, length - before) {
        // A file system that cannot: then the write tells.
        Err(Errno::OPNOTSUPP | Errno::NOSYS | Errno::NODEV | Errno::INVAL) => Ok(()),
        result => result,
    }
}

/// The beginning of a file, in memory.
fn save(file: &File, length: u64) -> Result<File> {
    let memory = File::from(memfd_create("flowtally-former", MemfdFlags::CLOEXEC)?);
    copy(&readable(file)?, &memory, length)?;
    Ok(memory)
}

/// Copies the beginning of one file over the beginning of another.
fn copy(from: &File, to: &File, length: u64) -> Result<()> {
    let mut buffer = vec![0; CHUNK.min(usize::try_from(length).unwrap_or(CHUNK))];
    let mut at = 0;
    while at < length {
        let most = usize::try_from(length - at).map_or(CHUNK, |rest| rest.min(CHUNK));
        let read = match pread(from, &mut buffer[..most], at) {
            Ok(0) => return Err(Errno::IO),
            Ok(read) => read,
            Err(Errno::INTR) => continue,
            Err(error) => return Err(error),
        };
        let mut done = 0;
        while done < read {
            match pwrite(to, &buffer[done..read], at + done as u64) {
                Ok(written) => done += written,
                Err(Errno::INTR) => {}
                Err(error) => return Err(error),
            }
        }
        at += read as u64;
    }
    Ok(())
}
