//! Super-packets: what GSO and GRO pass through the stack as one, and what they are on the wire.

use flowtally_common::flow::Unparsed;

use super::{
    Case, MACS, NO_PORTS, Packet, TCP, TCP_PORTS, UDP_PORTS, V4, V6, Vec, in_vlan, unparsed, v4, v6,
};

/// TCP with 12 bytes of options: 32 bytes.
const TCP_WITH_OPTIONS: &str =
    "3039 01bb  00000001 00000002  80 10 ffff  0000 0000  01 01 08 0a 00000001 00000002";
/// A jumbo payload of 70,028 bytes (the option's header included), TCP next (RFC 2675).
const JUMBO: &str = "06 00 c2 04 0001118c";
/// A router alert instead (RFC 2711).
const ROUTER_ALERT: &str = "06 00 05 02 0000 01 00";

pub(super) fn cases() -> Vec<Case> {
    [segmented(), big()].concat()
}

fn segmented() -> Vec<Case> {
    // Payload 3000; headers 14 + 20 + 20 = 54.
    let tcp = |name| {
        let parts = [MACS, "0800", "45 00 0be0 0001 4000 40 06 0000", V4, TCP];
        Case::ethernet(name, v4(6, TCP_PORTS, 34), &parts).payload(3000)
    };
    // Payload 3000; headers 14 + 40 + 8 = 62.
    let udp = |name| {
        let parts = [MACS, "86dd", "60 000000 0bc0 11 40", V6, "3039 0035 0bc0 0000"];
        Case::ethernet(name, v6(17, UDP_PORTS, 54), &parts).payload(3000)
    };
    Vec::from([
        tcp("GSO, number of segments given").segmented(1400, 3, 3, 3000 + 3 * 54),
        tcp("GSO, number of segments to be computed, the last one short").segmented(
            1400,
            0,
            3,
            3000 + 3 * 54,
        ),
        tcp("GSO, an exact multiple").segmented(1000, 0, 3, 3000 + 3 * 54),
        tcp("GSO of one segment").segmented(3000, 0, 1, 3054),
        tcp("GSO, segments larger than the payload").segmented(9000, 0, 1, 3054),
        tcp("GSO, segments of one byte").segmented(1, 0, 3000, 3000 + 3000 * 54),
        udp("UDP GSO, number of segments given").segmented(1200, 3, 3, 3000 + 3 * 62),
        udp("UDP GSO, number of segments to be computed").segmented(1200, 0, 3, 3000 + 3 * 62),
        Case::ethernet(
            "GSO with TCP options in VLAN 5",
            in_vlan(v4(6, TCP_PORTS, 38), 1, 5),
            &[MACS, "8100 0005 0800", "45 00 0bec 0001 4000 40 06 0000", V4, TCP_WITH_OPTIONS],
        )
        .payload(3000)
        .segmented(1448, 0, 3, 3000 + 3 * 70),
        Case {
            expected: in_vlan(v4(6, TCP_PORTS, 34), 1, 5),
            ..tcp("GSO with an offloaded tag").segmented(1400, 3, 3, 3000 + 3 * 54).tagged(5)
        },
        Case::ip(
            "GSO without a link layer",
            v6(6, TCP_PORTS, 40),
            &["60 000000 0bd8 06 40", V6, TCP_WITH_OPTIONS],
        )
        .payload(3000)
        .segmented(1000, 0, 3, 3000 + 3 * 72),
        // The protocol's headers are not known, so the bytes are the super-packet's; the packets are given.
        Case::ethernet(
            "GSO of a tunnel",
            v4(47, NO_PORTS, 0),
            &[MACS, "0800", "45 00 0bd0 0001 4000 40 2f 0000", V4, "0000 0800"],
        )
        .payload(3000)
        .segmented(1400, 3, 3, 14 + 20 + 4 + 3000),
        Case::ethernet(
            "SCTP GSO, segments kept apart",
            v4(132, [5000, 3868], 0),
            &[MACS, "0800", "45 00 0bd8 0001 4000 40 84 0000", V4, "1388 0f1c 00000001 00000000"],
        )
        .payload(3000)
        .segmented(0xffff, 2, 2, 14 + 20 + 12 + 3000),
    ])
}

/// Above 64 KiB the length field is 0, and the length is the socket buffer's: what rests on the frame being whole
/// is that the packet is longer than the field can say.
fn big() -> Vec<Case> {
    Vec::from([
        Case::ethernet(
            "BIG TCP over IPv4",
            v4(6, TCP_PORTS, 34),
            &[MACS, "0800", "45 00 0000 0001 4000 40 06 0000", V4, TCP],
        )
        .payload(70_000)
        .needs(14 + 65_536)
        .segmented(1400, 50, 50, 70_000 + 50 * 54),
        Case::ethernet(
            "BIG TCP over IPv6, with the jumbo header that is not sent",
            Packet { jumbo: 8, ..v6(6, TCP_PORTS, 62) },
            &[MACS, "86dd", "60 000000 0000 00 40", V6, JUMBO, TCP],
        )
        .payload(70_000)
        .needs(54 + 65_536)
        .segmented(1400, 0, 50, 70_000 + 50 * 74),
        Case::ethernet(
            "BIG TCP over IPv6, in VLAN 5",
            in_vlan(Packet { jumbo: 8, ..v6(6, TCP_PORTS, 66) }, 1, 5),
            &[MACS, "8100 0005 86dd", "60 000000 0000 00 40", V6, JUMBO, TCP],
        )
        .payload(70_000)
        .needs(58 + 65_536)
        .segmented(1400, 50, 50, 70_000 + 50 * 78),
        Case::ethernet(
            "BIG TCP over IPv6 without a jumbo header",
            v6(6, TCP_PORTS, 54),
            &[MACS, "86dd", "60 000000 0000 06 40", V6, TCP],
        )
        .payload(70_000)
        .needs(54 + 65_536)
        .segmented(1400, 50, 50, 70_000 + 50 * 74),
        // The same four bytes, but not of a hop-by-hop header.
        Case::ethernet(
            "BIG TCP over IPv6 whose ports look like a jumbo header",
            v6(6, [0x0600, 0xc204], 54),
            &[
                MACS,
                "86dd",
                "60 000000 0000 06 40",
                V6,
                "0600 c204  00000001 00000002  50 10 ffff  0000 0000",
            ],
        )
        .payload(70_000)
        .needs(54 + 65_536)
        .segmented(1400, 50, 50, 70_000 + 50 * 74),
        Case::ethernet(
            "IPv6 above 64 KiB behind hop-by-hop options that are sent",
            v6(6, TCP_PORTS, 62),
            &[MACS, "86dd", "60 000000 0000 00 40", V6, ROUTER_ALERT, TCP],
        )
        .payload(70_000)
        .needs(54 + 65_536)
        .segmented(1400, 50, 50, 70_000 + 50 * 82),
        // Nobody has cut this one up: it goes as it is.
        Case::ethernet(
            "IPv6 jumbogram that is no super-packet",
            Packet { jumbo: 8, ..v6(6, TCP_PORTS, 62) },
            &[MACS, "86dd", "60 000000 0000 00 40", V6, JUMBO, TCP],
        )
        .payload(70_000)
        .needs(54 + 65_536),
        // 65,535 bytes can still be said in the field, so 0 is wrong.
        Case::ethernet(
            "IPv4 without a length, one byte too short for BIG TCP",
            unparsed(Unparsed::Malformed),
            &[MACS, "0800", "45 00 0000 0001 4000 40 06 0000", V4, TCP],
        )
        .payload(65_535 - 40),
        Case::ethernet(
            "IPv6 without a length, one byte too short for BIG TCP",
            unparsed(Unparsed::Truncated),
            &[MACS, "86dd", "60 000000 0000 06 40", V6, TCP],
        )
        .payload(65_535 - 20),
        Case::ethernet(
            "IPv4 of the highest length",
            v4(6, TCP_PORTS, 34),
            &[MACS, "0800", "45 00 ffff 0001 4000 40 06 0000", V4, TCP],
        )
        .payload(65_535 - 40)
        .segmented(1400, 0, 47, 65_495 + 47 * 54),
        Case::ethernet(
            "IPv6 of the highest length",
            v6(6, TCP_PORTS, 54),
            &[MACS, "86dd", "60 000000 ffff 06 40", V6, TCP],
        )
        .payload(65_535 - 20)
        .segmented(1400, 0, 47, 65_515 + 47 * 74),
    ])
}
