//! The table: cells measured in a first pass and written in a second, so that no cell is kept.

use std::io::{self, Write};

use super::{
    Style, escape, flags,
    names::{self, ListedAmount},
};
use crate::lsof::{
    arguments::{FlagForm, SizeOrOffset},
    model::{Fd, OpenFile, Process},
};

/// The widths of the columns, each at least its title's.
#[derive(Clone, Debug, Default)]
struct Widths {
    command: usize,
    pid: usize,
    tid: usize,
    task_command: usize,
    context: usize,
    parent: usize,
    group: usize,
    user: usize,
    fd: usize,
    kind: usize,
    flags: usize,
    device: usize,
    amount: usize,
    links: usize,
    node: usize,
}

/// A name of a process as it is shown. Where it is cut, what it has room for is as wide as it may be, even if the escape that would
/// not fit whole leaves some of that empty.
struct ShownCommand {
    text: Vec<u8>,
    room: usize,
}

impl ShownCommand {
    fn new(name: &[u8], width: Option<usize>) -> Self {
        let text = escape::command(name, None);
        match width.filter(|width| text.len() > *width) {
            Some(room) => Self { text: escape::command(name, width), room },
            None => Self { room: text.len(), text },
        }
    }
}

/// The cells of a process, ready to be written.
struct ProcessCells {
    command: ShownCommand,
    pid: String,
    tid: String,
    task_command: ShownCommand,
    context: Vec<u8>,
    parent: String,
    group: String,
    user: String,
}

/// The cells of a file.
struct FileCells<'a> {
    fd: String,
    kind: std::borrow::Cow<'a, str>,
    flags: String,
    device: std::borrow::Cow<'a, str>,
    amount: String,
    links: String,
    node: std::borrow::Cow<'a, str>,
}

struct ListingTable<'a> {
    style: Style<'a>,
    /// Whether any row is of a thread.
    tasks: bool,
    widths: Widths,
}

/// Writes the listing.
///
/// # Errors
/// Those of the writer.
pub(super) fn listing(processes: &[Process], style: Style<'_>, out: &mut dyn Write) -> io::Result<()> {
    let listed = || processes.iter().filter(|process| !process.files.is_empty());
    if listed().next().is_none() {
        return Ok(());
    }
    let tasks = listed().any(|process| process.tid.is_some());
    let mut table = ListingTable { style, tasks, widths: titles(style) };
    for process in listed() {
        let cells = table.process(process);
        table.widths.widen_process(&cells);
        for file in &process.files {
            let cells = table.file(file);
            table.widths.widen_file(&cells);
        }
    }
    table.header(out)?;
    let mut line = Vec::new();
    for process in listed() {
        let cells = table.process(process);
        line.clear();
        table.write_process(&cells, &mut line);
        let length = line.len();
        for file in &process.files {
            line.truncate(length);
            table.write_file(file, &mut line)?;
            line.push(b'\n');
            out.write_all(&line)?;
        }
    }
    Ok(())
}

fn amount_title(choice: SizeOrOffset) -> &'static str {
    match choice {
        SizeOrOffset::Either => "SIZE/OFF",
        SizeOrOffset::Size => "SIZE",
        SizeOrOffset::Offset => "OFFSET",
    }
}

fn titles(style: Style<'_>) -> Widths {
    let options = style.options;
    Widths {
        command: "COMMAND".len(),
        pid: "PID".len(),
        tid: "TID".len(),
        task_command: "TASKCMD".len(),
        context: "SECURITY-CONTEXT".len(),
        parent: "PPID".len(),
        group: "PGID".len(),
        user: "USER".len(),
        fd: "FD".len(),
        kind: "TYPE".len(),
        flags: "FILE-FLAG".len(),
        device: "DEVICE".len(),
        amount: amount_title(options.size_or_offset).len(),
        links: "NLINK".len(),
        node: "NODE".len(),
    }
}

impl Widths {
    fn widen_process(&mut self, cells: &ProcessCells) {
        let wide = |width: &mut usize, cell: usize| *width = (*width).max(cell);
        wide(&mut self.command, cells.command.room);
        wide(&mut self.pid, cells.pid.len());
        wide(&mut self.tid, cells.tid.len());
        wide(&mut self.task_command, cells.task_command.room);
        wide(&mut self.context, cells.context.len());
        wide(&mut self.parent, cells.parent.len());
        wide(&mut self.group, cells.group.len());
        wide(&mut self.user, cells.user.len());
    }

    fn widen_file(&mut self, cells: &FileCells<'_>) {
        let wide = |width: &mut usize, cell: usize| *width = (*width).max(cell);
        wide(&mut self.fd, cells.fd.len());
        wide(&mut self.kind, cells.kind.len());
        wide(&mut self.flags, cells.flags.len());
        wide(&mut self.device, cells.device.len());
        wide(&mut self.amount, cells.amount.len());
        wide(&mut self.links, cells.links.len());
        wide(&mut self.node, cells.node.len());
    }
}

/// How many places a text takes on the screen: in UTF-8 a character, else a byte.
fn columns(text: &[u8], style: Style<'_>) -> usize {
    if style.charset.utf8 { text.iter().filter(|byte| **byte & 0xc0 != 0x80).count() } else { text.len() }
}

fn left(text: &[u8], width: usize, style: Style<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(text);
    out.resize(out.len() + width.saturating_sub(columns(text, style)), b' ');
}

/// A blank, then the cell, right-aligned.
fn right(text: &str, width: usize, out: &mut Vec<u8>) {
    out.resize(out.len() + 1 + width.saturating_sub(text.len()), b' ');
    out.extend_from_slice(text.as_bytes());
}

/// The FD column without mode and lock. Numbers have room for four digits; beyond that the last three must do.
fn fd(fd: Fd) -> String {
    match fd {
        Fd::Number(number) if number > 9999 => format!("*{:03}", number % 1000),
        Fd::Number(number) => format!("{number:4}"),
        Fd::Cwd => " cwd".to_owned(),
        Fd::Root => " rtd".to_owned(),
        other => other.name().unwrap_or_default().to_owned(),
    }
}

impl<'a> ListingTable<'a> {
    fn process(&self, process: &Process) -> ProcessCells {
        let style = self.style;
        let options = style.options;
        let shown = |name: &[u8]| ShownCommand::new(name, options.command_width);
        let login = if options.numeric_users { None } else { style.logins.login(process.uid) };
        let optional = |wanted: bool, number: u32| if wanted { number.to_string() } else { String::new() };
        ProcessCells {
            command: shown(&process.command),
            pid: process.pid.to_string(),
            tid: process.tid.map(|tid| tid.to_string()).unwrap_or_default(),
            task_command: shown(&process.task_command),
            context: process.context.as_deref().unwrap_or_default().to_vec(),
            parent: optional(options.parents, process.parent),
            group: optional(options.show_groups, process.group),
            user: login.unwrap_or_else(|| format!("{:8}", process.uid)),
        }
    }

    fn file<'b>(&self, file: &'b OpenFile) -> FileCells<'b> {
        let options = self.style.options;
        let flags = match (options.flags, file.flags) {
            (Some(FlagForm::Names), Some(set)) => flags::names(set),
            (Some(FlagForm::Hex), Some(set)) => flags::hex(set),
            _ => String::new(),
        };
        let amount = match names::amount(file, options) {
            Some(ListedAmount::Size(size)) if options.human => names::human(size),
            Some(ListedAmount::Size(size)) => size.to_string(),
            Some(ListedAmount::Offset(offset)) => names::offset(offset, options.offset_digits),
            None => String::new(),
        };
        let links = file.links.filter(|_| options.links).map(|links| links.to_string());
        FileCells {
            fd: fd(file.fd),
            kind: names::kind(file),
            flags,
            device: names::device(file),
            amount,
            links: links.unwrap_or_default(),
            node: names::protocol(file)
                .or_else(|| names::inode(file).map(|inode| inode.to_string().into()))
                .unwrap_or_default(),
        }
    }

    fn header(&self, out: &mut dyn Write) -> io::Result<()> {
        let options = self.style.options;
        let widths = &self.widths;
        let mut line = Vec::new();
        left(b"COMMAND", widths.command, self.style, &mut line);
        right("PID", widths.pid, &mut line);
        if self.tasks {
            right("TID", widths.tid, &mut line);
            line.push(b' ');
            left(b"TASKCMD", widths.task_command, self.style, &mut line);
        }
        if options.contexts.is_some() {
            line.push(b' ');
            left(b"SECURITY-CONTEXT", widths.context, self.style, &mut line);
        }
        if options.parents {
            right("PPID", widths.parent, &mut line);
        }
        if options.show_groups {
            right("PGID", widths.group, &mut line);
        }
        right("USER", widths.user, &mut line);
        right("FD", widths.fd, &mut line);
        // Two places for mode and lock.
        line.extend_from_slice(b"  ");
        right("TYPE", widths.kind, &mut line);
        if options.flags.is_some() {
            right("FILE-FLAG", widths.flags, &mut line);
        }
        right("DEVICE", widths.device, &mut line);
        right(amount_title(options.size_or_offset), widths.amount, &mut line);
        if options.links {
            right("NLINK", widths.links, &mut line);
        }
        right("NODE", widths.node, &mut line);
        line.extend_from_slice(b" NAME\n");
        out.write_all(&line)
    }

    fn write_process(&self, cells: &ProcessCells, line: &mut Vec<u8>) {
        let options = self.style.options;
        let widths = &self.widths;
        left(&cells.command.text, widths.command, self.style, line);
        right(&cells.pid, widths.pid, line);
        if self.tasks {
            right(&cells.tid, widths.tid, line);
            line.push(b' ');
            left(&cells.task_command.text, widths.task_command, self.style, line);
        }
        if options.contexts.is_some() {
            line.push(b' ');
            left(&cells.context, widths.context, self.style, line);
        }
        if options.parents {
            right(&cells.parent, widths.parent, line);
        }
        if options.show_groups {
            right(&cells.group, widths.group, line);
        }
        right(&cells.user, widths.user, line);
    }

    fn write_file(&self, file: &'a OpenFile, line: &mut Vec<u8>) -> io::Result<()> {
        let options = self.style.options;
        let widths = &self.widths;
        let cells = self.file(file);
        right(&cells.fd, widths.fd, line);
        // A lock without a known mode needs something before it.
        line.push(if file.access == b' ' && file.lock != b' ' { b'-' } else { file.access });
        line.push(file.lock);
        right(&cells.kind, widths.kind, line);
        if options.flags.is_some() {
            right(&cells.flags, widths.flags, line);
        }
        right(&cells.device, widths.device, line);
        right(&cells.amount, widths.amount, line);
        if options.links {
            right(&cells.links, widths.links, line);
        }
        right(&cells.node, widths.node, line);
        line.push(b' ');
        names::name(file, self.style.names, self.style.charset, line)?;
        self.write_info(file, line);
        Ok(())
    }

    /// State and queues, in parentheses.
    fn write_info(&self, file: &OpenFile, line: &mut Vec<u8>) {
        let wanted = self.style.options.tcp_info;
        let Some(socket) = file.socket.as_deref() else { return };
        if !(wanted.state || wanted.queues || wanted.flags) {
            return;
        }
        let info = names::socket_info(socket);
        let has_info = info != names::SocketInfo::default();
        let mut parts = Vec::new();
        if let Some(state) = info.state.filter(|_| wanted.state) {
            parts.push(state.into_owned());
        }
        if let Some((receive, send)) = info.queues.filter(|_| wanted.queues) {
            parts.push(format!("QR={receive}"));
            parts.push(format!("QS={send}"));
        }
        // The blank stands even where nothing follows it, as in lsof.
        if has_info {
            line.push(b' ');
        }
        if !parts.is_empty() {
            line.extend_from_slice(format!("({})", parts.join(" ")).as_bytes());
        }
    }
}
