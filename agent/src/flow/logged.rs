//! What a log has of an interface beside its rows.

use flowtally_common::Count;

use super::wire::wire_struct;

/// What an interval brought an interface. What is by direction is so by [`Direction`](flowtally_common::Direction).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LoggedAmounts {
    /// Everything that was counted, by direction.
    pub counted: [Count; 2],
    /// Of that, what is in no row because the flow tables were full, by direction.
    pub untracked: [Count; 2],
    /// Of that, what could not be parsed, by direction.
    pub unparsed: [Count; 2],
    /// Of that, what a filter or a net boundary left out of the rows.
    pub left_out: Count,
    /// What of that a filter left out, by direction.
    pub filtered: [Count; 2],
    /// By how much the interface's own counters went up beyond what explains them, in bytes and packets.
    pub residue: [i64; 2],
    /// What belongs to rows that the log does not have, sent and received.
    pub rest: [Count; 2],
}

wire_struct!(LoggedAmounts { counted, untracked, unparsed, left_out, filtered, residue, rest });
