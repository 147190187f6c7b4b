//! Files of /proc, read into a buffer that is used again and again.

use rustix::{
    fd::OwnedFd,
    fs::{Mode, OFlags, openat},
    io::Errno,
};

/// The text of an error, as strerror(3) has it.
pub(super) fn text(error: Errno) -> String {
    let whole = std::io::Error::from(error).to_string();
    match whole.find(" (os error") {
        Some(end) => whole[..end].to_owned(),
        None => whole,
    }
}

/// Reads a file that the kernel hands out at once, unless it is longer than a page, into a buffer that is emptied first.
pub(super) fn read_small(
    dir: &OwnedFd,
    name: impl rustix::path::Arg,
    buffer: &mut Vec<u8>,
) -> rustix::io::Result<()> {
    read_until(dir, name, buffer, PAGE)
}

/// Reads a whole file into a buffer that is emptied first.
pub(super) fn read_into(
    dir: &OwnedFd,
    name: impl rustix::path::Arg,
    buffer: &mut Vec<u8>,
) -> rustix::io::Result<()> {
    read_until(dir, name, buffer, 0)
}

/// What the kernel hands out of a file of /proc at a time.
const PAGE: usize = 4096;

/// Reads a file until less comes than `short`.
fn read_until(
    dir: &OwnedFd,
    name: impl rustix::path::Arg,
    buffer: &mut Vec<u8>,
    short: usize,
) -> rustix::io::Result<()> {
    buffer.clear();
    let file = openat(dir, name, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    loop {
        buffer.reserve(2 * PAGE);
        let length = rustix::io::read(&file, rustix::buffer::spare_capacity(buffer))?;
        if length == 0 || length < short {
            return Ok(());
        }
    }
}
