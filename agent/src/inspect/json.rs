//! The page as one JSON document, as docs/inspect.schema.json has it.

use std::{
    collections::BTreeMap,
    io::{self, Write},
    net::{IpAddr, SocketAddr},
};

use serde::Serialize;

use super::{Amount, Page, Portrait, SocketLine, matched::Stray, text::per_second};
use crate::{
    files::{Name, ProcessView},
    flow::owner::Reason,
    report::rfc3339,
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
    netns: Option<String>,
    arguments: &'a [String],
    parents: Vec<ParentView<'a>>,
}

#[derive(Serialize)]
struct ParentView<'a> {
    pid: u32,
    command: &'a str,
}

#[derive(Serialize)]
struct FilesView<'a> {
    open: usize,
    by_type: BTreeMap<&'a str, usize>,
    logs: Vec<LogView>,
    deleted: Vec<DeletedView>,
}

#[derive(Serialize)]
struct LogView {
    fd: u32,
    path: String,
    size_bytes: u64,
}

#[derive(Serialize)]
struct DeletedView {
    fd: String,
    path: String,
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
    netns: String,
    netns_measured: bool,
    fds: Vec<u32>,
    also_open_in: Vec<u32>,
    owner_reason: Option<&'static str>,
    #[serde(flatten)]
    amount: AmountView,
    peers: Vec<PeerView>,
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
    serde_json::to_writer(&mut *out, &document)?;
    writeln!(out)
}

fn process(portrait: &Portrait) -> PortraitView<'_> {
    PortraitView {
        process: ProcessView::new(&portrait.owner),
        netns: portrait.owner.netns.as_ref().map(ToString::to_string),
        arguments: &portrait.arguments,
        parents: portrait
            .parents
            .iter()
            .map(|parent| ParentView { pid: parent.pid, command: &parent.command })
            .collect(),
    }
}

fn files(portrait: &Portrait) -> Option<FilesView<'_>> {
    let files = portrait.files.as_ref()?;
    let log =
        |log: &super::LogFile| LogView { fd: log.fd, path: Name(&log.path).verbatim(), size_bytes: log.size };
    let deleted = |file: &super::DeletedFile| DeletedView {
        fd: file.fd.clone(),
        path: Name(&file.path).verbatim(),
        storage: if file.in_memory { "memory" } else { "disk" },
        held_bytes: file.held,
    };
    Some(FilesView {
        open: files.open(),
        by_type: files.counts.iter().copied().collect(),
        logs: files.logs.iter().map(log).collect(),
        deleted: files.deleted.iter().map(deleted).collect(),
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
        netns: socket.netns.to_string(),
        netns_measured: socket.is_here,
        fds: line.descriptors().collect(),
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
