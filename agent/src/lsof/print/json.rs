//! `-J`, `-j`: the same fields as JSON, in the order of the fields.

use std::{
    borrow::Cow,
    io::{self, Write},
};

use serde::Serialize;

use super::{Style, flags, names};
use crate::lsof::{
    arguments::{Fields, FlagForm, Json},
    model::{Fd, File, Process},
};

/// The version of lsof whose form this is.
const VERSION: &str = "4.99.7";

/// What a process is.
#[derive(Clone, Debug, Serialize)]
struct About<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    pid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    task_command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pgid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ppid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    command: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    uid: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    login: Option<String>,
}

/// What a file is. Numbers that may be beyond what JSON's readers hold are strings.
#[derive(Clone, Debug, Serialize)]
struct FileFields<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    fd: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    access: Option<char>,
    #[serde(skip_serializing_if = "Option::is_none")]
    lock: Option<char>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    kind: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    raw_device_number: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    inode: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    nlink: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    protocol: Option<Cow<'a, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    flags: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tcp_info: Option<TcpFields>,
}

#[derive(Clone, Debug, Serialize)]
struct TcpFields {
    #[serde(skip_serializing_if = "Option::is_none")]
    state: Option<Cow<'static, str>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    recv_queue: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    send_queue: Option<String>,
}

#[derive(Serialize)]
struct WithFiles<'a> {
    #[serde(flatten)]
    about: &'a About<'a>,
    files: Vec<FileFields<'a>>,
}

#[derive(Serialize)]
struct Row<'a> {
    #[serde(flatten)]
    about: &'a About<'a>,
    #[serde(flatten)]
    file: FileFields<'a>,
}

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
                let files = process.files.iter().map(|it| file(it, style)).collect::<io::Result<_>>()?;
                serde_json::to_writer(&mut *out, &WithFiles { about: &about(process, style), files })?;
            }
            out.write_all(b"]}\n")
        }
        Json::Lines => {
            for process in listed {
                let about = about(process, style);
                for it in &process.files {
                    serde_json::to_writer(&mut *out, &Row { about: &about, file: file(it, style)? })?;
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

fn about<'a>(process: &'a Process, style: Style<'_>) -> About<'a> {
    let has = |letter| has(style.options.fields.as_ref(), letter);
    let login = has(b'L') && !style.options.numeric_users;
    About {
        pid: has(b'p').then_some(process.pid),
        tid: process.tid.filter(|_| has(b'K')),
        task_command: process
            .tid
            .filter(|_| has(b'M'))
            .map(|_| String::from_utf8_lossy(&process.task_command)),
        pgid: has(b'g').then_some(process.group),
        ppid: has(b'R').then_some(process.parent),
        command: has(b'c').then(|| String::from_utf8_lossy(&process.command)),
        uid: has(b'u').then_some(process.uid),
        login: if login { style.logins.login(process.uid) } else { None },
    }
}

fn file<'a>(file: &'a File, style: Style<'_>) -> io::Result<FileFields<'a>> {
    let options = style.options;
    let has = |letter| has(options.fields.as_ref(), letter);
    let fd = || match file.fd {
        Fd::Number(number) => number.to_string(),
        other => other.name().unwrap_or_default().to_owned(),
    };
    let known = |byte: u8| (byte != b' ').then(|| char::from(byte));
    let hex = |device: u64| format!("{device:#x}");
    let text = names::device_text(file);
    let size = |size: u64| if options.human { names::human(size) } else { size.to_string() };
    let set = file.flags.filter(|_| has(b'G')).map(|set| match options.flags {
        Some(FlagForm::Hex) => flags::hex(set),
        _ => flags::names(set),
    });
    let name = if has(b'n') {
        let mut name = Vec::new();
        names::name(file, style.names, style.charset, &mut name)?;
        Some(String::from_utf8_lossy(&name).into_owned())
    } else {
        None
    };
    let info = names::socket_info(file);
    let wanted = options.tcp_info;
    let queues = info.queues.filter(|_| wanted.queues);
    let tcp = TcpFields {
        state: info.state.filter(|_| wanted.state),
        recv_queue: queues.map(|(receive, _)| receive.to_string()),
        send_queue: queues.map(|(_, send)| send.to_string()),
    };
    let said = tcp.state.is_some() || tcp.recv_queue.is_some();
    Ok(FileFields {
        fd: has(b'f').then(fd),
        access: known(file.access).filter(|_| has(b'a')),
        lock: known(file.lock).filter(|_| has(b'l')),
        kind: Some(names::kind(file)).filter(|kind| has(b't') && !kind.is_empty()),
        device_number: file.device.filter(|_| text.is_none() && has(b'D')).map(hex),
        device: text.filter(|text| has(b'd') && !text.is_empty()),
        raw_device_number: file.rdev.filter(|_| has(b'r')).map(hex),
        size: file.size.filter(|_| has(b's')).map(size),
        offset: file.offset.filter(|_| has(b'o')).map(|offset| offset.to_string()),
        inode: names::inode(file).filter(|_| has(b'i')).map(|inode| inode.to_string()),
        nlink: file.links.filter(|_| has(b'k')),
        protocol: names::protocol(file).filter(|_| has(b'P')),
        flags: set.filter(|set| !set.is_empty()),
        name,
        tcp_info: Some(tcp).filter(|_| said && has(b'T')),
    })
}
