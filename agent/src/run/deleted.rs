//! `flowtally deleted`.

use std::io;

use anyhow::Context as _;

use crate::{
    cli::DeletedArgs,
    files::{self, Deleted, Request},
    host::held,
};

/// Looks, then prints.
pub(super) fn deleted(args: &DeletedArgs) -> anyhow::Result<()> {
    let &DeletedArgs { min_size, by, sort, format } = args;
    let request = Request { min_size, by, sort, format };
    let mut deleted = Deleted::new(held::deleted().context("reading the processes in /proc")?);
    deleted.select(&request);
    // What goes to a file or a program has all columns.
    let width =
        rustix::termios::tcgetwinsize(io::stdout()).map_or(usize::MAX, |size| usize::from(size.ws_col));
    files::write(io::stdout().lock(), &deleted, &request, width).context("writing the list")
}
