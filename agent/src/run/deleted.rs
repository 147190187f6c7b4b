//! `flowtally deleted`.

use anyhow::Context as _;

use super::{security, stdout, tell_where_files_are_from, terminal_width};
use crate::{
    cli::DeletedArgs,
    files::{self, Deleted, DeletedRequest},
    host::{held, proc},
};

/// Looks, then prints.
pub(super) fn deleted(args: &DeletedArgs) -> anyhow::Result<()> {
    let &DeletedArgs { min_size, by, sort, format, verbose } = args;
    let request = DeletedRequest { min_size, by, sort, format };
    security::confine()?;
    proc::check()?;
    let mut deleted = Deleted::new(held::deleted().context("reading the processes in /proc")?);
    if verbose {
        tell_where_files_are_from();
    }
    deleted.select(&request);
    // What goes to a file or a program has all columns.
    let width = terminal_width().unwrap_or(usize::MAX);
    files::write(stdout::open()?, &deleted, &request, width).context("writing the list")
}
