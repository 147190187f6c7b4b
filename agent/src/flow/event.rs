//! All that a ledger is told: the same events make the same books, whether they come from the kernel at this moment, from another
//! process or from a recording.
//!
//! [`Ledger::apply`](super::ledger::Ledger::apply) takes them in the order in which they happened.

use std::{
    net::{IpAddr, Ipv4Addr},
    sync::Arc,
    time::Duration,
};

use flowtally_common::{Count, FlowKey, Health, HealthKey, SocketHint};

use super::{attached::Attached, logged::LoggedAmounts, row::RowKey, topology::Link};
use crate::{filter::Filter, model::owner::Attribution};

/// Something that a ledger is told.
#[derive(Clone, Debug)]
pub enum Event {
    /// What the kernel counted of a flow in the open interval.
    Record {
        /// Which flow, one way.
        key: FlowKey,
        /// How much.
        count: Count,
        /// The socket that it was seen with.
        socket: SocketHint,
    },
    /// What the kernel kept of an interface beside its flows in the open interval.
    Health {
        /// Which interface and direction.
        key: HealthKey,
        /// What.
        health: Health,
    },
    /// An interface is counted on from now on: it is new, or back again.
    Attach(Box<Attached>),
    /// An interface has another name now.
    Rename {
        /// Its index.
        index: u32,
        /// Its new name.
        name: String,
    },
    /// An interface is gone.
    Detach {
        /// Its index.
        index: u32,
    },
    /// An interface's own counters.
    Counters {
        /// Its index.
        index: u32,
        /// Since it came up, by [`Direction`](flowtally_common::Direction).
        counters: [Count; 2],
    },
    /// Addresses of the host now, and the broadcast addresses of the networks that it is in.
    Addresses {
        /// Of every interface.
        own: Vec<IpAddr>,
        /// Of every network.
        broadcasts: Vec<Ipv4Addr>,
    },
    /// How the interfaces lie upon each other now.
    Links(Vec<Link>),
    /// The capture filter from now on.
    Filter(Option<Box<Filter>>),
    /// Of the sockets that a row was seen with in the open interval, this one is its own.
    Socket {
        /// Which row.
        row: RowKey,
        /// Which socket.
        socket: SocketHint,
    },
    /// A row is found to be somebody's.
    Answer {
        /// Which row.
        row: RowKey,
        /// Whose.
        attribution: Arc<Attribution>,
    },
    /// What a log has of a row in the open interval. Its ends are placed and its owner is known, and it counts whatever filter there is.
    Row {
        /// Which row.
        row: RowKey,
        /// Whose.
        owner: Arc<Attribution>,
        /// Sent and received.
        counts: [Count; 2],
    },
    /// What a log has of an interface in the open interval, beside its rows.
    Logged {
        /// Its index.
        index: u32,
        /// What.
        amounts: Box<LoggedAmounts>,
    },
    /// So many ticks of the open interval came late, as a log has it.
    Late(u64),
    /// The open interval is over.
    Close {
        /// When, since the start.
        end: Duration,
        /// Whether there is none after it: nothing is awaited any more.
        is_last: bool,
    },
}
