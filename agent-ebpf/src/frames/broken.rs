//! Frames that contradict themselves, or end too early.

use flowtally_common::flow::Unparsed::{Malformed, Truncated};

use super::{Case, MACS, TCP, UDP, UDP_PORTS, V4, V6, Vec, unparsed, v4, v6};

/// What Ethernet pads with here: it would be seen if it were read as ports.
const PADDING: &str = "3039 0035 3039 0035 3039 0035 3039 0035 3039 0035 3039 0035";

pub(super) fn cases() -> Vec<Case> {
    [headers(), lengths(), extension_headers()].concat()
}

fn v4_frame(name: &'static str, expected: crate::parse::Packet, header: &str, behind: &[&str]) -> Case {
    Case::ethernet(name, expected, &[&[MACS, "0800", header, V4], behind].concat())
}

fn v6_frame(name: &'static str, expected: crate::parse::Packet, header: &str, behind: &[&str]) -> Case {
    Case::ethernet(name, expected, &[&[MACS, "86dd", header, V6], behind].concat())
}

fn headers() -> Vec<Case> {
    let [truncated, malformed] = [unparsed(Truncated), unparsed(Malformed)];
    Vec::from([
        Case::ethernet("no bytes", truncated, &[]),
        Case::ip("no bytes, without a link layer", truncated, &[]),
        Case::ethernet("Ethernet without a type", truncated, &[MACS, "08"]),
        Case::ethernet("a tag without a type", truncated, &[MACS, "8100 0005 08"]),
        Case::ethernet("802.2 without a service access point", truncated, &[MACS, "0026"]),
        v4_frame("IPv4 header length 4", malformed, "44 00 0028 0001 4000 40 06 0000", &[TCP]),
        v4_frame("IPv4 header length 0", malformed, "40 00 0028 0001 4000 40 06 0000", &[TCP]),
        v4_frame("IPv6 in a frame that says IPv4", malformed, "65 00 0028 0001 4000 40 06 0000", &[TCP]),
        v6_frame("IPv4 in a frame that says IPv6", malformed, "45 000000 0014 06 40", &[TCP]),
        Case::ip("version 5, without a link layer", malformed, &["55 00 0028 0001 4000 40 06 0000", V4, TCP]),
        Case::ip("version 0, without a link layer", malformed, &["00 00 0028 0001 4000 40 06 0000", V4, TCP]),
        Case::ip(
            "version 15, without a link layer",
            malformed,
            &["f5 00 0028 0001 4000 40 06 0000", V4, TCP],
        ),
        Case::ip("one byte, without a link layer", truncated, &["45"]),
    ])
}

fn lengths() -> Vec<Case> {
    let [truncated, malformed] = [unparsed(Truncated), unparsed(Malformed)];
    Vec::from([
        v4_frame("IPv4 total length 19", malformed, "45 00 0013 0001 4000 40 06 0000", &[TCP]),
        v4_frame(
            "IPv4 total length 0 in a short frame",
            malformed,
            "45 00 0000 0001 4000 40 06 0000",
            &[TCP],
        ),
        v4_frame(
            "IPv4 total length in the options",
            malformed,
            "4f 00 0028 0001 4000 40 06 0000",
            &[TCP, TCP, TCP],
        ),
        v4_frame(
            "IPv4 total length one beyond the frame",
            truncated,
            "45 00 0029 0001 4000 40 06 0000",
            &[TCP],
        ),
        v4_frame("IPv4 total length of all ones", truncated, "45 00 ffff 0001 4000 40 06 0000", &[TCP]),
        v4_frame("IPv4 options beyond the frame", truncated, "4f 00 003c 0001 4000 40 06 0000", &[TCP]),
        // The IP packet ends before the ports do; padding must not be taken for them.
        v4_frame("IPv4 UDP of no bytes, padded", truncated, "45 00 0014 0001 0000 40 11 0000", &[PADDING]),
        v4_frame("IPv4 UDP of three bytes, padded", truncated, "45 00 0017 0001 0000 40 11 0000", &[PADDING]),
        v4_frame(
            "IPv4 UDP of four bytes, padded",
            v4(17, UDP_PORTS, 34),
            "45 00 0018 0001 0000 40 11 0000",
            &[PADDING],
        )
        .needs(38),
        v4_frame("IPv4 TCP of no bytes, padded", truncated, "45 00 0014 0001 0000 40 06 0000", &[PADDING]),
        v4_frame(
            "IPv4 UDP behind options that end the packet, padded",
            truncated,
            "46 00 0018 0001 0000 40 11 0000",
            &[PADDING],
        ),
        v4_frame("ICMP of one byte, padded", truncated, "45 00 0015 0001 0000 40 01 0000", &[PADDING]),
        v4_frame("SCTP of two bytes, padded", truncated, "45 00 0016 0001 0000 40 84 0000", &[PADDING]),
        v6_frame("IPv6 payload length one beyond the frame", truncated, "60 000000 0015 06 40", &[TCP]),
        v6_frame("IPv6 payload length of all ones", truncated, "60 000000 ffff 06 40", &[TCP]),
        v6_frame("IPv6 UDP of no bytes, padded", truncated, "60 000000 0000 11 40", &[PADDING]),
        v6_frame("IPv6 UDP of three bytes, padded", truncated, "60 000000 0003 11 40", &[PADDING]),
        v6_frame("IPv6 UDP of four bytes, padded", v6(17, UDP_PORTS, 54), "60 000000 0004 11 40", &[PADDING])
            .needs(58),
        v6_frame("ICMPv6 of one byte, padded", truncated, "60 000000 0001 3a 40", &[PADDING]),
        v6_frame("IPv6 DCCP of no bytes, padded", truncated, "60 000000 0000 21 40", &[PADDING]),
    ])
}

fn extension_headers() -> Vec<Case> {
    let truncated = unparsed(Truncated);
    Vec::from([
        v6_frame(
            "IPv6 hop-by-hop options of no bytes, padded",
            truncated,
            "60 000000 0000 00 40",
            &[PADDING],
        ),
        // The packet is too short; that the padding goes on like a chain without end is of no matter.
        v6_frame(
            "IPv6 destination options of no bytes, padded with more of them",
            truncated,
            "60 000000 0000 3c 40",
            &["3c 00 01 04 00000000"; 10],
        ),
        v6_frame(
            "IPv6 destination options of seven bytes, padded",
            truncated,
            "60 000000 0007 3c 40",
            &["11 00 01 04 000000", PADDING],
        ),
        v6_frame(
            "IPv6 routing header longer than the packet",
            truncated,
            "60 000000 0010 2b 40",
            &["11 05 01 04 00000000", UDP],
        ),
        v6_frame(
            "IPv6 the longest header in a short packet",
            truncated,
            "60 000000 0010 3c 40",
            &["11 ff 01 04 00000000", UDP],
        ),
        // A protocol without ports would be known, but the packet ends in the header before it.
        v6_frame(
            "IPv6 ESP behind options longer than the packet",
            truncated,
            "60 000000 0010 3c 40",
            &["32 02 01 04 00000000", UDP],
        ),
        v6_frame(
            "IPv6 UDP behind options that end the packet, padded",
            truncated,
            "60 000000 0008 3c 40",
            &["11 00 01 04 00000000", PADDING],
        ),
        v6_frame(
            "IPv6 AH longer than the packet",
            truncated,
            "60 000000 0010 33 40",
            &["11 04 0000 11223344", UDP],
        ),
        v6_frame(
            "IPv6 fragment header of four bytes, padded",
            truncated,
            "60 000000 0004 2c 40",
            &["11 00 0008", PADDING],
        ),
        // RFC 2675 needs more than 65,535 bytes.
        v6_frame(
            "IPv6 jumbo header in a short packet",
            truncated,
            "60 000000 0000 00 40",
            &["06 00 c2 04 00010000", TCP],
        ),
    ])
}
