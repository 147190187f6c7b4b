//! The page as one JSON document, as docs/inspect.schema.json has it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use super::{BytesBothWays, InspectPage, SocketLine, matched::Stray, page, text::per_second};
use crate::{
    files::ProcessView,
    format::{
        Name,
        json::{Named, NamedList, NamedOrNull, to_writer},
        moment::rfc3339,
    },
    model::{
        owner::{Netns, Reason},
        portrait::Portrait,
    },
};

/// Which document this is, and the version of its fields: a field that goes or changes its meaning is a new version.
const SCHEMA: &str = "flowtally.inspect/1";

#[derive(Serialize)]
struct InspectDocument<'a> {
    schema: &'static str,
    target: String,
    started: String,
    seconds: Option<f64>,
    interfaces: &'a [String],
    owners: Vec<OwnerView<'a>>,
    unowned: Vec<SocketView>,
    traffic_without_socket: Vec<StrayView<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct OwnerView<'a> {
    pid: u32,
    process: Option<PortraitView<'a>>,
    sockets: Vec<SocketView>,
    files: Option<FilesView<'a>>,
}

#[derive(Serialize)]
struct PortraitView<'a> {
    #[serde(flatten)]
    process: ProcessView<'a>,
    #[serde(flatten)]
    netns: NamedOrNull<Name>,
    #[serde(flatten)]
    arguments: NamedList<'a, Name>,
    parents: Vec<ParentView<'a>>,
}

#[derive(Serialize)]
struct ParentView<'a> {
    pid: u32,
    #[serde(flatten)]
    command: Named<'a>,
}

#[derive(Serialize)]
struct FilesView<'a> {
    open: usize,
    by_type: BTreeMap<&'a str, usize>,
    logs: Vec<OpenLogView<'a>>,
    deleted: Vec<DeletedView>,
}

#[derive(Serialize)]
struct OpenLogView<'a> {
    fd: u32,
    #[serde(flatten)]
    path: Named<'a>,
    size_bytes: u64,
}

#[derive(Serialize)]
struct DeletedView {
    fd: String,
    #[serde(flatten)]
    path: NamedOrNull<Vec<u8>>,
    storage: &'static str,
    held_bytes: Option<u64>,
}

/// What went each way; rates without a measurement are null.
#[derive(Serialize)]
struct AmountView {
    sent_bytes: u64,
    received_bytes: u64,
    sent_bps: Option<f64>,
    received_bps: Option<f64>,
}

#[derive(Serialize)]
struct SocketView {
    protocol: String,
    state: &'static str,
    local_address: IpAddr,
    local_port: u16,
    remote_address: Option<IpAddr>,
    remote_port: Option<u16>,
    #[serde(flatten)]
    netns: NamedOrNull<Name>,
    netns_measured: bool,
    fds: Vec<u32>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    threads: Vec<ThreadView>,
    also_open_in: Vec<u32>,
    owner_reason: Option<&'static str>,
    #[serde(flatten)]
    amount: AmountView,
    peers: Vec<PeerView>,
}

/// Where a descriptor is that is not in the first thread's table.
#[derive(Serialize)]
struct ThreadView {
    fd: u32,
    thread: u32,
}

#[derive(Serialize)]
struct PeerView {
    address: IpAddr,
    port: u16,
    #[serde(flatten)]
    amount: AmountView,
}

#[derive(Serialize)]
struct StrayView<'a> {
    protocol: String,
    local_address: IpAddr,
    local_port: u16,
    remote_address: IpAddr,
    remote_port: u16,
    owners: Vec<ProcessView<'a>>,
    owner_reason: &'static str,
    #[serde(flatten)]
    amount: AmountView,
}

/// Writes the document and a line feed.
pub(super) fn write(out: &mut impl Write, page: &InspectPage<'_>) -> io::Result<()> {
    let view = |lines: &[SocketLine]| lines.iter().map(|line| socket(page, line)).collect();
    let document = InspectDocument {
        schema: SCHEMA,
        target: page.target.to_string(),
        started: rfc3339(page.started),
        seconds: page.seconds,
        interfaces: &page.interfaces,
        owners: page
            .matched
            .owned
            .iter()
            .map(|(pid, lines)| {
                let portrait = page.portraits.get(pid);
                OwnerView {
                    pid: *pid,
                    process: portrait.map(process),
                    sockets: view(lines),
                    files: portrait.and_then(files),
                }
            })
            .collect(),
        unowned: view(&page.matched.unowned),
        traffic_without_socket: page.matched.strays.iter().map(|found| stray(page, found)).collect(),
        notes: &page.notes,
    };
    to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn process(portrait: &Portrait) -> PortraitView<'_> {
    PortraitView {
        process: ProcessView::new(&portrait.owner),
        netns: NamedOrNull("netns", portrait.owner.netns.as_ref().map(Netns::title)),
        arguments: NamedList("arguments", &portrait.arguments),
        parents: portrait
            .parents
            .iter()
            .map(|parent| ParentView {
                pid: parent.pid,
                command: Named("command", parent.command.as_bytes()),
            })
            .collect(),
    }
}

fn files(portrait: &Portrait) -> Option<FilesView<'_>> {
    let files = portrait.files.as_ref()?;
    Some(FilesView {
        open: files.open(),
        by_type: files.counts.iter().copied().collect(),
        logs: files
            .logs
            .iter()
            .map(|log| OpenLogView { fd: log.fd, path: Named("path", &log.path), size_bytes: log.size })
            .collect(),
        deleted: page::deleted(files)
            .into_iter()
            .map(|file| DeletedView {
                fd: file.fd,
                path: NamedOrNull("path", Some(file.path)),
                storage: if file.in_memory { "memory" } else { "disk" },
                held_bytes: file.held,
            })
            .collect(),
    })
}

fn amount(page: &InspectPage<'_>, amount: BytesBothWays) -> AmountView {
    const BITS: f64 = 8.0;
    let rates = page.seconds.map(|seconds| per_second(amount, seconds).map(|bytes| bytes * BITS));
    AmountView {
        sent_bytes: amount.sent,
        received_bytes: amount.received,
        sent_bps: rates.map(|[sent, _]| sent),
        received_bps: rates.map(|[_, received]| received),
    }
}

fn socket(page: &InspectPage<'_>, line: &SocketLine) -> SocketView {
    let socket = &line.socket;
    SocketView {
        protocol: socket.protocol.clone(),
        state: socket.state,
        local_address: socket.local.ip(),
        local_port: socket.local.port(),
        remote_address: socket.remote.map(|end| end.ip()),
        remote_port: socket.remote.map(|end| end.port()),
        netns: NamedOrNull("netns", Some(socket.netns.title())),
        netns_measured: socket.is_here,
        fds: line.descriptors().map(|(fd, _)| fd).collect(),
        threads: line
            .descriptors()
            .filter_map(|(fd, thread)| Some(ThreadView { fd, thread: thread? }))
            .collect(),
        also_open_in: line.others().collect(),
        owner_reason: socket.holders.is_empty().then(|| socket.nobody.code()),
        amount: amount(page, line.amount),
        peers: line
            .peers
            .iter()
            .map(|peer| PeerView {
                address: peer.end.ip(),
                port: peer.end.port(),
                amount: amount(page, peer.amount),
            })
            .collect(),
    }
}

fn stray<'a>(page: &InspectPage<'_>, stray: &'a Stray) -> StrayView<'a> {
    let ends = |end: SocketAddr| (end.ip(), end.port());
    let ((local_address, local_port), (remote_address, remote_port)) =
        (ends(stray.local), ends(stray.remote));
    let attribution = stray.attribution.as_deref();
    StrayView {
        protocol: stray.kind.to_string(),
        local_address,
        local_port,
        remote_address,
        remote_port,
        owners: attribution
            .map(|found| found.owners.iter().map(ProcessView::new).collect())
            .unwrap_or_default(),
        owner_reason: attribution.map_or(Reason::NotLooked, |found| found.reason).code(),
        amount: amount(page, stray.amount),
    }
}
