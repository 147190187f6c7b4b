//! What one interval brought, as soon as it is closed: for logs, exporters and detectors, which add intervals up in their own way.
//!
//! A [`Snapshot`](super::snapshot::Snapshot) is what there has been since the start, with every row; this is what came, without copying
//! what nobody reads. In every interval, for each interface, in bytes and in packets:
//!
//! `counted = rows + untracked + repeated + left out`, where rows of what could not be parsed are among the rows.
//! [`IntervalView`](super::ledger::IntervalView) is where they are read.

use std::sync::Arc;

use flowtally_common::Count;

use super::{row::RowKey, snapshot::InterfaceView};
use crate::model::owner::Attribution;

/// What the interval brought one row.
#[derive(Clone, Copy, Debug)]
pub struct RowInterval<'a> {
    /// Which conversation, on which interface.
    pub key: &'a RowKey,
    /// Whose it is.
    pub owner: &'a Arc<Attribution>,
    /// What was sent and received, as far as it counts on this interface: [`Counting::Once`](super::row::Counting::Once).
    pub counts: [Count; 2],
}

/// What the interval brought one interface.
#[derive(Clone, Debug)]
pub struct InterfaceInterval {
    /// The interface as it stands at the end of the interval, with what there has been since the start.
    pub view: InterfaceView,
    /// Everything that was counted, by [`Direction`](flowtally_common::Direction): rows, unparsed, untracked and filtered.
    pub counted: [Count; 2],
    /// What its own counters went up by, by direction: what they said since they were last read, 0 where they were not read.
    pub kernel: [Count; 2],
    /// Counted, but in no row, both directions.
    pub untracked: Count,
    /// Counted in rows of other interfaces, which the same frames crossed, both directions.
    pub repeated: Difference,
    /// What a capture filter or a net boundary left out of the rows, both directions.
    pub left_out: Count,
    /// What of that a capture filter left out, by direction.
    pub filtered: [Count; 2],
}

/// An amount that may be below 0: what was taken for a repetition when an interval was closed may count in the next one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Difference {
    /// Bytes.
    pub bytes: i64,
    /// Packets.
    pub packets: i64,
}

impl Difference {
    /// A difference that is known modulo 2^64.
    pub(super) const fn from_wrapped(count: Count) -> Self {
        Self { bytes: count.bytes.cast_signed(), packets: count.packets.cast_signed() }
    }
}
