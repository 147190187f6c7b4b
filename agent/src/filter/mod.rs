//! Capture filters: `-f`, the key `f` and the directive `filter-code`, in the language of pcap-filter(7) as far as the
//! fields of a flow can answer it. Pure: no input or output, no clock, and matching cannot fail.
//!
//! Differences from libpcap, all on purpose (the table of docs/filters.md has every one, and `tests/filters` holds both to it):
//! - A VLAN tag hides nothing: `port 80` matches inside a VLAN too, and `vlan 7` is a test like any other, of the
//!   innermost tag, that changes nothing about the rest of the expression.
//! - An extension header hides nothing: `tcp` and `proto 6` match what an IPv6 packet carries after all of them.
//! - `host` and `net` look at IP packets, not into ARP.
//! - `port` also knows UDP-Lite and DCCP. A later fragment has no ports here as there.
//! - `multicast` and `broadcast` are those of IP, whatever the link layer does.
//! - What a flow does not keep (link-layer addresses, lengths and contents of single packets) is refused in words.

mod error;
mod mark;
mod matching;
mod names;
mod parse;
mod token;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
    ops::RangeInclusive,
    sync::Arc,
};

use flowtally_common::Direction;

pub use error::{FilterError, FilterProblem};
pub use mark::{MarkedError, column_of};
pub use names::Dictionary;

use crate::translate::FrameJudge;

/// Which traffic counts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filter {
    text: String,
    judge: Judge,
    /// Why packets are not judged.
    because: Option<String>,
}

/// What decides.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Judge {
    /// The fields of flows, after they were counted.
    Flows(Expression),
    /// The kernel, packet by packet, before they are counted: what is asked here has matched. `None` where somebody else has told the
    /// kernel.
    Packets(Option<Arc<FrameJudge>>),
}

impl Filter {
    /// Reads an expression; a blank one is no filter. Names of hosts, services and protocols are those of `names`.
    ///
    /// # Errors
    /// What is no expression of the language, or asks for what a flow does not keep.
    pub fn parse(text: &str, names: &Dictionary) -> Result<Option<Self>, FilterError> {
        let expression = parse::parse(text, names)?;
        Ok(expression.map(|expression| Self {
            text: text.trim().to_owned(),
            judge: Judge::Flows(expression),
            because: None,
        }))
    }

    /// The same with the reason why flows are judged and not packets.
    #[must_use]
    pub fn because(self, reason: String) -> Self {
        Self { because: Some(reason), ..self }
    }

    /// Why flows are judged and not packets, where there was a choice.
    #[must_use]
    pub fn why_by_flows(&self) -> Option<&str> {
        self.because.as_deref()
    }

    /// A filter that the kernel decides on, packet by packet. Without a judge it is somebody else's.
    #[must_use]
    pub fn by_packets(text: &str, judge: Option<FrameJudge>) -> Self {
        Self { text: text.trim().to_owned(), judge: Judge::Packets(judge.map(Arc::new)), because: None }
    }

    /// Whether the kernel decides.
    #[must_use]
    pub const fn is_by_packets(&self) -> bool {
        matches!(self.judge, Judge::Packets(_))
    }

    /// What is to be told the kernel.
    #[must_use]
    pub const fn frame_judge(&self) -> Option<&Arc<FrameJudge>> {
        match &self.judge {
            Judge::Packets(judge) => judge.as_ref(),
            Judge::Flows(_) => None,
        }
    }

    /// The expression as it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means, where the fields of flows decide.
    #[must_use]
    pub const fn expression(&self) -> Option<&Expression> {
        match &self.judge {
            Judge::Flows(expression) => Some(expression),
            Judge::Packets(_) => None,
        }
    }
}

/// A condition on a flow. Built with [`not`](Self::not), [`and`](Self::and) and [`or`](Self::or), equal conditions
/// that are written alike are equal values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expression {
    /// One field.
    Test(Test),
    /// The opposite. Never of another `Not`.
    Not(Box<Self>),
    /// All of at least two, none of which is `All`.
    All(Vec<Self>),
    /// Any of at least two, none of which is `Any`.
    Any(Vec<Self>),
}

/// A condition on one field of a flow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Test {
    /// IP packets of this version.
    Family(IpFamily),
    /// IP packets of either version with this protocol, the last of an extension-header chain.
    Protocol(u8),
    /// Frames that are not IP, by their `EtherType`.
    EtherType(u16),
    /// IEEE 802.2 frames, by their destination service access point.
    ServicePoint(u8),
    /// An address in a network.
    Address(PacketEnd, Network),
    /// A port, from the first to the last of these, of a protocol that has ports.
    Port(PacketEnd, RangeInclusive<u16>),
    /// Frames in a VLAN: in any, or with this id in the innermost tag.
    Vlan(Option<u16>),
    /// Which way the frame crosses the interface.
    Direction(Direction),
    /// The interface, by its index.
    Interface(u32),
    /// IPv4 packets to everyone, or to everyone in a network of this host.
    Broadcast,
}

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IpFamily {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl IpFamily {
    /// That of an address.
    #[must_use]
    pub const fn of(address: IpAddr) -> Self {
        if address.is_ipv4() { Self::V4 } else { Self::V6 }
    }
}

/// Which end of a packet a test is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PacketEnd {
    /// The sender.
    Source,
    /// The receiver.
    Destination,
    /// At least one of the two.
    Either,
    /// The one and the other.
    Both,
}

/// Addresses that agree in the bits of a mask. Of IPv4 the mask may have holes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// IPv4 as v4-mapped.
    address: Ipv6Addr,
    /// Of IPv4 with all of the first 96 bits.
    mask: Ipv6Addr,
}

/// The bits of an IPv4 address in a v4-mapped one.
const V4_BITS: u128 = u32::MAX as u128;

impl Network {
    /// The IPv4 network of an address, and those bits of the address that lie outside the mask.
    fn v4(address: Ipv4Addr, mask: Ipv4Addr) -> (Self, Ipv4Addr) {
        let network = Ipv4Addr::from_bits(address.to_bits() & mask.to_bits());
        let mapped = Ipv6Addr::from_bits(!V4_BITS | u128::from(mask.to_bits()));
        let rest = Ipv4Addr::from_bits(address.to_bits() & !mask.to_bits());
        (Self { address: network.to_ipv6_mapped(), mask: mapped }, rest)
    }

    /// The IPv6 network of an address, and those bits of the address that lie outside it.
    fn v6(address: Ipv6Addr, prefix: u32) -> (Self, Ipv6Addr) {
        let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
        let address_in = |mask: u128| Ipv6Addr::from_bits(address.to_bits() & mask);
        (Self { address: address_in(mask), mask: Ipv6Addr::from_bits(mask) }, address_in(!mask))
    }

    /// A single address.
    #[must_use]
    pub fn host(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(address) => Self::v4(address, Ipv4Addr::BROADCAST).0,
            // Of a v4-mapped address nothing else could be meant: no packet carries one.
            IpAddr::V6(address) => match address.to_ipv4_mapped() {
                Some(address) => Self::v4(address, Ipv4Addr::BROADCAST).0,
                None => Self::v6(address, 128).0,
            },
        }
    }

    /// The version of IP that it belongs to.
    #[must_use]
    pub fn family(&self) -> IpFamily {
        // An IPv6 network can lie around the v4-mapped addresses, never inside them.
        let mapped = self.address.to_ipv4_mapped().is_some() && self.mask.to_bits() >= !V4_BITS;
        if mapped { IpFamily::V4 } else { IpFamily::V6 }
    }

    /// Its address, IPv4 as v4-mapped; the bits outside the mask are 0.
    #[must_use]
    pub const fn address(&self) -> Ipv6Addr {
        self.address
    }

    /// Its mask; of IPv4 with all of the first 96 bits.
    #[must_use]
    pub const fn mask(&self) -> Ipv6Addr {
        self.mask
    }

    /// The last 32 bits of the mask: all of it that an IPv4 network has.
    const fn mask_v4(&self) -> [u8; 4] {
        let [.., first, second, third, fourth] = self.mask.octets();
        [first, second, third, fourth]
    }

    /// Whether an address, IPv4 as v4-mapped, lies in it.
    #[must_use]
    pub fn contains(&self, address: Ipv6Addr) -> bool {
        address.to_bits() & self.mask.to_bits() == self.address.to_bits()
            && (self.family() == IpFamily::V4 || address.to_ipv4_mapped().is_none())
    }
}

impl Expression {
    /// The opposite.
    #[must_use]
    #[expect(
        clippy::should_implement_trait,
        reason = "it stands beside `and` and `or`, for which there are none"
    )]
    pub fn not(self) -> Self {
        match self {
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }

    /// Both.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        let mut all = self.into_all();
        all.extend(other.into_all());
        Self::All(all)
    }

    /// One of the two, or both.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        let mut any = self.into_any();
        any.extend(other.into_any());
        Self::Any(any)
    }

    /// Any of some; `None` of none.
    fn any(of: impl IntoIterator<Item = Self>) -> Option<Self> {
        of.into_iter().reduce(Self::or)
    }

    fn into_all(self) -> Vec<Self> {
        if let Self::All(all) = self { all } else { vec![self] }
    }

    fn into_any(self) -> Vec<Self> {
        if let Self::Any(any) = self { any } else { vec![self] }
    }
}

impl From<Test> for Expression {
    fn from(test: Test) -> Self {
        Self::Test(test)
    }
}

impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.judge {
            Judge::Flows(expression) => expression.fmt(f),
            Judge::Packets(_) => f.write_str(&self.text),
        }
    }
}

impl fmt::Display for Expression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let operand = |f: &mut fmt::Formatter<'_>, operand: &Self| match operand {
            // `and` and `or` bind equally, so that only parentheses say what belongs together.
            Self::All(_) | Self::Any(_) => write!(f, "({operand})"),
            Self::Test(_) | Self::Not(_) => write!(f, "{operand}"),
        };
        let joined = |f: &mut fmt::Formatter<'_>, operands: &[Self], word| {
            for (index, one) in operands.iter().enumerate() {
                if index > 0 {
                    f.write_str(word)?;
                }
                operand(f, one)?;
            }
            Ok(())
        };
        match self {
            Self::Test(test) => test.fmt(f),
            Self::Not(inner) => {
                f.write_str("not ")?;
                operand(f, inner)
            }
            Self::All(all) => joined(f, all, " and "),
            Self::Any(any) => joined(f, any, " or "),
        }
    }
}

impl fmt::Display for Test {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Family(IpFamily::V4) => f.write_str("ip"),
            Self::Family(IpFamily::V6) => f.write_str("ip6"),
            Self::Protocol(number) => match names::protocol_word(*number) {
                Some(word) => f.write_str(word),
                None => write!(f, "proto {number}"),
            },
            Self::EtherType(number) => match names::ether_type_word(*number) {
                Some(word) => f.write_str(word),
                None => write!(f, "ether proto {number:#06x}"),
            },
            Self::ServicePoint(number) => write!(f, "ether proto {number:#04x}"),
            Self::Address(end, network) => write!(f, "{end}{network}"),
            Self::Port(end, ports) if ports.start() == ports.end() => {
                write!(f, "{end}port {}", ports.start())
            }
            Self::Port(end, ports) => write!(f, "{end}portrange {}-{}", ports.start(), ports.end()),
            Self::Vlan(None) => f.write_str("vlan"),
            Self::Vlan(Some(id)) => write!(f, "vlan {id}"),
            Self::Direction(Direction::Ingress) => f.write_str("inbound"),
            Self::Direction(Direction::Egress) => f.write_str("outbound"),
            Self::Interface(index) => write!(f, "ifindex {index}"),
            Self::Broadcast => f.write_str("broadcast"),
        }
    }
}

/// As the qualifier before `host`, `net` or `port`.
impl fmt::Display for PacketEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Source => "src ",
            Self::Destination => "dst ",
            Self::Either => "",
            Self::Both => "src and dst ",
        })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ones = self.mask.to_bits().leading_ones();
        let whole = self.mask.to_bits().count_ones() == ones;
        match self.address.to_ipv4_mapped().filter(|_| self.family() == IpFamily::V4) {
            Some(address) if ones == 128 => write!(f, "host {address}"),
            Some(address) if whole => write!(f, "net {address}/{}", ones - 96),
            Some(address) => write!(f, "net {address} mask {}", Ipv4Addr::from_octets(self.mask_v4())),
            None if ones == 128 => write!(f, "host {}", self.address),
            None => write!(f, "net {}/{ones}", self.address),
        }
    }
}

#[cfg(test)]
mod tests;
