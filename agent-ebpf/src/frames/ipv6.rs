//! IPv6 and its extension headers (RFC 8200).

use flowtally_common::flow::{ICMP_LATER_FRAGMENT, Unparsed};

use super::{Case, MACS, NO_PORTS, TCP, TCP_PORTS, UDP, UDP_PORTS, V6, Vec, unparsed, v6};

/// Destination options with padding of 6 bytes (8 altogether), then the same again, and TCP.
const OPTIONS_AGAIN: &str = "3c 00 01 04 00000000";
const OPTIONS_THEN_TCP: &str = "06 00 01 04 00000000";

pub(super) fn cases() -> Vec<Case> {
    [plain(), protocols(), chains(), fragments(), tiny_fragments()].concat()
}

/// A packet behind an Ethernet header: the first 8 bytes of the IPv6 header, then what is behind the addresses.
fn ethernet(name: &'static str, expected: crate::parse::Packet, header: &str, behind: &[&str]) -> Case {
    Case::ethernet(name, expected, &[&[MACS, "86dd", header, V6], behind].concat())
}

fn plain() -> Vec<Case> {
    Vec::from([
        // Version, class and label, payload length, next header, hops.
        ethernet("IPv6 TCP", v6(6, TCP_PORTS, 54), "60 000000 0014 06 40", &[TCP]),
        ethernet("IPv6 UDP", v6(17, UDP_PORTS, 54), "60 000000 0008 11 40", &[UDP]),
        Case::ip("IPv6 TCP without a link layer", v6(6, TCP_PORTS, 40), &["60 000000 0014 06 40", V6, TCP]),
        Case::ip("IPv6 UDP without a link layer", v6(17, UDP_PORTS, 40), &["60 000000 0008 11 40", V6, UDP]),
        ethernet(
            "IPv6 TCP, class, label and hops of all ones",
            v6(6, TCP_PORTS, 54),
            "6f ffffff 0014 06 ff",
            &[TCP],
        ),
        ethernet("IPv6 UDP, padded", v6(17, UDP_PORTS, 54), "60 000000 0008 11 40", &[UDP, "ffffffff"])
            .needs(62),
        ethernet("IPv6 UDP of four bytes", v6(17, UDP_PORTS, 54), "60 000000 0004 11 40", &["3039 0035"]),
        ethernet(
            "IPv6 UDP with payload",
            v6(17, UDP_PORTS, 54),
            "60 000000 0400 11 40",
            &["3039 0035 0400 0000"],
        )
        .payload(1024 - 8),
    ])
}

fn protocols() -> Vec<Case> {
    Vec::from([
        ethernet("IPv6 UDP-Lite", v6(136, UDP_PORTS, 0), "60 000000 0008 88 40", &[UDP]),
        ethernet(
            "IPv6 SCTP",
            v6(132, [5000, 3868], 0),
            "60 000000 000c 84 40",
            &["1388 0f1c 00000001 00000000"],
        ),
        ethernet(
            "IPv6 DCCP",
            v6(33, [5001, 5002], 0),
            "60 000000 0010 21 40",
            &["1389 138a 03 00 0000 01 000000 00000001"],
        ),
        // RFC 4443, echo request; RFC 4861, neighbour solicitation.
        ethernet(
            "ICMPv6 echo request",
            v6(58, [128, 0], 0),
            "60 000000 0008 3a 40",
            &["80 00 0000 3039 0001"],
        ),
        ethernet(
            "ICMPv6 neighbour solicitation",
            v6(58, [135, 0], 0),
            "60 000000 0018 3a ff",
            &["87 00 0000 00000000 20010db8000000000000000000000002"],
        ),
        ethernet("IPv6 GRE", v6(47, NO_PORTS, 0), "60 000000 0004 2f 40", &["0000 0800"]),
        ethernet("IPv6 ESP", v6(50, NO_PORTS, 0), "60 000000 0008 32 40", &["11223344 00000001"]),
        ethernet("IPv6, no next header", v6(59, NO_PORTS, 0), "60 000000 0000 3b 40", &[]),
        ethernet(
            "IPv6, no next header, and bytes behind it",
            v6(59, NO_PORTS, 0),
            "60 000000 0004 3b 40",
            &["30390035"],
        ),
        ethernet("IPv6 protocol 200", v6(200, NO_PORTS, 0), "60 000000 0004 c8 40", &["3039 01bb"]),
        ethernet("IPv6 protocol 255", v6(255, NO_PORTS, 0), "60 000000 0004 ff 40", &["0000 0001"]),
        // RFC 6275: says itself how long it is, but nothing is carried behind it.
        ethernet("IPv6 mobility", v6(135, NO_PORTS, 0), "60 000000 0008 87 40", &["3b 00 00 00 0000 0000"]),
    ])
}

fn chains() -> Vec<Case> {
    let eight = [OPTIONS_AGAIN; 7];
    let nine = [OPTIONS_AGAIN; 8];
    Vec::from([
        // RFC 2710: a router alert of 8 bytes before multicast listener discovery.
        ethernet(
            "ICMPv6 behind hop-by-hop options",
            v6(58, [143, 0], 0),
            "60 000000 0010 00 01",
            &["3a 00 05 02 0000 01 00", "8f 00 0000 00000000"],
        ),
        // RFC 6554: 1 unit beyond the first 8 bytes; 24 bytes for 2 units.
        ethernet(
            "IPv6 TCP behind a routing header",
            v6(6, TCP_PORTS, 78),
            "60 000000 002c 2b 40",
            &["06 02 04 00 00000000  20010db8000000000000000000000003", TCP],
        ),
        ethernet(
            "IPv6 UDP behind destination options",
            v6(17, UDP_PORTS, 62),
            "60 000000 0010 3c 40",
            &["11 00 01 04 00000000", UDP],
        ),
        // Length in units of 4 bytes, less 2: 4 is 24 bytes.
        ethernet(
            "IPv6 AH is walked",
            v6(6, TCP_PORTS, 78),
            "60 000000 002c 33 40",
            &["06 04 0000 11223344 00000001 000000000000000000000000", TCP],
        ),
        ethernet(
            "IPv6 ESP behind AH",
            v6(50, NO_PORTS, 0),
            "60 000000 0020 33 40",
            &["32 04 0000 11223344 00000001 000000000000000000000000", "11223344 00000001"],
        ),
        ethernet(
            "IPv6 all kinds of headers in the order of RFC 8200",
            v6(17, UDP_PORTS, 118),
            "60 000000 0048 00 40",
            &[
                "3c 00 01 04 00000000",                                  // hop-by-hop options
                "2b 00 01 04 00000000",                                  // destination options
                "2c 00 00 00 00000000",                                  // routing
                "33 00 0000 00000001",                                   // fragment, the only one (RFC 6946)
                "3c 04 0000 11223344 00000001 000000000000000000000000", // authentication
                "11 00 01 04 00000000",                                  // destination options
                UDP,
            ],
        ),
        ethernet(
            "IPv6 the longest header",
            v6(17, UDP_PORTS, 54 + 2048),
            "60 000000 0808 3c 40",
            &["11 ff 01 04 00000000", &"01 06 000000000000".repeat(255), UDP],
        ),
        Case::ip(
            "IPv6 ICMPv6 behind hop-by-hop options, without a link layer",
            v6(58, [143, 0], 0),
            &["60 000000 0010 00 01", V6, "3a 00 05 02 0000 01 00", "8f 00 0000 00000000"],
        ),
        ethernet(
            "IPv6 TCP behind as many headers as are followed",
            v6(6, TCP_PORTS, 54 + 64),
            "60 000000 0054 3c 40",
            &[&eight.concat(), OPTIONS_THEN_TCP, TCP],
        ),
        ethernet(
            "IPv6 TCP behind one header too many",
            unparsed(Unparsed::TooDeep),
            "60 000000 005c 3c 40",
            &[&nine.concat(), OPTIONS_THEN_TCP, TCP],
        ),
        ethernet(
            "IPv6 later fragment behind as many headers as are followed",
            v6(17, NO_PORTS, 0),
            "60 000000 0048 3c 40",
            &[
                &[OPTIONS_AGAIN; 6].concat(),
                "2c 00 01 04 00000000",
                "11 00 0008 00000001",
                "3039 0035 3039 0035",
            ],
        ),
    ])
}

fn fragments() -> Vec<Case> {
    Vec::from([
        // Next header, reserved, offset and more-fragments, identification.
        ethernet(
            "IPv6 UDP, first fragment",
            v6(17, UDP_PORTS, 62),
            "60 000000 0018 2c 40",
            &["11 00 0001 00000001", "3039 0035 0020 0000", "1111111111111111"],
        ),
        ethernet(
            "IPv6 UDP, middle fragment",
            v6(17, NO_PORTS, 0),
            "60 000000 0010 2c 40",
            &["11 00 0011 00000001", "3039 0035 0020 0000"],
        ),
        ethernet(
            "IPv6 UDP, last fragment",
            v6(17, NO_PORTS, 0),
            "60 000000 000c 2c 40",
            &["11 00 0018 00000001", "3039 0035"],
        ),
        ethernet(
            "IPv6 TCP, fragment in the header",
            v6(6, NO_PORTS, 0),
            "60 000000 001c 2c 40",
            &["06 00 0008 00000001", TCP],
        ),
        ethernet(
            "ICMPv6, later fragment",
            v6(58, [0, ICMP_LATER_FRAGMENT], 0),
            "60 000000 0010 2c 40",
            &["3a 00 fff8 00000001", "80 00 0000 3039 0001"],
        ),
        // The two reserved bits beside the offset are to be ignored.
        ethernet(
            "IPv6 UDP, first fragment, reserved bits set",
            v6(17, UDP_PORTS, 62),
            "60 000000 0010 2c 40",
            &["11 ff 0007 00000001", UDP],
        ),
        ethernet(
            "IPv6 UDP, the only fragment",
            v6(17, UDP_PORTS, 62),
            "60 000000 0010 2c 40",
            &["11 00 0000 00000001", UDP],
        ),
        // What a later fragment carries may be the middle of an extension header: the Fragment header's next
        // header is all that is known of it.
        ethernet(
            "IPv6 later fragment of a packet with destination options",
            v6(60, NO_PORTS, 0),
            "60 000000 0010 2c 40",
            &["3c 00 0008 00000001", "06 00 3039 01bb0000"],
        ),
        ethernet(
            "IPv6 later fragment behind hop-by-hop options",
            v6(17, NO_PORTS, 0),
            "60 000000 0018 00 40",
            &["2c 00 01 04 00000000", "11 00 00b8 00000001", "3039 0035 3039 0035"],
        ),
        ethernet(
            "IPv6 later fragment of no bytes",
            v6(17, NO_PORTS, 0),
            "60 000000 0008 2c 40",
            &["11 00 0008 00000001"],
        ),
        Case::ip(
            "IPv6 UDP, later fragment, without a link layer",
            v6(17, NO_PORTS, 0),
            &["60 000000 0010 2c 40", V6, "11 00 05a8 00000001", UDP],
        ),
    ])
}

/// A first fragment must hold the whole chain of headers (RFC 7112); what does not has no flow.
fn tiny_fragments() -> Vec<Case> {
    Vec::from([
        ethernet(
            "IPv6 UDP, first fragment without all of the ports",
            unparsed(Unparsed::Truncated),
            "60 000000 000b 2c 40",
            &["11 00 0001 00000001", "3039 00", "3535353535353535"],
        ),
        ethernet(
            "IPv6 first fragment that ends in destination options",
            unparsed(Unparsed::Truncated),
            "60 000000 0010 2c 40",
            &["3c 00 0001 00000001", "11 01 01 0c 00000000"],
        ),
        ethernet(
            "IPv6 first fragment that ends behind destination options",
            unparsed(Unparsed::Truncated),
            "60 000000 0010 2c 40",
            &["3c 00 0001 00000001", "11 00 01 04 00000000"],
        ),
    ])
}
