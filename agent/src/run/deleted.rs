//! `flowtally deleted`.

use std::io;

use anyhow::Context as _;

use super::terminal_width;
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
    let width = terminal_width().unwrap_or(usize::MAX);
    files::write(io::stdout().lock(), &deleted, &request, width).context("writing the list")
}
