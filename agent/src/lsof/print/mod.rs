//! What was found, as text: columns, fields, PIDs, JSON. No input, and no output but the writer it is handed.

pub mod escape;
mod fields;
mod flags;
mod json;
mod names;
mod table;

#[cfg(test)]
mod tests;

use std::io::{self, Write};

pub use escape::Charset;
pub use names::{EndNames, Numeric};

use super::{
    arguments::{Json, LsofOptions},
    model::Process,
};

/// Login names.
pub trait Logins {
    /// The login name of a user.
    fn login(&self, uid: u32) -> Option<String>;
}

/// How a listing is written.
#[derive(Clone, Copy)]
pub struct Style<'a> {
    /// What was asked for.
    pub options: &'a LsofOptions,
    /// Names of hosts and ports.
    pub names: &'a dyn EndNames,
    /// Login names.
    pub logins: &'a dyn Logins,
    /// What can be printed.
    pub charset: Charset,
}

/// Writes a listing of processes, in their order. Those without files are not listed.
///
/// # Errors
/// Those of the writer.
pub fn listing(processes: &[Process], style: Style<'_>, out: &mut dyn Write) -> io::Result<()> {
    let options = style.options;
    if options.terse {
        return pids(processes, out);
    }
    if let Some(form) = options.json {
        return json::listing(processes, form, style, out);
    }
    match &options.fields {
        Some(fields) => fields::listing(processes, fields, style, out),
        None => table::listing(processes, style, out),
    }
}

/// `-t`: each process once.
fn pids(processes: &[Process], out: &mut dyn Write) -> io::Result<()> {
    let mut last = None;
    for process in processes.iter().filter(|process| !process.files.is_empty()) {
        if last != Some(process.pid) {
            writeln!(out, "{}", process.pid)?;
            last = Some(process.pid);
        }
    }
    Ok(())
}

/// The line between two listings. Documents of JSON need none; a listing in lines ends with an empty one.
///
/// # Errors
/// Those of the writer.
pub fn marker(formatted: Option<&[u8]>, options: &LsofOptions, out: &mut dyn Write) -> io::Result<()> {
    match options.json {
        Some(Json::Object) => return Ok(()),
        Some(Json::Lines) => return out.write_all(b"\n"),
        None => {}
    }
    if let Some(fields) = &options.fields {
        out.write_all(b"m")?;
        out.write_all(formatted.unwrap_or_default())?;
        return out.write_all(if fields.nul { b"\0\n" } else { b"\n" });
    }
    out.write_all(formatted.unwrap_or(b"======="))?;
    out.write_all(b"\n")
}
