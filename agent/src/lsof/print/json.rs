//! `-J`, `-j`: JSON with the keys, their types and their order that lsof 4.99 has, and the true names of [`crate::format::json`].

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::{Serialize, Serializer, ser::SerializeMap};

use super::{Style, flags, names};
use crate::{
    format::json::{entry, to_writer},
    lsof::{
        arguments::{FieldOutput, FlagForm, Json},
        model::{Fd, ListedSocket, OpenFile, Process, Transport, tcp_state},
    },
};

/// The version of lsof whose form this is.
const VERSION: &str = "4.99.7";

/// The kernel's number of a connected socket's state, UDP's too.
const ESTABLISHED: u8 = 1;

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
                to_writer(&mut *out, &Object { process, style })?;
            }
            out.write_all(b"]}\n")
        }
        Json::Lines => {
            for process in listed {
                for file in &process.files {
                    to_writer(&mut *out, &FileRow { process, file, style })?;
                    out.write_all(b"\n")?;
                }
            }
            Ok(())
        }
    }
}

/// A process with its files.
struct Object<'a> {
    process: &'a Process,
    style: Style<'a>,
}

impl Serialize for Object<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        about_process(&mut map, self.process, self.style)?;
        map.serialize_entry("files", &Files(&self.process.files, self.style))?;
        map.end()
    }
}

/// The files of a process.
struct Files<'a>(&'a [OpenFile], Style<'a>);

impl Serialize for Files<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|file| Alone(file, self.1)))
    }
}

/// A file within its process.
struct Alone<'a>(&'a OpenFile, Style<'a>);

impl Serialize for Alone<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        about_file(&mut map, self.0, self.1)?;
        map.end()
    }
}

/// A file, and before it what its process is.
struct FileRow<'a> {
    process: &'a Process,
    file: &'a OpenFile,
    style: Style<'a>,
}

impl Serialize for FileRow<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        about_process(&mut map, self.process, self.style)?;
        about_file(&mut map, self.file, self.style)?;
        map.end()
    }
}

fn about_process<M: SerializeMap>(map: &mut M, process: &Process, style: Style<'_>) -> Result<(), M::Error> {
    let options = style.options;
    let has = |letter| options.fields.as_ref().is_some_and(|fields: &FieldOutput| fields.has(letter));
    if has(b'p') {
        map.serialize_entry("pid", &process.pid)?;
    }
    if let Some(tid) = process.tid {
        if has(b'K') {
            map.serialize_entry("tid", &tid)?;
        }
        if has(b'M') {
            entry(map, "task_cmd", &process.task_command)?;
        }
    }
    if let Some(context) = process.context.as_deref().filter(|_| has(b'Z')) {
        entry(map, "security_context", context)?;
    }
    if has(b'g') {
        map.serialize_entry("pgid", &process.group)?;
    }
    if has(b'R') {
        map.serialize_entry("ppid", &process.parent)?;
    }
    if has(b'c') {
        entry(map, "command", &process.command)?;
    }
    if has(b'u') {
        map.serialize_entry("uid", &process.uid)?;
    }
    if has(b'L')
        && !options.numeric_users
        && let Some(login) = style.logins.login(process.uid)
    {
        map.serialize_entry("login", &login)?;
    }
    Ok(())
}

/// Numbers that may be beyond what JSON's readers hold are strings.
fn about_file<M: SerializeMap>(map: &mut M, file: &OpenFile, style: Style<'_>) -> Result<(), M::Error> {
    let options = style.options;
    let has = |letter| options.fields.as_ref().is_some_and(|fields: &FieldOutput| fields.has(letter));
    if has(b'f') {
        match file.fd {
            Fd::Number(number) => map.serialize_entry("fd", &number.to_string())?,
            other => map.serialize_entry("fd", other.name().unwrap_or_default())?,
        }
    }
    for (letter, key, value) in [(b'a', "access", file.access), (b'l', "lock", file.lock)] {
        if has(letter) && value != b' ' {
            map.serialize_entry(key, &char::from(value))?;
        }
    }
    let kind = names::kind(file);
    if has(b't') && !kind.is_empty() {
        map.serialize_entry("type", &kind)?;
    }
    let device = names::device_text(file);
    if let Some(device) = device.as_deref().filter(|text| has(b'd') && !text.is_empty()) {
        map.serialize_entry("device", device)?;
    }
    for (letter, key, value) in
        [(b'D', "device_number", file.device.filter(|_| device.is_none())), (b'r', "raw_device", file.rdev)]
    {
        if let Some(value) = value.filter(|_| has(letter)) {
            map.serialize_entry(key, &format!("{value:#x}"))?;
        }
    }
    for (letter, key, value) in
        [(b's', "size", file.size), (b'o', "offset", file.offset), (b'i', "inode", names::inode(file))]
    {
        if let Some(value) = value.filter(|_| has(letter)) {
            map.serialize_entry(key, &value.to_string())?;
        }
    }
    if let Some(links) = file.links.filter(|_| has(b'k')) {
        map.serialize_entry("nlink", &links)?;
    }
    if let Some(protocol) = names::protocol(file).filter(|_| has(b'P')) {
        map.serialize_entry("protocol", &protocol)?;
    }
    let set = match (options.flags, file.flags) {
        (Some(FlagForm::Names), Some(set)) if has(b'G') => flags::names(set),
        (Some(FlagForm::Hex), Some(set)) if has(b'G') => flags::hex(set),
        _ => String::new(),
    };
    if !set.is_empty() {
        map.serialize_entry("flags", &set)?;
    }
    if has(b'n') {
        entry(map, "name", &names::true_name(file, style.names))?;
        if let Some(note) = &file.note {
            entry(map, "note", note)?;
        }
    }
    if has(b'T')
        && let Some(socket @ (ListedSocket::Internet { .. } | ListedSocket::Unix { .. })) =
            file.socket.as_deref()
    {
        map.serialize_entry("tcp_info", &TcpInfoView::of(socket, style))?;
    }
    Ok(())
}

/// State and queues of a socket; lsof has the object for every Internet and UNIX socket, if only an empty one.
#[derive(Clone, Debug, Serialize)]
struct TcpInfoView {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recv_queue: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_queue: Option<u64>,
}

impl TcpInfoView {
    fn of(socket: &ListedSocket, style: Style<'_>) -> Self {
        let wanted = style.options.tcp_info;
        let info = names::socket_info(socket);
        let state = match socket {
            ListedSocket::Internet { transport: Transport::Udp, state: ESTABLISHED, .. } => {
                tcp_state(ESTABLISHED).map(Cow::Borrowed)
            }
            _ => info.state,
        };
        let (receive, send) = info.queues.filter(|_| wanted.queues).unzip();
        Self { state: state.filter(|_| wanted.state), recv_queue: receive, send_queue: send }
    }
}
