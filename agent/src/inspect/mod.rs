//! One page for an operator in a hurry: the sockets that were asked for, with their traffic, their owners, and what those have open.
//!
//! `sockets + flows -> Matched -> Page -> { text, json }`. Pure: sockets, processes and traffic are handed in.

mod flows;
mod json;
mod matched;
mod page;
mod target;
#[cfg(test)]
mod tests;
mod text;

use std::io::{self, BufWriter, Write};

pub use self::{
    flows::{BytesBothWays, CountedFlow, NamespaceAddresses},
    matched::{Matched, MatchedSocket, OpenDescriptor, SocketLine, SocketPeer},
    page::InspectPage,
    target::{InspectTarget, TargetError},
};
use crate::files::PageFormat;

/// Prints a page, and flushes. Text is fitted to `width` columns.
///
/// # Errors
/// Those of `out`.
pub fn write(out: impl Write, page: &InspectPage<'_>, format: PageFormat, width: usize) -> io::Result<()> {
    let mut out = BufWriter::new(out);
    match format {
        PageFormat::Text => text::write(&mut out, page, width)?,
        PageFormat::Json => json::write(&mut out, page)?,
    }
    out.flush()
}
