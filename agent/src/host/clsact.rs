//! Filters of the clsact qdisc that a killed process left behind.
//!
//! A TCX or XDP link goes with the process that made it; a clsact filter stays. So that the next start can tell what was
//! left behind from what another running flowtally uses, every process that attaches filters holds an abstract UNIX
//! socket named after their handle: the name is free again when the process is gone, however it went, and it belongs to the
//! same network namespace as the filters.

use std::{
    io,
    os::{
        linux::net::SocketAddrExt,
        unix::net::{SocketAddr, UnixListener},
    },
};

use flowtally_common::{
    Direction, settings,
    settings::{Layer, MADE_QDISC},
};
use futures_util::{StreamExt, TryStreamExt};
use netlink_packet_route::{
    RouteNetlinkMessage,
    tc::{TcAttribute, TcFilterBpfOption, TcHandle, TcMessage, TcOption},
};
use rtnetlink::packet_core::{NLM_F_ACK, NLM_F_REQUEST, NetlinkMessage, NetlinkPayload};

use super::interfaces::Netlink;

/// Identity of this process's filters, held for as long as the value lives.
#[derive(Debug)]
pub struct ClsactMark {
    handle: u32,
    _name: UnixListener,
}

impl ClsactMark {
    /// Takes a mark that no running process has.
    ///
    /// # Errors
    /// When no name can be bound.
    pub fn take() -> io::Result<Self> {
        let mut last = io::Error::from(io::ErrorKind::AddrInUse);
        for attempt in 0..MARKS {
            // Even, for the lowest bit says who made the qdisc; never 0, which asks the kernel to choose.
            let handle = (std::process::id() % MARKS + attempt + 1) << 1;
            match bind(handle) {
                Ok(name) => return Ok(Self { handle, _name: name }),
                Err(error) => last = error,
            }
        }
        Err(last)
    }

    /// The handle that the filters get, but for its lowest bit.
    #[must_use]
    pub const fn handle(&self) -> u32 {
        self.handle
    }
}

/// How many marks there are: more than processes (`kernel.pid_max` is 2^22 at most).
const MARKS: u32 = 1 << 22;

fn bind(handle: u32) -> io::Result<UnixListener> {
    let name = format!("flowtally/clsact/{:x}", handle & !MADE_QDISC);
    UnixListener::bind_addr(&SocketAddr::from_abstract_name(name)?)
}

/// Removes what killed processes left on an interface; returns how many filters that were. Filters of others, and of
/// processes that live, stay; so does the qdisc unless it was made for a filter of ours and holds no other now.
///
/// # Errors
/// When the kernel refuses a removal.
pub async fn remove_stale(netlink: &Netlink, ifindex: u32) -> io::Result<usize> {
    let Ok(ifindex) = i32::try_from(ifindex) else { return Ok(0) };
    let mut removed = 0;
    let mut made_here = false;
    for direction in Direction::BOTH {
        for filter in filters(netlink, ifindex, direction).await? {
            let handle = u32::from(filter.header.handle);
            if is_ours(&filter) && bind(handle).is_ok() {
                made_here |= handle & MADE_QDISC != 0;
                delete(netlink, filter.header).await?;
                removed += 1;
            }
        }
    }
    if made_here {
        remove_qdisc_if_empty(netlink, ifindex.unsigned_abs()).await?;
    }
    Ok(removed)
}

/// Removes an interface's clsact qdisc when no filter is left in it.
///
/// # Errors
/// When the kernel refuses.
pub async fn remove_qdisc_if_empty(netlink: &Netlink, ifindex: u32) -> io::Result<()> {
    let Ok(ifindex) = i32::try_from(ifindex) else { return Ok(()) };
    for direction in Direction::BOTH {
        if !filters(netlink, ifindex, direction).await?.is_empty() {
            return Ok(());
        }
    }
    let mut request = netlink.handle().qdisc().del(ifindex);
    request.message_mut().header.parent = TcHandle { major: 0xffff, minor: 0xfff1 };
    request.message_mut().header.handle = TcHandle { major: 0xffff, minor: 0 };
    request.execute().await.map_err(io::Error::other)
}

/// A filter of the clsact qdisc, whoever put it there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClsactFilter {
    /// The way that it looks at.
    pub direction: Direction,
    /// The number that the kernel gave its BPF program.
    pub program: Option<u32>,
    /// The program's name, or which kind of filter it is.
    pub name: String,
    /// Whether it is flowtally's.
    pub ours: bool,
}

/// Every filter of an interface's clsact qdisc.
///
/// # Errors
/// When the kernel refuses to list them.
pub async fn all(netlink: &Netlink, ifindex: u32) -> io::Result<Vec<ClsactFilter>> {
    let Ok(ifindex) = i32::try_from(ifindex) else { return Ok(Vec::new()) };
    let mut all = Vec::new();
    for direction in Direction::BOTH {
        all.extend(
            filters(netlink, ifindex, direction).await?.iter().map(|filter| described(filter, direction)),
        );
    }
    Ok(all)
}

fn described(filter: &TcMessage, direction: Direction) -> ClsactFilter {
    let (mut kind, mut name, mut program) = (String::new(), None, None);
    for attribute in &filter.attributes {
        match attribute {
            TcAttribute::Kind(value) => kind.clone_from(value),
            TcAttribute::Options(options) => {
                for option in options {
                    match option {
                        TcOption::Bpf(TcFilterBpfOption::ProgName(value)) => name = Some(value.clone()),
                        TcOption::Bpf(TcFilterBpfOption::ProgId(value)) => program = Some(*value),
                        _ => {}
                    }
                }
            }
            _ => {}
        }
    }
    ClsactFilter { direction, program, name: name.unwrap_or(kind), ours: is_ours(filter) }
}

async fn filters(netlink: &Netlink, ifindex: i32, direction: Direction) -> io::Result<Vec<TcMessage>> {
    let handle = netlink.handle();
    let mut filters = handle.traffic_filter(ifindex);
    let request = match direction {
        Direction::Ingress => filters.get().ingress(),
        Direction::Egress => filters.get().egress(),
    };
    match request.execute().try_collect::<Vec<_>>().await {
        // A dump lists a filter's priority too, as an entry without a handle.
        Ok(filters) => {
            Ok(filters.into_iter().filter(|filter| u32::from(filter.header.handle) != 0).collect())
        }
        // No such qdisc.
        Err(rtnetlink::Error::NetlinkError(error)) if matches!(error.raw_code(), EINVAL | ENOENT) => {
            Ok(Vec::new())
        }
        Err(error) => Err(io::Error::other(error)),
    }
}

const EINVAL: i32 = -libc::EINVAL;
const ENOENT: i32 = -libc::ENOENT;

fn is_ours(filter: &TcMessage) -> bool {
    filter.attributes.iter().any(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().any(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgName(name)) => {
                Direction::BOTH.into_iter().any(|direction| {
                    [Layer::Ethernet, Layer::Ip]
                        .into_iter()
                        .any(|layer| settings::tc_program(direction, layer) == name)
                })
            }
            _ => false,
        }),
        _ => false,
    })
}

async fn delete(netlink: &Netlink, header: netlink_packet_route::tc::TcHeader) -> io::Result<()> {
    let mut message = TcMessage::with_index(header.index);
    message.header = header;
    message.attributes.push(TcAttribute::Kind("bpf".to_owned()));
    let mut request = NetlinkMessage::from(RouteNetlinkMessage::DelTrafficFilter(message));
    request.header.flags = NLM_F_REQUEST | NLM_F_ACK;
    let mut response = netlink.handle().request(request).map_err(io::Error::other)?;
    while let Some(message) = response.next().await {
        if let NetlinkPayload::Error(error) = message.payload
            && error.raw_code() != 0
        {
            return Err(error.to_io());
        }
    }
    Ok(())
}
