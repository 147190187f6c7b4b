//! Deleted files as tables for people.

use std::{
    fmt,
    io::{self, Write},
};

use super::{
    Deleted, DeletedBy, DeletedFile, DeletedKind, DeletedRequest, FileHolder,
    deleted::{ProcessShare, Sum},
};
use crate::{
    format::{
        Guard,
        grid::{Align, Column, Fit, Grid},
        numbers::{Many, Size},
    },
    model::{
        held::{Access, Hold, Storage},
        owner::Owner,
    },
};

/// Most holders of one file that are listed, and most ways in which one of them holds it.
const LISTED: usize = 4;

pub(super) fn write(
    out: &mut impl Write,
    deleted: &Deleted,
    request: &DeletedRequest,
    width: usize,
) -> io::Result<()> {
    let out = &mut Guard::new(out);
    if deleted.files.is_empty() {
        match request.min_size {
            0 => writeln!(out, "No deleted file is still open.")?,
            size => writeln!(out, "No deleted file that is still open holds {} or more.", Size(size))?,
        }
        return notes(out, deleted);
    }
    let [disk, memory] = [Storage::Disk, Storage::Memory].map(|storage| SumText(deleted.sum(storage)));
    writeln!(out, "Deleted and still open: {disk} on disk, {memory} in memory")?;
    match request.by {
        Some(DeletedBy::Process) => {
            writeln!(out)?;
            processes(deleted, request).write(out, width)?;
            writeln!(out)?;
            writeln!(
                out,
                "A file that several processes hold counts for each of them; only what a process holds ALONE is free when \
                 it ends."
            )?;
        }
        None => {
            for (storage, title) in [(Storage::Disk, "On disk"), (Storage::Memory, "In memory, not on disk")]
            {
                let files: Vec<_> = deleted.files.iter().filter(|file| file.storage == storage).collect();
                if !files.is_empty() {
                    writeln!(out, "\n{title}:")?;
                    table(deleted, &files, storage).write(out, width)?;
                }
            }
            remedy(out, deleted)?;
        }
    }
    notes(out, deleted)
}

/// `1.20 GiB in 2 files`
struct SumText(Sum);

impl fmt::Display for SumText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} in {}", Size(self.0.held), Many(self.0.files, "file"))
    }
}

const fn column(title: &'static str, align: Align, fit: Fit) -> Column {
    Column { title, align, fit }
}

/// Files of one kind of storage, a line for each process that holds one.
fn table(deleted: &Deleted, files: &[&DeletedFile], storage: Storage) -> Grid {
    let holders = || files.iter().flat_map(|file| &file.holders);
    let contained = holders().any(|holder| deleted.processes[holder.process].container.is_some());
    let kinds = files.iter().any(|file| file.kind != DeletedKind::File);
    let mut columns = vec![
        column("HELD", Align::Right, Fit::Always),
        column("SIZE", Align::Right, Fit::Spare),
        column("PID", Align::Right, Fit::Always),
        column("COMMAND", Align::Left, Fit::Always),
        column("USER", Align::Left, Fit::Late),
        column("FD", Align::Left, Fit::Always),
        column("OPEN TO", Align::Left, Fit::Spare),
    ];
    if kinds {
        columns.push(column("KIND", Align::Left, Fit::Late));
    }
    if contained {
        columns.push(column("CONTAINER", Align::Left, Fit::Late));
    }
    // Never cut: a path is there to be used.
    columns.push(column(if storage == Storage::Disk { "PATH" } else { "NAME" }, Align::Left, Fit::Over));

    let mut grid = Grid::new(columns);
    for file in files {
        let surplus = file.holders.len().saturating_sub(LISTED);
        // One more line for one more holder would take no less room.
        let listed = if surplus > 1 { LISTED } else { file.holders.len() };
        for (at, holder) in file.holders[..listed].iter().enumerate() {
            sizes(&mut grid, file, at == 0);
            let process = &deleted.processes[holder.process];
            grid.cell(process.id.pid);
            grid.cell(&process.command);
            grid.cell(User(process));
            grid.cell(Holds(holder));
            let written = holder.holds.iter().any(|hold| hold.access == Access::Write);
            grid.cell(if written { "write" } else { "read" });
            if kinds {
                grid.cell(file.kind.title());
            }
            if contained {
                grid.cell(Inside(process));
            }
            grid.cell(file.name());
        }
        if surplus > 1 {
            sizes(&mut grid, file, false);
            grid.cell("");
            grid.cell(format_args!("{} more", file.holders.len() - listed));
            let blank = 3 + usize::from(kinds) + usize::from(contained);
            (0..blank).for_each(|_| grid.cell(""));
            grid.cell(file.name());
        }
    }
    grid
}

/// What a file takes, on its first line; those of its other holders repeat the mark of that.
fn sizes(grid: &mut Grid, file: &DeletedFile, first: bool) {
    match file.sizes {
        _ if !first => ["\"", "\""].into_iter().for_each(|mark| grid.cell(mark)),
        Some((size, held)) => [held, size].into_iter().for_each(|bytes| grid.cell(Size(bytes))),
        None => ["?", "?"].into_iter().for_each(|mark| grid.cell(mark)),
    }
}

/// A process's user, by name or number.
struct User<'a>(&'a Owner);

impl fmt::Display for User<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (&self.0.user, self.0.uid) {
            (Some(name), _) => name.fmt(f),
            (None, Some(uid)) => uid.fmt(f),
            (None, None) => f.write_str("-"),
        }
    }
}

/// What a process runs in.
struct Inside<'a>(&'a Owner);

impl fmt::Display for Inside<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0.container {
            Some(container) => container.fmt(f),
            None => f.write_str("-"),
        }
    }
}

/// `5,7,mem:7f26b0a00000`
struct Holds<'a>(&'a FileHolder);

impl fmt::Display for Holds<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What is open comes before what is mapped: it is the shorter way to the same file.
        let mut holds: Vec<&Hold> = self.0.holds.iter().collect();
        holds.sort_by_key(|hold| std::cmp::Reverse(hold.how.is_open()));
        for (at, hold) in holds.iter().take(LISTED).enumerate() {
            let comma = if at == 0 { "" } else { "," };
            write!(f, "{comma}{}", hold.how)?;
        }
        match holds.len().saturating_sub(LISTED) {
            0 => Ok(()),
            more => write!(f, ",+{more}"),
        }
    }
}

/// What each process holds.
fn processes(deleted: &Deleted, request: &DeletedRequest) -> Grid {
    let contained = deleted.processes.iter().any(|process| process.container.is_some());
    let mut columns = vec![
        column("PID", Align::Right, Fit::Always),
        column("COMMAND", Align::Left, Fit::Always),
        column("USER", Align::Left, Fit::Late),
    ];
    if contained {
        columns.push(column("CONTAINER", Align::Left, Fit::Late));
    }
    columns.extend([
        column("FILES", Align::Right, Fit::Spare),
        column("DISK", Align::Right, Fit::Always),
        column("MEMORY", Align::Right, Fit::Always),
        column("ALONE", Align::Right, Fit::Always),
    ]);
    let mut grid = Grid::new(columns);
    for ProcessShare { process, disk, memory, alone } in deleted.shares(request.sort) {
        let process = &deleted.processes[process];
        grid.cell(process.id.pid);
        grid.cell(&process.command);
        grid.cell(User(process));
        if contained {
            grid.cell(Inside(process));
        }
        grid.cell(disk.files + memory.files);
        for bytes in [disk.held, memory.held, alone] {
            grid.cell(Size(bytes));
        }
    }
    grid
}

/// How to get the first file back.
fn remedy(out: &mut impl Write, deleted: &Deleted) -> io::Result<()> {
    let regular = |file: &&DeletedFile| file.kind == DeletedKind::File && file.storage == Storage::Disk;
    let Some(file) = deleted.files.iter().find(regular) else { return Ok(()) };
    let holds = || file.holders.iter().flat_map(|holder| holder.holds.iter().map(move |hold| (holder, hold)));
    // What is open can be copied by whoever may see it; what is mapped, by root.
    let open = holds().find(|(_, hold)| hold.how.is_open());
    let Some((holder, hold)) = open.or_else(|| holds().next()) else { return Ok(()) };
    let pid = deleted.processes[holder.process].id.pid;
    writeln!(out, "\nTo get a file back: flowtally recover --pid {pid} --fd {} --output FILE", hold.how)
}

/// What could not be read, and what takes more to be free than that a process ends.
fn notes(out: &mut impl Write, deleted: &Deleted) -> io::Result<()> {
    if deleted.files.iter().any(|file| file.kind == DeletedKind::SystemVShm) {
        writeln!(out, "SysV shared memory stays when its processes end, until ipcrm(1) removes it.")?;
    }
    if deleted.unreadable > 0 {
        let Deleted { unreadable, looked, .. } = deleted;
        writeln!(
            out,
            "{unreadable} of {looked} processes could not be read, and what they hold is in no sum: that takes root \
             (CAP_SYS_PTRACE)."
        )?;
    }
    match deleted.unknown() {
        0 => Ok(()),
        unknown => writeln!(
            out,
            "Unknown and in no sum (mapped, not open): the space of {}; asking takes root (CAP_CHECKPOINT_RESTORE).",
            Many(unknown as u64, "file")
        ),
    }
}
