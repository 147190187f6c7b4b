//! Where filters run, and how they read frames.

/// Where a filter sees frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FilterHook {
    /// TC or TCX, as they come in.
    Received,
    /// TC or TCX, as they go out.
    Sent,
    /// XDP, as they come in.
    Xdp,
}

/// How a filter reads a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum PacketAccess {
    /// Where it lies, and by asking the kernel for what lies elsewhere.
    Direct,
    /// Where it lies alone: for XDP before Linux 5.18, where a frame is in one piece.
    InOnePiece,
    /// By asking the kernel alone.
    Asking,
}

impl PacketAccess {
    pub(super) fn is_direct(self) -> bool {
        self != Self::Asking
    }

    pub(super) fn has_helper(self) -> bool {
        self != Self::InOnePiece
    }
}
