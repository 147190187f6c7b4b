//! What a ledger is told.

use super::{WireError, WireForm as _, WireReader, wire_enum, wire_struct};
use crate::flow::{attached::Attached, event::Event, topology::Link};

wire_struct!(Attached { name, index, layer, loopback, hook, degraded, counters });
wire_struct!(Link { index, kind, master, lower, loopback, uplink });
wire_enum!(Event {
    0 => Record { key: key, count: count, socket: socket },
    1 => Health { key: key, health: health },
    2 => Attach { 0: attached },
    3 => Rename { index: index, name: name },
    4 => Detach { index: index },
    5 => Counters { index: index, counters: counters },
    6 => Addresses { own: own, broadcasts: broadcasts },
    7 => Links { 0: links },
    8 => Filter { 0: filter },
    9 => Socket { row: row, socket: socket },
    10 => Answer { row: row, attribution: attribution },
    11 => Close { end: end, is_last: is_last },
    12 => Row { row: row, owner: owner, counts: counts },
    13 => Logged { index: index, amounts: amounts },
    14 => Late { 0: late },
});

impl Event {
    /// Appends it as bytes.
    pub fn write(&self, to: &mut Vec<u8>) {
        self.put(to);
    }

    /// Reads one; `None` where there is nothing left.
    ///
    /// # Errors
    /// When the bytes are no event.
    pub fn read(from: &mut WireReader<'_>) -> Result<Option<Self>, WireError> {
        if from.is_at_end() { Ok(None) } else { Self::take(from).map(Some) }
    }
}
