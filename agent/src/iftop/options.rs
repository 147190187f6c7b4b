//! Everything a user can set, as plain data.

use super::number::Unit;
use crate::flow::boundary::{Ipv4Boundary, Ipv6Boundary};

/// Pairs that a text report lists unless told otherwise.
const NUM_LINES: usize = 10;

/// What is shown, and how. Keys change it while the program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is a switch of its own that a user sets")]
pub struct IftopOptions {
    /// Interface to count on; `None`: the program chooses.
    pub interface: Option<String>,
    /// Whether host names are looked up and shown.
    pub dns: bool,
    /// Whether services are named.
    pub port_resolution: bool,
    /// Capture filter.
    pub filter_code: Option<String>,
    /// Whether the screen has bars.
    pub show_bars: bool,
    /// Whether the interface is made promiscuous.
    pub promiscuous: bool,
    /// Whose ports are shown.
    pub port_display: PortDisplay,
    /// Whether IPv6 packets from or to link-local addresses count.
    pub link_local: bool,
    /// Whether the left ends of all pairs are one.
    pub hide_source: bool,
    /// Whether the right ends of all pairs are one.
    pub hide_destination: bool,
    /// Whether rates are in bytes instead of bits.
    pub use_bytes: bool,
    /// The order of pairs.
    pub sort: PairOrder,
    /// Whether pairs keep their places, and new ones are not listed.
    pub frozen: bool,
    /// How many lines the screen gives a pair.
    pub line_display: LineDisplay,
    /// Whether the screen has a column of totals.
    pub show_totals: bool,
    /// Whether bars are logarithmic.
    pub log_scale: bool,
    /// Right end of the bars' scale in bits per second; `None`: follows the traffic.
    pub max_bandwidth: Option<u64>,
    /// The IPv4 network whose boundary decides which packets count, and which way they go.
    pub net_filter: Option<Ipv4Boundary>,
    /// The same for IPv6.
    pub net_filter6: Option<Ipv6Boundary>,
    /// Regular expression that pairs on the screen must match.
    pub screen_filter: Option<String>,
    /// Whether output is text instead of a screen.
    pub text_mode: bool,
    /// Text mode: seconds after which the only report is printed; `None`: a report every two seconds.
    pub timed_output: Option<u64>,
    /// Text mode: pairs in a report.
    pub num_lines: usize,
    /// Whether the display stands still.
    pub paused: bool,
    /// Whether an end that is too long for iftop's columns is cut as iftop cuts it. Nobody sets it: it is so under iftop's name
    /// alone.
    pub cut_ends: bool,
}

impl Default for IftopOptions {
    fn default() -> Self {
        Self {
            interface: None,
            dns: true,
            port_resolution: true,
            filter_code: None,
            show_bars: true,
            promiscuous: false,
            port_display: PortDisplay::Off,
            link_local: false,
            hide_source: false,
            hide_destination: false,
            use_bytes: false,
            sort: PairOrder::TenSeconds,
            frozen: false,
            line_display: LineDisplay::TwoLine,
            show_totals: false,
            log_scale: false,
            max_bandwidth: None,
            net_filter: None,
            net_filter6: None,
            screen_filter: None,
            text_mode: false,
            timed_output: None,
            num_lines: NUM_LINES,
            paused: false,
            cut_ends: false,
        }
    }
}

impl IftopOptions {
    /// The unit of rates.
    #[must_use]
    pub const fn rate_unit(&self) -> Unit {
        if self.use_bytes { Unit::Bytes } else { Unit::Bits }
    }
}

/// Whose ports are shown. Source is the left end of a pair, destination the right.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PortDisplay {
    /// Nobody's; protocols are not told apart either.
    #[default]
    Off,
    /// Those of the source.
    Source,
    /// Those of the destination.
    Destination,
    /// Both.
    On,
}

impl PortDisplay {
    /// Whether the source's port is shown.
    #[must_use]
    pub const fn source(self) -> bool {
        matches!(self, Self::Source | Self::On)
    }

    /// Whether the destination's port is shown.
    #[must_use]
    pub const fn destination(self) -> bool {
        matches!(self, Self::Destination | Self::On)
    }

    /// The source's half turned over (key `S`).
    #[must_use]
    pub const fn toggle_source(self) -> Self {
        match self {
            Self::Off => Self::Source,
            Self::Source => Self::Off,
            Self::Destination => Self::On,
            Self::On => Self::Destination,
        }
    }

    /// The destination's half turned over (key `D`).
    #[must_use]
    pub const fn toggle_destination(self) -> Self {
        match self {
            Self::Off => Self::Destination,
            Self::Source => Self::On,
            Self::Destination => Self::Off,
            Self::On => Self::Source,
        }
    }

    /// Both on, or all off if any was on (key `p`).
    #[must_use]
    pub const fn toggle(self) -> Self {
        match self {
            Self::Off => Self::On,
            Self::Source | Self::Destination | Self::On => Self::Off,
        }
    }
}

/// The order of pairs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PairOrder {
    /// Most traffic in the last two seconds first.
    TwoSeconds,
    /// Most traffic in the last ten seconds first.
    #[default]
    TenSeconds,
    /// Most traffic in the last 40 seconds first.
    FortySeconds,
    /// By the text of the left host.
    Source,
    /// By the text of the right host.
    Destination,
}

/// How many lines the screen gives a pair.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LineDisplay {
    /// One for each direction.
    #[default]
    TwoLine,
    /// One with the sum of both.
    OneLineBoth,
    /// One with what was sent.
    OneLineSent,
    /// One with what was received.
    OneLineReceived,
}

#[cfg(test)]
mod tests {
    use super::{PortDisplay, PortDisplay::*};

    #[test]
    fn port_display_cycles() {
        let states = [Off, Source, Destination, On];
        assert_eq!(states.map(PortDisplay::toggle_source), [Source, Off, On, Destination]);
        assert_eq!(states.map(PortDisplay::toggle_destination), [Destination, On, Off, Source]);
        assert_eq!(states.map(PortDisplay::toggle), [On, Off, Off, Off]);
        assert_eq!(states.map(PortDisplay::source), [false, true, false, true]);
        assert_eq!(states.map(PortDisplay::destination), [false, false, true, true]);
    }
}
