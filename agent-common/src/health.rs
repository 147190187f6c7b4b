//! Amounts that are kept per interface and direction, beside the flows.

use core::mem::size_of;

/// Bytes and packets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Count {
    /// Layer-2 frame bytes.
    pub bytes: u64,
    /// Frames on the wire.
    pub packets: u64,
}

impl Count {
    /// Adds `other`; at the end of the 64-bit range it stays there.
    pub const fn add(&mut self, other: Self) {
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.packets = self.packets.saturating_add(other.packets);
    }

    /// Whether nothing was counted.
    #[must_use]
    pub const fn is_zero(&self) -> bool {
        self.bytes == 0 && self.packets == 0
    }
}

/// Whose [`Health`] it is, and in which bank.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[repr(C)]
pub struct HealthKey {
    /// The interface's index.
    pub ifindex: u32,
    /// A [`Direction`](crate::Direction).
    pub direction: u8,
    /// The interval's bank: its epoch's lowest bit.
    pub bank: u8,
    /// Always 0.
    pub padding: [u8; 2],
}

/// What the flows do not say about an interface's traffic in one interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct Health {
    /// Frames whose flow found no room in either level: in no row, but in every total.
    pub untracked: Count,
    /// What the correction for GSO and GRO super-packets added to the flows: the headers that the
    /// super-packet shows once and the wire repeats, and the packets beyond the first.
    pub gso_extra: Count,
    /// Frames on the wire whose outermost VLAN tag was offloaded (not in the frame's data), and the bytes of one such tag
    /// for each frame or super-packet; what a super-packet's further frames repeat of it is in `gso_extra`.
    pub offloaded_tags: Count,
    /// Frames on the wire that a filter did not match: in no row and in no total.
    pub filtered: Count,
}

impl Health {
    /// Adds `other`, field by field.
    pub const fn add(&mut self, other: &Self) {
        self.untracked.add(other.untracked);
        self.gso_extra.add(other.gso_extra);
        self.offloaded_tags.add(other.offloaded_tags);
        self.filtered.add(other.filtered);
    }
}

const _: () = assert!(size_of::<HealthKey>() == 8 && size_of::<Health>() == 64);
