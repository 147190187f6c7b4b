//! Everything a reader may know at one moment: screens, reports and exporters get this and nothing else.

use std::{sync::Arc, time::Duration};

use flowtally_common::Count;
use hashbrown::HashMap;

use super::{
    group::{GroupBy, GroupKey, OwnerKey},
    row::{Counting, Crossed, InterfaceId, RowKey, Traffic},
};
use crate::model::owner::{Attribution, Common};

/// The state of the ledger at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Measured time since the start.
    pub elapsed: Duration,
    /// Real length in seconds of what the last 2, 10 and 40 seconds cover: whole intervals, and no more of them
    /// than there have been. 0 before the first interval.
    pub window_seconds: [f64; 3],
    /// Every conversation, in no particular order.
    pub rows: Vec<(RowKey, Traffic)>,
    /// Whose each of `rows` is, in their order; empty where owners are no matter.
    pub owners: Vec<Arc<Attribution>>,
    /// Why less than all owners can be found, a sentence each.
    pub owners_degraded: Vec<String>,
    /// For each grouping the ledger was asked to keep, its groups, in no particular order.
    pub groups: Vec<(GroupBy, Vec<(GroupKey, Traffic)>)>,
    /// What the owners of each group by owner have in common.
    pub in_common: HashMap<OwnerKey, Common>,
    /// Everything: all rows and, unless a filter decides on flows, what went to `untracked`.
    pub total: Traffic,
    /// Highest rates of two-second slots within the last 40 seconds.
    pub recent_peak: RecentPeak,
    /// Which interfaces count a frame that crosses several, in rows, groups and totals.
    pub counting: Counting,
    /// What is counted on another interface.
    pub crossings: Crossings,
    /// Every interface that is or was attached.
    pub interfaces: Vec<InterfaceView>,
    /// Traffic that a net filter (`-F`, `-G`) left out of rows and totals: it does not cross the boundary.
    pub outside_boundary: Count,
    /// The capture filter (`-f`) that is in place, as it was written.
    pub filter: Option<String>,
    /// Whether it decides on packets, in the kernel, and not on flows.
    pub filter_by_packets: bool,
    /// Traffic that a capture filter left out of rows and totals.
    pub filtered_out: Count,
    /// Intervals that took more than half as long again as they should.
    pub late_ticks: u64,
}

/// Highest rates of two-second slots within the last 40 seconds, in bytes per second: what iftop calls peak.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RecentPeak {
    /// Sent.
    pub sent: u64,
    /// Received.
    pub received: u64,
    /// Both in the same slot.
    pub total: u64,
}

/// What crossed more than one interface, and is counted on one of them.
#[derive(Clone, Debug, Default)]
pub struct Crossings {
    /// Of what an interface counted, the part that is counted on another one; nothing for those without any.
    pub by_interface: Vec<Crossed>,
    /// By the place of a row in [`Snapshot::rows`], the other interfaces that its conversation crossed.
    pub by_row: HashMap<usize, Vec<Crossed>>,
    /// What passed this host and has been seen on one side only: if its addresses are translated, it is counted twice.
    pub one_sided: Count,
    /// What was counted on tunnels: it travels, with more around it, inside conversations of another interface.
    pub tunnelled: Vec<(InterfaceId, Count)>,
}

/// One interface.
#[derive(Clone, Debug)]
pub struct InterfaceView {
    /// What rows call it.
    pub id: InterfaceId,
    /// Its name now, or when it was last seen.
    pub name: String,
    /// Its index now, or when it was last seen.
    pub index: u32,
    /// The hooks that serve it (`tcx`, `clsact`, `xdp+tcx`...), or `none` while it is away.
    pub hook: String,
    /// Why a better hook does not serve it, and whatever else is less than it could be, a sentence each.
    pub degraded: Vec<String>,
    /// What it received.
    pub ingress: Reconciliation,
    /// What it sent.
    pub egress: Reconciliation,
}

/// What the programs counted on one direction of an interface beside what the kernel's own counters say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reconciliation {
    /// Everything the programs counted: rows, unparsed, untracked and filtered.
    pub counted: Count,
    /// What the interface's own counters went up by.
    pub kernel: Count,
    /// Counted, but in no row: the flow table was full.
    pub untracked: Count,
    /// Counted in rows of the kind `unparsed`.
    pub unparsed: Count,
    /// Counted, but in no row: a capture filter does not match.
    pub filtered: Count,
    /// What the correction for super-packets added to `counted`.
    pub gso_extra: Count,
    /// VLAN tags that were not in the frames' data: bytes of one tag for each frame or super-packet, and frames on the
    /// wire. What a super-packet's other frames repeat of its tag is in `gso_extra`.
    pub offloaded_tags: Count,
    /// What the interface's counters follow.
    pub follows: Follows,
    /// `kernel` less what `counted` is in the counters' own notion, in bytes.
    pub residue_bytes: i64,
    /// The same, in packets.
    pub residue_packets: i64,
}

/// Which notion of bytes and packets an interface's counters follow.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Follows {
    /// Frames as they are on the wire: hardware.
    #[default]
    Wire,
    /// Super-packets before they are cut up or after they are joined: virtual devices.
    SuperPackets,
    /// Frames without the VLAN tags that are not in their data.
    WithoutOffloadedTags,
    /// Super-packets without such tags.
    SuperPacketsWithoutOffloadedTags,
    /// Frames without a link-layer header: what a veth receives while it polls.
    WithoutHeader,
    /// Super-packets without a link-layer header: loopback, and what a veth receives while it polls.
    SuperPacketsWithoutHeader,
}
