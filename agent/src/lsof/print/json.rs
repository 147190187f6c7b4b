//! `-J`, `-j`: the same fields as JSON.

use std::io::{self, Write};

use serde_json::{Map, Value};

use super::{
    Style, flags,
    names::{self},
};
use crate::lsof::{
    arguments::{Fields, FlagForm, Json},
    model::{Fd, File, Process},
};

/// The version of lsof that brought this form.
const VERSION: &str = "4.99.7";

/// Writes the listing.
///
/// # Errors
/// Those of the writer.
pub(super) fn listing(
    processes: &[Process],
    form: Json,
    style: Style<'_>,
    out: &mut dyn Write,
) -> io::Result<()> {
    let listed = processes.iter().filter(|process| !process.files.is_empty());
    match form {
        Json::Object => {
            write!(out, "{{\"lsof_version\":\"{VERSION}\",\"processes\":[")?;
            for (at, process) in listed.enumerate() {
                if at > 0 {
                    out.write_all(b",")?;
                }
                let mut object = about(process, style);
                let files = process.files.iter().map(|it| file(it, style).map(Value::Object));
                object.insert("files".to_owned(), Value::Array(files.collect::<io::Result<_>>()?));
                serde_json::to_writer(&mut *out, &object)?;
            }
            out.write_all(b"]}\n")
        }
        Json::Lines => {
            for process in listed {
                let about = about(process, style);
                for it in &process.files {
                    let mut object = about.clone();
                    object.extend(file(it, style)?);
                    serde_json::to_writer(&mut *out, &object)?;
                    out.write_all(b"\n")?;
                }
            }
            Ok(())
        }
    }
}

/// Whether a field is wanted: all are, unless `-F` names some.
fn has(fields: Option<&Fields>, letter: u8) -> bool {
    fields.is_none_or(|fields| fields.has(letter))
}

fn string(text: impl Into<String>) -> Value {
    Value::String(text.into())
}

fn lossy(bytes: &[u8]) -> Value {
    string(String::from_utf8_lossy(bytes))
}

fn about(process: &Process, style: Style<'_>) -> Map<String, Value> {
    let has = |letter| has(style.options.fields.as_ref(), letter);
    let mut object = Map::new();
    let mut put = |letter, key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|_| has(letter)) {
            object.insert(key.to_owned(), value);
        }
    };
    put(b'p', "pid", Some(process.pid.into()));
    put(b'K', "tid", process.tid.map(Into::into));
    put(b'M', "task_command", process.tid.map(|_| lossy(&process.task_command)));
    put(b'g', "pgid", Some(process.group.into()));
    put(b'R', "ppid", Some(process.parent.into()));
    put(b'c', "command", Some(lossy(&process.command)));
    put(b'u', "uid", Some(process.uid.into()));
    if has(b'L') && !style.options.numeric_users {
        put(b'L', "login", style.logins.login(process.uid).map(string));
    }
    object
}

fn file(file: &File, style: Style<'_>) -> io::Result<Map<String, Value>> {
    let options = style.options;
    let has = |letter| has(options.fields.as_ref(), letter);
    let mut object = Map::new();
    let mut put = |letter, key: &str, value: Option<Value>| {
        if let Some(value) = value.filter(|_| has(letter)) {
            object.insert(key.to_owned(), value);
        }
    };
    let fd = match file.fd {
        Fd::Number(number) => number.to_string(),
        other => other.name().unwrap_or_default().to_owned(),
    };
    let known = |byte: u8| (byte != b' ').then(|| string(char::from(byte)));
    put(b'f', "fd", Some(string(fd)));
    put(b'a', "access", known(file.access));
    put(b'l', "lock", known(file.lock));
    let kind = names::kind(file);
    put(b't', "type", (!kind.is_empty()).then(|| string(kind)));
    match names::device_text(file) {
        Some(text) => put(b'd', "device", (!text.is_empty()).then(|| string(text))),
        None => put(b'D', "device_number", file.device.map(|device| string(format!("{device:#x}")))),
    }
    put(b'r', "raw_device_number", file.rdev.map(|device| string(format!("{device:#x}"))));
    let human = |size: u64| if options.human { names::human(size) } else { size.to_string() };
    put(b's', "size", file.size.map(|size| string(human(size))));
    put(b'o', "offset", file.offset.map(|offset| string(offset.to_string())));
    put(b'i', "inode", names::inode(file).map(|inode| string(inode.to_string())));
    put(b'k', "nlink", file.links.map(Into::into));
    put(b'P', "protocol", names::protocol(file).map(string));
    let set = file.flags.map(|set| match options.flags {
        Some(FlagForm::Hex) => flags::hex(set),
        _ => flags::names(set),
    });
    put(b'G', "flags", set.map(string));
    if has(b'n') {
        let mut text = Vec::new();
        names::name(file, style.names, style.charset, &mut text)?;
        put(b'n', "name", Some(lossy(&text)));
    }
    let info = names::socket_info(file);
    let mut tcp = Map::new();
    if let Some(state) = info.state {
        tcp.insert("state".to_owned(), string(state));
    }
    if let Some((receive, send)) = info.queues {
        tcp.insert("recv_queue".to_owned(), string(receive.to_string()));
        tcp.insert("send_queue".to_owned(), string(send.to_string()));
    }
    put(b'T', "tcp_info", (!tcp.is_empty()).then_some(Value::Object(tcp)));
    Ok(object)
}
