//! `-F`: a field a line, each with a letter, in lsof's order.

use std::io::{self, Write};

use super::{
    Style, escape, flags,
    names::{self, ListedAmount},
};
use crate::lsof::{
    arguments::{FieldOutput, FlagForm},
    model::{Fd, OpenFile, Process},
};

struct FieldWriter<'a> {
    fields: &'a FieldOutput,
    style: Style<'a>,
    line: Vec<u8>,
}

/// Writes the listing.
///
/// # Errors
/// Those of the writer.
pub(super) fn listing(
    processes: &[Process],
    fields: &FieldOutput,
    style: Style<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let mut writer = FieldWriter { fields, style, line: Vec::new() };
    for process in processes.iter().filter(|process| !process.files.is_empty()) {
        writer.line.clear();
        writer.process(process);
        writer.end();
        out.write_all(&writer.line)?;
        for file in &process.files {
            writer.line.clear();
            writer.file(file)?;
            writer.end();
            out.write_all(&writer.line)?;
        }
    }
    Ok(())
}

impl FieldWriter<'_> {
    fn end_field(&mut self) {
        self.line.push(if self.fields.nul { 0 } else { b'\n' });
    }

    /// A set of fields that end with NUL ends with a newline.
    fn end(&mut self) {
        if self.fields.nul && !self.line.is_empty() {
            self.line.push(b'\n');
        }
    }

    fn field(&mut self, letter: u8, text: &str) {
        if self.fields.has(letter) {
            self.line.push(letter);
            self.line.extend_from_slice(text.as_bytes());
            self.end_field();
        }
    }

    fn escaped(&mut self, letter: u8, text: &[u8]) {
        if self.fields.has(letter) {
            self.line.push(letter);
            // A vector takes all that is written.
            let _ = escape::write(text, false, self.style.charset, &mut self.line);
            self.end_field();
        }
    }

    fn process(&mut self, process: &Process) {
        let options = self.style.options;
        self.field(b'p', &process.pid.to_string());
        if let Some(tid) = process.tid {
            self.field(b'K', &tid.to_string());
            self.escaped(b'M', &process.task_command);
        }
        if let Some(context) = &process.context {
            self.escaped(b'Z', context);
        }
        self.field(b'g', &process.group.to_string());
        self.field(b'R', &process.parent.to_string());
        self.escaped(b'c', &process.command);
        self.field(b'u', &process.uid.to_string());
        if !options.numeric_users
            && self.fields.has(b'L')
            && let Some(login) = self.style.logins.login(process.uid)
        {
            self.field(b'L', &login);
        }
    }

    fn file(&mut self, file: &OpenFile) -> io::Result<()> {
        let options = self.style.options;
        let fd = match file.fd {
            Fd::Number(number) => number.to_string(),
            other => other.name().unwrap_or_default().to_owned(),
        };
        self.field(b'f', &fd);
        self.escaped(b'a', &[file.access]);
        self.escaped(b'l', &[file.lock]);
        let kind = names::kind(file);
        if !kind.is_empty() {
            self.field(b't', &kind);
        }
        if let (Some(form), Some(set)) = (options.flags, file.flags) {
            let text = match form {
                FlagForm::Names => flags::names(set),
                FlagForm::Hex => flags::hex(set),
            };
            if !text.is_empty() {
                self.field(b'G', &text);
            }
        }
        match names::device_text(file) {
            Some(text) if !text.is_empty() => self.field(b'd', &text),
            Some(_) => {}
            None => {
                if let Some(device) = file.device {
                    self.field(b'D', &format!("{device:#x}"));
                }
            }
        }
        if let Some(rdev) = file.rdev {
            self.field(b'r', &format!("{rdev:#x}"));
        }
        match names::amount(file, options) {
            Some(ListedAmount::Size(size)) => self.field(b's', &size.to_string()),
            Some(ListedAmount::Offset(offset)) => {
                self.field(b'o', &names::offset(offset, options.offset_digits));
            }
            None => {}
        }
        if let Some(inode) = names::inode(file) {
            self.field(b'i', &inode.to_string());
        }
        if let Some(links) = file.links {
            self.field(b'k', &links.to_string());
        }
        if let Some(protocol) = names::protocol(file) {
            self.field(b'P', &protocol);
        }
        if self.fields.has(b'n') {
            self.line.push(b'n');
            names::name(file, self.style.names, self.style.charset, &mut self.line)?;
            self.end_field();
        }
        let info = file.socket.as_deref().map(names::socket_info).unwrap_or_default();
        let wanted = options.tcp_info;
        if let Some(state) = info.state.filter(|_| wanted.state) {
            self.field(b'T', &format!("ST={state}"));
        }
        if let Some((receive, send)) = info.queues.filter(|_| wanted.queues) {
            self.field(b'T', &format!("QR={receive}"));
            self.field(b'T', &format!("QS={send}"));
        }
        Ok(())
    }
}
