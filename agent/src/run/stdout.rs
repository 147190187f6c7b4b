//! Standard output. What cannot be written there is an error, never a success with nothing printed.

use std::io::{self, IoSlice, StdoutLock, Write};

use rustix::fs::{OFlags, fcntl_getfl};

use crate::kernel::process;

/// Number of standard output.
const STDOUT: usize = 1;

/// Standard output; its errors say that they are its own.
pub(super) struct StandardOutput(StdoutLock<'static>);

/// Opens it.
///
/// # Errors
/// When it is closed, or open for reading alone. std takes that for success.
pub(super) fn open() -> io::Result<StandardOutput> {
    check()?;
    Ok(StandardOutput(io::stdout().lock()))
}

/// What [`open`] will answer, for who has a long way to the first word.
///
/// # Errors
/// Those of `open`.
pub(super) fn check() -> io::Result<()> {
    let why = if process::was_closed(STDOUT) {
        "closed"
    } else if fcntl_getfl(io::stdout()).is_ok_and(|flags| flags & OFlags::RWMODE == OFlags::RDONLY) {
        "not open for writing"
    } else {
        return Ok(());
    };
    Err(io::Error::other(format!("standard output is {why} (>/dev/null throws away what is printed)")))
}

/// Prints a text as a whole.
///
/// # Errors
/// Those of [`open`] and of writing.
pub(super) fn print(text: &str) -> io::Result<()> {
    let mut out = open()?;
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn ours<T>(result: io::Result<T>) -> io::Result<T> {
    result.map_err(|error| io::Error::new(error.kind(), format!("standard output: {error}")))
}

impl Write for StandardOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        ours(self.0.write(bytes))
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        ours(self.0.write_vectored(slices))
    }

    fn flush(&mut self) -> io::Result<()> {
        ours(self.0.flush())
    }
}
