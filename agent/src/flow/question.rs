//! What is asked of whoever finds owners.

use flowtally_common::SocketHint;

use super::row::RowKey;

/// A conversation whose owner is wanted.
#[derive(Clone, Copy, Debug)]
pub struct OwnerQuestion {
    /// The conversation.
    pub row: RowKey,
    /// The interface's index.
    pub ifindex: u32,
    /// Whether the local end is an address of this host.
    pub local_is_own: bool,
    /// What the kernel noted of its socket.
    pub socket: SocketHint,
    /// Whether anything was sent, and received.
    pub seen: [bool; 2],
}
