//! What kind of frame a flow is made of, and what that is called.

use std::fmt;

use flowtally_common::flow::{PROTOCOL_NOT_IP, Unparsed};

/// How the kernel program marks frames with an IEEE 802.2 header (`linux/if_ether.h`, `ETH_P_802_2`).
const ETHERTYPE_802_2: u16 = 0x0004;

/// The kind of a flow's frames.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Kind {
    /// An IP protocol, by its IANA number.
    Ip(u8),
    /// Frames that are not IP, by their `EtherType`.
    Frame(u16),
    /// IEEE 802.2 frames, by their destination service access point.
    Llc(u8),
    /// Frames that could not be parsed, by the number of the reason.
    Unparsed(u8),
}

/// Names as /etc/protocols has them, in lower case. Numbers: IANA, Assigned Internet Protocol Numbers.
const IP: &[(u8, &str)] = &[
    (0, "hopopt"),
    (1, "icmp"),
    (2, "igmp"),
    (4, "ipip"),
    (6, "tcp"),
    (8, "egp"),
    (17, "udp"),
    (33, "dccp"),
    (41, "ipv6"),
    (46, "rsvp"),
    (47, "gre"),
    (50, "esp"),
    (51, "ah"),
    (58, "icmpv6"),
    (59, "ipv6-nonxt"),
    (88, "eigrp"),
    (89, "ospf"),
    (94, "ipip-nos"),
    (97, "etherip"),
    (103, "pim"),
    (108, "ipcomp"),
    (112, "vrrp"),
    (115, "l2tp"),
    (132, "sctp"),
    (135, "mobility"),
    (136, "udplite"),
    (137, "mpls-in-ip"),
    (139, "hip"),
];

/// Numbers: IEEE `EtherType` registry; `linux/if_ether.h`.
const FRAMES: &[(u16, &str)] = &[
    (0x0806, "arp"),
    (0x0842, "wake-on-lan"),
    (0x8035, "rarp"),
    (0x8847, "mpls"),
    (0x8848, "mpls-multicast"),
    (0x8863, "pppoe-discovery"),
    (0x8864, "pppoe"),
    (0x888e, "eapol"),
    (0x8809, "slow"),
    (0x88cc, "lldp"),
    (0x88e5, "macsec"),
    (0x88f7, "ptp"),
    (0x8902, "cfm"),
    (0x8906, "fcoe"),
    (0x9000, "loopback"),
];

/// Numbers: IEEE Std 802, LLC address assignments.
const SERVICE_POINTS: &[(u8, &str)] =
    &[(0x42, "stp"), (0xaa, "snap"), (0xe0, "ipx"), (0xf0, "netbios"), (0xfe, "iso")];

impl Kind {
    /// Transmission Control Protocol.
    pub const TCP: Self = Self::Ip(6);
    /// User Datagram Protocol.
    pub const UDP: Self = Self::Ip(17);

    /// The kind that a flow key's protocol and port fields (in host order) stand for.
    #[must_use]
    pub const fn of(protocol: u8, src_port: u16, dst_port: u16) -> Self {
        match (protocol, src_port, dst_port) {
            (PROTOCOL_NOT_IP, ETHERTYPE_802_2, point) => Self::Llc((point & 0xff) as u8),
            (PROTOCOL_NOT_IP, 0, 1..) => Self::Unparsed((dst_port & 0xff) as u8),
            (PROTOCOL_NOT_IP, 1.., _) => Self::Frame(src_port),
            _ => Self::Ip(protocol),
        }
    }

    /// Whether the protocol has ports that name a service.
    #[must_use]
    pub const fn has_ports(self) -> bool {
        matches!(self, Self::Ip(6 | 17 | 33 | 132 | 136))
    }

    /// Whether the port fields hold an ICMP type and code.
    #[must_use]
    pub const fn is_icmp(self) -> bool {
        matches!(self, Self::Ip(1 | 58))
    }

    /// Whether the frames are IP packets.
    #[must_use]
    pub const fn is_ip(self) -> bool {
        matches!(self, Self::Ip(_))
    }
}

impl Kind {
    /// The kind that a name stands for, as text has it. Why frames could not be parsed is not in their name.
    #[must_use]
    pub fn of_name(name: &str) -> Option<Self> {
        fn number<N: Copy>(names: &[(N, &str)], name: &str) -> Option<N> {
            names.iter().find(|(_, known)| *known == name).map(|(number, _)| *number)
        }
        let hex = |prefix| name.strip_prefix(prefix).map(|digits| u16::from_str_radix(digits, 16));
        match name {
            // Nearly every row is one of these.
            "tcp" => return Some(Self::TCP),
            "udp" => return Some(Self::UDP),
            "unparsed" => return Some(Self::Unparsed(0)),
            _ => {}
        }
        number(IP, name)
            .map(Self::Ip)
            .or_else(|| number(FRAMES, name).map(Self::Frame))
            .or_else(|| number(SERVICE_POINTS, name).map(Self::Llc))
            .or_else(|| name.parse().ok().map(Self::Ip))
            .or_else(|| hex("ethertype-0x")?.ok().map(Self::Frame))
            .or_else(|| hex("llc-0x")?.ok().and_then(|point| u8::try_from(point).ok()).map(Self::Llc))
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fn name<N: Copy + PartialEq>(names: &[(N, &'static str)], number: N) -> Option<&'static str> {
            names.iter().find(|(known, _)| *known == number).map(|(_, name)| *name)
        }
        match *self {
            Self::Ip(number) => match name(IP, number) {
                Some(name) => f.pad(name),
                None => f.pad(&number.to_string()),
            },
            Self::Frame(number) => match name(FRAMES, number) {
                Some(name) => f.pad(name),
                None => f.pad(&format!("ethertype-{number:#06x}")),
            },
            Self::Llc(point) => match name(SERVICE_POINTS, point) {
                Some(name) => f.pad(name),
                None => f.pad(&format!("llc-{point:#04x}")),
            },
            Self::Unparsed(_) => f.pad("unparsed"),
        }
    }
}

/// Why frames could not be parsed, in words, from the number in [`Kind::Unparsed`].
#[must_use]
pub fn unparsed_reason(number: u8) -> &'static str {
    const TRUNCATED: u8 = Unparsed::Truncated as u8;
    const MALFORMED: u8 = Unparsed::Malformed as u8;
    match number {
        TRUNCATED => "truncated",
        MALFORMED => "malformed",
        _ => "more tags or extension headers than are followed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_stands_for_what_has_it() {
        let all = (0..=u8::MAX).flat_map(|number| [Kind::Ip(number), Kind::Llc(number)]);
        for kind in all.chain((0..=u16::MAX).map(Kind::Frame)) {
            assert_eq!(Kind::of_name(&kind.to_string()), Some(kind));
        }
        assert_eq!(Kind::of_name("unparsed"), Some(Kind::Unparsed(0)));
        for name in ["", "256", "TCP", "ethertype-", "ethertype-0x12345", "llc-0x100"] {
            assert_eq!(Kind::of_name(name), None, "{name}");
        }
    }
}
