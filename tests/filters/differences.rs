//! What the two may differ in: the table of docs/filters.md, and in which frames each of its rows holds.

use std::net::{Ipv4Addr, Ipv6Addr};

use flowtally::{filter::Test, model::protocol::Kind};
use flowtally_common::FlowKey;

/// What there is to know of a frame.
pub(crate) struct FrameFacts<'a> {
    pub(crate) frame: &'a [u8],
    pub(crate) key: FlowKey,
    pub(crate) kind: Kind,
    /// VLAN tags in its bytes.
    pub(crate) tags: usize,
}

impl FrameFacts<'_> {
    fn word(&self, at: usize) -> u16 {
        self.frame.get(at..at + 2).map_or(0, |bytes| u16::from_be_bytes(bytes.try_into().unwrap()))
    }

    /// The frame's type behind its tags.
    fn ether_type(&self) -> u16 {
        self.word(12 + 4 * self.tags)
    }

    /// The number in the IPv6 header that says what is behind it.
    fn next_header(&self) -> Option<u8> {
        self.frame.get(14 + 4 * self.tags + 6).copied().filter(|_| self.ether_type() == 0x86dd)
    }

    /// Whether it is an ARP or RARP frame that ends before its addresses do.
    fn is_cut_short(&self) -> bool {
        self.is_about_addresses() && self.frame.len() < 14 + 4 * self.tags + 28
    }

    /// Whether it is ARP or RARP.
    fn is_about_addresses(&self) -> bool {
        [0x0806, 0x8035].contains(&self.ether_type())
    }

    fn destination_v4(&self) -> Option<Ipv4Addr> {
        Ipv6Addr::from(self.key.dst).to_ipv4_mapped().filter(|_| self.kind.is_ip())
    }

    fn is_to_a_group(&self) -> bool {
        let address = Ipv6Addr::from(self.key.dst);
        self.kind.is_ip()
            && address.to_ipv4_mapped().map_or(address.is_multicast(), |address| address.is_multicast())
    }
}

/// A row of the table.
pub(crate) struct AllowedDifference {
    /// Its first cell.
    pub(crate) row: &'static str,
    /// Whether a condition may be read otherwise of such a frame.
    pub(crate) of_test: fn(&Test, &FrameFacts<'_>) -> bool,
    /// Whether an expression with these words may, where its conditions are not told apart by what they are called.
    pub(crate) of_text: fn(&str, &FrameFacts<'_>) -> bool,
    /// Whether it is about what no frame of this comparison shows.
    pub(crate) is_elsewhere: bool,
}

/// A row that is about other things than a frame's bytes.
const fn elsewhere(row: &'static str) -> AllowedDifference {
    AllowedDifference { row, of_test: no_test, of_text: never, is_elsewhere: true }
}

fn never(_: &str, _: &FrameFacts<'_>) -> bool {
    false
}

fn no_test(_: &Test, _: &FrameFacts<'_>) -> bool {
    false
}

/// Whether the text asks for a group by this word, of IPv4 or of whatever is there.
fn asks(text: &str, ip: &str, word: &str) -> bool {
    let words: Vec<&str> =
        text.split(|c: char| !c.is_ascii_alphanumeric()).filter(|word| !word.is_empty()).collect();
    let before = |at: usize| at.checked_sub(1).and_then(|at| words.get(at)).copied().unwrap_or_default();
    (0..words.len()).any(|at| {
        let is_qualified = ["ip", "ip6"].contains(&before(at));
        words[at] == word && if ip.is_empty() { !is_qualified } else { before(at) == ip }
    })
}

/// IPv6 extension headers that the parser looks behind.
const EXTENSIONS: [u8; 8] = [0, 43, 44, 51, 60, 135, 139, 140];

/// Every row, in the order of the table.
pub(crate) const ALLOWED: &[AllowedDifference] = &[
    AllowedDifference {
        row: "any, in a VLAN whose tag is in the frame",
        of_test: |test, facts| !matches!(test, Test::Vlan(_)) && facts.tags > 0,
        // Its condition alone is written as that of the link layer, which a tag hides from neither.
        of_text: |text, facts| asks(text, "ip", "broadcast") && facts.tags > 0,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`vlan N`",
        of_test: |test, facts| matches!(test, Test::Vlan(Some(_))) && facts.tags > 1,
        of_text: never,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`not vlan and ip`, `(tcp or vlan) and ip`, in no VLAN",
        of_test: no_test,
        of_text: |text, facts| {
            let (before, behind) = text.split_once("vlan").unwrap_or_default();
            !before.is_empty()
                && [" and ", " or "].iter().any(|joint| behind.contains(joint))
                && facts.tags == 0
        },
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`tcp`, `proto N`, `port`, IPv6 with extension headers",
        of_test: |test, facts| {
            matches!(test, Test::Protocol(_) | Test::Port(..))
                && facts.next_header().is_some_and(|next| EXTENSIONS.contains(&next))
        },
        of_text: never,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`host`, `net`",
        of_test: |test, facts| matches!(test, Test::Address(..)) && facts.is_about_addresses(),
        of_text: never,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`port`, `portrange`",
        of_test: |test, facts| {
            matches!(test, Test::Port(..)) && [Kind::Ip(136), Kind::Ip(33)].contains(&facts.kind)
        },
        of_text: never,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`port 0`, `portrange 0-N`",
        of_test: |test, facts| {
            let has_zero = matches!(test, Test::Port(_, ports) if ports.contains(&0));
            has_zero && facts.kind.has_ports() && (facts.key.src_port, facts.key.dst_port) == ([0; 2], [0; 2])
        },
        of_text: never,
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`multicast`, `broadcast`",
        of_test: no_test,
        of_text: |text, facts| {
            let to_everyone = facts.destination_v4() == Some(Ipv4Addr::BROADCAST);
            asks(text, "", "multicast") && (facts.frame[0] & 1 != 0) != facts.is_to_a_group()
                || asks(text, "", "broadcast") && (facts.frame[..6] == [0xff; 6]) != to_everyone
        },
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`ip multicast`",
        of_test: no_test,
        of_text: |text, facts| {
            asks(text, "ip", "multicast")
                && facts.destination_v4().is_some_and(|address| address.octets()[0] >= 240)
        },
        is_elsewhere: false,
    },
    AllowedDifference {
        row: "`ip broadcast`",
        of_test: no_test,
        of_text: |text, facts| {
            asks(text, "ip", "broadcast") && facts.destination_v4() == Some(Ipv4Addr::UNSPECIFIED)
        },
        is_elsewhere: false,
    },
    elsewhere("`inbound`, `outbound` on `lo`"),
    AllowedDifference {
        row: "a frame that is cut short",
        of_test: no_test,
        of_text: |_, facts| matches!(facts.kind, Kind::Unparsed(_)) || facts.is_cut_short(),
        is_elsewhere: false,
    },
    elsewhere("what can match nothing (`ip and arp`)"),
];
